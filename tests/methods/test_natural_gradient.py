"""The natural gradient: its equation, its invariance, and the exact numbers of steps in a valley."""

import numpy as np
import pytest
from hypothesis import given

import refopt
from refopt import zoo
from refopt.methods import natural_gradient
from refopt.problem import Problem
from strategies import basis, seeds, spd

EPS = 2.0**-52


@given(spd(5, condition=1e3), seeds)
def test_the_step_solves_its_equation_and_follows_an_affine_change_of_variables(F, seed):
    rng = np.random.default_rng(seed)
    n = len(F)
    g, M = rng.standard_normal(n), basis(n, seed) * rng.uniform(1.0, 3.0, n)
    p, ok = natural_gradient.direction(F, g, 0.5)
    assert ok
    # residual of a stable solution; then the condition numbers of F, M and MᵀFM together
    assert np.linalg.norm((F + 0.5 * np.eye(n)) @ p + g) <= 50 * n * EPS * np.linalg.norm(F) * np.linalg.norm(p)
    p, _ = natural_gradient.direction(F, g, 0.0)
    q, _ = natural_gradient.direction(M.T @ F @ M, M.T @ g, 0.0)
    assert np.linalg.norm(M @ q - p) <= 100 * n * EPS * 9 * 1e3 * np.linalg.norm(p) * 3


@pytest.mark.parametrize(
    ("method", "options", "steps"),
    [
        ("gradient-descent", {"search": "fixed", "step": 0.005}, 459),
        ("gradient-descent", {"search": "fixed", "step": 2 / 202}, 248),
        ("natural-gradient", {"step": 0.01}, 493),
        ("natural-gradient", {"step": 1.0}, 1),
    ],
)
def test_steps_in_the_valley_are_those_of_the_closed_form(method, options, steps):
    """0.99ᵏ < 0.01, √2 (99/101)ᵏ < 0.01, √2 0.99ᵏ < 0.01; and one."""
    valley = zoo.get("valley").problem
    fisher = {"fisher": valley.hess} if method == "natural-gradient" else {}

    def near(x):
        if np.linalg.norm(x) < 0.01:
            raise StopIteration

    options = {"gtol": 0.0, "maxiter": 1000, **options, **fisher}
    run = refopt.minimize(valley.fun, [1.0, 1.0], method=method, jac=valley.grad, callback=near, options=options)
    assert run.nit == steps


def test_a_fisher_matrix_is_needed():
    valley = zoo.get("valley").problem
    with pytest.raises(ValueError, match="needs a Fisher matrix"):
        refopt.minimize(valley.fun, [1.0, 1.0], method="natural-gradient", jac=valley.grad)
    with pytest.raises(TypeError, match="no option 'fisher'"):
        refopt.minimize(valley.fun, [1.0, 1.0], method="newton", jac=valley.grad, options={"fisher": valley.hess})


@pytest.mark.parametrize(
    ("method", "options", "distance", "half"),
    [
        ("gradient-descent", {"search": "fixed", "step": 0.1}, 6.97e-2, 0.005e-2),
        ("newton", {"step": 0.8}, 4.2e-8, 0.05e-8),
        ("damped-newton", {"step": 0.8, "damping": 1.0}, 4.3e-4, 0.05e-4),
        ("saddle-free-newton", {"search": "fixed", "step": 0.8}, 4.2e-8, 0.05e-8),
        ("diagonal-newton", {"step": 0.5}, 5.6e-4, 0.05e-4),
        ("bfgs", {"search": "fixed", "step": 0.15, "hess_inv0": np.eye(2)}, 1.06e-2, 0.005e-2),
        ("l-bfgs", {"search": "fixed", "step": 0.15, "memory": 15, "scaling": False, "gamma": 1.0}, 1.06e-2, 0.005e-2),
    ],
)
def test_fifteen_steps_on_the_quartic_end_where_they_should(method, options, distance, half):
    """Distances published with the quartic, computed by other code: to half a unit of their last digit."""
    quartic = zoo.get("quartic")
    f = quartic.problem
    needs = {"hess": f.hess} if "hess" in refopt.available()[method].needs else {}
    options = {"maxiter": 15, "gtol": 0.0, **options}
    run = refopt.minimize(f.fun, quartic.x0, method=method, jac=f.grad, options={**options, "trace": True}, **needs)
    assert len(run.trace) == 16
    assert np.linalg.norm(run.trace[-1].x - quartic.solution) == pytest.approx(distance, abs=half)


def test_where_the_fisher_matrix_is_singular_there_is_no_step():
    problem = Problem(lambda x: x @ x / 2, lambda x: x, lambda x: np.diag([1.0, 0.0]))
    state = natural_gradient.init(problem, np.ones(2), natural_gradient.Params())
    new = natural_gradient.step(problem, state, natural_gradient.Params())
    assert (new.taken, new.ok) == (False, False)
    assert (new.x == 1.0).all()
