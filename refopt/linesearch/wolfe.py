"""The strong Wolfe conditions, by bracketing and zooming: N&W §3.5."""

from refopt.linesearch.point import Point, noise_floor, spent
from refopt.ops import Vector, dot, eps, finite, norm
from refopt.problem import Problem


def strong_wolfe(
    problem: Problem, x: Vector, f: float, g: Vector, p: Vector, c1: float, c2: float, trials: int, first: float = 1.0
) -> Point:
    """A step along the descent direction p that satisfies the strong Wolfe conditions.   Tries α = `first` first.

    The interval (lo, hi) always holds such a step: φ′(lo) < c₂φ′(0) < 0 with sufficient decrease at lo, and at hi the
    slope is positive, or φ too high, or not finite. Until there is a hi the step is extended. A trial whose f is not
    finite is a hi, and the next trial goes a tenth of the way. After fifteen trials the interval is halved, or log α
    while αp is longer than x, as p may be too long by any power of ten. Without a Wolfe point after `trials`
    evaluations, or close before such a wall, the best lo is returned.
    """
    d = dot(g, p)
    ef = noise_floor(problem, x, f)
    best = Point(x, f, g, 0.0, 0, 0, False, False)
    if not d < 0.0:
        return best
    lo, f_lo, d_lo = 0.0, f, d
    hi, f_hi, d_hi = 0.0, f, 0.0
    bracketed, sloped = False, False  # whether hi is known, and whether its slope is
    alpha, njev = first, 0
    for trial in range(1, trials + 1):
        x_new = x + alpha * p
        f_new = problem.fun(x_new)
        enough = f_new <= f + c1 * alpha * d
        if not finite(f_new):
            hi, f_hi, bracketed, sloped = alpha, f_new, True, False
            alpha = lo + 0.1 * (alpha - lo)
        elif not (enough or abs(f_new - f) <= ef) or f_new > f_lo + ef:
            hi, f_hi, bracketed, sloped = alpha, f_new, True, False
            alpha = between(lo, f_lo, d_lo, hi, f_hi, d_hi, sloped, ef)
        else:
            g_new = problem.grad(x_new)
            d_new = dot(g_new, p)
            njev += 1
            if (enough and f_new < f and abs(d_new) <= -c2 * d) or (
                abs(f_new - f) <= ef and c2 * d <= d_new <= -0.8 * d
            ):
                return Point(x_new, f_new, g_new, alpha, trial, njev, True, True)
            if not (d_new < 0.0 and finite(d_new)):  # uphill, or a gradient that is not finite
                hi, f_hi, d_hi, bracketed, sloped = alpha, f_new, d_new, True, finite(d_new)
                alpha = between(lo, f_lo, d_lo, hi, f_hi, d_hi, sloped, ef)
            else:
                longer = beyond(alpha - lo, d_lo, d_new)
                lo, f_lo, d_lo = alpha, f_new, d_new
                best = Point(x_new, f_new, g_new, alpha, trial, njev, f_new < f, False)
                if bracketed:
                    alpha = between(lo, f_lo, d_lo, hi, f_hi, d_hi, sloped, ef)
                else:
                    alpha = alpha + longer
        if bracketed and hi - lo <= (4.0 * eps(x) if finite(f_hi) else 0.01) * hi:
            return spent(best, trial, njev)
        if bracketed and trial > 15 and finite(f_hi):
            alpha = 0.5 * (lo + hi)
            if hi * norm(p) > norm(x):
                alpha = max(lo, eps(x) * norm(x) / norm(p), 1e-300) ** 0.5 * hi**0.5
    return spent(best, trials, njev)


def between(
    lo: float,
    f_lo: float,
    d_lo: float,
    hi: float,
    f_hi: float,
    d_hi: float,
    sloped: bool,
    ef: float,
) -> float:
    """The next trial inside (lo, hi), a tenth of the interval away from both ends.

    The minimiser of the cubic through both values and slopes, or of the parabola while the slope at hi is unknown
    (N&W §3.5); where the values differ by noise only, the zero of the secant through the slopes. Bisection where φ(hi)
    is not finite.
    """
    w = hi - lo
    t = 0.5 * w
    if finite(f_hi):
        if abs(f_hi - f_lo) > 10.0 * ef:
            slope = (f_hi - f_lo) / w
            if sloped:
                d1 = d_lo + d_hi - 3.0 * slope
                d2 = max(d1 * d1 - d_lo * d_hi, 0.0) ** 0.5
                t = w - w * (d_hi + d2 - d1) / (d_hi - d_lo + 2.0 * d2)
            else:
                t = 0.5 * w * d_lo / (d_lo - slope)
        elif sloped:
            t = w * d_lo / (d_lo - d_hi)
    if not finite(t):
        t = 0.5 * w
    return lo + min(max(t, 0.1 * w), 0.9 * w)


def beyond(step: float, d_lo: float, d_new: float) -> float:
    """How much further to go: to the zero of the secant through the slopes, one to nine times the last step."""
    if d_new <= d_lo:
        return 9.0 * step
    return min(max(step * d_new / (d_lo - d_new), step), 9.0 * step)
