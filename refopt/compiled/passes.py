"""Cells of ``refopt.elementwise`` as one pass of machine code over NumPy vectors, kept on disk.

Every number is read once and written once. Nothing is reordered or contracted, so that the results are those of NumPy
to the last bit; numbers enter in the type of the vectors, as Python's do in NumPy's arithmetic.
"""

from functools import cache
from math import sqrt
from types import FunctionType
from typing import Any

import numba
import numpy as np

from refopt import diskcache
from refopt.compiled.kept import Kept
from refopt.elementwise import WORTH, in_pieces, outputs

njit: Any = numba.njit
OPTIONS = {"error_model": "numpy"}
FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}
ROOTS: dict[float, Any] = {0.5: lambda v, a: sqrt(v), 1.0: lambda v, a: v}  #: of exponents that need no power


def in_one_pass(cell: Any, vectors: tuple[Any, ...], numbers: tuple[float, ...]) -> None:
    """Write what the cell returns into the first vectors; in pieces where one pass is not worth it or not the same.

    That is so for short vectors, vectors of several types, and exponents that need a power: NumPy's are others.
    """
    exponent = dict(zip(names_of(cell), (*vectors, *numbers), strict=True)).get("a", 1.0)
    kinds = {vector.dtype for vector in vectors}
    if vectors[0].shape[0] < WORTH or exponent not in ROOTS or len(kinds) > 1 or not kinds <= FLOATS:
        in_pieces(cell, vectors, numbers)
    else:
        one_pass(cell, exponent, len(vectors), outputs(cell))(*vectors, *map(vectors[0].dtype.type, numbers))


def names_of(cell: Any) -> tuple[str, ...]:
    return cell.__code__.co_varnames[: cell.__code__.co_argcount]


@cache
def one_pass(cell: Any, exponent: float, vectors: int, written: int) -> Any:
    """The loop over the components as a dispatcher."""
    inner = FunctionType(cell.__code__, {"root": njit(inline="always")(ROOTS[exponent])}, cell.__name__)
    names = list(names_of(cell))
    values = ", ".join([f"{name}[i]" for name in names[:vectors]] + names[vectors:])
    results = ", ".join(f"{name}[i]" for name in names[:written])
    source = (
        f"def one_pass({', '.join(names)}):\n    for i in range({names[0]}.shape[0]):\n"
        f"        {results}{',' if written == 1 else ''} = cell({values})\n"
    )
    space: dict[str, Any] = {"cell": njit(forceinline=True, **OPTIONS)(inner), "__name__": __name__}
    exec(source, space)
    dispatcher = njit(**OPTIONS)(space["one_pass"])
    key = diskcache.key("pass", cell.__module__, cell.__qualname__, str(exponent))
    dispatcher._cache = Kept(key)
    return dispatcher
