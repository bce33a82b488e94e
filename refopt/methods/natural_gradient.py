"""Natural gradient: steepest descent in the metric of a Fisher matrix.

    (Fₖ + λI) pₖ = −gₖ              Fₖ = F(xₖ), symmetric positive semidefinite
    xₖ₊₁ = xₖ + η pₖ

S. Amari, Natural gradient works efficiently in learning, *Neural Computation* 10 (1998) 251.
Shapes: x, g, p are (n,); F is (n, n), symmetric.   Cost of a step: 2n³/3 flops.

The steps do not depend on how the model is parametrised, to first order in η, and exactly where the change of
parameters is affine: with x = My the metric becomes MᵀFM, the gradient Mᵀg, and the step M⁻¹p. Where F is the Hessian
this is damped Newton.

Deviation from the source: a step after which f or its slope is not finite is cut to a tenth, and again if need be.
"""

from typing import NamedTuple

from refopt.linesearch import FIXED
from refopt.newton_type import State, along, init, predicted, resume
from refopt.ops import Symmetric, Vector, solve_symmetric
from refopt.problem import Problem

__all__ = ["Params", "State", "direction", "init", "predicted", "resume", "step"]


class Params(NamedTuple):
    step: float = 1.0  #: η
    damping: float = 0.0  #: λ, in the units of F
    trials: int = 20  #: of a step, shortened while something is not finite


def step(problem: Problem, state: State, params: Params) -> State:
    """One step; ``problem.hess`` is F."""
    p, ok = direction(state.B, state.g, params.damping)
    if not ok:
        return state._replace(taken=False, ok=False)
    return along(problem, state, p, FIXED, 0.0, 0.0, params.trials, params.step)


def direction(F: Symmetric, g: Vector, damping: float) -> tuple[Vector, bool]:
    """p = −(F + λI)⁻¹g, and whether that exists."""
    return solve_symmetric(F, damping, -g)
