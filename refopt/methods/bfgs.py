"""BFGS: a quasi-Newton method that carries an approximation H of the inverse Hessian.

    pₖ   = −Hₖ gₖ
    xₖ₊₁ = xₖ + αₖ pₖ            αₖ satisfying the strong Wolfe conditions
    sₖ   = xₖ₊₁ − xₖ,   yₖ = gₖ₊₁ − gₖ,   ρₖ = 1 / yₖᵀsₖ
    Hₖ₊₁ = (I − ρₖ sₖ yₖᵀ) Hₖ (I − ρₖ yₖ sₖᵀ) + ρₖ sₖ sₖᵀ

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §6.1.
Shapes: x, g, p, s, y are (n,); H is (n, n), symmetric positive definite.   Cost of a step: O(n²).

Deviations from the book, with reasons:
- H₀ = (‖x₀‖/‖g₀‖) I (numerator 1 at the origin), so that the units of f and x do not matter, and the first trial goes
  a tenth of that way, because a first step that is too long ends on plateaus. H is not reset to (sᵀy/yᵀy) I before the
  first update, as §6.1 advises: on 22 problems of Moré, Garbow & Hillstrom that cost half as many evaluations again,
  because BFGS is slow to enlarge what starts too small.
- The update is skipped where yᵀs is not safely positive (skip ‖s‖‖y‖), because only yᵀs > 0 keeps H positive definite.
- The product is expanded to a rank-two change of H, which costs O(n²), and H meets one vector per step: Hₖgₖ₊₁ gives
  Hₖyₖ = Hₖgₖ₊₁ + pₖ, and both give pₖ₊₁ = −Hₖ₊₁gₖ₊₁.
"""

from typing import NamedTuple

from refopt.linesearch import Point, strong_wolfe
from refopt.ops import Symmetric, Vector, dot, identity, norm, rank_two
from refopt.problem import Problem


class Params(NamedTuple):
    c1: float = 1e-4  #: sufficient decrease
    c2: float = 0.9  #: curvature
    skip: float = 1e-10  #: no update while yᵀs ≤ skip ‖s‖‖y‖
    trials: int = 40  #: evaluations of f in one search


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    H: Symmetric
    p: Vector  #: the next direction, −Hg
    alpha: float
    fresh: bool  #: H has learnt nothing yet
    weak: int  #: searches in a row that found no Wolfe point
    taken: bool  #: the last search lowered f
    ok: bool  #: and it makes sense to go on
    nfev: int
    njev: int


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g = problem.fun(x), problem.grad(x)
    H = first_guess(x, g) * identity(x)
    return State(x, f, g, H, -(H @ g), 0.0, True, 0, True, True, 1, 1)


def first_guess(x: Vector, g: Vector) -> float:
    """The γ for which −γg has the length of x, or unit length at the origin."""
    length = norm(g)
    return (norm(x) or 1.0) / length if length > 0.0 else 1.0


def step(problem: Problem, state: State, params: Params) -> State:
    x, f, g, p = state.x, state.f, state.g, state.p
    first = 0.1 if state.fresh else 1.0
    point = strong_wolfe(problem, x, f, g, p, params.c1, params.c2, params.trials, first)
    return advance(state, point, params)


def advance(state: State, point: Point, params: Params) -> State:
    """The rest of the step, once a search has found its point.   One product with H: Hy = Hg₊ − Hg = Hg₊ + p."""
    H, g, fresh = state.H, point.g, state.fresh
    s, y = point.x - state.x, g - state.g
    p = -(H @ g)
    ys = dot(y, s)
    if ys > 0 and ys * ys > params.skip * params.skip * dot(s, s) * dot(y, y):
        H, p = updated(H, s, y, state.p - p, g, p)
        fresh = False
    weak = 0 if point.wolfe else state.weak + 1
    ok = point.lower and weak < 3
    nfev, njev = state.nfev + point.nfev, state.njev + point.njev
    return State(point.x, point.f, g, H, p, point.alpha, fresh, weak, point.lower, ok, nfev, njev)


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


def predicted(state: State) -> float:
    """What the model promises of an unrestricted step, ½ gᵀHg; nothing while H has learnt nothing."""
    return 0.0 if state.fresh else -0.5 * dot(state.g, state.p)


def resume(state: State) -> State:
    """Ready for another search in the same direction."""
    return state._replace(weak=0, ok=True)


def restart(state: State) -> State:
    """The history forgotten: H is a multiple of the identity again, the next step no longer than the last direction."""
    length = norm(state.g)
    H = (norm(state.p) / length if length > 0.0 else 1.0) * identity(state.x)
    return state._replace(H=H, p=-(H @ state.g), fresh=True, weak=0, ok=True)
