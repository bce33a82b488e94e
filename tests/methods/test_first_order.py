"""Gradient descent, AdaGrad, Adam and AdaHessian: every step from the papers' formulas; they claim nothing false."""

from itertools import islice, pairwise, product

import numpy as np
import pytest

import refopt
from problems import PROBLEMS
from refopt import ops, words, zoo
from refopt.linesearch import SEARCHES
from refopt.loop import iterate
from refopt.methods import adagrad, adahessian, adam, gradient_descent
from refopt.problem import Problem

EPS = 2.0**-52
QUARTIC = zoo.get("quartic")
ADAPTIVE = [adagrad, adam, adahessian]


def with_products(problem):
    return problem._replace(hvp=lambda x, p: problem.hess(x) @ p)


def states(method, count, params, known=QUARTIC):
    return list(islice(iterate(method, with_products(known.problem), known.x0, params), count))


def minimize(name, known=QUARTIC, **options):
    hess = {"hess": known.problem.hess} if name == "adahessian" else {}
    return refopt.minimize(known.problem.fun, known.x0, jac=known.problem.grad, method=name, options=options, **hess)


# --- gradient descent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "wanted"), [(0.005, 459), (2 / 202, 248)])
def test_the_valley_takes_its_exact_number_of_steps(step, wanted):
    """x² + 100y² from (1, 1) until ‖x‖ < 0.01: (1 − 2α)ᵏ or κ = 100."""
    problem = Problem(lambda x: x[0] ** 2 + 100 * x[1] ** 2, lambda x: np.array([2 * x[0], 200 * x[1]]))
    params = gradient_descent.Params(step=step, search=SEARCHES.index("fixed"))
    run = iterate(gradient_descent, problem, np.ones(2), params)
    distances = [np.linalg.norm(state.x) for state in islice(run, wanted + 1)]
    assert distances[wanted] < 0.01 <= distances[wanted - 1]


def test_a_fixed_step_stays_fixed():
    params = gradient_descent.Params(step=0.01, search=SEARCHES.index("fixed"))
    for old, new in pairwise(states(gradient_descent, 10, params)):
        assert (new.x == old.x - 0.01 * old.g).all()
        assert new.f == QUARTIC.problem.fun(new.x)
        assert new.alpha == 0.01


@pytest.mark.parametrize("search", SEARCHES[:3])
def test_searched_steps_go_along_the_gradient_and_lower_f(search):
    params = gradient_descent.Params(search=SEARCHES.index(search))
    for old, new in pairwise(states(gradient_descent, 15, params)):
        assert new.x == pytest.approx(old.x - new.alpha * old.g, rel=1e-14)
        assert new.f <= old.f - 1e-4 * new.alpha * (old.g @ old.g)
        assert new.first == (2 * new.alpha if search == "armijo" else new.alpha)
    assert minimize("gradient-descent", search=search).success


def test_the_rate_with_exact_searches_is_that_of_the_book():
    """From the worst start f shrinks by ((κ − 1)/(κ + 1))² in every step."""
    problem = Problem(lambda x: 0.5 * (x[0] ** 2 + 9 * x[1] ** 2), lambda x: np.array([x[0], 9 * x[1]]))
    params = gradient_descent.Params(c2=1e-9)
    run = list(islice(iterate(gradient_descent, problem, np.array([9.0, 1.0]), params), 8))
    for old, new in pairwise(run):
        assert new.f / old.f == pytest.approx(0.64, rel=1e-6)  # searches exact to 1e-9


# --- the adaptive methods --------------------------------------------------------------------------------------------


def adagrad_steps(g, params):
    m = v = 0
    for t, each in enumerate(g, 1):
        m = params.beta1 * m + (1 - params.beta1) * each
        v = params.beta2 * v + each**2
        yield params.step * m / (1 - params.beta1**t) / (v**params.exponent + params.eps)


def adam_steps(g, d, params):
    m = v = 0
    for t, (each, diagonal) in enumerate(zip(g, d, strict=True), 1):
        m = params.beta1 * m + (1 - params.beta1) * each
        v = params.beta2 * v + (1 - params.beta2) * diagonal**2
        corrected = (v / (1 - params.beta2**t)) ** params.exponent
        yield params.step * m / (1 - params.beta1**t) / (corrected + params.eps)


@pytest.mark.parametrize(
    "options", [{}, {"exponent": 1.0}, {"beta1": 0.5}, {"beta1": 0.0}, {"beta2": 0.9}, {"eps": 1e-2}], ids=str
)
@pytest.mark.parametrize("method", ADAPTIVE, ids=lambda method: method.__name__.rpartition(".")[2])
def test_every_step_is_the_papers(method, options):
    params = method.Params(step=0.03, **options)
    run = states(method, 12, params)
    g = [QUARTIC.problem.grad(state.x) for state in run]
    if method is adagrad:
        wanted = adagrad_steps(g, params)
    else:
        signs = [ops.signs(state.x, t) for t, state in enumerate(run, 1)]
        diagonals = [z * (QUARTIC.problem.hess(s.x) @ z) for z, s in zip(signs, run, strict=True)]
        wanted = adam_steps(g, g if method is adam else diagonals, params)
    for (old, new), change in zip(pairwise(run), wanted, strict=False):
        assert new.x == pytest.approx(old.x - change, rel=1e-12, abs=1e-12)
        assert new.nfev == old.nfev + 1
        assert new.njev == old.njev + 1


def test_the_first_step_of_adam_is_as_long_in_every_variable():
    first, second = states(adam, 2, adam.Params(step=0.01, eps=0.0))
    assert np.abs(second.x - first.x) == pytest.approx(0.01, rel=1e-12)


def test_one_probe_of_a_diagonal_hessian_is_exact_and_the_mean_of_all_is_the_diagonal():
    d, H = np.array([3.0, -2.0, 0.5]), np.array([[1.0, 2, 3], [2, 4, 5], [3, 5, 6]])
    assert (adahessian.probe(Problem(None, hvp=lambda x, p: d * p), np.zeros(3), np.array([1.0, -1, -1])) == d).all()
    problem = Problem(None, hvp=lambda x, p: H @ p)
    probes = [adahessian.probe(problem, np.zeros(3), np.array(z)) for z in product((-1.0, 1.0), repeat=3)]
    assert np.mean(probes, axis=0) == pytest.approx(np.diag(H))


def test_the_signs_are_uncorrelated_and_those_of_the_compiled_reading():
    Z = np.array([ops.signs(np.zeros(10), k) for k in range(1, 4097)])
    assert set(np.unique(Z)) == {-1.0, 1.0}
    assert np.abs(Z.mean(axis=0)).max() <= 4 / 64  # four standard errors
    assert np.abs(Z.T @ Z / 4096 - np.eye(10)).max() <= 4.5 / 64  # of 45 products
    for k in (1, 2, 10**6):
        assert (ops.signs(np.zeros(300), k) == words.signs(np.zeros(300), k)).all()


@pytest.mark.parametrize("method", ADAPTIVE, ids=lambda method: method.__name__.rpartition(".")[2])
def test_a_variable_without_a_slope_stays_where_it_is(method):
    problem = Problem(lambda x: float(x[0] ** 2), lambda x: np.array([2 * x[0], 0.0]), hvp=lambda x, p: [2, 0] * p)
    run = islice(iterate(method, problem, np.ones(2), method.Params(eps=0.0)), 5)
    assert all(state.x[1] == 1.0 for state in run)


@pytest.mark.parametrize("method", ADAPTIVE, ids=lambda method: method.__name__.rpartition(".")[2])
def test_a_step_behind_a_wall_is_shortened(method):
    problem = Problem(
        lambda x: float(x[0] - np.log(x[0])) if x[0] > 0 else np.nan, lambda x: 1 - 1 / x, hvp=lambda x, p: p / x**2
    )
    run = list(islice(iterate(method, problem, np.array([3.0]), method.Params(step=7.0)), 10))
    assert all(state.x[0] > 0 and np.isfinite(state.f) for state in run)


# --- what they may claim ---------------------------------------------------------------------------------------------

NAMES = ["gradient-descent", "adagrad", "adam", "adahessian"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("step", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("problem", [PROBLEMS[n] for n in ("rosenbrock", "beale", "brown_dennis", "bard")])
def test_no_false_success(name, step, problem):
    hess = {"hess": problem.hess} if name == "adahessian" else {}
    search = {"search": "fixed"} if name == "gradient-descent" else {}
    options = {"step": step, "maxiter": 300, **search}
    found = refopt.minimize(problem.fun, problem.x0, jac=problem.grad, method=name, options=options, **hess)
    g, g0 = (np.abs(problem.grad(x)).max() for x in (found.x, problem.x0))
    assert found.fun <= problem.fun(problem.x0)
    assert not found.success or g <= 1e-6 * max(1.0, g0)


@pytest.mark.parametrize(("name", "step"), [("adagrad", 0.5), ("adam", 0.05), ("adahessian", 0.15)])
def test_they_arrive_at_the_minimum_of_the_quartic(name, step):
    found = minimize(name, step=step, maxiter=5000)
    assert found.success
    assert found.fun == pytest.approx(QUARTIC.minima[0].fun, abs=1e-12)


# --- array kinds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [gradient_descent, *ADAPTIVE], ids=lambda method: method.__name__.rpartition(".")[2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_kind_takes_the_same_steps(namespace, method, dtype):
    like = namespace.asarray(np.ones(1, dtype))
    plain, same = zoo.get("rosenbrock:10", like=np.ones(1, dtype)), zoo.get("rosenbrock:10", like=like)
    reference = list(islice(iterate(method, plain.problem, plain.x0), 6))
    found = islice(iterate(method, same.problem, same.x0), 6)
    # sums of products in another order: a few roundings of what the run began with, magnified by its steps
    tolerance = 1e5 * float(np.finfo(dtype).eps)
    for ours, theirs in zip(found, reference, strict=True):
        for field in ("x", "g"):
            array, expected = getattr(ours, field), getattr(theirs, field)
            assert namespace.owns(array)
            assert namespace.to_numpy(array).dtype == np.dtype(dtype)
            assert (
                abs(namespace.to_numpy(array) - expected).max() <= tolerance * abs(getattr(reference[0], field)).max()
            )
        assert (ours.taken, ours.ok, ours.nfev, ours.njev) == (theirs.taken, theirs.ok, theirs.nfev, theirs.njev)
