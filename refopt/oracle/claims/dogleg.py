"""The dogleg of least squares: Powell's path from the Cauchy step to the Gauss-Newton step."""

import numpy as np

from refopt.linearised import dogleg
from refopt.ops import triangular
from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import condition, excess, size

POWELL = "M. J. D. Powell, in Numerical Methods for Nonlinear Algebraic Equations, 1970; "
PATH = ("dogleg.path",)
STABLE = "R and c are those of a matrix near J; the Gauss-Newton step loses κ, and κ² of large residuals"


def path(J, r, d, radius):
    """The step in the region ‖Dp‖ ≤ Δ."""
    R, c, _ = triangular(J, r)
    return dogleg(R, c, J.T @ r, d, radius).p


def model(draw):
    """J of full column rank, r, D, and a radius that may be shorter than the Cauchy step, or longer than the path."""
    n = draw.size()
    J = draw.full_rank(n + int(draw.rng.integers(3)), n, 1e2)
    r, d = draw.vector(len(J)) * draw.magnitude(), abs(draw.vector(n)) + 1
    return J, r, d, size(r) / size(J) * draw.magnitude(3)


def made(draw, step):
    J, r, d, radius = model(draw)
    return {"J": J, "r": r, "d": d, "radius": radius, "p": step(J, r, d, radius)}


def loss(J, r, d):
    """Of Dp, over eps."""
    k = condition(J / d)
    return size(d) * (k * k * size(r) / size(J / d) + k * size(r) / size(J / d)) * size(1 / d) * 10


@claim(
    "dogleg.region",
    "‖Dp‖ ≤ Δ, and p is the Gauss-Newton step −J⁺r wherever that is inside",
    POWELL + NW + "§4.1",
    made,
    uses=PATH,
    scale=lambda J, r, d, radius: (radius + loss(J, r, d), loss(J, r, d)),
    because=STABLE,
    exact=False,
)
def region(J, r, d, radius, p):
    newton = -np.linalg.lstsq(J, r, rcond=None)[0]
    inside = size(d * newton) < radius * (1 - 1e-6)
    return excess(size(d * p) - radius), d * (p - newton) if inside else 0.0 * p


def two_radii(draw, step):
    J, r, d, radius = model(draw)
    more = radius * draw.number(1, 9)
    return {"J": J, "r": r, "d": d, "p": step(J, r, d, radius), "p_more": step(J, r, d, more)}


@claim(
    "dogleg.monotone",
    "Along the path ‖Dp‖ grows and ‖Jp + r‖ falls",
    POWELL + NW + "§4.1",
    two_radii,
    given="J has full column rank",
    uses=PATH,
    scale=lambda J, r, d, p_more: (
        (size(d * p_more) + loss(J, r, d)) ** 2,
        (size(J / d) * loss(J, r, d) + size(r)) * size(r),
    ),
    because=STABLE,
    exact=False,
)
def monotone(J, r, d, p, p_more):
    rest, rest_more = J @ p + r, J @ p_more + r
    return excess((d * p) @ (d * p) - (d * p_more) @ (d * p_more)), excess(rest_more @ rest_more - rest @ rest)


@claim(
    "dogleg.cauchy",
    "½‖r‖² − ½‖Jp + r‖² ≥ ½ ‖h‖ min(Δ, ‖h‖/‖JD⁻¹‖²),   h = D⁻¹Jᵀr: what the Cauchy step gains at least",
    POWELL + NW + "§4.1",
    made,
    given="J has full column rank",
    uses=PATH,
    scale=lambda J, r, d: (size(J / d) * loss(J, r, d) + size(r)) * size(r),
    because=STABLE,
    exact=False,
)
def cauchy(J, r, d, radius, p):
    h, rest = J.T @ r / d, J @ p + r
    least = size(h) * min(radius, size(h) / np.linalg.norm(J / d, 2) ** 2)
    return excess(least - (r @ r - rest @ rest))
