"""Levenberg-Marquardt and Gauss-Newton, step by step: damped steps, the search for λ, acceleration, shortened steps."""

import numpy as np

from refopt.methods import gauss_newton, lm
from refopt.ops import triangular
from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.gauss_newton import spanned
from refopt.oracle.claims.linearised import MORE, QR, bent, shortest
from refopt.oracle.claims.trust_region_steps import favouring
from refopt.oracle.draw import Counted, condition, excess, size
from refopt.problem import LeastSquares

ACCURACY = 0.1


def factored(draw, worst=1e2):
    """J, r, D, and R and c of J."""
    n = draw.size()
    J, r, d = draw.full_rank(n + 1, n, worst), draw.vector(n + 1), draw.positive(n, 10)
    R = np.linalg.qr(J)[1]
    return J, r, d, R, np.linalg.solve(R.T, J.T @ r)


# --- damped steps ------------------------------------------------------------------------------------------------


def lost(J, r, d):
    """κ(JD⁻¹)² in units of what g = Jᵀr, a sum with cancellation, is known to."""
    return condition(J / d) ** 2 * condition(J) * (1 + size(J) * size(r) / size(J.T @ r))


def damped(draw, damped_step, newton):
    """The step of S with SᵀS = JᵀJ + λD², and Newton's next λ."""
    J, r, d, _, _ = factored(draw)
    lam = size(J) ** 2 / size(d) ** 2 * draw.magnitude(3)
    M = J.T @ J + lam * np.diag(d**2)
    S = np.linalg.cholesky(M).T
    p = -np.linalg.solve(M, J.T @ r)
    length = size(d * p)
    radius = length * float(draw.number("1/2", "3/2"))
    step = damped_step(S, np.linalg.solve(S.T, J.T @ r), d, lam)
    u = d**2 * p
    ratio = length**2 / (u @ np.linalg.solve(M, u))
    return {
        "step": step, "p": p, "length": length, "slope": (J.T @ r) @ p, "kappa": condition(M),
        "promised": (J @ p) @ (J @ p) / 2 + lam * length**2, "newton": newton(step, d, radius), "lam": lam,
        "steeper": lam + ratio * (length - radius) / radius, "terms": lam + ratio * (length / radius + 1),
        "none": newton(step._replace(p=0 * p), d, radius) + 1.0,
    }  # fmt: skip


@claim(
    "lm.damped-step",
    "(JᵀJ + λD²)p = −g promises ½‖Jp‖² + λ‖Dp‖²; Newton's λ₊ = λ + (‖Dp‖/‖S⁻ᵀD²p‖)²(‖Dp‖ − Δ)/Δ, SᵀS = JᵀJ + λD²",
    MORE + "§5; " + NW + "§4.3 and §10.3",
    damped,
    uses=("lm.damped_step", "lm.newton"),
    scale=lambda p, length, slope, promised, lam, terms, kappa: (
        kappa * size(p), kappa * length, kappa * abs(slope), kappa * promised, kappa * terms, lam, 1
    ),
    because="solves lose κ of JᵀJ + λD²; ‖Dp‖ − Δ cancels",
    exact=False,
)  # fmt: skip
def damped_step(step, p, length, slope, promised, newton, steeper, lam, none):
    return (
        step.p - p, step.length - length, step.slope - slope, step.promised - promised, newton - steeper,
        step.lam - lam, none,
    )  # fmt: skip


def multipliers(J, r, d, radius, guess):
    """The last λ of the search for ‖Dp‖ = Δ."""
    A, b = J / d, (J / d).T @ r
    sigma, V = np.linalg.eigh(A.T @ A)
    c = V.T @ b

    def solved(lam):
        u = c / (sigma + lam)
        length = size(u)
        return length, lam + length**2 / (u @ (u / (sigma + lam))) * (length - radius) / radius

    length, lam = solved(0.0)
    if length <= (1 + ACCURACY) * radius:
        return 0.0
    low, high, lam = 0.0, size(b) / radius, max(guess, lam)
    for _ in range(30):
        if not low < lam < high:
            lam = favouring(low, high)
        length, after = solved(lam)
        if abs(length - radius) <= ACCURACY * radius:
            return lam
        low, high = (lam, high) if length > radius else (low, lam)
        lam = after
    return None


def searched(draw, constrained):
    """From no λ, or from one that is anywhere."""
    J, r, d, R, c = factored(draw)
    radius = size(d * shortest(J, r)) * float(draw.number(0, "3/2"))
    guess = size(J / d) ** 2 * draw.magnitude(3) * int(draw.rng.integers(2))
    step = constrained(R, c, d, radius, guess, ACCURACY)
    lam = multipliers(J, r, d, radius, guess)
    p = -np.linalg.solve(J.T @ J + step.lam * np.diag(d**2), J.T @ r)
    return {
        "lam": step.lam, "expected": step.lam if lam is None else lam, "away": step.p - p, "p": p,
        "kappa": lost(J, r, d), "longest": size(J / d) ** 2, "radius": radius, "length": step.length,
        "edge": step.lam > 0,
    }  # fmt: skip


@claim(
    "lm.multiplier-steps",
    "λ = 0 if ‖D p_GN‖ is no longer than Δ; else λ follows Newton's method on 1/Δ − 1/‖Dp(λ)‖ inside (0, ‖D⁻¹g‖/Δ)",
    MORE + "§5",
    searched,
    given="‖Dp‖ = Δ is asked for to a tenth; the interval shrinks, and where λ leaves it goes to a point inside",
    uses=("lm.constrained",),
    scale=lambda p, kappa, longest, expected, radius: (
        kappa * (longest + expected), kappa * size(p), radius
    ),
    because=QR,
    exact=False,
)  # fmt: skip
def multiplier_steps(lam, expected, away, radius, length, edge):
    gap = abs(length - radius) if edge else excess(length - radius)
    return lam - expected, away, excess(gap - ACCURACY * radius)


def first(draw, reach):
    """λ₀ given, or the first region."""
    J, r, d, R, c = factored(draw)
    lam, x = size(J) ** 2 / size(d) ** 2 * draw.magnitude(2), draw.vector(len(d))
    p = shortest(np.vstack([J, np.sqrt(lam) * np.diag(d)]), np.concatenate([r, 0 * d]))
    return {
        "by_damping": reach(x, d, R, c, lm.Params(damping=lam)) - size(d * p), "p": size(d * p), "kappa": lost(J, r, d),
        "by_size": reach(x, d, R, c, lm.Params(factor=3.0)) - 3 * size(d * np.where(x == 0, 1, x)), "d": d,
    }  # fmt: skip


@claim(
    "lm.first-region",
    "With a first λ the first region is as large as its step, ‖D(JᵀJ + λD²)⁻¹g‖, else factor ‖Dx₀‖",
    MORE + "§6",
    first,
    uses=("lm.reach",),
    scale=lambda kappa, p, d: (kappa * p, 1e3 * size(d)),
    because=QR,
    exact=False,
)
def first_region(by_damping, by_size):
    return by_damping, by_size


def accelerated(draw):
    """r is quadratic: its second derivative along v is exact; a step with and without."""
    problem, x = bent(draw, bend=draw.magnitude(1))
    params = lm.Params(geodesic=True, factor=float(draw.number("1/10", 1)))
    state = lm.init(problem, x, params)
    wild = lm.constrained(state.R, state.c, state.d, state.radius, 0.0, params.accuracy)
    wild = wild._replace(p=1e9 * wild.p * (np.arange(len(x)) > 0), length=1e9 * wild.length)
    none = lm.acceleration(problem, state, wild) if len(x) > 1 else 0 * x
    J, d = state.J, state.d
    inner = lm.constrained(state.R, state.c, d, state.radius, 0.0, params.accuracy)
    v = inner.p
    second = problem.residual.function(x + v) - 2 * problem.residual.function(x) + problem.residual.function(x - v)
    M = J.T @ J + inner.lam * np.diag(d**2)
    a = -np.linalg.solve(M, J.T @ second)
    share = 2 * size(d * a) / size(d * v)
    calls = problem.residual.calls
    found = lm.acceleration(problem, state, inner)
    asked = problem.residual.calls - calls
    new = lm.step(problem, state, params)
    expected = a if share <= 0.75 else 0 * a
    p = v + expected / 2
    s = problem.residual.function(x + p)
    moved = x + p if state.f - s @ s / 2 > params.eta * inner.promised else x
    return {
        "none": float(np.shape(none) != np.shape(x) or not np.isfinite(none).all()),
        "a": found, "expected": expected, "clear": abs(share - 0.75) > 1e-6, "x": new.x, "moved": moved,
        "counts": np.array([asked - 1, new.nfev - 3]), "terms": condition(M) * size(J) * 1e3 * (
            size(state.r) + size(J) * size(v) + size(second)) / size(M), "whole": size(x) + size(v),
    }  # fmt: skip


@claim(
    "lm.acceleration",
    "a = −(JᵀJ + λD²)⁻¹Jᵀr_vv with r_vv = ∂²r(x + tv)/∂t²; the step is v + ½a where 2‖Da‖ ≤ ¾‖Dv‖, else v",
    "M. K. Transtrum & J. P. Sethna, arXiv:1201.5885",
    accelerated,
    given="r is quadratic, so that a difference quotient is exact",
    scale=lambda terms, whole: (terms, 1, terms + whole, 1),
    because="the difference with step 0.1 magnifies roundings of r two hundredfold",
    exact=False,
)
def acceleration(a, expected, clear, x, moved, counts, none):
    return (a - expected, counts, x - moved, none) if clear else (0 * a, counts, 0 * x, none)


# --- Gauss-Newton ------------------------------------------------------------------------------------------------


def deficient(draw, shortest):
    """J of any rank."""
    n = draw.size()
    k = int(draw.rng.integers(1, n + 1))
    values = draw.positive(n, 10)
    values = np.where(np.arange(n) < k, values / values.max(), 0.0)
    U, V, r = np.linalg.qr(draw.matrix(n + 2, n))[0], draw.orthogonal(n), draw.vector(n + 2)
    J = U * values @ V.T
    if (kappa := spanned(J, k)) > 30.0:
        return deficient(draw, shortest)
    inverse = np.divide(1.0, values, out=np.zeros(n), where=values > 0)
    first, p, tiny = draw.vector(1), -V @ (inverse * (U.T @ r)), 1e-5  # the smallest singular value, on an axis
    J = np.vstack([np.eye(1, n + 1) * tiny, np.hstack([np.zeros((n + 2, 1)), J])])
    found = shortest(*triangular(J, np.concatenate([first, r])))
    return {"p": found * [tiny, *n * [1.0]], "expected": np.concatenate([-first, p]), "r": r, "kappa": kappa}


@claim(
    "lm.shortest",
    "p = −J⁺r, the shortest of all minimisers of ‖Jp + r‖, is the limit of p ← p − (JᵀJ + μI)⁻¹Jᵀ(Jp + r)",
    NW + "§10.2 and §10.3",
    deficient,
    given="the first k columns J₁ are independent and span all, ‖J‖‖J₁⁺‖ ≤ 30; μ = eps‖J‖²; three rounds",
    uses=("gauss-newton.shortest",),
    scale=lambda expected, r, kappa: kappa * size(expected) + kappa**2 * size(r),
    because="where ‖J‖ = 1, eps κ is lost, and eps κ² of large residuals, κ = ‖J₁⁺‖; no round leaves the range of Rᵀ",
    exact=False,
)
def is_shortest(p, expected):
    return p - expected


def shortened(draw):
    """r = s·arctan(Qx) far from 0, or s(1 + (Qx)²) beside 0, which full steps overshoot; and the trials of a step."""
    n = draw.size()
    Q, first = draw.orthogonal(n), float(draw.number("1/2", "3/2"))
    s = draw.positive(n, 10)
    x, flat = draw.vector(n) * draw.magnitude(1), bool(draw.rng.integers(2))
    x = x / size(x) / 10 if flat else x
    fun = lambda z: 1 + z**2 if flat else np.arctan(z)
    slopes = lambda z: 2 * z if flat else 1 / (1 + z**2)
    asked = Counted(lambda x: s * fun(Q @ x))
    problem = LeastSquares(asked, lambda x: (s * slopes(Q @ x))[:, None] * Q)
    params = gauss_newton.Params(step=first, eta=(1e-4, 0.9)[int(draw.rng.integers(2))])
    state = gauss_newton.init(problem, x, params)
    p, f = shortest(state.J, state.r), state.f
    slope, alpha, expected = state.g @ p, first, []
    while True:
        expected.append(alpha)
        r = s * fun(Q @ (x + alpha * p))
        gain = f - r @ r / 2
        if gain > params.eta * -(alpha - alpha**2 / 2) * slope or len(expected) == 40:
            break
        bend = -gain - alpha * slope
        alpha = alpha * min(max(-0.5 * alpha * slope / bend, 0.1), 0.5) if bend > 0 else 0.5
    new = gauss_newton.step(problem, state, params)
    tried = asked.seen[1:]
    return {
        "tried": np.array([y - x for y in tried]), "expected": np.array(expected)[:, None] * p, "alpha": new.alpha,
        "last": alpha, "promised": new.promised + (alpha - alpha**2 / 2) * slope, "slope": slope, "taken": new.taken,
        "counts": np.array([new.nfev - 1 - len(tried), new.njev - 2]), "p": p, "x": x, "kappa": condition(state.J),
    }  # fmt: skip


@claim(
    "lm.gauss-newton-search",
    "α is shortened by the parabola through gain and slope, to ⅒ … ½, until f falls by η(α − ½α²)‖Jp‖²",
    NW + "§10.3; J. E. Dennis & R. B. Schnabel, §6.3 and §10.2",
    shortened,
    given="p = −J⁺r; r = s·arctan(Qx), or s(1 + (Qx)²)",
    scale=lambda p, x, slope, kappa: (kappa * size(p) + size(x), kappa, kappa**2 * abs(slope), 1, 1),
    because=QR,
    slack=1e3,
    exact=False,
)
def gauss_newton_search(tried, expected, alpha, last, promised, taken, counts):
    if not taken or len(tried) != len(expected):
        return np.inf, 0.0, 0.0, 0.0, 0.0
    return tried - expected, alpha - last, promised, counts, 0.0
