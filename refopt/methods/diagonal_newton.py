"""Diagonal Newton: each variable takes a Newton step of its own.

    dᵢ = max(|(Hₖ)ᵢᵢ|, ε maxⱼ|(Hₖ)ⱼⱼ|),  no more than c              Hₖ = ∇²f(xₖ)
    xₖ₊₁ = xₖ + η pₖ,    pᵢ = −gᵢ/dᵢ,  no longer than u

S. Becker & Y. LeCun, Improving the convergence of back-propagation learning with second-order methods, *Proc. 1988
Connectionist Models Summer School*, Morgan Kaufmann 1989.
Shapes: x, g, p, d are (n,).   Cost of a step: O(n) flops beside the Hessian.

On a quadratic with a diagonal Hessian one step is enough. In general this is Jacobi's iteration: it converges near a
minimum only if the spectral radius of I − ηD⁻¹H is below 1.

Deviation from the source: a step after which f or its slope is not finite is cut to a tenth, and again if need be.
"""

from typing import NamedTuple

from refopt.linesearch import FIXED
from refopt.newton_type import State, along, init, predicted, resume
from refopt.ops import Symmetric, Vector, absolute, diagonal, larger, norm_inf, positive
from refopt.problem import Problem

__all__ = ["Params", "State", "direction", "init", "predicted", "resume", "step"]


class Params(NamedTuple):
    step: float = 0.5  #: η
    floor: float = 1e-8  #: ε, as a part of the largest entry
    clip: float = 1e30  #: c, the largest curvature that is believed
    clip_update: float = 1e30  #: u, before η is applied
    trials: int = 20  #: of a step, shortened while something is not finite


def step(problem: Problem, state: State, params: Params) -> State:
    p = direction(state.B, state.g, params.floor, params.clip, params.clip_update)
    return along(problem, state, p, FIXED, 0.0, 0.0, params.trials, params.step)


def direction(H: Symmetric, g: Vector, floor: float, clip: float, clip_update: float) -> Vector:
    """pᵢ = −gᵢ/dᵢ, clipped."""
    d = absolute(diagonal(H))
    ones = positive(0.0 * d)
    d = smaller(larger(d, (floor * norm_inf(d) or 1.0) * ones), clip * ones)
    return larger(smaller(-g / d, clip_update * ones), -clip_update * ones)


def smaller(x: Vector, y: Vector) -> Vector:
    """min(xᵢ, yᵢ), component by component."""
    return -larger(-x, -y)
