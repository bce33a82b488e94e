"""What is asked of a run is settled once for jitted functions, and a second run asks the same."""

import numpy as np
import pytest

import refopt
from bowl import bowl, bowl_grad
from refopt.minimize import plan_of, planned

numba = pytest.importorskip("numba")

pytestmark = [pytest.mark.jit, pytest.mark.xdist_group("jit")]


@numba.njit
def bowl_hess(x):
    return 2.0 * (1.0 + 2.0 * (x @ x)) * np.eye(len(x)) + 8.0 * np.outer(x, x)


@numba.njit
def pair(x):
    return bowl(x), bowl_grad(x)


START = np.array([1.0, -0.5, 0.25])


def plan(options=None, *, method="bfgs", jac=bowl_grad, tol=None, n=3):
    return planned(plan_of, np.ones(n), bowl, (), method, jac, None, None, tol, options)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"method": "l-bfgs", "options": {"memory": 2, "trace": True}},
        {"method": "trust-exact", "hess": bowl_hess},
        {"method": "newton-cg", "hess": bowl_hess},
        {"method": "natural-gradient", "options": {"fisher": bowl_hess}},
        {"jac": None, "tol": 1e-6},
        {"options": {"hess_inv0": np.eye(3)}},
        {"options": {"maxiter": 2}},
    ],
    ids=["bfgs", "memory", "hess", "products", "fisher", "differences", "hess_inv0", "maxiter"],
)
def test_a_second_run_is_the_first_again(asked):
    first, second = (refopt.minimize(bowl, START, **{"jac": bowl_grad, **asked}) for _ in range(2))
    assert first.keys() == second.keys()
    for name in first.keys() - {"time", "trace"}:
        assert np.array_equal(first[name], second[name]), name
    assert len(first.trace) == len(second.trace)


def test_the_same_is_asked_once_and_anything_else_anew():
    first = plan({"gtol_abs": 1e-5})
    assert plan({"gtol_abs": 1e-5}) is first
    others = [
        plan({"gtol_abs": 1e-4}),
        plan({"gtol_abs": 1e-5, "maxiter": 7}),
        plan({"gtol_abs": 1e-5}, tol=1e-3),
        plan({"gtol_abs": 1e-5}, n=50),
        plan({"gtol_abs": 1e-5}, method="l-bfgs"),
        plan({"gtol_abs": 1e-5}, jac=None),
    ]
    assert [other.tests.gtol_abs for other in others] == [1e-4, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5]
    assert others[1].limits.maxiter == 7
    assert others[2].tests.gtol == 1e-3
    assert (first.limits.maxiter, others[3].limits.maxiter) == (2000, 10000)
    assert others[4].entry.name == "l-bfgs"
    assert others[5].tests.differences > 0.0


@pytest.mark.parametrize("off", [False, 0])
def test_what_equals_another_option_is_not_taken_for_it(off):
    assert plan({"compiled": "auto"}).loop is not None
    assert plan({"compiled": off}).loop is None
    assert planned(plan_of, START, pair, (), "bfgs", True, None, None, None, None).loop is not None
    with pytest.raises(TypeError, match="jac must be callable, True, None"):
        refopt.minimize(pair, START, jac=1)


def test_warnings_and_errors_come_every_time():
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="bfgs does not use hess"):
            refopt.minimize(bowl, START, jac=bowl_grad, hess=bowl_hess)
        with pytest.raises(TypeError, match="bfgs has no option 'wrong'"):
            refopt.minimize(bowl, START, jac=bowl_grad, options={"wrong": 1})


def test_what_is_not_jitted_is_not_remembered():
    """It may be another function every time, and hold much."""
    fun = bowl.py_func
    assert planned(plan_of, START, fun, (), "bfgs", bowl_grad, None, None, None, None).loop is None
    first, second = (planned(plan_of, START, fun, (), "bfgs", bowl_grad, None, None, None, None) for _ in range(2))
    assert first is not second
