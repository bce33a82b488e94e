"""Pruning by a diagonal: optimal brain damage, and what is taken for its curvature."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.pruning import weights
from refopt.oracle.draw import excess, eye, inverse, size

LECUN = "Y. LeCun, J. S. Denker & S. A. Solla, Optimal brain damage, NIPS 1989, §2"
KUNSTNER = "F. Kunstner, L. Balles & P. Hennig, arXiv:1905.12558, §4"


def alone(draw, diagonal):
    """OBD's and OBS's saliencies."""
    w, H, P = weights(draw)
    H = H * eye(H) if diagonal else H
    P = inverse(H)
    return {"w": w, "H": H, "obd": H.diagonal() * w * w / 2, "obs": w * w / (2 * P.diagonal())}


def interacting(draw):
    made = alone(draw, False)
    gap = abs(made["obd"] - made["obs"]).max() / made["obd"].max()
    return {"gap": gap} if gap > 1e-3 else interacting(draw)


@claim(
    "pruning.obd-saliency",
    "½Hᵢᵢwᵢ² is the least that removing weight i costs",
    LECUN,
    lambda draw: alone(draw, True),
    "conditional",
    given="H is diagonal, g = 0 and the loss is quadratic: then OBS is OBD",
    scale=lambda obd: abs(obd).max(),
    because="a division and a few products",
    fails=(Fails("weights interact: the others can make up for it", interacting, lambda gap: gap),),
)
def obd_saliency(obd, obs):
    return obd - obs


def fitted(draw, found):
    """½ mean (xᵀw − y)² at an exact fit, with weight i removed; and what is foretold by `found` of gradients and X."""
    X = draw.matrix(draw.size(3, 5), n := draw.size(1, 3))
    w, i = draw.vector(n), int(draw.rng.integers(n))
    curvature = found(0 * X, X)[i]  # gradients of samples are rx, and r = 0
    change = X[:, i] * w[i]
    actual = change @ change / (2 * len(X))
    if not actual:
        return fitted(draw, found)
    return {"X": X, "w": w, "foretold": curvature * w[i] * w[i] / 2, "actual": actual}


@claim(
    "pruning.obd-curvature",
    "OBD's saliency is half the mean square of the gradient times w²",
    LECUN,
    lambda draw: fitted(draw, lambda g, X: (X * X).sum(axis=0) / len(X)),
    "false",
    corrected="it is ½Hᵢᵢwᵢ², a second derivative; where a model fits, gradients vanish and the saliency does not",
    given="least squares, weights removed without correction",
    scale=lambda actual: actual,
    because="sums of a few squares",
    fails=(
        Fails(
            "squares of gradients at an exact fit",
            lambda draw: fitted(draw, lambda g, X: (g * g).sum(axis=0) / len(X)),
            lambda foretold, actual: (foretold - actual) / actual,
        ),
    ),
)
def obd_curvature(foretold, actual):
    return foretold - actual


# --- Adam's second moment ------------------------------------------------------------------------------------------


def batches(draw, size_):
    """Gradients of a whole population, and the mean of the squared means of all batches, drawn with replacement."""
    S, n = 3, draw.size(2, 3)
    G = draw.matrix(S, n)
    picks = np.stack(np.meshgrid(*[np.arange(S)] * size_, indexing="ij")).reshape(size_, -1)
    v = ((G[picks].sum(axis=0) / size_) ** 2).sum(axis=0) / picks.shape[1]
    return {"G": G, "v": v, "B": size_}


def other_ranking(draw):
    """Two weights that the Fisher diagonal and the second moment rank in opposite order."""
    made = batches(draw, 2)
    F, v = (made["G"] ** 2).sum(axis=0) / 3, made["v"]
    order = (F[0] - F[1]) * (v[0] - v[1])
    gap = min(abs(F[0] - F[1]) / F.max(), abs(v[0] - v[1]) / v.max()) if order < 0 and v.all() else 0
    return {"gap": gap} if gap > 1e-2 else other_ranking(draw)


@claim(
    "pruning.adam-second-moment",
    "Adam's second moment ranks weights like the diagonal of the Fisher matrix",
    KUNSTNER,
    lambda draw: batches(draw, 1),
    "conditional",
    given="batches of one sample, w held fixed, v corrected for its start; and then it is the empirical Fisher matrix",
    scale=lambda G: size(G) ** 2,
    because="sums of a few squares",
    fails=(Fails("batches of two: two weights of equal size change places", other_ranking, lambda gap: gap),),
)
def adam_second_moment(G, v):
    return v - (G**2).sum(axis=0) / len(G)


@claim(
    "pruning.adam-batches",
    "E[ḡ²] = σ²/B + μ² for the mean ḡ of B gradients of mean μ and variance σ²: between 1/B and 1 times E[g²]",
    KUNSTNER,
    lambda draw: batches(draw, int(draw.rng.integers(2, 4))),
    given="gradients drawn independently, w held fixed",
    scale=lambda G: size(G) ** 2,
    because="sums of a few squares",
)
def adam_batches(G, v, B):
    mean, square = G.sum(axis=0) / len(G), (G**2).sum(axis=0) / len(G)
    return v - (square - mean**2) / B - mean**2, excess(square / B - v), excess(v - square)
