"""PyTorch's models and losses, and what `torch.func` computes of them: what ``record.py`` writes down."""

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vjp
from torch.nn.attention import SDPBackend, sdpa_kernel

torch.set_default_dtype(torch.float64)

N = 4


class Residual(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.body(x)


class Attention(nn.Module):
    """Self-attention by PyTorch's own module."""

    def __init__(self, features, heads, causal=False):
        super().__init__()
        self.causal, self.mha = causal, nn.MultiheadAttention(features, heads, batch_first=True)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if self.causal else None
        return self.mha(x, x, x, need_weights=False, attn_mask=mask)[0]


class ClassToken(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, features))

    def forward(self, x):
        return torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)


class Positions(nn.Module):
    def __init__(self, tokens, features):
        super().__init__()
        self.table = nn.Parameter(torch.randn(tokens, features))

    def forward(self, x):
        return x + self.table


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Tied(nn.Module):
    """A causal transformer over tokens whose output layer is its embedding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(6, 8)
        self.body = nn.Sequential(
            Positions(5, 8), Residual(nn.LayerNorm(8), Attention(8, 2, causal=True)), nn.LayerNorm(8)
        )

    def forward(self, x):
        return nn.functional.linear(self.body(self.embedding(x)), self.embedding.weight)


def dense():
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.GELU(),
        nn.Conv2d(4, 4, (2, 3), padding=(1, 2), dilation=(2, 1), groups=2), nn.Softplus(),
        nn.Flatten(), nn.Linear(60, 3),
    )  # fmt: skip


def pooled_transformer():
    return nn.Sequential(
        nn.Linear(3, 8), Residual(nn.LayerNorm(8), Attention(8, 4)),
        Residual(nn.LayerNorm(8), nn.Linear(8, 10), nn.GELU(), nn.Linear(10, 8)),
        Function(lambda x: x.mean(dim=1)), nn.Linear(8, 3),
    )  # fmt: skip


def small_vit():
    return nn.Sequential(
        nn.Conv2d(1, 8, 2, stride=2), Function(lambda x: x.flatten(2).transpose(1, 2)), ClassToken(8), Positions(5, 8),
        Residual(nn.LayerNorm(8), Attention(8, 2)),
        Residual(nn.LayerNorm(8), nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8)),
        Function(lambda x: x[:, 0]), nn.Linear(8, 3),
    )  # fmt: skip


def data(name, rng):
    """Inputs, and labels for cross-entropy."""
    return {
        "dense": lambda: (rng.standard_normal((N, 5)), rng.integers(0, 4, N)),
        "convolutional": lambda: (rng.standard_normal((N, 2, 5, 6)), rng.integers(0, 3, N)),
        "pooled_transformer": lambda: (rng.standard_normal((N, 4, 3)), rng.integers(0, 3, N)),
        "tied": lambda: (
            rng.integers(0, 6, (N, 5)),
            np.where(rng.random((N, 5)) < 0.2, -100, rng.integers(0, 6, (N, 5))),
        ),
        "small_vit": lambda: (rng.standard_normal((N, 1, 4, 4)), rng.integers(0, 3, N)),
    }[name]()


MODELS = {
    "dense": dense,
    "convolutional": convolutional,
    "pooled_transformer": pooled_transformer,
    "tied": Tied,
    "small_vit": small_vit,
}


def classes_second(f):
    """PyTorch has the classes on the second axis."""
    return f.movedim(-1, 1)


SUMS = {  # PyTorch's losses, summed
    "squared": lambda f, y: nn.functional.mse_loss(f, y, reduction="sum") / 2,
    "mse": lambda f, y: nn.functional.mse_loss(f, y, reduction="sum"),
    "cross-entropy": lambda f, y: nn.functional.cross_entropy(classes_second(f), y, reduction="sum"),
    "binary-cross-entropy": lambda f, y: nn.functional.binary_cross_entropy_with_logits(f, y, reduction="sum"),
    "poisson": lambda f, y: nn.functional.poisson_nll_loss(f, y, reduction="sum"),
    "gaussian": lambda f, y: nn.functional.gaussian_nll_loss(f[:, :2], y, f[:, 2:].exp(), reduction="sum", eps=0.0),
}
MEANS = {  # the means that PyTorch itself takes, by our names
    ("mse", "mean-elements"): nn.functional.mse_loss,
    ("cross-entropy", "mean"): nn.functional.cross_entropy,
    ("cross-entropy", "mean-tokens"): lambda f, y: nn.functional.cross_entropy(classes_second(f), y),
    ("binary-cross-entropy", "mean-elements"): nn.functional.binary_cross_entropy_with_logits,
    ("poisson", "mean-elements"): nn.functional.poisson_nll_loss,
    ("gaussian", "mean-elements"): lambda f, y: nn.functional.gaussian_nll_loss(f[:, :2], y, f[:, 2:].exp(), eps=0.0),
}
MEANS |= {(loss, "mean-tokens"): mean for (loss, reduction), mean in MEANS.items() if reduction == "mean-elements"}


def labels(loss, rng, classes):
    """Labels for the dense model."""
    drawn = {
        "cross-entropy": lambda: classes,
        "binary-cross-entropy": lambda: rng.integers(0, 2, (N, 4)).astype(float),
        "poisson": lambda: rng.poisson(2.0, (N, 4)).astype(float),
        "gaussian": lambda: rng.standard_normal((N, 2)),
    }
    return drawn.get(loss, lambda: rng.standard_normal((N, 4)))()


def reduced(loss, reduction, y):
    """The loss as a function of outputs and labels, by PyTorch's own reduction where it has it."""
    if (loss, reduction) in MEANS:
        return MEANS[loss, reduction]
    count = {"sum": 1, "mean": N, "mean-tokens": y.size, "mean-elements": N * (2 if loss == "gaussian" else 4)}[
        reduction
    ]
    return lambda f, y: SUMS[loss](f, y) / count


def computed(model, x, X, y, v, fun, total):
    """Loss, gradient, Hessian product, Gauss-Newton product, gradients per sample, all at x (P,)."""
    names = [name for name, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]

    def outputs(x, X):
        parts = torch.split(x, [shape.numel() for shape in shapes])
        arrays = {name: part.reshape(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return functional_call(model, arrays, (X,))

    def loss(x):
        return fun(outputs(x, X), y)

    def sample_loss(x, X, y):
        return total(outputs(x, X[None]), y[None])

    with sdpa_kernel(SDPBackend.MATH):
        f, pull = vjp(lambda x: outputs(x, X), x)
        push = grad(lambda u: pull(u)[0] @ v)(torch.zeros_like(f))  # Jv
        bend = grad(lambda f: (grad(lambda f: fun(f, y))(f) * push).sum())(f)  # ∇²ℓ Jv
        found = {
            "loss": loss(x),
            "grad": grad(loss)(x),
            "hvp": grad(lambda x: grad(loss)(x) @ v)(x),
            "ggnvp": pull(bend)[0],
            "per_sample": torch.stack([grad(sample_loss)(x, *sample) for sample in zip(X, y, strict=True)]),
        }
    return {name: value.detach().numpy() for name, value in found.items()}
