"""AdaHessian as a deterministic method: Adam with the diagonal of the Hessian, estimated, in place of the gradient.

    Dₖ = zₖ ∘ Hₖzₖ,    zₖ ∈ {−1, 1}ⁿ           Hₖ = ∇²f(xₖ);   E[z ∘ Hz] = diag H for random signs
    mₖ = β₁ mₖ₋₁ + (1 − β₁) gₖ,      vₖ = β₂ vₖ₋₁ + (1 − β₂) Dₖ²
    m̂ₖ = mₖ / (1 − β₁ᵗ),            v̂ₖ = vₖ / (1 − β₂ᵗ)              t = k + 1
    xₖ₊₁ = xₖ − η m̂ₖ / (v̂ₖᵃ + ε)    a = ½; squares, powers and quotients component by component

Z. Yao, A. Gholami, S. Shen, M. Mustafa, K. Keutzer & M. W. Mahoney, AdaHessian, arXiv:2006.00719, §3.
Shapes: x, g, m, v, z are (n,).   Cost of a step: a product with the Hessian, and O(n).

There is no search: nothing guarantees that f falls. A step to where f is not finite is shortened.

Deviations from the source, with reasons:
- The signs are a fixed sequence, so that a run can be repeated.
- There is no averaging over blocks of variables, which have no meaning here.
"""

from typing import NamedTuple

from refopt.adaptive import corrected, direction, mean
from refopt.linesearch import fixed
from refopt.ops import Vector, dot, signs
from refopt.problem import Problem


class Params(NamedTuple):
    step: float = 0.15  #: η
    beta1: float = 0.9  #: β₁
    beta2: float = 0.999  #: β₂
    eps: float = 1e-6  #: ε
    exponent: float = 0.5  #: a
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
    f, g = problem.fun(x), problem.grad(x)
    return learnt(problem, State(x, f, g, 0.0 * g, 0.0 * g, 0.0 * g, 0, True, True, 1, 1, 0), params)


def step(problem: Problem, state: State, params: Params) -> State:
    point = fixed(problem, state.x, state.f, state.g, state.p, params.trials, 1.0)
    nfev, njev = state.nfev + point.nfev, state.njev + point.njev
    new = state._replace(x=point.x, f=point.f, g=point.g, taken=point.lower, ok=point.lower, nfev=nfev, njev=njev)
    return learnt(problem, new, params)


def learnt(problem: Problem, state: State, params: Params) -> State:
    """The state with its gradient and a probe of its Hessian in the means, and its next step."""
    t = state.t + 1
    D = probe(problem, state.x, signs(state.x, t))
    m, v = mean(state.m, state.g, params.beta1), mean(state.v, D * D, params.beta2)
    m_hat, v_hat = corrected(m, params.beta1, t), corrected(v, params.beta2, t)
    p = direction(m_hat, v_hat, params.step, params.exponent, params.eps)
    return state._replace(m=m, v=v, p=p, t=t, nhvp=state.nhvp + 1)


def probe(problem: Problem, x: Vector, z: Vector) -> Vector:
    """z ∘ Hz: one product, and for random signs z an unbiased estimate of diag H."""
    return z * problem.hvp(x, z)


def predicted(state: State) -> float:
    """What the next step changes to first order, |gᵀp|."""
    return abs(dot(state.g, state.p))


def resume(state: State) -> State:
    """Ready for another step."""
    return state._replace(ok=True)
