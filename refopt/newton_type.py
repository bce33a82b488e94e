"""What the Newton-type methods share that carry the Hessian and search along a direction p made from it.

Each has its own ``direction``; the next state is where a search along it ends. After three searches in a row without a
point that satisfies their conditions a method asks for thought.
"""

from math import inf
from typing import Any, NamedTuple

from refopt.departure import depart, little, reach
from refopt.linesearch import Point, search
from refopt.ops import Choice, Symmetric, Vector, dot, finite, frobenius, lowest
from refopt.problem import Problem
from refopt.subproblem import promise


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    B: Symmetric  #: the Hessian
    first: float  #: f(x₀)
    weak: int  #: searches in a row that did not meet their conditions
    taken: bool  #: the last search ended elsewhere than it began
    ok: bool  #: and it makes sense to go on
    nfev: int
    njev: int
    nhev: int


def init(problem: Problem, x: Vector, params: Any) -> State:
    f = problem.fun(x)
    return State(x, f, problem.grad(x), problem.hess(x), f, 0, True, True, 1, 1, 1)


def along(
    problem: Problem, state: State, p: Vector, kind: Choice, c1: float, c2: float, trials: int, first: float
) -> State:
    """The state where the search of this kind along p ends; the old one where it finds nothing finite."""
    return at(problem, state, search(problem, state.x, state.f, state.g, p, kind, c1, c2, trials, first))


def downhill(
    problem: Problem, state: State, p: Vector, kind: Choice, c1: float, c2: float, trials: int, first: float
) -> State:
    """The same, but beside a saddle, where hardly anything is to be gained along p, along negative curvature.

    Where that promises less than p, as far as f and g can tell, it is along p again.
    """
    x, f, g, B, slope = state.x, state.f, state.g, state.B, dot(state.g, p)
    if -slope <= little(problem, x, f, state.first) and promise(g, B) == inf:
        lam, v = lowest(B)
        length = reach(problem, x, f, state.first, lam)
        way = (-length if dot(g, v) > 0.0 else length) * v
        point = depart(problem, x, f, g, way, length * lam * length, trials, -0.5 * slope)
        if point.lower:
            return at(problem, state, point)
    return along(problem, state, p, kind, c1, c2, trials, first)


def at(problem: Problem, state: State, point: Point) -> State:
    """The state at the point that a search has found."""
    nfev, njev, nhev = state.nfev + point.nfev, state.njev + point.njev, state.nhev
    if point.lower:
        B, nhev = problem.hess(point.x), nhev + 1
        if finite(frobenius(B)):
            weak = 0 if point.wolfe else state.weak + 1
            return State(point.x, point.f, point.g, B, state.first, weak, True, weak < 3, nfev, njev, nhev)
    return state._replace(taken=False, ok=False, nfev=nfev, njev=njev, nhev=nhev)


def predicted(state: State) -> float:
    """What the Newton step would gain, ½ gᵀB⁻¹g; infinite where B has a negative eigenvalue."""
    return promise(state.g, state.B)


def resume(state: State) -> State:
    """Ready for another search."""
    return state._replace(weak=0, ok=True)
