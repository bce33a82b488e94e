"""Leaving a saddle along negative curvature: worked by hand."""

import numpy as np
import pytest

from refopt import newton_type
from refopt.departure import depart, little, reach
from refopt.methods import modified_newton, saddle_free_newton
from refopt.problem import Problem

EPS = 2.0**-52


def along(f, slope=lambda t: 0.0):
    """f in one variable, as a problem."""
    return Problem(lambda x: float(f(x[0])), lambda x: np.array([float(slope(x[0]))]))


def left(problem, bend=-1.0, trials=40, x=0.0, least=0.0):
    """From x along p = 1."""
    x = np.array([x])
    return depart(problem, x, problem.fun(x), problem.grad(x), np.ones(1), bend, trials, least)


def test_a_step_that_is_too_long_is_halved():
    """f = −½x² + 8x⁴ is below −¼x² for x² < 1/32: α = 1/8."""
    point = left(along(lambda x: -(x**2) / 2 + 8 * x**4, lambda x: -x + 32 * x**3))
    assert (point.alpha, point.nfev, point.njev) == (0.125, 4, 1)
    assert point.x.tolist() == [0.125]
    assert point.f == -(0.125**2) / 2 + 8 * 0.125**4
    assert point.g.tolist() == [-0.125 + 32 * 0.125**3]
    assert point.lower
    assert point.wolfe


def test_a_step_that_is_too_short_is_doubled_while_f_falls():
    """f = −½x² + ½(x/8)⁴·… has its minimum at 8, where it has fallen by ¼·64: the condition holds with equality."""
    point = left(along(lambda x: -(x**2) / 2 + x**4 / 256))
    assert (point.alpha, point.nfev) == (8.0, 5)


def test_a_wall_is_kept_away_from():
    point = left(along(lambda x: -(x**2) / 2 if x < 0.05 else np.nan))
    assert (point.alpha, point.nfev) == (pytest.approx(0.01), 3)
    assert left(along(lambda x: -(x**2) / 2 if x == 0 else np.inf)).alpha == 0.0


def test_curvature_that_is_not_there_leads_nowhere():
    """Until ¼α² is a millionth of the noise, 10 eps; slopes are looked at where neither it nor x² is ten times that."""
    up, flatter = along(lambda x: 1.0 + x**2, lambda x: 2 * x), along(lambda x: 1.0 - x**2 / 5, lambda x: -2 * x / 5)
    for problem, slopes in ((up, 12), (flatter, 13)):
        point = left(problem)
        assert (point.lower, point.x[0], point.nfev, point.njev) == (False, 0.0, 35, slopes)


def test_noise_ends_the_search():
    problem = along(lambda x: x**2, lambda x: 2 * x)._replace(noise=1e6)
    assert left(problem).nfev == 1
    assert left(problem._replace(noise=1e4)).nfev == 4  # ¼ 4⁻² = 0.016, ¼ 4⁻³ = 0.004


def test_slopes_tell_where_noise_hides_the_decrease():
    """f = −½x² + 8x⁴ + 10¹²: by the trapezoid rule, not by f, ½x² − 16x⁴ ≥ ¼x² for x = 1/8 first, with equality."""
    point = left(along(lambda x: 1e12 + np.sin(1e6 * x) * 1e-4, lambda x: -x + 32 * x**3))
    assert (point.alpha, point.nfev, point.njev) == (0.125, 4, 2)
    assert point.g.tolist() == [-0.125 + 32 * 0.125**3]
    assert point.lower
    assert point.wolfe


def test_it_is_not_left_for_less_than_another_step_promises():
    problem = along(lambda x: 1e12, lambda x: -x + 32 * x**3)
    assert left(problem, least=0.25 * 0.125**2 * 0.9).alpha == 0.125
    point = left(problem, least=0.25 * 0.25**2)
    assert (point.lower, point.nfev) == (False, 3)


def test_a_gradient_that_is_not_finite_refuses_the_point():
    point = left(along(lambda x: -(x**2), lambda x: 0.0 if x == 0 else np.nan))
    assert (point.lower, point.x[0], point.njev) == (False, 0.0, 1)


def test_there_is_an_end():
    assert left(along(lambda x: -(x**2))).nfev == 40
    assert left(along(lambda x: -(x**2)), trials=7).alpha == 64.0


def test_the_reach_is_the_length_of_x_or_what_f_has_fallen_or_visible():
    problem, x = Problem(None), np.array([3.0, 4.0])
    assert reach(problem, x, 0.0, 0.0, -2.0) == 5.0
    assert reach(problem, 0 * x, 0.0, 0.0, -2.0) == 1.0
    assert reach(problem, x, -49.0, 0.0, -2.0) == 7.0
    assert reach(problem, 1e-30 * x, 1.0, 1.0, -2.0) == pytest.approx((1000 * EPS) ** 0.5)


def test_little_is_noise_or_a_small_part_of_the_decrease():
    problem, x = Problem(None), np.ones(2)
    assert little(problem, x, 3.0, 3.0) == 3000 * EPS
    assert little(problem, x, 0.0, 5.0) == 5e-12
    assert little(problem._replace(noise=0.1), x, 0.0, 5.0) == 10.0


@pytest.mark.parametrize("method", [modified_newton, saddle_free_newton])
@pytest.mark.parametrize(("away", "leaves"), [(1e-6, False), (1e-12, True)])
def test_newton_type_methods_take_what_promises_more(method, away, leaves):
    """Of 10⁸ + ½ 10⁴ x₁² − ½ 10⁻³ x₂² + 10² x₂⁴ values show nothing. Along x₂ no more than 10⁻⁹ is to be had; along x₁
    ½ 10⁴ · 10⁻¹², or much less from nearer by."""
    problem = Problem(
        lambda x: 1e8 + 0.0 * float(x[0]),
        lambda x: np.array([1e4 * x[0], -1e-3 * x[1] + 4e2 * x[1] ** 3]),
        lambda x: np.diag([1e4, -1e-3 + 12e2 * x[1] ** 2]),
    )
    state = method.init(problem, np.array([away, 0.0]), method.Params())
    new = method.step(problem, state, method.Params())
    assert new.taken
    moved = abs(new.x - state.x) > 0.8 * np.array([away, 1e-4])
    assert moved.tolist() == [not leaves, leaves]


@pytest.mark.parametrize(("part", "leaves"), [(1.5, True), (2.5, False), (16.0, False)])
def test_what_promises_less_than_the_step_is_not_taken(part, leaves):
    """f = ½x² − ½y² + y⁴ from (x, 0): along y it falls by ¼y² as soon as |y| ≤ ½, of the lengths that are tried.

    The one before that length, twice as long, promises its square; the step along x, ½x².
    """
    H, fallen = np.diag([1.0, -1.0]), 1e14
    length = (2 * fallen) ** 0.5
    shortest = length / 2 ** np.ceil(np.log2(2 * length))
    x = np.array([part**0.5 * shortest, 0.0])
    problem = Problem(
        lambda z: float(0.5 * (z @ H @ z) + z[1] ** 4), lambda z: H @ z + [0.0, 4 * z[1] ** 3], lambda z: H
    )
    state = newton_type.init(problem, x, None)
    state = state._replace(first=state.f + fallen)
    new = newton_type.downhill(problem, state, -x, 0, 1e-4, 0.9, 60, 1.0)
    assert abs(new.x[1]) == pytest.approx(shortest if leaves else 0.0)
    assert new.x[0] == pytest.approx(x[0] if leaves else 0.0)


def test_beside_a_saddle_the_slope_there_counts():
    """Where f is noise of 1: ½y(1 − f′(y)) ≥ ¼y², y = √200/4, where f′ is −1 again as at 0.

    √200 is how far the curvature −1 gains 100 times the noise. Of the halves of it, ¼ is the first whose decrease
    drowns; with f′(0) left out, or the step along y in its place, less than ¼y² would seem to be gained.
    """
    problem = Problem(
        lambda z: 0.0, lambda z: np.array([z[0], -1.0 - z[1] + 0.08 * z[1] ** 3]),
        lambda z: np.diag([1.0, -1.0 + 0.24 * z[1] ** 2]), noise=1.0,
    )  # fmt: skip
    state = newton_type.init(problem, np.zeros(2), None)
    new = newton_type.downhill(problem, state, -10.0 * state.g, 0, 1e-4, 0.9, 40, 1.0)
    assert new.taken
    assert new.x == pytest.approx([0.0, 200**0.5 / 4])
