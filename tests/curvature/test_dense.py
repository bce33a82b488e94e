"""The matrices of networks, beside their definitions by autograd, and by hand."""

import autograd
import numpy as np
import pytest

import refopt
from curvature.reference import draw_labels, factor, matrices, near
from networks.cases import CASES
from networks.independent import LOSSES
from refopt import curvature
from refopt.curvature import operators
from refopt.networks import Linear, ReLU, Sequential

SMALL = ("dense Tanh", "residual", "layer norm", "pooled transformer")


def problem_of(name, loss="cross-entropy", reduction="mean"):
    case = CASES[name]
    f = case.model(case.x, case.X)
    y = draw_labels(loss, f, np.random.default_rng(3))
    problem = refopt.Supervised(case.network, loss, case.X, y, reduction, case.masks)
    J = case.jacobian.reshape(len(f), -1, case.x.size)
    return case, problem, y, f, J, factor(reduction, f, y, loss)


@pytest.mark.parametrize("name", CASES)
def test_every_network(name):
    case, problem, y, f, J, c = problem_of(name)
    G, F, EF = matrices(J, f, y, "cross-entropy", c)
    x, P = case.x, case.x.size
    near(curvature.ggn(problem, x), G)
    near(curvature.fisher(problem, x), F)
    near(curvature.fisher(problem, x, kind="empirical"), EF)
    near(curvature.jacobian(problem, x), J.reshape(-1, P))
    near(curvature.ntk(problem, x), J.reshape(-1, P) @ J.reshape(-1, P).T)
    for of, M in (("ggn", G), ("fisher", F), ("empirical", EF)):
        near(curvature.diagonal(problem, x, of), np.diag(M))


@pytest.mark.parametrize("reduction", ["sum", "mean", "mean-elements", "mean-tokens"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_and_reduction(loss, reduction):
    case, problem, y, f, J, c = problem_of("dense GELU", loss, reduction)
    G, F, EF = matrices(J, f, y, loss, c)
    x = case.x
    H = autograd.hessian(lambda x: c * LOSSES[loss](case.model(x, case.X), y))(x)
    assert problem.c == pytest.approx(c, rel=1e-15)
    near(curvature.hessian(problem, x), H)
    near(curvature.ggn(problem, x), G)
    near(curvature.functional_hessian(problem, x), H - G)
    near(curvature.fisher(problem, x), F)
    near(curvature.fisher(problem, x, "empirical"), EF)
    near(curvature.diagonal(problem, x, "ggn"), np.diag(G))


@pytest.mark.parametrize("name", ["convolution", "pooled transformer", "own"])
def test_signs_in_rows_of_gradients(name):
    """A loss that is not convex, in networks whose gradients go row by row."""
    case, problem, y, f, J, c = problem_of("residual" if name == "own" else name, "gaussian", "sum")
    if name == "own":
        problem = refopt.Supervised(case.model, "gaussian", case.X, y, "sum")
    G, F, _ = matrices(J, f, y, "gaussian", c)
    near(curvature.ggn(problem, case.x), G)
    near(curvature.fisher(problem, case.x), F)
    near(curvature.diagonal(problem, case.x, "ggn"), np.diag(G))


@pytest.mark.parametrize("name", SMALL)
def test_hessian_and_what_is_dropped(name):
    case, problem, y, f, J, c = problem_of(name, "cross-entropy")
    x = case.x
    H = autograd.hessian(lambda x: c * LOSSES["cross-entropy"](case.model(x, case.X), y))(x)
    G, *_ = matrices(J, f, y, "cross-entropy", c)
    near(curvature.hessian(problem, x), H)
    near(curvature.functional_hessian(problem, x), H - G)
    near(curvature.diagonal(problem, x), np.diag(H))


def test_units_of_a_sample_with_several_terms():
    """Tokens: the exact matrix is the same for both units, the empirical ones are not."""
    case, problem, y, f, J, _ = problem_of("transformer", reduction="sum")
    T, C = f.shape[1:]
    p = np.exp(f) / np.exp(f).sum(-1, keepdims=True)
    terms = np.einsum("ntc,ntcp->ntp", p - np.eye(C)[y], J.reshape(len(f), T, C, -1))
    by_sample, by_token = terms.sum(1), terms.reshape(len(f) * T, -1)
    x = case.x
    near(curvature.fisher(problem, x, "empirical"), by_sample.T @ by_sample)
    near(curvature.fisher(problem, x, "empirical", unit="token"), by_token.T @ by_token)
    assert np.linalg.norm(by_sample.T @ by_sample - by_token.T @ by_token) > 0.1 * np.linalg.norm(by_token.T @ by_token)
    near(curvature.fisher(problem, x, unit="token"), curvature.fisher(problem, x))
    centred = by_token - by_token.mean(0)
    near(curvature.fisher(problem, x, "empirical", unit="token", centred=True), centred.T @ centred)
    token = operators.fisher(problem, x, "empirical", unit="token", centred=True)
    near(token.matvec(x), centred.T @ (centred @ x))


def test_tokens_that_do_not_count():
    case, _, y, f, J, _ = problem_of("transformer")
    y = np.where(np.arange(y.size).reshape(y.shape) % 3 == 0, -100, y)
    problem = refopt.Supervised(case.network, "cross-entropy", case.X, y, "mean-tokens")
    G, F, EF = matrices_of_tokens(f, y, J)
    near(curvature.ggn(problem, case.x), G)
    near(curvature.fisher(problem, case.x), F)
    near(curvature.fisher(problem, case.x, "empirical"), EF)


def matrices_of_tokens(f, y, J):
    c, total, s = 1 / (y >= 0).sum(), 0.0, np.zeros((len(f), J.shape[-1]))
    J = J.reshape(*f.shape, -1)
    for n, t in np.argwhere(y >= 0):
        p = np.exp(f[n, t]) / np.exp(f[n, t]).sum()
        total = total + J[n, t].T @ (np.diag(p) - np.outer(p, p)) @ J[n, t]
        s[n] += J[n, t].T @ (p - np.eye(p.size)[y[n, t]])
    return c * total, c * total, c * s.T @ s


def test_two_classes_by_hand():
    """z = Wx: Σ p(1 − p) xxᵀ on the diagonal blocks, the negative beside them; both labels enumerated."""
    rng = np.random.default_rng(0)
    X, y, W = rng.standard_normal((6, 3)), rng.integers(0, 2, 6), rng.standard_normal((2, 3))
    problem = refopt.Supervised(Linear(3, 2, bias=False), "cross-entropy", X, y, "sum")
    p = 1 / (1 + np.exp((W[1] - W[0]) @ X.T))
    block = (X.T * (p * (1 - p))) @ X
    by_hand = np.block([[block, -block], [-block, block]])
    near(curvature.fisher(problem, W.ravel()), by_hand)
    near(curvature.hessian(problem, W.ravel()), by_hand)
    both = sum(
        (s.T * weight) @ s
        for label, weight in ((0, p), (1, 1 - p))
        for s in [np.concatenate([(p - (label == 0))[:, None] * X, (1 - p - (label == 1))[:, None] * X], axis=1)]
    )
    near(curvature.fisher(problem, W.ravel()), both)


def test_blocks_are_those_of_the_matrix():
    case, problem, *_ = problem_of("dense Tanh")
    x = case.x
    H, G = curvature.hessian(problem, x), curvature.ggn(problem, x)
    EF = curvature.fisher(problem, x, "empirical", centred=True)
    layers, arrays = [(0, 16), (16, 26)], [(0, 12), (12, 16), (16, 24), (24, 26)]
    for by, parts in (("layer", layers), ("parameter", arrays)):
        for of, M, details in (("hessian", H, {}), ("ggn", G, {}), ("empirical", EF, {"centred": True})):
            found = curvature.block_diagonal(problem, x, of, by, **details)
            for block, (start, stop) in zip(found.blocks, parts, strict=True):
                near(block.dense(), M[start:stop, start:stop])
    v = np.random.default_rng(1).standard_normal(x.size)
    solved = curvature.block_diagonal(problem, x).solve(v, 0.1)
    near(solved[:16], np.linalg.solve(G[:16, :16] + 0.1 * np.eye(16), v[:16]))


def test_blocks_of_shared_arrays():
    """The embedding that is the output's weight too belongs to the layer that has it first."""
    case, problem, *_ = problem_of("causal transformer")
    G, start = curvature.ggn(problem, case.x), 0
    for block in curvature.block_diagonal(problem, case.x).blocks:
        stop = start + block.shape[0]
        near(block.dense(), G[start:stop, start:stop])
        start = stop
    assert start == case.x.size


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("dense ReLU", "cross-entropy"),
        ("dense GELU", "gaussian"),
        ("convolution", "gaussian"),
        ("vit", "cross-entropy"),
        ("causal transformer", "squared"),
    ],
)
def test_in_parts_of_the_batch(name, loss, monkeypatch):
    """What is computed in pieces is the same; a slice of the samples takes its labels and masks with it."""
    case, problem, *_ = problem_of(name, loss)
    x = case.x
    whole = [
        curvature.ggn(problem, x),
        curvature.diagonal(problem, x, "ggn"),
        curvature.fisher(problem, x, "empirical"),
    ]
    monkeypatch.setattr("refopt.curvature.outer.WORKING", 1)
    monkeypatch.setattr("refopt.curvature.outer.samples_at_once", lambda point, terms: 2)
    parts = [
        curvature.ggn(problem, x),
        curvature.diagonal(problem, x, "ggn"),
        curvature.fisher(problem, x, "empirical"),
    ]
    for a, b in zip(parts, whole, strict=True):
        near(a, b)


def test_piecewise_linear_networks_have_the_blocks_of_gauss_and_newton():
    rng = np.random.default_rng(2)
    net = Sequential(Linear(3, 6), ReLU(), Linear(6, 4), ReLU(), Linear(4, 3))
    problem = refopt.Supervised(net, "cross-entropy", rng.standard_normal((8, 3)), rng.integers(0, 3, 8))
    x = net.init(1)
    H, G = curvature.block_diagonal(problem, x, "hessian"), curvature.block_diagonal(problem, x, "ggn")
    for a, b in zip(H.blocks, G.blocks, strict=True):
        near(a.dense(), b.dense())
    assert np.linalg.norm(curvature.functional_hessian(problem, x)) > 0.1 * np.linalg.norm(curvature.ggn(problem, x))


def test_gaussian_with_variance_has_two_matrices():
    """f = (μ, s): ∇²ℓ = e⁻ˢ(1, d; d, ½d²) is not the Fisher matrix diag(e⁻ˢ, ½), nor semidefinite."""
    net, X = Linear(1, 2, bias=False), np.array([[1.0], [1.0]])
    problem = refopt.Supervised(net, "gaussian", X, np.array([2.0, -1.0]), "sum")
    x = np.array([0.5, np.log(2.0)])
    d = np.array([1.5, -1.5])
    near(curvature.fisher(problem, x), np.diag([1.0, 1.0]))
    near(curvature.ggn(problem, x), np.array([[1.0, d.sum() / 2], [d.sum() / 2, (d**2).sum() / 4]]))
    far = refopt.Supervised(net, "gaussian", X[:1], np.array([3.0]), "sum")
    assert np.linalg.eigvalsh(curvature.ggn(far, x))[0] < -0.1
    assert np.linalg.eigvalsh(curvature.fisher(far, x))[0] > 0.4


@pytest.mark.parametrize("size", [1, 3])
def test_one_sample_and_one_parameter(size):
    X, y = np.full((size, 1), 2.0), np.ones(size)
    problem = refopt.Supervised(Linear(1, 1, bias=False), "squared", X, y, "mean")
    x = np.array([3.0])
    for M in (curvature.hessian, curvature.ggn, curvature.fisher):
        near(M(problem, x), np.array([[4.0]]))
    near(curvature.fisher(problem, x, "empirical"), np.array([[(5 * 2.0) ** 2]]))
    near(curvature.fisher(problem, x, "empirical", centred=True), np.array([[0.0]]), slack=1e12)
    near(curvature.ntk(problem, x), np.full((size, size), 4.0))


def test_tanh_network_as_a_function_of_ones_own():
    """The same network as a function that autograd traces, and as plain NumPy with differences and the complex step."""
    case, problem, y, *_ = problem_of("dense Tanh")
    x = case.x
    wanted = {
        "hessian": curvature.hessian(problem, x),
        "functional_hessian": curvature.functional_hessian(problem, x),
        "ggn": curvature.ggn(problem, x),
        "fisher": curvature.fisher(problem, x),
        "jacobian": curvature.jacobian(problem, x),
        "ntk": curvature.ntk(problem, x),
    }
    own = refopt.Supervised(case.model, "cross-entropy", case.X, y)
    for name, M in wanted.items():
        near(getattr(curvature, name)(own, x), M)

    def plain(x, X):
        W, b, V, c = x[:12].reshape(4, 3), x[12:16], x[16:24].reshape(2, 4), x[24:]
        return np.tanh(X @ W.T + b) @ V.T + c

    for method, digits in (("cs", 1e2), ("3-point", 1e6)):
        other = refopt.Supervised(plain, "cross-entropy", case.X, y, derivatives=method)
        near(curvature.ggn(other, x), wanted["ggn"], slack=digits)
        near(curvature.fisher(other, x), wanted["fisher"], slack=digits)
        near(curvature.hessian(other, x), wanted["hessian"], slack=1e12)  # differences of the second order
    near(curvature.block_diagonal(own, x).dense(), wanted["ggn"])
