"""The trace from products with random vectors, over all outcomes of the vectors: nothing is left to chance."""

from itertools import product

import numpy as np

from refopt import curvature
from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import bulk

HUTCHINSON = "M. F. Hutchinson, Commun. Statist. Simul. Comput. 19 (1990) 433"
XTRACE = "E. N. Epperly, J. A. Tropp & R. J. Webber, XTrace, arXiv:2301.07825"
SUMS = "sums of a few products of this size"

SIGNS = ((-1, "1/2"), (1, "1/2"))
NORMAL = ((-2, "1/12"), (-1, "1/6"), (0, "1/2"), (1, "1/6"), (2, "1/12"))  #: with the moments 0, 1, 0, 3 of N(0, 1)


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
    uses=("trace.hutchinson",),
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
    uses=("trace.hutchinson",),
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
    uses=("trace.standard_error",),
    scale=lambda A: bulk(A) ** 2,
    because=SUMS,
    exact=False,
)
def of_error(mean, variance):
    return mean - variance
