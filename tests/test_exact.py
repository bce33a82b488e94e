"""The exact reading: the method's own source on rational numbers, and no float gets through unseen."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refopt import exact, ops
from refopt.methods import bfgs
from refopt.subproblem import more_sorensen
from strategies import seeds

SIZES = st.integers(1, 4)
A = exact.array([[4, 1], [1, 3]])


def flint_or_skip():
    return pytest.importorskip("flint").fmpq


def start(n, seed):
    """A, b, x0 and H0 of a random quadratic problem."""
    rng = np.random.default_rng(seed)
    return exact.spd(rng, n), exact.numbers(rng, n), exact.numbers(rng, n), exact.spd(rng, n)


# --- numbers and arrays ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (3, 3),
        ("2/3", Fraction(2, 3)),
        ("0.1", Fraction(1, 10)),
        (0.1, Fraction(0.1)),
        (np.float32(0.5), Fraction(1, 2)),
    ],
)
def test_a_number_is_read_exactly(given, value):
    found = exact.array([given])[0]
    assert type(found) is Fraction
    assert found == value


def test_arrays_keep_their_shape():
    assert exact.array([[1, 2, 3], [4, 5, 6]]).shape == (2, 3)
    assert exact.array(np.zeros((2, 0))).shape == (2, 0)
    assert exact.array(5)[()] == 5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_no_rational_number(value):
    with pytest.raises(ValueError, match="finite"):
        exact.array([1, value])


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError, match="give int, float, Fraction"):
        exact.array([1j])


@pytest.mark.parametrize(
    ("result", "where"),
    [
        (0.5, "result is the float 0.5"),
        (np.zeros(2), "an array of float64"),
        (exact.array([1, 2]) * np.array([1, 0.5], dtype=object), r"result\[1\]"),
        ({"H": [1, np.float64(2)]}, r"result\['H'\]\[1\]"),
        (bfgs.Params(skip=Fraction(0)), "result.c1"),
    ],
)
def test_a_float_in_a_result_raises_and_is_named(result, where):
    with pytest.raises(TypeError, match=where):
        exact.checked(result)


def test_what_holds_no_float_passes():
    result = {"x": exact.array([1, "1/3"]), "n": 3, "ok": True, "path": [Fraction(1, 2)]}
    assert exact.checked(result) is result


# --- elimination -----------------------------------------------------------------------------------------------------


@given(SIZES, seeds)
def test_solve_solves(n, seed):
    matrix, b, *_ = start(n, seed)
    assert (matrix @ exact.solve(matrix, b) == b).all()
    assert (exact.solve(matrix, matrix) == np.eye(n)).all()


def test_solve_exchanges_rows_where_a_pivot_is_zero():
    assert list(exact.solve(exact.array([[0, 2], [3, 0]]), exact.array([2, 3]))) == [1, 1]


def test_a_singular_matrix_is_named():
    with pytest.raises(ZeroDivisionError, match="singular"):
        exact.solve(exact.array([[1, 2], [2, 4]]), exact.array([1, 1]))


@given(st.integers(1, 5), seeds)
def test_pivots_have_the_signs_of_the_eigenvalues(n, seed):
    rng = np.random.default_rng(seed)
    M = rng.integers(-2, 3, (n, n))
    symmetric = M + M.T
    eigenvalues = np.linalg.eigvalsh(symmetric)
    lowest = min(exact.pivots(exact.array(symmetric)))
    # the product of the eigenvalues that are not zero is an integer, and none is above 20: none is below 20⁻⁴
    assert (lowest > 0) == (eigenvalues[0] > 1e-9)
    assert (lowest >= 0) == (eigenvalues[0] > -1e-9)


# --- random instances ------------------------------------------------------------------------------------------------


@given(SIZES, seeds)
def test_instances_are_what_they_are_called(n, seed):
    rng = np.random.default_rng(seed)
    matrix, Q = exact.spd(rng, n), exact.orthogonal(rng, n)
    assert (matrix == matrix.T).all()
    assert min(exact.pivots(matrix)) > 0
    assert max(abs(entry) for entry in matrix.flat) <= 9 * n + 1
    assert (np.eye(n) == Q.T @ Q).all()
    assert exact.checked([matrix, Q, exact.numbers(rng, (n, 2))])


# --- runs ------------------------------------------------------------------------------------------------------------


@given(SIZES, seeds)
def test_bfgs_ends_on_a_quadratic_with_the_inverse(n, seed):
    matrix, b, x0, H0 = start(n, seed)
    states = exact.run(matrix, b, x0, H0)
    last = states[-1]
    assert not last.g.any()
    assert (matrix @ last.x == b).all()
    if len(states) == n + 1:  # a lucky start needs fewer steps, and learns less
        assert (last.H @ matrix == np.eye(n)).all()
    assert [state.f for state in states] == sorted((state.f for state in states), reverse=True)


def test_a_run_worked_by_hand():
    """f = ½x² + y² from (2, 1): g = (2, 2), α = 8/12, and y = (4/3, 8/3)·(−1)."""
    first, second, last = exact.run([[1, 0], [0, 2]], [0, 0], [2, 1])
    assert list(first.g) == [2, 2]
    assert second.alpha == Fraction(2, 3)
    assert list(second.x) == [Fraction(2, 3), Fraction(-1, 3)]
    s, y = second.x - first.x, second.g - first.g
    assert (second.H @ y == s).all()
    assert list(last.x) == [0, 0]
    assert (exact.array([[1, 0], ["0", "1/2"]]) == last.H).all()


def test_the_states_are_those_of_the_method_in_floats():
    matrix, b, x0, H0 = start(3, 5)
    problem = exact.quadratic(matrix.astype(float), b.astype(float))
    states = exact.run(matrix, b, x0, H0)
    for before, after in pairwise(states):
        known = {name: getattr(before, name).astype(float) for name in ("x", "g", "H", "p")}
        state = before._replace(**known)
        point = exact.search(problem, state.x, state.g, state.p)
        found = bfgs.advance(state, point, bfgs.Params())
        # condition of H0 and A below 100, three by three: a few hundred roundings
        assert found.x == pytest.approx(after.x.astype(float), rel=1e-12)
        assert pytest.approx(after.H.astype(float), rel=1e-10, abs=1e-12) == found.H


@given(SIZES, seeds)
def test_flint_gives_the_same_numbers(n, seed):
    fmpq = flint_or_skip()
    ours, theirs = (exact.run(*start(n, seed), kind=kind) for kind in (Fraction, fmpq))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        for name in ("x", "g", "H", "p", "f", "alpha"):
            assert (exact.array(getattr(b, name)) == exact.array(getattr(a, name))).all()
    assert type(theirs[-1].H[0, 0]) is fmpq


def test_fewer_steps_on_request_and_none_at_the_minimiser():
    assert len(exact.run(A, [1, 2], [0, 0], steps=1)) == 2
    assert len(exact.run(A, A @ exact.array([1, 1]), [1, 1])) == 1


def test_a_rounded_update_is_noticed(monkeypatch):
    monkeypatch.setattr(bfgs, "updated", lambda H, s, y, Hy, g, p: (H * 0.5, p))
    with pytest.raises(TypeError, match=r"result\[1\].H\[0, 0\] is the float"):
        exact.run(A, [1, 2], [0, 0])


@pytest.mark.parametrize(
    "word",
    [
        lambda: ops.norm(A[0]),
        lambda: ops.frobenius(A),
        lambda: ops.lowest(A),
        lambda: ops.cholesky(A, 0),
        lambda: ops.column_norms(A),
        lambda: ops.triangular(A, A[0]),
        lambda: more_sorensen(A[0], A, 1, 0),
    ],
)
def test_a_word_that_needs_a_root_says_so(word):
    with pytest.raises(TypeError, match=r"square roots?"):
        word()


def test_rational_words_stay_rational():
    x = exact.array([3, -4])
    assert exact.checked([ops.dot(x, x), ops.norm_inf(x), ops.gershgorin(A), bfgs.update(A, x, -A @ x)])
    assert ops.dot(x, x) == 25
    assert ops.gershgorin(A) == (2, 5)
