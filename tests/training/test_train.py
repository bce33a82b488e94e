"""``train``: what a run is made of, that it can be replayed, and what is asked of its arguments."""

import io
import sys

import numpy as np
import pytest

import refopt
from refopt import Status, schedules, train
from refopt.draws import BATCH, LABELS, MASKS, PROBES, Sampler, seed_of
from refopt.elementwise import WORTH
from refopt.progress import Bar
from refopt.sampled import Needs
from refopt.settings import settled
from training.small import METHODS, NET, PROBLEM, X0, X, Y, batch_for, cliff

# --- what a run is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_a_run_is_its_steps(name):
    """Replayed with the draws of the same seed, one pure step after the other."""
    before = X0.copy()
    result = train(PROBLEM, X0, name, steps=8, batch_size=batch_for(name), rng=3)
    module = METHODS[name].module
    params, sampler = module.Params(), Sampler(PROBLEM, seed_of(3), batch_for(name))
    needs = getattr(module, "needs", lambda params: Needs())(params)
    state, losses, lengths = module.init(PROBLEM, X0, params), [], []
    for t in range(8):
        new = module.step(PROBLEM, state, params, sampler.draw(t, state.x, needs))
        losses.append(new.f)
        lengths.append(np.linalg.norm(new.x - state.x))
        state = new
    assert np.array_equal(result.x, state.x)
    assert np.array_equal(result.history["loss"], losses)
    assert np.allclose(result.history["step_norm"], lengths, rtol=1e-12)
    assert result.fun == PROBLEM.fun(result.x)
    assert result.nit == result.state.t == 8 if name != "soap" else result.nit == 8
    assert set(result.history) == {"loss", "grad_norm", "step_norm", "damping", "time"}
    assert all(len(column) == 8 for column in result.history.values())
    assert (np.diff(result.history["time"]) >= 0).all()
    assert result.success
    assert result.status == Status.MAXITER
    assert np.array_equal(X0, before)


@pytest.mark.parametrize("reduction", ["sum", "mean", "mean-elements", "mean-tokens"])
def test_the_loss_of_many_samples_is_that_of_all(reduction, monkeypatch):
    """In pieces of five, the last of three; one label in four does not count."""
    seen = []

    class Watched(refopt.Supervised):
        def batch(self, X, y, masks=()):
            seen.append(len(X))
            return super().batch(X, y, masks)

    monkeypatch.setattr(sys.modules[train.__module__], "AT_ONCE", 5)
    problem = Watched(NET, "cross-entropy", X, np.where(np.arange(23) % 4 == 1, -100, Y), reduction=reduction)
    assert np.isclose(train(problem, X0, "sgd", steps=0).fun, problem.fun(X0), rtol=1e-14)
    assert seen == [5, 5, 5, 5, 3]


@pytest.mark.parametrize("name", METHODS)
def test_a_run_is_in_the_type_of_its_weights(name):
    """Whatever that of the data is: as with data of this type."""
    found = train(PROBLEM, X0.astype(np.float32), name, steps=4, batch_size=batch_for(name), rng=0)
    single = refopt.Supervised(NET, "cross-entropy", X.astype(np.float32), Y)
    expected = train(single, X0.astype(np.float32), name, steps=4, batch_size=batch_for(name), rng=0)
    assert found.x.dtype == np.float32
    assert np.array_equal(found.x, expected.x)
    squared = refopt.Supervised(NET, "squared", X.astype(np.float32), X.astype(np.float32))
    assert train(squared, X0, name, steps=2, batch_size=batch_for(name), rng=0).x.dtype == np.float64


def test_where_labels_are_separated_the_result_says_so(monkeypatch):
    """Also where some samples are looked at at a time."""
    apart = refopt.Supervised(NET, "cross-entropy", X, X.argmax(axis=1))
    assert not train(apart, X0, "sgd", steps=1).separated
    for at_once in (512, 5):
        monkeypatch.setattr(sys.modules[train.__module__], "AT_ONCE", at_once)
        result = train(apart, X0, "l-bfgs", steps=60)
        assert result.separated
        assert "every label has a positive margin: unless something holds the weights back" in result.message
        assert (apart.outputs(result.x).argmax(axis=1) == apart.y).all()
        one_is_wrong = np.concatenate([(apart.y[:1] + 1) % 3, apart.y[1:]])
        assert not train(refopt.Supervised(NET, "cross-entropy", X, one_is_wrong), result.x, "sgd", steps=0).separated
    assert not train(cliff(-2.1), np.zeros(1), "sgd", steps=1).separated


@pytest.mark.parametrize("name", METHODS)
def test_every_method_lowers_the_loss(name):
    steps = {"step": 0.05} if name in ("sgd", "momentum", "adagrad", "adam", "adamw", "soap") else {}
    steps = {"step": 0.02} if "fisher" in name else {"damping": 1.0} if "kfac" in name else steps
    batch_size = None if name == "hessian-free" else batch_for(name)  # it follows a batch of 7 to wherever that leads
    result = train(PROBLEM, X0, name, steps=60, batch_size=batch_size, rng=0, options=steps)
    assert result.fun < PROBLEM.fun(X0) - 0.01


def test_batches_are_the_same_for_every_method_and_another_seed_has_others():
    seen = {}

    class Watched(refopt.Supervised):
        def batch(self, X, y, masks=()):
            seen.setdefault(key, []).append(X.copy())
            return super().batch(X, y, masks)

    watched = Watched(NET, "cross-entropy", X, Y)
    for key in ("sgd", "adam", "gauss-newton", "diagonal-newton"):
        train(watched, X0, key, steps=7, batch_size=5, rng=1)
    key = "another"
    train(watched, X0, "sgd", steps=7, batch_size=5, rng=2)
    assert all(np.array_equal(seen["sgd"], seen[name]) for name in ("adam", "gauss-newton", "diagonal-newton"))
    assert not np.array_equal(seen["sgd"], seen["another"])


def test_an_epoch_has_every_sample_once():
    sampler = Sampler(PROBLEM, (4,), 5)
    drawn = np.array([sampler.batch(t) for t in range(8)])
    for epoch in (drawn[:4], drawn[4:]):
        assert len(set(epoch.ravel())) == 20
    assert not np.array_equal(drawn[:4], drawn[4:])
    again = Sampler(PROBLEM, (4,), 5, replacement=True)
    many = np.array([again.batch(t) for t in range(60)])
    assert set(many.ravel()) == set(range(23))
    assert any(len(set(batch)) < 5 for batch in many)


def test_a_generator_a_seed_and_none():
    assert seed_of(np.random.default_rng(7)) == seed_of(np.random.default_rng(7))
    assert seed_of(None) != seed_of(None)
    assert seed_of(np.int64(5)) == (5,)
    for wrong in (-1, 2.5, "5", True):
        with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator or a seed"):
            seed_of(wrong)


def test_probes_are_signs():
    """E[zzᵀ] = I, and nothing but ±1."""
    z = np.concatenate([Sampler(PROBLEM, (0,)).draw(t, X0[:6], Needs(probes=50)).probes for t in range(100)])
    assert set(np.unique(z)) == {-1.0, 1.0}
    assert abs(z.T @ z / len(z) - np.eye(6)).max() < 5 / np.sqrt(len(z))
    assert abs(z.mean(axis=0)).max() < 5 / np.sqrt(len(z))


def test_every_stream_is_another():
    sampler = Sampler(PROBLEM, (0,), 5)
    assert len({sampler.rng(stream, t).random() for stream in (BATCH, LABELS, PROBES, MASKS) for t in range(3)}) == 12


def test_labels_follow_the_model():
    problem = refopt.Supervised(NET, "cross-entropy", np.tile(X[:1], (4000, 1)), np.zeros(4000, int))
    labels = Sampler(problem, (0,)).draw(3, X0, Needs(labels=2)).labels
    assert labels.shape == (2, 4000)
    p = np.exp(problem.outputs(X0)[0])
    assert abs(np.bincount(labels.ravel(), minlength=3) / 8000 - p / p.sum()).max() < 0.03


def test_methods_one_after_the_other():
    """Adam's weights, and nothing else of it, go on with L-BFGS on all samples."""
    both = train(PROBLEM, X0, ("adam", "l-bfgs"), steps=(20, 15), batch_size=7, rng=0, options=({"step": 0.03}, None))
    first = train(PROBLEM, X0, "adam", steps=20, batch_size=7, rng=0, options={"step": 0.03})
    second = train(PROBLEM, first.x, "l-bfgs", steps=15)
    assert np.array_equal(both.x, second.x)
    assert np.array_equal(both.history["loss"], [*first.history["loss"], *second.history["loss"]])
    assert both.history["loss"][20] == PROBLEM.fun(first.x)
    assert (np.diff(both.history["loss"][20:]) <= 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.jit
def test_a_large_run_in_compiled_passes_is_the_pure_one(dtype):
    n = WORTH + 3
    target = np.linspace(-1, 1, n).astype(dtype)
    problem = refopt.Problem(lambda x: float(0.5 * ((x - target) ** 2).sum()), lambda x: x - target)
    result = train(problem, np.zeros(n, dtype), "adam", steps=4)
    module, params = METHODS["adam"].module, METHODS["adam"].module.Params()
    state = module.init(problem, np.zeros(n, dtype), params)
    for _ in range(4):
        state = module.step(problem, state, params)
    assert result.x.dtype == dtype
    assert np.array_equal(result.x, state.x)
    assert np.array_equal(result.state.v, state.v)


def test_on_every_array_kind(namespace):
    problem = refopt.Supervised(NET, "cross-entropy", namespace.asarray(X), namespace.asarray(Y))
    for name in ("adam", "adahessian", "shampoo"):
        result = train(problem, namespace.asarray(X0), name, steps=3, batch_size=5, rng=0)
        expected = train(PROBLEM, X0, name, steps=3, batch_size=5, rng=0)
        assert namespace.owns(result.x)
        assert np.allclose(namespace.to_numpy(result.x), expected.x, atol=1e-10)


# --- schedules --------------------------------------------------------------------------------------------------------


def test_a_number_may_be_a_function_of_the_step():
    result = train(PROBLEM, X0, "sgd", steps=6, rng=0, options={"step": lambda t: 0.1 / (t + 1)})
    assert np.allclose(result.history["step_norm"], 0.1 / np.arange(1, 7) * result.history["grad_norm"], rtol=1e-12)
    damped = train(PROBLEM, X0, "natural-gradient", steps=3, rng=0, options={"damping": lambda t: 2.0**-t})
    assert np.array_equal(damped.history["damping"], [1.0, 0.5, 0.25])
    assert np.isnan(result.history["damping"]).all()


def test_schedules():
    f = schedules.cosine(2.0, steps=12, last=1.0, warmup=2)
    assert [f(0), f(1), f(2), f(7), f(12), f(99)] == pytest.approx([1.0, 2.0, 2.0, 1.5, 1.0, 1.0])
    f = schedules.linear(2.0, steps=10, warmup=0)
    assert [f(0), f(5), f(10), f(20)] == pytest.approx([2.0, 1.0, 0.0, 0.0])
    f = schedules.exponential(1.0, 0.5, every=3)
    assert [f(0), f(2), f(3), f(6)] == [1.0, 1.0, 0.5, 0.25]
    f = schedules.inverse_root(1.0, warmup=4)
    assert [f(0), f(3), f(15)] == [0.25, 1.0, 0.5]
    for wrong in (lambda: schedules.cosine(1.0, 3, warmup=3), lambda: schedules.exponential(1.0, 0.5, 0)):
        with pytest.raises(ValueError, match="must be at least 1"):
            wrong()


# --- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"method": "adamm"}, ValueError, "train knows no method 'adamm'; its methods are sgd, momentum"),
        ({"method": "bfgs"}, ValueError, "train knows no method"),
        ({"method": ()}, ValueError, "0 methods"),
        ({"method": ("adam", "sgd")}, ValueError, "2 methods take as many numbers of steps"),
        ({"steps": -1}, ValueError, "steps must be a whole number"),
        ({"steps": 2.5}, ValueError, "steps must be a whole number"),
        ({"batch_size": 0}, ValueError, "batch_size must be from 1 to the number of samples, 23; it is 0"),
        ({"batch_size": 24}, ValueError, "batch_size must be"),
        ({"batch_size": 2.0}, ValueError, "batch_size must be"),
        ({"batch_size": True}, ValueError, "batch_size must be"),
        ({"options": {"checkpoint_every": 0}}, ValueError, "checkpoint_every must be a whole number of at least 1"),
        ({"options": {"checkpoint_every": 1.5}}, ValueError, "checkpoint_every must be a whole number"),
        ({"options": {"maxtime": "1"}}, ValueError, "maxtime must be a number of seconds, 0 or more; it is '1'"),
        ({"options": {"maxtime": np.nan}}, ValueError, "maxtime must be a number of seconds"),
        ({"options": {"replacement": "yes"}}, TypeError, "replacement must be True or False; it is 'yes'"),
        ({"method": "kfac", "options": {"damping": lambda t: 1.0}}, TypeError, "damping of kfac is where a run begins"),
        ({"options": {"lr": 1.0}}, TypeError, r"adam has no option 'lr'; its options are step, beta1, .*checkpoint"),
        ({"options": 5}, TypeError, "options must be a dict of names and values; it is 5"),
        ({"callback": 5}, TypeError, "callback must be callable or None; it is int"),
        ({"options": {"step": "fast"}}, TypeError, "step of adam is a float, not 'fast'"),
        ({"options": {"step": np.nan}}, ValueError, "step of adam must be a finite float"),
        ({"options": {"step": -1.0}}, ValueError, "step of adam must not be negative"),
        ({"options": {"beta1": 1.0}}, ValueError, r"beta1 of adam must be in \[0, 1\)"),
        ({"options": {"step": lambda t: "x"}}, TypeError, "step of adam is a float"),
        ({"method": "shampoo", "options": {"grafting": "adamw"}}, ValueError, "grafting must be one of 'none', 'sgd'"),
        ({"method": "shampoo", "options": {"every": 0}}, ValueError, "every of shampoo must be at least 1"),
        ({"method": "shampoo", "options": {"every": 1.5}}, ValueError, "must be a finite int"),
        ({"x": X0[1:]}, ValueError, "the network has 31 parameters"),
        ({"x": np.full(31, np.nan)}, ValueError, "x is not finite"),
        ({"x": np.zeros((2, 2))}, ValueError, "x must be a vector"),
        ({"x": [np.zeros((2, 2)), np.zeros(2)]}, ValueError, "x must be one vector .* not a list of arrays: join them"),
        ({"x": X0.astype(np.float16)}, TypeError, "x must be of float32 or float64"),
        ({"rng": "seed"}, TypeError, "rng must be"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_error(given, error, message):
    with pytest.raises(error, match=message):
        train(PROBLEM, **({"x": X0, "method": "adam", "steps": 3, "batch_size": 5, "rng": 0} | given))


@pytest.mark.parametrize("name", refopt.available("train"))
def test_lists_and_integers_are_weights_too(name):
    x = np.arange(31) % 3 - 1
    wanted = train(PROBLEM, x.astype(float), name, 2, batch_for(name), 0, progress=False).x
    for given in (x, x.tolist()):
        assert np.array_equal(train(PROBLEM, given, name, 2, batch_for(name), 0, progress=False).x, wanted)


@pytest.mark.parametrize("problem", [np.sum, refopt.Problem(np.sum), None])
def test_a_problem_has_a_function_and_a_gradient(problem):
    with pytest.raises(
        TypeError, match=r"problem must be a refopt\.Supervised, or a refopt\.Problem with fun and grad"
    ):
        train(problem, np.ones(2), "sgd")


def test_an_objective_without_samples_takes_no_batches():
    problem = refopt.Problem(lambda x: 0.0, lambda x: x)
    with pytest.raises(TypeError, match="a Problem has no samples: batch_size must be None"):
        train(problem, np.ones(1), "sgd", batch_size=1)
    with pytest.raises(
        TypeError, match=r"labels drawn from a model, and a Problem has none: give a refopt\.Supervised"
    ):
        train(problem, np.ones(1), "adam-true-fisher")
    with pytest.raises(ValueError, match=r"give the refopt\.Problem an hvp\(x, v\) or a hess\(x\)"):
        train(problem, np.ones(1), "adahessian")


def test_sums_of_squares_may_be_asked_for_by_name():
    """β₂ = 1, the default of Shampoo, is no mistake there."""
    assert settled(METHODS["shampoo"], {"beta2": 1})[0].params.beta2 == 1.0
    assert settled(METHODS["shampoo"], {"shapes": [[2, 3], [4]]})[0].params.shapes == ((2, 3), (4,))
    assert settled(METHODS["l-bfgs"], {"search": "hager-zhang"})[0].params.search == 1


def test_no_steps_at_all():
    result = train(PROBLEM, X0, "adam", steps=0)
    assert np.array_equal(result.x, X0)
    assert result.nit == 0
    assert all(len(column) == 0 for column in result.history.values())


# --- the line on the terminal -----------------------------------------------------------------------------------------


def test_progress_is_told_to_a_terminal_or_a_stream_and_to_nobody_else(capsys):
    stream = io.StringIO()
    train(PROBLEM, X0, ("adam", "sgd"), steps=(2, 2), batch_size=5, rng=0, progress=stream)
    last = stream.getvalue().split("\r")[-1]
    assert last.startswith("adam then sgd [##############################] 4/4  loss ")
    assert last.endswith("\n")
    train(PROBLEM, X0, "adam", steps=2, batch_size=5, rng=0, progress=True)
    assert capsys.readouterr().err == ""
    bar = Bar(stream, "x", 10)
    bar.tell(1, 0.5)
    assert bar.last == bar.began  # the next line comes after a pause
