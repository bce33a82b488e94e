"""Line searches, trial by trial: which point is tried after one that will not do."""

import numpy as np

from refopt.linesearch import hager_zhang, strong_wolfe
from refopt.linesearch.approximate import secant
from refopt.linesearch.wolfe import between, beyond
from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.descent import smooth
from refopt.oracle.draw import Counted, excess, size
from refopt.problem import Problem

__all__ = ["between", "beyond", "secant"]
HZ = "W. W. Hager & H. Zhang, SIAM J. Optim. 16 (2005) 170, §4"
ALL = ("linesearch.strong_wolfe", "linesearch.hager_zhang", "linesearch.armijo", "linesearch.fixed")
ROUNDED = "each trial is a few roundings of the one before"


def along(search, phi, slope, *options, noise=0.0):
    """What a search to the right of 0 tries, on φ and φ′."""
    asked = Counted(lambda x: phi(float(x[0])))
    problem = Problem(asked, lambda x: np.array([slope(float(x[0]))]), noise=noise)
    search(problem, np.zeros(1), phi(0.0), np.array([slope(0.0)]), np.ones(1), *options)
    return np.array([x[0] for x in asked.seen])


# --- where a search ends -----------------------------------------------------------------------------------------


def ended(draw, wolfe, approximate, armijo, fixed):
    """What each search returns on a smooth function, and what it ought to know of its point."""
    problem, x, p, _, terms = smooth(draw)
    f, g, c1, c2, first = problem.fun(x), problem.grad(x), 1e-4, 0.5, draw.magnitude(1)
    points = [
        wolfe(problem, x, f, g, p, c1, c2, 60, first), approximate(problem, x, f, g, p, c1, c2, 60, first),
        armijo(problem, x, f, g, p, c1, 60, first), fixed(problem, x, f, g, p, 60, first),
    ]  # fmt: skip
    return {
        "away": np.array([point.x - x - point.alpha * p for point in points]),
        "values": np.array([point.f - problem.fun(point.x) for point in points]),
        "gradients": np.array([point.g - problem.grad(point.x) for point in points]),
        "alpha": points[3].alpha - first, "f": f, "low": points[1].f, "slope": g @ p, "slope_low": points[1].g @ p,
        "step": points[1].alpha, "x": x, "p": p, "longest": max(point.alpha for point in points),
        "terms": sum(terms(point.x) for point in points) + terms(x),
    }  # fmt: skip


@claim(
    "searches.point",
    "A search returns x + αp with f and ∇f there; Hager and Zhang's has φ(α) ≤ φ(0) + c₁αφ′(0), φ′(α) ≥ c₂φ′(0)",
    HZ + "; " + NW + "§3.1",
    ended,
    given="φ′(0) < 0, ∇f has a Lipschitz constant",
    uses=ALL,
    scale=lambda x, p, longest, terms, slope: (size(x) + longest * size(p), 1.0, 1.0, 1.0, terms, abs(slope)),
    because="f and ∇f are the same numbers, x + αp is rounded, and within 10 eps|f| slopes are judged",
    exact=False,
)
def is_point(away, values, gradients, alpha, f, low, slope, slope_low, step):
    return away, values, gradients, alpha, excess(low - f - 1e-4 * step * slope), excess(0.5 * slope - slope_low)


def unmet(draw, search):
    """Every kind of search where nothing is finite, where nothing falls, and along a line that falls without end."""
    x, g, p, k = draw.vector(2), draw.vector(2), draw.vector(2), float(draw.number(1, 9))
    g = -g if g @ p > 0 else g
    falls = Problem(lambda y: k * (g @ (y - x)), lambda y: k * g)
    gone = Problem(lambda y: np.nan, lambda y: g)
    rows = []
    for kind in range(4):
        for point in (
            search(gone, x, k, g, p, kind, 0.1, 0.9, 5, 1.0),
            search(falls, x, k, g, 0 * p, kind, 0.1, 0.9, 0, 1.0),
        ):
            rows += [point.x - x, point.f - k, point.g - g, point.alpha, float(point.lower or point.wolfe)]
        point = search(falls, x, 0.0, k * g, p, kind, 0.1, 0.9, 5, 1.0)
        rows += [(point.x - x - point.alpha * p) / (1 + point.alpha), point.f - falls.fun(point.x), point.g - k * g]
        rows.append(float(not point.lower))
    smooth_one, y, q, _, _ = smooth(draw)
    f, h = smooth_one.fun(y), smooth_one.grad(y)
    for kind, one in enumerate((strong_wolfe, hager_zhang)):
        rows.append(search(smooth_one, y, f, h, q, kind, 0.01, 0.05, 60, 0.3).alpha
                    / one(smooth_one, y, f, h, q, 0.01, 0.05, 60, 0.3).alpha - 1)  # fmt: skip
    return {"rows": np.concatenate([np.ravel(row) for row in rows])}


@claim(
    "searches.unmet",
    "Where a search finds nothing it returns x with f and ∇f as they were; where nothing is enough, a lower point",
    NW + "§3.1 and §3.5",
    unmet,
    uses=("linesearch.search",),
    scale=lambda: 10.0,
    because="the same numbers, and sums of two products, of this size",
    exact=False,
)
def is_unmet(rows):
    return rows


def overshot(draw, wolfe, approximate, armijo):
    """A cubic that falls from any φ(0), and rises again at the first trial nearly as steeply as it fell."""
    level, k, first, drop = draw.matrix(1, 1)[0, 0] * 9, draw.magnitude(1), draw.magnitude(1), draw.number(0.2, 0.4)
    end = float(draw.number(0.85, 0.95))
    b, c = 3 * -drop + 2 - end, 2 * drop - 1 + end
    phi = lambda a: level + k * first * (c * (a / first) ** 3 + b * (a / first) ** 2 - a / first)
    slope = lambda a: k * (3 * c * (a / first) ** 2 + 2 * b * a / first - 1)
    tried = [along(f, phi, slope, 0.1, 0.99, 9, first) for f in (wolfe, approximate)]
    late = [along(f, phi, slope, 0.5, 0.99, 9, first) for f in (wolfe, approximate)]
    backtracking = along(armijo, phi, slope, 0.1, 9, first), along(armijo, phi, slope, 0.5, 9, first)
    return {
        "counts": [len(t) - 1 for t in (*tried, backtracking[0])],
        "more": [len(t) > 1 for t in (*late, backtracking[1])],
    }  # fmt: skip


@claim(
    "searches.decrease",
    "Sufficient decrease is measured from φ(0): a first trial with φ(α) ≤ φ(0) + c₁αφ′(0) will do, and without not",
    NW + "§3.1",
    overshot,
    given="φ(α₀) = φ(0) − tα₀|φ′(0)| with 0.2 ≤ t ≤ 0.4, c₁ = 0.1 or 0.5, and a slope that c₂ = 0.99 admits",
    uses=ALL[:3],
    scale=lambda: 1.0,
    because="the number of trials is an integer",
    exact=False,
)
def is_decrease(counts, more):
    return np.array(counts, float), np.array(more) - 1.0


# --- on a straight line ------------------------------------------------------------------------------------------


def falling(draw, wolfe, approximate):
    """φ = −kα: no trial is ever enough."""
    k, first = draw.magnitude(2), draw.magnitude(2)
    made = [along(f, lambda a: -k * a, lambda a: -k, 1e-4, 0.9, 5, first) for f in (wolfe, approximate)]
    return {"first": first, "tenfold": made[0], "fivefold": made[1]}


@claim(
    "searches.extension-limits",
    "Where φ falls along a straight line steps grow: by nine times the last one, or, in Hager and Zhang's, fivefold",
    HZ + "; " + NW + "§3.5",
    falling,
    uses=ALL[:2],
    scale=lambda first: 1e4 * first,
    because=ROUNDED,
    exact=False,
)
def extension_limits(first, tenfold, fivefold):
    growing = first * np.cumsum(9.0 ** np.arange(5))
    return tenfold - growing, fivefold - first * 5.0 ** np.arange(5)


def curving(draw, wolfe):
    """φ′ = −k(1 − α/m)³ with m far away: what is tried after the first step."""
    k, first = draw.magnitude(2), draw.magnitude(2)
    m = first * float(draw.number(3, 50))
    slope = lambda a: -k * (1 - a / m) ** 3
    tried = along(wolfe, lambda a: k * m * (1 - a / m) ** 4 / 4, slope, 1e-4, 1e-3, 4, first)
    return {"m": m, "tried": tried, "slope": slope}


@claim(
    "searches.extension-path",
    "Each extension goes to the zero of the line through the last two slopes, one to nine times the last step away",
    NW + "§3.5",
    curving,
    given="φ′ < 0 so far",
    uses=ALL[:1],
    scale=lambda m: m,
    because="secants through slopes that are a few roundings of numbers of their size",
    exact=False,
)
def extension_path(m, tried, slope):
    found = []
    for a, b, c in zip([0.0, *tried], tried, tried[1:], strict=False):
        if b < m:
            found.append(c - b - min(max(chord(slope, a, b) - b, b - a), 9 * (b - a)))
    return np.array(found)


def extended(draw, beyond):
    """Slopes at both ends of the last step."""
    step, d_lo, d_new = draw.magnitude(2), -draw.number(1, 9), -draw.number("1/10", 10)
    return {"step": step, "d_lo": d_lo, "d_new": d_new, "found": beyond(step, d_lo, d_new)}


@claim(
    "searches.extension",
    "An extension goes to the zero of the line through both slopes, one to nine times the last step away",
    NW + "§3.5",
    extended,
    given="φ′ < 0 at both",
    uses=("searches.beyond",),
    scale=lambda found: found,
    because=ROUNDED,
    exact=False,
)
def extension(step, d_lo, d_new, found):
    if d_new <= d_lo:
        return found - 9 * step
    away = step * d_new / (d_lo - d_new)
    return found - min(max(away, step), 9 * step)


def walled(draw, wolfe, approximate, armijo, fixed):
    """φ = −kα on [0, w), and no value beyond."""
    k, w = draw.magnitude(2), draw.magnitude(2)
    first = w * float(draw.number(1, 50)) * 1.1
    phi, slope = (lambda a: -k * a if a < w else np.inf), lambda a: -k
    tried = [along(f, phi, slope, 1e-4, 0.9, 40, first) for f in (wolfe, approximate)]
    tried += [along(armijo, phi, slope, 1e-4, 40, first), along(fixed, phi, slope, 40, first)]
    return {"w": w, "first": first, "bracketing": tried[:2], "shortening": tried[2:]}


@claim(
    "searches.walls",
    "From a trial that is not finite a search goes to a tenth of the way from the last good point, then halves",
    HZ + " (nothing is said of walls there)",
    walled,
    given="f falls up to a wall at w; backtracking and fixed steps go to a tenth until there is a value",
    uses=ALL,
    scale=lambda first: first,
    because=ROUNDED,
    exact=False,
)
def walls(w, first, bracketing, shortening):
    a, b, c, expected = 0.0, np.inf, first, []
    while not (a > 0.0 and b - a <= 0.01 * b):
        expected.append(c)
        a, b = (a, c) if c >= w else (c, b)
        c = a + (b - a) / 10 if c >= w else (a + b) / 2
    tenths = first * 0.1 ** np.arange(len(shortening[0]))
    found = [np.inf if len(tried) != len(expected) else tried - np.array(expected) for tried in bracketing]
    return (*found, *(tried - tenths for tried in shortening), excess(tenths[-1] - w), excess(w - 10 * tenths[-1]))


def hilly(draw, search):
    """φ falls to −kh, and jumps up: beyond h it is too high although it falls."""
    k, h = draw.magnitude(2), draw.magnitude(2)
    first = h * (1 + 9 * float(draw.number(0, 1)))
    return {"h": h, "tried": along(search, lambda a: -k * a if a < h else 99 * k * h - k * a, lambda a: -k, 0.1, 0.9,
            9, first)}  # fmt: skip


@claim(
    "searches.hill",
    "Between a good point and one that is too high although φ falls there Hager and Zhang's search tries the middle",
    HZ + " (U3)",
    hilly,
    uses=ALL[1:2],
    scale=lambda h: h,
    because=ROUNDED,
    exact=False,
)
def hill(h, tried):
    a, b, expected = 0.0, tried[0], [tried[0]]
    for _ in tried[1:]:
        expected.append((a + b) / 2)
        a, b = (a, expected[-1]) if expected[-1] >= h else (expected[-1], b)
    return tried - np.array(expected)


# --- interpolation -----------------------------------------------------------------------------------------------


def chord(slope, a, b):
    """Where the straight line through φ′(a) and φ′(b) is zero."""
    return b - slope(b) * (b - a) / (slope(b) - slope(a))


def two_slopes(draw, secant):
    k, m, a = draw.magnitude(2), draw.number(-9, 9), draw.number(-9, 9)
    b = a + draw.number("1/10", 9)
    return {"m": m, "a": a, "b": b, "found": secant(a, k * (a - m), b, k * (b - m)), "flat": secant(a, k, b, k) - a}


@claim(
    "searches.secant",
    "c = (aφ′(b) − bφ′(a))/(φ′(b) − φ′(a)) is the zero of the straight line through both slopes",
    HZ,
    two_slopes,
    given="φ′(a) ≠ φ′(b); otherwise a is as good as any",
    uses=("searches.secant",),
    scale=lambda a, b, m: ((abs(a) + abs(b)) * (abs(a) + abs(b) + abs(m)) / (b - a), 1),
    because="differences of products of this size",
)
def is_secant(m, found, flat):
    return found - m, flat


def secants(draw, search):
    """φ′ = (α + r)ʲ − (m + r)ʲ, convex, with a zero at m inside [0, first]; or turned round, concave."""
    m, r, j = draw.number("1/10", 9), draw.number(0, 1), int(draw.rng.integers(2, 6))
    first = float(m) * float(draw.number("11/10", 5))
    m, r = float(m), float(r)
    phi = lambda a: (a + r) ** (j + 1) / (j + 1) - (m + r) ** j * a
    slope = lambda a: (a + r) ** j - (m + r) ** j
    if draw.rng.integers(2):
        q = first + r
        phi = lambda a: (q - m) ** j * a + (q - a) ** (j + 1) / (j + 1)
        slope = lambda a: (q - m) ** j - (q - a) ** j
    return {"first": first, "slope": slope, "m": m, "tried": along(search, phi, slope, 0.9, 1e-9, 8, first)}


@claim(
    "searches.double-secant",
    "An iteration tries the secant point c of [a, b], that of the end c has become with the old one, and if more than "
    "0.66 of the interval is left its middle",
    HZ + " (S1–S4, L1–L3)",
    secants,
    given="φ convex, a minimum in [0, α₀]; the first two iterations",
    uses=ALL[1:2],
    scale=lambda first: first,
    because="secants through slopes that are a few roundings of numbers of their size",
    slack=1e3,
    exact=False,
)
def double_secant(first, slope, m, tried):
    a, b, expected = 0.0, first, [first]
    for _ in range(2):
        width, old_a, old_b = b - a, a, b
        c = chord(slope, a, b)
        expected.append(c)
        a, b = (c, b) if slope(c) < 0 else (a, c)
        c = chord(slope, old_b, b) if b == c else chord(slope, old_a, a)
        if a < c < b:
            expected.append(c)
            a, b = (c, b) if slope(c) < 0 else (a, c)
        if b - a > 0.66 * width:
            expected.append((a + b) / 2)
            a, b = (expected[-1], b) if slope(expected[-1]) < 0 else (a, expected[-1])
    count = min(len(expected), len(tried))
    return tried[:count] - np.array(expected[:count])


def safeguarded(draw, between):
    """What lies between two ends with slopes −u and v, and values that are noise, or useless."""
    lo, w, u, v = draw.number(0, 9), draw.magnitude(2), draw.number("1/10", 9), draw.number("1/10", 9)
    lo, w, u, v = float(lo), float(w), float(u), float(v)
    hi = lo + w
    return {
        "lo": lo, "w": w, "zero": u / (u + v), "by_slopes": between(lo, 99.0, -u, hi, 100.0, v, True, 0.2),
        "halves": np.array([
            between(lo, 0.0, -u, hi, np.inf, v, True, 0.0), between(lo, 0.0, -u, hi, 1.0, v, False, 0.2),
            between(lo, 0.0, -1e200, hi, 1e200, 1e200, True, 0.0),
        ]),
        "near": between(lo, 0.0, -u, hi, 1e9 * u * w, v, False, 0.0),
        "far": between(lo, 0.0, -u, hi, -0.9 * u * w, v, False, 0.0),
    }  # fmt: skip


@claim(
    "searches.safeguards",
    "A trial stays a tenth of (lo, hi) away from both ends; where values are noise slopes decide, else the middle",
    NW + "§3.5",
    safeguarded,
    given="the middle too where φ(hi) or the interpolation is not finite",
    uses=("searches.between",),
    scale=lambda lo, w: lo + w,
    because=ROUNDED,
    exact=False,
)
def safeguards(lo, w, zero, by_slopes, halves, near, far):
    return (
        by_slopes - lo - w * min(max(zero, 0.1), 0.9), halves - lo - w / 2, near - lo - w / 10, far - lo - 9 * w / 10
    )  # fmt: skip


def overlong(draw, wolfe):
    """Trials along a p that is too long by dozens of powers of ten, from x < m, where φ′ changes its sign."""
    x, m, p = float(draw.number("1/9", 9)), float(draw.number(20, 90)), 10.0 ** float(draw.number(25, 90))
    asked = Counted(lambda y: (1.0 + float(y[0] - m) ** 2) ** 0.5)
    problem = Problem(asked, lambda y: (y - m) / (1.0 + (y - m) ** 2) ** 0.5)
    start = np.array([x])
    wolfe(problem, start, problem.fun(start), problem.grad(start), np.array([p]), 1e-4, 0.9, 40, 1.0)
    return {"x": x, "m": m, "trials": np.array([y[0] for y in asked.seen[17:]]), "hi": float(asked.seen[16][0]) - x}


@claim(
    "searches.overlong",
    "After fifteen trials α is bisected, but log α, down to where αp is a rounding of x, while αp is longer than x",
    "a rule of this library",
    overlong,
    given="φ is convex, and the step to its minimum shorter than p by a factor of 10²³ to 10⁹⁰",
    uses=ALL[:1],
    scale=lambda: 1,
    because=ROUNDED,
    exact=False,
)
def is_overlong(x, m, trials, hi):
    lo, expected = np.finfo(float).eps * x, []
    for y in trials:
        expected.append((lo * hi) ** 0.5 if hi > x else (lo + hi) / 2)
        lo, hi = (expected[-1], hi) if y < m else (lo, expected[-1])
    return trials / (x + np.array(expected)) - 1


# --- where values say nothing ------------------------------------------------------------------------------------


def in_noise(draw, wolfe, approximate, armijo):
    """φ is noise; φ′ rises from −k at 0 to zero at m."""
    k, m = draw.magnitude(2), draw.magnitude(1)
    first = m * float(draw.number("1/10", 9))
    phi, slope = lambda a: 0.0, lambda a: k * (a / m - 1)
    tried = [along(f, phi, slope, 1e-4, 0.5, 40, first, noise=1.0) for f in (wolfe, approximate)]
    tried.append(along(armijo, phi, slope, 1e-4, 40, first, noise=1.0))
    return {"m": m, "first": first, "last": np.array([t[-1] for t in tried]), "armijo": tried[2]}


@claim(
    "searches.noise",
    "Where values differ by noise only slopes decide: c₂φ′(0) ≤ φ′(α) ≤ −⅘φ′(0), for backtracking its right half",
    HZ + " (the approximate Wolfe conditions with δ = 1/10)",
    in_noise,
    uses=ALL[:3],
    scale=lambda first: first,
    because=ROUNDED,
    exact=False,
)
def noise(m, first, last, armijo):
    halved = first * 0.5 ** np.arange(len(armijo))
    return excess(m / 2 - last[:2]), excess(last - 1.8 * m), armijo - halved, excess(1.8 * m - halved[:-1])
