"""Problems of the zoo as the tests of the methods take them: functions, standard start, and the minima of f = ‖r‖²."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refopt import zoo


class Squares(NamedTuple):
    """min f(x) = ‖r(x)‖²."""

    name: str
    x0: np.ndarray
    minima: tuple[float, ...]  #: the values of f at its known minima, lowest first
    fun: Callable
    grad: Callable
    hess: Callable
    residual: Callable
    jacobian: Callable


SIZES = {
    "rosenbrock": 2, "freudenstein_roth": 2, "powell_badly_scaled": 2, "brown_badly_scaled": 2, "beale": 2,
    "jennrich_sampson": 2, "helical_valley": 3, "bard": 3, "gaussian": 3, "meyer": 3, "box": 3, "powell_singular": 4,
    "wood": 4, "kowalik_osborne": 4, "brown_dennis": 4, "variably_dimensioned": 10, "penalty_1": 4,
    "trigonometric": 10, "broyden_tridiagonal": 10, "brown_almost_linear": 5,
}  # fmt: skip


def squares(name: str, n: int) -> Squares:
    case, fit = zoo.get(f"mgh:{name}:{n}"), zoo.get(f"mgh:{name}:ls:{n}")
    return Squares(name, case.x0, tuple(minimum.fun for minimum in case.minima), *case.problem[:3], *fit.problem[:2])


PROBLEMS = {name: squares(name, n) for name, n in SIZES.items()}

barrier, double_well, saddle = (zoo.get(name).problem[:3] for name in ("barrier:1", "double_well", "saddle"))
