"""The networks of ``kfac_models.py`` in JAX, classes last; imported only where JAX is."""

import jax
from jax import numpy as jnp
from torch import nn

from peers import kfac_models as models


def forward(module, params, x):
    """A PyTorch module in the operations that kfac-jax knows: linear maps with the next (W, b), others with their own.

    W of a linear layer (in, out), of a convolution (height, width, in, out).
    """

    def then(module, x):
        return forward(module, params, x)

    match module:
        case nn.Linear():
            W, b = next(params)
            return jnp.tensordot(x, W, axes=1) + b
        case nn.Conv2d():
            W, b = next(params)
            padding = [(p, p) for p in module.padding]
            y = jax.lax.conv_general_dilated(
                jnp.moveaxis(x, 1, -1), W, module.stride, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            return jnp.moveaxis(y + b[None, None, None], -1, 1)
        case nn.Sequential():
            for inner in module:
                x = then(inner, x)
            return x
        case nn.Tanh():
            return jnp.tanh(x)
        case nn.Flatten():
            return x.reshape(len(x), -1)
        case nn.LayerNorm():
            away = x - x.mean(axis=-1, keepdims=True)
            w, b = (p.detach().numpy() for p in (module.weight, module.bias))
            return w * (away / jnp.sqrt((away**2).mean(axis=-1, keepdims=True) + module.eps)) + b
        case models.Attention():
            N, T, _ = x.shape
            Q, K, V = (
                part.reshape(N, T, 2, 2).transpose(0, 2, 1, 3) for part in jnp.split(then(module.first, x), 3, axis=-1)
            )
            Z = jax.nn.softmax(Q @ K.transpose(0, 1, 3, 2) / 2**0.5, axis=-1) @ V
            return then(module.second, Z.transpose(0, 2, 1, 3).reshape(N, T, 4))
        case models.Normalised():
            return x + then(module.attention, then(module.norm, x))
        case models.MeanPool():
            return x.mean(axis=1)
        case models.Tied():
            E = module.embedding.weight.detach().numpy()
            return then(module.body, jnp.asarray(E)[x]) @ E.T
        case models.Moved():
            return jnp.moveaxis(x, module.source, module.target)
    raise TypeError(f"no module {module}")
