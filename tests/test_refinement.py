"""Newton's method on the gradient alone: its model, its steps, and when it stops."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refopt.problem import Problem
from refopt.refinement import Refined, damped, model_of, newton_step, parts, promise, refine
from strategies import seeds

EPS = 2.0**-52


def quadratic(seed, condition, signs=(1.0, 1.0, 1.0)):
    """½(x − c)ᵀB(x − c) with the eigenvalues ±1 to 10^condition; B, c."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    B, c = (Q * (np.array(signs) * np.logspace(0, condition, 3))) @ Q.T, rng.uniform(1, 2, 3)
    return Problem(lambda x: 0.5 * float((x - c) @ B @ (x - c)), lambda x: B @ (x - c)), B, c


@given(seeds, st.floats(0, 5))
def test_the_model_promises_what_newtons_step_gains(seed, condition):
    """½ gᵀB⁻¹g and −B⁻¹g, whatever the sizes of the variables; B is known to eps^⅔ of its norm, by its differences."""
    problem, _, c = quadratic(seed, condition)
    x = np.ones(3)
    g, loss = problem.grad(x), 10 * EPS ** (2 / 3) * 10**condition
    for size in (np.ones(3), np.array([1.0, 2.0, 3.0])):
        model = model_of(problem.grad, x, g, size, 0.0)
        assert promise(model, g) == pytest.approx(problem.fun(x), rel=10 * loss)
        assert np.linalg.norm(newton_step(model, parts(model, g)) - (c - x)) <= 10 * loss * np.linalg.norm(c - x)


@given(seeds)
def test_where_f_bends_down_there_is_no_end_to_the_gain(seed):
    problem, _, _ = quadratic(seed, 1, (1.0, -1.0, 1.0))
    x = np.ones(3)
    assert refine(problem, x, problem.fun(x), problem.grad(x), x, 0.0 * x, 0.0, 0.0, inf).gain == inf


def test_steps_go_on_until_the_gradient_is_noise():
    """Rosenbrock's function, from near its minimum; noise of 1e-9 in the gradient, and of 1e-3 in f."""
    rng = np.random.default_rng(1)

    def grad(x):
        exact = np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])
        return exact + 1e-9 * rng.uniform(-1, 1, 2)

    problem = Problem(lambda x: 1.0 + 1e-3 * rng.uniform(-1, 1), grad)
    x = np.array([0.99, 0.985])
    end = refine(problem, x, 1.0, grad(x), x, np.full(2, 1e-9), 1e-3, 1e-12, inf)
    assert abs(end.g).max() <= 1e-8
    assert abs(end.x - 1).max() <= 1e-5  # the smallest eigenvalue is 0.4, and B is known to a part of 1e-3
    assert end.stuck
    assert end.gain <= 1e-12


def test_a_step_that_raises_f_or_goes_too_far_is_halved():
    """g = arctan x, where Newton's method diverges from x = 2."""
    flat = Problem(lambda x: 0.0, lambda x: np.arctan(x))
    x = np.array([2.0])
    model = model_of(flat.grad, x, flat.grad(x), x, np.zeros(1))
    now = Refined(x, 0.0, flat.grad(x), promise(model, flat.grad(x)))
    after, trials = damped(flat, model, now, 0.0)
    assert abs(after.x[0]) < 2.0
    assert trials > 1
    hill = flat._replace(fun=lambda x: float(x[0] < 1.9))
    assert damped(hill, model, now, 0.0)[0].x[0] >= 1.9
    assert damped(hill, model, now, 2.0)[0].x == after.x


def test_a_gradient_that_no_step_changes_ends_it():
    stubborn = Problem(lambda x: 0.0, lambda x: np.where(x == 1.0, 1.0, 1.0 + x))
    x = np.ones(1)
    end = refine(stubborn, x, 0.0, stubborn.grad(x), x, 0.0 * x, 0.0, 0.0, inf)
    assert end.stuck


@given(seeds, st.integers(7, 40))
def test_no_more_gradients_than_allowed(seed, most):
    problem, _, _ = quadratic(seed, 3)
    calls = []
    counted = problem._replace(grad=lambda x: calls.append(1) or problem.grad(x))
    x = np.ones(3)
    refine(counted, x, problem.fun(x), problem.grad(x), x, np.zeros(3), 0.0, 0.0, most)
    assert len(calls) <= most + 6  # the last step may have seven trials


def test_on_every_array_kind(namespace):
    x, q = namespace.asarray(np.array([1.0, 2.0])), namespace.asarray(np.array([3.0, 5.0]))
    problem = Problem(lambda y: 0.0, lambda y: q * (y - x) + q)
    end = refine(problem, x, 0.0, q, abs(x), 0 * x, 0.0, 1e-9, inf)
    assert promise(model_of(problem.grad, x, q, abs(x), 0 * x), q) == pytest.approx(4.0, rel=1e-9)  # ½ qᵀq/q
    assert namespace.owns(end.x)
    assert namespace.to_numpy(end.x).tolist() == pytest.approx([0.0, 1.0], abs=1e-9)
