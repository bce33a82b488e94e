"""Logistic regression by every deterministic method, beside what scikit-learn found (``record_logistic.py``)."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import refopt
from refopt.networks import Linear

spec = importlib.util.spec_from_file_location("record", Path(__file__).with_name("record_logistic.py"))
record = importlib.util.module_from_spec(spec)
spec.loader.exec_module(record)

with np.load(record.HERE) as file:
    FOUND = {key: file[key] for key in file.files}
X, Y = FOUND["X"], FOUND["y"]
ENTRIES = refopt.available("minimize")
STEPS = {"adagrad": 1.0, "adam": 0.05, "adahessian": 0.15}  #: those without a search need one


def fun(w):
    return np.logaddexp(0, -Y * (X @ w)).mean() + 0.5 * record.RIDGE * w @ w


def weights(w):
    p = 1 / (1 + np.exp(Y * (X @ w)))
    return p, p * (1 - p) / len(Y)


def grad(w):
    return record.RIDGE * w - X.T @ (Y * weights(w)[0]) / len(Y)


def hess(w):
    return (X.T * weights(w)[1]) @ X + record.RIDGE * np.eye(8)


def product(w, v):
    return X.T @ (weights(w)[1] * (X @ v)) + record.RIDGE * v


def test_the_data_are_those_recorded():
    assert all(np.allclose(a, b, rtol=1e-14) for a, b in zip(record.data(), (X, Y), strict=True))


@pytest.mark.parametrize("name", ENTRIES)
def test_every_method_finds_scikit_learns_answer(name):
    """To 1e-9 in each coefficient, of which the largest is 3; the gradient there is rounding."""
    options = {"maxiter": 5000, "gtol": 1e-12}
    second = {"hess": {"hess": hess}, "hessp": {"hessp": product}}.get(ENTRIES[name].needs[-1], {})
    if ENTRIES[name].fisher:
        second, options = {}, options | {"fisher": hess, "damping": 0.0, "step": 1.0}
    if name == "gradient-descent":
        options |= {"search": "strong-wolfe"}
    if name in STEPS:
        options |= {"step": STEPS[name]}
    run = refopt.minimize(fun, np.zeros(8), jac=grad, method=name, options=options, **second)
    assert run.success, run.message
    assert abs(run.x - FOUND["newton-cholesky"]).max() < 1e-9


def test_what_scikit_learns_solvers_reach():
    """Its lbfgs stops at 2e-7, whatever the tolerance."""
    assert abs(grad(FOUND["newton-cholesky"])).max() < 1e-16
    assert 1e-8 < abs(FOUND["lbfgs"] - FOUND["newton-cholesky"]).max() < 1e-6


def test_separable_labels_are_flagged():
    """Whatever a method claims: its answer is itself the plane that proves that there is none."""
    signs = np.sign(X @ np.ones(8))
    problem = refopt.Supervised(Linear(8, 1, bias=False), "binary-cross-entropy", X, (signs + 1) / 2)
    for name in ("bfgs", "l-bfgs", "newton-cg", "trust-exact"):
        second = {"hess": {"hess": problem.hess}, "hessp": {"hessp": problem.hvp}}.get(ENTRIES[name].needs[-1], {})
        run = refopt.minimize(problem.fun, np.zeros(8), jac=problem.grad, method=name, **second)
        assert problem.separated(run.x)
        assert (signs * (X @ run.x)).min() > 0.0
    noisy = refopt.Supervised(Linear(8, 1, bias=False), "binary-cross-entropy", X, (Y + 1) / 2)
    run = refopt.minimize(noisy.fun, np.zeros(8), jac=noisy.grad, method="bfgs")
    assert run.success
    assert not noisy.separated(run.x)
