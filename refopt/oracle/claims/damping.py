"""Damping of a Kronecker-factored block: exact, and by damped factors."""

import numpy as np

from refopt.curvature import Kron
from refopt.linalg import kron
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.kronecker import KFAC
from refopt.oracle.draw import condition, excess, eye, size

SOLVED = "eigenvectors lose eps κ of the solution, as a solve does"


def damped_solve(A, G, v, damping, rule):
    """The damped inverse of G ⊗ A times v, by the rule "exact", "pi" or "factored"."""
    return Kron(A, G).solve(v, damping, rule)


def pi_of(A, G):
    return Kron(A, G).pi


def damped(draw, solve):
    """A, G ≻ 0 of any magnitudes, v, and a damping about as large as the eigenvalues of the block."""
    A, G = draw.spd(draw.size(2, 3), 1e2), draw.spd(draw.size(2, 3), 1e2)
    lam = float(draw.number("1/10", 1)) * size(A) * size(G)
    v = draw.vector(len(A) * len(G))
    found = {rule: solve(A, G, v, lam, rule) for rule in ("exact", "pi", "factored")}
    pi = ((np.trace(A) / len(A)) / (np.trace(G) / len(G))) ** 0.5
    return {"A": A, "G": G, "v": v, "lam": lam, "true_pi": pi} | found


def block(A, G, lam, pi):
    """(G + √λ/π I) ⊗ (A + π√λ I)."""
    return kron(G + lam**0.5 / pi * eye(G), A + pi * lam**0.5 * eye(A))


def solved_scales(A, G, v, lam, true_pi, exact, pi, factored):
    matrices = kron(G, A) + lam * np.eye(len(v)), block(A, G, lam, true_pi), block(A, G, lam, 1.0)
    return tuple(size(v) + size(K) * size(u) for K, u in zip(matrices, (exact, pi, factored), strict=True))


@claim(
    "damping.rules",
    "Eigenvectors of A and G solve with G ⊗ A + λI, and with (G + √λ/π I) ⊗ (A + π√λ I) for any π",
    KFAC + "§6.3",
    damped,
    given="A, G ≻ 0",
    uses=("damping.damped_solve",),
    scale=solved_scales,
    because=SOLVED,
    exact=False,
)
def rules(A, G, v, lam, true_pi, exact, pi, factored):
    """Products with the dense matrices."""
    return (
        kron(G, A) @ exact + lam * exact - v,
        block(A, G, lam, true_pi) @ pi - v,
        block(A, G, lam, 1.0) @ factored - v,
    )


@claim(
    "damping.factored",
    "To damp the factors by √λ each is to damp the block by λ",
    KFAC + "§6.3",
    damped,
    "false",
    corrected="vᵀ(G ⊗ A + λI)⁻¹v is larger than with damped factors, for any π: these damp too much in every direction",
    uses=("damping.damped_solve",),
    scale=lambda v, exact: size(v) * size(exact),
    because=SOLVED,
    exact=False,
    fails=(
        Fails("as stated", damped, lambda exact, factored: (exact - factored) / size(exact)),
        Fails("as stated, with the π of K-FAC", damped, lambda exact, pi: (exact - pi) / size(exact)),
    ),
)
def damps_more(v, exact, pi, factored):
    return excess(v @ pi - v @ exact), excess(v @ factored - v @ exact)


def chosen(draw, pi_of):
    """The library's π, and another one."""
    A, G = draw.spd(draw.size(1, 3), 1e2), draw.spd(draw.size(1, 3), 1e2)
    return {"A": A, "G": G, "pi": pi_of(A, G), "other": pi_of(A, G) * float(draw.magnitude(1))}


def spread(draw, pi_of):
    """A with one large eigenvalue of d, G = I: the mean of the eigenvalues of A is far from the largest."""
    d = draw.size(2, 4)
    A, G = np.diag([float(draw.number(10, 100))] + [0.01] * (d - 1)), np.eye(2)
    return {"A": A, "G": G, "pi": pi_of(A, G)}


def unbalanced(draw, pi_of):
    """A a hundred times G or so."""
    made = chosen(draw, pi_of)
    A, G = made["A"] / np.trace(made["A"]) * float(draw.number(100, 200)), made["G"] / np.trace(made["G"])
    return {"A": A, "G": G, "pi": pi_of(A, G)}


def more(A, G, pi, norm):
    """What π√λ G ⊗ I + √λ/π I ⊗ A measures at most, over √λ: the sum of the norms of both parts."""
    return norm(kron(G, eye(A))) * pi + norm(kron(eye(G), A)) / pi


def spectral(K):
    return np.linalg.eigvalsh(K)[-1]


def best(A, G, norm):
    return (norm(kron(eye(G), A)) / norm(kron(G, eye(A)))) ** 0.5


@claim(
    "damping.pi",
    "π = √((tr A/d_A)/(tr G/d_G)) is the best π: it bounds what factored damping adds too much as well as any can",
    KFAC + "§6.3",
    chosen,
    "conditional",
    given="that is measured by the trace norm; the spectral norm is smallest at √(‖A‖₂/‖G‖₂)",
    uses=("damping.pi_of",),
    scale=lambda A, G, pi: (pi, more(A, G, pi, np.trace)),
    because="a few quotients and square roots",
    exact=False,
    fails=(
        Fails(
            "π² in the place of π",
            unbalanced,
            lambda A, G, pi: excess(more(A, G, pi**2, np.trace) / more(A, G, pi, np.trace) - 1),
        ),
        Fails(
            "the spectral norm, A = diag(a, ε, …), G = I",
            spread,
            lambda A, G, pi: excess(more(A, G, pi, spectral) / more(A, G, best(A, G, spectral), spectral) - 1),
        ),
    ),
)
def pi_is_best(A, G, pi, other):
    return best(A, G, np.trace) - pi, excess(more(A, G, pi, np.trace) - more(A, G, other, np.trace))


def unregularised(draw, solve):
    A, G = draw.spd(draw.size(1, 3), 1e2), draw.spd(draw.size(1, 3), 1e2)
    v = draw.vector(len(A) * len(G))
    return {"A": A, "G": G, "v": v} | {rule: solve(A, G, v, 0.0, rule) for rule in ("exact", "pi", "factored")}


@claim(
    "damping.none",
    "Without damping all rules are the inverse",
    KFAC + "§3",
    unregularised,
    given="A, G ≻ 0",
    uses=("damping.damped_solve",),
    scale=lambda A, G, v, exact: (
        size(v) + size(A) * size(G) * size(exact), *(condition(A) * condition(G) * size(exact),) * 2,
    ),
    because=SOLVED,
    exact=False,
)  # fmt: skip
def undamped(A, G, v, exact, pi, factored):
    return kron(G, A) @ exact - v, pi - exact, factored - exact
