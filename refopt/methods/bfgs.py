"""BFGS: a quasi-Newton method that carries an approximation H of the inverse Hessian.

    pₖ   = −Hₖ gₖ
    xₖ₊₁ = xₖ + αₖ pₖ            αₖ satisfying the strong Wolfe conditions
    sₖ   = xₖ₊₁ − xₖ,   yₖ = gₖ₊₁ − gₖ,   ρₖ = 1 / yₖᵀsₖ
    Hₖ₊₁ = (I − ρₖ sₖ yₖᵀ) Hₖ (I − ρₖ yₖ sₖᵀ) + ρₖ sₖ sₖᵀ

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §6.1.
Shapes: x, g, p, s, y are (n,); H is (n, n), symmetric positive definite.   Cost of a step: O(n²).

Deviations from the book, with reasons:
- H₀ makes the first step a tenth as long as x₀ (see ``refopt.quasi_newton``). H is not reset to (sᵀy/yᵀy) I before the
  first update, as §6.1 advises: on the 41 problems of Moré, Garbow & Hillstrom that takes as many evaluations in the
  median and a twentieth fewer in all, which is not worth a rule.
- The update is skipped where yᵀs is not safely positive (skip ‖s‖‖y‖), because only yᵀs > 0 keeps H positive definite.
- The product is expanded to a rank-two change of H, which costs O(n²), and H meets one vector per step: Hₖgₖ₊₁ gives
  Hₖyₖ = Hₖgₖ₊₁ + pₖ, and both give pₖ₊₁ = −Hₖ₊₁gₖ₊₁.
- H starts anew after every max(300, 20n) gradients: down a canyon as narrow as that of Osborne's first function, from
  ten times its start, H becomes rounding, and f hardly falls in 60000 steps.
"""

from refopt.linesearch import Point
from refopt.ops import Symmetric, Vector, dimension, dot, rank_two
from refopt.problem import Problem
from refopt.quasi_newton import (
    Params,
    State,
    arrived,
    curved,
    first_guess,
    init,
    predicted,
    primed,
    restart,
    resume,
    searched,
)

__all__ = ["Params", "State", "first_guess", "init", "predicted", "primed", "restart", "resume", "step"]

RENEWED = 300  #: gradients, or 20n, after which H starts anew


def step(problem: Problem, state: State, params: Params) -> State:
    return advance(state, searched(problem, state, params), params)


def advance(state: State, point: Point, params: Params) -> State:
    """The rest of the step, once a search has found its point.   One product with H: Hy = Hg₊ − Hg = Hg₊ + p."""
    H, g, fresh = state.H, point.g, state.fresh
    s, y = point.x - state.x, g - state.g
    p = -(H @ g)
    if curved(s, y, params.skip):
        H, p = updated(H, s, y, state.p - p, g, p)
        fresh = False
    new, age = arrived(state, point, H, p, fresh), max(RENEWED, 20 * dimension(p))
    if new.ok and new.njev // age > state.njev // age:
        return restart(new)
    return new


def update(H: Symmetric, s: Vector, y: Vector) -> Symmetric:
    """H₊ = (I − ρsyᵀ) H (I − ρysᵀ) + ρssᵀ.   Gives H away."""
    return updated(H, s, y, H @ y, y, -(H @ y))[0]


def updated(H: Symmetric, s: Vector, y: Vector, Hy: Vector, g: Vector, p: Vector) -> tuple[Symmetric, Vector]:
    """H₊ = H + a ssᵀ − b (s(Hy)ᵀ + Hy sᵀ) with a = (1 + yᵀHy/yᵀs)/yᵀs, b = 1/yᵀs; and −H₊g from p = −Hg."""
    ys = dot(y, s)
    a, b = (1 + dot(y, Hy) / ys) / ys, 1 / ys
    along = dot(s, g)
    p = p - (a * along - b * dot(Hy, g)) * s + b * along * Hy
    return rank_two(H, s, Hy, a, b), p
