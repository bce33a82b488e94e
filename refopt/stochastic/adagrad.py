"""AdaGrad: each parameter's step shrinks with the gradients that it has seen.

    v ← v + g²                          v₀ = the option `initial`
    x ← x − ηg/(√v + ε) − ηωx           component by component

J. Duchi, E. Hazan & Y. Singer, *J. Mach. Learn. Res.* 12 (2011) 2121, the diagonal form.
Shapes: x, g, v are (P,).   Cost of a step: O(P).
"""

from typing import Any, NamedTuple

from refopt.elementwise import applied
from refopt.moments import of_sum, safe
from refopt.sampled import Draw, at, begun, like


class Params(NamedTuple):
    step: float = 0.01  #: η
    eps: float = 1e-10  #: ε
    exponent: float = 0.5  #: of v
    initial: float = 0.0  #: v₀
    weight_decay: float = 0.0  #: ω


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    v: Any  #: the sum of the squares
    t: int  #: steps taken


def init(problem: Any, x: Any, params: Params) -> State:
    x = begun(x)
    return State(x, float("nan"), 0.0 * x, 0.0 * x + params.initial, 0)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    point = at(problem, state.x, draw)
    return update(state, point.grad, params, draw, donate)._replace(f=point.fun)


def update(state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    like(grad, state)
    decay = 1.0 - params.step * params.weight_decay
    numbers = (1.0, 1.0, params.step, safe(params.eps, grad), params.exponent, decay)
    x, v = applied(of_sum, (state.x, state.v, grad), numbers, donate)
    return state._replace(x=x, g=grad, v=v, t=state.t + 1)
