"""Lanczos beside SciPy's tridiagonalisation, where it ends early, and on every array kind."""

import numpy as np
import pytest
import scipy.linalg

from refopt.linalg import lanczos, quadrature

EPS = 2.0**-52


def test_it_is_the_hessenberg_form_that_begins_with_q():
    """T is unique once q₁ is given, up to signs of β: SciPy's Hessenberg form in a basis that begins with q₁."""
    rng = np.random.default_rng(0)
    M = rng.standard_normal((6, 6))
    A, q = M + M.T, rng.standard_normal(6)
    first = np.linalg.qr(np.column_stack([q, rng.standard_normal((6, 5))]))[0]
    H = scipy.linalg.hessenberg(first.T @ A @ first)
    T = lanczos(lambda v: A @ v, q, 6)
    assert T.alpha == pytest.approx(np.diag(H), rel=1e-10)
    assert T.beta == pytest.approx(abs(np.diag(H, 1)), rel=1e-10)


def test_many_steps_give_every_eigenvalue_once():
    """Without reorthogonalisation the large eigenvalue would come back as copies of itself."""
    values = np.append(np.linspace(0, 1, 60), 100.0)
    T = lanczos(lambda v: values * v, np.ones(61), 61)
    nodes, weights = quadrature(T.alpha, T.beta)
    assert nodes == pytest.approx(values, abs=1e-11 * 100)
    assert weights == pytest.approx(np.full(61, 1 / 61), rel=1e-6)
    assert pytest.approx(np.eye(61), abs=100 * EPS) == T.Q @ T.Q.T


@pytest.mark.parametrize("distinct", [1, 2, 3])
def test_it_ends_with_the_krylov_space(distinct):
    values = np.arange(6.0) % distinct + 1
    T = lanczos(lambda v: values * v, np.ones(6), 6)
    nodes, weights = quadrature(T.alpha, T.beta)
    assert nodes == pytest.approx(np.arange(distinct) + 1.0, rel=1e-12)
    assert weights == pytest.approx(np.full(distinct, 1 / distinct), rel=1e-12)


def test_of_zero_one_step_is_enough():
    T = lanczos(lambda v: 0 * v, np.ones(3), 3)
    assert T.alpha.tolist() == [0]
    assert T.beta.tolist() == []


def test_every_kind_of_array(namespace):
    A, q = namespace.asarray(np.diag([1.0, 2.0, 4.0])), namespace.asarray(np.ones(3))
    T = lanczos(lambda v: A @ v, q, 2)
    assert namespace.owns(T.Q)
    assert quadrature(T.alpha, T.beta)[0] == pytest.approx(
        quadrature(*lanczos(lambda v: np.diag([1.0, 2.0, 4.0]) @ v, np.ones(3), 2)[:2])[0], rel=1e-12
    )


def test_there_is_nothing_to_begin_with_in_zero():
    with pytest.raises(ValueError, match="zero"):
        lanczos(lambda v: v, np.zeros(3), 2)


def test_no_steps_give_an_empty_matrix():
    T = lanczos(lambda v: v, np.ones(3), 0)
    assert (len(T.alpha), len(T.beta)) == (0, 0)
