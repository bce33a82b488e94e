"""Trust-region dogleg: along Powell's path of two straight pieces as far as the region allows.

    p(t) = t p_U for 0 ≤ t ≤ 1,    p_U + (t − 1)(p_B − p_U) for 1 ≤ t ≤ 2
    p_U = −(gₖᵀgₖ / gₖᵀBₖgₖ) gₖ,    p_B = −Bₖ⁻¹gₖ              Bₖ = ∇²f(xₖ)

Along it the length grows and the model falls, so there is one point with ‖p‖ = Δₖ, or p_B is inside. The region follows
the ratio of actual to predicted decrease.

M. J. D. Powell, A hybrid method for nonlinear equations, in P. Rabinowitz (ed.), *Numerical Methods for Nonlinear
Algebraic Equations*, 1970;  J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §4.1.
Shapes: x, g, p are (n,); B is (n, n), symmetric.   Cost of a step: n³/3 flops.

Deviations from the book, with reasons:
- Where B has a lowest eigenvalue λ₁ < 0 the path is that of B + 3/2|λ₁|I, and goes on along the eigenvector of λ₁ to
  the boundary: the book's path needs B ≻ 0, and saddles must be left.
- The radius starts at the length of x₀ (1 at the origin). Bad steps, rounding, trials that are not finite:
  ``refopt.region``.
"""

from refopt.problem import Problem
from refopt.region import Params, State, init, predicted, resume, tried
from refopt.subproblem import decrease, dogleg

__all__ = ["Params", "State", "init", "predicted", "resume", "step"]


def step(problem: Problem, state: State, params: Params) -> State:
    p, edge = dogleg(state.g, state.B, state.radius)
    return tried(problem, state, p, decrease(state.g, state.B, p), edge, params.eta, params.max_radius)
