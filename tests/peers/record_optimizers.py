"""Runs of other people's optimizers, written down: what they were fed, and every point they came to.

    python tests/peers/record_optimizers.py       needs torch, optax, pytorch_optimizer, torch_optimizer, heavyball

Two kinds of run. *Fed*: arrays of shapes (4, 3), (5,) and (2, 3, 2) under a sequence of gradients, those of a quadratic
at the optimizer's own point plus noise, written down with it. *Net*: a small network of the peer's own framework, on
batches and with probes that are written down; gradients and products with the Hessian are the peer's.
"""

import sys
from pathlib import Path
from unittest import mock

import numpy as np

RUNS = Path(__file__).with_name("optimizers")
SHAPES = ((4, 3), (5,), (2, 3, 2))
STEPS = 14
SIZES = [int(np.prod(shape)) for shape in SHAPES]


def quadratic(seed=7):
    """A matrix, a start and noise for every step."""
    rng = np.random.default_rng(seed)
    n = sum(SIZES)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return (Q * np.geomspace(0.1, 10.0, n)) @ Q.T, rng.standard_normal(n), 0.3 * rng.standard_normal((STEPS, n))


def split(x):
    return [part.reshape(shape) for part, shape in zip(np.split(x, np.cumsum(SIZES)[:-1]), SHAPES, strict=True)]


def net_data(seed=3):
    """X, y, batches and probes for a network of 4-5-3 units."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((30, 4))
    y = np.argmax(X @ rng.standard_normal((4, 3)) + rng.standard_normal((30, 3)), axis=1)
    batches = np.array([rng.permutation(30)[:12] for _ in range(STEPS)])
    probes = rng.choice([-1.0, 1.0], (STEPS, 2, 43))
    return X, y, batches, probes, 0.5 * rng.standard_normal(43)


def fed_torch(make):
    """A torch optimizer under the gradients of the quadratic."""
    import torch

    H, x0, noise = quadratic()
    params = [torch.nn.Parameter(torch.tensor(part)) for part in split(x0)]
    optimizer = make(params)
    points, gradients = [x0], []
    for n in noise:
        g = H @ points[-1] + n
        for p, part in zip(params, split(g), strict=True):
            p.grad = torch.tensor(part)
        optimizer.step()
        gradients.append(g)
        points.append(np.concatenate([p.detach().numpy().ravel() for p in params]))
    return {"points": np.array(points), "gradients": np.array(gradients)}


def fed_optax(make):
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    H, x0, noise = quadratic()
    x, optimizer = jax.numpy.asarray(x0), make(optax)
    state, points, gradients = optimizer.init(x), [x0], []
    for n in noise:
        g = H @ points[-1] + n
        moved, state = optimizer.update(jax.numpy.asarray(g), state, x)
        x = optax.apply_updates(x, moved)
        gradients.append(g)
        points.append(np.asarray(x))
    return {"points": np.array(points), "gradients": np.array(gradients)}


def net_torch(make, probes_each=0):
    """A torch optimizer on a network of torch, with the probes given in place of those it draws."""
    import torch

    X, y, batches, probes, x0 = net_data()
    net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).double()
    torch.nn.utils.vector_to_parameters(torch.tensor(x0), net.parameters())
    optimizer, points = make(net.parameters()), [x0]
    X, y = torch.tensor(X), torch.tensor(y)
    for t in range(STEPS):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(X[batches[t]]), y[batches[t]])
        loss.backward(create_graph=probes_each > 0)
        drawn = iter([part for k in range(probes_each) for part in parts_like(probes[t, k], net)])
        with mock.patch("torch.randint_like", lambda p, *a, drawn=drawn, **k: (next(drawn) + 1.0) / 2.0):
            optimizer.step()
        points.append(torch.nn.utils.parameters_to_vector(net.parameters()).detach().numpy().copy())
        for p in net.parameters():
            p.grad = None
    return {"points": np.array(points)}


def parts_like(z, net):
    import torch

    sizes = [p.numel() for p in net.parameters()]
    return [part.reshape(p.shape) for part, p in zip(torch.tensor(z).split(sizes), net.parameters(), strict=True)]


def convolution_torch(make):
    """Filters (3, 2, 2, 2) in a quartic function, so that there are blocks of the Hessian's diagonal to average."""
    import torch

    rng = np.random.default_rng(5)
    A, x0 = rng.standard_normal((24, 24)), 0.3 * rng.standard_normal(24)
    z = rng.choice([-1.0, 1.0], (STEPS, 24))
    p, M = torch.nn.Parameter(torch.tensor(x0.reshape(3, 2, 2, 2))), torch.tensor(A @ A.T / 24)
    optimizer, points = make([p]), [x0]
    for t in range(STEPS):
        optimizer.zero_grad()
        x = p.reshape(-1)
        (0.5 * x @ M @ x + 0.25 * (x**4).sum()).backward(create_graph=True)
        given = (torch.tensor(z[t].reshape(3, 2, 2, 2)) + 1.0) / 2.0
        with mock.patch("torch.randint_like", lambda p, *a, given=given, **k: given):
            optimizer.step()
        p.grad = None
        points.append(p.detach().numpy().ravel().copy())
    return {"points": np.array(points), "M": M.numpy(), "probes": z}


def lbfgs_torch():
    """torch.optim.LBFGS without a search on a convex quadratic, one iteration at a time."""
    import torch

    H, x0, _ = quadratic()
    x, A = torch.nn.Parameter(torch.tensor(x0)), torch.tensor(H)
    optimizer, points = torch.optim.LBFGS([x], lr=1.0, max_iter=1, history_size=4, tolerance_grad=0.0), [x0]

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * x @ A @ x
        loss.backward()
        return loss

    for _ in range(STEPS):
        optimizer.step(closure)
        points.append(x.detach().numpy().copy())
    return {"points": np.array(points)}


def runs():
    """Every run by name: a function without arguments."""
    import pytorch_optimizer
    import torch
    import torch_optimizer

    torch.set_num_threads(1)
    o = torch.optim
    return {
        "torch_sgd": lambda: fed_torch(lambda p: o.SGD(p, lr=0.05)),
        "torch_momentum": lambda: fed_torch(lambda p: o.SGD(p, lr=0.02, momentum=0.9, dampening=0.1)),
        "torch_nesterov": lambda: fed_torch(lambda p: o.SGD(p, lr=0.02, momentum=0.9, nesterov=True)),
        "torch_adagrad": lambda: fed_torch(lambda p: o.Adagrad(p, lr=0.3, initial_accumulator_value=0.1)),
        "torch_rmsprop": lambda: fed_torch(lambda p: o.RMSprop(p, lr=0.02, alpha=0.95)),
        "torch_adam": lambda: fed_torch(lambda p: o.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3)),
        "torch_adamw": lambda: fed_torch(lambda p: o.AdamW(p, lr=0.05, weight_decay=0.1)),
        "torch_momentum_coupled": lambda: fed_torch(lambda p: o.SGD(p, lr=0.02, momentum=0.9, weight_decay=0.1)),
        "torch_adam_coupled": lambda: fed_torch(lambda p: o.Adam(p, lr=0.05, weight_decay=0.1)),
        "torch_lbfgs": lbfgs_torch,
        "torch_net_adam": lambda: net_torch(lambda p: o.Adam(p, lr=0.05)),
        "optax_momentum": lambda: fed_optax(lambda x: x.sgd(0.02, momentum=0.9)),
        "optax_adagrad": lambda: fed_optax(lambda x: x.adagrad(0.3, initial_accumulator_value=0.1, eps=0.0)),
        "optax_rmsprop": lambda: fed_optax(lambda x: x.rmsprop(0.02, decay=0.95, eps=1e-8, eps_in_sqrt=False)),
        "optax_adam": lambda: fed_optax(lambda x: x.adam(0.05, b1=0.8, b2=0.95, eps=1e-3)),
        "optax_adamw": lambda: fed_optax(lambda x: x.adamw(0.05, weight_decay=0.1)),
        "pytorch_optimizer_adahessian": lambda: net_torch(
            lambda p: pytorch_optimizer.AdaHessian(p, lr=0.05, eps=1e-4, num_samples=2, hessian_power=0.8), 2
        ),
        "torch_optimizer_adahessian": lambda: convolution_torch(
            lambda p: torch_optimizer.Adahessian(p, lr=0.05, eps=1e-4, hessian_power=1.0)
        ),
        "pytorch_optimizer_soap": lambda: fed_torch(
            lambda p: pytorch_optimizer.SOAP(p, lr=0.05, precondition_frequency=3, weight_decay=0.1, eps=1e-6)
        ),
        "pytorch_optimizer_soap_double": soap_double,
        "heavyball_soap": soap_in_double,
        "pytorch_optimizer_soap_vectors": lambda: fed_torch(
            lambda p: pytorch_optimizer.SOAP(
                p, lr=0.05, precondition_frequency=100, weight_decay=0.0, precondition_1d=True, max_precondition_dim=4
            )
        ),
        "pytorch_optimizer_shampoo": lambda: fed_torch(lambda p: pytorch_optimizer.Shampoo(p, lr=0.1, matrix_eps=1e-2)),
        "pytorch_optimizer_shampoo_momentum": lambda: fed_torch(
            lambda p: pytorch_optimizer.Shampoo(p, lr=0.1, matrix_eps=1e-2, momentum=0.9)
        ),
        "torch_optimizer_shampoo": lambda: fed_torch(lambda p: torch_optimizer.Shampoo(p, lr=0.1, epsilon=1e-2)),
    }


def soap_double():
    """SOAP with its QR in double precision, which it otherwise casts to single."""
    import pytorch_optimizer
    import torch

    to = torch.Tensor.to
    kept = lambda self, *a, **k: self if torch.float32 in a else to(self, *a, **k)
    with mock.patch.object(torch.Tensor, "to", kept):
        return fed_torch(
            lambda p: pytorch_optimizer.SOAP(p, lr=0.05, precondition_frequency=3, weight_decay=0.1, eps=1e-6)
        )


def soap_in_double():
    """HeavyBall's SOAP, not compiled, on weights in double precision; what it remembers it keeps in single."""
    import heavyball

    with mock.patch.object(heavyball.utils, "compile_mode", None):
        return fed_torch(
            lambda p: heavyball.SOAP(
                p, lr=0.0625, betas=(0.9, 0.95), eps=1e-12, weight_decay=0.0, precondition_frequency=3,
                merge_dims=False, use_precond_schedule=False, storage_dtype="float64",
                gradient_clipping=None, update_clipping=None,
            )
        )  # fmt: skip


def versions(name):
    from importlib.metadata import version

    packages = {"optax": ("optax", "jax"), "torch": ("torch",), "heavyball": ("heavyball", "torch")}
    known = next((packages[key] for key in packages if name.split("_")[0] == key), ("torch",))
    if name.startswith(("pytorch_optimizer", "torch_optimizer")):
        known = ("_".join(name.split("_")[:2]), "torch")
    return ", ".join(f"{package} {version(package.replace('_', '-'))}" for package in known)


def main(names):
    found = runs()
    for name in names or found:
        arrays = found[name]()
        np.savez_compressed(RUNS / f"{name}.npz", versions=np.array(versions(name)), **arrays)
        print(name, versions(name), {key: value.shape for key, value in arrays.items()})


if __name__ == "__main__":
    main(sys.argv[1:])
