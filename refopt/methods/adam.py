"""Adam as a deterministic method: running means of the gradient and of its square.

    mₖ = β₁ mₖ₋₁ + (1 − β₁) gₖ,      vₖ = β₂ vₖ₋₁ + (1 − β₂) gₖ²
    m̂ₖ = mₖ / (1 − β₁ᵗ),            v̂ₖ = vₖ / (1 − β₂ᵗ)              t = k + 1
    xₖ₊₁ = xₖ − η m̂ₖ / (v̂ₖᵃ + ε)    a = ½; squares, powers and quotients component by component

D. P. Kingma & J. Ba, Adam: a method for stochastic optimization, arXiv:1412.6980, §2 and §3 (bias correction).
Shapes: x, g, m, v are (n,).   Cost of a step: O(n).

There is no search: nothing guarantees that f falls. A step to where f is not finite is shortened.
"""

from typing import NamedTuple

from refopt.adaptive import State, corrected, direction, mean, moved, predicted, resume
from refopt.linesearch import fixed
from refopt.ops import Vector
from refopt.problem import Problem

__all__ = ["Params", "State", "init", "predicted", "resume", "step"]


class Params(NamedTuple):
    step: float = 0.001  #: η
    beta1: float = 0.9  #: β₁
    beta2: float = 0.999  #: β₂
    eps: float = 1e-8  #: ε
    exponent: float = 0.5  #: a
    trials: int = 40  #: shortenings of a step to where f is not finite


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g = problem.fun(x), problem.grad(x)
    return learnt(State(x, f, g, 0.0 * g, 0.0 * g, 0.0 * g, 0, True, True, 1, 1), params)


def step(problem: Problem, state: State, params: Params) -> State:
    return learnt(moved(state, fixed(problem, state.x, state.f, state.g, state.p, params.trials, 1.0)), params)


def learnt(state: State, params: Params) -> State:
    """The state with its gradient in the means, and its next step."""
    t = state.t + 1
    m, v = mean(state.m, state.g, params.beta1), mean(state.v, state.g * state.g, params.beta2)
    m_hat, v_hat = corrected(m, params.beta1, t), corrected(v, params.beta2, t)
    return state._replace(m=m, v=v, p=direction(m_hat, v_hat, params.step, params.exponent, params.eps), t=t)
