"""What a test problem is: functions, starts and known minima, for one number of variables or for any."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from refopt.derivatives.differences import like as array_like
from refopt.problem import LeastSquares, Problem

ANY = 10**9  # more variables than anybody has


class Minimum(NamedTuple):
    """A local or global minimum of f; it may lie at infinity."""

    fun: float
    x: Any  #: (n,), infinite or NaN where a variable goes to infinity or has no say; None where nobody knows it


class Known(NamedTuple):
    """A problem, a start, and what is known about its minima."""

    name: str
    problem: Any  #: Problem or LeastSquares
    x0: Any  #: (n,)
    solution: Any  #: (n,), a global minimiser; None where unknown
    fun: float  #: f at the solution, for least squares ½‖r‖²; NaN where unknown
    minima: tuple[Minimum, ...] = ()  #: those known, lowest first, with one minimiser each; there may be others


class Family(NamedTuple):
    """A test problem for every number of variables that it can have."""

    problem: Any  #: Problem; or a function that returns one for n variables of the kind of an array
    starts: Callable[[int], Sequence[Any]]  #: the starts with n variables, the standard one first
    minima: Callable[[int], Iterable[tuple[float, Any]]]  #: the known minima with n variables, lowest first
    sizes: range  #: the numbers of variables
    size: int  #: the number of variables where the name does not say it
    squares: LeastSquares | None = None  #: the same problem as least squares, f = ‖r‖²


def known(family: Family, name: str, words: list[str], start: int, like: Any) -> Known:
    """The member of a family that the words after its name ask for: ``ls`` or nothing, then a size or nothing."""
    squares = words[:1] == ["ls"] and family.squares is not None
    sizes = words[squares:]
    if len(sizes) > 1 or not all(size.isdecimal() and int(size) in family.sizes for size in sizes):
        raise ValueError(f"{name!r} is unknown: write {_choices(family, name, words)}")
    n = int(sizes[0]) if sizes else family.size
    starts = family.starts(n)
    if start not in range(1, len(starts) + 1):
        raise ValueError(f"{name} has starts 1 to {len(starts)}, not {start!r}")
    kind = np.zeros(1) if like is None else like
    problem = family.problem if isinstance(family.problem, Problem) else family.problem(n, kind)
    minima = tuple(
        Minimum(fun / 2 if squares else float(fun), x if x is None else array_like(kind, x))
        for fun, x in family.minima(n)
    )
    lowest = minima[0] if minima else Minimum(float("nan"), None)
    return Known(
        name,
        family.squares if squares else problem,
        array_like(kind, starts[start - 1]),
        lowest.x,
        lowest.fun,
        minima,
    )


def spoken(sizes: range) -> str:
    """The sizes in words: ``2``, ``2, 3, ..., 31``, ``4, 8, ...``."""
    if len(sizes) == 1:
        return str(sizes[0])
    return f"{sizes[0]}, {sizes[1]}, ..." + (f", {sizes[-1]}" if sizes.stop < ANY else "")


def _choices(family: Family, name: str, words: list[str]) -> str:
    base = name.removesuffix(":".join(["", *words]))
    forms = [f"{base}:n"] + [f"{base}:ls:n"] * (family.squares is not None)
    return f"{' or '.join(forms)} with n = {spoken(family.sizes)} variables"
