"""What is reported of an inverse root: the ridge, the floor of the eigenvalues, the condition, and what has no root."""

import re

import numpy as np

from refopt.linalg import inverse_root
from refopt.oracle.claim import EPS, claim
from refopt.oracle.claims.roots import IANNAZZO
from refopt.oracle.draw import size, with_spectrum

METHODS = ("eigh", "coupled-newton")
ROOT = ("linalg.inverse_root",)
HIGHAM = "N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., §3.5 and §7.2"


def begun(draw, start):
    A, p = draw.spd(draw.size(), 1e4), (1, 2, 3, 5, 8)[int(draw.rng.integers(5))]
    X, M = start(A, p)
    return {"A": A, "p": p, "X": X, "M": M}


@claim(
    "roots.start",
    "The coupled iteration begins with X₀ = z^{1/p} I and M₀ = zA, ‖M₀‖_F = (p + 1)/2: X₀ᵖA = M₀, and M → I for A ≻ 0",
    IANNAZZO,
    begun,
    given="eigenvalues of M₀ in (0, p + 1) are enough",
    uses=("linalg.newton_start",),
    scale=lambda M, p: (p * size(M), size(M)),
    because="a root and its power, eps p of z",
    exact=False,
)
def start(A, p, X, M):
    return np.linalg.matrix_power(X, p) @ A - M, size(M) - (p + 1) / 2


def in_units(draw, root):
    """A ridge in units of λ_max, by either method."""
    n, p = draw.size(3), (1, 2, 3, 4)[int(draw.rng.integers(4))]
    Q, values, part = draw.orthogonal(n), draw.positive(n, 1e2), draw.number("1/10", 1)
    X, info = root(with_spectrum(Q, values), p, METHODS[int(draw.rng.integers(2))], part, True)
    return {"Q": Q, "values": values, "part": part, "p": p, "X": X, "ridge": info.ridge}


@claim(
    "roots.relative-ridge",
    "A relative ridge ε stands for ελ_max: X is (A + ελ_max I)^{−1/p}, (λ + ελ_max)^{−1/p} on eigenvectors",
    "V. Gupta, T. Koren & Y. Singer, ICML 2018, arXiv:1802.09568, with ε in units of λ_max",
    in_units,
    given="A ≻ 0",
    uses=ROOT,
    scale=lambda values, part, p: (p * (part * values.max()) ** (-1 / p) * (1 + 1 / part), values.max()),
    because="the iteration loses eps κ, here κ ≤ 1 + 1/ε",
    exact=False,
)
def relative_ridge(Q, values, part, p, X, ridge):
    return Q.T @ X @ Q - np.diag((values + part * values.max()) ** (-1 / p)), ridge - part * values.max()


def lost_in_rounding(draw, root):
    """A diagonal matrix with some eigenvalues below n eps of the largest, negative ones among them; perhaps a ridge."""
    n, p = draw.size(2, 6), (1, 2, 3, 4)[int(draw.rng.integers(4))]
    values, lost = draw.positive(n, 1e2), int(draw.rng.integers(1, n))
    noise = n * EPS * values[lost:].max()
    values[:lost] = noise * draw.rng.uniform(-0.9, 0.9, lost)
    values[0] *= draw.rng.integers(2)
    ridge = float(draw.rng.choice([0.0, 0.25, 0.75])) * noise
    values = draw.rng.permutation(values)
    X, info = root(np.diag(values), p, "eigh", ridge)
    return {"values": values, "floor": ridge or noise, "ridge": ridge, "p": p, "X": X, "info": tuple(info)}


@claim(
    "roots.floor",
    "Of A + εI, eigenvalues below n eps max|λ| are not known: they are raised to it, or to ε where that is less",
    "G. H. Golub & C. F. Van Loan, Matrix Computations, 4th ed., §8.1 (perturbations) and §8.3 (the QR algorithm)",
    lost_in_rounding,
    given="A ⪰ 0 to rounding; reported are how many, κ of what is left, and eps κ for XᵖA − I",
    uses=ROOT,
    scale=lambda values, floor, p: (
        floor ** (-1 / p), floor, 1, values.max() / floor, 1
    ),
    because="eigenvalues of a diagonal matrix are its entries",
    exact=False,
)  # fmt: skip
def floor(values, floor, ridge, p, X, info):
    _, known, clamped, condition, residual, iterations = info
    shifted = values + ridge
    raised = np.maximum(shifted, floor)
    return (
        X - np.diag(raised ** (-1 / p)), known - floor, float(clamped - (shifted < floor).sum() + iterations),
        condition - raised.max() / raised.min(), residual - EPS * condition,
    )  # fmt: skip


def conditioned(draw, root):
    n, p = draw.size(2), (1, 2, 3, 4)[int(draw.rng.integers(4))]
    Q, values = draw.orthogonal(n), draw.positive(n, 1e2)
    ridge = float(draw.number(0, 1)) * values.max()
    A = with_spectrum(Q, values)
    reported = [root(A, p, method, ridge)[1] for method in METHODS]
    return {"A": A + ridge * np.eye(n), "values": values + ridge, "p": p, "reported": np.array(reported)}


@claim(
    "roots.condition",
    "κ₂ = λ_max/λ_min is reported by eigenvectors, ‖A⁻¹‖_F‖A‖_F by Newton's iteration, which needs 10(p + 1)n eps‖A‖_F",
    HIGHAM,
    conditioned,
    given="A ≻ 0, with the ridge in it; by eigenvectors XᵖA − I is estimated by eps κ₂, by Newton's iteration measured",
    uses=ROOT,
    scale=lambda values, p: (100, 1e3, 1e3 * p, 1),
    because="a change of A by eps‖A‖ changes κ by eps κ of it, here κ ≤ 1e2",
    exact=False,
)
def condition(A, values, p, reported):
    n, (by_eigh, by_newton) = len(A), reported
    kappa, frobenius = values.max() / values.min(), size(1 / values) * size(values)
    floors = [by_eigh[1] / (n * EPS * (values.max() - by_eigh[0])), by_newton[1] / (10 * (p + 1) * n * EPS * size(A))]
    residuals = [by_eigh[4] / EPS - kappa, max(by_newton[4] / EPS - frobenius * 100 * p, 0.0)]
    return (
        np.array([by_eigh[3] / kappa, by_newton[3] / frobenius, *floors]) - 1, residuals[0] / kappa, residuals[1],
        np.array([by_eigh[2], by_newton[2], by_eigh[5], by_newton[5] < 1]),
    )  # fmt: skip


def refused(draw):
    """A matrix with a negative eigenvalue that no ridge of less than its modulus mends."""
    n, p = draw.size(2), (1, 2, 3, 4)[int(draw.rng.integers(4))]
    A, said = draw.indefinite(n), ["", ""]
    least = np.linalg.eigvalsh(A)[0]
    for k, method in enumerate(METHODS):
        try:
            inverse_root(A, p, method, -least * float(draw.number("1/10", "9/10")))
        except ValueError as refusal:
            said[k] = str(refusal)
    named = re.search(r"the eigenvalue (\S+);", said[0])
    return {"least": least, "named": float(named[1]) if named else 0.0, "silent": float("" in said)}


@claim(
    "roots.refused",
    "An indefinite matrix is refused, for every p; its lowest eigenvalue is named, to three digits",
    IANNAZZO,
    refused,
    given="a ridge is smaller than |λ₁|; by Newton's iteration it is refused without a name",
    scale=lambda: (5e-3 / (100 * EPS), 1),
    because="three digits are printed",
    exact=False,
)
def is_refused(least, named, silent):
    return named / least - 1, silent


def singular(draw, root):
    """κ_F on either side of what Newton's iteration can bear."""
    n, p, above = draw.size(2), (1, 2, 3, 4)[int(draw.rng.integers(4))], int(draw.rng.integers(2))
    limit = 1 / (10 * (p + 1) * n * EPS)
    values = np.concatenate([draw.rng.uniform(0.5, 1.0, n - 1), [1.0]])
    values[0] = size(values[1:]) / (limit * (3.0 if above else 1 / 3))
    try:
        root(np.diag(draw.rng.permutation(values) * draw.magnitude()), p, "coupled-newton")
    except ValueError:
        return {"wrong": float(not above)}
    return {"wrong": float(above)}


@claim(
    "roots.lost",
    "Newton's iteration refuses a matrix in whose rounding the smallest eigenvalue is lost: 10(p + 1)n eps κ_F(A) ≥ 1",
    IANNAZZO + "; p + 1 products of n terms in a step",
    singular,
    given="the bound is this library's; here within a factor of 3",
    uses=ROOT,
    scale=lambda: 1.0,
    because="yes or no",
    exact=False,
)
def lost(wrong):
    return wrong
