"""Pictures of claims that a line tells better than a number: computed when they are drawn, by what the claims use."""

from collections.abc import Callable
from importlib.util import find_spec
from itertools import count
from math import inf, log10
from typing import NamedTuple

import numpy as np

from refopt.derivatives.differences import replaced
from refopt.exact import quadratic, search
from refopt.krylov import conjugate_gradients
from refopt.oracle.svg import Line, chart
from refopt.problem import Problem
from refopt.subproblem import decrease, dogleg


class Picture(NamedTuple):
    draws: Callable[[], str]
    needs: str = ""  #: a package that not everybody has


def picture(name: str) -> str:
    """The picture of the claim of this name as SVG; "" where there is none."""
    found = PICTURES.get(name)
    return found.draws() if found and not (found.needs and not find_spec(found.needs)) else ""


# --- lines and conjugate gradients -------------------------------------------------------------------------------


def zigzag() -> str:
    A, x = np.diag([1.0, 6.0]), np.array([6.0, 1.0])
    path = [x]
    for _ in range(8):
        g = A @ path[-1]
        path.append(search(quadratic(A, 0 * x), path[-1], g, -g).x)
    turn = np.linspace(0, 2 * np.pi, 80)
    rings = [Line("", r * np.cos(turn), r * np.sin(turn) / 6**0.5, faint=True) for r in (1.5, 3.0, 4.5, 6.4)]
    X = np.array(path)
    return chart("x₁", "x₂", *rings, Line("steepest descent", X[:, 0], X[:, 1], dots=True))


def goldstein() -> str:
    t = np.linspace(0, 1.4, 80)
    phi = -t - t**2 / 2 + 2 * t**3 / 3
    return chart("α", "φ(α)", Line("φ", t, phi), Line("c = ¼", t, -t / 4), Line("1 − c", t, -3 * t / 4))


def chebyshev() -> str:
    values = np.linspace(1, 100, 40)
    g, A = np.ones(40), np.diag(values)
    model = Problem(lambda x: 0.0, hvp=lambda x, p: A @ p)
    steps = range(31)
    errors = []
    for k in steps:
        e = conjugate_gradients(model, 0 * g, g, 0 * g, 0.0, inf, 0.0, 0.0, k).z + g / values
        errors.append(e @ A @ e)
    q = (values[-1] ** 0.5 - 1) / (values[-1] ** 0.5 + 1)
    found = [log10(error / errors[0]) / 2 for error in errors]
    bound = [log10(2) + k * log10(q) for k in steps]
    return chart("step k", "log₁₀ ‖eₖ‖/‖e₀‖", Line("found", steps, found, dots=True), Line("bound", steps, bound))


# --- trust regions -----------------------------------------------------------------------------------------------


def secular() -> str:
    values, g = np.array([-1.0, 0.5, 2.0]), np.array([0.4, 1.0, 1.0])
    lam = np.linspace(1.001, 4, 120)
    lengths = np.array([np.linalg.norm(g / (values + shift)) for shift in lam])
    return chart("λ", "1/‖p(λ)‖", Line("1/‖p(λ)‖", lam, 1 / lengths), Line("1/Δ", lam, 0 * lam + 1.0))


def dogleg_path() -> str:
    B, g = np.array([[8.0, 1.0], [1.0, 1.0]]), np.array([1.0, 1.0])
    radii = np.linspace(0.01, 1.2 * np.linalg.norm(np.linalg.solve(B, g)), 80)
    points = [dogleg(g, B, radius)[0] for radius in radii]
    gains = [-decrease(g, B, p) for p in points]
    return chart("Δ", "", Line("‖p‖", radii, [np.linalg.norm(p) for p in points]), Line("m(p)", radii, gains))


# --- derivatives and rates ---------------------------------------------------------------------------------------


def difference_errors() -> str:
    exponents = np.linspace(-15, -1, 80)
    found = []
    for h in 10.0**exponents:
        (point,) = replaced(np.array([1.0]), np.array([1.0 + h]))
        error = abs((np.exp(point[0]) - np.e) / (point[0] - 1.0) - np.e)
        found.append(log10(max(error, 1e-16)))
    bound = np.log10(0.5 * np.e * 10**exponents + 2 * 2.0**-53 * np.e / 10**exponents)
    return chart(
        "log₁₀ h", "log₁₀ error", Line("found, f = eˣ at 1", exponents, found), Line("½hM + 2ε/h", exponents, bound)
    )


def digits_of_errors() -> str:
    """Correct digits of Newton's and of the secant method on eˣ = 2, step by step."""
    import mpmath as mp

    with mp.workdps(150):
        root, lines = mp.log(2), []
        for name in ("Newton", "secant"):
            old, x, found = mp.mpf("0.4"), mp.mpf(1), list[float]()
            for _ in count():
                if abs(x - root) < mp.mpf(10) ** -70:
                    break
                found.append(float(-mp.log10(abs(x - root))))
                slope = mp.exp(x) if name == "Newton" else (mp.exp(x) - mp.exp(old)) / (x - old)
                old, x = x, x - (mp.exp(x) - 2) / slope
            lines.append(Line(name, range(len(found)), found, dots=True))
        reach = max(len(line.x) for line in lines) - 1
        return chart("step", "correct digits", *lines, Line("float64", (0, reach), (15.7, 15.7), faint=True))


PICTURES = {
    "conjugate-gradients.chebyshev": Picture(chebyshev),
    "descent.goldstein": Picture(goldstein),
    "descent.steepest-worst": Picture(zigzag),
    "differences.best-step": Picture(difference_errors),
    "krylov.dogleg-monotone": Picture(dogleg_path),
    "rates.newton": Picture(digits_of_errors, "mpmath"),
    "rates.secant": Picture(digits_of_errors, "mpmath"),
    "region.secular-concave": Picture(secular),
}
