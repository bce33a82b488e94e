"""Levenberg-Marquardt's geodesic acceleration, and what its model promises."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refopt import zoo
from refopt.loop import iterate
from refopt.methods import lm
from refopt.problem import LeastSquares
from strategies import full_rank, seeds, sizes, vectors

EPS = 2.0**-52


def size(x):
    return float(np.linalg.norm(x))


def problem_of(squares):
    return LeastSquares(squares.residual, squares.jacobian)


def states_of(problem, x0, count, params=None):
    return list(islice(iterate(lm, problem, np.array(x0, float), params), count))


@st.composite
def subproblems(draw):
    """J of any shape with singular values in [1, 100], r, D with entries in [1, 11], and a radius."""
    J = draw(full_rank(draw(sizes), draw(sizes), condition=1e2))
    r, d = draw(vectors(len(J))), 1.0 + np.abs(draw(vectors(J.shape[1])))
    return J, r, d, draw(st.sampled_from([1e-3, 0.1, 1.0, 10.0, 1e4]))


# --- geodesic acceleration -------------------------------------------------------------------------------------------


def curved(seed):
    """r(x) = a + Bx + ½ C[x, x], for which the difference along v is exact."""
    rng = np.random.default_rng(seed)
    a, B, C = rng.standard_normal(5), rng.standard_normal((5, 3)), rng.standard_normal((5, 3, 3))
    C = C + C.transpose(0, 2, 1)
    problem = LeastSquares(lambda x: a + B @ x + 0.5 * C @ x @ x, lambda x: B + C @ x)
    return problem, C


@given(seeds, st.sampled_from([1e-4, 1e-2]))
def test_acceleration_is_the_second_order_of_the_damped_path(seed, factor):
    problem, C = curved(seed)
    (state,) = states_of(problem, np.ones(3), 1, lm.Params(factor=factor))
    step = lm.constrained(state.R, state.c, state.d, state.radius, 0.0, 0.1)
    A = np.vstack([state.J, step.lam**0.5 * np.diag(state.d)])
    r_vv = C @ step.p @ step.p
    a = np.linalg.lstsq(A, np.append(-r_vv, np.zeros(3)))[0]
    found = lm.acceleration(problem, state, step)
    # differences of r with step 0.1 lose the digits of ‖r‖ beside ‖r_vv‖/200; normal equations, κ(A)² times
    tolerance = 1e4 * EPS * np.linalg.cond(A) ** 2 * (size(state.r) + size(r_vv)) / size(A)
    if 2 * size(state.d * a) <= 0.75 * step.length * 0.999:
        assert size(found - a) <= tolerance
    elif 2 * size(state.d * a) > 0.75 * step.length * 1.001:
        assert (found == 0).all()


def test_acceleration_is_half_added_and_costs_one_residual():
    problem, _ = curved(1)
    params = lm.Params(factor=0.01, geodesic=True)
    start, after = states_of(problem, np.ones(3), 2, params)
    step = lm.constrained(start.R, start.c, start.d, start.radius, 0.0, 0.1)
    a = lm.acceleration(problem, start, step)
    assert size(a) > 0
    assert after.x == pytest.approx(start.x + step.p + 0.5 * a, rel=4 * EPS)
    assert (after.nfev, after.njev) == (3, 2)


def test_acceleration_saves_jacobians_in_a_canyon():
    case = zoo.get("nist:Bennett5", start=2)

    def jacobians(geodesic):
        states = iterate(lm, case.problem, case.x0, lm.Params(geodesic=geodesic, canyon=10**9))
        return next(state.njev for state in states if state.f < case.fun * (1 + 1e-6))

    assert jacobians(True) < 0.7 * jacobians(False)


@pytest.mark.parametrize(("nfev", "length", "more"), [(39, 1.0, 1), (40, 1.0, 2), (40, 1e-5, 1)])
def test_steps_of_a_run_that_lasts_are_corrected_unless_they_are_short(nfev, length, more):
    problem, _ = curved(1)
    (start,) = states_of(problem, np.ones(3), 1)
    state = start._replace(nfev=nfev, radius=length * size(start.d * start.x))
    assert lm.step(problem, state, lm.Params()).nfev == nfev + more


def test_acceleration_is_dropped_where_it_leaves_the_domain():
    problem = LeastSquares(lambda x: np.log(x) - 3.0, lambda x: np.diag(1 / x))
    with np.errstate(invalid="ignore"):
        (state,) = states_of(problem, [0.01], 1)
        step = lm.Step(np.array([-1.0]), np.eye(1), 1.0, 1.0, -1.0, 1.0)
        assert (lm.acceleration(problem, state, step) == 0).all()


# --- what the model promises -----------------------------------------------------------------------------------------


@given(subproblems())
def test_predicted_is_the_gain_of_a_gauss_newton_step(case):
    J, r, d, _ = case
    (state,) = states_of(LeastSquares(lambda x: r, lambda x: J), 0 * d, 1)
    p = np.linalg.lstsq(J, -r)[0]
    gain = 0.5 * (r @ r) - 0.5 * size(J @ p + r) ** 2
    # a wide J is damped by √eps, and κ = 100: (1e-8 · 100)² of the gain is missing
    assert lm.predicted(state) == pytest.approx(gain, rel=1e-9, abs=1e4 * EPS * (1 + r @ r))


def test_predicted_does_not_count_what_only_rounding_spans():
    J = np.array([[1.0, 1.0], [0.0, 1e-13], [0.0, 0.0]])
    (state,) = states_of(LeastSquares(lambda x: np.array([0.0, 1.0, 1.0]), lambda x: J), [1.0, 1.0], 1)
    assert lm.predicted(state) < 1e-5
    spanned = LeastSquares(lambda x: np.array([0.0, 1.0, 1.0]), lambda x: J + np.diag([0, 1e-4, 0])[:, :2])
    assert lm.predicted(states_of(spanned, [1.0, 1.0], 1)[0]) == pytest.approx(0.5, rel=1e-6)


def test_a_column_of_zeros_takes_no_step_and_no_share_of_the_radius():
    problem = LeastSquares(lambda x: 1e-12 * np.array([x[0] - 1, 1.0]), lambda x: 1e-12 * np.array([[1.0, 0], [0, 0]]))
    states = states_of(problem, [4.0, 5.0], 4)
    assert states[0].radius == pytest.approx(4e-12)
    assert states[-1].x == pytest.approx([1.0, 5.0], rel=1e-7)
    assert states[-1].x[1] == 5.0
