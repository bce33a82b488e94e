"""Searches that only shorten: backtracking to sufficient decrease, and a step of a given length."""

from refopt.linesearch.point import Point, noise_floor, spent
from refopt.ops import Vector, dot, finite
from refopt.problem import Problem


def armijo(problem: Problem, x: Vector, f: float, g: Vector, p: Vector, c1: float, trials: int, first: float) -> Point:
    """The first of α = first, first/2, first/4, … with φ(α) ≤ φ(0) + c₁αφ′(0): N&W §3.1.

    Where values differ by noise only, the slope must have fallen instead, φ′(α) ≤ −0.8 φ′(0). After a trial that is not
    finite the next goes a tenth of the way. Without such a point after `trials` evaluations x itself is returned.
    """
    d = dot(g, p)
    ef = noise_floor(problem, x, f)
    start = Point(x, f, g, 0.0, 0, 0, False, False)
    if not d < 0.0:
        return start
    alpha, njev = first, 0
    for trial in range(1, trials + 1):
        x_new = x + alpha * p
        f_new = problem.fun(x_new)
        inside = finite(f_new)
        lower = f_new <= f + c1 * alpha * d and f_new < f
        if inside and (lower or abs(f_new - f) <= ef):
            g_new = problem.grad(x_new)
            d_new = dot(g_new, p)
            njev += 1
            inside = finite(d_new)
            if inside and (lower or d_new <= -0.8 * d):
                return Point(x_new, f_new, g_new, alpha, trial, njev, True, True)
        alpha = (0.5 if inside else 0.1) * alpha
    return spent(start, trials, njev)


def fixed(problem: Problem, x: Vector, f: float, g: Vector, p: Vector, trials: int, first: float) -> Point:
    """The step α = first, whether f falls or not; a tenth of it, and so on, where f or its slope is not finite."""
    alpha, njev = first, 0
    for trial in range(1, trials + 1):
        x_new = x + alpha * p
        f_new = problem.fun(x_new)
        if finite(f_new):
            g_new = problem.grad(x_new)
            njev += 1
            if finite(dot(g_new, p)):
                return Point(x_new, f_new, g_new, alpha, trial, njev, True, True)
        alpha = 0.1 * alpha
    return Point(x, f, g, 0.0, trials, njev, False, False)
