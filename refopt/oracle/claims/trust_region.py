"""The trust-region subproblem: min m(p) = gᵀp + ½pᵀBp subject to ‖p‖ ≤ Δ."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import condition, excess, eye, inverse, least, size, solve, with_spectrum

EXACT = ("subproblem.more_sorensen",)
ACCURACY = 1e-6  #: to which ‖p‖ = Δ is asked for
MS = "J. J. Moré & D. C. Sorensen, SIAM J. Sci. Stat. Comput. 4 (1983) 553; "


def model(g, B, p):
    return g @ p + p @ B @ p / 2


def solved(solver, g, B, radius):
    p, lam, *_ = solver(g, B, radius, ACCURACY)
    return {"g": g, "B": B, "radius": radius, "p": p, "lam": lam}


def easy(draw, solver):
    """B definite or not, Δ of every size beside ‖g‖/‖B‖."""
    n = draw.size()
    B = draw.spd(n) if n == 1 or draw.rng.integers(3) == 0 else draw.indefinite(n)
    g = draw.vector(n) * draw.magnitude()
    return solved(solver, g, B, size(g) / size(B) * draw.magnitude(4))


def hard(draw, solver):
    """g has no part along the lowest eigenvectors, one or two of them, and Δ is long enough to need one."""
    n = draw.size(2)
    Q, values, u = draw.orthogonal(n), np.sort(draw.mixed(n)), draw.vector(n)
    many = int(draw.rng.integers(1, n))
    values[:many], u[:many] = values[0], 0
    shifted = values - values[0]
    shortest = size(u[many:] / shifted[many:]) if (shifted[many:] > 1e-3 * shifted[-1]).all() else 0
    if shortest == 0:
        return hard(draw, solver)
    return solved(solver, Q @ u, with_spectrum(Q, values), shortest * draw.number(1.1, 9))


# --- what a solution is ------------------------------------------------------------------------------------------


def conditions(g, B, radius, p, lam):
    """(B + λI)p = −g;  B + λI ⪰ 0;  λ ≥ 0;  ‖p‖ ≤ Δ, and = Δ where λ > 0 — the last two to ACCURACY."""
    length = size(p)
    gap = abs(length - radius) if lam > 0 else length - radius
    return B @ p + lam * p + g, excess(-least(B + lam * eye(B))), excess(-lam), excess(gap - ACCURACY * radius)


def conditions_scale(g, B, radius, p, lam):
    whole = size(B) + lam
    return whole * size(p) + size(g), whole, whole, radius


SOLVED = "a stable solve leaves n eps ‖B + λI‖‖p‖, and eigenvalues are known to n eps ‖B‖"


@claim(
    "trust-region.optimality",
    "(B + λI)p = −g,  λ(Δ − ‖p‖) = 0,  B + λI ⪰ 0,  λ ≥ 0",
    MS + NW + "§4.3",
    easy,
    uses=EXACT,
    scale=conditions_scale,
    because=SOLVED,
    exact=False,
)
def optimality(g, B, radius, p, lam):
    return conditions(g, B, radius, p, lam)


@claim(
    "trust-region.hard-case",
    "Where g is orthogonal to the lowest eigenvectors and Δ is long, λ = −λ₁ and p = −(B − λ₁I)⁺g + τv with ‖p‖ = Δ",
    MS + NW + "§4.3",
    hard,
    uses=EXACT,
    scale=lambda g, B, radius, p, lam: (*conditions_scale(g, B, radius, p, lam), size(B)),
    because=SOLVED,
    exact=False,
)
def hard_case(g, B, radius, p, lam):
    return *conditions(g, B, radius, p, lam), lam + least(B)


def any_kind(draw, solver):
    return (easy, hard)[int(draw.rng.integers(2))](draw, solver) if draw.size(2) > 1 else easy(draw, solver)


def by_eigenvalues(g, B, radius):
    """The least model value in the region, by bisection for λ along the eigenvectors."""
    values, Q = np.linalg.eigh(B)
    u, low = Q.T @ g, max(0.0, -values[0])
    high = low + size(g) / radius + size(B)
    for _ in range(200):
        lam = (low + high) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            outside = not size(np.where(u == 0, 0, u / (values + lam))) <= radius
        low, high = (lam, high) if outside else (low, lam)
    p = -u / np.where(values + high > 0, values + high, np.inf)
    if high > 0:  # on the boundary, along the lowest eigenvector if nothing else leads there
        p[0] -= np.copysign(np.sqrt(max(radius**2 - p @ p + p[0] ** 2, 0)), u[0]) + p[0]
    return u @ p + values @ p**2 / 2


@claim(
    "trust-region.global",
    "A point with these properties is a global minimiser: no point of the region has a lower model",
    MS + NW + "§4.3",
    any_kind,
    uses=EXACT,
    scale=lambda g, B, radius, lam: (size(g) + (size(B) + lam) * radius) * radius,
    because="the model is a sum of terms of this size; a step shorter than Δ by ACCURACY loses 2·ACCURACY·λΔ²",
    exact=False,
)
def globally(g, B, radius, p, lam):
    return excess(model(g, B, p) - by_eigenvalues(g, B, radius) - 2 * ACCURACY * lam * radius**2)


def own_radius(draw):
    """p = −(B + λI)⁻¹g and another point q that is not longer."""
    B, g, q = draw.indefinite(n := draw.size(2)), draw.vector(n), draw.vector(n)
    lam = draw.magnitude(1) + abs(B).sum() * draw.number(1, 2)
    p = -solve(B + lam * eye(B), g)
    return {"B": B, "g": g, "p": p, "q": q * draw.number(0, 1) * abs(p).max() / abs(q).sum(), "lam": lam}


def not_definite(draw):
    """q is p reflected along the eigenvector v of the negative eigenvalue of B + λI."""
    Q, values, u = draw.orthogonal(n := draw.size(2)), draw.positive(n, 10), abs(draw.vector(n)) + 1
    values[0] = -values[0]
    lam = -values[0] * draw.number(0.1, 0.9)
    p, v = -Q @ (u / (values + lam)), Q[:, 0]
    return {"B": with_spectrum(Q, values), "g": Q @ u, "p": p, "q": p - 2 * (v @ p) * v, "lam": lam}


def negative_multiplier(draw):
    """B ≻ 0, λ < 0 with B + λI ≻ 0, and q the minimiser −B⁻¹g, which is shorter."""
    B, g = draw.spd(n := draw.size(), 1e2), draw.vector(n)
    lam = -draw.number(0.5, 0.9) / abs(inverse(B)).sum()
    return {"B": B, "g": g, "p": -solve(B + lam * eye(B), g), "q": -solve(B, g), "lam": lam}


@claim(
    "trust-region.damping",
    "A damped step p = −(B + λI)⁻¹g solves the trust-region problem of its own radius: m(p) ≤ m(q) where ‖q‖ ≤ ‖p‖",
    NW + "§4.3",
    own_radius,
    "conditional",
    given="λ ≥ 0 and B + λI ⪰ 0",
    scale=lambda B, g, p, q, lam: (size(g) + (size(B) + abs(float(lam))) * (size(p) + size(q))) * (size(p) + size(q)),
    because="values of the model are sums of terms of this size",
    fails=(Fails("B + λI is indefinite", not_definite), Fails("λ < 0", negative_multiplier)),
)
def damping(B, g, p, q):
    return excess(model(g, B, p) - model(g, B, q))


# --- how the solution depends on Δ and λ -------------------------------------------------------------------------


def damped_lengths(draw):
    B = draw.indefinite(n := draw.size(2))
    lam = -least(B) if not draw.exact else abs(B).sum()
    lam, h, g = lam + draw.magnitude(2), draw.magnitude(2), draw.vector(n)
    return {"B": B, "g": g, "lam": lam, "h": h}


def below_the_pole(draw):
    """B = diag(−1, 2): between 0 and 1 the step grows with λ."""
    B, g = draw.array([[-1, 0], [0, 2]]), draw.array([3, 1]) * draw.number(1, 9)
    return {"B": B, "g": g, "lam": draw.number(0, "1/2"), "h": draw.number(0, "1/4")}


@claim(
    "trust-region.shorter",
    "More damping, shorter steps:   ‖p(λ)‖² falls, with derivative −2‖w‖², where LLᵀ = B + λI, Lw = p = −(B + λI)⁻¹g",
    MS + NW + "§4.3",
    damped_lengths,
    "conditional",
    given="λ > −λ₁",
    scale=lambda B, g, lam: (size(g) * size(K := inverse(B + lam * eye(B)))) ** 2 * (1 + (size(B) + lam) * size(K)),
    because="each solve loses eps κ(B + λI)",
    fails=(Fails("λ < −λ₁", below_the_pole, lambda B, g, lam, h: excess(gain(B, g, lam, h)) / (g @ g)),),
)
def shorter(B, g, lam, h):
    """The difference lies between its tangent and the tangent's error: −2h‖w‖² ≤ ‖p(λ+h)‖² − ‖p(λ)‖² ≤ 0."""
    K = inverse(B + lam * eye(B))
    p, q, change = K @ g, K @ K @ g, gain(B, g, lam, h)
    above = change + 2 * h * (p @ q)
    return excess(change), excess(-above), excess(above - 3 * h**2 * (q @ q))


def gain(B, g, lam, h):
    """‖p(λ + h)‖² − ‖p(λ)‖²."""
    p, q = solve(B + lam * eye(B), g), solve(B + (lam + h) * eye(B), g)
    return q @ q - p @ p


def two_radii(draw, solver):
    first = any_kind(draw, solver)
    second = solved(solver, first["g"], first["B"], first["radius"] * draw.number(1.1, 9))
    return first | {"radius_2": second["radius"], "p_2": second["p"], "lam_2": second["lam"]}


@claim(
    "trust-region.monotone",
    "A longer radius has a multiplier not larger and a model value not higher",
    NW + "§4.3",
    two_radii,
    uses=EXACT,
    scale=lambda g, B, radius_2, lam: (size(B) + lam, (size(g) + (size(B) + lam) * radius_2) * radius_2),
    because="λ is known to eps ‖B + λI‖ and values of the model to their rounding, beyond ACCURACY",
    exact=False,
)
def monotone(g, B, lam, p, lam_2, p_2):
    return excess(lam_2 - lam), excess(model(g, B, p_2) - model(g, B, p))


def newton_inside(draw, solver):
    B, g = draw.spd(n := draw.size(), 1e4), draw.vector(n)
    return solved(solver, g, B, size(solve(B, g)) * draw.number(1.1, 9))


@claim(
    "trust-region.interior",
    "Where B ≻ 0 and Newton's step is inside the region it is the solution: λ = 0, p = −B⁻¹g",
    NW + "§4.3",
    newton_inside,
    uses=EXACT,
    given="B ≻ 0, ‖B⁻¹g‖ < Δ",
    scale=lambda g, B, p: (1, size(B) * size(p) + size(g)),
    because="a stable solve leaves n eps ‖B‖‖p‖",
    exact=False,
)
def interior(g, B, p, lam):
    return lam, B @ p + g


def indefinite(draw, solver):
    B, g = draw.indefinite(n := draw.size(2)), draw.vector(n)
    return solved(solver, g, B, size(g) / size(B) * draw.magnitude(4))


@claim(
    "trust-region.boundary",
    "The solution is on the boundary, ‖p‖ = Δ",
    NW + "§4.3",
    indefinite,
    "conditional",
    given="B has a negative eigenvalue (or Newton's step is too long)",
    uses=EXACT,
    scale=lambda radius: radius,
    because="‖p‖ = Δ is asked for to ACCURACY",
    exact=False,
    fails=(Fails("B ≻ 0 with Newton's step inside", newton_inside),),
)
def boundary(p, radius):
    return excess(abs(size(p) - radius) - ACCURACY * radius)


# --- decrease ----------------------------------------------------------------------------------------------------


def two_steps(draw, cauchy, solver):
    made = any_kind(draw, solver)
    return made | {"cauchy": cauchy(made["g"], made["B"], made["radius"])}


@claim(
    "trust-region.cauchy-decrease",
    "m(0) − m(p) ≥ ½‖g‖ min(Δ, ‖g‖/‖B‖) for the Cauchy point, and the solution gains no less",
    NW + "§4.1",
    two_steps,
    uses=("subproblem.cauchy", "subproblem.more_sorensen"),
    scale=lambda g, B, radius, lam: (size(g) + (size(B) + lam) * radius) * radius,
    because="values of the model are sums of terms of this size",
    exact=False,
)
def cauchy_decrease(g, B, radius, p, lam, cauchy):
    least_gain = size(g) * min(radius, size(g) / np.linalg.norm(B, 2)) / 2
    return (
        excess(least_gain + model(g, B, cauchy)),
        excess(model(g, B, p) - model(g, B, cauchy) - 2 * ACCURACY * lam * radius**2),
        excess(size(cauchy) - radius) * (size(g) + (size(B) + lam) * radius),
    )


def with_promise(draw, solver):
    made = any_kind(draw, solver)
    return made | {"promised": solver(made["g"], made["B"], made["radius"], ACCURACY)[2]}


@claim(
    "trust-region.predicted",
    "What the step promises is m(0) − m(p) = ½pᵀ(B + λI)p + ½λ‖p‖²",
    NW + "§4.1 and §4.3",
    with_promise,
    uses=EXACT,
    scale=lambda g, B, p, lam: (size(g) + (size(B) + lam) * size(p)) * size(p),
    because="sums of terms of this size",
    exact=False,
)
def predicted(g, B, p, lam, promised):
    return promised + model(g, B, p), promised - (p @ B @ p / 2 + lam * (p @ p))


def in_other_units(draw, solver):
    """The same problem with f multiplied by c and x by t."""
    made = easy(draw, solver)
    c, t = 2.0 ** draw.rng.integers(-60, 60, 2)
    other = solver(c / t * made["g"], c / t**2 * made["B"], t * made["radius"], ACCURACY)
    return made | {"p_other": other[0] / t, "lam_other": other[1] * t**2 / c}


@claim(
    "trust-region.scale-free",
    "The step does not depend on the units: cf(x/t) in a region of radius tΔ gives tp and cλ/t²",
    NW + "§4.1",
    in_other_units,
    uses=EXACT,
    scale=lambda B, p, lam: (condition(B + lam * eye(B)) * size(p), size(B) + lam),
    because="powers of two round nothing, but the powers of scalars do; the solve multiplies that by κ(B + λI)",
    exact=False,
)
def scale_free(p, lam, p_other, lam_other):
    return p_other - p, lam_other - lam
