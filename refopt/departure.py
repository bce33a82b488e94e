"""Leaving a saddle: the gradient does not show the way, negative curvature does.

    f(x + αp) ≤ f(x) + ¼ α² pᵀHp         pᵀHp < 0, gᵀp ≤ 0

J. J. Moré & D. C. Sorensen, On the use of directions of negative curvature in a modified Newton method,
*Math. Program.* 16 (1979) 1.
"""

from refopt.linesearch import Point, noise_floor
from refopt.ops import Vector, dot, finite, norm
from refopt.problem import Problem


def depart(
    problem: Problem, x: Vector, f: float, g: Vector, p: Vector, bend: float, trials: int, least: float = 0.0
) -> Point:
    """The first of α = 1, ½, ¼, … with that decrease, or, if it is 1, the last of 1, 2, 4, … along which f falls.

    bend = pᵀHp.   Where f has lost the digits of the decrease, the trapezoid rule −½α (g + g₊)ᵀp takes its place. x
    itself is returned where no α promises more than `least`, what another step would, and a millionth of the noise.
    """
    ef, alpha, nfev, njev = noise_floor(problem, x, f), 1.0, 0, 0
    best, f_best, found = x, f, 0.0
    for _ in range(trials):
        x_new, wanted = x + alpha * p, -0.25 * alpha * bend * alpha
        f_new = problem.fun(x_new)
        nfev = nfev + 1
        falls = finite(f_new) and f_new < f_best and f_new <= f - wanted
        if wanted <= 10.0 * ef and f_new <= f + 10.0 * ef:
            g_new, njev = problem.grad(x_new), njev + 1
            falls = -0.5 * alpha * dot(g + g_new, p) >= wanted
            if falls:
                return Point(x_new, f_new, g_new, alpha, nfev, njev, True, True)
        if falls:
            best, f_best, found = x_new, f_new, alpha
            if alpha < 1.0:
                break
            alpha = 2.0 * alpha
        elif found > 0.0 or wanted <= max(least, 1e-6 * ef):
            break
        else:
            alpha = (0.5 if finite(f_new) else 0.1) * alpha
    if found > 0.0:
        g_best, njev = problem.grad(best), njev + 1
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
