"""Matrices that users hand in: which are symmetric, which are refused, and what they become."""

import numpy as np
import pytest

from refopt.linalg import power_iteration
from refopt.linalg.arrays import lower_inverse, real, right_singular, square, symmetric
from refopt.linalg.lanczos import lanczos, quadrature


def test_integers_of_every_kind_become_floats(namespace):
    given = namespace.asarray(np.array([[1, 2], [2, 5]]))
    found = square(given)
    assert namespace.owns(found)
    assert namespace.to_numpy(found).dtype == np.float64
    assert namespace.to_numpy(found).tolist() == [[1.0, 2.0], [2.0, 5.0]]
    single = namespace.asarray(np.ones(2, dtype=np.float32))
    assert namespace.to_numpy(real(single)).dtype == np.float32


@pytest.mark.parametrize("shape", [(0, 0), (0, 1), (1, 0), (2, 3), (3,), (2, 2, 2)])
def test_what_is_not_square_is_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(n, n\), n ≥ 1"):
        square(np.zeros(shape))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize(("kind", "small", "large"), [(np.float64, 1e-9, 1e-7), (np.float32, 1e-5, 1e-3)])
def test_rounding_is_taken_out_and_more_is_refused_in_any_units(scale, kind, small, large):
    """√eps is 1.5e-8, or 3.5e-4, of the largest entry, here 4."""
    A = np.array([[4.0, 1.0], [1.0, 3.0]])
    apart = np.array([[0.0, 4.0], [0.0, 0.0]])
    given = (scale * (A + small * apart)).astype(kind)
    found = symmetric(given)
    assert found.dtype == kind
    assert (found == found.T).all()
    assert found[0, 1] == pytest.approx(scale * (1 + 2 * small), rel=4 * float(np.finfo(kind).eps), abs=0.0)
    assert (symmetric((scale * A).astype(kind)) == (scale * A).astype(kind)).all()
    with pytest.raises(ValueError, match="must be a symmetric matrix"):
        symmetric((scale * (A + large * apart)).astype(kind))


def test_the_inverse_of_a_triangle(namespace):
    """Rows 2 0 0 / 1 1 0 / 0 3 4, whose inverse by hand is ½ 0 0 / −½ 1 0 / ⅜ −¾ ¼."""
    L = namespace.asarray(np.array([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 3.0, 4.0]]))
    found = lower_inverse(L)
    assert namespace.owns(found)
    expected = [[0.5, 0.0, 0.0], [-0.5, 1.0, 0.0], [0.375, -0.75, 0.25]]
    assert np.allclose(namespace.to_numpy(found), expected, rtol=0, atol=1e-15)
    assert namespace.to_numpy(lower_inverse(namespace.asarray(np.array([[4.0]])))) == 0.25


@pytest.mark.parametrize("scale", [-3.0, 2.0])
def test_of_a_multiple_of_the_identity_one_product_is_enough(scale):
    """Every unit vector is an eigenvector: θ = vᵀAv is exact at once."""
    value, vector, iterations = power_iteration(scale * np.eye(4), rng=0)
    assert value == pytest.approx(scale, rel=1e-14)
    assert np.linalg.norm(vector) == pytest.approx(1.0, rel=1e-14)
    assert iterations == 1


def test_no_more_products_than_asked_for():
    asked = []
    with pytest.warns(RuntimeWarning, match="in 7 products") as warned:
        found = power_iteration(lambda v: asked.append(v) or np.array([1.0, -1.0]) * v, 2, rng=0, maxiter=7)
    assert (len(asked), found.iterations) == (7, 7)
    assert warned[0].filename == __file__  # where it was called
    v = asked[-2]  # ±λ bring back every second vector
    assert found.vector == pytest.approx(v / np.linalg.norm(v), rel=1e-14)
    assert found.value == pytest.approx((v[0] ** 2 - v[1] ** 2) / (v @ v), rel=1e-12)


@pytest.mark.parametrize(("part", "steps"), [(2.4e-14, 1), (2.9e-14, 2)])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_lanczos_ends_where_the_next_vector_is_rounding(part, steps, scale):
    """q = e₁ + part e₂ under diag(1, 2, 3, …): β is that part, and 10 n eps = 2.66e-14 for n = 12."""
    A, q = scale * np.diag(np.arange(1.0, 13.0)), np.zeros(12)
    q[:2] = 1.0, part
    found = lanczos(lambda v: A @ v, q, 5)
    assert len(found.alpha) == steps
    theta, weights = quadrature(found.alpha, found.beta)
    assert theta @ weights == pytest.approx(scale, rel=1e-9, abs=0.0)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_right_singular_vectors(namespace, shape):
    A = np.random.default_rng(sum(shape)).standard_normal(shape)
    s, Vt = right_singular(namespace.asarray(A))
    assert namespace.owns(s)
    s, Vt, k = namespace.to_numpy(s), namespace.to_numpy(Vt), min(shape)
    assert (np.diff(s) <= 0.0).all()
    assert Vt @ Vt.T == pytest.approx(np.eye(k), abs=1e-14)
    # AᵀA loses a few n eps of its largest eigenvalue
    assert (Vt.T * s**2) @ Vt == pytest.approx(A.T @ A, abs=1e-14 * s[0] ** 2 * max(shape))


def test_right_singular_vectors_of_nothing_and_of_what_is_not_finite():
    assert right_singular(np.zeros((3, 2), np.float32))[0].tolist() == [0.0, 0.0]
    with pytest.raises(np.linalg.LinAlgError, match="did not converge"):  # NumPy is asked again, and says so
        right_singular(np.full((3, 2), np.nan))
