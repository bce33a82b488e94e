"""Hessian-free on batches: Newton's steps on quadratics, conjugate gradients against dense algebra, rules by hand."""

import numpy as np
import pytest

import refopt
from refopt.networks import Linear, Sequential, Tanh
from refopt.sampled import Draw
from refopt.stochastic import hessian_free as hf

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((20, 3)), RNG.standard_normal((20, 2))
LINEAR = refopt.Supervised(Linear(3, 2), "squared", X, Y)
NET = Sequential(Linear(3, 4), Tanh(), Linear(4, 2))
DEEP = refopt.Supervised(NET, "squared", X, Y)
X0 = RNG.standard_normal(NET.size)


@pytest.mark.parametrize("exponent", [0.0, 0.75])
@pytest.mark.parametrize("warm", [0.0, 0.95])
def test_on_a_quadratic_a_step_is_newtons(exponent, warm):
    """Without damping, eight variables, thirty iterations; the matrix has a condition of ten or so."""
    params = hf.Params(damping=1e-14, progress=0.0, limit=30, exponent=exponent, warm=warm)
    x = RNG.standard_normal(8)
    state = hf.init(LINEAR, x, params)._replace(p=RNG.standard_normal(8))
    new = hf.step(LINEAR, state, params, Draw())
    expected = x - np.linalg.solve(LINEAR.hess(x), LINEAR.grad(x))
    assert np.allclose(new.x, expected, atol=1e-9)
    assert new.f == LINEAR.fun(x)


def test_stopped_early_it_is_newtons_within_its_tolerance():
    """What the last k iterations gained bounds what is left: here less than 1e-3 of the decrease is."""
    x = RNG.standard_normal(8)
    params = hf.Params(damping=1e-14, progress=1e-5)
    new = hf.step(LINEAR, hf.init(LINEAR, x, params), params, Draw())
    lowest = LINEAR.fun(x - np.linalg.solve(LINEAR.hess(x), LINEAR.grad(x)))
    assert LINEAR.fun(new.x) - lowest <= 1e-3 * (LINEAR.fun(x) - lowest)


@pytest.mark.parametrize("backtrack", [True, False])
def test_a_step_is_the_one_of_dense_matrices(backtrack):
    """Iterates by minimising over Krylov spaces, f and ρ by dense products: no recurrence."""
    params = hf.Params(damping=0.3, limit=7, progress=0.0, warm=0.0, backtrack=backtrack)
    batch = np.arange(3, 15)
    part = refopt.Supervised(NET, "squared", X[batch], Y[batch])
    state, damping = hf.init(DEEP, X0, params), []
    for _ in range(3):
        x, lam = state.x, state.damping
        G = refopt.curvature.ggn(part, x)
        B, g = G + lam * np.eye(len(x)), part.grad(x)
        squares = (part.per_sample_grad(x) ** 2).sum(axis=0) / len(batch) ** 2
        M = (squares + lam) ** 0.75
        points = krylov(B, g, M, 7)
        kept = [points[i - 1] for i in (1, 2, 3, 4, 5, 7)]
        p = kept[-1]
        if backtrack:
            values = [part.fun(x + each) for each in kept]
            k = len(kept) - 1
            while k and values[k - 1] < values[k]:
                k -= 1
            p = kept[k]
        alpha = 1.0
        while part.fun(x + alpha * p) > part.fun(x) + 1e-2 * alpha * (g @ p):
            alpha *= 0.8
        rho = (part.fun(x + p) - part.fun(x)) / (g @ p + p @ G @ p / 2)
        expected = lam * 2 / 3 if rho > 0.75 else lam * 3 / 2 if rho < 0.25 else lam
        state = hf.step(DEEP, state, params, Draw(batch=batch))
        damping.append(state.damping)
        assert np.allclose(state.x, x + alpha * p, rtol=1e-7, atol=1e-9)
        assert np.allclose(state.p, kept[-1], rtol=1e-7, atol=1e-9)
        assert np.isclose(state.damping, expected, rtol=1e-12)
    assert state.iterations == 21
    assert len(set(damping)) > 1


def krylov(B, g, M, count):
    """argmin gᵀp + ½pᵀBp over span{M⁻¹g, M⁻¹BM⁻¹g, …} of 1, 2, … dimensions."""
    basis, points, v = [], [], g / M
    for _ in range(count):
        for _ in range(2):
            v = v - sum((q @ v) * q for q in basis)
        basis.append(v / np.linalg.norm(v))
        Q = np.array(basis).T
        points.append(Q @ np.linalg.solve(Q.T @ B @ Q, -Q.T @ g))
        v = (B @ basis[-1]) / M
    return points


def test_the_warm_start_is_the_last_end_not_the_step():
    params = hf.Params(damping=0.3, limit=5, progress=0.0)
    one = hf.step(DEEP, hf.init(DEEP, X0, params), params, Draw())
    two = hf.step(DEEP, one, params, Draw())
    G = refopt.curvature.ggn(DEEP, one.x) + one.damping * np.eye(len(X0))
    g, start = DEEP.grad(one.x), 0.95 * one.p
    q = lambda p: g @ p + p @ G @ p / 2
    assert q(two.p) < q(start)
    cold = hf.step(DEEP, one, params._replace(warm=0.0), Draw())
    assert not np.allclose(cold.p, two.p, atol=1e-6)


def test_a_step_that_finds_nothing_lower_stays_and_is_damped_more():
    seen = hf.Seen(lambda v: v, 0.0 * X0, lambda x: 1.0, 0.0)
    params = hf.Params(damping=1.0)
    new = hf.update(hf.init(DEEP, X0, params), X0 + 1.0, params, seen=seen)
    assert np.array_equal(new.x, X0)
    assert new.damping == 1.5
    still = hf.update(hf.init(DEEP, X0, params), X0 + 1.0, params._replace(adapt=False), seen=seen)
    assert still.damping == 1.0


def test_rules_by_hand():
    assert not hf.stalled([0.0] + [-1.0] * 10, 0.1)  # ten iterations
    assert hf.stalled([0.0] + [-1.0] * 11, 0.1)
    assert not hf.stalled([float(-i) for i in range(12)], 0.01)
    assert not hf.stalled([0.0] * 12, 0.1)  # q is not negative
    heights = {1: 5.0, 2: 3.0, 3: 4.0, 4: 6.0}
    assert hf.gone_back(heights.get, 0, [(1, -1.0), (2, -2.0), (3, -3.0), (4, -4.0)]) == (2, 3.0, -2.0)
    assert hf.searched(lambda x: x * x, 1.0, 1.0, -3.0, -6.0, 4.0, 0.01, 60) == pytest.approx(0.8**2)
    assert hf.searched(lambda x: 9.0, 1.0, 1.0, -3.0, -6.0, 4.0, 0.01, 5) == 0.0


def test_at_a_minimum_it_stays():
    problem = refopt.Supervised(Linear(3, 2), "squared", X, 0 * Y)
    params = hf.Params()
    new = hf.step(problem, hf.init(problem, np.zeros(8), params), params, Draw())
    assert np.array_equal(new.x, np.zeros(8))
    assert new.damping == 45.0
