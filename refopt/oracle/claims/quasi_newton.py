"""The relatives of BFGS: DFP, Broyden's family, the symmetric rank-one update."""

from itertools import pairwise

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.bfgs import ROUNDED, pair, rounding
from refopt.oracle.draw import condition, excess, eye, inverse, least, size

LOST = "the n updates lose eps κ(A)κ(H₀)"


def outer(v):
    return v[:, None] * v


# --- DFP -------------------------------------------------------------------------------------------------------------


def updated(draw, *updates):
    """The same H ≻ 0 and the same pair, given to every update."""
    H = draw.spd(n := draw.size(), 1e3)
    s, y = pair(draw, n)
    return {"H": H, "s": s, "y": y} | {f"H{k}": update(H, s, y) for k, update in enumerate(updates)}


def summed(H, s, y):
    """The size of what is summed in DFP's update."""
    return 3 * size(H) + size(s) ** 2 / abs(float(y @ s))


@claim(
    "dfp.update",
    "H₊ = H − HyyᵀH/yᵀHy + ssᵀ/yᵀs is symmetric and H₊y = s",
    NW + "§6.1",
    updated,
    given="H ≻ 0, yᵀs ≠ 0",
    uses=("dfp.update",),
    scale=lambda H, s, y: (summed(H, s, y), summed(H, s, y), summed(H, s, y) * size(y)),
    because=ROUNDED,
)
def dfp_update(H, s, y, H0):
    Hy = H @ y
    return H - outer(Hy) / (y @ Hy) + outer(s) / (y @ s) - H0, H0 - H0.T, H0 @ y - s


def dual(draw, dfp, bfgs):
    H = draw.spd(n := draw.size(), 1e2)
    s, y = pair(draw, n)
    return {"H": H, "s": s, "y": y, "H_new": dfp(H, s, y), "B_new": bfgs(inverse(H), y, s)}


@claim(
    "dfp.dual",
    "DFP of (H, s, y) is the inverse of BFGS of (B, y, s),   B = H⁻¹",
    NW + "§6.1",
    dual,
    given="H ≻ 0, yᵀs > 0",
    uses=("dfp.update", "bfgs.update"),
    scale=lambda H, s, y: summed(H, s, y) * rounding(inverse(H), y, s) * condition(H) ** 2,
    because=ROUNDED + ", and B loses eps κ(H) in inverting H",
)
def duality(H, H_new, B_new):
    return H_new @ B_new - eye(H)


@claim(
    "dfp.positive-definite",
    "The update keeps H positive definite",
    NW + "§6.1",
    updated,
    "conditional",
    given="H ≻ 0 and yᵀs > 0; with yᵀs < 0 it never is",
    uses=("dfp.update",),
    scale=summed,
    because="the lowest eigenvalue moves no more than the sum is rounded",
    fails=(
        Fails(
            "yᵀs < 0",
            lambda draw, update: updated(draw, lambda H, s, y: update(H, s, -y)),
            lambda H0: 1 if least(H0) < 0 else 0,
        ),
    ),
)
def dfp_positive_definite(H0):
    return excess(-least(H0))


def on_quadratic(draw, *updates):
    """n steps with exact searches on ½xᵀAx − bᵀx from H₀ = I, by each update; and conjugate gradients."""
    n = draw.size(1, 4)
    A, b, x0 = draw.unit(n, 30), draw.vector(n), draw.vector(n)
    paths = [quasi_newton_path(A, b, x0, update) for update in updates]
    X = conjugate_gradients(A, b, x0)
    residuals = [size(A @ x - b) for x in X]
    if len(X) <= n or any(new <= 0.05 * old for old, new in pairwise(residuals[:-1])):
        return on_quadratic(draw, *updates)  # a lucky start
    ends = {f"H{k}": H for k, (_, H) in enumerate(paths)}
    return {"A": A, "b": b, "X": X, **ends} | {f"X{k}": path for k, (path, _) in enumerate(paths)}


def quasi_newton_path(A, b, x, update):
    H, X = eye(A), [x]
    for _ in range(len(b)):
        g = A @ x - b
        p = -(H @ g)
        if not p.any():
            break
        s = -(g @ p) / (p @ A @ p) * p
        H, x = update(H, s, A @ s), x + s
        X.append(x)
    return np.array(X), H


def conjugate_gradients(A, b, x):
    r, X = b - A @ x, [x]
    p = r
    for _ in range(len(b)):
        if not p.any():
            break
        alpha = (r @ r) / (p @ A @ p)
        x, r_new = x + alpha * p, r - alpha * (A @ p)
        p, r = r_new + (r_new @ r_new) / (r @ r) * p, r_new
        X.append(x)
    return np.array(X)


@claim(
    "dfp.conjugate-gradients",
    "On a quadratic with exact searches from H₀ = I, DFP and BFGS visit the points of conjugate gradients",
    NW + "§6.4",
    on_quadratic,
    given="A ≻ 0",
    uses=("dfp.update", "bfgs.update"),
    scale=lambda A, b, X: condition(A) ** 2 * (size(X) + size(b)),
    because=LOST,
)
def same_points(X, X0, X1):
    return X0 - X, X1 - X


@claim(
    "dfp.quadratic-termination",
    "On a quadratic with exact searches, n steps end at the minimiser with Hₙ = A⁻¹",
    NW + "§6.4",
    on_quadratic,
    given="A ≻ 0, H₀ ≻ 0, and no earlier step ends there",
    uses=("dfp.update",),
    scale=lambda A, b, X: (condition(A) ** 2, condition(A) ** 2 * (size(X) + size(b))),
    because=LOST,
)
def quadratic_termination(A, b, H0, X0):
    return H0 @ A - eye(A), A @ X0[-1] - b


# --- Broyden's family ------------------------------------------------------------------------------------------------


def family(draw, *updates):
    """As for DFP, where the symmetric rank-one update is far from a division by zero."""
    found = updated(draw, *updates)
    r = found["s"] - found["H"] @ found["y"]
    if abs(float(r @ found["y"])) < 0.1 * size(r) * size(found["y"]):
        return family(draw, *updates)
    return found


def direction(H, s, y):
    """vvᵀ with v = √(yᵀHy) (s/yᵀs − Hy/yᵀHy), for which vᵀy = 0."""
    Hy = H @ y
    return (y @ Hy) * outer(s / (y @ s) - Hy / (y @ Hy))


def share(H, s, y):
    return (y @ s) / (y @ s - y @ H @ y)


@claim(
    "broyden.family",
    "BFGS = DFP + vvᵀ, and the symmetric rank-one update is DFP + φvvᵀ,   φ = yᵀs/(yᵀs − yᵀHy)",
    NW + "§6.3",
    family,
    given="v = √(yᵀHy) (s/yᵀs − Hy/yᵀHy), yᵀs ≠ 0, yᵀs ≠ yᵀHy",
    uses=("dfp.update", "bfgs.update", "broyden.update"),
    scale=lambda H, s, y: (rounding(H, s, y), (1 + 10 * abs(float(share(H, s, y)))) * rounding(H, s, y)),
    because=ROUNDED,
)
def members(H, s, y, H0, H1, H2):
    v = direction(H, s, y)
    return H1 - H0 - v, H2 - H0 - share(H, s, y) * v


def stretched(draw, update, kept):
    """A change of gradient y that is too short or too long to lose definiteness, or in between."""
    H = draw.spd(n := draw.size(2), 1e2)
    s, y = pair(draw, n)
    low, high = (y @ s) / (y @ H @ y), (s @ inverse(H) @ s) / (y @ s)
    if low > high / 2:
        return stretched(draw, update, kept)
    factor = (low / 2 if draw.rng.integers(2) else 2 * high) if kept else (low + high) / 2
    return {"H": H, "s": s, "y": factor * y, "H0": update(H, s, factor * y)}


@claim(
    "broyden.positive-definite",
    "The symmetric rank-one update keeps H positive definite",
    NW + "§6.2",
    lambda draw, update: stretched(draw, update, True),
    "false",
    corrected="It does iff rᵀy > 0 or sᵀBs < sᵀy,   r = s − Hy, B = H⁻¹",
    uses=("broyden.update",),
    scale=lambda H, s, y, H0: 10 * (size(H) + size(H0)) * condition(H),
    because="the lowest eigenvalue moves no more than the sum is rounded",
    fails=(
        Fails(
            "as stated, neither holds",
            lambda draw, update: stretched(draw, update, False),
            lambda H0: 1 if least(H0) < 0 else 0,
        ),
    ),
)
def kept(H0):
    return excess(-least(H0))


# --- SR1 -------------------------------------------------------------------------------------------------------------


def signed(draw, update, sign):
    """B, s, and y = Bs + r with rᵀs of the sign asked for, and not nearly 0."""
    B, s, r = draw.spd(n := draw.size(), 1e3), draw.vector(n), draw.vector(n)
    if abs(float(r @ s)) < 0.1 * size(r) * size(s):
        return signed(draw, update, sign)
    r = r if (r @ s > 0) == (sign > 0) else -r
    return {"B": B, "s": s, "y": B @ s + r, "B_new": update(B, s, B @ s + r)}


def jump(B, s, y):
    """The size of what is summed in SR1's update, and of what the rounding of r = y − Bs makes of it."""
    return 100 * (size(B) + size(y) / size(s))


@claim(
    "sr1.update",
    "The symmetric rank-one update is B + vvᵀ with B₊s = y",
    NW + "§6.2",
    lambda draw, update: signed(draw, update, -1),
    "imprecise",
    corrected="It is B + rrᵀ/rᵀs, r = y − Bs; a real v exists only where rᵀs > 0",
    uses=("sr1.update",),
    scale=lambda B, s, y: (jump(B, s, y), jump(B, s, y) * size(s)),
    because=ROUNDED,
    fails=(
        Fails(
            "as stated, where rᵀs < 0",
            lambda draw, update: signed(draw, update, -1),
            lambda B, s, y: (B @ s + (y - B @ s) * ((y - B @ s) @ s) / abs((y - B @ s) @ s) - y) / abs(y - B @ s).max(),
        ),
    ),
)
def sr1_update(B, s, y, B_new):
    r = y - B @ s
    return B + outer(r) / (r @ s) - B_new, B_new @ s - y


@claim(
    "sr1.positive-definite",
    "The update keeps B positive definite",
    NW + "§6.2",
    lambda draw, update: signed(draw, update, 1),
    "conditional",
    given="B ≻ 0 and rᵀs > 0; with yᵀs < 0 it never is",
    uses=("sr1.update",),
    scale=jump,
    because="the lowest eigenvalue moves no more than the sum is rounded",
    fails=(Fails("yᵀs < 0", lambda draw, update: downhill(draw, update), lambda B_new: 1 if least(B_new) < 0 else 0),),
)
def sr1_positive_definite(B_new):
    return excess(-least(B_new))


def downhill(draw, update):
    B = draw.spd(n := draw.size(), 1e3)
    s, y = pair(draw, n, -1)
    return {"B": B, "s": s, "y": y, "B_new": update(B, s, y)}


def taught(draw, update, fewer=0):
    """n steps in no particular direction, or fewer, on a quadratic that need not be convex."""
    n = draw.size(1 + fewer, 4)
    M, S = draw.matrix(n, n), list[np.ndarray]()
    A, B = M + M.T, draw.unit(n, 10)
    given = {"A": A, "B": B}
    for _ in range(n - fewer):
        s = draw.vector(n)
        r = A @ s - B @ s
        if abs(float(r @ s)) < 0.1 * size(r) * size(s) or size(r) < 1e-2 * size(s):
            return taught(draw, update, fewer)
        B, S = update(B, s, A @ s), [*S, s]
    return given | {"S": np.array(S), "B_new": B}


@claim(
    "sr1.hereditary",
    "n steps teach SR1 the Hessian of a quadratic, in whatever directions and without any search",
    NW + "§6.2",
    taught,
    "conditional",
    given="the steps are independent and no update is skipped; A need not be definite",
    uses=("sr1.update",),
    scale=lambda A, B, S: 10 ** len(S) * condition(S) * (size(A) + size(B)),
    because="each update magnifies earlier roundings by ‖r‖‖s‖/|rᵀs| ≤ 10",
    fails=(Fails("n − 1 steps", lambda draw, update: taught(draw, update, 1)),),
)
def hereditary(A, B_new):
    return B_new - A
