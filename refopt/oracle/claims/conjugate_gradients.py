"""Conjugate gradients: what their points minimise, and how fast.

The model is m(z) = gᵀz + ½zᵀBz; the points start at z₀ = 0, e = z − z* and z* = −B⁻¹g.
"""

from math import inf

import numpy as np

from refopt.krylov import conjugate_gradients as library
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import CGT, NW
from refopt.oracle.claims.krylov import iterates, products
from refopt.oracle.draw import condition, excess, inverse, size, solve, with_spectrum

POINTS = ("conjugate_gradients.points",)
STEPS = "four steps of well-conditioned arithmetic"
HS = "M. R. Hestenes & E. Stiefel, J. Res. Nat. Bur. Standards 49 (1952) 409; "


def points(B, g):
    """z₀ … zₙ: the library's iterates, or, over rational numbers, those by the letter."""
    if B.dtype == object:
        return iterates(B, g)["points"]
    ends = [library(products(B), 0 * g, g, 0 * g, 0.0, inf, 1e-13, 0.0, k) for k in range(len(g) + 1)]
    return np.array([end.z for end in ends[: ends[-1].products + 1]])


def drawn(draw, points, B=None, g=None):
    B = draw.spd(draw.size(1, 4), 10) if B is None else B
    g = draw.vector(len(B)) if g is None else g
    return {"B": B, "g": g, "points": points(B, g)}


def energy(B, g, points):
    return (size(B) * size(points) + size(g)) * size(points)


def errors(B, g, points):
    """‖eₖ‖_B² of each point."""
    e = points - (-solve(B, g))
    return np.array([v @ B @ v for v in e])


# --- what the points minimise ------------------------------------------------------------------------------------


def basis(B, g, k):
    """Of 𝒦ₖ = span{g, Bg, …, Bᵏ⁻¹g}, in rows; orthogonal to full accuracy over floats."""
    rows = [g]
    while len(rows) < k:
        v = B @ rows[-1]
        for u in (*rows, *rows):
            v = v - (u @ v) / (u @ u) * u
        rows.append(v)
    return np.array(rows)


@claim(
    "conjugate-gradients.krylov-optimal",
    "zₖ minimises the model over the Krylov space span{g, Bg, …, Bᵏ⁻¹g}",
    NW + "§5.1 (expanding subspace minimisation; the Krylov space)",
    drawn,
    given="B ≻ 0; over floats here with κ(B) ≤ 10",
    uses=POINTS,
    scale=lambda B, g, points: size(points) + size(g) / size(B),
    because=STEPS + ", which lose eps κ(B) each",
)
def krylov_optimal(B, g, points):
    gaps = []
    for k, z in enumerate(points[1:], 1):
        K = basis(B, g, k)
        gaps.append(z + solve(K @ B @ K.T, K @ g) @ K)
    return np.array(gaps) if gaps else 0 * g


@claim(
    "conjugate-gradients.expanding-subspace",
    "The residual at zₖ is orthogonal to every earlier step:   (Bzₖ + g)ᵀ(zⱼ₊₁ − zⱼ) = 0, j < k",
    NW + "§5.1 (expanding subspace minimisation)",
    drawn,
    given="B ≻ 0",
    uses=POINTS,
    scale=energy,
    because=STEPS,
)
def expanding(B, g, points):
    steps, residuals = points[1:] - points[:-1], points[1:] @ B + g
    return np.tril(residuals @ steps.T)


def conjugate_basis(draw):
    """Any conjugate directions, here made from a basis by Gram-Schmidt in the product of B, and exact searches."""
    B, g = draw.spd(n := draw.size(1, 4), 10), draw.vector(n)
    directions, z = list[np.ndarray](), 0 * g
    for d in draw.full_rank(n, n, 10):
        for u in directions:
            d = d - (u @ B @ d) / (u @ B @ u) * u
        directions.append(d)
        z = z - (g + B @ z) @ d / (d @ B @ d) * d
    return {"B": B, "g": g, "z": z}


@claim(
    "conjugate-gradients.any-conjugate",
    "Exact searches along any n conjugate directions end at the minimiser",
    NW + "§5.1 (conjugate direction methods)",
    conjugate_basis,
    given="dᵢᵀBdⱼ = 0 for i ≠ j, B ≻ 0",
    scale=lambda B, g, z: size(B) * size(z) + size(g),
    because=STEPS,
)
def any_conjugate(B, g, z):
    return B @ z + g


def clustered(draw, points, fewer=0):
    """B with r distinct eigenvalues, r < n, far enough apart, and g with a part along each."""
    n = draw.size(3, 5)
    r = int(draw.rng.integers(2, n)) if n > 2 else 2
    values = (1 + 2 * np.arange(r) + draw.number(0, 1))[draw.rng.permutation(np.arange(n) % r)]
    Q, u = draw.orthogonal(n), 1 + abs(draw.vector(n))
    B = with_spectrum(Q, values * draw.magnitude(2))
    return {"B": B, "g": Q @ u, "z": points(B, Q @ u)[: r + 1 - fewer][-1]}


@claim(
    "conjugate-gradients.distinct-eigenvalues",
    "Where B has r distinct eigenvalues, r steps end at the minimiser; fewer do not",
    NW + "§5.1",
    clustered,
    "conditional",
    given="B ≻ 0; g has a part along an eigenvector of each",
    uses=POINTS,
    scale=lambda B, g, z: size(B) * size(z) + size(g),
    because=STEPS,
    fails=(Fails("one step fewer", lambda draw, points: clustered(draw, points, 1)),),
)
def distinct(B, g, z):
    return B @ z + g


# --- how fast ----------------------------------------------------------------------------------------------------


def spread(draw, points):
    values = np.sort(draw.positive(n := draw.size(1, 4), 30))
    return drawn(draw, points, with_spectrum(draw.orthogonal(n), values)) | {"values": values}


@claim(
    "conjugate-gradients.chebyshev",
    "‖eₖ‖_B ≤ ‖e₀‖_B / Tₖ((κ + 1)/(κ − 1)) ≤ 2((√κ − 1)/(√κ + 1))ᵏ ‖e₀‖_B,   Tₖ Chebyshev's polynomial",
    NW + "§5.1 (rate of convergence)",
    spread,
    given="B ≻ 0, κ = λₙ/λ₁",
    uses=POINTS,
    scale=energy,
    because=STEPS,
)
def chebyshev(B, g, points, values):
    low, high = values.min(), values.max()
    c, d, t = high + low, high - low, [1 + 0 * low, high + low]  # tₖ = (λₙ − λ₁)ᵏ Tₖ(c/d)
    for _ in points:
        t.append(2 * c * t[-1] - d**2 * t[-2])
    found = errors(B, g, points)
    return np.array([excess(e - (d**k / t[k]) ** 2 * found[0]) for k, e in enumerate(found)])


@claim(
    "conjugate-gradients.next-eigenvalue",
    "‖eₖ₊₁‖_B ≤ (λₙ₋ₖ − λ₁)/(λₙ₋ₖ + λ₁) ‖e₀‖_B: k large eigenvalues cost k steps, and no more",
    NW + "§5.1 (rate of convergence)",
    spread,
    given="B ≻ 0 with the eigenvalues λ₁ ≤ … ≤ λₙ",
    uses=POINTS,
    scale=energy,
    because=STEPS,
)
def next_eigenvalue(B, g, points, values):
    found = errors(B, g, points)
    tops = values[::-1][: len(found) - 1]
    return excess(found[1:] - ((tops - values[0]) / (tops + values[0])) ** 2 * found[0])


def with_polynomial(draw, points):
    return spread(draw, points) | {"roots": draw.positive(4, 10)}


@claim(
    "conjugate-gradients.polynomial",
    "‖eₖ‖_B ≤ maxᵢ |q(λᵢ)| ‖e₀‖_B for every polynomial q of degree k with q(0) = 1",
    NW + "§5.1 (rate of convergence)",
    with_polynomial,
    given="B ≻ 0; q = Π(1 − t/ρⱼ) has any roots ρⱼ",
    uses=POINTS,
    scale=energy,
    because=STEPS,
)
def polynomial(B, g, points, values, roots):
    found = errors(B, g, points)
    bounds = [np.prod([1 - values / root for root in roots[:k]], axis=0) if k else 1 + 0 * values for k in range(5)]
    return np.array([excess(e - max(q**2) * found[0]) for e, q in zip(found, bounds, strict=False)])


@claim(
    "conjugate-gradients.error-falls",
    "The residual falls in every step, ‖Bzₖ₊₁ + g‖ ≤ ‖Bzₖ + g‖",
    HS + NW + "§5.1",
    drawn,
    "false",
    corrected="The error does, ‖zₖ₊₁ − z*‖ ≤ ‖zₖ − z*‖, and the model; the residual may rise on its way to zero",
    uses=POINTS,
    scale=lambda B, g, points: condition(B) * size(points) ** 2,
    because=STEPS + "; z* is known to eps κ(B)",
    fails=(
        Fails(
            "as stated, B = diag(1, 100), g = (10, 1)",
            lambda draw, points: drawn(draw, points, draw.array([[1, 0], [0, 100]]), draw.array([10, 1])),
            lambda B, g, points: excess(np.diff([(B @ z + g) @ (B @ z + g) for z in points])) / (g @ g),
        ),
    ),
)
def error_falls(B, g, points):
    lengths = np.array([(z + solve(B, g)) @ (z + solve(B, g)) for z in points])
    return excess(lengths[1:] - lengths[:-1])


@claim(
    "conjugate-gradients.step-lengths",
    "1/λₙ ≤ αₖ ≤ 1/λ₁: a step is as long as some eigenvalue of B would have it",
    NW + "§5.1",
    lambda draw: iterates(draw.spd(n := draw.size(1, 4), 10), draw.vector(n)),
    given="αₖ = rᵀr/dᵀBd; over 2-norms ‖B‖ and ‖B⁻¹‖, here bounded by those of Frobenius",
    scale=lambda B, d: size(B) * size(d) ** 2,
    because=STEPS,
    slack=1000.0,
)
def step_lengths(B, residuals, d):
    squares, bends = np.array([r @ r for r in residuals[: len(d)]]), np.array([v @ B @ v for v in d])
    whole = np.trace(B)  # of a definite matrix no eigenvalue is larger
    return excess(bends - whole * np.array([v @ v for v in d])), excess(squares - np.trace(inverse(B)) * bends)


@claim(
    "conjugate-gradients.two-formulas",
    "αₖ = −rᵀd/dᵀBd = rᵀr/dᵀBd  and  βₖ₊₁ = r₊ᵀBd/dᵀBd = r₊ᵀr₊/rᵀr",
    NW + "§5.1 (practical form)",
    lambda draw: iterates(draw.spd(n := draw.size(1, 4), 10), draw.vector(n)),
    given="B ≻ 0",
    scale=lambda B, g: (size(g) ** 2, condition(B) * size(B) * size(g) ** 4),
    because=STEPS,
)
def two_formulas(B, residuals, d):
    r, rest = residuals[: len(d)], residuals[1:]
    squares, bends = np.array([v @ v for v in r]), np.array([v @ B @ v for v in d])
    new, mixed = np.array([v @ v for v in rest]), np.array([u @ B @ v for u, v in zip(rest, d, strict=True)])
    return squares + np.array([u @ v for u, v in zip(r, d, strict=True)]), mixed * squares - new * bends


@claim(
    "conjugate-gradients.lanczos",
    "The residuals make B tridiagonal:   rⱼᵀBrⱼ = (1/αⱼ + βⱼ/αⱼ₋₁)rⱼᵀrⱼ,  rⱼᵀBrⱼ₊₁ = −rⱼ₊₁ᵀrⱼ₊₁/αⱼ,  others 0",
    CGT + "§5.2; " + NW + "§5.1 and §7.1 (Lanczos)",
    lambda draw: iterates(draw.spd(n := draw.size(1, 4), 10), draw.vector(n)),
    given="B ≻ 0",
    scale=lambda B, g: size(B) * size(g) ** 2,
    because=STEPS,
)
def lanczos(B, residuals, d):
    r = residuals[: len(d)]
    squares, alphas = np.array([v @ v for v in r]), np.array([(v @ v) / (u @ B @ u) for v, u in zip(r, d, strict=True)])
    diagonal = squares / alphas
    diagonal[1:] = diagonal[1:] + squares[1:] ** 2 / (squares[:-1] * alphas[:-1])
    beside = -squares[1:] / alphas[:-1]
    return r @ B @ r.T - np.diag(diagonal) - np.diag(beside, 1) - np.diag(beside, -1)


def with_preconditioner(draw, points):
    """Preconditioned conjugate gradients with M = CᵀC, and plain ones for B̂ = C⁻ᵀBC⁻¹."""
    B, g, C = draw.spd(n := draw.size(1, 3), 10), draw.vector(n), draw.full_rank(n, n, 3)
    inside = inverse(C)
    z, r, found = 0 * g, g, [0 * g]
    y = solve(C.T @ C, r)
    d = -y
    for _ in range(n):
        if not r.any():
            break
        alpha = (r @ y) / (d @ B @ d)
        z, before, r = z + alpha * d, r @ y, r + alpha * (B @ d)
        y = solve(C.T @ C, r)
        d = (r @ y) / before * d - y
        found.append(z)
    hats = points(inside.T @ B @ inside, inside.T @ g)
    k = min(len(hats), len(found))
    return {"B": B, "g": g, "C": C, "found": np.array(found)[:k], "hats": hats[:k]}


@claim(
    "conjugate-gradients.preconditioned",
    "Preconditioned by M = CᵀC they visit the points zₖ = C⁻¹ẑₖ of plain ones for C⁻ᵀBC⁻¹ and C⁻ᵀg",
    NW + "§5.1 (preconditioning)",
    with_preconditioner,
    given="B ≻ 0, C invertible",
    uses=POINTS,
    scale=lambda B, g, C, hats: condition(C) ** 4 * (size(hats) + size(g) / size(B)),
    because=STEPS + ", each of which passes C⁻¹ twice",
)
def is_preconditioned(C, found, hats):
    return found @ C.T - hats
