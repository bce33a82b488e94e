"""Line searches: the rule for the next trial in each of its cases, and which numbers a condition is measured with."""

from fractions import Fraction

import numpy as np

from refopt.linesearch import SEARCHES
from refopt.linesearch.approximate import FIRST, FRESH, SECOND, Interval
from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.searches import ALL, HZ, along
from refopt.oracle.draw import excess
from refopt.problem import Problem

COUNTED = "the number of trials is an integer"


# --- Hager and Zhang's iteration -------------------------------------------------------------------------------------


def iteration(rng, within):
    """Opposite slopes at a and b, all of it whole numbers; c inside replaces one end, after either secant or none."""
    width = int(rng.choice([3, 6, 10, 50, 100]))
    a, da, db = (int(rng.integers(*ends)) for ends in ((0, 6), (-3, 0), (0, 4)))
    begun = Interval(a, da, a + width, db)
    c = a + (int(rng.integers(1, width)) if rng.integers(2) else round(float(rng.choice([0.34, 0.66])) * width))
    dc = int(rng.integers(-3, 4))
    now = Interval(c, dc, begun.b, db) if dc < 0 else Interval(a, da, c, dc)
    stage = int(rng.choice([FRESH, FIRST, SECOND]))
    t, after, kept = within(Interval(*map(float, now)), Interval(*map(float, begun)), float(c), stage)
    return [*begun, *now, c, stage], [t, after, *kept]


def iterations(draw, within):
    asked, found = zip(*(iteration(draw.rng, within) for _ in range(40)), strict=True)
    tiny = within(Interval(1.0, -1e-300, 2.0, 1.0), Interval(0.0, -1.0, 2.0, 1.0), 1.0, FRESH)
    return {"asked": np.array(asked), "found": np.array(found), "tiny": tiny[0]}


@claim(
    "searches.iteration",
    "From [a, b] to [A, B]: c; after it, where c = B, the secant of (b, B), where c = A, of (a, A), if it lies inside; "
    "then (A + B)/2 where B − A > 0.66 (b − a), and a new iteration from [A, B]",
    HZ + " (S1–S4, L1–L3)",
    iterations,
    given="no end is tried twice: where a secant of [A, B] ends at A or B the middle is tried",
    uses=("linesearch.approximate.within",),
    scale=lambda asked: np.abs(asked).max(),
    because="quotients of whole numbers, decided in fractions",
    exact=False,
)
def is_iteration(asked, found, tiny):
    wanted = np.array([by_the_paper(*map(Fraction, map(int, row))) for row in asked], dtype=float)
    told = wanted[:, 1] != FRESH  # a fresh iteration begins where it is
    return found[:, :2] - wanted[:, :2], (found[:, 2:] - wanted[:, 2:])[told], tiny - 1.5


def by_the_paper(a, da, b, db, A, dA, B, dB, c, stage):
    """The trial, what it is, and the interval in which its iteration began."""

    def secant(u, du, v, dv):
        return v - dv * (v - u) / (dv - du) if du != dv else A  # where the slopes are the same there is none

    if stage == FIRST:
        t = secant(b, db, B, dB) if c == B else secant(a, da, A, dA)
        if A < t < B:
            return t, SECOND, a, da, b, db
    if stage != FRESH and 66 * (b - a) < 100 * (B - A):
        return (A + B) / 2, FRESH, a, da, b, db
    t = secant(A, dA, B, dB)
    return (t if A < t < B else (A + B) / 2), FIRST, A, dA, B, dB


# --- what is measured with which number ------------------------------------------------------------------------------


def named(draw, search):
    """Cubics with φ(α₀) = φ(0) − ⅖α₀k and φ′(α₀) = −½k or ⁹⁄₁₀k where φ′(0) = −k: is the first trial the only one?"""
    k, first, level = draw.magnitude(2), draw.magnitude(2), draw.magnitude(1)

    def once(kind, c1, c2, end):
        b, c = 3 * -0.4 + 2 - end, 2 * 0.4 - 1 + end
        phi = lambda a: level + k * first * (c * (a / first) ** 3 + b * (a / first) ** 2 - a / first)
        slope = lambda a: k * (3 * c * (a / first) ** 2 + 2 * b * a / first - 1)
        return len(along(search, phi, slope, SEARCHES.index(kind), c1, c2, 9, first)) == 1

    wolfe = ("strong-wolfe", "hager-zhang")
    return {
        "met": [once(kind, 0.3, 0.6, -0.5) for kind in SEARCHES] + [once(kind, 0.3, 0.95, 0.9) for kind in SEARCHES],
        "unmet": [once(kind, 0.3, 0.45, -0.5) for kind in wolfe]
        + [once(kind, 0.45, 0.95, 0.9) for kind in (*wolfe, "armijo")],
    }


@claim(
    "searches.constants",
    "By each name a search takes the first trial if, and only if, c₁ admits its decrease and c₂, where it is asked, "
    "its slope",
    NW + "§3.1; " + HZ,
    named,
    given="φ(α₀) = φ(0) + ⅖α₀φ′(0) and φ′(α₀) = ½φ′(0), or uphill and nearly as steep; c₁ and c₂ on either side",
    uses=("linesearch.search",),
    scale=lambda: 1.0,
    because=COUNTED,
    exact=False,
)
def is_constants(met, unmet):
    return np.array(met) - 1.0, np.array(unmet) * 1.0


def above(draw, wolfe, approximate, armijo):
    """φ is level, up to noise, as far as w; beyond it stands higher by three times the noise. φ′ is small there."""
    k, w, noise = draw.magnitude(2), draw.magnitude(2), draw.magnitude(1)
    level = float(draw.number(-9, 9)) * 10 * noise
    first = w * float(draw.number("11/10", 9))
    phi, slope = lambda a: level + 3 * noise * (a > w), lambda a: -k * (1 if a == 0 else 0.1)
    tried = [along(f, phi, slope, 1e-4, 0.5, 40, first, noise=noise) for f in (wolfe, approximate)]
    tried.append(along(armijo, phi, lambda a: -slope(a) if a else -k, 1e-4, 40, first, noise=noise))
    return {"w": w, "last": np.array([t[-1] for t in tried]), "counts": np.array([len(t) for t in tried])}


@claim(
    "searches.above-noise",
    "Slopes decide only where φ(α) and φ(0) differ by no more than the noise, whatever φ(0) is",
    HZ + " (the approximate Wolfe conditions)",
    above,
    given="φ(0) much larger than the noise, and a slope that the conditions admit on both sides of a step up",
    uses=ALL[:3],
    scale=lambda w: (w, 1.0),
    because="the last trial is on the level part, and it is reached before the trials are used up",
    exact=False,
)
def is_above_noise(w, last, counts):
    return excess(last - w), excess(counts - 39.0)


def at_the_edge(draw, wolfe, approximate, armijo):
    """φ and φ′ are the same at every trial: on the edge of a condition, and the next number beyond it."""
    k, first, noise = (2.0 ** int(draw.rng.integers(-9, 9)) for _ in range(3))
    level, steep = noise * int(draw.rng.integers(1, 9)), -5 * k
    taken = []

    def edges(search, value, slope, beyond_value, beyond_slope, c1, c2, noise=noise, level=level):
        for f, d in ((value, slope), (np.nextafter(value, beyond_value), np.nextafter(slope, beyond_slope))):
            options = (c1, 2, first) if search is armijo else (c1, c2, 2, first)
            tried = along(search, lambda a: f if a else level, lambda a: d if a else steep, *options, noise=noise)  # noqa: B023
            taken.append(len(tried) == 1)

    enough = level + 0.5 * first * steep
    for search in (wolfe, approximate, armijo):
        edges(search, enough, 4.5 * k, np.inf, 4.5 * k, 0.5, 0.9375, noise=0.0)
        edges(search, level + noise, 0.0, np.inf, 0.0, 0.5, 0.75)
        edges(search, level, 4 * k, level, np.inf, 0.5, 0.75)
    for search in (wolfe, approximate):
        edges(search, level + steep * first, 0.75 * steep, level + steep * first, -np.inf, 0.5, 0.75, noise=0.0)
        edges(search, level, 0.75 * steep, level, -np.inf, 0.5, 0.75)
    edges(wolfe, level + steep * first, -0.75 * steep, level + steep * first, np.inf, 0.5, 0.75, noise=0.0)
    lost = 2.0**70
    for search in (wolfe, approximate, armijo):
        options = (0.5, 2, first) if search is armijo else (0.5, 0.9375, 2, first)
        taken += [True, len(along(search, lambda a: lost, lambda a: 4.5 * k if a else steep, *options)) == 1]
    rising = [
        along(approximate, lambda a, f=f: f if a else level, lambda a: steep, 0.5, 0.75, 2, first, noise=noise)
        for f in (level + noise, np.nextafter(level + noise, np.inf))
    ]
    return {"taken": np.array(taken).reshape(-1, 2), "next": [tried[1] / first for tried in rising]}


@claim(
    "searches.edges",
    "A point where a condition holds with equality is taken, and one where it fails by the last digit is not; a "
    "decrease that f has no digits for is none",
    NW + "§3.1 (both conditions are stated with ≤); " + HZ,
    at_the_edge,
    given="numbers of which every product here is a float: powers of two, −0.8 · (−5) = 4",
    uses=ALL[:3],
    scale=lambda: 1.0,
    because=COUNTED,
    exact=False,
)
def is_edges(taken, next):
    return taken - np.array([1.0, 0.0]), np.array(next) - np.array([5.0, 0.5])


# --- walls -----------------------------------------------------------------------------------------------------------


def beside_a_wall(draw, approximate, fixed):
    """A parabola about m, too high from 1.35α₀ on, without values from 4α₀ on; and slopes whose squares overflow."""
    k, first = draw.magnitude(2), draw.magnitude(2)
    m, steep = first * float(draw.number("11/10", "13/10")), 2.0**600
    phi = lambda a: k * (a - m) ** 2 + 99 * k * first**2 * (a > 1.35 * first) if a < 4 * first else np.inf
    tried = along(approximate, phi, lambda a: 2 * k * (a - m), 1e-4, 1e-12, 4, first)
    cliff = Problem(lambda x: 0.0, lambda x: np.array([-steep]))
    there = fixed(cliff, np.zeros(1), 0.0, np.array([-steep]), np.array([1 / steep]), 3, first)
    return {"tried": tried, "first": first, "m": m, "alpha": there.alpha}


@claim(
    "searches.beside-a-wall",
    "Back from a wall Hager and Zhang's secant runs through the last good point's slope; a fixed step ends where f and "
    "φ′ are finite",
    HZ + " (nothing is said of walls there)",
    beside_a_wall,
    given="a straight φ′, whose zero a secant finds, and φ too high at the trial before; φ′ finite although gᵀg is not",
    uses=(ALL[1], ALL[3]),
    scale=lambda first: first,
    because="a secant through slopes that are a few roundings of numbers of their size",
    exact=False,
)
def is_beside_a_wall(tried, first, m, alpha):
    return tried - np.array([first, 5 * first, 1.4 * first, m]), alpha - first


def without_slope(draw, wolfe, approximate):
    """A parabola with its minimum at m; at the first trial, beyond, it has a value but no finite slope."""
    k, first, bad = draw.magnitude(2), draw.magnitude(2), float(draw.rng.choice([np.nan, np.inf, -np.inf]))
    m = first * float(draw.number("6/10", "85/100"))
    phi, slope = lambda a: k * (a - m) ** 2, lambda a: bad if a == first else 2 * k * (a - m)
    made = [along(search, phi, slope, 1e-4, 1e-3, 2, first)[1] for search in (wolfe, approximate)]
    return {"m": m, "first": first, "made": made}


@claim(
    "searches.without-slope",
    "A trial with a value but no finite slope is an end: next comes the parabola through both values and φ′(0), or, in "
    "Hager and Zhang's, the middle",
    NW + "§3.5; " + HZ,
    without_slope,
    given="φ(α₀) admitted by c₁",
    uses=ALL[:2],
    scale=lambda first: first,
    because="a parabola through values that are a few roundings of numbers of their size",
    exact=False,
)
def is_without_slope(m, first, made):
    return np.array(made) - np.array([m, first / 2])
