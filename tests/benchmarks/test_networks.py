"""Products of a network's curvature in units of its gradient, written out by hand for this one network."""

import numpy as np
import pytest

import refopt
from benchmarks.beside_torch import both
from refopt.networks import Linear, Sequential, Tanh


def by_hand(x, X, y):
    """The gradient of mean cross-entropy for 64-128-64-10 and tanh: what anyone would write."""
    W1, b1, W2, b2, W3, b3 = np.split(x, np.cumsum([8192, 128, 8192, 64, 640]))
    W1, W2, W3 = W1.reshape(128, 64), W2.reshape(64, 128), W3.reshape(10, 64)
    h1 = np.tanh(X @ W1.T + b1)
    h2 = np.tanh(h1 @ W2.T + b2)
    f = h2 @ W3.T + b3
    g3 = np.exp(f - f.max(axis=1, keepdims=True))
    g3 /= g3.sum(axis=1, keepdims=True)
    g3[np.arange(y.size), y] -= 1.0
    g3 /= y.size
    g2 = (g3 @ W3) * (1.0 - h2 * h2)
    g1 = (g2 @ W2) * (1.0 - h1 * h1)
    parts = [(g1.T @ X), g1.sum(0), (g2.T @ h1), g2.sum(0), (g3.T @ h2), g3.sum(0)]
    return np.concatenate([part.ravel() for part in parts])


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    net = Sequential(Linear(64, 128), Tanh(), Linear(128, 64), Tanh(), Linear(64, 10))
    return refopt.Supervised(net, "cross-entropy", rng.standard_normal((256, 64)), rng.integers(0, 10, 256))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("gradient", lambda problem, x, v: problem.grad(x)),
        ("Hessian-vector product", lambda problem, x, v: problem.hvp(x, v)),
        ("Gauss-Newton-vector product", lambda problem, x, v: problem.ggnvp(x, v)),
        ("empirical Fisher diagonal", lambda problem, x, v: problem.c * problem.at(x).squared_grad()),
    ],
)
def test_a_product(paired, problem, name, call):
    x, v = problem.network.init(0), np.random.default_rng(1).standard_normal(problem.network.size)
    _, gradient = paired(
        f"{name}, 64-128-64-10, 256 samples",
        lambda: call(problem, x, v),
        "gradient by hand",
        lambda: by_hand(x, problem.X, problem.y),
    )
    np.testing.assert_allclose(problem.grad(x), gradient, rtol=0, atol=1e-14)


def test_gradients_per_sample(paired, problem):
    x = problem.network.init(0)
    ours, _ = paired(
        "gradients per sample, 64-128-64-10, 256 samples",
        lambda: problem.per_sample_grad(x),
        "filling such an array",
        lambda: np.full((256, problem.network.size), 1.0),
    )
    np.testing.assert_allclose(problem.c * ours.sum(axis=0), problem.grad(x), rtol=0, atol=1e-14)


@pytest.mark.peers
@pytest.mark.parametrize("N", [64, 256, 1024])
@pytest.mark.parametrize("again", [True, False], ids=["same memory", "new memory"])
def test_gradients_per_sample_beside_pytorch(paired, N, again):
    """PyTorch's are one array for each array of parameters; ours are rows (N, P), in the same memory or a new array.

    At 256 samples that array has 35 MB, more than glibc keeps: its pages are cleared each time. Each of PyTorch's has
    less, and comes back.
    """
    torch = pytest.importorskip("torch")
    problem, x, model, X, y = both(N)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss(parameters, inputs, label):
        outputs = torch.func.functional_call(model, parameters, (inputs[None],))
        return torch.nn.functional.cross_entropy(outputs, label[None])

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    out = np.empty((N, x.size)) if again else None
    ours, theirs = paired(
        f"gradients per sample, 64-128-64-10, {N} samples{'' if again else ', a new array'}",
        lambda: problem.per_sample_grad(x, out=out), "torch.vmap(grad)", lambda: each(parameters, X, y),
    )  # fmt: skip
    flat = np.concatenate([part.reshape(N, -1).numpy() for part in theirs.values()], axis=1)
    np.testing.assert_allclose(ours, flat, rtol=0, atol=1e-14)
