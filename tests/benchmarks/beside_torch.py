"""One network twice: ours, and PyTorch's."""

from itertools import pairwise

import numpy as np
import pytest

from refopt import Supervised
from refopt.networks import Linear, Sequential, Tanh

SIZES = (64, 128, 64, 10)


def both(N):
    """64-128-64-10, tanh, softmax: ours, and PyTorch's with the same parameters and data."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rng, layers, modules = np.random.default_rng(0), [], []
    for i, o in pairwise(SIZES):
        layers += [Linear(i, o), Tanh()]
        modules += [torch.nn.Linear(i, o).double(), torch.nn.Tanh()]
    X, y = rng.standard_normal((N, 64)), rng.integers(0, 10, N)
    problem = Supervised(Sequential(*layers[:-1]), "cross-entropy", X, y)
    model = torch.nn.Sequential(*modules[:-1])
    x = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    return problem, x, model, torch.from_numpy(X), torch.from_numpy(y)
