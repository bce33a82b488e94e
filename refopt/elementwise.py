"""Equations that hold component by component, applied to whole vectors, or written into them piece by piece.

A *cell* is such an equation in plain arithmetic: ``cell(x, m, …, g, …, numbers)`` returns the new values of its first
arguments. ``applied`` reads it on vectors of any kind. Where the vectors may be written into, ``in_pieces`` does so in
pieces that stay in the cache, ``refopt.compiled.passes`` in one pass of machine code. All give the same numbers.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from refopt.ops import namespace, norm

PIECE = 1 << 14  #: numbers of each vector at a time: some hundred kB in all
WORTH = 1 << 16  #: numbers from which on a compiled pass is worth the time it takes to load

Cell = Callable[..., tuple[Any, ...]]


def root(v: Any, a: float) -> Any:
    """vᵃ; the compiled reading replaces it where a = ½."""
    return namespace(v).sqrt(v) if a == 0.5 else v if a == 1.0 else v**a


def applied(cell: Cell, vectors: tuple[Any, ...], numbers: tuple[float, ...], donate: Any = False) -> tuple[Any, ...]:
    """What the cell makes of the vectors.

    donate: False for new vectors; True, or a function like ``in_pieces``, to have it written into the first of those
    given, where they are NumPy's.
    """
    if not donate or not all(map(writable, vectors)):
        return cell(*vectors, *numbers)
    first = vectors[: outputs(cell)]
    if not all(vector.flags.writeable for vector in first):
        return cell(*vectors, *numbers)
    (donate if callable(donate) else in_pieces)(cell, vectors, numbers)
    return first


def writable(vector: Any) -> bool:
    return type(vector) is np.ndarray and vector.flags.c_contiguous


def in_pieces(cell: Cell, vectors: tuple[Any, ...], numbers: tuple[float, ...]) -> None:
    """Write what the cell returns into the first vectors, piece by piece."""
    for start in range(0, vectors[0].shape[0], PIECE):
        pieces = [vector[start : start + PIECE] for vector in vectors]
        for piece, new in zip(pieces, cell(*pieces, *numbers), strict=False):
            piece[:] = new


@cache
def outputs(cell: Cell) -> int:
    """How many vectors the cell returns."""
    one = np.ones(1)
    arguments = cell.__code__.co_argcount
    return len(cell(*[one] * arguments))


def distance(x: Any, y: Any) -> float:
    """‖x − y‖, without a third vector."""
    if not isinstance(x, np.ndarray):
        return norm(x - y)
    total = 0.0
    for start in range(0, x.shape[0], PIECE):
        piece = x[start : start + PIECE] - y[start : start + PIECE]
        total += float(piece @ piece)
    return total**0.5
