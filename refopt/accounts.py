"""What the user's functions are given besides x, and that they count: for all front doors alike.

Jitted functions become functions of x alone, which read their ``args`` from memory: new values compile nothing. Where
evaluations are limited every function counts its calls.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np

from refopt.budget import CURRENT, ENDLESS, Budget
from refopt.catalogue import nonnegative

FUNCTIONS = ("fun", "jac", "hess", "hessp")


def accounted(*limits: str) -> Callable[..., Any]:
    """Decorates a front door of which these arguments or options, the first that is given, limit the evaluations."""

    def decorated(door: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(door)
        places, telling = list(signature.parameters), {"args", *limits}
        first = min(places.index(name) for name in (*telling, "options") if name in places)

        @wraps(door)
        def call(*given: Any, **named: Any) -> Any:
            plain = len(given) <= first and telling.isdisjoint(named) and CURRENT.get() is None
            options = named.get("options")
            if plain and telling.isdisjoint(options if type(options) is dict else mapping(options)):
                return door(*given, **named)
            arguments = signature.bind(*given, **named).arguments
            with functions_of_x(arguments, most(arguments)):
                return door(**arguments)

        def most(arguments: dict[str, Any]) -> float:
            options = mapping(arguments.get("options"))
            values = ((name, (arguments if name in places else options).get(name)) for name in limits)
            return next((nonnegative(name, value) for name, value in values if value is not None), np.inf)

        return call

    return decorated


@contextmanager
def functions_of_x(arguments: dict[str, Any], most: float) -> Iterator[None]:
    """The arguments, with functions that hold their args, if they can, and are counted; for as long as it lasts."""
    args = arguments.get("args", ())
    args = args if isinstance(args, tuple) else (args,)
    functions = tuple(arguments.get(name) for name in FUNCTIONS)
    held = None
    limited = most < np.inf or CURRENT.get() is not None
    if (
        (args or limited)
        and "numba" in sys.modules
        and not (arguments.get("kwargs") or "fisher" in mapping(arguments.get("options")))
    ):
        from refopt.compiled.arguments import taken

        held = taken(functions, args)
    budget = held.hold(args, most) if held else Budget(most)
    for i, (name, function) in enumerate(zip(FUNCTIONS, functions, strict=True)):
        if held and held.functions[i]:
            arguments[name] = held.functions[i]
        elif callable(function):
            function = followed_by(function, args) if held else function
            arguments[name] = budget.counting(function, i) if budget.most < ENDLESS else function
    if held:
        arguments["args"] = ()
    token = CURRENT.set(budget if budget.most < ENDLESS else None)
    try:
        yield
    finally:
        CURRENT.reset(token)
        if held:
            held.spare.append(held)


def mapping(options: Any) -> Mapping[str, Any]:
    """Those that are given; the front door complains of what is no mapping."""
    return options if isinstance(options, Mapping) else {}


def followed_by(function: Any, args: tuple[Any, ...]) -> Any:
    return lambda x, *p: function(x, *p, *args)
