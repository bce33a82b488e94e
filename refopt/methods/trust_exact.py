"""Trust-region Newton: the exact minimiser of the second-order model inside a ball that the model has earned.

    pₖ = argmin mₖ(p) = fₖ + gₖᵀp + ½ pᵀBₖp   subject to  ‖p‖ ≤ Δₖ          Bₖ = ∇²f(xₖ)
    ρₖ = (fₖ − f(xₖ + pₖ)) / (mₖ(0) − mₖ(pₖ))
    Δₖ₊₁ = ¼ ‖pₖ‖ if ρₖ < ¼,   min(2Δₖ, Δ_max) if ρₖ > ¾ and ‖pₖ‖ = Δₖ,   Δₖ otherwise
    xₖ₊₁ = xₖ + pₖ if ρₖ > η,   xₖ otherwise

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §4.1 (the method) and §4.3 (the subproblem).
Shapes: x, g, p are (n,); B is (n, n), symmetric.   Cost of a step: a few times n³/3 flops.

Deviations from the book, with reasons:
- The radius starts at a fifth of the length of x₀ (1 at the origin), so that the units of x do not matter, and because
  a first step that is too long ends on plateaus.
- After a bad step the region is ¼ ‖pₖ‖, not ¼ Δₖ; where f has lost the digits of the decrease, slopes decide; and a
  trial may not be finite: see ``refopt.region``.
"""

from typing import NamedTuple

from refopt.ops import Vector, norm
from refopt.problem import Problem
from refopt.region import State, predicted, tried
from refopt.subproblem import more_sorensen

__all__ = ["Params", "State", "init", "predicted", "resume", "step"]


class Params(NamedTuple):
    radius: float = 0.0  #: the first Δ; 0 stands for ‖x₀‖/5, or 1 at the origin
    max_radius: float = 1e100  #: no region is larger than this
    eta: float = 0.1  #: a step is taken if ρ > η
    accuracy: float = 0.1  #: of ‖p‖ = Δ


def init(problem: Problem, x: Vector, params: Params) -> State:
    radius = params.radius if params.radius > 0.0 else 0.2 * norm(x) or 1.0
    return State(x, problem.fun(x), problem.grad(x), problem.hess(x), radius, 0, True, True, 1, 1, 1)


def step(problem: Problem, state: State, params: Params) -> State:
    p, lam, promised = more_sorensen(state.g, state.B, state.radius, params.accuracy)
    return tried(problem, state, p, promised, lam > 0.0, params.eta, params.max_radius)


def resume(state: State) -> State:
    """Ready to try again, with the region as large as at the start."""
    return state._replace(radius=0.2 * norm(state.x) or 1.0, rejected=0, ok=True)
