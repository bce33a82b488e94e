"""The words: each is its formula, on every array kind, type and device, and writes into nothing."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refopt import ops
from strategies import nonzero_vectors, spd, symmetric_indefinite, vectors

EPS = 2.0**-52
SHORT = np.array([3.0, -4.0])
A = np.array([[4.0, 1.0], [1.0, 3.0]])

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def pair(n):
    return st.tuples(vectors(n), vectors(n))


# --- scalars ---------------------------------------------------------------------------------------------------------


@dtypes
def test_scalar_words_return_python_floats(namespace, dtype):
    x = namespace.asarray(SHORT.astype(dtype))
    B = namespace.asarray(A.astype(dtype))
    found = [ops.dot(x, x), ops.norm(x), ops.norm_inf(x), ops.eps(x), ops.weighted_max(x, ops.absolute(x))]
    found += [*ops.gershgorin(B), ops.frobenius(B), ops.lowest(B)[0]]
    assert [type(value) for value in found] == [float] * len(found)
    assert found[:7] == [25.0, 5.0, 4.0, float(np.finfo(dtype).eps), 16.0, 2.0, 5.0]
    # one rounding each in the square root and in the eigenvalue, of numbers of order one
    assert found[7] == pytest.approx(27**0.5, rel=4 * float(np.finfo(dtype).eps))
    assert found[8] == pytest.approx((7 - 5**0.5) / 2, rel=16 * float(np.finfo(dtype).eps))


@given(st.integers(1, 6).flatmap(pair))
def test_dot_and_norm_are_the_sums_of_products(xy):
    x, y = xy
    products = [Fraction(a) * Fraction(b) for a, b in zip(x, y, strict=True)]
    exact, bound = sum(products), sum(map(abs, products))
    # n roundings of partial sums, none larger than the sum of moduli
    assert abs(Fraction(ops.dot(x, y)) - exact) <= 6 * Fraction(EPS) * bound
    assert ops.norm(x) == pytest.approx(float(mpmath.norm(mpmath.matrix(x.tolist()))), rel=8 * EPS)
    assert ops.norm_inf(x) == max(abs(x))


@pytest.mark.parametrize("size", [5e-324, 1e-300, 1e-160, 1e-100, 1.0, 1e100, 1e160, 1e300])
def test_norm_neither_overflows_nor_underflows(size):
    # 5e-324 is the smallest number: 3, 4 and 5 of it are exact
    with np.errstate(over="ignore"):  # of the squares, before it is noticed
        assert ops.norm(np.array([3.0, 4.0]) * size) == pytest.approx(5.0 * size, rel=4 * EPS)


@pytest.mark.parametrize("size", [1e-37, 1e-22, 1e-19, 1e-15, 1e15, 1e19, 1e37])
def test_norm_in_float32_keeps_its_digits_where_squares_leave_the_range(size):
    x = np.array([3.0, 4.0], "float32") * np.float32(size)
    with np.errstate(over="ignore"):
        assert ops.norm(x) == pytest.approx(5.0 * float(np.float32(size)), rel=4 * 2.0**-23)


def test_norms_of_what_is_not_finite_are_not_finite(namespace):
    for bad in (np.nan, np.inf, -np.inf):
        x = namespace.asarray([1.0, bad])
        assert not ops.finite(ops.norm(x))
        assert not ops.finite(ops.norm_inf(x))


def test_norms_of_zero_and_of_nothing(namespace):
    assert ops.norm(namespace.asarray([0.0, 0.0])) == 0.0
    assert ops.norm_inf(namespace.asarray(np.zeros(0))) == 0.0


def test_norm_of_rationals_says_what_to_do():
    with pytest.raises(TypeError, match="compare squares"):
        ops.norm(np.array([Fraction(1, 3), Fraction(2, 3)]))


@pytest.mark.parametrize(
    ("f", "answer"), [(0.0, True), (-1e308, True), (np.inf, False), (-np.inf, False), (np.nan, False)]
)
def test_finite(f, answer):
    assert ops.finite(f) is answer


def test_eps_is_the_step_after_one(namespace):
    for dtype in ("float32", "float64"):
        one = np.ones((), dtype)
        assert ops.eps(namespace.asarray(np.ones(3, dtype))) == float(np.nextafter(one, one + 1) - one)


# --- arrays ----------------------------------------------------------------------------------------------------------


@dtypes
def test_array_words_stay_with_their_kind_device_and_type(namespace, dtype):
    x, B = namespace.asarray(SHORT.astype(dtype)), namespace.asarray(A.astype(dtype))
    L, ok = ops.cholesky(B, 0.0)
    assert ok
    found = [
        ops.absolute(x), ops.larger(x, 2 * x), ops.identity(x), ops.rank_two(B, x, 2 * x, 0.5, 0.25),
        ops.symmetrised(B), ops.lowest(B)[1], L, ops.solve_lower(L, x), ops.solve_lower_t(L, x),
        ops.cholesky(B, 1.0)[0],
    ]  # fmt: skip
    assert all(namespace.owns(array) for array in found)
    assert {namespace.to_numpy(array).dtype.name for array in found} == {dtype}


@given(st.integers(1, 6).flatmap(pair))
def test_componentwise_words(xy):
    x, y = xy
    assert ops.absolute(x).tolist() == [abs(a) for a in x]
    assert ops.larger(x, y).tolist() == [max(a, b) for a, b in zip(x, y, strict=True)]
    assert ops.weighted_max(x, abs(y)) == max(abs(a * b) for a, b in zip(x, y, strict=True))


@given(st.data(), st.integers(1, 5), st.floats(-3, 3), st.floats(-3, 3))
def test_rank_two_is_its_formula(data, n, a, b):
    H = data.draw(spd(n, 1e2))
    s, z = data.draw(vectors(n)), data.draw(vectors(n))
    expected = H + a * np.outer(s, s) - b * (np.outer(s, z) + np.outer(z, s))
    bound = abs(H) + abs(a) * abs(np.outer(s, s)) + abs(b) * (abs(np.outer(s, z)) + abs(np.outer(z, s)))
    # a handful of roundings, each of a term of the bound
    assert (abs(ops.rank_two(H.copy(), s, z, a, b) - expected) <= 8 * EPS * bound).all()


@given(st.data(), st.integers(1, 5))
def test_rank_two_stays_symmetric_while_a_matrix_shrinks(data, n):
    """What is not symmetric in the last digit of a large H would be half of a small one."""
    H, s, z = data.draw(spd(n, 1e2)), data.draw(vectors(n)), data.draw(vectors(n))
    found = ops.rank_two(H, s, z, 1 / 3, 0.7)
    assert (found == found.T).all()


def test_rank_two_on_rationals_is_exact():
    third = Fraction(1, 3)
    H = np.array([[third, 0], [0, third]], dtype=object)
    s, z = np.array([third, 1], dtype=object), np.array([2, third], dtype=object)
    found = ops.rank_two(H, s, z, third, Fraction(2))
    assert found[0, 0] == third + third * third * third - 2 * (2 * third * 2)
    assert found[0, 1] == found[1, 0] == third * third - 2 * (third * third + 2)


@given(symmetric_indefinite())
def test_gershgorin_and_lowest_bound_the_spectrum(B):
    values = np.linalg.eigvalsh(B)
    least, most = ops.gershgorin(B)
    slack = 50 * EPS * abs(values).max()  # eigvalsh is backward stable: n·eps·‖B‖
    assert least <= values[0] + slack
    assert most >= values[-1] - slack
    value, v = ops.lowest(B)
    assert value == pytest.approx(values[0], abs=slack)
    assert np.linalg.norm(B @ v - value * v) <= slack
    assert np.linalg.norm(v) == pytest.approx(1.0, abs=50 * EPS)


def test_symmetrised_and_frobenius():
    B = np.array([[1.0, 2.0], [4.0, 3.0]])
    assert ops.symmetrised(B).tolist() == [[1.0, 3.0], [3.0, 3.0]]
    assert ops.frobenius(B) == pytest.approx(30**0.5, rel=4 * EPS)


# --- factorisations --------------------------------------------------------------------------------------------------


@given(spd(condition=1e6), st.sampled_from([0.0, 1.0, 1e3]))
def test_cholesky_factors_the_shifted_matrix(B, shift):
    L, ok = ops.cholesky(B, shift)
    assert ok
    assert (np.triu(L, 1) == 0).all()
    # Cholesky is backward stable: the residual is n·eps·‖B + shift·I‖
    assert abs(L @ L.T - B - shift * np.eye(len(B))).max() <= 20 * EPS * (np.linalg.norm(B) + shift)


@given(st.data())
def test_triangular_solves(data):
    B = data.draw(spd(condition=1e4))
    b = data.draw(nonzero_vectors(len(B)))
    L = ops.cholesky(B, 0.0)[0]
    for T, found in ((L, ops.solve_lower(L, b)), (L.T, ops.solve_lower_t(L, b))):
        # substitution is backward stable, row by row
        assert (abs(T @ found - b) <= 20 * EPS * (abs(T) @ abs(found) + abs(b))).all()


@given(symmetric_indefinite())
def test_cholesky_of_an_indefinite_matrix_is_refused_and_of_a_shifted_one_is_not(B):
    value = np.linalg.eigvalsh(B)[0]
    assert not ops.cholesky(B, 0.0)[1]
    assert not ops.cholesky(B, -0.9 * value)[1]
    assert ops.cholesky(B, -1.1 * value)[1]


@pytest.mark.parametrize(
    "B", [np.zeros((2, 2)), -np.eye(2), np.array([[1.0, 2.0], [2.0, 1.0]]), np.full((2, 2), np.nan)]
)
def test_a_factorisation_that_does_not_exist_is_said_so_on_every_kind(namespace, B):
    assert not ops.cholesky(namespace.asarray(B), 0.0)[1]


def test_an_error_that_is_none_of_linear_algebra_is_not_swallowed(monkeypatch):
    import array_api_strict as xp

    def exhausted(A):
        raise MemoryError("no room for a factor")

    monkeypatch.setattr(xp.linalg, "cholesky", exhausted)
    with pytest.raises(MemoryError, match="no room"):
        ops.cholesky(xp.ones((2, 2)), 0.0)


def test_factorisations_of_nothing():
    L, ok = ops.cholesky(np.zeros((0, 0)), 1.0)
    assert ok
    assert ops.solve_lower(L, np.zeros(0)).shape == ops.solve_lower_t(L, np.zeros(0)).shape == (0,)


def test_factorisations_of_rationals_say_why_not():
    with pytest.raises(TypeError, match="square roots"):
        ops.cholesky(np.array([[Fraction(1)]]), 0.0)


# --- where arrays live -----------------------------------------------------------------------------------------------


def test_device_and_namespace(namespace):
    x = namespace.asarray([1.0, 2.0])
    xp = ops.namespace(x)
    assert namespace.owns(xp.zeros(3, device=ops.device(x)))
    assert ops.namespace(np.ones(2)) is np


def test_other_arrays_without_array_api_compat_name_the_extra(monkeypatch):
    import array_api_strict as xp

    monkeypatch.setitem(__import__("sys").modules, "array_api_compat", None)
    ops._compat.cache_clear()
    try:
        with pytest.raises(ImportError, match=r"refopt\[array\]"):
            ops.norm_inf(xp.ones(2))
    finally:
        ops._compat.cache_clear()
