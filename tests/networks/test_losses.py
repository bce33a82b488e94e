"""Losses: derivatives beside autograd, factors and Fisher matrices beside sums over labels, draws, extremes."""

import autograd
import mpmath
import numpy as np
import pytest
from scipy import integrate, stats

import refopt
from networks.independent import LOSSES as PLAIN
from refopt.networks import LOSSES, Linear
from refopt.networks.losses import named

EPS = 2.0**-52
TOKENS = ["one term", "several terms"]


def drawn(name, several=False, seed=0):
    """Outputs (4, C) or (4, 3, C), and labels."""
    rng = np.random.default_rng(seed)
    f = rng.standard_normal((4, 3, 4) if several else (4, 4))
    y = {
        "cross-entropy": lambda: rng.integers(0, 4, f.shape[:-1]),
        "binary-cross-entropy": lambda: rng.integers(0, 2, f.shape).astype(float),
        "poisson": lambda: rng.poisson(2.0, f.shape).astype(float),
        "gaussian": lambda: rng.standard_normal((*f.shape[:-1], 2)),
    }.get(name, lambda: rng.standard_normal(f.shape))()
    return f, y


def matrix(loss, f, y, product):
    """The matrices (N, C, C) behind a product with stacked unit vectors."""
    one = np.eye(f.shape[-1]).reshape(-1, *(1,) * (f.ndim - 1), f.shape[-1])
    return np.moveaxis(product(f, y, np.broadcast_to(one, (f.shape[-1], *f.shape))), 0, -1)


def near(a, b):
    """To a few roundings of sums of ten terms of order one."""
    np.testing.assert_allclose(a, b, rtol=0, atol=200 * EPS * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize("several", [False, True], ids=TOKENS)
@pytest.mark.parametrize("name", LOSSES)
def test_values_gradients_and_hessians(name, several):
    loss, (f, y) = LOSSES[name], drawn(name, several)
    values = loss.values(f, y)
    assert values.shape == f.shape[:-1]
    near(values.reshape(4, -1).sum(1), [PLAIN[name](*pair) for pair in zip(f, y, strict=True)])
    near(loss.grad(f, y), np.stack([autograd.grad(PLAIN[name])(*pair) for pair in zip(f, y, strict=True)]))
    v = np.random.default_rng(1).standard_normal((2, *f.shape))
    for k in range(2):
        theirs = [autograd.make_hvp(PLAIN[name])(*pair)[0](w) for *pair, w in zip(f, y, v[k], strict=True)]
        near(loss.hvp(f, y, v)[k], np.stack(theirs))


@pytest.mark.parametrize("several", [False, True], ids=TOKENS)
@pytest.mark.parametrize("name", LOSSES)
def test_factors_are_those_of_the_matrices(name, several):
    loss, (f, y) = LOSSES[name], drawn(name, several)
    v = np.random.default_rng(1).standard_normal(f.shape)
    columns, signs = loss.factor(f, y)
    near(np.einsum("k,k...c,k...->...c", signs, columns, (columns * v).sum(-1)), loss.hvp(f, y, v))
    columns = loss.fisher_factor(f, y)
    near(np.einsum("k...c,k...->...c", columns, (columns * v).sum(-1)), loss.fisher_vp(f, y, v))
    assert (signs == [1.0] * len(signs)) == (name != "gaussian")


def density(name, f, k):
    """y ↦ density of the k-th entry of a label."""
    return {
        "squared": stats.norm(f[k], 1.0),
        "mse": stats.norm(f[k], np.sqrt(0.5)),
        "binary-cross-entropy": stats.bernoulli(1 / (1 + np.exp(-f[k]))),
        "poisson": stats.poisson(np.exp(f[k])),
        "gaussian": stats.norm(f[k], np.exp(f[k + 2] / 2)) if name == "gaussian" else None,
    }[name]


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "cross-entropy"])
def test_fisher_matrices_are_expectations_over_the_density(name):
    """E[∇ℓ∇ℓᵀ] and E[∇ℓ] = 0 by quadrature or summation over y ~ e^{−ℓ}, entry by entry: entries are independent."""
    loss, (f, y) = LOSSES[name], drawn(name)
    f, y = f[:1], y[:1]
    F = matrix(loss, f, y, loss.fisher_vp)[0]
    for k in range(y.shape[1]):
        entries = [k, k + 2] if name == "gaussian" else [k]
        law = density(name, f[0], k)
        chance = law.pmf if hasattr(law.dist, "pmf") else law.pdf

        def weighted(value, k=k, entries=entries, chance=chance):
            label = y.copy()
            label[0, k] = value
            s = loss.grad(f, label)[0, entries]
            return chance(value) * np.outer(s, s)

        counts = hasattr(law.dist, "pmf")
        total = sum(map(weighted, range(200))) if counts else integrate.quad_vec(weighted, -40, 40)[0]
        np.testing.assert_allclose(F[np.ix_(entries, entries)], total, atol=1e-7)  # the quadrature's


def test_the_fisher_matrix_of_classes_is_a_sum_over_them():
    loss, (f, _) = LOSSES["cross-entropy"], drawn("cross-entropy", several=True)
    p = np.exp(f) / np.exp(f).sum(-1, keepdims=True)
    total = 0.0
    for c in range(4):
        s = loss.grad(f, np.full(f.shape[:-1], c))
        total = total + p[..., c, None, None] * s[..., :, None] * s[..., None, :]
    near(matrix(loss, f, np.zeros((4, 3), int), loss.fisher_vp), total)


@pytest.mark.parametrize("name", LOSSES)
def test_only_the_gaussian_has_a_fisher_matrix_of_its_own(name):
    loss, (f, y) = LOSSES[name], drawn(name)
    gap = matrix(loss, f, y, loss.hvp) - matrix(loss, f, y, loss.fisher_vp)
    assert (np.abs(gap).max() > 0.1) == (name == "gaussian")


@pytest.mark.parametrize("name", LOSSES)
def test_labels_drawn_have_the_density(name):
    """Chi-square with 10 bins, or classes: at a fixed seed, so that the right density passes always."""
    loss, (f, y) = LOSSES[name], drawn(name, seed=5)
    count = 4000
    f, y = np.repeat(f[:1], count, 0), np.repeat(y[:1], count, 0)
    labels = loss.sample(f, y, np.random.default_rng(7))
    assert labels.shape == y.shape
    assert labels.dtype == y.dtype
    if name == "cross-entropy":
        p = np.exp(f[0]) / np.exp(f[0]).sum()
        assert stats.chisquare(np.bincount(labels, minlength=4), count * p).pvalue > 1e-5
        return
    for k in range(y.shape[1]):
        law = density(name, f[0], k)
        if hasattr(law.dist, "pmf"):
            top = 1 if name == "binary-cross-entropy" else int(law.ppf(0.99))
            seen = np.bincount(np.minimum(labels[:, k], top).astype(int), minlength=top + 1)
            expected = law.pmf(np.arange(top + 1))
            expected[-1] = 1.0 - expected[:-1].sum()
        else:
            seen = np.bincount((10 * law.cdf(labels[:, k])).astype(int), minlength=10)
            expected = np.full(10, 0.1)
        assert stats.chisquare(seen, count * expected).pvalue > 1e-5


def test_counts_of_a_high_rate():
    """At a rate of 5000 inversion would underflow, were it not done in parts."""
    labels = LOSSES["poisson"].sample(np.full((2000, 1), np.log(5000.0)), None, np.random.default_rng(0))
    assert abs(labels.mean() - 5000.0) < 5 * np.sqrt(5000.0 / 2000)
    assert abs(labels.var() / 5000.0 - 1.0) < 5 * np.sqrt(2.0 / 2000)
    assert not (labels % 1).any()


def test_probabilities_and_classes_agree_and_what_does_not_count_is_nothing():
    loss, (f, y) = LOSSES["cross-entropy"], drawn("cross-entropy", several=True)
    y[1, 2] = y[3, 0] = -100
    target = (y[..., None] == np.arange(4)).astype(float)
    v = np.random.default_rng(2).standard_normal(f.shape)
    for what in (loss.values, loss.grad, loss.factor, loss.fisher_factor):
        a, b = what(f, y), what(f, target)
        near(a[0] if isinstance(a, tuple) else a, b[0] if isinstance(b, tuple) else b)
    near(loss.hvp(f, y, v), loss.hvp(f, target, v))
    for array in (loss.values(f, y), loss.grad(f, y), loss.hvp(f, y, v)):
        assert not array[1, 2].any()
        assert not array[3, 0].any()
    assert loss.tokens(y) == loss.tokens(target) == 10
    for labels in (y, target):
        sample = loss.sample(f, labels, np.random.default_rng(0))
        np.testing.assert_array_equal(sample[1, 2], labels[1, 2])
        assert np.shape(sample) == np.shape(labels)


@pytest.mark.parametrize("C", [1, 2, 3, 10])
@pytest.mark.parametrize("spread", [1, 40, 700])
def test_the_factor_of_a_softmax_keeps_every_digit(C, spread):
    """Columns of Cholesky's factor, their squares p(1 − p), as far as p is known: C eps, and the logits' rounding."""
    f = spread * np.random.default_rng(C).standard_normal((20, C))
    columns = LOSSES["cross-entropy"].fisher_factor(f, np.zeros(20, int))
    assert columns.shape == (max(1, C - 1), 20, C)
    assert not np.triu(columns.transpose(1, 2, 0)[:, : C - 1, : C - 1], 1).any()
    with mpmath.workdps(1000):
        powers = [[mpmath.exp(mpmath.mpf(z)) for z in row] for row in f]
        exact = [[float(e * (sum(row) - e) / sum(row) ** 2) for e in row] for row in powers]
    np.testing.assert_allclose((columns**2).sum(axis=0), exact, rtol=4 * (C + np.ptp(f)) * EPS, atol=1e-290)


@pytest.mark.parametrize("z", [-800.0, -40.0, 0.0, 40.0, 800.0])
def test_extreme_logits_lose_no_digit(z):
    """log(1 + e^z) − yz and σ(z) beside fifty digits; nothing overflows (a warning would be an error)."""
    loss, f = LOSSES["binary-cross-entropy"], np.array([[z]])
    with mpmath.workdps(500):
        e = mpmath.exp(mpmath.mpf(z))
        sigma = e / (1 + e)
        for y in (0.0, 1.0):
            value = mpmath.log(1 + e) - y * mpmath.mpf(z)
            np.testing.assert_allclose(loss.values(f, np.array([[y]]))[0], float(value), rtol=4 * EPS, atol=1e-300)
        np.testing.assert_allclose(loss.grad(f, np.array([[0.0]]))[0, 0], float(sigma), rtol=8 * EPS, atol=1e-300)
        np.testing.assert_allclose(loss.variance(f)[0, 0], float(sigma * (1 - sigma)), rtol=16 * EPS, atol=1e-300)


def test_softmax_of_extreme_logits():
    loss, f = LOSSES["cross-entropy"], np.array([[1000.0, 0.0, -1000.0]])
    assert loss.values(f, np.array([1]))[0] == 1000.0
    np.testing.assert_array_equal(loss.grad(f, np.array([1])), [[1.0, -1.0, 0.0]])


@pytest.mark.parametrize(("reduction", "count"), [("sum", 1), ("mean", 4), ("mean-elements", 48), ("mean-tokens", 12)])
def test_the_factor_of_a_reduction(reduction, count):
    """Outputs (4, 3, 4): 4 samples of 3 tokens of 4 numbers; everything is linear in c."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((4, 3, 2)), rng.integers(0, 4, (4, 3))
    problem = refopt.Supervised(Linear(2, 4), "cross-entropy", X, y, reduction)
    whole = refopt.Supervised(Linear(2, 4), "cross-entropy", X, y, "sum")
    x, v = problem.network.init(0), rng.standard_normal(12)
    assert problem.c == 1 / count
    assert problem.at(x).c == problem.c
    for what in ("hvp", "ggnvp", "fisher_vp", "empirical_fisher_vp"):
        near(getattr(problem, what)(x, v), getattr(whole, what)(x, v) / count)
    near(problem.fun(x), whole.fun(x) / count)
    np.testing.assert_array_equal(problem.per_sample_grad(x), whole.per_sample_grad(x))


@pytest.mark.parametrize("shape", [(4,), (4, 3)])
@pytest.mark.parametrize("loss", LOSSES)
def test_tokens_are_the_entries_of_the_labels(loss, shape):
    """As in PyTorch's mean; classes and the same classes as probabilities are one objective."""
    rng = np.random.default_rng(0)
    X, f = rng.standard_normal((*shape, 2)), (*shape, 4)
    y = {"cross-entropy": rng.integers(0, 4, shape), "gaussian": np.zeros((*shape, 2))}.get(loss, np.zeros(f))
    assert refopt.Supervised(Linear(2, 4), loss, X, y, "mean-tokens").c == 1 / y.size
    if loss == "cross-entropy":
        assert refopt.Supervised(Linear(2, 4), loss, X, np.eye(4)[y], "mean-tokens").c == 1 / y.size


def test_tokens_that_do_not_count_are_not_counted():
    y = np.array([[0, -100, 1], [-100, -100, 2]])
    X = np.random.default_rng(0).standard_normal((2, 3, 2))
    assert refopt.Supervised(Linear(2, 4), "cross-entropy", X, y, "mean-tokens").c == 1 / 3


@pytest.mark.parametrize(
    ("loss", "wrong", "says"),
    [
        ("binary-cross-entropy", -1.0, "takes labels from 0 to 1, and of these one is outside"),
        ("binary-cross-entropy", 1.5, "takes labels from 0 to 1"),
        ("poisson", -0.5, "takes labels from 0 on"),
    ],
)
def test_labels_without_a_density(loss, wrong, says, namespace):
    """Where ℓ is not −log of any density, or has no lower bound."""
    y = np.array([0.0, 1.0, wrong, 0.5])
    for network in (Linear(2, 1), lambda x, X: X @ x[:, None]):
        with pytest.raises(ValueError, match=says):
            refopt.Supervised(network, loss, namespace.asarray(np.ones((4, 2))), namespace.asarray(y))
    refopt.Supervised(Linear(2, 1), loss, namespace.asarray(np.ones((4, 2))), namespace.asarray(np.abs(y) % 1))


@pytest.mark.parametrize(
    ("loss", "y", "says"),
    [
        ("cross-entropy", np.array([0, 1, 4]), "0 to 3"),
        ("cross-entropy", np.array([0, -1, 2]), "negative"),
        ("cross-entropy", np.array([[0], [1], [2]]), "classes"),
        ("cross-entropy", np.full((3, 4), 0.4), "sum to 1"),
        ("cross-entropy", np.array([0.0, 1.0, 2.0]), "integer classes"),
        ("squared", np.zeros((3, 3)), "like the outputs"),
        ("gaussian", np.zeros((3, 4)), "log-variances"),
        ("squared", np.zeros((2, 4)), "3 samples"),
    ],
)
def test_labels_that_do_not_fit(loss, y, says):
    with pytest.raises(ValueError, match=says):
        refopt.Supervised(Linear(2, 4), loss, np.zeros((3, 2)), y)


def test_names():
    with pytest.raises(ValueError, match=r"hinge.*cross-entropy"):
        named("hinge")
    with pytest.raises(ValueError, match="mean-tokens"):
        refopt.Supervised(Linear(2, 4), "mse", np.zeros((3, 2)), np.zeros((3, 4)), "average")
    assert named(LOSSES["mse"]) is LOSSES["mse"]


LABELS = {
    "cross-entropy": np.array([0, 2, 1, -100]),
    "cross-entropy of probabilities": np.array([[1.0, 0, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0, 0]]),
    "binary-cross-entropy": np.array([[0.0, 1, 1], [1, 0, 0], [1, 1, 1], [0.5, 0, 1]]),
    "squared": np.zeros((4, 3)),
}


@pytest.mark.parametrize("name", LABELS)
def test_where_a_margin_is_positive_the_loss_falls_to_zero_and_elsewhere_not(namespace, name):
    """ℓ(tf) at t = 500: margins of 0.03 or more make it 1e-6 at most, all others keep it up."""
    loss, y, rng = LOSSES[name.split(" of ")[0]], LABELS[name], np.random.default_rng(0)
    signs = set()
    for f in np.round(rng.standard_normal((60, 4, 3)), 1) + np.array([0.0, 0.03, 0.07]):
        margins = loss.margins(namespace.asarray(f), namespace.asarray(y))
        assert namespace.owns(margins)
        margins = namespace.to_numpy(margins)
        far = loss.values(500.0 * f, y)
        ignored = np.isposinf(margins)
        assert np.array_equal((margins > 0)[~ignored], (far < 1e-4)[~ignored])
        assert not far[ignored].any()
        signs |= set(np.sign(margins[~ignored]))
    assert (1.0 in signs) == ("entropy" in name)
    assert -1.0 in signs
