"""Layers row by row, baselines, refits, and whole networks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kkt
from refopt import exact, pruning
from refopt.networks import Conv2d, Linear, ReLU, Residual, Sequential, Tanh
from refopt.pruning import magnitude, obs_rows, prune, refit, sparsegpt, wanda
from strategies import seeds


def drawn(seed, out=3, n=8):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, n)) @ rng.standard_normal((n, 3 * n)) + rng.standard_normal((n, 1))
    return rng.standard_normal((out, n)), X


# --- OBS row by row --------------------------------------------------------------------------------------------------


@given(
    seed=seeds, out=st.integers(1, 3), n=st.integers(1, 5), share=st.floats(0, 1), damping=st.sampled_from([0.0, 0.1])
)
def test_rows_together_are_one_vector_with_a_block_diagonal_hessian(seed, out, n, share, damping):
    W, X = drawn(seed, out, n)
    H = 2 * X @ X.T / X.shape[1]
    H = H + damping * np.trace(H) / n * np.eye(n)
    count = int(share * W.size)
    ours = obs_rows(W, X, count=count, damping=damping)
    weights, order, costs = kkt.greedy(W.ravel(), np.kron(np.eye(out), H), count)
    assert ours.order.tolist() == order
    assert np.allclose(ours.weights.ravel(), weights, rtol=0, atol=1e-10 * abs(W).max())
    assert np.allclose(ours.increases, costs, rtol=1e-6, atol=1e-10 * (W**2).max() * np.trace(H))
    delta = ours.weights - W
    assert np.isclose(ours.actual_increase, ((delta @ X) ** 2).sum() / X.shape[1], rtol=1e-9, atol=1e-12)


@given(seed=seeds)
def test_uniform_rows_are_each_their_own(seed):
    W, X = drawn(seed)
    ours = obs_rows(W, X, 0.5, rows="uniform", damping=0.0)
    for i, w in enumerate(W):
        weights, order, _ = kkt.greedy(w, 2 * X @ X.T / X.shape[1], 4)
        assert ours.order[4 * i : 4 * i + 4].tolist() == [8 * i + q for q in order]
        assert np.allclose(ours.weights[i], weights, rtol=0, atol=1e-10 * abs(W).max())


@pytest.mark.jit
def test_compiled_rows_are_generic():
    W, X = drawn(5, 4, 40)
    generic, compiled = (obs_rows(W, X, 0.5, compiled=choice) for choice in (False, True))
    assert (generic.order == compiled.order).all()
    assert np.allclose(generic.weights, compiled.weights, rtol=0, atol=1e-9)


# --- baselines and the refit -----------------------------------------------------------------------------------------


@given(seed=seeds, sparsity=st.floats(0, 1))
def test_scores(seed, sparsity):
    W, X = drawn(seed)
    by_size, by_wanda = magnitude(W, X, sparsity), wanda(W, X, sparsity)
    norms = np.linalg.norm(X, axis=1)
    assert (~by_size.mask).sum() == int(sparsity * W.size)
    assert abs(W)[~by_size.mask].max(initial=0) <= abs(W)[by_size.mask].min(initial=np.inf)
    for w, kept in zip(W, by_wanda.mask, strict=True):
        assert (~kept).sum() == int(sparsity * 8)
        assert (abs(w) * norms)[~kept].max(initial=0) <= (abs(w) * norms)[kept].min(initial=np.inf)
    for made in (by_size, by_wanda):
        assert (made.weights == W * made.mask).all()
        increase = (((made.weights - W) @ X) ** 2).sum() / X.shape[1]
        assert np.isclose(made.actual_increase, increase, rtol=1e-12, atol=1e-300)
        assert made.predicted_increase == made.actual_increase


def test_size_alone_needs_no_inputs():
    W, X = drawn(1)
    alone, known = magnitude(W, sparsity=0.4), magnitude(W, X, 0.4)
    assert (alone.order == known.order).all()
    assert (abs(W).ravel()[alone.order] == np.sort(abs(W), axis=None)[:9]).all()
    assert (alone.weights == known.weights).all()
    assert alone.actual_increase is None


def test_lists_integers_and_mixed_precisions():
    W, X = np.arange(1, 7).reshape(2, 3) % 5, np.array([[3, 1, 0, 2], [1, 2, 1, 0], [0, 1, 4, 1]])
    for method in (sparsegpt, obs_rows, magnitude, wanda):
        expected = method(W.astype(float), X.astype(float), 0.5)
        assert (method(W.tolist(), X, 0.5).weights == expected.weights).all()
        assert (method(W.tolist(), X.tolist(), 0.5).weights == expected.weights).all()
        series = [X[:, :3].tolist(), X[:, 3:].tolist()]
        assert (method(W.tolist(), series, 0.5).mask == expected.mask).all()
        mixed = method(W.astype(np.float32), X.astype(float), 0.5)
        assert mixed.weights.dtype == mixed.saliency.dtype == np.float32
        assert np.allclose(mixed.weights, expected.weights, rtol=0, atol=1e-5)
    for method in (sparsegpt, refit):
        expected = method(W, X, mask=W > 1)
        assert expected.mask.tolist() == (W > 1).tolist()
        for mask in ((W > 1).tolist(), (W > 1).astype(int), (W > 1).astype(np.float32)):
            assert (method(W, X, mask=mask).weights == expected.weights).all()
        with pytest.raises(ValueError, match="mask must hold True, or 1, where a weight is kept"):
            method(W, X, mask=W)
    assert refit(W.astype(np.float32), X.astype(float), W > 1).weights.dtype == np.float32
    assert pruning.obs([1, 2], [[2, 1], [1, 2]], count=1).weights.tolist() == [0.0, 2.5]
    assert pruning.obd([1, 2], [3, 1], count=1).weights.tolist() == [0.0, 2.0]
    with pytest.raises(TypeError, match="real numbers"):
        pruning.obs(np.ones(2, dtype=complex), np.eye(2), count=1)


@pytest.mark.parametrize("method", [magnitude, wanda])
def test_scores_in_a_pattern(method):
    W, X = drawn(3)
    score = abs(W) * (np.linalg.norm(X, axis=1) if method is wanda else 1)
    expected = np.argsort(np.argsort(score.reshape(3, 2, 4), axis=2), axis=2) >= 1
    assert (method(W, X, pattern=(1, 4)).mask == expected.reshape(3, 8)).all()


@given(seed=seeds, share=st.floats(0, 1))
def test_a_refit_is_least_squares(seed, share):
    W, X = drawn(seed)
    mask = np.random.default_rng(seed).uniform(size=W.shape) >= share
    ours = refit(W, X, mask)
    for w, kept, fitted in zip(W, mask, ours.weights, strict=True):
        expected = np.zeros(8)
        expected[kept] = np.linalg.lstsq(X[kept].T, X.T @ w, rcond=None)[0] if kept.any() else []
        assert np.allclose(fitted, expected, rtol=0, atol=1e-9 * abs(W).max() * np.linalg.cond(X @ X.T) ** 0.5)
    assert (ours.weights[~mask] == 0).all()
    assert np.isclose(ours.predicted_increase, ours.actual_increase, rtol=1e-12, atol=1e-300)


def test_dead_columns_everywhere():
    W, X = drawn(2)
    X[3] = 0.0
    for method in (obs_rows, magnitude, wanda):
        made = method(W, X, 0.5)
        assert np.isfinite(made.weights).all()
        assert np.isclose(made.actual_increase, (((made.weights - W) @ X) ** 2).sum() / X.shape[1], rtol=1e-10)
    for method in (obs_rows, wanda):
        assert not method(W, X, 0.5).mask[:, 3].any()
    mask = np.ones(W.shape, dtype=bool)
    assert (refit(W, X, mask).weights[:, 3] == W[:, 3]).all()


def test_over_rational_numbers_nothing_is_rounded():
    rng = np.random.default_rng(1)
    W, X = exact.numbers(rng, (2, 3)), exact.numbers(rng, (3, 5))
    found = exact.checked(obs_rows(W, X, count=3, damping=0))
    best = exact.checked(refit(W, X, found.mask, damping=0))
    assert (best.weights == found.weights).all()
    assert best.predicted_increase == found.predicted_increase == found.actual_increase
    assert (
        exact.checked(wanda(W, X, 0.5)).actual_increase
        >= exact.checked(refit(W, X, wanda(W, X, 0.5).mask)).actual_increase
    )


def test_all_array_kinds(namespace):
    W, X = drawn(6)
    mask = np.arange(24).reshape(3, 8) % 3 > 0
    for dtype, tolerance in ((np.float64, 1e-11), (np.float32, 2e-3)):
        w, x = namespace.asarray(W.astype(dtype)), namespace.asarray(X.astype(dtype))
        for method, how in (
            (obs_rows, {"sparsity": 0.4}),
            (obs_rows, {"count": 2, "rows": "uniform"}),
            (magnitude, {"sparsity": 0.4}),
            (wanda, {"sparsity": 0.4}),
            (wanda, {"pattern": (2, 4)}),
            (refit, {"mask": mask}),
        ):
            there = {k: namespace.asarray(v) if k == "mask" else v for k, v in how.items()}
            ours, reference = method(w, x, **there), method(W, X, **how)
            assert all(namespace.owns(a) for a in (ours.mask, ours.weights, ours.order, ours.saliency, ours.increases))
            assert (namespace.to_numpy(ours.mask) == reference.mask).all()
            assert namespace.to_numpy(ours.weights).dtype == dtype
            assert np.allclose(namespace.to_numpy(ours.weights), reference.weights, rtol=0, atol=tolerance)


def test_wrong_arguments_are_named():
    W, X = drawn(0)
    for words, call in (
        ("rows is 'each'", lambda: obs_rows(W, X, 0.5, rows="each")),
        ("mask must have the shape", lambda: refit(W, X)),
        ("how many", lambda: wanda(W, X)),
        ("in one way", lambda: wanda(W, X, 0.5, (2, 4))),
        ("in one way", lambda: magnitude(W, X, 0.5, (2, 4))),
        ("between 0 and 24", lambda: obs_rows(W, X, count=25)),
        ("either the inputs", lambda: wanda(W, sparsity=0.5)),
    ):
        with pytest.raises(ValueError, match=words):
            call()


# --- networks --------------------------------------------------------------------------------------------------------


def network():
    net = Sequential(Linear(6, 8), Tanh(), Residual(Linear(8, 8), ReLU()), Linear(8, 4))
    rng = np.random.default_rng(0)
    return net, net.init(rng), rng.standard_normal((50, 6)) @ rng.standard_normal((6, 6))


@pytest.mark.parametrize("method", ["sparsegpt", "obs", "wanda", "magnitude"])
@pytest.mark.parametrize("inputs", ["pruned", "dense"])
def test_a_network_is_its_layers_in_turn(method, inputs):
    net, x, X = network()
    made = prune(net, x, X, 0.5, method=method, inputs=inputs, loss=lambda x: (net(x, X) ** 2).sum())
    own = {"sparsegpt": sparsegpt, "obs": obs_rows, "wanda": wanda, "magnitude": magnitude}[method]
    arrays, new = net.unravel(x), net.unravel(made.x)
    seen = net.unravel(made.x if inputs == "pruned" else x)
    first = np.tanh(X @ seen["0.W"].T + seen["0.b"])
    second = first + np.maximum(first @ seen["2.0.W"].T + seen["2.0.b"], 0)
    for name, a, report in zip(("0", "2.0", "3"), (X, first, second), made.layers, strict=True):
        expected = own(arrays[f"{name}.W"], a.T, 0.5)
        assert np.allclose(new[f"{name}.W"], expected.weights, rtol=0, atol=1e-9)
        assert report.name == name
        assert report.pruned == (~expected.mask).sum()
        assert np.isclose(report.actual_increase, expected.actual_increase, rtol=1e-8)
        y = a @ arrays[f"{name}.W"].T
        assert np.isclose(
            report.relative_error, np.linalg.norm(a @ new[f"{name}.W"].T - y) / np.linalg.norm(y), rtol=1e-8
        )
        assert (new[f"{name}.b"] == arrays[f"{name}.b"]).all()
    assert (made.mask == (made.x != 0)).all()
    assert np.isclose(made.output_change, ((net(made.x, X) - net(x, X)) ** 2).sum() / 50, rtol=1e-12)
    assert np.isclose(made.actual_increase, (net(made.x, X) ** 2).sum() - (net(x, X) ** 2).sum(), rtol=1e-12)
    assert made.left_alone == ("0.b", "2.0.b", "3.b")
    assert "2.0" in str(made)


def test_a_convolution_is_a_linear_map_of_patches():
    net = Sequential(Conv2d(2, 3, 2), ReLU())
    rng = np.random.default_rng(1)
    x, X = net.init(rng), rng.standard_normal((20, 2, 4, 4))
    made = prune(net, x, X, 0.5)
    patches = [X[:, :, i : i + 2, j : j + 2].reshape(20, 8) for i in range(3) for j in range(3)]
    W = net.unravel(x)["0.W"]
    expected = sparsegpt(W.reshape(3, 8), np.concatenate(patches).T, 0.5)
    assert np.allclose(net.unravel(made.x)["0.W"].reshape(3, 8), expected.weights, rtol=0, atol=1e-10)


def test_some_layers_and_shared_ones():
    net, x, X = network()
    made = prune(net, x, X, pattern=(2, 4), layers=["2.0"])
    assert (prune(net, x.tolist(), X.tolist(), pattern=(2, 4), layers=["2.0"]).x == made.x).all()
    assert (prune(net, x, X, pattern=(2, 4), layers="2.0").x == made.x).all()
    assert [report.name for report in made.layers] == ["2.0"]
    assert "0.W" in made.left_alone
    tied = Sequential(Linear(6, 6, shared_as="W"), Tanh(), Linear(6, 6, shared_as="W"), Linear(6, 2))
    x = tied.init(0)
    assert [report.name for report in prune(tied, x, X, 0.5).layers] == ["3"]
    for words, arguments in (
        ("no linear map is called 7", {"layers": ["7"]}),
        ("no method is called", {"method": "obd"}),
        ("inputs is 'all'", {"inputs": "all"}),
    ):
        with pytest.raises(ValueError, match=words):
            prune(tied, x, X, 0.5, **arguments)


def test_a_method_of_ones_own():
    """A refit of SparseGPT's masks: no layer is worse on the inputs of the network as it was."""
    net, x, X = network()
    swept = prune(net, x, X, 0.5, inputs="dense")
    fitted = prune(net, x, X, 0.5, inputs="dense", method=lambda W, A, s: refit(W, A, sparsegpt(W, A, s).mask))
    assert (fitted.mask == swept.mask).all()
    for ours, theirs in zip(fitted.layers, swept.layers, strict=True):
        assert ours.actual_increase <= theirs.actual_increase * (1 + 1e-9)
    assert (fitted.x != swept.x).any()


def test_what_is_no_network_or_has_other_parameters_is_named():
    net, x, X = network()
    with pytest.raises(TypeError, match=r"a network of refopt\.networks"):
        prune(lambda x, X: X @ x, x, X, 0.5)
    with pytest.raises(ValueError, match=rf"the network has {net.size} parameters"):
        prune(net, x[:-1], X, 0.5)
    with pytest.raises(ValueError, match="'obs' takes sparsity"):
        prune(net, x, X, pattern=(2, 4), method="obs")


def test_networks_of_all_array_kinds(namespace):
    net, x, X = network()
    reference = prune(net, x, X, 0.5)
    made = prune(net, namespace.asarray(x), namespace.asarray(X), 0.5)
    assert namespace.owns(made.x)
    assert namespace.owns(made.mask)
    assert np.allclose(namespace.to_numpy(made.x), reference.x, rtol=0, atol=1e-9)
    assert made.layers[1].pruned == reference.layers[1].pruned
