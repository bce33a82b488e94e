"""K-FAC, EKFAC and KFOC of every kind of network, beside Fisher matrices from Jacobians that autograd has traced.

Whatever a network is made of: EKFAC has the trace of F in each block, KFOC is as far from it as it says, parameters of
no linear layer have F's diagonal, and every parameter is in one block.
"""

import numpy as np
import pytest

from networks.cases import CASES
from refopt import Supervised
from refopt.curvature import Diagonal, Nearest, ekfac, kfac, kfac_tridiagonal, kfoc

each = pytest.mark.parametrize("name", CASES)


def problem(name):
    """With squared errors, so that F = c JᵀJ."""
    example = CASES[name]
    f = example.model(example.x, example.X)
    whole = Supervised(example.network, "squared", example.X, np.zeros(f.shape), masks=example.masks)
    return whole, example.x, whole.c * example.jacobian.T @ example.jacobian


def runs(K):
    """(block, its place), those of groups put together."""
    ends = np.cumsum([0, *(block.shape[0] for block in K.blocks)])
    return [(block, slice(int(ends[k]), int(ends[k + 1]))) for k, block in enumerate(K.blocks)]


@each
@pytest.mark.parametrize("bias", ["joint", "separate"])
def test_traces_and_distances(name, bias):
    whole, x, F = problem(name)
    E, O, K = (f(whole, x, bias=bias) for f in (ekfac, kfoc, kfac))
    assert E.shape == O.shape == K.shape == F.shape
    dense = K.dense()
    assert np.linalg.norm(dense - dense.T) <= 1e-14 * np.linalg.norm(dense)
    for (block, place), (near, _), (kron, _) in zip(runs(E), runs(O), runs(K), strict=True):
        own = F[place, place]
        norm = np.linalg.norm(own)
        assert block.trace() == pytest.approx(np.trace(own), rel=1e-12)
        found = [np.linalg.norm(own - B.dense()) for B in (block, near, kron)]
        assert max(found[:2]) <= found[2] + 1e-13 * norm
        if isinstance(block, Diagonal):
            assert np.linalg.norm(block.d - np.diag(own)) <= 1e-12 * norm
        if isinstance(near, Nearest):
            C = near.certificate
            assert found[1] == pytest.approx(C.error, abs=1e-7 * norm)  # √(‖F‖² − σ²): 7√ε
            assert C.norm == pytest.approx(norm, rel=1e-12)
            assert C.error - C.least <= 1e-3 * norm


@each
def test_block_tridiagonal(name):
    """The damped inverse of the matrix that is said to be there."""
    whole, x, _ = problem(name)
    T = kfac_tridiagonal(whole, x, sharing="reduce")
    M, v = T.dense(), np.random.default_rng(0).standard_normal(len(x))
    lam = 1e-2 * np.trace(M) / len(M)
    damped = M + lam * np.eye(len(M))
    expected = np.linalg.solve(damped, v)
    found = T.solve(v, lam)
    assert np.linalg.norm(found - expected) <= 1e-13 * np.linalg.cond(damped) * np.linalg.norm(expected)
    assert np.linalg.eigvalsh(M)[0] >= -1e-12 * np.linalg.norm(M)
