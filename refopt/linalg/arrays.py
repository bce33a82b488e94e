"""Matrices that users hand in, made fit for computing: real numbers of their own kind, on their own device."""

from typing import Any

import numpy as np

from refopt.ops import (
    Matrix,
    Symmetric,
    Vector,
    _lapack,
    device,
    eps,
    finite,
    identity,
    namespace,
    norm_inf,
    symmetrised,
)

DOUBLE = 2.0**-52


def real(A: Any, name: str = "A") -> Any:
    """The array with integers as the default float; float32, float64 and rational numbers stay what they are."""
    if isinstance(A, np.ndarray | np.generic) or not hasattr(A, "dtype"):
        A = np.asarray(A)
        if A.dtype.kind not in "fiubO":
            raise ValueError(f"{name} must hold real numbers; it has dtype {A.dtype}")
        return A.astype(np.float64) if A.dtype.kind in "iub" else A
    xp = namespace(A)
    if xp.isdtype(A.dtype, "complex floating"):
        raise ValueError(f"{name} must hold real numbers; it has dtype {A.dtype}")
    return A if xp.isdtype(A.dtype, "real floating") else xp.astype(A, xp.float64)


def square(A: Any, name: str = "A") -> Matrix:
    """A real matrix of shape (n, n), n ≥ 1."""
    A = real(A, name)
    shape = tuple(A.shape)
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise ValueError(f"{name} must be a matrix of shape (n, n), n ≥ 1; it has shape {shape}")
    return A


def symmetric(A: Any, name: str = "A") -> Symmetric:
    """A finite real matrix of shape (n, n), symmetrised; an error where A and Aᵀ differ by more than √eps of A."""
    A = square(A, name)
    xp, n = namespace(A), A.shape[0]
    if eps(A) == 0.0:
        raise TypeError(f"{name} holds rational numbers, which lack the square roots that eigenvectors need")
    largest = norm_inf(xp.reshape(A, (n * n,)))
    if not finite(largest):
        raise ValueError(f"{name} must be finite; it holds NaN or infinity")
    apart = norm_inf(xp.reshape(A - A.T, (n * n,)))
    if apart > eps(A) ** 0.5 * largest:
        raise ValueError(f"{name} must be a symmetric matrix; if it is meant to be one, take (A + A.T) / 2")
    return symmetrised(A) if apart > 0.0 else A


def spectral(A: Symmetric) -> tuple[Vector, Matrix]:
    """λ (n,), ascending, and V (n, n) with A = V diag(λ) Vᵀ, in float64 whatever the type of A: float32 saves no time.

    Cost: about 9n³ flops.
    """
    xp = namespace(A)
    values, V = xp.linalg.eigh(xp.astype(A, xp.float64))
    return values, V


def rounding(values: Vector, A: Symmetric) -> float:
    """n eps max |λ|: what eigenvalues of a matrix A are known to, in its own type."""
    return A.shape[0] * max(eps(A), DOUBLE) * norm_inf(values)


def lower_inverse(L: Matrix) -> Matrix:
    """L⁻¹, for L (n, n) lower triangular.   Cost: n³/3 flops."""
    if type(L) is np.ndarray:
        return _lapack("trtri", L)(L, lower=1)[0]
    return namespace(L).linalg.solve(L, identity(L[:, 0]))


def right_singular(A: Matrix) -> tuple[Vector, Matrix]:
    """s (k,), descending, and Vᵀ (k, n) with A = U diag(s) Vᵀ, k = min(m, n), for A (m, n).   Cost: O(mn²) flops."""
    if type(A) is np.ndarray:
        _, s, Vt, failed = _lapack("gesdd", A)(A, full_matrices=0)
        if not failed:
            return s, Vt
    return namespace(A).linalg.svd(A, full_matrices=False)[1:]


def as_type(value: Any, A: Any) -> Any:
    """The array in the type of A."""
    return value if value.dtype == A.dtype else namespace(A).astype(value, A.dtype)


def created(values: np.ndarray, x: Any) -> Any:
    """Numbers drawn or computed by NumPy, as an array of x's kind and type, on its device."""
    return namespace(x).asarray(values, dtype=x.dtype, device=device(x))
