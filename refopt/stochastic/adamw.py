"""AdamW: Adam, with weights that decay apart from the gradient.

    m ← β₁ m + (1 − β₁) g,      v ← β₂ v + (1 − β₂) g²
    m̂ = m / (1 − β₁ᵗ),         v̂ = v / (1 − β₂ᵗ)              t: steps with this one
    x ← x − η m̂ / (√v̂ + ε) − ηωx

I. Loshchilov & F. Hutter, Decoupled weight decay regularization, arXiv:1711.05101, Algorithm 2.
Shapes: x, g, m, v are (P,).   Cost of a step: O(P).

In the source ω is multiplied by the schedule of η alone, here, as in deep-learning frameworks, by η itself.
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
    weight_decay: float = 0.01  #: ω
