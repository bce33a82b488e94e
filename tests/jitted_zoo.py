"""The zoo as jitted functions: each traced once on symbols, and written as loops over what differs in constants only.

A function of the zoo takes arrays of any kind, so it takes NumPy's arrays of objects: ``Symbol`` records what is done.
Entries of the result that are the same expression but for their numbers become one loop over a table of these.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numba
import numpy as np

from refopt.problem import LeastSquares, Problem

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**"}
CALLS = (
    "exp",
    "expm1",
    "log",
    "sin",
    "cos",
    "tan",
    "arctan",
    "sqrt",
    "cosh",
    "sinh",
    "tanh",
    "arctan2",
    "atan",
    "atan2",
    "logaddexp",
)
LONGEST = 1_000  #: operations of one function
FOLDER = Path(tempfile.gettempdir()) / "refopt-jitted-zoo"
njit = numba.njit(error_model="numpy")


class Symbol:
    """A number that is not known yet: a constant, a variable x[k], or an operation on symbols."""

    def __init__(self, op: str, parts: tuple[Any, ...]) -> None:
        self.op, self.parts = op, parts

    def __float__(self, *other: Any) -> float:
        raise TypeError("the function asks for the value of a symbol")

    __bool__ = __lt__ = __le__ = __gt__ = __ge__ = __float__  # type: ignore[assignment]


def symbol(value: Any) -> Symbol:
    return value if isinstance(value, Symbol) else Symbol("number", (value,))


def operation(op: str, swapped: bool = False) -> Any:
    def operate(*parts: Any) -> Any:
        if any(isinstance(part, np.ndarray) for part in parts):
            return NotImplemented  # NumPy knows what to do
        return Symbol(op, tuple(map(symbol, parts[::-1] if swapped else parts)))

    return operate


for op in INFIX:
    name = {"div": "truediv"}.get(op, op)
    setattr(Symbol, f"__{name}__", operation(op))
    setattr(Symbol, f"__r{name}__", operation(op, swapped=True))
Symbol.__neg__, Symbol.__abs__ = operation("neg"), operation("abs")  # type: ignore[attr-defined]


def elementwise(op: str) -> Any:
    """NumPy's function of this name for arrays of objects, some of which may be plain numbers."""
    plain = getattr(np, op)

    def apply(*parts: Any) -> Any:
        parts = tuple(part if isinstance(part, Symbol) else float(part) for part in parts)
        return Symbol(op, tuple(map(symbol, parts))) if any(isinstance(p, Symbol) for p in parts) else plain(*parts)

    loop = np.frompyfunc(apply, plain.nin, 1)
    return lambda *parts: loop(*parts) if any(np.asarray(p).dtype == object for p in parts) else plain(*parts)


class Written(NamedTuple):
    """One or more expressions as lines of Python; constants are C[k, 0], C[k, 1], …"""

    lines: tuple[str, ...]
    results: tuple[str, ...]
    constants: tuple[float, ...]


def written(roots: list[Symbol]) -> Written:
    """Lines for these expressions; what they share is written once."""
    names: dict[int, str] = {}
    lines: list[str] = []
    constants: list[float] = []

    def name_of(node: Symbol) -> str:
        if id(node) not in names:
            names[id(node)] = write(node)
        return names[id(node)]

    def write(node: Symbol) -> str:
        if node.op == "variable":
            return f"x[{node.parts[0]}]"
        if node.op == "number":
            constants.append(float(node.parts[0]))
            return f"C[k, {len(constants) - 1}]"
        exponent = node.parts[-1]
        if node.op == "pow" and exponent.op == "number" and exponent.parts[0] in (2, 3, 4):
            text = f"{name_of(node.parts[0])} ** {int(exponent.parts[0])}"
        else:
            parts = [name_of(part) for part in node.parts]
            if node.op in INFIX:
                text = f" {INFIX[node.op]} ".join(parts)
            else:
                text = f"-{parts[0]}" if node.op == "neg" else f"np.{node.op}({', '.join(parts)})"
        if len(lines) > LONGEST:
            raise ValueError("the function is too long to be written")
        lines.append(f"t{len(lines)} = {text}")
        return f"t{len(lines) - 1}"

    results = tuple(map(name_of, roots))
    return Written(tuple(lines), results, tuple(constants))


def terms(node: Symbol) -> list[Symbol]:
    """The summands of a sum."""
    found, stack = [], [node]
    while stack:
        top = stack.pop()
        if top.op == "add":
            stack += top.parts[::-1]
        else:
            found.append(top)
    return found


def jitted(function: Any, n: int, by_rows: bool = False) -> Any:
    """``function`` of x (n,) compiled: each entry a sum of terms, or, by rows, each row of a matrix one expression."""
    x = np.array([Symbol("variable", (i,)) for i in range(n)], dtype=object)
    with mock.patch.multiple(np, **{op: elementwise(op) for op in CALLS}):
        value = np.asarray(function(x), dtype=object)
    loops: dict[Any, list[tuple[int, tuple[float, ...]]]] = {}
    rows = value.reshape(len(value), -1) if by_rows else value.reshape(-1, 1)
    for i, row in enumerate(rows):
        parts = [list(map(symbol, row))] if by_rows else [[term] for term in terms(symbol(row[0]))]
        for part in parts:
            lines, results, constants = written(part)
            loops.setdefault((lines, results), []).append((i, constants))
    if sum(len(lines) for lines, _ in loops) > LONGEST:
        raise ValueError("the function is too long to be written")
    tables, text = [], ["def traced(x):", f"    out = np.zeros(({len(rows)}, {rows.shape[1]}))"]
    for number, ((lines, results), members) in enumerate(loops.items()):
        constants = [(0.0, *constants) for _, constants in members]
        tables += [
            f"C{number} = np.ascontiguousarray(np.array({constants})[:, 1:])",
            f"I{number} = np.array({[i for i, _ in members]})",
        ]
        text += [f"    C, I = C{number}, I{number}", f"    for k in range({len(members)}):"]
        text += [f"        {line}" for line in lines]
        text += [f"        out[I[k], {j}] += {result}" for j, result in enumerate(results)]
    shaped = "out[0, 0]" if value.ndim == 0 else f"out.reshape({value.shape})"
    return kept("\n".join(["import numpy as np", "from numpy import inf", *tables, *text, f"    return {shaped}", ""]))


def kept(text: str) -> Any:
    """The function ``traced`` of a module, jitted; the module is a file, beside which numba keeps the machine code.

    Under a name that no other has: numba knows functions that it has kept by their names.
    """
    name = f"traced_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
    file, text = FOLDER / f"{name}.py", text.replace("def traced(", f"def {name}(")
    if not file.exists():
        FOLDER.mkdir(exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_text(text)
        temporary.replace(file)
    space: dict[str, Any] = {"__name__": __name__}
    exec(compile(text, str(file), "exec"), space)
    return numba.njit(error_model="numpy", cache=True)(space[name])


def squares(problem: LeastSquares, n: int) -> LeastSquares:
    return LeastSquares(jitted(problem.residual, n), jitted(problem.jacobian, n, by_rows=True))


def as_function(squares: LeastSquares, factor: float) -> Problem:
    """factor ‖r‖² with its gradient."""
    residual, jacobian, *_ = squares

    @njit
    def fun(x):
        total, r = 0.0, residual(x)
        for i in range(len(r)):
            total += r[i] * r[i]
        return factor * total

    @njit
    def grad(x):
        r, J = residual(x), jacobian(x)
        g = np.zeros(len(x))
        for i in range(len(r)):
            for j in range(len(x)):
                g[j] += 2.0 * factor * J[i, j] * r[i]
        return g

    return Problem(fun, grad)
