"""PyTorch's models, and their curvature by torch.func, curvlinops, BackPACK and nngeometry, each as it is meant."""

import backpack
import backpack.extensions as extensions
import curvlinops
import nngeometry.metrics
import nngeometry.object
import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

torch.set_default_dtype(torch.float64)

N = 5
LOSSES = {"mse": nn.MSELoss, "cross-entropy": nn.CrossEntropyLoss, "binary-cross-entropy": nn.BCEWithLogitsLoss}


class Block(nn.Module):
    """x + attention(norm(x)), then the mean over tokens."""

    def __init__(self):
        super().__init__()
        self.norm, self.mha = nn.LayerNorm(4), nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        z = self.norm(x)
        return (x + self.mha(z, z, z, need_weights=False)[0]).mean(dim=1)


class Tied(nn.Module):
    """Causal attention over embedded tokens, read out by the embedding itself; tokens one after the other, (N·T, V)."""

    def __init__(self):
        super().__init__()
        self.embedding, self.mha = nn.Embedding(3, 4), nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        z = self.embedding(x)
        later = torch.triu(torch.full((x.shape[1], x.shape[1]), -torch.inf), 1)
        z = self.norm(z + self.mha(z, z, z, need_weights=False, attn_mask=later)[0])
        return nn.functional.linear(z, self.embedding.weight).flatten(0, 1)


MODELS = {
    "mlp": lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
    "convolutional": lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.Sigmoid(), nn.Flatten(), nn.Linear(8, 3)),
    "transformer": lambda: nn.Sequential(Block(), nn.Linear(4, 3)),
    "tokens": lambda: nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3), nn.Flatten(0, 1)),
    "tied": Tied,
}


def inputs(name, rng):
    if name == "tied":
        return rng.integers(0, 3, (N, 3))
    shape = {"mlp": (3,), "convolutional": (1, 3, 3), "transformer": (3, 4), "tokens": (3, 2)}[name]
    return rng.standard_normal((N, *shape))


def labels(name, loss, rng):
    """Of the tokens one after the other."""
    count = N * 3 if name in ("tokens", "tied") else N
    if loss == "cross-entropy":
        return rng.integers(0, 3, count)
    shape = count, 3
    return rng.integers(0, 2, shape).astype(float) if loss == "binary-cross-entropy" else rng.standard_normal(shape)


def matrices(name, model, loss, reduction, X, y):
    """What each package says, by name."""
    fun = LOSSES[loss](reduction=reduction)
    with sdpa_kernel(SDPBackend.MATH):
        found = by_torch(model, fun, X, y) | by_curvlinops(model, fun, X, y)
        if name in ("mlp", "convolutional"):
            found |= by_backpack(model, fun, X, y) | by_nngeometry(model, loss, X)
    return {what: value.detach().numpy() for what, value in found.items()}


def by_torch(model, fun, X, y):
    names, shapes = zip(*((name, p.shape) for name, p in model.named_parameters()), strict=True)
    x = nn.utils.parameters_to_vector(model.parameters()).detach()

    def outputs(x):
        parts = torch.split(x, [shape.numel() for shape in shapes])
        arrays = {name: part.reshape(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return torch.func.functional_call(model, arrays, (X,))

    f, J = outputs(x), torch.func.jacrev(outputs)(x)
    J = J.reshape(-1, x.numel())
    bend = torch.func.hessian(lambda z: fun(z.reshape(f.shape), y))(f.reshape(-1))
    hessian = torch.func.jacrev(torch.func.jacrev(lambda x: fun(outputs(x), y)))(x)
    return {"torch/hessian": hessian, "torch/ggn": J.T @ bend @ J, "torch/jacobian": J}


def by_curvlinops(model, fun, X, y):
    operators = {
        "hessian": curvlinops.HessianLinearOperator,
        "ggn": curvlinops.GGNLinearOperator,
        "empirical": curvlinops.EFLinearOperator,
    }
    found = {}
    for what, operator in operators.items():
        A = operator(model, fun, list(model.parameters()), [(X, y)], check_deterministic=False)
        found[f"curvlinops/{what}"] = A @ torch.eye(A.shape[1])
    return found


def by_backpack(model, fun, X, y):
    wanted = {
        "hessian-diagonal": ("diag_h", extensions.DiagHessian()),
        "ggn-diagonal": ("diag_ggn_exact", extensions.DiagGGNExact()),
        "squares": ("sum_grad_squared", extensions.SumGradSquared()),
        "variance": ("variance", extensions.Variance()),
    }
    copy = MODELS["mlp" if len(X.shape) == 2 else "convolutional"]()
    copy.load_state_dict(model.state_dict())
    copy, found = backpack.extend(copy), {}
    for what, (attribute, extension) in wanted.items():
        if what.endswith("diagonal") and isinstance(fun, nn.BCEWithLogitsLoss):
            continue  # second derivatives of several binary outputs are not implemented
        copy.zero_grad()
        with backpack.backpack(extension):
            backpack.extend(type(fun)(reduction=fun.reduction))(copy(X), y).backward()
        parts = [getattr(p, attribute).reshape(-1) for p in copy.parameters()]
        found[f"backpack/{what}"] = torch.cat(parts)
    return found


def by_nngeometry(model, loss, X):
    variant = {"cross-entropy": "classif_logits", "mse": "regression"}.get(loss)
    if variant is None:
        return {}
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X), batch_size=len(X))
    F = nngeometry.metrics.FIM(model, loader, nngeometry.object.PMatDense, variant=variant)
    return {"nngeometry/fisher": F.to_torch()}


def hessians(name, loss):
    """∇²fun of a new model by ``vmap`` over second sweeps backward, as above, and by one sweep after the other."""
    torch.manual_seed(0)
    model, rng = MODELS[name](), np.random.default_rng(1)
    X, y = torch.from_numpy(inputs(name, rng)), torch.from_numpy(labels(name, loss, rng))
    parameters, fun = dict(model.named_parameters()), LOSSES[loss]()
    with sdpa_kernel(SDPBackend.MATH):
        at_once = by_torch(model, fun, X, y)["torch/hessian"]
        gradients = torch.autograd.grad(fun(model(X), y), list(parameters.values()), create_graph=True)
        rows = [
            torch.autograd.grad(entry, list(parameters.values()), retain_graph=True, materialize_grads=True)
            for g in gradients for entry in g.reshape(-1)
        ]  # fmt: skip
    each = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
    x = nn.utils.parameters_to_vector(model.parameters())
    return [array.detach().numpy() for array in (X, y, x, at_once, each)]
