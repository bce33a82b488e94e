"""Shampoo and SOAP: steps against the papers' equations, written out."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power

from refopt.stochastic import adam, shampoo, soap
from training.small import fed

# --- Shampoo ----------------------------------------------------------------------------------------------------------


def root(A, p):
    return fractional_matrix_power(A, -1.0 / p).real


def test_shampoo_s_step_of_a_matrix_is_the_paper_s():
    rng = np.random.default_rng(0)
    gradients, eps = rng.standard_normal((3, 4, 3)), 0.01
    state = fed(
        shampoo, shampoo.Params(step=1.0, eps=eps, shapes=((4, 3),)), [G.ravel() for G in gradients], np.zeros(12)
    )
    L, R, W = eps * np.eye(4), eps * np.eye(3), np.zeros((4, 3))
    for G in gradients:
        L, R = L + G @ G.T, R + G.T @ G
        W = W - root(L, 4) @ G @ root(R, 4)
    assert np.allclose(state.x.reshape(4, 3), W, atol=1e-12)
    full = root(np.kron(R, L), 4) @ gradients[-1].T.ravel()  # columns stacked
    assert np.allclose(full, (root(L, 4) @ gradients[-1] @ root(R, 4)).T.ravel(), atol=1e-12)


def test_shampoo_s_step_of_a_tensor_and_of_a_vector():
    """Order k has the exponent −1/2k: −1/6, and −1/2 where it is AdaGrad with a full matrix."""
    rng = np.random.default_rng(1)
    T, v = rng.standard_normal((2, 3, 4)), rng.standard_normal(5)
    params = shampoo.Params(step=1.0, eps=0.1, shapes=((2, 3, 4), (5,)))
    state = fed(shampoo, params, [np.concatenate([T.ravel(), v])], np.zeros(29))
    roots = [
        root(np.tensordot(T, T, ([a for a in range(3) if a != k],) * 2) + 0.1 * np.eye(n), 6)
        for k, n in enumerate(T.shape)
    ]
    assert np.allclose(-state.x[:24].reshape(T.shape), np.einsum("ai,bj,ck,ijk->abc", *roots, T), atol=1e-12)
    assert np.allclose(-state.x[24:], root(np.outer(v, v) + 0.1 * np.eye(5), 2) @ v, atol=1e-12)


@pytest.mark.parametrize("method", ["eigh", "coupled-newton"])
@pytest.mark.parametrize("beta2", [1.0, 0.9])
@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4), (2, 3, 2, 2)])
def test_a_step_of_any_order_is_one_with_the_kronecker_product_of_its_factors(shape, beta2, method):
    """Sums from L₀ = εI, or corrected means and εI, of two gradients, in one dense matrix."""
    rng, eps, k = np.random.default_rng(7), 0.1, len(shape)
    G = rng.standard_normal((2, *shape))
    params = shampoo.Params(step=1.0, beta2=beta2, eps=eps, root=method, shapes=(shape,))
    first, second = (fed(shampoo, params, [g.ravel() for g in G[:n]], np.zeros(G[0].size)).x for n in (1, 2))
    weights = (1.0, 1.0) if beta2 == 1.0 else np.array([0.9, 1.0]) * 0.1 / 0.19
    P = np.ones((1, 1))
    for axis, n in enumerate(shape):
        rows = [np.moveaxis(g, axis, 0).reshape(n, -1) for g in G]
        P = np.kron(P, root(sum(w * A @ A.T for w, A in zip(weights, rows, strict=True)) + eps * np.eye(n), 2 * k))
    assert np.allclose(first - second, P @ G[1].ravel(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", ["eigh", "coupled-newton"])
def test_running_means_are_corrected_and_roots_kept(method):
    rng = np.random.default_rng(2)
    gradients = rng.standard_normal((4, 3, 3))
    params = shampoo.Params(step=1.0, beta2=0.9, eps=1e-3, every=2, root=method, shapes=((3, 3),))
    state = fed(shampoo, params, [G.ravel() for G in gradients], np.zeros(9))
    L, R, W = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3))
    for t, G in enumerate(gradients, 1):
        L, R = 0.9 * L + 0.1 * G @ G.T, 0.9 * R + 0.1 * G.T @ G
        if t % 2:
            roots = [root(A / (1 - 0.9**t) + 1e-3 * np.eye(3), 4) for A in (L, R)]
        W = W - roots[0] @ G @ roots[1]
    assert np.allclose(state.x.reshape(3, 3), W, atol=1e-9)


@pytest.mark.parametrize(
    ("grafting", "size"),
    [
        ("sgd", lambda m, g: m),
        ("adagrad", lambda m, g: m / (np.sqrt((g**2).sum(0)) + 1e-8)),
        ("rmsprop", lambda m, g: m / (np.sqrt(0.1 * (0.9 * g[0] ** 2 + g[1] ** 2)) + 1e-8)),
        ("adam", lambda m, g: m / (np.sqrt(0.1 * (0.9 * g[0] ** 2 + g[1] ** 2) / 0.19) + 1e-8)),
    ],
)
def test_grafting_lends_a_length_and_no_direction(grafting, size):
    rng = np.random.default_rng(3)
    g = rng.standard_normal((2, 10))
    params = shampoo.Params(step=1.0, eps=0.01, beta1=0.5, graft_beta2=0.9, shapes=((2, 3), (4,)))
    plain = [fed(shampoo, params, g[:k], np.zeros(10)).x for k in (1, 2)]
    lent = [fed(shampoo, params._replace(grafting=grafting), g[:k], np.zeros(10)).x for k in (1, 2)]
    p, q = plain[1] - plain[0], lent[1] - lent[0]
    m = (0.5 * 0.5 * g[0] + 0.5 * g[1]) / 0.75
    for part in (slice(0, 6), slice(6, 10)):
        assert np.isclose(np.linalg.norm(q[part]), np.linalg.norm(size(m, g)[part]), rtol=1e-9)
        assert np.isclose(q[part] @ p[part], np.linalg.norm(q[part]) * np.linalg.norm(p[part]), rtol=1e-9)
    later = fed(shampoo, params._replace(grafting=grafting, start=9), g, np.zeros(10))
    assert np.allclose(
        (later.x - fed(shampoo, params._replace(grafting=grafting, start=9), g[:1], np.zeros(10)).x), -size(m, g)
    )


def test_roots_are_computed_from_the_first_preconditioned_step_on():
    """start = 1, every = 2: SGD at t = 0, roots at t = 1 and 3, kept at t = 2."""
    rng = np.random.default_rng(6)
    G = rng.standard_normal((4, 3, 2))
    params = shampoo.Params(step=1.0, eps=0.1, start=1, every=2, grafting="sgd", shapes=((3, 2),))
    L, R, W, roots = 0.1 * np.eye(3), 0.1 * np.eye(2), np.zeros((3, 2)), None
    for t, g in enumerate(G):
        L, R = L + g @ g.T, R + g.T @ g
        roots = (root(L, 4), root(R, 4)) if t in (1, 3) else roots
        P = g if roots is None else roots[0] @ g @ roots[1]
        W = W - P * np.linalg.norm(g) / np.linalg.norm(P)
    assert np.allclose(fed(shampoo, params, [g.ravel() for g in G], np.zeros(6)).x.reshape(3, 2), W, atol=1e-12)


def test_blocks_are_arrays_of_their_own():
    rng = np.random.default_rng(4)
    G = rng.standard_normal((5, 4))
    state = fed(shampoo, shampoo.Params(step=1.0, eps=0.1, block=3, shapes=((5, 4),)), [G.ravel()], np.zeros(20))
    found, edges = -state.x.reshape(5, 4), ([0, 2, 5], [0, 2, 4])
    for a, b in pairwise(edges[0]):
        for c, d in pairwise(edges[1]):
            B = G[a:b, c:d]
            expected = root(B @ B.T + 0.1 * np.eye(b - a), 4) @ B @ root(B.T @ B + 0.1 * np.eye(d - c), 4)
            assert np.allclose(found[a:b, c:d], expected, atol=1e-12)


def test_one_by_one_is_adagrad_with_eps_inside_the_root():
    state = fed(
        shampoo, shampoo.Params(step=1.0, eps=0.25, shapes=((1, 1),)), [np.array([2.0]), np.array([-1.0])], np.zeros(1)
    )
    assert np.isclose(state.x[0], -2 / np.sqrt(4.25) + 1 / np.sqrt(5.25), rtol=1e-13)


def test_no_gradient_is_no_step():
    """Also where ε is relative to a matrix that is zero."""
    for relative in (False, True):
        params = shampoo.Params(eps=1e-3, relative=relative, grafting="sgd", shapes=((2, 2),))
        assert not fed(shampoo, params, [np.zeros(4)] * 2, np.zeros(4)).x.any()
    assert not fed(soap, soap.Params(every=1, shapes=((2, 2),)), [np.zeros(4)] * 4, np.zeros(4)).x.any()


# --- SOAP -------------------------------------------------------------------------------------------------------------


def test_soap_is_adam_in_the_rotated_basis():
    """Until the bases change: gradients turned by Q₁, Q₂, Adam there, and the steps turned back."""
    rng = np.random.default_rng(5)
    G = rng.standard_normal((5, 3, 4))
    params = soap.Params(step=0.1, beta1=0.9, beta2=0.99, eps=0.0, every=100, shapes=((3, 4),))
    found = fed(soap, params, [g.ravel() for g in G], np.zeros(12)).x.reshape(3, 4)
    Q1, Q2 = (np.linalg.eigh(A)[1][:, ::-1] for A in (G[0] @ G[0].T, G[0].T @ G[0]))
    turned = [(Q1.T @ g @ Q2).ravel() for g in G[1:]]
    there = fed(adam, adam.Params(step=0.1, beta1=0.9, beta2=0.99, eps=0.0), turned, np.zeros(12)).x.reshape(3, 4)
    assert np.allclose(found, Q1 @ there @ Q2.T, atol=1e-12)


def test_soap_s_second_moments_move_with_their_columns():
    """A factor whose eigenvalues change places: the columns of Q do, and the rows of V with them."""
    L, Q, V = np.diag([1.0, 9.0, 4.0]), np.eye(3), np.array([[1.0, 2], [3, 4], [5, 6]])
    (renewed, untouched), moved = soap.refreshed((L, None), (Q, None), V)
    assert untouched is None
    assert np.array_equal(abs(renewed), Q[:, [1, 2, 0]])
    assert np.array_equal(moved, V[[1, 2, 0]])
