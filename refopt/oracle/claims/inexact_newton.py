"""Newton's method where the system is solved in part: forcing terms, truncated conjugate gradients."""

from math import inf

import numpy as np

from refopt import krylov
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.conjugate_gradients import drawn as with_points
from refopt.oracle.claims.conjugate_gradients import points
from refopt.oracle.claims.krylov import products
from refopt.oracle.claims.trust_region import model
from refopt.oracle.draw import bulk, excess, size, solve, with_spectrum

__all__ = ["points", "truncated"]
POINTS = ("inexact_newton.points",)
STEPS = "four steps of well-conditioned arithmetic"
DEMBO = "R. S. Dembo, S. C. Eisenstat & T. Steihaug, SIAM J. Numer. Anal. 19 (1982) 400; "


def truncated(H, g, eta):
    """The library's conjugate gradients, until ‖Hp + g‖ ≤ η‖g‖."""
    return krylov.truncated(products(H), 0 * g, g, eta).p


# --- forcing terms -----------------------------------------------------------------------------------------------


def solved_in_part(draw, step=None, worst=1e2):
    """f = ½zᵀDz + ⅙Σtᵢzᵢ³ at z, whose third derivatives are tᵢ, and a step with ‖Hp + g‖ ≤ η‖g‖."""
    D, t, z = draw.positive(n := draw.size(), worst), draw.vector(n), draw.vector(n)
    z = z * draw.number(0, 1) * D.min() / (4 * abs(t).max() * bulk(z))
    Q, eta = draw.orthogonal(n), draw.number("1/100", "9/10")
    H, g = with_spectrum(Q, D + t * z), Q @ (D * z + t * z**2 / 2)
    if step is None:
        r = draw.vector(n)
        p = solve(H, r * (eta * abs(g).max() / bulk(r)) - g)
    else:
        p = step(H, g, eta)
    w = z + Q.T @ p
    return {
        "H": H, "g": g, "eta": eta, "p": p, "g_new": Q @ (D * w + t * w**2 / 2), "L": abs(t).max(), "mu": D.min() / 2,
        "e": Q @ z, "e_new": Q @ w,
    }  # fmt: skip


def sizes(H, g, p):
    return size(H) * size(p) + size(g)


@claim(
    "inexact-newton.residual",
    "Conjugate gradients stop with ‖Hp + g‖ ≤ η‖g‖, and then ‖∇f(x + p)‖ ≤ η‖g‖ + ½L‖p‖²: linear, at the rate η",
    DEMBO + NW + "§7.1",
    solved_in_part,
    given="∇²f has the Lipschitz constant L, H ≻ 0",
    uses=("inexact_newton.truncated",),
    scale=lambda H, g, p: sizes(H, g, p),
    because="g and Hp cancel to η of their size",
    exact=False,
)
def residual(H, g, eta, p, g_new, L):
    r = H @ p + g
    return excess(size(r) - eta * size(g)), excess(size(g_new - r) - L / 2 * size(p) ** 2)


@claim(
    "inexact-newton.error",
    "‖e₊‖ ≤ (L/2μ)‖e‖² + η‖g‖/μ: η → 0 gives superlinear convergence, and η = O(‖g‖) quadratic",
    DEMBO + NW + "§7.1",
    solved_in_part,
    given="∇²f(x) ⪰ μI, ∇²f has the Lipschitz constant L",
    scale=lambda H, g, e, mu: (sizes(H, g, e) / float(mu)) ** 2,
    because="the solve loses eps κ of its step, and squares are compared",
)
def error(g, eta, e, e_new, L, mu):
    """With a = (L/2μ)‖e‖² and b² = η²‖g‖²/μ²:  ‖e₊‖² ≤ (a + b)² ≤ … compared as  ‖e₊‖² − a² − b² ≤ 2ab, in squares."""
    a, b_squared = L / (2 * mu) * (e @ e), (eta / mu) ** 2 * (g @ g)
    left = excess(e_new @ e_new - a**2 - b_squared)
    scale = a**2 + b_squared
    return excess(left**2 - 4 * a**2 * b_squared) / scale if scale else 0 * scale


def forced(draw, forcing):
    steep, g = draw.magnitude(3), draw.vector(draw.size())
    g = g * draw.magnitude(3)
    return {
        "g": g,
        "steep": steep,
        "eta": forcing(g, steep),
        "eta_fine": forcing(g / 4, steep),
        "none": forcing(0 * g, 0.0),
    }


@claim(
    "inexact-newton.forcing",
    "η = min(½, √(‖g‖/‖g‖_max)) falls with the root of ‖g‖: convergence of order 3/2",
    NW + "§7.1",
    forced,
    given="‖∇²f‖ and ‖∇²f⁻¹‖ are bounded near x*",
    uses=("krylov.forcing_term",),
    scale=lambda: 1.0,
    because="one root of a norm",
    exact=False,
)
def forcing(g, steep, eta, eta_fine, none):
    asked = (size(g) / steep) ** 0.5
    return eta - min(0.5, asked), none - 0.5, excess(eta_fine - 0.5 * asked), excess(0.5 * eta - eta_fine)


# --- truncated conjugate gradients -------------------------------------------------------------------------------


def energy(B, g, points):
    return (size(B) * size(points) + size(g)) * size(points)


@claim(
    "inexact-newton.descent",
    "Every point of conjugate gradients is a descent direction, ever steeper:   gᵀzₖ₊₁ ≤ gᵀzₖ ≤ −‖g‖²/‖B‖, k ≥ 1",
    NW + "§7.1",
    with_points,
    given="z₀ = 0, dᵀBd > 0 so far; ‖B‖ is bounded by its trace here",
    uses=POINTS,
    scale=energy,
    because=STEPS,
)
def descent(B, g, points):
    slopes = points @ g
    return excess(slopes[1:] + (g @ g) / np.trace(B)), excess(slopes[1:] - slopes[:-1])


@claim(
    "inexact-newton.gain",
    "At every point of conjugate gradients the model is half the slope:   m(zₖ) = ½gᵀzₖ, and zₖᵀ(Bzₖ + g) = 0",
    NW + "§7.1",
    with_points,
    given="z₀ = 0, dᵀBd > 0 so far",
    uses=POINTS,
    scale=energy,
    because=STEPS,
)
def gain(B, g, points):
    return np.array([model(g, B, z) - g @ z / 2 for z in points]), np.array([z @ (B @ z + g) for z in points])


def stopped_by_curvature(draw, cg):
    """An indefinite B: where conjugate gradients end."""
    B, g = draw.indefinite(n := draw.size(2)), draw.vector(n)
    end = cg(products(B), 0 * g, g, 0 * g, 0.0, inf, 1e-10, 0.0, 10 * n)
    return {"B": B, "g": g, "z": end.z, "d": end.d, "bend": end.bend, "concave": end.concave}


@claim(
    "inexact-newton.negative-curvature",
    "Where the system is not definite conjugate gradients end at a d with dᵀBd ≤ 0, downhill along it and along z",
    NW + "§7.1",
    stopped_by_curvature,
    given="B is indefinite, and g has a part along its negative eigenvectors",
    uses=("krylov.conjugate_gradients",),
    scale=lambda B, g, z, d: (size(B) * size(d) ** 2, size(B) * size(d) ** 2, size(g) * size(d), size(g) * size(z)),
    because="sums of products of this size",
    exact=False,
)
def negative_curvature(B, g, z, d, bend):
    return bend - d @ B @ d, excess(d @ B @ d), excess(g @ d), excess(g @ z)


def two_bounds(draw):
    H, g, r = draw.spd(n := draw.size(), 1e3), draw.vector(n), draw.vector(n)
    return {"H": H, "g": g, "eta": (eta := draw.number(0, 1)), "r": r * (eta * abs(g).max() / bulk(r))}


@claim(
    "inexact-newton.slope",
    "A step with ‖Hp + g‖ ≤ η‖g‖ leads downhill",
    NW + "§7.1; " + DEMBO.rstrip("; "),
    two_bounds,
    "false",
    corrected="In the norm of H⁻¹ it does: ‖Hp + g‖ ≤ η‖g‖ there gives gᵀp ≤ −(1 − η)gᵀH⁻¹g; in ‖·‖₂ if η < 1/κ(H)",
    scale=lambda H, g, eta, r: size(g) * size(solve(H, g)) * np.linalg.cond(H.astype(float)),
    because="both solves lose eps κ",
    fails=(
        Fails(
            "as stated, H = diag(1, 100), g = (¹⁄₂₀, 1), Hp + g = (⅖, 0)",
            lambda draw: {
                "H": draw.array([[1, 0], [0, 100]]),
                "g": draw.array(["1/20", "1"]),
                "eta": draw.array("1/2")[()],
                "r": draw.array(["2/5", "0"]),
            },
            lambda H, g, r: excess(g @ solve(H, r - g)) / (g @ solve(H, g)),
        ),
    ),
)
def slope(H, g, eta, r):
    """r scaled so that ‖r‖ in the norm of H⁻¹ is η times that of g at most."""
    K, G = r @ solve(H, r), g @ solve(H, g)
    share = eta**2 * G / (K + eta**2 * G)  # below 1, and share² K ≤ η² G
    p = solve(H, share * r - g)
    return excess(g @ p + (1 - eta) * G)
