"""Cross-entropy of a softmax, −Σ y_c log p_c with p = softmax(f), for classes or probabilities y.

    ∇ℓ = p − y        ∇²ℓ = F = diag(p) − ppᵀ = LLᵀ
    L: √(p_k / (p_k + t_k)) (√t_k e_k − Σ_{i>k} p_i e_i / √t_k),   t_k = Σ_{i>k} p_i       columns k = 1 … C − 1

L is Cholesky's factor in closed form (K. Tanabe & M. Sagae, *J. R. Stat. Soc. B* 54 (1992) 211): nothing cancels in it.
Where a position does not count, p and y are 0 in all of these. Logits are shifted by their largest before they are
exponentiated, so that nothing overflows.   Shapes: f (N, …, C); y integers (N, …) or probabilities (N, …, C).
"""

from math import inf
from typing import Any

import numpy as np

from refopt.networks.layer import Shape
from refopt.networks.loss import Loss, like
from refopt.ops import device, namespace, positive, scalar

IGNORED = -100  #: the class of a position that does not count, as in PyTorch


class CrossEntropy(Loss):
    """−Σ y_c log softmax(f)_c."""

    name = "cross-entropy"

    def values(self, f: Any, y: Any) -> Any:
        xp = namespace(f)
        logits = f - xp.max(f, axis=-1, keepdims=True)
        total = xp.log(xp.sum(xp.exp(logits), axis=-1))
        target = self._target(f, y)
        return total * self._counts(f, y)[..., 0] - xp.sum(target * logits, axis=-1)

    def grad(self, f: Any, y: Any) -> Any:
        return self._probabilities(f, y) - self._target(f, y)

    def fisher_vp(self, f: Any, y: Any, v: Any) -> Any:
        p = self._probabilities(f, y)
        pv = p * v
        pv -= p * namespace(f).sum(pv, axis=-1, keepdims=True)
        return pv

    def fisher_factor(self, f: Any, y: Any) -> Any:
        """The columns of L."""
        xp, C = namespace(f), f.shape[-1]
        p, k = self._probabilities(f, y), xp.arange(C, device=device(f))
        equal, later = (xp.astype(mask, f.dtype) for mask in (k[:, None] == k, k[:, None] > k))
        t = p @ later
        share, root = xp.sqrt(p / positive(p + t)), xp.sqrt(t)
        K = max(1, C - 1)
        on, below = (xp.moveaxis(z[..., :K], -1, 0)[..., None] for z in (share * root, share / positive(root)))
        equal, later = (xp.reshape(M[:K, :], (K, *(1,) * (f.ndim - 1), C)) for M in (equal, later.T))
        return on * equal - below * (later * p)

    def sample(self, f: Any, y: Any, rng: np.random.Generator) -> Any:
        xp, counts = namespace(f), self._counts(f, y)
        p = self._probabilities(f, None)
        level = like(f, rng.random(f.shape[:-1]))[..., None]
        below = xp.cumulative_sum(p, axis=-1)[..., :-1] <= level  # the last sum is 1, but for rounding
        drawn = xp.sum(xp.astype(below, xp.int64), axis=-1)
        if _are_classes(y):
            return xp.where(y == IGNORED, y, xp.astype(drawn, y.dtype))
        return self._target(f, drawn) * counts

    def margins(self, f: Any, y: Any) -> Any:
        """By how much f_y exceeds all others; the others less it where y is spread; ∞ where it does not count."""
        xp, target = namespace(f), self._target(f, y)
        away = inf * xp.ones_like(f)
        margin = xp.min(xp.where(target > 0.0, f, away), axis=-1) - xp.max(xp.where(target < 1.0, f, -away), axis=-1)
        return xp.where(self._counts(f, y)[..., 0] > 0.0, margin, away[..., 0])

    def labels(self, y: Any, dtype: Any) -> Any:
        xp = namespace(y)
        if xp.isdtype(y.dtype, "integral"):
            if y.shape and scalar(xp.min(xp.where(y == IGNORED, 0 * y, y))) < 0:
                raise ValueError(f"classes are 0, 1, …, or {IGNORED} where none counts; a label is negative")
            return y
        if y.ndim < 2 or not xp.isdtype(y.dtype, "real floating"):
            raise ValueError(
                f"'cross-entropy' takes integer classes (N, …) or probabilities (N, …, C), "
                f"not {y.dtype} {tuple(y.shape)}"
            )
        total = xp.sum(y, axis=-1)
        wrong = xp.minimum(xp.abs(total - 1.0), xp.abs(total))
        if not scalar(xp.max(wrong)) < 1e-3:
            raise ValueError("the probabilities of a position must sum to 1, or be all 0 where it does not count")
        return y

    def check(self, shape: Shape, y: Any) -> None:
        if tuple(y.shape) != (shape[:-1] if _are_classes(y) else shape):
            raise ValueError(
                f"outputs of shape {shape} take classes (integers) of shape {shape[:-1]}, or probabilities of shape "
                f"{shape}, not labels of {y.dtype} and shape {tuple(y.shape)}"
            )
        if _are_classes(y) and scalar(namespace(y).max(y)) >= shape[-1]:
            raise ValueError(f"there are {shape[-1]} classes, 0 to {shape[-1] - 1}, and a label beyond them")

    def tokens(self, y: Any) -> int:
        xp = namespace(y)
        counted = y != IGNORED if _are_classes(y) else xp.any(y != 0.0, axis=-1)
        return int(xp.sum(xp.astype(counted, xp.int64)))

    def entries(self, y: Any) -> int:
        """Probabilities of a position are one label, as a class is."""
        return self.tokens(y)

    def elements(self, y: Any, classes: int) -> int:
        return self.tokens(y) * classes

    def _target(self, f: Any, y: Any) -> Any:
        """Probabilities like f; one of them 1 where y is a class."""
        if not _are_classes(y):
            return y
        xp = namespace(f)
        return xp.astype(y[..., None] == xp.arange(f.shape[-1], dtype=y.dtype, device=device(f)), f.dtype)

    def _counts(self, f: Any, y: Any) -> Any:
        """1 where a position counts, else 0: (N, …, 1)."""
        if not _are_classes(y):
            return namespace(f).sum(y, axis=-1, keepdims=True)
        return namespace(f).astype(y != IGNORED, f.dtype)[..., None]

    def _probabilities(self, f: Any, y: Any) -> Any:
        """softmax(f), and 0 where y does not count."""
        xp = namespace(f)
        p = xp.exp(f - xp.max(f, axis=-1, keepdims=True))
        p /= xp.sum(p, axis=-1, keepdims=True)
        return p if y is None else p * self._counts(f, y)


def _are_classes(y: Any) -> bool:
    return namespace(y).isdtype(y.dtype, "integral")
