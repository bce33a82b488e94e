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


class ClassesSecond(nn.Module):
    """(N, T, C) → (N, C, T), as PyTorch's cross-entropy takes sequences."""

    def forward(self, x):
        return x.transpose(1, 2)


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
        "tokens": lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)),
        "attention": lambda: nn.Sequential(Attention(), nn.Tanh(), nn.Linear(4, 3)),
    }[name]()  # fmt: skip
    torch.set_default_dtype(default)
    sequence = name in ("tokens", "attention") and loss == "cross-entropy"
    return (nn.Sequential(*made, ClassesSecond()) if sequence else made).double()


def data(name, loss):
    rng = np.random.default_rng(1)
    shape = {"dense": (8, 4), "convolutional": (4, 2, 7, 6), "tokens": (5, 3, 4), "attention": (5, 3, 4)}[name]
    X = rng.standard_normal(shape)
    outputs = (*shape[:2], 3) if name in ("tokens", "attention") else (shape[0], 3)
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
