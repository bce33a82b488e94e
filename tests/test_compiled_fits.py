"""Levenberg-Marquardt compiled: the same fits as the generic reading, state by state."""

import numpy as np
import pytest
import scipy.optimize

import refopt
from refopt import loop, stopping_residuals
from refopt.methods import lm
from refopt.problem import LeastSquares

numba = pytest.importorskip("numba")
compiled = pytest.importorskip("refopt.compiled")

pytestmark = [pytest.mark.jit, pytest.mark.xdist_group("jit")]

T = np.linspace(0.0, 4.0, 25)
Y = 2.5 * np.exp(-1.3 * T) + 0.3 + 0.02 * np.cos(9.0 * T)
START = np.array([1.0, 0.5, 0.0])


@numba.njit
def residual(b):
    r = np.empty(T.size)
    for i in range(T.size):
        r[i] = b[0] * np.exp(-b[1] * T[i]) + b[2] - Y[i]
    return r


@numba.njit
def jacobian(b):
    J = np.empty((T.size, 3))
    for i in range(T.size):
        e = np.exp(-b[1] * T[i])
        J[i, 0] = e
        J[i, 1] = -b[0] * T[i] * e
        J[i, 2] = 1.0
    return J


@pytest.mark.parametrize("geodesic", [False, True])
def test_state_by_state_from_the_same_state(geodesic):
    """From every state of the generic run one compiled step; the fit's condition number is below 100."""
    problem, params = LeastSquares(residual, jacobian), lm.Params(geodesic=geodesic)
    run = compiled.runner(lm, stopping_residuals, problem).run
    state = lm.init(problem, START, params)
    tests = stopping_residuals.Tests()
    for _ in range(8):
        watch = stopping_residuals.watch(state.x, state.f, state.g, abs(state.x))
        theirs, _, k = run(0.0, state, watch, params, tests, 1)
        state = loop.run(lm, stopping_residuals, problem, state, watch, params, tests, 1)[0]
        assert k == 1
        for name, ours in state._asdict().items():
            if name in ("nfev", "njev", "rejected", "taken", "ok", "full"):
                assert ours == getattr(theirs, name), name
            elif name in ("x", "r", "d"):
                # rounding of a few hundred operations, times the condition number
                np.testing.assert_allclose(getattr(theirs, name), ours, rtol=1e-11, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("jac", [jacobian, "3-point"], ids=["analytic", "3-point"])
def test_the_same_fit(jac):
    ours = refopt.least_squares(residual, START, jac=jac, options={"compiled": True})
    generic = refopt.least_squares(residual, START, jac=jac, options={"compiled": False})
    theirs = scipy.optimize.least_squares(
        residual, START, jac=jacobian, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    assert ours.success
    assert ours.status == generic.status
    # a difference Jacobian is right to about eps^(2/3); the polish takes the analytic one to the last digits
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-9 if jac is jacobian else 1e-7)
    np.testing.assert_allclose(ours.x, generic.x, rtol=1e-12 if jac is jacobian else 1e-9)
    np.testing.assert_allclose(ours.stderr, generic.stderr, rtol=1e-10 if jac is jacobian else 1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gauss-newton", "dogleg", "broyden-good", "broyden-bad"])
def test_the_same_fit_by_every_method(method):
    """The same steps and evaluations as in the generic reading, and, within rounding, the same numbers."""
    options = {"maxiter": 6}
    for limit in (options, {}):
        ours, generic = (
            refopt.least_squares(residual, START, jac=jacobian, method=method, options=limit | {"compiled": compiled})
            for compiled in (True, False)
        )
        np.testing.assert_allclose(ours.x, generic.x, rtol=1e-10)
        np.testing.assert_allclose(ours.jac, jacobian(ours.x), rtol=1e-12)
        assert ours.status == generic.status
        assert (ours.nit, ours.nfev, ours.njev) == (generic.nit, generic.nfev, generic.njev)
    assert ours.success


def test_an_exception_travels_unchanged():
    @numba.njit
    def raises(b):
        if b[1] > 0.6:
            raise ValueError("mine")
        return residual(b)

    with pytest.raises(ValueError, match="mine"):
        refopt.least_squares(raises, START, jac=jacobian, options={"compiled": True})


def test_a_rank_deficient_jacobian():
    @numba.njit
    def line(b):
        return (b[0] + b[1]) * T - Y

    ours = refopt.least_squares(line, np.array([1.0, 1.0]), options={"compiled": True})
    slope = (T @ Y) / (T @ T)
    assert abs(ours.x.sum() - slope) < 1e-9 * abs(slope)  # differences are exact on a line up to eps^(2/3)
    assert "dependent" in ours.advice


@numba.njit
def both(b):
    return residual(b), jacobian(b)


def test_residual_and_jacobian_together():
    found = refopt.least_squares(both, START, jac=True, options={"compiled": True})
    wanted = refopt.least_squares(residual, START, jac=jacobian, options={"compiled": True})
    assert (found.x == wanted.x).all()
    assert found.nfev == wanted.nfev
