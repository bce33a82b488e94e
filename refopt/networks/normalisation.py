"""Layer normalisation: y = w h + b, where h is x with mean 0 and variance 1 over its last axis.

    h = ρ(x − x̄),  ρ = (var x + ε)^{−½}      ḣ = P ẋ,  P u = ρ(u − ū − h·mean(hu))

P is symmetric, so that v = Pu too; and with ρ̇ = −ρ² mean(hẋ),

    R{v} = ρ̇/ρ v + ρ(u̇ − mean u̇ − ḣ·mean(hu) − h·mean(ḣu + hu̇))

J. L. Ba, J. R. Kiros & G. E. Hinton, arXiv:1607.06450.   Shapes: x, h, y (N, …, d); w, b (d,).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from refopt.networks.layer import Layer, Shape
from refopt.networks.sequential import Chain
from refopt.ops import namespace


@dataclass(frozen=True)
class LayerNorm(Chain):
    """y = w h + b over the last axis, of length `features`; the variance is biased, as in PyTorch."""

    features: int
    eps: float = 1e-5

    @cached_property
    def children(self) -> tuple[Layer, ...]:
        return Normalise(self.eps), Scale(self.features)

    @property
    def named(self) -> tuple[tuple[str, Layer], ...]:
        return tuple(("", child) for child in self.children)


@dataclass(frozen=True)
class Normalise(Layer):
    """h = (x − mean x)/√(var x + ε), over the last axis."""

    eps: float = 1e-5

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        centred = x - _mean(x)
        rho = (_mean(centred * centred) + self.eps) ** -0.5
        h = centred * rho
        return h, (h, rho)

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        h, rho = tape
        dh = self.pull(p, tape, dx)
        return dh, (dh, -rho * _mean(h * dx))

    def pull(self, p: Any, tape: Any, u: Any) -> Any:
        h, rho = tape
        return rho * (u - _mean(u) - h * _mean(h * u))

    def rpull(self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, Any]:
        (h, rho), (dh, relative) = tape, dtape
        along = _mean(h * u)
        v = rho * (u - _mean(u) - h * along)
        dv = relative * v + rho * (du - _mean(du) - dh * along - h * _mean(dh * u + h * du))
        return v, dv


@dataclass(frozen=True)
class Scale(Layer):
    """y = w x + b, entry by entry of the last axis."""

    features: int

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        return {"w": (self.features,), "b": (self.features,)}

    def initial(self, rng: np.random.Generator) -> tuple[Any, ...]:
        """Ones and zeros."""
        return np.ones(self.features), np.zeros(self.features)

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        if x.shape[-1] != self.features:
            raise ValueError(f"{self} takes inputs of shape (N, …, {self.features}), not {tuple(x.shape)}")
        return p[0] * x + p[1], x

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        dy = dp[0] * tape + dp[1]
        return dy if dx is None else dy + p[0] * dx, dx

    def pull(self, p: Any, tape: Any, u: Any) -> Any:
        return p[0] * u

    def rpull(self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, Any]:
        return p[0] * u, p[0] * du + dp[0] * u

    def sums(self, tape: Any, u: Any) -> tuple[Any, ...]:
        return self._summed(u * tape, tape.ndim - 1), self._summed(u, tape.ndim - 1)

    def rsums(self, tape: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, ...]:
        w = du * tape if dtape is None else du * tape + u * dtape
        return self._summed(w, tape.ndim - 1), self._summed(du, tape.ndim - 1)

    def per_sample(self, tape: Any, u: Any) -> tuple[Any, ...]:
        return self._summed(u * tape, tape.ndim - 2), self._summed(u, tape.ndim - 2)

    def _summed(self, z: Any, axes: int) -> Any:
        """The sum over that many axes before the last."""
        return namespace(z).sum(z, axis=tuple(range(-1 - axes, -1))) if axes else z


def _mean(x: Any) -> Any:
    return namespace(x).mean(x, axis=-1, keepdims=True)
