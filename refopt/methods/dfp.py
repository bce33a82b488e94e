"""DFP, the first quasi-Newton method: the update of BFGS with H and B, s and y exchanged.

    pₖ   = −Hₖ gₖ
    xₖ₊₁ = xₖ + αₖ pₖ            αₖ satisfying the strong Wolfe conditions
    sₖ   = xₖ₊₁ − xₖ,   yₖ = gₖ₊₁ − gₖ
    Hₖ₊₁ = Hₖ − Hₖyₖ yₖᵀHₖ / yₖᵀHₖyₖ + sₖsₖᵀ / yₖᵀsₖ

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §6.1.
Shapes: x, g, p, s, y are (n,); H is (n, n), symmetric positive definite.   Cost of a step: O(n²).

Deviations from the book, with reasons:
- H₀ makes the first step a tenth as long as x₀ (see ``refopt.quasi_newton``).
- The update is skipped where yᵀs is not safely positive (skip ‖s‖‖y‖), because only yᵀs > 0 keeps H positive definite.
- c₂ = 0.1, a tighter search than that of BFGS: DFP corrects a wrong H slowly. With 0.9 it has not
  ended after 2000 steps on 19 of the 41 problems of Moré, Garbow & Hillstrom, with 0.1 on one.
"""

from typing import NamedTuple

from refopt.linesearch import Point
from refopt.ops import Choice, Symmetric, Vector, dot, rank_one
from refopt.problem import Problem
from refopt.quasi_newton import State, arrived, curved, init, predicted, primed, restart, resume, searched

__all__ = ["Params", "State", "init", "predicted", "primed", "restart", "resume", "step"]


class Params(NamedTuple):
    c1: float = 1e-4  #: sufficient decrease
    c2: float = 0.1  #: curvature
    skip: float = 1e-10  #: no update while yᵀs ≤ skip ‖s‖‖y‖
    trials: int = 40  #: evaluations of f in one search
    search: Choice = 0  #: "strong-wolfe", "hager-zhang", "armijo" or "fixed"
    step: float = 1.0  #: the first α of a search, or the only one


def step(problem: Problem, state: State, params: Params) -> State:
    return advance(state, searched(problem, state, params), params)


def advance(state: State, point: Point, params: Params) -> State:
    """The rest of the step, once a search has found its point."""
    H, fresh = state.H, state.fresh
    s, y = point.x - state.x, point.g - state.g
    if curved(s, y, params.skip):
        H, fresh = update(H, s, y), False
    return arrived(state, point, H, -(H @ point.g), fresh)


def update(H: Symmetric, s: Vector, y: Vector) -> Symmetric:
    """H₊ = H − Hy yᵀH / yᵀHy + ssᵀ / yᵀs.   Gives H away."""
    Hy = H @ y
    return rank_one(rank_one(H, Hy, -1 / dot(y, Hy)), s, 1 / dot(y, s))
