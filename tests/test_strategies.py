"""The strategies draw what they promise: structure exactly, spectra within their bounds."""

import numpy as np
from hypothesis import find, given

from strategies import full_rank, nonzero_vectors, orthogonal, spd, symmetric_indefinite, vectors

EPS = np.finfo(float).eps


@given(orthogonal())
def test_orthogonal(q):
    # Householder QR of a 6 × 6 matrix is orthogonal to a small multiple of n·eps
    assert np.abs(q.T @ q - np.eye(len(q))).max() <= 20 * EPS * len(q)


@given(spd(condition=1e6))
def test_spd_has_the_spectrum_it_promises(a):
    eigenvalues = np.linalg.eigvalsh(a)
    assert (a == a.T).all()
    # forming QΛQᵀ and eigvalsh each move an eigenvalue by a few n·eps·‖A‖
    assert eigenvalues[0] >= 1 - 50 * EPS * eigenvalues[-1]
    assert eigenvalues[-1] <= 1e6 * (1 + 50 * EPS)


@given(symmetric_indefinite())
def test_indefinite_has_both_signs(a):
    eigenvalues = np.linalg.eigvalsh(a)
    assert (a == a.T).all()
    assert eigenvalues[0] <= -0.99
    assert eigenvalues[-1] >= 0.99


@given(full_rank(condition=1e3))
def test_full_rank_has_at_least_as_many_rows_as_columns(j):
    singular_values = np.linalg.svd(j, compute_uv=False)
    assert j.shape[0] >= j.shape[1]
    assert singular_values[-1] >= 1 - 50 * EPS * singular_values[0]


@given(full_rank(m=2, n=5))
def test_full_rank_of_a_wide_shape(j):
    assert j.shape == (2, 5)
    assert np.linalg.matrix_rank(j) == 2


@given(vectors(n=3), nonzero_vectors(n=3))
def test_vectors_have_the_size_asked_for(v, w):
    assert v.shape == w.shape == (3,)
    assert np.linalg.norm(w) >= 1e-3


def test_failures_shrink_to_readable_matrices():
    assert (find(spd(n=3), lambda a: True) == np.eye(3)).all()
