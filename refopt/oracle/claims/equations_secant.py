"""Broyden's method for F(x) = 0: how its Jacobians deteriorate, how they are inverted, where it ends.

What the update itself is, and of what it is the least change, is in ``jacobian_updates``.
"""

import numpy as np

from refopt.methods import broyden_good as good
from refopt.oracle.claim import claim
from refopt.oracle.claims import DS, NW
from refopt.oracle.claims.bfgs import ROUNDED
from refopt.oracle.claims.equations import SOLVED, left_out, quadratic_map
from refopt.oracle.draw import bulk, condition, excess, eye, inverse, size, solve

BROYDEN = ("equations_secant.broyden",)


def broyden(J, s, y):
    """J + (y − Js)sᵀ/sᵀs, the library's good update with D = I."""
    return good.update(J, s, y, 0 * s + 1)


def jump(J, s, y):
    return size(J) + size(y) / size(s)


def on_affine(draw, update):
    """y = As, and the error J − A before and after."""
    A, J, s = draw.matrix(n := draw.size(), n), draw.matrix(n, n), draw.vector(n)
    return {"A": A, "J": J, "s": s, "J_new": update(J, s, A @ s)}


@claim(
    "equations.broyden-affine",
    "For affine F the error falls with every update:   ‖J₊ − A‖_F² = ‖J − A‖_F² − ‖(J − A)s‖²/‖s‖²",
    DS + "§8.2",
    on_affine,
    given="y = As",
    uses=BROYDEN,
    scale=lambda A, J: (size(A) + size(J)) ** 2,
    because=ROUNDED,
)
def broyden_affine(A, J, s, J_new):
    E, E_new, miss = J - A, J_new - A, (J - A) @ s
    return (E_new**2).sum() - (E**2).sum() + (miss @ miss) / (s @ s)


def on_curved(draw, update):
    """A quadratic map with J* = A at x* = 0, from e to e₊."""
    A, Q, gamma = quadratic_map(draw, draw.size())
    n = len(A)
    J, e, e_new = draw.matrix(n, n), draw.vector(n), draw.vector(n)
    s = e_new - e
    if not size(s) > 0.1 * size(e):
        return on_curved(draw, update)
    y = A @ s + left_out(Q, e_new) - left_out(Q, e)
    return {"A": A, "J": J, "e": e, "e_new": e_new, "y": y, "J_new": update(J, s, y), "gamma": gamma}


@claim(
    "equations.bounded-deterioration",
    "‖J₊ − J*‖_F ≤ ‖J − J*‖_F + ½γ(‖e₊‖ + ‖e‖): J gets worse by no more than errors are long",
    DS + "§8.2; " + NW + "§11.1",
    on_curved,
    given="J(x) has the Lipschitz constant γ",
    uses=BROYDEN,
    scale=lambda A, J, e, e_new, y: size(A) + jump(J, e_new - e, y),
    because=ROUNDED,
    exact=False,
)
def bounded_deterioration(A, J, e, e_new, J_new, gamma):
    return excess(size(J_new - A) - size(J - A) - np.sqrt(gamma) / 2 * (size(e) + size(e_new)))


def both_forms(draw, update):
    J, s, v = draw.full_rank(n := draw.size(), n, 10), draw.vector(n), draw.vector(n)
    if abs(float(s @ v)) < 0.1 * size(s) * size(v):
        return both_forms(draw, update)
    return {"J": J, "H": inverse(J), "s": s, "y": (y := J @ v), "J_new": update(J, s, y)}


@claim(
    "equations.sherman-morrison",
    "J₊⁻¹ = H + (s − Hy)sᵀH/(sᵀHy),   H = J⁻¹: an update of O(n²) instead of a solve",
    DS + "§8.3; " + NW + "appendix A",
    both_forms,
    given="sᵀHy ≠ 0",
    uses=BROYDEN,
    scale=lambda J, H, s, y: condition(J) ** 2 * (1 + size(s) / size(H @ y)) * (1 + size(H @ y) / size(s)) * 10,
    because=ROUNDED + "; H loses eps κ(J), and |sᵀHy| ≥ ‖s‖‖Hy‖/10",
)
def sherman_morrison(H, s, y, J_new):
    sH = s @ H
    return J_new @ (H + (s - H @ y)[:, None] * sH / (sH @ y)) - eye(H)


def gay(draw, update):
    """2n steps of Broyden's method on Ax = b from J₀ = I; ‖A − I‖ < ¾."""
    n = draw.size(1, 3)
    M, x, b, before = draw.matrix(n, n), draw.vector(n), draw.vector(n), 0 * draw.vector(n)
    A, J = eye(M) + 3 * M / (4 * bulk(M) + 1), eye(M)
    F = A @ x - b
    for _ in range(2 * n):
        if not size(F) > 1e-12 * (size(x) + size(b)):
            break
        if not condition(J) < 30:
            return gay(draw, update)
        s = solve(J, -F)
        x, F, before = x + s, A @ (x + s) - b, F
        J = update(J, s, F - before) if F.any() else J
    return {"A": A, "b": b, "x": x, "F": F}


@claim(
    "equations.broyden-terminates",
    "On n linear equations Broyden's method ends after 2n steps at the latest",
    "D. M. Gay, SIAM J. Numer. Anal. 16 (1979) 623; " + DS + "§8.2",
    gay,
    given="A and every Jₖ nonsingular; here κ(Jₖ) < 30",
    uses=BROYDEN,
    scale=lambda A, b, x: size(A) * size(x) + size(b),
    because="at most six steps, each of which may magnify earlier roundings by κ(Jₖ) < 30",
    slack=1000.0,
)
def broyden_terminates(F):
    return F


def superlinear(draw):
    """One step of x₊ = x − J⁻¹F(x) with any J, on an affine F."""
    A, J, e = draw.full_rank(n := draw.size(), n, 10), draw.full_rank(n, n, 10), draw.vector(n)
    s = solve(J, -(A @ e))
    return {"A": A, "J": J, "e": e, "s": s, "F_new": A @ (e + s)}


@claim(
    "equations.dennis-more",
    "F(x₊) = (J* − J)s + O(‖s‖(‖e‖ + ‖e₊‖)): superlinear convergence iff ‖(J − J*)s‖/‖s‖ → 0",
    DS + "§8.2 (Dennis and Moré); " + NW + "§11.1",
    superlinear,
    given="s = −J⁻¹F(x); F is affine here, so that nothing is left out",
    scale=lambda A, J, e, s: size(A) * size(e) + (size(A) + condition(J) * size(J)) * size(s),
    because=SOLVED,
)
def dennis_more(A, J, s, F_new):
    return F_new - (A - J) @ s
