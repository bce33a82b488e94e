"""Hessian-free optimization on batches: conjugate gradients on a damped Gauss-Newton model, cut short.

    q(p) = gᵀp + ½pᵀ(G + λI)p                           G: the generalised Gauss-Newton matrix of the batch
    p₁, p₂, …  conjugate gradients from ζp, preconditioned by (diag(c² Σ ∇ℓₙ²) + λ)^¾
               until q(pᵢ) < 0 and (q(pᵢ) − q(pᵢ₋ₖ))/q(pᵢ) < kε,     k = max(10, i/10)
    p ← pⱼ     of those kept, i = ⌈1.3ʲ⌉, going back from the last as long as f(x + pⱼ) falls
    x ← x + αp,     α ∈ {1, 0.8, 0.8², …}, the first with f(x + αp) ≤ f + c₁αgᵀp;   none: x stays
    ρ = (f(x + p) − f)/(gᵀp + ½pᵀGp):   λ ← ⅔λ where ρ > ¾,  3/2 λ where ρ < ¼

J. Martens, Deep learning via Hessian-free optimization, *ICML* 2010, §4;  J. Martens & I. Sutskever, Training deep and
recurrent networks with Hessian-free optimization, *Neural Networks: Tricks of the Trade* (2012), for ζ < 1.
Shapes: x, g, p (P,).   Cost of a step: 1.7 gradients and 10P flops for each iteration, a value of f for each trial.

The rule for λ is ``refopt.methods.hessian_free.adapted``, that of the deterministic method, which has the Hessian, no
preconditioner, and another search. ρ is that of the p that is searched along, the model without damping.

Deviations from the source: gradient and G come from the same batch; it takes the gradient of all samples. The squares
have the gradient's own factor c, so that f → cf changes the preconditioner by c², as it does there.
"""

from collections.abc import Callable
from math import ceil
from typing import Any, NamedTuple

from refopt.elementwise import applied
from refopt.methods.hessian_free import adapted
from refopt.ops import dot, finite, norm
from refopt.sampled import Draw, at, begun, like, required, supervised


class Params(NamedTuple):
    damping: float = 45.0  #: λ₀
    progress: float = 5e-4  #: ε
    limit: int = 250  #: iterations of conjugate gradients
    warm: float = 0.95  #: ζ; 0: from p = 0
    exponent: float = 0.75  #: of the preconditioner; 0: none
    backtrack: bool = True  #: through the iterates; else the last
    adapt: bool = True  #: λ follows ρ
    c1: float = 1e-2  #: sufficient decrease
    trials: int = 60  #: values of α


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    p: Any  #: where conjugate gradients ended
    damping: float  #: λ
    iterations: int  #: of conjugate gradients, in all
    t: int  #: steps taken


class Seen(NamedTuple):
    """What a batch says beyond its gradient."""

    product: Callable[[Any], Any]  #: v ↦ Gv
    squares: Any  #: c² Σ ∇ℓₙ² (P,)
    fun: Callable[[Any], float]  #: f
    value: float  #: f(x)


def init(problem: Any, x: Any, params: Params) -> State:
    x = begun(x)
    return State(x, float("nan"), 0.0 * x, 0.0 * x, params.damping, 0, 0)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    supervised(problem, "hessian-free")
    point = at(problem, state.x, draw)
    squares = point.c**2 * point.squared_grad() if params.exponent > 0.0 else None
    seen = Seen(point.ggnvp, squares, point.problem.fun, point.fun)
    return update(state, point.grad, params, draw, donate, seen)._replace(f=point.fun)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, seen: Seen | None = None
) -> State:
    """seen: products, squares and values on the batch."""
    like(grad, state)
    product, squares, fun, f = required(seen, "products and values of the batch, seen=", "hessian-free")
    if not finite(norm(grad)):
        return state._replace(g=grad, t=state.t + 1)
    x, lam = state.x, state.damping
    M = (squares + lam) ** params.exponent if params.exponent > 0.0 else 1.0 + 0.0 * grad
    damped = lambda v: product(v) + lam * v
    points, count = iterates(damped, grad, params.warm * state.p, M, params.progress, params.limit)
    p, value, q = gone_back(fun, x, points) if params.backtrack else (points[-1][0], None, points[-1][1])
    value = fun(x + p) if value is None else value
    alpha = searched(fun, x, f, p, dot(grad, p), value, params.c1, params.trials)
    promised = q - 0.5 * lam * dot(p, p)
    if params.adapt and promised < 0.0:
        rho = (value - f) / promised
        lam = adapted(lam, rho if finite(rho) else -1.0)
    (x,) = applied(moved, (x, p), (alpha,), bool(donate))
    return State(x, state.f, grad, points[-1][0], lam, state.iterations + count, state.t + 1)


def iterates(
    product: Callable[[Any], Any], g: Any, start: Any, M: Any, progress: float, limit: int
) -> tuple[list[tuple[Any, float]], int]:
    """(p, q(p)) of some iterates of preconditioned conjugate gradients, the last among them; how many there were."""
    p = start
    r = product(p) + g if norm(start) > 0.0 else g
    y = r / M
    d, ry = -y, dot(r, y)
    values, kept, due = [0.5 * dot(p, r + g)], list[tuple[Any, float]](), 0
    for i in range(1, limit + 1):
        Bd = product(d)
        bend = dot(d, Bd)
        if not (ry > 0.0 and bend > 0.0):
            break
        p, r = p + (ry / bend) * d, r + (ry / bend) * Bd
        values.append(0.5 * dot(p, r + g))
        if i >= 1.3**due:
            kept.append((p, values[-1]))
            due = next(j for j in range(due, due + 20) if 1.3**j > i)
        if stalled(values, progress):
            break
        y = r / M
        new = dot(r, y)
        d, ry = (new / ry) * d - y, new
    if not kept or kept[-1][0] is not p:
        kept.append((p, values[-1]))
    return kept, len(values) - 1


def stalled(values: list[Any], progress: Any) -> bool:
    """Whether q is negative, and has fallen by less than the part kε of it in the last k of i iterations."""
    i = len(values) - 1
    k = max(10, ceil(i / 10))
    return i > k and values[-1] < 0 and (values[-1] - values[-1 - k]) / values[-1] < k * progress


def gone_back(fun: Callable[[Any], float], x: Any, points: list[tuple[Any, float]]) -> tuple[Any, float, float]:
    """p, f(x + p), q(p): back from the last point as long as f falls."""
    p, q = points[-1]
    value = fun(x + p)
    for earlier, its in reversed(points[:-1]):
        other = fun(x + earlier)
        if value <= other:
            break
        p, value, q = earlier, other, its
    return p, value, q


def searched(
    fun: Callable[[Any], float], x: Any, f: float, p: Any, slope: float, value: float, c1: float, trials: int
) -> float:
    """α with f(x + αp) ≤ f + c₁αgᵀp, 0 without one."""
    alpha = 1.0
    for _ in range(trials):
        if value <= f + c1 * alpha * min(slope, 0.0):
            return alpha
        alpha *= 0.8
        value = fun(x + alpha * p)
    return 0.0


def moved(x: Any, p: Any, alpha: float) -> tuple[Any]:
    return (x + alpha * p,)
