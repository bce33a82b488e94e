"""L-BFGS: what the two loops compute, and how they go wrong."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.bfgs import pair
from refopt.oracle.draw import bulk, eye, least, size

LOOPS = ("ops.two_loop",)
PRODUCTS = "each of the m updates multiplies roundings by (1 + ‖s‖‖y‖/yᵀs)² at most"


def learnt(draw, loops, n=None, m=None, sign=1):
    """m pairs of a quadratic with Hessian A, oldest first, and the product with a vector q."""
    n, m = n or draw.size(), m or int(draw.rng.integers(1, 4))
    A, q = draw.unit(n, 10), draw.vector(n)
    S = np.array([draw.vector(n) for _ in range(m)])
    Y, gamma = sign * (S @ A), draw.number(0.1, 10)
    return {"A": A, "S": S, "Y": Y, "gamma": gamma, "q": q, "Hq": loops(S, Y, m, gamma, q)}


def growth(S, Y, gamma):
    """What the terms can be as large as."""
    factor = np.prod([1 + size(s) * size(y) / abs(float(y @ s)) for s, y in zip(S, Y, strict=True)])
    return factor**2 * (float(gamma) + sum(size(s) ** 2 / abs(float(y @ s)) for s, y in zip(S, Y, strict=True)))


def dense(S, Y, gamma):
    """γI after an update by each pair."""
    H = gamma * eye(np.outer(S[0], S[0]))
    for s, y in zip(S, Y, strict=True):
        V = eye(H) - y[:, None] * s / (y @ s)
        H = V.T @ H @ V + s[:, None] * s / (y @ s)
    return H


@claim(
    "l-bfgs.two-loop",
    "The two loops multiply by the matrix that m BFGS updates make of γI",
    NW + "§7.2",
    learnt,
    given="yᵢᵀsᵢ ≠ 0",
    uses=LOOPS,
    scale=lambda S, Y, gamma, q: growth(S, Y, gamma) * size(q),
    because=PRODUCTS,
)
def two_loop(S, Y, gamma, q, Hq):
    return dense(S, Y, gamma) @ q - Hq


def remembered(draw, loops, update, forgotten=0):
    """All pairs for BFGS, all but the oldest for the loops."""
    n, m = draw.size(2), int(draw.rng.integers(2, 4))
    found = learnt(draw, lambda S, Y, m, gamma, q: loops(S[forgotten:], Y[forgotten:], m - forgotten, gamma, q), n, m)
    H = found["gamma"] * eye(found["A"])
    for s, y in zip(found["S"], found["Y"], strict=True):
        H = update(H, s, y)
    return found | {"H": H}


def missed(draw, loops, update):
    """Where the oldest pair matters."""
    found = remembered(draw, loops, update, 1)
    change = found["H"] @ found["q"] - found["Hq"]
    return found if size(change) > 1e-3 * size(found["Hq"]) else missed(draw, loops, update)


@claim(
    "l-bfgs.bfgs",
    "From the same H₀ = γI, L-BFGS takes the steps of BFGS",
    NW + "§7.2",
    remembered,
    "conditional",
    given="the memory holds every pair so far",
    uses=(*LOOPS, "bfgs.update"),
    scale=lambda S, Y, gamma, q: growth(S, Y, gamma) * size(q),
    because=PRODUCTS,
    fails=(Fails("the oldest pair is forgotten", missed, lambda H, q, Hq: (H @ q - Hq) / bulk(Hq)),),
)
def all_pairs(H, q, Hq):
    return H @ q - Hq


def without(basis, v):
    """v less its parts along the basis, twice, because the first time rounds."""
    for b in (*basis, *basis):
        v = v - (b @ v) / (b @ b) * b
    return v


def unseen(draw, loops):
    """A vector that is orthogonal to every s and y."""
    found = learnt(draw, loops, draw.size(4, 5) if not draw.exact else 3, 1)
    basis, q = list[np.ndarray](), found["q"]
    for v in (*found["S"], *found["Y"]):
        rest = without(basis, v)
        basis += [rest] if size(rest) > 1e-15 * size(v) else []
    q = without(basis, q)
    if size(q) < 1e-3:
        return unseen(draw, loops)
    return found | {"q": q, "Hq": loops(found["S"], found["Y"], 1, found["gamma"], q)}


@claim(
    "l-bfgs.low-rank",
    "The history is a low-rank approximation of the inverse Hessian",
    "R. H. Byrd, J. Nocedal & R. B. Schnabel, Math. Program. 63 (1994) 129",
    unseen,
    "imprecise",
    corrected="It is γI and a matrix of rank 2m at most: Hq = γq for every q that is orthogonal to all s and y",
    uses=LOOPS,
    scale=lambda S, Y, gamma, q: growth(S, Y, gamma) * (size(q) + 1),
    because=PRODUCTS,
    fails=(Fails("as stated, H maps such q to 0", unseen, lambda gamma, q, Hq: Hq / (gamma * bulk(q))),),
)
def low_rank(gamma, q, Hq):
    return Hq - gamma * q


def scaled(draw, loops, follows=True):
    """The same with f times c: γ = sᵀy/yᵀy follows, or stays."""
    found = learnt(draw, loops) if follows else learnt(draw, loops, draw.size(2), 1)
    c = draw.magnitude() * 10
    S, Y, gamma, q = found["S"], found["Y"], found["gamma"], found["q"]
    return found | {"c": c, "Hq_scaled": loops(S, c * Y, len(S), gamma / c if follows else gamma, c * q)}


def unscaled(draw, loops):
    """H₀ = γI for f and for cf, where it matters."""
    found = scaled(draw, loops, False)
    change = found["Hq_scaled"] - found["Hq"]
    return found if size(change) > 1e-3 * size(found["Hq"]) else unscaled(draw, loops)


@claim(
    "l-bfgs.scale-free",
    "f → cf changes no step: H becomes H/c, g becomes cg",
    NW + "§6.1 and §7.2",
    scaled,
    "conditional",
    given="γ = sᵀy/yᵀy, which becomes γ/c; not with a γ that stays",
    uses=LOOPS,
    scale=lambda S, Y, gamma, q: growth(S, Y, gamma) * size(q),
    because=PRODUCTS,
    fails=(Fails("γ stays", unscaled, lambda Hq, Hq_scaled: (Hq_scaled - Hq) / bulk(Hq)),),
)
def scale_free(S, Y, gamma, q, Hq, Hq_scaled):
    return Hq_scaled - Hq, dense(S, Y, gamma) @ q - Hq


def newest(draw, loops):
    """The product with the newest y; and y as it becomes where q has taken the place of the old gradient."""
    found = learnt(draw, loops)
    S, Y, gamma = found["S"], found["Y"], found["gamma"]
    q = found["q"]
    for s, y in zip(S[::-1], Y[::-1], strict=True):
        q = q - (s @ q) / (y @ s) * y
    overwritten = Y[-1] + found["q"] - q  # g₊ − q with g₊ = y + g
    if size(overwritten - Y[-1]) < 1e-2 * size(Y[-1]):
        return newest(draw, loops)
    return found | {"overwritten": overwritten, "Hy": loops(S, Y, len(S), gamma, Y[-1])}


@claim(
    "l-bfgs.overwritten-gradient",
    "After the loops, y = g₊ − q may be stored, q being what the first loop has left of g",
    NW + "§7.2",
    newest,
    "false",
    corrected="y = g₊ − g: then Hy = s for the newest pair",
    uses=LOOPS,
    scale=lambda S, Y, gamma: growth(S, Y, gamma) * size(Y[-1]),
    because=PRODUCTS,
    fails=(Fails("as stated, y is As", newest, lambda A, S, overwritten: (overwritten - A @ S[-1]) / bulk(A @ S[-1])),),
)
def secant(S, Hy):
    return Hy - S[-1]


def untested(draw, loops):
    """One pair from where f is concave along the step, and the product with its y."""
    A = draw.unit(n := draw.size(), 10)
    s, y = pair(draw, n, -1)
    S, Y, gamma = s[None, :], y[None, :], draw.number(0.1, 10)
    return {"A": A, "S": S, "Y": Y, "gamma": gamma, "q": y, "Hq": loops(S, Y, 1, gamma, y)}


@claim(
    "l-bfgs.curvature-test",
    "Every pair can be stored: −Hg is a direction of descent",
    NW + "§6.1 and §7.2",
    learnt,
    "false",
    corrected="It is one if yᵀs > 0 for every pair stored: gᵀHg > 0",
    uses=LOOPS,
    scale=lambda S, Y, gamma, q: growth(S, Y, gamma) * size(q) ** 2,
    because=PRODUCTS,
    fails=(Fails("as stated, yᵀs < 0 and g = y", untested, lambda q, Hq: 1 if q @ Hq < 0 else 0),),
)
def curvature_test(S, Y, gamma, q, Hq):
    return max(-(q @ Hq), 0 * gamma), 0 if least(dense(S, Y, gamma)) > 0 else 1
