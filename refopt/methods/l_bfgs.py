"""L-BFGS: BFGS that keeps the last m pairs (sᵢ, yᵢ) instead of a matrix.

    pₖ   = −Hₖ gₖ                 Hₖ: what BFGS makes of γₖI with these pairs, oldest first; never formed
    xₖ₊₁ = xₖ + αₖ pₖ             αₖ satisfying the strong Wolfe conditions
    sₖ   = xₖ₊₁ − xₖ,   yₖ = gₖ₊₁ − gₖ,   γₖ₊₁ = sₖᵀyₖ / yₖᵀyₖ

``refopt.ops.two_loop`` multiplies by Hₖ in two loops over the pairs.

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §7.2.
Shapes: x, g, p, s, y are (n,); S, Y are (m, n), the pairs in turn, the newest over the oldest.
Cost of a step: 10mn flops, 2mn numbers.

Deviations from the book, with reasons:
- γ₀ is the length of x₀ over that of g₀ (1 at the origin), and the first trial goes a tenth of that way: a first
  step that is too long ends on plateaus.
- A pair is left out where yᵀs is not safely positive (skip ‖s‖‖y‖), because only yᵀs > 0 keeps H positive definite.
"""

from typing import NamedTuple

from refopt.linesearch import FIXED, Point, search
from refopt.ops import Choice, Matrix, Vector, blank_rows, dot, latest, norm, two_loop, with_row
from refopt.problem import Problem
from refopt.quasi_newton import curved, first_guess


class Params(NamedTuple):
    memory: int = 10  #: m, the number of pairs kept
    scaling: bool = True  #: γ follows the newest pair; else it stays as it was at the start
    gamma: float = 0.0  #: γ₀, if it is known
    c1: float = 1e-4  #: sufficient decrease
    c2: float = 0.9  #: curvature
    skip: float = 1e-10  #: a pair is left out while yᵀs ≤ skip ‖s‖‖y‖
    trials: int = 40  #: evaluations of f in one search
    search: Choice = 0  #: "strong-wolfe", "hager-zhang", "armijo" or "fixed"
    step: float = 1.0  #: the first α of a search, or the only one


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    S: Matrix
    Y: Matrix
    p: Vector  #: the next direction, −Hg
    gamma: float
    pairs: int  #: that were learnt, of which the last m are kept
    alpha: float
    weak: int  #: searches in a row that did not meet their conditions
    taken: bool  #: the last search lowered f
    ok: bool  #: and it makes sense to go on
    nfev: int
    njev: int

    @property
    def fresh(self) -> bool:
        return self.pairs == 0

    @property
    def history(self) -> tuple[Matrix, Matrix]:
        """The pairs (S, Y), each (k, n) with k ≤ m, oldest first."""
        return latest(self.S, self.pairs), latest(self.Y, self.pairs)


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g = problem.fun(x), problem.grad(x)
    gamma, m = params.gamma if params.gamma > 0.0 else first_guess(x, g), max(1, params.memory)
    return State(x, f, g, blank_rows(m, x), blank_rows(m, x), -gamma * g, gamma, 0, 0.0, 0, True, True, 1, 1)


def step(problem: Problem, state: State, params: Params) -> State:
    x, f, g, p = state.x, state.f, state.g, state.p
    first = 0.1 * params.step if state.pairs == 0 and params.search != FIXED else params.step
    point = search(problem, x, f, g, p, params.search, params.c1, params.c2, params.trials, first)
    return advance(state, point, params)


def advance(state: State, point: Point, params: Params) -> State:
    """The rest of the step, once a search has found its point."""
    S, Y, gamma, count, g = state.S, state.Y, state.gamma, state.pairs, point.g
    s, y = point.x - state.x, g - state.g
    if curved(s, y, params.skip):
        S, Y, count = with_row(S, count, s), with_row(Y, count, y), count + 1
        if params.scaling:
            gamma = dot(s, y) / dot(y, y)
    p = -two_loop(S, Y, count, gamma, g)
    weak = 0 if point.wolfe else state.weak + 1
    ok = point.lower and weak < 3
    nfev, njev = state.nfev + point.nfev, state.njev + point.njev
    return State(point.x, point.f, g, S, Y, p, gamma, count, point.alpha, weak, point.lower, ok, nfev, njev)


def predicted(state: State) -> float:
    """What the model promises of an unrestricted step, ½ gᵀHg; nothing while no pair is known."""
    return 0.0 if state.pairs == 0 else -0.5 * dot(state.g, state.p)


def resume(state: State) -> State:
    """Ready for another search in the same direction."""
    return state._replace(weak=0, ok=True)


def restart(state: State) -> State:
    """The pairs forgotten, the next step no longer than the last direction."""
    length = norm(state.g)
    gamma = norm(state.p) / length if length > 0.0 else 1.0
    return state._replace(p=-gamma * state.g, gamma=gamma, pairs=0, weak=0, ok=True)


def primed(state: State, history: tuple[Matrix, Matrix]) -> State:
    """The first state with the pairs (S, Y) of another run, each (k, n), oldest first; the last m of them are kept."""
    S, Y, gamma, count = state.S, state.Y, state.gamma, 0
    for s, y in zip(*history, strict=True):
        if curved(s, y, 0.0):
            S, Y, gamma, count = with_row(S, count, s), with_row(Y, count, y), dot(s, y) / dot(y, y), count + 1
    return state._replace(S=S, Y=Y, gamma=gamma, pairs=count, p=-two_loop(S, Y, count, gamma, state.g))
