"""EKFAC: the diagonal of the Fisher matrix in K-FAC's eigenvectors, and nothing diagonal there is nearer."""

import numpy as np
import pytest

from literal_kfac import attention, case, convolution, literal
from refopt.curvature import Corrected, ekfac, kfac

EXAMPLES = {
    "dense": case(loss="cross-entropy", sizes=(3, 4, 3)),
    "mse": case(loss="mse", reduction="mean-elements"),
    "gaussian": case(loss="gaussian"),
    "tokens": case(loss="cross-entropy", R=2, reduction="mean-tokens"),
    "convolution": convolution(),
    "attention": attention(),
}
examples = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
sharings = pytest.mark.parametrize("sharing", ["expand", "reduce"])


def near(found, expected, tolerance):
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


@examples
@sharings
@pytest.mark.parametrize("at_once", [2**19, 1], ids=["all samples", "one at a time"])
def test_it_has_the_diagonal_of_the_fisher_matrix(example, sharing, at_once, monkeypatch):
    """In the eigenvectors of the literal factors, up to their signs and order."""
    monkeypatch.setattr("refopt.curvature.layerwise.AT_ONCE", at_once)
    truth = literal(example.steps, example.X, example.problem.c, example.problem.loss.name, sharing)
    E, K = (f(example.problem, example.x, sharing=sharing) for f in (ekfac, kfac))
    for block, kron, place in zip(E.blocks, K.blocks, truth.places, strict=True):
        F = truth.F[place, place]
        near(block.A, kron.A, 1e-14)
        near(block.G, kron.G, 1e-14)
        values, vectors = block.eigh()
        V = vectors.dense()
        near(V.T @ V, np.eye(len(V)), 1e-12)
        off = V.T @ kron.dense() @ V
        assert np.linalg.norm(off - np.diag(np.diag(off))) <= 1e-12 * np.linalg.norm(off)  # they are eigenvectors
        near(values, np.diag(V.T @ F @ V), 1e-12)
        near(block.dense(), V @ np.diag(np.diag(V.T @ F @ V)) @ V.T, 1e-12)
        assert np.linalg.norm(F - block.dense()) <= np.linalg.norm(F - kron.dense()) + 1e-14 * np.linalg.norm(F)


def test_nothing_diagonal_there_is_nearer():
    """The error is orthogonal to all that is diagonal in the basis: the normal equations of a projection."""
    example = EXAMPLES["dense"]
    truth = literal(example.steps, example.X, example.problem.c, "cross-entropy")
    rng = np.random.default_rng(0)
    for block, place in zip(ekfac(example.problem, example.x).blocks, truth.places, strict=True):
        F = truth.F[place, place]
        values, vectors = block.eigh()
        V, best = vectors.dense(), np.linalg.norm(F - block.dense())
        for d in rng.standard_normal((20, len(values))):
            other = V @ np.diag(values + d) @ V.T
            assert np.linalg.norm(F - other) ** 2 == pytest.approx(best**2 + d @ d, rel=1e-12)


@pytest.mark.parametrize("bias", ["joint", "separate"])
def test_a_matrix_in_every_respect(bias):
    example = EXAMPLES["dense"]
    E = ekfac(example.problem, example.x, bias=bias)
    M, v = E.dense(), np.random.default_rng(1).standard_normal((len(example.x), 2))
    damped = M + 0.2 * np.eye(len(M))
    near(E.matvec(v), M @ v, 1e-13)
    near(E.to_scipy().matvec(v[:, 0]), M @ v[:, 0], 1e-13)
    near(E.T.dense(), M.T, 1e-13)
    for rule in ("exact", "pi", "factored"):  # there are no factors to damp
        near(E.solve(v, 0.2, rule), np.linalg.solve(damped, v), 1e-12)
    assert E.logdet(0.2) == pytest.approx(np.linalg.slogdet(damped)[1], rel=1e-12)
    assert E.trace() == pytest.approx(np.trace(M), rel=1e-12)
    for block in E.blocks:  # columns of [W b] instead of rows
        out, width = block.G.shape[0], block.A.shape[0] - block.bias
        order = [o * width + i for i in range(width) for o in range(out)]
        order += [out * width + o for o in range(out)] if block.bias else []
        near(block.dense("column"), block.dense()[np.ix_(order, order)], 1e-13)
    with pytest.raises(ValueError, match="vec must be"):
        E.blocks[0].dense("diagonal")
    with pytest.raises(MemoryError, match="limit=…"):
        E.blocks[0].dense(limit=8)


def test_what_no_gradient_reaches_is_zero():
    """Softmax gradients sum to zero, and two samples span two inputs: moments there are squares of rounding."""
    example = case(N=2, sizes=(5, 4, 3), loss="cross-entropy")
    E = ekfac(example.problem, example.x)
    seen = [0.0 < block.S.min() < 1e-25 * block.S.max() for block in E.blocks]
    assert any(seen)
    for block in E.blocks:
        assert block.logdet() == -np.inf
        with pytest.raises(ValueError, match="singular"):
            block.solve(np.ones(block.shape[0]))


def test_forward_only_is_kfac():
    example = EXAMPLES["dense"]
    E, K = (f(example.problem, example.x, fisher="forward-only").dense() for f in (ekfac, kfac))
    near(E, K, 1e-15)


def test_few_gradients_at_a_time(monkeypatch):
    example = EXAMPLES["convolution"]
    whole = ekfac(example.problem, example.x).dense()
    monkeypatch.setattr("refopt.curvature.eigenbasis.AT_ONCE", 1)
    near(ekfac(example.problem, example.x).dense(), whole, 1e-14)


def test_array_kinds(namespace):
    for example in (EXAMPLES["dense"], EXAMPLES["tokens"]):
        for dtype in (np.float32, np.float64):
            problem = type(example.problem)(
                example.problem.network, "cross-entropy", namespace.asarray(example.problem.X.astype(dtype)),
                namespace.asarray(example.problem.y), example.problem.reduction,
            )  # fmt: skip
            E = ekfac(problem, namespace.asarray(example.x.astype(dtype)))
            found, v = E.dense(), namespace.asarray(np.ones(len(example.x), dtype))
            assert namespace.owns(found)
            assert all(isinstance(block, Corrected) for block in E.blocks)
            assert all(namespace.to_numpy(M).dtype == dtype for M in (found, E.matvec(v), E.solve(v, 0.1)))
            tolerance = 1e-4 if dtype == np.float32 else 1e-12  # eigenvectors of close eigenvalues turn
            near(namespace.to_numpy(found), ekfac(example.problem, example.x).dense(), tolerance)
