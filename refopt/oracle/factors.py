"""Kronecker factors: which K-FAC somebody's pairs of matrices are, in which order, and how the scale is split.

Of each layer A (in, in) or (in + 1, in + 1) with the coordinate of the bias, and G (out, out); each of theirs is fitted
as αA + λI, αG + λI. The split of α between the two is free, because only G ⊗ A matters; the product of both is told.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from refopt import curvature
from refopt.oracle.iterates import host

Array = np.ndarray


class Fit(NamedTuple):
    """How a list of pairs is read."""

    fisher: str
    sharing: str
    swapped: bool  #: (G, A), not (A, G)
    bias: str  #: "last", "first", "none": the homogeneous coordinate of A
    alphas: list[tuple[float, float]]  #: of A and G, layer by layer
    dampings: list[tuple[float, float]]
    residual: float


def fits(pairs: Any, problem: Any, x: Array) -> list[Fit]:
    """All readings, best first."""
    theirs = [(host(M).astype(float), host(N).astype(float)) for M, N in pairs]
    found = []
    for fisher in ("exact", "empirical", "forward-only"):
        for sharing in ("expand", "reduce") if is_shared(problem, x) else ("expand",):
            blocks = curvature.kfac(problem, x, fisher=fisher, sharing=sharing).blocks
            ours = [(np.asarray(b.A), np.asarray(b.G), b.bias) for b in blocks if isinstance(b, curvature.Kron)]
            if len(ours) == len(theirs):
                found += list(_readings(theirs, ours, fisher, sharing))
    return sorted(found, key=lambda fit: fit.residual)


def _readings(theirs: Any, ours: Any, fisher: str, sharing: str) -> Iterator[Fit]:
    for swapped in (False, True):
        for bias in ("last", "first", "none"):
            pairs = [(N, M) if swapped else (M, N) for M, N in theirs]
            wanted = [(_input(A, has_bias, bias), G) for A, G, has_bias in ours]
            shapes = [(M.shape, N.shape) for M, N in pairs]
            if shapes != [(A.shape, G.shape) for A, G in wanted]:
                continue
            both = [
                [_fit(T, K) for T, K in zip(pair, want, strict=True)] for pair, want in zip(pairs, wanted, strict=True)
            ]
            alphas, dampings = [(a[0], g[0]) for a, g in both], [(a[1], g[1]) for a, g in both]
            yield Fit(fisher, sharing, swapped, bias, alphas, dampings, max(max(a[2], g[2]) for a, g in both))


def _input(A: Array, has_bias: bool, bias: str) -> Array:
    if not has_bias or bias == "last":
        return A
    if bias == "none":
        return A[:-1, :-1]
    order = np.roll(np.arange(len(A)), 1)
    return A[np.ix_(order, order)]


def _fit(T: Array, K: Array) -> tuple[float, float, float]:
    """α, λ and the relative residual of T = αK + λI; λ = 0 where that is as good."""
    size = float(np.linalg.norm(T)) or 1.0
    alpha = float((T * K).sum() / ((K * K).sum() or 1.0))
    plain = float(np.linalg.norm(T - alpha * K)) / size
    basis = np.stack([K.reshape(-1), np.eye(len(K)).reshape(-1)], axis=1)
    (a, lam), *_ = np.linalg.lstsq(basis, T.reshape(-1))
    damped = float(np.linalg.norm(T - a * K - lam * np.eye(len(K)))) / size
    return (float(a), float(lam), damped) if damped < 0.1 * plain else (alpha, 0.0, plain)


def is_shared(problem: Any, x: Array) -> bool:
    """Whether layers are applied at several positions of a sample."""
    return bool(problem.at(x).f.ndim > 2 or len(problem.X.shape) > 2)


def told(fit: Fit, scale_in_words: Any, problem: Any, layers: list[str], shared: bool) -> tuple[str, str, float]:
    """The sentence, the reduction and the scale."""
    names = {"exact": "exact ", "empirical": "empirical ", "forward-only": "forward-only "}
    text = f"Yours are the factors of {names[fit.fisher]}K-FAC{f' ({fit.sharing})' * shared}"
    text += ", in the order (G, A)" if fit.swapped else ", in the order (A, G)"
    text += {"last": "", "first": ", the coordinate of the bias first", "none": ", without the bias"}[fit.bias]
    products = [a * g for a, g in fit.alphas]
    scale = products[0]
    alike = all(abs(p - scale) <= 1e-6 * abs(scale) for p in products)
    words, reduction = scale_in_words(scale, problem)
    text += f"; G ⊗ A is {words}" if alike else "; the scale of G ⊗ A differs from layer to layer"
    first = fit.alphas[0]
    if any(abs(a - first[0]) > 1e-6 * abs(first[0]) for a, _ in fit.alphas):
        text += ", split differently in each layer"
    elif abs(first[0] - 1.0) > 1e-6:
        text += f", A being {first[0]:.6g} times and G {first[1]:.6g} times ours"
    damped = [(layers[k], *pair) for k, pair in enumerate(fit.dampings) if any(pair)]
    if damped:
        text += "; added to the diagonals of A and G: "
        text += ", ".join(f"{lam_a:.6g} and {lam_g:.6g} in {name}" for name, lam_a, lam_g in damped)
    return text + ".", reduction if alike else "", scale
