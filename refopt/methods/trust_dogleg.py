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
- The radius starts at the length of x₀ (1 at the origin). Rounding and trials that are not finite: ``refopt.region``.
"""

from typing import NamedTuple

from refopt.ops import Symmetric, Vector, finite, frobenius, norm
from refopt.problem import Problem
from refopt.region import Trial, attempt, first_radius, refused
from refopt.subproblem import decrease, dogleg, promise


class Params(NamedTuple):
    radius: float = 0.0  #: the first Δ; 0 stands for ‖x₀‖, or 1 at the origin
    max_radius: float = 1e100  #: no region is larger than this
    eta: float = 0.1  #: a step is taken if ρ > η


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    B: Symmetric
    radius: float
    rejected: int  #: steps refused in a row
    taken: bool
    ok: bool  #: the region can still shrink, and refusals are not due to noise
    nfev: int
    njev: int
    nhev: int


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g, B = problem.fun(x), problem.grad(x), problem.hess(x)
    return State(x, f, g, B, first_radius(x, params.radius), 0, True, True, 1, 1, 1)


def step(problem: Problem, state: State, params: Params) -> State:
    x, f, g, B, radius, rejected = state.x, state.f, state.g, state.B, state.radius, state.rejected
    p, edge = dogleg(g, B, radius)
    promised = decrease(g, B, p)
    trial = attempt(problem, x, f, g, p, promised, edge, radius, rejected, params.eta, params.max_radius)
    nhev = state.nhev
    if trial.taken:
        B, nhev = problem.hess(trial.x), nhev + 1
        if not finite(frobenius(B)):
            old = Trial(x, f, g, radius, rejected, False, True, trial.nfev, trial.njev)
            trial, B = refused(old, norm(p), False, False), state.B
    nfev, njev = state.nfev + trial.nfev, state.njev + trial.njev
    return State(
        trial.x, trial.f, trial.g, B, trial.radius, trial.rejected, trial.taken, trial.ok, nfev, njev, nhev
    )  # fmt: skip


def predicted(state: State) -> float:
    """What the unrestricted Newton step would gain, ½ gᵀB⁻¹g; infinite where B has a negative eigenvalue."""
    return promise(state.g, state.B)


def resume(state: State) -> State:
    """Ready to try again, with the region as large as at the start."""
    return state._replace(radius=first_radius(state.x, 0.0), rejected=0, ok=True)
