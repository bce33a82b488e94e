"""How long products with the curvature of a network take, in gradients; its Gauss-Newton matrix beside JᵀHJ."""

from itertools import pairwise

import numpy as np
import pytest

import refopt
from refopt import curvature
from refopt.networks import Linear, Sequential, Tanh


def problem_of(widths, N):
    rng = np.random.default_rng(0)
    layers = [layer for n, m in pairwise(widths) for layer in (Linear(n, m), Tanh())][:-1]
    net = Sequential(*layers)
    X, y = rng.standard_normal((N, widths[0])), rng.integers(0, widths[-1], N)
    return refopt.Supervised(net, "cross-entropy", X, y), net.init(rng), rng.standard_normal(net.size)


@pytest.mark.parametrize("N", [256, 2048])
@pytest.mark.parametrize("what", ["Hessian product", "Gauss-Newton product", "diagonal of the empirical Fisher matrix"])
def test_products_in_gradients(paired, N, what):
    """About 2.5, 1.7 and 1 are the operations; each starts from x, and runs forward itself."""
    problem, x, v = problem_of((64, 128, 64, 10), N)
    calls = {
        "Hessian product": lambda: curvature.operators.hessian(problem, x).matvec(v),
        "Gauss-Newton product": lambda: curvature.operators.ggn(problem, x).matvec(v),
        "diagonal of the empirical Fisher matrix": lambda: curvature.diagonal(problem, x, "empirical"),
    }
    found, gradient = paired(f"{what}, 64-128-64-10, N = {N}", calls[what], "the gradient", lambda: problem.grad(x))
    assert found.shape == gradient.shape == x.shape


@pytest.mark.parametrize(("widths", "N"), [((20, 16, 10), 512), ((32, 64, 20), 256)])
def test_the_full_gauss_newton_matrix(paired, widths, N):
    """The sum over classes first, beside rows of gradients and a symmetric rank-k product."""
    problem, x, _ = problem_of(widths, N)

    def rows():
        point = problem.at(x)
        u, _ = point.factor()
        Z = point.per_sample_vjp(u).reshape(-1, x.size)
        return problem.c * (Z.T @ Z)

    ours, theirs = paired(
        f"Gauss-Newton matrix, P = {x.size}, N = {N}",
        lambda: curvature.ggn(problem, x),
        "rows and a rank-k product",
        rows,
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13 * np.abs(theirs).max())
