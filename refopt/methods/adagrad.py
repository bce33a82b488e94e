"""AdaGrad as a deterministic method: each variable's step shrinks with the gradients that it has seen.

    vₖ   = β₂ vₖ₋₁ + gₖ²                      β₂ = 1: the sum of all gₖ²
    xₖ₊₁ = xₖ − η m̂ₖ / (vₖᵃ + ε)              a = ½; squares, powers and quotients component by component

J. Duchi, E. Hazan & Y. Singer, *J. Mach. Learn. Res.* 12 (2011) 2121, the diagonal form.
Shapes: x, g, m, v are (n,).   Cost of a step: O(n).

There is no search: nothing guarantees that f falls. A step to where f is not finite is shortened.

Addition to the source: m̂ₖ is a mean of the gradients with the weight β₁, as in ``adam``; with β₁ = 0 it is gₖ.
"""

from typing import NamedTuple

from refopt.adaptive import State, corrected, direction, mean, moved, predicted, resume
from refopt.linesearch import fixed
from refopt.ops import Vector
from refopt.problem import Problem

__all__ = ["Params", "State", "init", "predicted", "resume", "step"]


class Params(NamedTuple):
    step: float = 0.01  #: η
    beta1: float = 0.0  #: β₁
    beta2: float = 1.0  #: β₂
    eps: float = 1e-10  #: ε
    exponent: float = 0.5  #: a
    trials: int = 40  #: shortenings of a step to where f is not finite


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g = problem.fun(x), problem.grad(x)
    return learnt(State(x, f, g, 0.0 * g, 0.0 * g, 0.0 * g, 0, True, True, 1, 1), params)


def step(problem: Problem, state: State, params: Params) -> State:
    return learnt(moved(state, fixed(problem, state.x, state.f, state.g, state.p, params.trials, 1.0)), params)


def learnt(state: State, params: Params) -> State:
    """The state with its gradient in the sums, and its next step."""
    t = state.t + 1
    m, v = mean(state.m, state.g, params.beta1), accumulated(state.v, state.g, params.beta2)
    m_hat = corrected(m, params.beta1, t)
    return state._replace(m=m, v=v, p=direction(m_hat, v, params.step, params.exponent, params.eps), t=t)


def accumulated(v: Vector, g: Vector, beta: float) -> Vector:
    """βv + g²."""
    return beta * v + g * g
