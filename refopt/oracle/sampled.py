"""Sampled Fisher matrices, judged statistically.

With S labels a sample drawn from the model, F̂ has mean F and E‖F̂ − F‖² = V/S. Draws of our own with S = 1 show how
‖F̂ − F‖² scatters, and so which S are possible; draws with the likeliest of them, how often such a distance occurs. A
sampled Fisher matrix is also positive semidefinite, and zero where F is.
"""

from typing import Any

import numpy as np

from refopt.curvature import fisher
from refopt.oracle.layouts import Layout
from refopt.supervised import Supervised

DRAWS = 40


def samples_of(
    theirs: np.ndarray, problem: Any, x: np.ndarray, orders: list[Layout], seed: int
) -> tuple[Any, ...] | None:  # fmt: skip
    """The fields of a ``Diagnosis`` after its kind, if theirs may be a sampled Fisher matrix; else None."""
    if not isinstance(problem, Supervised):
        return None
    rng = np.random.default_rng(seed)
    F = np.asarray(fisher(problem, x, kind="exact"), float)
    readings = [(layout, theirs[np.ix_(*[np.argsort(layout.order)] * 2)].astype(float)) for layout in orders]
    one = _distances(problem, x, F, 1, rng)
    N = len(problem.X)
    for scale in (1.0, N, 1.0 / N):
        for layout, T in readings:
            T = T / scale
            square = float(((T - F) ** 2).sum())
            if square > 4.0 * one.max():
                continue
            S = max(1, round(float(one.mean()) / square)) if square else 0
            if not S or S > 10_000 or not _is_sum_of_scores(T, F):
                continue
            drawn = one if S == 1 else _distances(problem, x, F, S, rng)
            further = int((drawn >= square).sum())
            if 0 < further < DRAWS:
                return _said(layout, scale, (S, *_range(one, square)), further, square, F)
    return None


def _range(one: np.ndarray, square: float) -> tuple[int, int]:
    """The fewest and the most labels a sample with which this distance is not out of the ordinary."""
    low = max(1, int(np.ceil(one.min() / square)))
    return low, max(low, int(one.max() / square))


def _said(
    layout: Layout, scale: float, labels: tuple[int, int, int], further: int, square: float, F: np.ndarray
) -> tuple[Any, ...]:
    residual = float(np.sqrt(square) / np.linalg.norm(F))
    S, low, high = labels
    count = f"{low}" if low == high else f"{low} to {high}"
    text = (
        f"Yours may be a Fisher matrix sampled with {count} label{'s' * (high > 1)} a sample (likeliest {S})"
        f"{f', times {scale:.6g}' if scale != 1.0 else ''}{'' if layout.usual else ', ' + layout.words}: it is "
        f"{100 * residual:.3g} % from the exact one, and {further} of {DRAWS} draws of ours are further. Hand in its "
        "labels to be sure."
    )
    return "" if scale == 1.0 else f"{scale:.6g}", layout.vec, layout.bias, 0.0, scale, residual, text, []


def _distances(problem: Any, x: np.ndarray, F: np.ndarray, S: int, rng: Any) -> np.ndarray:
    """‖F̂ − F‖² of draws with S labels a sample."""
    draws = [np.asarray(fisher(problem, x, kind="monte-carlo", samples=S, rng=rng), float) for _ in range(DRAWS)]
    return np.array([float(((D - F) ** 2).sum()) for D in draws])


def _is_sum_of_scores(T: np.ndarray, F: np.ndarray) -> bool:
    """Positive semidefinite, and zero where F is."""
    size = float(np.linalg.norm(T))
    values, V = np.linalg.eigh(F)
    null = V[:, values <= 1e-12 * values[-1]]
    symmetric = np.abs(T - T.T).max() <= 1e-6 * size
    return bool(symmetric and np.linalg.eigvalsh(T)[0] >= -1e-6 * size and np.linalg.norm(T @ null) <= 1e-6 * size)
