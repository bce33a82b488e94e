"""How a run of ``train`` ends: at its last step, at the last good weights, in the hands of the callback."""

import time

import numpy as np
import pytest

import refopt
from refopt import Status, train
from refopt.draws import Sampler
from refopt.networks import Dropout, Linear, Sequential, Tanh
from training.small import METHODS, NET, PROBLEM, RNG, X0, X, Y, cliff


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "shampoo"])
def test_a_loss_that_is_not_finite_stops_at_the_last_good_weights(name):
    result = train(cliff(-2.1), np.zeros(1), name, steps=50, options={"step": 0.5})
    assert result.status == Status.NOT_FINITE
    assert not result.success
    assert np.isfinite(result.fun)
    assert result.fun == result.x[0] > -2.1
    assert "the loss of step" in result.message
    assert len(result.history["loss"]) == result.nit
    assert np.isfinite(result.history["loss"]).all()
    assert np.array_equal(result.state.x, result.x)
    assert result.state.t == 0
    path = [np.zeros(1)]
    module = METHODS[name].module
    state = module.init(cliff(-2.1), np.zeros(1), module.Params(step=0.5))
    while np.isfinite((new := module.step(cliff(-2.1), state, module.Params(step=0.5))).f):
        path.append(state.x)
        state = new
    assert np.array_equal(result.x, path[-1])


def test_a_loss_that_is_not_finite_at_once():
    result = train(cliff(1.0), np.zeros(1), "adam", steps=5)
    assert result.status == Status.NOT_FINITE
    assert result.nit == 0
    assert np.array_equal(result.x, np.zeros(1))
    assert not result.success


@pytest.mark.parametrize("name", METHODS)
def test_a_loss_that_overflows_at_once_warns_of_nothing(name):
    problem = refopt.Supervised(Linear(3, 1), "squared", 1e200 * X, X[:, :1])
    result = train(problem, np.ones(4), name, 5, None if name == "l-bfgs" else 7, 0)
    assert (result.status, result.nit) == (Status.NOT_FINITE, 0)
    assert "the loss of step 0 is not finite" in result.message
    assert np.array_equal(result.x, np.ones(4))


def test_a_loss_that_is_not_finite_after_the_last_step():
    result = train(cliff(-0.9), np.zeros(1), "sgd", steps=2, options={"step": 0.5})
    assert result.status == Status.NOT_FINITE
    assert result.x[0] == -0.5
    assert "after the last" in result.message


def test_a_gradient_or_a_step_that_is_not_finite():
    f = lambda x: float((x**2).sum())
    result = train(refopt.Problem(f, lambda x: np.full(2, np.inf)), np.ones(2), "sgd", steps=3)
    assert (result.status, result.nit) == (Status.NOT_FINITE, 0)
    assert "the gradient of step 0" in result.message
    result = train(refopt.Problem(f, lambda x: np.full(2, 1e200)), np.ones(2), "sgd", 3, options={"step": 1e200})
    assert (result.status, result.nit) == (Status.NOT_FINITE, 0)
    assert np.array_equal(result.x, np.ones(2))


def test_a_singular_matrix_stops_with_advice():
    result = train(PROBLEM, 0 * X0, "natural-gradient", 5, 7, 0, {"damping": 0.0})
    assert result.status == Status.SINGULAR
    assert "larger damping" in result.message
    assert np.array_equal(result.x, 0 * X0)


def test_l_bfgs_stops_where_nothing_is_lower():
    problem = refopt.Problem(lambda x: float(((x - 1) ** 2).sum()), lambda x: 2 * (x - 1))
    result = train(problem, np.zeros(3), "l-bfgs", steps=200)
    assert result.nit < 200
    assert abs(result.x - 1).max() < 1e-12


def test_the_time_is_up():
    slow = refopt.Problem(lambda x: time.sleep(0.02) or 0.0, lambda x: x)
    result = train(slow, np.ones(1), "sgd", steps=1000, options={"maxtime": 0.05})
    assert result.status == Status.MAXTIME
    assert 1 <= result.nit < 100


def test_callbacks_get_copies_and_may_stop():
    kept = []
    result = train(PROBLEM, X0, "adam", 5, 7, 0, callback=lambda x: kept.append(x))
    assert len({id(x) for x in kept}) == 5
    assert len({x.tobytes() for x in kept}) == 5
    assert np.array_equal(kept[-1], result.x)
    told = []
    train(PROBLEM, X0, "adam", 5, 7, 0, callback=lambda intermediate_result: told.append(intermediate_result))
    assert [r.nit for r in told] == [1, 2, 3, 4, 5]
    assert [r.loss for r in told] == result.history["loss"].tolist()
    assert all(np.array_equal(r.x, x) for r, x in zip(told, kept, strict=True))


def test_an_exception_arrives_unchanged():
    def failing(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        train(refopt.Problem(failing, failing), np.ones(1), "sgd")


def test_masks_are_drawn_for_batches_and_nothing_is_dropped_at_the_end():
    net = Sequential(Linear(3, 8), Tanh(), Dropout(0.5), Linear(8, 3))
    problem = refopt.Supervised(net, "cross-entropy", X, Y)
    x0 = net.init(0)
    result = train(problem, x0, "adam", steps=3, batch_size=6, rng=0)
    state, sampler, module = (
        METHODS["adam"].module.init(problem, x0, None),
        Sampler(problem, (0,), 6),
        METHODS["adam"].module,
    )
    for t in range(3):
        draw = sampler.draw(t, state.x)
        assert draw.masks[0].shape == (6, 8)
        assert set(np.unique(draw.masks[0])) == {0.0, 1.0}
        part = refopt.Supervised(net, "cross-entropy", X[draw.batch], Y[draw.batch], masks=draw.masks)
        assert result.history["loss"][t] == part.fun(state.x)
        state = module.step(problem, state, module.Params(), draw)
    assert np.array_equal(result.x, state.x)
    assert result.fun == problem.fun(result.x)
    again = train(problem, x0, ("sgd", "l-bfgs"), steps=(2, 2), rng=0)
    assert again.history["loss"][2] == problem.fun(train(problem, x0, "sgd", steps=2, rng=0).x)


@pytest.mark.parametrize("name", ["shampoo", "soap", "gauss-newton", "natural-gradient", "adam-true-fisher", "l-bfgs"])
def test_weights_that_explode_are_no_error_of_somebody_else(name):
    """What a method does with NaN, a matrix it cannot factor or a rate it cannot draw from, ends the run."""
    y = RNG.integers(5, size=(23, 3)).astype(float)
    problem = refopt.Supervised(NET, "poisson", X, y)
    options = {"damping": 1e-6, "step": 1e5} if name in ("gauss-newton", "natural-gradient") else {"step": 1e5}
    result = train(problem, X0, name, 6, None if name == "l-bfgs" else 8, 0, options)
    if name != "l-bfgs":
        assert result.status == Status.NOT_FINITE
        assert "is not finite; x is the last point" in result.message
    assert np.isfinite(result.x).all()
    assert np.isfinite(result.fun) or not result.success
