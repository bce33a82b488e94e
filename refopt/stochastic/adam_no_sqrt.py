"""Adam without the root: each parameter's step is divided by the mean of squares itself.

    m ← β₁ m + (1 − β₁) g,      v ← β₂ v + (1 − β₂) g²
    m̂ = m / (1 − β₁ᵗ),         v̂ = v / (1 − β₂ᵗ)              t: steps with this one
    x ← x − η m̂ / (v̂ + ε) − ηωx

D. P. Kingma & J. Ba, Adam: a method for stochastic optimization, arXiv:1412.6980, §2 and §3.
Shapes: x, g, m, v are (P,).   Cost of a step: O(P).

Where v̂ stands for the diagonal of a Fisher matrix this is a natural gradient with that diagonal. It is not invariant
under f → cf: a step is c times shorter. For a constant gradient it is ηg/(g² + ε), at most η/2√ε, at |g| = √ε: with
ε = 1e-6 that is 500η (``refopt verify adam-exponent.gain``).
"""

from typing import NamedTuple

from refopt.moments import State, init, step, update

__all__ = ["Params", "State", "init", "step", "update"]


class Params(NamedTuple):
    step: float = 0.001  #: η
    beta1: float = 0.0  #: β₁
    beta2: float = 0.999  #: β₂
    eps: float = 1e-6  #: ε
    exponent: float = 1.0  #: a
    weight_decay: float = 0.0  #: ω
