"""Kronecker-factored approximations of a Fisher matrix, as facts about matrices."""

import numpy as np

from refopt.linalg import kron, vec
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.kronecker import KFAC
from refopt.oracle.draw import bulk, condition, excess, eye, inverse, least, size, solve, with_spectrum

SUMS = "sums of a few products of this size"


# --- the expectation ---------------------------------------------------------------------------------------------


def expectation(outcomes):
    """E[aaᵀ ⊗ ggᵀ], E[aaᵀ] and E[ggᵀ] over (probability, a, g)."""
    squares = [(p, a[:, None] * a, g[:, None] * g) for p, a, g in outcomes]
    F, A, G = (sum(p * part(aa, gg) for p, aa, gg in squares) for part in (kron, lambda a, _: a, lambda _, g: g))
    return {"F": F, "A": A, "G": G}


def independent(draw):
    """Two values of a, three of g, all pairs of them."""
    d, m = draw.size(1, 3), draw.size(1, 3)
    p, q = abs(draw.vector(2)) + 1, abs(draw.vector(3)) + 1
    inputs, slopes = [draw.vector(d) for _ in p], [draw.vector(m) for _ in q]
    pairs = [(pi * qj / (p.sum() * q.sum()), a, g) for pi, a in zip(p, inputs, strict=True)
             for qj, g in zip(q, slopes, strict=True)]  # fmt: skip
    return expectation(pairs)


def one_sample(draw):
    return expectation([(draw.array(1)[()], draw.vector(draw.size(1, 3)), draw.vector(draw.size(1, 3)))])


def equal_slopes(draw):
    """The same E[ggᵀ | a] for every a, as for squared errors of a deep linear model; the sign of g follows a."""
    a, g, p = draw.vector(2), draw.vector(2), draw.array("1/2")[()]
    return expectation([(p, a, g), (p, -2 * a, -g)])


def uncorrelated(draw):
    """E[agᵀ] = 0, and both are large at the same times."""
    p, large = draw.array("1/4")[()], draw.number(2, 9)
    a, g = draw.vector(2), draw.vector(2)
    return expectation([(p, a, g), (p, -a, g), (p, large * a, large * g), (p, -large * a, large * g)])


@claim(
    "kfac.expectation",
    "E[aaᵀ ⊗ ggᵀ] = E[aaᵀ] ⊗ E[ggᵀ]",
    KFAC + "§3.1",
    lambda draw: (independent, one_sample, equal_slopes)[int(draw.rng.integers(3))](draw),
    "conditional",
    given="the entries of aaᵀ and ggᵀ are uncorrelated: a, g independent; one sample; E[ggᵀ | a] the same for all a",
    scale=lambda A, G: bulk(A) * bulk(G),
    because=SUMS,
    fails=(Fails("only E[agᵀ] = 0", uncorrelated, lambda F, A, G: (F - kron(A, G)) / (bulk(A) * bulk(G))),),
)
def is_expectation(F, A, G):
    return F - kron(A, G)


# --- damping -----------------------------------------------------------------------------------------------------


def factors(draw):
    """A, G ≻ 0, λ = ℓ², and any π > 0; and the eigenvectors and eigenvalues of both."""
    parts = [(draw.orthogonal(n), draw.positive(n, 1e2)) for n in (draw.size(1, 3), draw.size(1, 3))]
    A, G = (with_spectrum(Q, values) for Q, values in parts)
    return {"A": A, "G": G, "root": draw.number(0.1, 9), "pi": draw.magnitude(1)}, parts


def damped(draw, in_eigenbases, factored):
    made, ((P, a), (Q, g)) = factors(draw)
    V = draw.vector(len(g) * len(a)).reshape(len(g), len(a))
    exact = in_eigenbases(V, P, Q, g[:, None] * a + made["root"] ** 2)
    return made | {"V": V, "exact": exact, "factored": in_eigenbases(V, P, Q, factored(a, g, made["root"], made["pi"]))}


def product(A, G, root, pi):
    return kron(A + pi * root * eye(A), G + root / pi * eye(G))


def factors_scale(A, G, root, pi):
    return (size(A) + float(pi * root)) * (size(G) + float(root / pi)) * 10


@claim(
    "kfac.damped-inverse",
    "(A ⊗ G + λI)⁻¹ is the inverse of (A + π√λ I) ⊗ (G + √λ/π I)",
    KFAC + "§6.3",
    damped,
    "imprecise",
    corrected="That product has π√λ I ⊗ G + √λ/π A ⊗ I ⪰ 0 more: it damps too much; eigenvectors give the inverse",
    uses=("curvature.kron.in_eigenbases", "curvature.kron.factored"),
    scale=lambda A, G, V, root, pi, exact, factored: (
        factors_scale(A, G, root, pi), factors_scale(A, G, root, pi),
        size(V) + (size(A) * size(G) + float(root) ** 2) * size(exact),
        condition(A) * condition(G) * factors_scale(A, G, root, pi) * size(factored),
    ),
    because=SUMS + "; eigenvectors here are orthogonal to rounding",
    fails=(
        Fails("as stated", damped, lambda exact, factored: (exact - factored) / bulk(exact)),
    ),
)  # fmt: skip
def damped_inverse(A, G, V, root, pi, exact, factored):
    more = pi * root * kron(eye(A), G) + root / pi * kron(A, eye(G))
    surplus = product(A, G, root, pi) - kron(A, G) - root**2 * eye(more)
    defects = G @ exact @ A + root**2 * exact - V, product(A, G, root, pi) @ vec(factored) - vec(V)
    return surplus - more, excess(-least((more + more.T) / 2)), *defects


@claim(
    "kfac.pi",
    "π = √((tr A/d)/(tr G/m)) makes the trace of what factored damping adds too much the smallest",
    KFAC + "§6.3",
    lambda draw: factors(draw)[0],
    given="A (d, d) and G (m, m) ≻ 0",
    scale=lambda A, G, root, pi: (total := float(np.trace(product(A, G, root, pi))), total**2),
    because=SUMS,
)
def smallest_trace(A, G, root, pi):
    """In squares, which are rational: above its least, 4λ dm tr A tr G, by what is zero at that π alone."""
    d, m, a, g = len(A), len(G), np.trace(A), np.trace(G)
    trace, square = np.trace(product(A, G, root, pi)) - a * g - root**2 * d * m, (a / d) / (g / m)
    above = (root * d * g * (pi**2 - square) / pi) ** 2
    return trace - root * (pi * d * g + m * a / pi), trace**2 - 4 * root**2 * d * m * a * g - above


# --- between layers ----------------------------------------------------------------------------------------------


def three_blocks(draw):
    """F ≻ 0 in three blocks of k, and the matrix with its band whose inverse is block-tridiagonal."""
    k = draw.size(1, 2)
    F = draw.spd(3 * k, 30)
    block = lambda i, j: F[i * k : i * k + k, j * k : j * k + k]
    psi = [solve(block(i + 1, i + 1), block(i + 1, i)).T for i in (0, 1)]
    sigma = [block(i, i) - psi[i] @ block(i + 1, i + 1) @ psi[i].T for i in (0, 1)] + [block(2, 2)]
    one, zero = eye(block(0, 0)), 0 * block(0, 0)
    Xi = np.block([[one, -psi[0], zero], [zero, one, -psi[1]], [zero, zero, one]])
    inside = [inverse(s) for s in sigma]
    Lam = np.block([[inside[0], zero, zero], [zero, inside[1], zero], [zero, zero, inside[2]]])
    precision = Xi.T @ Lam @ Xi
    return {"F": F, "k": k, "precision": precision, "close": inverse(precision)}


def truncated(draw):
    """[[1, c, c], [c, 1, c], [c, c, 1]] ≻ 0 with c² > ½: its band has the eigenvalue 1 − c√2 < 0."""
    c = draw.number(0.75, 0.99)
    band = draw.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    whole = draw.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return {"F": eye(band) + c * whole, "band": eye(band) + c * band}


@claim(
    "kfac.block-tridiagonal",
    "F is approximated by its block-tridiagonal part, which is positive definite as F is",
    KFAC + "§4.3",
    three_blocks,
    "false",
    corrected="F⁻¹ is approximated by a block-tridiagonal matrix: its inverse agrees with F on the band, and is dense",
    scale=lambda F: (*(size(F) * condition(F) ** 2,) * 2, condition(F) ** 2 * size(inverse(F))),
    because="each inverse of a block, and that of the whole, lose eps κ(F)",
    fails=(Fails("as stated: indefinite", truncated, lambda F, band: int(least(F) > 0 > least(band))),),
)
def block_tridiagonal(F, k, precision, close):
    gap = close - F
    return gap[: 2 * k, : 2 * k], gap[k:, k:], precision[:k, 2 * k :]


# --- the length of the step --------------------------------------------------------------------------------------


def rescaled(draw):
    """B ≻ 0, the proposal Δ = −P⁻¹g of another matrix, and the last step δ."""
    n = draw.size(2)
    B, P, g, delta = draw.spd(n, 1e2), draw.spd(n, 1e2), draw.vector(n), draw.vector(n)
    D = np.column_stack([-solve(P, g), delta])
    if not least(D.T @ D) > (0 if draw.exact else 1e-3 * size(D[:, 0]) * size(delta)):
        return rescaled(draw)
    return {"B": B, "g": g, "D": D, "both": -solve(D.T @ B @ D, D.T @ g)}


@claim(
    "kfac.rescale",
    "α = −gᵀΔ/ΔᵀBΔ minimises the model along Δ, m(αΔ) = ½αgᵀΔ; with the last step too, two equations: never worse",
    KFAC + "§6.4 and §7",
    rescaled,
    given="B ≻ 0",
    scale=lambda B, g, D, both: (
        bulk(g) * bulk(D),
        condition(D.T @ B @ D) * (bulk(g) * bulk(D) + bulk(B) * bulk(D) ** 2 * bulk(both)),
        (bulk(g) * bulk(D)) ** 2 / float(D[:, 0] @ B @ D[:, 0]),
        condition(D.T @ B @ D) * (bulk(g) * bulk(D) * bulk(both) + bulk(B) * (bulk(D) * bulk(both)) ** 2),
    ),
    because=SUMS + "; two equations lose eps κ",
)  # fmt: skip
def rescale(B, g, D, both):
    model = lambda d: g @ d + d @ B @ d / 2
    delta = D[:, 0]
    alpha = -(g @ delta) / (delta @ B @ delta)
    along, d = alpha * delta, D @ both
    slopes = g @ delta + along @ B @ delta, D.T @ (g + B @ d)
    return *slopes, model(along) - alpha * (g @ delta) / 2, excess(model(d) - model(along))


def reductions(draw, followed):
    """A quadratic h with Hessian F, and what a step δ changes it by; the zones of Levenberg and Marquardt's rule."""
    F, g, delta, lam = draw.spd(n := draw.size(), 1e2), draw.vector(n), draw.vector(n), draw.magnitude()
    change, other = (g @ delta + delta @ K @ delta / 2 for K in (F, inverse(F)))
    if min(abs(float(change)), abs(float(change - other))) < 1e-2 * size(g) * size(delta):
        return reductions(draw, followed)
    omega = (draw.array("19/20")[()]) ** 5
    zones = np.array([followed(lam, rho, omega, 1) for rho in draw.array(["9/10", "1/2", "1/10"])])
    return {
        "F": F, "g": g, "delta": delta, "change": change, "other": other, "lam": lam, "omega": omega, "zones": zones,
    }  # fmt: skip


@claim(
    "kfac.damping-rule",
    "λ rises or falls by whether the change of h is more or less than F⁻¹ predicts",
    KFAC + "§6.5; " + NW + "§4.1",
    reductions,
    "imprecise",
    corrected="ρ = (h(θ + δ) − h(θ))/(m(δ) − m(0)) with m = gᵀδ + ½δᵀFδ, 1 on quadratics; λ ← ωλ above ¾, λ/ω below ¼, "
    "between them as it is: 150 becomes 116, 194 or 150 with ω = (19/20)⁵",
    uses=("inexact.followed",),
    scale=lambda F, g, delta, lam: (bulk(F) * bulk(delta) ** 2 + bulk(g) * bulk(delta), *(float(lam),) * 3, 1),
    because=SUMS,
    fails=(
        Fails(
            "as stated, with F⁻¹ in the model",
            reductions,
            lambda change, other: (other - change) / abs(change),
        ),
    ),
)
def damping_rule(F, g, delta, change, lam, omega, zones):
    good, middle, poor = zones
    numbers = int(round(float(150 * omega)) != 116 or round(float(150 / omega)) != 194)
    return g @ delta + delta @ F @ delta / 2 - change, good - omega * lam, middle - lam, omega * poor - lam, numbers
