"""Trace and diagonal: exact where they must be, honest about their error, the same for every way of giving A."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator

from refopt.curvature import BlockDiagonal, Kron, hutchinson, trace, xdiag
from refopt.curvature.traces import METHODS, without_each
from strategies import basis, seeds, symmetric_indefinite

EPS = 2.0**-52
RANDOM = METHODS[1:]
A = basis(12, 3) @ np.diag(1.0 / np.arange(1, 13) ** 2) @ basis(12, 3).T
A = (A + A.T) / 2
each_random = pytest.mark.parametrize("method", RANDOM)


@given(symmetric_indefinite())
def test_exact(B):
    scale = 10 * EPS * np.abs(np.diag(B)).sum()
    for given_, n in ((B, None), (lambda v: B @ v, len(B)), (aslinearoperator(B), None)):
        value, stderr = trace(given_, n=n)
        assert value == pytest.approx(np.trace(B), abs=scale)
        assert stderr == 0


def test_exact_beyond_a_block_of_columns():
    d = np.arange(1.0, 101.0)
    assert trace(lambda v: d * v, n=100).value == d.sum()


def test_exact_of_structure_without_products():
    class Counted(Kron):
        def matvec(self, v):
            raise AssertionError("no product is needed")

        matmat = matvec

    assert trace(Counted(np.eye(2), 3 * np.eye(3))).value == 18
    assert trace(BlockDiagonal((np.eye(2), Kron(np.eye(2), np.eye(2))))).value == 6


@each_random
def test_every_way_of_giving_a_matrix(method):
    Z = np.random.default_rng(0).choice([-1.0, 1.0], (12, 6))
    ways = [(A, None), (aslinearoperator(A), None), (scipy.sparse.csr_array(A), None), (lambda v: A @ v, 12)]
    found = [trace(given_, method, Z, n=n) for given_, n in ways]
    for value, stderr in found[1:]:
        assert value == pytest.approx(found[0].value, rel=1e-12)
        assert stderr == pytest.approx(found[0].stderr, rel=1e-6)


@each_random
def test_seeds_generators_and_given_probes_agree(method):
    first = trace(A, method, 6, np.random.default_rng(5))
    random = np.random.default_rng(5)
    drawn = random.standard_normal((12, 6)) if method == "xtrace-normal" else random.integers(0, 2, (12, 6)) * 2.0 - 1.0
    assert first == trace(A, method, 6, 5) == trace(A, method, drawn)


@pytest.mark.parametrize(
    ("method", "products"), [("hutchinson", 8), ("hutch++", 12), ("xtrace", 16), ("xtrace-normal", 16)]
)
def test_products_are_as_many_as_the_page_says(method, products):
    calls = []
    trace(lambda v: calls.append(0) or A @ v, method, 8, 0, n=12)
    assert len(calls) == products


@given(st.integers(2, 8), seeds)
def test_hutch_pp_is_its_definition(k, seed):
    B = np.random.default_rng(seed).standard_normal((7, 7))
    Z = np.random.default_rng(seed + 1).standard_normal((7, k))
    Q = np.linalg.qr(B @ Z[:, : k // 2])[0]
    rest = (np.eye(7) - Q @ Q.T) @ Z[:, k // 2 :]
    samples = np.einsum("ik,ij,jk->k", rest, B, rest)
    value, stderr = trace(B, "hutch++", Z)
    assert value == pytest.approx(np.trace(Q.T @ B @ Q) + samples.mean(), abs=1e-12)
    if len(samples) > 1:
        assert stderr == pytest.approx(np.std(samples, ddof=1) / len(samples) ** 0.5, abs=1e-12)


def one_left_out(B, Z):
    """Trace in two forms and diagonal by definition: a factorisation of its own for each probe that is left out."""
    traces, normal, diagonals = [], [], []
    for i in range(Z.shape[1]):
        Y = B @ np.delete(Z, i, axis=1)
        U, s, _ = np.linalg.svd(Y, full_matrices=False)
        Q = U[:, s > 1e-10 * max(s, default=0)]
        P = Q @ Q.T
        v = Z[:, i] - P @ Z[:, i]
        traces.append(np.trace(P @ B) + v @ B @ v)
        left = len(B) - Q.shape[1]
        normal.append(np.trace(P @ B) + (left / (v @ v) * (v @ B @ v) if left else 0.0))
        diagonals.append(np.diag(P @ B) + Z[:, i] * (B @ Z[:, i] - P @ (B @ Z[:, i])))
    return traces, normal, diagonals


@pytest.mark.parametrize("case", ["full", "rank 2", "equal probes", "more probes than rows", "one probe"])
@given(seeds)
def test_xtrace_and_xdiag_are_their_definition(case, seed):
    """Also where the columns of AΩ depend on one another."""
    rng = np.random.default_rng(seed)
    B, Z = rng.standard_normal((6, 6)), rng.choice([-1.0, 1.0], (6, 4)) * rng.uniform(0.5, 2, (6, 4))
    if case == "rank 2":
        B = B[:, :2] @ B[:2, :]
    if case == "equal probes":
        Z[:, 1] = -Z[:, 0]
    if case == "more probes than rows":
        Z = rng.standard_normal((6, 9))
    if case == "one probe":
        Z = Z[:, :1]
    loss = 1e-12 * np.linalg.cond(B @ Z) if case in ("full", "more probes than rows") else 1e-8
    traces, normal, diagonals = one_left_out(B, Z)
    size = np.abs(B).sum() * np.abs(Z).max() ** 2
    for method, samples in (("xtrace", traces), ("xtrace-normal", normal)):
        value, stderr = trace(B, method, Z)
        assert value == pytest.approx(np.mean(samples), abs=loss * size)
        if len(samples) > 1:
            assert stderr == pytest.approx(np.std(samples, ddof=1) / len(samples) ** 0.5, abs=loss * size)
    d, error = xdiag(B, Z, stderr=True)
    assert (d == xdiag(B, Z)).all()
    assert d == pytest.approx(np.mean(diagonals, axis=0), abs=loss * size)
    if len(diagonals) > 1:
        spread = np.std(diagonals, axis=0, ddof=1) / len(diagonals) ** 0.5
        assert error == pytest.approx(spread, abs=loss * size)


def test_columns_left_out():
    Y = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    Q, R, S = without_each(Y)
    assert pytest.approx(Y, abs=1e-15) == Q @ R
    assert S[:, :2] == pytest.approx(np.zeros((2, 2)), rel=1e-12)  # each of these two does without the other
    assert abs(Q @ S[:, 2]) == pytest.approx([0, 1, 0], abs=1e-15)
    assert without_each(0 * Y) is None


@pytest.mark.parametrize("method", RANDOM)
def test_the_standard_error_is_that_of_repeated_estimates(method):
    """Over 400 runs the mean lies within 4 standard errors, and their spread is what one run says, to 30 %."""
    rng = np.random.default_rng(0)
    runs = np.array([trace(A, method, 8, rng) for _ in range(400)])
    values, errors = runs.T
    assert abs(values.mean() - np.trace(A)) <= 4 * values.std() / 20
    assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.3)


@pytest.mark.parametrize(("estimate", "least"), [(hutchinson, 0.8), (xdiag, 0.5)])
def test_the_standard_errors_of_a_diagonal_are_those_of_repeated_estimates(estimate, least):
    """Over 400 runs means lie within 5 standard errors; what one run says of each entry is its spread, to 20 %.

    XDiag's parts share k − 2 products each, and are not independent: it says too little, but half of it or more.
    """
    rng = np.random.default_rng(0)
    runs = [estimate(A, 8, rng, stderr=True) for _ in range(400)]
    values, errors = (np.array(part) for part in zip(*runs, strict=True))
    assert (abs(values.mean(axis=0) - np.diag(A)) <= 5 * values.std(axis=0) / 20).all()
    ratio = np.sqrt((errors**2).mean(axis=0)) / values.std(axis=0)
    assert (least < ratio).all()
    assert (ratio < 1.2).all()


def test_better_estimates_from_the_same_products():
    """24 products each, eigenvalues 1/j²: Hutch++ and XTrace are nearer, by more than chance."""
    rng = np.random.default_rng(1)
    B = basis(60, 7) @ np.diag(1.0 / np.arange(1, 61) ** 2) @ basis(60, 7).T
    spread = {
        method: np.std([trace(B, method, k, rng).value for _ in range(100)])
        for method, k in (("hutchinson", 24), ("hutch++", 16), ("xtrace", 12))
    }
    assert spread["hutch++"] < 0.2 * spread["hutchinson"]
    assert spread["xtrace"] < 0.2 * spread["hutchinson"]


def test_diagonals_are_exact_where_they_must_be():
    d = np.array([3.0, -1.0, 0.0, 7.0])
    assert hutchinson(np.diag(d), 1, 0).tolist() == d.tolist()  # signs: z² = 1
    low = np.outer([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])  # not symmetric, of rank 1
    assert xdiag(low, 2, 0) == pytest.approx([4, 10, 18], rel=1e-12)
    assert trace(low, "xtrace", 2, 0).value == pytest.approx(32, rel=1e-12)
    assert xdiag(np.zeros((3, 3)), 2, 0).tolist() == [0, 0, 0]
    assert trace(np.zeros((3, 3)), "xtrace", 2, 0) == (0, 0)


@given(st.integers(1, 12), seeds)
def test_normal_xtrace_is_exact_for_multiples_of_the_identity(k, seed):
    """There vᵀAv is a multiple of ‖v‖²: no chance is left."""
    value, stderr = trace(3.0 * np.eye(9), "xtrace-normal", k, seed)
    assert value == pytest.approx(27.0, rel=1e-12)
    assert stderr == pytest.approx(0.0, abs=1e-12) or k == 1


def test_diagonals_converge():
    rng = np.random.default_rng(0)
    off = (A**2).sum(axis=1) - np.diag(A) ** 2
    error = hutchinson(A, 4000, rng) - np.diag(A)
    assert (abs(error) <= 5 * np.sqrt(off / 4000)).all()
    assert np.linalg.norm(xdiag(A, 8, rng) - np.diag(A)) < 0.3 * np.linalg.norm(hutchinson(A, 16, rng) - np.diag(A))


def test_every_kind_of_array(namespace):
    for dtype in (np.float32, np.float64):
        numbers, Z = A.astype(dtype), np.random.default_rng(2).choice([-1.0, 1.0], (12, 6)).astype(dtype)
        given_, probes = namespace.asarray(numbers), namespace.asarray(Z)
        close = {"rel": 1e4 * float(np.finfo(dtype).eps), "abs": 1e3 * float(np.finfo(dtype).eps)}
        for method in METHODS:
            expected = trace(numbers.astype(float), method, Z.astype(float))
            for way in ((given_, None), (lambda v, B=given_: B @ v, given_[:, 0])):
                found = trace(way[0], method, probes, n=way[1])
                assert type(found.value) is type(found.stderr) is float
                assert found == pytest.approx(expected, **close)
        for estimate in (hutchinson, xdiag):
            d = estimate(given_, probes)
            assert namespace.owns(d)
            assert d.dtype == given_.dtype
            assert namespace.to_numpy(d) == pytest.approx(estimate(numbers.astype(float), Z.astype(float)), **close)
            assert namespace.owns(estimate(given_, 3, 0))
            for part in estimate(given_, probes, stderr=True):
                assert namespace.owns(part)
                assert part.dtype == given_.dtype


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: trace(A, "hutch"), ValueError, r"method must be one of exact, hutchinson, hutch\+\+, xtrace"),
        (lambda: trace(A, "hutchinson"), TypeError, "Generator or a seed that you give"),
        (lambda: trace(A, "xtrace", 0, 1), ValueError, "probes must be at least 1"),
        (lambda: trace(A, "hutch++", 1, 1), ValueError, "at least 2 probes"),
        (lambda: trace(A, "hutchinson", np.ones((3, 2))), ValueError, r"probes must be an array \(12, k\)"),
        (lambda: trace(A, "hutchinson", np.ones((12, 0))), ValueError, "k ≥ 1"),
        (lambda: trace(np.ones((2, 3))), ValueError, r"\(n, n\)"),
        (lambda: trace(np.zeros((0, 0))), ValueError, "n ≥ 1"),
        (lambda: trace(lambda v: v), TypeError, "needs n"),
        (lambda: trace(A * 1j), ValueError, "real"),
        (lambda: trace(A * np.nan), ValueError, "A must be finite"),
        (lambda: hutchinson(lambda v: np.nan * v, 2, 0, 3), ValueError, "not finite"),
        (lambda: xdiag(A), TypeError, "Generator or a seed that you give"),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_one_probe_has_no_standard_error():
    assert np.isnan(trace(A, "hutchinson", 1, 0).stderr)
    for estimate in (hutchinson, xdiag):
        assert np.isnan(estimate(A, 1, 0, stderr=True).stderr).all()


def test_nothing_global_is_drawn_from():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    trace(A, "xtrace", 4, 0)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
