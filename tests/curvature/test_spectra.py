"""Nodes and weights give the trace of functions of a matrix: exactly where theory says so, within errors elsewhere."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator

from refopt.curvature import Kron, spectrum
from strategies import basis, seeds, symmetric_indefinite

EPS = 2.0**-52


@given(symmetric_indefinite(st.integers(2, 6), condition=10), st.integers(1, 4), seeds)
def test_polynomials_of_degree_2k_minus_1(A, k, seed):
    Z = np.random.default_rng(seed).standard_normal((len(A), 3))
    nodes, weights = spectrum(A, k, Z)
    assert weights.sum() == pytest.approx(len(A), rel=1e-12)
    power, size = np.eye(len(A)), np.abs(A).sum()
    for j in range(2 * k):
        mean = np.mean([z @ power @ z / (z @ z) for z in Z.T])
        assert weights @ nodes**j == pytest.approx(len(A) * mean, abs=1e4 * EPS * size**j * len(A))
        power = power @ A


@given(symmetric_indefinite(st.integers(2, 6), condition=10))
def test_a_basis_of_probes_and_all_steps_give_every_function(A):
    """tr |A| by the singular values: no polynomial."""
    nodes, weights = spectrum(A, len(A), np.eye(len(A)))
    assert weights @ abs(nodes) == pytest.approx(np.linalg.svd(A)[1].sum(), rel=1e-12)


def test_log_det_of_a_well_conditioned_matrix():
    """Fifteen steps know log to 1e-10 for κ = 10; what remains is the variance over 200 probes."""
    Q, values = basis(80, 2), np.linspace(1, 10, 80)
    A = (Q * values) @ Q.T
    nodes, weights = spectrum((A + A.T) / 2, 15, 200, 0)
    log = scipy.linalg.logm(A).real
    sd = np.sqrt(2 * ((log**2).sum() - (np.diag(log) ** 2).sum()) / 200)
    assert abs(weights @ np.log(nodes) - np.log(values).sum()) <= 4 * sd


def test_the_extreme_eigenvalues_come_first():
    values = np.append(np.linspace(0, 1, 200), [-3.0, 5.0])
    nodes, _ = spectrum(lambda v: values * v, 30, 1, 0, n=202)
    assert nodes[[0, -1]] == pytest.approx([-3, 5], abs=1e-8)


def test_few_distinct_eigenvalues_are_found_exactly():
    A = np.diag([1.0, 1.0, 4.0, 4.0, 4.0])
    nodes, weights = spectrum(A, 5, 2, 0)
    assert np.unique(nodes.round(12)).tolist() == [1, 4]
    assert weights[nodes < 2].sum() == pytest.approx(2, rel=1e-12)  # signs weigh every coordinate alike


def test_lengths_of_probes_do_not_matter():
    A, Z = np.diag([1.0, 2.0, 5.0]), np.random.default_rng(0).standard_normal((3, 2))
    first, second = spectrum(A, 2, Z), spectrum(A, 2, Z * [3.0, 0.1])
    assert first.nodes == pytest.approx(second.nodes, rel=1e-12)
    assert first.weights == pytest.approx(second.weights, rel=1e-12)


def test_ways_of_giving_a_matrix():
    K = Kron(np.diag([1.0, 2.0]), np.diag([1.0, 3.0]))
    Z = np.random.default_rng(0).choice([-1.0, 1.0], (4, 2))
    expected = spectrum(K.dense(), 3, Z)
    for given_, n in ((K, None), (aslinearoperator(K.dense()), None), (K.matvec, 4)):
        found = spectrum(given_, 3, Z, n=n)
        assert found.nodes == pytest.approx(expected.nodes, rel=1e-12)
        assert found.weights == pytest.approx(expected.weights, rel=1e-12)


def test_every_kind_of_array(namespace):
    for dtype in (np.float32, np.float64):
        A = namespace.asarray(np.diag([1.0, 2.0, 5.0]).astype(dtype))
        for given_, n in ((A, None), (lambda v, B=A: B @ v, A[:, 0])):
            nodes, weights = spectrum(given_, 2, 3, 0, n)
            assert namespace.owns(nodes)
            assert namespace.owns(weights)
            assert nodes.dtype == weights.dtype == A.dtype
            assert namespace.to_numpy(weights @ nodes) == pytest.approx(8, rel=1e-5)  # a diagonal: signs are exact


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: spectrum(np.eye(2), 0, 1, 0), ValueError, "k must be at least 1"),
        (lambda: spectrum(np.eye(2), 1), TypeError, "Generator or a seed"),
        (lambda: spectrum(np.tri(2), 1, 1, 0), ValueError, "symmetric"),
        (lambda: spectrum(np.full((2, 2), np.inf), 1, 1, 0), ValueError, "finite"),
        (lambda: spectrum(np.eye(2), 1, np.zeros((2, 1))), ValueError, "zero"),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
