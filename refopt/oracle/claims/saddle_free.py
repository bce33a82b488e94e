"""Saddle-free Newton, |H| in place of H; and modified Newton, H + τI."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import condition, excess, eye, least, size, solve, with_spectrum
from refopt.problem import Problem

DAUPHIN = "Dauphin et al., NeurIPS 27 (2014), arXiv:1406.2572, §4"
FLOOR = 1e-14
USES = ("saddle-free-newton.direction",)
SOLVED = "eigenvectors are known to eps ‖H‖ over their gap, and the step they make to eps κ"


def absolute(Q, values):
    return with_spectrum(Q, abs(values))


def drawn(draw, direction):
    Q, values, g = draw.orthogonal(n := draw.size(2)), draw.mixed(n), draw.vector(n)
    H = with_spectrum(Q, values)
    return {"H": H, "absolute": absolute(Q, values), "g": g, "p": direction(H, g, FLOOR)}


@claim(
    "saddle-free.step",
    "|H|p = −g: the step divides along each eigenvector by |λᵢ|, and gᵀp = −pᵀ|H|p < 0 is downhill",
    DAUPHIN,
    drawn,
    uses=USES,
    scale=lambda H, g, p: (condition(H) * (size(H) * size(p) + size(g)), condition(H) * size(g) * size(p)),
    because=SOLVED,
    exact=False,
)
def step(H, absolute, g, p):
    return absolute @ p + g, g @ p + p @ absolute @ p


def both(draw):
    Q, values = draw.orthogonal(n := draw.size(2)), draw.mixed(n)
    return {"H": with_spectrum(Q, values), "A": absolute(Q, values), "x": draw.vector(n)}


@claim(
    "saddle-free.bounds",
    "|H| ± H ⪰ 0:   |xᵀHx| ≤ xᵀ|H|x, so |H| bounds the model's curvature both ways; and |H|² = H²",
    DAUPHIN,
    both,
    scale=lambda H, x: (size(H) * size(x) ** 2, size(H), size(H), size(H) ** 2),
    because="sums of terms of this size; eigenvalues are known to n eps ‖H‖",
)
def bounds(H, A, x):
    return excess(abs(x @ H @ x) - x @ A @ x), excess(-least(A + H)), excess(-least(A - H)), A @ A - H @ H


def convex(draw, direction):
    H, g = draw.spd(n := draw.size(), 1e4), draw.vector(n)
    return {"H": H, "g": g, "p": direction(H, g, FLOOR)}


def with_a_saddle(draw, direction):
    H, g = draw.indefinite(n := draw.size(2)), draw.vector(n)
    return {"H": H, "g": g, "p": direction(H, g, FLOOR)}


@claim(
    "saddle-free.newton",
    "It is Newton's step, Hp = −g",
    DAUPHIN,
    convex,
    "conditional",
    given="H ≻ 0",
    uses=USES,
    scale=lambda H, g, p: condition(H) * (size(H) * size(p) + size(g)),
    because=SOLVED,
    exact=False,
    fails=(Fails("H is indefinite", with_a_saddle, lambda H, g, p: size(H @ p + g) / size(g)),),
)
def newton(H, g, p):
    return H @ p + g


def region(draw, direction, within):
    """A step that is cut, and another of the same |H|-length."""
    found = drawn(draw, direction)
    A, g, p, d = found["absolute"], found["g"], found["p"], draw.vector(len(found["g"]))
    radius = float(-(g @ p)) ** 0.5 * draw.number(0.1, 2)
    cut = within(p, g, radius)
    return found | {"radius": radius, "cut": cut, "d": d * (float(cut @ A @ cut) / float(d @ A @ d)) ** 0.5}


@claim(
    "saddle-free.region",
    "The step cut to pᵀ|H|p = Δ² is −Δ|H|⁻¹g/√(gᵀ|H|⁻¹g): of all steps of that length the one with the least gᵀp",
    DAUPHIN,
    region,
    uses=("saddle-free-newton.direction", "saddle-free-newton.within"),
    scale=lambda H, g, p, radius, cut, d: (
        condition(H) * size(g) * size(p) + radius**2,
        condition(H) * size(g) * (size(cut) + size(d)),
        condition(H) * (size(H) * size(p) + size(g)),
    ),
    because=SOLVED,
    exact=False,
)
def cut_to_the_region(H, absolute, g, p, radius, cut, d):
    length, whole = cut @ absolute @ cut, p @ absolute @ p
    return length - min(whole, radius**2), excess(g @ cut - g @ d), absolute @ cut * (whole / length) ** 0.5 + g


def near_a_saddle(draw, direction):
    """f = ½x² − ½y² + ¼y⁴ has a saddle at the origin; four steps from close by."""
    path = [draw.array([1, 0]) * draw.number(-0.3, 0.3) + draw.array([0, 1]) * draw.number(0.01, 0.3)]
    for _ in range(4):
        x, y = path[-1]
        H = draw.array([[1, 0], [0, 0]]) + (3 * y**2 - 1) * draw.array([[0, 0], [0, 1]])
        path.append(path[-1] + direction(H, np.array([x, y**3 - y]), FLOOR))
    return {"path": np.array(path)}


def by_newton(draw, direction):
    """The same by Newton's own steps: |y| falls."""
    return near_a_saddle(draw, lambda H, g, floor: -solve(H, g))


@claim(
    "saddle-free.escapes",
    "The first step away from a saddle: for f = ½x² − ½y² + ¼y⁴ near 0, x₊ = 0 and |y₊| ≥ 2(1 − y²)|y|: it leaves",
    DAUPHIN + "; " + NW + "§3.4",
    near_a_saddle,
    "conditional",
    given="y ≠ 0, and |H| in place of H: Newton's own step is drawn to the saddle",
    uses=USES,
    scale=lambda path: abs(path[0]).max(),
    because="numbers of order 1, κ(H) < 2",
    exact=False,
    fails=(
        Fails("Newton's step", by_newton, lambda path: excess(abs(path[0, 1]) - abs(path[1, 1])) / abs(path[0, 1])),
    ),
)
def escapes(path):
    """y₊ = y + (y − y³)/(1 − 3y²) ≥ 2y(1 − y²) for 0 < y < 1/√3."""
    (x, y), (x_new, y_new) = path[:2]
    return x_new + 0 * x, excess(2 * (1 - y**2) * abs(y) - abs(y_new))


def departed(draw, depart, convex=False):
    """f = ½xᵀHx + ¼‖x‖⁴ at its saddle, and a step along an eigenvector, of any length."""
    Q, values = draw.orthogonal(n := draw.size(2)), draw.mixed(n)
    values = abs(values) if convex else values
    H, p = with_spectrum(Q, values), Q[:, 0] * draw.magnitude(2)
    problem = Problem(lambda x: x @ H @ x / 2 + (x @ x) ** 2 / 4, lambda x: H @ x + (x @ x) * x)
    bend = -abs(values[0]) * float(p @ p)
    point = depart(problem, 0 * p, 0.0, 0 * p, p, bend, 80)
    return {"bend": bend, "p": p, "x": point.x, "alpha": point.alpha, "f": point.f}


@claim(
    "saddle-free.departure",
    "Where the gradient vanishes, some α lowers f by ¼α²|pᵀHp| at least:   f(x + αp) ≤ f(x) + ¼α² pᵀHp",
    "J. J. Moré & D. C. Sorensen, Math. Program. 16 (1979) 1; " + NW + "§3.4",
    departed,
    "conditional",
    given="pᵀHp < 0",
    uses=("departure.depart",),
    scale=lambda bend, p, alpha: (abs(bend) * alpha**2, alpha * size(p), 1.0),
    because="values of f are sums of terms of this size",
    exact=False,
    fails=(Fails("H ≻ 0", lambda draw, depart: departed(draw, depart, True), lambda f: 0.0 if f < 0 else 1.0),),
)
def departure(bend, p, x, alpha, f):
    return excess(f - alpha**2 * bend / 4), x - alpha * p, 0.0 if f < 0 else 1.0


# --- modified Newton -------------------------------------------------------------------------------------------------


def modified(draw, direction):
    n = draw.size()
    H = draw.spd(n, 1e3) if n == 1 or draw.rng.integers(2) else draw.indefinite(n)
    p, tau = direction(H, g := draw.vector(n), 1e-3)
    return {"H": H, "g": g, "p": p, "tau": tau}


@claim(
    "modified-newton.descends",
    "With the first τ = 0, β‖H‖, 2β‖H‖, … that makes H + τI ≻ 0, (H + τI)p = −g descends; it is Newton's if H ≻ 0",
    NW + "§3.4 (Algorithm 3.3)",
    modified,
    uses=("modified-newton.direction",),
    scale=lambda H, g, p, tau: (
        size(g) * size(p),
        condition(H + tau * eye(H)) * (size(H) * size(p) + size(g)),
        size(H),
        size(H),
    ),
    because="a stable solve; eigenvalues are known to n eps ‖H‖",
    exact=False,
)
def descends(H, g, p, tau):
    lowest, first = least(H), 1e-3 * size(H)
    too_small = excess(lowest + tau / 2) if tau > first else tau if lowest > 0 else 0.0
    return excess(g @ p), (H + tau * eye(H)) @ p + g, excess(-lowest - tau), too_small
