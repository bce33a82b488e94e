"""The compiled reading: a method, its stopping tests and its loop as one machine-code function.

``runner(method, problem)`` has the shape of ``loop.run``. The twins of ``refopt.dialect`` are compiled by numba; the
user's jitted functions enter as *addresses*, so that a new objective recompiles nothing and its exceptions travel
unchanged. One *entry* per method returns numbers only and writes arrays into buffers: building an array or a NamedTuple
for Python runs bytecode, and a signal that is pending then would end the process. Entries are kept on disk.

``refopt.compile(fun, jac, hess)`` jits an objective and keeps its code on disk too.
"""

import gc
import logging
import pickle
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from math import inf
from pathlib import Path
from types import FunctionType
from typing import Any, get_args

import llvmlite
import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, compiler, errors
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target
from numba.core.serialize import dumps
from numba.core.typing.templates import make_concrete_template
from numba.extending import intrinsic

from refopt import diskcache, memory, words
from refopt import loop as loops
from refopt.dialect import (
    CROSSING,
    LEAVE,
    Bound,
    Kind,
    Twins,
    entry_source,
    fields_of,
    functions_of,
    groups_of,
    is_function,
    is_tuple,
    keeps,
    rows_source,
)
from refopt.loop import Loop
from refopt.ops import Choice, Matrix, Symmetric, Vector

njit: Any = numba.njit

OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True}
REORDERED = {"reassoc", "contract", "nsz"}  # sums in any order; NaN and infinity keep their meaning
SHORT, LONG = 200, 500  #: bytes of Python's code
PROVED = ("0.68.",)  #: the versions of numba in which ``Together`` is known to work; elsewhere ``Apart`` is used


def is_jitted(function: Any) -> bool:
    """Whether a function can enter the compiled loop."""
    return isinstance(function, Dispatcher | Compiled)


# --- the door --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def runner(method: Any, rules: Any, problem: Any, search: int = 0) -> Loop:
    """The loop of a method, compiled, with the functions of ``problem`` and the stopping rules of ``rules``.

    Of the line searches it has only the one that ``params`` will ask for.

    These functions are jitted; those that are None are replaced by 3-point differences inside the loop, with
    ``watch.size`` as scale. The arrays of state and watch are float64; they are left alone: those returned are new.
    """
    addresses, code, bound = linked(problem)
    entry, groups = entry_of(method, rules, bound, search=search), groups_of(method, rules)
    frame = Frame(groups["state"], groups["watch"])

    products, unkept = hasattr(method.State, "nhvp"), np.zeros((1, 1))

    def rest(x: Any, kept: Any) -> tuple[Any, ...]:
        """The matrix in which the last Hessian is kept for products with it, where that may happen."""
        if not keeps(bound):
            return ()
        return (unkept if not products else room_for_hessian(len(x)) if kept is None else kept,)

    def begin(x: Any, size: Any, params: Any, tests: Any, steps: int, kept: Any = None) -> Any:
        values, more = frame.blank(x, size), rest(x, kept)
        if frame.taken(values, results := entry(*addresses, 0.0, *more, False, *values, *params, *tests, steps)):
            return frame.filled(values, results)
        return begin(x, size, params, tests, steps, kept)

    def run(noise: float, state: Any, watch: Any, params: Any, tests: Any, steps: int, kept: Any = None) -> Any:
        values, more = frame.copied(state, watch), rest(state.x, kept)
        return frame.filled(values, entry(*addresses, noise, *more, True, *values, *params, *tests, steps))

    run.code = code  # type: ignore[attr-defined]  # an address is good as long as its code is alive
    return Loop(begin, run, {}, keeps(bound) and products)


def room_for_hessian(n: int) -> Any:
    """What ``words.hessian_product`` keeps: a matrix, and below it a point and how many Hessians were evaluated."""
    return np.zeros((n + 1, n + 1))


@lru_cache(maxsize=256)
def rows_runner(method: Any, rules: Any, problem: Any, threads: bool, search: int = 0) -> Callable[..., None]:
    """The loop over many starts: ``run(params, tests, X, sizes, G, numbers, first, stop, steps)``.

    Up to ``steps`` steps from rows ``first`` to ``stop`` of X; see ``dialect.rows_source`` for what it leaves in the
    arrays. With ``threads`` the interpreter's lock is free meanwhile: blocks of rows may run side by side.
    """
    addresses, code, bound = linked(problem)
    entry = entry_of(method, rules, bound, rows_source, threads, search)

    def run(params: Any, tests: Any, X: Any, *rest: Any) -> None:
        kept = (room_for_hessian(X.shape[1]),) if keeps(bound) else ()
        entry(*addresses, 0.0, *kept, *params, *tests, X, *rest)

    run.code = code  # type: ignore[attr-defined]
    return run


def linked(problem: Any) -> tuple[list[int], list[Any], Bound]:
    """The addresses of a problem's functions, their code, which must be kept, and what they are and lack."""
    problem_type: Any = type(problem)
    kinds = functions_of(problem_type)
    functions = {name: getattr(problem, name) for name in kinds if getattr(problem, name) is not None}
    code = [machine_code(getattr(f, "fun", f), name, kinds[name]) for name, f in functions.items()]
    addresses = [made.library.get_pointer_to_function(made.fndesc.llvm_func_name) for _, made in code]
    return addresses, code, Bound(problem_type, frozenset(kinds) - frozenset(functions))


class Frame:
    """The fields of state and watch as the entry takes and leaves them: numbers, and arrays that it fills."""

    def __init__(self, state: Any, watch: Any) -> None:
        kinds = [*fields_of(state).values(), *fields_of(watch).values()]
        self.state, self.watch, self.split = state, watch, len(fields_of(state))
        self.size = self.split + watch._fields.index("size")
        self.numbers = [i for i, kind in enumerate(kinds) if kind not in LEAVE]
        self.arrays = {i: kind is not Vector for i, kind in enumerate(kinds) if kind in LEAVE}  #: whether a matrix
        self.rows: dict[int, list[int]] = {}  #: of each array, for each number of variables

    def blank(self, x: Any, size: Any) -> list[Any]:
        """Before the first state: x, the sizes, and empty arrays, with n rows where nothing else is known yet."""
        n = len(x)
        values: list[Any] = [0] * (self.split + len(self.watch._fields))
        rows = self.rows.setdefault(n, [n] * len(self.arrays))
        for (i, matrix), m in zip(self.arrays.items(), rows, strict=True):
            values[i] = np.empty((m, n) if matrix else m)
        values[0], values[self.size] = x.copy(), size.copy()
        return values

    def taken(self, values: list[Any], results: Any) -> bool:
        """Whether every array had room for what was left in it; if not, it will have the next time."""
        rows = self.rows[len(values[0])]
        found = [results[i] for i in self.arrays]
        fits = found == rows
        rows[:] = found
        return fits

    def copied(self, state: Any, watch: Any) -> list[Any]:
        values = [*state, *watch]
        for i in self.arrays:
            values[i] = np.array(values[i], order="C")  # a copy; and a matrix of the rows of a history
        return values

    def filled(self, values: list[Any], results: Any) -> Any:
        """State and watch, and the number of steps taken."""
        for i in self.numbers:
            values[i] = results[i]
        return self.state._make(values[: self.split]), self.watch._make(values[self.split :]), results[-1]


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


# --- the entry -------------------------------------------------------------------------------------------------------


@cache
def entry_of(
    method: Any, rules: Any, bound: Bound, source: Any = entry_source, threads: bool = False, search: int = 0
) -> Callable[..., Any]:
    """The entry of a method with one line search, for one run or many, for one thread at a time or several.

    From disk, or compiled now.
    """
    way = Together if numba.__version__.startswith(PROVED) else Apart
    what = f"{source.__name__} of {method.__name__} by {rules.__name__} without {sorted(bound.missing)}"
    name = diskcache.key(what, way.__name__, str(threads), str(search))
    path = folder() / name
    code = loaded(path)
    if code is None:
        logging.getLogger("refopt").warning("compiling %s: some seconds, once", method.__name__)
        how = partial(way, name, threads, source is rows_source)
        code = compiled_entry(method, rules, bound, source, how, search)
        keep(path, code)
    return code.entry_point


def compiled_entry(method: Any, rules: Any, bound: Bound, source: Any, way: Any, search: int = 0) -> Any:
    groups = groups_of(method, rules)
    text, kinds = source(groups, bound)
    first = method, rules, bound, Vector, Vector, groups["params"], groups["tests"], int
    later = method, rules, bound, *groups.values(), int
    with global_compiler_lock, uncollected():
        how = way(light(loops.run, later, search))
        twins = Twins(how.inner, search)
        shadows: dict[str, Any] = {"__name__": __name__, "Problem": record(bound)}
        shadows |= {"run": twins.of(loops.run, later)[0], "begin": twins.of(loops.begin, first)[0]}
        shadows |= {group.capitalize(): record_type for group, record_type in groups.items()}
        shadows |= {f"{name}_at": function_at(kind) for name, kind in functions_of(bound).items()}
        shadows |= {word.__name__: twins.word(word)[0] for word in CROSSING if f"{word.__name__}(" in text}
        exec(text, shadows)
        return how.entry(shadows["entry"], tuple(map(numba_type, kinds)))


@contextmanager
def uncollected() -> Iterator[None]:
    """Without garbage collection, which would look through all of the compiler's objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def light(loop: Any, kinds: tuple[Kind, ...], search: int) -> bool:
    """Whether no matrix is factored: then the calls of words are worth saving. Else it would only cost compile time."""
    survey = Twins(lambda python, kinds, result: python, search)
    survey.of(loop, kinds)
    return not any(is_tuple(result) and Matrix in get_args(result) for _, result in survey.made.values())


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


# --- two ways of compiling -------------------------------------------------------------------------------------------


def is_word(python: FunctionType) -> bool:
    return python.__module__.startswith(words.__name__)


def is_loop(python: FunctionType) -> bool:
    """``loop.run``, which the entry calls twice."""
    return python.__module__ == loops.__name__ and python.__name__ == loops.run.__name__


def longest_part(light: bool, many: bool) -> float:
    """The longest function that becomes a part of its caller: a call is much beside a short run, not beside others."""
    return inf if light and many else LONG if light else SHORT


def options_for(python: FunctionType, longest: float) -> dict[str, Any]:
    """Sums of words may be reordered but where rounding is meant; what controls them is a part of its caller."""
    word, ordered = is_word(python), any(python.__code__ is other.__code__ for other in words.ORDERED)
    part = not (word or is_loop(python)) and len(python.__code__.co_code) <= longest
    return {**OPTIONS, "fastmath": REORDERED if word and not ordered else False, "forceinline": part}


class Apart:
    """Every twin becomes an ordinary jitted function, made into machine code, and again inside each caller."""

    def __init__(self, name: str, threads: bool, many: bool, light: bool) -> None:
        self.name, self.threads, self.longest = name, threads, longest_part(light, many)

    def inner(self, python: FunctionType, kinds: tuple[Kind, ...], result: Kind) -> Any:
        wanted = numba_type(result)(*map(numba_type, kinds))
        return njit(wanted, no_cpython_wrapper=True, **options_for(python, self.longest))(python)

    def entry(self, python: FunctionType, arguments: tuple[Any, ...]) -> Any:
        python.__qualname__ = self.name
        return njit(arguments, nogil=self.threads, **OPTIONS)(python).overloads[arguments]


class Together:
    """All twins go into one library, which is optimised and made into machine code once, as a whole.

    Every function gets a name of its own, because all libraries share one table of symbols, internal ones included.
    """

    def __init__(self, name: str, threads: bool, many: bool, light: bool) -> None:
        self.name, self.threads, self.light = name, threads, light
        self.longest = longest_part(light, many)
        self.context, self.typing = cpu_target.target_context, cpu_target.typing_context
        self.library = self.context.codegen().create_library(name)
        self.library.enable_object_caching()
        self.library._optimize_final_module = self.sealed
        if not light:
            self.library._optimize_functions = self.laid_out
        locked = not threads and getattr(sys, "_is_gil_enabled", lambda: True)()
        counting = memory.source(spare=locked, inlined=many and light)
        self.library.add_llvm_module(binding.parse_assembly(counting))

    def laid_out(self, module: Any) -> None:
        """In place of optimising each function on its own, which takes time and makes a run a little faster."""
        module.data_layout = self.library._codegen._data_layout

    def inner(self, python: FunctionType, kinds: tuple[Kind, ...], result: Kind) -> Any:
        wanted = numba_type(result)(*map(numba_type, kinds))
        options = options_for(python, self.longest)
        code = self.compiled(python, wanted.args, wanted.return_type, inner=True, **options)
        function = self.library._final_module.get_function(code.fndesc.llvm_func_name)
        if is_loop(python) or (is_word(python) and not self.light):
            function.add_function_attribute("noinline")
        return Inner(self.context, code.fndesc, wanted)

    def sealed(self) -> None:
        """Optimise; what is inlined everywhere is dropped. Names change last: the counting is known by its own."""
        for function in self.inside():
            function.linkage = "internal"
        type(self.library)._optimize_final_module(self.library)
        for function in self.inside():
            function.name = f"{self.name}.{function.name}"

    def inside(self) -> list[Any]:
        """The functions that are defined here, but for the entry and what calls it from Python."""
        return [f for f in self.library._final_module.functions if not f.is_declaration and self.name not in f.name]

    def entry(self, python: FunctionType, arguments: tuple[Any, ...]) -> Any:
        python.__qualname__ = self.name
        return self.compiled(python, arguments, None, inner=False, nogil=self.threads, **OPTIONS)

    def compiled(self, python: FunctionType, arguments: Any, result: Any, inner: bool, **options: Any) -> Any:
        flags: Any = compiler.Flags()
        cpu_target.options.parse_as_flags(flags, {"nopython": True, "no_cpython_wrapper": inner, **options})
        flags.no_compile, flags.enable_looplift, flags.no_rewrites = inner, False, True
        return compiler.compile_extra(self.typing, self.context, python, arguments, result, flags, {}, self.library)


class Inner:
    """A function of a library, for the other functions of that library to call."""

    def __init__(self, context: Any, description: Any, wanted: Any) -> None:
        context.insert_user_function(self, description)
        self._numba_type_ = types.Function(make_concrete_template(description.qualname, self, [wanted]))


# --- kept on disk ----------------------------------------------------------------------------------------------------


@cache
def folder() -> Path:
    machine = map(str, cpu_target.target_context.codegen().magic_tuple())
    return diskcache.folder(numba.__version__, llvmlite.__version__, *machine)


def loaded(path: Path) -> Any:
    data = diskcache.read(path)
    if data is None:
        return None
    cpu_target.target_context.refresh()
    try:
        return compiler.CompileResult._rebuild(cpu_target.target_context, *pickle.loads(data))
    except Exception:  # of whatever kind: the module of a function may be gone, for one. It is compiled again
        return None


def keep(path: Path, code: Any) -> None:
    if not code.library.has_dynamic_globals and not code.lifted:
        diskcache.write(path, dumps(code._reduce()))


class Kept:
    """The cache of one dispatcher: a file for each signature, where numba keeps an index for each source file."""

    def __init__(self, key: str) -> None:
        self.key, self.cache_path = key, str(folder())

    def load_overload(self, arguments: Any, context: Any) -> Any:
        return loaded(folder() / diskcache.key(self.key, str(arguments)))

    def save_overload(self, arguments: Any, code: Any) -> None:
        keep(folder() / diskcache.key(self.key, str(arguments)), code)


class Compiled:
    """An objective with its derivatives, all jitted: what ``refopt.compile`` returns, called like ``fun``."""

    def __init__(self, fun: Any, jac: Any, hess: Any, hessp: Any) -> None:
        self.fun, self.jac, self.hess, self.hessp = fun, jac, hess, hessp

    def __call__(self, x: Any) -> Any:
        return self.fun(x)


def compile(fun: Any, jac: Any = None, hess: Any = None, hessp: Any = None) -> Compiled:
    """The objective prepared once for the fastest calls; accepted wherever ``fun`` is, with its derivatives.

    ``fun(x) -> float``, ``jac(x) -> (n,)``, ``hess(x) -> (n, n)``, ``hessp(x, p) -> (n,)``: Python functions that
    numba can compile, or jitted ones. Their machine code is kept on disk under a digest of the code and of every value
    it refers to.
    """
    return Compiled(*(function and remembered(function) for function in (fun, jac, hess, hessp)))


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
