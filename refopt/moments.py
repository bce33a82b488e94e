"""Running means of gradients and of squares, and steps divided by a root of them: the cells of the adaptive methods.

    m ← β₁ m + (1 − β₁) g,    v ← β₂ v + (1 − β₂) s           s: the squares of something
    m̂ = m/(1 − β₁ᵗ),          v̂ = v/(1 − β₂ᵗ)
    x ← x − η m̂/(v̂ᵃ + ε) − ηωx                                ω: weight decay, apart from the gradient

Every number is a factor worked out beforehand, so that a cell is the same for float32, float64 and machine code.
"""

from typing import Any, NamedTuple

from refopt.elementwise import applied, root
from refopt.ops import eps as precision
from refopt.sampled import Draw, at, begun, like


class State(NamedTuple):
    """Of the methods that keep both means."""

    x: Any
    f: float
    g: Any
    m: Any  #: the mean of the gradients
    v: Any  #: the mean of the squares
    t: int  #: steps taken


def init(problem: Any, x: Any, params: Any) -> State:
    x = begun(x)
    return State(x, float("nan"), 0.0 * x, 0.0 * x, 0.0 * x, 0)


def learnt(state: Any, grad: Any, params: Any, cell: Any, *seen: Any, donate: Any = False) -> Any:
    """The state after a step of the cell, which takes x, m, v, the gradient, what else was seen, and the numbers."""
    like(grad, state)
    t = state.t + 1
    numbers = (
        params.beta1, 1.0 - params.beta1, params.beta2, 1.0 - params.beta2,
        params.step / (1.0 - params.beta1**t), 1.0 / (1.0 - params.beta2**t),
        safe(params.eps, grad), params.exponent, 1.0 - params.step * params.weight_decay,
    )  # fmt: skip
    x, m, v = applied(cell, (state.x, state.m, state.v, grad, *seen), numbers, donate)
    return state._replace(x=x, g=grad, m=m, v=v, t=t)


def step(problem: Any, state: State, params: Any, draw: Draw | None = None, donate: Any = False) -> State:
    """A step with the squares of the batch's gradient."""
    point = at(problem, state.x, draw)
    return update(state, point.grad, params, draw, donate)._replace(f=point.fun)


def update(state: State, grad: Any, params: Any, draw: Draw | None = None, donate: Any = False) -> State:
    return learnt(state, grad, params, of_gradient, donate=donate)


def safe(eps: float, x: Any) -> float:
    """ε, or where that is 0 a number far below all others, so that a step is 0 where it is 0/0."""
    return float(eps) or (2.0**-63 if precision(x) > 1e-10 else 2.0**-511)


def of_gradient(
    x: Any, m: Any, v: Any, g: Any,
    b1: float, c1: float, b2: float, c2: float, eta: float, hat: float, eps: float, a: float, decay: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """v is the mean of g²."""
    m = b1 * m + c1 * g
    v = b2 * v + c2 * (g * g)
    return decay * x - eta * m / (root(hat * v, a) + eps), m, v


def of_squares(
    x: Any, m: Any, v: Any, g: Any, s: Any,
    b1: float, c1: float, b2: float, c2: float, eta: float, hat: float, eps: float, a: float, decay: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """v is the mean of s ≥ 0."""
    m = b1 * m + c1 * g
    v = b2 * v + c2 * s
    return decay * x - eta * m / (root(hat * v, a) + eps), m, v


def of_probe(
    x: Any, m: Any, v: Any, g: Any, z: Any, h: Any,
    b1: float, c1: float, b2: float, c2: float, eta: float, hat: float, eps: float, a: float, decay: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """v is the mean of (z ∘ h)², h = Hz."""
    m = b1 * m + c1 * g
    v = b2 * v + c2 * ((z * h) * (z * h))
    return decay * x - eta * m / (root(hat * v, a) + eps), m, v


def of_sum(
    x: Any, v: Any, g: Any, b2: float, c2: float, eta: float, eps: float, a: float, decay: float
) -> tuple[Any, Any]:
    """v is a mean or sum of g²; a step is g divided by a root of it."""
    v = b2 * v + c2 * (g * g)
    return decay * x - eta * g / (root(v, a) + eps), v
