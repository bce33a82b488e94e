"""Broyden's family and its neighbours: determinants, traces, eigenvalues, what is nearest.

BFGS of B is DFP's formula with s and y exchanged, so B₊ = dfp.update(B, y, s), and DFP of B is bfgs.update(B, y, s).
"""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import DS, NW
from refopt.oracle.claims.bfgs import ROUNDED, pair
from refopt.oracle.claims.quasi_newton import jump, outer
from refopt.oracle.draw import condition, excess, eye, inverse, least, size, solve, with_spectrum

BFGS_OF_B = ("dfp.update",)
BOTH = ("dfp.update", "bfgs.update")


def drawn(draw, *updates, worst=1e3, n=None):
    """B ≻ 0, a pair with yᵀs > 0, and B₊ by each update."""
    B = draw.spd(n := n or draw.size(), worst)
    s, y = pair(draw, n)
    return {"B": B, "s": s, "y": y} | {f"B{k}": update(B, y, s) for k, update in enumerate(updates)}


def terms(B, s, y):
    """The size of what is summed in an update of B: by DFP's formula no more than this."""
    return (1 + size(s) * size(y) / abs(float(y @ s))) ** 2 * (size(B) + size(y) ** 2 / abs(float(y @ s)))


def bends(B, s, y):
    """sᵀBs, yᵀs, yᵀB⁻¹y."""
    return s @ B @ s, y @ s, y @ solve(B, y)


# --- one update --------------------------------------------------------------------------------------------------


@claim(
    "secant.trace",
    "tr B₊ = tr B − ‖Bs‖²/sᵀBs + ‖y‖²/yᵀs for BFGS",
    NW + "§6.4",
    drawn,
    given="yᵀs ≠ 0",
    uses=BFGS_OF_B,
    scale=terms,
    because=ROUNDED,
)
def trace(B, s, y, B0):
    Bs = B @ s
    return np.trace(B0) - (np.trace(B) - (Bs @ Bs) / (s @ Bs) + (y @ y) / (y @ s))


def stretch(B, s, y):
    """(yᵀs/sᵀBs)(1 + μ), as a float."""
    sBs, ys, yHy = (float(part) for part in bends(B, s, y))
    return ys / sBs + yHy / ys


def mixed(draw, dfp, bfgs):
    """B₊ = (1 − φ) BFGS + φ DFP for any φ."""
    made = drawn(draw, dfp, bfgs, worst=1e2)
    return made | {"phi": draw.number(-2, 2)}


@claim(
    "secant.family-determinant",
    "det B₊ = det B · (yᵀs/sᵀBs) · (1 + φ(μ − 1)),   μ = yᵀB⁻¹y · sᵀBs/(yᵀs)²,  B₊ = (1 − φ) BFGS + φ DFP",
    NW + "§6.3",
    mixed,
    given="B ≻ 0, yᵀs ≠ 0",
    uses=BOTH,
    scale=lambda B, s, y: (9 * terms(B, s, y)) ** len(s) + size(B) ** len(s) * 9 * condition(B) * stretch(B, s, y),
    because="a determinant is a sum of products of n entries of this size, and μ is known to eps κ(B)",
)
def family_determinant(B, s, y, B0, B1, phi):
    sBs, ys, yHy = bends(B, s, y)
    mu = yHy * sBs / ys**2
    B_new, B_old = (1 - phi) * B0 + phi * B1, B
    return leibniz(B_new) - leibniz(B_old) * ys / sBs * (1 + phi * (mu - 1))


def leibniz(A):
    """det A of any matrix, by expansion along the first row."""
    if len(A) == 1:
        return A[0, 0]
    rest = (np.delete(A[1:], j, axis=1) for j in range(len(A)))
    return sum((-1) ** j * A[0, j] * leibniz(minor) for j, minor in enumerate(rest))


def critical(draw, dfp, bfgs):
    """φ on the safe or on the other side of the critical one, 1/(1 − μ)."""
    made = drawn(draw, dfp, bfgs, worst=1e2, n=draw.size(2))
    sBs, ys, yHy = bends(made["B"], made["s"], made["y"])
    mu = yHy * sBs / ys**2
    if mu < 1.1:
        return critical(draw, dfp, bfgs)
    return made | {"critical": 1 / (1 - mu), "share": draw.number(0, 1)}


@claim(
    "secant.family-definite",
    "B₊ = (1 − φ) BFGS + φ DFP is positive definite",
    NW + "§6.3",
    critical,
    "conditional",
    given="B ≻ 0, yᵀs > 0 and φ above the critical value 1/(1 − μ) < 0; the restricted class 0 ≤ φ ≤ 1 always",
    uses=BOTH,
    scale=lambda B, s, y: terms(B, s, y),
    because="the lowest eigenvalue moves no more than the sum is rounded",
    fails=(
        Fails(
            "φ is twice the critical value",
            critical,
            lambda B0, B1, critical: int(least((1 - 2 * critical) * B0 + 2 * critical * B1) < 0),
        ),
    ),
)
def family_definite(B0, B1, critical, share):
    safe = [(1 - phi) * B0 + phi * B1 for phi in (critical * share, share)]
    return np.array([excess(-least((B + B.T) / 2)) for B in safe])


@claim(
    "secant.measure",
    "ψ(B) = tr B − ln det B ≥ n, and BFGS changes it by ‖y‖²/yᵀs − ln(yᵀs/sᵀs) − q/cos²θ + ln(q/cos²θ) + ln cos²θ",
    NW + "§6.4 (the measure in the convergence proof)",
    drawn,
    given="B ≻ 0, yᵀs > 0; q = sᵀBs/sᵀs and cos θ = sᵀBs/(‖s‖‖Bs‖)",
    uses=BFGS_OF_B,
    scale=lambda B, s, y, B0: (
        terms(B, s, y) + condition(B0) * (1 + terms(B, s, y) / size(B0)),
        size(B) + condition(B),
    ),
    because="a logarithm of a determinant is known to eps κ",
    exact=False,
)
def measure(B, s, y, B0):
    q, cos2 = (s @ B @ s) / (s @ s), (s @ B @ s) ** 2 / ((s @ s) * (B @ s) @ (B @ s))
    change = (y @ y) / (y @ s) - np.log((y @ s) / (s @ s)) - q / cos2 + np.log(q / cos2) + np.log(cos2)
    return psi(B0) - psi(B) - change, excess(len(s) - psi(B))


def psi(B):
    return np.trace(B) - np.linalg.slogdet(B)[1]


def strongly_convex(draw):
    Q, values, s = draw.orthogonal(n := draw.size()), draw.positive(n), draw.vector(n)
    return {"values": values, "s": s, "y": with_spectrum(Q, values) @ s}


@claim(
    "secant.curvature-bounds",
    "yᵀs/sᵀs ≥ m and yᵀy/yᵀs ≤ M: what the convergence proof of BFGS needs of a pair",
    NW + "§6.4",
    strongly_convex,
    given="mI ⪯ G ⪯ MI for the averaged Hessian, y = Gs",
    scale=lambda values, s: (float(values.max()) * size(s) ** 2, float(values.max()) ** 2 * size(s) ** 2),
    because="sums of products of this size",
)
def curvature_bounds(values, s, y):
    return excess(values.min() * (s @ s) - y @ s), excess(y @ y - values.max() * (y @ s))


def relative_spectrum(draw, dfp, bfgs, outside=False):
    """Eigenvalues of A^−½BA^−½ before and after an update with y = As, by B₊ = (1 − φ) BFGS + φ DFP."""
    n = draw.size(2)
    Q, values = draw.orthogonal(n), draw.positive(n, 1e2)
    root = (Q / np.sqrt(values)) @ Q.T
    A, B, s = with_spectrum(Q, values), draw.spd(n, 1e2), draw.vector(n)
    sBs, ys, yHy = bends(B, s, A @ s)
    excess_mu = yHy * sBs / ys**2 - 1
    if excess_mu < 0.1:
        return relative_spectrum(draw, dfp, bfgs, outside)
    phi = -2 / excess_mu if outside else draw.number(0, 1)
    B_new = (1 - phi) * dfp(B, A @ s, s) + phi * bfgs(B, A @ s, s)
    before, after = (np.linalg.eigvalsh(root @ (M + M.T) @ root / 2) for M in (B, B_new))
    return {"A": A, "B": B, "s": s, "before": before, "after": after}


@claim(
    "secant.interlacing",
    "min(λᵢ, 1) ≤ λᵢ⁺ ≤ max(λᵢ, 1) for the eigenvalues of A^−½BA^−½: on a quadratic B only gets nearer to A",
    NW + "§6.3 (restricted class on convex quadratics)",
    relative_spectrum,
    "conditional",
    given="0 ≤ φ ≤ 1, y = As, A ≻ 0",
    uses=BOTH,
    scale=lambda A, B, s: condition(A) * size(inverse(A)) * terms(B, s, A @ s),
    because=ROUNDED + ", between roots of A⁻¹ that lose κ(A)",
    exact=False,
    fails=(
        Fails(
            "φ is twice the critical value",
            lambda draw, dfp, bfgs: relative_spectrum(draw, dfp, bfgs, outside=True),
            lambda before, after: spread_beyond(before, after) / before.min(),
        ),
    ),
)
def interlacing(before, after):
    return spread_beyond(before, after)


def spread_beyond(before, after):
    low, high = np.minimum(before, 1), np.maximum(before, 1)
    return float(max(excess(low - after).max(), excess(after - high).max()))


# --- the symmetric rank-one update -------------------------------------------------------------------------------


def both_ways(draw, sr1, inverse_sr1):
    """SR1 of B, and of H = B⁻¹, where neither is near a division by zero."""
    B = draw.spd(n := draw.size(), 1e2)
    s, y = pair(draw, n)
    H = inverse(B)
    for r, v in ((y - B @ s, s), (s - H @ y, y)):
        if abs(float(r @ v)) < 0.1 * size(r) * size(v):
            return both_ways(draw, sr1, inverse_sr1)
    return {"B": B, "s": s, "y": y, "B_new": sr1(B, s, y), "H_new": inverse_sr1(H, s, y)}


@claim(
    "secant.sr1-self-dual",
    "SR1 is its own dual: the update of B⁻¹ with y and s exchanged is the inverse of the update of B",
    NW + "§6.2",
    both_ways,
    given="rᵀs ≠ 0 ≠ rᵀB⁻¹y",
    uses=("sr1.update", "broyden.update"),
    scale=lambda B, s, y, B_new, H_new: (
        jump(B, s, y) * size(H_new) + condition(B) * jump(inverse(B), y, s) * size(B_new)
    ),
    because=ROUNDED + "; H loses eps κ(B)",
)
def sr1_self_dual(B, B_new, H_new):
    return B_new @ H_new - eye(B)


def transformed(draw, sr1, bfgs, dfp):
    """The same pair in the variables x̃ with x = Tx̃: B̃ = TᵀBT, s̃ = T⁻¹s, ỹ = Tᵀy."""
    B, T = draw.spd(n := draw.size(), 1e2), draw.full_rank(n, n, 10)
    s, y = pair(draw, n)
    r = y - B @ s
    if abs(float(r @ s)) < 0.1 * size(r) * size(s):
        return transformed(draw, sr1, bfgs, dfp)
    other, s_in, y_in = T.T @ B @ T, solve(T, s), T.T @ y
    made = {"sr1": (sr1, False), "dfp": (bfgs, True), "bfgs": (dfp, True)}
    found = {}
    for name, (update, swapped) in made.items():
        found[name] = update(B, y, s) if swapped else update(B, s, y)
        found[f"{name}_in"] = update(other, y_in, s_in) if swapped else update(other, s_in, y_in)
    return {"B": B, "T": T, "s": s, "y": y} | found


@claim(
    "secant.affine-invariance",
    "SR1, BFGS and DFP of B do not depend on the variables: with x = Tx̃, B̃₊ = TᵀB₊T",
    NW + "§6.1 and §6.2",
    transformed,
    given="T invertible",
    uses=("sr1.update", "bfgs.update", "dfp.update"),
    scale=lambda B, T, s, y: 100 * condition(T) ** 4 * terms(B, s, y) * size(T) ** 2,
    because=ROUNDED + ", and each passage through T loses κ(T)",
)
def affine_invariance(T, sr1, sr1_in, bfgs, bfgs_in, dfp, dfp_in):
    return T.T @ sr1 @ T - sr1_in, T.T @ bfgs @ T - bfgs_in, T.T @ dfp @ T - dfp_in


# --- what is nearest ---------------------------------------------------------------------------------------------


def nearest(draw, update):
    """W ≻ 0 with Wy = s, a change E = Eᵀ with Es = 0, and DFP of B."""
    B, W, y = draw.spd(n := draw.size(), 1e3), draw.spd(n, 1e2), draw.vector(n)
    s, M = W @ y, draw.matrix(n, n)
    P = eye(W) - outer(s) / (s @ s)
    return {"B": B, "s": s, "y": y, "W": W, "M": M, "E": P @ (M + M.T) @ P, "B_new": update(B, y, s)}


@claim(
    "secant.dfp-least-change",
    "DFP's B₊ is the symmetric matrix closest to B that maps s to y, in every norm ‖W^½ · W^½‖_F with Wy = s",
    NW + "§6.1; " + DS + "chapter 9",
    nearest,
    given="W ≻ 0; closest iff tr W(B₊ − B)WE = 0 for every E = Eᵀ with Es = 0",
    uses=("bfgs.update",),
    scale=lambda B, s, y, W, M: size(W) ** 2 * size(M) * terms(B, s, y),
    because=ROUNDED,
)
def dfp_least_change(B, W, E, B_new):
    return np.trace(W @ (B_new - B) @ W @ E)


def powell(B, s, y):
    """Powell's symmetric form of Broyden's update, with no weights."""
    r = y - B @ s
    u = r / (s @ s)
    return B + u[:, None] * s + s[:, None] * u - (r @ s) / (s @ s) ** 2 * outer(s)


def nearest_unweighted(draw, update):
    M, N, s, y = draw.matrix(n := draw.size(), n), draw.matrix(n, n), draw.vector(n), draw.vector(n)
    P = eye(M) - outer(s) / (s @ s)
    B = M + M.T
    return {"B": B, "s": s, "y": y, "N": N, "E": P @ (N + N.T) @ P, "B_new": update(B, s, y)}


@claim(
    "secant.powell-least-change",
    "B + (rsᵀ + srᵀ)/sᵀs − (rᵀs)ssᵀ/(sᵀs)², r = y − Bs, is the closest symmetric matrix in ‖·‖_F that maps s to y",
    DS + "§9.1 (symmetric secant update); M. J. D. Powell, in Nonlinear Programming, 1970",
    nearest_unweighted,
    given="B = Bᵀ; closest iff tr (B₊ − B)E = 0 for every E = Eᵀ with Es = 0",
    uses=("secant_family.powell",),
    scale=lambda B, s, y, N: (
        (size(B) + size(y) / size(s)) * size(N),
        size(B) * size(s) + size(y),
        size(B) + size(y) / size(s),
    ),
    because=ROUNDED,
)
def powell_least_change(B, s, y, E, B_new):
    return np.trace((B_new - B) @ E), B_new @ s - y, B_new - B_new.T


def factored(draw, update):
    """L with LLᵀ = B, and B₊; yᵀs/sᵀBs is the square of c."""
    L, v = draw.full_rank(n := draw.size(), n, 30), draw.vector(n)
    s, c, y = solve(L.T, v), draw.number("1/2", 2), draw.vector(n)
    if abs(float(y @ s)) < 0.1 * size(y) * size(s):
        return factored(draw, update)
    y = y * c**2 * (v @ v) / (y @ s)
    return {"L": L, "s": s, "y": y, "c": c, "B_new": update(L @ L.T, y, s)}


@claim(
    "secant.factored",
    "BFGS keeps a factor: with LLᵀ = B and J = L + (y − cBs)(Lᵀs)ᵀ/(c sᵀBs), c² = yᵀs/sᵀBs, B₊ = JJᵀ",
    DS + "§9.2 (positive definite secant update)",
    factored,
    given="B ≻ 0, yᵀs > 0",
    uses=BFGS_OF_B,
    scale=lambda L, s, y: condition(L) ** 2 * terms(L @ L.T, s, y),
    because=ROUNDED + "; s = L⁻ᵀv is known to eps κ(L)",
)
def factored_form(L, s, y, c, B_new):
    v = L.T @ s
    J = L + (y - c * (L @ v))[:, None] * v / (c * (v @ v))
    return J @ J.T - B_new


def damped(draw, update):
    """ŷ = θy + (1 − θ)Bs, with the largest θ ≤ 1 for which sᵀŷ ≥ sᵀBs/5; y may be anything."""
    B, s, y = draw.spd(n := draw.size(), 30), draw.vector(n), draw.vector(n)
    bend, slope = s @ B @ s, s @ y
    theta = 1 if 5 * slope >= bend else draw.array("4/5")[()] * bend / (bend - slope)
    y_new = theta * y + (1 - theta) * (B @ s)
    return {"B": B, "s": s, "y": y, "y_new": y_new, "B_new": update(B, y_new, s)}


@claim(
    "secant.powell-damping",
    "With ŷ = θy + (1 − θ)Bs, sᵀŷ = max(sᵀy, sᵀBs/5) in place of y, BFGS keeps B ≻ 0 whatever y is, and B₊s = ŷ",
    NW + "Procedure 18.2",
    damped,
    given="B ≻ 0, s ≠ 0; θ = 1, or ⅘sᵀBs/(sᵀBs − sᵀy) where sᵀy < sᵀBs/5",
    uses=BFGS_OF_B,
    scale=lambda B, s, y, y_new: (
        size(s) * (size(y) + size(B) * size(s)), terms(B, s, y_new) * size(s), terms(B, s, y_new),
    ),
    because=ROUNDED,
)  # fmt: skip
def powell_damping(B, s, y, y_new, B_new):
    bend, slope = s @ B @ s, s @ y
    return s @ y_new - max(slope, bend / 5), B_new @ s - y_new, excess(-least(B_new))
