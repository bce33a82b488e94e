"""The loops, as plain Python: each gives what its word gives, and reads of a Symmetric one triangle."""

import inspect

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refopt import derivatives, ops, words
from refopt.words.lowest import irregular
from strategies import basis, seeds, spd, spectra, symmetric_indefinite, vectors

EPS = 2.0**-52

pairs = st.integers(1, 6).flatmap(lambda n: st.tuples(vectors(n), vectors(n)))
numbers = st.floats(-10.0, 10.0).filter(lambda a: a == 0.0 or abs(a) > 1e-6)


def lower(B):
    """B with NaN above the diagonal: what a loop may not read."""
    return np.where(np.tri(len(B), dtype=bool), B, np.nan)


def triangle(B):
    return B[np.tril_indices(len(B))]


def close(found, wanted, scale, roundings):
    """`roundings` errors of half an ulp each, on numbers no larger than `scale`."""
    assert np.shape(found) == np.shape(wanted)
    assert np.all(np.abs(np.subtract(found, wanted)) <= roundings * EPS * scale)


# --- operators -------------------------------------------------------------------------------------------------------


@given(pairs, numbers)
def test_arithmetic_of_vectors_is_numpys(xy, a):
    x, y = xy
    divisor = np.where(y == 0.0, 1.0, y)
    assert (words.plus(x, y) == x + y).all()
    assert (words.minus(x, y) == x - y).all()
    assert (words.times(x, y) == x * y).all()
    assert (words.over(x, divisor) == x / divisor).all()
    assert (words.scaled(a, x) == a * x).all()
    assert (words.divided(x, divisor[0]) == x / divisor[0]).all()
    assert (words.moved(x, a, y) == x + a * y).all()
    assert (words.copied(x) == x).all()


@given(st.tuples(st.integers(1, 6), st.integers(1, 6), seeds))
def test_product_of_a_matrix(shape):
    m, n, seed = shape
    rng = np.random.default_rng(seed)
    A, x = rng.standard_normal((m, n)), rng.standard_normal(n)
    close(words.product(A, x), A @ x, np.abs(A) @ np.abs(x), n)
    assert (words.copied_matrix(A) == A).all()


@given(symmetric_indefinite(), seeds, numbers)
def test_products_with_a_symmetric_matrix_read_one_triangle(B, seed, a):
    x = np.random.default_rng(seed).standard_normal(len(B))
    close(words.symmetric_product(a, lower(B), x), a * (B @ x), abs(a) * np.abs(B) @ np.abs(x), 2 * len(B))
    assert (triangle(words.symmetric_scaled(a, lower(B))) == triangle(a * B)).all()


@given(symmetric_indefinite())
def test_leaving_a_symmetric_matrix_fills_both_triangles(B):
    target, same = np.empty_like(B), lower(B)
    assert words.leave_symmetric(target, lower(B)) == words.leave_symmetric(same, same) == len(B)
    assert (target == B).all()
    assert (same == B).all()


@given(pairs)
def test_leaving_vectors_and_matrices(xy):
    target, rows = np.empty(len(xy[0])), np.empty((2, len(xy[0])))
    assert words.leave_vector(target, xy[0]) == len(target)
    assert words.leave_matrix(rows, np.array(xy)) == 2
    assert (target == xy[0]).all()
    assert (rows == xy).all()


def test_what_has_no_room_is_not_left_but_says_how_many_rows_it_has():
    small = np.zeros(2), np.zeros((2, 2)), np.zeros((2, 2))
    leaving = words.leave_vector, words.leave_matrix, words.leave_symmetric
    for leave, target, value in zip(leaving, small, (np.ones(3), np.ones((3, 2)), np.ones((3, 3))), strict=True):
        assert leave(target, value) == 3
        assert not target.any()


# --- the vocabulary --------------------------------------------------------------------------------------------------


def test_every_loop_has_the_arguments_of_its_word():
    shared = [name for name in dir(words) if inspect.isfunction(getattr(ops, name, None))]
    assert len(shared) >= 15
    for name in shared:
        assert inspect.signature(getattr(words, name)) == inspect.signature(getattr(ops, name)), name


@given(pairs)
def test_scalar_words(xy):
    x, y = xy
    close(words.dot(x, y), ops.dot(x, y), np.abs(x) @ np.abs(y), len(x))
    assert words.norm(x) == pytest.approx(ops.norm(x), rel=8 * EPS)
    assert words.norm_inf(x) == ops.norm_inf(x)
    assert words.weighted_max(x, abs(y)) == ops.weighted_max(x, abs(y))
    assert words.eps(x) == ops.eps(x)
    assert (words.absolute(x) == ops.absolute(x)).all()
    assert (words.larger(x, y) == ops.larger(x, y)).all()
    assert (words.identity(x) == ops.identity(x)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # compiled loops do not warn
def test_words_hand_on_what_is_not_finite(bad, place):
    x, y = np.array([1.0, -3.0, 2.0]), np.array([2.0, 2.0, 2.0])
    x[place] = bad
    B = np.diag(x)
    same = {"nan_ok": True, "rel": 0.0, "abs": 0.0}
    assert words.norm_inf(x) == pytest.approx(ops.norm_inf(x), **same)
    assert words.norm(x) == pytest.approx(ops.norm(x), **same)
    assert words.weighted_max(x, y) == pytest.approx(ops.weighted_max(x, y), **same)
    assert np.array_equal(words.larger(x, y), ops.larger(x, y), equal_nan=True)
    assert np.array_equal(words.larger(y, x), ops.larger(y, x), equal_nan=True)
    assert words.finite(bad) is ops.finite(bad) is False
    assert words.frobenius(B) == pytest.approx(ops.norm(x), **same)
    assert not words.cholesky(B, 0.0)[1] or bad == np.inf


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("size", [5e-324, 1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_norms_neither_overflow_nor_underflow(size):
    assert words.norm(np.array([3.0, 4.0]) * size) == pytest.approx(5.0 * size, rel=4 * EPS)
    B = np.array([[1.0, np.nan], [2.0, 4.0]]) * size
    assert words.frobenius(B) == pytest.approx(5.0 * size, rel=4 * EPS)


@given(symmetric_indefinite(), seeds, numbers, numbers)
def test_rank_two_writes_the_lower_triangle_in_place(H, seed, a, b):
    s, z = np.random.default_rng(seed).standard_normal((2, len(H)))
    wanted = H + a * np.outer(s, s) - b * (np.outer(s, z) + np.outer(z, s))
    given_away = lower(H)
    assert words.rank_two(given_away, s, z, a, b) is given_away
    scale = np.abs(H) + abs(a) * np.outer(abs(s), abs(s)) + 2 * abs(b) * np.outer(abs(s), abs(z)).max()
    close(triangle(given_away), triangle(wanted), triangle(scale), 6)


@given(symmetric_indefinite())
def test_frobenius_and_gershgorin(B):
    assert words.frobenius(lower(B)) == pytest.approx(ops.frobenius(B), rel=2 * len(B) ** 2 * EPS)
    close(words.gershgorin(lower(B)), ops.gershgorin(B), np.abs(B).sum(), 2 * len(B))


@given(spd(), st.floats(0.0, 10.0), seeds)
def test_cholesky_and_its_solves(B, shift, seed):
    n, b = len(B), np.random.default_rng(seed).standard_normal(len(B))
    L, ok = words.cholesky(lower(B), shift)
    assert ok
    assert (np.triu(L, 1) == 0.0).all()
    # backward error of Cholesky: (n + 1) eps |L||Lᵀ|; of substitution: n eps |L||x|
    close(L @ L.T, B + shift * np.eye(n), np.abs(L) @ np.abs(L.T), 2 * (n + 2))
    for word, A in ((words.solve_lower, L), (words.solve_lower_t, L.T)):
        x = word(L, b)
        close(A @ x, b, np.abs(A) @ np.abs(x), 2 * (n + 1))


@given(symmetric_indefinite())
def test_cholesky_says_when_there_is_none(B):
    least = np.linalg.eigvalsh(B)[0]
    assert not words.cholesky(lower(B), 0.0)[1]
    assert words.cholesky(lower(B), -1.01 * least)[1]
    assert not words.cholesky(lower(B), -0.99 * least)[1]


# --- the lowest eigenpair --------------------------------------------------------------------------------------------


def check_lowest(B):
    n, size = len(B), np.linalg.norm(B, 2)
    value, v = words.lowest(lower(B))
    # the shift below and the residual both end within 8 n eps of a matrix scaled to ‖B‖ ≤ size ≤ √n ‖B‖, for n ≤ 40
    assert abs(value - np.linalg.eigvalsh(B)[0]) <= 10 * n * EPS * size
    assert abs(np.linalg.norm(v) - 1.0) <= 10 * n * EPS
    assert np.linalg.norm(B @ v - value * v) <= 20 * n * EPS * size


@given(spectra(st.integers(1, 12), condition=1e8), st.integers(0, 2**16), seeds)
def test_lowest_eigenpair(moduli, signs, seed):
    signs = np.where(np.random.default_rng(signs).random(len(moduli)) < 0.5, -1.0, 1.0)
    q = basis(len(moduli), seed)
    B = (q * (signs * moduli)) @ q.T
    check_lowest((B + B.T) / 2)


@pytest.mark.parametrize(
    "spectrum",
    [[0.0], [3.0], [0.0] * 4, [1.0] * 5, [-1.0, -1.0, -1.0, 2.0], [1.0, 1.0 + 1e-12, 1.0 + 2e-12], [-1e-300, 1e-300],
     [1e150, -1e150, 1.0], [-1e-8, 1.0, 1e8], list(range(-20, 20))],
)  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1])
def test_lowest_where_eigenvalues_coincide_vanish_or_are_far_apart(spectrum, seed):
    q = basis(len(spectrum), seed)
    B = (q * np.array(spectrum)) @ q.T
    check_lowest((B + B.T) / 2)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_lowest_where_the_iteration_starts_at_the_largest_eigenvector(n):
    v = irregular(n)
    check_lowest(2.0 * np.outer(v, v) - np.eye(n))


def test_lowest_of_blocks_that_do_not_meet():
    B = np.zeros((5, 5))
    B[:2, :2] = [[2.0, 1.0], [1.0, 2.0]]
    B[2:, 2:] = [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, -1.0]]  # −1 twice
    check_lowest(B)


# --- differences -----------------------------------------------------------------------------------------------------


def wavy(x):
    return float(np.sin(x).sum() + (x[1:] * x[:-1] ** 2).sum() + np.exp(0.1 * x[0]))


def wavy_gradient(x):
    g = np.cos(x)
    g[1:] += x[:-1] ** 2
    g[:-1] += 2 * x[1:] * x[:-1]
    g[0] += 0.1 * np.exp(0.1 * x[0])
    return g


def residual(x):
    return np.array([wavy(x), x @ x, x[0] - 1.0])


@given(pairs)
def test_differences_are_those_of_the_generic_reading(pair):
    x, scale = pair[0], abs(pair[1])
    method = {"method": "3-point", "scale": scale}
    assert (words.difference_gradient(wavy, x, scale) == derivatives.gradient(wavy, x, **method)).all()
    assert (words.difference_jacobian(residual, x, scale) == derivatives.jacobian(residual, x, **method)).all()
    hessian = derivatives.hessian(None, x, grad=wavy_gradient, **method)
    assert (words.difference_hessian(wavy_gradient, x, scale) == hessian).all()
    grad = derivatives.gradient_of(wavy, **method)
    hessian = derivatives.hessian(None, x, grad=grad, **method)
    assert (words.second_difference_hessian(wavy, x, scale) == hessian).all()


@pytest.mark.parametrize("x", [[0.0, 2.0], [1.0, 0.0], [1e-9, 1.0]])
def test_differences_at_the_edge_of_the_domain(x):
    def edge(x):  # defined where both variables are at least zero
        return float(np.sqrt(x).sum() + x @ x)

    x = np.array(x) + 1e-7
    with np.errstate(invalid="ignore"):
        found = words.difference_gradient(edge, x, np.ones(2))
        columns = words.difference_jacobian(lambda x: np.sqrt(x) + x, x, np.ones(2))
        assert (found == derivatives.gradient(edge, x, scale=np.ones(2))).all()
        assert (columns == derivatives.jacobian(lambda x: np.sqrt(x) + x, x, scale=np.ones(2))).all()
    assert np.isfinite(found).all()


def test_differences_give_copies_to_functions_that_write_into_them():
    def careless(x):
        x += 1.0
        return float(x @ x)

    x = np.array([1.0, 2.0])
    assert words.difference_gradient(careless, x, x) == pytest.approx(2 * x + 2, rel=1e-9)
    assert (x == [1.0, 2.0]).all()


# --- spectra, systems that are not definite, bases -------------------------------------------------------------------


@given(spectra(st.integers(1, 8), condition=1e6), st.integers(0, 2**16), seeds)
def test_all_eigenvalues(moduli, signs, seed):
    n = len(moduli)
    signs = np.where(np.random.default_rng(signs).random(n) < 0.5, -1.0, 1.0)
    q = basis(n, seed)
    B = (q * (signs * moduli)) @ q.T
    B = (B + B.T) / 2
    for values, V in (words.eigh(lower(B)), ops.eigh(B)):
        # Jacobi's and LAPACK's methods are backward stable: errors of n eps ‖B‖
        assert np.sort(values) == pytest.approx(np.linalg.eigvalsh(B), abs=20 * n * EPS * moduli.max())
        assert np.abs(V @ V.T - np.eye(n)).max() <= 20 * n * EPS
        assert np.abs((V.T * values) @ V - B).max() <= 20 * n * EPS * moduli.max()


@pytest.mark.parametrize("spectrum", [[0.0], [0.0] * 3, [1.0] * 4, [2.0, -2.0], [1e-300, 1.0, 1e150], [0.0, 0.0, 5.0]])
def test_all_eigenvalues_where_they_coincide_vanish_or_are_far_apart(spectrum):
    q = basis(len(spectrum), 3)
    B = (q * np.array(spectrum)) @ q.T
    B = (B + B.T) / 2
    values, _ = words.eigh(lower(B))
    assert np.sort(values) == pytest.approx(np.sort(spectrum), abs=60 * EPS * max(np.abs(spectrum)))


@given(symmetric_indefinite(), seeds, st.floats(-0.5, 0.5))
def test_systems_that_are_not_definite(B, seed, shift):
    b = np.random.default_rng(seed).standard_normal(len(B))
    A = B + shift * np.eye(len(B))  # the smallest eigenvalue in modulus is at least ½
    for x, ok in (words.solve_symmetric(lower(B), shift, b), ops.solve_symmetric(B, shift, b)):
        assert ok
        # partial pivoting is backward stable: a residual of n eps ‖A‖‖x‖, times the growth of the pivots
        assert np.linalg.norm(A @ x - b) <= 100 * len(B) * EPS * np.linalg.norm(A) * np.linalg.norm(x)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_singular_system_has_no_solution(bad):
    B = np.diag([1.0, bad, 2.0])
    for word in (words.solve_symmetric, ops.solve_symmetric):
        assert not word(B, 0.0, np.ones(3))[1] or bad == np.inf


@given(st.integers(1, 5), st.integers(1, 6), seeds)
def test_bases_are_rows(k, n, seed):
    rng = np.random.default_rng(seed)
    Q, Y, q = rng.standard_normal((k, n)), rng.standard_normal((k, n)), rng.standard_normal(n)
    assert (words.row(q) == ops.row(q)).all()
    assert (words.stacked(Q, q) == ops.stacked(Q, q)).all()
    wanted = 0.5 * (Q @ Y.T + Y @ Q.T)
    close(triangle(words.projected(Q, Y)), triangle(wanted), (np.abs(Q) @ np.abs(Y.T)).max(), 2 * n)
    close(ops.projected(Q, Y), wanted, (np.abs(Q) @ np.abs(Y.T)).max(), 2 * n)


@given(st.integers(1, 5), st.integers(1, 6), seeds)
def test_what_is_left_of_a_vector_is_orthogonal_to_a_basis(k, n, seed):
    """Also of one that lies in the space but for its last digits."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, min(k, n))))[0].T
    inside, beside = rng.standard_normal(len(Q)) @ Q, rng.standard_normal(n)
    for w in (beside, inside + 1e-10 * beside):
        rest = w - Q.T @ (Q @ w)
        for word in (words.orthogonal, ops.orthogonal):
            close(word(w.copy(), Q), rest, np.linalg.norm(w), 4 * n)
            length = np.linalg.norm(rest) + 16 * n * EPS * np.linalg.norm(w)
            assert np.abs(Q @ word(w, Q)).max() <= 16 * n * EPS * length


@given(symmetric_indefinite())
def test_diagonal_and_dimension(B):
    x = B[0]
    assert (words.diagonal(lower(B)) == ops.diagonal(B)).all()
    assert words.dimension(x) == ops.dimension(x) == len(x)
    assert words.oblique(x) == pytest.approx(ops.oblique(x), rel=8 * EPS)
    assert np.linalg.norm(words.oblique(x)) == pytest.approx(1.0, rel=8 * EPS)


# --- products with the Hessian ---------------------------------------------------------------------------------------


def wavy_hessian(x):
    B = np.diag(-np.sin(x))
    n = np.arange(len(x) - 1)
    B[n, n] += 2 * x[1:]
    B[n + 1, n] += 2 * x[:-1]
    B[n, n + 1] += 2 * x[:-1]
    B[0, 0] += 0.01 * np.exp(0.1 * x[0])
    return B


@given(pairs, seeds)
@example((np.array([0.0, 0.0, 0.0, 2.0, 2.0]), np.zeros(5)), 0)
def test_products_are_those_of_the_generic_reading(pair, seed):
    x, scale = pair[0], np.where(pair[1] == 0.0, 1.0, abs(pair[1]))  # as the front doors have it: no size is 0
    p = np.random.default_rng(seed).standard_normal(len(x))
    exact, kept = wavy_hessian(x) @ p, np.zeros((len(x) + 1,) * 2)
    for point in (x, x, x + 1.0, x):  # the Hessian is evaluated anew where the point is another
        product = words.hessian_product(wavy_hessian, point, p, kept)
        assert product == pytest.approx(wavy_hessian(point) @ p, rel=1e-12, abs=1e-12)
    assert kept[-1, -1] == 3
    # with p = length u, max |uᵢ|/sᵢ = 1, a difference over ±hu leaves h² times the third derivatives of order 10 and
    # the cube of the sizes, and of the rounding of the gradient 1/h times
    sizes = np.maximum(abs(x), scale)
    length = max(abs(p) / sizes)
    h, k = EPS ** (1 / 3), EPS ** (2 / 9)
    left = 10 * (1 + max(sizes)) ** 3 * length
    tolerance = left * h**2 + 20 * EPS * (1 + max(abs(wavy_gradient(x)))) * length / h
    product = derivatives.hvp_of(grad=wavy_gradient, scale=scale)(x, p)
    # steps are the same; their sums with x are rounded in another order
    assert (np.abs(words.difference_product(wavy_gradient, x, p, scale) - product) <= tolerance).all()
    assert (np.abs(product - exact) <= tolerance).all()
    # a gradient that is a difference itself is known to eps f / h sᵢ
    tolerance = left * k**2 + 20 * EPS * (1 + abs(wavy(x))) * length / (h * sizes * k)
    grad = derivatives.gradient_of(wavy, scale=scale)
    product = derivatives.hvp_of(grad=grad, scale=scale, noise=EPS ** (2 / 3))(x, p)
    found = words.second_difference_product(wavy, x, p, scale)
    assert (np.abs(found - product) <= tolerance).all()
    assert (np.abs(found - exact) <= tolerance).all()
    assert not words.difference_product(wavy_gradient, x, 0 * p, scale).any()


def test_products_at_the_edge_of_the_domain():
    def slope(x):  # defined where both variables are at least zero
        return np.sqrt(x) + x

    x, p, scale = np.array([1e-9, 1.0]), np.array([1.0, 0.5]), np.ones(2)
    with np.errstate(invalid="ignore"):
        found = words.difference_product(slope, x, p, scale)
        assert found == pytest.approx(derivatives.hvp_of(grad=slope, scale=scale)(x, p), rel=1e-9)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("a", [-1.0, -0.0, 0.0, 2.0, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("b", [-1.0, -0.0, 0.0, 2.0, np.inf, -np.inf, np.nan])
def test_the_greater_and_the_lesser_are_pythons(a, b):
    for ours, theirs in ((words.greater(a, b), max(a, b)), (words.lesser(a, b), min(a, b))):
        assert np.array_equal([ours, np.signbit(ours)], [theirs, np.signbit(theirs)], equal_nan=True)
