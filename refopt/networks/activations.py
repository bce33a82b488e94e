"""Activations, component by component: y = φ(x).

    ẏ = φ′(x) ẋ        v = φ′(x) u        R{v} = φ′(x) u̇ + φ″(x) ẋ u

    Tanh       φ′ = 1 − y²                    φ″ = −2yφ′
    Sigmoid    φ′ = y(1 − y)                  φ″ = (1 − 2y)φ′
    Softplus   φ = log(1 + eˣ)                φ′ = σ(x), the sigmoid;   φ″ = σ(1 − σ)
    ReLU       φ = max(x, 0)                  φ′ = 1 where x > 0, else 0, at x = 0 too;   φ″ = 0
    GELU       φ = xΦ(x), Φ the normal cdf    φ′ = Φ + xN(x);   φ″ = (2 − x²)N(x),   N the normal density

The GELU is the exact one, by the error function (Hendrycks & Gimpel, arXiv:1606.08415), not its approximation by tanh.
"""

from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

from refopt.networks.functions import normal_cdf, sigmoid
from refopt.networks.layer import Layer
from refopt.ops import namespace


class Activation(Layer):
    """y = φ(x); those who inherit say φ, the slope s = φ′, and φ″ẋ, given y, s and ẏ = sẋ as well."""

    by_input = True  #: the derivatives need x, not only y
    scales = True

    def value(self, x: Any) -> Any:
        raise NotImplementedError

    def bend(self, x: Any, y: Any, s: Any, dx: Any, dy: Any) -> Any:
        raise NotImplementedError

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        y = self.value(x)
        return y, (x if self.by_input else None, y)

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        s = self.slope(*tape)
        dy = s * dx
        return dy, (s, dx, dy)

    def pull(self, p: Any, tape: Any, u: Any) -> Any:
        return self.slope(*tape) * u

    def rpull(self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, Any]:
        s = dtape[0]
        dv = self.bend(*tape, *dtape)
        dv *= u
        dv += s * du
        return s * u, dv


@dataclass(frozen=True)
class Tanh(Activation):
    """y = tanh x."""

    by_input = False

    def value(self, x: Any) -> Any:
        return namespace(x).tanh(x)

    def slope(self, x: Any, y: Any) -> Any:
        return 1.0 - y * y

    def bend(self, x: Any, y: Any, s: Any, dx: Any, dy: Any) -> Any:
        return -2.0 * y * dy


@dataclass(frozen=True)
class Sigmoid(Activation):
    """y = 1/(1 + e⁻ˣ)."""

    by_input = False

    def value(self, x: Any) -> Any:
        return sigmoid(x)

    def slope(self, x: Any, y: Any) -> Any:
        return y * (1.0 - y)

    def bend(self, x: Any, y: Any, s: Any, dx: Any, dy: Any) -> Any:
        return (1.0 - 2.0 * y) * dy


@dataclass(frozen=True)
class Softplus(Activation):
    """y = log(1 + eˣ)."""

    def value(self, x: Any) -> Any:
        xp = namespace(x)
        return xp.logaddexp(x, xp.zeros_like(x))

    def slope(self, x: Any, y: Any) -> Any:
        return sigmoid(x)

    def bend(self, x: Any, y: Any, s: Any, dx: Any, dy: Any) -> Any:
        return (1.0 - s) * dy


@dataclass(frozen=True)
class ReLU(Activation):
    """y = max(x, 0)."""

    def value(self, x: Any) -> Any:
        xp = namespace(x)
        return xp.maximum(x, xp.zeros_like(x))

    def slope(self, x: Any, y: Any) -> Any:
        return namespace(x).astype(x > 0.0, x.dtype)

    def bend(self, x: Any, y: Any, s: Any, dx: Any, dy: Any) -> Any:
        return namespace(x).zeros_like(x)


@dataclass(frozen=True)
class GELU(Activation):
    """y = xΦ(x)."""

    def value(self, x: Any) -> Any:
        return x * normal_cdf(x)

    def slope(self, x: Any, y: Any) -> Any:
        return normal_cdf(x) + x * _density(x)

    def bend(self, x: Any, y: Any, s: Any, dx: Any, dy: Any) -> Any:
        return (2.0 - x * x) * _density(x) * dx


def _density(x: Any) -> Any:
    return namespace(x).exp(-0.5 * x * x) / sqrt(2.0 * pi)
