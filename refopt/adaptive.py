"""What AdaGrad, Adam and AdaHessian share: running means, and a step that is divided by the root of one of them.

mₖ = β mₖ₋₁ + (1 − β) gₖ,   m̂ₖ = mₖ / (1 − βᵗ)         t = k + 1 numbers seen: m̂ is a mean of weights that add to 1
p  = −η m̂ / (v̂ᵃ + ε)                                  a = ½; powers and quotients component by component
"""

from typing import NamedTuple

from refopt.linesearch import Point
from refopt.ops import Vector, dot, positive, power


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    m: Vector  #: the mean of the gradients
    v: Vector  #: the mean or sum of their squares
    p: Vector  #: the next step
    t: int  #: gradients seen
    taken: bool
    ok: bool
    nfev: int
    njev: int


def mean(old: Vector, new: Vector, beta: float) -> Vector:
    """βm + (1 − β)g."""
    return beta * old + (1 - beta) * new


def corrected(mean: Vector, beta: float, t: int) -> Vector:
    """m̂ = m / (1 − βᵗ): begun at 0, m lacks the part βᵗ."""
    return mean / (1 - beta**t)


def direction(m: Vector, v: Vector, step: float, exponent: float, eps: float) -> Vector:
    """−η m / (vᵃ + ε), 0 where that is 0/0."""
    return -step * m / positive(power(v, exponent, eps))


def moved(state: State, point: Point) -> State:
    """The state at the point where a step has ended, which has not learnt from it yet."""
    nfev, njev = state.nfev + point.nfev, state.njev + point.njev
    return state._replace(x=point.x, f=point.f, g=point.g, taken=point.lower, ok=point.lower, nfev=nfev, njev=njev)


def predicted(state: State) -> float:
    """What the next step changes to first order, |gᵀp|."""
    return abs(dot(state.g, state.p))


def resume(state: State) -> State:
    """Ready for another step."""
    return state._replace(ok=True)
