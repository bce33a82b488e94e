"""The trace by Hutch++ and XTrace, over all outcomes of the vectors, or where no chance is left."""

from itertools import product

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.trace import SIGNS, SUMS, XTRACE, moments, outcomes, spread
from refopt.oracle.draw import bulk, condition, excess, size, with_spectrum

HUTCHPP = "R. A. Meyer, C. Musco, C. Musco & D. P. Woodruff, Hutch++, arXiv:2010.09649"


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
    uses=("trace.hutchpp",),
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
    uses=("trace.hutchpp", "trace.xtrace"),
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
    uses=("trace.xtrace",),
    scale=lambda A: condition(A) * bulk(A),
    because=SUMS + "; ranges are known to eps κ(A)",
    exact=False,
)
def of_exchanged(A, mean):
    return mean - np.trace(A)
