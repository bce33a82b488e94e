"""Inverse p-th roots of symmetric positive definite matrices, p a positive integer or rational number.

    eigh                A + εI = V diag(λ) Vᵀ,     X = V diag(λ^{−1/p}) Vᵀ

    coupled Newton      X₀ = z^{1/p} I,  M₀ = z (A + εI),     z = (p + 1) / 2‖A + εI‖_F
                        T = ((p + 1)I − M)/p,   X ← XT,   M ← TᵖM:      XᵖA = M in every step,  and M → I

    p = a/b:            X = ((A + εI)^{−1/a})ᵇ

B. Iannazzo, *SIAM J. Matrix Anal. Appl.* 28 (2006) 503;  N. J. Higham, *Functions of Matrices*, SIAM 2008, chapter 7.
Shapes: A, X are (n, n).   Cost: about 10n³ flops by eigh; by Newton 2 + log₂ p products or so, of 2n³ each, in every
one of log κ / log((1 + 1/p)ᵖ) + 9 iterations at most.

Deviations from the sources, with reasons:
- Everything is computed in float64, whatever the type of A: float32 saves no time, and loses κ times as much.
- T is raised to the power p itself, by repeated squaring; code that takes the nearest power of two instead converges as
  well, to something that is no root.
- No eigenvalue of A is known better than to n eps max |λ|, with the eps of A's own type. By eigh, those of A + εI that
  are below this floor, or below ε where that is smaller, are raised to it, and counted. Newton's iteration sees no
  eigenvalues: where X shows that one is lost in its own rounding, it refuses the matrix.
"""

from fractions import Fraction
from math import inf
from numbers import Rational
from typing import Any, NamedTuple

import numpy as np

from refopt.linalg.arrays import DOUBLE, as_type, rounding, spectral, symmetric
from refopt.ops import Matrix, Symmetric, finite, frobenius, identity, namespace, norm_inf, scalar, symmetrised

METHODS = ("eigh", "coupled-newton")
MOST = 100  #: iterations: each at least doubles the smallest eigenvalue of M, which is 1e-16 or so at least


class RootInfo(NamedTuple):
    """What was computed: X is the root of A + ridge · I with `clamped` eigenvalues raised to `floor`."""

    ridge: float  #: ε, absolute
    floor: float  #: by eigh n eps max |λ|, or the ridge where that is smaller; by Newton what it needs at least
    clamped: int  #: eigenvalues of A + ridge · I that were below the floor
    condition: float  #: κ of what the root is of; by Newton in the norm of Frobenius
    residual: float  #: max |XᵖA − I| as measured by Newton, for p = a/b with the a-th root; by eigh eps · condition
    iterations: int  #: of Newton; 0 by eigh


def inverse_root(
    A: Symmetric, p: Any, method: str = "eigh", ridge: float = 0.0, relative: bool = False
) -> tuple[Symmetric, RootInfo]:  # fmt: skip
    """X = (A + ridge · I)^{−1/p} (n, n), in A's type, and a ``RootInfo``.

    A: symmetric positive semidefinite (n, n), or indefinite where the ridge is large enough.   p: a positive int or
    ``Fraction``.   relative: the ridge is meant in units of the largest eigenvalue of A.

    Raises ValueError where A is not symmetric or not finite, or where A + ridge · I has an eigenvalue that is negative
    beyond rounding; with "coupled-newton" also where it is singular to rounding.
    """
    power = _exponent(p)
    ridge = float(ridge)
    if not (finite(ridge) and ridge >= 0.0):
        raise ValueError(f"ridge must be finite and at least 0; it is {ridge}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; it is {method!r}")
    S = symmetric(A)
    X, info = (by_eigh if method == "eigh" else by_newton)(S, power, ridge, relative)
    return as_type(X, S), info


def by_eigh(A: Symmetric, p: Fraction, ridge: float, relative: bool) -> tuple[Matrix, RootInfo]:
    values, V = spectral(A)
    xp = namespace(values)
    noise = rounding(values, A)
    ridge = ridge * scalar(values[-1]) if relative else ridge
    floor = min(noise, ridge) if ridge > 0.0 else noise
    values = values + ridge
    least, largest = scalar(values[0]), scalar(values[-1])
    if least < -noise:
        raise ValueError(f"A is not positive semidefinite: it has the eigenvalue {least - ridge:.3g}; give a ridge")
    if largest <= 0.0:
        raise ValueError("A is zero, which has no inverse root: give an absolute ridge")
    clamped, condition = 0, largest / max(least, floor)
    if least < floor:
        low = values < floor
        clamped, values = int(xp.sum(xp.astype(low, xp.int64))), xp.where(low, floor + 0.0 * values, values)
    half = V * (values ** (-0.5 / float(p)))[None, :]
    return half @ half.T, RootInfo(ridge, floor, clamped, condition, DOUBLE * condition, 0)


def by_newton(A: Symmetric, p: Fraction, ridge: float, relative: bool) -> tuple[Matrix, RootInfo]:
    xp, a = namespace(A), p.numerator
    B = xp.astype(A, xp.float64)
    one = identity(B[:, 0])
    ridge = ridge * scalar(xp.linalg.eigvalsh(B)[-1]) if relative else ridge
    B = B + ridge * one
    largest = norm_inf(xp.reshape(B, (-1,)))
    if largest == 0.0:
        raise ValueError("A is zero, which has no inverse root: give an absolute ridge")
    size = largest * frobenius(B / largest)
    B = B / size
    (X, M), best, far, iterations = newton_start(B, a), one, inf, 0
    while iterations < MOST:
        now = distance(M, one)
        if not now <= a + 1 or (far < 1e-6 and now >= 0.5 * far):  # an eigenvalue is negative; no nearer any more
            break
        best, far = X, now
        X, M = newton_step(X, M, a)
        iterations += 1
    Y = power(best, a)
    condition, floor = frobenius(Y), 10.0 * (a + 1) * A.shape[0] * DOUBLE
    if far > 1e-6 or not condition * floor < 1.0:
        raise ValueError("A + ridge · I is singular or not positive definite, to rounding: give a larger ridge")
    X = size ** float(-1 / p) * symmetrised(power(best, p.denominator))
    return X, RootInfo(ridge, floor * size, 0, condition, distance(Y @ B, one), iterations)


def newton_start(A: Symmetric, p: int) -> tuple[Matrix, Matrix]:
    """z^{1/p} I and zA, with z = (p + 1) / 2‖A‖_F: the eigenvalues of zA are at most (p + 1)/2."""
    z = (p + 1) / (2.0 * frobenius(A))
    return z ** (1.0 / p) * identity(A[:, 0]), z * A


def newton_step(X: Matrix, M: Matrix, p: int) -> tuple[Matrix, Matrix]:
    """XT and TᵖM, with T = ((p + 1)I − M)/p."""
    T = ((p + 1) * identity(M[:, 0]) - M) / p
    return X @ T, power(T, p) @ M


def power(T: Matrix, p: int) -> Matrix:
    """Tᵖ, p ≥ 1, by repeated squaring."""
    half = T if p == 1 else power(T, p // 2)
    return T if p == 1 else half @ half @ T if p % 2 else half @ half


def distance(M: Matrix, one: Matrix) -> float:
    """max |M − I|."""
    return norm_inf(namespace(M).reshape(M - one, (-1,)))


def _exponent(p: Any) -> Fraction:
    if isinstance(p, bool) or not isinstance(p, Rational | np.integer):
        raise TypeError(f"p must be an int or a fractions.Fraction, which say the root exactly; it is {p!r}")
    if p <= 0:
        raise ValueError(f"p must be positive; it is {p}")
    return Fraction(int(p.numerator), int(p.denominator))
