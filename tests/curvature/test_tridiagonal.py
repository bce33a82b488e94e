"""Block-tridiagonal K-FAC against its definition with dense matrices."""

from itertools import pairwise

import numpy as np
import pytest

from literal_kfac import attention, case, convolution, literal, product_of
from refopt import Supervised
from refopt.curvature import kfac, kfac_tridiagonal
from refopt.networks import LayerNorm, Linear, Sequential, Tanh

DEEP = case(loss="squared", sizes=(3, 3, 4, 3), N=40)
SHORT = case(loss="cross-entropy", sizes=(2, 3, 3), N=30)


def near(found, expected, tolerance):
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


def factors(example, sharing="expand", damping=0.0, rule="pi"):
    """A, G by layer, damped, and A_next, G_next."""
    truth = literal(example.steps, example.X, example.problem.c, example.problem.loss.name, sharing)
    damped = []
    for A, G in zip(truth.A, truth.G, strict=True):
        pi = np.sqrt(np.trace(A) / len(A) / (np.trace(G) / len(G))) if rule == "pi" else 1.0
        damped.append((A + pi * damping**0.5 * np.eye(len(A)), G + damping**0.5 / pi * np.eye(len(G))))
    return damped, list(zip(truth.A_next, truth.G_next, strict=True)), truth


def inverse(damped, after, places):
    """ΞᵀΛΞ, with every block a dense matrix."""
    P, L = places[-1].stop, len(places)
    own = [product_of(A, G, True) for A, G in damped]
    Xi, Lam = np.eye(P), np.zeros((P, P))
    for k in range(L):
        sigma = own[k]
        if k + 1 < L and after[k][0] is not None:
            psi = rectangular(*after[k]) @ np.linalg.inv(own[k + 1])
            Xi[places[k], places[k + 1]] = -psi
            sigma = sigma - psi @ own[k + 1] @ psi.T
        Lam[places[k], places[k]] = np.linalg.inv(sigma)
    return Xi.T @ Lam @ Xi


def rectangular(A, G):
    """G ⊗ A between two layers, both with their bias put last."""
    rows, columns = (
        [(o, i) for o in range(out) for i in range(width - 1)] + [(o, width - 1) for o in range(out)]
        for out, width in zip(G.shape, A.shape, strict=True)
    )
    return np.array([[G[o, p] * A[i, j] for p, j in columns] for o, i in rows])


@pytest.mark.parametrize("rule", ["pi", "factored"])
@pytest.mark.parametrize(("example", "sharing"), [
    (DEEP, "expand"), (SHORT, "expand"), (case(R=3, sizes=(2, 3, 2)), "reduce"), (case(R=2, sizes=(2, 3, 2)), "expand"),
    (attention(), "reduce"), (attention(), "expand"), (convolution(), "reduce"),
], ids=["deep", "short", "pooled positions", "positions", "attention reduce", "attention", "convolution"])  # fmt: skip
def test_damped_inverse(example, sharing, rule):
    """Digits are lost by the inverses of the dense blocks."""
    damped, after, truth = factors(example, sharing, 0.05, rule)
    expected = inverse(damped, after, truth.places)
    T = kfac_tridiagonal(example.problem, example.x, sharing=sharing)
    near(T.solve(np.eye(len(example.x)), 0.05, rule), expected, 1e-12)


@pytest.mark.parametrize(
    "example", [DEEP, case(loss="mse", reduction="sum", sizes=(2, 3, 3), N=30)], ids=["deep", "short"]
)
def test_undamped(example):
    """F̂, its inverse and log det; both inverses lose eps κ."""
    damped, after, truth = factors(example)
    T = kfac_tridiagonal(example.problem, example.x)
    expected = inverse(damped, after, truth.places)
    kappa = np.linalg.cond(expected)
    near(T.solve(np.eye(len(example.x))), expected, 1e-14 * kappa)
    M = T.dense()
    near(M, np.linalg.inv(expected), 1e-14 * kappa)
    assert T.logdet() == pytest.approx(-np.linalg.slogdet(expected)[1], abs=1e-13 * kappa)
    assert np.linalg.eigvalsh(M)[0] > 0


@pytest.mark.parametrize("bias", ["joint", "separate"])
def test_bands_agree_and_the_inverse_is_tridiagonal(bias):
    T = kfac_tridiagonal(DEEP.problem, DEEP.x, bias=bias)
    K, M = kfac(DEEP.problem, DEEP.x, bias=bias), T.dense()
    _, after, truth = factors(DEEP)
    inside = T.solve(np.eye(len(DEEP.x)), 0.01, "pi")
    start = [0, *np.cumsum([block.shape[0] for block in T.blocks])]
    place = [slice(i, j) for i, j in pairwise(start)]
    for k, block in enumerate(K.blocks):
        near(M[place[k], place[k]], block.dense(), 1e-12)
    step = 1 if bias == "joint" else 2
    linked = {(link.i, link.j) for link in T.links}
    assert linked == {(k, k + step) for k in range(len(place) - step)}
    for i in range(len(place)):
        for j in range(i + 1, len(place)):
            assert inside[place[i], place[j]].any() == ((i, j) in linked)
    if bias == "joint":
        for k in (0, 1):
            near(M[truth.places[k], truth.places[k + 1]], rectangular(*after[k]), 1e-12)
    else:
        (A, G), (i, j) = after[0], (place[1], place[3])
        assert A[-1, -1] == 1.0
        near(M[i, j], G, 1e-12)
    last = place[-step]
    assert np.linalg.norm(M[place[0], last]) > 0.01 * np.linalg.norm(M[last, last])  # F̂ is dense


def test_a_matrix_in_every_respect():
    T = kfac_tridiagonal(DEEP.problem, DEEP.x)
    M, v = T.dense(), np.random.default_rng(1).standard_normal((len(DEEP.x), 3))
    v[:, 1] = 0.0
    near(T.matvec(v), M @ v, 1e-13)
    near(T.to_scipy().matvec(v[:, 0]), M @ v[:, 0], 1e-13)
    assert T.T is T
    for lam in (1.0, 1e-2, 1e-5):
        damped = M + lam * np.eye(len(M))
        near(T.solve(v, lam), np.linalg.solve(damped, v), 1e-14 * np.linalg.cond(damped))
        assert T.solve(v[:, 0], lam).shape == DEEP.x.shape
        assert T.logdet(lam) == pytest.approx(np.linalg.slogdet(damped)[1], rel=1e-12)
    assert T.trace() == pytest.approx(np.trace(M), rel=1e-12)
    near(T.dense("column")[:12, :12], T.blocks[0].dense("column"), 1e-12)
    near(np.linalg.eigvalsh(T.dense("column")), np.linalg.eigvalsh(M), 1e-12)
    with pytest.raises(ValueError, match="vec must be"):
        T.dense("diagonal")
    with pytest.raises(MemoryError, match="limit=…"):
        T.dense(limit=8)
    with pytest.raises(ValueError, match="rule must be"):
        T.solve(v, 0.1, "tikhonov")


def test_damping_too_small_for_the_gradients_warns():
    T = kfac_tridiagonal(SHORT.problem, SHORT.x)
    with pytest.warns(RuntimeWarning, match="is small beside F"):
        T.solve(np.ones(len(SHORT.x)), 1e-30)


def test_singular_factors():
    """One sample: F̂ is there, its inverse is not."""
    example = case(N=1, loss="cross-entropy")
    T = kfac_tridiagonal(example.problem, example.x)
    _, after, truth = factors(example)
    M = T.dense()
    near(M, truth.F, 1e-12)  # of one sample everything is exact
    assert T.logdet() == -np.inf
    with pytest.raises(ValueError, match="singular"):
        T.solve(np.ones(len(example.x)))
    damped = M + 0.1 * np.eye(len(M))
    near(T.solve(np.ones(len(M)), 0.1), np.linalg.solve(damped, np.ones(len(M))), 1e-12)
    assert T.logdet(0.1) == pytest.approx(np.linalg.slogdet(damped)[1], rel=1e-12)
    assert len(after) == 1


def test_layers_that_know_each_other():
    """In a deep linear network neighbours determine each other: each factor is regular, F̂ is not."""
    example = case(linear=True, loss="squared", sizes=(3, 3, 3), N=40)
    T, K = (f(example.problem, example.x) for f in (kfac_tridiagonal, kfac))
    assert K.logdet() > -np.inf
    assert T.logdet() == -np.inf
    with pytest.raises(ValueError, match="conditioned on the next one"):
        T.solve(np.ones(len(example.x)))


def test_forward_only_couples_nothing():
    T, K = (f(DEEP.problem, DEEP.x, fisher="forward-only") for f in (kfac_tridiagonal, kfac))
    assert not T.links
    near(T.dense(), K.dense(), 1e-15)


def test_layers_that_are_not_linear_are_not_coupled():
    rng = np.random.default_rng(5)
    net = Sequential(Linear(4, 4, groups=2), Tanh(), LayerNorm(4), Linear(4, 3), Tanh(), Linear(3, 2))
    problem = Supervised(net, "squared", rng.standard_normal((9, 4)), rng.standard_normal((9, 2)))
    x = rng.standard_normal(net.size)
    T, K = kfac_tridiagonal(problem, x), kfac(problem, x)
    assert [(link.i, link.j) for link in T.links] == [(3, 4)]
    M = T.dense()
    near(M[:20, :20], K.dense()[:20, :20], 1e-13)
    v = rng.standard_normal(len(x))
    near(T.solve(v, 0.1), np.linalg.solve(M + 0.1 * np.eye(len(x)), v), 1e-12)
    near(T.solve(v, 0.1, "pi")[:20], K.solve(v, 0.1, "pi")[:20], 1e-12)
    near(T.dense("column")[:20, :20], K.dense("column")[:20, :20], 1e-13)


def test_groups_are_not_coupled():
    rng = np.random.default_rng(6)
    net = Sequential(Linear(4, 4, groups=2), Tanh(), Linear(4, 4, groups=2), Tanh(), Linear(4, 2))
    problem = Supervised(net, "squared", rng.standard_normal((9, 4)), rng.standard_normal((9, 2)))
    x = rng.standard_normal(net.size)
    for bias in ("joint", "separate"):
        T, K = (f(problem, x, bias=bias) for f in (kfac_tridiagonal, kfac))
        assert not T.links
        near(T.dense(), K.dense(), 1e-15)


def test_array_kinds(namespace):
    for dtype in (np.float32, np.float64):
        X, x, v = (namespace.asarray(part.astype(dtype)) for part in (SHORT.X[:, 0], SHORT.x, np.ones(len(SHORT.x))))
        problem = Supervised(SHORT.problem.network, "cross-entropy", X, namespace.asarray(SHORT.problem.y))
        T, expected = (kfac_tridiagonal(*pair) for pair in ((problem, x), (SHORT.problem, SHORT.x)))
        for found, truth in (
            (T.dense(), expected.dense()), (T.solve(v, 0.1), expected.solve(np.ones(len(SHORT.x)), 0.1)),
            (T.solve(v, 0.1, "pi"), expected.solve(np.ones(len(SHORT.x)), 0.1, "pi")),
        ):  # fmt: skip
            assert namespace.owns(found)
            assert namespace.to_numpy(found).dtype == dtype
            near(namespace.to_numpy(found), truth, 1e-4 if dtype == np.float32 else 1e-12)
