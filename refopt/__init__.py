"""refopt: the reference for second-order optimization.

Every method is a page to check against the book, and the same page runs: generically on any array kind, compiled,
and in exact rational arithmetic.   ``refopt.minimize`` and ``refopt.least_squares`` solve problems, ``refopt.train``
trains networks, ``refopt.verify`` checks the field's theorems, ``refopt.iterate`` shows every state.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

#: public names and the modules that have them; ``__init__.pyi`` says the same to type checkers
_HOMES = {
    "minimize": "minimize",
    "as_scipy": "minimize",
    "minimize_many": "many",
    "least_squares": "least_squares",
    "curve_fit": "least_squares",
    "train": "train",
    "iterate": "loop",
    "Draw": "sampled",
    "Problem": "problem",
    "LeastSquares": "problem",
    "Supervised": "supervised",
    "Status": "stopping",
    "available": "catalogue",
    "recommend": "recommend",
    "compile": "compiled",
    "verify": "oracle.claim",
}
_MODULES = (
    "conformance",
    "curvature",
    "derivatives",
    "exact",
    "linalg",
    "methods",
    "networks",
    "oracle",
    "pruning",
    "schedules",
    "stochastic",
    "zoo",
)

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    """Public names are loaded when they are first asked for: importing refopt costs no more than NumPy."""
    if name in _HOMES:
        value = getattr(importlib.import_module(f"refopt.{_HOMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"refopt.{name}")
    else:
        raise AttributeError(f"module 'refopt' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Package(ModuleType):
    """A package in which ``refopt.minimize`` stays the function when the module of that name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
