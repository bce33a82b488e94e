"""SparseGPT beside dense solutions for each removal, and beside recorded results of the public code."""

import json
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kkt
from refopt import exact, pruning
from refopt.pruning import kernels, sparsegpt
from refopt.pruning.sparsegpt import block_swept
from strategies import seeds

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())


def drawn(seed, out=3, n=8):
    """A layer and its inputs, correlated, more of them than weights in a row."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, n)) @ rng.standard_normal((n, 3 * n)) + rng.standard_normal((n, 1))
    return rng.standard_normal((out, n)), X


def quadratic(W, X, damping):
    H = 2 * X @ X.T / X.shape[1]
    return H + damping * np.trace(H) / len(H) * np.eye(len(H))


def lowest(count):
    """The mask of the `count` lowest."""
    return lambda scores: scores <= np.sort(scores, axis=None)[count - 1] if count else scores != scores


# --- beside the dense solution -------------------------------------------------------------------------------------


@given(seed=seeds, out=st.integers(1, 4), n=st.integers(1, 9), width=st.integers(1, 10), sparsity=st.floats(0, 1))
def test_unstructured_is_the_dense_solution(seed, out, n, width, sparsity):
    W, X = drawn(seed, out, n)
    H = quadratic(W, X, 0.01)

    def choose(scores, first):
        ends = [int(sparsity * (out * k)) for k in (first, first + scores.shape[1])]
        return lowest(ends[1] - ends[0])(scores)

    ours = sparsegpt(W, X, sparsity, block_size=width)
    weights, gone = kkt.sweep(W, H, choose, width)
    assert (ours.mask == ~gone).all()
    assert gone.sum() == int(sparsity * W.size)
    agrees(ours, weights, W, X)


@given(seed=seeds, out=st.integers(1, 4), pattern=st.sampled_from([(2, 4), (1, 4), (1, 2), (0, 3), (3, 3)]))
def test_a_pattern_is_the_dense_solution(seed, out, pattern):
    n, m = pattern
    W, X = drawn(seed, out, 2 * m)
    weights, gone = kkt.sweep(W, quadratic(W, X, 0.01), lambda scores, _: np.argsort(np.argsort(scores)) < n, 0, m)
    for width in (1, m, m + 1, 128):
        ours = sparsegpt(W, X, pattern=pattern, block_size=width)
        assert (ours.mask == ~gone).all()
        assert (gone.reshape(out, -1, m).sum(axis=2) == n).all()
        agrees(ours, weights, W, X)


def agrees(ours, weights, W, X):
    """Weights to 1e-10, increases as the quadratic has them, places in the order of the sweep."""
    assert np.allclose(ours.weights, weights, rtol=0, atol=1e-10 * abs(W).max())
    delta, scale = ours.weights - W, 1e-12 * (X @ X.T).trace() * abs(W).max() ** 2
    predicted = np.sum(delta @ quadratic(W, X, 0.01) * delta) / 2
    rows, columns = np.unravel_index(ours.order, W.shape)
    assert (np.diff(columns * len(W) + rows) > 0).all()
    assert np.isclose(ours.actual_increase, ((delta @ X) ** 2).sum() / X.shape[1], rtol=1e-10, atol=scale)
    assert np.isclose(ours.predicted_increase, predicted, rtol=1e-10, atol=scale)
    assert np.isclose(ours.increases.sum(), ours.predicted_increase, rtol=1e-12, atol=0)


# --- beside the public code ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.jit)], ids=["generic", "compiled"])
def test_recorded_results_of_the_public_code(case, compiled):
    """IST-DASLab/sparsegpt at 5e3e2d1, `add_batch` and `fasterprune` in float64 on PyTorch 2.13, W/16 and X/8.

    Its H is 2/sequences Σ xxᵀ: T times as large for sequences of T tokens, and so is its loss. With dead columns that
    matters: their ones are in the mean.
    """
    W, X, options = np.array(case["W"]) / 16, np.array(case["X"]) / 8, case["options"]
    pattern = {"pattern": (options["prunen"], options["prunem"])} if "prunen" in options else {}
    sparsity = {} if pattern else {"sparsity": options["sparsity"]}
    tokens = X.shape[1] / case["sequences"]
    inputs = {"hessian": tokens * pruning.layer_hessian(X)} if (X == 0).all(axis=1).any() else {"X": X}
    ours = sparsegpt(
        W, **inputs, **sparsity, **pattern, block_size=options["blocksize"], damping=options.get("percdamp", 0.01),
        ties="reference", compiled=compiled,
    )  # fmt: skip
    theirs = np.array(case["weights"])
    assert (ours.mask == (theirs != 0)).all()
    assert np.allclose(ours.weights, theirs, rtol=0, atol=1e-10)
    assert np.isclose(ours.predicted_increase * (tokens if "X" in inputs else 1), case["loss"], rtol=1e-10)


@given(seed=seeds, sparsity=st.floats(0, 0.99), width=st.sampled_from([3, 128]))
def test_reference_takes_one_more_in_each_block(seed, sparsity, width):
    W, X = drawn(seed, 3, 6)
    gone = ~sparsegpt(W, X, sparsity, block_size=width, ties="reference").mask
    for first in range(0, 6, width):
        block = gone[:, first : first + width]
        assert block.sum() == int(block.size * sparsity) + 1


# --- how many ------------------------------------------------------------------------------------------------------


@given(sparsity=st.floats(0, 1), width=st.integers(1, 30), out=st.integers(1, 5))
def test_exactly_as_many_as_asked_for(sparsity, width, out):
    W, X = np.zeros((out, 20)), np.eye(20)  # nothing but ties
    ours = sparsegpt(W, X, sparsity, block_size=width)
    assert (~ours.mask).sum() == ours.order.size == int(sparsity * 20 * out)


def test_of_equal_scores_the_first_go():
    ours = sparsegpt(np.ones((2, 4)), np.eye(4), 0.5, block_size=2)
    assert ours.mask.tolist() == [[False, False, False, False], [True, True, True, True]]
    assert sparsegpt(np.ones((1, 4)), np.eye(4), pattern=(1, 2)).mask.tolist() == [[False, True, False, True]]


# --- singular, dead, damped ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("damping", [0.0, 0.01])
def test_dead_columns_cost_nothing_and_disturb_nothing(damping):
    W, X = drawn(4, 3, 8)
    X[[2, 5]] = 0.0
    live = [0, 1, 3, 4, 6, 7]
    ours = sparsegpt(W, X, 0.5, damping=damping)
    assert not ours.mask[:, [2, 5]].any()
    lam = damping * np.trace(X @ X.T) * 2 / X.shape[1] / 8
    H = 2 * X[live] @ X[live].T / X.shape[1] + lam * np.eye(6)
    weights, gone = kkt.sweep(W[:, live], H, lambda scores, _: lowest(6)(scores), 128)
    assert (ours.mask[:, live] == ~gone).all()
    assert np.allclose(ours.weights[:, live], weights, rtol=0, atol=1e-10)
    few = sparsegpt(W, X, 1 / 8, damping=damping)
    assert few.predicted_increase == 0
    assert (few.weights[few.mask] == W[few.mask]).all()
    assert (sparsegpt(W, X, 1 / 8, ties="reference").weights[:, [2, 5]] == 0).all()


def test_reference_empties_dead_columns_of_a_pattern_too():
    W, X = drawn(8, 3, 8)
    X[[1, 2]] = 0.0
    assert not sparsegpt(W, X, pattern=(1, 4), ties="reference").mask[:, [1, 2]].any()
    assert (~sparsegpt(W, X, pattern=(1, 4)).mask).sum(axis=1).tolist() == [2, 2, 2]


def test_a_singular_hessian_needs_damping():
    W, X = drawn(1, 2, 6)
    X = X[:, :3]
    with pytest.raises(np.linalg.LinAlgError, match=r"damping=0\.01"):
        sparsegpt(W, X, 0.5, damping=0.0)
    damped = sparsegpt(W, X, 0.5, damping=1e-6)
    H = quadratic(W, X, 1e-6)
    weights, _ = kkt.sweep(W, H, lambda scores, _: lowest(6)(scores), 128)
    assert np.allclose(damped.weights, weights, rtol=0, atol=1e-8 * abs(W).max())  # eps·κ, κ ≈ 1e7


def test_the_hessian_in_place_of_inputs():
    W, X = drawn(2)
    H = pruning.layer_hessian(X)
    a, b = sparsegpt(W, X, 0.5), sparsegpt(W, hessian=H, sparsity=0.5)
    assert (a.weights == b.weights).all()
    assert (sparsegpt(W, X, mask=a.mask).weights == a.weights).all()


def test_over_rational_numbers_nothing_is_rounded():
    rng = np.random.default_rng(3)
    W, X = exact.numbers(rng, (2, 4)), exact.numbers(rng, (4, 6))
    for how in ({"sparsity": 0.5}, {"pattern": (1, 2)}):
        ours = exact.checked(sparsegpt(W, X, block_size=2, **how))
        rounded = sparsegpt(W.astype(float), X.astype(float), block_size=2, **how)
        assert (ours.mask == rounded.mask).all()
        assert np.allclose(ours.weights.astype(float), rounded.weights, rtol=0, atol=1e-9)
        delta, H = ours.weights - W, 2 * X @ X.T / 6
        lam = exact.rational(0.01) * H.trace() / 4
        assert ours.predicted_increase == (delta @ H * delta).sum() / 2 + lam * (delta * delta).sum() / 2


# --- loops, arrays, memory -----------------------------------------------------------------------------------------


@given(seed=seeds, m=st.sampled_from([0, 2, 4]))
def test_the_loop_is_the_page(seed, m):
    """Undecorated."""
    W, X = drawn(seed, 3, 8)
    V, d = pruning.factored(pruning.layer_hessian(X))
    scores = W * W / (2 * d)
    gone = np.zeros(W.shape, dtype=bool) if m else lowest(12)(scores)
    page = block_swept(W, V, d, gone, scores, m // 2, m)
    w, E = W.copy(), np.empty_like(W)
    kernels.sweep_block(w, np.ascontiguousarray(V), d, gone, E, scores, m // 2, m)
    for ours, theirs in zip((w, gone, E, scores), page, strict=True):
        assert np.allclose(ours, theirs, rtol=1e-13, atol=1e-13)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("how", [{"sparsity": 0.6}, {"pattern": (2, 4)}], ids=["unstructured", "2:4"])
def test_compiled_is_generic(dtype, how, monkeypatch):
    monkeypatch.setattr(sys.modules["refopt.pruning.sparsegpt"], "CHUNK", 3 * 20**2)  # three rows at a time
    W, X = (a.astype(dtype) for a in drawn(9, 20, 64))
    generic, compiled = (sparsegpt(W, X, **how, block_size=20, compiled=choice) for choice in (False, True))
    assert (generic.mask == compiled.mask).all()
    assert (generic.order == compiled.order).all()
    for field in ("weights", "order", "saliency", "increases"):
        a, b = getattr(generic, field), getattr(compiled, field)
        assert a.dtype == b.dtype
        assert np.allclose(a, b, rtol=0, atol=1e5 * np.finfo(dtype).eps * abs(a).max())
    assert compiled.weights.dtype == dtype


def test_all_array_kinds(namespace):
    W, X = drawn(7, 3, 8)
    for how in ({"sparsity": 0.5, "block_size": 5}, {"pattern": (2, 4)}, {"sparsity": 0.3, "ties": "reference"}):
        reference = sparsegpt(W, X, **how)
        for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-3)):
            ours = sparsegpt(namespace.asarray(W.astype(dtype)), namespace.asarray(X.astype(dtype)), **how)
            assert all(namespace.owns(a) for a in (ours.mask, ours.weights, ours.order, ours.saliency, ours.increases))
            assert (namespace.to_numpy(ours.mask) == reference.mask).all()
            assert namespace.to_numpy(ours.weights).dtype == dtype
            assert np.allclose(namespace.to_numpy(ours.weights), reference.weights, rtol=0, atol=tolerance)
            assert (namespace.to_numpy(ours.order) == reference.order).all()


SHARES = {"half": {"sparsity": 0.5}, "most": {"sparsity": 0.9}, "all": {"sparsity": 1.0}, "2:4": {"pattern": (2, 4)}}


@pytest.mark.jit
@pytest.mark.parametrize("how", SHARES.values(), ids=SHARES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_memory_beside_weights_and_hessian_is_four_copies(dtype, how):
    """Whatever share goes, for an H that rounding has left asymmetric, with a dead column; a block a 32nd of the layer.

    The result has 2.25 and a share: mask, weights, saliencies, increases. The order is found when it is asked for.
    """
    n, rng = 1024, np.random.default_rng(0)
    W, X = rng.standard_normal((n, n)).astype(dtype), rng.standard_normal((n, n + 1)).astype(dtype)
    X[7] = 0
    H = pruning.layer_hessian(X)
    H[2, 1] *= 1 + 2 * np.finfo(dtype).eps
    sparsegpt(W[:8], hessian=H, **how, compiled=True)
    tracemalloc.start()
    sparsegpt(W, hessian=H, **how, block_size=32, compiled=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * H.nbytes


def test_wrong_arguments_are_named():
    W, X = drawn(0)
    for words, arguments in (
        ("in one way", {}),
        ("in one way", {"sparsity": 0.5, "pattern": (2, 4)}),
        ("do not fall into groups of 3", {"pattern": (1, 3)}),
        ("0 ≤ n ≤ m", {"pattern": (5, 4)}),
        ("it is a pair", {"pattern": 2}),
        ("n of the pattern is 1.5", {"pattern": (1.5, 4)}),
        ("m of the pattern is 0", {"pattern": (0, 0)}),
        ("between 0 and 1", {"sparsity": -0.1}),
        ("ties is 'first'", {"sparsity": 0.5, "ties": "first"}),
        ("block_size is 0", {"sparsity": 0.5, "block_size": 0}),
        ("block_size is 2.5", {"sparsity": 0.5, "block_size": 2.5}),
        ("damping is -1", {"sparsity": 0.5, "damping": -1}),
        ("damping is inf", {"sparsity": 0.5, "damping": np.inf}),
        ("must be alike", {"mask": np.ones((2, 2), dtype=bool)}),
        ("either the inputs", {"sparsity": 0.5, "hessian": np.eye(8)}),
        ("compiled loops", {"sparsity": 0.5, "W": W.astype(np.float16), "compiled": True}),
        (r"X must be \(inputs, samples\)", {"sparsity": 0.5, "X": X.T}),
        ("one sample or more", {"sparsity": 0.5, "X": X[:, :0]}),
        ("W has shape", {"sparsity": 0.5, "W": W[0]}),
        ("W has entries that are not finite", {"sparsity": 0.5, "W": W * np.inf}),
        ("Hessian has entries that are not finite", {"sparsity": 0.5, "X": X * np.nan}),
    ):
        with pytest.raises(ValueError, match=words):
            sparsegpt(**{"W": W, "X": X, **arguments})
