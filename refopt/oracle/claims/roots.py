"""Inverse p-th roots of matrices by the coupled Newton iteration."""

from math import log2

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import condition, size, with_spectrum

IANNAZZO = (
    "B. Iannazzo, SIAM J. Matrix Anal. Appl. 28 (2006) 503; N. J. Higham, Functions of Matrices, SIAM 2008, ch. 7"
)
RIDGE = 1e-6  #: ε over the largest eigenvalue
STABLE = "the iteration loses eps κ(A), p times in the p-th power"


def inverse_root(A, p):
    """A^{−1/p} of A ≻ 0:   X = z^{1/p}I, M = zA;   T = ((p + 1)I − M)/p,  X ← XT,  M ← TᵖM,   z = (p + 1)/2‖A‖_F."""
    return coupled(A, p, p)[0]


def coupled(A, p, power):
    """X where M ← T^power M has arrived at I, and how far M is from I then."""
    one, z = np.eye(len(A)), (p + 1) / (2 * np.linalg.norm(A))
    X, M, far = z ** (1 / p) * one, z * A, np.inf
    for _ in range(200):
        now = abs(M - one).max()
        if far < 1e-6 and now >= 0.9 * far:  # no nearer any more
            break
        T, far = ((p + 1) * one - M) / p, now
        X, M = X @ T, np.linalg.matrix_power(T, power) @ M
    return X, far


def rooted(draw, root):
    A, p = draw.spd(draw.size(), 1e4), (1, 2, 3, 4, 5, 6, 8, 16)[int(draw.rng.integers(8))]
    return {"A": A, "p": p, "X": root(A, p)}


def wrong_power(draw, root):
    """T to the power of two nearest to p, no more than 8: M still arrives at I, but X is not a root of A⁻¹."""
    A, p = draw.spd(draw.size(), 1e2), (3, 5, 6, 16)[int(draw.rng.integers(4))]
    X, far = coupled(A, p, 2 ** min(3, round(log2(p))))
    return {"A": A, "p": p, "X": X, "far": far}


def defect(A, p, X):
    return np.linalg.matrix_power(X, p) @ A - np.eye(len(A))


@claim(
    "roots.coupled-newton",
    "M → I in the coupled iteration shows that X = A^{−1/p}",
    IANNAZZO,
    rooted,
    "conditional",
    given="A ≻ 0 and M ← TᵖM with that very p; other powers converge too, to something else",
    uses=("roots.inverse_root",),
    scale=lambda A, p: p * condition(A),
    because=STABLE,
    exact=False,
    fails=(
        Fails(
            "the nearest power of two in place of p = 3, 5, 6, 16",
            wrong_power,
            lambda A, p, X, far: defect(A, p, X) if far < 1e-10 else 0.0,
        ),
    ),
)
def coupled_newton(A, p, X):
    return defect(A, p, X)


def ridged(draw, root):
    """The root of A + εI, ε = 1e-6 λ_max, where A is singular or nearly so."""
    n, p = draw.size(2), (2, 4)[int(draw.rng.integers(2))]
    Q, values = draw.orthogonal(n), draw.positive(n, 10)
    values[0] = values.max() * (0.0, 1e-5, 1e-7)[int(draw.rng.integers(3))]
    eps = RIDGE * values.max()
    X = root(with_spectrum(Q, values + eps), p)
    return {"Q": Q, "values": values, "eps": eps, "p": p, "X": X, "A": with_spectrum(Q, values)}


@claim(
    "roots.ridge",
    "A ridge of 1e-6 λ_max leaves the root of A⁻¹ as it is",
    "V. Gupta, T. Koren & Y. Singer, ICML 2018, arXiv:1802.09568; " + IANNAZZO,
    ridged,
    "false",
    corrected="It is (A + εI)^{−1/p}, (λ + ε)^{−1/p} ≤ ε^{−1/p} on eigenvectors: at most 31.6 λ_max^{−¼} if p = 4",
    uses=("roots.inverse_root",),
    scale=lambda values, eps, p: float(eps) ** (-1 / p) / RIDGE,
    because=STABLE + ", here κ ≤ 1e6",
    exact=False,
    fails=(Fails("as stated, λ₁/λ_max ≤ 1e-5", ridged, lambda A, p, X: size(defect(A, p, X))),),
)
def ridge(Q, values, eps, p, X):
    return Q.T @ X @ Q - np.diag((values + eps) ** (-1 / p))
