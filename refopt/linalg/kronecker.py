"""Kronecker products, the two orders of the entries of a matrix, and the permutation between them.

    A ⊗ B      the blocks aᵢⱼB
    vec(V)     V's columns one below the other;          vec(GVAᵀ) = (A ⊗ G) vec(V)
    row(V)     V's rows one after the other, ``ravel``;  row(GVAᵀ) = (G ⊗ A) row(V)
    K vec(V) = vec(Vᵀ) = row(V),     K (A ⊗ G) Kᵀ = G ⊗ A

J. R. Magnus & H. Neudecker, *Matrix Differential Calculus*, 3rd ed., chapters 2 and 3.
"""

from typing import Any

import numpy as np

from refopt.linalg.arrays import created
from refopt.ops import Matrix, Vector, namespace


def kron(A: Matrix, B: Matrix) -> Matrix:
    """A ⊗ B (mp, nq), for A (m, n) and B (p, q)."""
    (m, n), (p, q) = A.shape, B.shape
    return namespace(A).reshape(A[:, None, :, None] * B[None, :, None, :], (m * p, n * q))


def vec(V: Matrix) -> Vector:
    """(mn,) columns of V (m, n), one below the other."""
    return row(V.T)


def row(V: Matrix) -> Vector:
    """(mn,) rows of V (m, n), one after the other."""
    return namespace(V).reshape(V, (-1,))


def commutation(m: int, n: int, like: Any = None) -> Matrix:
    """K (mn, mn) with K vec(V) = vec(Vᵀ) = row(V) for V (m, n): ones and zeros.

    Integers in a NumPy array, or numbers of the kind and type of the array `like`, on its device.
    """
    if m < 1 or n < 1:
        raise ValueError(f"m and n must be at least 1; they are {m} and {n}")
    K = np.eye(m * n, dtype=int)[np.arange(m * n).reshape(n, m).T.reshape(-1)]
    return K if like is None else created(K, like)
