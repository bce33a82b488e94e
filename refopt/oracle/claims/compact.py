"""Quasi-Newton matrices in compact form, and BFGS without a memory.

S and Y hold m pairs in rows, D = diag(sᵢᵀyᵢ), L the part of SYᵀ below its diagonal, R that on and above it.
"""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.l_bfgs import LOOPS, PRODUCTS, growth, learnt
from refopt.oracle.draw import condition, eye, inverse, least, size, solve

BNS = "R. H. Byrd, J. Nocedal & R. B. Schnabel, Math. Program. 63 (1994) 129; " + NW + "§7.2"


def few(draw, loops):
    """No more pairs than variables, and independent enough."""
    made = learnt(draw, loops, n := draw.size(), int(draw.rng.integers(1, min(n, 3) + 1)))
    S = made["S"]
    gram = S @ S.T
    if not (least(gram) > 0 and size(inverse(gram)) * size(gram) < 1e3):
        return few(draw, loops)
    return made


def parts(S, Y):
    products = S @ Y.T
    return np.diag(np.diag(products)), np.tril(products, -1), np.triu(products)


def spread(S, Y, gamma):
    R = parts(S, Y)[2]
    return growth(S, Y, gamma) * condition(S @ S.T) ** 2 * condition(R) ** 2


@claim(
    "compact.inverse",
    "H = γI + [S γY] [R⁻ᵀ(D + γYᵀY)R⁻¹, −R⁻ᵀ; −R⁻¹, 0] [S γY]ᵀ is what the two loops multiply by",
    BNS,
    few,
    given="yᵢᵀsᵢ > 0; S and Y hold the pairs in columns",
    uses=LOOPS,
    scale=lambda S, Y, gamma, q: spread(S, Y, gamma) * size(q),
    because=PRODUCTS + "; R loses κ(R) twice",
)
def inverse_form(S, Y, gamma, q, Hq):
    D, _, R = parts(S, Y)
    u = solve(R, S @ q)
    v = solve(R.T, D @ u + gamma * (Y @ Y.T @ u) - gamma * (Y @ q))
    return gamma * q + v @ S - gamma * (u @ Y) - Hq


@claim(
    "compact.direct",
    "B = δI − [δS Y] [δSᵀS, L; Lᵀ, −D]⁻¹ [δS Y]ᵀ is the inverse of what the two loops multiply by,   δ = 1/γ",
    BNS,
    few,
    given="yᵢᵀsᵢ > 0; S and Y hold the pairs in columns",
    uses=LOOPS,
    scale=lambda A, S, Y, gamma, q: (1 + 1 / float(gamma)) * (1 + size(A)) * spread(S, Y, gamma) ** 2 * size(q),
    because=PRODUCTS + "; B loses what is lost in solving with its middle matrix",
)
def direct_form(S, Y, gamma, q, Hq):
    D, L, _ = parts(S, Y)
    delta = 1 / gamma
    middle = np.block([[delta * (S @ S.T), L], [L.T, -D]])
    outside = np.concatenate([delta * S, Y])
    return delta * Hq - solve(middle, outside @ Hq) @ outside - q


def rank_one_pairs(draw, update):
    """m updates of δI by SR1, none near a division by zero."""
    n = draw.size(2)
    m, A, delta = int(draw.rng.integers(1, min(n, 3) + 1)), draw.matrix(n, n), draw.number("1/2", 2)
    A = A + A.T
    S, B = np.array([draw.vector(n) for _ in range(m)]), delta * eye(A)
    B0 = B
    for s in S:
        r = A @ s - B @ s
        if abs(float(r @ s)) < 0.1 * size(r) * size(s) or size(r) < 1e-2 * size(s):
            return rank_one_pairs(draw, update)
        B = update(B, s, A @ s)
    D, L, _ = parts(S, S @ A)
    if not condition(middle := D + L + L.T - S @ B0 @ S.T) < 1e3:
        return rank_one_pairs(draw, update)
    return {"S": S, "Y": S @ A, "B0": B0, "middle": middle, "B_new": B}


@claim(
    "compact.sr1",
    "m updates by SR1 make B₀ + (Y − B₀S)(D + L + Lᵀ − SᵀB₀S)⁻¹(Y − B₀S)ᵀ",
    BNS,
    rank_one_pairs,
    given="every update is defined; S and Y hold the pairs in columns",
    uses=("sr1.update",),
    scale=lambda S, Y, B0, middle: 10 ** len(S) * condition(middle) ** 2 * (size(B0) + size(Y) / size(S)) * 10,
    because="each update magnifies earlier roundings by ‖r‖‖s‖/|rᵀs| ≤ 10, and the middle matrix by its condition",
)
def sr1_form(S, Y, B0, middle, B_new):
    rest = Y - S @ B0
    return B0 + rest.T @ solve(middle, rest) - B_new


def memoryless(draw, loops, exactly=True):
    """One pair, γ = 1, at a point where the search along d ended: g₊ᵀd = 0 if it was exact."""
    found = learnt(draw, loops, draw.size(2), 1)
    s, g = found["S"][0], found["q"]
    if exactly:
        g = g - (s @ g) / (s @ s) * s
    if abs(float(g @ s)) < 0.1 * size(g) * size(s) and not exactly:
        return memoryless(draw, loops, exactly)
    return {"S": found["S"], "Y": found["Y"], "g_new": g, "p": -loops(found["S"], found["Y"], 1, 1, g)}


@claim(
    "compact.memoryless",
    "BFGS that keeps the last pair only, from H₀ = I, is the conjugate gradient method of Hestenes and Stiefel",
    NW + "§7.2 (memoryless BFGS)",
    memoryless,
    "conditional",
    given="searches are exact, g₊ᵀs = 0; then −Hg₊ = −g₊ + (yᵀg₊/yᵀs)s",
    uses=LOOPS,
    scale=lambda S, Y, g_new: growth(S, Y, 1) * size(g_new),
    because=PRODUCTS,
    fails=(Fails("g₊ᵀs ≠ 0", lambda draw, loops: memoryless(draw, loops, exactly=False)),),
)
def is_memoryless(S, Y, g_new, p):
    s, y = S[0], Y[0]
    return p + g_new - (y @ g_new) / (y @ s) * s


def quadratic_history(draw, loops):
    """Conjugate steps of a quadratic, all of them remembered."""
    A, q = draw.unit(n := draw.size(1, 4), 10), draw.vector(n)
    steps = list[np.ndarray]()
    for d in draw.full_rank(n, n, 3):
        for u in steps:
            d = d - (u @ A @ d) / (u @ A @ u) * u
        steps.append(d)
    S = np.array(steps)
    return {
        "A": A,
        "S": S,
        "Y": S @ A,
        "gamma": (gamma := draw.number(0.1, 10)),
        "q": q,
        "Hq": loops(S, S @ A, n, gamma, q),
    }


@claim(
    "compact.conjugate-memory",
    "From n conjugate steps of a quadratic the two loops multiply by A⁻¹: no more memory is of use",
    NW + "§7.2 and §6.4",
    quadratic_history,
    given="sᵢᵀAsⱼ = 0 for i ≠ j, m = n",
    uses=LOOPS,
    scale=lambda S, Y, gamma, q: growth(S, Y, gamma) * size(q),
    because=PRODUCTS,
)
def conjugate_memory(A, q, Hq):
    return A @ Hq - q
