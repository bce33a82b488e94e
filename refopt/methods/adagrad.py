"""AdaGrad as a deterministic method: each variable's step shrinks with the gradients that it has seen.

    vₖ   = vₖ₋₁ + gₖ²
    xₖ₊₁ = xₖ − η gₖ / (vₖᵖ + ε)              p = ½; squares, powers and quotients component by component

J. Duchi, E. Hazan & Y. Singer, *J. Mach. Learn. Res.* 12 (2011) 2121, the diagonal form.
Shapes: x, g, v are (n,).   Cost of a step: O(n).

There is no search: nothing guarantees that f falls. A step to where f is not finite is shortened.
"""

from typing import NamedTuple

from refopt.linesearch import fixed
from refopt.ops import Vector, dot, positive, power
from refopt.problem import Problem


class Params(NamedTuple):
    step: float = 0.01  #: η
    eps: float = 1e-10  #: ε
    exponent: float = 0.5  #: p
    trials: int = 40  #: shortenings of a step to where f is not finite


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    v: Vector  #: the sum of all g²
    p: Vector  #: the next step
    taken: bool
    ok: bool
    nfev: int
    njev: int


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g = problem.fun(x), problem.grad(x)
    v = g * g
    return State(x, f, g, v, direction(g, v, params), True, True, 1, 1)


def step(problem: Problem, state: State, params: Params) -> State:
    point = fixed(problem, state.x, state.f, state.g, state.p, params.trials, 1.0)
    g, nfev, njev = point.g, state.nfev + point.nfev, state.njev + point.njev
    v = state.v + g * g
    return State(point.x, point.f, g, v, direction(g, v, params), point.lower, point.lower, nfev, njev)


def direction(g: Vector, v: Vector, params: Params) -> Vector:
    """−η g / (vᵖ + ε), 0 where that is 0/0."""
    return -params.step * g / positive(power(v, params.exponent, params.eps))


def predicted(state: State) -> float:
    """What the next step changes to first order, |gᵀp|."""
    return abs(dot(state.g, state.p))


def resume(state: State) -> State:
    """Ready for another step."""
    return state._replace(ok=True)
