"""The user's jitted functions, made fit for the compiled loop; and objectives whose code is kept on disk."""

from functools import cache, lru_cache
from types import FunctionType
from typing import Any, get_args

import numba
from numba import types
from numba.core import errors
from numba.core.dispatcher import Dispatcher

from refopt import diskcache, words
from refopt.compiled.kept import Kept
from refopt.compiled.kinds import numba_type
from refopt.compiled.ways import OPTIONS
from refopt.dialect import Kind, Twins
from refopt.ops import Vector

njit: Any = numba.njit


def is_jitted(function: Any) -> bool:
    """Whether a function can enter the compiled loop."""
    return isinstance(function, (Dispatcher, Compiled))


@lru_cache(maxsize=256)
def parts(fun: Any) -> tuple[Any, Any]:
    """A jitted function that returns value and derivative together, as two."""
    both = getattr(fun, "fun", fun)
    value, derivative = njit(lambda x: both(x)[0]), njit(lambda x: both(x)[1])
    try:
        derivative.compile((types.float64[::1],))
    except errors.NumbaError as error:
        raise ValueError("with jac=True, fun must return the pair (value, derivative)") from error
    return value, derivative


def machine_code(function: Any, name: str, kind: Kind) -> tuple[Any, Any]:
    """The dispatcher and its code for float64 arguments; wrapped, where it returns another type than declared."""
    wanted = numba_type(kind).signature
    code = code_for(function, wanted.args)
    if code is not None and code.signature.return_type == wanted.return_type:
        return function, code
    try:
        wrapped = converted(function, *get_args(kind))
        return wrapped, code_for(wrapped, wanted.args)
    except errors.NumbaError as error:
        returned = code.signature.return_type if code else "nothing"
        message = f"{name} must return {wanted.return_type} for a float64 vector; it returns {returned}"
        raise TypeError(message) from error


def code_for(dispatcher: Any, arguments: Any) -> Any:
    if arguments not in dispatcher.overloads and dispatcher._can_compile:
        dispatcher.compile(arguments)
    return dispatcher.overloads.get(arguments)


def converted(function: Any, arguments: Any, kind: Kind) -> Any:
    """The jitted function with its result made a float, or a new float64 array."""
    if kind is float:
        return njit(lambda x: types.float64(function(x)))
    lazy = Twins(lambda python, kinds, result: njit(python))
    copied, _ = lazy.word(words.copied if kind is Vector else words.copied_matrix)
    if len(arguments) == 2:
        return njit(lambda x, p: copied(function(x, p)))
    return njit(lambda x: copied(function(x)))


class Compiled:
    """An objective with its derivatives, all jitted: what ``refopt.compile`` returns, called like ``fun``."""

    def __init__(self, fun: Any, jac: Any, hess: Any, hessp: Any) -> None:
        self.fun, self.jac, self.hess, self.hessp = fun, jac, hess, hessp

    def __call__(self, x: Any, *args: Any) -> Any:
        return self.fun(x, *args)


def compile(fun: Any, jac: Any = None, hess: Any = None, hessp: Any = None) -> Compiled:
    """The objective prepared once for the fastest calls; accepted wherever ``fun`` is, with its derivatives.

    ``fun(x) -> float``, ``jac(x) -> (n,)``, ``hess(x) -> (n, n)``, ``hessp(x, p) -> (n,)``: Python functions that
    numba can compile, or jitted ones. Their machine code is kept on disk under a digest of the code and of every value
    it refers to.
    """
    return Compiled(*(function and remembered(function) for function in (fun, jac, hess, hessp)))


@cache
def kernel(function: FunctionType) -> Any:
    """A loop over NumPy arrays as machine code, kept on disk.

    Like an entry, it writes into its arguments and returns numbers only, and lasts no longer than a signal can wait.
    """
    return remembered(njit(**OPTIONS)(function))


def remembered(function: Any) -> Any:
    """A jitted copy of the function whose machine code is kept on disk; under a name that no other code has."""
    if isinstance(function, FunctionType):
        function = njit(function)
    if not isinstance(function, Dispatcher):
        raise TypeError(f"a Python function or a jitted one can be compiled; this is a {type(function).__name__}")
    identity = diskcache.identity(function)
    if identity is None:
        return function
    python = function.py_func
    key = diskcache.key(python.__module__, identity)  # the code is bound to its module
    copy = FunctionType(python.__code__, python.__globals__, python.__name__, python.__defaults__, python.__closure__)
    copy.__module__, copy.__qualname__ = python.__module__, f"{python.__qualname__}_{key[:12]}"
    dispatcher = njit(**{name: value for name, value in function.targetoptions.items() if name != "nopython"})(copy)
    dispatcher._cache = Kept(key)
    return dispatcher
