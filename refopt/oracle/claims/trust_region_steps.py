"""The iteration for the region's multiplier, step by step, from an eigendecomposition in place of factorisations."""

import numpy as np

from refopt.oracle.claim import claim
from refopt.oracle.claims import CGT, NW
from refopt.oracle.claims.trust_region import EXACT, MS, model
from refopt.oracle.draw import excess, size, with_spectrum

ACCURACY = 0.1
SHARP = 1e-13
EPS = 2.0**-52


def favouring(low, high):
    """A point of (low, high): the geometric mean, or a hundredth of the way."""
    return max(np.sqrt(low * high), low + 0.01 * (high - low))


def multipliers(values, c, B, radius):
    """The last λ of the iteration, for B = QΛQᵀ and c = Qᵀg; None where it becomes the hard case."""
    rows = abs(B).sum(1) - abs(np.diag(B))
    least, most = (np.diag(B) - rows).min(), (np.diag(B) + rows).max()
    widest, steep = max(abs(least), abs(most)), size(c) / radius
    low, high = max(0.0, steep - widest), steep + max(0.0, -least)
    lam, failures, floor = favouring(low, high) if low > 0 else 0.0, 0, 0.0
    for k in range(100):
        newton = -1.0
        if values.min() + lam > 0:
            p = c / (values + lam)
            length = size(p)
            if abs(length - radius) <= ACCURACY * radius or (lam == 0 and length < radius):
                return lam
            low, high = (lam, high) if length > radius else (low, lam)
            newton = lam + (p @ p) / (p @ (p / (values + lam))) * (length - radius) / radius
        else:
            failures, low = failures + 1, lam
        if failures == 3 or k == 10:
            failures, nearly = 4, max(0.0, 30 * EPS * widest - values.min())
            if size(c / (values + nearly)) < radius:
                return None
            low, floor = max(low, nearly), max(0.0, -values.min())
        lam = newton if low < newton < high else floor + favouring(low - floor, max(low, high) - floor)
    return None


def followed(draw, solver):
    """Any kind of B; a g with more or less of it along the lowest eigenvector."""
    n = draw.size(2)
    values = draw.positive(n, 1e3) if draw.rng.integers(2) else draw.mixed(n)
    Q, c = draw.orthogonal(n), draw.vector(n)
    c[values.argmin()] *= 10.0 ** -draw.rng.integers(0, 8)
    B, g = with_spectrum(Q, values), Q @ c
    radius = size(g) / size(B) * draw.magnitude(3)
    if draw.rng.integers(2):
        values, radius = failing(draw, c)
        B = with_spectrum(Q, values)
    _, lam, _ = solver(g, B, radius, ACCURACY)
    expected = multipliers(values, c, B, radius)
    return {"B": B, "lam": lam, "expected": lam if expected is None else expected, "values": values}


def failing(draw, c):
    """λ₁ = −1 far below the others, and Δ = ‖p(λ)‖ for a λ beyond 1: the first three λ are too small, or more."""
    values = np.append(-1.0, draw.rng.uniform(0.0, 0.3, len(c) - 1))
    return values, size(c / (values + 1.0 + float(draw.number("1/50", "1/2"))))


@claim(
    "trust-region.secular-steps",
    "λ begins at 0, or inside its bounds, and goes on by Newton's method on 1/Δ − 1/‖p(λ)‖ inside them",
    CGT + "§7.3; " + NW + "§4.3",
    followed,
    given="the bounds are Gershgorin's; a λ with B + λI not positive definite is one; the third of them asks for λ₁",
    uses=EXACT,
    scale=lambda B, expected, values: (size(B) + abs(expected)) * (1 + size(B) / (values.min() + expected)),
    because="λ is a few quotients of solves with B + λI",
    slack=1e3,
    exact=False,
)
def secular_steps(lam, expected):
    return lam - expected


def singular_ways(draw, solver):
    """g without a part along the lowest eigenvector, λ₁ ≤ 0, and a region that reaches beyond p(−λ₁)."""
    n = draw.size(2)
    values = np.sort(draw.positive(n, 1e2))
    flat, c = bool(draw.rng.integers(2)), draw.vector(n)
    values = values - values[0] * (1.0 if flat else 1.0 + float(draw.number("1/10", 1)))
    Q = np.eye(n) if flat else draw.orthogonal(n)
    c[values < values[0] + 1e-3 * size(values)] = 0.0
    apart = np.where(c == 0.0, 1.0, values - values[0])
    B, g, p = with_spectrum(Q, values), Q @ c, Q @ (-c / apart)
    radius = (size(p) or 1.0) * float(draw.number("11/10", 9))
    found = solver(g, B, radius, ACCURACY)
    faint = 15 * EPS * size(g) * (1 if draw.rng.integers(2) else -1) * np.eye(n)[0]
    leaning = solver(g + faint, B, radius + size(g) / size(B), ACCURACY)
    faintly = np.append(-1e-5, 1 + abs(values[1:]) / size(values))  # so that a λ may be found before λ₁ is
    weak = with_spectrum(draw.orthogonal(n), faintly)
    none = solver(0 * g, weak, radius, ACCURACY)
    alone = abs(size(none.p) - radius) + abs(none.lam + faintly[0]) * radius / size(weak)
    uphill = faint @ leaning.p > 0 or not leaning.lam > 0 or size(leaning.p) < 0.9 * radius
    return {
        "alone": alone, "uphill": float(flat and g.any() and uphill),
        "B": B, "g": g, "p": p, "radius": radius, "lam": found.lam, "found": found.p, "flat": flat,
        "lowest": values[0], "promised": found.predicted, "Q": Q[:, c != 0.0],
    }  # fmt: skip


@claim(
    "trust-region.hard-steps",
    "In the hard case p = −(B − λ₁I)⁺g + τv with ‖p‖ = Δ and λ = −λ₁; where λ₁ = 0 the shortest p will do",
    CGT + "§7.3; " + NW + "§4.3",
    singular_ways,
    given="vᵀg = 0 for all eigenvectors v of λ₁; a faint part along v decides the sign of τ, and λ > 0",
    uses=EXACT,
    scale=lambda B, g, radius, found: (
        1e8 * radius, size(B), (size(g) + size(B) * radius) * radius, 1e4 * radius, 1, 1e4 * radius
    ),
    because="a g that is orthogonal to v only to rounding adds √eps of v's direction",
    exact=False,
)  # fmt: skip
def hard_steps(B, g, p, radius, lam, found, flat, lowest, promised, Q, uphill, alone):
    """Along the other eigenvectors p is given; the length says the rest."""
    gap = abs(size(found) - (size(p) if flat else radius))
    return Q.T @ (found - p), lam - max(-lowest, 0.0), promised + model(g, B, found), excess(gap), uphill, alone


def leaning(draw, hard_case):
    """λ = −λ₁ ≥ 0 and a g that leans to one side of v, so little that it hardly counts."""
    n = draw.size(2)
    values, Q, c = np.sort(draw.positive(n, 1e2)), draw.orthogonal(n), draw.vector(n)
    values = values / values.max()
    lam = float(draw.number(0, 1)) * int(draw.rng.integers(2))
    others = values[1:] - values[0] + 0.1
    c[0] = 1e-10 * (1 if draw.rng.integers(2) else -1)
    B, g = with_spectrum(Q, np.append(0.0, others) - lam), Q @ c
    p = -Q[:, 1:] @ (c[1:] / others)
    radius = (size(p) + 1e-3) * float(draw.number("11/10", 9))
    found = hard_case(g, B, radius, lam, Q[:, 0], size(B))
    return {
        "p": found.p - p + np.sign(c[0]) * np.sqrt(radius**2 - p @ p) * Q[:, 0], "radius": radius, "others": others,
        "lam": found.lam - lam - 1e-10 / radius, "promised": found.predicted + model(g, B, found.p), "g": g, "B": B,
    }  # fmt: skip


@claim(
    "trust-region.leaning",
    "Where g hardly leans to v, τ has the other sign: p = −(B − λ₁I)⁺g − sign(vᵀg)√(Δ² − ‖p‖²) v, λ = −λ₁ + |vᵀg|/Δ",
    CGT + "§7.3; " + NW + "§4.3",
    leaning,
    given="|vᵀg| = 1e-10, which is more than rounding",
    uses=("subproblem.hard_case",),
    scale=lambda B, g, radius, others: (
        radius / min(others), 1e3 * size(B), (size(g) + size(B) * radius) * radius
    ),
    because="five refinements of a system shifted by √eps leave nothing else",
    exact=False,
)  # fmt: skip
def is_leaning(p, lam, promised):
    return p, lam, promised


def short(draw, nearly_hard):
    """A λ > −λ₁ whose p(λ) is shorter than Δ."""
    n = draw.size(2)
    values, Q, c = np.sort(draw.positive(n, 1e2)), draw.orthogonal(n), draw.vector(n)
    values = values - values[0] * (1 + draw.rng.integers(3))
    lam = max(-values[0], 0.0) + size(values) * float(draw.number("1/100", 1))
    B, g, p = with_spectrum(Q, values), Q @ c, -c / (values + lam)
    radius = size(p) * float(draw.number("11/10", 9))
    p[0] = -np.sign(c[0]) * np.sqrt(radius**2 - size(p[1:]) ** 2)
    found = nearly_hard(g, B, radius, lam)
    return {"B": B, "g": g, "radius": radius, "p": Q @ p, "found": found.p, "lam": lam, "same": found.lam,
            "promised": found.predicted, "apart": values[1] - values[0]}  # fmt: skip


@claim(
    "trust-region.short",
    "A p(λ) that is too short is lengthened along the lowest eigenvector v, its own way: −(B + λI)⁻¹g + τv, ‖p‖ = Δ",
    MS + "§3 (the nearly hard case)",
    short,
    given="v is known to eps‖B‖ over its distance from the next eigenvalue",
    uses=("subproblem.nearly_hard",),
    scale=lambda B, g, radius, apart, lam: (
        radius * (size(B) / apart + 100), radius, lam, (size(g) + size(B) * radius) * radius
    ),
    because="a solve with κ ≤ 1e2 or so",
    exact=False,
)  # fmt: skip
def too_short(B, g, radius, p, found, lam, same, promised):
    return found - p, size(found) - radius, same - lam, promised + model(g, B, found)


def hardly_any(draw, solver):
    """g with 1e-1 to 1e-7 of itself along the lowest eigenvector, and a region that reaches beyond p(−λ₁)."""
    n = draw.size(2)
    values, Q, c = np.sort(draw.positive(n, 1e2)), draw.orthogonal(n), draw.vector(n)
    values[1:] += 0.1 * values.max()
    values = values - values[0] * (1 + float(draw.number(0, 1)))
    c[0] = size(c) * 10.0 ** draw.rng.uniform(-7, -1) * draw.rng.choice([-1, 1])
    B, g = with_spectrum(Q, values), Q @ c
    radius = size(c[1:] / (values[1:] - values[0])) * float(draw.number("11/10", 9))
    p, lam, promised = solver(g, B, radius, SHARP)
    return {"B": B, "g": g, "radius": radius, "p": p, "lam": lam, "promised": promised, "lowest": values[0]}


@claim(
    "trust-region.nearly-hard",
    "However little of g is along the lowest eigenvector: (B + λI)p = −g, ‖p‖ = Δ and λ > −λ₁, all to rounding",
    MS + "§3; " + CGT + "§7.3",
    hardly_any,
    given="λ is known to eps‖B‖, and p(λ) only to eps‖B‖/(λ + λ₁): the length is made good along that eigenvector",
    uses=EXACT,
    scale=lambda B, g, radius, lam: (
        (size(B) + lam) * radius + size(g), 10 * radius, size(B), (size(g) + (size(B) + lam) * radius) * radius
    ),
    because="a stable solve; ‖p‖ = Δ is asked for to 1e-13",
    exact=False,
)  # fmt: skip
def nearly_hard(B, g, radius, p, lam, promised, lowest):
    return B @ p + lam * p + g, size(p) - radius, excess(-lowest - lam), promised + model(g, B, p)


def bounded(draw, inside):
    high = draw.magnitude(3)
    low = high * 10.0 ** -draw.rng.uniform(0, 6)
    return {"found": inside(low, high), "expected": favouring(low, high), "high": high}


@claim(
    "trust-region.inside",
    "Where λ has only its bounds the next is their geometric mean, or a hundredth of the way from the lower one",
    CGT + "§7.3",
    bounded,
    uses=("subproblem.inside",),
    scale=lambda expected: expected,
    because="a root of a product",
    exact=False,
)
def is_inside(found, expected):
    return found - expected
