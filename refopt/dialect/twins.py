"""Twins of functions, each made once, in the form that their user wants."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from refopt.dialect.body import Body
from refopt.dialect.kinds import Chosen, Kind, is_static, signature


class Twins:
    """All twins that call each other; ``make(python, kinds, result)`` gives each its final form.

    Of what depends on a ``Choice`` of the options only the case ``chosen`` is made.
    """

    def __init__(self, make: Callable[[FunctionType, tuple[Kind, ...], Kind], Any], chosen: int = 0) -> None:
        self.make, self.chosen = make, Chosen(chosen)
        self.made: dict[tuple[Any, tuple[Kind, ...]], tuple[Any, Kind]] = {}

    def of(self, function: Any, kinds: tuple[Kind, ...]) -> tuple[Any, Kind]:
        """The twin of a function for arguments of these kinds, and the kind of its result."""
        key = function, kinds
        if key not in self.made:
            body = Body(function, kinds, self)
            python = body.compiled()
            passed = tuple(kind for kind in kinds if not is_static(kind))
            self.made[key] = self.make(python, passed, body.result), body.result
        return self.made[key]

    def word(self, function: Any) -> tuple[Any, Kind]:
        """A loop of ``refopt.words`` as it stands, but for the other loops that it calls."""
        key = function, ()
        if key not in self.made:
            kinds, result = signature(function)
            shadows = dict(function.__globals__)
            for name in function.__code__.co_names:
                if isinstance(shadows.get(name), FunctionType):
                    shadows[name] = self.word(shadows[name])[0]
            copy = FunctionType(function.__code__, shadows, function.__name__)
            copy.__module__ = function.__module__
            self.made[key] = self.make(copy, kinds, result), result
        return self.made[key]
