"""Gradient descent, the method that all others are measured against.

    xₖ₊₁ = xₖ − αₖ gₖ

With a fixed α it converges on a quadratic iff α < 2/λ_max, best with α = 2/(λ_min + λ_max), where the error shrinks by
(κ − 1)/(κ + 1) in each step, κ = λ_max/λ_min; from the worst starts an exact search does no better.

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §3.1 (searches) and §3.3 (the rate).
Shapes: x, g are (n,).   Cost of a step: O(n).

The first trial of a search is the last α, twice that where the search cannot lengthen ("armijo").
"""

from typing import NamedTuple

from refopt.linesearch import ARMIJO, FIXED, search
from refopt.ops import Choice, Vector, dot
from refopt.problem import Problem
from refopt.quasi_newton import first_guess


class Params(NamedTuple):
    step: float = 0.0  #: the first α, or the only one; 0 stands for a tenth of ‖x₀‖/‖g₀‖, or of 1/‖g₀‖ at the origin
    search: Choice = 0  #: "strong-wolfe", "hager-zhang", "armijo" or "fixed"
    c1: float = 1e-4  #: sufficient decrease
    c2: float = 0.1  #: curvature
    trials: int = 40  #: evaluations of f in one search


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    alpha: float
    first: float  #: the next α to try
    weak: int  #: searches in a row that did not meet their conditions
    taken: bool  #: the last search lowered f
    ok: bool  #: and it makes sense to go on
    nfev: int
    njev: int


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g = problem.fun(x), problem.grad(x)
    first = params.step if params.step > 0.0 else 0.1 * first_guess(x, g)
    return State(x, f, g, 0.0, first, 0, True, True, 1, 1)


def step(problem: Problem, state: State, params: Params) -> State:
    x, f, g, first = state.x, state.f, state.g, state.first
    point = search(problem, x, f, g, -g, params.search, params.c1, params.c2, params.trials, first)
    if params.search != FIXED and point.lower:
        first = 2.0 * point.alpha if params.search == ARMIJO else point.alpha
    weak = 0 if point.wolfe else state.weak + 1
    ok = point.lower and weak < 3
    nfev, njev = state.nfev + point.nfev, state.njev + point.njev
    return State(point.x, point.f, point.g, point.alpha, first, weak, point.lower, ok, nfev, njev)


def predicted(state: State) -> float:
    """½ α ‖g‖², what the next step would gain if the curvature along it were 1/α."""
    return 0.5 * state.first * dot(state.g, state.g)


def resume(state: State) -> State:
    """Ready for another search."""
    return state._replace(weak=0, ok=True)
