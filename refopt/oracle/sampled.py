"""Sampled Fisher matrices: by the labels that they were made of, or judged statistically.

With few classes c the labels can be read off. Theirs is then  c Σ wₙ꜀ sₙ꜀sₙ꜀ᵀ,  s the gradient at a label and S·w
how often it was drawn, of S labels a sample. The w follow from linear equations, with the matrix (sᵢᵀsⱼ)². That they
are whole numbers says that it is such a matrix, and their likelihood whether they were drawn from the model.

Elsewhere, with S labels a sample drawn from the model, F̂ has mean F and E‖F̂ − F‖² = V/S. Draws of our own with S = 1
show how ‖F̂ − F‖² scatters, and so which S are possible; draws with the likeliest of them, how often such a distance
occurs. A sampled Fisher matrix is also positive semidefinite, and zero where F is.
"""

from typing import Any, NamedTuple

import numpy as np

from refopt.curvature import fisher
from refopt.oracle.candidates import Candidate
from refopt.oracle.layouts import Layout
from refopt.supervised import Supervised

DRAWS, FEW = 40, 4  #: in all, and before anything else is looked at
LABELS = 1200  #: the most labels of all samples that are read off
MOST = 100  #: the most labels a sample
UNLIKELY = 5.0  #: standard deviations


class Sampled(NamedTuple):
    """What is said of a sampled matrix."""

    scale: float
    layout: Layout
    residual: float
    text: str
    kind: str = "monte-carlo"
    defect: str = ""


def samples_of(theirs: np.ndarray, problem: Any, x: np.ndarray, orders: list[Layout], seed: int) -> Sampled | None:
    """What theirs is if it may be a sampled Fisher matrix."""
    if not isinstance(problem, Supervised):
        return None
    readings = [(layout, np.asarray(theirs[np.ix_(*[np.argsort(layout.order)] * 2)], float)) for layout in orders]
    known = Labels.of(problem, x)
    if known is not None:
        found = (_of_labels(known, layout, T) for layout, T in readings)
        return next((each for each in found if each), None)
    return _by_distance(readings, problem, x, seed)


# --- labels that are read off ------------------------------------------------------------------------------------


class Labels(NamedTuple):
    """The gradients at every label of every sample, and how to find the weights of a sum of their outer products."""

    c: float
    scores: np.ndarray  #: (N·C, P)
    p: np.ndarray  #: (N, C) probabilities
    y: np.ndarray  #: (N,) those of the data
    inverse: np.ndarray

    @classmethod
    def of(cls, problem: Any, x: np.ndarray) -> "Labels | None":
        """None where there are too many, or their outer products depend on each other."""
        f, y = np.asarray(problem.at(x).f, float), np.asarray(problem.y)
        name, N = problem.loss.name, len(f)
        if f.ndim != 2 or name not in ("cross-entropy", "binary-cross-entropy"):
            return None
        if name == "cross-entropy" and y.ndim == 1:
            p = np.exp(f - f.max(1, keepdims=True))
            p, given = p / p.sum(1, keepdims=True), [np.full(N, k) for k in range(f.shape[1])]
        elif name == "binary-cross-entropy" and f.shape[1] == 1:
            q = 1.0 / (1.0 + np.exp(-f))
            p, given = np.concatenate([1.0 - q, q], 1), [np.full(y.shape, float(k)) for k in range(2)]
        else:
            return None
        if p.size > LABELS:
            return None
        scores = np.stack([np.asarray(problem.per_sample_grad(x, labels), float) for labels in given], 1)
        scores = scores.reshape(p.size, -1)
        values, V = np.linalg.eigh((scores @ scores.T) ** 2)
        if values[0] <= 1e-11 * values[-1]:
            return None
        return cls(problem.c, scores, p, y.reshape(-1).astype(int), (V / values) @ V.T)

    def weights(self, T: np.ndarray) -> tuple[np.ndarray, float]:
        """w (N, C) of the nearest c Σ w ssᵀ, and what that leaves of T."""
        w = self.inverse @ np.sum((self.scores @ T) * self.scores, axis=1) / self.c
        rest = T - self.c * (self.scores.T * w) @ self.scores
        return w.reshape(self.p.shape), float(np.linalg.norm(rest) / np.linalg.norm(T))


def _of_labels(known: Labels, layout: Layout, T: np.ndarray) -> Sampled | None:
    w, residual = known.weights(T)
    if residual > 1e-6 or w.min() < -1e-4 * w.max():
        return None
    sums = w.sum(1)
    if np.ptp(sums) > 1e-4 * sums.max():
        return _weighted(known, layout, w, residual)
    scale = float(sums.mean())
    share = w / scale
    S = next((S for S in range(1, MOST + 1) if np.abs(S * share - np.round(S * share)).max() < 1e-3), 0)
    if not S:
        return None
    counts, log_p = np.round(S * share), np.log(known.p + 1e-300)
    means, squares = np.sum(known.p * log_p, 1), np.sum(known.p * log_p**2, 1)
    spread = float(np.sqrt(S * np.sum(squares - means**2))) or 1.0
    z = float((np.sum(counts * log_p) - S * means.sum()) / spread)
    several = f"{S} label{'s' * (S > 1)} a sample"
    text = f"Yours is a Fisher matrix sampled with {several}{_times(scale)}{_ordered(layout)}. "
    if abs(z) > UNLIKELY:
        defect = "these are not labels that the model draws"
        text += (
            "That is a mistake: its labels, which can be read off, are none that the model draws; their likelihood is "
        )
        text += f"{abs(z):.1f} standard deviations from what it would be."
        return Sampled(scale, layout, residual, text, "fisher-sampled", defect)
    text += "Its labels, which can be read off, are as likely as labels that the model draws."
    return Sampled(scale, layout, residual, text)


def _weighted(known: Labels, layout: Layout, w: np.ndarray, residual: float) -> Sampled | None:
    """Outer products at the labels of the data, each with a weight of its own."""
    own = w[np.arange(len(w)), known.y]
    if np.abs(w - own[:, None] * np.eye(w.shape[1])[known.y]).max() > 1e-4 * w.max():
        return None
    scores = known.scores.reshape(*w.shape, -1)[np.arange(len(w)), known.y]
    scaled, out = own * np.sum(scores**2, axis=1), np.flatnonzero(own < 1e-4 * own.max())
    if out.size and np.ptp(kept := own[own >= 1e-4 * own.max()]) <= 1e-4 * own.max():
        which = (
            f"{out.size} of {len(own)} samples {'are' if out.size > 1 else 'is'} left out, the first sample {out[0]}"
        )
        text = f"Yours is the empirical Fisher matrix{_ordered(layout)}{_times(float(kept.mean()))}, but {which}."
        return Sampled(float(kept.mean()), layout, residual, text, "empirical", which)
    text = (
        f"Yours is the empirical Fisher matrix{_ordered(layout)} with another weight for each sample, "
        f"from {own.min():.3g} to {own.max():.3g}."
    )
    defect = "its samples have weights"
    if np.ptp(scaled) <= 1e-4 * scaled.max():
        defect = "the gradients are divided by their lengths"
        text += " That is a mistake: each gradient is divided by its length."
    return Sampled(1.0, layout, residual, text, "empirical", defect)


# --- diagonals by products with random vectors -------------------------------------------------------------------


def estimated(theirs: np.ndarray, plain: list[Candidate], layout: Layout) -> Sampled | None:
    """What a diagonal is if its errors are those of a mean of z ∘ Kz, m signs z: of variance Σⱼ≠ᵢ Kᵢⱼ²/m.

    Four vectors at least, and errors that are half of theirs at most: beneath that anything could be such an estimate.
    """
    for candidate in plain:
        d = np.diag(candidate.matrix)
        spread = np.sqrt(np.sum(candidate.matrix**2, 1) - d * d)
        if theirs.size < 20 or not spread.all():
            continue
        z = (theirs - d) / spread
        m = 1.0 / float(np.mean(z * z))
        z = np.abs(z) * m**0.5
        if (
            m >= 4.0
            and np.mean((theirs / spread) ** 2) > 2.0 / m
            and z.max() < 5.0
            and 0.5 < float(np.mean(z < 0.6745)) / 0.5 < 1.5
        ):
            text = (
                f"Yours may be an estimate of the diagonal of {candidate.words} from products with some {m:.0f} random "
                "vectors: entry by entry its errors are as large as theirs. Hand in the diagonal itself to be sure."
            )
            return Sampled(1.0, layout, float(np.linalg.norm(theirs - d) / np.linalg.norm(d)), text, "estimated")
    return None


def _times(scale: float) -> str:
    return f", times {scale:.6g}" if abs(scale - 1.0) > 1e-6 else ""


def _ordered(layout: Layout) -> str:
    return "" if layout.usual else f", {layout.words}"


# --- by their distance -------------------------------------------------------------------------------------------


def _by_distance(readings: Any, problem: Any, x: np.ndarray, seed: int) -> Sampled | None:
    rng = np.random.default_rng(seed)
    F = np.asarray(fisher(problem, x, kind="exact"), float)
    few = _distances(problem, x, F, 1, rng, FEW)
    near = [
        (scale, layout, T, square)
        for scale in (1.0, len(problem.X), 1.0 / len(problem.X)) for layout, T in readings
        if (square := float(((T / scale - F) ** 2).sum())) <= 8.0 * few.max()
    ]  # fmt: skip
    if not near or not _is_sum_of_scores(near[0][2], np.zeros((len(F), 0))):
        return None
    one, null = np.append(few, _distances(problem, x, F, 1, rng, DRAWS - FEW)), _null_space(F)
    for scale, layout, T, square in near:
        S = max(1, round(float(one.mean()) / square)) if square else 0
        if square > 4.0 * one.max() or not S or S > 10_000 or not _is_sum_of_scores(T / scale, null):
            continue
        drawn = one if S == 1 else _distances(problem, x, F, S, rng, DRAWS)
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
) -> Sampled:
    residual = float(np.sqrt(square) / np.linalg.norm(F))
    S, low, high = labels
    count = f"{low}" if low == high else f"{low} to {high}"
    text = (
        f"Yours may be a Fisher matrix sampled with {count} label{'s' * (high > 1)} a sample (likeliest {S})"
        f"{_times(scale)}{_ordered(layout)}: it is "
        f"{100 * residual:.3g} % from the exact one, and {further} of {DRAWS} draws of ours are further. Hand in its "
        "labels to be sure."
    )
    return Sampled(scale, layout, residual, text)


def _distances(problem: Any, x: np.ndarray, F: np.ndarray, S: int, rng: Any, count: int) -> np.ndarray:
    """‖F̂ − F‖² of draws with S labels a sample."""
    draws = [np.asarray(fisher(problem, x, kind="monte-carlo", samples=S, rng=rng), float) for _ in range(count)]
    return np.array([float(((D - F) ** 2).sum()) for D in draws])


def _is_sum_of_scores(T: np.ndarray, null: np.ndarray) -> bool:
    """Positive semidefinite, and zero where F is."""
    size = float(np.linalg.norm(T))
    symmetric = np.abs(T - T.T).max() <= 1e-6 * size
    if not symmetric or np.linalg.norm(T @ null) > 1e-6 * size:
        return False
    return bool(np.linalg.eigvalsh(T)[0] >= -1e-6 * size)


def _null_space(F: np.ndarray) -> np.ndarray:
    values, V = np.linalg.eigh(F)
    return V[:, values <= 1e-12 * values[-1]]
