"""Line searches: along x + αp with φ(α) = f(x + αp), find a step that is worth taking.

The strong Wolfe conditions, 0 < c₁ < c₂ < 1:

    φ(α) ≤ φ(0) + c₁ α φ′(0)        sufficient decrease
    |φ′(α)| ≤ c₂ |φ′(0)|            curvature

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §3.1 (conditions, backtracking) and §3.5 (bracketing and
zooming).

Where f has lost the last digits, sufficient decrease cannot be judged on values. Within the noise ef of f every search
uses the approximate conditions of W. W. Hager & H. Zhang, *SIAM J. Optim.* 16 (2005) 170, §4,  δ = 0.1:

    φ(α) ≤ φ(0) + ef,      c₂ φ′(0) ≤ φ′(α) ≤ (2δ − 1) φ′(0)
"""

from refopt.linesearch.approximate import hager_zhang
from refopt.linesearch.backtracking import armijo, fixed
from refopt.linesearch.point import Point, noise_floor
from refopt.linesearch.wolfe import strong_wolfe
from refopt.ops import Choice, Vector
from refopt.problem import Problem

__all__ = [
    "ARMIJO",
    "FIXED",
    "SEARCHES",
    "Point",
    "armijo",
    "fixed",
    "hager_zhang",
    "noise_floor",
    "search",
    "strong_wolfe",
]

SEARCHES = ("strong-wolfe", "hager-zhang", "armijo", "fixed")  #: by name; the place of each is its code
STRONG_WOLFE, HAGER_ZHANG, ARMIJO, FIXED = 0, 1, 2, 3


def search(
    problem: Problem,
    x: Vector,
    f: float,
    g: Vector,
    p: Vector,
    kind: Choice,
    c1: float,
    c2: float,
    trials: int,
    first: float,
) -> Point:
    """The search of this kind along p, which tries α = `first` first; "fixed" tries nothing else while f is finite."""
    if kind == FIXED:
        return fixed(problem, x, f, g, p, trials, first)
    if kind == ARMIJO:
        return armijo(problem, x, f, g, p, c1, trials, first)
    if kind == HAGER_ZHANG:
        return hager_zhang(problem, x, f, g, p, c1, c2, trials, first)
    return strong_wolfe(problem, x, f, g, p, c1, c2, trials, first)
