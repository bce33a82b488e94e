"""Kronecker factors beside those of other libraries, as ``record_kfac.py`` wrote them down, to 1e-12.

Where they differ a test says by what. With them at hand, ``pytest -m peers`` computes their side again.
"""

from functools import cache
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import pytest

from peers.record_kfac import DATA, LOSSES, PEERS, record, vectors
from refopt import Supervised
from refopt.curvature import ekfac, kfac
from refopt.networks import Conv2d, Flatten, Linear, SelfAttention, Sequential, Tanh

NETWORKS = {
    "dense": Sequential(Linear(4, 5), Tanh(), Linear(5, 6), Tanh(), Linear(6, 3)),
    "convolutional": Sequential(
        Conv2d(2, 3, (3, 2), stride=2, padding=1), Tanh(), Conv2d(3, 4, 2), Tanh(), Flatten(), Linear(36, 3)
    ),
    "tokens": Sequential(Linear(4, 5), Tanh(), Linear(5, 3)),
    "attention": Sequential(SelfAttention(4, 2), Tanh(), Linear(4, 3)),
}
KINDS = {"type-2": "exact", "empirical": "empirical", "forward-only": "forward-only"}


@cache
def kept(peer):
    with np.load(DATA / f"{peer}.npz") as file:
        return dict(file)


def problem(peer, name, loss, reduction):
    """Ours and x; PyTorch's "mean" is over all numbers, but over labels where these are classes."""
    arrays = kept(peer)
    if reduction == "mean":
        reduction = "mean-tokens" if loss == "cross-entropy" else "mean-elements"
    return Supervised(NETWORKS[name], loss, arrays[f"{name}/X"], arrays[f"{name}/{loss}/y"], reduction), arrays[
        f"{name}/x"
    ]


def near(ours, theirs, tolerance=1e-12):
    assert ours.shape == theirs.shape
    assert np.linalg.norm(ours - theirs) <= tolerance * np.linalg.norm(theirs)


def check(peer, case, K, A=1.0, G=1.0, bias=True):
    """Their factors times A and G, layer by layer; `bias`: their A has its coordinate."""
    arrays = kept(peer)
    assert sum(key.startswith(f"{case}/A") for key in arrays) == len(K.blocks)
    for k, block in enumerate(K.blocks):
        ours = block.A if bias else block.A[:-1, :-1]
        near(ours, arrays[f"{case}/A{k}"] * (A[k] if isinstance(A, list) else A))
        near(block.G, arrays[f"{case}/G{k}"] * (G[k] if isinstance(G, list) else G))


# --- curvlinops --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fisher", KINDS)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("loss", LOSSES)
def test_curvlinops_on_a_dense_network(loss, reduction, fisher):
    ours = kfac(*problem("curvlinops", "dense", loss, reduction), fisher=KINDS[fisher])
    check("curvlinops", f"dense/{loss}/{reduction}/{fisher}/expand", ours)


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
@pytest.mark.parametrize(
    ("name", "fisher"),
    [("convolutional", "type-2"), *((name, "empirical") for name in ("convolutional", "tokens", "attention"))],
)
def test_curvlinops_with_shared_weights(name, fisher, sharing):
    ours = kfac(*problem("curvlinops", name, "cross-entropy", "mean"), fisher=KINDS[fisher], sharing=sharing)
    check("curvlinops", f"{name}/cross-entropy/mean/{fisher}/{sharing}", ours)


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
@pytest.mark.parametrize("name", ["tokens", "attention"])
def test_curvlinops_sends_all_tokens_back_at_once(name, sharing):
    """Column k of every token's √∇²ℓ, √p_k (e_k − p), in one sweep, as if tokens were one random variable: where
    gradients of two tokens meet, in attention and in "reduce", there are terms too many.
    """
    whole, x = problem("curvlinops", name, "cross-entropy", "mean")
    point, arrays = whole.at(x), kept("curvlinops")
    p = np.exp(point.f) / np.exp(point.f).sum(axis=-1, keepdims=True)
    captures = point.captures(
        np.stack([p[..., k, None] ** 0.5 * (np.eye(p.shape[-1])[k] - p) for k in range(p.shape[-1])])
    )
    differ = []
    for k, (capture, block) in enumerate(zip(captures, kfac(whole, x, sharing=sharing).blocks, strict=True)):
        theirs = arrays[f"{name}/cross-entropy/mean/type-2/{sharing}/G{k}"]
        g = capture.g.sum(axis=2, keepdims=True) if sharing == "reduce" else capture.g
        near(whole.c * np.einsum("snri,snrj->ij", g, g), theirs)
        differ.append(np.linalg.norm(block.G - theirs) > 0.1 * np.linalg.norm(theirs))
    assert (
        differ
        == {"expand": [name == "attention", *[False] * (len(differ) - 1)], "reduce": [True] * len(differ)}[sharing]
    )


@pytest.mark.parametrize("bias", ["joint", "separate"])
@pytest.mark.parametrize("name", ["dense", "convolutional"])
def test_curvlinops_ekfac(name, bias):
    ours = ekfac(*problem("curvlinops", name, "cross-entropy", "mean"), bias=bias)
    near(ours.matvec(vectors(ours.shape[0])), kept("curvlinops")[f"{name}/ekfac/{bias}"])


def test_curvlinops_damping():
    """Its unnamed rule adds λ, not √λ, to either factor."""
    K = kfac(*problem("curvlinops", "dense", "cross-entropy", "mean"))
    V, arrays = vectors(K.shape[0]), kept("curvlinops")
    near(K.solve(V, 0.1), arrays["dense/exact"])
    near(K.solve(V, 0.1, "pi"), arrays["dense/pi"])
    near(K.solve(V, 0.1**2, "factored"), arrays["dense/factored"])


# --- BackPACK, nngeometry, kfac-jax --------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_backpack(loss, reduction):
    """KFLR; A is of the weights alone."""
    check("backpack", f"dense/{loss}/{reduction}", kfac(*problem("backpack", "dense", loss, reduction)), bias=False)


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_backpack_sums_positions_in_both_factors(loss):
    """Of a convolution: A over positions, R times that of "expand", and g over positions, as in "reduce"."""
    arguments, arrays = problem("backpack", "convolutional", loss, "mean"), kept("backpack")
    expand, reduce = (kfac(*arguments, sharing=sharing).blocks for sharing in ("expand", "reduce"))
    for k, R in enumerate((16, 9, 1)):
        near(expand[k].A[:-1, :-1] * R, arrays[f"convolutional/{loss}/mean/A{k}"])
        near(reduce[k].G, arrays[f"convolutional/{loss}/mean/G{k}"])


@pytest.mark.parametrize("name", ["dense", "convolutional"])
@pytest.mark.parametrize(("loss", "ours", "columns"), [("cross-entropy", "cross-entropy", 2), ("mse", "squared", 3)])
def test_nngeometry(name, loss, ours, columns):
    """Products agree; √S R of the scale lies in A instead of G, S the number of columns of √F (one less than classes).
    Its "regression" is N(f, I).
    """
    _, x = problem("nngeometry", name, loss, "mean")
    arrays = kept("nngeometry")
    whole = Supervised(NETWORKS[name], ours, arrays[f"{name}/X"], arrays[f"{name}/{loss}/y"])
    scale = [columns**0.5 * R for R in ((1, 1, 1) if name == "dense" else (16, 9, 1))]
    check("nngeometry", f"{name}/{loss}", kfac(whole, x), [1 / s for s in scale], scale)
    if name == "dense":
        E = ekfac(whole, x)
        near(E.matvec(vectors(E.shape[0])), arrays[f"dense/{loss}/ekfac"])


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_kfac_jax(loss):
    """The mean over samples, of sums over outputs."""
    arrays = kept("kfac_jax")
    whole = Supervised(NETWORKS["dense"], loss, arrays["dense/X"], arrays[f"dense/{loss}/y"])
    check("kfac_jax", f"dense/{loss}", kfac(whole, arrays["dense/x"]))


@pytest.mark.peers
@pytest.mark.parametrize("peer", PEERS)
def test_the_record_is_what_they_say(peer):
    if not all(map(find_spec, ("torch", peer))):
        pytest.skip(f"{peer} is not installed")
    if peer == "kfac_jax" and version("kfac-jax") == "0.0.8" and int(version("jax").split(".")[1]) > 7:
        pytest.skip(f"kfac-jax 0.0.8 runs on jax 0.7 and not on {version('jax')}")
    now = record(peer)
    assert set(kept(peer)) == set(now)
    for key in set(now) - {"versions"}:
        near(now[key], kept(peer)[key])
