"""Adam with the square of the batch's gradient at labels drawn from the model.

    s  = (c Σₙ ∇ℓₙ)²,   ℓₙ at a label y ~ e^{−ℓ}      E[s] = c diag F: diag F / B for a mean over B samples
    m ← β₁ m + (1 − β₁) g,      v ← β₂ v + (1 − β₂) s
    x ← x − η m̂ / (v̂ᵃ + ε) − ηωx                       m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ);   a = ½

The expectation is that of a sum of independent gradients whose means are 0. With a = ½ the step is √B times longer than
with the Fisher's own diagonal, ``adam_true_fisher``, and the estimate is noisier; this is the form that is met in code.

F. Kunstner, L. Balles & P. Hennig, *NeurIPS* 2019, arXiv:1905.12558;  D. P. Kingma & J. Ba, arXiv:1412.6980.
Shapes: x, g, m, v, s are (P,).   Cost of a step: about two gradients, and O(P).
"""

from typing import Any

from refopt.fisher_type import Estimate, Params, needs, stepped, updated
from refopt.moments import State, init
from refopt.sampled import Draw

__all__ = ["Params", "State", "init", "needs", "step", "update"]

squared = lambda point, labels: point.vjp(point.c * point.scores(labels)) ** 2

ESTIMATE = Estimate("adam-true-fisher-batch", "batch's gradient", squared)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    return stepped(ESTIMATE, problem, state, params, draw, donate)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, squares: Any = None
) -> State:
    """squares: (c Σₙ ∇ℓₙ)² (P,) at the drawn labels, their mean where there are several sets."""
    return updated(ESTIMATE, state, grad, params, squares, donate)
