"""The vocabulary: the words in which every method of the library is written.

A method says what it means in Python's operators and these words, and nothing else. Each word has two bodies: the
generic one here, for any array kind (NumPy, CuPy, PyTorch, array-api-strict, or rational numbers in a NumPy object
array), and a plain loop in ``refopt.words``, which the compiled reading uses. A property test holds both equal.

Scalar words return the scalar of the reading: a Python float, or the rational number itself. Array words return the
input's own kind on the input's own device. Factorisations return ``(value, ok)`` and never raise.

The annotations are not decoration: the compiled reading resolves ``H @ g`` or ``x + alpha * p`` by them. ``Symmetric``
says that a matrix equals its transpose; there only its lower triangle is read.
"""

import math
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy import ndarray


class Vector(Protocol):
    """An array of shape (n,)."""

    def __add__(self, other: "Vector") -> "Vector": ...
    def __sub__(self, other: "Vector") -> "Vector": ...
    def __mul__(self, other: "Vector | float") -> "Vector": ...
    def __rmul__(self, other: float) -> "Vector": ...
    def __truediv__(self, other: "Vector | float") -> "Vector": ...
    def __neg__(self) -> "Vector": ...


class Matrix(Protocol):
    """An array of shape (m, n)."""

    def __matmul__(self, other: Vector) -> Vector: ...


class Symmetric(Protocol):
    """An array of shape (n, n) that equals its transpose."""

    def __matmul__(self, other: Vector) -> Vector: ...
    def __rmul__(self, other: float) -> "Symmetric": ...


# --- scalars -----------------------------------------------------------------------------------------------------


def scalar(value: Any) -> Any:
    """A zero-dimensional array or NumPy scalar as a Python float; a rational number (or a float) as it is."""
    return float(value) if hasattr(value, "dtype") else value


def dot(x: Vector, y: Vector) -> float:
    """xᵀy, for x, y of shape (n,)."""
    return scalar(x @ y)  # type: ignore[operator]


def norm(x: Vector) -> float:
    """‖x‖₂ = √(xᵀx), scaled by ‖x‖∞ where the squares would over- or underflow."""
    square = dot(x, x)
    if not isinstance(square, float):
        raise TypeError("norm needs a square root, which rational numbers lack: compare squares, dot(x, x), instead")
    if 1e-200 < square < 1e200:
        return math.sqrt(square)
    largest = norm_inf(x)
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    unit = x / largest
    return largest * math.sqrt(dot(unit, unit))


def norm_inf(x: Vector) -> float:
    """‖x‖∞ = maxᵢ |xᵢ|: NaN if a component is NaN, 0 for an empty vector."""
    if type(x) is ndarray:
        return scalar(abs(x).max()) if x.size else 0.0
    xp = namespace(x)
    return scalar(xp.max(xp.abs(x))) if math.prod(x.shape) else 0.0  # type: ignore[attr-defined]


def eps(x: Vector) -> float:
    """The distance from 1 to the next number of x's type: 2⁻⁵² for float64, 2⁻²³ for float32, 0 for rationals."""
    if type(x) is ndarray:
        return _EPS[x.dtype.char]
    return float(namespace(x).finfo(x.dtype).eps)  # type: ignore[attr-defined]


_EPS = {"d": 2.0**-52, "f": 2.0**-23, "e": 2.0**-10, "g": float(np.finfo(np.longdouble).eps), "O": 0.0}


def finite(f: float) -> bool:
    """Whether a scalar is neither infinite nor NaN."""
    return f - f == 0


# --- vectors -----------------------------------------------------------------------------------------------------


def absolute(x: Vector) -> Vector:
    """|x|, component by component."""
    return namespace(x).abs(x)


def larger(x: Vector, y: Vector) -> Vector:
    """max(xᵢ, yᵢ), component by component."""
    return namespace(x).maximum(x, y)


def weighted_max(g: Vector, w: Vector) -> float:
    """maxᵢ |gᵢ| wᵢ for w ≥ 0: the largest first-order change of f when each variable moves by its own size."""
    return norm_inf(g * w)


# --- symmetric matrices ------------------------------------------------------------------------------------------


def identity(x: Vector) -> Symmetric:
    """The (n, n) identity of the type and on the device of x (n,)."""
    n = x.shape[0]  # type: ignore[attr-defined]
    if type(x) is ndarray:
        return np.eye(n, dtype=x.dtype)
    xp = namespace(x)
    return xp.eye(n, dtype=x.dtype, device=device(x))  # type: ignore[attr-defined]


def rank_two(H: Symmetric, s: Vector, z: Vector, a: float, b: float) -> Symmetric:
    """H + a ssᵀ − b (szᵀ + zsᵀ).   Gives H away: the compiled body writes into it.   Cost: 3n² flops."""
    u: Any = a * s - b * z
    v: Any = b * s
    S, Z = s[None, :], z[None, :]  # type: ignore[index]
    return H + (u[:, None] * S - v[:, None] * Z)  # type: ignore[operator]


def symmetrised(B: Any) -> Symmetric:
    """½ (B + Bᵀ)."""
    return (B + B.T) * 0.5


def frobenius(B: Symmetric) -> float:
    """‖B‖_F."""
    xp = namespace(B)
    return norm(xp.reshape(B, (-1,)))


def gershgorin(B: Symmetric) -> tuple[float, float]:
    """Bounds minᵢ (bᵢᵢ − Σⱼ≠ᵢ |bᵢⱼ|) ≤ λ ≤ maxᵢ (bᵢᵢ + Σⱼ≠ᵢ |bᵢⱼ|) of the eigenvalues of B (Gershgorin's circles)."""
    xp = namespace(B)
    diagonal = xp.linalg.diagonal(B)
    radius = xp.sum(xp.abs(B), axis=1) - xp.abs(diagonal)
    return scalar(xp.min(diagonal - radius)), scalar(xp.max(diagonal + radius))


def lowest(B: Symmetric) -> tuple[float, Vector]:
    """The smallest eigenvalue of B and a unit eigenvector.   Cost: about 9n³ flops."""
    values, vectors = namespace(B).linalg.eigh(B)
    return scalar(values[0]), vectors[:, 0]


# --- factorisations ----------------------------------------------------------------------------------------------


def cholesky(B: Symmetric, shift: float) -> tuple[Matrix, bool]:
    """L lower triangular with LLᵀ = B + shift·I, and whether it exists.   Cost: n³/3 flops."""
    n = B.shape[0]  # type: ignore[attr-defined]
    if type(B) is ndarray:
        if n == 0:
            return B, True
        A = B.T.copy(order="F")  # B is symmetric; LAPACK reads columns and may write into its own copy
        if shift != 0.0:
            A.flat[:: n + 1] += shift
        L, info = _lapack("potrf", A)(A, lower=1, clean=1, overwrite_a=1)
        return L, info == 0
    xp = namespace(B)
    A = B if shift == 0.0 else B + shift * xp.eye(n, dtype=B.dtype, device=device(B))  # type: ignore[attr-defined]
    try:
        L = xp.linalg.cholesky(A)
    except Exception as error:
        if "LinAlgError" not in {base.__name__ for base in type(error).__mro__}:
            raise
        return A, False
    return L, finite(scalar(xp.sum(xp.linalg.diagonal(L))))  # CuPy does not raise: it returns NaN


def solve_lower(L: Matrix, b: Vector) -> Vector:
    """L⁻¹b, L lower triangular.   Cost: n² flops."""
    if type(L) is ndarray:
        return _lapack("trtrs", L)(L, b, lower=1)[0] if L.size else b
    return namespace(L).linalg.solve(L, b)


def solve_lower_t(L: Matrix, b: Vector) -> Vector:
    """L⁻ᵀb, L lower triangular.   Cost: n² flops."""
    if type(L) is ndarray:
        return _lapack("trtrs", L)(L, b, lower=1, trans=1)[0] if L.size else b
    return namespace(L).linalg.solve(L.T, b)  # type: ignore[attr-defined]


# --- where arrays live -------------------------------------------------------------------------------------------


def namespace(x: Any) -> Any:
    """The array namespace of x: NumPy for NumPy arrays, else the one that array-api-compat finds."""
    return np if isinstance(x, ndarray) else _compat().array_namespace(x)


def device(x: Any) -> Any:
    """The device of x, for creating arrays beside it; None for NumPy arrays."""
    return None if isinstance(x, ndarray) else _compat().device(x)


@cache
def _compat() -> Any:
    try:
        import array_api_compat
    except ImportError as error:
        raise ImportError(
            "arrays other than NumPy's need array-api-compat: pip install 'refopt[array]' brings it"
        ) from error
    return array_api_compat


@cache
def _lapack_routine(name: str, char: str) -> Any:
    from scipy.linalg import lapack

    prefix = {"f": "s", "d": "d"}.get(char)
    if prefix is None:
        raise TypeError(f"{name} needs float32 or float64 numbers; rational numbers have no square roots")
    return getattr(lapack, prefix + name)


def _lapack(name: str, A: Any) -> Any:
    return _lapack_routine(name, A.dtype.char)
