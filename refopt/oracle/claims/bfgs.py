"""The BFGS update, and BFGS with exact searches on quadratics."""

import numpy as np

from refopt import exact as rationals
from refopt.methods import bfgs
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import condition, determinant, excess, eye, inverse, least, size, solve, with_spectrum

UPDATE = ("bfgs.update",)
ROUNDED = "the update is a sum of terms of this size"


def pair(draw, n, sign=1):
    """A step s and a change of gradient y with yᵀs > 0 (< 0 for sign −1), not nearly orthogonal."""
    s, y = draw.vector(n), draw.vector(n)
    if abs(float(y @ s)) < 0.1 * size(y) * size(s):
        return pair(draw, n, sign)
    return s * draw.magnitude(), y * draw.magnitude() * (sign if y @ s > 0 else -sign)


def updated(draw, update, sign=1, worst=1e6):
    H = draw.spd(n := draw.size(), worst)
    s, y = pair(draw, n, sign)
    return {"H": H, "s": s, "y": y, "H_new": update(H, s, y)}


def updated_backwards(draw, update):
    return updated(draw, update, -1)


def updated_mildly(draw, update):
    return updated(draw, update, worst=1e3)


def rounding(H, s, y):
    """The size of what is summed in the update: (I − ρsyᵀ)H(I − ρysᵀ) and ρssᵀ, term by term."""
    ys = abs(float(y @ s))
    return (1 + size(s) * size(y) / ys) ** 2 * size(H) + size(s) ** 2 / ys


# --- one update --------------------------------------------------------------------------------------------------


@claim(
    "bfgs.update",
    "H₊ = (I − ρsyᵀ) H (I − ρysᵀ) + ρssᵀ,   ρ = 1/yᵀs",
    NW + "§6.1",
    updated,
    given="yᵀs ≠ 0",
    uses=UPDATE,
    scale=rounding,
    because=ROUNDED,
)
def product_form(H, s, y, H_new):
    V = eye(H) - y[:, None] * s / (y @ s)
    return V.T @ H @ V + s[:, None] * s / (y @ s) - H_new


@claim(
    "bfgs.secant",
    "Hₖ₊₁ yₖ = sₖ",
    NW + "§6.1",
    updated,
    given="yᵀs ≠ 0",
    uses=UPDATE,
    scale=lambda H, s, y: rounding(H, s, y) * size(y),
    because=ROUNDED,
)
def secant(H_new, s, y):
    return H_new @ y - s


@claim(
    "bfgs.symmetric",
    "Hₖ₊₁ = Hₖ₊₁ᵀ",
    NW + "§6.1",
    updated,
    given="H = Hᵀ and yᵀs ≠ 0",
    uses=UPDATE,
    scale=rounding,
    because=ROUNDED,
)
def symmetric(H_new):
    return H_new - H_new.T


@claim(
    "bfgs.positive-definite",
    "The update keeps H positive definite",
    NW + "§6.1",
    updated,
    "conditional",
    given="H ≻ 0 and yᵀs > 0; with yᵀs < 0 it never is",
    uses=UPDATE,
    scale=rounding,
    because="the lowest eigenvalue moves no more than the sum is rounded",
    fails=(Fails("yᵀs < 0", updated_backwards, lambda H_new: 1 if least(H_new) < 0 else 0),),
)
def positive_definite(H_new):
    return excess(-least(H_new))


@claim(
    "bfgs.inverse",
    "H₊ is the inverse of B₊ = B − Bssᵀ B/sᵀBs + yyᵀ/yᵀs,   B = H⁻¹",
    NW + "§6.1",
    updated_mildly,
    given="H ≻ 0 and yᵀs > 0",
    uses=UPDATE,
    scale=lambda H, s, y: rounding(H, s, y) * (condition(H) ** 2 * size(inverse(H)) + size(y) ** 2 / abs(float(y @ s))),
    because=ROUNDED + ", and B₊ loses eps κ(H) in inverting H, and κ(H) again in Bs/sᵀBs",
)
def inverse_pair(H, s, y, H_new):
    return H_new @ B_update(inverse(H), s, y) - eye(H)


def B_update(B, s, y):
    Bs = B @ s
    return B - Bs[:, None] * Bs / (s @ Bs) + y[:, None] * y / (y @ s)


@claim(
    "bfgs.determinant",
    "det H₊ = det H · sᵀBs/yᵀs,   B = H⁻¹",
    NW + "§6.4",
    updated,
    given="H ≻ 0 and yᵀs > 0",
    uses=UPDATE,
    scale=lambda H, s, y, H_new: (condition(H) + size(inverse(H_new)) * rounding(H, s, y)) * abs(determinant(H_new)),
    because="a determinant moves by tr(H₊⁻¹E) of itself when H₊ moves by E",
)
def determinants(H, s, y, H_new):
    return determinant(H_new) - determinant(H) * (s @ solve(H, s)) / (y @ s)


def weighted(draw, update):
    """W ≻ 0 with Ws = y, and a change E = Eᵀ that keeps the secant equation, Ey = 0."""
    H, W, s = draw.spd(n := draw.size(), 1e3), draw.spd(n, 1e3), draw.vector(n)
    y, M = W @ s, draw.matrix(n, n)
    P = eye(W) - y[:, None] * y / (y @ y)
    return {"H": H, "s": s, "y": y, "W": W, "M": M, "E": P @ (M + M.T) @ P, "H_new": update(H, s, y)}


@claim(
    "bfgs.least-change",
    "H₊ is the symmetric matrix closest to H that maps y to s, in every norm ‖W^½ · W^½‖_F with Ws = y",
    NW + "§6.1",
    weighted,
    given="W ≻ 0; closest iff tr W(H₊ − H)WE = 0 for every E = Eᵀ with Ey = 0",
    uses=UPDATE,
    scale=lambda H, s, y, W, M: size(W) ** 2 * size(M) * rounding(H, s, y),
    because=ROUNDED,
)
def least_change(H, W, E, H_new):
    return np.trace(W @ (H_new - H) @ W @ E)


def transformed(draw, update):
    """The same pair in the variables x̃ with x = Tx̃."""
    H, T = draw.spd(n := draw.size(), 1e3), draw.full_rank(n, n, 1e2)
    s, y = pair(draw, n)
    inside = inverse(T)
    H_tilde = update(inside @ H @ inside.T, inside @ s, T.T @ y)
    return {"H": H, "T": T, "s": s, "y": y, "H_new": update(H, s, y), "H_tilde": H_tilde}


@claim(
    "bfgs.affine-invariance",
    "With x = Tx̃ + c, updating commutes with the change of variables: H₊ = T H̃₊ Tᵀ",
    "direct",
    transformed,
    given="T invertible and yᵀs ≠ 0",
    uses=UPDATE,
    scale=lambda H, T, s, y: rounding(H, s, y) * condition(T) ** 4,
    because=ROUNDED + ", and each passage through T loses κ(T)",
)
def affine_invariance(T, H_new, H_tilde):
    return T @ H_tilde @ T.T - H_new


@claim(
    "bfgs.index",
    "Hₖ is made from Hₖ₋₁ with sₖ = xₖ₊₁ − xₖ and yₖ",
    NW + "§6.1",
    updated,
    "imprecise",
    corrected="With sₖ = xₖ₊₁ − xₖ the update makes Hₖ₊₁: the matrix that maps yₖ to sₖ is the next one",
    uses=UPDATE,
    scale=lambda H, s, y: rounding(H, s, y) * size(y),
    because=ROUNDED,
    fails=(Fails("as stated, Hₖ maps yₖ to sₖ", updated, lambda H, s, y: (H @ y - s) / abs(s).max()),),
)
def index(H_new, s, y):
    return H_new @ y - s


def averaged(draw):
    Q, values, s = draw.orthogonal(n := draw.size()), draw.positive(n), draw.vector(n)
    y = with_spectrum(Q, values) @ s
    return {"values": values, "s": s, "y": y}


@claim(
    "bfgs.first-scaling",
    "γ = sᵀy/yᵀy lies between the inverses of the largest and the smallest eigenvalue of the averaged Hessian",
    NW + "§6.1 and §7.2",
    averaged,
    given="y = Gs with G ≻ 0",
    scale=lambda values, s, y: float(values.max()) * size(s) * size(y),
    because="sums of products of this size",
)
def first_scaling(values, s, y):
    return excess(values.min() * (s @ y) - y @ y), excess(y @ y - values.max() * (s @ y))


# --- whole steps -------------------------------------------------------------------------------------------------


def advanced(draw, advance):
    """One step with exact search on cf and on f/c, f = ½xᵀAx − bᵀx, from (x, H/c) and from (x, cH)."""
    A, H, x, b = draw.unit(n := draw.size(), 1e2), draw.unit(n, 1e2), draw.vector(n), draw.vector(n)
    c, skip = draw.array(["1e30", "1e-10"])
    if not (A @ x - b).any():
        return advanced(draw, advance)
    made, products = [], []
    for factor in (c, 1 / c):
        problem = rationals.quadratic(factor * A, factor * b)
        g = problem.grad(x)
        known = {"x": x, "f": problem.fun(x), "g": g, "H": H / factor, "p": -(H / factor @ g)}
        start = bfgs.State(**dict.fromkeys(bfgs.State._fields, 0) | known)
        point = rationals.search(problem, x, g, start.p)
        made.append(advance(start, point, bfgs.Params(skip=skip)).H * factor)
        products.append((point.g - g) @ (point.x - x))
    return {"A": A, "H": H, "s": point.x - x, "products": products, "H_large": made[0], "H_small": made[1]}


def disagreement(products):
    return len({product > 1e-10 for product in products}) - 1


@claim(
    "bfgs.skipping",
    "A pair is used where sᵀy > 1e-10",
    NW + "§6.1",
    advanced,
    "imprecise",
    corrected="Where sᵀy > ε‖s‖‖y‖: then the steps on cf are those on f, with H/c in the place of H",
    uses=("bfgs.advance",),
    scale=lambda A, H, s: rounding(H, s, A @ s) * condition(A) * condition(H),
    because=ROUNDED + ", for a y that two gradients leave",
    fails=(Fails("as stated, f scaled by 1e30 and 1e-30", advanced, disagreement),),
)
def skipping(H_large, H_small):
    return H_large - H_small


def on_quadratic(draw, update):
    """n steps of BFGS with exact searches on ½xᵀAx − bᵀx, from any x₀ and H₀ ≻ 0."""
    n = draw.size(1, 4)
    A, H0, x, b = draw.unit(n, 1e2), draw.unit(n, 1e2), draw.vector(n), draw.vector(n)
    H, g, before, S, lost = H0, A @ x - b, 0.0, np.empty((n, 0), dtype=x.dtype), 1
    for _ in range(n):
        if size(g) <= 0.05 * before or not g.any():  # a lucky start, as good as there
            return on_quadratic(draw, update)
        p = -(H @ g)
        s = -(g @ p) / (p @ A @ p) * p
        lost = lost * 4 * (s @ s) * (A @ s @ A @ s) / (s @ A @ s) ** 2
        H, x = update(H, s, A @ s), x + s
        before, S = size(g), np.column_stack([S, s])
        g = A @ x - b
    return {"A": A, "H0": H0, "b": b, "S": S, "g": g, "H_new": H, "lost": lost}


def grown(A, H0, lost):
    """The squares of 2‖s‖‖y‖/yᵀs, multiplied, and the conditions of what comes in."""
    return float(lost) ** 0.5 * condition(A) * condition(H0)


@claim(
    "bfgs.quadratic-termination",
    "On a quadratic with exact searches, n steps end at the minimiser with Hₙ = A⁻¹",
    NW + "§6.3",
    on_quadratic,
    given="A ≻ 0, H₀ ≻ 0, and no earlier step ends there",
    uses=UPDATE,
    scale=lambda A, H0, b, S, lost: (grown(A, H0, lost), grown(A, H0, lost) * (size(S) + size(b))),
    because="the updates multiply eps κ(A)κ(H₀) by 2‖s‖‖y‖/yᵀs at most, each",
)
def quadratic_termination(A, H_new, g):
    return H_new @ A - eye(A), g


@claim(
    "bfgs.conjugate-directions",
    "On a quadratic with exact searches the steps are conjugate, sᵢᵀAsⱼ = 0, i ≠ j, and Hₙ remembers them: HₙAsⱼ = sⱼ",
    NW + "§6.3",
    on_quadratic,
    given="A ≻ 0, H₀ ≻ 0",
    uses=UPDATE,
    scale=lambda A, H0, S, lost: (grown(A, H0, lost) * size(S) ** 2, grown(A, H0, lost) * size(S)),
    because="the updates multiply eps κ(A)κ(H₀) by 2‖s‖‖y‖/yᵀs at most, each",
)
def conjugate_directions(A, S, H_new):
    products = S.T @ A @ S
    return products - np.diag(np.diag(products)), H_new @ A @ S - S
