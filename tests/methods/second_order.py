"""What the tests of the second-order methods share: problems with their products, and runs."""

from itertools import islice

import numpy as np

from problems import PROBLEMS
from refopt.loop import iterate
from refopt.problem import Problem


def problem_of(squares):
    return Problem(squares.fun, squares.grad, squares.hess)


def quadratic(A, b):
    """f = ½xᵀAx − bᵀx."""
    return Problem(lambda x: 0.5 * x @ A @ x - b @ x, lambda x: A @ x - b, lambda x: A)


def states_of(method, problem, x0, count, **options):
    return list(islice(iterate(method, problem, x0, method.Params(**options)), count))


def last_of(method, name, count, **options):
    """The last of the states on a problem of the zoo."""
    problem = PROBLEMS[name]
    return states_of(method, problem_of(problem), problem.x0, count, **options)[-1]


def double_well_saddle():
    """x² − y² + y⁴/2: a saddle at the origin, minima at (0, ±1) with f = −½."""
    return Problem(
        lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 2,
        lambda x: np.array([2 * x[0], -2 * x[1] + 2 * x[1] ** 3]),
        lambda x: np.diag([2.0, -2 + 6 * x[1] ** 2]),
    )
