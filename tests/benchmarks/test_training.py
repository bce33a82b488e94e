"""A step of Adam and of AdaHessian on ten million float32 weights, beside torch's fused Adam where torch is installed,
and beside the pure step."""

from importlib.util import find_spec

import numpy as np
import pytest

from refopt.compiled.passes import in_one_pass
from refopt.sampled import Draw
from refopt.stochastic import adahessian, adam

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
