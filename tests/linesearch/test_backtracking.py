"""Backtracking and fixed steps: their trials worked by hand, walls, noise, and a dispatcher that calls each search."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refopt import linesearch
from refopt.linesearch import SEARCHES, armijo, fixed, search
from refopt.problem import Problem
from strategies import nonzero_vectors, spd

EPS = 2.0**-52


def along(phi, slope, way, **options):
    """The search to the right of 0 on φ and φ′, its trials, and a check of its counts."""
    tried, slopes = [], []
    problem = Problem(
        lambda x: tried.append(float(x[0])) or phi(float(x[0])),
        lambda x: slopes.append(0) or np.array([slope(float(x[0]))]),
        noise=options.pop("noise", 0.0),
    )
    x, p = np.zeros(1), np.ones(1)
    point = way(problem, x, phi(0.0), np.array([slope(0.0)]), p, **options)
    assert (point.nfev, point.njev) == (len(tried), len(slopes))
    assert point.x[0] == point.alpha
    return point, tried


def backtrack(problem, x, f, g, p, c1=1e-4, trials=40, first=1.0):
    return armijo(problem, x, f, g, p, c1, trials, first)


def once(problem, x, f, g, p, trials=40, first=1.0):
    return fixed(problem, x, f, g, p, trials, first)


# --- backtracking ----------------------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 5), st.floats(0.01, 0.9), st.integers(-10, 20))
def test_the_first_of_the_halvings_with_sufficient_decrease(data, n, c1, exponent):
    """On ½xᵀAx the condition is α ≤ 2(1 − c₁) gᵀg/gᵀAg along −g."""
    A, x = data.draw(spd(n, 1e3)), data.draw(nonzero_vectors(n))
    g, first = A @ x, 2.0**exponent
    problem = Problem(lambda x: 0.5 * x @ A @ x, lambda x: A @ x)
    point = backtrack(problem, x, problem.fun(x), g, -g, c1, 60, first)
    most = 2 * (1 - c1) * (g @ g) / (g @ A @ g)
    wanted = first
    while wanted > most:
        wanted /= 2
    # at the edge of the condition rounding decides
    assert point.alpha in ((wanted,) if abs(wanted - most) > 1e-6 * most else (wanted, wanted / 2))
    assert point.lower
    assert point.wolfe
    assert point.f == problem.fun(x - point.alpha * g)
    assert (point.g == problem.grad(point.x)).all()


def test_it_never_lengthens():
    point, tried = along(lambda a: (a / 100 - 1) ** 2, lambda a: (a / 100 - 1) / 50, backtrack)
    assert tried == [1.0]
    assert point.alpha == 1.0


@pytest.mark.parametrize("wall", [math.nan, math.inf, -math.inf])
def test_from_a_wall_a_tenth_of_the_way(wall):
    point, tried = along(lambda a: -a if a < 0.04 else wall, lambda a: -1.0, backtrack)
    assert tried == pytest.approx([1.0, 0.1, 0.01], rel=4 * EPS)
    assert point.lower


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_a_wall(bad):
    point, tried = along(lambda a: -a, lambda a: -1.0 if a < 0.5 else bad, backtrack)
    assert tried == pytest.approx([1.0, 0.1])
    assert np.isfinite(point.g).all()


@pytest.mark.parametrize("slope", [0.0, 1.0, math.nan])
def test_a_direction_that_does_not_descend_costs_nothing(slope):
    point, tried = along(lambda a: a, lambda a: slope, backtrack)
    assert (tried, point.alpha, point.lower, point.wolfe) == ([], 0.0, False, False)


def test_without_decrease_the_start_is_returned():
    point, tried = along(lambda a: a, lambda a: -1.0, backtrack, trials=12)
    assert tried == [0.5**k for k in range(12)]
    assert (point.alpha, point.f, point.lower, point.wolfe) == (0.0, 0.0, False, False)


@pytest.mark.parametrize(("slope", "taken"), [(-1.0, True), (0.7, True), (0.9, False)])
def test_where_values_are_noise_the_slope_must_have_fallen(slope, taken):
    """φ′(0) = −1, and 0.8 of it may be left with the other sign."""
    point, _ = along(lambda a: 0.0, lambda a: slope if a == 1 else -1.0, backtrack, noise=1.0, trials=1)
    assert point.wolfe is taken


# --- fixed steps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [-1.0, 1.0])
def test_a_fixed_step_is_taken_whether_f_falls_or_not(slope):
    point, tried = along(lambda a: slope * a, lambda a: slope, once, first=0.3)
    assert tried == [0.3]
    assert (point.alpha, point.lower, point.wolfe) == (0.3, True, True)


@pytest.mark.parametrize("wall", [math.nan, math.inf])
def test_but_for_walls(wall):
    point, tried = along(lambda a: a if a < 0.04 else wall, lambda a: 1.0, once)
    assert tried == pytest.approx([1.0, 0.1, 0.01])
    assert point.alpha == pytest.approx(0.01)
    point, tried = along(lambda a: a, lambda a: 1.0 if a < 0.04 else wall, once)
    assert tried == pytest.approx([1.0, 0.1, 0.01])
    point, _ = along(lambda a: 0.0 if a == 0.0 else wall, lambda a: 1.0, once, trials=5)
    assert (point.alpha, point.nfev, point.lower) == (0.0, 5, False)


# --- by name ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEARCHES)
def test_each_name_calls_its_search(name):
    """On (α − 10)² with c₂ = 0.1 they go four different ways."""

    def way(problem, x, f, g, p):
        return search(problem, x, f, g, p, SEARCHES.index(name), 1e-4, 0.1, 40, 2.0)

    def directly(problem, x, f, g, p):
        rest = {"armijo": (1e-4, 40, 2.0), "fixed": (40, 2.0)}.get(name, (1e-4, 0.1, 40, 2.0))
        return getattr(linesearch, name.replace("-", "_"))(problem, x, f, g, p, *rest)

    functions = (lambda a: (a - 10) ** 2, lambda a: 2 * (a - 10))
    found, trials = along(*functions, way)
    assert found == along(*functions, directly)[0]
    first = {"strong-wolfe": [2.0, 10.0], "hager-zhang": [2.0, 10.0], "armijo": [2.0], "fixed": [2.0]}
    assert trials == pytest.approx(first[name])
