"""A Kronecker-factored block is its dense matrix, in both orders, with a bias and without, under every damping."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from refopt import derivatives
from refopt.curvature import BlockDiagonal, Dense, Diagonal, Kron
from refopt.curvature.kron import RULES
from strategies import basis, seeds, spd

EPS = 2.0**-52
biases = st.booleans()
blocks = st.tuples(spd(st.integers(1, 4), condition=1e3), spd(st.integers(1, 3), condition=1e3), biases)


def by_entries(A, G, bias):
    """The block, entry by entry: the second derivative in V_ij and V_kl of ½ Σ g_ik a_jl V_ij V_kl."""
    m, n = len(G), len(A)
    places = [(i, j) for i in range(m) for j in range(n - bias)] + [(i, n - 1) for i in range(m) if bias]
    return np.array([[G[i, k] * A[j, l] for k, l in places] for i, j in places])


def damped(A, G, bias, lam, rule):
    """What `solve` inverts, dense."""
    if rule == "exact":
        return by_entries(A, G, bias) + lam * np.eye(len(A) * len(G))
    pi = np.sqrt((np.trace(A) / len(A)) / (np.trace(G) / len(G))) if rule == "pi" else 1.0
    return by_entries(A + pi * lam**0.5 * np.eye(len(A)), G + lam**0.5 / pi * np.eye(len(G)), bias)


@given(blocks)
def test_dense_is_the_definition(block):
    A, G, bias = block
    K = Kron(A, G, bias)
    assert K.shape == (len(A) * len(G),) * 2
    assert (K.dense() == by_entries(A, G, bias)).all()
    assert (K.dense(vec="column") == np.kron(A, G)).all()


@given(blocks, seeds, st.sampled_from([None, 1, 3]))
def test_products_and_solves_are_those_of_the_dense_matrix(block, seed, k):
    A, G, bias = block
    K, D = Kron(A, G, bias), by_entries(A, G, bias)
    v = np.random.default_rng(seed).standard_normal(len(D) if k is None else (len(D), k))
    assert K.matvec(v) == pytest.approx(D @ v, rel=1e-12, abs=100 * EPS * np.abs(D).sum())
    assert (K.matvec(v) == K @ v).all()
    for lam in (0.0, 0.1, 100.0):
        for rule in RULES:
            M = damped(A, G, bias, lam, rule)
            exact = np.linalg.solve(M, v)
            loss = 100 * EPS * np.linalg.cond(A) * np.linalg.cond(G) * np.abs(exact).max()
            assert K.solve(v, lam, rule) == pytest.approx(exact, abs=loss)


@given(blocks)
def test_scalars_and_eigenvectors(block):
    A, G, bias = block
    K, D = Kron(A, G, bias), by_entries(A, G, bias)
    assert K.trace() == pytest.approx(np.trace(D), rel=1e-12)
    assert K.logdet() == pytest.approx(np.linalg.slogdet(D)[1], abs=100 * EPS * len(D) * np.linalg.cond(D))
    M = D + 0.5 * np.eye(len(D))
    assert K.logdet(0.5) == pytest.approx(np.linalg.slogdet(M)[1], abs=100 * EPS * len(D) * np.linalg.cond(M))
    values, V = K.eigh()
    V = V.dense()
    assert pytest.approx(V * values, abs=100 * EPS * np.linalg.norm(D)) == D @ V
    assert pytest.approx(np.eye(len(D)), abs=100 * EPS) == V.T @ V
    assert np.sort(values) == pytest.approx(np.linalg.eigvalsh(D), abs=100 * EPS * np.linalg.norm(D))


def test_it_is_the_hessian_of_a_layer_with_bias_in_flat_order():
    """½ gᵀ-weighted squares of Wa + b, differentiated by autograd in (W.ravel(), b), the order of named parameters."""
    rng = np.random.default_rng(4)
    a, C = rng.standard_normal(3), basis(2, 9)
    G = (C * [1.0, 3.0]) @ C.T
    homogeneous = np.append(a, 1.0)

    def loss(theta):
        y = theta[:6].reshape((2, 3)) @ a + theta[6:]
        return y @ G @ y / 2

    hessian = derivatives.hessian_of(fun=loss, method="autograd")(rng.standard_normal(8))
    block = Kron(np.outer(homogeneous, homogeneous), G, bias=True)
    assert block.dense() == pytest.approx(hessian, rel=1e-12, abs=1e-14)


def test_a_path_worked_by_hand():
    """A = diag(2, 1), G = (4), [W b] = [w b]: the block is diag(8, 4); λ = 1 exact and factored; π = √(1.5/4)."""
    K = Kron(np.diag([2.0, 1.0]), np.array([[4.0]]), bias=True)
    v = np.array([9.0, 5.0])
    assert K.solve(v, 1.0) == pytest.approx([1.0, 1.0], rel=1e-12)
    assert K.solve(v, 1.0, "factored") == pytest.approx([9 / 15, 5 / 10], rel=1e-12)
    assert K.pi == pytest.approx(np.sqrt(3 / 8), rel=1e-12)
    pi = np.sqrt(3 / 8)
    assert K.solve(v, 1.0, "pi") == pytest.approx(
        [9 / ((4 + 1 / pi) * (2 + pi)), 5 / ((4 + 1 / pi) * (1 + pi))], rel=1e-12
    )


def test_rational_numbers_stay_rational():
    A = np.array([[Fraction(1, 2), Fraction(1, 3)], [Fraction(1, 3), Fraction(2)]], dtype=object)
    G = np.array([[Fraction(3), Fraction(1, 7)], [Fraction(1, 7), Fraction(1)]], dtype=object)
    K = Kron(A, G, bias=True)
    v = np.array([Fraction(k, 5) for k in range(4)], dtype=object)
    assert (K.dense() == by_entries(A, G, True)).all()
    assert (K.matvec(v) == by_entries(A, G, True) @ v).all()
    assert K.trace() == Fraction(5, 2) * 4
    with pytest.raises(TypeError, match="rational"):
        K.solve(v, 1)


def test_every_kind_of_array(namespace):
    rng = np.random.default_rng(1)
    for dtype in (np.float32, np.float64):
        A, G = np.array([[2.0, 0.5], [0.5, 1.0]], dtype=dtype), np.array([[1.0, 0.2], [0.2, 3.0]], dtype=dtype)
        v = rng.standard_normal((4, 2)).astype(dtype)
        close = {"rel": 20 * float(np.finfo(dtype).eps), "abs": 20 * float(np.finfo(dtype).eps)}
        for bias in (False, True):
            K, D = (
                Kron(namespace.asarray(A), namespace.asarray(G), bias),
                by_entries(A.astype(float), G.astype(float), bias),
            )
            found = [
                (K.dense(), D),
                (K.matvec(namespace.asarray(v)), D @ v),
                (K.rmatvec(namespace.asarray(v[:, 0])), D.T @ v[:, 0]),
                *(
                    (K.solve(namespace.asarray(v), 0.3, rule), np.linalg.solve(damped(A, G, bias, 0.3, rule), v))
                    for rule in RULES
                ),
                (K.dense("column"), np.kron(A, G)),
            ]
            for mine, exact in found:
                assert namespace.owns(mine)
                assert mine.dtype == K.dtype
                assert namespace.to_numpy(mine) == pytest.approx(exact, **close)
            assert isinstance(K.logdet(), float)
            assert isinstance(K.trace(), float)


def test_mixed_types_are_promoted(namespace):
    A, G = namespace.asarray(np.eye(2, dtype=np.float32)), namespace.asarray(np.eye(2))
    v = namespace.asarray(np.ones(4, dtype=np.float32))
    assert Kron(A, G).dtype == G.dtype
    assert Kron(A, A).matvec(namespace.asarray(np.ones(4))).dtype == G.dtype
    assert Kron(G, G).solve(v).dtype == G.dtype
    assert Kron(np.eye(2, dtype=int), [[2, 0], [0, 1]]).dtype == np.float64


# --- what has no answer --------------------------------------------------------------------------------------------


def test_singular_blocks_need_damping():
    v = np.ones((3, 1))
    K = Kron(v @ v.T, np.eye(2))
    for rule in RULES:
        with pytest.raises(ValueError, match="singular to rounding: give a larger damping"):
            K.solve(np.ones(6), 0.0, rule)
    D = K.dense()
    assert K.solve(np.ones(6), 1e-3) == pytest.approx(np.linalg.solve(D + 1e-3 * np.eye(6), np.ones(6)), rel=1e-12)
    assert K.logdet() == -np.inf
    assert K.logdet(1.0) == pytest.approx(2 * np.log(4.0), rel=1e-12)


def test_null_vectors_are_damped_by_lambda_alone_however_small():
    """An eigenvalue that is zero to rounding is zero: the inverse is 1/λ there, and not what noise makes of it."""
    Q = basis(4, 11)
    A = (Q[:, :2] * 5.0) @ Q[:, :2].T
    K = Kron((A + A.T) / 2, np.eye(1))
    null = Q[:, 3]
    assert K.solve(null, 1e-14) == pytest.approx(1e14 * null, rel=1e-8, abs=1e14 * 1e-8)


def test_a_vanishing_trace_makes_pi_one():
    K = Kron(np.zeros((1, 1)), np.eye(2))
    assert K.pi == 1.0
    assert K.solve(np.ones(2), 4.0, "pi") == pytest.approx(np.ones(2) / (2 * 3), rel=1e-12)
    assert K.solve(np.ones(2), 4.0) == pytest.approx(np.ones(2) / 4, rel=1e-12)


def test_determinants_do_not_underflow():
    K = Kron(1e-200 * np.eye(2), 1e-200 * np.eye(2))
    assert K.logdet() == pytest.approx(-8 * 200 * np.log(10), rel=1e-12)


def test_indefinite_blocks_have_no_log_det():
    with pytest.raises(ValueError, match="indefinite"):
        Kron(np.diag([1.0, -1.0]), np.eye(2)).logdet()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Kron(np.ones((2, 3)), np.eye(2)), ValueError, r"A must be a matrix of shape \(n, n\)"),
        (lambda: Kron(np.eye(2), np.ones(2)), ValueError, r"G must be a matrix of shape \(n, n\)"),
        (lambda: Kron(np.zeros((0, 0)), np.eye(2)), ValueError, "n ≥ 1"),
        (lambda: Kron(np.eye(2) * 1j, np.eye(2)), ValueError, "real"),
        (lambda: Kron(np.eye(2), np.eye(2)).matvec(np.ones(3)), ValueError, r"v must have shape \(4,\) or \(4, k\)"),
        (lambda: Kron(np.eye(2), np.eye(2)).matvec(np.ones((2, 2))), ValueError, r"it has shape \(2, 2\)"),
        (lambda: Kron(np.eye(2), np.eye(2)).dense("col"), ValueError, "'row' or 'column'"),
        (lambda: Kron(np.eye(300), np.eye(50)).dense(), MemoryError, "1,800,000,000 bytes, the limit is 1,073,741,824"),
        (lambda: Kron(np.eye(2), np.eye(2)).dense(limit=100), MemoryError, r"use its \.matvec\(v\)"),
        (lambda: BlockDiagonal((np.eye(2),) * 3).dense(limit=8 * 35), MemoryError, "takes 288 bytes"),
        (lambda: Diagonal(np.ones(3)).dense(limit=71), MemoryError, "takes 72 bytes"),
        (lambda: Kron(np.eye(2), np.eye(2)).solve(np.ones(4), 1.0, "tikhonov"), ValueError, "exact, pi, factored"),
        (
            lambda: Kron(np.eye(2), np.eye(2)).solve(np.ones(4), -1.0),
            ValueError,
            "damping must be finite and at least 0",
        ),
        (lambda: Kron(np.eye(2), np.eye(2)).solve(np.ones(4), np.nan), ValueError, "damping"),
        (lambda: Kron(np.eye(2) * np.nan, np.eye(2)).solve(np.ones(4), 1.0), ValueError, "A must be finite"),
        (lambda: Kron(np.eye(2), np.tri(2)).solve(np.ones(4), 1.0), ValueError, "G must be a symmetric matrix"),
        (lambda: BlockDiagonal(()), ValueError, "at least one block"),
        (lambda: BlockDiagonal((np.ones((2, 3)),)), ValueError, r"shape \(n, n\)"),
        (lambda: BlockDiagonal((np.eye(2),)).matvec(np.ones(3)), ValueError, r"v must have shape \(2,\)"),
        (lambda: BlockDiagonal((np.eye(2),)).solve(np.ones(2), 1.0, "none"), ValueError, "rule must be one of"),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- several blocks ------------------------------------------------------------------------------------------------


@given(st.lists(blocks, min_size=1, max_size=3), spd(st.integers(1, 3), condition=1e3), seeds)
def test_block_diagonal_is_scipys(several, B, seed):
    kron_blocks = [Kron(*block) for block in several]
    M = BlockDiagonal((*kron_blocks, B))
    D = scipy.linalg.block_diag(*(by_entries(*block) for block in several), B)
    v = np.random.default_rng(seed).standard_normal((len(D), 2))
    assert M.shape == D.shape
    assert (M.dense() == D).all()
    assert M.matvec(v) == pytest.approx(D @ v, abs=100 * EPS * np.abs(D).sum())
    assert M.trace() == pytest.approx(np.trace(D), rel=1e-12)
    for lam in (0.0, 0.5):
        shifted = D + lam * np.eye(len(D))
        loss = 100 * EPS * len(D) * np.linalg.cond(shifted)
        assert M.logdet(lam) == pytest.approx(np.linalg.slogdet(shifted)[1], abs=loss)
    for rule in RULES:
        matrices = [damped(*block, 0.2, rule) for block in several]
        shifted = scipy.linalg.block_diag(*matrices, B + 0.2 * np.eye(len(B)))
        exact = np.linalg.solve(shifted, v)
        loss = 100 * EPS * np.linalg.cond(shifted) * np.abs(exact).max()
        assert M.solve(v, 0.2, rule) == pytest.approx(exact, abs=loss)
    values, V = M.eigh()
    assert D @ V.dense() == pytest.approx(V.dense() * values, abs=1000 * EPS * np.abs(D).sum())


def test_weights_and_bias_apart_are_two_blocks_in_flat_order():
    A, G = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, 0.5], [0.5, 2.0]])
    M = BlockDiagonal((Kron(A, G), G))
    assert (M.dense() == scipy.linalg.block_diag(np.kron(G, A), G)).all()
    assert (M.dense("column") == scipy.linalg.block_diag(np.kron(A, G), G)).all()


def test_block_diagonal_of_every_kind_of_array(namespace):
    A = namespace.asarray(np.array([[2.0, 1.0], [1.0, 3.0]], dtype=np.float32))
    M = BlockDiagonal((Kron(A, A, True), A, Dense(A)))
    v = namespace.asarray(np.ones(8, dtype=np.float32))
    for found in (M.dense(), M.matvec(v), M.rmatvec(v), M.solve(v, 0.1, "pi"), M.eigh()[0]):
        assert namespace.owns(found)
        assert found.dtype == v.dtype
    D = namespace.to_numpy(M.dense())
    assert namespace.to_numpy(M.matvec(v)) == pytest.approx(D @ np.ones(8), rel=1e-6)


@pytest.mark.parametrize("bias", [False, True])
def test_as_an_operator_of_scipy(bias):
    """Products with the adjoint as well, for a block of factors that are not symmetric."""
    rng = np.random.default_rng(2)
    A, G = rng.standard_normal((3, 3)), rng.standard_normal((2, 2))
    for M, D in (
        (Kron(A, G, bias), by_entries(A, G, bias)),
        (BlockDiagonal((Kron(A, G, bias), G)), scipy.linalg.block_diag(by_entries(A, G, bias), G)),
    ):
        op, V = M.to_scipy(), rng.standard_normal((len(D), 4))
        assert op.dtype == np.float64
        assert op @ V == pytest.approx(D @ V, rel=1e-12)
        assert op @ V[:, 0] == pytest.approx(D @ V[:, 0], rel=1e-12)
        assert op.rmatvec(V[:, 0]) == pytest.approx(D.T @ V[:, 0], rel=1e-12)
        assert pytest.approx(D.T @ V, rel=1e-12) == op.T @ V
        assert M.T.dense() == pytest.approx(D.T, rel=1e-12)


def test_scipy_takes_numpy_arrays_only():
    import array_api_strict

    with pytest.raises(TypeError, match="NumPy"):
        Kron(array_api_strict.eye(2), array_api_strict.eye(2)).to_scipy()


def test_it_says_what_it_is():
    assert repr(Kron(np.eye(3), np.eye(2), bias=True)) == "Kron(A (3, 3), G (2, 2), bias=True)"
