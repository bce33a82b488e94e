"""The words of least squares: orthogonal reductions that keep the problem, and loops that do what the words do."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refopt import ops, words
from strategies import basis, full_rank, seeds, sizes, vectors

EPS = 2.0**-52

rectangular = st.tuples(sizes, sizes).flatmap(lambda shape: st.tuples(full_rank(*shape), vectors(shape[0])))
both = pytest.mark.parametrize("kind", [ops, words], ids=["generic", "loop"])


def size(A):
    return float(np.linalg.norm(A))


@both
@given(Jr=rectangular)
def test_products_and_norms(kind, Jr):
    J, r = Jr
    m = len(J)
    # m roundings of each sum
    assert np.abs(kind.rmatvec(J, r) - J.T @ r) == pytest.approx(0.0, abs=2 * m * EPS * size(J) * (1 + size(r)))
    assert kind.column_norms(J) == pytest.approx(np.linalg.norm(J, axis=0), rel=2 * m * EPS)


@both
def test_positive_replaces_zeros_only(kind):
    assert kind.positive(np.array([0.0, 2.0, 1e-300])).tolist() == [1.0, 2.0, 1e-300]


@both
@given(Jr=rectangular)
def test_triangular_keeps_lengths_and_the_solution(kind, Jr):
    J, r = Jr
    m, n = J.shape
    R, c, full = kind.triangular(J, r)
    assert (np.tril(R, -1) == 0).all()
    assert (R[m:] == 0).all()
    # Householder reflections are backward stable: a few mn roundings of ‖J‖
    slack = 20 * (m + n) * EPS
    assert size(R.T @ R - J.T @ J) <= slack * size(J) ** 2
    assert size(R.T @ c - J.T @ r) <= slack * size(J) * size(r)
    assert full == (m >= n)
    if full:
        p = np.linalg.lstsq(J, -r)[0]
        kappa = np.linalg.cond(J)
        # the error of a least-squares solution grows with κ, and with κ² where the residual does not vanish
        tolerance = slack * kappa * (size(p) + kappa * size(r) / size(J))
        assert size(-kind.solve_upper(R, c) - p) <= tolerance


@both
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_triangular_finds_dependent_columns_whatever_their_size(kind, scale):
    rng = np.random.default_rng(3)
    A = rng.standard_normal((6, 3)) * [1.0, scale, 1.0 / scale]
    assert kind.triangular(A, A[:, 0])[2]
    A[:, 1] = scale * (A[:, 0] + A[:, 2] * scale)
    assert not kind.triangular(A, A[:, 0])[2]
    A[:, 1] = 0.0
    assert not kind.triangular(A, A[:, 0])[2]
    assert not kind.triangular(np.full((3, 2), np.nan), np.zeros(3))[2]


@both
def test_triangular_neither_overflows_nor_underflows(kind):
    for size_of_column in (1e-150, 1e150):
        R, c, full = kind.triangular(np.array([[3.0], [4.0]]) * size_of_column, np.array([5.0, 10.0]))
        assert abs(R[0, 0]) == pytest.approx(5.0 * size_of_column, rel=4 * EPS)
        assert abs(c[0]) == pytest.approx(11.0, rel=8 * EPS)
        assert full


@both
@pytest.mark.parametrize("rows", [511, 512, 513, 1100])
def test_triangular_of_more_rows_than_are_reflected_at_a_time(kind, rows):
    rng = np.random.default_rng(rows)
    J, r = rng.standard_normal((rows, 3)), rng.standard_normal(rows)
    R, c, full = kind.triangular(J, r)
    slack = 20 * rows * EPS
    assert full
    assert size(R.T @ R - J.T @ J) <= slack * size(J) ** 2
    assert size(R.T @ c - J.T @ r) <= slack * size(J) * size(r)
    J[:, 2] = J[:, 0] - 2.0 * J[:, 1]
    R, c, full = kind.triangular(J, r)
    assert not full
    assert size(R.T @ R - J.T @ J) <= slack * size(J) ** 2
    assert size(R.T @ c - J.T @ r) <= slack * size(J) * size(r)


@both
@pytest.mark.parametrize("small", [0.0, 5e-324, 1e-310, 1e-170])
def test_a_column_may_be_next_to_nothing_in_its_first_rows(kind, small):
    """As that of a peak that most data are far from; products of such numbers underflow, and quotients overflow."""
    rng = np.random.default_rng(0)
    J, r = rng.standard_normal((1100, 3)), rng.standard_normal(1100)
    J[:700, 1] *= small
    R, c, full = kind.triangular(J, r)
    assert full
    assert size(R.T @ R - J.T @ J) <= 2e4 * EPS * size(J) ** 2
    assert size(R.T @ c - J.T @ r) <= 2e4 * EPS * size(J) * size(r)


@both
@given(Jr=rectangular, lam=st.sampled_from([1e-12, 1e-4, 1.0, 1e6]), data=st.data())
def test_damped_solves_the_augmented_problem(kind, Jr, lam, data):
    J, r = Jr
    m, n = J.shape
    d = lam**0.5 * (1.0 + np.abs(data.draw(vectors(n))))
    R, c, _ = kind.triangular(J, r)
    S, z = kind.damped(R, c, d)
    stacked, target = np.vstack([J, np.diag(d)]), np.append(-r, np.zeros(n))
    p = np.linalg.lstsq(stacked, target)[0]
    assert (np.tril(S, -1) == 0).all()
    kappa, slack = np.linalg.cond(stacked), 20 * (m + 2 * n) * EPS
    assert size(S.T @ S - stacked.T @ stacked) <= slack * size(stacked) ** 2
    assert size(-kind.solve_upper(S, z) - p) <= slack * kappa * (size(p) + kappa * size(r) / size(stacked))
    assert z @ z == pytest.approx(r @ r - size(stacked @ p - target) ** 2, abs=slack * kappa * (1 + r @ r))


@both
@given(R=full_rank(), data=st.data())
def test_triangular_systems(kind, R, data):
    R = np.linalg.qr(R, mode="r")
    b = data.draw(vectors(len(R)))
    slack = 20 * len(R) * EPS * np.linalg.cond(R)
    for x, A in ((kind.solve_upper(R, b), R), (kind.solve_upper_t(R, b), R.T)):
        assert size(A @ x - b) <= slack * (size(b) + size(A) * size(x) * EPS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_words_keep_kind_and_type(namespace, dtype):
    rng = np.random.default_rng(0)
    plain = [rng.standard_normal(shape).astype(dtype) for shape in ((5, 3), (5,), (3,))]
    J, r, d = map(namespace.asarray, plain)
    R, c, full = ops.triangular(J, r)
    S, z = ops.damped(R, c, ops.absolute(d))
    arrays = [R, c, S, z, ops.rmatvec(J, r), ops.column_norms(J), ops.positive(0.0 * d)]
    arrays += [ops.solve_upper(R, c), ops.solve_upper_t(S, z)]
    assert full is True
    for array in arrays:
        assert namespace.owns(array)
        assert dtype in str(array.dtype)
    expected = np.linalg.lstsq(plain[0], plain[1])[0]
    # κ of this matrix is below 10
    assert namespace.to_numpy(ops.solve_upper(R, c)) == pytest.approx(expected, rel=500 * float(np.finfo(dtype).eps))


def test_wide_matrices_on_every_kind(namespace):
    J = namespace.asarray([[1.0, 2.0, 3.0]])
    R, _, full = ops.triangular(J, namespace.asarray([4.0]))
    assert np.abs(namespace.to_numpy(R)) == pytest.approx(np.array([[1.0, 2.0, 3.0], [0, 0, 0], [0, 0, 0]]))
    assert full is False


@both
@given(rank=st.integers(1, 4), zeros=st.integers(0, 2), seed=seeds)
def test_without_full_rank_only_what_is_spanned_remains(kind, rank, zeros, seed):
    """Then damping by √eps of the columns gives the shortest step, although r has a part outside the range."""
    rng = np.random.default_rng(seed)
    J = basis(6, seed)[:, :rank] @ rng.standard_normal((rank, 5)) * 10.0 ** rng.integers(-3, 3, 5)
    J[:, :zeros] = 0.0
    r = rng.standard_normal(6)
    norms = np.where(J.any(axis=0), np.linalg.norm(J, axis=0), 1.0)
    # columns that are nearly dependent magnify the rounding of the next, which then looks like a short independent one
    assume(np.linalg.cond((J / norms)[:, zeros : min(zeros + rank, 5)]) < 10)
    R, c, full = kind.triangular(J, r)
    assert not full
    # the rank is decided at 24 eps of each column; each reflection adds a few eps
    assert size((R.T @ R - J.T @ J) / np.outer(norms, norms)) <= 500 * EPS
    assert size((R.T @ c - J.T @ r) / norms) <= 500 * EPS * size(r)
    S, z = kind.damped(R, c, EPS**0.5 * norms)
    values = np.linalg.svd(J / norms)[1]
    kappa = values[0] / values[values > 1e-11].min()
    shortest = -np.linalg.pinv(J / norms, rcond=1e-11) @ r
    # damping by eps moves the step by eps κ², rounding moves the range by eps κ
    assert size(-kind.solve_upper(S, z) * norms - shortest) <= 1e3 * EPS**0.5 * kappa * (size(shortest) + EPS * kappa)
