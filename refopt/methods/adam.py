"""Adam as a deterministic method: running means of the gradient and of its square.

    mₖ = β₁ mₖ₋₁ + (1 − β₁) gₖ,      vₖ = β₂ vₖ₋₁ + (1 − β₂) gₖ²
    m̂ₖ = mₖ / (1 − β₁ᵗ),            v̂ₖ = vₖ / (1 − β₂ᵗ)              t = k + 1
    xₖ₊₁ = xₖ − η m̂ₖ / (v̂ₖᵖ + ε)    p = ½; squares, powers and quotients component by component

D. P. Kingma & J. Ba, Adam: a method for stochastic optimization, arXiv:1412.6980, §2 and §3 (bias correction).
Shapes: x, g, m, v are (n,).   Cost of a step: O(n).

There is no search: nothing guarantees that f falls. A step to where f is not finite is shortened.
"""

from typing import NamedTuple

from refopt.linesearch import fixed
from refopt.ops import Vector, dot, positive, power
from refopt.problem import Problem


class Params(NamedTuple):
    step: float = 0.001  #: η
    beta1: float = 0.9  #: β₁
    beta2: float = 0.999  #: β₂
    eps: float = 1e-8  #: ε
    exponent: float = 0.5  #: p
    trials: int = 40  #: shortenings of a step to where f is not finite


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    m: Vector
    v: Vector
    p: Vector  #: the next step
    t: int  #: gradients seen
    taken: bool
    ok: bool
    nfev: int
    njev: int


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g = problem.fun(x), problem.grad(x)
    m, v = (1.0 - params.beta1) * g, (1.0 - params.beta2) * (g * g)
    return State(x, f, g, m, v, direction(m, v, 1, params), 1, True, True, 1, 1)


def step(problem: Problem, state: State, params: Params) -> State:
    point = fixed(problem, state.x, state.f, state.g, state.p, params.trials, 1.0)
    g, t, nfev, njev = point.g, state.t + 1, state.nfev + point.nfev, state.njev + point.njev
    m = params.beta1 * state.m + (1.0 - params.beta1) * g
    v = params.beta2 * state.v + (1.0 - params.beta2) * (g * g)
    p = direction(m, v, t, params)
    return State(point.x, point.f, g, m, v, p, t, point.lower, point.lower, nfev, njev)


def direction(m: Vector, v: Vector, t: int, params: Params) -> Vector:
    """−η m̂ / (v̂ᵖ + ε), 0 where that is 0/0."""
    m_hat, v_hat = m / (1.0 - params.beta1**t), v / (1.0 - params.beta2**t)
    return -params.step * m_hat / positive(power(v_hat, params.exponent, params.eps))


def predicted(state: State) -> float:
    """What the next step changes to first order, |gᵀp|."""
    return abs(dot(state.g, state.p))


def resume(state: State) -> State:
    """Ready for another step."""
    return state._replace(ok=True)
