"""Rows in one order of the parameters and columns in another: a transpose on one side only.

    theirs = α K[rows][:, columns]          (Kv)[rows] of a v in the order of the columns

The length of a row of K tells the order of the rows whatever that of the columns is, and the other way round.
"""

from itertools import product
from typing import NamedTuple

import numpy as np

from refopt.oracle.candidates import Array, Candidate
from refopt.oracle.layouts import Layout


class Crossed(NamedTuple):
    """Theirs with rows and columns in orders of their own."""

    candidate: Candidate
    rows: Layout
    columns: Layout
    alpha: float
    residual: float


def crossed(
    theirs: Array, v: Array | None, plain: list[Candidate], orders: list[Layout], tolerance: float
) -> Crossed | None:  # fmt: skip
    """The two orders that explain a matrix, or a product with v; None where none do."""
    for candidate in plain:
        found = _matrix(theirs, candidate, orders, tolerance) if v is None else _product(theirs, v, candidate, orders)
        if found and found.residual <= tolerance and found.rows is not found.columns:
            return found
    return None


def _matrix(T: Array, candidate: Candidate, orders: list[Layout], tolerance: float) -> Crossed | None:
    lengths = np.linalg.norm(candidate.matrix, axis=1)
    size = float(np.linalg.norm(T))
    alpha = size / (float(np.linalg.norm(lengths)) or 1.0)
    fits = [
        [
            o
            for o in orders
            if np.linalg.norm(np.linalg.norm(T, axis=axis) - alpha * lengths[o.order]) <= tolerance * size
        ]
        for axis in (1, 0)
    ]
    for rows, columns in product(*fits):
        rest = float(np.linalg.norm(T - alpha * candidate.matrix[np.ix_(rows.order, columns.order)])) / size
        if rest <= tolerance:
            return Crossed(candidate, rows, columns, alpha, rest)
    return None


def _product(T: Array, v: Array, candidate: Candidate, orders: list[Layout]) -> Crossed | None:
    best, size = None, float(np.linalg.norm(T)) or 1.0
    for columns in orders:
        Kv = candidate.matrix @ v[np.argsort(columns.order)]
        alpha = size / (float(np.linalg.norm(Kv)) or 1.0)
        for rows in orders:
            rest = float(np.linalg.norm(T - alpha * Kv[rows.order])) / size
            if best is None or rest < best.residual:
                best = Crossed(candidate, rows, columns, alpha, rest)
    return best
