"""Levenberg-Marquardt: the damped least-squares step (JᵀJ + λD²)p = −Jᵀr."""

import numpy as np

from refopt.linearised import regular
from refopt.methods import lm
from refopt.ops import damped, triangular
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import condition, excess, size, solve

MORE = "J. J. Moré, in Numerical Analysis (Dundee 1977), Springer 1978; "
DAMPED = ("lm.step_for_damping",)
ACCURACY = 1e-6  #: to which ‖Dp‖ = Δ is asked for
STABLE = "a backward stable p, of a perturbed [J; √λD], leaves eps of what is summed"


def step_for_damping(J, r, d, lam):
    """p with (JᵀJ + λD²)p = −Jᵀr, D = diag(d)."""
    if J.dtype == object:
        return -solve(J.T @ J + lam * np.diag(d * d), J.T @ r)
    R, c, _ = triangular(J, r)
    S, z = damped(R, c, lam**0.5 * d)
    return lm.damped_step(S, z, d, lam).p


def step_for_radius(J, r, d, radius):
    """p and λ with ‖Dp‖ ≤ Δ."""
    R, c = regular(*triangular(J, r))
    found = lm.constrained(R, c, d, radius, 0.0, ACCURACY)
    return found.p, found.lam


def rounding(J, r, d, lam, p):
    """Of p, over eps: with A = [J; √λD], what eps κ(A)‖p‖ and, because of the residual, eps κ(A)²‖r‖/‖A‖ leave."""
    A = stacked(J, d, lam)
    return condition(A) * size(p) + condition(A) ** 2 * size(r) / size(A)


def backward(J, r, d, lam, p):
    """Of Aᵀ(Ap + [r; 0]), over eps, for a backward stable p."""
    A = stacked(J, d, lam)
    return size(A) * (size(A) * size(p) + size(r))


def stacked(J, d, lam):
    """[J; √λ D] as floats."""
    return np.vstack([J, float(lam) ** 0.5 * np.diag(d)]).astype(float)


# --- one step ----------------------------------------------------------------------------------------------------


def any_jacobian(draw):
    """J of any shape and rank, r with Jᵀr ≠ 0, and a positive D and λ."""
    m, n = draw.size(), draw.size()
    rank = int(draw.rng.integers(1, min(m, n) + 1))
    J = draw.full_rank(m, rank, 1e2) @ draw.full_rank(n, rank, 1e2).T
    r, d, lam = draw.vector(m) * draw.magnitude(), abs(draw.vector(n)) + 1, draw.magnitude() * abs(J).max() ** 2
    return (J, r, d, lam) if size(J.T @ r) > 1e-3 * size(J) * size(r) else any_jacobian(draw)


def made(draw, step):
    J, r, d, lam = any_jacobian(draw)
    return {"J": J, "r": r, "d": d, "lam": lam, "p": step(J, r, d, lam)}


@claim(
    "lm.normal-equations",
    "(JᵀJ + λD²)p = −Jᵀr",
    MORE + NW + "§10.3",
    made,
    uses=DAMPED,
    given="λ > 0; J of any shape and rank",
    scale=backward,
    because=STABLE,
    exact=False,  # a rational solution of these very equations would prove nothing
)
def normal_equations(J, r, d, lam, p):
    return J.T @ (J @ p + r) + lam * d * (d * p)


@claim(
    "lm.augmented",
    "p is the least-squares solution of [J; √λD]p ≈ [−r; 0]",
    MORE + NW + "§10.3",
    made,
    uses=DAMPED,
    scale=rounding,
    because="both solutions lose eps κ, and eps κ² of large residuals",
    exact=False,
)
def augmented(J, r, d, lam, p):
    return p + np.linalg.lstsq(stacked(J, d, lam), np.concatenate([r, 0 * d]), rcond=None)[0]


def by_singular_vectors(draw, step):
    """J = U diag(σ) Vᵀ, the last σ zero."""
    n = draw.size(2)
    U, V, sigma = draw.orthogonal(n), draw.orthogonal(n), draw.positive(n, 1e2)
    sigma[-1] = 0 * sigma[-1]
    r, lam, d = draw.vector(n), draw.magnitude(6), draw.array(np.ones(n, dtype=int))
    J = (U * sigma) @ V.T
    return {"J": J, "U": U, "V": V, "sigma": sigma, "r": r, "d": d, "lam": lam, "p": step(J, r, d, lam)}


@claim(
    "lm.limits",
    "Along each right singular vector p has the part −σᵢuᵢᵀr/(σᵢ² + λ): −J⁺r as λ → 0, −Jᵀr/λ as λ → ∞",
    NW + "§10.3",
    by_singular_vectors,
    given="D = I",
    uses=DAMPED,
    scale=backward,
    because=STABLE,
)
def limits(U, V, sigma, r, lam, p):
    return (sigma**2 + lam) * (V.T @ p) + sigma * (U.T @ r)


@claim(
    "lm.descent",
    "p is a descent direction, whatever the rank of J:   gᵀp = −‖Jp‖² − λ‖Dp‖² < 0",
    NW + "§10.3",
    made,
    given="λ > 0 and g = Jᵀr ≠ 0",
    uses=DAMPED,
    scale=lambda J, r, d, lam, p: backward(J, r, d, lam, p) * size(p),
    because=STABLE,
)
def descent(J, r, d, lam, p):
    slope = (J.T @ r) @ p
    return excess(slope), slope + (J @ p) @ (J @ p) + lam * ((d * p) @ (d * p))


@claim(
    "lm.predicted",
    "What the model gains is ½‖r‖² − ½‖Jp + r‖² = ½‖Jp‖² + λ‖Dp‖²",
    MORE + NW + "§10.3",
    made,
    uses=DAMPED,
    scale=lambda J, r, d, lam, p: backward(J, r, d, lam, p) * size(p) + size(r) ** 2,
    because=STABLE,
)
def predicted(J, r, d, lam, p):
    rest = J @ p + r
    return r @ r - rest @ rest - (J @ p) @ (J @ p) - 2 * lam * ((d * p) @ (d * p))


# --- as a trust region -------------------------------------------------------------------------------------------


def with_rival(draw, step, factor=1):
    """Another point q with ‖Dq‖ ≤ ‖Dp‖."""
    J, r, d, lam = any_jacobian(draw)
    lam, q = factor * lam, draw.vector(len(d))
    p = step(J, r, d, lam)
    return {"J": J, "r": r, "d": d, "lam": lam, "p": p, "q": q * abs(d * p).max() / abs(d * q).sum()}


def negative_damping(draw, step):
    """λ < 0 with JᵀJ + λI ≻ 0, and the Gauss-Newton step, which is shorter."""
    n = draw.size()
    J, d = draw.array(np.eye(n, dtype=int)) * draw.magnitude(1), draw.array(np.ones(n, dtype=int))
    r, lam = draw.vector(n), -draw.number(0.1, 0.9) * J[0, 0] ** 2
    return {"J": J, "r": r, "d": d, "lam": lam, "p": -r * J[0, 0] / (J[0, 0] ** 2 + lam), "q": -r / J[0, 0]}


@claim(
    "lm.trust-region",
    "p minimises ‖Jp + r‖ in the region of its own radius: ‖Jp + r‖ ≤ ‖Jq + r‖ where ‖Dq‖ ≤ ‖Dp‖",
    MORE + NW + "§10.3",
    with_rival,
    "conditional",
    given="λ ≥ 0",
    uses=DAMPED,
    scale=lambda J, r, d, lam, p, q: (
        backward(J, r, d, abs(lam), p) * (size(p) + size(q)) + (size(J) * (size(p) + size(q)) + size(r)) ** 2
    ),
    because=STABLE,
    fails=(Fails("λ < 0", negative_damping),),
)
def trust_region(J, r, p, q):
    rest, other = J @ p + r, J @ q + r
    return excess(rest @ rest - other @ other)


def in_region(draw, step):
    J, r, d, _ = any_jacobian(draw)
    radius = size(r) / size(J) * draw.magnitude(4)
    p, lam = step(J, r, d, radius)
    return {"J": J, "r": r, "d": d, "radius": radius, "p": p, "lam": lam}


@claim(
    "lm.constrained",
    "The step has (JᵀJ + λD²)p = −Jᵀr with λ ≥ 0, ‖Dp‖ ≤ Δ, and ‖Dp‖ = Δ where λ > 0",
    MORE + NW + "§10.3",
    in_region,
    given="‖Dp‖ = Δ is asked for to 1e-6; where J is rank-deficient, JᵀJ is damped by eps",
    uses=("lm.step_for_radius",),
    scale=lambda J, r, d, radius, p, lam: (backward(J, r, d, lam, p), 1, radius),
    because=STABLE,
    exact=False,
)
def constrained(J, r, d, radius, p, lam):
    length = size(d * p)
    gap = abs(length - radius) if lam > 0 else length - radius
    return J.T @ (J @ p + r) + lam * d * (d * p), excess(-lam), excess(gap - ACCURACY * radius)


def two_dampings(draw, step):
    J, r, d, lam = any_jacobian(draw)
    more = lam * draw.number(1, 99)
    return {"J": J, "r": r, "d": d, "lam": lam, "p": step(J, r, d, lam), "p_more": step(J, r, d, more)}


@claim(
    "lm.monotone",
    "More damping, shorter steps and larger residuals:   ‖Dp(λ)‖ falls and ‖Jp(λ) + r‖ grows with λ",
    MORE + NW + "§10.3",
    two_dampings,
    given="λ > 0",
    uses=DAMPED,
    scale=lambda J, r, d, lam, p: (
        size(d) ** 2 * size(p) * rounding(J, r, d, lam, p),
        (size(J) * size(p) + size(r)) * (size(J) * rounding(J, r, d, lam, p) + size(r)),
    ),
    because="both solutions lose eps κ, and eps κ² of large residuals",
)
def monotone(J, r, d, p, p_more):
    rest, rest_more = J @ p + r, J @ p_more + r
    return excess((d * p_more) @ (d * p_more) - (d * p) @ (d * p)), excess(rest @ rest - rest_more @ rest_more)


def in_other_units(draw, step, scaled=True):
    """Variables in the units t: J̃ = JT⁻¹, and D̃ = DT⁻¹, as the columns of J give it, or D̃ = D."""
    J, r, d, lam = any_jacobian(draw)
    t = draw.array([2] * len(d)) ** draw.rng.integers(2, 9, len(d))
    other = step(J / t, r, d / t if scaled else d, lam)
    return {"J": J, "r": r, "d": d, "lam": lam, "t": t, "p": step(J, r, d, lam), "p_other": other}


@claim(
    "lm.scaling",
    "The step does not depend on the units of the variables: x̃ = Tx gives p̃ = Tp",
    MORE + NW + "§10.3",
    in_other_units,
    "conditional",
    given="D scales with the columns of J; D = I does not",
    uses=DAMPED,
    scale=lambda J, d, lam, t, p, p_other, r: (
        size(t) * rounding(J, r, d, lam, p) + rounding(J / t, r, d / t, lam, p_other)
    ),
    because="both solutions lose eps κ, and eps κ² of large residuals",
    fails=(
        Fails(
            "D is the same in all units",
            lambda draw, step: in_other_units(draw, step, scaled=False),
            lambda t, p, p_other: (p_other - t * p) / abs(t * p).max(),
        ),
    ),
)
def scaling(t, p, p_other):
    return p_other - t * p
