"""K-FAC against its definition, written out in ``literal_kfac``: factors, blocks, and where they are exact."""

import tracemalloc
from itertools import product

import numpy as np
import pytest

from literal_kfac import LOSSES, attention, by_sample, case, convolution, draw, literal, product_of
from refopt import Supervised
from refopt.curvature import ekfac, kfac, kfac_tridiagonal
from refopt.networks import Conv2d, LayerNorm, Linear, MeanPool, Sequential, Tanh

TIGHT = 1e-12  #: sums of some hundred products of numbers near 1, in another order


def near(found, expected, tolerance=TIGHT):
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


def check_factors(example, **options):
    """Every A and G, and the dense block in flat order."""
    problem, loss = example.problem, example.problem.loss.name
    fisher, sharing = options.get("fisher", "exact"), options.get("sharing", "expand")
    labels = None
    if fisher == "empirical":
        labels = by_sample([problem.y], example, loss)
    if fisher == "monte-carlo":
        labels = by_sample(options["labels"], example, loss)
    truth = literal(example.steps, example.X, problem.c, loss, sharing, labels)
    K = kfac(problem, example.x, **options)
    near(K.dense(), sum_of_blocks(K))
    separate = options.get("bias") == "separate"
    blocks = iter(K.blocks)
    for A, G in zip(truth.A, truth.G, strict=True):
        G = np.eye(len(G)) if fisher == "forward-only" else G
        block = next(blocks)
        biased = len(A) > block.A.shape[0] or block.bias
        if separate and biased:
            near(block.A, A[:-1, :-1])
            near(block.G, G)
            block = next(blocks)
            near(block.A, np.ones((1, 1)))
        else:
            near(block.A, A)
            near(block.dense(), product_of(A, G, block.bias))
        near(block.G, G)
    assert not list(blocks)


def sum_of_blocks(K):
    M, start = np.zeros(K.shape), 0
    for block in K.blocks:
        P = block.shape[0]
        M[start : start + P, start : start + P] = product_of(block.A, block.G, block.bias)
        start += P
    return M


@pytest.mark.parametrize("reduction", ["sum", "mean", "mean-elements", "mean-tokens"])
@pytest.mark.parametrize("loss", LOSSES)
def test_factors_of_every_loss_and_reduction(loss, reduction):
    check_factors(case(loss=loss, reduction=reduction))
    check_factors(case(loss=loss, reduction=reduction, R=3, sizes=(2, 3, 2), N=3), sharing="reduce")


@pytest.mark.parametrize("bias", ["joint", "separate", "none"])
@pytest.mark.parametrize("sharing", ["expand", "reduce"])
@pytest.mark.parametrize("fisher", ["exact", "empirical", "monte-carlo", "forward-only"])
@pytest.mark.parametrize("R", [1, 2])
def test_factors_of_every_kind(fisher, sharing, bias, R):
    example = case(loss="cross-entropy", R=R, bias=bias != "none", N=3)
    options = {"fisher": fisher, "sharing": sharing, "bias": "separate" if bias == "separate" else "joint"}
    if fisher == "monte-carlo":
        shape = (4, *example.problem.y.shape)
        options["labels"] = draw(np.random.default_rng(5), "cross-entropy", shape, 2)
    check_factors(example, **options)


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
@pytest.mark.parametrize("example", [
    convolution(), convolution(stride=1, padding=0, loss="mse", reduction="mean-elements", bias=False),
    convolution(stride=1, padding=0), attention(), attention(pooled=False, reduction="mean-tokens"),
    case(R=3, mean=True, loss="poisson"),
], ids=["strided", "no bias", "plain", "pooled attention", "attention", "mean over positions"])  # fmt: skip
def test_factors_with_shared_weights(example, sharing):
    check_factors(example, sharing=sharing)
    check_factors(example, sharing=sharing, fisher="empirical")


def test_every_loss_of_positions_that_meet():
    """Attention mixes tokens: cotangents of different tokens may not be sent back together."""
    for loss in ("squared", "binary-cross-entropy", "cross-entropy"):
        check_factors(attention(pooled=False, loss=loss))


def test_given_data_decide_the_labels():
    example = case(loss="cross-entropy")
    other = 1 - example.problem.y
    replaced = Supervised(example.problem.network, "cross-entropy", example.problem.X, other)
    found = kfac(example.problem, example.x, fisher="empirical", labels=other)
    near(found.dense(), kfac(replaced, example.x, fisher="empirical").dense())


# --- where it is exact -------------------------------------------------------------------------------------------


def distance(K, F, places):
    """The largest relative distance of a block."""
    dense = K.dense()
    return max(np.linalg.norm((dense - F)[p, p]) / np.linalg.norm(F[p, p]) for p in places)


@pytest.mark.parametrize(("options", "sharing", "exact"), [
    ({"N": 1, "loss": "cross-entropy"}, "expand", True),
    ({"N": 2, "loss": "cross-entropy"}, "expand", False),
    ({"linear": True, "loss": "squared"}, "expand", True),
    ({"linear": True, "loss": "cross-entropy"}, "expand", False),
    ({"linear": True, "R": 3, "loss": "mse"}, "expand", True),
    ({"linear": True, "R": 3, "loss": "mse"}, "reduce", False),
    ({"linear": True, "R": 3, "loss": "mse", "mean": True}, "reduce", True),
    ({"linear": True, "R": 3, "loss": "mse", "mean": True}, "expand", False),
    ({"R": 3, "loss": "mse", "mean": True}, "reduce", False),
])  # fmt: skip
def test_where_it_is_the_fisher_matrix(options, sharing, exact):
    example = case(seed=3, **options)
    truth = literal(example.steps, example.X, example.problem.c, options["loss"], sharing)
    far = distance(kfac(example.problem, example.x, sharing=sharing), truth.F, truth.places)
    assert far < TIGHT if exact else far > 1e-3


def test_a_softmax_without_preferences_is_exact_in_the_last_layer():
    """With all logits 0 all samples have the same probabilities."""
    example = case(loss="cross-entropy", sizes=(3, 4, 3), N=6)
    steps = [*example.steps[:-1], tuple(0 * part for part in example.steps[-1])]
    x = np.concatenate([example.x[:-15], np.zeros(15)])
    truth = literal(steps, example.X, example.problem.c, "cross-entropy")
    K = kfac(example.problem, x)
    assert distance(K, truth.F, truth.places[1:]) < TIGHT
    assert not K.blocks[0].G.any()
    F = literal(example.steps, example.X, example.problem.c, "cross-entropy").F
    assert distance(kfac(example.problem, example.x), F, truth.places[1:]) > 1e-3


def test_with_one_position_both_ways_are_one():
    example = case()
    a, b = (kfac(example.problem, example.x, sharing=sharing).dense() for sharing in ("expand", "reduce"))
    near(a, b)


def test_factors_are_linear_in_the_reduction():
    total, mean = (case(reduction=reduction) for reduction in ("sum", "mean"))
    for one, other in zip(*(kfac(c.problem, c.x).blocks for c in (total, mean)), strict=True):
        near(one.A, other.A)
        near(one.G, other.G * len(total.X))


# --- labels that are drawn ---------------------------------------------------------------------------------------


def test_drawn_labels_have_the_exact_factors_as_their_mean():
    """Over all labels that two samples can have, each weighed by its probability."""
    example = case(loss="cross-entropy", N=2, sizes=(2, 3, 3))
    f = example.problem.outputs(example.x)
    p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    total = 0
    for y in product(range(3), repeat=2):
        drawn = kfac(example.problem, example.x, fisher="monte-carlo", labels=np.array(y))
        total = total + p[0, y[0]] * p[1, y[1]] * drawn.dense()
    near(total, kfac(example.problem, example.x).dense())


def test_drawn_labels_follow_the_generator():
    example = case(loss="cross-entropy", N=20)
    one, same, other = (
        kfac(example.problem, example.x, fisher="monte-carlo", samples=3, rng=seed).dense() for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert not (one == other).all()
    exact = kfac(example.problem, example.x).dense()
    few, many = (
        np.linalg.norm(kfac(example.problem, example.x, fisher="monte-carlo", samples=S, rng=3).dense() - exact)
        for S in (10, 4000)
    )
    assert many < few / 4  # the expected ratio is 20


# --- other kinds of layers -----------------------------------------------------------------------------------------


def exact_fisher(problem, x):
    """Without Kronecker factors, by the Jacobian and the second moments of the loss."""
    J = problem.jacobian(x).reshape(problem.samples, -1, len(x))
    f = problem.outputs(x)
    p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    return problem.c * sum(Jn.T @ (np.diag(q) - np.outer(q, q)) @ Jn for Jn, q in zip(J, p, strict=True))


def grouped(bias="joint"):
    rng = np.random.default_rng(7)
    net = Sequential(Linear(4, 6, groups=2), Tanh(), LayerNorm(6), Linear(6, 3))
    x = net.init(1) + 0.1 * rng.standard_normal(net.size)
    return Supervised(net, "cross-entropy", rng.standard_normal((5, 4)), rng.integers(0, 3, 5)), x


@pytest.mark.parametrize("bias", ["joint", "separate"])
def test_groups_are_layers_of_their_own(bias):
    """Each group alone is a network: its block is that of a linear layer with the same inputs and gradients."""
    problem, x = grouped()
    K = kfac(problem, x, bias=bias).dense()
    W, V = x[:12].reshape(6, 2), problem.network.unravel(x)
    for group in (0, 1):
        rows = slice(3 * group, 3 * group + 3)
        places = [*range(6 * group, 6 * group + 6), *range(12 + 3 * group, 15 + 3 * group)]

        alone = Sequential(Linear(2, 3), Stacked(V, rows, problem.X), LayerNorm(6), Linear(6, 3))
        own = np.concatenate([W[rows].ravel(), x[12:18][rows], x[18:]])
        part = Supervised(alone, "cross-entropy", problem.X[:, 2 * group : 2 * group + 2], problem.y)
        near(K[np.ix_(places, places)], kfac(part, own, bias=bias).dense()[:9, :9])
    assert not K[:6, 6:12].any()


class Stacked(Tanh):
    """tanh of all six outputs, of which it is given three."""

    def __init__(self, arrays, rows, X):
        object.__setattr__(self, "rows", rows)
        y = np.hstack([X[:, 2 * g : 2 * g + 2] @ arrays["0.W"][3 * g : 3 * g + 3].T for g in (0, 1)]) + arrays["0.b"]
        object.__setattr__(self, "all", y)

    def forward(self, p, x):
        whole = self.all.copy()
        whole[:, self.rows] = x
        return super().forward(p, whole)

    def pull(self, p, tape, u):
        return super().pull(p, tape, u)[..., self.rows]


def test_parameters_of_other_layers_have_the_diagonal():
    problem, x = grouped()
    K, F = kfac(problem, x).dense(), exact_fisher(problem, x)
    norm = slice(18, 30)
    near(K[norm, norm], np.diag(np.diag(F)[norm]))


@pytest.mark.parametrize("bias", ["joint", "separate"])
def test_a_matrix_in_every_respect(bias):
    problem, x = grouped()
    K = kfac(problem, x, bias=bias)
    M = K.dense()
    rng = np.random.default_rng(2)
    v = rng.standard_normal((len(x), 2))
    near(K.matvec(v), M @ v)
    near(K.to_scipy().rmatvec(v[:, 0]), M @ v[:, 0])
    damped = M + 0.3 * np.eye(len(x))
    near(K.solve(v, 0.3), np.linalg.solve(damped, v))
    assert K.solve(v[:, 0], 0.3, "pi").shape == x.shape
    assert K.logdet(0.3) == pytest.approx(np.linalg.slogdet(damped)[1], rel=TIGHT)
    assert K.trace() == pytest.approx(np.trace(M), rel=TIGHT)
    values, vectors = K.eigh()
    Q = vectors.dense()
    near(Q @ np.diag(values) @ Q.T, M)
    near(np.linalg.eigvalsh(K.dense("column")), np.linalg.eigvalsh(M), 1e-12)


def test_layers_that_share_weights_are_one_layer():
    """W used twice, once in one place and once in another: as at two positions."""
    rng = np.random.default_rng(4)
    net = Sequential(Linear(3, 3, shared_as="W"), Tanh(), Linear(3, 3, shared_as="W"))
    x = rng.standard_normal(net.size)
    X, y = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    problem = Supervised(net, "squared", X, y)
    W, b, c = x[:9].reshape(3, 3), x[9:12], x[12:]
    A, G, own = 0, 0, [0, 0]
    for n in range(4):
        h = np.tanh(W @ X[n] + b)
        J = (1 - h**2)[:, None] * W.T  # rows: ∂/∂ of the first outputs; columns: f
        A = A + np.outer(X[n], X[n]) / 8 + np.outer(h, h) / 8
        G = G + J @ J.T / 4 + np.eye(3) / 4
        own[0] = own[0] + J @ J.T / 4
        own[1] = own[1] + np.eye(3) / 4
    K = kfac(problem, x).dense()
    near(K[:9, :9], product_of(A, G, False))
    near(K[9:12, 9:12], own[0])
    near(K[12:, 12:], own[1])
    assert len(c) == 3


def test_a_few_samples_at_a_time(monkeypatch):
    examples = [(example.problem, example.x) for example in (case(loss="mse", N=7), convolution(), attention())]
    for problem, x in [*examples, grouped()]:
        for options in ({}, {"sharing": "reduce"}, {"bias": "separate"}):
            whole, chain = (made(problem, x, **options).dense() for made in (kfac, kfac_tridiagonal))
            with monkeypatch.context() as patch:
                patch.setattr("refopt.curvature.layerwise.AT_ONCE", 40)
                near(kfac(problem, x, **options).dense(), whole)
                near(kfac_tridiagonal(problem, x, **options).dense(), chain)


@pytest.mark.parametrize("made", [kfac, ekfac, kfac_tridiagonal])
def test_memory_does_not_grow_with_the_samples(made):
    """A convolution at 100 positions, 10 classes: gradients at all of them at once would be ten times as many."""
    network, rng = Sequential(Conv2d(2, 6, 3), Tanh(), MeanPool((-2, -1)), Linear(6, 10)), np.random.default_rng(0)
    x, peaks = network.init(0), []
    for N in (100, 1000):
        problem = Supervised(network, "cross-entropy", rng.standard_normal((N, 2, 12, 12)), rng.integers(0, 10, N))
        tracemalloc.start()
        made(problem, x)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


# --- edges ---------------------------------------------------------------------------------------------------------


def test_array_kinds(namespace):
    example = case(loss="cross-entropy", R=2, N=3)
    for dtype in (np.float32, np.float64):
        X, x = namespace.asarray(example.X.astype(dtype)), namespace.asarray(example.x.astype(dtype))
        problem = Supervised(example.problem.network, "cross-entropy", X, namespace.asarray(example.problem.y))
        for options in ({}, {"fisher": "monte-carlo", "rng": 0}, {"fisher": "forward-only", "bias": "separate"}):
            K = kfac(problem, x, **options)
            found, expected = K.dense(), kfac(example.problem, example.x, **options).dense()
            assert namespace.owns(found)
            assert namespace.to_numpy(found).dtype == dtype
            near(namespace.to_numpy(found), expected, 1e-5 if dtype == np.float32 else TIGHT)


@pytest.mark.parametrize("bias", ["joint", "separate"])
def test_one_of_everything(bias):
    example = case(sizes=(1, 1), N=1)
    K = kfac(example.problem, example.x, bias=bias)
    a = example.X[0, 0, 0]
    near(K.dense(), np.array([[a * a, a], [a, 1.0]]) if bias == "joint" else np.diag([a * a, 1.0]))


def test_singular_factors_want_damping():
    example = case(N=2, sizes=(5, 4, 2), loss="cross-entropy")
    K = kfac(example.problem, example.x)
    v = np.ones(len(example.x))
    with pytest.raises(ValueError, match="singular"):
        K.solve(v)
    assert K.logdet() == -np.inf
    near(K.solve(v, 0.1), np.linalg.solve(K.dense() + 0.1 * np.eye(len(v)), v))


def test_arguments_are_left_alone():
    example = case()
    before = example.x.copy(), example.problem.X.copy(), example.problem.y.copy()
    kfac(example.problem, example.x)
    for one, other in zip(before, (example.x, example.problem.X, example.problem.y), strict=True):
        assert (one == other).all()


@pytest.mark.parametrize(("options", "error", "says"), [
    ({"fisher": "type-2"}, ValueError, "fisher must be one of exact, monte-carlo, empirical, forward-only"),
    ({"sharing": "mean"}, ValueError, "sharing must be one of expand, reduce"),
    ({"bias": "none"}, ValueError, "bias must be one of joint, separate"),
    ({"fisher": "monte-carlo"}, TypeError, "labels="),
    ({"fisher": "monte-carlo", "samples": 0, "rng": 1}, ValueError, "samples must be at least 1"),
    ({"labels": np.zeros((5, 2))}, ValueError, "takes no labels"),
    ({"fisher": "empirical", "labels": np.zeros((4, 2))}, ValueError, "labels"),
])  # fmt: skip
def test_what_is_refused(options, error, says):
    example = case()
    with pytest.raises(error, match=says):
        kfac(example.problem, example.x, **options)


def test_outputs_that_are_not_finite():
    example = case()
    with pytest.raises(ValueError, match="not finite"):
        kfac(example.problem, np.nan * example.x)


def test_it_needs_layers():
    with pytest.raises(TypeError, match="made of layers"):
        kfac(lambda x: x, np.zeros(2))
    of_function = Supervised(lambda x, X: X @ x[:, None], "squared", np.ones((3, 2)), np.zeros((3, 1)))
    with pytest.raises(TypeError, match="made of layers"):
        kfac(of_function, np.zeros(2))
