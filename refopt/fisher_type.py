"""What Adam with labels drawn from the model is, whichever squares it averages: all of a step but these squares.

    m ← β₁ m + (1 − β₁) g,      v ← β₂ v + (1 − β₂) s,      x ← x − η m̂ / (v̂ᵃ + ε) − ηωx

s estimates the diagonal of the Fisher matrix: ``adam_true_fisher`` and ``adam_true_fisher_batch`` say how.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from refopt.moments import learnt, of_squares
from refopt.sampled import Draw, Needs, at, like, required, stacked_labels, supervised


class Params(NamedTuple):
    step: float = 0.001  #: η
    beta1: float = 0.9  #: β₁
    beta2: float = 0.999  #: β₂
    eps: float = 1e-8  #: ε
    exponent: float = 0.5  #: a
    samples: int = 1  #: labels drawn for each sample
    weight_decay: float = 0.0  #: ω


class Estimate(NamedTuple):
    """s of one set of labels."""

    name: str  #: of the method
    whose: str  #: gradient is squared, in words
    squares: Callable[[Any, Any], Any]  #: the problem at a point, labels ↦ s (P,)


def needs(params: Params) -> Needs:
    return Needs(labels=params.samples)


def stepped(
    estimate: Estimate, problem: Any, state: Any, params: Params, draw: Draw | None = None, donate: Any = False
) -> Any:
    """A step with the mean of s over the sets of labels of the draw."""
    supervised(problem, estimate.name)
    point = at(problem, state.x, draw)
    labels = stacked_labels(problem, draw, estimate.name)
    squares = sum(estimate.squares(point, drawn) for drawn in labels) / len(labels)
    return updated(estimate, state, point.grad, params, squares, donate)._replace(f=point.fun)


def updated(estimate: Estimate, state: Any, grad: Any, params: Params, squares: Any, donate: Any = False) -> Any:
    like(grad, state)
    squares = required(squares, f"the squares of the {estimate.whose}, squares=", estimate.name)
    return learnt(state, grad, params, of_squares, squares, donate=donate)
