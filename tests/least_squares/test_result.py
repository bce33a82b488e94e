"""What `least_squares` returns: SciPy's fields and more, honest counts, limits kept, covariances that are right."""

import mpmath
import numba
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

import refopt
from refopt import Status, zoo
from refopt.stopping_residuals import DEPENDENT
from strategies import full_rank, vectors

EPS = 2.0**-52
START = (-1.2, 1.0)
FIELDS = [
    "x",
    "fun",
    "jac",
    "nit",
    "nfev",
    "njev",
    "nhev",
    "nhvp",
    "status",
    "success",
    "message",
    "advice",
    "time",
    "trace",
    "cost",
    "residual",
    "optimality",
    "covariance",
    "stderr",
    "grad",
]


def residual(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0], 0.1])


def jacobian(x):
    return np.array([[-20 * x[0], 10.0], [-1.0, 0.0], [0.0, 0.0]])


class Counter:
    def __init__(self):
        self.calls = [0, 0]

    def residual(self, x):
        self.calls[0] += 1
        return residual(x)

    def jacobian(self, x):
        self.calls[1] += 1
        return jacobian(x)


def test_fields():
    result = refopt.least_squares(residual, START, jac=jacobian)
    assert set(FIELDS) == set(result)
    assert isinstance(result, scipy.optimize.OptimizeResult)
    r, J = residual(result.x), jacobian(result.x)
    assert (result.residual == r).all()
    assert (result.jac == J).all()
    assert result.fun == result.cost == pytest.approx(0.005, rel=1e-14)
    assert (result.grad == J.T @ r).all()
    assert result.optimality == abs(result.grad).max()
    assert (result.status, result.success, result.advice) == (Status.CONVERGED, True, "")
    assert result.message.startswith("converged")
    assert (result.nhev, result.nhvp, result.trace) == (0, 0, [])
    assert result.time > 0


# --- counts and limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jac", [None, "2-point", "3-point", "cs"])
@pytest.mark.parametrize("options", [{}, {"geodesic": True}, {"maxiter": 3}])
def test_counts_are_the_calls(jac, options):
    counter = Counter()
    result = refopt.least_squares(counter.residual, START, jac=jac or counter.jacobian, options=options)
    assert result.nfev == counter.calls[0]
    assert result.njev == counter.calls[1] or jac


@pytest.mark.parametrize("start", [(1.0, 1.0), (1.0 + 1e-9, 1.0)])
def test_counts_are_the_calls_where_noise_is_measured(start):
    counter = Counter()
    result = refopt.least_squares(counter.residual, start, jac=counter.jacobian)
    assert result.success
    assert [result.nfev, result.njev] == counter.calls


@pytest.mark.parametrize("most", [1, 2, 3, 7, 15, 20, 22, 1000])
@pytest.mark.parametrize("name", ["max_nfev", "maxfun"])
def test_the_limit_of_evaluations_is_kept(most, name):
    counter = Counter()
    limit = {"max_nfev": most} if name == "max_nfev" else {"options": {"maxfun": most}}
    result = refopt.least_squares(counter.residual, START, jac=counter.jacobian, **limit)
    assert counter.calls[0] == result.nfev <= most
    assert (result.status == Status.MAXFUN) is not result.success
    assert result.success or result.nfev == most


@pytest.mark.parametrize("method", ["lm", "gauss-newton", "dogleg", "broyden-good", "broyden-bad"])
def test_the_limit_is_kept_with_differences(method):
    """The first point is evaluated in any case, with its Jacobian: five evaluations."""
    for most in range(1, 60):
        counter = Counter()
        result = refopt.least_squares(counter.residual, START, jac="3-point", method=method, max_nfev=most)
        assert counter.calls[0] == result.nfev <= max(most, 5)
        assert (result.status == Status.MAXFUN) is not result.success


@pytest.mark.parametrize("most", [0, 1, 5])
def test_the_limit_of_steps(most):
    result = refopt.least_squares(residual, START, jac=jacobian, options={"maxiter": most})
    assert (result.nit, result.status, result.success) == (most, Status.MAXITER, False)


def test_the_time_limit():
    result = refopt.least_squares(residual, START, jac=jacobian, options={"maxtime": 0.0})
    assert (result.nit, result.status, result.success) == (0, Status.MAXTIME, False)


def test_trace_holds_every_state():
    result = refopt.least_squares(residual, START, jac=jacobian, options={"trace": True, "polish": False})
    assert len(result.trace) == result.nit + 1
    assert (result.trace[0].x == START).all()
    assert (result.trace[-1].x == result.x).all()
    falls = [state.f for state in result.trace]
    assert falls == sorted(falls, reverse=True)


def test_callbacks_in_scipys_two_forms():
    seen = []

    def stop(intermediate_result):
        seen.append(intermediate_result)
        intermediate_result.x[:] = np.nan  # a copy
        if intermediate_result.nit == 3:
            raise StopIteration

    result = refopt.least_squares(residual, START, jac=jacobian, callback=stop)
    assert (result.status, result.success, result.nit) == (Status.CALLBACK, False, 3)
    assert [step.nit for step in seen] == [1, 2, 3]
    assert seen[-1].cost == result.cost
    assert np.isfinite(result.x).all()
    points = []
    whole = refopt.least_squares(residual, START, jac=jacobian, callback=lambda x: points.append(x))
    assert len(points) == whole.nit
    assert (points[-1] == whole.x).all()


def test_disp_prints_a_line_for_each_step(capsys):
    result = refopt.least_squares(residual, START, jac=jacobian, options={"disp": True})
    assert len(capsys.readouterr().out.splitlines()) == result.nit


# --- starts that are hard --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fun", "jac", "culprit"),
    [
        (lambda x: x * np.nan, lambda x: np.eye(2), "fun"), (lambda x: x + np.inf, lambda x: np.eye(2), "fun"),
        (lambda x: x * 1e200, lambda x: np.eye(2), "fun, or the sum of its squares"),
        (lambda x: x, lambda x: np.eye(2) * np.nan, "the Jacobian"),
        (lambda x: x, lambda x: np.full((2, 2), np.inf), "the Jacobian"), (lambda x: x * np.nan, "3-point", "fun"),
    ],
)  # fmt: skip
def test_what_is_not_finite_at_the_start(fun, jac, culprit):
    result = refopt.least_squares(fun, [1.0, 2.0], jac=jac)
    assert (result.status, result.success, result.nit) == (Status.NOT_FINITE, False, 0)
    assert result.message == "fun, or its derivative, is not finite at x0"
    assert result.advice.startswith(culprit)
    assert (result.x == [1.0, 2.0]).all()


@pytest.mark.parametrize("wall", [np.nan, np.inf, -np.inf])
def test_walls_are_backed_away_from(wall):
    def fun(x):
        inside = x[0] > 0
        return np.array([np.log(x[0]) - 1 if inside else wall, x[0] * x[1] - 3])

    for jac in ("3-point", lambda x: np.array([[1 / x[0], 0], [x[1], x[0]]])):
        result = refopt.least_squares(fun, [50.0, 1.0], jac=jac)
        assert result.success
        assert result.x == pytest.approx([np.e, 3 / np.e], rel=1e-8)


def test_everything_is_nan_but_the_start():
    def fun(x):
        return np.array([1.0, 2.0]) if (x == START).all() else np.array([np.nan, np.nan])

    result = refopt.least_squares(fun, START, jac=lambda x: np.eye(2))
    assert not result.success
    assert (result.x == START).all()
    assert np.isfinite(result.cost)


def test_at_the_answer_already():
    result = refopt.least_squares(lambda x: x - 1.0, [1.0, 1.0], jac=lambda x: np.eye(2))
    assert (result.status, result.nit, result.nfev, result.advice) == (Status.CONVERGED, 0, 1, "")
    stuck = refopt.least_squares(lambda x: x**2 + 1.0, [0.0], jac=lambda x: np.array([2 * x]))
    assert stuck.success
    assert "a minimum and a plateau cannot be told apart" in stuck.advice


def test_a_wrong_jacobian_is_named():
    result = refopt.least_squares(residual, START, jac=lambda x: -jacobian(x))
    assert (result.status, result.success) == (Status.BAD_DERIVATIVE, False)
    assert "check" in result.advice


def test_dependent_columns_are_said():
    def fun(x):
        return np.array([x[0] + x[1] - 1, 2 * (x[0] + x[1]), x[0] + x[1]])

    result = refopt.least_squares(fun, [3.0, 4.0])
    assert (result.success, result.advice) == (True, DEPENDENT)
    assert result.x.sum() == pytest.approx(1 / 6, rel=1e-8)
    assert result.x[1] - result.x[0] == pytest.approx(1.0, abs=1e-6)  # nothing along what the data do not see
    # only the sum is known: s²/6, spread evenly by the pseudoinverse; rank 1 leaves two degrees of freedom
    expected = 2 * result.cost / 2 / 6 / 4 * np.ones((2, 2))
    assert result.covariance == pytest.approx(expected, rel=1e-6)


def test_fewer_residuals_than_variables():
    result = refopt.least_squares(lambda x: np.array([x[0] * x[1] - 1]), [3.0, 4.0])
    assert result.success
    assert result.x[0] * result.x[1] == pytest.approx(1.0, rel=1e-12)
    assert np.isinf(result.covariance).all()
    assert np.isinf(result.stderr).all()


def test_as_many_residuals_as_variables():
    result = refopt.least_squares(lambda x: np.array([x[0] - 1, x[1] ** 2 - 4]), [3.0, 1.0])
    assert result.x == pytest.approx([1.0, 2.0])
    assert np.isinf(result.covariance).all()
    assert result.advice == ""


def test_noisy_residuals_end_in_precision():
    t = np.arange(20.0) / 10

    def fun(x):
        return (np.exp(-x[0] * t) - np.exp(-0.7 * t) + 0.1 * np.sin(9 * t)).astype("float32").astype(float)

    result = refopt.least_squares(fun, [2.0], jac=lambda x: (-t * np.exp(-x[0] * t))[:, None])
    assert result.success
    exact = scipy.optimize.least_squares(
        lambda x: np.exp(-x[0] * t) - np.exp(-0.7 * t) + 0.1 * np.sin(9 * t), [2.0], xtol=1e-15, gtol=1e-15
    )
    assert result.x == pytest.approx(exact.x, rel=1e-6)


# --- covariance ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 4).flatmap(lambda n: st.tuples(full_rank(n + 3, n, condition=1e4), vectors(n + 3))))
def test_covariance_is_the_textbooks(case):
    J, b = case
    result = refopt.least_squares(lambda x: J @ x - b, np.ones(J.shape[1]), jac=lambda x: J)
    with mpmath.workdps(50):
        A, r = mpmath.matrix(J.tolist()), mpmath.matrix(result.residual.tolist())
        exact = mpmath.inverse(A.T * A) * ((r.T * r)[0] / 3)
    exact = np.array(exact.tolist(), float).reshape(2 * J.shape[1:])
    # the singular values lose eps κ, the inverse twice that
    scale = np.sqrt(np.outer(exact.diagonal(), exact.diagonal()))
    assert np.abs(result.covariance - exact).max() <= 1e3 * EPS * np.linalg.cond(J) * scale.max()
    assert result.stderr == pytest.approx(np.sqrt(exact.diagonal()), rel=1e3 * EPS * np.linalg.cond(J))


def test_covariance_does_not_depend_on_units():
    case = zoo.get("nist:Bennett5", start=2)
    units = 2.0 ** np.array([30, -30, 10])
    result = refopt.least_squares(case.problem.residual, case.x0, jac=case.problem.jacobian)
    scaled = refopt.least_squares(
        lambda z: case.problem.residual(z * units),
        case.x0 / units,
        jac=lambda z: case.problem.jacobian(z * units) * units,
    )
    assert scaled.stderr * units == pytest.approx(result.stderr, rel=1e-9)
    assert zoo.matching_digits(scaled.stderr * units, case.stderr).min() >= 9


def test_it_agrees_with_scipy():
    case = zoo.get("nist:Thurber", start=2)
    ours = refopt.least_squares(case.problem.residual, case.x0, jac=case.problem.jacobian)
    tight = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
    theirs = scipy.optimize.least_squares(
        case.problem.residual, case.x0, jac=case.problem.jacobian, method="lm", **tight
    )
    assert ours.cost <= theirs.cost * (1 + 1e-12)
    assert ours.x == pytest.approx(theirs.x, rel=1e-6)
    assert ours.jac == pytest.approx(theirs.jac, rel=1e-5)


def two_terms(t, b):
    """Two decays, in the data b apart, that equal parameters cannot tell from each other; and the Jacobian."""
    data = np.exp(-t) + 0.7 * np.exp(-(1.0 + b) * t)

    def residual(x):
        return x[0] * np.exp(-x[1] * t) + x[2] * np.exp(-x[3] * t) - data

    def jacobian(x):
        one, two = np.exp(-x[1] * t), np.exp(-x[3] * t)
        return np.stack([one, -x[0] * t * one, two, -x[2] * t * two], axis=1)

    return residual, jacobian


@pytest.mark.parametrize("method", ["lm", "dogleg"])
def test_a_saddle_of_two_equal_terms_is_left(method):
    residual, jacobian = two_terms(np.linspace(0.0, 4.0, 50), 2.0)
    result = refopt.least_squares(residual, np.ones(4), jac=jacobian, method=method)
    assert result.success
    assert sorted(result.x) == pytest.approx([0.7, 1.0, 1.0, 3.0], abs=1e-6)


def test_two_terms_that_the_data_do_not_tell_apart_stay_together():
    residual, jacobian = two_terms(np.linspace(0.0, 4.0, 50), 0.0)
    noise = 0.1 * np.cos(7.0 * np.arange(50.0))  # of no further decay: f bends up, or not at all
    result = refopt.least_squares(lambda x: residual(x) - noise, np.ones(4), jac=jacobian)
    assert result.success
    hessian = refopt.derivatives.hessian(None, result.x, grad=lambda x: jacobian(x).T @ (residual(x) - noise))
    values = np.linalg.eigvalsh(hessian)
    assert values[0] >= -1e-6 * values[-1]


def test_a_linear_fit_without_full_rank_costs_one_jacobian_more():
    A = np.ones((6, 2))
    result = refopt.least_squares(lambda x: A @ x - np.arange(6.0), [1.0, 5.0], jac=lambda x: A)
    assert result.success
    assert "linearly dependent" in result.advice
    assert (result.nfev, result.njev) == (2, 3)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_saddle_that_no_step_of_all_variables_alike_would_show_is_left(compiled):
    """r bends along x₁ − x₂ only, which is 0 at the start and at the saddle."""
    residual = lambda x: np.array([x[0] + x[1], 1.0 - (x[0] - x[1]) ** 2])
    jacobian = lambda x: np.array([[1.0, 1.0], [2.0 * (x[1] - x[0]), 2.0 * (x[0] - x[1])]])
    if compiled:
        residual, jacobian = numba.njit(residual), numba.njit(jacobian)
    result = refopt.least_squares(residual, np.ones(2), jac=jacobian)
    assert result.success
    assert abs(result.x) == pytest.approx([0.5, 0.5], rel=1e-9)


def growth_before_its_bend(m):
    """Richards' curve, of which the data show the beginning only, with errors of 1e-4; and a start."""
    t = np.linspace(0.0, 1.0, m)
    data = 10.0 / (1.0 + np.exp(5.0 - t)) + 1e-4 * np.cos(np.arange(m) ** 2)

    def residual(x):
        return x[0] * (1.0 + np.exp(x[1] - x[2] * t)) ** -x[3] - data

    def jacobian(x):
        e = np.exp(x[1] - x[2] * t)
        v = (1.0 + e) ** -x[3]
        slope = x[0] * x[3] * v * e / (1.0 + e)
        return np.stack([v, -slope, slope * t, -x[0] * v * np.log1p(e)], axis=1)

    return residual, jacobian, np.array([5.0, 3.0, 0.5, 1.0])


def test_a_fit_nearly_without_information_ends_in_its_minimum():
    """Steps along the tangent of its canyon, and SciPy's lm, take some thousands of residuals."""
    residual, jacobian, x0 = growth_before_its_bend(50)
    result = refopt.least_squares(residual, x0, jac=jacobian)
    theirs = scipy.optimize.least_squares(residual, x0, jac=jacobian, method="lm", max_nfev=3000)
    straight = refopt.least_squares(residual, x0, jac=jacobian, options={"canyon": 10**9})
    assert result.success
    assert result.nfev < 1000
    assert result.cost <= min(theirs.cost, straight.cost) * (1 + 1e-9)
    assert straight.njev > 5 * result.njev
