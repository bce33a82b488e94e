"""minimize ends where it is told to end: by tolerances, by limits, by callbacks, by exceptions."""

import warnings

import numpy as np
import pytest

from refopt import minimize
from refopt.stopping import Status
from runs import METHODS, ROSENBROCK, START, Counter, hessian, methods, rosenbrock, solve

# --- tolerances ------------------------------------------------------------------------------------------------------


@methods
def test_tol_is_gtol(method):
    runs = [
        minimize(ROSENBROCK.fun, START, method=method, jac=ROSENBROCK.grad, **given)
        for given in ({"tol": 1e-4}, {"options": {"gtol": 1e-4}}, {"tol": 1e-9, "options": {"gtol": 1e-4}})
    ]
    assert len({run.nfev for run in runs}) == 1
    if method == "bfgs":  # Newton's last step goes beyond every tolerance
        assert runs[0].nfev < rosenbrock(method).nfev


@methods
@pytest.mark.parametrize("gtol", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12])
def test_gtol_is_kept(method, gtol):
    result = rosenbrock(method, gtol=gtol)
    assert abs(result.jac).max() <= gtol * 1e3  # the largest gradient on the way is some hundreds


@methods
@pytest.mark.parametrize("gtol", [0.0, 1e-20])
def test_a_tolerance_below_rounding_is_allowed(method, gtol):
    result = solve(method, lambda x: 1 + ROSENBROCK.fun(x), START, ROSENBROCK.grad, ROSENBROCK.hess, gtol=gtol)
    assert result.success
    assert result.status in (Status.PRECISION, Status.CONVERGED)


@methods
def test_gtol_abs_alone_is_scipys_test(method):
    result = rosenbrock(method, gtol_abs=1e-3, trace=True)
    assert result.status == Status.CONVERGED
    gradients = [abs(state.g).max() for state in result.trace]
    assert gradients[-1] <= 1e-3
    assert min(gradients[:-1]) > 1e-3


# --- limits ----------------------------------------------------------------------------------------------------------


@methods
@pytest.mark.parametrize("maxiter", [0, 1, 5])
def test_maxiter(method, maxiter):
    result = rosenbrock(method, maxiter=maxiter)
    assert (result.status, result.success, result.nit) == (Status.MAXITER, False, maxiter)
    assert "iteration limit" in result.message


@methods
@pytest.mark.parametrize("maxfun", [0, 1, 2, 7])
def test_maxfun(method, maxfun):
    """Kept to the last evaluation, in the middle of a step; the first point is evaluated in any case."""
    counter = Counter()
    result = counter.solve(method, maxfun=maxfun)
    assert (result.status, result.success) == (Status.MAXFUN, False)
    assert result.nfev == max(maxfun, 1)
    assert counter.agrees(result)
    assert result.fun == ROSENBROCK.fun(result.x) <= ROSENBROCK.fun(np.array(START))


@methods
@pytest.mark.parametrize("maxfun", [1, 30, 31])
def test_maxfun_counts_differences(method, maxfun):
    counter = Counter()
    result = minimize(counter.part("fun"), START, method=method, options={"maxfun": maxfun})
    first = Counter()
    minimize(first.part("fun"), START, method=method, options={"maxiter": 0})
    assert result.status == Status.MAXFUN
    assert counter.calls["fun"] == result.nfev == max(maxfun, first.calls["fun"])
    assert result.fun == ROSENBROCK.fun(result.x) <= ROSENBROCK.fun(np.array(START))


@methods
def test_maxtime(method):
    assert rosenbrock(method, maxtime=0).status == Status.MAXTIME
    assert rosenbrock(method, maxtime=1e-9).nit <= 1
    assert rosenbrock(method, maxtime=100.0).success


@methods
def test_limits_of_none_are_the_default(method):
    assert rosenbrock(method, maxiter=None, maxfun=None, maxtime=None, gtol=None, gtol_abs=None).success


@methods
def test_a_result_within_limits_is_a_result(method):
    """Good enough at the very step of the limit: converged, not stopped."""
    needed = rosenbrock(method).nit
    assert rosenbrock(method, maxiter=needed).status == Status.CONVERGED
    assert rosenbrock(method, maxiter=needed - 1).status == Status.MAXITER


# --- callbacks and exceptions ----------------------------------------------------------------------------------------


@methods
def test_callback_with_the_result_so_far(method):
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)
        intermediate_result.x[:] = np.nan  # theirs to spoil
        intermediate_result.jac[:] = np.nan

    result = minimize(
        ROSENBROCK.fun, START, method=method, jac=ROSENBROCK.grad, callback=callback, **hessian(method, ROSENBROCK.hess)
    )
    assert (result.x == rosenbrock(method).x).all()
    assert len(seen) == result.nit
    assert all(set(each) == set(result) for each in seen)
    assert [each.nit for each in seen] == list(range(1, result.nit + 1))
    assert seen[-1].fun == result.fun


@methods
def test_callback_with_x(method):
    seen = []
    result = minimize(ROSENBROCK.fun, START, method=method, jac=ROSENBROCK.grad, callback=lambda xk: seen.append(xk))
    assert len(seen) == result.nit
    assert seen[-1].tolist() == result.x.tolist()


@methods
@pytest.mark.parametrize("with_result", [True, False])
def test_stop_iteration_stops(method, with_result):
    def old(x):
        raise StopIteration

    def new(intermediate_result):
        if intermediate_result.nit == 3:
            raise StopIteration

    result = minimize(ROSENBROCK.fun, START, method=method, jac=ROSENBROCK.grad, callback=new if with_result else old)
    assert (result.status, result.success) == (Status.CALLBACK, False)
    assert result.nit == (3 if with_result else 1)
    assert np.isfinite(result.fun)


class MyError(Exception):
    pass


ERRORS = [MyError, KeyboardInterrupt, StopIteration, ValueError, np.linalg.LinAlgError, ZeroDivisionError]
PARTS = [(method, part) for method in METHODS for part in ("fun", "grad", "hess", "callback")]
RAISED = [
    (method, part, error)
    for method, part in PARTS
    for error in ERRORS
    if (part != "hess" or hessian(method, 1)) and (part != "callback" or error is not StopIteration)
]


@pytest.mark.parametrize(("method", "part", "error"), RAISED)
def test_exceptions_arrive_unchanged(method, part, error):
    raised, calls = error("mine"), []

    def failing(function):
        def call(*args):
            calls.append(1)
            if len(calls) == 3:
                raise raised
            return function(*args) if function else None

        return call

    functions = {"fun": ROSENBROCK.fun, "grad": ROSENBROCK.grad, "hess": ROSENBROCK.hess, "callback": None}
    functions[part] = failing(functions[part])
    fun, jac, hess, callback = functions.values()
    with pytest.raises(error) as caught:
        minimize(fun, START, method=method, jac=jac, callback=callback, **hessian(method, hess))
    assert caught.value is raised


@methods
@pytest.mark.parametrize("jac", ["3-point", "cs", "autograd"])
def test_exceptions_inside_differences_arrive_unchanged(method, jac):
    raised = MyError("mine")

    def fun(x):
        if len(calls) == 7:
            raise raised
        calls.append(1)
        return (x[0] - 3.0) ** 4 + x[1] ** 2

    calls = []
    with pytest.raises(MyError) as caught:
        minimize(fun, START, method=method, jac=jac)
    assert caught.value is raised


@methods
def test_disp(method, capsys):
    result = rosenbrock(method, disp=True)
    assert len(capsys.readouterr().out.splitlines()) == result.nit
    rosenbrock(method)
    assert capsys.readouterr().out == ""


@methods
def test_no_warnings_from_inside(method):
    """Overflow and NaN in a trial are no news to anybody; nor, from 700, is that of the square of a gradient."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for start in (300.0, 700.0):
            result = solve(
                method,
                lambda x: float(np.exp(x[0]) - 2 * x[0]),
                [start],
                lambda x: np.exp(x) - 2,
                lambda x: np.exp(x)[:, None],
            )
            solved = abs(result.x[0] - np.log(2.0)) < 1e-5
            assert result.success == solved
            assert solved or start == 700.0
