"""What a run may be that is not what it is said to be: the same method with other options, or another method.

Options are tried one at a time, and in pairs: the values that occur, all decades of an ε, and a damping that is found
by least squares,  Bs + λs = −αg  for the first step s.
"""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import numpy as np

from refopt.oracle.rulebook import RULES, STEPS
from refopt.oracle.rules import Path, fisher, hessian

DECADES = (0.0, *(10.0**-k for k in range(1, 17)))
BETAS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999)
USUAL: dict[str, tuple[Any, ...]] = {
    "beta1": BETAS[:6], "beta2": BETAS[3:], "eps": DECADES, "momentum": BETAS[1:7], "decay": BETAS[3:],
    "weight_decay": (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 5e-2, 0.1), "memory": (*range(1, 31), 50, 100),
    "every": (1, 2, 5, 10, 20, 50, 100), "exponent": (0.25, 0.5, 1.0),
}  # fmt: skip
OPEN = ("memory",)  #: what a run may choose, unless it has said what it chose
ALIKE = (
    ("gradient-descent", "newton", "damped-newton", "bfgs", "dfp", "l-bfgs"),
    ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw", "adam-no-sqrt"),
    ("gauss-newton", "lm"),
)


def options(name: str, path: Path) -> Iterator[dict[str, Any]]:
    """Changes of the options, the smallest first."""
    params = path.params
    fields = [f for f in USUAL if hasattr(params, f)] if name in STEPS or name == "l-bfgs" else []
    changes = {f: [value for value in USUAL[f] if value != getattr(params, f)] for f in fields}
    for f in fields:
        yield from ({f: value} for value in changes[f])
    for f, g in combinations([f for f in fields if f != "memory"], 2):
        yield from ({f: a, g: b} for a, b in product(changes[f], changes[g]))
    if "damping" in getattr(params, "_fields", ()) and name in ("damped-newton", "natural-gradient"):
        yield from ({"damping": lam} for lam in dampings(name, path))


def dampings(name: str, path: Path) -> Iterator[float]:
    """λ of the first steps."""
    for k in path.moved[:3]:
        B, g, s = (fisher if name == "natural-gradient" else hessian)(path, k), path.g(k), path.s(k)
        (lam, alpha), *_ = np.linalg.lstsq(np.stack([s, g], 1), -B @ s)
        if lam > 0.0 and alpha > 0.0:
            short = float(f"{lam:.6g}")  # of a number somebody chose the rounding of s hides the last digits
            yield short if abs(short - lam) <= 1e-8 * lam else float(lam)


def methods(name: str) -> list[str]:
    """Others that a run could be of, with no more in its records."""
    return [other for family in ALIKE if name in family for other in family if other != name and other in RULES]
