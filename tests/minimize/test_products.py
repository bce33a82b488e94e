"""Products with the Hessian, from whatever gives them: the same run, honest counts, clear errors."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator

import refopt
from refopt import zoo

START = np.array([-1.2, 1.0, 0.5, 2.0])
BY_PRODUCTS = [name for name, entry in refopt.available().items() if "hessp" in entry.needs and name != "adahessian"]

by_products = pytest.mark.parametrize("method", BY_PRODUCTS)

WAYS = {
    "hessp": {"hessp": rosen_hess_prod},
    "sparse": {"hess": lambda x: csr_array(rosen_hess(x))},
    "operator": {"hess": lambda x: aslinearoperator(rosen_hess(x))},
    "autograd": {"hess": "autograd"},
    "2-point": {"hess": "2-point"},
    "3-point": {"hess": "3-point"},
    "none": {},
}


def plain_rosen(x):
    return sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def solve(method, x0=START, **given):
    return refopt.minimize(plain_rosen, x0, jac=rosen_der, method=method, **given)


@by_products
@pytest.mark.parametrize("way", WAYS)
def test_wherever_products_come_from_the_run_is_the_same(method, way):
    wanted, found = solve(method, hess=rosen_hess), solve(method, **WAYS[way])
    assert found.success
    # the ends of two runs whose products differ by rounding, or by the error of differences
    assert found.x == pytest.approx(wanted.x, abs=1e-8)
    exact = way in ("hessp", "sparse", "operator", "autograd")
    assert abs(found.nit - wanted.nit) <= (0 if exact else 2)


@by_products
def test_hessians_products_and_gradients_are_counted(method):
    calls = {"hess": 0, "hessp": 0, "jac": 0}

    def counted(name, function):
        def call(*arguments):
            calls[name] += 1
            return function(*arguments)

        return call

    jac, hess, hessp = counted("jac", rosen_der), counted("hess", rosen_hess), counted("hessp", rosen_hess_prod)
    result = refopt.minimize(rosen, START, jac=jac, hess=hess, method=method)
    assert (result.njev, result.nhev) == (calls["jac"], calls["hess"])
    assert result.nhvp > result.nhev > 0
    calls.update(jac=0, hess=0)
    result = refopt.minimize(rosen, START, jac=jac, hessp=hessp, method=method)
    assert (result.njev, result.nhev, result.nhvp) == (calls["jac"], 0, calls["hessp"])
    calls.update(jac=0)
    result = refopt.minimize(rosen, START, jac=jac, method=method)
    assert result.njev == calls["jac"]


@by_products
def test_arguments_reach_the_products(method):
    result = refopt.minimize(
        lambda x, a: a * rosen(x), START, args=(3.0,), jac=lambda x, a: a * rosen_der(x),
        hessp=lambda x, p, a: a * rosen_hess_prod(x, p), method=method,
    )  # fmt: skip
    assert result.x == pytest.approx(solve(method, hessp=rosen_hess_prod).x, abs=1e-8)


@by_products
def test_a_function_may_change_what_it_is_given(method):
    def hessp(x, p):
        product = rosen_hess_prod(x, p)
        x[:], p[:] = np.nan, np.nan
        return product

    assert (solve(method, hessp=hessp).x == solve(method, hessp=rosen_hess_prod).x).all()


@by_products
@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"hessp": lambda x, p: np.ones(3)}, ValueError, r"hessp must return shape \(4,\); it returned shape \(3,\)"),
        ({"hessp": 3}, TypeError, "hessp must be callable"), ({"hess": 3}, TypeError, "hess must be callable"),
        ({"hess": "5-point"}, ValueError, "5-point"),
        ({"hess": lambda x: csr_array(np.eye(3))}, ValueError, r"hess must return shape \(4, 4\)"),
        ({"hess": lambda x: np.eye(3)}, ValueError, r"hess must return shape \(4, 4\)"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(method, given, error, says):
    with pytest.raises(error, match=says):
        solve(method, **given)


@by_products
def test_a_thousand_variables(method):
    c = np.linspace(1.0, 100.0, 1000)
    result = refopt.minimize(
        lambda x: 0.5 * c @ (x * x) + 0.25 * x.sum() ** 4, np.full(1000, 0.01), jac=lambda x: c * x + x.sum() ** 3,
        hessp=lambda x, p: c * p + 3 * x.sum() ** 2 * p.sum(), method=method,
    )  # fmt: skip
    assert result.success
    assert abs(result.x).max() < 1e-6  # gtol = 1e-10 of a gradient of 1e3


def test_iterate_takes_products_from_the_hessian():
    problem = zoo.get("rosenbrock").problem
    from refopt.methods import trust_ncg

    first = next(refopt.iterate(trust_ncg, refopt.Problem(*problem[:3]), np.array([-1.2, 1.0])))
    assert first.nhvp > 0
