"""SR1, state by state: what B learns, from which steps, and what becomes of the region."""

import numpy as np

from refopt.linesearch import FIXED
from refopt.methods import sr1
from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.states import SAME, quartic, together
from refopt.oracle.claims.trust_region import model
from refopt.oracle.draw import apart, size


def rank_one_steps(draw):
    """A step of SR1 in its region, or along it, from any B; one that is refused teaches B as well."""
    rows = []
    for search in (FIXED, 0, 1, 2):
        problem, x = quartic(draw)
        n, whole = len(x), float(draw.number("1/2", 1)) if search == FIXED else 1.0
        params = sr1.Params(search=search, step=whole)
        state = sr1.init(problem, x, params)
        guess = 10 * size(state.g) / size(x)
        rows += [apart(state.B, guess * np.eye(n)), apart(state.radius, size(x)), sr1.predicted(state)]
        B = draw.unit(n, 10) * float(draw.number("1/10", 3))
        state = sr1.primed(state, B)._replace(radius=float(draw.number("1/10", 9)))
        p, lam, promised = sr1.more_sorensen(state.g, B, state.radius, params.accuracy)
        rows.append(apart(sr1.predicted(state), promised))
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
            apart(new.B, expected) / (1 + size(expected)) if learnt else 0.0,
            apart(new.x, x + (0 if refused else moved), x), apart(new.radius, radius), float(new.taken == refused),
            new.rejected - float(refused),
            new.f - problem.fun.function(new.x), new.g - problem.grad.function(new.x), new.nfev - problem.fun.calls,
            new.njev - problem.grad.calls,
        ]  # fmt: skip
        again = sr1.restart(new)
        rows += [apart(again.B, 10 * size(new.g) / size(new.x) * np.eye(n)), apart(again.radius, size(new.x)),
                 float(not again.fresh), apart(sr1.resume(new._replace(radius=0.0)).radius, size(new.x))]  # fmt: skip
        rows += [apart(sr1.first_guess(0 * x, state.g), 10 * size(state.g)), sr1.first_guess(x, 0 * x) - 1.0]
        lost = sr1.sought(
            problem._replace(fun=lambda x: np.nan), state._replace(rejected=7), p, 1.0, True, params._replace(search=2)
        )
        rows += [
            lost.x - x,
            apart(lost.radius, size(p) / 4),
            float(lost.taken),
            lost.rejected - 8.0,
            float(not lost.ok),
        ]
    return {"rows": rows}


@claim(
    "states.sr1",
    "B₊ = B + rrᵀ/rᵀs with r = y − Bs, from the step that was tried even where it was refused; B₀ = 10(‖g₀‖/‖x₀‖)I",
    NW + "§6.2",
    rank_one_steps,
    given="Δ follows ρ; a search along p makes the region at least as long as its step",
    scale=lambda: 10.0,
    because=SAME,
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
