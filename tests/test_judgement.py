"""Whether a point is stationary to working precision: by its gradient, by the noise of that, by a Newton step."""

from math import inf

import numpy as np
import pytest

from refopt import stopping
from refopt.judgement import BESIDE, BUDGET, PRECISE, noise_only, safe, stationary
from refopt.problem import Problem

EPS = 2.0**-52
TESTS = stopping.Tests()
BOWL = Problem(lambda x: float(x @ x), lambda x: 2 * x)


def begun(f=100.0, g=(1.0, 2.0), x=(3.0, -4.0)):
    return stopping.watch(np.array(x), f, np.array(g), abs(np.array(x)))


def test_negative_curvature_is_no_success():
    watch = begun(g=(0.0, 0.0))
    assert not safe(BOWL, watch, inf, TESTS, True, inf)
    assert safe(BOWL, watch, 0.0, TESTS, True, inf)


@pytest.mark.parametrize(("bend", "promised", "answer"), [(1e-7, inf, True), (1e-5, inf, False), (1e-5, 0.0, True)])
def test_negative_curvature_that_a_method_has_seen_must_be_faint(bend, promised, answer):
    """½(x² − bend y²) + 1e9, where f shows none."""
    problem = Problem(lambda x: 1e9 + 0.5 * float(x[0] ** 2 - bend * x[1] ** 2), lambda x: np.array([1.0, -bend]) * x)
    watch = begun(f=1e9, g=(1e-9, -1e-9 * bend), x=(1e-9, 1e-9))._replace(size=np.ones(2), g0=1.0, f0=1e9 + 1)
    found = stationary(problem, watch, promised, TESTS, True, inf)
    assert (found is not None and found.verdict == PRECISE) is answer


@pytest.mark.parametrize(("g", "answer"), [(0.99e-7, True), (1.01e-7, False)])
def test_a_ten_millionth_of_the_first_gradient_is_safe(g, answer):
    watch = begun(f=1.0, g=(0.0, g), x=(1.0, 1.0))._replace(g0=1.0, f0=2.0)
    assert safe(BOWL, watch, 0.0, TESTS, False, inf) is answer


def test_it_must_not_matter_to_any_variable():
    """A gradient 1e-8 of the first, felt by a large variable; but nothing left to gain where the Hessian is seen."""
    watch = begun(f=1.0, g=(0.0, 1e-8), x=(1.0, 1e6))._replace(g0=1.0, f0=1.001)
    problem = Problem(lambda x: 1.0, lambda x: 0 * x)
    assert safe(problem, watch, 1e-16, TESTS, True, inf)
    assert not safe(problem, watch, 1e-16, TESTS, False, inf)
    assert not safe(problem, watch, 1e-12, TESTS, True, inf)


@pytest.mark.parametrize(("x", "left", "answer"), [(0.0, 189, True), (0.0, 188, False), (0.01, inf, False)])
def test_wide_differences_that_vanish_are_not_taken_at_their_word(x, left, answer):
    """½x² + ⅙x³ + 1: central differences of a step of 0.14 vanish at −h²/6, beside the minimum."""
    problem = Problem(lambda x: float(1.0 + 0.5 * x[0] ** 2 + x[0] ** 3 / 6.0), lambda x: x + 0.5 * x**2)
    watch = begun(f=1.0, g=(0.0,), x=(x,))._replace(g0=1.0, f0=2.0, size=np.ones(1), rough=3e-3)
    assert safe(problem, watch, 0.0, TESTS._replace(differences=0.14), False, left) is answer


def test_on_a_plateau_of_noise_nothing_is_claimed():
    """f = 1 − 1e-9 x in noise of 1e-6: Newton's method knows no bend, and what a step gains is not known."""
    rng = np.random.default_rng(2)
    problem = Problem(lambda x: 1.0 - 1e-9 * float(x[0]) + 1e-6 * rng.uniform(-1, 1), None, noise=1e-6)
    watch = begun(f=1.0, g=(1e-5,), x=(8.0,))._replace(g0=1e-3, gmax=1e-3, f0=2.0, size=np.ones(1), rough=1e-6)
    tests = TESTS._replace(differences=1e-2, per_gradient=2)
    assert stationary(problem, watch, 0.0, tests, False, inf) is None


@pytest.mark.parametrize(
    ("g", "g0", "f0", "hessian", "answer"),
    [
        (1e-5, 1.0, 2.0, False, True),  # within ten times its noise, and a ten thousandth of the first
        (5e-4, 1.0, 2.0, False, False),  # a canyon whose gradient is noise,
        (5e-4, 1.0, 2.0, True, True),  # unless the Hessian is seen
        (5e-4, 1.0, 1.0, False, True),  # or the run began here
        (1e-2, 1.0, 1.0, False, False),  # more than its noise explains
    ],
)
def test_a_gradient_that_is_noise(g, g0, f0, hessian, answer):
    """f = 1 at a point whose gradient carries noise of 1e-4, with more variables than Newton's method is asked for."""
    rng, n = np.random.default_rng(3), 201
    noisy = Problem(lambda x: 1.0, lambda x: rng.uniform(-1e-4, 1e-4, n))
    watch = begun(f=1.0, g=[g, *[0.0] * (n - 1)], x=np.ones(n))._replace(g0=g0, f0=f0, size=np.full(n, 2.0))
    assert stationary(noisy, watch, 0.0, TESTS, hessian, inf) == (watch._replace(verdict=PRECISE) if answer else None)


def test_noise_is_compared_in_units_of_the_variables_as_well():
    """A component that is no noise, of a large variable, beside the noise of a small one."""
    g, x, size = np.array([1e-4, 1e-5]), np.array([1e3, 1e-3]), np.zeros(2)
    assert noise_only(g, np.array([2e-4, 2e-5]), x, size)
    assert not noise_only(g, np.array([1e-9, 2e-4]), x, size)
    assert not noise_only(g, np.array([0.9e-4, 1e-5]), x, size)


@pytest.mark.parametrize(("n", "left", "answer"), [(3, 77, True), (3, 76, False), (201, inf, False)])
def test_the_newton_step_is_asked_for_where_it_can_be_had(n, left, answer):
    """f = 1 + 1e-18 ‖x‖², beside its minimum in noise of 1e-15; each gradient counts ten evaluations."""
    x = np.full(n, 1.0)
    problem = Problem(lambda x: 1 + 1e-18 * float(x @ x), lambda x: 2e-18 * x, noise=1e-15)
    watch = stopping.watch(x, 1.0, 2e-18 * x, 2 * x)._replace(g0=1e-10, f0=1.0 + 1e-13)
    tests = stopping.Tests(per_gradient=10)
    assert (stationary(problem, watch, 1.0, tests, False, left) is not None) is answer


def test_what_newtons_method_finds_is_returned():
    x = np.array([1e-3, 2e-3])
    watch = begun(f=BOWL.fun(x), g=BOWL.grad(x), x=x)._replace(g0=1.0, f0=2.0, size=np.ones(2))
    found = stationary(BOWL, watch, 1.0, TESTS, False, inf)
    assert abs(found.x).max() <= 1e-9
    assert found.gnorm == abs(found.g).max() == 2 * abs(found.x).max()
    assert found.f == BOWL.fun(found.x)


def test_far_from_everything_nobody_asks_for_a_newton_step():
    """A tenth of the first gradient, and f has fallen."""
    watch = begun(f=5.0, g=(2.0, 4.0), x=(1.0, 2.0))._replace(g0=40.0, f0=100.0, size=np.array([3.0, 3.0]))
    assert stationary(BOWL, watch, 5.0, TESTS, False, inf) is None


def test_a_canyon_in_noise_is_no_minimum():
    """f = e⁻ˣ + y² in noise of 1e-3: a Newton step gains less than that, but the gradient is exact, and not small."""
    rng = np.random.default_rng(5)
    problem = Problem(
        lambda x: np.exp(-x[0]) + x[1] ** 2 + 1e-3 * rng.uniform(-1, 1), lambda x: np.array([-np.exp(-x[0]), 2 * x[1]])
    )
    x = np.array([8.0, 0.0])
    watch = begun(f=problem.fun(x), g=problem.grad(x), x=x)._replace(g0=1.0, f0=2.0, size=np.ones(2))
    found = stationary(problem._replace(noise=1e-3), watch, 1e-4, TESTS, False, inf)
    assert found is None or found.gnorm <= 5e-7


def test_where_f_bends_down_there_is_a_point_to_go_on_from():
    """A saddle, reached from (3, −4) with a gradient that is small, but no end."""
    saddle = Problem(lambda x: float(x[0] ** 2 - x[1] ** 2), lambda x: np.array([2 * x[0], -2 * x[1]]))
    watch = begun(f=0.0, g=(1e-4, -1e-4), x=(5e-5, 5e-5))._replace(size=np.array([3.0, 4.0]), g0=8.0, f0=25.0)
    found = stationary(saddle, watch, 1e-9, TESTS, False, inf)
    assert found.verdict == BESIDE
    assert saddle.fun(found.x) < -1e-9


@pytest.mark.parametrize(("y", "verdict"), [(0.01, PRECISE), (1.0, BESIDE)])
def test_where_last_steps_lead_on_but_not_to_the_end(y, verdict):
    """x² + y⁴, where each takes a third of y: twelve are enough, or lead to a lower point to go on from."""
    problem = Problem(lambda x: float(x[0] ** 2 + x[1] ** 4), lambda x: np.array([2 * x[0], 4 * x[1] ** 3]))
    x = np.array([1e-4, y])
    watch = begun(f=problem.fun(x), g=problem.grad(x), x=x)._replace(size=np.full(2, 2.0), g0=1e3, f0=2.0)
    found = stationary(problem, watch, 1e-9, TESTS, True, inf)
    assert found.verdict == verdict
    assert 0.0 < problem.fun(found.x) < 1e-7 * problem.fun(x)


def test_too_few_evaluations_to_judge_by():
    """60 gradients by differences to find the finest, five for a model, one for a step and more."""
    bowl = Problem(lambda x: 1.0 + float(x @ x), lambda x: 2 * x)
    watch = begun(f=1.0 + 2e-8, g=(2e-4, 2e-4), x=(1e-4, 1e-4))._replace(size=np.ones(2), g0=1.0, f0=2.0)
    tests = TESTS._replace(differences=1e-5, per_gradient=4)
    verdicts = [stationary(bowl, watch, 0.0, tests, False, 5.0 * most).verdict for most in (64, 65, 200)]
    assert verdicts == [BUDGET, BUDGET, PRECISE]
