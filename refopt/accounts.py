"""What the user's functions are given besides x, and that they count: for all front doors alike.

Jitted functions become functions of x alone, which read their ``args`` from memory: new values compile nothing. Where
evaluations are limited every function counts its calls.
"""

import sys
from collections.abc import Callable
from typing import Any

from refopt.budget import ENDLESS, Budget


class Account:
    """The functions that a run calls, ``args`` that it gives them, and its budget if it has one, until it ends."""

    def __init__(self, functions: tuple[Any, ...], args: Any, most: float = ENDLESS, holds: bool = True) -> None:
        """``functions``: fun and its derivatives; ``most``: how often fun may be called.

        ``holds``: no other function is given the args, nor are these given anything else.
        """
        self.functions, self.args = functions, args if isinstance(args, tuple) else (args,)
        self.budget: Budget | None = None
        self.held: Any = None
        self.alive = self.args  # where they are held in memory it has no more than the addresses of their arrays
        if self.args or most < ENDLESS:
            self.open(most, holds and "numba" in sys.modules)

    def open(self, most: float, compiled: bool) -> None:
        if compiled:
            from refopt.compiled.arguments import taken

            self.held = taken(self.functions, self.args)
        budget = self.held.hold(self.args, most) if self.held else Budget(most)
        if budget.most < ENDLESS:
            self.budget = budget
        self.functions = tuple(self.counted(i, function) for i, function in enumerate(self.functions))
        if self.held:
            self.args = ()

    def counted(self, i: int, function: Any) -> Any:
        """In place of the i-th function the one that holds its args and counts its calls, as far as it can."""
        if self.held and self.held.functions[i]:
            return self.held.functions[i]
        if not callable(function):
            return function
        function = followed_by(function, self.args) if self.held else function
        return self.budget.counting(function, i) if self.budget else function

    def __enter__(self) -> "Account":
        return self

    def __exit__(self, *_: object) -> None:
        if self.held:
            self.held.spare.append(self.held)


def followed_by(function: Callable[..., Any], args: tuple[Any, ...]) -> Callable[..., Any]:
    return lambda x, *p: function(x, *p, *args)
