"""Networks with every derivative written out: y = f(x, X), x (P,) the parameters, X (N, …) a batch of samples.

    net = Sequential(Linear(64, 32), Tanh(), Linear(32, 10))
    x = net.init(rng)                   (P,) parameters to begin with;   net.size is P
    net(x, X)                           (N, …, C) outputs
    net.unravel(x), net.ravel(arrays)   (P,) ↔ arrays by name: "0.W" (32, 64), "0.b" (32,), "2.W" (10, 32), "2.b" (10,)
    problem = refopt.Supervised(net, "cross-entropy", X, y, reduction="mean")

The flat vector holds the arrays in C order, layer by layer, W (out, in) before b, the order of PyTorch's
`named_parameters()`. All functions work on whole batches and on any array kind, and stay on its device.

What curvature needs is on ``Supervised``. What a layer is and how sweeps run is in ``refopt.networks.layer``; the
losses with their Hessians, factors, Fisher matrices and samples are in ``refopt.networks.losses``. ``net.plan.slots``
lists name, shape and part of the flat vector of every array of parameters.
"""

from refopt.networks.activations import GELU, ReLU, Sigmoid, Softplus, Tanh
from refopt.networks.attention import SelfAttention
from refopt.networks.convolution import Conv2d
from refopt.networks.embedding import Embedding
from refopt.networks.exchange import from_arrays, load, save
from refopt.networks.layer import Capture, Layer
from refopt.networks.linear import Linear
from refopt.networks.loss import Loss
from refopt.networks.losses import LOSSES
from refopt.networks.normalisation import LayerNorm
from refopt.networks.sequential import Residual, Sequential
from refopt.networks.structure import (
    ClassToken,
    Dropout,
    FixedPositions,
    Flatten,
    MeanPool,
    Positions,
    SelectToken,
    Tokens,
)
from refopt.networks.vit import vit

__all__ = [
    "GELU",
    "LOSSES",
    "Capture",
    "ClassToken",
    "Conv2d",
    "Dropout",
    "Embedding",
    "FixedPositions",
    "Flatten",
    "Layer",
    "LayerNorm",
    "Linear",
    "Loss",
    "MeanPool",
    "Positions",
    "ReLU",
    "Residual",
    "SelectToken",
    "SelfAttention",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "Tokens",
    "from_arrays",
    "load",
    "save",
    "vit",
]
