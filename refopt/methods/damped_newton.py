"""Damped Newton: a constant multiple of the identity is added to the Hessian.

    (Hₖ + λI) pₖ = −gₖ              Hₖ = ∇²f(xₖ)
    xₖ₊₁ = xₖ + η pₖ

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §3.4 (adding a multiple of the identity).
Shapes: x, g, p are (n,); H is (n, n), symmetric.   Cost of a step: 2n³/3 flops.

λ → 0 gives Newton's step, λ → ∞ a short one downhill, −g/λ. Each step is the exact trust-region step for its own length
if λ ≥ 0 and H + λI ⪰ 0; it descends whatever g is iff λ > −λ₁(H). With η = 1 convergence to a minimum with H ≻ 0 is
linear, at the rate λ/(λ₁ + λ).

Deviation from the book: a step after which f or its slope is not finite is cut to a tenth, and again if need be.
"""

from typing import NamedTuple

from refopt.linesearch import FIXED
from refopt.newton_type import State, along, init, predicted, resume
from refopt.ops import Symmetric, Vector, solve_symmetric
from refopt.problem import Problem

__all__ = ["Params", "State", "direction", "init", "predicted", "resume", "step"]


class Params(NamedTuple):
    damping: float = 1e-3  #: λ, in the units of the Hessian
    step: float = 1.0  #: η
    trials: int = 20  #: of a step, shortened while something is not finite


def step(problem: Problem, state: State, params: Params) -> State:
    p, ok = direction(state.B, state.g, params.damping)
    if not ok:
        return state._replace(taken=False, ok=False)
    return along(problem, state, p, FIXED, 0.0, 0.0, params.trials, params.step)


def direction(H: Symmetric, g: Vector, damping: float) -> tuple[Vector, bool]:
    """p = −(H + λI)⁻¹g, and whether that exists."""
    return solve_symmetric(H, damping, -g)
