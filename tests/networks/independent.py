"""Layers as other people write them, sample by sample and index by index, in NumPy that autograd can differentiate.

Nothing here knows of the library's formulas, orders of axes or products: a convolution is a loop over outputs,
attention a loop over heads, a network the plain composition. `model(x)` maps the flat parameters to outputs.
"""

import autograd.numpy as anp
import numpy as np
from autograd.scipy.special import erf


def take(x, shapes):
    """The arrays of these shapes that lie one after the other in x."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    return [anp.reshape(part, shape) for part, shape in zip(anp.split(x, ends[:-1]), shapes, strict=True)]


def sigmoid(z):
    return 1.0 / (1.0 + anp.exp(-z))


PHI = {
    "Tanh": anp.tanh,
    "Sigmoid": sigmoid,
    "Softplus": lambda z: anp.log(1.0 + anp.exp(z)),
    "ReLU": lambda z: anp.where(z > 0, z, 0.0 * z),
    "GELU": lambda z: 0.5 * z * (1.0 + erf(z / np.sqrt(2.0))),
}


def linear(W, b, x):
    return anp.stack([W @ row + b for row in x])


def conv2d(W, b, x, stride, padding, dilation, groups):
    """Output by output; x (N, C, H, W)."""
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    out, per_group, kh, kw = W.shape
    x = anp.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), "constant")
    height = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    width = (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    channels = []
    for o in range(out):
        first = o // (out // groups) * per_group
        pixels = []
        for i in range(height):
            for j in range(width):
                rows, columns = [i * sh + dh * k for k in range(kh)], [j * sw + dw * k for k in range(kw)]
                patch = x[:, first : first + per_group][:, :, rows][:, :, :, columns]
                pixels.append(anp.sum(patch * W[o], axis=(1, 2, 3)) + b[o])
        channels.append(anp.reshape(anp.stack(pixels, axis=1), (x.shape[0], height, width)))
    return anp.stack(channels, axis=1)


def layer_norm(w, b, x, eps=1e-5):
    mean = anp.mean(x, axis=-1, keepdims=True)
    return w * (x - mean) / anp.sqrt(anp.var(x, axis=-1, keepdims=True) + eps) + b


def attention(Wi, bi, Wo, bo, x, heads, causal):
    """Sample by sample and head by head; x (N, T, d)."""
    T, d = x.shape[1:]
    e = d // heads
    hidden = np.triu(np.ones((T, T)), 1) > 0 if causal else np.zeros((T, T), bool)
    samples = []
    for tokens in x:
        q, k, v = (tokens @ Wi[m * d : (m + 1) * d].T + bi[m * d : (m + 1) * d] for m in range(3))
        outputs = []
        for h in range(heads):
            part = slice(h * e, (h + 1) * e)
            weights = anp.exp(q[:, part] @ k[:, part].T / np.sqrt(e)) * ~hidden
            outputs.append(weights / anp.sum(weights, axis=1, keepdims=True) @ v[:, part])
        samples.append(anp.concatenate(outputs, axis=1) @ Wo.T + bo)
    return anp.stack(samples)


# --- losses of one sample, as sums over its numbers -------------------------------------------------------


def cross_entropy(f, y):
    """Σ over positions of −log softmax(f)_y; a class below 0 does not count."""
    f = anp.reshape(f, (-1, f.shape[-1]))
    if np.issubdtype(np.asarray(y).dtype, np.integer):
        y = np.eye(f.shape[-1])[np.ravel(y)] * (np.ravel(y) >= 0)[:, None]
    y = np.reshape(y, f.shape)
    return -anp.sum(y * (f - anp.log(anp.sum(anp.exp(f), axis=1, keepdims=True))))


def gaussian(f, y):
    mu, s = f[..., : f.shape[-1] // 2], f[..., f.shape[-1] // 2 :]
    return anp.sum(s / 2 + (y - mu) ** 2 / (2 * anp.exp(s)))


LOSSES = {
    "squared": lambda f, y: anp.sum((f - y) ** 2) / 2,
    "mse": lambda f, y: anp.sum((f - y) ** 2),
    "cross-entropy": cross_entropy,
    "binary-cross-entropy": lambda f, y: -anp.sum(y * anp.log(sigmoid(f)) + (1 - y) * anp.log(1 - sigmoid(f))),
    "poisson": lambda f, y: anp.sum(anp.exp(f) - y * f),
    "gaussian": gaussian,
}
