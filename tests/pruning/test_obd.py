"""OBD, and the Hessians and inverses that pruning starts from."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refopt import exact, pruning
from refopt.oracle import find
from refopt.pruning import CAUTIONS, factored, fisher_inverse, inverse, layer_hessian, obd, obs
from strategies import basis, seeds, spd, vectors

# --- OBD -------------------------------------------------------------------------------------------------------------


@given(w=vectors(7), h=vectors(7), share=st.floats(0, 1))
def test_obd_takes_the_least(w, h, share):
    h = abs(h)
    ours = obd(w, h, sparsity=share)
    expected = sorted(range(7), key=lambda i: (h[i] * w[i] * w[i], i))[: int(share * 7)]
    assert ours.order.tolist() == expected
    assert (ours.mask == ~np.isin(np.arange(7), expected)).all()
    assert (ours.weights == np.where(ours.mask, w, 0)).all()
    delta = ours.weights - w
    assert np.isclose(ours.predicted_increase, (h * delta**2).sum() / 2, rtol=1e-12)


def test_a_budget_counts_and_labels():
    w, h = np.array([1.0, 2.0, 3.0]), np.ones(3)  # saliencies 0.5, 2, 4.5
    assert obd(w, h, budget=2.5).order.tolist() == [0, 1]
    assert obd(w, h, budget=2.4).order.tolist() == [0]
    assert obd(w, h, 1, budget=2.5).order.tolist() == [0]
    assert obd(w, h, 2, budget=2.4).order.tolist() == [0]
    assert obd(w, h, count=1, loss=lambda w: (w @ w) / 2).actual_increase == -0.5
    assert obd(w, h, count=1, of="ggn").label == "ggn"
    assert "model" in obd(w, h, count=1, of="ggn").caution
    assert obd(w, h, count=1).caution == ""
    with pytest.warns(RuntimeWarning, match="batch means"):
        obd(w, h, count=1, of="adam")


def test_what_obd_refuses():
    w = np.ones(3)
    for words, h, arguments in (
        ("1 entries of the diagonal are negative", np.array([1.0, -1.0, 2.0]), {"count": 1}),
        ("one entry for each", np.ones(2), {"count": 1}),
        ("not finite", np.array([1.0, np.inf, 2.0]), {"count": 1}),
        ("of is 'adamw'", np.ones(3), {"count": 1, "of": "adamw"}),
        ("between 0 and 3", np.ones(3), {"count": 4}),
        ("how many", np.ones(3), {}),
        ("count is nan", np.ones(3), {"count": np.nan}),
        ("count is '2'", np.ones(3), {"count": "2"}),
        ("sparsity is 'half'", np.ones(3), {"sparsity": "half"}),
        ("budget is nan", np.ones(3), {"budget": np.nan}),
        ("budget is -1", np.ones(3), {"budget": -1}),
    ):
        with pytest.raises(ValueError, match=words):
            obd(w, h, **arguments)


def test_obd_on_all_array_kinds(namespace):
    w, h = np.array([[0.5, -1.0], [2.0, 0.25]]), np.array([[1.0, 2.0], [0.1, 8.0]])
    for dtype in (np.float64, np.float32):
        ours = obd(namespace.asarray(w.astype(dtype)), namespace.asarray(h.astype(dtype)), count=2)
        assert all(namespace.owns(a) for a in (ours.mask, ours.weights, ours.order, ours.saliency, ours.increases))
        assert namespace.to_numpy(ours.order).tolist() == [0, 2]
        assert namespace.to_numpy(ours.weights).dtype == dtype
        assert namespace.to_numpy(ours.weights).tolist() == [[0.0, -1.0], [0.0, 0.25]]


def test_obd_is_exact_over_rational_numbers():
    rng = np.random.default_rng(0)
    w, h = exact.numbers(rng, 4), abs(exact.numbers(rng, 4))
    ours, theirs = exact.checked(obd(w, h, count=2)), obs(w, exact.array(np.diag(h + 0)), count=2)
    assert ours.predicted_increase == (h * (ours.weights - w) ** 2).sum() / 2
    if (h > 0).all():
        assert ours.predicted_increase == theirs.predicted_increase


# --- factors and inverses --------------------------------------------------------------------------------------------


@given(H=spd(condition=1e4))
def test_the_factor_of_the_inverse(H):
    """H⁻¹ = Vᵀ diag(d) V, and row j from the inverse of what is left: each to eps·κ."""
    V, d = factored(H)
    P = np.linalg.inv(H)
    assert np.allclose((V.T * d) @ V, P, rtol=0, atol=1e-10 * abs(P).max())
    assert np.allclose(inverse(H), P, rtol=0, atol=1e-10 * abs(P).max())
    assert (np.triu(V) == V).all()
    assert (V.diagonal() == 1).all()
    for j in range(len(H)):
        left = np.linalg.inv(H[j:, j:])
        assert np.isclose(d[j], left[0, 0], rtol=1e-10)
        assert np.allclose(V[j, j:], left[0] / left[0, 0], rtol=0, atol=1e-10 * abs(left[0] / left[0, 0]).max())


@given(seed=seeds, n=st.integers(1, 6), samples=st.integers(1, 12), block=st.sampled_from([None, 1, 2, 4]))
def test_the_inverse_from_gradients(seed, n, samples, block):
    G = np.random.default_rng(seed).standard_normal((samples, n))
    made = fisher_inverse(G, 0.1, block)
    F = 0.1 * np.eye(n) + G.T @ G / samples
    for i, P in zip(range(0, n, block or n), [made] if block is None else made, strict=True):
        part = slice(i, i + (block or n))
        assert np.allclose(P, np.linalg.inv(F[part, part]), rtol=0, atol=1e-11)
    w = np.arange(1.0, n + 1)
    ours = obs(w, inverse_hessian=made, count=1)
    diagonals = [P.diagonal() for P in ([made] if block is None else made)]
    assert ours.order[0] == np.argmin(w**2 / np.concatenate(diagonals))


def test_hessians_and_factors_of_all_array_kinds(namespace):
    rng = np.random.default_rng(2)
    X, Q = rng.standard_normal((4, 9)), basis(4, 3)
    H = (Q * [1.0, 2.0, 5.0, 9.0]) @ Q.T
    for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 1e-5)):
        x, h = namespace.asarray(X.astype(dtype)), namespace.asarray(((H + H.T) / 2).astype(dtype))
        for made, expected in (
            (layer_hessian(x), 2 * X @ X.T / 9),
            (inverse(h), np.linalg.inv(H)),
            (factored(h)[1], factored(H)[1]),
            (factored(h)[0], factored(H)[0]),
            (fisher_inverse(x.T, 0.5), np.linalg.inv(0.5 * np.eye(4) + X @ X.T / 9)),
            (fisher_inverse(x.T, 0.5, 3)[1], 1 / (0.5 + X[3:] @ X[3:].T / 9)),
        ):
            assert namespace.owns(made)
            assert namespace.to_numpy(made).dtype == dtype
            assert np.allclose(namespace.to_numpy(made), expected, rtol=0, atol=tolerance)


def test_over_rational_numbers_they_are_exact():
    rng = np.random.default_rng(4)
    H = exact.spd(rng, 4)
    V, d = exact.checked(factored(H))
    one = exact.array(np.eye(4, dtype=int))
    assert (H @ ((V.T * d) @ V) == one).all()
    assert (H @ inverse(H) == one).all()
    for wrong in (np.ones((2, 2)), np.array([[1, 2], [2, 1]])):
        with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
            factored(exact.array(wrong.astype(int)))


def test_a_series_of_batches_is_all_their_samples(namespace):
    X = np.random.default_rng(5).standard_normal((3, 10))
    parts = (namespace.asarray(X[:, a:b]) for a, b in ((0, 1), (1, 7), (7, 10)))
    assert np.allclose(namespace.to_numpy(layer_hessian(parts)), 2 * X @ X.T / 10, rtol=1e-14)
    W = np.arange(1.0, 7.0).reshape(2, 3)
    whole = pruning.sparsegpt(W, X, 0.5)
    assert np.allclose(pruning.sparsegpt(W, [X[:, :4], X[:, 4:]], 0.5).weights, whole.weights, rtol=1e-12)


def factored_after(damping):
    return obs(np.ones(2), np.eye(2), count=1, damping=damping)


def test_what_they_refuse():
    for words, call in (
        ("samples, weights", lambda: fisher_inverse(np.zeros((0, 2)), 1.0)),
        ("must be positive", lambda: fisher_inverse(np.ones((1, 2)), 0.0)),
        ("damping is inf", lambda: fisher_inverse(np.ones((1, 2)), np.inf)),
        ("damping is nan", lambda: factored_after(np.nan)),
        ("damping is inf", lambda: factored_after(np.inf)),
        ("block_size is 0", lambda: fisher_inverse(np.ones((1, 2)), 1.0, 0)),
        ("block_size is 1.5", lambda: fisher_inverse(np.ones((1, 2)), 1.0, 1.5)),
        ("G has entries that are not finite", lambda: fisher_inverse(np.full((1, 2), np.nan), 1.0)),
        ("an array of X has 3 inputs, those before it 2", lambda: layer_hessian([np.ones((2, 1)), np.ones((3, 1))])),
        ("one sample or more", lambda: layer_hessian(np.ones((2, 0)))),
        ("empty series", lambda: layer_hessian([])),
        ("must be symmetric", lambda: obs(np.ones(2), np.array([[2.0, 1.0], [0.0, 2.0]]), count=1)),
        ("singular to rounding", lambda: factored(np.array([[1.0, 1.0], [1.0, 1.0 + 1e-15]]))),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    nearly = np.array([[2.0, 1.0], [1.0 + 1e-12, 2.0]])
    assert obs(np.array([0.5, 1.0]), nearly, count=1).order.tolist() == [0]
    assert fisher_inverse(np.ones((1, 0)), 1.0, 2) == []
    assert pruning.fisher_inverse(np.ones((3, 0)), 1.0).shape == (0, 0)


@pytest.mark.parametrize("of", [of for of, caution in CAUTIONS.items() if caution])
def test_a_caution_names_claims_that_are_in_the_ledger(of):
    (name,) = re.findall(r"claims? ([\w.*-]+)\)", CAUTIONS[of])
    assert find(name)
