"""Broyden's symmetric rank-one method with a line search.

    pₖ   = −Hₖ gₖ
    xₖ₊₁ = xₖ + αₖ pₖ            αₖ satisfying the strong Wolfe conditions
    sₖ   = xₖ₊₁ − xₖ,   yₖ = gₖ₊₁ − gₖ,   rₖ = sₖ − Hₖyₖ
    Hₖ₊₁ = Hₖ + rₖ rₖᵀ / rₖᵀyₖ

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §6.2.
Shapes: x, g, p, s, y are (n,); H is (n, n), symmetric positive definite.   Cost of a step: O(n²).

Deviations from the book, with reasons:
- H₀ makes the first step a tenth as long as x₀ (see ``refopt.quasi_newton``).
- The update is skipped where its denominator is no larger than skip ‖r‖‖y‖, or where H₊ would not be positive definite,
  because −Hg must descend. With B = H⁻¹, H₊ ≻ 0 iff  rᵀy > 0  or  sᵀBs < sᵀy,  and Bs = −αg needs no inverse. The
  trust-region form ``sr1`` needs no such rule.
"""

from typing import NamedTuple

from refopt.linesearch import Point
from refopt.ops import Choice, Symmetric, Vector, dot, rank_one
from refopt.problem import Problem
from refopt.quasi_newton import State, arrived, init, predicted, primed, restart, resume, searched

__all__ = ["Params", "State", "init", "predicted", "primed", "restart", "resume", "step"]


class Params(NamedTuple):
    c1: float = 1e-4  #: sufficient decrease
    c2: float = 0.9  #: curvature
    skip: float = 1e-10  #: no update while its denominator is no larger than this part of its factors
    trials: int = 40  #: evaluations of f in one search
    search: Choice = 0  #: "strong-wolfe", "hager-zhang", "armijo" or "fixed"
    step: float = 1.0  #: the first α of a search, or the only one


def step(problem: Problem, state: State, params: Params) -> State:
    return advance(state, searched(problem, state, params), params)


def advance(state: State, point: Point, params: Params) -> State:
    """The rest of the step, once a search has found its point."""
    H, fresh = state.H, state.fresh
    s, y = point.x - state.x, point.g - state.g
    r = s - H @ y
    ry = dot(r, y)
    safe = ry * ry > params.skip * params.skip * dot(r, r) * dot(y, y)
    if safe and (ry > 0 or -point.alpha * dot(state.g, s) < dot(s, y)):
        H, fresh = rank_one(H, r, 1 / ry), False
    return arrived(state, point, H, -(H @ point.g), fresh)


def update(H: Symmetric, s: Vector, y: Vector) -> Symmetric:
    """H₊ = H + rrᵀ / rᵀy,  r = s − Hy.   Gives H away."""
    r = s - H @ y
    return rank_one(H, r, 1 / dot(r, y))
