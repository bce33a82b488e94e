"""How long pruning takes, beside the same algorithm in NumPy, as its paper writes it, and in PyTorch."""

import numpy as np
import pytest

from refopt import pruning
from refopt.pruning.sparsegpt import chooser, swept

SPARSITY, BLOCK = 0.5, 128


def layer(n, dtype=np.float64):
    """Weights (n, n) and a Hessian of correlated inputs."""
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, n)) @ rng.standard_normal((n, 2 * n)) / n**0.5
    H = pruning.layer_hessian(X) + 0.02 * np.eye(n)
    return rng.standard_normal((n, n)).astype(dtype), H.astype(dtype)


def outer_products(w, P, count):
    """Greedy OBS with a rank-one downdate of the whole inverse."""
    w, P, kept, order = w.copy(), P.copy(), np.ones(len(w), dtype=bool), []
    for _ in range(count):
        score = np.full(len(w), np.inf)
        score[kept] = w[kept] ** 2 / P.diagonal()[kept]
        q = int(score.argmin())
        order.append(q)
        w -= w[q] / P[q, q] * P[:, q]
        P -= np.outer(P[:, q], P[q]) / P[q, q]
        kept[q] = False
        w[~kept] = 0.0
    return w, order


def column_by_column(W, U, xp, masked):
    """SparseGPT's sweep as its paper writes it; ``masked(W, scores)`` is (a copy, the mask) of a block."""
    W = xp.clone(W) if hasattr(xp, "clone") else W.copy()
    n = W.shape[1]
    diag = U.diagonal()
    for i in range(0, n, BLOCK):
        j = min(i + BLOCK, n)
        block, gone = masked(W[:, i:j], (W[:, i:j] / diag[i:j]) ** 2)
        E = xp.zeros_like(block)
        for k in range(j - i):
            e = xp.where(gone[:, k], block[:, k], 0 * block[:, k]) / U[i + k, i + k]
            block[:, k:] -= e[:, None] * U[i + k, i + k : j][None, :]
            E[:, k] = e
        block[gone] = 0
        W[:, i:j] = block
        W[:, j:] -= E @ U[i:j, j:]
    return W


def masked_numpy(block, scores):
    count = int(SPARSITY * scores.size)
    return block.copy(), scores <= np.sort(scores, axis=None)[count - 1]


def masked_torch(block, scores):
    return block.clone(), scores <= scores.flatten().sort()[0][int(SPARSITY * scores.numel()) - 1]


def ours(W, V, d):
    return swept(W, V, d, chooser(W, SPARSITY, None, False), BLOCK)[0]


def rows_apart(W, P):
    """Greedy OBS of every row to its half."""
    return np.stack([outer_products(w, P, len(w) // 2)[0] for w in W])


@pytest.mark.jit
@pytest.mark.parametrize("n", [64, 128, 256, 512])
def test_greedy_obs(paired, n):
    W, H = layer(n)
    P = pruning.inverse(H)
    for what, ours, theirs in (
        ("inverse ", lambda: pruning.obs(W[0], inverse_hessian=P, count=n // 2), lambda: P),
        ("", lambda: pruning.obs(W[0], H, count=n // 2), lambda: np.linalg.inv(H)),
    ):
        done, (w, order) = paired(
            f"obs, half of a row of {n}, from its {what}Hessian",
            ours,
            "NumPy, outer products",
            lambda theirs=theirs: outer_products(W[0], theirs(), n // 2),
        )
        assert done.order.tolist() == order
        assert np.allclose(done.weights, w, rtol=0, atol=1e-10 * abs(w).max())


@pytest.mark.jit
def test_obs_row_by_row(paired):
    k, n = 32, 128
    W, H = layer(n)
    done, weights = paired(
        f"obs_rows, half of each of {k} rows of {n}, from their Hessian",
        lambda: pruning.obs_rows(W[:k], hessian=H, sparsity=0.5, rows="uniform", damping=0),
        "NumPy, outer products",
        lambda: rows_apart(W[:k], np.linalg.inv(H)),
    )
    assert np.allclose(done.weights, weights, rtol=0, atol=1e-10 * abs(weights).max())


@pytest.mark.jit
@pytest.mark.parametrize(("n", "dtype"), [(256, np.float64), (1024, np.float64), (1024, np.float32)])
def test_the_sweep_beside_numpy(paired, n, dtype):
    if n > 256 and not paired.rounds:
        pytest.skip("long, and of no other result than the small one")
    W, H = layer(n, dtype)
    V, d = pruning.factored(H)
    U = np.ascontiguousarray(V * d[:, None] ** 0.5)
    mine, theirs = paired(
        f"sparsegpt, the sweep of {n}×{n}, {np.dtype(dtype).name}",
        lambda: ours(W, V, d),
        "NumPy",
        lambda: column_by_column(W, U, np, masked_numpy),
    )
    assert np.mean((mine == 0) == (theirs == 0)) > 0.999
    if dtype is np.float64:
        assert np.allclose(mine, theirs, rtol=0, atol=1e-10)


@pytest.mark.jit
@pytest.mark.peers
@pytest.mark.parametrize(("n", "dtype"), [(256, np.float64), (1024, np.float64), (1024, np.float32)])
def test_the_sweep_beside_torch(paired, n, dtype):
    torch = pytest.importorskip("torch")
    if n > 256 and not paired.rounds:
        pytest.skip("long, and of no other result than the small one")
    torch.set_num_threads(1)
    W, H = layer(n, dtype)
    V, d = pruning.factored(H)
    U = torch.from_numpy(np.ascontiguousarray(V * d[:, None] ** 0.5))
    Wt = torch.from_numpy(W)
    mine, theirs = paired(
        f"sparsegpt, the sweep of {n}×{n}, {np.dtype(dtype).name}",
        lambda: ours(W, V, d),
        "PyTorch, column by column",
        lambda: column_by_column(Wt, U, torch, masked_torch),
    )
    assert np.mean((mine == 0) == (theirs.numpy() == 0)) > 0.999


@pytest.mark.parametrize("n", [256, 1024, 2048])
def test_the_preparation(paired, n):
    if n > 256 and not paired.rounds:
        pytest.skip("long, and of no other result than the small one")
    _, H = layer(n)

    def inverse_and_cholesky():
        return np.linalg.cholesky(np.linalg.inv(H)).T

    def flipped():
        return pruning.factored(H)

    (V, d), U = paired(
        f"sparsegpt, the factor of the inverse, {n}", flipped, "inverse and Cholesky", inverse_and_cholesky
    )
    assert np.allclose(V * d[:, None] ** 0.5, U, rtol=0, atol=1e-9 * abs(U).max())


@pytest.mark.parametrize("n", [64, 128, 256, 512])
def test_the_inverse(paired, n):
    _, H = layer(n)
    ours, theirs = paired(
        f"the inverse of a Hessian, {n}", lambda: pruning.inverse(H), "np.linalg.inv", lambda: np.linalg.inv(H)
    )
    assert np.allclose(ours, theirs, rtol=0, atol=1e-10 * abs(theirs).max())
