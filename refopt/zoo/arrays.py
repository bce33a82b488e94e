"""Words that assemble arrays of the kind of x from numbers and vectors."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from refopt.derivatives.differences import like
from refopt.ops import device, namespace


def counting(x: Any, m: int) -> Any:
    """(1, …, m) of the kind of x."""
    return namespace(x).arange(1, m + 1, dtype=x.dtype, device=device(x))


def band(x: Any, k: int, rows: int | None = None) -> Any:
    """Ones beside the diagonal, k places to the right of it; shape (n, n), or (rows, n)."""
    n = x.shape[0]
    return namespace(x).eye(rows or n, n, k=k, dtype=x.dtype, device=device(x))


def diagonal(v: Any) -> Any:
    """The matrix (n, n) with the diagonal v (n,)."""
    return v * band(v, 0)


def vector(x: Any, *parts: Any) -> Any:
    """Numbers and vectors one after the other."""
    xp = namespace(x)
    return xp.concat([xp.reshape(like(x, part), (-1,)) for part in parts])


def columns(x: Any, *parts: Any) -> Any:
    """Numbers and vectors (m,), at least one vector, side by side: shape (m, number of parts)."""
    xp = namespace(x)
    return xp.stack(xp.broadcast_arrays(*(like(x, part) for part in parts)), axis=1)


def matrix(x: Any, rows: Sequence[Sequence[Any]]) -> Any:
    """The matrix of these rows of numbers."""
    if isinstance(x, np.ndarray):
        return np.array(rows, dtype=x.dtype)
    return namespace(x).stack([vector(x, *row) for row in rows])


def symmetric(x: Any, entries: dict[tuple[int, int], Any]) -> Any:
    """The symmetric (n, n) matrix with these entries, (i, j) once for (i, j) and (j, i), counted from zero; else 0."""
    n = x.shape[0]
    return matrix(x, [[entries.get((min(i, j), max(i, j)), 0) for j in range(n)] for i in range(n)])


def tridiagonal(d: Any, e: Any) -> Any:
    """The symmetric (n, n) matrix with the diagonal d (n,) and the entries e (n − 1,) on both sides of it."""
    n, xp = d.shape[0], namespace(d)
    H = xp.zeros(n * n, dtype=d.dtype, device=device(d))
    H[:: n + 1], H[1 :: n + 1], H[n :: n + 1] = d, e, e
    return xp.reshape(H, (n, n))


def tridiagonal_product(d: Any, e: Any, v: Any) -> Any:
    """That matrix times v (n,)."""
    product = d * v
    product[:-1] += e * v[1:]
    product[1:] += e * v[:-1]
    return product


def interleaved(a: Any, b: Any) -> Any:
    """(a₁, b₁, a₂, b₂, …) of two vectors of one length."""
    xp = namespace(a)
    return xp.reshape(xp.stack([a, b], axis=1), (-1,))
