"""What every search returns, and the noise below which it believes no difference of values."""

from typing import NamedTuple

from refopt.ops import Vector, eps
from refopt.problem import LeastSquares, Problem


class Point(NamedTuple):
    """Where a search ended: the point, what is known there, and what it cost."""

    x: Vector
    f: float
    g: Vector
    alpha: float
    nfev: int
    njev: int
    lower: bool  #: f was lowered, or, within its noise, the slope was
    wolfe: bool  #: the conditions of the search hold


def noise_floor(problem: Problem | LeastSquares, x: Vector, f: float) -> float:
    """ef = max(10 eps |f|, measured noise): differences of f below it mean nothing."""
    return max(10.0 * eps(x) * abs(f), problem.noise)


def spent(point: Point, nfev: int, njev: int) -> Point:
    """The same point, found at the cost of the whole search."""
    return Point(point.x, point.f, point.g, point.alpha, nfev, njev, point.lower, False)
