"""Where one-sided differences leave a run stuck central ones take their place, and what is counted stays true."""

from importlib import import_module

import numpy as np
import pytest

import refopt
from refopt.budget import Spent
from refopt.stopping import Status
from variants import case

methods = pytest.mark.parametrize("method", ["bfgs", "l-bfgs", "trust-exact", "trust-ncg", "newton-cg"])
NARROW = case("mgh:powell_badly_scaled")  #: where 2-point differences leave bfgs, l-bfgs and trust-ncg stuck


class Counted:
    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return NARROW.problem.fun(x)


@pytest.mark.parametrize("method", ["bfgs", "l-bfgs", "trust-ncg"])
def test_a_stuck_run_goes_on_with_central_differences(monkeypatch, method):
    """In a second run from where the first one ended, for which sizes are not measured again."""
    module, f, steps, runs, measured = import_module("refopt.minimize"), Counted(), [], [], []
    perform, measure = module.performed, module.start_sizes
    monkeypatch.setattr(module, "performed", lambda *given: runs.append(1) or perform(*given))
    monkeypatch.setattr(module, "start_sizes", lambda *given: measured.append(1) or measure(*given))
    result = refopt.minimize(
        f, NARROW.x0, jac="2-point", method=method, options={"trace": True},
        callback=lambda intermediate_result: steps.append(intermediate_result.nit),
    )  # fmt: skip
    assert (len(runs), len(measured)) == (2, 1)
    assert result.success
    assert NARROW.truth(result.x) <= NARROW.truth(NARROW.x0)
    assert result.nfev == f.calls
    assert len(result.trace) == result.nit + 1
    assert steps == sorted(steps)
    assert steps[-1] == result.nit


@methods
@pytest.mark.parametrize("most", [20, 60, 200, 400])
def test_its_limits_hold(method, most):
    """Wherever the limit falls, before the change of differences or after it; the first point has its derivatives."""
    f, n = Counted(), NARROW.x0.shape[0]
    result = refopt.minimize(f, NARROW.x0, jac="2-point", method=method, options={"maxfun": most})
    assert f.calls == result.nfev <= max(most, 1 + (n + 1) + (n * n + 3 * n + 1))  # f, gradient and Hessian
    steps = refopt.minimize(f, NARROW.x0, jac="2-point", method=method, options={"maxiter": 3})
    assert steps.nit <= 3
    assert steps.success or steps.status in (Status.MAXITER, Status.LINE_SEARCH, Status.PRECISION)


def test_the_limit_may_fall_into_the_first_state_of_the_second_run(monkeypatch):
    """As where its step takes many products with the Hessian."""

    def last_straw(*given):
        f(NARROW.x0)
        raise Spent

    f, whole = Counted(), refopt.minimize(NARROW.truth, NARROW.x0, jac="2-point", method="trust-ncg")
    monkeypatch.setattr(import_module("refopt.minimize").driver, "begun_again", last_straw)
    result = refopt.minimize(f, NARROW.x0, jac="2-point", method="trust-ncg", options={"maxfun": 10**6})
    assert result.status == Status.MAXFUN
    assert f.calls - 1 == result.nfev < whole.nfev


@pytest.mark.parametrize("method", ["bfgs", "trust-exact", "trust-ncg", "newton-cg"])
def test_where_too_few_evaluations_are_left_to_judge_they_are_the_end(method):
    """A function in noise, whose minimum is found, with ten evaluations less than it takes to be sure of that."""

    def fun(x):
        return float(np.float32(1 + ((x - 1) ** 2).sum() + (x[0] - 1) ** 4))

    whole = refopt.minimize(fun, [3.0, 2.0], jac="3-point", method=method)
    assert whole.success
    cut = refopt.minimize(fun, [3.0, 2.0], jac="3-point", method=method, options={"maxfun": whole.nfev - 10})
    assert cut.status == Status.MAXFUN
    assert cut.nfev < whole.nfev - 10
    assert "too few evaluations are left" in cut.advice


@pytest.mark.parametrize("start", [1e-10, 1e-13, -1e-16, 1e-20, 1e-300])
@pytest.mark.parametrize("jac", ["2-point", "3-point"])
@pytest.mark.parametrize("method", ["bfgs", "trust-exact", "trust-ncg", "lm", "dogleg"])
def test_a_zero_that_was_found_is_no_size(method, jac, start):
    """(x − 1, y − 2) from x₀ = 1e-16, which rounding may have left: steps of that size change nothing."""
    calls, x0 = [], np.array([start, 1.0])

    def residual(x):
        calls.append(1)
        return x - np.array([1.0, 2.0])

    if method in ("lm", "dogleg"):
        result = refopt.least_squares(residual, x0, jac=jac, method=method)
    else:
        result = refopt.minimize(lambda x: float(residual(x) @ residual(x)), x0, jac=jac, method=method)
        calls = calls[::2]
    assert result.success
    assert result.x == pytest.approx([1.0, 2.0], rel=1e-6)
    assert result.nfev == len(calls)


def test_of_many_starts_as_well():
    """Jitted, in one loop: among starts as large as the answer those with a zero that was found."""
    X0 = np.array([[0.5, 1.0], [1e-16, 1.0], [3.0, -1e-18]])
    fun = refopt.compile(lambda x: (x[0] - 1.0) ** 2 + (x[1] - 2.0) ** 2)
    result = refopt.minimize_many(fun, X0, jac="3-point")
    assert result.success.all()
    assert result.x == pytest.approx(np.array([[1.0, 2.0]] * 3), rel=1e-6)
    for row, x0 in enumerate(X0):
        assert result.nfev[row] == refopt.minimize(fun, x0, jac="3-point").nfev
