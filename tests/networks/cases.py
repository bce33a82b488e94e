"""The networks on which everything is tested, each with data, beside the same function written independently."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np

from networks import independent as plain
from refopt.networks import (
    GELU,
    ClassToken,
    Conv2d,
    Dropout,
    Embedding,
    FixedPositions,
    Flatten,
    LayerNorm,
    Linear,
    MeanPool,
    Positions,
    ReLU,
    Residual,
    SelectToken,
    SelfAttention,
    Sequential,
    Sigmoid,
    Softplus,
    Tanh,
    Tokens,
)


@dataclass(frozen=True)
class Case:
    """A network, inputs, and the function (x, X) ↦ outputs as autograd can trace it."""

    network: Any
    X: np.ndarray
    model: Callable[[Any, np.ndarray], Any]
    masks: tuple[np.ndarray, ...] = ()

    @property
    def x(self) -> np.ndarray:
        """Parameters, none of which happens to be 0 or 1."""
        return self.network.init(0) + 0.1 * np.random.default_rng(1).standard_normal(self.network.size)

    @cached_property
    def jacobian(self) -> np.ndarray:
        """(N·C, P), by autograd."""
        return autograd.jacobian(lambda x: anp.reshape(self.model(x, self.X), (-1,)))(self.x)


rng = np.random.default_rng(20)


def dense(activation: Any) -> Case:
    phi = plain.PHI[type(activation).__name__]
    shapes = [(4, 3), (4,), (2, 4), (2,)]

    def model(x, X):
        W, b, V, c = plain.take(x, shapes)
        return plain.linear(V, c, phi(plain.linear(W, b, X)))

    return Case(Sequential(Linear(3, 4), activation, Linear(4, 2)), rng.standard_normal((5, 3)), model)


def residual() -> Case:
    def model(x, X):
        W, b, V, c, U = plain.take(x, [(3, 3), (3,), (3, 3), (3,), (2, 3)])
        h = X + anp.tanh(plain.linear(W, b, X))
        h = h + plain.linear(V, c, anp.tanh(h))
        return h @ U.T

    layers = Residual(Linear(3, 3), Tanh()), Residual(Tanh(), Linear(3, 3)), Linear(3, 2, bias=False)
    return Case(Sequential(*layers), rng.standard_normal((4, 3)), model)


def convolution(stride: Any, padding: Any, dilation: Any, groups: int, size: tuple[int, int] = (3, 4)) -> Case:
    pair = [(a, a) if isinstance(a, int) else a for a in (stride, padding, dilation)]

    def model(x, X):
        V, c, W, b = plain.take(x, [(4, 2, 1, 1), (4,), (4, 4 // groups, 2, 3), (4,)])
        h = anp.tanh(anp.einsum("oc,nchw->nohw", V[:, :, 0, 0], X) + anp.reshape(c, (1, 4, 1, 1)))
        h = plain.conv2d(W, b, h, *pair, groups)
        return anp.reshape(h, (X.shape[0], -1))

    layers = Conv2d(2, 4, 1), Tanh(), Conv2d(4, 4, (2, 3), stride, padding, dilation, groups), Flatten()
    return Case(Sequential(*layers), rng.standard_normal((2, 2, *size)), model)


def pooled_convolution() -> Case:
    def model(x, X):
        W, b, V, c = plain.take(x, [(3, 2, 3, 3), (3,), (2, 3), (2,)])
        h = plain.PHI["GELU"](plain.conv2d(W, b, X, (1, 1), (1, 1), (1, 1), 1))
        return plain.linear(V, c, anp.mean(h, axis=(2, 3)))

    layers = Conv2d(2, 3, 3, padding=1), GELU(), MeanPool((-2, -1)), Linear(3, 2)
    return Case(Sequential(*layers), rng.standard_normal((3, 2, 4, 4)), model)


def normalised() -> Case:
    def model(x, X):
        W, b, w, c, V, d = plain.take(x, [(4, 3), (4,), (4,), (4,), (2, 4), (2,)])
        h = plain.layer_norm(w, c, plain.linear(W, b, X))
        return plain.linear(V, d, anp.tanh(h))

    layers = Linear(3, 4), LayerNorm(4), Tanh(), Linear(4, 2)
    return Case(Sequential(*layers), rng.standard_normal((5, 3)), model)


def transformer(causal: bool) -> Case:
    """Tokens in, tokens out, embedding and output tied; one block."""
    V, T, d = 5, 4, 6

    def model(x, X):
        E, P, w, c, Wi, bi, Wo, bo, w2, c2 = plain.take(
            x, [(V, d), (T, d), (d,), (d,), (3 * d, d), (3 * d,), (d, d), (d,), (d,), (d,)]
        )
        h = anp.stack([E[row] for row in X]) + P
        h = h + plain.attention(Wi, bi, Wo, bo, plain.layer_norm(w, c, h), 2, causal)
        return plain.layer_norm(w2, c2, h) @ E.T

    layers = (
        Embedding(V, d, shared_as="tokens"),
        Positions(T, d),
        Residual(LayerNorm(d), SelfAttention(d, 2, causal)),
        LayerNorm(d),
        Linear(d, V, bias=False, shared_as="tokens"),
    )
    return Case(Sequential(*layers), rng.integers(0, V, (3, T)), model)


def pooled_transformer() -> Case:
    """Tokens of numbers in, one output for the sequence."""
    T, d = 3, 4

    def model(x, X):
        Wi, bi, Wo, bo, V, c = plain.take(x, [(3 * d, d), (3 * d,), (d, d), (d,), (2, d), (2,)])
        h = X + plain.attention(Wi, bi, Wo, bo, X, 2, False)
        return plain.linear(V, c, anp.mean(anp.tanh(h), axis=1))

    layers = Residual(SelfAttention(d, 2)), Tanh(), MeanPool(), Linear(d, 2)
    return Case(Sequential(*layers), rng.standard_normal((3, T, d)), model)


def place(i: int, j: int) -> list[float]:
    """He et al.: sines and cosines of the row, then of the column, with frequencies 1 and 1/100."""
    return [wave(n * omega) for n in (i, j) for wave in (np.sin, np.cos) for omega in (1.0, 0.01)]


def small_vit() -> Case:
    """Patches, a class token before tokens with fixed positions, attention, Dropout with masks, the token read out."""
    d, grid = 8, [(0, 0), (0, 1), (1, 0), (1, 1)]
    masks = ((rng.random((3, 5, d)) > 0.4).astype(float),)
    shapes = [(d, 1, 2, 2), (d,), (d,), (3 * d, d), (3 * d,), (d, d), (d,), (d,), (d,), (d, d), (d,), (2, d), (2,)]

    def model(x, X):
        W, b, t, Wi, bi, Wo, bo, w, c, V, e, U, g = plain.take(x, shapes)
        h = plain.conv2d(W, b, X, (2, 2), (0, 0), (1, 1), 1)
        h = anp.stack([h[:, :, i, j] + np.array(place(i, j)) for i, j in grid], axis=1)
        h = anp.concatenate([anp.stack([anp.reshape(t, (1, d))] * X.shape[0]), h], axis=1)
        h = h + plain.attention(Wi, bi, Wo, bo, h, 2, False)
        h = h + (plain.PHI["GELU"](plain.layer_norm(w, c, h)) @ V.T + e) * masks[0] / 0.6
        return plain.linear(U, g, h[:, 0])

    tokens = Conv2d(1, d, 2, stride=2), Tokens(), Sequential(FixedPositions(2, 2, d)), ClassToken(d)
    blocks = Residual(SelfAttention(d, 2)), Residual(LayerNorm(d), GELU(), Linear(d, d), Dropout(0.4))
    network = Sequential(*tokens, *blocks, SelectToken(0), Linear(d, 2))
    return Case(network, rng.standard_normal((3, 1, 4, 4)), model, masks)


CASES = {
    **{f"dense {type(phi).__name__}": dense(phi) for phi in (Tanh(), Sigmoid(), Softplus(), ReLU(), GELU())},
    "residual": residual(),
    "convolution": convolution(1, 0, 1, 1),
    "strided convolution": convolution((2, 1), (1, 2), 1, 1),
    "dilated convolution in groups": convolution(1, (1, 0), (2, 1), 2),
    "depthwise convolution": convolution(2, 1, 1, 4),
    "pooled convolution": pooled_convolution(),
    "layer norm": normalised(),
    "causal transformer": transformer(True),
    "transformer": transformer(False),
    "pooled transformer": pooled_transformer(),
    "vit": small_vit(),
}
