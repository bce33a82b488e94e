"""What `least_squares` takes, and what it refuses: SciPy's arguments, lists, every array kind, clear errors."""

import re
from functools import partial

import autograd.numpy as anp
import numpy as np
import pytest
from scipy.sparse import csr_array

import refopt
from refopt import Status, zoo

START = (-1.2, 1.0)


def residual(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def jacobian(x):
    return np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])


fit = partial(refopt.least_squares, residual)


# --- x0 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x0", [[-1, 1], (-1.0, 1.0), np.array([-1, 1]), np.array([-1.0, 1.0]), np.array([-1, 1], ">f8")]
)
def test_x0_may_be_any_numbers_and_is_left_alone(x0):
    kept = np.array(x0)
    result = fit(x0, jac=jacobian)
    assert result.success
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-12)
    assert result.x.dtype == np.float64
    assert (np.array(x0) == kept).all()


def test_a_single_number():
    result = refopt.least_squares(lambda x: x**2 - 2, 1.0)
    assert result.x.shape == (1,)
    assert result.x[0] == pytest.approx(2**0.5, rel=1e-12)


def test_float32_stays(namespace):
    case = zoo.get("rosenbrock:ls", like=namespace.asarray(np.zeros(1, "float32")))
    result = refopt.least_squares(case.problem.residual, case.x0, jac=case.problem.jacobian)
    assert result.success
    assert namespace.owns(result.x)
    assert "float32" in str(result.x.dtype)
    assert namespace.to_numpy(result.x) == pytest.approx([1.0, 1.0], abs=1e-5)


@pytest.mark.parametrize("jac", [None, "3-point", "2-point"])
def test_every_kind_of_array(namespace, jac):
    case = zoo.get("nist:DanWood", start=2, like=namespace.asarray([0.0]))
    result = refopt.least_squares(case.problem.residual, case.x0, jac=jac or case.problem.jacobian)
    assert result.success
    for name in ("x", "residual", "jac", "grad", "covariance", "stderr"):
        assert namespace.owns(result[name])
    digits = 10 if jac is None else 6
    assert zoo.matching_digits(namespace.to_numpy(result.x), case.certified).min() >= digits
    assert zoo.matching_digits(namespace.to_numpy(result.stderr), case.stderr).min() >= digits


def test_the_users_functions_may_write_into_their_argument():
    def spoiling(function):
        def call(x):
            value = function(x)
            x[:] = np.nan
            return value

        return call

    result = refopt.least_squares(spoiling(residual), START, jac=spoiling(jacobian))
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-12)


@pytest.mark.parametrize(
    ("x0", "says"),
    [
        ([], "x0 is empty"), ([[1.0, 2.0]], "shape (n,); it has shape (1, 2)"), ([np.nan, 1.0], "x0 must be finite"),
        ([np.inf, 1.0], "x0 must be finite"), (["a", "b"], "real numbers"), ([1j, 1.0], "real numbers"),
    ],
)  # fmt: skip
def test_what_is_no_start(x0, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        fit(x0)


# --- fun and jac -----------------------------------------------------------------------------------------------------


def traced(x):
    return anp.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


@pytest.mark.parametrize(
    ("fun", "jac"),
    [
        (residual, jacobian), (residual, None), (residual, "3-point"), (residual, "2-point"), (residual, "cs"),
        (traced, "autograd"), (lambda x: (residual(x), jacobian(x)), True), (lambda x: list(residual(x)), "3-point"),
        (residual, lambda x: jacobian(x).tolist()),
    ],
)  # fmt: skip
def test_every_way_to_give_derivatives(fun, jac):
    result = refopt.least_squares(fun, START, jac=jac)
    assert result.success
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-7)
    assert result.jac == pytest.approx(jacobian(result.x), abs=1e-6)


def test_value_and_jacobian_together_cost_one_call_each_point():
    points = []

    def both(x):
        points.append(x.copy())
        return residual(x), jacobian(x)

    result = refopt.least_squares(both, START, jac=True)
    assert len(points) == result.nfev
    assert len({tuple(point) for point in points}) == len(points)


def test_args_and_kwargs_reach_both():
    def model(x, a, b=0.0):
        return np.array([x[0] - a, 2 * (x[0] - a) + b])

    def derivative(x, a, b=0.0):
        assert (a, b) == (3.0, 1.0)
        return np.array([[1.0], [2.0]])

    for jac in (derivative, "3-point", "cs"):
        result = refopt.least_squares(model, [1.0], jac=jac, args=(3.0,), kwargs={"b": 1.0})
        assert result.x[0] == pytest.approx(2.6, rel=1e-8)
    assert refopt.least_squares(lambda x, a: x - a, [1.0], args=3.0).x[0] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("fun", "jac", "error", "says"),
    [
        (lambda x: np.ones((2, 2)), jacobian, ValueError, "as a vector of shape (m,); it returned shape (2, 2)"),
        (lambda x: np.ones(0), jacobian, ValueError, "fun returned no residuals"),
        (lambda x: np.ones(2 + (x[0] != START[0])), jacobian, ValueError, "return shape (2,); it returned shape (3,)"),
        (residual, lambda x: np.ones((3, 2)), ValueError, "jac must return shape (2, 2); it returned shape (3, 2)"),
        (residual, lambda x: np.ones(2), ValueError, "jac must return shape (2, 2); it returned shape (2,)"),
        (lambda x: residual(x) + 0j, jacobian, TypeError, "fun must return real numbers"),
        (residual, "5-point", ValueError, "unknown method of differentiation '5-point'"),
        (residual, 7, TypeError, "jac must be callable, True, None or the name of a scheme; it is int"),
        (residual, True, ValueError, "with jac=True, fun must return the pair (value, derivative)"),
        ("residual", jacobian, TypeError, "fun must be callable; it is str"),
    ],
)  # fmt: skip
def test_what_is_no_function(fun, jac, error, says):
    with pytest.raises(error, match=re.escape(says)):
        refopt.least_squares(fun, START, jac=jac)


@pytest.mark.parametrize("part", [0, 1])
def test_an_exception_of_the_user_travels(part):
    calls = []

    def failing(function):
        def call(x):
            calls.append(x)
            if len(calls) > 4:
                raise KeyError("mine")
            return function(x)

        return call

    functions = [residual, jacobian]
    functions[part] = failing(functions[part])
    with pytest.raises(KeyError, match="mine"):
        refopt.least_squares(functions[0], START, jac=functions[1])


# --- options ---------------------------------------------------------------------------------------------------------


def test_an_unknown_option_lists_the_known():
    with pytest.raises(
        TypeError, match=r"lm has no option 'dampling'; its options are damping, factor, geodesic, canyon"
    ):
        fit(START, options={"dampling": 1.0})
    with pytest.raises(ValueError, match="least_squares knows no method 'bfgs'; its methods are lm"):
        fit(START, method="bfgs")


@pytest.mark.parametrize("options", [{"damping": 1.0}, {"factor": 0.01}, {"geodesic": True}, {"accuracy": 1e-6}])
def test_options_of_the_method(options):
    result, plain = fit(START, jac=jacobian, options=options), fit(START, jac=jacobian)
    assert result.success
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-6)
    assert (result.nfev, result.njev) != (plain.nfev, plain.njev)


@pytest.mark.parametrize("x_scale", [2.0, [1.0, 3.0], np.array([0.1, 10.0])])
def test_x_scale_fixes_the_scaling(x_scale):
    result = fit(START, jac=jacobian, x_scale=x_scale, options={"trace": True})
    assert result.success
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-10)
    for state in result.trace:
        assert state.d == pytest.approx(1.0 / np.broadcast_to(x_scale, 2))
    assert result.trace[0].radius == pytest.approx(np.linalg.norm(np.array(START) / x_scale))


def test_x_scale_by_default_is_the_columns():
    for x_scale in (1.0, 1, "jac"):
        result = fit(START, jac=jacobian, x_scale=x_scale, options={"trace": True})
        assert result.trace[0].d == pytest.approx(np.linalg.norm(jacobian(np.array(START)), axis=0))


@pytest.mark.parametrize("x_scale", ["columns", 0.0, -1.0, [1.0, 2.0, 3.0], [1.0, 0.0], [1.0, np.nan]])
def test_what_is_no_scale(x_scale):
    with pytest.raises(ValueError, match="x_scale must be 'jac', a positive number"):
        fit(START, x_scale=x_scale)


def test_tolerances_may_be_off():
    for off in (None, 0, 0.0):
        assert fit(START, jac=jacobian, ftol=off, xtol=off, gtol=off).success
    case = zoo.get("nist:MGH09", start=1)

    def evaluations(**tolerances):
        arguments = {"jac": case.problem.jacobian, "options": {"polish": False}, **tolerances}
        return refopt.least_squares(case.problem.residual, case.x0, **arguments).nfev

    assert evaluations(ftol=1e-4) < evaluations()
    assert evaluations(xtol=1e-2) < evaluations()
    assert evaluations() < evaluations(gtol=1e-13)


def test_an_absolute_tolerance_alone():
    result = fit(START, jac=jacobian, options={"gtol_abs": 2.0, "polish": False})
    assert result.status == Status.CONVERGED
    assert 1e-3 < result.optimality <= 2.0
    both = fit(START, jac=jacobian, gtol=1e-6, options={"gtol_abs": 2.0, "polish": False})
    assert both.optimality < result.optimality


def test_a_robust_loss_is_refused_with_what_has_it():
    with pytest.raises(ValueError, match=r"loss 'linear', not 'huber'.*refopt.minimize.*scipy.optimize.least_squares"):
        refopt.least_squares(lambda x: x - 1.0, [3.0], loss="huber")


def test_tolerances_are_numbers_from_zero_on():
    for name in ("ftol", "xtol", "gtol", "max_nfev"):
        with pytest.raises(ValueError, match=f"{name} must not be negative; it is -1.0"):
            refopt.least_squares(lambda x: x - 1.0, [3.0], **{name: -1.0})


def test_a_sparse_jacobian_is_taken_as_its_matrix():
    A = np.array([[1.0, 2.0], [0.0, 3.0], [4.0, 0.0]])
    result = refopt.least_squares(lambda x: A @ x - 1.0, [3.0, 0.0], jac=lambda x: csr_array(A))
    assert result.x == pytest.approx(np.linalg.lstsq(A, np.ones(3))[0])
    assert (result.jac == A).all()
