"""Newton's direction by conjugate gradients, exactly enough, or damped and begun where the last step ended."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.krylov import products
from refopt.oracle.claims.trust_region import model
from refopt.oracle.draw import excess, eye, size, solve

MARTENS = "J. Martens, ICML 2010, "
CG = ("krylov.conjugate_gradients",)


# --- Newton-CG -------------------------------------------------------------------------------------------------------


def inexact(draw, truncated, definite=True):
    B = draw.spd(n := draw.size(1 if definite else 2), 1e3) if definite else draw.indefinite(n := draw.size(2))
    g, forcing = draw.vector(n) * draw.magnitude(), draw.number(0.01, 0.5)
    return {"B": B, "g": g, "forcing": forcing, "p": truncated(products(B), 0 * g, g, forcing)[0]}


@claim(
    "newton-cg.residual",
    "The direction satisfies ‖Hp + g‖ ≤ η‖g‖ and descends",
    NW + "§7.1 (Algorithm 7.1)",
    inexact,
    "conditional",
    given="H ≻ 0; otherwise it descends, but the system may have no such solution on the way",
    uses=("krylov.truncated",),
    scale=lambda B, g, p: (size(B) * size(p) + size(g), size(g) * size(p)),
    because="the recurrence drifts from the residual by the rounding of its terms",
    exact=False,
    fails=(Fails("H = diag(2, −1), g = (1, 2)", lambda draw, truncated: concave(draw, truncated)),),
)
def residual(B, g, forcing, p):
    return excess(size(B @ p + g) - forcing * size(g)), excess(g @ p)


def concave(draw, truncated):
    B, g = draw.array([[2, 0], [0, -1]]), draw.array([1, 2]) * draw.number(1, 9)
    return {"B": B, "g": g, "forcing": 0.1, "p": truncated(products(B), 0 * g, g, 0.1)[0]}


@claim(
    "newton-cg.descends",
    "Wherever negative curvature ends conjugate gradients, the direction found so far descends",
    NW + "§7.1 (Algorithm 7.1)",
    lambda draw, truncated: inexact(draw, truncated, False),
    given="g ≠ 0; they begin at 0",
    uses=("krylov.truncated",),
    scale=lambda g, p: size(g) * size(p),
    because="gᵀp is a sum of products of this size",
    exact=False,
)
def descends(g, p):
    return excess(g @ p), 0.0 if g @ p < 0 else 1.0


# --- Hessian-free ----------------------------------------------------------------------------------------------------


def damped(draw, cg):
    """Conjugate gradients for H + λI ≻ 0 from some start, stopped after 0 … n iterations."""
    n = draw.size()
    B = draw.spd(n, 1e2) if n == 1 or draw.rng.integers(2) else draw.indefinite(n)
    lam = max(0.0, -2 * float(np.linalg.eigvalsh(B)[0])) + draw.number(0.1, 1) * size(B)
    g, start = draw.vector(n), draw.vector(n)
    found = [cg(products(B), 0 * g, g, start, lam, np.inf, 0.0, 0.0, k) for k in range(n + 1)]
    return {
        "B": B + lam * eye(B), "g": g, "start": start, "points": np.array([each[0] for each in found]),
        "promised": np.array([each[6] for each in found]),
    }  # fmt: skip


@claim(
    "hessian-free.monotone",
    "The damped model falls from iterate to iterate, from 0 on: the first is the best multiple of the last step",
    MARTENS + "§4.4; " + NW + "§5.1",
    damped,
    given="B + λI ≻ 0",
    uses=CG,
    scale=lambda B, g, points: (size(g) + size(B) * size(points)) * size(points) + size(g) ** 2 / size(B),
    because="values of the model are sums of terms of this size",
    exact=False,
)
def monotone(B, g, start, points, promised):
    values = np.array([model(g, B, z) for z in points])
    slope, bend = g @ start, start @ B @ start
    best = -0.5 * slope * slope / bend if slope < 0 else 0.0
    return excess(values[1:] - values[:-1]), values + promised, values[0] - best


@claim(
    "hessian-free.finite-termination",
    "From whatever start, n iterations end at −(B + λI)⁻¹g",
    NW + "§5.1",
    damped,
    given="exact arithmetic; over floats here with a condition of a hundred and n ≤ 5",
    uses=CG,
    scale=lambda B, g: size(solve(B, g)) + size(g) / size(B),
    because="five steps of well-conditioned arithmetic, each magnified by the condition",
    slack=1e3,
    exact=False,
)
def finite_termination(B, g, points):
    return points[-1] + solve(B, g)


def zones(draw, adapted):
    lam = draw.magnitude()
    return {"lam": lam, "low": adapted(lam, draw.number(-3, "24/100")), "high": adapted(lam, draw.number("76/100", 3)),
            "middle": adapted(lam, draw.number("1/4", "3/4")), "there": adapted(adapted(lam, 1), 0)}  # fmt: skip


@claim(
    "hessian-free.adaptation",
    "λ₊ = 3/2 λ where ρ < ¼, ⅔ λ where ρ > ¾, and λ between; a step up undoes a step down",
    MARTENS + "§4.1",
    zones,
    uses=("hessian-free.adapted",),
    scale=lambda lam: float(lam),
    because="two roundings",
)
def adaptation(lam, low, middle, high, there):
    return 2 * low - 3 * lam, 3 * high - 2 * lam, middle - lam, there - lam


def gauss_newton(draw, cg):
    """JᵀJ of rank below n, and a little damping."""
    n = draw.size(2)
    J, g, lam = draw.matrix(n - 1, n), draw.vector(n), draw.magnitude(1)
    found = cg(products(J.T @ J), 0 * g, g, draw.vector(n), float(lam), np.inf, 1e-6, 0.0, 20 * n)
    return {"J": J, "g": g, "lam": lam, "p": found[0], "solved": found[4]}


@claim(
    "hessian-free.gauss-newton",
    "With a Gauss-Newton matrix and λ > 0 there is no negative curvature, and the step descends: gᵀp ≤ −½pᵀ(JᵀJ + λI)p",
    MARTENS + "§4.2",
    gauss_newton,
    uses=CG,
    scale=lambda J, g, lam, p: (size(g) * size(p) + (size(J) ** 2 + float(lam)) * size(p) ** 2, 1.0),
    because="sums of products of this size",
    exact=False,
)
def semidefinite(J, g, lam, p, solved):
    return excess(g @ p + (J @ p) @ (J @ p) / 2 + lam * (p @ p) / 2), 0.0 if solved else 1.0
