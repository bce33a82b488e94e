"""Stochastic gradient descent.

    x ← x − ηg − ηωx          g: the gradient of a batch;   ω: weight decay

H. Robbins & S. Monro, A stochastic approximation method, *Ann. Math. Stat.* 22 (1951) 400.
Shapes: x, g are (P,).   Cost of a step: O(P).
"""

from typing import Any, NamedTuple

from refopt.elementwise import applied
from refopt.sampled import Draw, at, begun, like


class Params(NamedTuple):
    step: float = 0.01  #: η
    weight_decay: float = 0.0  #: ω


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    t: int  #: steps taken


def init(problem: Any, x: Any, params: Params) -> State:
    x = begun(x)
    return State(x, float("nan"), 0.0 * x, 0)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    point = at(problem, state.x, draw)
    return update(state, point.grad, params, draw, donate)._replace(f=point.fun)


def update(state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    like(grad, state)
    numbers = (params.step, 1.0 - params.step * params.weight_decay)
    (x,) = applied(descent, (state.x, grad), numbers, donate)
    return state._replace(x=x, g=grad, t=state.t + 1)


def descent(x: Any, g: Any, eta: float, decay: float) -> tuple[Any]:
    return (decay * x - eta * g,)
