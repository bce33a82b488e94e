"""Newton's method and its relatives that ask nothing of f: their directions, their rates, what they do not promise."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.second_order import double_well_saddle, last_of, problem_of, quadratic, states_of
from problems import PROBLEMS
from refopt.methods import damped_newton, diagonal_newton, newton
from refopt.problem import Problem
from strategies import nonzero_vectors, spd, symmetric_indefinite, vectors

EPS = 2.0**-52


@given(st.data(), st.integers(2, 6))
def test_the_direction_is_stationary_for_the_model_definite_or_not(data, n):
    H, g = data.draw(symmetric_indefinite(n)), data.draw(nonzero_vectors(n))
    p, ok = newton.solution(H, g)
    assert ok
    # a backward stable solve
    assert np.linalg.norm(H @ p + g) <= 100 * n * EPS * np.linalg.norm(H) * np.linalg.norm(p)


def test_where_the_hessian_is_singular_there_is_no_step():
    state = newton.init(quadratic(np.diag([1.0, 0.0]), np.zeros(2)), np.ones(2), newton.Params())
    new = newton.step(quadratic(np.diag([1.0, 0.0]), np.zeros(2)), state, newton.Params())
    assert not new.ok
    assert not new.taken
    assert (new.x == 1.0).all()


@given(st.data(), st.integers(1, 5), st.floats(0.05, 1.0))
def test_on_a_quadratic_the_error_falls_by_one_minus_the_step(data, n, eta):
    A, e = data.draw(spd(n, 1e2)), data.draw(vectors(n))
    for k, state in enumerate(states_of(newton, quadratic(A, np.zeros(n)), e, 5, step=eta)):
        assert state.x == pytest.approx((1 - eta) ** k * e, abs=1e4 * EPS * (1 + abs(e).max()))


@pytest.mark.parametrize(("name", "solution"), [("rosenbrock", [1, 1]), ("wood", [1, 1, 1, 1])])
def test_the_end_is_quadratic(name, solution):
    """‖xₖ₊₁ − x*‖ ≤ C‖xₖ − x*‖² with one C, from a tenth on down to rounding."""
    states = states_of(newton, problem_of(PROBLEMS[name]), 1.0 + 0.05 * np.cos(np.arange(len(solution))), 8)
    errors = [np.linalg.norm(state.x - solution) for state in states]
    pairs = [(a, b) for a, b in pairwise(errors) if 1e-7 < a < 0.1]
    assert len(pairs) >= 2
    assert max(b / a**2 for a, b in pairs) < 1e3
    assert errors[-1] < 1e-13


def test_it_is_drawn_to_saddles_and_maxima():
    last = states_of(newton, double_well_saddle(), np.array([0.5, 0.2]), 8)[-1]
    assert abs(last.x).max() < 1e-12
    assert newton.predicted(last) == np.inf  # and no end: that is a saddle


@given(st.data(), st.integers(2, 5), st.floats(1e-3, 1e3))
def test_damping_shortens_the_step_and_is_a_trust_region(data, n, lam):
    """(H + λI)p = −g; and no point of the same length has a lower model, where H + λI ≻ 0."""
    H, g = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n))
    p, ok = damped_newton.direction(H, g, lam)
    assert ok
    assert p == pytest.approx(-np.linalg.solve(H + lam * np.eye(n), g), rel=1e-9, abs=1e-12 * abs(g).max())
    q = np.random.default_rng(n).standard_normal((50, n))
    q *= np.linalg.norm(p) / np.linalg.norm(q, axis=1, keepdims=True)
    values = q @ g + 0.5 * np.einsum("ki,ij,kj->k", q, H, q)
    best = g @ p + 0.5 * p @ H @ p
    assert values.min() >= best - 1e-9 * abs(best)
    assert np.linalg.norm(damped_newton.direction(H, g, 2 * lam)[0]) < np.linalg.norm(p)


@given(st.data(), st.integers(1, 5), st.floats(0.01, 100.0))
def test_a_constant_damping_is_linear(data, n, lam):
    """e₊ = λ(A + λI)⁻¹e."""
    A, e = data.draw(spd(n, 1e2)), data.draw(vectors(n))
    states = states_of(damped_newton, quadratic(A, np.zeros(n)), e, 3, damping=lam)
    M = lam * np.linalg.inv(A + lam * np.eye(n))
    assert states[2].x == pytest.approx(M @ M @ e, abs=1e5 * EPS * (1 + abs(e).max()))


def test_the_diagonal_is_the_true_one_and_not_the_sum_of_its_row():
    H, g = np.array([[4.0, 1.9], [1.9, -1.0]]), np.array([2.0, 3.0])
    assert diagonal_newton.direction(H, g, 1e-8, 1e30, 1e30) == pytest.approx([-0.5, -3.0])
    assert diagonal_newton.direction(H, g, 1e-8, 2.0, 1e30) == pytest.approx([-1.0, -3.0])
    assert diagonal_newton.direction(H, g, 1e-8, 1e30, 0.75) == pytest.approx([-0.5, -0.75])
    assert diagonal_newton.direction(H, g, 0.5, 1e30, 1e30) == pytest.approx([-0.5, -1.5])
    assert diagonal_newton.direction(0 * H, g, 1e-8, 1e30, 1e30) == pytest.approx(-g)


def test_diagonal_newton_is_jacobis_iteration():
    rng = np.random.default_rng(1)
    A, b = np.diag([3.0, 5.0, 4.0]) + 0.3 * np.ones((3, 3)), rng.standard_normal(3)
    x = rng.standard_normal(3)
    for state in states_of(diagonal_newton, quadratic(A, b), x, 5, step=0.7):
        assert state.x == pytest.approx(x, rel=1e-12)
        x = x - 0.7 * (A @ x - b) / np.diag(A)


def test_a_diagonal_quadratic_takes_diagonal_newton_one_step():
    A, b = np.diag([3.0, 5.0, 1e4]), np.ones(3)
    assert states_of(diagonal_newton, quadratic(A, b), np.zeros(3), 2, step=1.0)[1].x == pytest.approx(b / np.diag(A))


@pytest.mark.parametrize("method", [newton, damped_newton], ids=["newton", "damped-newton"])
def test_rosenbrock_from_the_source(method):
    """From (−1, 1) the whole step leads to (1, 1) or close by, whatever f does on the way."""
    problem = PROBLEMS["rosenbrock"]
    last = states_of(method, problem_of(problem), np.array([-1.0, 1.0]), 30)[-1]
    assert last.x == pytest.approx([1.0, 1.0], abs=1e-6)
    assert last_of(method, "rosenbrock", 60).f < 1e-12


def test_a_step_to_where_f_is_not_finite_is_shortened_by_tenths():
    problem = Problem(
        lambda x: float(x[0] - np.log(x[0])) if x[0] > 0 else np.nan, lambda x: 1 - 1 / x, lambda x: 1 / x[:, None] ** 2
    )
    first, second = states_of(newton, problem, np.array([3.0]), 2)
    assert second.x[0] == pytest.approx(3.0 - 0.1 * 6.0)  # the whole step: −(1 − ⅓)·9 = −6
    assert second.nfev == first.nfev + 2


def test_where_the_damped_hessian_is_singular_there_is_no_step():
    problem, params = quadratic(np.diag([1.0, -0.5]), np.zeros(2)), damped_newton.Params(damping=0.5)
    state = damped_newton.init(problem, np.ones(2), params)
    new = damped_newton.step(problem, state, params)
    assert (new.taken, new.ok) == (False, False)
    assert (new.x == state.x).all()


def test_a_point_whose_hessian_is_not_finite_is_not_gone_to():
    problem = quadratic(np.eye(2), np.zeros(2))
    broken = problem._replace(hess=lambda x: np.eye(2) if x.any() else np.full((2, 2), np.inf))
    state = newton.init(broken, np.ones(2), newton.Params())
    new = newton.step(broken, state, newton.Params())
    assert (new.taken, new.ok) == (False, False)
    assert (new.x == 1.0).all()
    assert new.nhev == state.nhev + 1
