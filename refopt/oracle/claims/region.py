"""Trust regions: the Cauchy and the eigenvector point, the secular equation, the radius."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import CGT, DS, NW
from refopt.oracle.claims.krylov import iterates, products
from refopt.oracle.claims.trust_region import ACCURACY, any_kind, model, solved
from refopt.oracle.draw import bulk, condition, excess, eye, inverse, least, size, solve, with_spectrum
from refopt.problem import Problem

SUMMED = "values of the model are sums of terms of this size"
SOLVES = "each solve loses eps κ(B + λI)"
EXACT = ("subproblem.more_sorensen",)


def values(g, B, radius):
    return (size(g) + size(B) * radius) * radius


# --- points that everything is compared with ---------------------------------------------------------------------


def cauchy_drawn(draw, cauchy):
    n = draw.size()
    B = draw.spd(n) if n == 1 or draw.rng.integers(2) else draw.indefinite(n)
    g = draw.vector(n) * draw.magnitude()
    radius = size(g) / size(B) * draw.magnitude(3)
    return {"B": B, "g": g, "radius": radius, "p": cauchy(g, B, radius), "t": draw.number(0, 1)}


@claim(
    "region.cauchy-point",
    "p = −τ(Δ/‖g‖)g, with τ = 1 if gᵀBg ≤ 0 and min(1, ‖g‖³/(ΔgᵀBg)) else, is lowest along −g: m(p) ≤ m(−tΔg/‖g‖)",
    NW + "§4.1; " + CGT + "§6.3",
    cauchy_drawn,
    given="0 ≤ t ≤ 1",
    uses=("subproblem.cauchy",),
    scale=lambda g, B, radius: (values(g, B, radius), radius),
    because=SUMMED,
    exact=False,
)
def cauchy_point(B, g, radius, p, t):
    bend = g @ B @ g
    tau = min(1, size(g) ** 3 / (radius * bend)) if bend > 0 else 1
    return excess(model(g, B, p) - model(g, B, -t * radius / size(g) * g)), p + tau * radius / size(g) * g


def at_saddle(draw, solver):
    B, g = draw.indefinite(n := draw.size(2)), draw.vector(n)
    radius = size(g) / size(B) * draw.magnitude(3)
    return solved(solver, g, B, radius)


@claim(
    "region.eigenpoint",
    "The solution gains at least ½|λ₁|Δ² where λ₁ < 0 is the lowest eigenvalue: what a step along its vector gains",
    CGT + "chapter 6 (the eigenpoint)",
    at_saddle,
    given="B has a negative eigenvalue",
    uses=EXACT,
    scale=lambda g, B, radius, lam: (size(g) + (size(B) + lam) * radius) * radius,
    because=SUMMED + "; a step shorter than Δ by ACCURACY loses 2·ACCURACY·λΔ²",
    exact=False,
)
def eigenpoint(g, B, radius, p, lam):
    return excess(model(g, B, p) - least(B) * radius**2 / 2 - 2 * ACCURACY * lam * radius**2)


def in_a_plane(draw, solver, dogleg):
    """The best step in the span of g and B⁻¹g, and the dogleg."""
    B, g = draw.spd(n := draw.size(), 1e2), draw.vector(n)
    radius = size(g) / size(B) * draw.magnitude(1)
    Q = np.linalg.qr(np.array([g, solve(B, g)]).T)[0] if n > 1 else np.eye(1)
    h, lam, _ = solver(Q.T @ g, Q.T @ B @ Q, radius, ACCURACY)
    return {"B": B, "g": g, "radius": radius, "p": Q @ h, "lam": lam, "dogleg": dogleg(g, B, radius)[0]}


@claim(
    "region.plane",
    "The best step in the plane of g and B⁻¹g gains at least what the dogleg gains, whose path lies in the plane",
    NW + "§4.1 (two-dimensional subspace minimisation)",
    in_a_plane,
    given="B ≻ 0",
    uses=("subproblem.more_sorensen", "subproblem.dogleg"),
    scale=lambda g, B, radius, lam: (size(g) + (size(B) + lam) * radius) * radius,
    because=SUMMED + "; a step shorter than Δ by ACCURACY loses 2·ACCURACY·λΔ²",
    exact=False,
)
def plane(g, B, radius, p, lam, dogleg):
    return excess(model(g, B, p) - model(g, B, dogleg) - 2 * ACCURACY * lam * radius**2), excess(
        size(dogleg) - radius
    ) * (size(g) + size(B) * radius)


def with_scaling(draw, solver):
    """The region ‖Dp‖ ≤ Δ, by way of p̂ = Dp."""
    n = draw.size()
    B = draw.spd(n, 1e2) if n == 1 or draw.rng.integers(2) else draw.indefinite(n)
    g, d = draw.vector(n), draw.positive(n, 10)
    radius = size(g / d) / size(B / np.outer(d, d)) * draw.magnitude(2)
    h, lam, _ = solver(g / d, B / np.outer(d, d), radius, ACCURACY)
    return {"B": B, "g": g, "d": d, "radius": radius, "p": h / d, "lam": lam}


@claim(
    "region.ellipsoid",
    "In the region ‖Dp‖ ≤ Δ the solution has (B + λD²)p = −g,  B + λD² ⪰ 0,  λ(Δ − ‖Dp‖) = 0",
    NW + "§4.5 (scaling); " + CGT + "chapter 6",
    with_scaling,
    given="D nonsingular; solved as the sphere's problem for D⁻¹BD⁻¹ and D⁻¹g",
    uses=EXACT,
    scale=lambda B, g, d, p, lam, radius: (
        condition(np.diag(d)) * ((size(B) + lam * size(d) ** 2) * size(p) + size(g)),
        condition(np.diag(d)) * (size(B) + lam * size(d) ** 2),
        radius,
    ),
    because="a stable solve leaves n eps ‖B + λI‖‖p‖; ‖Dp‖ = Δ is asked for to ACCURACY",
    exact=False,
)
def ellipsoid(B, g, d, radius, p, lam):
    gap = abs(size(d * p) - radius) if lam > 0 else size(d * p) - radius
    return B @ p + lam * d**2 * p + g, excess(-least(B + lam * np.diag(d**2))), excess(gap - ACCURACY * radius)


# --- the secular equation ----------------------------------------------------------------------------------------


def beyond_the_pole(draw):
    """λ > −λ₁, K = (B + λI)⁻¹, p = −Kg."""
    Q, spectrum, g = draw.orthogonal(n := draw.size()), draw.positive(n, 1e4), draw.vector(n)
    lowest = -spectrum.min() * draw.number(0, 2)
    B = with_spectrum(Q, spectrum + lowest)
    lam = max(-lowest - spectrum.min() * draw.number("1/10", "9/10"), 0 * lowest)
    return {"B": B, "g": g, "lam": lam, "K": with_spectrum(Q, 1 / (spectrum + lowest + lam))}


def secular_scale(g, K):
    return (size(K) * size(g)) ** 2


@claim(
    "region.secular-concave",
    "1/‖p(λ)‖ is concave and grows with λ, and ‖p(λ)‖ is convex:   3(N′)² ≤ 2NN″ with N = ‖p(λ)‖², N′ < 0",
    CGT + "§7.3; J. J. Moré & D. C. Sorensen, SIAM J. Sci. Stat. Comput. 4 (1983) 553",
    beyond_the_pole,
    given="λ > −λ₁, p = −(B + λI)⁻¹g;  N′ = −2pᵀKp, N″ = 6‖Kp‖²",
    scale=lambda g, K: (12 * secular_scale(g, K) ** 2 * size(K) ** 2, 2 * secular_scale(g, K) * size(K)),
    because="sums of terms of this size",
)
def secular_concave(B, g, lam, K):
    p = -(K @ g)
    q = K @ p
    first, second = -2 * (p @ q), 6 * (q @ q)
    return excess(3 * first**2 - 2 * (p @ p) * second), excess(first)


def newton_on_secular(draw):
    """λ₊ = λ + (‖p‖²/‖w‖²)(‖p‖ − Δ)/Δ with Δ = t‖p‖, and p at both; ‖w‖² = pᵀKp."""
    made = beyond_the_pole(draw)
    B, g, lam, K = (made[name] for name in ("B", "g", "lam", "K"))
    p, t = -(K @ g), draw.number("1/10", "9/10")
    lam_new = lam + (p @ p) / (p @ K @ p) * (1 - t) / t
    return made | {"p": p, "t": t, "lam_new": lam_new, "p_new": -solve(B + lam_new * eye(B), g)}


@claim(
    "region.newton-safe",
    "Newton's method on 1/Δ = 1/‖p(λ)‖ never goes too far: from ‖p(λ)‖ > Δ, λ₊ > λ and still ‖p(λ₊)‖ ≥ Δ",
    CGT + "§7.3; " + NW + "§4.3",
    newton_on_secular,
    given="λ > −λ₁",
    scale=lambda B, g, lam, K: secular_scale(g, K) * (1 + (size(B) + float(lam)) * size(K)),
    because=SOLVES,
)
def newton_safe(lam, lam_new, p, t, p_new):
    return excess(t**2 * (p @ p) - p_new @ p_new), excess(lam - lam_new)


@claim(
    "region.multiplier",
    "max(0, −λ₁, ‖g‖/Δ − λₙ) ≤ λ ≤ ‖g‖/Δ + max(0, −λ₁)",
    CGT + "§7.3; " + NW + "§4.3",
    any_kind,
    uses=EXACT,
    scale=lambda g, B, radius, lam: size(B) + lam + size(g) / radius,
    because="eigenvalues are known to n eps ‖B‖, and λ to ACCURACY of ‖B + λI‖",
    exact=False,
)
def multiplier(g, B, radius, lam):
    spectrum = np.linalg.eigvalsh(B)
    loose = 4 * ACCURACY * (size(B) + lam)
    low = max(0.0, -spectrum[0], size(g) / radius - spectrum[-1])
    return excess(low - lam - loose), excess(lam - size(g) / radius - max(0.0, -spectrum[0]) - loose)


def derivative(draw):
    made = beyond_the_pole(draw)
    return made | {"h": draw.magnitude(2)}


@claim(
    "region.residual-monotone",
    "The model m(p(λ)) grows with λ, with slope λ pᵀ(B + λI)⁻¹p ≥ 0: less damping never costs",
    CGT + "chapter 7",
    derivative,
    given="λ ≥ 0, λ > −λ₁",
    scale=lambda B, g, lam, K: (size(B) + float(lam)) * secular_scale(g, K) * (1 + (size(B) + float(lam)) * size(K)),
    because=SOLVES,
)
def residual_monotone(B, g, lam, K, h):
    p, q = -(K @ g), -solve(B + (lam + h) * eye(B), g)
    gained = model(g, B, q) - model(g, B, p)
    return excess(-gained), excess(gained - (lam + h) * h * (p @ K @ p))


# --- how well the model holds ------------------------------------------------------------------------------------


def two_hessians(draw):
    n = draw.size()
    A, B = draw.matrix(n, n), draw.matrix(n, n)
    return {"A": A + A.T, "B": B + B.T, "g": draw.vector(n), "p": draw.vector(n) * draw.magnitude(1)}


@claim(
    "region.model-error",
    "|f(x + p) − f(x) − m(p)| ≤ ½‖∇²f − B‖‖p‖²: of the order of Δ², where the gain is of the order of Δ",
    NW + "§4.2 (global convergence); " + CGT + "§6.4",
    two_hessians,
    given="f is quadratic here, or ‖∇²f − B‖ is taken along the step",
    scale=lambda A, B, g, p: (size(A) + size(B)) * size(p) ** 2 + size(g) * size(p),
    because="sums of terms of this size",
)
def model_error(A, B, g, p):
    gap = (g @ p + p @ A @ p / 2) - model(g, B, p)
    return excess(gap**2 - ((A - B) ** 2).sum() * (p @ p) ** 2 / 4) / (bulk(A) + bulk(B)) / (p @ p)


def small_region(draw, attempt, cauchy):
    """f quadratic with Hessian A, a model with B, and Δ ≤ ¼‖g‖/(‖B‖ + ‖A − B‖)."""
    n = draw.size()
    A, B, x = draw.matrix(n, n), draw.matrix(n, n), draw.vector(n)
    A, B = A + A.T, B + B.T
    problem = Problem(fun=lambda x: x @ A @ x / 2, grad=lambda x: A @ x)
    g = problem.grad(x)
    radius = draw.number(0.01, 1) * size(g) / (4 * (size(B) + size(A - B)))
    p = cauchy(g, B, radius)
    trial = attempt(problem, x, problem.fun(x), g, p, -model(g, B, p), True, radius, 0, 0.1, 1e100)
    return {"A": A, "x": x, "p": p, "radius": radius, "radius_new": trial.radius, "x_new": trial.x}


@claim(
    "region.small-enough",
    "A small region always succeeds: where Δ ≤ ¼‖g‖/(‖B‖ + ‖∇²f − B‖) the step is taken and Δ does not shrink",
    NW + "§4.2; " + CGT + "§6.4",
    small_region,
    given="the step gains half of ‖g‖ min(Δ, ‖g‖/‖B‖), as Cauchy's does; f is quadratic here",
    uses=("region.attempt", "subproblem.cauchy"),
    scale=lambda radius, x: (radius, size(x)),
    because="a step is taken or not; x + p is rounded",
    exact=False,
)
def small_enough(x, p, radius, radius_new, x_new):
    return excess(radius - radius_new), x_new - x - p


def three_zones(draw, resized):
    radius, ratio = draw.magnitude(3), draw.number(-1, 2)
    length, edge = radius * draw.number(0, 1), bool(draw.rng.integers(2))
    length = radius if edge else length
    most = radius * draw.number(1, 3)
    found = resized(radius, length, edge, ratio, most)
    return {"radius": radius, "ratio": ratio, "length": length, "edge": edge, "most": most, "found": found}


@claim(
    "region.radius",
    "Δ₊ = ¼‖p‖ if ρ < ¼, min(2Δ, Δ_max) if ρ > ¾ and ‖p‖ = Δ, else Δ: never below ¼‖p‖, never above 2Δ",
    NW + "§4.1; " + CGT + "§6.1",
    three_zones,
    uses=("region.resized",),
    scale=lambda radius: radius,
    because="multiplying by powers of two rounds nothing",
    slack=1,
    exact=False,
)
def radius_rule(radius, ratio, length, edge, most, found):
    if ratio < 0.25:
        return found - length / 4
    return found - (min(2 * radius, most) if edge and ratio > 0.75 else radius)


# --- Krylov ------------------------------------------------------------------------------------------------------


def inside_the_region(draw, gltr):
    """k steps of GLTR in a region that holds the minimiser of a convex model."""
    made = iterates(draw.spd(n := draw.size(1, 4), 10), draw.vector(n))
    k = len(made["d"])
    B, g = made["B"], made["g"]
    found = [gltr(products(B), 0 * g, g, 1e3 * size(g) * size(inverse(B)), 0.0, j).p for j in range(1, k + 1)]
    return {"B": B, "g": g, "points": made["points"][1:], "found": np.array(found)}


@claim(
    "region.gltr-inside",
    "While it stays inside the region GLTR takes the points of conjugate gradients",
    "Gould, Lucidi, Roma & Toint, SIAM J. Optim. 9 (1999) 504; " + CGT + "§7.5",
    inside_the_region,
    given="B ≻ 0, the minimiser is inside",
    uses=("krylov.gltr",),
    scale=lambda B, g, points: condition(B) * size(points),
    because="four steps of well-conditioned arithmetic",
    exact=False,
)
def gltr_inside(points, found):
    return found - points


# --- what a convex model promises --------------------------------------------------------------------------------


def double_dogleg(draw):
    B, g = draw.spd(n := draw.size(), 1e3), draw.vector(n)
    newton = solve(B, g)
    return {"B": B, "g": g, "newton": newton}


@claim(
    "region.double-dogleg",
    "γ = ‖g‖⁴/(gᵀBg · gᵀB⁻¹g) ≤ 1, and Cauchy's minimiser is no longer than γ‖B⁻¹g‖: the double dogleg's corner",
    DS + "§6.4 (double dogleg)",
    double_dogleg,
    "conditional",
    given="B ≻ 0",
    scale=lambda B, g, newton: (
        condition(B) * size(g) ** 4,
        condition(B) * (size(g) * size(newton)) ** 2,
    ),
    because="the solve loses eps κ of the Newton step",
    fails=(
        Fails(
            "B is indefinite, B = diag(2, −1)",
            lambda draw: {
                "B": draw.array([[2, 0], [0, -1]]),
                "g": draw.array([3, 1]),
                "newton": draw.array(["3/2", "-1"]),
            },
        ),
    ),
)
def is_double_dogleg(B, g, newton):
    """‖p_U‖ = ‖g‖³/gᵀBg ≤ γ‖p_N‖ iff gᵀB⁻¹g ≤ ‖g‖‖p_N‖; compared in squares."""
    square, bend, gain = g @ g, g @ B @ g, g @ newton
    return excess(square**2 - bend * gain), excess(gain**2 - square * (newton @ newton))
