"""Leaving a saddle: the gradient does not show the way, negative curvature does.

    f(x + αp) ≤ f(x) + ¼ α² pᵀHp         pᵀHp < 0, gᵀp ≤ 0

J. J. Moré & D. C. Sorensen, On the use of directions of negative curvature in a modified Newton method,
*Math. Program.* 16 (1979) 1.
"""

from refopt.linesearch import Point, noise_floor
from refopt.ops import Vector, dot, finite, norm
from refopt.problem import Problem


def depart(problem: Problem, x: Vector, f: float, g: Vector, p: Vector, bend: float, trials: int) -> Point:
    """The first of α = 1, ½, ¼, … with that decrease, or, if it is 1, the last of 1, 2, 4, … along which f falls.

    bend = pᵀHp.   x itself is returned where there is no such point, or f cannot show it.
    """
    ef, alpha, nfev, njev = noise_floor(problem, x, f), 1.0, 0, 0
    best, f_best, found = x, f, 0.0
    for _ in range(trials):
        x_new = x + alpha * p
        f_new = problem.fun(x_new)
        nfev = nfev + 1
        if finite(f_new) and f_new < f_best and f_new <= f + 0.25 * alpha * bend * alpha:
            best, f_best, found = x_new, f_new, alpha
            if alpha < 1.0:
                break
            alpha = 2.0 * alpha
        else:
            alpha = (0.5 if finite(f_new) else 0.1) * alpha
            if found > 0.0 or -0.25 * alpha * bend * alpha <= ef:
                break
    if found > 0.0:
        g_best, njev = problem.grad(best), 1
        if finite(dot(g_best, p)):
            return Point(best, f_best, g_best, found, nfev, njev, True, True)
    return Point(x, f, g, 0.0, nfev, njev, False, False)


def reach(problem: Problem, x: Vector, f: float, first: float, curvature: float) -> float:
    """How far to go where the curvature is negative: so far that f would fall as much again as from `first` to f.

    At least ‖x‖, or 1 at the origin if f has not fallen; and so far that the noise of f does not hide it.
    """
    visible = 2.0 * little(problem, x, f, first) / abs(curvature)
    return max(max(norm(x), (2.0 * max(first - f, 0.0) / abs(curvature)) ** 0.5) or 1.0, visible**0.5)


def little(problem: Problem, x: Vector, f: float, first: float) -> float:
    """A decrease that is hardly worth a step: within 100 times the noise, or 1e-12 of all that f has fallen."""
    return max(100.0 * noise_floor(problem, x, f), 1e-12 * (first - f))
