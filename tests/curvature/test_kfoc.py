"""KFOC against SciPy's singular values of Van Loan's rearrangement, and its certificate."""

import tracemalloc

import numpy as np
import pytest
import scipy.linalg

from literal_kfac import attention, case, convolution, literal
from refopt import Supervised
from refopt.curvature import Nearest, kfac, kfoc
from refopt.curvature.nearest import Formed, Gradients, nearest, positive_part
from refopt.networks import Conv2d, Linear, MeanPool, Sequential, Tanh, Tokens

EXAMPLES = {
    "dense": case(loss="cross-entropy", sizes=(3, 4, 3)),
    "gaussian": case(loss="gaussian", reduction="sum"),
    "tokens": case(loss="cross-entropy", R=2, reduction="mean-tokens"),
    "convolution": convolution(),
    "attention": attention(),
}
examples = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


def rearranged(F, out, width):
    """Row (o, p), column (i, j): the entry of F for W_oi and W_pj; b is the last column."""
    where = [[o * width + i for i in range(width)] for o in range(out)]
    if len(F) > out * width:
        where = [[*row, out * width + o] for o, row in enumerate(where)]
    pairs = [(o, p) for o in range(out) for p in range(out)]
    return np.array([F[np.ix_(where[o], where[p])].ravel() for o, p in pairs])


def check(block, F):
    """Singular values to some eps ‖F‖; the certificate's bound is as tight as the weight of what makes it definite."""
    out, width = block.G.shape[0], block.A.shape[0] - block.bias
    s = scipy.linalg.svdvals(rearranged(F, out, width))
    best = np.sqrt(np.sum(s[1:] ** 2))
    found, norm = np.linalg.norm(F - block.dense()), np.linalg.norm(F)
    assert found == pytest.approx(best, abs=1e-12 * norm)
    C = block.certificate
    assert C.norm == pytest.approx(norm, rel=1e-12)
    assert C.sigma == pytest.approx(s[0], rel=1e-12)
    assert s[0] * (1 - 1e-14) <= C.upper <= s[0] * (1 + 1e-7)
    assert C.error == pytest.approx(found, abs=1e-7 * norm)  # √(‖F‖² − σ²) loses half of the digits
    assert best - 1e-3 * norm <= C.least <= best + 1e-7 * norm
    for M in (block.A, block.G):  # as far as eigenvalues are known
        assert np.linalg.eigvalsh(M)[0] >= -len(M) * 2.0**-52 * np.linalg.norm(M)


@examples
@pytest.mark.parametrize("bias", ["joint", "separate"])
def test_it_is_the_nearest_kronecker_product(example, bias):
    truth = literal(example.steps, example.X, example.problem.c, example.problem.loss.name)
    O, K = (f(example.problem, example.x, bias=bias) for f in (kfoc, kfac))
    start = 0
    for block, kron in zip(O.blocks, K.blocks, strict=True):
        place = slice(start, start := start + block.shape[0])
        F = truth.F[place, place]
        check(block, F)
        assert np.linalg.norm(F - block.dense()) <= np.linalg.norm(F - kron.dense()) + 1e-14 * np.linalg.norm(F)
        assert np.trace(block.A) == pytest.approx(np.trace(kron.A), rel=1e-12)


@pytest.mark.parametrize(("N", "R", "S", "width", "out"), [
    (1, 1, 1, 3, 2), (1, 3, 2, 3, 2), (7, 1, 3, 5, 4), (2, 3, 2, 6, 2), (3, 1, 1, 8, 2), (40, 2, 1, 2, 3),
    (4, 2, 1, 1, 1), (3, 7, 2, 3, 4), (2, 9, 1, 2, 6),
])  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1])
def test_random_gradients(N, R, S, width, out, seed):
    """Few and many gradients, singular and regular factors."""
    rng = np.random.default_rng(seed)
    a, g = rng.standard_normal((N, R, width)), rng.standard_normal((S, N, R, out))
    D = np.einsum("snro,nri->snoi", g, a).reshape(S * N, -1)
    check(nearest(a, g, 0.3), 0.3 * D.T @ D)


def exclusive(ratio):
    """Two groups of samples of nearly equal weight that share no input and no output."""
    rng = np.random.default_rng(4)
    a, g = np.zeros((20, 1, 4)), np.zeros((1, 20, 1, 4))
    a[:10, :, :2], g[:, :10, :, :2] = rng.standard_normal((10, 1, 2)), rng.standard_normal((1, 10, 1, 2))
    a[10:, :, 2:], g[:, 10:, :, 2:] = a[:10, :, :2], ratio * g[:, :10, :, :2]
    return a, g


def test_memory_grows_with_inputs_and_not_with_positions():
    """At 400 positions, of 5 inputs: products of all positions with all take 80 times as much as all there is."""
    rng = np.random.default_rng(0)
    a, g = rng.standard_normal((20, 400, 5)), rng.standard_normal((2, 20, 400, 4))
    tracemalloc.start()
    block = nearest(a, g, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * (a.nbytes + g.nbytes)
    D = np.einsum("snro,nri->snoi", g, a).reshape(40, -1)
    check(block, D.T @ D)


def test_a_few_samples_at_a_time(monkeypatch):
    monkeypatch.setattr("refopt.curvature.nearest.AT_ONCE", 1)
    rng = np.random.default_rng(2)
    a, g = rng.standard_normal((6, 2, 3)), rng.standard_normal((2, 6, 2, 4))
    D = np.einsum("snro,nri->snoi", g, a).reshape(12, -1)
    check(nearest(a, g, 1.0), D.T @ D)


def test_a_few_samples_of_the_network_at_a_time(monkeypatch):
    """Layers that are formed, and layers whose gradients are kept."""
    for example in EXAMPLES.values():
        whole = kfoc(example.problem, example.x)
        with monkeypatch.context() as m:
            m.setattr("refopt.curvature.layerwise.AT_ONCE", 1)
            parts = kfoc(example.problem, example.x)
        for one, other in zip(whole.blocks, parts.blocks, strict=True):
            assert type(one.of) is type(other.of)
            D = one.dense()
            assert np.linalg.norm(D - other.dense()) <= 1e-12 * np.linalg.norm(D)
            assert other.certificate.norm == pytest.approx(one.certificate.norm, rel=1e-12)
    assert {type(block.of) for e in EXAMPLES.values() for block in kfoc(e.problem, e.x).blocks} == {Formed, Gradients}


def test_memory_of_convolutions_is_that_of_few_samples(monkeypatch):
    """Of ten times as many images F is no larger, and a and g are never all there."""
    for module in ("layerwise", "nearest"):
        monkeypatch.setattr(f"refopt.curvature.{module}.AT_ONCE", 2**16)
    network = Sequential(Conv2d(1, 3, 3), Tanh(), Conv2d(3, 3, 3), Tanh(), Tokens(), MeanPool(), Linear(3, 3))
    peaks, rng, x = [], np.random.default_rng(0), network.init(0)
    for N in (200, 2000):
        problem = Supervised(network, "cross-entropy", rng.standard_normal((N, 1, 12, 12)), rng.integers(0, 3, N))
        tracemalloc.start()
        kfoc(problem, x)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_a_few_steps_of_lanczos_at_a_time(monkeypatch):
    monkeypatch.setattr("refopt.curvature.nearest.STEPS", 2)
    rng = np.random.default_rng(1)
    a, g = rng.standard_normal((6, 1, 8)), rng.standard_normal((1, 6, 1, 8))
    D = np.einsum("snro,nri->snoi", g, a).reshape(6, -1)
    check(nearest(a, g, 1.0), D.T @ D)


def test_a_part_that_is_semidefinite():
    found = positive_part(np.diag([-3.0, 1e-3, -4.0]))
    assert found == pytest.approx(np.diag([0.6, 0.0, 0.8]), abs=1e-15)


def test_ill_conditioned_inputs():
    rng = np.random.default_rng(3)
    a, g = rng.standard_normal((30, 1, 5)) * 10.0 ** -np.arange(0, 15, 3), rng.standard_normal((2, 30, 1, 3))
    D = np.einsum("snro,nri->snoi", g, a).reshape(60, -1)
    check(nearest(a, g, 1.0), D.T @ D)


def test_inputs_that_exclude_each_other():
    """A is zero on one of two groups."""
    a, g = exclusive(0.98)
    D = np.einsum("snro,nri->snoi", g, a).reshape(20, -1)
    block = nearest(a, g, 1.0)
    check(block, D.T @ D)
    assert np.linalg.norm(block.A[2:, 2:]) < 1e-6 * np.linalg.norm(block.A)


def test_nothing_at_all():
    block = nearest(np.ones((3, 1, 2)), np.zeros((1, 3, 1, 2)), 1.0)
    assert not block.dense().any()
    assert block.certificate == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert not nearest(np.zeros((3, 1, 2)), np.ones((1, 3, 1, 2)), 1.0).dense().any()


def test_forward_only_is_kfac():
    example = EXAMPLES["dense"]
    O, K = (f(example.problem, example.x, fisher="forward-only").dense() for f in (kfoc, kfac))
    assert (O == K).all()


def test_array_kinds(namespace):
    for example in (EXAMPLES["dense"], EXAMPLES["tokens"]):
        for dtype in (np.float32, np.float64):
            problem = type(example.problem)(
                example.problem.network, "cross-entropy", namespace.asarray(example.problem.X.astype(dtype)),
                namespace.asarray(example.problem.y), example.problem.reduction,
            )  # fmt: skip
            O = kfoc(problem, namespace.asarray(example.x.astype(dtype)))
            found = O.dense()
            assert namespace.owns(found)
            assert all(isinstance(block, Nearest) for block in O.blocks)
            assert namespace.to_numpy(found).dtype == dtype
            expected = kfoc(example.problem, example.x).dense()
            assert np.linalg.norm(namespace.to_numpy(found) - expected) <= (
                1e-5 if dtype == np.float32 else 1e-12
            ) * np.linalg.norm(expected)
            assert O.blocks[0].certificate.error >= O.blocks[0].certificate.least
