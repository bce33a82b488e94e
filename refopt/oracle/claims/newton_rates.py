"""How fast Newton's method converges, with the constants.

The test function is f = ½zᵀDz + ⅙Σtᵢzᵢ³ with z = Qᵀx, whose Hessian has the Lipschitz constant L = max |tᵢ|.
"""

import numpy as np

from refopt.oracle.claim import EPS, Fails, claim
from refopt.oracle.claims import BV, NW
from refopt.oracle.draw import condition, excess, size, solve, with_spectrum


def cubic_step(draw, direction, values, t, z):
    """One Newton step for the error e = x − x*, x* = 0."""
    Q = draw.orthogonal(len(z))
    H, g = with_spectrum(Q, values + t * z), Q @ (values * z + t * z * z / 2)
    e = Q @ z
    return {"H": H, "e": e, "e_new": e + direction(H, g), "L": abs(t).max(), "M": 1 / values.min()}


def cubic_near(draw, direction):
    values, t = draw.positive(n := draw.size(), 1e3), draw.vector(n)
    z = draw.vector(n)
    radius = values.min() / (2 * abs(t).max())
    return cubic_step(draw, direction, values, t, z * draw.number(0, 1) * radius / abs(z).sum())


def cubic_far(draw, direction):
    values, t = draw.positive(1), draw.array([2])
    return cubic_step(draw, direction, values, t, -values * draw.number(0.6, 0.9) / t)


def quartic_singular(draw, direction):
    e = draw.array(["1e-7"]) * draw.number(1, 9)
    return {"H": e[:, None], "e": e, "e_new": e + direction(12 * e[:, None] ** 2, 4 * e**3), "L": 1, "M": 1000}


def rounding(H, e, bound):
    """Of ‖e₊‖² − bound², when the solve loses eps κ ‖e‖."""
    slop = condition(H) * size(e)
    return 2 * float(bound) * slop + EPS * slop**2


@claim(
    "newton.local-quadratic",
    "‖e₊‖ ≤ L ‖∇²f(x*)⁻¹‖ ‖e‖²,   e = x − x*",
    NW + "§3.3",
    cubic_near,
    "conditional",
    given="∇²f has the Lipschitz constant L, ∇²f(x*) is nonsingular, and ‖e‖ ≤ 1/(2L‖∇²f(x*)⁻¹‖)",
    uses=("newton.direction",),
    scale=lambda H, e, L, M: rounding(H, e, L * M * size(e) ** 2),
    because="the solve loses eps κ of a step as long as e",
    fails=(
        Fails("the start is farther away", cubic_far),
        Fails("∇²f(x*) is singular, f = x⁴, whatever the constant", quartic_singular),
    ),
)
def local_quadratic(e, e_new, L, M):
    return excess(e_new @ e_new - (L * M * (e @ e)) ** 2)


def quartic_polynomial(draw, direction):
    mu, L, M = draw.number(1, 9), draw.number(-9, 9), draw.number(-9, 9)
    e = draw.number(-1, 1) * mu / (4 * (abs(L) + abs(M) + 1))
    H, g = mu + L * e + M * e**2 / 2, mu * e + L * e**2 / 2 + M * e**3 / 6
    step = direction(draw.array([[1]]) * H, draw.array([1]) * g)[0]
    return {"mu": mu, "L": L, "M": M, "e": e, "e_new": e + step}


@claim(
    "newton.quadratic-constant",
    "In one dimension e₊/e² → f‴/(2f″):   e₊ − e² f‴/(2f″) = O(e³), with its constant",
    NW + "§3.3",
    quartic_polynomial,
    given="f″ > 0 and f‴ continuous at x*",
    uses=("newton.direction",),
    scale=lambda e: abs(e),
    because="e and a step of its length nearly cancel",
)
def quadratic_constant(mu, L, M, e, e_new):
    constant = abs(M) / 3 + L**2 / (2 * mu) + abs(L * M * e) / (4 * mu)
    return excess(abs(e_new - e**2 * L / (2 * mu)) - 2 * constant / mu * abs(e) ** 3)


def homogeneous(draw, direction):
    A, u = draw.full_rank(n := draw.size(), n), abs(draw.vector(n)) + draw.number(0, 1)
    p = 2 * int(draw.rng.integers(2, 4))
    x, g, H = solve(A, u), p * A.T @ u ** (p - 1), p * (p - 1) * (A.T * u ** (p - 2)) @ A
    return {"p": p, "x": x, "H": H, "x_new": x + direction(H, g)}


@claim(
    "newton.singular-linear",
    "Where ∇²f(x*) is singular Newton is linear: for f homogeneous of degree p, x₊ = (p − 2)/(p − 1) x; 2/3 for x⁴",
    NW + "§3.3",
    homogeneous,
    given="f = Σ(aᵢᵀx)ᵖ, p = 4 or 6, the aᵢ independent",
    uses=("newton.direction",),
    scale=lambda H, x: condition(H) * size(x),
    because="the solve loses eps κ of a step as long as x",
)
def singular_linear(p, x, x_new):
    return (p - 1) * x_new - (p - 2) * x


def cubic_anywhere(draw, direction):
    values, t = draw.positive(n := draw.size(), 1e3), draw.vector(n)
    z = draw.vector(n) * values.min() * draw.number(0, 1) / (4 * abs(t).max())
    curvatures = values + abs(t * z)
    return cubic_step(draw, direction, values, t, abs(z) * np.sign(t)) | {"mu": curvatures.min()}


def cubic_flat(draw, direction):
    mu = draw.array(["1/100"])
    return cubic_step(draw, direction, mu, draw.array([1]), mu * draw.number(0, 0.01)) | {"mu": mu[0]}


def source_bound(H, e, e_new, L, mu):
    right = (L / (2 * mu) * (e @ H @ e)) ** 2
    return excess(e_new @ H @ e_new - right) / right


@claim(
    "newton.hessian-norm-constant",
    "‖e₊‖_H ≤ (L/2μ) ‖e‖_H²,   H = ∇²f(x) ⪰ μI",
    BV + "§9.5.3, for the Euclidean form",
    cubic_anywhere,
    "false",
    corrected="‖e₊‖₂ ≤ (L/2μ) ‖e‖₂²; in the norm of H the constant is L/(2μ^{3/2}), or else it would not scale with f",
    uses=("newton.direction",),
    scale=lambda H, e, L, mu: (
        rounding(H, e, L / (2 * mu) * size(e) ** 2),
        size(H) * rounding(H, e, L / (2 * mu) * size(e) ** 2),
    ),
    because="the solve loses eps κ of a step as long as e",
    fails=(Fails("as stated, f = ½μx² + ⅙x³ with μ = 1/100 exceeds it tenfold", cubic_flat, source_bound),),
)
def hessian_norm_constant(H, e, e_new, L, mu):
    square, product = e @ e, e @ H @ e
    return (
        excess(e_new @ e_new - (L / (2 * mu) * square) ** 2),
        excess(e_new @ H @ e_new - L**2 / (4 * mu**3) * product**2),
    )


def barrier(draw, direction):
    """f(x) = cᵀx − Σ log(aᵢᵀx − bᵢ) at the point with the slacks sᵢ = aᵢᵀx − bᵢ, where ∇f = Hu and λ² = uᵀHu."""
    n = draw.size(1, 4)
    A, s = draw.full_rank(n + 1, n, 1e2), draw.positive(n + 1, 1e2)
    H, v = (A.T / s**2) @ A, draw.vector(n)
    root = draw.array(f"{float(v @ H @ v) ** 0.5:.2e}")[()]
    u = v * draw.number(0.05, 0.95) / root
    c = A.T @ (1 / s) + H @ u
    s_new = s + A @ direction(H, H @ u)
    H_new, g_new = (A.T / s_new**2) @ A, c - A.T @ (1 / s_new)
    return {"H": H, "H_new": H_new, "decrement": u @ H @ u, "decrement_new": g_new @ solve(H_new, g_new)}


@claim(
    "newton.decrement",
    "λ₊ ≤ (λ/(1 − λ))²,   λ² = gᵀH⁻¹g",
    BV + "§9.6",
    barrier,
    given="f is self-concordant and λ < 1; nothing here depends on the units of x or on constants of f",
    uses=("newton.direction",),
    scale=lambda H, H_new, decrement, decrement_new: (
        (condition(H) + condition(H_new)) * (float(decrement) ** 2 + float(decrement_new))
    ),
    because="both solves lose eps κ, and what is compared is of the order of λ⁴ + λ₊²",
)
def decrement(decrement, decrement_new):
    """With q = λ², q₊ = λ₊²: the claim is q₊(1 + q)² − q² − 4qq₊ ≤ 4q √(qq₊), in squares."""
    q, r = decrement, decrement_new
    left = excess(r * (1 + q) ** 2 - q**2 - 4 * q * r)
    return excess(left**2 - 16 * q**3 * r)
