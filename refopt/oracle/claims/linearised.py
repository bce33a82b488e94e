"""Least squares, step by step: what a state knows, where a step in a region leads, how the last digits are found."""

from math import inf
from typing import Any

import numpy as np

from refopt.linearised import Path
from refopt.methods import broyden_bad, broyden_good, dogleg, gauss_newton, lm
from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import Counted, apart, condition, size
from refopt.problem import LeastSquares

MORE = "J. J. Moré, The Levenberg-Marquardt algorithm (Dundee 1977), "
QR = "a QR factorisation has errors of eps‖J‖, and solves lose κ(J) of them"
METHODS = (lm, dogleg, gauss_newton, broyden_good, broyden_bad)


def bent(draw, bend=1.0, n=None):
    """r = Ax − b + ½β(aᵀx)² e, and a start."""
    n = n or draw.size(1, 4)
    A = draw.full_rank(n + draw.size(1, 3), n, 10) / 10
    b, e, a, x = draw.vector(len(A)), draw.vector(len(A)), draw.vector(n), draw.vector(n)
    t = bend / (size(a) * size(e))
    return LeastSquares(
        residual=Counted(lambda x: A @ x - b + t * (a @ x) ** 2 / 2 * e),
        jacobian=Counted(lambda x: A + t * (a @ x) * np.outer(e, a)),
    ), x  # fmt: skip


def shortest(J, r):
    """−J⁺r."""
    return -np.linalg.lstsq(J, r, rcond=None)[0]


# --- what a state knows ------------------------------------------------------------------------------------------


def states(draw):
    """Each method's first state and four more, beside what they ought to know."""
    rows = []
    for method in METHODS:
        problem, x = bent(draw)
        params = method.Params()
        before = state = method.init(problem, x, params)
        for _ in range(5):
            r, J = problem.residual.function(state.x), problem.jacobian.function(state.x)
            learnt = not getattr(state, "exact", True)
            known = {
                "r": state.r - r, "J": state.J - (state.J if learnt else J), "f": state.f - r @ r / 2,
                "g": state.g - state.J.T @ r, "R": state.R.T @ state.R - state.J.T @ state.J,
                "c": state.R.T @ state.c - state.J.T @ r, "nfev": state.nfev - problem.residual.calls,
                "njev": state.njev - problem.jacobian.calls,
                "gain": 0.0 if learnt else method.predicted(state) - shortest(J, r) @ J.T @ J @ shortest(J, r) / 2,
            }  # fmt: skip
            if learnt and state.taken:
                known["c"] = known["c"] + size(state.J @ (state.x - before.x) - state.r + before.r)
            rows.append((known, size(J) + size(state.J), size(r), condition(J)))
            before, state = state, method.step(problem, state, params)
        start = method.init(problem, x, params)
        ready = method.resume(state._replace(ok=False), params).ok and start.taken and start.ok
        rows.append(({"ready": float(not ready)}, 1, 1, 1))
        if method is not gauss_newton:
            again = method.resume(state._replace(radius=0.0, rejected=9, ok=False), params)
            whole = size(state.d * np.where(state.x == 0, 1, state.x))
            rows.append(({"radius": again.radius - whole, "ok": again.rejected + (not again.ok)}, 1, 1, 1))
    return {"rows": rows}


@claim(
    "linearised.states",
    "A state holds f = ½‖r‖², g = Jᵀr, RᵀR = JᵀJ, Rᵀc = Jᵀr at its x, and promises ½‖JJ⁺r‖² of a whole step",
    NW + "§10.2 and §10.3",
    states,
    given="five steps of each method; J is the Jacobian, or what has been learnt of it",
    scale=lambda rows: 1.0,
    because=QR,
    slack=1000.0,
    exact=False,
)
def is_known(rows):
    found = []
    for known, J, r, kappa in rows:
        scales = {"r": r, "J": J, "f": r**2, "g": J * r, "R": J**2, "c": J * r, "gain": kappa**2 * r**2, "radius": 1e3}
        found += [np.abs(part).max() / scales.get(name, 1.0) for name, part in known.items()]
    return np.array(found)


def transition(draw):
    """A step of each method in a region, beside where its parts say that it leads."""
    rows = []
    for method in METHODS[:2]:
        problem, x = bent(draw, bend=draw.magnitude(1))
        params = method.Params(factor=float(draw.number("1/10", 2)), rescale=bool(draw.rng.integers(2)))
        state = method.init(problem, x, params)
        rows.append(apart(state.radius, params.factor * size(state.d * abs(np.where(x == 0, 1, x)))))
        for _ in range(3):
            d = np.where(state.d == 0, 1.0, state.d)
            inner: Any = dogleg.dogleg(state.R, state.c, state.g, d, state.radius)
            if method is lm:
                inner = lm.constrained(state.R, state.c, d, state.radius, state.lam, params.accuracy)
            edge = inner.lam > 0 if method is lm else inner.edge
            new = method.step(problem, state, params)
            y = state.x + inner.p
            r = problem.residual.function(y)
            gain = state.f - r @ r / 2
            taken = gain > params.eta * inner.promised
            J = problem.jacobian.function(y)
            norms = np.linalg.norm(J, axis=0)
            rows += [
                apart(new.x, y if taken else state.x), float(new.taken != taken), apart(new.promised, inner.promised),
                apart(new.radius, rule(state.radius, inner, edge and taken, gain, 0.1)), new.rejected - (not taken),
                apart(new.d, np.maximum(state.d, norms) if taken and params.rescale else state.d),
            ]  # fmt: skip
            if not taken or size(new.g) < 1e-4:
                break
            state = new
        again = method.resume(new._replace(radius=0.0, rejected=9, ok=False), params)
        rows.append(apart(again.radius, params.factor * size(new.d * abs(np.where(new.x == 0, 1, new.x)))))
    return {"rows": rows}


def rule(radius, step, edge, gain, least):
    """The radius after a step that gained so much."""
    share = gain / step.promised
    if share > 0.75 and edge:
        return (4 if share > 0.9 else 2) * step.length
    if share > 0.25:
        return radius
    t = 0.5 * step.slope / (gain + step.slope) if gain + step.slope < 0 else 0.5
    return min(max(t, least), 0.5) * step.length


@claim(
    "linearised.transition",
    "A step with ρ > η is taken, D grows to the longest columns, and Δ follows ρ; another is not, and Δ shrinks",
    MORE + "§4 and §6; " + NW + "§4.1",
    transition,
    given="Δ₀ = factor ‖Dx₀‖",
    scale=lambda rows: 1.0,
    because="sums of a few terms, relative to the largest of them",
    exact=False,
)
def is_transition(rows):
    return np.concatenate([np.atleast_1d(row) for row in rows])


# --- one trial ---------------------------------------------------------------------------------------------------


def tried_and_judged(draw, tried, judged):
    """A step that promises a drawn part of what it gains, where f is noise, not finite, or neither."""
    problem, x = bent(draw)
    p, share = draw.vector(len(x)) * draw.magnitude(2), float(draw.number("1/10", 9))
    r, s, J = problem.residual(x), problem.residual(x + p), problem.jacobian(x + p)
    f, g = r @ r / 2, problem.jacobian(x).T @ r
    gain = f - s @ s / 2
    promised, eta = abs(gain) * share, 0.5
    noisy, broken = bool(draw.rng.integers(2)), bool(draw.rng.integers(4) == 0)
    problem = LeastSquares(
        lambda y: s * np.inf if broken else s, lambda y: J, noise=10 * (1 + share) * abs(gain) * noisy
    )
    trial = tried(problem, x, f, p, promised, eta)
    seen = judged(g, trial._replace(r=s), p, J)
    lost = judged(g, trial._replace(r=s), p, J * np.nan)
    gone = -inf if broken else gain
    drowned = noisy and not broken
    worth = not broken and (drowned or gain > eta * promised)
    return {
        "flags": float((trial.drowned, trial.worth) != (drowned, worth) or lost[2] != -inf),
        "away": trial.x - x - p, "gain": 0.0 if trial.gain == gone else trial.gain - gone, "g": seen[0] - J.T @ s,
        "norms": seen[1] - np.linalg.norm(J, axis=0),
        "judged": 0.0 if broken else seen[2] - (-(g + J.T @ s) @ p / 2 if drowned else gain),
        "f": f + s @ s / 2 + size(p) * size(J) * (size(r) + size(s)), "J": size(J), "x": size(x) + size(p),
    }  # fmt: skip


@claim(
    "linearised.trial",
    "A step is worth a Jacobian if it gains more than η of what it promises; where f is noise −½(g + g₊)ᵀp is its gain",
    "the trapezoid rule; " + NW + "§10.3",
    tried_and_judged,
    given="what is not finite gains −∞",
    uses=("linearised.tried", "linearised.judged"),
    scale=lambda x, f, J: (1, x, f, f * (1 + J), J, f + 1),
    because="sums of terms of this size",
    exact=False,
)
def trial(flags, away, gain, g, norms, judged):
    return flags, away, gain, g, norms, judged


def radii(draw, resized, first_radius):
    length, promised, radius = draw.magnitude(2), draw.magnitude(2), draw.magnitude(2)
    share, edge = float(draw.number(-2, 2)), bool(draw.rng.integers(2))
    step = Path(None, length, -promised * float(draw.number(1, 2)), promised, edge)
    x = draw.vector(draw.size(2))
    x[0], d = 0.0, abs(draw.vector(len(x)))
    return {
        "found": resized(radius, step, edge, share * promised, 0.1), "radius": radius, "length": length,
        "expected": rule(radius, step, edge, share * promised, 0.1),
        "first": first_radius(x, d, 3.0) - 3 * np.sqrt(d[0] ** 2 + ((d * x) ** 2).sum()), "d": size(d) * (1 + size(x)),
    }  # fmt: skip


@claim(
    "linearised.radius",
    "Δ₊ = 4‖Dp‖ if ρ > 0.9, 2‖Dp‖ if ρ > ¾ at the boundary, Δ if ρ > ¼; else τ‖Dp‖, τ the minimiser of a parabola",
    MORE + "§4",
    radii,
    given="the parabola has gᵀp and the gain; τ ∈ [⅒, ½].  Δ₀ = factor ‖Dx₀‖, with 1 for xᵢ = 0",
    uses=("linearised.resized", "linearised.first_radius"),
    scale=lambda radius, length, d: (radius + length, d),
    because="a few roundings",
    exact=False,
)
def radius(found, expected, first):
    return found - expected, first
