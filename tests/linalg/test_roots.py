"""Inverse roots are those of fifty digits, for every rational p; what has none is refused; what was done is told."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from refopt.linalg import inverse_root, power_iteration
from refopt.linalg.roots import METHODS, power
from strategies import basis, seeds, spd

EPS = 2.0**-52
each_method = pytest.mark.parametrize("method", METHODS)
roots = st.one_of(st.integers(1, 16), st.fractions(Fraction(1, 3), 6, max_denominator=6))


def exact_root(A, p):
    """A^{−1/p} by exp(−log(A)/p) of fifty digits: no eigenvectors."""
    with mpmath.workdps(50):
        M = mpmath.matrix(A.tolist())
        root = mpmath.expm(-mpmath.logm(M) * p.denominator / p.numerator)
        return np.array([[float(mpmath.re(root[i, j])) for j in range(len(A))] for i in range(len(A))])


@each_method
@settings(max_examples=settings().max_examples // 3)
@given(A=spd(st.integers(1, 3), condition=1e6), p=roots)
def test_it_is_the_root_of_fifty_digits(method, A, p):
    X, info = inverse_root(A, p, method)
    exact = exact_root(A, Fraction(p))
    # A is known to eps ‖A‖: the root to eps κ/p of it, and rounding adds as much
    assert np.abs(X - exact).max() <= 100 * EPS * (1 + 1 / p) * np.linalg.cond(A) * np.abs(exact).max()
    assert (X == X.T).all()
    assert info.ridge == 0
    assert info.clamped == 0
    if method == "eigh":
        assert info.condition == pytest.approx(np.linalg.cond(A), rel=1e-6)


@pytest.mark.parametrize("p", [1, 2, 3, 4, 5, 6, 7, 8, 16, 31])
@each_method
def test_it_is_scipys_fractional_power(method, p):
    A = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -0.2], [0.5, -0.2, 1.0]])
    assert inverse_root(A, p, method)[0] == pytest.approx(scipy.linalg.fractional_matrix_power(A, -1 / p), rel=1e-12)


@each_method
@given(A=spd(condition=1e3), p=st.integers(1, 8), ridge=st.floats(1e-6, 10))
def test_the_ridge_is_added_and_reported(method, A, p, ridge):
    largest = np.linalg.eigvalsh(A)[-1]
    X, info = inverse_root(A, p, method, ridge=ridge, relative=True)
    assert info.ridge == pytest.approx(ridge * largest, rel=1e-12)
    shifted = A + ridge * largest * np.eye(len(A))
    defect = np.linalg.matrix_power(X, p) @ shifted - np.eye(len(A))
    assert np.abs(defect).max() <= 1000 * p * EPS * np.linalg.cond(shifted)
    same, _ = inverse_root(A, p, method, ridge=info.ridge)
    assert same == pytest.approx(X, rel=1e-10, abs=1e-12 * np.abs(X).max())


@given(seeds, st.integers(1, 4), st.integers(2, 5))
def test_null_vectors_are_raised_to_what_rounding_leaves(seed, rank, p):
    Q = basis(5, seed)
    A = (Q[:, :rank] * 3.0) @ Q[:, :rank].T
    X, info = inverse_root((A + A.T) / 2, p)
    assert info.clamped == 5 - rank
    assert info.floor == pytest.approx(5 * EPS * 3, rel=1e-6)
    exact = np.diag(np.where(np.arange(5) < rank, 3.0, info.floor) ** (-1 / p))
    # eigenvectors are known to eps κ: they turn by eps, and the largest entries are those of the null space
    assert pytest.approx(exact, abs=50 * EPS * exact.max()) == Q.T @ X @ Q


def test_a_ridge_below_the_noise_of_float32_counts():
    """1e-6 λ_max, which Shampoo uses, is less than n eps of float32 for n = 64; it must not be drowned in a floor."""
    rng = np.random.default_rng(3)
    G = rng.standard_normal((64, 8)).astype(np.float32)
    X, info = inverse_root(G @ G.T, 4, ridge=1e-6, relative=True)
    assert X.dtype == np.float32
    assert info.floor == pytest.approx(info.ridge, rel=1e-12)
    null = scipy.linalg.null_space(G.T.astype(float))
    assert null.T @ X @ null == pytest.approx(info.ridge**-0.25 * np.eye(56), rel=0.1, abs=0.1 * info.ridge**-0.25)


def test_float32_is_computed_in_float64():
    A = (basis(3, 5) * np.logspace(0, -5, 3)) @ basis(3, 5).T
    A = ((A + A.T) / 2).astype(np.float32)
    exact = exact_root(A.astype(float), Fraction(4))
    for method in METHODS:
        X, _ = inverse_root(A, 4, method)
        assert X.dtype == np.float32
        assert np.abs(X - exact).max() <= 2 * 2.0**-24 * np.abs(exact).max()  # rounded once


@each_method
def test_every_kind_of_array(namespace, method):
    for dtype in (np.float32, np.float64):
        A = np.array([[2.0, 1.0], [1.0, 3.0]], dtype=dtype)
        given = namespace.asarray(A)
        X, info = inverse_root(given, Fraction(3, 2), method, ridge=0.1, relative=True)
        assert namespace.owns(X)
        assert X.dtype == given.dtype
        expected = scipy.linalg.fractional_matrix_power(A + info.ridge * np.eye(2), -2 / 3)
        assert namespace.to_numpy(X) == pytest.approx(expected, rel=10 * float(np.finfo(dtype).eps))


@each_method
def test_scale_is_no_matter(method):
    """Powers of two that are pth powers: nothing rounds differently in the root of 2^{4k} A."""
    A = np.array([[2.0, 1.0], [1.0, 3.0]])
    for exponent in (-800, 800):
        X, _ = inverse_root(2.0**exponent * A, 4, method)
        assert X * 2.0 ** (exponent / 4) == pytest.approx(inverse_root(A, 4, method)[0], rel=1e-13)


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (np.ones((2, 3)), r"shape \(n, n\)"),
        (np.ones(3), r"shape \(n, n\)"),
        (np.zeros((0, 0)), r"shape \(n, n\)"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "finite"),
        (np.array([[np.inf]]), "finite"),
        (np.zeros((2, 2)), "zero"),
        (np.eye(2) * 1j, "real"),
    ],
)
@each_method
def test_what_has_no_root_is_refused(method, A, message):
    with pytest.raises(ValueError, match=message):
        inverse_root(A, 2, method)


@each_method
def test_indefinite_matrices_need_a_ridge(method):
    A = np.diag([1.0, -0.5])
    with pytest.raises(ValueError, match="ridge"):
        inverse_root(A, 4, method)
    X, _ = inverse_root(A, 4, method, ridge=1.5)
    assert pytest.approx(np.diag([2.5**-0.25, 1.0]), rel=1e-12, abs=1e-12) == X


def test_the_eigenvalue_that_is_named_is_that_of_a_without_the_ridge():
    with pytest.raises(ValueError, match=r"eigenvalue -0\.5;"):
        inverse_root(np.diag([1.0, -0.5]), 2, ridge=0.125)


def test_by_eigh_rounding_leaves_eps_times_the_condition():
    _, info = inverse_root(np.diag([3.0, 0.75]), 2)
    assert info.condition == pytest.approx(4.0, rel=4 * EPS)
    assert info.residual == pytest.approx(4.0 * EPS, rel=4 * EPS, abs=0.0)
    assert info.iterations == 0


@pytest.mark.parametrize("value", [0.25, 1.0, 8.0])
def test_newton_of_a_number_begins_at_its_inverse(value):
    """p = 1: z = (p + 1)/2‖A‖ = 1/a, X₀ = z and M₀ = za = 1; one iteration shows that M comes no nearer."""
    X, info = inverse_root(np.array([[value]]), 1, "coupled-newton")
    assert X[0, 0] == 1 / value
    assert info.iterations == 1


@pytest.mark.parametrize("p", [1, 2, 3, 8])
@pytest.mark.parametrize("kappa", [1.0, 1e3, 1e6])
def test_newton_ends_when_it_comes_no_nearer(p, kappa):
    """The smallest eigenvalue of M grows by (1 + 1/p)ᵖ in each until it is of order 1; then each squares the distance.

    Six squarings lead from 1 to rounding; one more shows that it comes no nearer, and two make good that the largest
    eigenvalue of M, (p + 1)/2 at most, first falls below 1.
    """
    _, info = inverse_root(np.diag([1.0, 1.0 / kappa]), p, "coupled-newton")
    assert 1 <= info.iterations <= np.log(kappa) / np.log((1 + 1 / p) ** p) + 9


@pytest.mark.parametrize("p", [1, 2, 5])
@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_newton_needs_eigenvalues_above_ten_times_the_rounding_of_its_products(p, scale):
    """p + 1 products of n terms each, in units of ‖A‖_F, which is 5 here and n = 2; nothing is raised to it."""
    _, info = inverse_root(scale * np.diag([3.0, 4.0]), p, "coupled-newton")
    assert info.floor == pytest.approx(10 * (p + 1) * 2 * EPS * 5 * scale, rel=8 * EPS, abs=0.0)
    assert info.clamped == 0


def test_newton_refuses_what_is_singular_to_rounding():
    for seed in range(20):
        v = np.random.default_rng(seed).standard_normal((3, 1))
        with pytest.raises(ValueError, match="singular"):
            inverse_root(v @ v.T, 1 + seed % 8, "coupled-newton")


@pytest.mark.parametrize("p", [0, -1, Fraction(-1, 2)])
def test_p_must_be_positive(p):
    with pytest.raises(ValueError, match="positive"):
        inverse_root(np.eye(2), p)


@pytest.mark.parametrize("p", [0.5, True, "2", None])
def test_p_must_be_a_rational_number(p):
    with pytest.raises(TypeError, match="Fraction"):
        inverse_root(np.eye(2), p)


def test_other_arguments_are_named():
    with pytest.raises(ValueError, match="method must be one of eigh, coupled-newton"):
        inverse_root(np.eye(2), 2, "svd")
    for ridge in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="ridge"):
            inverse_root(np.eye(2), 2, ridge=ridge)
    with pytest.raises(TypeError, match="rational"):
        inverse_root(np.array([[Fraction(1, 2)]], dtype=object), 2)


def test_integers_become_floats():
    assert inverse_root([[4, 0], [0, 9]], 2)[0] == pytest.approx(np.diag([1 / 2, 1 / 3]), rel=1e-12)


@pytest.mark.parametrize("p", range(1, 20))
def test_powers_by_repeated_squaring(p):
    T = np.array([[1, 1], [1, 0]])
    assert power(T, p).tolist() == np.linalg.matrix_power(T, p).tolist()


# --- the power iteration -----------------------------------------------------------------------------------------


@given(spd(st.integers(2, 6), condition=1e3), seeds)
def test_power_iteration_finds_an_eigenvalue_of_largest_modulus(A, seed):
    values = np.linalg.eigvalsh(A)
    A = A - 0.01 * values[-1] * np.eye(len(A))  # so that the signs differ
    values = values - 0.01 * values[-1]
    found = power_iteration(lambda v: A @ v, len(A), seed, tol=1e-3)
    rest = np.linalg.norm(A @ found.vector - found.value * found.vector)
    assert rest <= 1.001e-3 * abs(found.value)
    assert np.abs(values - found.value).min() <= rest * (1 + 1e-6) + 10 * EPS * values[-1]


def test_power_iteration_of_every_kind_of_array(namespace):
    A = namespace.asarray(np.diag([1.0, -3.0, 2.0]))
    for matrix, n in ((A, None), (lambda v: A @ v, A[:, 0])):
        value, vector, iterations = power_iteration(matrix, n, np.random.default_rng(0), tol=1e-9)
        assert value == pytest.approx(-3.0, rel=1e-14)
        assert namespace.owns(vector)
        assert abs(namespace.to_numpy(vector)) == pytest.approx([0, 1, 0], abs=1e-8)
        assert 5 < iterations < 200


def test_power_iteration_says_when_it_does_not_converge():
    with pytest.warns(RuntimeWarning, match="same modulus"):
        _, _, iterations = power_iteration(np.diag([1.0, -1.0]), rng=0, maxiter=50)
    assert iterations == 50


def test_power_iteration_of_zero():
    value, _, iterations = power_iteration(np.zeros((2, 2)), rng=0)
    assert value == 0
    assert iterations == 1


def test_power_iteration_asks_for_its_generator():
    with pytest.raises(TypeError, match="Generator or a seed"):
        power_iteration(np.eye(2))


def test_newton_gives_up_what_a_hundred_iterations_do_not_bring_near():
    """p = 1 doubles the smallest eigenvalue of M in each: 1e-40 is not there after a hundred."""
    with pytest.raises(ValueError, match="singular"):
        inverse_root(np.diag([1.0, 1e-40]), 1, "coupled-newton")
