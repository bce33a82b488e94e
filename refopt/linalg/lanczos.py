"""Lanczos' iteration with full reorthogonalisation, and the quadrature that belongs to it.

    βⱼqⱼ₊₁ = Aqⱼ − αⱼqⱼ − βⱼ₋₁qⱼ₋₁,    αⱼ = qⱼᵀAqⱼ,        QᵀAQ = T,  tridiagonal with α and β
    T = S diag(θ) Sᵀ,    τⱼ = S₁ⱼ:         q₁ᵀf(A)q₁ ≈ Σⱼ τⱼ² f(θⱼ),    exact for polynomials of degree 2k − 1

G. H. Golub & G. Meurant, Matrices, Moments and Quadrature with Applications, Princeton 2010, chapters 3, 4 and 6.
Shapes: A is (n, n), symmetric, q₁ (n,); Q (k, n) has the basis in rows.   Cost: k products and 4k²n flops.

Deviation from the source: each vector is orthogonalised against all before it, twice; otherwise eigenvalues that have
converged come again as copies of themselves.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refopt.ops import Matrix, Vector, dimension, dot, eps, norm, orthogonal, row, stacked


class Tridiagonal(NamedTuple):
    """T by its diagonal (k,) and what is beside it (k − 1,), NumPy arrays, and the basis Q (k, n)."""

    alpha: np.ndarray
    beta: np.ndarray
    Q: Matrix


def lanczos(matvec: Callable[[Vector], Vector], q: Vector, k: int) -> Tridiagonal:
    """k steps from q (n,), fewer where the Krylov space of q ends before: βⱼ ≤ 10 n eps ‖A‖."""
    length = norm(q)
    if length == 0.0:
        raise ValueError("the vector that Lanczos' iteration begins with is zero")
    q = q / length
    Q, alpha, beta, size = row(q), list[float](), list[float](), 0.0
    for _ in range(min(k, dimension(q))):
        w = matvec(q)
        alpha.append(dot(q, w))
        size = max(size, norm(w))
        w = orthogonal(w, Q)
        rest = norm(w)
        if len(alpha) == min(k, dimension(q)) or rest <= 10.0 * dimension(q) * eps(q) * size:
            break
        beta.append(rest)
        q = w / rest
        Q = stacked(Q, q)
    return Tridiagonal(np.array(alpha), np.array(beta), Q)


def quadrature(alpha: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nodes θ (k,), ascending, and the weights τ² (k,): squares of the FIRST entries of T's eigenvectors."""
    nodes, S = np.linalg.eigh(np.diag(alpha) + np.diag(beta, 1) + np.diag(beta, -1))
    return nodes, S[0] ** 2
