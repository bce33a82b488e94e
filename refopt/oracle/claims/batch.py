"""Sums and means over batches: what the size of a batch does to losses, squared gradients and damping."""

from itertools import product

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import bulk, condition, eye, size, solve

KUNSTNER = "F. Kunstner, L. Balles & P. Hennig, NeurIPS 32 (2019), arXiv:1905.12558, "


def squared(draw):
    """The gradient of a sample is g₀, g₁ or g₂ with probabilities p: all batches of B, independent, by enumeration."""
    B, g, p = int(draw.rng.integers(2, 5)), draw.vector(3), abs(draw.vector(3)) + 1
    p = p / p.sum()
    batches = list(product(range(3), repeat=B))
    square = sum(np.prod(p[list(batch)]) * (g[list(batch)].sum() / B) ** 2 for batch in batches)
    return {"B": B, "p": p, "g": g, "square": square}


def centred(draw):
    """The same with E[g] = 0."""
    g = draw.array([1, -1, 0]) * draw.magnitude()
    B, p = int(draw.rng.integers(2, 5)), draw.array(["1/3", "1/3", "1/3"])
    square = sum((g[list(batch)].sum() / B) ** 2 for batch in product(range(3), repeat=B)) / 3**B
    return {"B": B, "p": p, "g": g, "square": square}


@claim(
    "batch.squared-gradient",
    "The mean of the squared gradient of batches, E[ḡ²], is the diagonal of the empirical Fisher matrix, E[g²]",
    KUNSTNER + "§4; J. Martens, JMLR 21 (2020), §11",
    squared,
    "false",
    corrected="E[ḡ²] = Var g/B + E[g]²: right for B = 1, B times too small where E[g] = 0; square g of each sample",
    scale=lambda g: bulk(g) ** 2,
    because="sums of products of this size",
    fails=(Fails("as stated, E[g] = 0 and B > 1", centred, lambda p, g, square: square / (p @ g**2) - 1),),
)
def squared_gradient(B, p, g, square):
    mean = p @ g
    return B * square - (p @ g**2 - mean**2) - B * mean**2


def cut(draw, sizes):
    values = np.split(draw.vector(sum(sizes)), np.cumsum(sizes)[:-1])
    means = np.array([batch.sum() / len(batch) for batch in values])
    everything = np.concatenate(values)
    return {"sizes": np.array(sizes), "means": means, "mean": everything.sum() / len(everything), "bulk": bulk(means)}


def with_a_short_one(draw):
    made = cut(draw, [2, 2, 1])
    return made if abs(made["means"].sum() / 3 - made["mean"]) > 1e-3 * made["bulk"] else with_a_short_one(draw)


def equal(draw):
    made = cut(draw, [2, 2, 2])
    return made if abs(made["mean"]) > 1e-3 * made["bulk"] else equal(draw)


@claim(
    "batch.sum-of-means",
    "A loss over all data is the sum of the means over its batches",
    "direct",
    lambda draw: cut(draw, [int(n) for n in draw.rng.integers(1, 4, 3)]),
    "false",
    corrected="Weights nᵦ/n make it the mean over the data; a sum grows with the number of batches, and equal weights "
    "give a short batch too much",
    scale=lambda bulk: bulk,
    because="sums of numbers of this size",
    fails=(
        Fails("as stated, three equal batches", equal, lambda means, mean: means.sum() / mean - 1),
        Fails(
            "equal weights, and a short last batch",
            with_a_short_one,
            lambda means, mean, bulk: (means.sum() / 3 - mean) / bulk,
        ),
    ),
)
def sum_of_means(sizes, means, mean):
    return sizes @ means / sizes.sum() - mean


def damped(draw, ratio):
    """(G + λI)p = −g for the mean over B samples with λ, and for their sum with another damping."""
    B, n = int(draw.rng.integers(2, 9)), draw.size()
    J, r, lam = draw.matrix(B, n), draw.vector(B), draw.number(0.1, 9)
    G, g = J.T @ J, J.T @ r
    if not g.any():
        return damped(draw, ratio)
    A_mean, A_sum = G / B + lam * eye(G), G + (B if ratio else 1) * lam * eye(G)
    return {"A": A_sum, "g": g, "p_mean": -solve(A_mean, g / B), "p_sum": -solve(A_sum, g)}


@claim(
    "batch.damping",
    "A damping λ does the same to the sum of a loss over a batch as to its mean",
    "direct",
    lambda draw: damped(draw, True),
    "false",
    corrected="The steps are the same if the sum over B samples has Bλ: λ on the sum is λ/B on the mean",
    scale=lambda A, p_sum: condition(A) * size(p_sum),
    because="both solves lose eps κ(G + λI)",
    fails=(Fails("as stated", lambda draw: damped(draw, False), lambda p_mean, p_sum: (p_mean - p_sum) / bulk(p_sum)),),
)
def damping(p_mean, p_sum):
    return p_mean - p_sum
