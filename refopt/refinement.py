"""The last steps of a run that is stuck: Newton's method on the gradient alone, where f has nothing left to say.

    B p = −g,    x₊ = x + αp,    α = 1, ½, ¼, … until  g₊ᵀB⁻¹g₊ ≤ (1 − α/4)² gᵀB⁻¹g

B is the Jacobian of the gradient by differences. The test is a natural one, which no linear change of variables
changes: P. Deuflhard, *Newton Methods for Nonlinear Problems*, §3.3. In the end g is its own noise, and ½gᵀB⁻¹g, what
f could still gain, tells a minimum from the bottom of a canyon.

A gradient by differences has a bias as well, and f may be higher where that makes it vanish. So steps are taken first
along what stands out of its errors e, in units of them:

    Bᵢⱼ / eᵢeⱼ = (QΛQᵀ)ᵢⱼ,    along the q with  |qᵀ(g/e)| > 1;  where there are none, > ⅓;  in the end along all
"""

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from refopt.derivatives import hessian
from refopt.noise import sizes
from refopt.ops import absolute, dot, eps, finite, larger, namespace, norm_inf
from refopt.problem import Problem

SHARES: tuple[float, ...] = (1.0, 1.0 / 3.0, 0.0)  #: of the errors of g, which its parts must exceed in turn
STEPS = 12  #: at most, of which each needs new derivatives, but for those that have all but ended it


class Model(NamedTuple):
    """The Jacobian of the gradient, QΛQᵀ in units of the sizes w of the variables."""

    w: Any
    Q: Any
    values: Any  #: Λ, each no smaller than what noise leaves of it
    convex: bool  #: none is negative beyond noise
    measured: Any = None  #: Λ as it was measured, where it is finite
    blur: Any = 0.0  #: the error of Qᵀg, where noise is all that is known of Λ
    floor: float = 0.0  #: what noise leaves of Λ
    lower: Any = None  #: a point beside that is lower, where f bends down


class Refined(NamedTuple):
    """Where Newton's method ended."""

    x: Any
    f: float
    g: Any
    gain: float  #: of another step, infinite where f bends down
    stuck: bool = False  #: no further step passes the test,
    lowest: float = inf  #: and so low f is along that step, where a gain is promised
    seen: bool = True  #: whether any bend of f stands out of noise
    short: bool = False  #: more gradients were needed than there were
    lower: Any = None  #: a point that is lower than the first, if there was one; beside one where f bends down
    bent: float = 0.0  #: how much B bends down in any case, of ‖B‖


def refine(
    problem: Problem, x: Any, f: float, g: Any, size: Any, noise: Any, ef: float, enough: float, most: float,
    bias: Any = 0.0,
) -> Refined:  # fmt: skip
    """Newton steps as long as they help and f does not rise beyond its noise ef from where it was lowest.

    ``noise`` is that of each component of g, ``bias`` an error that hardly changes from point to point. Of the points
    from which a step would gain no more than ``enough`` the one with the smallest ‖g‖∞ is returned; else that of those
    whose f is as low. ``most`` gradients may be evaluated; 2n + 1 are at least.
    """
    each, xp = 2 * x.shape[0] + 1, namespace(x)
    model, left = model_of(problem.grad, x, g, size, noise, bias), most - each
    if left >= each and bool(xp.any((faint := unseen(model)) > model.w)):
        model, left, size = model_of(problem.grad, x, g, faint, noise, bias), left - each, faint
    model = shown(problem, model, x, f, ef)
    error, shares = noise + bias, SHARES if bool(xp.any(bias + 0.0 * x > 0.0)) else SHARES[-1:]
    ceiling = f + 10.0 * ef
    now = best = low = Refined(x, f, g, promise(model, g))
    for _ in range(STEPS):
        if left < 1 or not now.gain < inf or now.stuck:
            break
        after, spent, shares = stepped(problem, model, error, shares, now, ceiling, left)
        if after.stuck:
            after, spent, shares = fallen(problem, model, now, enough), spent + 8, SHARES[-1:]
        left = left - spent
        if after.gain > 1e-4 * now.gain and left >= each and not after.stuck:
            model, left = model_of(problem.grad, after.x, after.g, size, noise, bias), left - each
            model = shown(problem, model, after.x, after.f, ef)
        now = after._replace(gain=promise(model, after.g))
        ceiling = min(ceiling, now.f + 10.0 * ef)
        best, low = now if better(now, best, enough, ef) else best, now if now.f < low.f else low
    else:  # so slow that f must tell whether anything is ahead
        now = now if now.stuck or not now.gain < inf else fallen(problem, model, now, enough)
        best, low = now if better(now, best, enough, ef) else best, now if now.f < low.f else low
    gain, seen, short = promise(model, best.g), bool(xp.any(model.values > model.floor)), left < 1
    lower = low.x if model.lower is None and low.f < f - 10.0 * ef else model.lower
    return best._replace(
        gain=gain, stuck=now.stuck, lowest=now.lowest, seen=seen, short=short, lower=lower, bent=bent(model)
    )


def better(now: Refined, best: Refined, enough: float, ef: float) -> bool:
    """Whether there is no more to gain, with a smaller g; or f is lower; or g is smaller, and f as low."""
    smaller = norm_inf(now.g) < norm_inf(best.g)
    if now.gain <= enough:
        return smaller or best.gain > enough
    return now.gain < inf and (now.f < best.f - enough or (smaller and now.f <= best.f + 10.0 * ef))


def stepped(
    problem: Problem, model: Model, error: Any, shares: tuple[float, ...], now: Refined, ceiling: float, left: float
) -> tuple[Refined, int, tuple[float, ...]]:  # fmt: skip
    """A step along what exceeds the first share with which it leads on, how many trials it took, and what is left."""
    spent = 0
    while shares and 0.0 < now.gain < inf and spent < left:
        after, trials = damped(problem, whitened(model, error, shares[0]) if shares[0] else model, now, ceiling)
        spent = spent + trials
        if not after.stuck:
            return after, spent, shares
        shares = shares[1:]
    return now._replace(stuck=True), spent, shares


def whitened(model: Model, error: Any, share: float) -> Model:
    """The model in units in which every component of g has the error 1, and what is less than a share of it no part."""
    xp, e = namespace(model.w), error * model.w
    e = larger(e, 0.0 * e + 1e-10 * norm_inf(e))
    B = (model.Q * model.values) @ model.Q.T / (e[:, None] * e[None, :])
    values, Q = xp.linalg.eigh(B)
    return Model(model.w / e, Q, larger(values, 0.0 * values + eps(e) * norm_inf(values)), True, None, share)


def fallen(problem: Problem, model: Model, now: Refined, enough: float) -> Refined:
    """The lowest point along the step of all variables, α = 1, ½, …, 1/64, if f shows there what noise hides in g.

    Else the old one, stuck, with how low f is.   Cost: seven evaluations of f, one gradient.
    """
    if promise(model, now.g) <= enough:
        return now._replace(stuck=True)
    p = newton_step(model, parts(model, now.g))
    points = [now.x + 0.5**k * p for k in range(7)]
    f, k = min(((f, k) for k, y in enumerate(points) if finite(f := problem.fun(y))), default=(inf, 0))
    if not f < now.f - enough:
        return now._replace(stuck=True, lowest=f)
    g = problem.grad(points[k])
    return Refined(points[k], f, g, promise(model, g))


def damped(problem: Problem, model: Model, now: Refined, ceiling: float) -> tuple[Refined, int]:
    """The first point of α = 1, ½, …, 1/64 that passes the test, f below the ceiling; or the old one. And how many."""
    p, pull, alpha = newton_step(model, heard(model, now.g)), pulled(model, now.g), 1.0
    if not pull > 0.0:
        return now._replace(stuck=True), 0
    for trial in range(1, 8):
        y = now.x + alpha * p
        f, g = problem.fun(y), problem.grad(y)
        less = finite(norm_inf(g)) and pulled(model, g) <= (1.0 - 0.25 * alpha) ** 2 * pull < inf
        if less and finite(f) and f <= ceiling:
            return Refined(y, f, g, promise(model, g)), trial
        alpha = 0.5 * alpha
    return now._replace(stuck=True), trial


def model_of(grad: Callable[[Any], Any], x: Any, g: Any, size: Any, noise: Any, bias: Any = 0.0) -> Model:
    """B by central differences, in units of the sizes of the variables, with steps that suit the noise of g.

    Eigenvalues are known up to what that noise leaves of them, and eps^⅔ ‖B‖; less counts for as much.
    Cost: 2n + 1 gradients.
    """
    w = sizes(x, size)
    blur, change = norm_inf(noise * w), 1e3 * norm_inf((grad(x + 1e-3 * w) - g) * w)
    relative = min(max(blur / change, eps(x)), 1e-3) if change > 0.0 else eps(x)
    B, xp = hessian(None, x, "3-point", size, relative, grad) * w[:, None] * w[None, :], namespace(x)
    whole = bool(xp.all(xp.isfinite(B)))
    values, Q = xp.linalg.eigh(B if whole else xp.ones_like(B))
    floor = blur / relative ** (1 / 3) + 10.0 * eps(x) ** (2 / 3) * norm_inf(values)
    convex = whole and floor > 0.0 and not bool(xp.any(values < -floor))
    noisy = ((Q * Q).T @ (0.0 * values + ((noise + bias) * w) ** 2)) ** 0.5
    blur = xp.where(values <= floor, noisy, 0.0 * values)
    return Model(w, Q, larger(values, 0.0 * values + floor), convex, values if whole else None, blur, floor)


def bent(model: Model) -> float:
    """−λmin / ‖Λ‖ as measured, whether f shows it or not; 0 where no eigenvalue is negative."""
    least = 0.0 if model.measured is None else float(model.measured[0])
    return -least / norm_inf(model.measured) if least < 0.0 else 0.0


def unseen(model: Model) -> Any:
    """The sizes of the variables, larger where Bᵢᵢ wᵢ² is lost in what noise leaves of B: so large that it would show.

    Those of variables that were near zero from the start are no more than a guess.
    """
    if model.measured is None or not norm_inf(model.measured) > 0.0:
        return model.w
    xp, bend = namespace(model.w), absolute((model.Q * model.Q) @ model.measured)
    wanted = model.w * (100.0 * model.floor / larger(bend, 0.0 * bend + 1e-30 * norm_inf(bend))) ** 0.5
    return xp.where(bend < model.floor, xp.minimum(wanted, norm_inf(model.w)), model.w)


def shown(problem: Problem, model: Model, x: Any, f: float, ef: float) -> Model:
    """The model without the negative eigenvalues λ that f does not show, which are a measure of its noise.

        f − ½ (f(x + tq) + f(x − tq)) > ⅛ |λ| t²,     ½ |λ| t² = 50 ef,   t ≤ 0.3

    shows that f bends down.   Cost: two evaluations of f for each negative eigenvalue.
    """
    if model.convex or model.measured is None:
        return model
    hidden, k = 0.0, 0
    while k < x.shape[0] and (bend := -float(model.measured[k])) > 0.0:
        t, step = shown_at(model, k, ef)
        up, down = problem.fun(x + step), problem.fun(x - step)
        if f - 0.5 * (up + down) > max(0.125 * bend * t * t, 4.0 * ef):
            return model._replace(lower=x + step if up < down else x - step)
        hidden, k = max(hidden, bend), k + 1
    values = larger(model.values, 0.0 * model.values + hidden)
    return model._replace(values=values, convex=hidden > 0.0, floor=max(model.floor, hidden))


def shown_at(model: Model, k: int, ef: float) -> tuple[float, Any]:
    """t and tq, for the k-th eigenvalue, which is negative."""
    t = min(max((-100.0 * ef / float(model.measured[k])) ** 0.5, 1e-4), 0.3)
    return t, t * model.w * model.Q[:, k]


def lower_beside(problem: Problem, x: Any, f: float, g: Any, size: Any, noise: float, ef: float) -> Any:
    """A point that is lower, along an eigenvalue of B that is negative, if there is one and f shows it; else None."""
    return shown(problem, model_of(problem.grad, x, g, size, 0.0 * g + noise), x, f, ef).lower


def promise(model: Model, g: Any) -> float:
    """½ gᵀB⁻¹g, what a Newton step would gain; infinite where f bends down."""
    if not model.convex:
        return inf if norm_inf(g) > 0.0 else 0.0
    part = parts(model, g)
    return 0.5 * dot(part, part / model.values)


def pulled(model: Model, g: Any) -> float:
    """½ gᵀB⁻¹g without the parts that are only noise."""
    part = heard(model, g)
    return 0.5 * dot(part, part / model.values) if model.convex else inf


def newton_step(model: Model, part: Any) -> Any:
    """−B⁻¹g, or of some parts of g."""
    return -model.w * (model.Q @ (part / model.values))


def parts(model: Model, g: Any) -> Any:
    """Qᵀg, in units of the sizes of the variables."""
    return model.Q.T @ (g * model.w)


def heard(model: Model, g: Any) -> Any:
    """Those of its parts where they or the eigenvalue stand out of noise, else zeros."""
    part = parts(model, g)
    return namespace(part).where(absolute(part) <= model.blur, 0.0 * part, part)
