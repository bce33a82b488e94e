"""Newton's method, pure: the stationary point of the second-order model, wherever that lies.

    Hₖ pₖ = −gₖ              Hₖ = ∇²f(xₖ)
    xₖ₊₁ = xₖ + η pₖ

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §3.3.
Shapes: x, g, p are (n,); H is (n, n), symmetric.   Cost of a step: 2n³/3 flops.

On a quadratic one step with η = 1 is enough; near a minimum with H ≻ 0 each step doubles the correct digits; with η < 1
the error falls by the factor 1 − η. It asks nothing of f, so it may climb, and it is drawn to saddles and maxima as to
minima: for anything but study take ``trust-exact`` or ``modified-newton``.

Deviation from the book: a step after which f or its slope is not finite is cut to a tenth, and again if need be.
"""

from typing import NamedTuple

from refopt.linesearch import FIXED
from refopt.newton_type import State, along, init, predicted, resume
from refopt.ops import Symmetric, Vector, solve_symmetric
from refopt.problem import Problem

__all__ = ["Params", "State", "init", "predicted", "resume", "solution", "step"]


class Params(NamedTuple):
    step: float = 1.0  #: η
    trials: int = 20  #: of a step, shortened while something is not finite


def step(problem: Problem, state: State, params: Params) -> State:
    p, ok = solution(state.B, state.g)
    if not ok:
        return state._replace(taken=False, ok=False)
    return along(problem, state, p, FIXED, 0.0, 0.0, params.trials, params.step)


def solution(H: Symmetric, g: Vector) -> tuple[Vector, bool]:
    """p = −H⁻¹g, and whether H is regular."""
    return solve_symmetric(H, 0.0, -g)
