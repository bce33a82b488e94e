"""The 27 nonlinear regression problems of NIST's Statistical Reference Datasets, with certified answers.

The residual is r(b) = m(b, x) − y  (m − log y for Nelson), the problem  min ½‖r(b)‖²,  the Jacobian exact.
Certified are the parameters and their standard errors, the sum of squares ‖r‖² and the residual standard
deviation s = √(‖r‖²/(n − p)), all to eleven digits, computed by NIST in 128-bit arithmetic. Each problem has
a far start (1) and a near one (2), and a level of difficulty.

J. Rogers, J. Filliben, L. Gill, W. Guthrie, E. Lagergren & M. Vangel, *StRD: Statistical Reference Datasets
for Testing the Numerical Accuracy of Statistical Software*, NIST; section Nonlinear Regression.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from refopt.derivatives.differences import like as array_like
from refopt.ops import namespace
from refopt.problem import LeastSquares
from refopt.zoo.nist_models import MODELS, Model

DIGITS = 11  # of the certified values


class Certified(NamedTuple):
    """A NIST problem with n observations and p parameters, and what is certified about its solution."""

    name: str
    problem: LeastSquares
    x0: Any  #: (p,), the start
    solution: Any  #: (p,), the certified parameters
    fun: float  #: ½‖r‖² at the solution
    certified: np.ndarray  #: (p,), the certified parameters as NumPy array
    stderr: np.ndarray  #: (p,), the certified standard errors
    rss: float  #: ‖r‖²
    rsd: float  #: √(‖r‖²/(n − p))
    level: str  #: "Lower", "Average" or "Higher" difficulty
    model: str  #: the formula, in b and x
    x: Any  #: (n,), the predictor; (2, n) for Nelson
    y: Any  #: (n,), the observations
    log_y: bool  #: whether log y is fitted


def names() -> list[str]:
    """The 27 names, in NIST's order of difficulty."""
    return list(MODELS)


def get(name: str, start: int = 1, like: Any = None) -> Certified:
    """The problem of this name with its far (1) or near (2) start.

    Arrays are float64 NumPy arrays, or of the kind, type and device of the array ``like``.
    """
    if name not in MODELS:
        raise ValueError(f"there is no NIST problem {name!r}; there are {', '.join(MODELS)}")
    if start not in (1, 2):
        raise ValueError(f"NIST problems have starts 1 (far) and 2 (near), not {start!r}")
    facts = _facts()[name]
    kind = np.zeros(1) if like is None else like
    x, y, x0, solution = (array_like(kind, facts[key]) for key in ("x", "y", f"start{start}", "certified"))
    target = namespace(y).log(y) if facts["log_y"] else y
    return Certified(
        name=f"nist:{name}",
        problem=least_squares(MODELS[name], x, target),
        x0=x0,
        solution=solution,
        fun=facts["rss"] / 2,
        certified=np.array(facts["certified"]),
        stderr=np.array(facts["sd"]),
        rss=facts["rss"],
        rsd=facts["rsd"],
        level=facts["level"],
        model=facts["model"],
        x=x,
        y=y,
        log_y=facts["log_y"],
    )


def least_squares(model: Model, x: Any, y: Any) -> LeastSquares:
    """min ½‖m(b, x) − y‖². Where a model overflows, the result is not finite, and nothing warns."""

    def residual(b: Any) -> Any:
        with np.errstate(all="ignore"):
            return model(b, x)[0] - y

    def jacobian(b: Any) -> Any:
        with np.errstate(all="ignore"):
            columns = model(b, x)[1]()
            if isinstance(y, np.ndarray):
                return np.array(columns).T
            return namespace(y).stack(columns, axis=1)

    return LeastSquares(residual, jacobian)


def matching_digits(found: Any, certified: Any) -> np.ndarray:
    """−log₁₀(|q − c|/|c|), the digits in which q agrees with c ≠ 0: at least 0, at most the 11 certified.

    NaN has none. Also called log relative error.   Shapes: those of the arguments, broadcast.
    """
    found, certified = np.asarray(found, float), np.asarray(certified, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = -np.log10(np.abs(found - certified) / np.abs(certified))
    return np.clip(np.nan_to_num(digits, nan=0.0), 0.0, DIGITS)


@cache
def _facts() -> dict[str, dict[str, Any]]:
    return json.loads(files("refopt.zoo").joinpath("nist.json").read_text(encoding="utf-8"))
