"""Least squares: the promise of a step, the dogleg, and the polish of an answer."""

from typing import NamedTuple

import numpy as np

from refopt.exact import array, solve
from refopt.linearised import gauss_newton as whole_step
from refopt.methods import lm
from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.linearised import QR, bent, shortest
from refopt.oracle.draw import condition, size


class Known(NamedTuple):
    """What ``promise`` and ``gauss_newton`` look at."""

    R: np.ndarray
    c: np.ndarray
    full: bool


def nearly_singular(draw, promise):
    """R = (1 1; 0 ε) with ε about 1e-10, and the promise over rational numbers."""
    unit = 2.0 ** draw.rng.integers(-9, 9)
    R, c = unit * np.array([[1.0, 1.0], [0.0, 1e-10 * float(draw.number("1/2", 2))]]), draw.vector(2)
    A, b = array(R), array(c)
    squares = array(1e-20 * (R * R).sum(0))
    right = A.T @ b
    expected = float(right @ solve(A.T @ A + np.diag(squares), right)) / 2
    c[0] *= draw.rng.integers(2)
    none = whole_step(Known(R, c, False))
    return {"gain": promise(Known(R, np.array([float(v) for v in b]), True)), "expected": expected, "none": none}


@claim(
    "linearised.promise",
    "What lies along singular vectors of JD⁻¹ with σ ≪ 1e-10 is not promised: ½ Σ (uᵢᵀr)² σᵢ²/(σᵢ² + 1e-20)",
    "a rule of this library",
    nearly_singular,
    given="D = diag ‖Jⱼ‖; without full rank there is no step",
    uses=("linearised.promise",),
    scale=lambda expected: (expected, 1),
    because="a few roundings, and none of ε beside other numbers",
    exact=False,
)
def is_promise(gain, expected, none):
    return gain - expected, np.abs(none).max() if np.shape(none) == (2,) else np.inf


# --- the dogleg --------------------------------------------------------------------------------------------------


def walked(draw, walk):
    """The path in the variables Dx, for any radius."""
    n = draw.size()
    J, r, d = draw.full_rank(n + 1, n, 1e2), draw.vector(n + 1), draw.positive(n, 10)
    R = np.linalg.qr(J)[1]
    g = J.T @ r
    c, whole, radius = np.linalg.solve(R.T, g), size(d * shortest(J, r)), None
    radius = whole * float(draw.number("1/100", "3/2"))
    path = walk(R, c, g, d, radius)
    h, gn = g / d, d * shortest(J, r)
    steepest = -(h @ h) / ((J / d) @ h @ (J / d) @ h) * h
    if whole <= radius:
        u = gn
    elif size(steepest) >= radius:
        u = -radius * h / size(h)
    else:
        leg = gn - steepest
        half, rest = steepest @ leg, radius**2 - steepest @ steepest
        u = steepest + (np.sqrt(half**2 + (leg @ leg) * rest) - half) / (leg @ leg) * leg
    p = u / d
    promised = (r @ r - (J @ p + r) @ (J @ p + r)) / 2
    return {
        "path": path, "p": p, "u": u, "slope": g @ p, "promised": promised, "edge": whole > radius, "J": J, "r": r,
        "d": d, "whole": whole,
    }  # fmt: skip


@claim(
    "linearised.dogleg",
    "The path is the Cauchy step cut at Δ, then the line to −J⁺r up to ‖Dp‖ = Δ; it promises ½‖r‖² − ½‖Jp + r‖²",
    "M. J. D. Powell, A hybrid method for nonlinear equations (1970); " + NW + "§4.1 and §10.3",
    walked,
    uses=("linearised.dogleg",),
    scale=lambda J, r, d, p, whole: (
        condition(J / d) * size(p), condition(J / d) * whole, condition(J / d) * size(J) * size(r) * size(p),
        condition(J / d) * size(r) ** 2, 1,
    ),
    because=QR,
    slack=1e3,
    exact=False,
)  # fmt: skip
def is_dogleg(path, p, u, slope, promised, edge):
    return path.p - p, path.length - size(u), path.slope - slope, path.promised - promised, float(path.edge != edge)


# --- the polish --------------------------------------------------------------------------------------------------


def equation(draw, learnt):
    n = draw.size()
    E, s, y, d = draw.matrix(n, n) / 10 / n, draw.vector(n), draw.vector(n), draw.positive(n, 10)
    y = y * float(draw.number("1/2", 2)) + s * size(y) / size(s) * 2
    whole = np.eye(n) + E
    row = (d**2 * s) @ whole
    new = E + np.outer(s - whole @ y, row) / (row @ y)
    grown = size(row) * (size(s) + size(y)) / abs(row @ y)
    return {"E": learnt(E, s, y, d), "new": new, "s": s, "y": y, "grown": grown}


@claim(
    "linearised.learnt",
    "E₊ = E + (s − (I + E)y) sᵀD²(I + E) / sᵀD²(I + E)y:   (I + E₊)y = s, Broyden's good update of an inverse",
    "C. G. Broyden, Math. Comp. 19 (1965) 577; " + NW + "§11.1",
    equation,
    uses=("linearised.learnt",),
    scale=lambda E, s, y, grown: (1 + size(E) + grown, (1 + size(E) + grown) * (size(s) + size(y))),
    because="sums of terms of this size",
    exact=False,
)
def is_learnt(E, new, s, y):
    return E - new, y + E @ y - s


def polished(draw, polish):
    """A few steps beside a minimum with a residual, by the letter and by the library."""
    problem, x = bent(draw, bend=float(draw.number("1/100", "1/5")))
    scale, p = size(x), x
    for _ in range(60):
        if not size(p) <= 1e3 * scale:
            break
        p = shortest(problem.jacobian.function(x), problem.residual.function(x))
        x = x + p
    if not size(p) <= 1e-6 * size(x):  # these steps lead nowhere
        return polished(draw, polish)
    x = x + 1e-2 * draw.vector(len(x)) * size(x)
    state = lm.init(problem, x, lm.Params())
    d = state.d * float(draw.number(1, 2))
    nfev, njev = problem.residual.calls, problem.jacobian.calls
    new = polish(problem, state._replace(d=d), 4, 0)
    counts = (problem.residual.calls - nfev - new.nfev + 1, problem.jacobian.calls - njev - new.njev + 1)
    E, p = np.zeros((len(x), len(x))), shortest(problem.jacobian.function(x), problem.residual.function(x))
    start, f = x, state.f
    for _ in range(4):
        s = p + E @ p
        r = problem.residual.function(x + s)
        if not r @ r / 2 <= f * (1 + 1e-10):
            break
        q = shortest(problem.jacobian.function(x + s), r)
        if size(d * q) >= 0.9 * size(d * p) and r @ r / 2 >= f:
            break
        row = (d**2 * s) @ (np.eye(len(x)) + E)
        E = E + np.outer(s - (p - q) - E @ (p - q), row) / (row @ (p - q))
        x, f, p = x + s, r @ r / 2, q
    r, J = problem.residual.function(new.x), problem.jacobian.function(new.x)
    return {
        "counts": np.array(counts, float), "x": x, "found": new.x, "moved": size(x - start), "f": new.f - r @ r / 2,
        "g": new.g - J.T @ r, "r": new.r - r, "J": new.J - J, "R": new.R.T @ new.R - J.T @ J,
        "c": new.R.T @ new.c - J.T @ r, "length": size(J) * (1 + size(r)) ** 2 + 1,
    }  # fmt: skip


@claim(
    "linearised.polish",
    "The polish is Broyden's good method on p(x) = 0, p the Gauss-Newton step, as long as p gets shorter or f falls",
    NW + "§10.3 and §11.1",
    polished,
    given="near a minimum with a residual, to which Gauss-Newton steps converge; four steps",
    uses=("linearised.polish",),
    scale=lambda x, moved, length: (1, 100 * (size(x) + moved), *6 * [length**2]),
    because=QR + "; quotients of differences of steps magnify them",
    slack=100.0,
    exact=False,
)
def is_polish(counts, x, found, f, g, r, J, R, c):
    return counts, found - x, f, g, r, J, R, c
