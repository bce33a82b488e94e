"""Jitted functions with args: compiled runs, as of functions that close over them; and limits kept in machine code."""

import numpy as np
import pytest

import refopt
from refopt.stopping import Status

numba = pytest.importorskip("numba")
arguments = pytest.importorskip("refopt.compiled.arguments")
from jitted import rosen, rosen_grad, rosen_hess  # noqa: E402  # numba may be missing

pytestmark = [pytest.mark.jit, pytest.mark.xdist_group("jit")]

T = np.linspace(0.0, 4.0, 25)
Y = 2.5 * np.exp(-1.3 * T) + 0.3 + 0.02 * np.cos(9.0 * T)
START = np.array([1.0, 0.5, 0.0])
FORCED = {"compiled": True}


@numba.njit
def residual(b, t, y, scale):
    return scale * (b[0] * np.exp(-b[1] * t) + b[2] - y)


@numba.njit
def jacobian(b, t, y, scale):
    J = np.empty((len(t), 3))
    for i in range(len(t)):
        e = np.exp(-b[1] * t[i])
        J[i, 0] = scale * e
        J[i, 1] = -scale * b[0] * t[i] * e
        J[i, 2] = scale
    return J


@numba.njit
def bowl(x, a, centre, shifted):
    d = x - centre if shifted else x.copy()
    return a * (d @ d) + (d @ d) ** 2


@numba.njit
def bowl_grad(x, a, centre, shifted):
    d = x - centre if shifted else x.copy()
    return (2.0 * a + 4.0 * (d @ d)) * d


@numba.njit
def bowl_hess(x, a, centre, shifted):
    d = x - centre if shifted else x.copy()
    return (2.0 * a + 4.0 * (d @ d)) * np.eye(len(x)) + 8.0 * np.outer(d, d)


@numba.njit
def bowl_hessp(x, p, a, centre, shifted):
    return bowl_hess(x, a, centre, shifted) @ p


CENTRE = np.array([1.0, -2.0])
FAR = np.array([3.0, 3.0])


@pytest.mark.parametrize("method", ["bfgs", "trust-exact", "trust-ncg"])
@pytest.mark.parametrize("shifted", [True, False])
def test_minimize_gives_args_to_every_function(method, shifted):
    """A number, an array and a truth value; hess where it is used, once as products."""
    second = {"bfgs": {}, "trust-exact": {"hess": bowl_hess}, "trust-ncg": {"hessp": bowl_hessp}}[method]
    args = (2.0, CENTRE, shifted)
    found, generic = (
        refopt.minimize(bowl, FAR, args, method, bowl_grad, **second, options={"compiled": compiled})
        for compiled in (True, False)
    )
    np.testing.assert_allclose(found.x, CENTRE if shifted else 0.0 * CENTRE, atol=1e-7)
    assert (found.nit, found.nfev, found.njev) == (generic.nit, generic.nfev, generic.njev)
    assert found.success


def test_new_values_compile_nothing_and_arrays_are_read_in_place():
    before = refopt.minimize(bowl, FAR, (1.0, CENTRE, True), jac=bowl_grad, options=FORCED)
    made = {key: [id(held) for held in spare] for key, spare in arguments.POOL.items()}
    centre = 2.0 * CENTRE
    for a in (1.0, 2.0, 3.0):
        found = refopt.minimize(bowl, FAR, (a, centre[::-1][::-1], True), jac=bowl_grad, options=FORCED)
        np.testing.assert_allclose(found.x, centre, atol=1e-7)
        centre += 1.0
    assert {key: [id(held) for held in arguments.POOL[key]] for key in made} == made
    np.testing.assert_allclose(before.x, CENTRE, atol=1e-7)


def test_a_run_inside_a_run_has_its_own_values():
    inner = []

    def callback(intermediate_result):
        inner.append(refopt.minimize(bowl, FAR, (1.0, -CENTRE, True), jac=bowl_grad, options=FORCED).x)

    found = refopt.minimize(bowl, FAR, (1.0, CENTRE, True), jac=bowl_grad, callback=callback, options=FORCED)
    np.testing.assert_allclose(found.x, CENTRE, atol=1e-7)
    np.testing.assert_allclose(inner, np.tile(-CENTRE, (len(inner), 1)), atol=1e-7)


def test_one_argument_needs_no_tuple_and_columns_may_be_strided():
    @numba.njit
    def fun(x, y):
        return ((x - y[:, 0]) ** 2).sum()

    for y in (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(4.0).reshape(2, 2)), np.eye(4)[::2, 1:]):
        found = refopt.minimize(fun, FAR, y, options=FORCED)
        np.testing.assert_allclose(found.x, y[:, 0], atol=1e-7)


def test_value_and_gradient_together():
    @numba.njit
    def both(x, a, centre, shifted):
        return bowl(x, a, centre, shifted), bowl_grad(x, a, centre, shifted)

    found = refopt.minimize(both, FAR, (1.0, CENTRE, True), jac=True, options=FORCED)
    wanted = refopt.minimize(bowl, FAR, (1.0, CENTRE, True), jac=bowl_grad, options=FORCED)
    assert (found.x == wanted.x).all()
    assert found.nfev == wanted.nfev


@pytest.mark.parametrize(("jac", "polish"), [(jacobian, True), ("3-point", False)], ids=["analytic", "3-point"])
def test_least_squares(jac, polish):
    """A polish by differences goes on until rounding stops it, which no two readings do alike."""
    found, generic = (
        refopt.least_squares(residual, START, jac, args=(T, Y, 2.0), options={"compiled": compiled, "polish": polish})
        for compiled in (True, False)
    )
    np.testing.assert_allclose(found.x, generic.x, rtol=1e-9)
    assert (found.nfev, found.njev) == (generic.nfev, generic.njev)


def test_many_starts():
    X = np.array([[3.0, 3.0], [0.0, 1.0], [-2.0, 5.0]])
    found = refopt.minimize_many(bowl, X, (1.0, CENTRE, True), jac=bowl_grad, options=FORCED)
    np.testing.assert_allclose(found.x, np.tile(CENTRE, (3, 1)), atol=1e-7)


def test_a_compiled_objective_takes_args():
    objective = refopt.compile(bowl, bowl_grad)
    found = refopt.minimize(objective, FAR, (1.0, CENTRE, True), options=FORCED)
    np.testing.assert_allclose(found.x, CENTRE, atol=1e-7)
    assert found.njev == found.nfev


def test_other_things_than_numbers_and_arrays_run_generic():
    @numba.njit
    def fun(x, pair):
        return (x[0] - pair[0]) ** 2 + (x[1] - pair[1]) ** 2

    assert refopt.minimize(fun, FAR, ((1.0, 2.0),)).success
    with pytest.raises(ValueError, match="args"):
        refopt.minimize(fun, FAR, ((1.0, 2.0),), options=FORCED)


def test_a_derivative_that_is_not_jitted_has_the_args_too():
    found = refopt.minimize(bowl, FAR, (1.0, CENTRE, True), jac=lambda x, *args: bowl_grad(x, *args))
    np.testing.assert_allclose(found.x, CENTRE, atol=1e-7)


# --- limits ----------------------------------------------------------------------------------------------------------


def counts(result):
    return result.nit, result.nfev, result.njev, result.nhev, result.status, result.success


@pytest.mark.parametrize("method", ["bfgs", "l-bfgs", "trust-exact"])
@pytest.mark.parametrize("jac", [rosen_grad, None], ids=["analytic", "3-point"])
def test_the_limit_is_kept_in_the_compiled_loop_as_in_the_generic(method, jac):
    second = {"hess": rosen_hess} if method == "trust-exact" else {}
    for most in range(1, 60 if jac else 200, 1 if jac else 7):
        found, generic = (
            refopt.minimize(
                rosen, [-1.2, 1.0], (), method, jac, **second, options={"maxfun": most, "compiled": compiled}
            )
            for compiled in (True, False)
        )
        assert counts(found) == counts(generic)
        assert found.nfev <= max(most, 1 if jac else 5)
        assert found.success or found.status is Status.MAXFUN
        assert found.fun == rosen(found.x) <= rosen(np.array([-1.2, 1.0]))


def test_the_limit_of_a_fit_is_kept_in_the_compiled_loop():
    for most in range(1, 30):
        found, generic = (
            refopt.least_squares(
                residual, START, jacobian, args=(T, Y, 2.0), max_nfev=most, options={"compiled": compiled}
            )
            for compiled in (True, False)
        )
        assert counts(found) == counts(generic)
        assert found.nfev <= most
