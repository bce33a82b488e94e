"""Curvature matrices from their definitions: independent networks and losses, by autograd, sample by sample.

Expectations over labels are sums over all of them: classes and signs as they are, counts up to where nothing is left,
normal variables at the nodes of Gauss and Hermite, exact for the squares of scores, which are of degree four.
"""

import autograd
import numpy as np

from networks.independent import LOSSES

EPS = 2.0**-52


def draw_labels(loss, f, rng):
    if loss == "cross-entropy":
        return rng.integers(0, f.shape[-1], f.shape[:-1])
    return {
        "binary-cross-entropy": lambda: rng.integers(0, 2, f.shape).astype(float),
        "poisson": lambda: rng.poisson(2.0, f.shape).astype(float),
        "gaussian": lambda: rng.standard_normal((*f.shape[:-1], f.shape[-1] // 2)),
    }.get(loss, lambda: rng.standard_normal(f.shape))()


def factor(reduction, f, y, loss):
    """c."""
    elements = y.size if loss == "gaussian" else f.size
    return {"sum": 1.0, "mean": 1 / len(f), "mean-tokens": 1 / y.size, "mean-elements": 1 / elements}[reduction]


def bend(loss, f, y):
    """∇²ℓ of one sample in its outputs, raveled."""
    return autograd.hessian(lambda z: LOSSES[loss](z.reshape(f.shape), y))(f.ravel())


def score(loss, f, y):
    """∇ℓ of one sample in its outputs, raveled."""
    return autograd.grad(lambda z: LOSSES[loss](z.reshape(f.shape), y))(f.ravel())


def choices(loss, f):
    """For each random label of a sample: its values and their probabilities."""
    if loss == "cross-entropy":
        p = np.exp(f.reshape(-1, f.shape[-1]))
        return [(range(f.shape[-1]), row / row.sum()) for row in p]
    if loss == "binary-cross-entropy":
        return [((0.0, 1.0), (1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z)))) for z in f.ravel()]
    if loss == "poisson":
        k = np.arange(40)
        logs = np.cumsum(np.log(np.maximum(k, 1)))
        return [(k.astype(float), np.exp(k * z - np.exp(z) - logs)) for z in f.ravel()]
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    half = f.shape[-1] // 2
    centre, spread = {
        "squared": (f, np.ones_like(f)),
        "mse": (f, np.full_like(f, 0.5**0.5)),
        "gaussian": (f[..., :half], np.exp(f[..., half:] / 2)),
    }[loss]
    return [(m + s * nodes, weights / weights.sum()) for m, s in zip(centre.ravel(), spread.ravel(), strict=True)]


def information(loss, f, y):
    """E[∇ℓ∇ℓᵀ] of one sample: independent labels, whose parts of the score add: Σ over labels of E − mean²."""
    total = 0.0
    for place, (values, probabilities) in enumerate(choices(loss, f)):
        scores = []
        for value in values:
            other = np.array(y)
            other.reshape(-1)[place] = value
            scores.append(score(loss, f, other))
        scores, p = np.array(scores), np.array(probabilities)
        centred = scores - p @ scores
        total = total + (centred.T * p) @ centred
    return total


def matrices(J, f, y, loss, c):
    """G, F and EF for J (N, C, P)."""
    G = c * sum(j.T @ bend(loss, a, b) @ j for j, a, b in zip(J, f, y, strict=True))
    F = c * sum(j.T @ information(loss, a, b) @ j for j, a, b in zip(J, f, y, strict=True))
    s = np.array([score(loss, a, b) @ j for j, a, b in zip(J, f, y, strict=True)])
    return G, F, c * s.T @ s


def near(ours, theirs, slack=1e3):
    """Equal to rounding: sums of hundreds of products, of the size of the largest entry."""
    ours = np.asarray(ours)
    assert ours.shape == np.shape(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=slack * EPS * max(np.abs(theirs).max(), 1e-300))
