"""Trust-region Newton by Lanczos (GLTR): the region's problem solved exactly in a growing Krylov space.

    pₖ = argmin mₖ(p) = fₖ + gₖᵀp + ½ pᵀHₖp   subject to  ‖p‖ ≤ Δₖ,  p ∈ span{gₖ, Hₖgₖ, …, Hₖʲ⁻¹gₖ}

with Hₖ = ∇²f(xₖ) and j so large that ‖(Hₖ + λI)p + gₖ‖ ≤ min(½, √(‖gₖ‖/max‖g‖)) ‖gₖ‖. Inside the region it is the
step of conjugate gradients; on the boundary, where Steihaug's stops at once, it goes on to the best point there.

N. I. M. Gould, S. Lucidi, M. Roma & Ph. L. Toint, Solving the trust-region subproblem using the Lanczos method,
*SIAM J. Optim.* 9 (1999) 504;  J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §7.1 and §4.1.
Shapes: x, g, p are (n,).   Cost of a step: j products with H and 4j²n flops, j³n/12 more on the boundary; memory 2jn.

Deviations from the paper, with reasons:
- The basis is kept, and orthogonalised against all of itself: rounding spoils neither the tridiagonal problem nor the
  step, and no second pass of products is needed.
- The small problem is solved by Moré and Sorensen's method for dense matrices (``refopt.subproblem``).
- Where no more than 1e-12 of the whole decrease is left to gain, conjugate gradients on another right-hand side look
  for negative curvature, and a step along it leaves the saddle: the gradient cannot show it there.
- The radius starts at the length of x₀ (1 at the origin). Bad steps, rounding, trials that are not finite:
  ``refopt.region``.
"""

from typing import NamedTuple

from refopt.inexact import State, adopted, begun, predicted, resume, tried
from refopt.krylov import forcing_term, gltr
from refopt.ops import Vector
from refopt.problem import Problem

__all__ = ["Params", "State", "init", "predicted", "resume", "step"]


class Params(NamedTuple):
    radius: float = 0.0  #: the first Δ; 0 stands for ‖x₀‖, or 1 at the origin
    max_radius: float = 1e100  #: no region is larger than this
    eta: float = 0.1  #: a step is taken if ρ > η
    most: int = 200  #: the largest dimension of a Krylov space


def init(problem: Problem, x: Vector, params: Params) -> State:
    return planned(problem, begun(problem, x, params.radius), params.most)


def step(problem: Problem, state: State, params: Params) -> State:
    if not state.promised > 0.0:
        state = planned(problem, state, params.most)
    return planned(problem, tried(problem, state, params.eta, params.max_radius), params.most)


def planned(problem: Problem, state: State, most: int) -> State:
    """The state with its next step."""
    forcing = forcing_term(state.g, state.steep)
    return adopted(problem, state, gltr(problem, state.x, state.g, state.radius, forcing, most))
