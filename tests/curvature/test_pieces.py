"""A diagonal, and blocks whose parameters come in another order, beside dense matrices."""

import numpy as np
import pytest

import refopt
from refopt.curvature import BlockDiagonal, Dense, Diagonal, Kron, Reordered, column_stacked, ekfac, kfac_tridiagonal
from refopt.networks import Linear, Sequential, Tanh

D = Diagonal(np.array([2.0, 0.0, 0.5]))
ORDER = np.array([3, 0, 2, 4, 1, 5, 6])
INNER = BlockDiagonal((Kron(np.diag([1.0, 2.0]), np.array([[2.0, 1.0], [1.0, 3.0]])), D))


def test_a_diagonal():
    v = np.arange(6.0).reshape(3, 2)
    assert (D.dense() == np.diag([2.0, 0.0, 0.5])).all()
    assert (D.matvec(v) == D.dense() @ v).all()
    assert (D.matvec(v[:, 0]) == D.dense() @ v[:, 0]).all()
    assert D.solve(v, 0.5, "pi") == pytest.approx(np.linalg.solve(D.dense() + 0.5 * np.eye(3), v), rel=1e-15)
    assert D.trace() == 2.5
    assert D.logdet() == -np.inf
    assert D.logdet(0.5) == pytest.approx(np.log(2.5 * 0.5), rel=1e-15)
    with pytest.raises(ValueError, match="singular"):
        D.solve(v)
    with pytest.raises(ValueError, match="damping must be"):
        D.solve(v, -1.0)
    assert (D.to_scipy().matvec(v[:, 0]) == D.dense() @ v[:, 0]).all()


def test_another_order():
    R, B = Reordered(INNER, ORDER), INNER.dense()
    M, v = np.zeros_like(B), np.random.default_rng(0).standard_normal((7, 2))
    M[np.ix_(ORDER, ORDER)] = B
    assert (R.dense() == M).all()
    for found in (R.matvec(v), R.to_scipy().matmat(v), R.T.rmatvec(v)):
        assert found == pytest.approx(M @ v, rel=1e-14)
    assert R.solve(v, 0.1) == pytest.approx(np.linalg.solve(M + 0.1 * np.eye(7), v), rel=1e-13)
    assert R.trace() == np.trace(M)
    assert R.logdet(0.1) == pytest.approx(np.linalg.slogdet(M + 0.1 * np.eye(7))[1], rel=1e-13)
    values, vectors = R.eigh()
    V = vectors.dense()
    assert V @ np.diag(values) @ V.T == pytest.approx(M, abs=1e-14)
    assert (R.dense("column") == INNER.dense("column")).all()


def of_a_network(make):
    rng = np.random.default_rng(1)
    net = Sequential(Linear(2, 3), Tanh(), Linear(3, 2, bias=False), Tanh(), Linear(2, 2))
    problem = refopt.Supervised(net, "squared", rng.standard_normal((9, 2)), rng.standard_normal((9, 2)))
    return make(problem, net.init(2))


A, G = np.diag([1.0, 2.0, 4.0]) + 0.5, np.array([[2.0, 1.0], [1.0, 3.0]])
BLOCKS = {
    "weights": Kron(A, G),
    "with a bias": Kron(A, G, bias=True),
    "dense": Dense(A),
    "diagonal": Diagonal(np.array([2.0, 1.0, 0.5])),
    "layers": BlockDiagonal((Kron(A, G, bias=True), Kron(G, A), np.eye(2))),
    "EKFAC": of_a_network(ekfac),
    "tridiagonal": of_a_network(kfac_tridiagonal),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_all_of_it_column_by_column(name):
    """For a Kronecker product, beside A ⊗ G itself; for the others, beside what they call their columns' order."""
    block = BLOCKS[name]
    C, M = column_stacked(block), block.dense("column")
    if type(block) is Kron:
        assert (np.kron(A, G) == M).all()
    n, v = len(M), np.random.default_rng(0).standard_normal((len(M), 2))
    near = lambda found, expected: np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * abs(expected).max())
    near(C.dense(), M)
    near(C.matvec(v), M @ v)
    near(C.matvec(v[:, 0]), M @ v[:, 0])
    near(C.solve(v, 0.1), np.linalg.solve(M + 0.1 * np.eye(n), v))
    near(np.array(C.logdet(0.1)), np.linalg.slogdet(M + 0.1 * np.eye(n))[1])
    near(np.array(C.trace()), np.trace(M))
    if name != "tridiagonal":
        values, vectors = C.eigh()
        V = vectors.dense()
        near(V * values @ V.T, M)
        near(V.T @ V, np.eye(n))


def test_factored_damping_column_by_column():
    v = np.arange(6.0)
    pi = ((np.trace(A) / 3) / (np.trace(G) / 2)) ** 0.5
    damped = np.kron(A + pi * 0.3 * np.eye(3), G + 0.3 / pi * np.eye(2))
    assert column_stacked(Kron(A, G, bias=True)).solve(v, 0.09, "pi") == pytest.approx(
        np.linalg.solve(damped, v), rel=1e-12
    )
