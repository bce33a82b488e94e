"""Trust regions: what becomes of a step, whether it is taken, refused, or cannot be judged on values."""

import numpy as np

from refopt.oracle.claim import claim
from refopt.oracle.claims import CGT, NW
from refopt.oracle.draw import excess, size, with_spectrum
from refopt.problem import Problem
from refopt.region import State, resume
from refopt.subproblem import cauchy

TAKEN, SAME = 1e-1, "x + p is rounded; all else are the same numbers, or multiplied by powers of two"


def judged(draw, attempt):
    """A step on a quadratic that gains ρ times what it promises; values may be noise, f or ∇f not finite there."""
    A, x, p = draw.spd(n := draw.size(), 1e2), draw.vector(n), draw.vector(n) * draw.magnitude(1)
    f, slopes = (lambda y: y @ A @ y / 2), lambda y: A @ y
    gained = f(x) - f(x + p)
    rho = (-0.5, 0.05, 0.2, 0.5, 0.9, 1.5)[int(draw.rng.integers(6))] * float(draw.number("95/100", "105/100"))
    rho = abs(rho) if gained > 0 else -abs(rho)
    kind = int(draw.rng.integers(4))  # 0: values decide, 1: slopes do, 2: f is not finite at x + p, 3: ∇f is not
    noise = 1e3 * (abs(gained) + abs(gained / rho)) if kind == 1 else 0.0
    problem = Problem(
        lambda y: np.inf if kind == 2 else f(y), lambda y: slopes(y) * (np.nan if kind == 3 else 1.0), noise=noise
    )
    edge, radius, rejected = bool(draw.rng.integers(2)), size(p) * float(draw.number(1, 2)), int(draw.rng.integers(11))
    trial = attempt(problem, x, f(x), slopes(x), p, gained / rho, edge, radius, rejected, TAKEN, 1.5 * radius)
    taken = rho > TAKEN and kind < 2
    if not taken:
        radius_new = size(p) * (0.1 if kind == 2 else 0.25)
    else:
        radius_new = size(p) / 4 if rho < 0.25 else 1.5 * radius if rho > 0.75 and edge else radius
    expected = [
        radius_new, 0 if taken else rejected + 1, taken, taken or rejected + 1 < (10 if kind == 1 else 30), 1,
        kind == 1 or (kind != 2 and rho > TAKEN),
    ]  # fmt: skip
    y = x + p if taken else x
    return {
        "trial": trial, "expected": np.array(expected, float), "x": y, "f": f(y), "g": slopes(y), "A": A,
        "size": size(x) + size(p),
    }  # fmt: skip


@claim(
    "region.attempt",
    "x₊ = x + p if ρ = (f − f(x + p))/(m(0) − m(p)) > η; else x, with ¼‖p‖ for a region, or ⅒‖p‖ if f is not finite",
    NW + "§4.1; " + CGT + "§17.4 (rounding)",
    judged,
    given="where f is noise ρ is −½(g + g₊)ᵀp/(m(0) − m(p)); after 10 refusals in noise, or 30, no other trial",
    uses=("region.attempt",),
    scale=lambda A, size, expected: (size, size**2 * np.linalg.norm(A), size * np.linalg.norm(A), 1 + expected[0]),
    because=SAME,
    exact=False,
)
def attempted(trial, expected, x, f, g):
    found = [trial.radius, trial.rejected, trial.taken, trial.ok, trial.nfev, trial.njev]
    return trial.x - x, trial.f - f, trial.g - g, np.array(found, float) - expected


def bottomless(draw, attempt):
    """A refused step that x hardly feels."""
    x, p = 1 + abs(draw.vector(n := draw.size())), draw.vector(n)
    short = bool(draw.rng.integers(2))
    p = p / size(p) * size(x) * 2.0**-52 * (3.9 if short else 4.1)
    problem = Problem(lambda y: 1.0, lambda y: 0 * y)
    trial = attempt(problem, x, 0.0, 0 * x, p, 1.0, True, 7.0, 0, TAKEN, 9.0)
    unit = np.eye(n)[0] * 2.0 ** int(draw.rng.integers(-9, 9))
    edge = attempt(problem, unit, 0.0, 0 * x, unit * 2.0**-50, 1.0, True, 7.0, 0, TAKEN, 9.0)
    return {"trial": trial, "short": short, "length": size(p), "edge": [edge.radius - 7.0, edge.ok]}


@claim(
    "region.bottom",
    "A region of ¼‖p‖ ≤ eps‖x‖ is none: it stays as it was, and there is no other trial",
    CGT + "§17.4",
    bottomless,
    given="p was refused",
    uses=("region.attempt",),
    scale=lambda: 1.0,
    because=SAME,
    exact=False,
)
def bottom(trial, short, length, edge):
    return np.array(edge, float), trial.radius - (7.0 if short else length / 4), float(trial.ok) - (not short)


def drowning(draw, attempt):
    """Slopes that keep a promise of 10 ef, and values that rise by 10 ef: what is taken there, and beyond."""
    noise, n = 2.0 ** int(draw.rng.integers(-9, 9)), draw.size()
    level, promised = noise * int(draw.rng.integers(1, 9)), 10 * noise
    p = np.zeros(n)
    p[int(draw.rng.integers(n))] = 2.0
    g, risen = -p * promised / 4, level + promised

    def taken(f_new, said):
        problem = Problem(lambda y: f_new, lambda y: g, noise=noise)
        return attempt(problem, 0 * p, level, g, p, said, False, 2.0, 0, TAKEN, 9.0).taken

    above = np.nextafter(risen, np.inf), np.nextafter(promised, np.inf)
    return {"taken": [taken(risen, promised), taken(above[0], promised), taken(risen, above[1])]}


@claim(
    "region.noise",
    "A promise of at most 10 ef is judged by −½(g + g₊)ᵀp, if f has not risen by more than 10 ef; any other by values",
    CGT + "§17.4",
    drowning,
    given="powers of two and small multiples of them, so that both edges are floats",
    uses=("region.attempt",),
    scale=lambda: 1.0,
    because="all numbers are exact",
    exact=False,
)
def is_noise(taken):
    return np.array(taken) - np.array([1.0, 0.0, 0.0])


def unseen(draw, attempt):
    """A step to the boundary that keeps its promise, so little beside the noise ef that f shows nothing of it."""
    noise, part, radius = draw.magnitude(2), 10.0 ** draw.rng.uniform(-4, 0), draw.magnitude(2)
    promised, most = part * noise, radius * draw.number(1, 20)
    p = radius * np.eye(draw.size())[0]
    problem = Problem(lambda y: 1.0, lambda y: -p * promised / (p @ p), noise=noise)
    trial = attempt(problem, 0 * p, 1.0, problem.grad(p), p, promised, True, radius, 0, TAKEN, most)
    return {"found": trial.radius, "radius": radius, "most": most, "part": part}


@claim(
    "region.unseen",
    "Where a kept promise is below ¼ef the region grows by √(ef/promise), ten times at most, to where f shows it",
    CGT + "§17.4; a promise made by curvature goes with Δ²",
    unseen,
    given="the step ends on the boundary; Δ_max is never passed",
    uses=("region.attempt",),
    scale=lambda radius: 10 * radius,
    because="a root of a quotient",
    exact=False,
)
def is_unseen(found, radius, most, part):
    grown = min(10.0, part**-0.5) if part < 0.25 else 2.0
    return found - min(grown * radius, most)


def carried(draw, tried, first_radius):
    """A step of a method that carries the Hessian, which may not be finite where the step leads."""
    A, x = draw.spd(n := draw.size(), 1e2), draw.vector(n)
    g, gone = A @ x, bool(draw.rng.integers(2))
    p = -x * float(draw.number("1/2", "9/10"))
    hess = lambda y: A * np.nan if gone else 2 * A
    problem = Problem(lambda y: y @ A @ y / 2, lambda y: A @ y, hess)
    old = State(x, x @ g / 2, g, A, size(p), 7, True, True, 10, 20, 30)
    gained = x @ g / 2 - (x + p) @ A @ (x + p) / 2
    new = tried(problem, old, p, gained, True, TAKEN, 1e100)
    y = x if gone else x + p
    return {
        "new": new, "x": y, "g": A @ y, "f": y @ A @ y / 2, "B": A if gone else 2 * A, "A": A,
        "length": (size(p) / 10 if gone else 2 * size(p)), "whole": size(x), "gone": gone,
        "first": first_radius(x, 0.0) - size(x), "asked": first_radius(x, 3.0) - 3.0,
        "origin": first_radius(0 * x, 0.0) - 1.0, "again": resume(new._replace(rejected=3, ok=False)),
    }  # fmt: skip


@claim(
    "region.carried",
    "A Newton region's state takes f, ∇f and ∇²f from the new point; where ∇²f is not finite the step is refused",
    NW + "§4.1",
    carried,
    given="the first region is ‖x₀‖, or 1 at the origin, unless one is asked for; resumed it is ‖x‖",
    uses=("region.tried", "region.first_radius"),
    scale=lambda A, whole: (
        whole, np.linalg.norm(A) * whole, np.linalg.norm(A) * whole**2, 1, whole, 1, 1, 1, 1, whole, 1
    ),
    because=SAME,
    exact=False,
)  # fmt: skip
def is_carried(new, x, f, g, B, length, gone, first, asked, origin, again):
    counts = [new.rejected, new.taken, new.ok, new.nfev, new.njev, new.nhev]
    return (
        new.x - x, new.g - g, new.f - f, new.B - B, new.radius - length,
        np.array(counts, float) - [8 if gone else 0, not gone, True, 11, 21, 31], first, asked, origin,
        again.radius - size(x), np.array([again.rejected, again.ok]) - [0.0, 1.0],
    )  # fmt: skip


# --- along a path ------------------------------------------------------------------------------------------------


def line(draw, boundary):
    """A point inside the region, and a direction of any length; and no gradient."""
    p, d, radius = draw.vector(n := draw.size()), draw.vector(n) * draw.magnitude(), draw.magnitude()
    p = p / size(p) * radius * float(draw.number(0, 1))
    tau = boundary(p, d, radius)
    return {"length": size(p + tau * d), "radius": radius, "tau": tau, "none": cauchy(0 * p, np.eye(n), radius), "n": n}


@claim(
    "region.boundary",
    "From inside the region every direction meets the boundary once ahead:   ‖p + τd‖ = Δ, τ ≥ 0",
    NW + "§4.1 and §7.1",
    line,
    given="without a gradient Cauchy's step is 0",
    uses=("subproblem.boundary",),
    scale=lambda radius: (radius, 1, 1),
    because="a root of a sum of squares, without cancellation",
    exact=False,
)
def is_boundary(length, radius, tau, none):
    return length - radius, excess(-tau), np.abs(none).max() if none.shape else np.inf


def bent_path(draw, dogleg):
    """Powell's path for any B: that of A = B + 3/2|λ₁|I where λ₁ < 0, and then along its eigenvector."""
    n = draw.size(2)
    values = (draw.positive if draw.rng.integers(2) else draw.mixed)(n)
    values = np.sort(values / abs(values).max())
    Q, g = draw.orthogonal(n), draw.vector(n)
    shift = max(0.0, -1.5 * values[0])
    c = Q.T @ g
    newton, steepest = -Q @ (c / (values + shift)), -(g @ g) / (c @ ((values + shift) * c)) * g
    t = float(draw.number(0, 3))  # before the corner, between the corners, or beyond
    radius = size(steepest) * (t or 1) if t < 1 else size(steepest) + (t - 0.9) * (size(newton) - size(steepest))
    v = Q[:, 0] * (-1 if c[0] > 0 else 1)
    if size(newton) <= radius:
        base, leg = newton, v if shift else 0 * v
    elif size(steepest) >= radius:
        base, leg = 0 * g, -g
    else:
        base, leg = steepest, newton - steepest
    half, rest = base @ leg, max(radius**2 - base @ base, 0.0)
    tau = (np.sqrt(half**2 + (leg @ leg) * rest) - half) / (leg @ leg) if leg.any() else 0.0
    p, edge = dogleg(g, with_spectrum(Q, values), radius)
    none, beyond = dogleg(g, np.zeros((n, n)), radius)
    return {
        "p": p, "expected": base + tau * leg, "edge": float(edge != (size(newton) > radius or shift > 0)),
        "flat": none + radius / size(g) * g, "beyond": float(not beyond), "radius": radius, "longest": size(newton),
        "kappa": 1 / (values + shift).min(), "gap": values[1] - values[0], "g": g,
    }  # fmt: skip


@claim(
    "region.dogleg-path",
    "The dogleg goes along −g to the minimiser, to −A⁻¹g, A = B or B + 3/2|λ₁|I, and along λ₁'s eigenvector to Δ",
    "M. J. D. Powell, A hybrid method for nonlinear equations (1970); " + NW + "§4.1",
    bent_path,
    given="inside the region it ends at −B⁻¹g where B ≻ 0; a B of zeros leaves −Δg/‖g‖",
    uses=("subproblem.dogleg",),
    scale=lambda g, radius, longest, kappa, gap: (
        kappa * (1 + 1 / gap) * (1 + longest / radius) * (radius + longest), 1, radius, 1
    ),
    because="the solve loses eps κ(A), an eigenvector eps over its gap",
    exact=False,
)  # fmt: skip
def dogleg_path(p, expected, edge, flat, beyond):
    return p - expected, edge, flat, beyond
