"""The Wolfe conditions, judged on slopes where values cannot tell.

W. W. Hager & H. Zhang, A new conjugate gradient method with guaranteed descent and an efficient line search, *SIAM J.
Optim.* 16 (2005) 170, §4.
"""

from typing import NamedTuple

from refopt.linesearch.point import Point, noise_floor, spent
from refopt.ops import Vector, dot, eps, finite
from refopt.problem import Problem


class Interval(NamedTuple):
    """φ′(a) < 0 with φ(a) ≤ φ(0) + ef, and, once the slopes are opposite, φ′(b) ≥ 0: a minimum lies between."""

    a: float
    da: float
    b: float
    db: float


FRESH, FIRST, SECOND = 0, 1, 2  #: an iteration is about to begin; its first, or its second secant point was tried


def hager_zhang(
    problem: Problem, x: Vector, f: float, g: Vector, p: Vector, c1: float, c2: float, trials: int, first: float
) -> Point:
    """A step along the descent direction p with the Wolfe conditions or the approximate ones.   Tries `first` first.

        φ(α) ≤ φ(0) + c₁αφ′(0),  c₂φ′(0) ≤ φ′(α)      or      φ(α) ≤ φ(0) + ef,  c₂φ′(0) ≤ φ′(α) ≤ −0.8 φ′(0)

    Steps grow fivefold while φ′ < 0 and φ is not too high. From a point with φ′ < 0 that is too high, or not finite,
    halving leads back to opposite slopes at a and b. In such an interval each iteration tries two secant points and,
    where they leave more than 0.66 of it, its middle.

    Deviation from the source: ε|φ(0)| with ε = 1e-6 is replaced by the noise ef of f, so that a constant that is
    added to f does not allow f to rise.
    """
    d = dot(g, p)
    ef = noise_floor(problem, x, f)
    best = Point(x, f, g, 0.0, 0, 0, False, False)
    if not d < 0.0:
        return best
    now = Interval(0.0, d, 0.0, 0.0)
    begun, stage = now, FRESH
    bounded, opposite, wall = False, False, False  # whether b is known, φ′(b) ≥ 0, f(b) not finite
    c, njev = first, 0
    for trial in range(1, trials + 1):
        x_new = x + c * p
        f_new = problem.fun(x_new)
        if not finite(f_new):
            now, bounded, opposite, wall = Interval(now.a, now.da, c, 0.0), True, False, True
            c = now.a + 0.1 * (c - now.a)
        else:
            g_new = problem.grad(x_new)
            d_new = dot(g_new, p)
            njev += 1
            lower = f_new <= f + c1 * c * d and f_new < f
            if finite(d_new) and d_new >= c2 * d and (lower or (f_new <= f + ef and d_new <= -0.8 * d)):
                return Point(x_new, f_new, g_new, c, trial, njev, True, True)
            if d_new < 0.0 and finite(d_new) and f_new <= f + ef:
                now = Interval(c, d_new, now.b, now.db)
                best = Point(x_new, f_new, g_new, c, trial, njev, f_new < f, False)
            else:
                now, bounded = Interval(now.a, now.da, c, d_new), True
                opposite, wall = d_new >= 0.0 and finite(d_new), not finite(d_new)
            if opposite:
                c, stage, begun = within(now, begun, c, stage)
            else:
                c, stage = 0.5 * (now.a + now.b) if bounded else 5.0 * c, FRESH
        if bounded and now.b - now.a <= (0.01 if wall and now.a > 0.0 else 4.0 * eps(x)) * now.b:
            return spent(best, trial, njev)
    return spent(best, trials, njev)


def within(now: Interval, begun: Interval, c: float, stage: int) -> tuple[float, int, Interval]:
    """The next trial between opposite slopes, which one that is, and the interval in which its iteration began."""
    if stage == FIRST:
        if c == now.b:
            t = secant(begun.b, begun.db, now.b, now.db)
        else:
            t = secant(begun.a, begun.da, now.a, now.da)
        if now.a < t < now.b:
            return t, SECOND, begun
    middle = 0.5 * (now.a + now.b)
    if stage != FRESH and now.b - now.a > 0.66 * (begun.b - begun.a):
        return middle, FRESH, begun
    t = secant(now.a, now.da, now.b, now.db)
    return t if now.a < t < now.b else middle, FIRST, now


def secant(a: float, da: float, b: float, db: float) -> float:
    """Where the straight line through both slopes is zero."""
    return (a * db - b * da) / (db - da) if db != da else a
