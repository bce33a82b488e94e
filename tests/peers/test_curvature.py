"""Curvature matrices beside those of other packages, which ``record_curvature.py`` wrote down, to 1e-12.

Where a package means something else, the test says what. With the packages at hand, ``pytest -m peers`` computes the
record again.
"""

from importlib.util import find_spec

import numpy as np
import pytest

import refopt
from peers.record_curvature import DATA, MODELS, kept_of, packed, record
from refopt import curvature
from refopt.networks import (
    Conv2d,
    Embedding,
    Flatten,
    LayerNorm,
    Linear,
    MeanPool,
    Residual,
    SelfAttention,
    Sequential,
    Sigmoid,
    Tanh,
)

NETWORKS = {
    "mlp": Sequential(Linear(3, 4), Tanh(), Linear(4, 3)),
    "convolutional": Sequential(Conv2d(1, 2, 2), Sigmoid(), Flatten(), Linear(8, 3)),
    "transformer": Sequential(Residual(LayerNorm(4), SelfAttention(4, 2)), MeanPool(), Linear(4, 3)),
    "tokens": Sequential(Linear(2, 3), Tanh(), Linear(3, 3)),
    "tied": Sequential(
        Embedding(3, 4, "E"), Residual(SelfAttention(4, 2, causal=True)), LayerNorm(4), Linear(4, 3, False, "E")
    ),
}
REDUCTION = {  # what PyTorch's "mean" is called here
    ("mse", "mean"): "mean-elements",
    ("binary-cross-entropy", "mean"): "mean-elements",
}


def problem_of(name, kept, loss, reduction):
    y = kept[f"{loss}/y"]
    if name in ("tokens", "tied"):
        y = y.reshape(*kept["X"].shape[:2], *y.shape[1:])
        reduction = "mean-tokens" if (loss, reduction) == ("cross-entropy", "mean") else reduction
    return refopt.Supervised(NETWORKS[name], loss, kept["X"], y, REDUCTION.get((loss, reduction), reduction))


def near(ours, theirs, what):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max(), err_msg=what)


@pytest.fixture(params=MODELS)
def recorded(request):
    with np.load(DATA / f"{request.param}.npz") as file:
        return request.param, dict(file)


def hessian(problem, x):
    return curvature.hessian(problem, x)


def ggn(problem, x):
    return curvature.ggn(problem, x)


def empirical(problem, x):
    """curvlinops takes the outputs of tokens one after the other, (N·T, C): each is a sample for its EF."""
    return curvature.fisher(problem, x, "empirical", unit="token")


def squares(problem, x):
    """BackPACK squares the gradients of the reduced loss's terms, csₙ: c times the diagonal of c Σ sₙsₙᵀ."""
    return problem.c * curvature.diagonal(problem, x, "empirical")


def variance(problem, x):
    """Of csₙ too."""
    return problem.c**2 * curvature.gradient_moments(problem, x).variance


def fisher(problem, x):
    """nngeometry takes the mean over samples, whatever the loss does, and for regression N(f, I), not N(f, ½I)."""
    loss = "squared" if problem.loss.name == "mse" else problem.loss
    other = refopt.Supervised(problem.network, loss, problem.X, problem.y, "mean")
    return curvature.fisher(other, x)


OURS = {
    "torch/hessian": hessian,
    "torch/ggn": ggn,
    "curvlinops/hessian": hessian,
    "curvlinops/ggn": ggn,
    "curvlinops/empirical": empirical,
    "backpack/hessian-diagonal": lambda problem, x: curvature.diagonal(problem, x),
    "backpack/ggn-diagonal": lambda problem, x: curvature.diagonal(problem, x, "ggn"),
    "backpack/squares": squares,
    "backpack/variance": variance,
    "nngeometry/fisher": fisher,
}


def test_matrices_of_other_packages(recorded):
    name, kept = recorded
    x, matrices = kept["x"], [key.split("/", 2) for key in kept if key.count("/") == 3]
    assert len(matrices) == (54 if name in ("mlp", "convolutional") else 30)
    for loss, reduction, what in matrices:
        problem = problem_of(name, kept, loss, reduction)
        ours = kept_of(name, loss, reduction, OURS[what](problem, x))
        near(ours, kept[f"{loss}/{reduction}/{what}"], f"{name}, {loss}, {reduction}: {what}")
    near(curvature.jacobian(problem, x), kept["jacobian"], name)


def test_the_conventions_make_a_difference():
    """Without them, what these packages say is not what is meant here."""
    with np.load(DATA / "mlp.npz") as file:
        kept = dict(file)
    problem, x = problem_of("mlp", kept, "mse", "mean"), kept["x"]
    near(15 * kept["mse/mean/backpack/squares"], curvature.diagonal(problem, x, "empirical"), "c = 1/15 too small")
    near(kept["mse/mean/nngeometry/fisher"], 1.5 * packed(curvature.fisher(problem, x)), "½ · C for a mean over N")
    with np.load(DATA / "tokens.npz") as file:
        kept = dict(file)
    problem = problem_of("tokens", kept, "cross-entropy", "mean")
    by_sequence = packed(curvature.fisher(problem, kept["x"], "empirical"))
    assert np.linalg.norm(by_sequence - kept["cross-entropy/mean/curvlinops/empirical"]) > 0.3 * np.linalg.norm(
        by_sequence
    )


PACKAGES = ("torch", "curvlinops", "backpack", "nngeometry")


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(any(find_spec(name) is None for name in PACKAGES), reason=f"takes {', '.join(PACKAGES)}")
@pytest.mark.parametrize("name", MODELS)
def test_the_record_is_what_the_packages_say(name):
    now = record(name)
    with np.load(DATA / f"{name}.npz") as file:
        assert set(file) == set(now)
        for key in set(now) - {"versions"}:
            near(now[key], file[key], key)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(any(find_spec(name) is None for name in PACKAGES), reason=f"takes {', '.join(PACKAGES)}")
def test_vmap_over_second_sweeps_loses_rows_of_a_normalisation():
    """PyTorch's Hessian is symmetric row after row, and ours; by vmap, as in torch.func and curvlinops, the rows of a
    LayerNorm's weight are others on tokens (seen with torch 2.14.1), and only these.
    """
    from peers import torch_curvature as peer

    X, y, x, at_once, each = peer.hessians("tied", "mse")
    problem = problem_of("tied", {"X": X, "mse/y": y}, "mse", "mean")
    near(curvature.hessian(problem, x), each, "row after row")
    weight = next(slot.part for slot in problem.network.plan.slots if slot.name == "2.w")
    wrong = abs(at_once - each) > 1e-12 * abs(each).max()
    assert not np.delete(wrong, np.arange(weight.start, weight.stop), axis=0).any()
    assert (abs(at_once - each)[weight] > 0.1 * abs(each).max()).any()
