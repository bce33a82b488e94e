"""Kinds: what an expression of the dialect is.

A kind is an evaluated annotation: ``Vector``, ``float``, a NamedTuple class, ``tuple[Matrix, bool]``, ``Callable``; or
a module (a method, as an argument), or a ``Bound`` problem.
"""

import inspect
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from refopt.ops import Symmetric, Vector

Kind = Any

SCALARS = (bool, int, float)  # each widens to the next


class DialectError(TypeError):
    """Something that is not written in the dialect."""


class Bound(NamedTuple):
    """The kind of a problem of which some functions are missing: differences take their place."""

    problem: Any
    missing: frozenset[str] = frozenset()


class Chosen(NamedTuple):
    """The kind of a ``Choice`` that has been made: its value is a constant of the code."""

    value: int


def is_static(kind: Kind) -> bool:
    """Whether it is known when the code is made, and need not be passed: a method, or a choice."""
    return isinstance(kind, ModuleType | Chosen)


@cache
def signature(function: Any) -> tuple[tuple[Kind, ...], Kind]:
    """The declared kinds of the arguments and of the result; ``Any`` where nothing is said."""
    hints = get_type_hints(function)
    return tuple(hints.get(name, Any) for name in inspect.signature(function).parameters), hints.get("return", Any)


@cache
def hints_of(record: type) -> dict[str, Kind]:
    return get_type_hints(record)


def fields_of(kind: Kind) -> dict[str, Kind]:
    """The fields of a NamedTuple, by name.

    Of a bound problem also ``scale``, the sizes |x₀| of its variables, and ``kept``, the last Hessian (n + 1, n + 1).
    """
    if isinstance(kind, Bound):
        return hints_of(kind.problem) | {"scale": Vector} | ({"kept": Symmetric} if keeps(kind) else {})
    return hints_of(kind) if isinstance(kind, type) and issubclass(kind, tuple) else {}


def keeps(kind: Bound) -> bool:
    """Whether products come from a Hessian, which is worth keeping for as long as its point stays."""
    return "hvp" in kind.missing and "hess" not in kind.missing


def elements(kind: Kind) -> list[Kind] | None:
    """What a tuple of this kind is taken apart into."""
    return list(get_args(kind) if is_tuple(kind) else fields_of(kind).values()) or None


def name_of(kind: Kind) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def is_tuple(kind: Kind) -> bool:
    origin: Any = get_origin(kind)
    return origin is tuple


def is_function(kind: Kind) -> bool:
    origin: Any = get_origin(kind)
    return origin is Callable


@cache
def functions_of(problem: Any) -> dict[str, Kind]:
    """The functions among the fields of a problem, by name."""
    return {name: kind for name, kind in fields_of(problem).items() if is_function(kind)}
