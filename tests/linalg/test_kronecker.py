"""Both orders of a matrix's entries, on every array kind."""

import numpy as np
import pytest

from refopt.linalg import commutation, kron, row, vec


def test_kron_and_both_orders(namespace):
    A, B = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.0, 5.0, 1.0]])
    given = [namespace.asarray(X) for X in (A, B)]
    product = kron(*given)
    assert namespace.owns(product)
    assert namespace.to_numpy(product).tolist() == np.kron(A, B).tolist()
    assert namespace.to_numpy(vec(given[0])).tolist() == [1, 3, 2, 4]
    assert namespace.to_numpy(row(given[0])).tolist() == [1, 2, 3, 4]


def test_the_commutation_matrix_of_2_by_3_as_printed_on_the_page():
    K = commutation(2, 3)
    assert K.tolist() == [
        [1, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 1],
    ]
    V = np.array([[1, 2, 3], [4, 5, 6]])
    assert (K @ V.ravel(order="F")).tolist() == V.ravel().tolist()


def test_the_commutation_matrix_in_the_kind_of_an_array(namespace):
    like = namespace.asarray(np.ones(1, dtype=np.float32))
    K = commutation(3, 2, like)
    assert namespace.owns(K)
    assert K.dtype == like.dtype
    assert namespace.to_numpy(K).tolist() == commutation(3, 2).tolist()


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        commutation(0, 2)
    with pytest.raises(ValueError, match="at least 1"):
        commutation(2, 0)


@pytest.mark.parametrize("n", [1, 3])
def test_a_single_row_or_column_has_one_order_only(n):
    assert (commutation(1, n) == np.eye(n)).all()
    assert (commutation(n, 1) == np.eye(n)).all()
