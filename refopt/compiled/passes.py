"""Cells of ``refopt.elementwise`` as one pass of machine code over NumPy vectors, kept on disk.

Every number is read once and written once. Nothing is reordered or contracted, so that the results are those of NumPy
to the last bit; numbers enter in the type of the vectors, as Python's do in NumPy's arithmetic.
"""

import inspect
from collections.abc import Callable
from functools import cache
from math import sqrt
from types import FunctionType
from typing import Any

import numba

from refopt import diskcache
from refopt.compiled.kept import Kept

njit: Any = numba.njit
OPTIONS = {"error_model": "numpy"}
ROOTS: dict[float, Any] = {0.5: lambda v, a: sqrt(v), 1.0: lambda v, a: v}  #: of exponents that need no power


def passes(cell: Any, written: int) -> Callable[[tuple[Any, ...], tuple[float, ...]], bool]:
    """``run(vectors, numbers)``, which writes what the cell returns into the first `written` vectors.

    It returns False, with nothing written, where the cell's exponent needs a power: those of NumPy are others.
    """
    names = list(inspect.signature(cell).parameters)

    def run(vectors: tuple[Any, ...], numbers: tuple[float, ...]) -> bool:
        given = dict(zip(names, (*vectors, *numbers), strict=True))
        exponent = given.get("a", 1.0)
        if exponent not in ROOTS:
            return False
        one_pass(cell, exponent, len(vectors), written)(*vectors, *map(vectors[0].dtype.type, numbers))
        return True

    return run


@cache
def one_pass(cell: Any, exponent: float, vectors: int, written: int) -> Any:
    """The loop over the components as a dispatcher."""
    inner = FunctionType(cell.__code__, {"root": njit(inline="always")(ROOTS[exponent])}, cell.__name__)
    names = list(inspect.signature(cell).parameters)
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
