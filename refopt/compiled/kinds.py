"""The types of numba for the kinds of the dialect."""

from collections import namedtuple
from functools import cache
from typing import Any, get_args

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refopt.dialect import Bound, Kind, fields_of, is_function, is_tuple
from refopt.ops import Choice, Matrix, Symmetric, Vector


@cache
def numba_type(kind: Kind) -> Any:
    vector, matrix = types.float64[::1], types.float64[:, ::1]
    known = {
        Vector: vector,
        Matrix: matrix,
        Symmetric: matrix,
        bool: types.boolean,
        int: types.int64,
        Choice: types.int64,
    }
    known |= {float: types.float64, type(None): types.void, Any: types.none}
    if kind in known:
        return known[kind]
    if is_tuple(kind):
        return types.Tuple([numba_type(part) for part in get_args(kind)])
    if is_function(kind):
        arguments, result = get_args(kind)
        return types.FunctionType(numba_type(result)(*map(numba_type, arguments)))
    missing = kind.missing if isinstance(kind, Bound) else ()
    parts = [types.none if name in missing else numba_type(part) for name, part in fields_of(kind).items()]
    return types.BaseTuple.from_types(parts, record(kind))


@cache
def record(kind: Kind) -> Any:
    """The NamedTuple class; a bound problem's has the field ``scale`` as well."""
    return namedtuple(kind.problem.__name__, fields_of(kind)) if isinstance(kind, Bound) else kind


@cache
def function_at(kind: Kind) -> Any:
    """An intrinsic that makes a function of this kind from the address of machine code in numba's own convention.

    The C address must not be null, or numba would look for another; it is never called.
    """
    function = numba_type(kind)

    @intrinsic
    def as_function(typingctx: Any, address: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = cgutils.create_struct_proxy(function)(context, builder)
            value.jit_addr = value.c_addr = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
            return value._getvalue()

        return function(types.intp), build

    return as_function
