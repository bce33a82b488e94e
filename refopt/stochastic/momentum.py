"""Gradient descent with momentum: the heavy ball, or Nesterov's.

    m ← μm + (1 − δ)g                              m₁ = g₁, whatever δ is
    x ← x − ηm − ηωx,    Nesterov: x ← x − η(g + μm) − ηωx

B. T. Polyak, *USSR Comput. Math. Math. Phys.* 4 (1964) 1;  I. Sutskever, J. Martens, G. Dahl & G. Hinton, *ICML* 2013.
Shapes: x, g, m are (P,).   Cost of a step: O(P).

The form is that of deep-learning frameworks: m is a sum of gradients and η stands outside of it, so that a schedule of
η acts on all of m at once. For a constant gradient m tends to (1 − δ)g/(1 − μ).
"""

from typing import Any, NamedTuple

from refopt.elementwise import applied
from refopt.sampled import Draw, at, begun, like


class Params(NamedTuple):
    step: float = 0.01  #: η
    momentum: float = 0.9  #: μ
    dampening: float = 0.0  #: δ
    nesterov: bool = False  #: look ahead
    weight_decay: float = 0.0  #: ω


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    m: Any  #: the sum of the gradients
    t: int  #: steps taken


def init(problem: Any, x: Any, params: Params) -> State:
    x = begun(x)
    return State(x, float("nan"), 0.0 * x, 0.0 * x, 0)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    point = at(problem, state.x, draw)
    return update(state, point.grad, params, draw, donate)._replace(f=point.fun)


def update(state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    like(grad, state)
    new = 1.0 - params.dampening if state.t else 1.0
    now, ahead = (1.0, params.momentum) if params.nesterov else (0.0, 1.0)
    numbers = (params.momentum, new, params.step, now, ahead, 1.0 - params.step * params.weight_decay)
    x, m = applied(heavy_ball, (state.x, state.m, grad), numbers, donate)
    return state._replace(x=x, g=grad, m=m, t=state.t + 1)


def heavy_ball(
    x: Any, m: Any, g: Any, mu: float, new: float, eta: float, now: float, ahead: float, decay: float
) -> tuple[Any, Any]:
    m = mu * m + new * g
    return decay * x - eta * (now * g + ahead * m), m
