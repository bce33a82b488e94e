"""What the quasi-Newton methods share that carry a matrix H ≈ ∇²f(x)⁻¹ and search along p = −Hg.

Each has its own ``advance(state, point, params)``, in which H learns from  s = x₊ − x,  y = g₊ − g.

- H₀ = (‖x₀‖/‖g₀‖) I (numerator 1 at the origin), so that the units of f and x do not matter, and the first trial goes
  a tenth of that way, because a first step that is too long ends on plateaus.
- c₂ = 0.7, where the book suggests 0.9: the longer search costs BFGS fewer evaluations in all.
- After three searches in a row without a point that satisfies their conditions a method asks for thought.
"""

from typing import Any, NamedTuple

from refopt.linesearch import FIXED, Point, search
from refopt.ops import Choice, Symmetric, Vector, dot, identity, norm
from refopt.problem import Problem


class Params(NamedTuple):
    c1: float = 1e-4  #: sufficient decrease
    c2: float = 0.7  #: curvature
    skip: float = 1e-10  #: no update while its denominator is no larger than this part of its factors
    trials: int = 40  #: evaluations of f in one search
    search: Choice = 0  #: "strong-wolfe", "hager-zhang", "armijo" or "fixed"
    step: float = 1.0  #: the first α of a search, or the only one


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    H: Symmetric
    p: Vector  #: the next direction, −Hg
    alpha: float
    fresh: bool  #: H has learnt nothing yet
    weak: int  #: searches in a row that did not meet their conditions
    taken: bool  #: the last search lowered f
    ok: bool  #: and it makes sense to go on
    nfev: int
    njev: int


def init(problem: Problem, x: Vector, params: Any) -> State:
    f, g = problem.fun(x), problem.grad(x)
    H = first_guess(x, g) * identity(x)
    return State(x, f, g, H, -(H @ g), 0.0, True, 0, True, True, 1, 1)


def first_guess(x: Vector, g: Vector) -> float:
    """The γ for which −γg has the length of x, or unit length at the origin."""
    length = norm(g)
    return (norm(x) or 1.0) / length if length > 0.0 else 1.0


def searched(problem: Problem, state: State, params: Any) -> Point:
    """The point that the search finds along p."""
    first = 0.1 * params.step if state.fresh and params.search != FIXED else params.step
    x, f, g, p = state.x, state.f, state.g, state.p
    return search(problem, x, f, g, p, params.search, params.c1, params.c2, params.trials, first)


def curved(s: Vector, y: Vector, skip: float) -> bool:
    """Whether yᵀs is safely positive, yᵀs > skip ‖s‖‖y‖: then an update keeps H positive definite.

    Where yᵀy is so small a number that it is 0, nothing is learnt.
    """
    ys, yy = dot(y, s), dot(y, y)
    return ys > 0 and yy > 0 and ys * ys > skip * skip * dot(s, s) * yy


def arrived(state: State, point: Point, H: Symmetric, p: Vector, fresh: bool) -> State:
    """The state at the point of the search, with what has been learnt there."""
    weak = 0 if point.wolfe else state.weak + 1
    ok = point.lower and weak < 3
    nfev, njev = state.nfev + point.nfev, state.njev + point.njev
    return State(point.x, point.f, point.g, H, p, point.alpha, fresh, weak, point.lower, ok, nfev, njev)


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


def primed(state: State, hess_inv0: Symmetric) -> State:
    """The first state with another H₀, which counts as learnt."""
    return state._replace(H=hess_inv0, p=-(hess_inv0 @ state.g), fresh=False)
