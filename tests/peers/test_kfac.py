"""Kronecker factors beside those of other libraries, as ``record_kfac.py`` wrote them down, to 1e-12.

Where they differ a test says by what. With them at hand, ``pytest -m peers`` computes their side again.
"""

from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product

import numpy as np
import pytest

from peers.record_kfac import DATA, LOSSES, PEERS, REDUCTIONS, record, vectors
from refopt import Supervised
from refopt.curvature import Kron, ekfac, kfac
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
    Tanh,
    Tokens,
)

NETWORKS = {
    "dense": Sequential(Linear(4, 5), Tanh(), Linear(5, 6), Tanh(), Linear(6, 3)),
    "binary": Sequential(Linear(4, 5), Tanh(), Linear(5, 1)),
    "convolutional": Sequential(
        Conv2d(2, 3, (3, 2), stride=2, padding=1), Tanh(), Conv2d(3, 4, 2), Tanh(), Flatten(), Linear(36, 3)
    ),
    "grouped": Sequential(Conv2d(4, 4, 2, groups=2), Tanh(), Flatten(), Linear(16, 3)),
    "segmentation": Sequential(Conv2d(2, 3, 2), Tanh(), Conv2d(3, 3, (2, 1)), Tokens()),
    "tokens": Sequential(Linear(4, 5), Tanh(), Linear(5, 3)),
    "attention": Sequential(SelfAttention(4, 2), Tanh(), Linear(4, 3)),
    "pooled": Sequential(Residual(LayerNorm(4), SelfAttention(4, 2)), MeanPool(), Linear(4, 3)),
    "tied": Sequential(Embedding(3, 4, "E"), Residual(LayerNorm(4), SelfAttention(4, 2)), Linear(4, 3, False, "E")),
}
TERMS = {"segmentation": 6, "tokens": 3, "attention": 3, "tied": 3}  #: of the loss of one sample
SHARED = ("convolutional", "segmentation", "tokens", "attention", "pooled", "tied")
ALL = list(product(LOSSES, REDUCTIONS))


@cache
def kept(peer):
    with np.load(DATA / f"{peer}.npz") as file:
        return dict(file)


def problem(peer, name, loss, reduction):
    """Ours and x; PyTorch's "mean" is over all numbers, but over labels where these are classes."""
    arrays = kept(peer)
    if reduction == "mean":
        reduction = "mean-tokens" if loss == "cross-entropy" else "mean-elements"
    y = arrays[f"{name}/{loss}/y"]
    if name == "segmentation":
        y = y.reshape(len(y), TERMS[name], *y.shape[3:])
    return Supervised(NETWORKS[name], loss, arrays[f"{name}/X"], y, reduction), arrays[f"{name}/x"]


def drawn(peer, whole, name, loss):
    """The labels that they drew."""
    return kept(peer)[f"{name}/{loss}/drawn"][0].reshape(whole.y.shape)


def near(ours, theirs, tolerance=1e-12):
    assert ours.shape == theirs.shape
    assert np.linalg.norm(ours - theirs) <= tolerance * np.linalg.norm(theirs)


def theirs(peer, case, common, blocks):
    """(their A, their G) beside each of our blocks."""
    arrays, place = kept(peer), 0
    upper, pairs = arrays[f"{case}/G"], []
    for k, block in enumerate(blocks):
        m = len(block.G)
        G = np.zeros((m, m))
        G[np.triu_indices(m)] = upper[place : place + m * (m + 1) // 2]
        pairs.append((arrays[f"{common}/A{k}"], np.triu(G, 1).T + G))
        place += m * (m + 1) // 2
    assert place == len(upper)
    assert f"{common}/A{len(blocks)}" not in arrays
    return pairs


def linear(K):
    """The Kronecker products among the blocks."""
    return [block for block in K.blocks if isinstance(block, Kron)]


def check(peer, case, common, K, A=None, G=None, bias=True):
    """Ours are their factors times A and G, numbers for each layer; `bias`: their A has its coordinate."""
    blocks = linear(K)
    one = [1.0] * len(blocks)
    for block, found, a, g in zip(blocks, theirs(peer, case, common, blocks), A or one, G or one, strict=True):
        near(block.A if bias else block.A[:-1, :-1], found[0] * a)
        near(block.G, found[1] * g)


# --- curvlinops --------------------------------------------------------------------------------------------------


def curvlinops(name, loss, reduction, fisher, sharing):
    """Ours, given what theirs is given."""
    whole, x = problem("curvlinops", name, loss, reduction)
    kind = {"type-2": "exact", "mc": "monte-carlo"}.get(fisher, fisher)
    labels = drawn("curvlinops", whole, name, loss) if fisher == "mc" else None
    return kfac(whole, x, fisher=kind, sharing=sharing, labels=labels)


@pytest.mark.parametrize("fisher", ["type-2", "mc", "empirical", "forward-only"])
@pytest.mark.parametrize(("loss", "reduction"), ALL)
def test_curvlinops_on_a_dense_network(loss, reduction, fisher):
    case = ("dense", loss, reduction, fisher, "expand")
    check("curvlinops", "/".join(case), "dense/expand", curvlinops(*case))


@pytest.mark.parametrize(
    ("name", "fisher", "sharing"),
    [
        (name, fisher, sharing)
        for name, fisher, sharing in product(SHARED, ("type-2", "mc", "empirical"), ("expand", "reduce"))
        if fisher != "type-2" or name not in TERMS  # those are in the next test
    ],
)
def test_curvlinops_with_shared_weights(name, fisher, sharing):
    """Of a transformer the linear layers that share no weight, which it can be given by themselves."""
    for loss, reduction in ALL:
        case = (name, loss, reduction, fisher, sharing)
        check("curvlinops", "/".join(case), f"{name}/{sharing}", curvlinops(*case))


def roots(loss, f):
    """R with RRᵀ = ∇²ℓ for every term of outputs f (…, C), as curvlinops chooses it: its columns, (C, …, C)."""
    one = np.eye(f.shape[-1])
    if loss == "mse":
        columns = [2**0.5 * np.broadcast_to(e, f.shape) for e in one]
    elif loss == "cross-entropy":
        p = np.exp(f) / np.exp(f).sum(axis=-1, keepdims=True)
        columns = [p[..., k, None] ** 0.5 * (e - p) for k, e in enumerate(one)]
    else:
        p = 1 / (1 + np.exp(-f))
        columns = [(p * (1 - p)) ** 0.5 * e for e in one]
    return np.stack(columns)


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
@pytest.mark.parametrize("name", TERMS)
def test_curvlinops_sends_all_terms_back_at_once(name, sharing):
    """Column k of every token's √∇²ℓ in one sweep, as if tokens were one random variable: where gradients of two tokens
    meet, in attention, in a convolution and in "reduce", there are terms too many.
    """
    for loss, reduction in ALL:
        case = (name, loss, reduction, "type-2", sharing)
        whole, x = problem("curvlinops", name, loss, reduction)
        point, blocks = whole.at(x), linear(curvlinops(*case))
        captures = point.captures(roots(loss, point.f))[: len(blocks)]  # without the tied one
        pairs, differ = theirs("curvlinops", "/".join(case), f"{name}/{sharing}", blocks), []
        for capture, block, (A, G) in zip(captures, blocks, pairs, strict=True):
            g = capture.g.sum(axis=2, keepdims=True) if sharing == "reduce" else capture.g
            near(whole.c * np.einsum("snri,snrj->ij", g, g), G)
            near(block.A, A)
            differ.append(np.linalg.norm(block.G - G) > 0.1 * np.linalg.norm(G))
        meet = [sharing == "reduce" or (k == 0 and name != "tokens") for k in range(len(differ))]
        assert differ == meet


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_curvlinops_takes_the_mean_of_groups(sharing):
    """One A for all groups of a convolution, of the mean of their patches, and one G; here each is a layer."""
    for loss, reduction in ALL:
        case = ("grouped", loss, reduction, "type-2", sharing)
        (first, last), (whole, x) = curvlinops(*case).blocks, problem("curvlinops", *case[:3])
        groups = first.blocks
        pairs = theirs("curvlinops", "/".join(case), f"grouped/{sharing}", [Kron(groups[0].A, np.eye(4)), last])
        captures = whole.at(x).captures(whole.at(x).fisher_factor())[: len(groups)]
        a = np.mean([capture.a for capture in captures], axis=0)
        a = np.concatenate([a, np.ones((*a.shape[:2], 1))], axis=2)
        g = np.concatenate([capture.g for capture in captures], axis=3)
        if sharing == "reduce":
            a, g = a.mean(axis=1, keepdims=True), g.sum(axis=2, keepdims=True)
        near(np.einsum("nri,nrj->ij", a, a) / (a.shape[0] * a.shape[1]), pairs[0][0])
        near(whole.c * np.einsum("snri,snrj->ij", g, g), pairs[0][1])
        for k, group in enumerate(groups):
            near(group.G, pairs[0][1][2 * k : 2 * k + 2, 2 * k : 2 * k + 2])
            assert np.linalg.norm(group.A - pairs[0][0]) > 0.1 * np.linalg.norm(group.A)
        near(last.A, pairs[1][0])
        near(last.G, pairs[1][1])


@pytest.mark.parametrize("fisher", ["type-2", "empirical"])
@pytest.mark.parametrize("name", ["dense", "convolutional", "pooled"])
def test_curvlinops_ekfac(name, fisher):
    for loss, reduction in ALL:
        for bias in ("joint", "separate") if (loss, reduction) == ("cross-entropy", "mean") else ("joint",):
            whole, x = problem("curvlinops", name, loss, reduction)
            ours = ekfac(whole, x, fisher="exact" if fisher == "type-2" else fisher, bias=bias)
            found = np.concatenate([block.matvec(v) for block, v in parted(ours)])
            near(found, kept("curvlinops")[f"{name}/{loss}/{reduction}/{fisher}/ekfac/{bias}"])


def parted(K):
    """The Kronecker products, with their parts of a vector for them alone."""
    blocks, place = linear(K), 0
    v = vectors(sum(block.shape[0] for block in blocks), 1)
    for block in blocks:
        yield block, v[place : place + block.shape[0]]
        place += block.shape[0]


def test_curvlinops_damping():
    """Its unnamed rule adds λ, not √λ, to either factor."""
    K = kfac(*problem("curvlinops", "dense", "cross-entropy", "mean"))
    V, arrays = vectors(K.shape[0]), kept("curvlinops")
    near(K.solve(V, 0.1), arrays["dense/exact"])
    near(K.solve(V, 0.1, "pi"), arrays["dense/pi"])
    near(K.solve(V, 0.1**2, "factored"), arrays["dense/factored"])


# --- BackPACK ----------------------------------------------------------------------------------------------------

BACKPACK = {
    ("dense", "cross-entropy"): (1, 1, 1),
    ("dense", "mse"): (1, 1, 1),
    ("binary", "binary-cross-entropy"): (1, 1),
    ("convolutional", "cross-entropy"): (16, 9, 1),
    ("convolutional", "mse"): (16, 9, 1),
    ("segmentation", "cross-entropy"): (9, 6),
}  #: positions R of each layer


@pytest.mark.parametrize("fisher", ["exact", "mc"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "loss"), BACKPACK)
def test_backpack(name, loss, reduction, fisher):
    """KFLR, and KFAC with what it drew. A is of the weights alone, and in a convolution summed over positions, R times
    that of "expand"; g is summed too, as in "reduce".
    """
    whole, x = problem("backpack", name, loss, reduction)
    details = {}
    if fisher == "mc":
        details = {
            "fisher": "monte-carlo",
            "labels": labels_of(whole, x, kept("backpack")[f"{name}/{loss}/{reduction}/scores"]),
        }
    expand, reduce = (linear(kfac(whole, x, sharing=sharing, **details)) for sharing in ("expand", "reduce"))
    pairs = theirs("backpack", f"{name}/{loss}/{reduction}/{fisher}", name, expand)
    for one, other, (A, G), R in zip(expand, reduce, pairs, BACKPACK[name, loss], strict=True):
        near(one.A[:-1, :-1] * R, A)
        near(other.G, G)


def labels_of(whole, x, scores):
    """The labels y of which ∇ℓ(f, y) are the scores: (S, N, …)."""
    f = whole.outputs(x)
    if whole.loss.name == "mse":
        return f - scores / 2
    if whole.loss.name == "cross-entropy":
        scores = np.moveaxis(scores, 2, -1).reshape(len(scores), *f.shape)
        return np.argmin(scores, axis=-1)  # p − e_y has one negative entry
    return (scores < 0).astype(float)  # σ − y


# --- nngeometry --------------------------------------------------------------------------------------------------

NNGEOMETRY = {"dense": (1, 1, 1), "binary": (1, 1), "convolutional": (16, 9, 1), "segmentation": (9, 6)}


@pytest.mark.parametrize(
    ("name", "loss", "ours", "columns"),
    [
        *product(("dense", "convolutional"), ("cross-entropy",), ("cross-entropy",), (2,)),
        *product(("dense", "convolutional"), ("mse",), ("squared",), (3,)),
        ("binary", "binary-cross-entropy", "binary-cross-entropy", 1),
    ],
)
def test_nngeometry(name, loss, ours, columns):
    """Products agree; √S R of the scale lies in A instead of G, S the number of columns of √F (one less than classes).
    Its "regression" is N(f, I).
    """
    whole, x, arrays = *problem("nngeometry", name, loss, "sum"), kept("nngeometry")
    whole = Supervised(whole.network, ours, whole.X, whole.y)
    scale, case = [columns**0.5 * R for R in NNGEOMETRY[name]], f"{name}/{loss}/exact"
    check("nngeometry", case, case, kfac(whole, x), [1 / s for s in scale], scale)
    E = ekfac(whole, x)
    near(E.matvec(vectors(E.shape[0])), arrays[f"{name}/{loss}/ekfac"])


@pytest.mark.parametrize("name", ["dense", "convolutional", "segmentation"])
def test_nngeometry_by_labels_that_are_drawn(name):
    """With 3 of each, the mean over samples of the sum over pixels."""
    whole, x = problem("nngeometry", name, "cross-entropy", "mean")
    whole = Supervised(whole.network, whole.loss, whole.X, whole.y, "mean")
    labels = np.moveaxis(kept("nngeometry")[f"{name}/cross-entropy/drawn"], -1, 0).reshape(3, *whole.y.shape)
    scale, case = [3**0.5 * R for R in NNGEOMETRY[name]], f"{name}/cross-entropy/mc"
    ours = kfac(whole, x, fisher="monte-carlo", labels=labels)
    check("nngeometry", case, case, ours, [1 / s for s in scale], scale)


# --- kfac-jax ----------------------------------------------------------------------------------------------------


def kfac_jax(name, loss, mode):
    """Our K-FAC, given what theirs is given: the mean over samples, of sums over outputs and terms."""
    whole, x = problem("kfac_jax", name, loss, "sum")
    whole = Supervised(whole.network, whole.loss, whole.X, whole.y, "mean")
    if mode == "fisher_gradients":
        return kfac(whole, x, fisher="monte-carlo", labels=drawn("kfac_jax", whole, name, loss))
    return kfac(whole, x, fisher=mode.split("_")[1])


@pytest.mark.parametrize("mode", ["fisher_exact", "fisher_gradients", "fisher_empirical"])
@pytest.mark.parametrize("name", ["dense", *SHARED])
def test_kfac_jax(name, mode):
    """It is "expand", with A of convolutions in the order (height, width, channel). "fisher_empirical" is divided by N
    twice. With several terms in a sample "fisher_exact" is another matrix: the next two tests.
    """
    for loss in LOSSES:
        blocks = linear(kfac_jax(name, loss, mode))
        pairs = theirs("kfac_jax", f"{name}/{loss}/{mode}", name, blocks)
        N = len(kept("kfac_jax")[f"{name}/X"])
        for k, (block, (A, G)) in enumerate(zip(blocks, pairs, strict=True)):
            order = spatial_first(name, k, len(A))
            near(block.A[np.ix_(order, order)], A)
            if mode != "fisher_exact" or name not in TERMS:
                near(block.G, G * (N if mode == "fisher_empirical" else 1))


def spatial_first(name, k, width):
    """The order of their inputs: those of a convolution (h, w, channel), the bias last."""
    kernels = {"convolutional": ((2, 3, 2), (3, 2, 2)), "segmentation": ((2, 2, 2), (3, 2, 1))}.get(name, ())
    order = np.arange(width)
    if k < len(kernels):
        order[:-1] = order[:-1].reshape(kernels[k]).transpose(1, 2, 0).ravel()
    return order


@pytest.mark.parametrize("name", TERMS)
def test_kfac_jax_leaves_the_softmax_of_other_terms_in(name):
    """Column (t, k) of √F should be √p_tk (e_k − p_t) at term t and 0 at the others; these have −√p_tk p there."""
    mode = "cross-entropy/fisher_exact"
    whole, x = problem("kfac_jax", name, "cross-entropy", "sum")
    point, blocks = whole.at(x), linear(kfac_jax(name, *mode.split("/")))
    p = np.exp(point.f) / np.exp(point.f).sum(axis=-1, keepdims=True)
    columns = -np.einsum("ntk,nsc->tknsc", p**0.5, p)
    for t, k in np.ndindex(p.shape[1:]):
        columns[t, k, :, t, k] += p[:, t, k] ** 0.5
    captures = point.captures(columns.reshape(-1, *p.shape))[: len(blocks)]
    for capture, block, (_, G) in zip(
        captures, blocks, theirs("kfac_jax", f"{name}/{mode}", name, blocks), strict=True
    ):
        near(np.einsum("snri,snrj->ij", capture.g, capture.g) / whole.samples, G)
        assert np.linalg.norm(block.G - G) > 0.1 * np.linalg.norm(G)


@pytest.mark.parametrize("loss", ["mse", "binary-cross-entropy"])
@pytest.mark.parametrize("name", TERMS)
def test_kfac_jax_masks_inputs_and_not_the_one_of_the_bias(name, loss):
    """G is right. Layers whose g are zero but at one of T positions take only the input there for A, but T ones."""
    blocks, ones = linear(kfac_jax(name, loss, "fisher_exact")), []
    pairs = theirs("kfac_jax", f"{name}/{loss}/fisher_exact", f"{name}/one term at a time", blocks)
    for k, (block, (A, G)) in enumerate(zip(blocks, pairs, strict=True)):
        order = spatial_first(name, k, len(A))
        near(block.G, G)
        near(block.A[np.ix_(order, order)][:-1], A[:-1])
        ones.append(A[-1, -1])
    T = TERMS[name]
    alone = {"segmentation": [1, 1], "tokens": [T, T], "attention": [1, T, T], "tied": [1, T]}[name]
    near(np.array(ones), np.array(alone, dtype=float))


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
