"""Curvature matrices beside those of other packages, which ``record_curvature.py`` wrote down, to 1e-12.

Where a package means something else, the test says what. With the packages at hand, ``pytest -m peers`` computes the
record again.
"""

from importlib.util import find_spec

import numpy as np
import pytest

import refopt
from peers.record_curvature import DATA, MODELS, packed, record
from refopt import curvature
from refopt.networks import (
    Conv2d,
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
}
REDUCTION = {  # what PyTorch's "mean" is called here
    ("mse", "mean"): "mean-elements",
    ("binary-cross-entropy", "mean"): "mean-elements",
}


def problem_of(name, kept, loss, reduction):
    y = kept[f"{loss}/y"]
    if name == "tokens":
        y, reduction = y.reshape(kept["X"].shape[:2]), "mean-tokens"
    return refopt.Supervised(NETWORKS[name], loss, kept["X"], y, REDUCTION.get((loss, reduction), reduction))


def near(ours, theirs, what):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max(), err_msg=what)


@pytest.fixture(params=MODELS)
def recorded(request):
    with np.load(DATA / f"{request.param}.npz") as file:
        return request.param, dict(file)


def hessian(problem, x):
    return packed(curvature.hessian(problem, x))


def ggn(problem, x):
    return packed(curvature.ggn(problem, x))


def empirical(problem, x):
    """curvlinops takes the outputs of tokens one after the other, (N·T, C): each is a sample for its EF."""
    return packed(curvature.fisher(problem, x, "empirical", unit="token"))


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
    return packed(curvature.fisher(other, x))


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
    assert len(matrices) == {"mlp": 54, "convolutional": 10, "transformer": 5, "tokens": 5}[name]
    for loss, reduction, what in matrices:
        problem = problem_of(name, kept, loss, reduction)
        near(OURS[what](problem, x), kept[f"{loss}/{reduction}/{what}"], f"{name}, {loss}, {reduction}: {what}")
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
