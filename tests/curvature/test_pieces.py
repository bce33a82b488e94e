"""A diagonal, and blocks whose parameters come in another order, beside dense matrices."""

import numpy as np
import pytest

from refopt.curvature import BlockDiagonal, Diagonal, Kron, Reordered

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
