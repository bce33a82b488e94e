"""Methods that see the Hessian through products only, state by state: what each knows of its next step."""

from math import inf

import numpy as np

from refopt import inexact
from refopt.krylov import Inner, conjugate_gradients
from refopt.linesearch import Point
from refopt.methods import hessian_free, newton_cg, trust_krylov, trust_ncg
from refopt.oracle.claim import claim
from refopt.oracle.claims import CGT, NW
from refopt.oracle.claims.states import SAME, quartic, together
from refopt.oracle.claims.trust_region import model
from refopt.oracle.draw import Counted, apart, excess, size
from refopt.problem import Problem

MARTENS = "J. Martens, Deep learning via Hessian-free optimization, ICML 2010"


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
        rows += [state.first - state.f, apart(state.steep, steep), float(not (state.taken and state.ok))]
        rows.append(float(getattr(state, "weak", 0) + getattr(state, "rejected", 0)))
        shorter = method.step(problem, state._replace(steep=0.0), params)
        rows.append(apart(shorter.steep, size(shorter.g)) * shorter.taken)
        if method in (newton_cg, hessian_free):
            blind = method.step(problem._replace(fun=lambda x: np.nan), state._replace(weak=1), params)
            rows += [blind.weak - 2.0, blind.x - x, float(blind.taken or blind.ok)]
        for asked in (problem.fun, problem.grad, products):
            asked.seen.clear()
        state = method.init(problem, x, params)
        for _ in range(3):
            H, g = problem.hess.function(state.x), problem.grad.function(state.x)
            rows += [state.g - g, state.f - problem.fun.function(state.x), float(state.nhvp - products.calls),
                     state.nfev - problem.fun.calls, state.njev - problem.grad.calls,
                     apart(state.steep, steep)]  # fmt: skip
            eta = min(0.5, np.sqrt(size(g) / steep))
            if method in (trust_ncg, trust_krylov):
                rows += [apart(state.promised, -model(g, H, state.p), g @ state.p),
                         excess(size(state.p) / state.radius - (1 + 0.1 * eta)),
                         excess(size(H @ state.p + g) / size(g) - eta) * (not state.edge)]  # fmt: skip
            elif method is newton_cg:
                rows += [excess(size(H @ state.p + g) / size(g) - eta), state.bend]
            else:
                rows += [apart(state.promised, -model(g, H, state.p), g @ state.p), state.bend, excess(-state.gain)]
            new = method.step(problem, state, params)
            steep = max(steep, size(new.g)) if new.taken or method in (trust_ncg, trust_krylov) else steep
            if size(new.g) < 1e-3 or not new.taken:
                break
            if method is newton_cg or method is hessian_free:
                moved = new.x - state.x
                rows.append(apart(moved, (moved @ state.p) / (state.p @ state.p) * state.p, state.x))
            else:
                rows.append(apart(new.x, state.x + state.p, state.x))
            state = new
    problem, x = quartic(draw)
    products = Counted(problem.hvp)
    problem = problem._replace(hvp=products)
    state = hessian_free.init(problem, x, hessian_free.Params())
    done = hessian_free.planned(problem, state._replace(first=state.f + 1e15), hessian_free.Params())
    rows += [float(done.nhvp - products.calls)]
    options = hessian_free.Params()
    eta = min(options.forcing, 0.5)
    first = hessian_free.damped(problem, x, state.g, state.p, state.lam, eta, options.progress)
    newton = hessian_free.damped(problem, x, state.g, first.step.p, 0.0, eta, options.progress)
    out = inexact.way(problem, x, state.f, state.g, state.f + 1e15, newton.step)
    rows += [done.promised - newton.step.promised, done.size - max(state.size, first.size),
             float(done.nhvp - state.nhvp - first.step.products - out.products)]  # fmt: skip
    problem, x = quartic(draw, dead=True)
    start = inexact.begun(problem, x, 3.0)
    rows += [float(np.shape(start.p) != np.shape(x)),
             start.radius - 3.0, start.p, start.promised, start.gain, float(start.edge), float(start.nhvp),
             apart(inexact.begun(problem, x, 0.0).radius, size(x))]  # fmt: skip
    taken = bool(draw.rng.integers(2))
    found = Inner(x, 2.0, True, 5.0, 4)
    after = inexact.adopted(problem, start._replace(taken=taken, gain=9.0, first=start.f), found)
    rows += [after.p - x, after.promised - 2.0, after.gain - (5.0 if taken else 9.0), after.nhvp - 4.0]
    again = inexact.resume(after._replace(rejected=4, ok=False))
    rows += [again.promised, apart(again.radius, size(x)), float(again.rejected), float(not again.ok)]
    return {"rows": rows}


@claim(
    "states.inexact",
    "A state knows its next step: ‖Hp + g‖ ≤ η‖g‖ with η = min(½, √(‖g‖/max‖g‖)), and what it promises, −gᵀp − ½pᵀHp",
    NW + "§7.1",
    planned,
    given="inside a region, or with a search; a region that shrank leaves no less to gain",
    scale=lambda: 10.0,
    because=SAME,
    exact=False,
)
def inexact_states(rows):
    return together(rows)


def damped(draw):
    """Hessian-free's inner problem: convex, without a start that descends, and without any curvature to follow."""
    problem, x = quartic(draw)
    g, H, n = problem.grad.function(x), problem.hess.function(x), len(x)
    lam, last = float(draw.number("1/2", 2)), draw.vector(n)
    found = hessian_free.damped(problem, x, g, last, lam, 1e-13, 0.0)
    p, values = -np.linalg.solve(H + lam * np.eye(n), g), np.linalg.eigvalsh(H)
    tall = hessian_free.damped(problem, x, 1024 * g, 1024 * last, lam, 1e-13, 0.0)
    rows = [
        apart(found.step.p, p), apart(found.step.promised, -model(g, H, p), g @ p),
        apart(found.step.gain, -model(g, H + lam * np.eye(n), p), g @ p), float(found.step.edge),
        excess(1 - found.size / (values[0] + lam)), excess(found.size / (values[-1] + lam) - 1),
        tall.step.p / 2.0**10 - found.step.p, tall.step.promised / 2.0**20 - found.step.promised,
        tall.step.gain / 2.0**20 - found.step.gain, tall.size - found.size,
    ]  # fmt: skip
    down = problem._replace(hvp=lambda x, v: -v)
    for y, whole in ((x, size(x)), (0 * x, 1.0)):
        none = hessian_free.damped(down, y, g, 0 * g, 0.5, 0.5, 0.0)
        rows += [apart(none.step.p, -whole / size(g) * g), none.step.promised, float(none.step.gain != inf)]
        none = hessian_free.damped(problem._replace(hvp=lambda x, v: 0 * v), y, g, 0 * g, 0.0, 0.5, 0.0)
        rows += [apart(none.step.p, -whole / size(g) * g)]
    for _ in range(40):
        B, last, h = draw.indefinite(4), draw.vector(4), np.eye(4)[draw.rng.integers(4)]
        bent = problem._replace(hvp=lambda x, v, B=B: B @ v)
        z = conjugate_gradients(bent, h, h, last, 0.0, inf, 0.1, 0.0, 40).z
        turned = hessian_free.damped(bent, h, h, last, 0.0, 0.1, 0.0).step.p
        rows += [excess(turned @ h) / size(turned), apart(turned, -z if z @ h > 0 else z) if z.any() else 0.0]
    long = Problem(lambda x: 0.0, hvp=lambda x, v: 10.0 ** -np.linspace(0, 10, 30) * v)
    rows.append(
        hessian_free.damped(long, np.ones(30), draw.vector(30), np.zeros(30), 0.0, 0.0, 0.0).step.products - 300
    )
    return {"rows": rows, "kappa": (values[-1] + lam) / (values[0] + lam)}


@claim(
    "states.hessian-free",
    "p = −(B + λI)⁻¹g promises −gᵀp − ½pᵀBp; where conjugate gradients find nothing it is −g with the length of x",
    MARTENS,
    damped,
    given="they start from the best multiple of the last p, and take 10n products at most; no p leads uphill",
    scale=lambda kappa: 10 * kappa,
    because=SAME + "; a tolerance of 1e-13 leaves κ times as much",
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
