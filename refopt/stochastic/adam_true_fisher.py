"""Adam with the diagonal of the Fisher matrix: v is a mean of the squares of *every sample's* gradient, at labels drawn
from the model.

    s  = c Σₙ (∇ℓₙ)²,   ℓₙ at a label y ~ e^{−ℓ}      E[s] = diag F;   c as in the objective, 1/B for a mean
    m ← β₁ m + (1 − β₁) g,      v ← β₂ v + (1 − β₂) s
    x ← x − η m̂ / (v̂ᵃ + ε) − ηωx                       m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ);   a = ½

F. Kunstner, L. Balles & P. Hennig, *NeurIPS* 2019, arXiv:1905.12558 (the Fisher matrix against the empirical one);
D. P. Kingma & J. Ba, arXiv:1412.6980.
Shapes: x, g, m, v, s are (P,).   Cost of a step: about two gradients, and O(P).

Squares of the *batch's* gradient at drawn labels are B times smaller in expectation, for a mean:
``adam_true_fisher_batch``. With a = ½ the step does not change with f → cf, with a = 1 it is the Fisher's natural
gradient, as far as its diagonal goes. A change of ε is a change of η as well: where √v̂ ≪ ε the step is (η/ε)m̂.
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
    supervised(problem, "adam-true-fisher")
    point = at(problem, state.x, draw)
    labels = stacked_labels(problem, draw, "adam-true-fisher")
    squares = point.c / len(labels) * sum(point.squared_grad(drawn) for drawn in labels)
    return update(state, point.grad, params, draw, donate, squares)._replace(f=point.fun)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, squares: Any = None
) -> State:
    """squares: c Σₙ (∇ℓₙ)² (P,) at the drawn labels, their mean where there are several sets."""
    like(grad, state)
    squares = required(squares, "the squares of the samples' gradients, squares=", "adam-true-fisher")
    return learnt(state, grad, params, of_squares, squares, donate=donate)
