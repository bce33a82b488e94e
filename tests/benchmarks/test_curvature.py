"""How long inverse roots and damped Kronecker solves take, beside what they are made of and beside SciPy."""

import numpy as np
import pytest
import scipy.linalg

from refopt.curvature import Kron
from refopt.linalg import inverse_root


def spd(n, seed, condition=1e4):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    A = (Q * np.logspace(0, np.log10(condition), n)) @ Q.T
    return (A + A.T) / 2


@pytest.mark.parametrize("n", [64, 256, 512])
def test_an_inverse_fourth_root_beside_its_parts(paired, n):
    A = spd(n, 0)
    (X, _), _ = paired(
        f"inverse fourth root, n = {n}",
        lambda: inverse_root(A, 4),
        "one eigh and two products",
        lambda: (np.linalg.eigh(A), A @ A, A @ A),
    )
    residual = np.abs(np.linalg.matrix_power(X, 4) @ A - np.eye(n)).max()
    assert residual <= 10 * 2.0**-52 * np.linalg.cond(A)


def test_an_inverse_fourth_root_beside_scipys(paired):
    A = spd(64, 1)
    (X, _), other = paired(
        "inverse fourth root, n = 64",
        lambda: inverse_root(A, 4),
        "SciPy's fractional_matrix_power",
        lambda: scipy.linalg.fractional_matrix_power(A, -0.25),
    )
    assert pytest.approx(other, abs=1e-11 * np.abs(other).max()) == X


def test_a_damped_solve_beside_the_dense_one(paired):
    """A new damping each time: the eigenvectors are kept, a dense factor is not. P = 32 · 33."""
    A, G, v = spd(33, 2), spd(32, 3), np.random.default_rng(4).standard_normal(32 * 33)
    K = Kron(A, G)
    dense = K.dense()
    x, other = paired(
        "K-FAC solve, P = 1056, eigenvectors known",
        lambda: K.solve(v, 0.1),
        "a dense Cholesky factorisation",
        lambda: scipy.linalg.cho_solve(scipy.linalg.cho_factor(dense + 0.1 * np.eye(len(v))), v),
    )
    assert pytest.approx(other, abs=1e-9 * np.abs(other).max()) == x
