"""Conjugate gradients for nonlinear functions: their formulas for β, and which of them descend."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.conjugate_gradients import STEPS
from refopt.oracle.claims.krylov import iterates
from refopt.oracle.draw import condition, excess, size
from refopt.problem import Problem


def two_gradients(draw):
    """A direction d, the gradients g and g₊ before and after a step along it, y = g₊ − g with dᵀy > 0."""
    n = draw.size()
    g, y, d = draw.vector(n), draw.vector(n), draw.vector(n)
    if abs(float(d @ y)) < 0.1 * size(d) * size(y):
        return two_gradients(draw)
    return {"g": g, "g_new": g + (y if d @ y > 0 else -y), "d": d}


def after(beta, g, g_new, d):
    """d₊ = −g₊ + βd with the β named."""
    y = g_new - g
    beta = {
        "FR": lambda: (g_new @ g_new) / (g @ g),
        "PR": lambda: (g_new @ y) / (g @ g),
        "HS": lambda: (g_new @ y) / (d @ y),
        "DY": lambda: (g_new @ g_new) / (d @ y),
        "HZ": lambda: (y @ g_new - 2 * (y @ y) * (d @ g_new) / (d @ y)) / (d @ y),
    }[beta]()
    return beta * d - g_new


def nonlinear_scale(g, g_new, d):
    whole = (size(g) + size(g_new)) ** 2
    return whole * (1 + size(d) * size(g_new - g) / abs(float(d @ (g_new - g)))) ** 2


@claim(
    "conjugate-gradients.hager-zhang",
    "β = (y − 2d‖y‖²/dᵀy)ᵀg₊/dᵀy gives d₊ᵀg₊ ≤ −⅞‖g₊‖², whatever the search",
    "W. W. Hager & H. Zhang, SIAM J. Optim. 16 (2005) 170; " + NW + "§5.2",
    two_gradients,
    given="dᵀy ≠ 0",
    scale=nonlinear_scale,
    because="sums of terms of this size",
)
def hager_zhang(g, g_new, d):
    return excess(after("HZ", g, g_new, d) @ g_new + 7 * (g_new @ g_new) / 8)


@claim(
    "conjugate-gradients.dai-yuan",
    "β = ‖g₊‖²/dᵀy gives d₊ᵀg₊ = β dᵀg: descent is inherited wherever dᵀy > 0, as Wolfe steps have it",
    "Y. H. Dai & Y. Yuan, SIAM J. Optim. 10 (1999) 177; " + NW + "§5.2",
    two_gradients,
    given="dᵀy ≠ 0",
    scale=lambda g, g_new, d: nonlinear_scale(g, g_new, d) * size(d) * size(g_new - g),
    because="sums of terms of this size",
)
def dai_yuan(g, g_new, d):
    return (after("DY", g, g_new, d) @ g_new) * (d @ (g_new - g)) - (g_new @ g_new) * (d @ g)


@claim(
    "conjugate-gradients.hestenes-stiefel",
    "β = g₊ᵀy/dᵀy makes consecutive directions conjugate to the averaged Hessian: d₊ᵀy = 0, whatever f and the search",
    NW + "§5.2",
    two_gradients,
    given="dᵀy ≠ 0",
    scale=lambda g, g_new, d: nonlinear_scale(g, g_new, d),
    because="sums of terms of this size",
)
def hestenes_stiefel(g, g_new, d):
    return after("HS", g, g_new, d) @ (g_new - g)


def exact_on_quadratic(draw):
    """Two neighbouring gradients and the direction between them, on a quadratic with exact searches."""
    found = iterates(draw.spd(n := draw.size(2, 4), 10), draw.vector(n))
    if len(found["d"]) < 2:
        return exact_on_quadratic(draw)
    return {"B": found["B"], "g": found["residuals"][0], "g_new": found["residuals"][1], "d": found["d"][0]}


def inexact_on_quadratic(draw):
    made = exact_on_quadratic(draw)
    return made | {"g_new": made["g"] + draw.number("1/4", "3/4") * (made["g_new"] - made["g"])}


@claim(
    "conjugate-gradients.formulas-agree",
    "The β of Fletcher-Reeves, Polak-Ribière, Hestenes-Stiefel and Dai-Yuan are one number",
    NW + "§5.2",
    exact_on_quadratic,
    "conditional",
    given="f is a convex quadratic and searches are exact",
    scale=lambda B, g, d: condition(B) * size(g),
    because=STEPS,
    fails=(Fails("searches are not exact", inexact_on_quadratic),),
)
def formulas_agree(g, g_new, d):
    first = after("FR", g, g_new, d)
    return np.array([after(name, g, g_new, d) - first for name in ("PR", "HS", "DY")])


def fletcher_reeves(draw, search):
    """Five steps of Fletcher-Reeves with strong Wolfe searches on ½xᵀAx − bᵀx + Σ log cosh xᵢ: all gᵀd/‖g‖²."""
    A, b, x = draw.spd(n := draw.size(), 1e2), draw.vector(n), draw.vector(n)
    problem = Problem(
        fun=lambda x: x @ A @ x / 2 - b @ x + (np.logaddexp(x, -x) - np.log(2)).sum(),
        grad=lambda x: A @ x - b + np.tanh(x),
    )
    f, g, c2, ratios = problem.fun(x), problem.grad(x), draw.number(0.05, 0.45), []
    d, first = -g, size(g)
    for _ in range(5):
        point = search(problem, x, f, g, d, 1e-4 * c2, c2, 100)
        if not (point.wolfe and size(point.g) > 1e-4 * first):
            break
        d = after("FR", g, point.g, d)
        x, f, g = point.x, point.f, point.g
        ratios.append((g @ d) / (g @ g))
    return {"ratios": np.array([-1.0, *ratios]), "c2": c2}


@claim(
    "conjugate-gradients.fletcher-reeves-descends",
    "Fletcher-Reeves directions descend:   −1/(1 − c₂) ≤ gᵀd/‖g‖² ≤ (2c₂ − 1)/(1 − c₂) < 0",
    NW + "§5.2",
    fletcher_reeves,
    given="strong Wolfe searches with c₂ < ½",
    uses=("linesearch.strong_wolfe",),
    scale=lambda c2: 1 / (1 - 2 * c2),
    because="quotients of slopes that are known to eps κ ‖g₀‖/‖g‖",
    exact=False,
)
def fletcher_reeves_descends(ratios, c2):
    return excess(-1 / (1 - c2) - ratios), excess(ratios - (2 * c2 - 1) / (1 - c2))


def overshot(draw):
    """g = (t, 0), d = −g, and g₊ = (−⅘t, t): |g₊ᵀd| ≤ 0.9|gᵀd|, as a strong Wolfe search allows."""
    t = draw.magnitude(1)
    return {"g": draw.array([1, 0]) * t, "d": draw.array([-1, 0]) * t, "g_new": draw.array(["-4/5", "1"]) * t}


def exact_search(draw):
    """g₊ᵀd = 0."""
    made = two_gradients(draw)
    d, g_new = made["d"], made["g_new"]
    return made | {"g_new": g_new - (d @ g_new) / (d @ d) * d}


@claim(
    "conjugate-gradients.polak-ribiere",
    "Polak-Ribière directions descend",
    NW + "§5.2",
    exact_search,
    "imprecise",
    corrected="After an exact search every β gives g₊ᵀd₊ = −‖g₊‖²; without, Polak-Ribière's may lead uphill",
    scale=lambda g, g_new, d: (size(g) + size(g_new)) ** 2 * (1 + size(d) * size(g_new) / size(g) ** 2 * 2),
    because="sums of terms of this size",
    fails=(
        Fails(
            "as stated, a search that goes too far, with c₂ = 0.9",
            overshot,
            lambda g, g_new, d: excess(after("PR", g, g_new, d) @ g_new) / (g_new @ g_new),
        ),
    ),
)
def polak_ribiere(g, g_new, d):
    return after("PR", g, g_new, d) @ g_new + g_new @ g_new
