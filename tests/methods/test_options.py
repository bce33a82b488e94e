"""Every option that is promised exists, is passed on, and changes the run from where it should; words name searches."""

from itertools import islice

import numpy as np
import pytest

import refopt
from refopt import zoo
from refopt.catalogue import split_options
from refopt.linesearch import SEARCHES
from refopt.loop import iterate

WELL = zoo.get("quartic")
VALLEY = zoo.get("rosenbrock")
HILLS = zoo.get("himmelblau")  #: from the top between its minima

REGION = {"radius": 1e-3, "max_radius": 1e-2, "eta": 0.9}
WOLFE = {"step": 0.5, "search": "armijo"}
ADAPTIVE = {"step": 0.5, "beta1": 0.3, "beta2": 0.7, "eps": 0.1, "exponent": 1.0}

#: a value of each option that is not its default
OPTIONS = {
    "gradient-descent": {"step": 0.5, "search": "armijo"},
    "newton": {"step": 0.5},
    "damped-newton": {"damping": 1.0, "step": 0.5},
    "modified-newton": {"search": "armijo", "beta": 1.0},
    "saddle-free-newton": {"step": 0.5, "floor": 0.5, "radius": 1e-2, "search": "armijo"},
    "diagonal-newton": {"step": 0.25, "floor": 0.9, "clip": 0.1, "clip_update": 1e-3},
    "trust-exact": REGION,
    "trust-dogleg": REGION,
    "trust-ncg": REGION,
    "trust-krylov": REGION,
    "newton-cg": {"forcing": 1e-12, "search": "armijo"},
    "hessian-free": {"forcing": 1e-12, "search": "armijo", "damping": 10.0},
    "natural-gradient": {"step": 0.5, "damping": 1.0},
    "broyden": WOLFE,
    "sr1": {"step": 0.5, "search": "armijo", **REGION},
    "dfp": WOLFE,
    "bfgs": WOLFE,
    "l-bfgs": {**WOLFE, "memory": 1, "scaling": False},
    "adagrad": ADAPTIVE,
    "adam": ADAPTIVE,
    "adahessian": ADAPTIVE,
}

each = pytest.mark.parametrize(
    ("method", "option"), [(method, option) for method, options in OPTIONS.items() for option in options]
)


def path(method, case, **options):
    """The x of the first states, as the front door would have them."""
    entry = refopt.available()[method]
    params, _ = split_options(entry, options)
    problem = case.problem._replace(hvp=lambda x, p: case.problem.hess(x) @ p)
    with np.errstate(all="ignore"):
        return np.array([state.x for state in islice(iterate(entry.module, problem, case.x0, params), 15)])


def test_every_method_of_minimize_is_here():
    assert set(OPTIONS) == {entry.name for entry in refopt.available().values() if entry.door == "minimize"}


@each
def test_an_option_is_no_decoration(method, option):
    given = {option: OPTIONS[method][option]}
    assert any((path(method, case, **given) != path(method, case)).any() for case in (WELL, VALLEY, HILLS))


@each
def test_it_reaches_the_run_through_the_front_door(method, option):
    """The states of minimize are those of ``iterate`` with the option."""
    entry, given = refopt.available()[method], {option: OPTIONS[method][option]}
    hess = {"hess": WELL.problem.hess} if {"hess", "hessp"} & set(entry.needs) and not entry.fisher else {}
    fisher = {"fisher": WELL.problem.hess} if entry.fisher else {}
    options = {**given, **fisher, "trace": True, "maxiter": 3}
    run = refopt.minimize(
        WELL.problem.fun, WELL.x0, jac=WELL.problem.grad, method=method, options=options, **hess
    )  # fmt: skip
    for state, x in zip(run.trace, path(method, WELL, **given), strict=False):
        assert (state.x == x).all()


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("method", [method for method, options in OPTIONS.items() if "search" in options])
def test_every_search_is_taken_by_every_method_that_searches(method, search):
    entry = refopt.available()[method]
    hess = {"hess": WELL.problem.hess} if {"hess", "hessp"} & set(entry.needs) else {}
    options = {"search": search} | ({"step": 0.05} if method == "gradient-descent" else {})
    result = refopt.minimize(WELL.problem.fun, WELL.x0, jac=WELL.problem.grad, method=method, options=options, **hess)
    assert result.success
    assert result.x == pytest.approx(WELL.minima[0].x, abs=1e-6)


@pytest.mark.parametrize("method", ["bfgs", "dfp", "broyden", "sr1"])
def test_the_matrix_to_begin_with(method):
    """Where it is the Hessian at x₀, the first step is Newton's, if it is allowed."""
    (name,) = refopt.available()[method].arrays
    x0 = WELL.minima[0].x + 0.01
    B, g = WELL.problem.hess(x0), WELL.problem.grad(x0)
    B = (B + B.T) / 2
    first = np.linalg.inv(B) if name == "hess_inv0" else B
    options = {name: (first + first.T) / 2, "trace": True, "maxiter": 1}
    run = refopt.minimize(WELL.problem.fun, x0, jac=WELL.problem.grad, method=method, options=options)
    assert run.trace[1].x == pytest.approx(x0 - np.linalg.solve(B, g), rel=1e-12)
