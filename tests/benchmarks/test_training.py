"""A step of Adam and of AdaHessian on ten million float32 weights, beside torch's fused Adam where torch is installed,
and beside the pure step; twenty steps of K-FAC and of Shampoo beside the products of matrices that they cannot do
without.

What K-FAC must do is counted in products, and these are done with BLAS, on arrays of the same shapes and type: sweeps,
factors and the product with the inverse in every step, f in every fifth, and once in twenty two candidates more and
three inverses of every factor, each n³ flops as a product of matrices does them. Shampoo's roots count 9n³, the
textbook's price of all eigenvectors, and a product, both in float64, as its roots are found whatever the type of the
weights. Activations, averages and the weights themselves are not counted.
"""

from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest

import refopt
from refopt.compiled.passes import in_one_pass
from refopt.networks import Linear, Sequential, Tanh
from refopt.sampled import Draw
from refopt.stochastic import adahessian, adam, kfac, shampoo

N = 10**7
pytestmark = pytest.mark.jit


def weights(request):
    n = N if request.config.getoption("benchmark_enable") else 10**5
    return np.random.default_rng(0).standard_normal((4, n), np.float32)


class Steps:
    """Donated steps of a method, one after the other."""

    def __init__(self, method, x, g, donate, draw=None, **more):
        self.method, self.g, self.donate, self.draw, self.more = method, g, donate, draw, more
        self.params = method.Params(step=1e-3)
        self.state = method.init(None, x.copy(), self.params)

    def __call__(self):
        self.state = self.method.update(self.state, self.g, self.params, self.draw, self.donate, **self.more)
        return self.state.x


def fused(x, g):
    import torch

    torch.set_num_threads(1)
    p = torch.nn.Parameter(torch.from_numpy(x.copy()))
    p.grad = torch.from_numpy(g)
    optimizer = torch.optim.Adam([p], lr=1e-3, fused=True)
    return lambda: optimizer.step() or p.detach().numpy()


def test_adam(paired, request):
    x, g, _, _ = weights(request)
    one_step_is_the_pure_one(adam, x, g)
    paired("adam, 1e7", Steps(adam, x, g, in_one_pass), "a pure step", Steps(adam, x, g, False))
    if find_spec("torch"):
        assert np.allclose(Steps(adam, x, g, in_one_pass)(), fused(x, g)(), atol=1e-6)
        paired("adam, 1e7", Steps(adam, x, g, in_one_pass), "torch fused", fused(x, g))


def test_adahessian(paired, request):
    x, g, h, z = weights(request)
    given = {"draw": Draw(probes=np.sign(z)[None, :]), "products": h[None, :]}
    one_step_is_the_pure_one(adahessian, x, g, **given)
    ours = Steps(adahessian, x, g, in_one_pass, **given)
    paired("adahessian, 1e7", ours, "a pure step", Steps(adahessian, x, g, False, **given))
    if find_spec("torch"):
        paired("adahessian, 1e7", ours, "torch fused Adam", fused(x, g))


def one_step_is_the_pure_one(method, x, g, **given):
    assert np.array_equal(Steps(method, x, g, in_one_pass, **given)(), Steps(method, x, g, False, **given)())


# --- K-FAC and Shampoo beside the flops that they must do -------------------------------------------------------------

WIDTHS, SAMPLES, STEPS = (256, 512, 512, 512, 10), 512, 20
SIZES = [(WIDTHS, SAMPLES), ((64, 1024, 1024, 10), 128)]


def dense(widths, samples, dtype):
    """A network with tanh between its layers, data, weights, and labels for twenty steps."""
    rng, layers = np.random.default_rng(0), [layer for n, m in pairwise(widths) for layer in (Linear(n, m), Tanh())]
    X, y = rng.standard_normal((samples, widths[0])).astype(dtype), rng.integers(widths[-1], size=samples)
    problem = refopt.Supervised(Sequential(*layers[:-1]), "cross-entropy", X, y)
    draws = [Draw(labels=rng.integers(widths[-1], size=samples)) for _ in range(STEPS)]
    return problem, problem.network.init(0).astype(dtype), draws


class Twenty:
    """Twenty steps from the same state on, once the first twenty are taken."""

    def __init__(self, method, problem, x, draws, params):
        self.method, self.problem, self.draws, self.params = method, problem, draws, params
        self.state = method.init(problem, x, params)
        self.state = self()

    def __call__(self):
        state = self.state
        for k, draw in enumerate(self.draws):
            state = self.method.step(self.problem, state, self.params, draw, donate=k > 0)
        return state


class Products:
    """Products of matrices, on arrays that are there."""

    def __init__(self, dtype):
        self.dtype, self.rng, self.pairs = dtype, np.random.default_rng(1), []

    def product(self, m, k, n, times=1, dtype=None):
        """(m, k) by (k, n)."""
        self.pairs += [(self.array(m, k, dtype), self.array(k, n, dtype))] * times

    def square(self, k, n, times=1, dtype=None):
        """DᵀD of D (k, n)."""
        D = self.array(k, n, dtype)
        self.pairs += [(D.T, D)] * times

    def array(self, m, n, dtype):
        return self.rng.standard_normal((m, n), np.float32).astype(dtype or self.dtype)

    def __call__(self):
        for A, B in self.pairs:
            A @ B


def what_kfac_must_do(widths, N, dtype):
    work, candidates = Products(dtype), 2
    for k, (n, m) in enumerate(pairwise(widths)):
        inner = k > 0  # the first layer's inputs need no derivatives
        along = STEPS * 2 + candidates  # sweeps forward with a tangent: two in a step, one for another candidate
        work.product(N, n, m, STEPS + STEPS // 5 + along * (1 + inner))
        work.product(m, N, n, STEPS)  # the gradient
        work.product(N, m, n, STEPS * 2 * inner)  # back to the inputs, for the gradient and for the labels drawn
        work.square(N, n + 1, STEPS)
        work.square(N, m, STEPS)
        work.product(m, m, n + 1, STEPS + candidates)
        work.product(m, n + 1, n + 1, STEPS + candidates)
        for size in (n + 1, m):
            work.product(-(-size // 2), size, size, 1 + candidates)
    return work


def what_shampoo_must_do(widths, N, dtype, every):
    work = Products(dtype)
    for k, (n, m) in enumerate(pairwise(widths)):
        work.product(N, n, m, STEPS)
        work.product(m, N, n, STEPS)
        work.product(N, m, n, STEPS * (k > 0))
        work.square(n, m, STEPS)
        work.square(m, n, STEPS)
        work.product(m, m, n, STEPS)
        work.product(m, n, n, STEPS)
        for size in (n, m, m):  # of W, and of b
            work.product(9 * size // 2, size, size, STEPS // every, np.float64)
            work.square(size, size, STEPS // every, np.float64)
    return work


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("widths", "N"), SIZES)
def test_kfac_beside_its_products(paired, request, widths, N, dtype):
    widths, N = (widths, N) if request.config.getoption("benchmark_enable") else ((6, 8, 5, 3), 9)
    problem, x, draws = dense(widths, N, dtype)
    steps = Twenty(kfac, problem, x, draws, kfac.Params())
    what = f"kfac, {'-'.join(map(str, widths))}, N = {N}, {np.dtype(dtype)}, 20 steps"
    state, _ = paired(what, steps, "the products they need", what_kfac_must_do(widths, N, dtype))
    assert state.t == 2 * STEPS


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("widths", "N", "every"), [(*SIZES[0], 1), (*SIZES[0], 10), (*SIZES[1], 20)])
def test_shampoo_beside_its_products(paired, request, widths, N, every, dtype):
    widths, N = (widths, N) if request.config.getoption("benchmark_enable") else ((6, 8, 5, 3), 9)
    problem, x, draws = dense(widths, N, dtype)
    steps = Twenty(shampoo, problem, x, draws, shampoo.Params(every=every))
    what = f"shampoo, {'-'.join(map(str, widths))}, N = {N}, {np.dtype(dtype)}, roots every {every}, 20 steps"
    state, _ = paired(what, steps, "the products they need", what_shampoo_must_do(widths, N, dtype, every))
    assert state.t == 2 * STEPS
