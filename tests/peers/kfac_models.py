"""The networks on which K-FAC is compared, as PyTorch has them, with data; imported only where torch is."""

import numpy as np
import torch
from torch import nn


class Attention(nn.Module):
    """Two heads over tokens (N, T, 4), of linear maps that every library knows."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 12), nn.Linear(4, 4)

    def forward(self, x):
        N, T, _ = x.shape
        Q, K, V = (part.reshape(N, T, 2, 2).transpose(1, 2) for part in self.first(x).split(4, dim=-1))
        Z = torch.softmax(Q @ K.transpose(-1, -2) / 2**0.5, dim=-1) @ V
        return self.second(Z.transpose(1, 2).reshape(N, T, 4))


class Normalised(nn.Module):
    """x + attention(norm(x))."""

    def __init__(self):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(4), Attention()

    def forward(self, x):
        return x + self.attention(self.norm(x))


class MeanPool(nn.Module):
    """The mean over tokens."""

    def forward(self, x):
        return x.mean(dim=1)


class Tied(nn.Module):
    """Embedded tokens, attention, and scores by the embedding itself."""

    def __init__(self):
        super().__init__()
        self.embedding, self.body = nn.Embedding(3, 4), Normalised()

    def forward(self, x):
        return nn.functional.linear(self.body(self.embedding(x)), self.embedding.weight)


class Moved(nn.Module):
    """One axis to another place."""

    def __init__(self, source, target):
        super().__init__()
        self.source, self.target = source, target

    def forward(self, x):
        return x.movedim(self.source, self.target)


SHAPES = {
    "dense": (8, 4), "binary": (8, 4), "convolutional": (4, 2, 7, 6), "grouped": (4, 4, 3, 3),
    "segmentation": (4, 2, 4, 4), "tokens": (5, 3, 4), "attention": (5, 3, 4), "pooled": (5, 3, 4), "tied": (5, 3),
}  # fmt: skip
POSITIONS = {"segmentation": (2, 3), "tokens": (3,), "attention": (3,), "tied": (3,)}  #: of the terms of a sample


def model(name, loss="cross-entropy"):
    """Drawn in single precision, whatever others have made the default."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    made = {
        "dense": lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)),
        "convolutional": lambda: nn.Sequential(
            nn.Conv2d(2, 3, (3, 2), stride=2, padding=1), nn.Tanh(), nn.Conv2d(3, 4, 2), nn.Tanh(), nn.Flatten(),
            nn.Linear(36, 3),
        ),
        "binary": lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)),
        "grouped": lambda: nn.Sequential(nn.Conv2d(4, 4, 2, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)),
        "segmentation": lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Conv2d(3, 3, (2, 1))),
        "tokens": lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)),
        "attention": lambda: nn.Sequential(Attention(), nn.Tanh(), nn.Linear(4, 3)),
        "pooled": lambda: nn.Sequential(Normalised(), MeanPool(), nn.Linear(4, 3)),
        "tied": lambda: nn.Sequential(Tied()),
    }[name]()  # fmt: skip
    torch.set_default_dtype(default)
    first = name == "segmentation"  # its classes come before positions, as PyTorch's cross-entropy takes them
    if name in POSITIONS and first != (loss == "cross-entropy"):
        made.append(Moved(1, -1) if first else Moved(-1, 1))
    return made.double()


def data(name, loss):
    rng = np.random.default_rng(1)
    X = rng.integers(0, 3, SHAPES[name]) if name == "tied" else rng.standard_normal(SHAPES[name])
    outputs = (len(X), *POSITIONS.get(name, ()), 1 if name == "binary" else 3)
    y = {
        "cross-entropy": rng.integers(0, 3, outputs[:-1]),
        "mse": rng.standard_normal(outputs),
        "binary-cross-entropy": rng.integers(0, 2, outputs).astype(float),
    }[loss]
    return X, y


def loss_of(loss, reduction):
    return {"cross-entropy": nn.CrossEntropyLoss, "mse": nn.MSELoss, "binary-cross-entropy": nn.BCEWithLogitsLoss}[
        loss
    ](reduction=reduction)


def parameters(model):
    return nn.utils.parameters_to_vector(model.parameters()).detach().numpy()


def linear_layers(model):
    return [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
