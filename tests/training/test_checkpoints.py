"""Runs on disk: taken up again to the last bit, refused where they are another's, never half a file."""

import os

import numpy as np
import pytest

import refopt
from refopt import Status, checkpoints, train
from refopt.networks import Dropout, Linear, ReLU, Sequential, Tanh
from training.small import METHODS, PROBLEM, X0, X, Y, batch_for, cliff


@pytest.mark.parametrize("name", METHODS)
def test_a_run_taken_up_again_is_the_same_to_the_last_bit(name, tmp_path):
    file, options = tmp_path / "run.npz", {"window": 3} if name == "gauss-newton" else {}
    whole = train(PROBLEM, X0, name, steps=9, batch_size=batch_for(name), rng=3, options=options)
    kept = options | {"checkpoint": file, "checkpoint_every": 2, "resume": True}

    def stopped(intermediate_result):
        if intermediate_result.nit == 5:
            raise StopIteration

    half = train(PROBLEM, X0, name, 9, batch_for(name), 3, kept, stopped)
    assert half.status == Status.CALLBACK
    assert not half.success
    rest = train(PROBLEM, X0, name, 9, batch_for(name), None, kept)
    assert np.array_equal(rest.x, whole.x)
    for key in ("loss", "grad_norm", "step_norm"):
        assert np.array_equal(rest.history[key], whole.history[key])
    assert checkpoints.packed(tuple(rest.state), []) == checkpoints.packed(tuple(whole.state), [])
    assert (np.diff(rest.history["time"]) >= 0).all()
    done = train(PROBLEM, X0, name, 9, batch_for(name), 3, kept)
    assert np.array_equal(done.x, whole.x)
    assert len(done.history["loss"]) == 9
    assert sorted(os.listdir(tmp_path)) == ["run.npz"]


@pytest.mark.parametrize("name", METHODS)
def test_so_is_one_with_masks_schedules_and_replacement_that_was_interrupted(name, tmp_path):
    net = Sequential(Linear(3, 8), Tanh(), Dropout(0.4), Linear(8, 3))
    problem, x, params = refopt.Supervised(net, "cross-entropy", X, Y), net.init(0), METHODS[name].module.Params
    options = {"replacement": True}
    if "step" in params._fields:
        options["step"] = refopt.schedules.cosine(0.02, 9, warmup=2)
    if name in ("gauss-newton", "natural-gradient"):
        options["damping"] = lambda t: 0.5 / (t + 1)
    if "kfac" in name:
        options |= {"damping": 0.5, "adapt_every": 2, "candidates_every": 3, "inverse_every": 4}
    if name == "shampoo":
        options |= {"beta2": 0.9, "beta1": 0.5, "grafting": "adam", "every": 2, "start": 1, "block": 4}
    whole = train(problem, x, name, 9, batch_for(name), 3, options)
    kept = options | {"checkpoint": tmp_path / "run.npz", "checkpoint_every": 2, "resume": True}

    def interrupted(intermediate_result):
        if intermediate_result.nit == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(problem, x, name, 9, batch_for(name), 3, kept, interrupted)
    assert checkpoints.load(tmp_path / "run.npz", x)["t"] == min(4, whole.nit)
    rest = train(problem, x, name, 9, batch_for(name), 3, kept)
    assert np.array_equal(rest.x, whole.x)
    assert all(np.array_equal(rest.history[key], whole.history[key]) for key in ("loss", "grad_norm", "step_norm"))


def test_the_last_good_weights_are_taken_up_too(tmp_path):
    """A run that ends where the loss is not finite any more, unseen, and is asked for more steps."""
    whole = train(cliff(-2.1), np.zeros(1), "momentum", steps=50, options={"step": 0.5})
    kept = {"step": 0.5, "checkpoint": tmp_path / "a.npz", "resume": True}
    train(cliff(-2.1), np.zeros(1), "momentum", whole.nit, options=kept)
    more = train(cliff(-2.1), np.zeros(1), "momentum", 50, options=kept)
    assert more.nit == whole.nit
    assert np.array_equal(more.x, whole.x)


def test_a_run_of_two_methods_is_taken_up_in_the_second(tmp_path):
    given = {"method": ("adam", "l-bfgs"), "steps": (6, 6), "batch_size": 5, "rng": 1}
    whole = train(PROBLEM, X0, **given)
    kept = ({"checkpoint": tmp_path / "a.npz", "checkpoint_every": 1, "resume": True}, None)

    def stopped(intermediate_result):
        if intermediate_result.nit == 8:
            raise StopIteration

    train(PROBLEM, X0, **given, options=kept, callback=stopped)
    assert np.array_equal(train(PROBLEM, X0, **given, options=kept).x, whole.x)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    file = tmp_path / "run.npz"
    options = {"checkpoint": file, "resume": True}
    train(PROBLEM, X0, "adam", 3, 7, 3, options)
    with pytest.raises(ValueError, match=r"of a run with methods \('adam',\), this one has \('sgd',\)"):
        train(PROBLEM, X0, "sgd", 3, 7, 3, options)
    with pytest.raises(ValueError, match="of a run with batch_size 7, this one has 5"):
        train(PROBLEM, X0, "adam", 3, 5, 3, options)
    with pytest.raises(ValueError, match="of a run with dtype 'float64', this one has 'float32'"):
        train(PROBLEM, X0.astype(np.float32), "adam", 3, 7, 3, options)
    others = refopt.Supervised(PROBLEM.network, PROBLEM.loss, PROBLEM.X[::-1], PROBLEM.y[::-1])
    with pytest.raises(ValueError, match=r"with data of checksum \d+, this one has \d+: go on as it began"):
        train(others, X0, "adam", 3, 7, 3, options)
    with pytest.raises(ValueError, match=r"with the seed \(3,\), not \(4,\)"):
        train(PROBLEM, X0, "adam", 3, 7, 4, options)
    with pytest.raises(ValueError, match="resume needs the option checkpoint"):
        train(PROBLEM, X0, "adam", 3, 7, 3, {"resume": True})
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"is no checkpoint of refopt\.train"):
        train(PROBLEM, X0, "adam", 3, 7, 3, options)
    with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file in it"):
        train(PROBLEM, X0, "adam", 3, 7, 3, {"checkpoint": tmp_path})
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        train(PROBLEM, X0, "adam", 3, 7, 3, {"checkpoint": tmp_path / "no" / "run.npz"})


def test_a_checkpoint_of_another_network_or_loss_is_refused(tmp_path):
    """Of as many parameters, and of equal arrays too."""

    class Squashed(Linear):  # a layer of the user's, without words of its own
        __repr__ = object.__repr__

    options = {"checkpoint": tmp_path / "run.npz", "resume": True}
    net = Sequential(Linear(3, 5), Tanh(), Linear(5, 2))
    others = {
        Sequential(
            Linear(3, 4), Tanh(), Linear(4, 2), Linear(2, 2)
        ): "of a run with layers .0 .*W .5, 3.*one has .0 .*W .4",
        Sequential(Linear(3, 5), ReLU(), Linear(5, 2)): "with layers .1 Tanh.*, this one has .1 ReLU",
        Sequential(Linear(3, 5), Tanh(), Linear(5, 2), Tanh()): "with layers None, this one has .3 Tanh",
        Sequential(Squashed(3, 5), Tanh(), Linear(5, 2)): "this one has .0 <.*Squashed object>, W .5, 3., b .5",
    }
    y = X[:, :2]
    x = net.init(0)
    train(refopt.Supervised(net, "squared", X, y), x, "adam", 3, 7, 3, options)
    for other, words in others.items():
        assert other.size == net.size
        with pytest.raises(ValueError, match=words):
            train(refopt.Supervised(other, "squared", X, y), x, "adam", 3, 7, 3, options)
    with pytest.raises(ValueError, match="with loss 'squared', this one has 'mse'"):
        train(refopt.Supervised(net, "mse", X, y), x, "adam", 3, 7, 3, options)
    with pytest.raises(ValueError, match="with reduction 'mean', this one has 'sum'"):
        train(refopt.Supervised(net, "squared", X, y, "sum"), x, "adam", 3, 7, 3, options)
    own = refopt.Supervised(Sequential(Squashed(3, 5), Tanh(), Linear(5, 2)), "squared", X, y)
    kept = options | {"checkpoint": tmp_path / "own.npz"}
    first, again = (train(own, x, "adam", steps, 7, 3, kept) for steps in (3, 5))
    assert (first.nit, again.nit) == (3, 5)


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "run.npz"
    checkpoints.save(file, {"t": 1, "x": X0})

    def failing(*arguments, **arrays):
        arguments[0].write(b"half of it")
        raise OSError("the disk is full")

    monkeypatch.setattr(np, "savez", failing)
    with pytest.raises(OSError, match="the disk is full"):
        checkpoints.save(file, {"t": 2, "x": X0})
    assert os.listdir(tmp_path) == ["run.npz"]
    assert checkpoints.load(file, X0)["t"] == 1


def test_what_is_written_is_read_to_the_last_bit(namespace, tmp_path):
    tree = {"a": (1, 2.5, 0.1 + 0.2, float("nan"), float("inf"), None, True, "word"),
            "b": ((namespace.asarray(X0.astype(np.float32)),), ()), "c": {"d": np.float64(0.3)}}  # fmt: skip
    checkpoints.save(tmp_path / "t.npz", tree)
    found = checkpoints.load(tmp_path / "t.npz", namespace.asarray(X0))
    assert found["a"][:3] == tree["a"][:3]
    assert np.isnan(found["a"][3])
    assert found["a"][4:] == tree["a"][4:]
    array = found["b"][0][0]
    assert namespace.owns(array)
    assert namespace.to_numpy(array).dtype == np.float32
    assert np.array_equal(namespace.to_numpy(array), X0.astype(np.float32))
    assert found["b"][1] == ()
    assert found["c"] == {"d": 0.3}


def test_nothing_is_pickled(tmp_path):
    np.savez(tmp_path / "evil.npz", structure=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="is no checkpoint"):
        checkpoints.load(tmp_path / "evil.npz", X0)
