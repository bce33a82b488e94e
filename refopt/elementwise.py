"""Equations that hold component by component, applied to whole vectors, or written into them piece by piece.

A *cell* is such an equation in plain arithmetic: ``cell(x, m, …, g, …, numbers)`` returns the new values of its first
arguments. ``applied`` reads it on vectors of any kind. ``donated`` writes what it returns into the vectors it was given:
compiled, one pass through memory; else in pieces that stay in the cache. All three give the same numbers.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from refopt.ops import namespace

PIECE = 1 << 14  #: numbers of each vector at a time: some hundred kB in all
WORTH = 1 << 16  #: numbers from which on a compiled pass is worth the time it takes to load

Cell = Callable[..., tuple[Any, ...]]


def root(v: Any, a: float) -> Any:
    """vᵃ; the compiled reading replaces it where a = ½."""
    return namespace(v).sqrt(v) if a == 0.5 else v if a == 1.0 else v**a


def applied(cell: Cell, vectors: tuple[Any, ...], numbers: tuple[float, ...], donate: bool = False) -> tuple[Any, ...]:
    """What the cell makes of the vectors; with `donate`, written into the first of them, if they are NumPy's."""
    if donate and all(map(writable, vectors)):
        return donated(cell, vectors, numbers)
    return cell(*vectors, *numbers)


def writable(vector: Any) -> bool:
    return type(vector) is np.ndarray and vector.flags.c_contiguous


def donated(cell: Cell, vectors: tuple[Any, ...], numbers: tuple[float, ...]) -> tuple[Any, ...]:
    """The first vectors, which now hold what the cell returns."""
    count = outputs(cell)
    if not all(vector.flags.writeable for vector in vectors[:count]):
        return cell(*vectors, *numbers)
    n = vectors[0].shape[0]
    kernel = compiled(cell) if n >= WORTH and len({vector.dtype for vector in vectors}) == 1 else None
    if kernel is not None and kernel(vectors, numbers):
        return vectors[:count]
    for start in range(0, n, PIECE):
        pieces = [vector[start : start + PIECE] for vector in vectors]
        for piece, new in zip(pieces, cell(*pieces, *numbers), strict=False):
            piece[:] = new
    return vectors[:count]


@cache
def outputs(cell: Cell) -> int:
    """How many vectors the cell returns."""
    one = np.ones(1)
    arguments = cell.__code__.co_argcount  # type: ignore[attr-defined]
    return len(cell(*[one] * arguments))


@cache
def compiled(cell: Cell) -> Any:
    """The cell as one pass of machine code over float32 or float64 vectors, or None where numba is missing."""
    try:
        from refopt.compiled.passes import passes
    except ImportError:
        return None
    return passes(cell, outputs(cell))
