"""(JᵀJ)⁻¹ is the textbook's, whatever the units; its rank is what stands out of rounding."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refopt.linalg.gram import inverse_gram
from strategies import basis, full_rank, seeds

EPS = 2.0**-52


@given(st.integers(1, 4).flatmap(lambda n: full_rank(n + 2, n, condition=1e6)), st.integers(-60, 60))
def test_it_is_the_inverse(J, exponent):
    units = 2.0 ** (exponent * np.arange(J.shape[1]) // 4)
    with mpmath.workdps(50):
        A = mpmath.matrix(J.tolist())
        exact = np.array(mpmath.inverse(A.T * A).tolist(), float).reshape(2 * J.shape[1:])
    found, rank = inverse_gram(J * units)
    assert rank == J.shape[1]
    # each singular value loses a few eps κ of itself, the inverse twice that; units are powers of two
    scale = np.sqrt(np.outer(exact.diagonal(), exact.diagonal()))
    assert np.abs(found * np.outer(units, units) - exact).max() <= 500 * EPS * np.linalg.cond(J) * scale.max()


@given(st.integers(1, 3), seeds)
def test_below_full_rank_it_is_the_pseudoinverse_in_units_of_the_columns(rank, seed):
    rng = np.random.default_rng(seed)
    J = basis(6, seed)[:, :rank] @ rng.standard_normal((rank, 4)) * 10.0 ** rng.integers(-3, 3, 4)
    D = np.linalg.norm(J, axis=0)
    found, counted = inverse_gram(J)
    assert counted == rank
    exact = np.linalg.pinv((J / D).T @ (J / D), rcond=1e-11, hermitian=True)
    assert found * np.outer(D, D) == pytest.approx(exact, abs=1e-6 * np.abs(exact).max())


def test_noise_hides_small_singular_values():
    J = np.array([[1.0, 1.0], [0.0, 1e-7], [0.0, 0.0]])
    assert inverse_gram(J)[1] == 2
    assert inverse_gram(J, 1e-6)[1] == 1
    assert inverse_gram(J, 1e-8)[1] == 2


def test_columns_of_zeros_and_what_is_not_finite():
    found, rank = inverse_gram(np.array([[2.0, 0.0], [0.0, 0.0]]))
    assert rank == 1
    assert found.tolist() == [[0.25, 0.0], [0.0, 0.0]]
    found, rank = inverse_gram(np.array([[2.0, np.nan], [0.0, 1.0]]))
    assert rank == 0
    assert np.isnan(found).all()


def test_every_kind_of_array(namespace):
    J = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
    found, rank = inverse_gram(namespace.asarray(J))
    assert namespace.owns(found)
    assert rank == 2
    assert namespace.to_numpy(found) == pytest.approx(np.linalg.inv(J.T @ J), rel=1e-12)


@pytest.mark.parametrize(("part", "rank"), [(1.2, 1), (1.6, 2)])
def test_noise_is_relative_to_the_largest_singular_value(part, rank):
    """Unit columns at an angle t: σ² = 1 ± cos t, so σ₁ = √2 nearly, and noise ν hides σ₂ = 1.2ν but not 1.6ν."""
    nu = 1e-6
    t = 2 * np.arcsin(part * nu / 2**0.5)
    J = np.array([[1.0, np.cos(t)], [0.0, np.sin(t)], [0.0, 0.0]])
    assert inverse_gram(J, nu)[1] == rank


@pytest.mark.parametrize(("part", "rank"), [(0.3, 1), (10.0, 2)])
def test_rounding_grows_with_the_longer_side(part, rank):
    """Of 10⁴ rows rounding may leave 10⁴ eps of a singular value."""
    m = 10**4
    J = np.ones((m, 2))
    J[::2, 1] += 2 * part * m * EPS
    assert inverse_gram(J)[1] == rank


def test_nothing_has_no_covariance():
    G, rank = inverse_gram(np.zeros((3, 2)))
    assert rank == 0
    assert (G == 0).all()
