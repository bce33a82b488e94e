"""The entries: the only functions of a compiled loop that Python calls.

Their arguments are plain: addresses of functions, numbers, arrays. They return numbers only, and leave arrays in those
that they were given. One begins a run, or goes on with one; the other begins a run from each row of a matrix.
"""

from typing import Any

from refopt import words
from refopt.dialect.kinds import Bound, Kind, fields_of, functions_of
from refopt.ops import Matrix, Symmetric, Vector

LEAVE = {Vector: words.leave_vector, Matrix: words.leave_matrix, Symmetric: words.leave_symmetric}
CROSSING = (words.copied, words.row_of, words.leave_row, *LEAVE.values())  #: the words that entries are written in

ENDS = ("f", "f0", "g0", "gnorm", "verdict")  #: of the watch; and of the state, where it has them:
COUNTS = ("nfev", "njev", "nhev", "nhvp")
COLUMNS = ("nit", *ENDS, *COUNTS)  #: the numbers that are left of each of many runs


def groups_of(method: Any, rules: Any) -> dict[str, Any]:
    """The NamedTuples of a loop: state, watch, params, tests."""
    return {"state": method.State, "watch": rules.Watch, "params": method.Params, "tests": rules.Tests}


def problem_source(bound: Bound, size: str) -> tuple[dict[str, Kind], str]:
    """The arguments that a problem is made of, an address being an int; and the problem."""
    fields = fields_of(bound)
    arguments: dict[str, Kind] = {name: int for name in functions_of(bound) if name not in bound.missing}
    rest = {name: kind for name, kind in fields.items() if kind in (float, Symmetric)}
    values = {name: f"{name}_at({name})" for name in arguments} | {name: name for name in rest} | {"scale": size}
    return arguments | rest, f"Problem({', '.join(values.get(name, 'None') for name in fields)})"


def entry_source(groups: dict[str, Any], bound: Bound) -> tuple[str, list[Kind]]:
    """The entry of one run, and the kinds of its arguments.

    Vectors are copied first, because one of them may come to stand in another's place. A new run reads x and the sizes
    of state and watch only. Each array is returned as the number of its rows: one that was given too small stays empty.
    """
    arguments, problem = problem_source(bound, "copied(watch_size)")
    arguments["begun"] = bool
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
        f"problem = {problem}",
        f"params, tests = {made['params']}, {made['tests']}",
        "if begun:",
        f"    state, watch, k = run(problem, {made['state']}, {made['watch']}, params, tests, steps)",
        "else:",
        f"    state, watch, k = begin(problem, {first}, params, tests, steps)",
        f"return {', '.join(results)}, k",
    ]
    return "\n    ".join(lines), [*arguments.values(), int]


def rows_source(groups: dict[str, Any], bound: Bound) -> tuple[str, list[Kind]]:
    """The entry of many runs, and the kinds of its arguments: up to ``steps`` steps from each of some rows of X.

    Of each run it leaves the best point and its gradient in X and G, and in a row of ``numbers`` the ``COLUMNS``.
    """
    arguments, problem = problem_source(bound, "row_of(sizes, i)")
    made = {}
    for group in ("params", "tests"):
        fields = {f"{group}_{name}": kind for name, kind in fields_of(groups[group]).items()}
        made[group] = f"{group.capitalize()}({', '.join(fields)})"
        arguments |= fields
    rest = {"X": Matrix, "sizes": Matrix, "G": Matrix, "numbers": Matrix, "first": int, "stop": int, "steps": int}
    arguments |= rest
    counts = [f"state.{name}" if name in fields_of(groups["state"]) else "0" for name in COUNTS]
    values = ["k", *(f"watch.{name}" for name in ENDS), *counts]
    lines = [
        f"def entry({', '.join(arguments)}):",
        f"params, tests = {made['params']}, {made['tests']}",
        "for i in range(first, stop):",
        f"    problem = {problem}",
        "    state, watch, k = begin(problem, row_of(X, i), row_of(sizes, i), params, tests, steps)",
        "    leave_row(X, i, watch.x)",
        "    leave_row(G, i, watch.g)",
        *(f"    numbers[i, {j}] = {value}" for j, value in enumerate(values)),
        "return stop",
    ]
    return "\n    ".join(lines), list(arguments.values())
