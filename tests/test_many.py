"""Many starts are as many runs of `minimize`: the same numbers, the same words."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

import refopt
from refopt import many, stopping
from refopt.stopping import Status

COLUMNS = ("x", "fun", "jac", "nit", "nfev", "njev", "nhev", "nhvp", "status", "success", "message", "advice")
X0 = np.random.default_rng(3).uniform(-2.0, 2.0, (7, 3))


def row_by_row(fun, X, **keywords):
    return [refopt.minimize(fun, x, **keywords) for x in X]


def agree(found, runs, exactly=True):
    """Column by column; points to the accuracy of a minimiser, ‖g‖ below 1e-10 of its start, unless exactly."""
    for name in COLUMNS:
        column = np.array([run[name] for run in runs])
        if exactly or column.dtype.kind not in "f":
            assert np.array_equal(found[name], column, equal_nan=column.dtype.kind == "f"), name
        else:
            np.testing.assert_allclose(found[name], column, rtol=1e-7, atol=1e-7, err_msg=name)


# --- in Python -------------------------------------------------------------------------------------------------------


def test_each_row_is_a_run_of_minimize():
    before = X0.copy()
    found = refopt.minimize_many(rosen, X0, jac=rosen_der, options={"gtol": 1e-8})
    agree(found, row_by_row(rosen, X0, jac=rosen_der, options={"gtol": 1e-8}))
    assert np.array_equal(X0, before)
    assert found.best == np.argmin(found.fun)
    assert found.time > 0.0


def test_arguments_reach_every_run():
    fun, grad = (lambda x, a: a * (x @ x)), (lambda x, a: 2 * a * x)
    found = refopt.minimize_many(fun, X0, (3.0,), "l-bfgs", grad, tol=1e-6)
    agree(found, row_by_row(fun, X0, args=(3.0,), method="l-bfgs", jac=grad, tol=1e-6))


def test_every_array_kind(namespace):
    start = namespace.asarray(X0[:3])
    found = refopt.minimize_many(lambda x: x @ x, start, jac=lambda x: 2.0 * x)
    for value in (found.x, found.jac, found.fun):
        assert namespace.owns(value)
    assert np.abs(namespace.to_numpy(found.x)).max() <= 1e-9
    assert found.success.all()
    assert found.nit.dtype == int


def test_the_time_is_for_all_together():
    found = refopt.minimize_many(rosen, X0, jac=rosen_der, options={"maxtime": 0.0})
    assert set(found.status) == {Status.MAXTIME}
    assert not found.success.any()
    assert np.array_equal(found.x, X0)
    assert np.isnan(found.fun).all()
    assert np.isnan(found.jac).all()


def test_an_exception_ends_all_runs():
    calls = []

    def raises(x):
        calls.append(x)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        refopt.minimize_many(raises, X0, jac=rosen_der, workers=3)
    assert len(calls) == 1


@pytest.mark.parametrize("workers", [2, -1])
def test_threads_share_the_rows(workers):
    names = set()

    def fun(x):
        names.add(threading.current_thread().name)
        time.sleep(1e-4)
        return rosen(x)

    agree(refopt.minimize_many(fun, X0, jac=rosen_der, workers=workers), row_by_row(rosen, X0, jac=rosen_der))
    assert len(names) >= 2 or (os.cpu_count() == 1 and workers == -1)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"X0": [1.0, 2.0]}, ValueError, r"shape \(k, n\); it has shape \(2,\)"),
        ({"X0": np.zeros((0, 3))}, ValueError, r"it has shape \(0, 3\)"),
        ({"X0": [[1.0, np.nan]]}, ValueError, "X0 must be finite"),
        ({"workers": 0}, ValueError, "workers must be a positive number of threads, or -1"),
        ({"options": {"trace": True}}, ValueError, "trace is for one run"),
        ({"options": {"compiled": True}}, ValueError, "compiled=True is not possible here"),
        ({"method": "lm"}, ValueError, "minimize knows no method 'lm'"),
    ],
)
def test_what_is_wrong_is_said(change, error, says):
    call = {"X0": X0, "jac": rosen_der} | change
    with pytest.raises(error, match=says):
        refopt.minimize_many(rosen, **call)


def test_a_derivative_without_use_is_said_once():
    with pytest.warns(RuntimeWarning, match="bfgs does not use hess") as caught:
        refopt.minimize_many(rosen, X0, jac=rosen_der, hess=rosen)
    assert len(caught) == 1


def test_rows_are_taken_once_each_and_none_after_the_time():
    rows = many.Rows(range(5), deadline=np.inf)
    assert [rows.take(2), rows.take(2), rows.take(2), rows.take(2)] == [range(2), range(2, 4), range(4, 5), None]
    assert many.Rows(range(5), deadline=0.0).take(1) is None


# --- in one compiled loop --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jitted():
    """A valley whose f is −∞ far to the left, NaN beyond 5, and has a kink at x₂ = 3."""
    numba = pytest.importorskip("numba")

    @numba.njit
    def fun(x):
        if x[0] > 5.0:
            return np.nan
        if x[0] < -5.0:
            return 100.0 * x[0] ** 3
        return 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2 + 0.5 * abs(x[2])

    @numba.njit
    def grad(x):
        if x[0] < -5.0:
            return np.array([300.0 * x[0] ** 2, 0.0, 0.0])
        t = x[1] - x[0] ** 2
        return np.array([-400.0 * x[0] * t - 2.0 * (1.0 - x[0]), 200.0 * t, 0.5 * np.sign(x[2])])

    return fun, grad


ODD = np.array([[-1.2, 1.0, 0.0], [1.0, 1.0, 0.0], [-9.0, 0.0, 0.0], [6.0, 1.0, 1.0], [0.0, 0.0, 0.7], [2.0, 2.0, 0.0]])


@pytest.mark.jit
@pytest.mark.xdist_group("jit")
class TestCompiled:
    @pytest.mark.parametrize("options", [{}, {"gtol_abs": 1e-5}, {"maxiter": 4}, {"maxfun": 20}, {"compiled": False}])
    @pytest.mark.parametrize("workers", [1, 2])
    def test_each_row_is_a_run_of_minimize(self, jitted, options, workers):
        """Converged, at the minimum, falling, not finite, stuck at a kink, and cut off by limits."""
        fun, grad = jitted
        found = refopt.minimize_many(fun, ODD, jac=grad, options=options, workers=workers)
        agree(found, row_by_row(fun, ODD, jac=grad, options=options), exactly=False)
        if not options:
            ends = {Status.CONVERGED, Status.UNBOUNDED, Status.NOT_FINITE}
            assert ends < set(found.status)
            assert found.advice[1] == stopping.ZERO_GRADIENT

    def test_differences_inside_the_loop(self, jitted):
        fun, _ = jitted
        X = np.hstack([np.random.default_rng(5).uniform(-2.0, 2.0, (20, 2)), np.zeros((20, 1))])
        found = refopt.minimize_many(fun, X, options={"maxiter": 9})
        agree(found, row_by_row(fun, X, options={"maxiter": 9}), exactly=False)

    def test_what_is_cut_off_is_finished(self, jitted, monkeypatch):
        """A clock that runs fast makes the loop take every evaluation for slow ones."""
        fun, grad = jitted
        X = np.random.default_rng(5).uniform(-2.0, 2.0, (9, 3)) * [1.0, 1.0, 0.0]
        wanted = row_by_row(fun, X, jac=grad)
        for pace in (1e-3 / 100.0, 8e-4, 1.0):
            clock = iter(pace * np.arange(100000.0))
            monkeypatch.setattr(many.time, "perf_counter", lambda clock=clock: next(clock))
            found = refopt.minimize_many(fun, X, jac=grad)
            monkeypatch.undo()
            agree(found, wanted, exactly=False)

    def test_time_is_up_between_blocks(self, jitted):
        fun, grad = jitted
        X = np.random.default_rng(5).uniform(-2.0, 2.0, (400_000, 3)) * [1.0, 1.0, 0.0]
        found = refopt.minimize_many(fun, X, jac=grad, options={"maxtime": 0.8, "gtol_abs": 1e-5})
        late = found.status == Status.MAXTIME
        assert 0 < late.sum() < len(X)
        assert np.isnan(found.fun[late]).any()
        assert set(found.status[~late]) <= {Status.CONVERGED, Status.UNBOUNDED}  # a long step may lead over the edge
        assert np.abs(found.x[found.success, :2] - 1.0).max() <= 1e-3
        assert found.fun[found.best] == np.nanmin(found.fun)

    def test_exceptions_travel_unchanged(self):
        import numba

        @numba.njit
        def raises(x):
            if x[0] > 0.5:
                raise ValueError("mine")
            return x @ x

        for workers in (1, 2):
            with pytest.raises(ValueError, match="mine"):
                refopt.minimize_many(raises, ODD, workers=workers)


INTERRUPT = """
import os, signal, threading, time
import numba, numpy as np, refopt

@numba.njit
def fun(x):
    return 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2

X = np.random.default_rng(0).uniform(-2.0, 2.0, (1_000_000, 2))
refopt.minimize_many(fun, X[:3], workers={workers})
signal.signal(signal.SIGINT, signal.default_int_handler)  # some shells start what they run with it ignored
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
start = time.perf_counter()
try:
    refopt.minimize_many(fun, X, workers={workers})
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.jit
@pytest.mark.xdist_group("jit")
@pytest.mark.skipif(sys.platform == "win32", reason="signals of one's own process")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_is_served_between_blocks(workers):
    pytest.importorskip("numba")
    script = INTERRUPT.format(workers=workers)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "interrupted\n", done.stderr
    assert done.returncode == 0
