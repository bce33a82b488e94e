"""Hessians by differences of the gradient: with which step they were made, and what that leaves.

    forward   (g(x + hv) − g(x)) / h   = Hv + ½h ∇³f[v, v] + …          central   (g(x + hv) − g(x − hv)) / 2h

The step is found by the distance from Hv, which grows with h or h², and then made exact by least squares in h.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from refopt.oracle.candidates import Array

COLUMNS = 3  #: of a matrix that are looked at until a step is found
GRID = np.linspace(-9.0, 1.0, 41)  #: log₁₀ h


class Differences(NamedTuple):
    """Theirs as differences of the gradient."""

    form: str
    step: float
    residual: float  #: of theirs beside such differences
    leaves: float  #: of such differences beside the Hessian


def differences(theirs: Array, problem: Any, x: Array, v: Array | None, H: Array, eps: float) -> Differences | None:
    """The differences that explain theirs, a product with v or a matrix, in our order; None where there are none."""
    if getattr(problem, "grad", None) is None:
        return None
    directions = np.eye(len(x)) if v is None else v[None, :]
    columns = theirs.T if v is None else theirs[None, :]
    some = slice(0, None, max(1, len(columns) // COLUMNS))
    size, g = float(np.linalg.norm(columns[some])) or 1.0, np.asarray(problem.grad(x), float)
    for form, differ in _forms(problem, x, g):

        def rest(log: float, differ: Any = differ) -> float:
            made = np.stack([differ(10.0**log, d) for d in directions[some]])
            return float(np.linalg.norm(columns[some] - made)) / size

        values = [rest(log) for log in GRID]
        k = int(np.argmin(values))
        near = GRID[max(k - 1, 0)], GRID[min(k + 1, len(GRID) - 1)]
        log = float(minimize_scalar(rest, bounds=near, method="bounded", options={"xatol": 1e-10}).x)
        short = float(f"{10.0**log:.3g}")  # of a number somebody chose
        step = short if rest(np.log10(short)) <= 10.0 * rest(log) + 1e-13 else 10.0**log
        if rest(np.log10(step)) > 1e-3:
            continue
        made = np.stack([differ(step, d) for d in directions])
        whole = float(np.linalg.norm(columns))
        residual, leaves = (float(np.linalg.norm(made - other) / whole) for other in (columns, directions @ H))
        noise = 100.0 * eps * float(np.linalg.norm(g)) * len(made) ** 0.5 / (step * whole)
        if residual <= max(1e3 * eps, noise) and residual <= 0.01 * leaves:
            return Differences(form, step, residual, leaves)
    return None


def _forms(problem: Any, x: Array, g: Array) -> Iterator[tuple[str, Callable[[float, Array], Array]]]:
    at = lambda h, d: np.asarray(problem.grad(x + h * d), float)
    yield "forward", lambda h, d: (at(h, d) - g) / h
    yield "central", lambda h, d: (at(h, d) - at(-h, d)) / (2.0 * h)
    yield "backward", lambda h, d: (g - at(-h, d)) / h
