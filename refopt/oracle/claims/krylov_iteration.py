"""Conjugate gradients by the letter: every number that the library's iteration hands on, and where it stops."""

from itertools import pairwise
from math import inf

import numpy as np

from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.krylov import products
from refopt.oracle.claims.trust_region import model
from refopt.oracle.draw import Counted, size
from refopt.problem import Problem

CG = ("krylov.conjugate_gradients",)
STEPS = "four steps of well-conditioned arithmetic"
MARTENS = "J. Martens, Deep learning via Hessian-free optimization, ICML 2010, §4.4; "


def written_out(B, g, start, count):
    """z, r, d after `count` steps from the lowest point along `start`, and the largest ‖Bd‖/‖d‖ on the way."""
    slope = g @ start
    z = -slope / (start @ B @ start) * start if slope < 0 else 0 * g
    r, longest = g + B @ z, 0.0
    d = -r
    for _ in range(count):
        longest = max(longest, size(B @ d) / size(d))
        alpha = (r @ r) / (d @ B @ d)
        z, before, r = z + alpha * d, r, r + alpha * (B @ d)
        d = (r @ r) / (before @ before) * d - r
    return z, r, d, longest


def counted(draw, cg):
    """A few steps with B + σI from a start that leads downhill, or does not."""
    B, g, start = draw.spd(n := draw.size(2, 4), 10), draw.vector(n), draw.vector(n)
    g[0] *= draw.rng.integers(2)
    if not g.any():
        return counted(draw, cg)
    shift = size(B) * float(draw.number(0, 2))
    shifted, count = B + shift * np.eye(n), int(draw.rng.integers(1, n))
    z, r, d, longest = written_out(shifted, g, start, count)
    end = cg(products(B), 0 * g, g, start, shift, inf, 0.0, 0.0, count)
    return {
        "B": shifted, "g": g, "r": r, "d": d, "z": z, "end": end, "longest": longest,
        "spent": end.products - count - (g @ start < 0), "flags": (end.solved, not end.concave),
    }  # fmt: skip


@claim(
    "krylov.by-the-letter",
    "αⱼ = rⱼᵀrⱼ/dⱼᵀBdⱼ, zⱼ₊₁ = zⱼ + αⱼdⱼ, rⱼ₊₁ = rⱼ + αⱼBdⱼ, dⱼ₊₁ = −rⱼ₊₁ + (‖rⱼ₊₁‖²/‖rⱼ‖²)dⱼ; each gains ½αⱼ‖rⱼ‖²",
    NW + "§5.1 and §7.1",
    counted,
    given="B ≻ 0 with σI in it; from the lowest point along the start, or from 0",
    uses=CG,
    scale=lambda B, g, z: (
        size(z), size(g), size(g) ** 2, size(g) * size(z), size(g) * size(z), size(B), 1, 1
    ),
    because=STEPS,
    exact=False,
)  # fmt: skip
def by_the_letter(B, g, r, d, z, end, longest, spent, flags):
    gained = -model(g, B, z)
    return (
        end.z - z, end.d - d, end.square - r @ r, end.promised - gained, end.gain - gained, end.size - longest,
        float(spent), np.array(flags) - 1.0,
    )  # fmt: skip


def stopped(draw, cg):
    """A tolerance between two residuals, from a start that leads downhill, or does not."""
    B, g = draw.spd(n := draw.size(2, 4), 10), draw.vector(n)
    count, start = int(draw.rng.integers(1, n)), draw.vector(n) * draw.rng.integers(2)
    before, after = (size(written_out(B, g, start, k)[1]) for k in (count - 1, count))
    forcing = np.sqrt(max(before, after) * after) / size(g)
    end = cg(products(B), 0 * g, g, start, 0.0, inf, forcing * (1 + 1e-9), 0.0, 99)
    least = [size(written_out(B, g, start, k)[1]) <= forcing * (1 + 1e-9) * size(g) for k in range(n + 1)]
    return {"steps": end.products - least.index(True) - (g @ start < 0), "solved": end.solved}


@claim(
    "krylov.tolerance",
    "The iteration stops at the first residual with ‖r‖ ≤ η‖g‖",
    NW + "§7.1",
    stopped,
    given="products are counted, that for a start that leads downhill among them",
    uses=CG,
    scale=lambda: 1.0,
    because="the number of steps is an integer",
    exact=False,
)
def tolerance(steps, solved):
    return float(steps), float(not solved)


def cut(draw, cg, steihaug):
    """A region that ends between two points, for a gradient of any length."""
    B, g = draw.spd(n := draw.size(2, 4), 10), draw.vector(n)
    count = int(draw.rng.integers(0, n - 1))
    z, r, d, _ = written_out(B, g, 0 * g, count)
    after = z + (r @ r) / (d @ B @ d) * d
    radius = (size(z) + size(after)) / 2
    end = cg(products(B), 0 * g, g, 0 * g, 0.0, radius, 0.0, 0.0, 99)
    long = steihaug(products(B), 0 * g, 1024 * g, 1024 * radius, 0.0)
    return {"B": B, "g": g, "z": z, "d": d, "after": after, "end": end, "spent": end.products - count - 1,
            "gain": long.gain / 2.0**20}  # fmt: skip


@claim(
    "krylov.cut",
    "At ‖zⱼ + αⱼdⱼ‖ ≥ Δ the iteration stops at zⱼ, knowing dⱼ and dⱼᵀBdⱼ; the gain without a boundary is that of zⱼ₊₁",
    NW + "§7.1",
    cut,
    given="B ≻ 0",
    uses=(*CG, "krylov.steihaug"),
    scale=lambda B, g, after: (
        size(after), size(g), size(B) * size(g) ** 2, *3 * [size(g) * size(after)], 1, 1
    ),
    because=STEPS,
    exact=False,
)  # fmt: skip
def is_cut(B, g, z, d, after, end, spent, gain):
    return (
        end.z - z, end.d - d, end.bend - d @ B @ d, end.promised + model(g, B, z), end.gain + model(g, B, after),
        gain - end.gain,
        float(spent), float(end.solved or end.concave),
    )  # fmt: skip


def flat(draw, cg):
    """B = k e₁e₁ᵀ: the second direction has no curvature, and m falls along it without end."""
    k, g = draw.magnitude(2), (1 + abs(draw.vector(2))) * draw.magnitude(1)
    B = np.diag([k, 0.0])
    z, r, d, longest = written_out(B, g, 0 * g, 1)
    end = cg(products(B), 0 * g, g, 0 * g, 0.0, inf, 0.0, 0.0, 99)
    gain = -model(g, B, z) + (r @ r) ** 2 / (2 * 2.0**-26 * longest * (d @ d))
    return {"z": z, "found": end.z, "gain": gain, "gain_found": end.gain, "solved": end.solved, "spent": end.products}


@claim(
    "krylov.flat",
    "Along a d without curvature conjugate gradients stop; what it would gain is counted with dᵀBd = √eps‖B‖‖d‖²",
    NW + "§7.1",
    flat,
    given="B is singular, and g has a part in its null space",
    uses=CG,
    scale=lambda z, gain: (size(z), gain, 1, 1),
    because=STEPS,
    exact=False,
)
def is_flat(z, found, gain, gain_found, solved, spent):
    return found - z, gain_found - gain, float(solved), spent - 2.0


def slow(draw, cg):
    """A spectrum that takes hundreds of steps, and a share of the gain that is hardly met at some look, or missed."""
    n = 300
    values, g = 10.0 ** -np.linspace(0, 5, n), draw.rng.standard_normal(n)
    r, square, gains = g, g @ g, [0.0]
    d = -r
    for _ in range(300):
        alpha = square / (d @ (values * d))
        r = r + alpha * (values * d)
        gains.append(gains[-1] + alpha * square / 2)
        d, square = (r @ r) / square * d - r, r @ r
    looks, following = [0], 10
    while following <= 300:
        looks.append(following)
        following = int(np.ceil(following + max(10, (following - 1) / 10)))
    i, j = list(pairwise(looks))[int(draw.rng.integers(len(looks) - 1)) * int(draw.rng.integers(2))]
    progress = (gains[j] - gains[i]) / (j - i) / gains[j] * draw.rng.choice([0.98, 1.02])
    end = cg(products(np.diag(values)), 0 * g, g, 0 * g, 0.0, inf, 0.0, progress, 300)
    share = [(gains[j] - gains[i]) / (j - i) / gains[j] < progress for i, j in pairwise(looks)]
    expected = looks[1:][share.index(True)] if any(share) else 300
    return {
        "steps": end.products, "expected": expected, "flags": float(end.concave or not end.solved),
        "gap": end.promised + model(g, np.diag(values), end.z), "terms": size(g) * size(end.z) + size(end.z) ** 2,
    }  # fmt: skip


@claim(
    "krylov.progress",
    "The iteration stops at the first look at which the last k = max(10, j/10) of j steps gained less than kε of all, "
    "with what they have gained",
    MARTENS + "here the looks are k steps apart",
    slow,
    given="ε > 0",
    uses=CG,
    scale=lambda terms: (1.0, 1.0, terms),
    because="the number of steps is an integer; what each gains is a term of this size, ‖B‖ = 1",
    exact=False,
)
def progress(steps, expected, flags, gap):
    return float(steps - expected), flags, gap


def broken_off(draw, cg):
    """A few steps, and then a product that is not finite; and none at all, where ‖r₀‖ = η‖g‖."""
    B, g, start = draw.spd(n := draw.size(2, 4), 10), draw.vector(n), draw.vector(n)
    count = int(draw.rng.integers(0, n))
    z, r, d, longest = written_out(B, g, start, count)
    downhill = bool(g @ start < 0)
    asked = Counted(lambda x, p: B @ p * (np.nan if asked.calls > count + downhill else 1.0))
    end = cg(Problem(lambda x: 0.0, hvp=asked), 0 * g, g, start, 0.0, inf, 0.0, 0.0, 99)
    return {
        "B": B, "g": g, "z": z, "r": r, "d": d, "longest": longest, "end": end,
        "spent": end.products - count - 1 - downhill,
        "at_once": cg(products(B), 0 * g, g, start, 0.0, 0.0, 0.0, 0.0, 99).products - 1 - downhill,
        "none": cg(products(B), 0 * g, g, 0 * g, 0.0, inf, 1.0, 0.0, 99),
    }  # fmt: skip


@claim(
    "krylov.broken-off",
    "Where dⱼᵀBdⱼ is not finite the iteration ends at zⱼ, unsolved; where ‖r₀‖ = η‖g‖ it ends at once, solved",
    NW + "§7.1",
    broken_off,
    given="that product is counted, as is the one for a start; no curvature is claimed, and the gain is not a number",
    uses=CG,
    scale=lambda B, g, z: (size(z), size(g), size(g) ** 2, size(g) * size(z), size(B), 1, 1, 1),
    because=STEPS,
    exact=False,
)
def is_broken_off(B, g, z, r, d, longest, end, spent, at_once, none):
    flags = [end.solved, end.concave, not np.isnan(end.gain), end.bend, not none.solved]
    return (
        end.z - z, end.d - d, end.square - r @ r, end.promised + model(g, B, z), end.size - longest,
        np.array([spent, at_once], float), np.array(flags, float),
        np.array([size(none.z), none.bend, none.size, none.gain, none.products]),
    )  # fmt: skip
