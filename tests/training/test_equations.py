"""Steps of stochastic methods against the book: by hand, by explicit matrices, by enumeration, by other libraries."""

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from scipy.linalg import block_diag

import refopt
from refopt import adaptive
from refopt.networks import Linear, Sequential, Tanh
from refopt.sampled import Draw, Needs
from refopt.stochastic import (
    adahessian,
    adam,
    adam_true_fisher,
    adam_true_fisher_batch,
    diagonal_newton,
    gauss_newton,
    l_bfgs,
    momentum,
    natural_gradient,
    rmsprop,
)
from training.small import NOTHING, fed


def small(loss="cross-entropy", reduction="mean", samples=4, seed=2):
    """A network of 2-3-3 units with some data, and weights."""
    rng = np.random.default_rng(seed)
    net = Sequential(Linear(2, 3), Tanh(), Linear(3, 3))
    y = rng.integers(3, size=samples) if loss == "cross-entropy" else rng.standard_normal((samples, 3))
    problem = refopt.Supervised(net, loss, rng.standard_normal((samples, 2)), y, reduction=reduction)
    return problem, 0.7 * rng.standard_normal(net.size)


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_adam_by_hand():
    """g = 3, then −4: m̂ = 3, (0.27 − 0.4)/0.19; v̂ = 9, (0.09·0.99 + 0.16)/0.0199."""
    params = adam.Params(step=0.5, beta1=0.9, beta2=0.99, eps=1.0)
    state = fed(adam, params, [np.array([3.0]), np.array([-4.0])], np.array([10.0]))
    m1 = Fraction(9, 10) * Fraction(3, 10) - Fraction(4, 10)
    v1 = Fraction(99, 100) * Fraction(9, 100) + Fraction(16, 100)
    first = 10 - 0.5 * 3 / (3 + 1)
    second = first - 0.5 * float(m1 / Fraction(19, 100)) / (float(v1 / Fraction(199, 10000)) ** 0.5 + 1)
    assert np.isclose(state.x[0], second, rtol=1e-14)
    assert np.isclose(state.m[0], float(m1), rtol=1e-14)
    assert np.isclose(state.v[0], float(v1), rtol=1e-14)


def test_rmsprop_by_hand():
    """α = ¾, g = 2: v = 1, a step of 2η: longer than η, without a correction."""
    state = fed(rmsprop, rmsprop.Params(step=0.125, decay=0.75, eps=0.0), [np.array([2.0])], np.array([1.0]))
    assert state.x[0] == 0.75


def test_momentum_by_hand():
    gradients = [np.array([1.0]), np.array([2.0])]
    params = momentum.Params(step=0.5, momentum=0.5, dampening=0.25)
    assert fed(momentum, params, gradients, np.array([0.0])).x[0] == -0.5 * 1 - 0.5 * (0.5 + 1.5)
    params = momentum.Params(step=0.5, momentum=0.5, nesterov=True)
    assert fed(momentum, params, gradients, np.array([0.0])).x[0] == -0.5 * 1.5 - 0.5 * (2 + 0.5 * 2.5)


DECAYING = [
    n for n, e in refopt.available("train").items() if "weight_decay" in e.module.Params._fields and n != "soap"
]


@pytest.mark.parametrize("name", DECAYING)
def test_weight_decay_is_apart_from_the_gradient(name):
    """x ← x + p − ηωx with the p of the same step without decay. (SOAP decays after its step: see the peers.)"""
    problem, x = small()
    method = refopt.available("train")[name].module
    draw = Draw(labels=np.array([0, 1, 2, 0]), probes=np.ones((1, len(x))))
    found = []
    for decay in (0.0, 0.5):
        params = method.Params(step=0.1, weight_decay=decay)
        found.append(method.step(problem, method.init(problem, x, params), params, draw).x)
    assert np.allclose(found[1], found[0] - 0.05 * x, rtol=0, atol=1e-14)


# --- Adam and the Fisher matrix ---------------------------------------------------------------------------------------


def fisher(problem, x):
    """c Σ E[s sᵀ] over every label, one sample after the other."""
    p = np.exp(problem.outputs(x))
    p /= p.sum(axis=1, keepdims=True)
    F = 0
    for k in range(3):
        s = problem.per_sample_grad(x, labels=np.full(problem.samples, k))
        F = F + problem.c * (p[:, k, None, None] * s[:, :, None] * s[:, None, :]).sum(axis=0)
    return F, p


@pytest.mark.parametrize(("method", "factor"), [(adam_true_fisher, 1), (adam_true_fisher_batch, 3)])
def test_the_squares_have_the_fisher_s_diagonal_for_their_mean(method, factor):
    """Over all 27 sets of labels of three samples, each with its probability; the square of the sum is B times less."""
    problem, x = small(samples=3)
    F, p = fisher(problem, x)
    params, mean = method.Params(beta2=0.0), 0
    for labels in product(range(3), repeat=3):
        state = method.step(problem, method.init(problem, x, params), params, Draw(labels=np.array(labels)))
        mean = mean + np.prod(p[np.arange(3), labels]) * state.v
    assert np.allclose(factor * mean, F.diagonal(), rtol=1e-12)


@pytest.mark.parametrize("method", [adam_true_fisher, adam_true_fisher_batch])
def test_several_sets_of_labels_are_averaged(method):
    problem, x = small()
    sets = np.array([[0, 1, 2, 0], [2, 2, 1, 0]])
    params = method.Params(beta2=0.0, samples=2)
    assert method.needs(params) == Needs(labels=2)
    found = [method.step(problem, method.init(problem, x, params), params, Draw(labels=y)).v
             for y in (sets, sets[0], sets[1])]  # fmt: skip
    assert np.allclose(found[0], (found[1] + found[2]) / 2, rtol=1e-13)


# --- the Hessian's diagonal -------------------------------------------------------------------------------------------


def test_all_probes_together_are_the_diagonal():
    """On a quadratic of four variables: 16 signs, whose mean of z ∘ Hz is diag H."""
    A = np.array([[4.0, 1, 0, 2], [1, -3, 1, 0], [0, 1, 2, 1], [2, 0, 1, 1]])
    problem = refopt.Problem(lambda x: 0.5 * x @ A @ x, lambda x: A @ x, hvp=lambda x, v: A @ v)
    z = np.array(list(product((-1.0, 1.0), repeat=4)))
    x = np.array([1.0, 2.0, 3.0, 4.0])
    params = diagonal_newton.Params(step=1.0, beta=0.0, floor=0.5, clip=3.5, clip_update=2.0)
    new = diagonal_newton.step(problem, diagonal_newton.init(problem, x, params), params, Draw(probes=z))
    assert np.allclose(new.h, A.diagonal(), rtol=1e-14)
    assert np.allclose(new.x - x, np.clip(-(A @ x) / [3.5, 3.0, 2.0, 1.0], -2.0, 2.0), rtol=1e-14)
    params = adahessian.Params(step=0.1, eps=0.0)
    new = adahessian.step(problem, adahessian.init(problem, x, params), params, Draw(probes=z))
    assert np.allclose(new.x - x, -0.1 * (A @ x) / abs(A.diagonal()), rtol=1e-13)


def test_the_mean_of_diagonals_is_corrected():
    """β = ¾, estimates 8 and then 4: h = 2, 2.5; ĥ = 8, 2.5/(7/16)."""
    params = diagonal_newton.Params(step=1.0, beta=0.75, floor=1e-3, clip=1e3, clip_update=1e3)
    state, g, z = diagonal_newton.init(NOTHING, np.zeros(1), params), np.ones(1), Draw(probes=np.ones((1, 1)))
    for D in (8.0, 4.0):
        state = diagonal_newton.update(state, g, params, z, products=np.array([[D]]))
    assert np.isclose(state.x[0], -1 / 8 - 7 / 16 / 2.5, rtol=1e-14)


def test_blocks_are_averaged_with_their_signs_or_without():
    D = np.arange(12.0) * (-1) ** np.arange(12)
    shapes = ((1, 2, 3), (6,))
    signed = adahessian.averaged(D, shapes, "signed", 2)
    kernels, runs = D[:6].reshape(2, 3), D[6:].reshape(3, 2)
    assert np.allclose(signed, np.concatenate([kernels.mean(1).repeat(3), runs.mean(1).repeat(2)]))
    absolute = adahessian.averaged(D, shapes, "absolute", 2)
    assert np.allclose(absolute, np.concatenate([abs(kernels).mean(1).repeat(3), abs(runs).mean(1).repeat(2)]))
    assert adahessian.averaged(D, shapes, "none", 2) is D
    assert np.allclose(adahessian.averaged(D, ((5,), (7,)), "signed", 2), D)  # 2 divides neither


@pytest.mark.parametrize("floor", [0.0, 5.0])
def test_a_floor_above_the_clip_or_none_is_refused(floor):
    with pytest.raises(ValueError, match="floor must be positive and at most clip"):
        diagonal_newton.direction(np.ones(1), np.ones(1), floor, 3.0, 1.0)


# --- Gauss-Newton -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["cross-entropy", "squared", "gaussian"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_blocks_are_the_second_derivatives_of_the_loss(loss, reduction):
    """Against central differences of the residual."""
    rng = np.random.default_rng(0)
    net, y = Sequential(Linear(2, 4)), rng.standard_normal((3, 2))
    y = rng.integers(4, size=3) if loss == "cross-entropy" else np.hstack([y, y]) if loss == "squared" else y
    problem = refopt.Supervised(net, loss, rng.standard_normal((3, 2)), y, reduction=reduction)
    x = rng.standard_normal(net.size)
    point, h = problem.at(x), 1e-5
    H = gauss_newton.blocks(point)
    for k in range(4):
        e = h * np.eye(4)[k]
        columns = (
            point.c * (point.loss.grad(point.f + e, problem.y) - point.loss.grad(point.f - e, problem.y)) / (2 * h)
        )
        assert np.allclose(H[:, :, k], columns, atol=1e-9 * abs(H).max() + 1e-9)


@pytest.mark.parametrize("solver", ["dense", "push-through"])
@pytest.mark.parametrize("window", [1, 3])
def test_a_gauss_newton_step_is_the_explicit_one(solver, window):
    problem, x = small(samples=12)
    params = gauss_newton.Params(step=0.4, damping=0.05, window=window, solver=solver)
    state, past = gauss_newton.init(problem, x, params), []
    for batch in (np.array([0, 1, 2]), np.array([3, 4, 5]), np.array([6, 7, 8, 9]), np.array([1, 5, 9])):
        part = refopt.Supervised(problem.network, "cross-entropy", problem.X[batch], problem.y[batch])
        past = [np.array([part.ggnvp(state.x, e) for e in np.eye(len(x))]), *past][:window]
        G = sum(past) / len(past)
        expected = state.x - 0.4 * np.linalg.solve(G + 0.05 * np.eye(len(x)), part.grad(state.x))
        state = gauss_newton.step(problem, state, params, Draw(batch=batch))
        assert np.allclose(state.x, expected, rtol=0, atol=1e-12 * (1 + abs(expected).max()))
    assert len(state.J) == len(state.H) == window - 1


def test_somebody_s_gradient_is_not_j_transpose_r():
    problem, x = small()
    point, g = problem.at(x), np.linspace(-1, 1, len(x))
    seen = point.jacobian(), gauss_newton.blocks(point), None
    found = []
    for solver in ("dense", "push-through"):
        params = gauss_newton.Params(damping=0.3, solver=solver)
        found.append(gauss_newton.update(gauss_newton.init(problem, x, params), g, params, seen=seen).x)
    assert np.allclose(*found, rtol=0, atol=1e-13)


def test_a_singular_system_is_no_step():
    problem, x = small(samples=2)
    for method, params in ((gauss_newton, gauss_newton.Params(damping=0.0, solver="dense")),
                           (natural_gradient, natural_gradient.Params(damping=0.0))):  # fmt: skip
        state = method.step(problem, method.init(problem, np.zeros_like(x), params), params)
        assert not state.ok
        assert np.array_equal(state.x, np.zeros_like(x))
    with pytest.raises(ValueError, match="push-through needs a positive damping"):
        gauss_newton.step(problem, state=gauss_newton.init(problem, x, None), params=gauss_newton.Params(damping=0.0))


# --- natural gradient -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["dense", "cg"])
@pytest.mark.parametrize("kind", ["exact", "monte-carlo", "empirical"])
def test_a_natural_gradient_step_is_the_explicit_one(kind, solver):
    problem, x = small()
    labels = np.array([[0, 2, 1, 1], [2, 0, 0, 1]])
    if kind == "exact":
        F = fisher(problem, x)[0]
    else:
        sets = labels if kind == "monte-carlo" else [problem.y]
        F = sum(problem.c * s.T @ s for s in (problem.per_sample_grad(x, labels=y) for y in sets)) / len(sets)
    params = natural_gradient.Params(step=0.3, damping=0.02, fisher=kind, solver=solver, samples=2, forcing=1e-12)
    new = natural_gradient.step(problem, natural_gradient.init(problem, x, params), params, Draw(labels=labels))
    expected = x - 0.3 * np.linalg.solve(F + 0.02 * np.eye(len(x)), problem.grad(x))
    assert np.allclose(new.x, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["fisher", "solver"])
def test_a_fisher_or_solver_that_is_unknown_is_refused(name):
    problem, x = small()
    params = natural_gradient.Params()._replace(**{name: "true"})
    with pytest.raises(ValueError, match=f"{name} must be one of"):
        natural_gradient.step(problem, natural_gradient.init(problem, x, params), params)


# --- L-BFGS after Adam ------------------------------------------------------------------------------------------------


def test_l_bfgs_begins_without_memory_and_never_rises():
    problem, x = small(samples=30, loss="squared")
    state, values = l_bfgs.init(problem, x, l_bfgs.Params()), []
    assert state.inner[l_bfgs.l_bfgs.State._fields.index("pairs")] == 0
    for _ in range(30):
        state = l_bfgs.step(problem, state, l_bfgs.Params())
        values.append(state.f)
    assert all(b <= a for a, b in pairwise(values))
    assert abs(problem.grad(state.x)).max() < 0.05 * abs(problem.grad(x)).max()
    with pytest.raises(ValueError, match="neither batch nor masks"):
        l_bfgs.step(problem, state, l_bfgs.Params(), Draw(batch=np.array([0])))


def test_the_stacked_j_of_a_window_is_block_diagonal_in_h():
    """`times` against the matrix written out."""
    rng = np.random.default_rng(8)
    Hs, V = (rng.standard_normal((2, 3, 3)), rng.standard_normal((1, 2, 2))), rng.standard_normal((8, 4))
    assert np.allclose(gauss_newton.times(Hs, V), block_diag(*Hs[0], *Hs[1]) @ V / 2)


def test_gauss_newton_where_a_sample_has_several_terms():
    """Outputs at two positions of each sample: their blocks are one, of all positions."""
    rng = np.random.default_rng(9)
    net = Linear(2, 3)
    problem = refopt.Supervised(net, "cross-entropy", rng.standard_normal((3, 2, 2)), rng.integers(3, size=(3, 2)))
    x, params = rng.standard_normal(net.size), gauss_newton.Params(step=1.0, damping=0.1)
    new = gauss_newton.step(problem, gauss_newton.init(problem, x, params), params)
    G = np.array([problem.ggnvp(x, e) for e in np.eye(len(x))])
    assert np.allclose(x - new.x, np.linalg.solve(G + 0.1 * np.eye(len(x)), problem.grad(x)), atol=1e-13)


def test_adam_s_cell_is_the_equations_of_the_deterministic_method():
    rng = np.random.default_rng(1)
    x, m, g, v = *rng.standard_normal((3, 5)), rng.random(5)
    params = adam.Params(step=0.1, beta1=0.7, beta2=0.8, eps=0.01, exponent=0.3)
    new = adam.update(adam.State(x, 0.0, g, m, v, 2), g, params)
    m, v = adaptive.mean(m, g, 0.7), adaptive.mean(v, g * g, 0.8)
    p = adaptive.direction(adaptive.corrected(m, 0.7, 3), adaptive.corrected(v, 0.8, 3), 0.1, 0.3, 0.01)
    assert np.allclose(new.x, x + p, rtol=1e-14)
    assert np.allclose(new.v, v, rtol=1e-14)
