"""Networks beside PyTorch: what `torch.func` computed and ``record.py`` wrote down, to 1e-12.

With torch at hand, ``pytest -m peers`` computes it again and compares with the record.
"""

from importlib.util import find_spec

import numpy as np
import pytest

import refopt
from peers.record import DATA, record
from refopt.networks import (
    GELU,
    ClassToken,
    Conv2d,
    Embedding,
    Flatten,
    LayerNorm,
    Linear,
    MeanPool,
    Positions,
    Residual,
    SelectToken,
    SelfAttention,
    Sequential,
    Softplus,
    Tanh,
    Tokens,
)

NETWORKS = {
    "dense": Sequential(Linear(5, 7), Tanh(), Linear(7, 4)),
    "convolutional": Sequential(
        Conv2d(2, 4, 3, stride=2, padding=1), GELU(),
        Conv2d(4, 4, (2, 3), padding=(1, 2), dilation=(2, 1), groups=2), Softplus(),
        Flatten(), Linear(60, 3),
    ),
    "pooled_transformer": Sequential(
        Linear(3, 8), Residual(LayerNorm(8), SelfAttention(8, 4)),
        Residual(LayerNorm(8), Linear(8, 10), GELU(), Linear(10, 8)), MeanPool(), Linear(8, 3),
    ),
    "tied": Sequential(
        Embedding(6, 8, "tokens"), Positions(5, 8), Residual(LayerNorm(8), SelfAttention(8, 2, causal=True)),
        LayerNorm(8), Linear(8, 6, bias=False, shared_as="tokens"),
    ),
    "small_vit": Sequential(
        Conv2d(1, 8, 2, stride=2), Tokens(), ClassToken(8), Positions(5, 8), Residual(LayerNorm(8), SelfAttention(8,
        2)), Residual(LayerNorm(8), Linear(8, 12), GELU(), Linear(12, 8)), SelectToken(0), Linear(8, 3),
    ),
}  # fmt: skip


def near(ours, theirs, what):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max(), err_msg=what)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_torch_computes(name):
    with np.load(DATA / f"{name}.npz") as file:
        kept = dict(file)
    network, x, v = NETWORKS[name], kept["x"], kept["v"]
    assert network.size == x.size
    cases = sorted({tuple(key.split("/")[:2]) for key in kept if key.count("/") == 2})
    assert len(cases) == (24 if name == "dense" else 2)
    for loss, reduction in cases:
        theirs = {what: kept[f"{loss}/{reduction}/{what}"] for what in ("loss", "grad", "hvp", "ggnvp")}
        point = refopt.Supervised(network, loss, kept["X"], kept[f"{loss}/y"], reduction).at(x)
        near(point.fun, theirs["loss"], f"{loss} {reduction}")
        near(point.grad, theirs["grad"], f"gradient, {loss} {reduction}")
        near(point.hvp(v), theirs["hvp"], f"Hessian product, {loss} {reduction}")
        near(point.ggnvp(v), theirs["ggnvp"], f"Gauss-Newton product, {loss} {reduction}")
        near(point.per_sample_grad(), kept[f"{loss}/per_sample"], f"gradients per sample, {loss}")


@pytest.mark.peers
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_record_is_what_torch_says(name):
    now = record(name)
    with np.load(DATA / f"{name}.npz") as file:
        assert set(file) == set(now)
        for key in set(now) - {"versions"}:
            near(now[key], file[key], key)
