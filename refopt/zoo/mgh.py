"""The 35 problems of Moré, Garbow and Hillstrom, f = Σᵢ rᵢ², in the sizes that the paper names: 41 instances.

Four problems come in several sizes, each with a minimum of its own in the paper: Watson's with 6, 9 and 12 variables,
the penalty functions with 4 and 10, Chebyquad with 8, 9 and 10. The others have one: that of the paper where n is
fixed, else 10 variables, 12 for Powell's extended function, 5 for the linear functions. Where the number m of residuals
is free, it is 10 (Jennrich and Sampson, Box), 20 (Brown and Dennis), 13 (Biggs), 99 (Gulf), n (Chebyquad), 2n (linear).

The starts 1, 2, 3 are x₀, 10x₀ and 100x₀, as in the paper, and 10 and 100 times the vector of ones where x₀ = 0
(Watson). Minima are those that the paper and later authors name and those to which runs from the three starts lead;
f and the minimisers are computed to all digits of float64. Where the literature differs:

- Gulf research and development: the paper misprints a minus sign as "m i". With m = 99 the function is smooth near its
  minimiser (50, 25, 3/2), which is 10x₀.
- Biggs EXP6: f = 0 at (1, 10, 1, 5, 4, 3). What one exponential less can reach, f = 5.65565e-3, is had on whole lines:
  by minimisers where x₂ = x₅ and x₄ > 0 > x₆, by saddles where x₁ = x₅ and x₃, x₆ > 0. Runs from x₀ that keep its
  symmetry x₃ = x₆ end at a saddle.
- Brown almost-linear: (0, …, 0, n + 1), with f = 1, is no minimum but a stationary point with a singular Hessian: f
  falls along (c, …, c, −nc), for c > 0 or, if n is odd, both ways.
- Chebyquad, n = 10: f = 6.50395e-3 is a local minimum, f = 4.77271e-3 a lower one.

J. J. Moré, B. S. Garbow & K. E. Hillstrom, Testing unconstrained optimization software, *ACM Transactions on
Mathematical Software* 7 (1981) 17-41.
"""

import json
from functools import cache, partial
from importlib.resources import files
from typing import Any

import numpy as np

from refopt.problem import LeastSquares, Problem
from refopt.zoo import mgh_large as large
from refopt.zoo import mgh_small as small
from refopt.zoo.known import Family
from refopt.zoo.squares import Squares

INSTANCES: dict[Squares, tuple[int, ...]] = {
    small.rosenbrock: (2,),
    small.freudenstein_roth: (2,),
    small.powell_badly_scaled: (2,),
    small.brown_badly_scaled: (2,),
    small.beale: (2,),
    small.jennrich_sampson: (2,),
    small.helical_valley: (3,),
    small.bard: (3,),
    small.gaussian: (3,),
    small.meyer: (3,),
    small.gulf: (3,),
    small.box: (3,),
    small.powell_singular: (4,),
    small.wood: (4,),
    small.kowalik_osborne: (4,),
    small.brown_dennis: (4,),
    large.osborne_1: (5,),
    large.biggs_exp6: (6,),
    large.osborne_2: (11,),
    large.watson: (6, 9, 12),
    large.extended_rosenbrock: (10,),
    large.extended_powell_singular: (12,),
    large.penalty_1: (4, 10),
    large.penalty_2: (4, 10),
    large.variably_dimensioned: (10,),
    large.trigonometric: (10,),
    large.brown_almost_linear: (10,),
    large.discrete_boundary_value: (10,),
    large.discrete_integral: (10,),
    large.broyden_tridiagonal: (10,),
    large.broyden_banded: (10,),
    large.linear_full_rank: (5,),
    large.linear_rank_1: (5,),
    large.linear_rank_1_zero: (5,),
    large.chebyquad: (8, 9, 10),
}
"""The problems in the paper's order, numbered from 1, and their numbers of variables."""

PROBLEMS = {problem.name: problem for problem in INSTANCES}


def names() -> list[str]:
    """The 41 instances: ``rosenbrock``, …, ``watson:6``, ``watson:9``, …."""
    return [
        f"{problem.name}:{n}" if len(sizes) > 1 else problem.name for problem, sizes in INSTANCES.items() for n in sizes
    ]


def _starts(problem: Squares, n: int) -> list[np.ndarray]:
    x0 = np.array(problem.start(n), float)
    unit = x0 if x0.any() else np.ones(n)
    return [x0, 10 * unit, 100 * unit]


def _minima(problem: Squares, n: int) -> list[tuple[float, list[float]]]:
    return [(minimum["fun"], minimum["x"]) for minimum in _facts().get(f"{problem.name}:{n}", ())]


@cache
def _facts() -> dict[str, list[dict[str, Any]]]:
    return json.loads(files("refopt.zoo").joinpath("mgh.json").read_text(encoding="utf-8"))


FAMILIES: dict[str, Family] = {
    problem.name: Family(
        Problem(problem.fun, problem.grad, problem.hess),
        partial(_starts, problem),
        partial(_minima, problem),
        problem.sizes,
        sizes[0],
        LeastSquares(problem.residual, problem.jacobian),
    )
    for problem, sizes in INSTANCES.items()
}
