"""Jitted functions of x alone, made of functions with more arguments: these are read from memory at each call.

So new values compile nothing; another type of one does. The same memory holds how often each function was called.
"""

import itertools
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

from refopt.budget import COUNTS, Budget, Spent
from refopt.compiled.objective import Compiled, is_jitted

njit: Any = numba.njit
WORD = ir.IntType(64)
NUMBERS = (types.int64, types.float64, types.boolean)


def kinds_of(args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The types of arguments that memory can hold, which are numbers and NumPy's arrays of numbers; or None."""
    kinds = []
    for argument in args:
        if not isinstance(argument, bool | int | float | np.bool_ | np.integer | np.floating | np.ndarray):
            return None
        try:
            kind = numba.typeof(argument if isinstance(argument, np.ndarray) else plain(argument))
        except (ValueError, TypeError):
            return None
        if not (kind in NUMBERS or (isinstance(kind, types.Array) and isinstance(kind.dtype, types.Number))):
            return None
        kinds.append(kind)
    return tuple(kinds)


def plain(number: Any) -> Any:
    return number.item() if isinstance(number, np.generic) else number


def words_of(argument: Any) -> list[int]:
    """What is written into memory: of an array where it is, its shape and its strides."""
    if isinstance(argument, np.ndarray):
        return [argument.ctypes.data, *argument.shape, *argument.strides]
    number = plain(argument)
    return [int(np.float64(number).view(np.int64)) if isinstance(number, float) else int(number)]


class Given:
    """Jitted functions of x alone (``hessp``: of x and p) in place of some that have args, and the memory they read."""

    def __init__(self, functions: tuple[Any, ...], kinds: tuple[Any, ...], spare: list[Any]) -> None:
        sizes = [2 * kind.ndim + 1 if isinstance(kind, types.Array) else 1 for kind in kinds]
        first = len(COUNTS) + 1
        self.memory, self.spare = np.zeros(first + sum(sizes), np.int64), spare
        starts = itertools.accumulate(sizes, initial=first)
        address = self.memory.ctypes.data
        places = [(reader(kind), address + 8 * start) for kind, start in zip(kinds, starts, strict=False)]

        def bound(function: Any, i: int, part: str = "") -> Any:
            return of_x(function, i, address, places, part) if is_jitted(function) else None

        fun, jac, *second = functions
        if jac is True:
            own = bound(fun, 0, "[0]"), bound(fun, 1, "[1]")
        elif isinstance(fun, Compiled):
            parts = fun.fun, fun.jac, fun.hess, fun.hessp
            own = Compiled(*(bound(part, i) for i, part in enumerate(parts))), bound(jac, 1)
        else:
            own = bound(fun, 0), bound(jac, 1)
        self.functions = *own, *(bound(f, i) for i, f in enumerate(second, 2))

    def hold(self, args: tuple[Any, ...], most: float) -> Budget:
        """Write the arguments into the memory, and begin to count."""
        first = len(COUNTS) + 1
        self.memory[first:] = [word for argument in args for word in words_of(argument)]
        return Budget(most, self.memory[:first])


POOL: dict[Any, list[Given]] = {}  #: those that no run uses at the moment
MANY = 256


def taken(functions: tuple[Any, ...], args: tuple[Any, ...]) -> Given | None:
    """What can hold these arguments for these functions, out of the pool; None where that cannot be."""
    kinds = kinds_of(args) if is_jitted(functions[0]) else None
    if kinds is None:
        return None
    if len(POOL) > MANY:
        POOL.clear()
    jitted = tuple(f if f is True or is_jitted(f) else None for f in functions)
    spare = POOL.setdefault((jitted, kinds), [])
    return spare.pop() if spare else Given(jitted, kinds, spare)


def of_x(function: Any, i: int, address: int, places: list[Any], part: str) -> Any:
    """x ↦ function(x, *args), counted in word i; the first function raises ``Spent`` where that is at its limit."""
    own = "x, p" if COUNTS[i] == "nhvp" else "x"
    space: dict[str, Any] = {"function": getattr(function, "fun", function), "Spent": Spent, "load": load}
    space |= {"store": store, "used": address + 8 * i, "most": address + 8 * len(COUNTS)}
    for k, (read, place) in enumerate(places):
        space |= {f"read{k}": read, f"at{k}": place}
    rest = "".join(f", read{k}(at{k})" for k in range(len(places)))
    lines = [
        f"def call({own}):",
        *(["    if load(used) >= load(most):", "        raise Spent"] if i == 0 else []),
        "    store(used, load(used) + 1)",
        f"    return function({own}{rest}){part}",
    ]
    exec("\n".join(lines), space)
    return njit(error_model="numpy")(space["call"])


def pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def load(typingctx: Any, address: Any) -> Any:
    """The integer at an address."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(pointer(builder, arguments[0], WORD))

    return types.int64(types.intp), build


@intrinsic
def store(typingctx: Any, address: Any, value: Any) -> Any:
    """Write an integer at an address."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], pointer(builder, arguments[0], WORD))
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), build


def reader(kind: Any) -> Any:
    """An intrinsic that reads an argument of this type from an address; an array is a view, owned by the caller."""

    @intrinsic
    def read(typingctx: Any, address: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def word(i: int) -> Any:
                return builder.load(builder.gep(pointer(builder, arguments[0], WORD), [WORD(i)]))

            if kind is types.float64:
                return builder.bitcast(word(0), ir.DoubleType())
            if kind is types.boolean:
                return cgutils.is_not_null(builder, word(0))
            if kind is types.int64:
                return word(0)
            element, n = context.get_data_type(kind.dtype), kind.ndim
            array = context.make_array(kind)(context, builder)
            arrayobj.populate_array(
                array,
                data=builder.inttoptr(word(0), element.as_pointer()),
                shape=[word(1 + k) for k in range(n)],
                strides=[word(1 + n + k) for k in range(n)],
                itemsize=context.get_constant(types.intp, context.get_abi_sizeof(element)),
                meminfo=None,
            )
            return array._getvalue()

        return kind(types.intp), build

    return read
