"""A vision transformer: patches as tokens, fixed positions, a class token first, blocks, and the class token read out.

    tokens = patches W + b + E;   x = (t, tokens)
    block:   x ← x + drop(attention(norm(x)));   x ← x + drop(W₂ GELU(W₁ norm(x)))
    outputs = W x₀ + b

A. Dosovitskiy et al., arXiv:2010.11929, with pre-norm blocks, and fixed in place of learned positions. By default
there is no norm before the read-out.
"""

from refopt.networks.activations import GELU
from refopt.networks.attention import SelfAttention
from refopt.networks.convolution import Conv2d
from refopt.networks.layer import Layer
from refopt.networks.linear import Linear
from refopt.networks.normalisation import LayerNorm
from refopt.networks.sequential import Residual, Sequential
from refopt.networks.structure import ClassToken, Dropout, FixedPositions, SelectToken, Tokens


def vit(
    size: int = 32,
    patch: int = 8,
    channels: int = 3,
    features: int = 128,
    blocks: int = 4,
    heads: int = 4,
    hidden: int = 256,
    classes: int = 10,
    dropout: float = 0.3,
    final_norm: bool = False,
) -> Sequential:
    """A vision transformer on images (N, channels, size, size); by default 556,042 parameters.

    Masks for Dropout are data (``network.draw_masks``); without them nothing is dropped.
    """
    if size % patch:
        raise ValueError(f"images of {size} by {size} do not fall into patches of {patch} by {patch}")
    drop: list[Layer] = [Dropout(dropout)] if dropout else []
    layers: list[Layer] = [
        Conv2d(channels, features, patch, stride=patch),
        Tokens(),
        FixedPositions(size // patch, size // patch, features),
        ClassToken(features),
    ]
    for _ in range(blocks):
        layers += [
            Residual(LayerNorm(features), SelfAttention(features, heads), *drop),
            Residual(LayerNorm(features), Linear(features, hidden), GELU(), Linear(hidden, features), *drop),
        ]
    norm = [LayerNorm(features)] if final_norm else []
    return Sequential(*layers, *norm, SelectToken(0), Linear(features, classes))
