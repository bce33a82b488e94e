"""Hessian-free optimization: conjugate gradients on a damped model, whose damping follows the reduction ratio.

    qₖ(p) = gₖᵀp + ½ pᵀ(Bₖ + λₖI)p               Bₖ: the Hessian, or a Gauss-Newton matrix, through products Bd
    pₖ ≈ argmin qₖ   by conjugate gradients from pₖ₋₁, until the last k of j iterations, k = max(10, j/10), have gained
                     less than the part kε of qₖ, or ‖(Bₖ + λₖI)p + gₖ‖ ≤ ηₖ‖gₖ‖
    xₖ₊₁ = xₖ + αₖ pₖ              αₖ satisfying the strong Wolfe conditions
    ρₖ = (f(xₖ + pₖ) − fₖ) / (gₖᵀpₖ + ½ pₖᵀBₖpₖ);      λₖ₊₁ = ⅔ λₖ if ρₖ > ¾,   3/2 λₖ if ρₖ < ¼,   λₖ otherwise

J. Martens, Deep learning via Hessian-free optimization, *ICML* 2010, §4;  J. Nocedal & S. J. Wright, *Numerical
Optimization*, 2nd ed., §7.1. ηₖ = min(η, √(‖gₖ‖/max‖g‖)) as in ``newton-cg``.
Shapes: x, g, p are (n,).   Cost of a step: a product Bd and 10n flops for each of up to 10n inner iterations.

A Gauss-Newton matrix is handed in as ``hessp``: its products Jᵀ(H_ℓ(Jd)) are never negative, and λ > 0 makes the model
convex. With the Hessian, conjugate gradients may meet negative curvature: they end there, and λ grows.

Deviations from the paper, with reasons:
- The start is the best multiple of pₖ₋₁, so that qₖ falls from 0 on; 0 where pₖ₋₁ leads uphill, or the curvature ahead
  is not positive.
- The progress is looked at once in k iterations: earlier values need not be kept.
- The search can lengthen a step as well, where a model that is too curved holds it back; and there is no second one,
  back through the iterates of conjugate gradients.
- λ₀ is a thousandth of ‖g₀‖/‖x₀‖ (denominator 1 at the origin), so that the units of f and x do not matter, and λ is
  no less than eps ‖B‖: what is smaller changes nothing, and would take long to grow again.
- Where no more than 1e-12 of the whole decrease is left to gain, there is no damping, and negative curvature is looked
  for: only that tells whether this is a minimum.
"""

from math import inf
from typing import NamedTuple

from refopt.departure import little
from refopt.inexact import ahead, followed, way
from refopt.krylov import Inner, conjugate_gradients, forcing_term
from refopt.linesearch import Point, noise_floor
from refopt.ops import Choice, Vector, dimension, dot, eps, norm
from refopt.problem import Problem


class Params(NamedTuple):
    damping: float = 0.0  #: λ₀, in the units of the Hessian; 0 stands for 1e-3 ‖g₀‖/‖x₀‖
    forcing: float = 0.5  #: η
    progress: float = 5e-4  #: ε
    search: Choice = 0  #: "strong-wolfe", "hager-zhang", "armijo" or "fixed"
    c1: float = 1e-4  #: sufficient decrease
    c2: float = 0.9  #: curvature
    trials: int = 40  #: evaluations of f in one search


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    p: Vector  #: the next direction
    bend: float  #: pᵀHp of a way out of a saddle; 0 of other directions
    promised: float  #: m(0) − m(p) without damping; 0 beside negative curvature
    gain: float  #: what the Newton step would gain, at least; ∞ beside negative curvature
    lam: float  #: λ
    size: float  #: ‖B‖, estimated
    first: float  #: f(x₀)
    steep: float  #: the longest gradient so far
    weak: int  #: searches in a row that did not meet their conditions
    taken: bool  #: the last search lowered f
    ok: bool  #: and it makes sense to go on
    nfev: int
    njev: int
    nhvp: int


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g = problem.fun(x), problem.grad(x)
    lam = params.damping if params.damping > 0.0 else 1e-3 * (norm(g) / (norm(x) or 1.0))
    start = State(x, f, g, 0.0 * g, 0.0, 0.0, 0.0, lam, 0.0, f, norm(g), 0, True, True, 1, 1, 0)
    return planned(problem, start, params)


def step(problem: Problem, state: State, params: Params) -> State:
    x, f, g, p = state.x, state.f, state.g, state.p
    point = ahead(problem, x, f, g, p, state.bend, params.search, params.c1, params.c2, params.trials)
    lam = max(adapted(state.lam, ratio(problem, state, point)), eps(x) * state.size)
    weak = 0 if point.wolfe else state.weak + 1
    new = state._replace(
        x=point.x, f=point.f, g=point.g, lam=lam, steep=max(state.steep, norm(point.g)), weak=weak, taken=point.lower,
        ok=point.lower and weak < 3, nfev=state.nfev + point.nfev, njev=state.njev + point.njev,
    )  # fmt: skip
    return planned(problem, new, params)


def planned(problem: Problem, state: State, params: Params) -> State:
    """The state with its next direction, from the last one."""
    x, g = state.x, state.g
    forcing = max(min(params.forcing, forcing_term(g, state.steep)), eps(g) ** 0.5)
    found = damped(problem, x, g, state.p, state.lam, forcing, params.progress)
    p, products = found.step.p, found.step.products
    bend, gain, promised = 0.0, found.step.gain, found.step.promised
    if gain <= little(problem, x, state.f, state.first):
        newton = damped(problem, x, g, p, 0.0, forcing, params.progress).step
        out = way(problem, x, state.f, g, state.first, newton)
        p, bend, promised, gain, products = out.p, out.bend, newton.promised, out.gain, products + out.products
    return state._replace(
        p=p, bend=bend, promised=promised, gain=gain, size=max(state.size, found.size), nhvp=state.nhvp + products
    )


class Found(NamedTuple):
    step: Inner  #: promised: m(0) − m(p) without damping
    size: float  #: ‖B + λI‖, estimated


def damped(problem: Problem, x: Vector, g: Vector, last: Vector, lam: float, forcing: float, progress: float) -> Found:
    """The minimiser of q, nearly; −g with the length of x where conjugate gradients find nothing."""
    s = norm(g) or 1.0  # squares of g itself might overflow
    cg = conjugate_gradients(problem, x, g / s, last / s, lam, inf, forcing, progress, 10 * dimension(g))
    p = s * cg.z if norm(cg.z) > 0.0 else -((norm(x) or 1.0) / s) * g
    p = -p if dot(g, p) > 0.0 else p  # q(−p) < q(p) < 0 then
    promised = 0.0 if cg.concave else s * cg.promised * s + 0.5 * lam * dot(p, p)
    return Found(Inner(p, promised, False, s * cg.gain * s, cg.products), cg.size)


def ratio(problem: Problem, state: State, point: Point) -> float:
    """ρ, by the trapezoid rule −½ (g + g₊)ᵀp where f has lost its digits; 0 where p had to be shortened."""
    if point.alpha < 1.0 or not state.promised > 0.0:
        return 0.0
    if state.promised <= 10.0 * noise_floor(problem, state.x, state.f):
        return -0.5 * dot(state.g + point.g, point.x - state.x) / state.promised
    return (state.f - point.f) / state.promised


def adapted(lam: float, ratio: float) -> float:
    """The damping after a step with the reduction ratio ρ."""
    return followed(lam, ratio, 2, 3)


def predicted(state: State) -> float:
    """What the Newton step would gain, at least; infinite beside negative curvature."""
    return state.gain


def resume(state: State) -> State:
    """Ready for another search in the same direction."""
    return state._replace(weak=0, ok=True)
