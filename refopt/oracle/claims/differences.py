"""Derivatives by differences: how large the errors are, and which step is best."""

import numpy as np

from refopt.derivatives.differences import central, forward, second_differences
from refopt.oracle.claim import EPS, claim
from refopt.oracle.claims import DS, NW
from refopt.oracle.claims.equations import left_out, quadratic_map
from refopt.oracle.draw import bulk, condition, excess, size

__all__ = ["central", "forward", "second_differences"]


def cubic_field(draw):
    """f = bᵀx + ½xᵀBx + ⅙Σtᵢxᵢ³ at x: its slope, bend and third derivative along each axis."""
    n = draw.size()
    B, b, t, x = draw.matrix(n, n), draw.vector(n), draw.vector(n), draw.vector(n) * draw.magnitude(1)
    B = B + B.T
    return {
        "f": lambda x: b @ x + x @ B @ x / 2 + t @ x**3 / 6,
        "terms": bulk(b) * bulk(x) + bulk(B) * bulk(x) ** 2 + abs(t) @ abs(x) ** 3,
        "slope": b + B @ x + t * x**2 / 2, "bend": np.diag(B) + t * x, "third": t, "x": x,
    }  # fmt: skip


def by(draw, rule, relative):
    made = cubic_field(draw)
    f, x = made.pop("f"), made["x"]
    return made | {"found": np.array(rule(f, x, None, 0.0)), "h": abs((x + relative * abs(x)) - x)}


@claim(
    "differences.forward",
    "(f(x + h) − f(x))/h is wrong by ½h|f″| + ⅙h²|f‴| and 2ε|f|/h at most",
    DS + "§4.2 and §5.6; " + NW + "§8.1",
    lambda draw, rule: by(draw, rule, EPS**0.5),
    given="f‴ constant; ε is the rounding of f, a few units of what is summed in it",
    uses=("differences.forward",),
    scale=lambda terms, x: terms / (EPS**0.5 * abs(x).min()),
    because="the noise 2ε|f|/h is what the tolerance allows: c eps terms/h",
    slack=30.0,
    exact=False,
)
def forward_error(slope, bend, third, h, found):
    return excess(abs(found - slope) - h * abs(bend) / 2 - h**2 * abs(third) / 6)


@claim(
    "differences.central",
    "(f(x + h) − f(x − h))/2h is wrong by ⅙h²|f‴| and ε|f|/h at most",
    DS + "§5.6; " + NW + "§8.1",
    lambda draw, rule: by(draw, rule, EPS ** (1 / 3)),
    given="f‴ constant; ε is the rounding of f, a few units of what is summed in it",
    uses=("differences.central",),
    scale=lambda terms, x: terms / (EPS ** (1 / 3) * abs(x).min()),
    because="the noise ε|f|/h is what the tolerance allows: c eps terms/h",
    slack=30.0,
    exact=False,
)
def central_error(slope, third, h, found):
    return excess(abs(found - slope) - h**2 * abs(third) / 6)


@claim(
    "differences.best-step",
    "½hM + 2ε/h ≥ 2√(εM), with equality at h = 2√(ε/M): half of the digits is what forward differences can give",
    DS + "§5.6; " + NW + "§8.1",
    lambda draw: {"h": draw.magnitude(4), "M": draw.magnitude(3), "root": draw.magnitude(6)},
    given="|f″| ≤ M and f is known to ε;  ε = root²M below, so that the best step is rational",
    scale=lambda h, M, root: (float(h * M + root**2 * M / h) ** 2, float(root * M)),
    because="sums of terms of this size",
)
def best_step(h, M, root):
    noise, best = root**2 * M, 2 * root
    error = h * M / 2 + 2 * noise / h
    return excess(4 * noise * M - error**2), best * M / 2 + 2 * noise / best - 2 * root * M


def quadratic_values(draw, rule):
    B, b, x = draw.spd(n := draw.size(), 1e2), draw.vector(n), draw.vector(n)
    method = ("2-point", "3-point")[int(draw.rng.integers(2))]
    found = rule(lambda x: x @ B @ x / 2 + b @ x, x, method, None, 0.0)
    return {"B": B, "b": b, "x": x, "power": 1 / 3 if method == "2-point" else 1 / 4, "found": found}


@claim(
    "differences.hessian",
    "(f(x + dᵢ + dⱼ) − f(x + dᵢ) − f(x + dⱼ) + f(x))/hᵢhⱼ is the Hessian of a quadratic but for 4ε|f|/hᵢhⱼ",
    DS + "§5.6; " + NW + "§8.1",
    quadratic_values,
    given="hᵢ is ε^⅓ or ε^¼ of |xᵢ|",
    uses=("differences.second_differences",),
    scale=lambda B, b, x, power: (bulk(B) * bulk(x) ** 2 + bulk(b) * bulk(x)) / (EPS**power * abs(x).min()) ** 2,
    because="four values, each known to n eps of what is summed in it",
    slack=30.0,
    exact=False,
)
def hessian(B, found):
    return found - B


def newton_by_differences(draw, step):
    """A step from e beside x* = 0 with the Jacobian J_h of forward differences of length h of F = Ax + ½xᵀQx."""
    A, Q, gamma = quadratic_map(draw)
    e, h = draw.vector(len(A)), draw.magnitude(3) / 10**4
    h = h * draw.number("1/10", 1)
    e = e * draw.number(0, 1) / (4 * bulk(A) * bulk(Q) + 4 * bulk(e))
    J = A + Q @ e
    columns = J + h * np.array([np.diag(K) for K in Q]) / 2
    return {
        "A": A, "Q": Q, "J": J, "J_h": columns, "h": h, "e": e, "e_new": e + step(columns, A @ e + left_out(Q, e)),
        "gamma": gamma,
    }  # fmt: skip


@claim(
    "differences.newton",
    "‖J_h − J‖_F ≤ ½γ√n h, and J_h e₊ = ½eᵀQe + (J_h − J)e: quadratic convergence survives if h = O(‖e‖)",
    DS + "§5.4; " + NW + "§11.1",
    newton_by_differences,
    given="J has the Lipschitz constant γ; F is quadratic here",
    uses=("gauss-newton.full-step",),
    scale=lambda J, J_h, e, e_new: (
        size(J) ** 2,
        condition(J_h) * (size(J_h) * (size(e) + size(e_new)) + size(J) * size(e)),
    ),
    because="the solve loses eps κ of its step",
)
def newton(Q, J, J_h, h, e, e_new, gamma):
    gap = J_h - J
    return excess((gap**2).sum() - gamma * h**2 * len(e) / 4), J_h @ e_new - left_out(Q, e) - gap @ e
