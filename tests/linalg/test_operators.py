"""Anything that multiplies vectors is understood; what does not is refused in words."""

import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator

from refopt.linalg import operator
from refopt.linalg.operators import probe_matrix

A = np.array([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0], [0.0, 1.0, 4.0]])
V = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]])


class Bare:
    """The least that an operator has."""

    shape = (3, 3)

    def matvec(self, v):
        assert v.shape == (3,)
        return A @ v


@pytest.mark.parametrize(
    "given",
    [A, A.tolist(), scipy.sparse.csr_array(A), scipy.sparse.csr_matrix(A), aslinearoperator(A), Bare()],
    ids=["array", "list", "sparse array", "sparse matrix", "LinearOperator", "matvec"],
)
def test_kinds_of_operators(given):
    op = operator(given)
    assert op.n == 3
    assert op.matmat(V) == pytest.approx(A @ V, rel=1e-12)
    assert op.matvec(V[:, 0]) == pytest.approx(A @ V[:, 0], rel=1e-12)
    if not isinstance(given, Bare):
        assert op.rmatmat(V) == pytest.approx(A.T @ V, rel=1e-12)


def test_a_function_with_its_number_of_variables():
    op = operator(lambda v: A @ v, 3)
    assert op.matmat(V) == pytest.approx(A @ V, rel=1e-12)
    assert op.like.dtype == np.float64


def test_a_function_on_the_kind_of_x(namespace):
    B, x = namespace.asarray(A.astype(np.float32)), namespace.asarray(np.ones(3, dtype=np.float32))
    op = operator(lambda v: B @ v, x)
    product = op.matmat(namespace.asarray(V.astype(np.float32)))
    assert namespace.owns(product)
    assert namespace.to_numpy(product) == pytest.approx(A @ V, rel=1e-12)
    assert op.like.dtype == x.dtype


def test_an_object_on_the_kind_of_x(namespace):
    B = namespace.asarray(A)

    class On:
        shape, dtype = (3, 3), np.float64

        def matvec(self, v):
            return B @ v

    op = operator(On(), B[:, 0])
    assert namespace.owns(op.like)
    assert namespace.to_numpy(op.matmat(namespace.asarray(V))) == pytest.approx(A @ V, rel=1e-12)


def test_integers_become_floats():
    assert operator(np.eye(2, dtype=int)).like.dtype == np.float64
    assert operator(aslinearoperator(np.eye(2, dtype=int))).like.dtype == np.float64


def test_a_function_may_write_into_its_vector():
    def spoils(v):
        w = A @ v
        v[:] = 0
        return w

    mine = V.copy()
    assert operator(spoils, 3).matmat(mine) == pytest.approx(A @ V, rel=1e-12)
    assert mine.tolist() == V.tolist()


@pytest.mark.parametrize(
    ("given", "n", "error", "message"),
    [
        (np.ones((2, 3)), None, ValueError, r"\(n, n\)"),
        (scipy.sparse.csr_array(np.ones((2, 3))), None, ValueError, r"\(n, n\)"),
        (lambda v: v, None, TypeError, "needs n"),
        (lambda v: v, 0, ValueError, "at least 1"),
        (lambda v: v, np.ones((2, 2)), ValueError, r"array \(n,\)"),
    ],
)
def test_what_cannot_multiply_is_refused(given, n, error, message):
    with pytest.raises(error, match=message):
        operator(given, n)


def test_wrong_products_are_named():
    with pytest.raises(ValueError, match="shape of v"):
        operator(lambda v: v[:2], 3).matmat(V)
    with pytest.raises(ValueError, match="not finite"):
        operator(lambda v: v * np.nan, 3).matmat(V)


def test_complex_numbers_are_refused():
    with pytest.raises(ValueError, match="real numbers; it has dtype complex128"):
        operator(A + 1j)


def test_probes_are_signs_drawn_from_the_seed_or_those_that_are_given():
    op = operator(A)
    Z = probe_matrix(op, None, 7, 5)
    assert Z.shape == (3, 5)
    assert (abs(Z) == 1.0).all()
    assert (probe_matrix(op, 5, 7, 1) == Z).all()
    assert (probe_matrix(op, V, None, 1) == V).all()
    assert probe_matrix(op, V[:, 0], None, 1).shape == (3, 1)


@pytest.mark.parametrize(
    ("probes", "rng", "error", "message"),
    [
        (0, 1, ValueError, "probes must be at least 1; it is 0"),
        (None, None, TypeError, "only from a Generator or a seed"),
        (np.ones((2, 2)), None, ValueError, r"an array \(3, k\), k ≥ 1; it has shape \(2, 2\)"),
        (np.ones((3, 0)), None, ValueError, r"shape \(3, 0\)"),
    ],
)
def test_probes_that_are_none_are_refused(probes, rng, error, message):
    with pytest.raises(error, match=message):
        probe_matrix(operator(A), probes, rng, 1)


def test_complex_numbers_of_every_kind_are_refused(namespace):
    with pytest.raises(ValueError, match="real numbers"):
        operator(namespace.asarray(A + 1j))


def test_matrices_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite; it holds NaN or infinity"):
        operator(np.diag([1.0, np.nan]))
