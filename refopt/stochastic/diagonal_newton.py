"""Diagonal Newton: each parameter takes a Newton step of its own, with an estimate of the Hessian's diagonal.

    D  = (1/K) Σ z ∘ Hz                   z ∈ {−1, 1}ᴾ, K of them;   H: the Hessian of the batch
    h  ← βh + (1 − β)D,   ĥ = h/(1 − βᵗ)
    d  = max(|ĥ|, ε),  no more than c
    x  ← x + ηp − ηωx,    p = −g/d,  no longer than u in any parameter

S. Becker & Y. LeCun, Improving the convergence of back-propagation learning with second-order methods, *Proc. 1988
Connectionist Models Summer School*;  for the estimate C. Bekas, E. Kokiopoulou & Y. Saad, *Appl. Numer. Math.* 57
(2007) 1214.
Shapes: x, g, h, z are (P,).   Cost of a step: K products with the Hessian, and O(P).

H times a vector of ones is the sum of each row of H, and not its diagonal: it is one probe among 2ᴾ. The absolute value
is taken of the mean, so that noise does not pass for curvature. ε and c are in the units of H, u in those of x.
"""

from typing import Any, NamedTuple

from refopt.ops import namespace
from refopt.sampled import Draw, Needs, at, begun, like, products, required


class Params(NamedTuple):
    step: float = 0.01  #: η
    beta: float = 0.9  #: β, 0 for each batch on its own
    floor: float = 0.5  #: ε
    clip: float = 3.0  #: c, the largest curvature that is believed
    clip_update: float = 0.5  #: u, before η is applied
    probes: int = 1  #: K
    weight_decay: float = 0.0  #: ω


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    h: Any  #: the mean of D
    t: int  #: steps taken


def needs(params: Params) -> Needs:
    return Needs(probes=params.probes)


def init(problem: Any, x: Any, params: Params) -> State:
    x = begun(x)
    return State(x, float("nan"), 0.0 * x, 0.0 * x, 0)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    probes = required(None if draw is None else draw.probes, "draw.probes, random signs (K, P)", "diagonal-newton")
    point = at(problem, state.x, draw)
    new = update(state, point.grad, params, draw, donate, products(point, probes))
    return new._replace(f=point.fun)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, products: Any = None
) -> State:
    """products: Hz (K, P) for the probes z of the draw."""
    like(grad, state)
    probes = required(None if draw is None else draw.probes, "draw.probes, random signs (K, P)", "diagonal-newton")
    products = required(products, "Hz of the probes, products=", "diagonal-newton")
    t, D = state.t + 1, namespace(probes).mean(probes * products, axis=0)
    h = params.beta * state.h + (1.0 - params.beta) * D
    p = direction(h / (1.0 - params.beta**t), grad, params.floor, params.clip, params.clip_update)
    x = (1.0 - params.step * params.weight_decay) * state.x + params.step * p
    return state._replace(x=x, g=grad, h=h, t=t)


def direction(h: Any, g: Any, floor: float, clip: float, clip_update: float) -> Any:
    """−g/d, clipped."""
    if not 0.0 < floor <= clip:
        raise ValueError(f"floor must be positive and at most clip; they are {floor} and {clip}")
    xp = namespace(g)
    return xp.clip(-g / xp.clip(xp.abs(h), floor, clip), -clip_update, clip_update)
