"""Moments of the gradient over samples, batch by batch: mean, second moment, variance, and EF's diagonal.

    s̄ = (1/N) Σ sₙ,   m₂ = (1/N) Σ sₙ²,   var = (1/N) Σ (sₙ − s̄)² = m₂ − s̄²          sₙ = ∇ℓₙ, unreduced

They do not depend on how the data are cut into batches: what is squared is the gradient of each sample, never the mean
over a batch, whose square is smaller by up to the size of the batch. Nor do they depend on the reduction; only the
diagonal of the empirical Fisher matrix, c Σ sₙ², does, with the c of all data.

F. Kunstner, L. Balles & P. Hennig, arXiv:1905.12558, §3.
Cost: one gradient for each batch, and its squares: no gradient per sample is formed for linear maps.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from refopt.curvature.point import expansion
from refopt.ops import Vector, namespace
from refopt.supervised import Supervised


class GradientMoments(NamedTuple):
    """Moments of sₙ over N samples, component by component; `variance` is that of the population, divided by N."""

    samples: int
    mean: Vector
    second_moment: Vector
    variance: Vector
    c: float  #: the factor of the reduction over all N samples

    @property
    def empirical_fisher(self) -> Vector:
        """(P,), the diagonal of c Σ sₙsₙᵀ."""
        return self.c * self.samples * self.second_moment


def gradient_moments(problem: Any, x: Any, batches: Iterable[tuple[Any, Any]] | None = None) -> GradientMoments:
    """Moments of the gradients of the samples at x: of the problem's own, or of all batches (X, y).

    Rounding leaves the variance wrong by about eps times the second moment.
    """
    total: Any = None
    squares: Any = None
    N, inverse = 0, 0.0
    for part in [problem] if batches is None else (of_batch(problem, X, y) for X, y in batches):
        point = expansion(part, x)
        u = point.scores()
        first, second = point.vjp(u), point.squared_vjp(u)
        total = first if total is None else total + first
        squares = second if squares is None else squares + second
        N += point.problem.samples
        inverse += 1.0 / point.c if point.loss.tokens(point.problem.y) else 0.0
        summed = point.problem.reduction == "sum"
    if total is None:
        raise ValueError("there are no batches")
    mean, second = total / N, squares / N
    spread = second - mean * mean
    variance = namespace(spread).where(spread > 0.0, spread, 0.0 * spread)
    return GradientMoments(N, mean, second, variance, 1.0 if summed else 1.0 / max(1.0, inverse))


def of_batch(problem: Any, X: Any, y: Any) -> Supervised:
    """The problem with other data."""
    if not isinstance(problem, Supervised):
        raise TypeError(f"batches (X, y) are data for a refopt.Supervised, not for a {type(problem).__name__}")
    return Supervised(problem.network, problem.loss, X, y, problem.reduction, derivatives=problem.derivatives)
