"""Every method of minimize, compiled: the same states as read on arrays, the same runs, and saddles are left."""

import numpy as np
import pytest

import refopt
from refopt import catalogue, loop, stopping
from refopt.problem import Problem

numba = pytest.importorskip("numba")
compiled = pytest.importorskip("refopt.compiled")
from jitted import compare, rosen, rosen_grad, rosen_hess, rosen_product  # noqa: E402  # numba may be missing

pytestmark = [pytest.mark.jit, pytest.mark.xdist_group("jit")]

EPS = 2.0**-52
ENTRIES = [entry for entry in catalogue.available().values() if entry.door == "minimize"]
SEEING = [e for e in ENTRIES if {"hess", "hessp"} & set(e.needs)]
LOCAL = ["newton", "damped-newton", "diagonal-newton", "natural-gradient", "adahessian"]  #: drawn to saddles, or blind

each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


@numba.njit
def saddle(x):
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 2.0


@numba.njit
def saddle_grad(x):
    return np.array([2.0 * x[0], -2.0 * x[1] + 2.0 * x[1] ** 3])


@numba.njit
def saddle_hess(x):
    return np.diag(np.array([2.0, -2.0 + 6.0 * x[1] ** 2]))


@numba.njit
def saddle_product(x, p):
    return saddle_hess(x) @ p


ROSEN = rosen, rosen_grad, rosen_hess, rosen_product
SADDLE = saddle, saddle_grad, saddle_hess, saddle_product


def problem_for(entry, functions=ROSEN):
    """The functions that the method uses, and no others: what differs would be compiled anew."""
    fun, grad, hess, product = functions
    return Problem(fun, grad, hess if "hess" in entry.needs else None, product if "hessp" in entry.needs else None)


def begin(entry, problem, x0):
    x0, params = np.array(x0, float), entry.module.Params()
    state = entry.module.init(problem, x0, params)
    return state, stopping.watch(state.x, state.f, state.g, abs(state.x)), params


@each
@pytest.mark.parametrize("x0", [[-1.2, 1.0], [0.0, 0.0, 0.0], [-1.2, 1.0, -1.2, 1.0, 2.0]], ids=len)
def test_state_by_state_from_the_same_state(entry, x0):
    tests, problem = stopping.Tests(), problem_for(entry)
    run = compiled.runner(entry.module, stopping, problem, getattr(entry.module.Params(), "search", 0)).run
    first = state, watch, params = begin(entry, problem, x0)
    for step in range(25):
        if watch.verdict != stopping.RUNNING:
            break
        found, found_watch, k = run(0.0, state, watch, params, tests, 1)
        state, watch, _ = loop.run(entry.module, stopping, problem, state, watch, params, tests, 1)
        assert k == 1, step
        # one step: sums in another order, magnified by systems of condition up to 3e3, the Hessian's at the minimum
        compare(found, state, first[0], rtol=1e5 * EPS)
        compare(found_watch, watch, first[1], rtol=1e5 * EPS)


def minimize(entry, functions, x0, **options):
    fun, grad, hess, product = functions
    given = {"jac": grad} | ({"hessp": product} if "hessp" in entry.needs else {})
    if entry.fisher:
        options["fisher"] = hess
    elif "hess" in entry.needs:
        given["hess"] = hess
    with np.errstate(all="ignore"):
        return refopt.minimize(fun, np.asarray(x0), method=entry.name, options=options, **given)


@each
def test_a_short_run_through_the_front_door_is_the_same_run(entry):
    found, wanted = (minimize(entry, ROSEN, [1.2, 1.1, 1.3], maxiter=12, compiled=c) for c in (True, False))
    assert (found.status, found.nit) == (wanted.status, wanted.nit)
    assert (found.nfev, found.njev, found.nhev) == (wanted.nfev, wanted.njev, wanted.nhev)
    # a dozen steps, each magnifying roundings by the condition of the valley, 3e3, at most
    assert found.x == pytest.approx(wanted.x, rel=1e-7)


@each
def test_float32_is_left_to_the_generic_reading(entry):
    """Jitted functions, but a start in float32: the same states as with plain functions, all in float32."""
    x0 = np.array([1.2, 1.1, 1.3], "float32")
    found = minimize(entry, ROSEN, x0, maxiter=3)
    wanted = minimize(entry, [function.py_func for function in ROSEN], x0, maxiter=3)
    assert found.x.dtype == np.float32
    assert found.nit == wanted.nit
    # machine code sums float32 numbers in double or in another order: three steps of condition 3e3
    assert found.x == pytest.approx(wanted.x, rel=1e-2)
    with pytest.raises(ValueError, match="not a NumPy vector of float64"):
        minimize(entry, ROSEN, x0, compiled=True)


@pytest.mark.parametrize("entry", [e for e in SEEING if e.name not in LOCAL], ids=lambda entry: entry.name)
@pytest.mark.parametrize("x0", [[0.0, 0.0], [1.0, 0.0]], ids=["saddle", "axis"])
def test_a_saddle_is_left_in_the_compiled_loop_too(entry, x0):
    found, wanted = (minimize(entry, SADDLE, x0, compiled=c) for c in (True, False))
    assert found.success
    assert found.fun == pytest.approx(-0.5, rel=1e-12)
    # the eigenvector is that of another method, exact to rounding, and may point to the other side
    assert abs(found.nit - wanted.nit) <= 1
    assert abs(found.x) == pytest.approx(abs(wanted.x), abs=1e-9)
