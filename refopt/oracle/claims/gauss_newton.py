"""Gauss-Newton: its matrix beside the Hessian, its step, and when it converges."""

import numpy as np

from refopt.methods import gauss_newton
from refopt.ops import triangular
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import DS, NW
from refopt.oracle.draw import condition, excess, eye, least, size, solve, with_spectrum

GGN = "N. N. Schraudolph, Neural Computation 14 (2002) 1723; J. Martens, JMLR 21 (2020), §8"


def full_step(J, r):
    """−J⁺r, the shortest minimiser of ‖Jd + r‖: the library's own, and over rational numbers by normal equations."""
    if J.dtype != object:
        return gauss_newton.shortest(*triangular(J, r))
    columns = independent(J)
    rows = solve(columns.T @ columns, columns.T @ J)
    return -rows.T @ solve(rows @ rows.T, solve(columns.T @ columns, columns.T @ r))


def independent(J):
    """The first columns of J that span all of them; J is their product with the rows that `full_step` finds."""
    chosen = J[:, :0]
    for column in J.T:
        wider = np.column_stack([chosen, column])
        if least(wider.T @ wider) > 0:
            chosen = wider
    return chosen


# --- the matrix --------------------------------------------------------------------------------------------------


def composed(draw, convex=False, free=None):
    """h(x) = ℓ(z(x)):  zₖ = cₖ + aₖᵀx + ½xᵀQₖx  and  ℓ(z) = ½zᵀMz + vᵀz, at x, with a direction u."""
    n, m = draw.size(), draw.size()
    Q = np.array([(K := draw.matrix(n, n)) + K.T for _ in range(m)])
    M = draw.matrix(m, m)
    return {
        "a": draw.matrix(m, n), "c": draw.vector(m), "Q": Q, "M": M @ M.T if convex else M + M.T,
        "v": draw.vector(m), "x": draw.vector(n), "u": draw.vector(n),
    }  # fmt: skip


def outputs(a, c, Q, x):
    return c + a @ x + Q @ x @ x / 2


def loss(z, M, v):
    return z @ M @ z / 2 + v @ z


def ggn(a, Q, M, x):
    J = a + Q @ x
    return J.T @ M @ J


def dropped(a, c, Q, M, v, x):
    """Σₖ (∂ℓ/∂zₖ) ∇²zₖ."""
    return np.tensordot(M @ outputs(a, c, Q, x) + v, Q, 1)


def bend(a, c, Q, M, v, x, u):
    """12 uᵀ∇²h(x)u by five values of h along u: exact, because h is a quartic."""
    values = [loss(outputs(a, c, Q, x + t * u), M, v) for t in (-2, -1, 0, 1, 2)]
    return np.array([-1, 16, -30, 16, -1]) @ np.array(values)


def bend_scale(a, c, Q, M, v, x, u):
    far = size(x) + 2 * size(u)
    z = size(c) + size(a) * far + size(Q) * far**2
    return 100 * (size(M) * z**2 + size(v) * z)


@claim(
    "gauss-newton.decomposition",
    "∇²h = Jᵀ(∇²ℓ)J + Σₖ (∂ℓ/∂zₖ)∇²zₖ for h(x) = ℓ(z(x))",
    NW + "§10.2; " + GGN,
    composed,
    scale=bend_scale,
    because="five values of h, as large as this",
)
def decomposition(a, c, Q, M, v, x, u):
    return bend(a, c, Q, M, v, x, u) - 12 * (u @ (ggn(a, Q, M, x) + dropped(a, c, Q, M, v, x)) @ u)


def affine(draw):
    made = composed(draw)
    return made | {"Q": 0 * made["Q"]}


def stationary(draw):
    """∂ℓ/∂z = 0 at z(x)."""
    made = composed(draw)
    return made | {"v": -made["M"] @ outputs(made["a"], made["c"], made["Q"], made["x"])}


def curved_residual(draw):
    """r = x² − v with v > 3x²: ∇²f = 6x² − 2v < 0 < 4x² = JᵀJ."""
    x = draw.array([1]) * draw.number(0.1, 2)
    return {
        "a": draw.array([[0]]), "c": -x * x * draw.number(4, 9), "Q": draw.array([[[2]]]), "M": draw.array([[1]]),
        "v": draw.array([0]), "x": x, "u": draw.array([1]),
    }  # fmt: skip


@claim(
    "gauss-newton.exact-for-least-squares",
    "For least squares the Gauss-Newton matrix is the exact Hessian",
    NW + "§10.2",
    lambda draw: (affine, stationary)[int(draw.rng.integers(2))](draw),
    "false",
    corrected="It is where the outputs are affine in x, or the slopes of the loss, here the residuals, are zero",
    scale=bend_scale,
    because="five values of h, as large as this",
    fails=(
        Fails(
            "as stated, r = x² − v: even the sign differs",
            curved_residual,
            lambda a, c, Q, M, v, x, u: bend(a, c, Q, M, v, x, u) / (12 * u @ ggn(a, Q, M, x) @ u) - 1,
        ),
    ),
)
def exact_for_least_squares(a, c, Q, M, v, x, u):
    return bend(a, c, Q, M, v, x, u) - 12 * (u @ ggn(a, Q, M, x) @ u)


def curved_at_zero_loss(draw):
    """ℓ(z) = ½z² + z at z(x) = 0: ℓ = 0, ∂ℓ/∂z = 1, and what is dropped is ∇²z."""
    made = composed(draw)
    a, Q, x = made["a"][:1], made["Q"][:1], made["x"]
    Q = Q + 2 * bool(not Q.any()) * eye(Q[0])
    return {"a": a, "c": -(a @ x + Q @ x @ x / 2), "Q": Q, "M": draw.array([[1]]), "v": draw.array([1]), "x": x}


@claim(
    "gauss-newton.dropped-term",
    "What Gauss-Newton drops is negligible where the loss is small",
    NW + "§10.2",
    composed,
    "imprecise",
    corrected="Where its slopes are small: |uᵀ(∇²h − G)u| ≤ ‖∂ℓ/∂z‖ (Σₖ (uᵀ∇²zₖu)²)^½; its value says nothing",
    scale=bend_scale,
    because="five values of h, as large as this",
    fails=(
        Fails(
            "as stated, ℓ = ½z² + z where z = 0",
            curved_at_zero_loss,
            lambda a, c, Q, M, v, x: dropped(a, c, Q, M, v, x) / abs(Q).max(),
        ),
    ),
)
def dropped_term(a, c, Q, M, v, x, u):
    slopes, bends = M @ outputs(a, c, Q, x) + v, np.array([u @ K @ u for K in Q])
    gap = bend(a, c, Q, M, v, x, u) / 12 - u @ ggn(a, Q, M, x) @ u
    return excess(gap**2 - (slopes @ slopes) * (bends @ bends)) / (1 + abs(gap))


def weighted(draw, values=None):
    m, n = draw.size(2), draw.size()
    M = with_spectrum(draw.orthogonal(m), draw.positive(m, 1e3) if values is None else values(m))
    return {"J": draw.matrix(m, n), "M": M}


def wide(draw):
    m = draw.size(1, 3)
    return {"J": draw.matrix(m, m + 1), "M": draw.spd(m, 1e3)}


def concave(draw):
    identity = draw.array(np.eye(2, dtype=int))
    return {"J": identity * draw.magnitude(), "M": -identity}


def gram(J, M):
    G = J.T @ M @ J
    return (G + G.T) / 2


@claim(
    "gauss-newton.semidefinite",
    "G = Jᵀ(∇²ℓ)J ⪰ 0",
    GGN,
    weighted,
    "conditional",
    given="∇²ℓ ⪰ 0 on the range of J; ℓ convex suffices",
    scale=lambda J, M: size(J) ** 2 * size(M),
    because="the lowest eigenvalue is known to n eps of what is summed",
    fails=(Fails("ℓ = −½‖z‖²", concave),),
)
def semidefinite(J, M):
    return excess(-least(gram(J, M)))


def not_definite(J, M):
    """1 if the lowest eigenvalue of G is zero, over floats to the rounding of the others."""
    G = gram(J, M)
    return int(least(G) <= (0 if G.dtype == object else 1e-10 * size(G)))


@claim(
    "gauss-newton.definite",
    "The Gauss-Newton matrix is a positive definite approximation of the Hessian",
    NW + "§10.2",
    lambda draw: {"J": draw.full_rank((n := draw.size()) + 1, n, 1e2), "M": draw.spd(n + 1, 1e2)},
    "false",
    corrected="It is positive semidefinite, and definite if J has full column rank and ∇²ℓ ≻ 0",
    scale=lambda: 1,
    because="the lowest eigenvalue is 1e-6 of the largest at least, and known to n eps of it",
    fails=(Fails("as stated, more parameters than outputs", wide, not_definite),),
)
def definite(J, M):
    return not_definite(J, M)


# --- the step ----------------------------------------------------------------------------------------------------


def linearised(draw, step):
    J = draw.full_rank((n := draw.size()) + int(draw.rng.integers(4)), n)
    r = draw.vector(len(J)) * draw.magnitude()
    return {"J": J, "r": r, "d": step(J, r), "rank": n}


@claim(
    "gauss-newton.linearised",
    "The Gauss-Newton step minimises ‖Jd + r‖:   Jᵀ(Jd + r) = 0",
    NW + "§10.3",
    linearised,
    uses=("gauss-newton.full-step",),
    scale=lambda J, r, d: size(J) * (size(J) * size(d) + size(r)) * condition(J),
    because="a backward stable least-squares solution leaves eps ‖J‖(‖J‖‖d‖ + ‖r‖), times κ(J) for large residuals",
)
def is_linearised(J, r, d):
    return J.T @ (J @ d + r)


@claim(
    "gauss-newton.newton-for-affine",
    "On affine residuals one step is enough: ∇f(x + d) = 0, f = ½‖Jx − b‖²",
    NW + "§10.2",
    lambda draw, step: {
        "J": (J := draw.full_rank((n := draw.size()) + 2, n)),
        "x": (x := draw.vector(n)),
        "b": (b := draw.vector(n + 2)),
        "d": step(J, J @ x - b),
    },
    uses=("gauss-newton.full-step",),
    scale=lambda J, x, b, d: size(J) * (size(J) * (size(x) + size(d)) + size(b)) * condition(J),
    because="a backward stable least-squares solution leaves eps ‖J‖(‖J‖‖d‖ + ‖r‖), times κ(J) for large residuals",
)
def newton_for_affine(J, x, b, d):
    return J.T @ (J @ (x + d) - b)


def arctangent(draw, step):
    """f = ½ arctan(x)² from |x| ≥ 1.4: the full step goes too far."""
    x = draw.array([1]) * draw.number(1.4, 3)
    d = step(1 / (1 + x[:, None] ** 2), np.arctan(x))
    return {"f": np.arctan(x) ** 2 / 2, "f_new": np.arctan(x + d) ** 2 / 2}


@claim(
    "gauss-newton.descends",
    "The Gauss-Newton step lowers f = ½‖r‖²:   gᵀd = −‖Jd‖² < 0",
    NW + "§10.3",
    linearised,
    "conditional",
    given="J has full column rank, g ≠ 0, and the step is short enough: it is a descent direction, no more",
    uses=("gauss-newton.full-step",),
    scale=lambda J, r, d: (size(J) * size(d) + size(r)) ** 2 * condition(J),
    because="a backward stable least-squares solution leaves eps ‖J‖(‖J‖‖d‖ + ‖r‖), times κ(J) for large residuals",
    fails=(Fails("the full step for r = arctan x", arctangent, lambda f, f_new: excess(f_new - f) / f, exact=False),),
)
def descends(J, r, d):
    return excess((J.T @ r) @ d), (J.T @ r) @ d + (J @ d) @ (J @ d)


def deficient(draw, step):
    rank, m, n = draw.size(1, 2), 4, draw.size(3, 5)
    J = draw.full_rank(m, rank, 10) @ draw.full_rank(n, rank, 10).T
    if spanned(J, rank) > 30:
        return deficient(draw, step)
    r, any = draw.vector(m), draw.vector(n)
    return {"J": J, "r": r, "d": step(J, r), "any": any, "z": any + step(J, J @ any), "rank": rank}


def spanned(J, rank):
    """‖J‖‖J₁⁺‖ of the first columns J₁: by how much roundings grow in the others, which are combinations of these."""
    J = np.asarray(J, dtype=float)
    return np.linalg.norm(J, 2) * np.linalg.norm(np.linalg.pinv(J[:, :rank]), 2)


@claim(
    "gauss-newton.singular",
    "Where J has not full column rank JᵀJ is singular; the normal equations have solutions, −J⁺r is the shortest",
    NW + "§10.2",
    deficient,
    given="z is any vector with Jz = 0; the first columns of J that are independent span all, ‖J‖‖J₁⁺‖ ≤ 30",
    uses=("gauss-newton.full-step",),
    scale=lambda J, r, d, any, rank: (
        size(J) * (size(J) * size(d) + size(r)) * spanned(J, rank),
        size(J) * size(any) * spanned(J, rank),
        size(d) * size(any) * spanned(J, rank),
        size(J) ** 2,
    ),
    because="both solutions lose eps κ, κ = ‖J‖‖J₁⁺‖",
)
def singular(J, r, d, z):
    return J.T @ (J @ d + r), J @ z, d @ z, least(J.T @ J)


def large_residual(draw, step):
    """One step from the error e beside x* = 0, for r(x) = b + Ax + ½xᵀQx with Aᵀb = 0; S = Σ bᵢ Qᵢ."""
    n = draw.size(1, 3)
    A, Q = draw.full_rank(n + 2, n, 10), np.array([(K := draw.matrix(n, n)) + K.T for _ in range(n + 2)])
    b, e = draw.vector(n + 2), draw.vector(n) * draw.number(0, "1/10")
    b = b + A @ step(A, b)
    J, r = A + Q @ e, b + A @ e + Q @ e @ e / 2
    if not least(J.T @ J) > 0:
        return large_residual(draw, step)
    return {"J": J, "r": r, "S": np.tensordot(b, Q, 1), "Qee": Q @ e @ e, "e": e, "e_new": e + step(J, r)}


@claim(
    "gauss-newton.large-residual",
    "Near x*, JᵀJe₊ = −Se + O(‖e‖²), S = Σrᵢ∇²rᵢ: linear, diverging where (JᵀJ)⁻¹S has a spectral radius above 1",
    NW + "§10.3; " + DS + "§10.2",
    large_residual,
    given="what is O(‖e‖²) is ½Jᵀ(eᵀ∇²r e) where the residuals are quadratic",
    uses=("gauss-newton.full-step",),
    scale=lambda J, r, e: size(J) * (size(J) * size(e) + size(r)) * condition(J) ** 2,
    because="a backward stable least-squares solution leaves eps ‖J‖(‖J‖‖d‖ + ‖r‖), twice, times κ(J) each time",
)
def is_large_residual(J, S, Qee, e, e_new):
    return J.T @ (J @ e_new - Qee / 2) + S @ e


@claim(
    "gauss-newton.least-squares",
    "The step is the solution of the linear least-squares problem Jd ≈ −r, where there are many the shortest",
    NW + "§10.2; §10.3",
    lambda draw, step: deficient(draw, step) if draw.rng.integers(2) else linearised(draw, step),
    given="where J is singular, the first columns that are independent span all, ‖J‖‖J₁⁺‖ ≤ 30: none are exchanged",
    uses=("gauss-newton.full-step",),
    scale=lambda J, r, d, rank: (kappa := spanned(J, rank)) * size(d) + kappa**2 * size(r) / size(J),
    because="both solutions lose eps κ, and eps κ² of large residuals, κ = ‖J‖‖J₁⁺‖",
    exact=False,
)
def by_lstsq(J, r, d):
    return d + np.linalg.lstsq(J, r, rcond=1e-10)[0]
