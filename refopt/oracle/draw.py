"""Random instances for the claims, in two readings: floats of controlled conditioning, or small rational numbers.

A claim's instance is written once, in the words of ``Draw`` and of this file, and serves both.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refopt import exact as rationals
from refopt.oracle import digits

CONDITION = 1e6  #: of a drawn matrix, at most


class Draw:
    """A source of random arrays: floats, or rational numbers where `exact`; of the size asked for, if one is."""

    def __init__(self, rng: np.random.Generator, exact: bool = False, size: int | None = None) -> None:
        self.rng, self.exact, self._size = rng, exact, size

    def size(self, low: int = 1, high: int = 5) -> int:
        """A number of variables between `low` and `high`; smaller ones in the exact reading, where digits multiply."""
        high = min(high, max(low, 3)) if self.exact else high
        return int(self.rng.integers(low, high + 1)) if self._size is None else min(max(self._size, low), high)

    def array(self, values: Any) -> np.ndarray:
        """Given numbers (floats, fractions, "p/q") in this reading."""
        numbers = rationals.array(values)
        return numbers if self.exact else numbers.astype(float)

    def number(self, low: Any, high: Any) -> Any:
        """A number between low and high."""
        low, high = rationals.rational(str(low)), rationals.rational(str(high))
        return self.array(low + (high - low) * int(self.rng.integers(1, 100)) / 100)[()]

    def magnitude(self, decades: int = 3) -> Any:
        """A positive number of any order of magnitude within `decades` of 1."""
        exponent = self.rng.integers(-decades, decades + 1)
        return self.array(rationals.rational(f"1e{exponent}"))[()] * self.number(1, 9)

    def matrix(self, m: int, n: int) -> np.ndarray:
        return rationals.numbers(self.rng, (m, n)) if self.exact else self.rng.standard_normal((m, n))

    def vector(self, n: int) -> np.ndarray:
        """A vector that is not zero."""
        v = self.matrix(n, 1)[:, 0]
        return v if v.any() else self.vector(n)

    def orthogonal(self, n: int) -> np.ndarray:
        if self.exact:
            return rationals.orthogonal(self.rng, n)
        return np.linalg.qr(self.rng.standard_normal((n, n)))[0]

    def positive(self, n: int, condition: float = CONDITION) -> np.ndarray:
        """The eigenvalues of a positive definite matrix: numbers in [1, condition] times a common magnitude."""
        if self.exact:
            return abs(rationals.numbers(self.rng, n)) + rationals.rational("1/2")
        return 10.0 ** self.rng.uniform(0, self.rng.uniform(0, np.log10(condition)), n) * self.magnitude()

    def mixed(self, n: int) -> np.ndarray:
        """The eigenvalues of an indefinite matrix, n ≥ 2: the first is negative, the last positive."""
        signs = self.rng.choice([-1, 1], n)
        signs[0], signs[-1] = -1, 1
        return self.positive(n) * signs

    def spd(self, n: int, condition: float = CONDITION) -> np.ndarray:
        """A symmetric positive definite matrix."""
        return with_spectrum(self.orthogonal(n), self.positive(n, condition))

    def unit(self, n: int, condition: float) -> np.ndarray:
        """A symmetric positive definite matrix with ‖A‖₂ = 1."""
        values = self.positive(n, condition)
        return with_spectrum(self.orthogonal(n), values / values.max())

    def indefinite(self, n: int) -> np.ndarray:
        """A symmetric matrix with eigenvalues of both signs, n ≥ 2."""
        return with_spectrum(self.orthogonal(n), self.mixed(n))

    def full_rank(self, m: int, n: int, condition: float = 1e3) -> np.ndarray:
        """An (m, n) matrix, m ≥ n, of rank n."""
        A = self.matrix(m, n)
        if self.exact:
            return A if least(A.T @ A) > 0 else self.full_rank(m, n)
        return np.linalg.qr(A)[0] * self.positive(n, condition) @ self.orthogonal(n)


Instance = Callable[..., dict[str, Any]]


class Counted:
    """A function that remembers where it was asked."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.seen = function, list[Any]()

    def __call__(self, *arguments: Any) -> Any:
        self.seen.append(arguments[-1])
        return self.function(*arguments)

    @property
    def calls(self) -> int:
        return len(self.seen)


# --- algebra in both readings ------------------------------------------------------------------------------------


def with_spectrum(Q: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Q diag(values) Qᵀ, symmetric to the last bit."""
    A = (Q * values) @ Q.T
    return (A + A.T) / 2


def solve(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A⁻¹b."""
    return rationals.solve(A, b) if A.dtype == object else np.linalg.solve(A, b)


def inverse(A: np.ndarray) -> np.ndarray:
    return solve(A, eye(A))


def eye(A: np.ndarray) -> np.ndarray:
    """The identity of A's shape and numbers."""
    return np.eye(len(A), dtype=int) + 0 * A


def of_many_digits(A: np.ndarray) -> bool:
    return A.dtype == object and A.size > 0 and digits.of_many(A.flat[0])


def least(A: np.ndarray) -> Any:
    """The smallest eigenvalue of a symmetric A, or, over rational numbers, its smallest pivot: of the same sign."""
    if of_many_digits(A):
        return digits.lowest(A)
    return min(rationals.pivots(A)) if A.dtype == object else np.linalg.eigvalsh(A)[0]


def determinant(A: np.ndarray) -> Any:
    """Of a symmetric positive definite A over rational numbers (the product of its pivots), of any A over floats."""
    return np.prod(rationals.pivots(A)) if A.dtype == object else np.linalg.det(A)


def excess(value: Any) -> Any:
    """max(0, value), component by component: what an inequality `value ≤ 0` is violated by, as far as one can tell."""
    if isinstance(value, np.ndarray):
        return np.where(value <= 0, 0 * value, value)[()]
    return 0 * value if value <= 0 else value


def size(A: Any) -> Any:
    """‖A‖₂ of a vector, ‖A‖_F of a matrix, |A| of a number, as a float; of numbers of many digits, as one of them."""
    A = np.asarray(A)
    if of_many_digits(A):
        return (A * A).sum().sqrt()
    return float(np.linalg.norm(A.astype(float)))


def apart(found: Any, expected: Any, *of: Any) -> Any:
    """found − expected, relative to the largest number of either, and of what they are sums of."""
    largest = max(float(np.abs(part).max(initial=0.0)) for part in map(np.asarray, (found, expected, *of)))
    return (found - expected) / (largest or 1.0)


def bulk(A: Any) -> Any:
    """Σ|aᵢⱼ|, which bounds the norms and stays rational."""
    return abs(A).sum()


def condition(A: np.ndarray) -> float:
    """κ₂(A), as a float."""
    return float(np.linalg.cond(np.asarray(A, dtype=float)))
