"""Trace and diagonal from products with random vectors, over all outcomes of the vectors: nothing is left to chance."""

from itertools import product

import numpy as np

from refopt import curvature
from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import bulk, condition, excess, size, with_spectrum

HUTCHINSON = "M. F. Hutchinson, Commun. Statist. Simul. Comput. 19 (1990) 433"
BEKAS = "C. Bekas, E. Kokiopoulou & Y. Saad, Appl. Numer. Math. 57 (2007) 1214"
HUTCHPP = "R. A. Meyer, C. Musco, C. Musco & D. P. Woodruff, Hutch++, arXiv:2010.09649"
XTRACE = "E. N. Epperly, J. A. Tropp & R. J. Webber, XTrace, arXiv:2301.07825"
YAO = "Z. Yao et al., AdaHessian, arXiv:2006.00719"
SUMS = "sums of a few products of this size"

SIGNS = ((-1, "1/2"), (1, "1/2"))
NORMAL = ((-2, "1/12"), (-1, "1/6"), (0, "1/2"), (1, "1/6"), (2, "1/12"))  #: with the moments 0, 1, 0, 3 of N(0, 1)
UNIFORM = ((-1, "1/3"), (0, "1/3"), (1, "1/3"))


def hutchinson(A, Z):
    """The mean of zᵀAz over the columns of Z."""
    return curvature.trace(A, "hutchinson", Z).value


def hutchpp(A, Z):
    return curvature.trace(A, "hutch++", Z).value


def xtrace(A, Z):
    return curvature.trace(A, "xtrace", Z).value


def outcomes(draw, n, law):
    """All z (n,) with independent entries of a law ((value, probability), …), and their probabilities."""
    every = list(product(law, repeat=n))
    Z = draw.array([[value for value, _ in z] for z in every])
    p = np.array([np.prod(draw.array([weight for _, weight in z])) for z in every])
    return Z, p


def off(A):
    """A without its diagonal."""
    return A - np.diag(A.diagonal())


def symmetric(draw, n):
    M = draw.matrix(n, n)
    return M + M.T


def moments(p, values):
    """Mean and variance, entry by entry."""
    mean = (p * values.T).T.sum(axis=0)
    return mean, (p * ((values - mean) ** 2).T).T.sum(axis=0)


# --- Hutchinson's trace ------------------------------------------------------------------------------------------


def traced(draw, estimate, law=SIGNS, matrix=symmetric):
    A = matrix(draw, draw.size(1, 3))
    Z, p = outcomes(draw, len(A), law)
    mean, variance = moments(p, np.array([estimate(A, z[:, None]) for z in Z]))
    return {"A": A, "mean": mean, "variance": variance}


def skew(draw, n):
    """A matrix that is far from symmetric: 1 + |M| above the diagonal, its negative below."""
    M = np.triu(1 + abs(draw.matrix(n + 1, n + 1)), 1)
    return M - M.T


def lopsided(draw, estimate):
    return traced(draw, estimate, matrix=skew)


@claim(
    "trace.hutchinson",
    "zᵀAz of random signs has the mean tr A and the variance 2(‖A‖² − Σaᵢᵢ²), ‖A‖² = Σaᵢⱼ²",
    HUTCHINSON,
    traced,
    "conditional",
    given="A = Aᵀ, for the variance; the mean is tr A for every A",
    uses=("estimators.hutchinson",),
    scale=lambda A: (bulk(A), bulk(A) ** 2),
    because=SUMS,
    fails=(Fails("A = −Aᵀ: the variance is 0", lopsided, lambda A, variance: (variance - spread(A)) / spread(A)),),
)
def of_signs(A, mean, variance):
    return mean - np.trace(A), variance - spread(A)


def spread(A):
    """2(‖A‖_F² − Σaᵢᵢ²)."""
    return 2 * (off(A) ** 2).sum()


def of_normal_probes(draw, estimate):
    made = traced(draw, estimate, NORMAL)
    return made if made["A"].diagonal().any() else of_normal_probes(draw, estimate)


@claim(
    "trace.normal-probes",
    "Normally distributed probes give the trace as well as random signs",
    HUTCHINSON,
    of_normal_probes,
    "imprecise",
    corrected="The mean is tr A with both, the variance 2Σaᵢⱼ², which is 2Σaᵢᵢ² more than with signs",
    uses=("estimators.hutchinson",),
    scale=lambda A: (bulk(A), bulk(A) ** 2),
    because=SUMS,
    fails=(
        Fails(
            "as stated, for the variance",
            of_normal_probes,
            lambda A, variance: (variance - spread(A)) / (A.diagonal() ** 2).sum(),
        ),
    ),
)
def of_normal(A, mean, variance):
    return mean - np.trace(A), variance - 2 * (A**2).sum()


def standard_error(A, Z):
    return curvature.trace(A, "hutchinson", Z).stderr


def errors(draw, error):
    """The squared standard error from two probes, over all pairs of signs."""
    A = draw.matrix(n := draw.size(1, 3), n)
    Z, p = outcomes(draw, n, SIGNS)
    pairs = [
        (float(a * b), error(A, np.column_stack([u, v])))
        for (u, a), (v, b) in product(zip(Z, p, strict=True), repeat=2)
    ]
    values = np.array([z @ A @ z for z in Z])
    return {"A": A, "mean": sum(a * e**2 for a, e in pairs), "variance": float(np.var(values)) / 2}


@claim(
    "trace.standard-error",
    "The square of the standard error has the variance of the estimate as its mean",
    HUTCHINSON,
    errors,
    uses=("estimators.standard_error",),
    scale=lambda A: bulk(A) ** 2,
    because=SUMS,
    exact=False,
)
def of_error(mean, variance):
    return mean - variance


# --- Hutch++ and XTrace ------------------------------------------------------------------------------------------


def deflated(draw, estimate):
    """Hutch++ with a fixed S of one column and every sign vector; B = (I − qqᵀ)A(I − qqᵀ), q = AS/‖AS‖."""
    n = draw.size(1, 3)
    A, s = with_spectrum(draw.orthogonal(n), draw.positive(n, 1e2)), draw.vector(n)
    Z, p = outcomes(draw, n, SIGNS)
    mean, variance = moments(p, np.array([estimate(A, np.column_stack([s, z])) for z in Z]))
    q = A @ s / size(A @ s)
    B = A - np.outer(q, q @ A)
    return {"A": A, "B": B - np.outer(B @ q, q), "mean": mean, "variance": variance}


def of_identity(draw, estimate):
    """A = I and S = (1, …, 1): Hutchinson's estimate is exact, and what Hutch++ has left is not diagonal."""
    n = draw.size(2, 3)
    Z, p = outcomes(draw, n, SIGNS)
    A = np.eye(n)
    _, variance = moments(p, np.array([estimate(A, np.column_stack([np.ones(n), z])) for z in Z]))
    return {"variance": variance, "hutchinson": spread(A)}


@claim(
    "trace.hutch++",
    "Hutch++ is unbiased, with a smaller variance than Hutchinson's estimate from the same number of random signs",
    HUTCHPP,
    deflated,
    "conditional",
    given="tr QᵀAQ has much of the trace; it is 2Σbᵢⱼ², i ≠ j, of the rest B = (I − QQᵀ)A(I − QQᵀ), ‖B‖_F ≤ ‖A‖_F",
    uses=("estimators.hutchpp",),
    scale=lambda A: (100 * bulk(A), 100 * bulk(A) ** 2, bulk(A) ** 2),
    because=SUMS + "; Q is known to eps κ(A), κ ≤ 100",
    exact=False,
    fails=(Fails("A = I", of_identity, lambda variance, hutchinson: excess(variance - hutchinson)),),
)
def of_deflated(A, B, mean, variance):
    return mean - np.trace(A), variance - spread(B), excess((B**2).sum() - (A**2).sum())


def low_rank(draw, *estimates):
    """A of rank 1 or 2 beside probes enough for it; exact estimates."""
    n, rank = draw.size(3, 6), int(draw.rng.integers(1, 3))
    A = with_spectrum(draw.orthogonal(n), np.append(draw.positive(rank, 10), np.zeros(n - rank)))
    Z = draw.rng.standard_normal((n, 6))
    return {"A": A, "loss": condition(Z), "found": tuple(estimate(A, Z) for estimate in estimates)}


def wide(draw, *estimates):
    """The same probes and A of full rank."""
    A = with_spectrum(draw.orthogonal(8), draw.positive(8, 10))
    Z = draw.rng.standard_normal((8, 6))
    return {"A": A, "found": tuple(estimate(A, Z) for estimate in estimates)}


@claim(
    "trace.low-rank",
    "Hutch++ and XTrace are exact",
    HUTCHPP + "; " + XTRACE,
    low_rank,
    "conditional",
    given="the rank of A is no more than the probes in S, or than all probes but one",
    uses=("estimators.hutchpp", "estimators.xtrace"),
    scale=lambda A, loss: loss**2 * bulk(A),
    because="the range of A is found to eps κ of the probes, κ(A) ≤ 10",
    exact=False,
    fails=(
        Fails("A of rank 8, 6 probes", wide, lambda A, found: (np.array(found) - np.trace(A)) / size(A)),
    ),
)  # fmt: skip
def of_low_rank(A, found):
    return tuple(value - np.trace(A) for value in found)


def exchanged(draw, estimate):
    """All pairs of sign vectors."""
    A = draw.full_rank(n := draw.size(1, 3), n, 1e2)
    Z, p = outcomes(draw, n, SIGNS)
    pairs = list(product(range(len(Z)), repeat=2))
    found = np.array([estimate(A, np.column_stack([Z[i], Z[j]])) for i, j in pairs])
    mean, variance = moments(np.array([p[i] * p[j] for i, j in pairs]), found)
    return {"A": A, "mean": mean, "variance": variance}


@claim(
    "trace.xtrace",
    "XTrace is unbiased",
    XTRACE,
    exchanged,
    given="independent probes with E[zzᵀ] = I; here all pairs of sign vectors, equal ones among them",
    uses=("estimators.xtrace",),
    scale=lambda A: condition(A) * bulk(A),
    because=SUMS + "; ranges are known to eps κ(A)",
    exact=False,
)
def of_exchanged(A, mean):
    return mean - np.trace(A)


# --- the diagonal ------------------------------------------------------------------------------------------------


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
