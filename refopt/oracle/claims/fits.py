"""Linear and nonlinear least squares beyond Gauss-Newton and Levenberg-Marquardt."""

import numpy as np

from refopt.linalg.gram import inverse_gram
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import DS, NW
from refopt.oracle.draw import bulk, condition, excess, eye, inverse, size, solve

__all__ = ["inverse_gram"]
STEP = ("gauss-newton.full-step",)
STABLE = "a backward stable least-squares solution leaves eps ‖J‖(‖J‖‖d‖ + ‖r‖), times κ(J) for large residuals"


def drawn(draw, step=None, worst=1e3):
    J = draw.full_rank((n := draw.size()) + int(draw.rng.integers(1, 4)), n, worst)
    r = draw.vector(len(J)) * draw.magnitude()
    return {"J": J, "r": r, "q": draw.vector(n)} | ({"p": step(J, r)} if step else {})


@claim(
    "fits.pythagoras",
    "‖Jq + r‖² = ‖Jp + r‖² + ‖J(q − p)‖² for the solution p and every q: it is the only minimiser",
    NW + "§10.2",
    drawn,
    given="J has full column rank",
    uses=STEP,
    scale=lambda J, r, q, p: (size(J) * (size(q) + size(p)) + size(r)) ** 2 * condition(J),
    because=STABLE,
)
def pythagoras(J, r, q, p):
    rest, other, apart = J @ p + r, J @ q + r, J @ (q - p)
    return other @ other - rest @ rest - apart @ apart


def reduced(draw, triangular):
    made = drawn(draw)
    R, c, full = triangular(made["J"], made["r"])
    return made | {"R": R, "c": c, "full": full}


@claim(
    "fits.triangle",
    "J = QR turns min ‖Jp + r‖ into Rp = −c, c = Qᵀr:   RᵀR = JᵀJ, Rᵀc = Jᵀr, ‖Jq + r‖² − ‖Rq + c‖² is constant",
    NW + "§10.2",
    reduced,
    uses=("ops.triangular",),
    scale=lambda J, r, q: (size(J) ** 2, size(J) * size(r), (size(J) * size(q) + size(r)) ** 2),
    because="Householder reflections are backward stable",
    exact=False,
)
def triangle(J, r, q, R, c):
    at_q, at_zero = (J @ q + r) @ (J @ q + r) - (R @ q + c) @ (R @ q + c), r @ r - c @ c
    return R.T @ R - J.T @ J, R.T @ c - J.T @ r, at_q - at_zero


def damped_triangle(draw, damped):
    n = draw.size()
    R, c, d = np.triu(draw.matrix(n, n)), draw.vector(n), draw.positive(n, 1e2)
    S, z = damped(R, c, d)
    return {"R": R, "c": c, "d": d, "S": S, "z": z}


@claim(
    "fits.damped-triangle",
    "(R; D) has a triangle S with SᵀS = RᵀR + D² and Sᵀz = Rᵀc: damping costs no more than R itself knows",
    NW + "§10.3 (implementation of Levenberg-Marquardt)",
    damped_triangle,
    uses=("ops.damped",),
    scale=lambda R, c, d: (size(R) ** 2 + size(d) ** 2, size(R) * size(c) + size(d) * size(c)),
    because="Householder reflections are backward stable",
    exact=False,
)
def is_damped_triangle(R, c, d, S, z):
    return S.T @ S - R.T @ R - np.diag(d**2), S.T @ z - R.T @ c


def with_gram(draw, inverse_gram):
    J = draw.full_rank((n := draw.size()) + 2, n, 1e2)
    G, rank = inverse_gram(J)
    return {"J": J, "G": G, "rank": rank}


@claim(
    "fits.inverse-gram",
    "(JᵀJ)⁻¹, the covariance of a fit but for a factor, without forming JᵀJ",
    DS + "§10.4; " + NW + "§10.2 (singular values)",
    with_gram,
    given="J has full column rank",
    uses=("fits.inverse_gram",),
    scale=lambda J, G: (condition(J) * size(J) ** 2 * size(G), 1),
    because="singular values of J are known to n eps ‖J‖, so that its inverse loses eps κ(J)",
    exact=False,
)
def gram_inverted(J, G, rank):
    return G @ J.T @ J - np.eye(len(G)), float(rank - len(G))


def with_less_rank(draw, inverse_gram):
    """A variable that the model ignores, beside independent ones; and a Jacobian that is not finite."""
    J = draw.full_rank((n := draw.size()) + 2, n, 1e2)
    ignored = np.insert(J, at := int(draw.rng.integers(n + 1)), 0.0, axis=1)
    G, rank = inverse_gram(ignored)
    lost, none = inverse_gram(np.where(ignored == 0.0, np.nan, ignored))
    return {
        "J": J, "G": np.delete(np.delete(G, at, 0), at, 1), "rest": np.append(G[at], G[:, at]), "rank": rank - n,
        "shape": float(lost.shape != G.shape or not np.isnan(lost).all() or none != 0),
    }  # fmt: skip


@claim(
    "fits.gram-deficient",
    "Of a variable that the model ignores there is no covariance: (JᵀJ)⁺ is zero there, and the inverse elsewhere",
    DS + "§10.4; " + NW + "§10.2 (singular values)",
    with_less_rank,
    given="the other columns are independent; what is not finite has the rank 0 and NaN for an inverse",
    uses=("fits.inverse_gram",),
    scale=lambda J, G: (condition(J) * size(J) ** 2 * size(G), condition(J) ** 2 * size(G) ** 0.5, 1, 1),
    because="singular values of J are known to n eps ‖J‖, so that its inverse loses eps κ(J)",
    exact=False,
)
def gram_deficient(J, G, rest, rank, shape):
    return G @ J.T @ J - np.eye(len(G)), rest, float(rank), shape


def consistent(draw, step):
    """From e beside x* = 0, r = Ax + ½xᵀQx: every residual is zero at x*."""
    n = draw.size(1, 3)
    A, Q = draw.full_rank(n + 2, n, 10), np.array([(K := draw.matrix(n, n)) + K.T for _ in range(n + 2)])
    e = draw.vector(n)
    e = e * draw.number(0, 1) / (8 * bulk(A) * (bulk(Q) + 1) * bulk(inverse(A.T @ A)) * bulk(e))
    J = A + Q @ e
    return {"J": J, "Q": Q, "e": e, "e_new": e + step(J, A @ e + Q @ e @ e / 2)}


@claim(
    "fits.zero-residual",
    "Where all residuals vanish at x* Gauss-Newton converges quadratically:   JᵀJe₊ = ½Jᵀ(eᵀ∇²r e)",
    NW + "§10.3; " + DS + "§10.2",
    consistent,
    given="J has full column rank; the residuals are quadratic here",
    uses=STEP,
    scale=lambda J, e: size(J) ** 2 * size(e) * condition(J),
    because=STABLE,
)
def zero_residual(J, Q, e, e_new):
    return J.T @ (J @ e_new - Q @ e @ e / 2)


@claim(
    "fits.projection",
    "What is left is a projection: ‖r‖² = ‖Jp + r‖² + ‖Jp‖², and ‖Jp‖²/‖r‖² the cos² of the angle with the range",
    NW + "§10.2; " + DS + "chapter 10 (convergence)",
    drawn,
    given="Jᵀ(Jp + r) = 0",
    uses=STEP,
    scale=lambda J, r, p: (size(J) * size(p) + size(r)) ** 2 * condition(J),
    because=STABLE,
)
def projection(J, r, p):
    rest = J @ p + r
    return r @ r - rest @ rest - (J @ p) @ (J @ p)


def equal_rows(draw, step):
    """Weighted rows: min ‖W(Jp + r)‖."""
    made = drawn(draw)
    w = draw.positive(len(made["r"]), 10)
    return made | {"w": w, "p": step(made["J"] * w[:, None], made["r"] * w)}


@claim(
    "fits.weights",
    "Weights W give JᵀW²(Jp + r) = 0; they change the solution",
    NW + "chapter 10",
    equal_rows,
    "conditional",
    given="the residuals are not all zero and W is no multiple of the identity",
    uses=STEP,
    scale=lambda J, r, w, p: size(w) ** 2 * size(J) * (size(J) * size(p) + size(r)) * condition(J) * max(w) / min(w),
    because=STABLE,
    fails=(
        Fails(
            "the weights are left out, J = (1, 1)ᵀ",
            lambda draw, step: {
                "J": (J := draw.array([[1], [1]])),
                "r": (r := draw.array([1, -1])),
                "w": draw.array([1, 3]),
                "p": step(J, r),
            },
        ),
    ),
)
def weights(J, r, w, p):
    return J.T @ (w**2 * (J @ p + r))


def secant_part(draw):
    """S ≈ Σrᵢ∇²rᵢ with the structured secant condition S₊s = J₊ᵀr₊ − Jᵀr₊, weighted as in NL2SOL."""
    n = draw.size()
    M, s, y, v = draw.matrix(n, n), draw.vector(n), draw.vector(n), draw.vector(n)
    if abs(float(y @ s)) < 0.1 * size(y) * size(s):
        return secant_part(draw)
    S = M + M.T
    y = y if y @ s > 0 else -y
    u = (v - S @ s) / (y @ s)
    S_new = S + u[:, None] * y + y[:, None] * u - (u @ s) / (y @ s) * y[:, None] * y
    return {"S": S, "s": s, "y": y, "v": v, "S_new": S_new}


@claim(
    "fits.structured-secant",
    "S₊ = S + (uyᵀ + yuᵀ) − (uᵀs/yᵀs)yyᵀ, u = (v − Ss)/yᵀs, is symmetric with S₊s = v: what NL2SOL learns of Σrᵢ∇²rᵢ",
    DS + "§10.3; " + NW + "§10.3 (large-residual problems)",
    secant_part,
    given="yᵀs ≠ 0, v = J₊ᵀr₊ − Jᵀr₊",
    scale=lambda S, s, y, v: (
        (1 + size(s) * size(y) / abs(float(y @ s))) ** 2 * (size(S) * size(s) + size(v)),
        (1 + size(s) * size(y) / abs(float(y @ s))) ** 2 * (size(S) + size(v) / size(s)),
    ),
    because="the update is a sum of terms of this size",
)
def structured_secant(s, v, S_new):
    return S_new @ s - v, S_new - S_new.T


def shifted(draw, step):
    """Variable projection: r = Jp + Cu + b is linear in u; u is eliminated."""
    n, k = draw.size(1, 3), int(draw.rng.integers(1, 3))
    J, C, b = draw.full_rank(n + k + 2, n + k, 10), None, draw.vector(n + k + 2)
    J, C = J[:, :n], J[:, n:]
    both = step(np.concatenate([J, C], axis=1), b)
    inside = solve(C.T @ C, C.T)
    outside = eye(C @ inside) - C @ inside
    return {"J": J, "C": C, "b": b, "p": both[:n], "p_alone": step(outside @ J, outside @ b)}


@claim(
    "fits.separable",
    "Linear variables can be eliminated: with P = I − C(CᵀC)⁻¹Cᵀ, min ‖P(Jp + b)‖ has the p of min ‖Jp + Cu + b‖",
    DS + "§10.4; G. H. Golub & V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413",
    shifted,
    given="(J C) has full column rank",
    uses=STEP,
    scale=lambda J, C, b, p: condition(np.concatenate([J, C], axis=1)) ** 4 * (size(p) + size(b) / size(J)),
    because=STABLE + "; P loses κ(C)²",
)
def separable(p, p_alone):
    return p - p_alone


def ratio_of_gains(draw, step):
    made = drawn(draw, step)
    return made | {"t": draw.number(0, 1)}


@claim(
    "fits.quadratic-decrease",
    "Along the Gauss-Newton step ½‖r + tJp‖² = ½‖r‖² − (t − ½t²)‖Jp‖²: the model's gain at t = 1 is half of its slope",
    NW + "§10.3",
    ratio_of_gains,
    given="J has full column rank",
    uses=STEP,
    scale=lambda J, r, p: (size(J) * size(p) + size(r)) ** 2 * condition(J),
    because=STABLE,
)
def quadratic_decrease(J, r, p, t):
    rest, along = r + t * (J @ p), J @ p
    return rest @ rest - r @ r + (2 * t - t**2) * (along @ along), excess(r @ along)
