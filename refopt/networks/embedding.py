"""Embedding: y = W[x], the row of W for each index.

    ẏ = Ẇ[x]        ∇W: row i is the sum of u where x = i

Like a linear layer on indicator vectors. An output layer ``Linear(d, V, bias=False, shared_as=…)`` may share W under
the same name: then ∇W is the sum of both.   Shapes: x (N, …) integers, y (N, …, d), W (V, d).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from refopt.networks.layer import Layer, Shape
from refopt.ops import device, namespace, scalar


@dataclass(frozen=True)
class Embedding(Layer):
    """y = W[x].   shared_as: a name; all layers that share W under one name have one W."""

    vocabulary: int
    features: int
    shared_as: str = ""

    @property
    def takes_indices(self) -> bool:
        return True

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        return {"W": (self.vocabulary, self.features)}

    @property
    def shared(self) -> dict[str, str]:
        return {"W": self.shared_as}

    def initial(self, rng: np.random.Generator) -> tuple[Any, ...]:
        """Standard normal."""
        return (rng.standard_normal((self.vocabulary, self.features)),)

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        xp = namespace(x)
        if not xp.isdtype(x.dtype, "integral"):
            raise TypeError(f"an embedding takes integers, not {x.dtype}")
        if scalar(xp.min(x)) < 0 or scalar(xp.max(x)) >= self.vocabulary:
            raise ValueError(f"the indices of {self} are 0 to {self.vocabulary - 1}; one lies outside")
        return self._rows(p[0], x), x

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        return self._rows(dp[0], tape), None

    def sums(self, tape: Any, u: Any) -> tuple[Any, ...]:
        xp, stack = namespace(u), u.shape[: u.ndim - tape.ndim - 1]
        index = xp.reshape(tape, (1, -1))
        return (self._scattered(index, xp.reshape(u, (*stack, 1, -1, self.features)))[..., 0, :, :],)

    def rsums(self, tape: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, ...]:
        return self.sums(tape, du)

    def per_sample(self, tape: Any, u: Any) -> tuple[Any, ...]:
        xp, stack, N = namespace(u), u.shape[: u.ndim - tape.ndim - 1], tape.shape[0]
        return (self._scattered(xp.reshape(tape, (N, -1)), xp.reshape(u, (*stack, N, -1, self.features))),)

    def _rows(self, W: Any, x: Any) -> Any:
        xp = namespace(W)
        return xp.reshape(xp.take(W, xp.reshape(x, (-1,)), axis=0), (*x.shape, self.features))

    def _scattered(self, index: Any, u: Any) -> Any:
        """(…, B, V, d): for each of B rows the sums of u (…, B, M, d) by index (B, M)."""
        xp = namespace(u)
        if xp is np:
            return self._scattered_rows(index, u)
        one = index[..., None] == xp.arange(self.vocabulary, dtype=index.dtype, device=device(index))
        return xp.matrix_transpose(xp.astype(one, u.dtype)) @ u

    def _scattered_rows(self, index: np.ndarray, u: np.ndarray) -> np.ndarray:
        """The same without the matrix of indicators: rows of u in the order of their targets, summed run by run."""
        (B, M), V = index.shape, self.vocabulary
        target = (index + V * np.arange(B)[:, None]).ravel()
        order = np.argsort(target, kind="stable")
        rows, starts = np.unique(target[order], return_index=True)
        out = np.zeros((*u.shape[:-3], B * V, self.features), dtype=u.dtype)
        out[..., rows, :] = np.add.reduceat(u.reshape(*u.shape[:-3], B * M, -1)[..., order, :], starts, axis=-2)
        return out.reshape(*u.shape[:-3], B, V, self.features)
