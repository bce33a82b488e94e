"""Adam: running means of the gradient and of its square.

    m ← β₁ m + (1 − β₁) g,      v ← β₂ v + (1 − β₂) g²
    m̂ = m / (1 − β₁ᵗ),         v̂ = v / (1 − β₂ᵗ)              t: steps with this one
    x ← x − η m̂ / (v̂ᵃ + ε) − ηωx      a = ½; component by component

D. P. Kingma & J. Ba, Adam: a method for stochastic optimization, arXiv:1412.6980, §2 and §3.
Shapes: x, g, m, v are (P,).   Cost of a step: O(P).

v is a mean of squares of the gradients of *batches*, at the labels given: not the diagonal of a Fisher matrix, which
``adam_true_fisher`` takes. The weight decay ω, 0 in the source, is apart from the gradient, as in ``adamw``.
"""

from typing import NamedTuple

from refopt.moments import State, init, step, update

__all__ = ["Params", "State", "init", "step", "update"]


class Params(NamedTuple):
    step: float = 0.001  #: η
    beta1: float = 0.9  #: β₁
    beta2: float = 0.999  #: β₂
    eps: float = 1e-8  #: ε
    exponent: float = 0.5  #: a
    weight_decay: float = 0.0  #: ω
