"""Compiling beforehand, so that no first solve waits: ``refopt compile [METHOD…]`` fills the cache on disk."""

import time
from collections.abc import Iterator
from typing import Any

from refopt import stopping, stopping_residuals
from refopt.catalogue import ENTRIES, Entry
from refopt.compiled import entry_of
from refopt.dialect import Bound, entry_source, functions_of, rows_source
from refopt.problem import LeastSquares, Problem

DOORS: dict[str, Any] = {"minimize": (Problem, stopping), "least_squares": (LeastSquares, stopping_residuals)}
#: derivatives, and what the problems call them
NEEDS = {"jac": ("grad", "jacobian"), "hess": ("hess",), "hessp": ("hvp",)}


def main(names: list[str], many: bool = False) -> int:
    """Compile the methods named, or all that compile, in every form that the front doors ask for.

    ``minimize_many`` is left out unless it is asked for; a line search other than the default waits for its first use.
    """
    known = [entry.name for entry in ENTRIES if entry.compiles]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no method that compiles is called {', '.join(unknown)}; there are {', '.join(known)}")
    for entry in ENTRIES:
        if entry.compiles and (not names or entry.name in names):
            start = time.perf_counter()
            module, rules, search = entry.module, DOORS[entry.door][1], getattr(entry.module.Params(), "search", 0)
            sources = (entry_source, rows_source) if many and entry.door == "minimize" else (entry_source,)
            forms = [entry_of(module, rules, b, source, False, search) for source in sources for b in bounds(entry)]
            print(f"{entry.name:20s}{len(forms)} forms in {time.perf_counter() - start:.1f} s", flush=True)
    return 0


def bounds(entry: Entry) -> Iterator[Any]:
    """With every derivative given; then with the last of them differenced, and the one before that, ...

    Products may come from a Hessian as well.
    """
    problem = DOORS[entry.door][0]
    never = set(functions_of(problem)) - {"fun", "residual"}
    for given in range(len(entry.needs), -1, -1):
        there = {name for need in entry.needs[:given] for name in NEEDS[need]}
        yield Bound(problem, frozenset(never - there))
    if "hessp" in entry.needs:
        yield Bound(problem, frozenset({"hvp"}))
