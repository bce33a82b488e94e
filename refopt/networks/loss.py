"""What every loss knows, and what several of them share; their formulas are in ``refopt.networks.losses``."""

from math import inf, prod
from typing import Any

import numpy as np

from refopt.networks.layer import Shape
from refopt.ops import device, namespace


class Loss:
    """What all losses share; C numbers f at one position are one random variable."""

    name = ""
    least, most = -inf, inf  #: what a label may be

    def values(self, f: Any, y: Any) -> Any:
        """ℓ at every position, (N, …)."""
        raise NotImplementedError

    def grad(self, f: Any, y: Any) -> Any:
        """∇ℓ, like f."""
        raise NotImplementedError

    def hvp(self, f: Any, y: Any, v: Any) -> Any:
        """∇²ℓ v, like v."""
        return self.fisher_vp(f, y, v)

    def factor(self, f: Any, y: Any) -> tuple[Any, list[float]]:
        """Columns (K, N, …, C) and signs with ∇²ℓ = Σ σ_k r_k r_kᵀ at every position."""
        columns = self.fisher_factor(f, y)
        return columns, [1.0] * columns.shape[0]

    def fisher_vp(self, f: Any, y: Any, v: Any) -> Any:
        """Fv, like v. Of y it matters only which positions count."""
        raise NotImplementedError

    def fisher_factor(self, f: Any, y: Any) -> Any:
        """Columns (K, N, …, C) with F = Σ r_k r_kᵀ at every position."""
        raise NotImplementedError

    def sample(self, f: Any, y: Any, rng: np.random.Generator) -> Any:
        """Labels like y, drawn from the density e^{−ℓ}; where y does not count, y itself."""
        raise NotImplementedError

    def margins(self, f: Any, y: Any) -> Any:
        """(N, …): where positive, ℓ(tf, y) falls to 0 as t → ∞; −∞ where labels are no classes, and it never does."""
        return 0.0 * f[..., 0] - inf

    def labels(self, y: Any, dtype: Any) -> Any:
        """Labels as this loss takes them: numbers, (N, …, C)."""
        xp = namespace(y)
        if not xp.isdtype(y.dtype, "real floating"):
            y = xp.astype(y, dtype)
        if self.least > -inf and bool(xp.any((y < self.least) | (y > self.most))):
            allowed = f"from {self.least:g}" + (f" to {self.most:g}" if self.most < inf else " on")
            raise ValueError(f"{self.name!r} takes labels {allowed}, and of these one is outside")
        return y[:, None] if y.ndim == 1 else y

    def check(self, shape: Shape, y: Any) -> None:
        """Whether labels, as ``labels`` gave them, fit outputs of a shape (N, …, C)."""
        if tuple(y.shape) != shape:
            raise ValueError(f"{self.name!r} takes labels like the outputs, of shape {shape}, not {tuple(y.shape)}")

    def tokens(self, y: Any) -> int:
        """How many positions there are in all."""
        return prod(y.shape[:-1])

    def entries(self, y: Any) -> int:
        """How many labels there are in all: numbers, or classes that count."""
        return prod(y.shape)

    def elements(self, y: Any, classes: int) -> int:
        """How many numbers there are to predict."""
        return self.entries(y)


def diagonal(d: Any) -> Any:
    """(C, …, C): the diagonal matrices of d (…, C), column by column."""
    xp, count = namespace(d), d.shape[-1]
    one = xp.eye(count, dtype=d.dtype, device=device(d))
    return xp.reshape(one, (count, *(1,) * (d.ndim - 1), count)) * d


def like(f: Any, drawn: np.ndarray) -> Any:
    """Numbers drawn on the host, as an array of the kind, type and device of f."""
    xp = namespace(f)
    return xp.asarray(drawn, dtype=f.dtype) if xp is np else xp.asarray(drawn, dtype=f.dtype, device=device(f))


def token_by_token(columns: Any) -> Any:
    """(T·K, N, …, C) of columns (K, N, …, C): terms of different tokens never meet in one cotangent."""
    xp, (K, N, *positions, C) = namespace(columns), columns.shape
    T = prod(positions)
    if T == 1:
        return columns
    one = xp.reshape(xp.eye(T, dtype=columns.dtype, device=device(columns)), (T, 1, 1, T, 1))
    apart = one * xp.reshape(columns, (1, K, N, T, C))
    return xp.reshape(apart, (T * K, N, *positions, C))
