"""The compiled reading: a method, its stopping tests and its loop as one machine-code function.

``runner(method, problem)`` has the shape of ``loop.run``. The twins of ``refopt.dialect`` are compiled by numba; the
user's jitted functions enter as *addresses*, so that a new objective recompiles nothing and its exceptions travel
unchanged. One *entry* per method returns numbers only and writes arrays into buffers: building an array or a NamedTuple
for Python runs bytecode, and a signal that is pending then would end the process. Entries are kept on disk.

``refopt.compile(fun, jac, hess)`` jits an objective and keeps its code on disk too, and ``kernel(function)`` a loop of
the library's own that Python calls.
"""

from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Any

import numpy as np

from refopt.compiled.entry import entry_of
from refopt.compiled.objective import Compiled, compile, is_jitted, kernel, machine_code, parts
from refopt.dialect import LEAVE, Bound, entry_source, fields_of, functions_of, groups_of, keeps, rows_source
from refopt.loop import Loop
from refopt.ops import Vector

__all__ = ["Compiled", "compile", "entry_of", "is_jitted", "kernel", "parts", "rows_runner", "runner"]


@lru_cache(maxsize=256)
def runner(method: Any, rules: Any, problem: Any, search: int = 0) -> Loop:
    """The loop of a method, compiled, with the functions of ``problem`` and the stopping rules of ``rules``.

    Of the line searches it has only the one that ``params`` will ask for.

    These functions are jitted; those that are None are replaced by 3-point differences inside the loop, with
    ``watch.size`` as scale. The arrays of state and watch are float64; they are left alone: those returned are new.
    """
    addresses, code, bound = linked(problem)
    entry, groups = entry_of(method, rules, bound, entry_source, False, search), groups_of(method, rules)
    frame = Frame(groups["state"], groups["watch"])

    keeping, products, unkept = keeps(bound), hasattr(method.State, "nhvp"), np.zeros((1, 1))

    def rest(x: Any, kept: Any) -> tuple[Any, ...]:
        """The matrix in which the last Hessian is kept for products with it, where that may happen."""
        if not keeping:
            return ()
        return (unkept if not products else room_for_hessian(len(x)) if kept is None else kept,)

    def begin(x: Any, size: Any, params: Any, tests: Any, steps: int, kept: Any = None) -> Any:
        values, rows = frame.blank(x, size)
        more = rest(x, kept)
        if frame.taken(values, rows, results := entry(*addresses, 0.0, *more, False, *values, *params, *tests, steps)):
            return frame.filled(values, results)
        return begin(x, size, params, tests, steps, kept)

    def run(noise: float, state: Any, watch: Any, params: Any, tests: Any, steps: int, kept: Any = None) -> Any:
        values, more = frame.copied(state, watch), rest(state.x, kept)
        return frame.filled(values, entry(*addresses, noise, *more, True, *values, *params, *tests, steps))

    run.code = code  # type: ignore[attr-defined]  # an address is good as long as its code is alive
    return Loop(begin, run, {}, keeping and products)


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
        self.nothing: list[Any] = [0] * len(kinds)
        self.arrays = {i: kind is not Vector for i, kind in enumerate(kinds) if kind in LEAVE}  #: whether a matrix
        self.rows = itemgetter(*self.arrays)  #: how many each array has, of the results of the entry
        self.shapes: dict[int, Any] = {}  #: of each array, for each number of variables; and how many rows they have

    def shaped(self, n: int, rows: tuple[int, ...]) -> Any:
        """The shapes of arrays with so many rows, from now on those for n variables; and these rows."""
        shapes = {i: (m, n) if matrix else (m,) for (i, matrix), m in zip(self.arrays.items(), rows, strict=True)}
        del shapes[0], shapes[self.size]  # of the two that are given
        self.shapes[n] = shapes, rows
        return self.shapes[n]

    def blank(self, x: Any, size: Any) -> tuple[list[Any], tuple[int, ...]]:
        """Before the first state: x, the sizes, and empty arrays, of n rows where nothing else is known; these rows."""
        n, values, empty = len(x), self.nothing.copy(), np.empty
        shapes, rows = self.shapes.get(n) or self.shaped(n, (n,) * len(self.arrays))
        for i, shape in shapes.items():
            values[i] = empty(shape)
        values[0], values[self.size] = x.copy(), size.copy()
        return values, rows

    def taken(self, values: list[Any], rows: tuple[int, ...], results: Any) -> bool:
        """Whether every array had room for what was left in it; if not, it will have the next time."""
        left: tuple[int, ...] = self.rows(results)
        if left != rows:
            self.shaped(len(values[0]), left)
        return left == rows

    def copied(self, state: Any, watch: Any) -> list[Any]:
        values = [*state, *watch]
        for i in self.arrays:
            values[i] = np.array(values[i], order="C")  # a copy; and a matrix of the rows of a history
        return values

    def filled(self, values: list[Any], results: Any) -> Any:
        """State and watch, and the number of steps taken."""
        found = list(results)
        for i in self.arrays:
            found[i] = values[i]
        return self.state._make(found[: self.split]), self.watch._make(found[self.split : -1]), found[-1]
