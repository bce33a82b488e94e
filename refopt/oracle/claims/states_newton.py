"""Newton's methods, state by state: their steps, how they leave saddles, and what is known where only products are."""

from math import inf

import numpy as np

from refopt import inexact
from refopt.departure import depart
from refopt.krylov import Inner, conjugate_gradients
from refopt.linesearch import FIXED, Point
from refopt.methods import (
    damped_newton,
    diagonal_newton,
    hessian_free,
    modified_newton,
    natural_gradient,
    newton,
    newton_cg,
    saddle_free_newton,
    sr1,
    trust_krylov,
    trust_ncg,
)
from refopt.newton_type import State as NewtonState
from refopt.oracle.claim import claim
from refopt.oracle.claims import CGT, NW
from refopt.oracle.claims.states import SAME, quartic, together
from refopt.oracle.claims.trust_region import model
from refopt.oracle.draw import Counted, excess, size
from refopt.problem import Problem

MARTENS = "J. Martens, Deep learning via Hessian-free optimization, ICML 2010"


# --- with the Hessian --------------------------------------------------------------------------------------------


def steps(draw):
    """Each direction from any symmetric matrix, and the state where half of it leads."""
    rows = []
    n = draw.size(2)
    problem, x = quartic(draw, n=n)
    B = draw.indefinite(n)
    B, g = B / size(B), problem.grad.function(x)
    values, V = np.linalg.eigh(B)
    lam, d = float(draw.number("1/10", 1)), np.diag(B)
    least, clip, most = float(draw.number("1/100", "1/2")), float(draw.number("1/10", 1)), float(draw.number(1, 9))
    curvature = np.minimum(np.maximum(abs(d), least * abs(d).max()), clip * abs(d).max())
    tau = 0.0
    while (values + tau).min() <= 0:
        tau = max(2 * tau, 1e-3)
    expected = {
        newton: (newton.Params(step=0.5), -np.linalg.solve(B, g)),
        damped_newton: (damped_newton.Params(step=0.5, damping=lam), -np.linalg.solve(B + lam * np.eye(n), g)),
        natural_gradient: (natural_gradient.Params(step=0.5, damping=lam), -np.linalg.solve(B + lam * np.eye(n), g)),
        saddle_free_newton: (saddle_free_newton.Params(step=0.5, search=FIXED), -V @ ((V.T @ g) / abs(values))),
        modified_newton: (modified_newton.Params(search=FIXED), -np.linalg.solve(B + tau * np.eye(n), g) * 2),
        diagonal_newton: (
            diagonal_newton.Params(step=0.5, floor=least, clip=clip * abs(d).max(), clip_update=most),
            np.clip(-g / curvature, -most, most),
        ),
    }
    floored = -V @ ((V.T @ g) / np.maximum(abs(values), 0.5 * abs(values).max()))
    rows.append(saddle_free_newton.direction(B, g, 0.5) - floored)
    for method, (params, p) in expected.items():
        state = method.init(problem, x, params)
        rows += [state.B - problem.hess.function(x), state.first - state.f, state.g - g]
        grown = 1e3 * (1 + size(p) / size(g)) ** 2
        new = method.step(problem, state._replace(B=B, first=state.f - 1.0, weak=1), params)
        y = new.x
        rows += [
            (y - x - p / 2) / grown / size(g), new.f - problem.fun.function(y), new.g - problem.grad.function(y),
            new.B - problem.hess.function(y), new.first - state.f + 1.0, float(new.weak),
            new.nfev - 2.0, new.njev - 2.0, new.nhev - 2.0, float(not new.ok),
        ]  # fmt: skip
        for lost, hessians in ({"fun": lambda x: np.nan}, 1.0), ({"hess": lambda x: np.nan * B}, 2.0):
            blind = method.step(problem._replace(**lost), state._replace(B=B), params)
            rows += [blind.x - x, float(blind.ok or blind.taken), blind.nhev - hessians]
    unit = saddle_free_newton.direction(0 * B, g, 0.1) * size(g)
    rows += [modified_newton.direction(B * np.nan, g, 1e-3)[0] + g, unit + g]
    rows.append(diagonal_newton.direction(0 * B, g, 0.1, 1e30, 1e30) + g)
    singular = np.diag(np.arange(n) > 0) * 1.0
    for method, params in (
        (newton, newton.Params()), (natural_gradient, natural_gradient.Params()),
        (damped_newton, damped_newton.Params(damping=0.0)),
    ):  # fmt: skip
        stuck = method.step(problem, method.init(problem, x, params)._replace(B=singular), params)
        rows += [stuck.x - x, float(stuck.ok or stuck.taken)]
    return {"rows": rows}


@claim(
    "states.newton",
    "x₊ = x + ηp with p = −B⁻¹g, −(B + λI)⁻¹g, −|B|⁻¹g, −(B + τI)⁻¹g for the first τ = 0, β‖B‖, 2β‖B‖ … that will do",
    NW + "§3.3 and §3.4; Y. LeCun et al., Efficient BackProp, §9.2 (the diagonal)",
    steps,
    given="by its diagonal, −gᵢ/|Bᵢᵢ| with both clipped; a singular system has no step",
    scale=lambda: 1e3,
    because=SAME,
    slack=1e4,
    exact=False,
)
def newton_steps(rows):
    return together(rows)


def beside_a_saddle(draw):
    """f = ½xᵀAx + ¼‖x‖⁴ and next to nothing of a gradient; the way out, along the eigenvector of A's λ₁ < 0."""
    A = draw.indefinite(n := draw.size(2))
    A = A / size(A)
    values, V = np.linalg.eigh(A)
    problem = Problem(
        lambda x: x @ A @ x / 2 + (x @ x) ** 2 / 4, lambda x: A @ x + (x @ x) * x, lambda x: A + (x @ x) * np.eye(n)
        + 2 * np.outer(x, x), lambda x, v: A @ v + (x @ x) * v + 2 * (x @ v) * x,
    )  # fmt: skip
    x, first = 0 * V[:, 0], float(draw.number(0, 9)) * int(draw.rng.integers(2))
    g = 1e-9 * abs(values).min() * draw.vector(n) * (first > 0)
    length = max(np.sqrt(2 * first / abs(values[0])), np.sqrt(2e-12 * first / abs(values[0]))) or 1.0
    length = max(length, 1.0) if not first else length
    v = V[:, 0] * (-1 if g @ V[:, 0] > 0 else 1)
    return problem, A, values, v, x, g, first, length


def left(draw):
    """Where each method with a Hessian goes from there."""
    problem, A, values, v, x, g, first, length = beside_a_saddle(draw)
    rows = []
    for method in (saddle_free_newton, modified_newton):
        params = method.Params()
        state = NewtonState(x, 0.0, g, A, first, 0, True, True, 1, 1, 1)
        new = method.step(problem, state, params)
        out = depart(problem, x, 0.0, g, length * v, length**2 * values[0], params.trials)
        sign = 1.0 if first else np.sign(new.x @ out.x)
        rows += [new.x - sign * out.x, new.nfev - 1.0 - out.nfev, float(method.predicted(state) != inf)]
    found = Inner(0 * x, 0.0, False, 0.0, 7)
    g = g if draw.rng.integers(2) else draw.vector(len(x))
    way = inexact.way(problem, x, 0.0, g, first, found)
    unit = way.p / size(way.p)
    reach = np.sqrt(2 * first / abs(unit @ A @ unit)) if first else 1.0
    rows += [
        size(way.p) / reach - 1, way.bend / (way.p @ A @ way.p) - 1, excess(way.bend), excess(way.p @ g),
        float(way.gain != inf), excess(8.0 - way.products),
    ]  # fmt: skip
    point = inexact.ahead(problem, x, 0.0, g, way.p, way.bend, 0, 1e-4, 0.9, 40)
    rows.append(point.x - depart(problem, x, 0.0, g, way.p, way.bend, 40).x)
    kept = inexact.way(problem, x, 0.0, g, first, found._replace(p=v, gain=1.0))
    rows += [kept.p - v, kept.bend, kept.gain - 1.0, kept.products - 7.0]
    return {"rows": rows}


@claim(
    "states.saddle",
    "Beside a saddle the step goes along negative curvature, not uphill, so far that f falls again as much as it has",
    "J. J. Moré & D. C. Sorensen, Math. Program. 16 (1979) 1",
    left,
    given="next to nothing is to be gained otherwise; ½|λ₁|s² = f₀ − f, or s = 1 where f has not fallen",
    scale=lambda: 1e3,
    because=SAME + "; eigenvectors lose the reciprocal of their gap",
    slack=1e6,
    exact=False,
)
def saddle(rows):
    return together(rows)


# --- with products only ------------------------------------------------------------------------------------------


def planned(draw):
    """A few steps of the methods that plan the next one, whose states must know it."""
    rows = []
    for method in (trust_ncg, trust_krylov, newton_cg, hessian_free):
        problem, x = quartic(draw)
        products = Counted(problem.hvp)
        problem = problem._replace(hvp=products)
        params = method.Params()
        state = method.init(problem, x, params)
        steep = size(state.g)
        rows += [state.first - state.f, state.steep - steep, float(not (state.taken and state.ok))]
        rows.append(float(getattr(state, "weak", 0) + getattr(state, "rejected", 0)))
        shorter = method.step(problem, state._replace(steep=0.0), params)
        rows.append((shorter.steep - size(shorter.g)) * shorter.taken)
        for asked in (problem.fun, problem.grad, products):
            asked.seen.clear()
        state = method.init(problem, x, params)
        for _ in range(3):
            H, g = problem.hess.function(state.x), problem.grad.function(state.x)
            rows += [state.g - g, state.f - problem.fun.function(state.x), float(state.nhvp - products.calls),
                     state.nfev - problem.fun.calls, state.njev - problem.grad.calls,
                     state.steep - steep]  # fmt: skip
            eta = min(0.5, np.sqrt(size(g) / steep))
            if method in (trust_ncg, trust_krylov):
                rows += [state.promised + model(g, H, state.p), excess(size(state.p) - state.radius * (1 + 0.1 * eta)),
                         excess(size(H @ state.p + g) - eta * size(g)) * (not state.edge)]  # fmt: skip
            elif method is newton_cg:
                rows += [excess(size(H @ state.p + g) - eta * size(g)), state.bend]
            else:
                rows += [state.promised + model(g, H, state.p), state.bend, excess(-state.gain)]
            new = method.step(problem, state, params)
            steep = max(steep, size(new.g)) if new.taken or method in (trust_ncg, trust_krylov) else steep
            if size(new.g) < 1e-3 or not new.taken:
                break
            if method is newton_cg or method is hessian_free:
                moved = new.x - state.x
                rows.append(moved - (moved @ state.p) / (state.p @ state.p) * state.p)
            else:
                rows.append(new.x - state.x - state.p)
            state = new
    problem, x = quartic(draw)
    products = Counted(problem.hvp)
    problem = problem._replace(hvp=products)
    state = hessian_free.init(problem, x, hessian_free.Params())
    done = hessian_free.planned(problem, state._replace(first=state.f + 1e15), hessian_free.Params())
    rows += [float(done.nhvp - products.calls)]
    problem, x = quartic(draw, dead=True)
    start = inexact.begun(problem, x, 3.0)
    rows += [float(np.shape(start.p) != np.shape(x)),
             start.radius - 3.0, start.p, start.promised, start.gain, float(start.edge), float(start.nhvp),
             inexact.begun(problem, x, 0.0).radius - size(x)]  # fmt: skip
    taken = bool(draw.rng.integers(2))
    found = Inner(x, 2.0, True, 5.0, 4)
    after = inexact.adopted(problem, start._replace(taken=taken, gain=9.0, first=start.f), found)
    rows += [after.p - x, after.promised - 2.0, after.gain - (5.0 if taken else 9.0), after.nhvp - 4.0]
    again = inexact.resume(after._replace(rejected=4, ok=False))
    rows += [again.promised, again.radius - size(x), float(again.rejected), float(not again.ok)]
    return {"rows": rows}


@claim(
    "states.inexact",
    "A state knows its next step: ‖Hp + g‖ ≤ η‖g‖ with η = min(½, √(‖g‖/max‖g‖)), and what it promises, −gᵀp − ½pᵀHp",
    NW + "§7.1",
    planned,
    given="inside a region, or with a search; a region that shrank leaves no less to gain",
    scale=lambda: 1e3,
    because=SAME,
    slack=1e3,
    exact=False,
)
def inexact_states(rows):
    return together(rows)


def damped(draw):
    """Hessian-free's inner problem: convex, without a start that descends, and without any curvature to follow."""
    problem, x = quartic(draw)
    g, H, n = problem.grad.function(x), problem.hess.function(x), len(x)
    lam, last = float(draw.number("1/2", 2)), draw.vector(n)
    found = hessian_free.damped(problem, x, g, last, lam, 1e-8, 0.0)
    p = -np.linalg.solve(H + lam * np.eye(n), g)
    tall = hessian_free.damped(problem, x, 1e3 * g, 1e3 * last, lam, 1e-8, 0.0)
    rows = [
        found.step.p - p, found.step.promised + model(g, H, p), found.step.gain + model(g, H + lam * np.eye(n), p),
        float(found.step.edge), excess(np.linalg.eigvalsh(H)[0] + lam - found.size),
        excess(found.size - np.linalg.eigvalsh(H)[-1] - lam), tall.step.p / 1e3 - found.step.p,
        tall.step.promised / 1e6 - found.step.promised, tall.step.gain / 1e6 - found.step.gain, tall.size - found.size,
    ]  # fmt: skip
    down = problem._replace(hvp=lambda x, v: -v)
    for y, whole in ((x, size(x)), (0 * x, 1.0)):
        none = hessian_free.damped(down, y, g, 0 * g, 0.5, 0.5, 0.0)
        rows += [none.step.p + whole / size(g) * g, none.step.promised, float(none.step.gain != inf)]
        none = hessian_free.damped(problem._replace(hvp=lambda x, v: 0 * v), y, g, 0 * g, 0.0, 0.5, 0.0)
        rows += [none.step.p + whole / size(g) * g]
    for _ in range(40):
        B, last, h = draw.indefinite(4), draw.vector(4), draw.vector(4)
        h = h / size(h)
        bent = problem._replace(hvp=lambda x, v, B=B: B @ v)
        z = conjugate_gradients(bent, h, h, last, 0.0, inf, 0.1, 0.0, 40).z
        turned = hessian_free.damped(bent, h, h, last, 0.0, 0.1, 0.0).step.p
        rows += [excess(turned @ h), turned - (-z if z @ h > 0 else z) if z.any() else 0.0]
    long = Problem(lambda x: 0.0, hvp=lambda x, v: 10.0 ** -np.linspace(0, 10, 30) * v)
    rows.append(
        hessian_free.damped(long, np.ones(30), draw.vector(30), np.zeros(30), 0.0, 0.0, 0.0).step.products - 300
    )
    return {"rows": rows}


@claim(
    "states.hessian-free",
    "p = −(B + λI)⁻¹g promises −gᵀp − ½pᵀBp; where conjugate gradients find nothing it is −g with the length of x",
    MARTENS,
    damped,
    given="they start from the best multiple of the last p, and take 10n products at most; no p leads uphill",
    scale=lambda: 1e3,
    because=SAME + "; a tolerance of 1e-8",
    slack=1e6,
    exact=False,
)
def hessian_free_damped(rows):
    return together(rows)


def measured(draw, ratio):
    """ρ where values tell it, where slopes do, and where the step was shortened."""
    problem, x = quartic(draw)
    p = draw.vector(len(x))
    state = hessian_free.init(problem, x, hessian_free.Params())
    lam0 = state.lam * size(x) / size(state.g) - 1e-3
    origin = hessian_free.init(problem, 0 * x, hessian_free.Params())
    lam1 = origin.lam / size(origin.g) - 1e-3
    given = hessian_free.init(problem, x, hessian_free.Params(damping=3.0)).lam - 3.0
    y = x + p
    point = Point(y, problem.fun.function(y), problem.grad.function(y), 1.0, 1, 1, True, True)
    promised = float(draw.number("1/10", 9))
    state = state._replace(promised=promised)
    noisy = problem._replace(noise=1e3)
    return {
        "rows": [
            lam0, lam1, given, ratio(problem, state, point) - (state.f - point.f) / promised,
            ratio(noisy, state, point) + (state.g + point.g) @ p / (2 * promised),
            ratio(problem, state, point._replace(alpha=0.5)), ratio(problem, state._replace(promised=0.0), point),
        ],
        "size": (1 + abs(point.f) + size(point.g) * size(p)) / promised,
    }  # fmt: skip


@claim(
    "states.reduction-ratio",
    "ρ = (f − f₊)/(m(0) − m(p)), by the trapezoid rule −½(g + g₊)ᵀp where f is noise, and 0 where p was shortened",
    MARTENS + ", §4.1; " + CGT + "§17.4",
    measured,
    given="λ₀ is a thousandth of ‖g₀‖/‖x₀‖, or of ‖g₀‖ at the origin",
    uses=("hessian-free.ratio",),
    scale=lambda size: 10 * size,
    because=SAME,
    exact=False,
)
def reduction_ratio(rows):
    return together(rows)


# --- SR1 ---------------------------------------------------------------------------------------------------------


def rank_one_steps(draw):
    """A step of SR1 in its region, or along it, from any B; one that is refused teaches B as well."""
    rows = []
    for search in (FIXED, 0, 1, 2):
        problem, x = quartic(draw)
        n, whole = len(x), float(draw.number("1/2", 1)) if search == FIXED else 1.0
        params = sr1.Params(search=search, step=whole)
        state = sr1.init(problem, x, params)
        guess = 10 * size(state.g) / size(x)
        rows += [state.B - guess * np.eye(n), state.radius - size(x), sr1.predicted(state)]
        B = draw.unit(n, 10) * float(draw.number("1/10", 3))
        state = sr1.primed(state, B)._replace(radius=float(draw.number("1/10", 9)))
        p, lam, promised = sr1.more_sorensen(state.g, B, state.radius, params.accuracy)
        rows.append(sr1.predicted(state) - promised)
        p = whole * p
        new = sr1.step(problem, state._replace(B=B.copy()), params)
        moved = p if search == FIXED else new.x - x
        y = problem.grad.function(x + moved) - state.g
        r = y - B @ moved
        learnt = abs(r @ moved) >= 1e-6 * size(r) * size(moved) and size(r) > 0
        expected = B + np.outer(r, r) / (r @ moved) if learnt else B
        ratio = (state.f - problem.fun.function(x + moved)) / -model(state.g, B, p)
        zone = 0.25 * size(moved) if ratio < 0.25 else state.radius * (2 if ratio > 0.75 and lam > 0 else 1)
        radius = zone if search == FIXED else max(zone, size(moved))
        refused = search == FIXED and ratio <= params.eta
        radius = 0.25 * size(p) if refused else radius
        rows += [
            (new.B - expected) / (1 + size(expected)) ** 2 if learnt else 0.0, new.x - x - (0 if refused else moved),
            new.radius - radius, float(new.taken == refused), new.rejected - float(refused),
            new.f - problem.fun.function(new.x), new.g - problem.grad.function(new.x), new.nfev - problem.fun.calls,
            new.njev - problem.grad.calls,
        ]  # fmt: skip
        again = sr1.restart(new)
        rows += [again.B - 10 * size(new.g) / size(new.x) * np.eye(n), again.radius - size(new.x),
                 float(not again.fresh), sr1.resume(new._replace(radius=0.0)).radius - size(new.x)]  # fmt: skip
        rows += [sr1.first_guess(0 * x, state.g) - 10 * size(state.g), sr1.first_guess(x, 0 * x) - 1.0]
        lost = sr1.sought(
            problem._replace(fun=lambda x: np.nan), state._replace(rejected=7), p, 1.0, True, params._replace(search=2)
        )
        rows += [lost.x - x, lost.radius - size(p) / 4, float(lost.taken), lost.rejected - 8.0, float(not lost.ok)]
    return {"rows": rows}


@claim(
    "states.sr1",
    "B₊ = B + rrᵀ/rᵀs with r = y − Bs, from the step that was tried even where it was refused; B₀ = 10(‖g₀‖/‖x₀‖)I",
    NW + "§6.2",
    rank_one_steps,
    given="Δ follows ρ; a search along p makes the region at least as long as its step",
    scale=lambda: 1e3,
    because=SAME,
    slack=1e5,
    exact=False,
)
def rank_one(rows):
    return together(rows)


def learning(draw, learns):
    """r and s at an angle that is drawn, beside a B of any size."""
    n = draw.size(2)
    B, s, skip = draw.indefinite(n), draw.vector(n), 1e-3
    cosine = 10.0 ** -draw.rng.uniform(0, 6)
    t = draw.vector(n)
    t = t - (t @ s) / (s @ s) * s
    r = (cosine * s / size(s) + np.sqrt(1 - cosine**2) * t / (size(t) or 1.0)) * 10.0 ** draw.rng.uniform(-3, 12)
    fresh = bool(draw.rng.integers(2))
    rs, gentle = abs(r @ s), 2.0**-52 * (r @ r) ** 2 <= (r @ s) ** 2 * size(B) ** 2
    clear = abs(np.log(rs / (skip * size(r) * size(s)))) > 0.1 and abs(
        np.log(2.0**-52 * (r @ r) ** 2 / ((r @ s) ** 2 * size(B) ** 2))
    ) > 0.1  # fmt: skip
    expected = (fresh or gentle) and rs >= skip * size(r) * size(s)
    return {
        "flag": float(learns(B, s, B @ s + r, skip, fresh) != expected) * clear * (size(r) < 1e6 or fresh is False),
        "none": float(learns(B, s, B @ s, skip, fresh) and bool((B @ s - B @ s).any())),
    }  # fmt: skip


@claim(
    "states.sr1-safeguard",
    "B learns where |rᵀs| ≥ skip ‖r‖‖s‖ > 0, and, once it has learnt, where √eps‖r‖² ≤ |rᵀs|‖B‖_F: no digit is lost",
    NW + "§6.2",
    learning,
    uses=("sr1.learns",),
    scale=lambda: 1.0,
    because="yes or no",
    exact=False,
)
def safeguard(flag, none):
    return flag, none
