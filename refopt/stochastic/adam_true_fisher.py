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

from typing import Any

from refopt.fisher_type import Estimate, Params, needs, stepped, updated
from refopt.moments import State, init
from refopt.sampled import Draw

__all__ = ["Params", "State", "init", "needs", "step", "update"]

squared = lambda point, labels: point.c * point.squared_grad(labels)

ESTIMATE = Estimate("adam-true-fisher", "samples' gradients", squared)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    return stepped(ESTIMATE, problem, state, params, draw, donate)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, squares: Any = None
) -> State:
    """squares: c Σₙ (∇ℓₙ)² (P,) at the drawn labels, their mean where there are several sets."""
    return updated(ESTIMATE, state, grad, params, squares, donate)
