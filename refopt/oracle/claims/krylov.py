"""Conjugate gradients on the model, Steihaug's step, GLTR's, and Powell's dogleg."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.trust_region import by_eigenvalues, model
from refopt.oracle.draw import condition, excess, size, solve, with_spectrum
from refopt.problem import Problem

STEIHAUG = "T. Steihaug, SIAM J. Numer. Anal. 20 (1983) 626; "
GLTR = "Gould, Lucidi, Roma & Toint, SIAM J. Optim. 9 (1999) 504; "


def products(B):
    """A problem of which nothing but products with B is known."""
    return Problem(lambda x: 0.0, hvp=lambda x, p: B @ p)


def iterates(B, g):
    """Conjugate gradients from 0 by the letter, n steps or fewer: points, residuals, directions."""
    z, r, d = 0 * g, g, -g
    points, residuals, directions = [z], [r], []
    for _ in range(len(g)):
        if not (r @ r) > 0:
            break
        alpha = (r @ r) / (d @ B @ d)
        z, before, r = z + alpha * d, r, r + alpha * (B @ d)
        directions.append(d)
        points.append(z)
        residuals.append(r)
        d = (r @ r) / (before @ before) * d - r
    return {"B": B, "g": g, "points": np.array(points), "residuals": np.array(residuals), "d": np.array(directions)}


def definite(draw):
    return iterates(draw.spd(n := draw.size(1, 4), 10), draw.vector(n))


def indefinite(draw):
    """B = diag(1, −1/10), g = (1, 2): the second direction has negative curvature."""
    return iterates(draw.array([["1", "0"], ["0", "-1/10"]]), draw.array([1, 2]) * draw.number(1, 9))


@claim(
    "krylov.finite-termination",
    "Conjugate gradients end after n steps at the latest:   dᵢᵀBdⱼ = 0, rᵢᵀrⱼ = 0 for i ≠ j, and Bz = −g",
    NW + "§5.1",
    definite,
    given="B ≻ 0, exact arithmetic; over floats here with κ(B) ≤ 10",
    scale=lambda B, g, points: (size(B) * size(g) ** 2, size(g) ** 2, size(B) * size(points) + size(g)),
    because="four steps of well-conditioned arithmetic",
)
def finite_termination(B, g, points, residuals, d):
    conjugate, orthogonal = d @ B @ d.T, residuals @ residuals.T
    apart = 1 - np.eye(len(conjugate), dtype=int)
    return conjugate * apart, orthogonal * (1 - np.eye(len(orthogonal), dtype=int)), B @ points[-1] + g


@claim(
    "krylov.growing",
    "The iterates grow, ‖zⱼ₊₁‖ > ‖zⱼ‖, and the model falls along them, so that the boundary is crossed once",
    STEIHAUG + NW + "§7.1 (Theorem 7.3)",
    definite,
    "conditional",
    given="z₀ = 0 and dⱼᵀBdⱼ > 0 so far",
    scale=lambda B, g, points: (size(points) ** 2, (size(B) * size(points) + size(g)) * size(points)),
    because="differences of squares of this size",
    fails=(Fails("B is indefinite", indefinite),),
)
def growing(B, g, points):
    lengths, values = (np.array([part(z) for z in points]) for part in (lambda z: z @ z, lambda z: model(g, B, z)))
    return excess(lengths[:-1] - lengths[1:]), excess(values[1:] - values[:-1])


def stepped(draw, solver):
    n = draw.size()
    B = draw.spd(n, 1e3) if n == 1 or draw.rng.integers(2) else draw.indefinite(n)
    g = draw.vector(n) * draw.magnitude()
    radius = size(g) / size(B) * draw.magnitude(3)
    found = solver(products(B), 0 * g, g, radius, 1e-6)
    return {"B": B, "g": g, "radius": radius, "p": found[0], "promised": found[1], "edge": found[2]}


@claim(
    "krylov.steihaug-cauchy",
    "Steihaug's step gains at least what Cauchy's point gains, stays in the region, and promises m(0) − m(p)",
    STEIHAUG + NW + "§7.1 and §4.1",
    stepped,
    uses=("krylov.steihaug",),
    scale=lambda B, g, radius, p: (
        (size(g) + size(B) * size(p)) * size(p),
        radius,
        (size(g) + size(B) * size(p)) * size(p),
    ),
    because="values of the model are sums of terms of this size",
    exact=False,
)
def steihaug_cauchy(B, g, radius, p, promised):
    d = -g / size(g)
    bend = d @ B @ d
    tau = min(radius, size(g) / bend) if bend > 0 else radius
    return excess(model(g, B, p) - model(g, B, tau * d)), excess(size(p) - radius), promised + model(g, B, p)


def convex_step(draw, solver):
    B, g = draw.spd(n := draw.size(), 1e3), draw.vector(n)
    radius = size(g) / size(B) * draw.magnitude(2)
    return {"B": B, "g": g, "radius": radius, "p": solver(products(B), 0 * g, g, radius, 1e-8)[0]}


@claim(
    "krylov.steihaug-half",
    "Where B ≻ 0, Steihaug's step gains at least half of what the exact solution gains",
    "Y. Yuan, Math. Program. 87 (2000) 561",
    convex_step,
    uses=("krylov.steihaug",),
    given="B ≻ 0; conjugate gradients are stopped by the boundary or a residual of 1e-8",
    scale=lambda B, g, radius, p: (size(g) + size(B) * radius) * radius,
    because="values of the model are sums of terms of this size",
    exact=False,
)
def steihaug_half(B, g, radius, p):
    return excess(2 * model(g, B, p) - by_eigenvalues(g, B, radius))


def full_space(draw, solver):
    """Eigenvalues apart from each other and g with a part along every eigenvector: 𝒦ₙ is everything."""
    n = draw.size()
    values = (np.arange(n) - draw.rng.integers(0, n) + draw.number(0.2, 0.8)) * draw.magnitude(2)
    Q, u = draw.orthogonal(n), 1 + abs(draw.vector(n))
    B, g = with_spectrum(Q, values), Q @ u
    radius = size(g) / size(B) * draw.magnitude(2)
    return {"B": B, "g": g, "radius": radius, "p": solver(products(B), 0 * g, g, radius, 1e-8, 50)[0]}


@claim(
    "krylov.gltr-exact",
    "Where the Krylov space is everything, GLTR's step is a global solution: no point of the region has a lower model",
    GLTR + NW + "§7.1",
    full_space,
    uses=("krylov.gltr",),
    scale=lambda B, g, radius: 1e5 * (size(g) + size(B) * radius) * radius,
    because="‖p‖ = Δ is asked for to 1e-9, which changes the model by as much of its terms",
    exact=False,
)
def gltr_exact(B, g, radius, p):
    return excess(model(g, B, p) - by_eigenvalues(g, B, radius)), excess(size(p) - radius) * (
        size(g) + size(B) * radius
    )


# --- the dogleg --------------------------------------------------------------------------------------------------


def corners(draw):
    B, g = draw.spd(n := draw.size(1, 4), 1e3), draw.vector(n)
    steepest = -(g @ g) / (g @ B @ g) * g
    t, h = draw.number(0, 1), draw.number(0, 1)
    return {"B": B, "g": g, "steepest": steepest, "newton": -solve(B, g), "t": t, "h": h * (1 - t)}


def corners_indefinite(draw):
    """B = diag(2, −1), where gᵀBg > 0 but p_B leads uphill."""
    g = draw.array([3, 1]) * draw.number(1, 9)
    B = draw.array([[2, 0], [0, -1]])
    steepest = -(g @ g) / (g @ B @ g) * g
    return {
        "B": B,
        "g": g,
        "steepest": steepest,
        "newton": -solve(B, g),
        "t": draw.number(0, "1/2"),
        "h": draw.number("1/4", "1/2"),
    }


@claim(
    "krylov.dogleg-monotone",
    "Along both pieces of the dogleg path the length grows and the model falls",
    NW + "§4.1 (Lemma 4.2)",
    corners,
    "conditional",
    given="B ≻ 0",
    scale=lambda B, g, newton: (
        condition(B) * size(newton) ** 2,
        condition(B) * (size(g) + size(B) * size(newton)) * size(newton),
    ),
    because="the solve loses eps κ of the Newton step",
    fails=(Fails("B is indefinite", corners_indefinite),),
)
def dogleg_monotone(B, g, steepest, newton, t, h):
    first = (t * steepest, (t + h) * steepest)
    second = tuple(steepest + s * (newton - steepest) for s in (t, t + h))
    longer = [excess(a @ a - b @ b) for a, b in (first, second)]
    lower = [excess(model(g, B, b) - model(g, B, a)) for a, b in (first, second)]
    return np.array(longer), np.array(lower)


def stopped(draw, dogleg):
    B, g = draw.spd(n := draw.size(), 1e3), draw.vector(n)
    radius = size(g) / size(B) * draw.magnitude(2)
    p, edge = dogleg(g, B, radius)
    return {"B": B, "g": g, "radius": radius, "p": p, "edge": edge}


@claim(
    "krylov.dogleg-step",
    "The dogleg step is inside only as Newton's, else ‖p‖ = Δ, and gains at least what Cauchy's point gains",
    NW + "§4.1",
    stopped,
    uses=("subproblem.dogleg",),
    given="B ≻ 0",
    scale=lambda B, g, radius, p: (radius, (size(g) + size(B) * size(p)) * size(p), size(B) * size(p) + size(g)),
    because="sums of terms of this size; a stable solve leaves n eps ‖B‖‖p‖",
    exact=False,
)
def dogleg_step(B, g, radius, p, edge):
    d = -g / size(g)
    tau = min(radius, size(g) / (d @ B @ d))
    gap = abs(size(p) - radius) if edge else excess(size(p) - radius)
    return gap, excess(model(g, B, p) - model(g, B, tau * d)), 0 * g if edge else B @ p + g
