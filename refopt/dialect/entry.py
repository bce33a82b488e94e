"""The entry: the only function of a compiled loop that Python calls.

Its arguments are plain: addresses of functions, numbers, and every field of the loop's NamedTuples. It returns numbers
only, and leaves the arrays of state and watch in those that it was given.
"""

from types import FunctionType
from typing import Any

from refopt import words
from refopt.dialect.kinds import Bound, Kind, fields_of, functions_of, signature
from refopt.ops import Matrix, Symmetric, Vector

LEAVE = {Vector: words.leave_vector, Matrix: words.leave_matrix, Symmetric: words.leave_symmetric}


def groups_of(method: Any, loop: FunctionType) -> dict[str, Any]:
    """The NamedTuples that a loop takes after method and problem: state, watch, params, tests."""
    kinds, _ = signature(loop)
    return {"state": method.State, "watch": kinds[3], "params": method.Params, "tests": kinds[5]}


def entry_source(groups: dict[str, Any], bound: Bound) -> tuple[str, list[Kind]]:
    """The entry, and the kinds of its arguments; an address is an int.

    Vectors are copied first, because one of them may come to stand in another's place.
    """
    fields = fields_of(bound)
    arguments: dict[str, Kind] = {name: int for name in functions_of(bound) if name not in bound.missing}
    arguments |= {name: float for name, kind in fields.items() if kind is float}
    problem = [
        f"{name}_at({name})" if arguments.get(name) is int else name if kind is float else "None"
        for name, kind in fields.items()
        if name != "scale"
    ]
    calls, results, leaving = [], [], []
    for group, record in groups.items():
        values = []
        for name, kind in fields_of(record).items():
            argument = f"{group}_{name}"
            arguments[argument] = kind
            values.append(f"copied({argument})" if kind is Vector else argument)
            if kind in LEAVE:
                leaving.append(f"{LEAVE[kind].__name__}({argument}, {group}.{name})")
            elif group in ("state", "watch"):
                results.append(f"{group}.{name}")
        calls.append(f"{group.capitalize()}({', '.join(values)})")
    lines = [
        f"def entry({', '.join(arguments)}, steps):",
        f"problem = Problem({', '.join(problem)}, copied(watch_size))",
        f"state, watch, k = run(problem, {', '.join(calls)}, steps)",
        *leaving,
        f"return {', '.join(results)}, k",
    ]
    return "\n    ".join(lines), [*arguments.values(), int]
