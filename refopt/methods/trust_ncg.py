"""Trust-region Newton by conjugate gradients (Steihaug): large problems, whose Hessian is seen through products only.

    pₖ ≈ argmin mₖ(p) = fₖ + gₖᵀp + ½ pᵀHₖp   subject to  ‖p‖ ≤ Δₖ            Hₖ = ∇²f(xₖ)

by conjugate gradients from p = 0, which stop where ‖Hₖp + gₖ‖ ≤ min(½, √(‖gₖ‖/max‖g‖)) ‖gₖ‖, or go to the boundary
along the direction that leaves the region, or along which the curvature is not positive. The region follows the ratio
of actual to predicted decrease.

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §7.1 (Algorithm 7.2) and §4.1;
T. Steihaug, *SIAM J. Numer. Anal.* 20 (1983) 626.
Shapes: x, g, p are (n,).   Cost of a step: a product Hd and 10n flops for each iteration, no more than 10n of them.

Deviations from the book, with reasons:
- The forcing term compares ‖g‖ with the longest gradient seen, not with 1, so that the units of f do not matter.
- Where no more than 1e-12 of the whole decrease is left to gain, conjugate gradients on another right-hand side look
  for negative curvature, and a step along it leaves the saddle: the gradient cannot show it there.
- The radius starts at the length of x₀ (1 at the origin). Bad steps, rounding, trials that are not finite:
  ``refopt.region``.
"""

from refopt.inexact import State, adopted, begun, predicted, resume, tried
from refopt.krylov import forcing_term, steihaug
from refopt.ops import Vector
from refopt.problem import Problem
from refopt.region import Params

__all__ = ["Params", "State", "init", "predicted", "resume", "step"]


def init(problem: Problem, x: Vector, params: Params) -> State:
    return planned(problem, begun(problem, x, params.radius))


def step(problem: Problem, state: State, params: Params) -> State:
    if not state.promised > 0.0:
        state = planned(problem, state)
    return planned(problem, tried(problem, state, params.eta, params.max_radius))


def planned(problem: Problem, state: State) -> State:
    """The state with its next step."""
    forcing = forcing_term(state.g, state.steep)
    return adopted(problem, state, steihaug(problem, state.x, state.g, state.radius, forcing))
