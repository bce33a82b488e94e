"""The diagonal from products with random vectors, over all outcomes of the vectors: nothing is left to chance."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.trace import NORMAL, SIGNS, SUMS, XTRACE, moments, off, outcomes, symmetric
from refopt.oracle.claims.trace_deflated import exchanged, low_rank, wide
from refopt.oracle.draw import bulk, condition, size

BEKAS = "C. Bekas, E. Kokiopoulou & Y. Saad, Appl. Numer. Math. 57 (2007) 1214"
YAO = "Z. Yao et al., AdaHessian, arXiv:2006.00719"
UNIFORM = ((-1, "1/3"), (0, "1/3"), (1, "1/3"))


def diagonals(draw, estimate, law, matrix=symmetric):
    A = matrix(draw, draw.size(2, 3))
    Z, p = outcomes(draw, len(A), law)
    mean, variance = moments(p, np.array([estimate(A, z[:, None]) for z in Z]))
    return {"A": A, "mean": mean, "variance": variance}


def of_normal_diagonal(draw, estimate):
    made = diagonals(draw, estimate, NORMAL)
    return made if made["A"].diagonal().any() else of_normal_diagonal(draw, estimate)


@claim(
    "diagonal.normal-probes",
    "z ∘ Az estimates the diagonal from normally distributed z as well as from random signs",
    BEKAS,
    of_normal_diagonal,
    "imprecise",
    corrected="The mean is diag A; the variance is Σⱼ≠ᵢ aᵢⱼ² + 2aᵢᵢ², where signs have no 2aᵢᵢ²",
    uses=("curvature.hutchinson",),
    scale=lambda A: (bulk(A), bulk(A) ** 2),
    because=SUMS,
    fails=(
        Fails(
            "as stated, for the variance",
            of_normal_diagonal,
            lambda A, variance: (variance - (off(A) ** 2).sum(axis=1)) / (A.diagonal() ** 2).sum(),
        ),
    ),
)
def normal_diagonal(A, mean, variance):
    return mean - A.diagonal(), variance - (off(A) ** 2).sum(axis=1) - 2 * A.diagonal() ** 2


def filled(draw, n):
    """A matrix without small entries."""
    M = abs(draw.matrix(n, n))
    return 1 + M + M.T


def of_uniform(draw, estimate):
    return diagonals(draw, estimate, UNIFORM, filled)


def voted(draw, estimate):
    """The sign of the sum of two random signs, where a tie counts as 1: E[z] = ½, E[zᵢzⱼ] = ¼."""
    return diagonals(draw, estimate, ((-1, "1/4"), (1, "3/4")), filled)


@claim(
    "diagonal.probes",
    "The mean of z ∘ Az is the diagonal for random z",
    BEKAS + "; " + YAO,
    lambda draw, estimate: diagonals(draw, estimate, (SIGNS, NORMAL)[int(draw.rng.integers(2))]),
    "conditional",
    given="E[zzᵀ] = I",
    uses=("curvature.hutchinson",),
    scale=lambda A: bulk(A),
    because=SUMS,
    fails=(
        Fails("z uniform on {−1, 0, 1}: ⅔ of it", of_uniform, lambda A, mean: (mean - A.diagonal()) / bulk(A)),
        Fails("signs of sums, ties as 1: ¼ of the rows", voted, lambda A, mean: (mean - A.diagonal()) / bulk(A)),
    ),
)
def any_probes(A, mean):
    return mean - A.diagonal()


@claim(
    "diagonal.xdiag",
    "XDiag is unbiased",
    XTRACE,
    exchanged,
    given="independent probes with E[zzᵀ] = I; here all pairs of sign vectors, equal ones among them",
    uses=("curvature.xdiag",),
    scale=lambda A: condition(A) * bulk(A),
    because=SUMS + "; ranges are known to eps κ(A)",
    exact=False,
)
def of_xdiag(A, mean):
    return mean - A.diagonal()


@claim(
    "diagonal.low-rank",
    "XDiag is exact",
    XTRACE,
    low_rank,
    "conditional",
    given="the rank of A is less than the number of probes",
    uses=("curvature.xdiag",),
    scale=lambda A, loss: loss**2 * bulk(A),
    because="the range of A is found to eps κ of the probes, κ(A) ≤ 10",
    exact=False,
    fails=(Fails("A of rank 8, 6 probes", wide, lambda A, found: (found[0] - A.diagonal()) / size(A)),),
)
def diagonal_of_low_rank(A, found):
    return found[0] - A.diagonal()
