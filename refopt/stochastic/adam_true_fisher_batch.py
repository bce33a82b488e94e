"""Adam with the square of the batch's gradient at labels drawn from the model.

    s  = (c Σₙ ∇ℓₙ)²,   ℓₙ at a label y ~ e^{−ℓ}      E[s] = c diag F: diag F / B for a mean over B samples
    m ← β₁ m + (1 − β₁) g,      v ← β₂ v + (1 − β₂) s
    x ← x − η m̂ / (v̂ᵃ + ε) − ηωx                       m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ);   a = ½

The expectation is that of a sum of independent gradients whose means are 0. With a = ½ the step is √B times longer than
with the Fisher's own diagonal, ``adam_true_fisher``, and the estimate is noisier; this is the form that is met in code.

F. Kunstner, L. Balles & P. Hennig, *NeurIPS* 2019, arXiv:1905.12558;  D. P. Kingma & J. Ba, arXiv:1412.6980.
Shapes: x, g, m, v, s are (P,).   Cost of a step: about two gradients, and O(P).
"""

from typing import Any, NamedTuple

from refopt.moments import State, init, learnt, of_squares
from refopt.sampled import Draw, Needs, at, like, required, stacked_labels, supervised

__all__ = ["Params", "State", "init", "needs", "step", "update"]


class Params(NamedTuple):
    step: float = 0.001  #: η
    beta1: float = 0.9  #: β₁
    beta2: float = 0.999  #: β₂
    eps: float = 1e-8  #: ε
    exponent: float = 0.5  #: a
    samples: int = 1  #: labels drawn for each sample
    weight_decay: float = 0.0  #: ω


def needs(params: Params) -> Needs:
    return Needs(labels=params.samples)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    supervised(problem, "adam-true-fisher-batch")
    point = at(problem, state.x, draw)
    labels = stacked_labels(problem, draw, "adam-true-fisher-batch")
    squares = sum(point.vjp(point.c * point.scores(drawn)) ** 2 for drawn in labels) / len(labels)
    return update(state, point.grad, params, draw, donate, squares)._replace(f=point.fun)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, squares: Any = None
) -> State:
    """squares: (c Σₙ ∇ℓₙ)² (P,) at the drawn labels, their mean where there are several sets."""
    like(grad, state)
    squares = required(squares, "the squares of the batch's gradient, squares=", "adam-true-fisher-batch")
    return learnt(state, grad, params, of_squares, squares, donate=donate)
