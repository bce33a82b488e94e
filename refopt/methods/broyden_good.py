"""Broyden's good method: J learns from each step what it must to have explained it, and no more.

    sₖ   = xₖ₊₁ − xₖ,   yₖ = rₖ₊₁ − rₖ
    Jₖ₊₁ = Jₖ + (yₖ − Jₖsₖ) sₖᵀ / sₖᵀsₖ

This is the nearest matrix to Jₖ in the Frobenius norm for which Jₖ₊₁sₖ = yₖ. The step sₖ is Powell's dogleg along the
model ‖Jₖp + rₖ‖, in a region that follows how well the model holds; the Jacobian is evaluated at the start, and again
where it does not (``refopt.broyden_type``).

C. G. Broyden, A class of methods for solving nonlinear simultaneous equations, *Math. Comp.* 19 (1965) 577;
J. E. Dennis & R. B. Schnabel, *Numerical Methods for Unconstrained Optimization and Nonlinear Equations*, §8.1;
J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §11.1.
Shapes: x, g, s are (n,); r, y are (m,); J (m, n).   Cost of a step: 2mn² flops, and mostly no Jacobian.

Deviations from the sources, with reasons:
- sᵀ stands for sᵀD², D the scale of the variables, so that their units do not matter: nearest in ‖(Jₖ₊₁ − Jₖ)D⁻¹‖.
- m ≥ n residuals are allowed, as J need not be square. J is factored anew at each step, O(mn) would do: what these
  methods save are Jacobians.
"""

from refopt.broyden_type import Params, State, attempted, init, landed, predicted, renewed, resume
from refopt.ops import Matrix, Vector, dot, outer, positive
from refopt.problem import LeastSquares

__all__ = ["Params", "State", "init", "predicted", "renewed", "resume", "step", "update"]


def step(problem: LeastSquares, state: State, params: Params) -> State:
    path, trial = attempted(problem, state, params)
    s, y, J = path.p, trial.r - state.r, state.J
    if dot(s, s) > 0.0:
        J = update(J, s, y, positive(state.d))
    return landed(problem, state, params, path, trial, J)


def update(J: Matrix, s: Vector, y: Vector, d: Vector) -> Matrix:
    """J₊ = J + (y − Js) wᵀ/wᵀs,  w = D²s, for s ≠ 0; d, the diagonal of D, is 1 in the book."""
    w = d * (d * s)
    return J + outer((y - J @ s) / dot(w, s), w)
