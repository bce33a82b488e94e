"""Layers that move numbers about: linear maps without weights, and what is added to or put before the tokens.

    Map                 y = Lx        ẏ = Lẋ        v = Lᵀu        R{v} = Lᵀu̇
    Positions           y = x + E     ∇E = Σ u                     E (T, d), learned
    ClassToken          y = (t, x)    ∇t = Σ u₀                    t (d,), the first of T + 1 tokens
    FixedPositions      y = x + E     E of sines and cosines of the place in a grid of h rows and w columns:
                        (sin ωr, cos ωr, sin ωs, cos ωs) for row r, column s, ω = 10000^{−4i/d}, i = 0 … d/4 − 1
    Dropout             y = x m / (1 − rate), m a mask of 0 and 1 that is handed in; without masks y = x

E is that of K. He et al., arXiv:2111.06377, with rows first.   Shapes: tokens x (N, T, d), images (N, C, H, W).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from refopt.networks.layer import Layer, Shape
from refopt.ops import device, namespace


class Map(Layer):
    """y = Lx, and Lᵀu for x of a shape (without the axis of samples); any axes may come before those."""

    def apply(self, x: Any) -> Any:
        raise NotImplementedError

    def adjoint(self, u: Any, shape: Shape) -> Any:
        raise NotImplementedError

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        return self.apply(x), x.shape[1:]

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        return self.apply(dx), None

    def pull(self, p: Any, tape: Any, u: Any) -> Any:
        return self.adjoint(u, tape)

    def rpull(self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, Any]:
        return self.adjoint(u, tape), self.adjoint(du, tape)


@dataclass(frozen=True)
class Flatten(Map):
    """(N, …) → (N, all the rest)."""

    def apply(self, x: Any) -> Any:
        return namespace(x).reshape(x, (x.shape[0], -1))

    def adjoint(self, u: Any, shape: Shape) -> Any:
        return namespace(u).reshape(u, (*u.shape[:-1], *shape))


@dataclass(frozen=True)
class Tokens(Map):
    """Images as tokens, (N, C, H, W) → (N, H·W, C): every pixel is one."""

    def apply(self, x: Any) -> Any:
        xp = namespace(x)
        x = xp.moveaxis(x, -3, -1)
        return xp.reshape(x, (*x.shape[:-3], x.shape[-3] * x.shape[-2], x.shape[-1]))

    def adjoint(self, u: Any, shape: Shape) -> Any:
        xp, (C, H, W) = namespace(u), shape
        return xp.moveaxis(xp.reshape(u, (*u.shape[:-2], H, W, C)), -1, -3)


@dataclass(frozen=True)
class MeanPool(Map):
    """The mean over axes counted from the end: (-2,) for tokens (N, T, d), (-2, -1) for images (N, C, H, W)."""

    axes: tuple[int, ...] = (-2,)

    def apply(self, x: Any) -> Any:
        return namespace(x).mean(x, axis=self.axes)

    def adjoint(self, u: Any, shape: Shape) -> Any:
        xp = namespace(u)
        lead = u.shape[: u.ndim - len(shape) + len(self.axes)]
        kept = [1 if k - len(shape) in self.axes else n for k, n in enumerate(shape)]
        spread = xp.reshape(u / prod(shape[axis] for axis in self.axes), (*lead, *kept))
        return xp.broadcast_to(spread, (*lead, *shape))


@dataclass(frozen=True)
class SelectToken(Map):
    """One token, (N, T, d) → (N, d); the class token is the first."""

    index: int = 0

    def apply(self, x: Any) -> Any:
        return x[..., self.index, :]

    def adjoint(self, u: Any, shape: Shape) -> Any:
        v = namespace(u).zeros((*u.shape[:-1], *shape), dtype=u.dtype, device=device(u))
        v[..., self.index, :] = u
        return v


@dataclass(frozen=True)
class Positions(Layer):
    """y = x + E, learned."""

    tokens: int
    features: int

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        return {"E": (self.tokens, self.features)}

    def initial(self, rng: np.random.Generator) -> tuple[Any, ...]:
        """Normal with standard deviation 0.02."""
        return (0.02 * rng.standard_normal((self.tokens, self.features)),)

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        if tuple(x.shape[1:]) != (self.tokens, self.features):
            raise ValueError(f"{self} takes (N, {self.tokens}, {self.features}), not {tuple(x.shape)}")
        return x + p[0], x.shape

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        return (namespace(dp[0]).broadcast_to(dp[0], tape) if dx is None else dx + dp[0]), None

    def pull(self, p: Any, tape: Any, u: Any) -> Any:
        return u

    def rpull(self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, Any]:
        return u, du

    def sums(self, tape: Any, u: Any) -> tuple[Any, ...]:
        return (namespace(u).sum(u, axis=-3),)

    def rsums(self, tape: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, ...]:
        return self.sums(tape, du)

    def per_sample(self, tape: Any, u: Any) -> tuple[Any, ...]:
        return (u,)


@dataclass(frozen=True)
class ClassToken(Layer):
    """y = (t, x): a learned token before the others."""

    features: int

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        return {"t": (self.features,)}

    def initial(self, rng: np.random.Generator) -> tuple[Any, ...]:
        """Normal with standard deviation 0.02."""
        return (0.02 * rng.standard_normal(self.features),)

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        return self._before(p[0], x), x

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        return self._before(dp[0], namespace(tape).zeros_like(tape) if dx is None else dx), None

    def pull(self, p: Any, tape: Any, u: Any) -> Any:
        return u[..., 1:, :]

    def rpull(self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, Any]:
        return u[..., 1:, :], du[..., 1:, :]

    def sums(self, tape: Any, u: Any) -> tuple[Any, ...]:
        return (namespace(u).sum(u[..., 0, :], axis=-2),)

    def rsums(self, tape: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, ...]:
        return self.sums(tape, du)

    def per_sample(self, tape: Any, u: Any) -> tuple[Any, ...]:
        return (u[..., 0, :],)

    def _before(self, t: Any, x: Any) -> Any:
        xp = namespace(x)
        return xp.concat([xp.broadcast_to(t, (x.shape[0], 1, self.features)), x], axis=1)


@dataclass(frozen=True)
class FixedPositions(Map):
    """y = x + E for the tokens of a grid, row by row; E (rows·columns, features) of sines and cosines."""

    rows: int
    columns: int
    features: int

    def __post_init__(self) -> None:
        if self.features % 4:
            raise ValueError(f"two sines and two cosines need a multiple of 4 features, not {self.features}")

    @cached_property
    def table(self) -> np.ndarray:
        """E."""
        omega = 10000.0 ** (-4.0 * np.arange(self.features // 4) / self.features)
        r, s = (place.reshape(-1, 1) * omega for place in np.mgrid[: self.rows, : self.columns])
        return np.concatenate([np.sin(r), np.cos(r), np.sin(s), np.cos(s)], axis=1)

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        if tuple(x.shape[1:]) != (self.rows * self.columns, self.features):
            raise ValueError(f"{self} takes (N, {self.rows * self.columns}, {self.features}), not {tuple(x.shape)}")
        return x + namespace(x).asarray(self.table, dtype=x.dtype, device=device(x)), None

    def apply(self, x: Any) -> Any:
        return x

    def adjoint(self, u: Any, shape: Shape) -> Any:
        return u


@dataclass(frozen=True)
class Dropout(Layer):
    """y = x m / (1 − rate).   The mask m, like x, comes as data (``masks``); without masks nothing is dropped."""

    rate: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate < 1.0:
            raise ValueError(f"the rate of Dropout is at least 0 and less than 1, not {self.rate}")

    @property
    def dropouts(self) -> int:
        return 1

    def nest(self, owned: Iterator[Any], masks: Iterator[Any]) -> Any:
        mask = next(masks, None)
        return () if mask is None else (mask,)

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        if not p:
            return x, None
        mask = p[0](x, self.rate) if callable(p[0]) else p[0]
        if tuple(mask.shape) != tuple(x.shape):
            raise ValueError(f"the mask of Dropout has shape {tuple(mask.shape)}, what it masks {tuple(x.shape)}")
        factor = namespace(x).astype(mask, x.dtype) / (1 - self.rate)
        return x * factor, factor

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        return self.pull(p, tape, dx), None

    def pull(self, p: Any, tape: Any, u: Any) -> Any:
        return u if tape is None else u * tape

    def rpull(self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, Any]:
        return self.pull(p, tape, u), self.pull(p, tape, du)
