"""The entry: the only function of a compiled loop that Python calls.

Its arguments are plain: addresses of functions, numbers, and every field of the loop's NamedTuples. It begins a run, or
goes on with one. It returns numbers only, and leaves the arrays of state and watch in those that it was given.
"""

from typing import Any

from refopt import words
from refopt.dialect.kinds import Bound, Kind, fields_of, functions_of
from refopt.ops import Matrix, Symmetric, Vector

LEAVE = {Vector: words.leave_vector, Matrix: words.leave_matrix, Symmetric: words.leave_symmetric}


def groups_of(method: Any, rules: Any) -> dict[str, Any]:
    """The NamedTuples of a loop: state, watch, params, tests."""
    return {"state": method.State, "watch": rules.Watch, "params": method.Params, "tests": rules.Tests}


def entry_source(groups: dict[str, Any], bound: Bound) -> tuple[str, list[Kind]]:
    """The entry, and the kinds of its arguments; an address is an int.

    Vectors are copied first, because one of them may come to stand in another's place. A new run reads x and the sizes
    of state and watch only. Each array is returned as the number of its rows: one that was given too small stays empty.
    """
    fields = fields_of(bound)
    arguments: dict[str, Kind] = {name: int for name in functions_of(bound) if name not in bound.missing}
    problem = [
        f"{name}_at({name})" if arguments.get(name) is int else name if kind is float else "None"
        for name, kind in fields.items()
        if name != "scale"
    ]
    arguments |= {"begun": bool} | {name: float for name, kind in fields.items() if kind is float}
    made, results = {}, []
    for group, record in groups.items():
        values = []
        for name, kind in fields_of(record).items():
            argument = f"{group}_{name}"
            arguments[argument] = kind
            values.append(f"copied({argument})" if kind is Vector else argument)
            if group in ("state", "watch"):
                result = f"{group}.{name}"
                results.append(f"{LEAVE[kind].__name__}({argument}, {result})" if kind in LEAVE else result)
        made[group] = f"{group.capitalize()}({', '.join(values)})"
    first = "copied(state_x), copied(watch_size)"
    lines = [
        f"def entry({', '.join(arguments)}, steps):",
        f"problem = Problem({', '.join(problem)}, copied(watch_size))",
        f"params, tests = {made['params']}, {made['tests']}",
        "if begun:",
        f"    state, watch, k = run(problem, {made['state']}, {made['watch']}, params, tests, steps)",
        "else:",
        f"    state, watch, k = begin(problem, {first}, params, tests, steps)",
        f"return {', '.join(results)}, k",
    ]
    return "\n    ".join(lines), [*arguments.values(), int]
