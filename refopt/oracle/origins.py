"""Matrices that are made of curvature by one more step: a triangle of it, its inverse, a Cholesky factor.

Each is undone, and what comes of it is read. The Cholesky factor L of M, LLᵀ = M, is lower triangular, and LᵀL is
another matrix, with M's eigenvalues, that stands for it in a covariance whose samples are zᵀL and not zᵀLᵀ. It has one
factor of the form UUᵀ with U upper triangular, U = Lᵀ, and so gives M back as UᵀU.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from refopt.oracle.fine import Array


class Origin(NamedTuple):
    """What theirs is of another matrix."""

    words: str
    kind: str
    defect: str
    matrix: Array
    condition: float  #: by how much rounding grows on the way

    @property
    def crossed(self) -> bool:
        return self.defect == CROSSED

    @property
    def many(self) -> str:
        """The words, of several."""
        return self.words.replace("inverse", "inverses").replace("factor", "factors").replace("triangle", "triangles")


CROSSED = "LᵀL stands where LLᵀ is meant: that is another matrix, with the same eigenvalues"


def origins(T: Array, tolerance: float, most: float) -> Iterator[Origin]:
    """The matrices of which T is a part, the inverse, or made by a Cholesky factor; rounding may grow to `most`."""
    lower, upper = (np.abs(part(T) - T).max() <= tolerance * np.abs(T).max() for part in (np.tril, np.triu))
    if lower != upper:
        side, T = ("lower", np.tril(T)) if lower else ("upper", np.triu(T))
        whole = T + T.T - np.diag(np.diag(T))
        yield Origin(f"the {side} triangle of", "", "the other triangle is zero", whole, 1.0)
        yield from _of_factor(T if lower else T.T, tolerance, most)
        return
    if np.abs(T - T.T).max() > tolerance * np.abs(T).max():
        return
    values = np.linalg.eigvalsh(T)
    condition = float(np.abs(values).max() / (np.abs(values).min() or 1e-300))
    if tolerance * condition >= most:
        return
    inverse = np.linalg.inv(T)
    yield Origin("the inverse of", "inverse-", "", inverse, condition)
    if values[0] > 0.0:
        M = turned(T)
        yield Origin("LᵀL of the Cholesky factor L of", "", CROSSED, M, condition)
        yield Origin("LᵀL of the Cholesky factor L of the inverse of", "inverse-", CROSSED, np.linalg.inv(M), condition)
        words = "L⁻¹L⁻ᵀ, not L⁻ᵀL⁻¹, of the Cholesky factor L of"
        yield Origin(words, "inverse-", CROSSED, turned(inverse), condition)


def turned(T: Array) -> Array:
    """LLᵀ of T = LᵀL."""
    U = np.linalg.cholesky(0.5 * (T + T.T)[::-1, ::-1])[::-1, ::-1]
    return U.T @ U


def _of_factor(L: Array, tolerance: float, most: float) -> Iterator[Origin]:
    """What a lower triangular L is a factor of."""
    if np.diag(L).min() <= 0.0 or tolerance * (condition := float(np.linalg.cond(L)) ** 2) >= most:
        return
    M, inverse = L @ L.T, np.linalg.inv(L)
    yield Origin("the Cholesky factor of", "cholesky-", "", M, condition)
    yield Origin("the Cholesky factor of the inverse of", "cholesky-inverse-", "", inverse.T @ inverse, condition)
    yield Origin("the inverse of the Cholesky factor of", "inverse-cholesky-", "", inverse @ inverse.T, condition)
