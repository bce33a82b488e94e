"""The entry of a method: its loop as one function of machine code, from disk or compiled now."""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, get_args

import numba
from numba.core.compiler_lock import global_compiler_lock

from refopt import diskcache
from refopt import loop as loops
from refopt.compiled.kept import folder, keep, loaded
from refopt.compiled.kinds import function_at, numba_type, record
from refopt.compiled.ways import Apart, Together, Weight
from refopt.dialect import (
    CROSSING,
    Bound,
    Kind,
    Twins,
    entry_source,
    functions_of,
    groups_of,
    is_tuple,
    rows_source,
)
from refopt.ops import Matrix, Vector

PROVED = ("0.68.",)  #: the versions of numba in which ``Together`` is known to work; elsewhere ``Apart`` is used


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
        how = way(weight(loops.run, later, search))
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


def weight(loop: Any, kinds: tuple[Kind, ...], search: int) -> Weight:
    """How much code a method is, and so how much of it may become part of its callers."""
    survey = Twins(lambda python, kinds, result: python, search)
    survey.of(loop, kinds)
    made = survey.made.values()
    if any(is_tuple(result) and Matrix in get_args(result) for _, result in made):
        return Weight.FACTORS
    return Weight.SHORT if len(made) < 45 else Weight.LONG
