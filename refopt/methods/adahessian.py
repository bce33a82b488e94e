"""AdaHessian as a deterministic method: Adam with the diagonal of the Hessian, estimated, in place of the gradient.

    Dₖ = zₖ ∘ Hₖzₖ,    zₖ ∈ {−1, 1}ⁿ           Hₖ = ∇²f(xₖ);   E[z ∘ Hz] = diag H for random signs
    mₖ = β₁ mₖ₋₁ + (1 − β₁) gₖ,      vₖ = β₂ vₖ₋₁ + (1 − β₂) Dₖ²
    m̂ₖ = mₖ / (1 − β₁ᵗ),            v̂ₖ = vₖ / (1 − β₂ᵗ)              t = k + 1
    xₖ₊₁ = xₖ − η m̂ₖ / (v̂ₖᵖ + ε)    p = ½; squares, powers and quotients component by component

Z. Yao, A. Gholami, S. Shen, M. Mustafa, K. Keutzer & M. W. Mahoney, AdaHessian, arXiv:2006.00719, §3.
Shapes: x, g, m, v, z are (n,).   Cost of a step: a product with the Hessian, and O(n).

There is no search: nothing guarantees that f falls. A step to where f is not finite is shortened.

Deviations from the source, with reasons:
- The signs are a fixed sequence, so that a run can be repeated.
- There is no averaging over blocks of variables, which have no meaning here.
"""

from typing import NamedTuple

from refopt.linesearch import fixed
from refopt.ops import Vector, dot, positive, power, signs
from refopt.problem import Problem


class Params(NamedTuple):
    step: float = 0.15  #: η
    beta1: float = 0.9  #: β₁
    beta2: float = 0.999  #: β₂
    eps: float = 1e-6  #: ε
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
    nhvp: int


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g, D = problem.fun(x), problem.grad(x), probe(problem, x, 1)
    m, v = (1.0 - params.beta1) * g, (1.0 - params.beta2) * (D * D)
    return State(x, f, g, m, v, direction(m, v, 1, params), 1, True, True, 1, 1, 1)


def step(problem: Problem, state: State, params: Params) -> State:
    point = fixed(problem, state.x, state.f, state.g, state.p, params.trials, 1.0)
    g, t, nfev, njev = point.g, state.t + 1, state.nfev + point.nfev, state.njev + point.njev
    D = probe(problem, point.x, t)
    m = params.beta1 * state.m + (1.0 - params.beta1) * g
    v = params.beta2 * state.v + (1.0 - params.beta2) * (D * D)
    p = direction(m, v, t, params)
    return State(point.x, point.f, g, m, v, p, t, point.lower, point.lower, nfev, njev, state.nhvp + 1)


def probe(problem: Problem, x: Vector, t: int) -> Vector:
    """z ∘ Hz for the t-th signs: one product, an unbiased estimate of diag H."""
    z = signs(x, t)
    return z * problem.hvp(x, z)


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
