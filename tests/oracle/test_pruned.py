"""Prunings of somebody else's: methods, conventions and mistakes, each written out as one finds it."""

import numpy as np
import pytest

from refopt import pruning
from refopt.oracle import judge, pruned
from refopt.pruning import layer_hessian

OUT, INPUTS, TOKENS = 10, 32, 90


def layer(seed=0, dtype=float):
    rng = np.random.default_rng(seed)
    mixed = np.eye(INPUTS) + 0.5 * rng.standard_normal((INPUTS, INPUTS))
    X = rng.uniform(0.5, 2.0, INPUTS)[:, None] * (mixed @ rng.standard_normal((INPUTS, TOKENS)))
    return rng.standard_normal((OUT, INPUTS)).astype(dtype), X.astype(dtype)


def literal(W, X, sparsity=0.5, prunen=0, prunem=0, blocksize=128, percdamp=0.01, wrong=""):
    """SparseGPT as its public code goes about it, with places to go wrong; the weights, and what went."""
    W, n = W.copy(), W.shape[1]
    H = X @ X.T if wrong == "unscaled" else 2 / X.shape[1] * X @ X.T
    dead = np.diag(H) == 0
    H[dead, dead], W[:, dead] = 1, 0
    mean = {"max": np.max, "absolute": lambda d: 1.0}.get(wrong, np.mean)(np.diag(H))
    H = H + percdamp * mean * np.eye(n, dtype=H.dtype)
    P, start, gone = np.linalg.inv(H), W.copy(), np.zeros(W.shape, bool)
    U = {
        "of H": lambda: np.linalg.cholesky(H).T, "UUᵀ": lambda: np.linalg.inv(np.linalg.cholesky(H)).T,
        "whole": lambda: P, "lower": lambda: np.linalg.cholesky(P),
    }.get(wrong, lambda: np.linalg.cholesky(P).T)()  # fmt: skip
    for i1 in range(0, n, blocksize):
        i2 = min(i1 + blocksize, n)
        W1, U1 = W[:, i1:i2].copy(), U[i1:i2, i1:i2]
        Q1, E1, d = np.zeros_like(W1), np.zeros_like(W1), np.diag(U1)
        square = d if wrong in ("no square", "whole") else d**2
        mask = np.zeros(W1.shape, bool)
        if not prunen:
            scores = (start[:, i1:i2] if wrong == "stale score" else W1) ** 2 / square
            scores = W1**2 / np.diag(P)[i1:i2] if wrong == "diagonal of P" else scores
            scores = -scores if wrong == "greatest" else W1**2 * square if wrong == "multiplied" else scores
            mask = scores <= np.sort(scores, axis=None)[int(scores.size * sparsity)]
        for i in range(i2 - i1):
            if prunen and i % prunem == 0:
                scores = W1[:, i : i + prunem] ** 2 / square[i : i + prunem]
                np.put_along_axis(mask[:, i : i + prunem], np.argsort(scores, 1)[:, :prunen], True, 1)
            w = start[:, i1 + i] if wrong == "stale" else W1[:, i]
            Q1[:, i] = np.where(mask[:, i], 0, W1[:, i])
            E1[:, i] = np.where(mask[:, i], w, 0) / (1 if wrong == "undivided" else d[i])
            E1[:, i] *= -1 if wrong == "sign" else 1
            W1[:, i + 1 :] -= np.outer(E1[:, i], U1[i, i + 1 :])
        W[:, i1:i2], gone[:, i1:i2] = Q1, mask
        if wrong != "within":
            W[:, i2:] -= E1 @ U[i1:i2, i2:]
    return W, gone


# --- what is right is found right --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", [float, np.float32])
@pytest.mark.parametrize("how", [{}, {"blocksize": 8}, {"prunen": 2, "prunem": 4}, {"prunen": 1, "prunem": 8}])
def test_the_public_code_of_sparsegpt_is_right(seed, dtype, how):
    W, X = layer(seed, dtype)
    found = pruned(literal(W, X, **how)[0], W, X, claim="sparsegpt", sparsity=0.5)
    assert found, found.sentence
    assert (found.method, found.mask, found.correction) == ("sparsegpt", "sparsegpt", "sweep")
    assert found.first is None
    np.testing.assert_allclose(found.damping, 0.01 * np.diag(layer_hessian(X)).mean(), rtol=1e-5)
    wanted = "2 of every 4" if "prunen" in how else "in each block of 8" if how else "over the whole layer"
    assert wanted.replace("2 of every 4", f"{how.get('prunen')} of every {how.get('prunem')}") in found.groups
    assert ("as the public code has it" in found.sentence) == ("prunen" not in how)


def by_refit(W, X, mask):
    """A least squares problem of its own for each row."""
    new = np.zeros_like(W)
    for w, row, out in zip(W, mask, new, strict=True):
        out[row] = np.linalg.lstsq(X[row].T, X.T @ w)[0]
    return new


OURS = {
    "magnitude": lambda W, X: pruning.magnitude(W, X, 0.5).weights,
    "wanda": lambda W, X: pruning.wanda(W, X, 0.5).weights,
    "obd": lambda W, X: pruning.obd(W, np.broadcast_to((X * X).mean(1), W.shape), sparsity=0.5).weights,
    "obs": lambda W, X: pruning.obs_rows(W, X, 0.5).weights,
    "sparsegpt": lambda W, X: pruning.sparsegpt(W, X, 0.5, block_size=16, damping=0.037).weights,
    "refit": lambda W, X: by_refit(W, X, abs(W) > 0.6),
}


@pytest.mark.parametrize("claim", OURS)
@pytest.mark.parametrize("told", [True, False])
def test_methods_are_found(claim, told):
    W, X = layer(4)
    dump = {"what": "pruning", "theirs": OURS[claim](W, X), "W": W, "X": X}
    verdict = judge(dump | ({"claim": claim} if told else {}))
    assert verdict.right, verdict.sentence
    assert (verdict.found.method or verdict.found.correction) == claim
    for other in set(OURS) - {claim, "refit"} - ({"obd"} if claim == "wanda" else set()):  # Wanda is OBD, row by row
        wrong = judge(dump | {"claim": other})
        assert not wrong.right
        assert "which you say it is" in wrong.sentence


@pytest.mark.parametrize("claim", ["magnitude", "wanda"])
def test_patterns_are_found(claim):
    W, X = layer(5)
    found = pruned(getattr(pruning, claim)(W, X, pattern=(1, 4)).weights, W, X)
    assert found
    assert (found.method, found.groups) == (claim, "1 of every 4 weights of a row")


def test_wandas_scores_over_the_whole_layer_are_no_wanda():
    W, X = layer(5)
    verdict = judge({"what": "pruning", "theirs": OURS["obd"](W, X), "W": W, "X": X, "claim": "wanda"})
    assert not verdict.right
    assert "The score is Wanda's, which compares within each row" in verdict.sentence
    assert "mistake" not in verdict.sentence


def test_a_damping_between_those_in_use_is_found():
    W, X = layer()
    found = pruned(literal(W, X, percdamp=0.037)[0], W, X)
    assert found
    np.testing.assert_allclose(found.damping, 0.037 * np.diag(layer_hessian(X)).mean(), rtol=1e-5)


@pytest.mark.parametrize("wrong", ["unscaled", "max", "absolute"])
def test_conventions_are_no_mistakes(wrong):
    W, X = layer(1)
    found = pruned(literal(W, X, wrong=wrong)[0], W, X, claim="sparsegpt")
    assert found, found.sentence
    said = {"max": "of the largest entry", "absolute": "which does not scale with H", "unscaled": "of the mean"}
    assert said[wrong] in found.sentence


def test_a_hessian_without_its_factor_is_harmless_and_said():
    W, X = layer(1)
    found = pruned(literal(W, X)[0], W, X, hessian=X @ X.T)
    assert found
    assert f"Your H is {TOKENS / 2:g} times 2XXᵀ/N" in found.sentence


def test_dead_inputs_mean_nothing():
    W, X = layer(2)
    X[[3, 17]] = 0.0
    for weights in (literal(W, X, blocksize=8)[0], pruning.sparsegpt(W, X, 0.5, block_size=8).weights):
        assert pruned(weights, W, X, claim="sparsegpt", sparsity=0.5)


def test_masks_of_either_sense_and_weights_that_were_zero():
    W, X = layer(3)
    W[np.random.default_rng(0).random(W.shape) < 0.1] = 0.0
    weights, gone = literal(W, X)
    assert pruned(weights, W, X, claim="sparsegpt")
    assert pruned(weights, W, X, mask=~gone, claim="sparsegpt")
    found = pruned(weights, W, X, mask=gone, claim="sparsegpt")
    assert found
    assert "Your mask is True where a weight goes" in found.sentence


def test_vectors_of_weights_and_diagonals():
    W, X = layer(6)
    H = layer_hessian(X)
    assert pruned(pruning.obs(W[0], H, 12).weights, W[0], hessian=H).method == "obs"
    h = np.random.default_rng(0).random(W.shape)
    assert pruned(pruning.obd(W, h, 100).weights, W, hessian=h, claim="obd")


def test_the_loss_stands_beside_its_bound():
    W, X = layer(7)
    mask = pruning.magnitude(W, X, 0.5).mask
    best = pruned(by_refit(W, X, mask), W, X)
    assert best.refit_ratio == pytest.approx(1.0, abs=1e-9)
    assert best.optimality < 1e-10
    plain = pruned(np.where(mask, W, 0.0), W, X)
    loss = lambda new: np.sum(((new - W) @ X) ** 2) / TOKENS
    assert plain.loss == pytest.approx(loss(np.where(mask, W, 0.0)), rel=1e-12)
    assert plain.refit_ratio == pytest.approx(plain.loss / loss(by_refit(W, X, mask)), rel=1e-9)


@pytest.mark.parametrize("seed", [3, 5, 12, 23, 25, 27, 37, 38, 42, 54])
def test_nothing_right_is_accused(seed):
    """Layers of few outputs or inputs, fewer samples than inputs, blocks that do not divide, float32."""
    rng = np.random.default_rng(seed)
    out, n = int(rng.integers(1, 9)), int(rng.choice([3, 5, 8, 12, 20, 33]))
    N, dtype = int(rng.choice([n // 2 + 1, n + 3, 4 * n])), rng.choice([float, np.float32])
    X = (rng.standard_normal((n, n)) @ rng.standard_normal((n, N))).astype(dtype)
    W = rng.standard_normal((out, n)).astype(dtype)
    block, damping, sparsity = int(rng.choice([2, 4, 7, 128])), *rng.choice([0.003, 0.01, 0.1], 1), 0.5
    made = {
        "sparsegpt": literal(W, X, sparsity, blocksize=block, percdamp=damping)[0],
        "wanda": pruning.wanda(W, X, sparsity).weights,
        "magnitude": pruning.magnitude(W, X, sparsity).weights,
        "obs": pruning.obs_rows(W, X, sparsity, damping=damping).weights,
    }
    for claim, weights in made.items():
        found = pruned(weights, W, X, claim=claim, block_size=block if claim == "sparsegpt" else None)
        assert found, found.sentence
        assert found.method == claim, found.sentence


# --- what is wrong is found, and where ---------------------------------------------------------------------------

SAID = {
    "of H": "H itself is factored, not its inverse", "UUᵀ": "H⁻¹ is factored as UUᵀ", "whole": "rows of the whole H⁻¹",
    "lower": "No weight that is kept has moved: the rows of a lower triangular factor",
    "no square": "Uⱼⱼ is not squared in the score", "greatest": "the weights of greatest score go",
    "diagonal of P": "the diagonal of the whole H⁻¹ for every column", "stale score": "of the weights before the sweep",
    "multiplied": "Uⱼⱼ² multiplies w²", "stale": "as it was before the sweep", "undivided": "not divided by Uⱼⱼ",
    "sign": "the correction has the wrong sign", "within": "columns beyond the block of 8 are not corrected",
}  # fmt: skip


@pytest.mark.parametrize("dtype", [float, np.float32])
@pytest.mark.parametrize("wrong", SAID)
def test_mistakes_of_sparsegpt_are_named(wrong, dtype):
    W, X = layer(8, dtype)
    found = pruned(literal(W, X, blocksize=8, wrong=wrong)[0], W, X, claim="sparsegpt", sparsity=0.5)
    assert not found
    assert "That is a mistake" in found.sentence
    assert SAID[wrong] in found.sentence


def test_coarse_numbers_are_judged_as_such():
    W, X = layer(9, np.float32)
    coarse = lambda a: (a.view(np.uint32) + 0x8000 & 0xFFFF0000).view(np.float32)
    given = {"what": "pruning", "claim": "sparsegpt", "W": coarse(W), "X": X, "precision": "bfloat16"}
    for wrong in ("", "within", "sign"):
        verdict = judge(given | {"theirs": coarse(literal(coarse(W), X, blocksize=8, wrong=wrong)[0])})
        assert verdict.right == (not wrong), verdict.sentence
        assert SAID.get(wrong, "") in verdict.sentence
        assert verdict.found.tolerance > 1e-3


def test_a_right_mask_beside_a_wrong_correction():
    W, X = layer(18)
    gone, H = literal(W, X, blocksize=8)[1], layer_hessian(X)
    P = np.linalg.inv(H + 0.01 * np.diag(H).mean() * np.eye(INPUTS))
    found = pruned(np.where(gone, 0.0, W - np.where(gone, W, 0.0) / np.diag(P) @ P), W, X)
    assert (found.mask, found.correction) == ("sparsegpt", "")
    assert "added up" in found.sentence


def test_inputs_whose_mean_was_subtracted_are_named():
    W, X = layer(10)
    X = X + 1.0
    found = pruned(literal(W, X - X.mean(1, keepdims=True))[0], W, X, claim="sparsegpt")
    assert not found
    assert "their mean was subtracted" in found.sentence


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (lambda W, h: abs(W) * h, "h |w| for ½ h w²"),
        (lambda W, h: -abs(W), "the weights of greatest score go"),
        (lambda W, h: W, "the sign of w is in the score"),
        (lambda W, h: W**2 / h, "h divides w²"),
    ],
)
def test_wrong_scores_are_named(scores, said):
    W, X = layer(11)
    values = scores(W, (X * X).mean(1))
    found = pruned(np.where(values > np.quantile(values, 0.5), W, 0.0), W, X)
    assert not found
    assert said in found.sentence


def test_corrections_that_do_not_see_each_other_are_named():
    W, X = layer(12)
    P, gone = np.linalg.inv(layer_hessian(X)), abs(W) < 0.5
    added = W - sum(np.outer(np.where(gone[:, q], W[:, q], 0.0) / P[q, q], P[q]) for q in range(INPUTS))
    found = pruned(np.where(gone, 0.0, added), W, X, claim="obs")
    assert "as if those that go together did not correct each other" in found.sentence


def test_weights_that_should_be_zero_are_counted():
    W, X = layer(13)
    weights, gone = literal(W, X)
    where = tuple(np.argwhere(gone)[5])
    weights[where] = 1e-3
    found = pruned(weights, W, X, mask=~gone)
    assert not found
    assert f"1 are not zero, the first in row {where[0]}, column {where[1]}: 0.001" in found.sentence


def test_one_weight_off_is_found_where_it_is():
    W, X = layer(14)
    weights, gone = literal(W, X, blocksize=8)
    where = tuple(map(int, np.argwhere(~gone)[50]))
    weights[where] += 1e-4
    found = pruned(weights, W, X, claim="sparsegpt")
    assert not found
    assert found.first == where


def test_one_weight_kept_against_the_score_is_found_where_it_is():
    W, X = layer(15)
    weights = pruning.wanda(W, X, 0.5).weights.copy()
    row, out = 4, np.flatnonzero(weights[4] == 0.0)[0]
    kept = np.flatnonzero(weights[4])[-1]
    weights[row, out], weights[row, kept] = W[row, out], 0.0
    found = pruned(weights, W, X, claim="wanda")
    assert not found
    assert found.first == (row, min(out, kept))


def test_how_many_go_is_counted():
    W, X = layer(16)
    found = pruned(pruning.wanda(W, X, 0.25).weights, W, X, sparsity=0.5)
    assert found.defects == ["0.25 of the weights go, and 0.5 was asked for"]


def test_a_random_mask_is_explained_by_nothing():
    W, X = layer(17)
    for seed in range(10):
        found = pruned(np.where(np.random.default_rng(seed).random(W.shape) < 0.5, 0.0, W), W, X)
        assert not found.mask
        assert found.first is not None
        assert found.correction == "unmoved"


# --- what cannot be judged ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"theirs": np.zeros((3, 3))}, "must have one shape"),
        ({"X": np.ones((5, 7))}, "with 32 inputs; it has shape"),
        ({"X": None}, "give the calibration inputs X"),
        ({"hessian": np.arange(1024.0).reshape(32, 32)}, "must be symmetric"),
        ({"hessian": np.ones(5)}, "hessian must have shape"),
        ({"claim": "gptq"}, "it can be magnitude"),
        ({"W": np.full((OUT, INPUTS), np.nan)}, "W must hold finite"),
    ],
)
def test_what_is_missing_or_of_a_wrong_shape_is_said(change, said):
    W, X = layer()
    with pytest.raises(ValueError, match=said):
        pruned(**({"theirs": W, "W": W, "X": X} | change))


def test_options_of_a_dump_are_known():
    W, X = layer()
    with pytest.raises(ValueError, match=r"no option.percdamp; its options are option.sparsity"):
        judge({"what": "pruning", "theirs": W, "W": W, "X": X, "option.percdamp": 0.01})


def test_nothing_or_everything_gone():
    W, X = layer()
    assert pruned(W, W, X).sentence == "Nothing has gone: no weight is zero."
    assert "All weights have gone" in pruned(0 * W, W, X).sentence


def test_one_weight_and_one_row():
    W, X = layer()
    assert pruned(pruning.magnitude(W[:1], X, 0.5).weights, W[:1], X).method == "magnitude"
    assert pruned(np.array([[0.0], [2.0]]), np.array([[1.0], [2.0]]), np.ones((1, 3))).mask == "magnitude"
