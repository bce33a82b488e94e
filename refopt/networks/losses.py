"""Losses ℓ(f, y) of a network's outputs f, each the negative logarithm of a density of y, up to a constant.

    "squared"               ½‖f − y‖²                          y ~ N(f, I)
    "mse"                   ‖f − y‖²                           y ~ N(f, ½I)
    "cross-entropy"         −Σ y_c log p_c,  p = softmax(f)    y ~ p;        y a class, or probabilities
    "binary-cross-entropy"  Σ log(1 + e^f) − yf                y ~ Bernoulli(σ(f)), entry by entry
    "poisson"               Σ e^f − yf                         y ~ Poisson(e^f), entry by entry
    "gaussian"              Σ ½(s + (y − μ)²e⁻ˢ),  f = (μ, s)  y ~ N(μ, eˢ), entry by entry

Every loss knows ∇ℓ and ∇²ℓ in f, columns r_k with ∇²ℓ = Σ σ_k r_k r_kᵀ (σ_k = ±1), the same for its Fisher matrix
E[∇ℓ ∇ℓᵀ], the expectation over y ~ e^{−ℓ}, and how to draw such a y. In all but the last f are the natural parameters
of an exponential family: there ∇²ℓ does not depend on y and is the Fisher matrix, and all signs are +.

    cross-entropy    ∇ℓ = p − y,       ∇²ℓ = diag(p) − ppᵀ, of rank C − 1
    binary, poisson  ∇ℓ = m − y,       ∇²ℓ = diag(v),   m, v mean and variance: σ(f) and σ(1 − σ), or both e^f
    gaussian         ∇ℓ = (−de⁻ˢ, ½ − ½d²e⁻ˢ),   ∇²ℓ = e⁻ˢ(1, d; d, ½d²),   F = diag(e⁻ˢ, ½),   d = y − μ

Shapes: f (N, …, C). The axes between are positions (tokens): a sample has one term for each, and ℓₙ is their sum. y
is like f; for the gaussian half as long, f holding all μ and then all s; for cross-entropy integers (N, …) or
probabilities like f. A position whose class is −100, or whose probabilities are all 0, does not count. v may be
a stack, (S, N, …, C).

P. McCullagh & J. A. Nelder, *Generalized Linear Models*, 2nd ed., §2.2;  J. Martens, *JMLR* 21 (2020) 146, §9.2.
"""

from math import sqrt
from typing import Any

import numpy as np

from refopt.networks.cross_entropy import CrossEntropy
from refopt.networks.functions import sigmoid
from refopt.networks.layer import Shape
from refopt.networks.loss import Loss, diagonal, like
from refopt.ops import namespace, scalar


class Squared(Loss):
    """½w‖f − y‖²: "squared" for w = 1, "mse" for w = 2."""

    def __init__(self, name: str, weight: float) -> None:
        self.name, self.weight = name, weight

    def values(self, f: Any, y: Any) -> Any:
        r = f - y
        return 0.5 * self.weight * namespace(f).sum(r * r, axis=-1)

    def grad(self, f: Any, y: Any) -> Any:
        return self.weight * (f - y)

    def fisher_vp(self, f: Any, y: Any, v: Any) -> Any:
        return self.weight * v

    def fisher_factor(self, f: Any, y: Any) -> Any:
        return diagonal(sqrt(self.weight) * namespace(f).ones_like(f))

    def sample(self, f: Any, y: Any, rng: np.random.Generator) -> Any:
        return f + like(f, rng.standard_normal(f.shape)) / sqrt(self.weight)


class Natural(Loss):
    """Σ A(f) − yf, entry by entry, with mean m = A′(f) and variance v = A″(f)."""

    def variance(self, f: Any) -> Any:
        raise NotImplementedError

    def fisher_vp(self, f: Any, y: Any, v: Any) -> Any:
        return self.variance(f) * v

    def fisher_factor(self, f: Any, y: Any) -> Any:
        return diagonal(namespace(f).sqrt(self.variance(f)))


class BinaryCrossEntropy(Natural):
    """Σ log(1 + e^f) − yf."""

    name = "binary-cross-entropy"
    least, most = 0.0, 1.0

    def values(self, f: Any, y: Any) -> Any:
        xp, zero = namespace(f), namespace(f).zeros_like(f)
        return xp.sum((1.0 - y) * xp.logaddexp(f, zero) + y * xp.logaddexp(-f, zero), axis=-1)

    def grad(self, f: Any, y: Any) -> Any:
        return sigmoid(f) - y

    def variance(self, f: Any) -> Any:
        return sigmoid(f) * sigmoid(-f)

    def margins(self, f: Any, y: Any) -> Any:
        """The least (2y − 1)f of a position; −|f| where y is between 0 and 1."""
        xp = namespace(f)
        return xp.min(xp.where((y == 0.0) | (y == 1.0), (2.0 * y - 1.0) * f, -xp.abs(f)), axis=-1)

    def sample(self, f: Any, y: Any, rng: np.random.Generator) -> Any:
        return namespace(f).astype(like(f, rng.random(f.shape)) < sigmoid(f), f.dtype)


class Poisson(Natural):
    """Σ e^f − yf."""

    name = "poisson"
    least = 0.0

    def values(self, f: Any, y: Any) -> Any:
        xp = namespace(f)
        return xp.sum(xp.exp(f) - y * f, axis=-1)

    def grad(self, f: Any, y: Any) -> Any:
        return namespace(f).exp(f) - y

    def variance(self, f: Any) -> Any:
        return namespace(f).exp(f)

    def sample(self, f: Any, y: Any, rng: np.random.Generator) -> Any:
        """Counts by inversion, as sums of counts of rates below 16, so that nothing underflows."""
        xp = namespace(f)
        rate = xp.exp(f)
        pieces = 1 + int(scalar(xp.max(rate)) / 16.0)
        rate = rate / pieces
        level = like(f, rng.random((pieces, *f.shape)))
        chance = xp.exp(-rate) * xp.ones_like(level)
        total, count, k = chance, xp.zeros_like(level), 0
        while k < 200 and bool(xp.any(level >= total)):
            count = count + xp.astype(level >= total, f.dtype)
            k += 1
            chance = chance * rate / k
            total = total + chance
        return xp.sum(count, axis=0)


class Gaussian(Loss):
    """Σ ½(s + (y − μ)²e⁻ˢ), f = (μ, s)."""

    name = "gaussian"

    def values(self, f: Any, y: Any) -> Any:
        d, s, w = self._parts(f, y)
        return 0.5 * namespace(f).sum(s + d * d * w, axis=-1)

    def grad(self, f: Any, y: Any) -> Any:
        d, _, w = self._parts(f, y)
        return namespace(f).concat([-d * w, 0.5 - 0.5 * d * d * w], axis=-1)

    def hvp(self, f: Any, y: Any, v: Any) -> Any:
        d, _, w = self._parts(f, y)
        a, b = self._halves(v)
        return namespace(f).concat([w * (a + d * b), w * d * (a + 0.5 * d * b)], axis=-1)

    def factor(self, f: Any, y: Any) -> tuple[Any, list[float]]:
        """e⁻ˢ(1, d; d, ½d²) = e⁻ˢ(1, d)(1, d)ᵀ − ½d²e⁻ˢ(0, 1)(0, 1)ᵀ."""
        xp = namespace(f)
        d, _, w = self._parts(f, y)
        root = xp.sqrt(w)
        first = xp.concat([diagonal(root), diagonal(root * d)], axis=-1)
        second = diagonal(root * d / sqrt(2.0))
        second = xp.concat([xp.zeros_like(second), second], axis=-1)
        return xp.concat([first, second], axis=0), [1.0] * d.shape[-1] + [-1.0] * d.shape[-1]

    def fisher_vp(self, f: Any, y: Any, v: Any) -> Any:
        a, b = self._halves(v)
        return namespace(f).concat([namespace(f).exp(-self._halves(f)[1]) * a, 0.5 * b], axis=-1)

    def fisher_factor(self, f: Any, y: Any) -> Any:
        xp = namespace(f)
        s = self._halves(f)[1]
        return diagonal(xp.concat([xp.exp(-0.5 * s), sqrt(0.5) * xp.ones_like(s)], axis=-1))

    def sample(self, f: Any, y: Any, rng: np.random.Generator) -> Any:
        mu, s = self._halves(f)
        return mu + namespace(f).exp(0.5 * s) * like(f, rng.standard_normal(mu.shape))

    def check(self, shape: Shape, y: Any) -> None:
        if shape[-1] % 2 or tuple(y.shape) != (*shape[:-1], shape[-1] // 2):
            raise ValueError(
                f"'gaussian' takes outputs (N, …, 2C), all means and then all log-variances, and labels (N, …, C); "
                f"given were outputs {shape} and labels {tuple(y.shape)}"
            )

    def _halves(self, f: Any) -> tuple[Any, Any]:
        return f[..., : f.shape[-1] // 2], f[..., f.shape[-1] // 2 :]

    def _parts(self, f: Any, y: Any) -> tuple[Any, Any, Any]:
        mu, s = self._halves(f)
        return y - mu, s, namespace(f).exp(-s)


_LOSSES = (
    Squared("squared", 1.0), Squared("mse", 2.0), CrossEntropy(), BinaryCrossEntropy(), Poisson(), Gaussian(),
)  # fmt: skip
LOSSES = {loss.name: loss for loss in _LOSSES}


def named(loss: Any) -> Loss:
    """The loss of a name; a loss is itself."""
    if isinstance(loss, Loss):
        return loss
    if loss not in LOSSES:
        raise ValueError(f"no loss is called {loss!r}; the losses are {', '.join(map(repr, LOSSES))}")
    return LOSSES[loss]
