"""Broyden's two updates of a Jacobian: what each must explain, and what it changes least."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import DS, NW
from refopt.oracle.draw import condition, excess, inverse, size

BROYDEN = "C. G. Broyden, Math. Comp. 19 (1965) 577; "
GOOD, BAD = ("broyden-good.update",), ("broyden-bad.update",)
ROUNDED = "what is rounded is magnified as the update is, by ‖w‖‖s‖/|wᵀs|"


def learning(draw, square=False):
    """J (m, n) with m ≥ n, a step s, and a change y of the residuals with yᵀJs safely not zero."""
    n = draw.size()
    J = draw.full_rank(n + (0 if square else int(draw.rng.integers(3))), n, 1e2)
    s, y = draw.vector(n), draw.vector(len(J))
    return (J, s, y) if abs(float(y @ J @ s)) > 0.01 * size(J.T @ y) * size(s) else learning(draw, square)


def magnified(J, s, y, w):
    """The size of the update, and of what it is made from."""
    return (size(J) + size(y) / size(s)) * size(w) * size(s) / abs(float(w @ s))


def explained(B, s, y, v):
    """Another matrix A with As = y."""
    return B + np.outer(y - B @ s, v) / (v @ s)


# --- the good one ----------------------------------------------------------------------------------------------------


def by_good(draw, update):
    J, s, y = learning(draw)
    d = abs(draw.vector(len(s))) + 1
    return {"J": J, "s": s, "y": y, "d": d, "J_new": update(J, s, y, d)}


def good_scale(J, s, y, d):
    return magnified(J, s, y, d * d * s)


@claim(
    "broyden-good.secant",
    "Jₖ₊₁ sₖ = yₖ",
    BROYDEN + NW + "§11.1",
    by_good,
    given="s ≠ 0",
    uses=GOOD,
    scale=lambda J, s, y, d: good_scale(J, s, y, d) * size(s),
    because=ROUNDED,
)
def good_secant(s, y, J_new):
    return J_new @ s - y


@claim(
    "broyden-good.update",
    "Jₖ₊₁ = Jₖ + (yₖ − Jₖsₖ) sₖᵀ/sₖᵀsₖ",
    BROYDEN + NW + "§11.1; " + DS + "§8.1",
    by_good,
    given="in the variables Dx, D = I in the book",
    uses=GOOD,
    scale=good_scale,
    because=ROUNDED,
)
def good_update(J, s, y, d, J_new):
    scaled, t = J / d, d * s
    return J_new / d - scaled - np.outer(y - scaled @ t, t) / (t @ t)


def good_with_rival(draw, update, updated=True):
    """And another matrix A with As = y."""
    made = by_good(draw, update)
    J, s, y = made["J"], made["s"], made["y"]
    v = s + draw.vector(len(s)) / 9
    rival = explained(draw.matrix(*J.shape), s, y, v if abs(float(v @ s)) > 0.1 * size(s) ** 2 else s)
    return made | {"A": rival if updated else J}


@claim(
    "broyden-good.least-change",
    "It is the nearest matrix that explains the step: ‖Jₖ₊₁ − Jₖ‖_F ≤ ‖A − Jₖ‖_F where Asₖ = yₖ",
    DS + "§8.1; " + NW + "§11.1",
    good_with_rival,
    "conditional",
    given="of columns in units of D; among the matrices A that explain the step",
    uses=GOOD,
    scale=lambda J, s, y, d, A: (good_scale(J, s, y, d) + size(A)) ** 2,
    because=ROUNDED,
    fails=(
        Fails(
            "A = J, which does not explain it",
            lambda draw, update: good_with_rival(draw, update, updated=False),
            lambda J, d, A, J_new: (
                excess((((J_new - J) / d) ** 2).sum() - (((A - J) / d) ** 2).sum()) / (((J_new - J) / d) ** 2).sum()
            ),
        ),
    ),
)
def good_least_change(J, d, A, J_new):
    return excess((((J_new - J) / d) ** 2).sum() - (((A - J) / d) ** 2).sum())


def good_in_other_units(draw, update, scaled=True):
    """Variables x̃ = tx."""
    made = by_good(draw, update)
    t = draw.array([2] * len(made["s"])) ** draw.rng.integers(2, 9, len(made["s"]))
    d = made["d"] / t if scaled else made["d"]
    return made | {"t": t, "J_other": update(made["J"] / t, t * made["s"], made["y"], d)}


@claim(
    "broyden-good.scaling",
    "The update does not depend on the units of the variables: x̃ = Tx gives J̃₊ = J₊T⁻¹",
    DS + "§8.1",
    good_in_other_units,
    "true",
    given="D scales with the variables, D̃ = DT⁻¹",
    uses=GOOD,
    scale=good_scale,
    because=ROUNDED,
)
def good_scaling(t, J_new, J_other):
    return J_other * t - J_new


# --- the bad one -----------------------------------------------------------------------------------------------------


def by_bad(draw, update, square=False):
    J, s, y = learning(draw, square)
    return {"J": J, "s": s, "y": y, "J_new": update(J, s, y)}


def bad_scale(J, s, y):
    return magnified(J, s, y, J.T @ y)


@claim(
    "broyden-bad.secant",
    "Jₖ₊₁ sₖ = yₖ",
    BROYDEN + DS + "§8.1",
    by_bad,
    given="yᵀJs ≠ 0",
    uses=BAD,
    scale=lambda J, s, y: bad_scale(J, s, y) * size(s),
    because=ROUNDED,
)
def bad_secant(s, y, J_new):
    return J_new @ s - y


def by_inverse(draw, update):
    made = by_bad(draw, update, square=True)
    made |= {"H": inverse(made["J"]), "K": draw.matrix(len(made["s"]), len(made["s"]))}
    return made


def inverse_scale(J, s, y, H):
    return bad_scale(J, s, y) * (size(H) + size(s) / size(y)) * condition(J)


@claim(
    "broyden-bad.inverse",
    "Jₖ₊₁⁻¹ = Jₖ⁻¹ + (sₖ − Jₖ⁻¹yₖ) yₖᵀ/yₖᵀyₖ",
    BROYDEN + DS + "§8.1",
    by_inverse,
    given="J is square, yᵀJs ≠ 0",
    uses=BAD,
    scale=inverse_scale,
    because=ROUNDED + ", and H = J⁻¹ by κ(J)",
)
def bad_inverse(J, s, y, H, J_new):
    return J_new @ (H + np.outer(s - H @ y, y) / (y @ y)) - np.eye(len(s), dtype=int)


@claim(
    "broyden-bad.least-change",
    "Its inverse is the nearest that explains the step: ‖Jₖ₊₁⁻¹ − Jₖ⁻¹‖_F ≤ ‖K − Jₖ⁻¹‖_F where Kyₖ = sₖ",
    DS + "§8.1",
    by_inverse,
    given="J is square, yᵀJs ≠ 0; the difference is Jₖ₊₁⁻¹(Jₖ − Jₖ₊₁)Jₖ⁻¹",
    uses=BAD,
    scale=lambda J, s, y, H: (inverse_scale(J, s, y, H) * (1 + size(H)) + size(s)) ** 2 * 100,
    because=ROUNDED + ", and both inverses by their condition",
)
def bad_least_change(J, s, y, H, K, J_new):
    change, other = inverse(J_new) - H, explained(K, y, s, y) - H
    return excess((change**2).sum() - (other**2).sum()), change @ y - (s - H @ y)


def bad_in_other_units(draw, update):
    made = by_bad(draw, update)
    t = draw.array([2] * len(made["s"])) ** draw.rng.integers(2, 9, len(made["s"]))
    return made | {"t": t, "J_other": update(made["J"] / t, t * made["s"], made["y"])}


@claim(
    "broyden-bad.scaling",
    "The update does not depend on the units of the variables: x̃ = Tx gives J̃₊ = J₊T⁻¹",
    DS + "§8.1",
    bad_in_other_units,
    uses=BAD,
    scale=lambda J, s, y, t: bad_scale(J, s, y) + bad_scale(J / t, t * s, y) * size(t),
    because=ROUNDED,
)
def bad_scaling(t, J_new, J_other):
    return J_other * t - J_new
