"""Broyden's bad method: the inverse of J learns from each step what it must to have explained it, and no more.

    sₖ     = xₖ₊₁ − xₖ,   yₖ = rₖ₊₁ − rₖ
    Jₖ₊₁⁻¹ = Jₖ⁻¹ + (sₖ − Jₖ⁻¹yₖ) yₖᵀ / yₖᵀyₖ      for a square J; by the formula of Sherman and Morrison the same as
    Jₖ₊₁   = Jₖ + (yₖ − Jₖsₖ) wₖᵀ / wₖᵀsₖ,   wₖ = Jₖᵀyₖ      which needs no square J

This is the nearest matrix to Jₖ⁻¹ in the Frobenius norm that maps yₖ to sₖ. "Bad" is its name, not a verdict: it does
not depend on the units of the variables. The step sₖ is Powell's dogleg along the model ‖Jₖp + rₖ‖, in a region that
follows how well the model holds; the Jacobian is evaluated at the start, and again where it does not
(``refopt.broyden_type``).

C. G. Broyden, A class of methods for solving nonlinear simultaneous equations, *Math. Comp.* 19 (1965) 577;
J. E. Dennis & R. B. Schnabel, *Numerical Methods for Unconstrained Optimization and Nonlinear Equations*, §8.1, §8.4.
Shapes: x, g, s are (n,); r, y are (m,); J (m, n).   Cost of a step: 2mn² flops, and mostly no Jacobian.

Deviations from the sources, with reasons:
- J is carried, not its inverse, so that m ≥ n residuals are allowed and the model tells what a step promises. It is
  factored anew at each step: what these methods save are Jacobians.
- The update is skipped while |wᵀs| is negligible beside ‖w‖‖s‖: the next J would have no bounds.
"""

from refopt.broyden_type import Params, State, attempted, init, landed, predicted, renewed, resume
from refopt.ops import Matrix, Vector, dot, outer, rmatvec
from refopt.problem import LeastSquares

__all__ = ["Params", "State", "init", "predicted", "renewed", "resume", "step", "update"]


def step(problem: LeastSquares, state: State, params: Params) -> State:
    path, trial = attempted(problem, state, params)
    s, y, J = path.p, trial.r - state.r, state.J
    w = rmatvec(J, y)
    ws = dot(w, s)
    if ws * ws > params.skip * params.skip * dot(w, w) * dot(s, s):
        J = update(J, s, y)
    return landed(problem, state, params, path, trial, J)


def update(J: Matrix, s: Vector, y: Vector) -> Matrix:
    """J₊ = J + (y − Js) wᵀ/wᵀs,  w = Jᵀy, where wᵀs ≠ 0; for a square J, J₊⁻¹ = J⁻¹ + (s − J⁻¹y) yᵀ/yᵀy."""
    w = rmatvec(J, y)
    return J + outer((y - J @ s) / dot(w, s), w)
