"""Saddle-free Newton: the Hessian with its eigenvalues made positive, so that saddles repel instead of attracting.

    |H| = Σᵢ |λᵢ| vᵢvᵢᵀ,    |λᵢ| ≥ ε max|λ|              Hₖ = ∇²f(xₖ) = Σᵢ λᵢ vᵢvᵢᵀ
    pₖ = −|Hₖ|⁻¹ gₖ
    xₖ₊₁ = xₖ + αₖ pₖ              αₖ satisfying the strong Wolfe conditions

With a radius, the trust-region form: pₖ minimises gₖᵀp subject to pᵀ|Hₖ|p ≤ Δ² where the whole step is longer,

    pₖ = −Δ |Hₖ|⁻¹gₖ / √(gₖᵀ|Hₖ|⁻¹gₖ)

Y. N. Dauphin et al., Identifying and attacking the saddle point problem in high-dimensional non-convex optimization,
*NeurIPS* 27 (2014), arXiv:1406.2572;  J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §3.4.
Shapes: x, g, p are (n,); H is (n, n), symmetric.   Cost of a step: 9n³ flops.

Where H ≻ 0 this is Newton's method. Along an eigenvector of negative curvature Newton's step climbs towards the
saddle, this one descends from it.

Deviations from the paper, with reasons:
- A line search makes every step lower f; search = "fixed" and step give the paper's form.
- A point exactly on the stable manifold of a saddle has no slope away from it. Beside the saddle, where p has no more
  than 1e-12 of the whole decrease left to gain, the step goes along the lowest eigenvector: see ``refopt.departure``.
"""

from typing import NamedTuple

from refopt.newton_type import State, downhill, init, predicted, resume
from refopt.ops import Choice, Symmetric, Vector, absolute, dot, eigh, larger, norm, norm_inf, positive, rmatvec
from refopt.problem import Problem

__all__ = ["Params", "State", "direction", "init", "predicted", "resume", "step"]


class Params(NamedTuple):
    step: float = 1.0  #: the first α of a search, or the only one
    floor: float = 1e-12  #: ε
    radius: float = 0.0  #: Δ, in the units of √f; 0: none
    search: Choice = 0  #: "strong-wolfe", "hager-zhang", "armijo" or "fixed"
    c1: float = 1e-4  #: sufficient decrease
    c2: float = 0.9  #: curvature
    trials: int = 40  #: evaluations of f in one search


def step(problem: Problem, state: State, params: Params) -> State:
    p = within(direction(state.B, state.g, params.floor), state.g, params.radius)
    return downhill(problem, state, p, params.search, params.c1, params.c2, params.trials, params.step)


def direction(H: Symmetric, g: Vector, floor: float) -> Vector:
    """p = −|H|⁻¹g = −Σᵢ vᵢ vᵢᵀg / max(|λᵢ|, ε max|λ|);  where H = 0, of unit length."""
    values, V = eigh(H)
    least = floor * norm_inf(values) or norm(g) or 1.0
    return -rmatvec(V, (V @ g) / larger(absolute(values), least * positive(0.0 * values)))


def within(p: Vector, g: Vector, radius: float) -> Vector:
    """p, or where p|H|p = −gᵀp > Δ² > 0, as much of it as makes them equal."""
    square = -dot(g, p)
    if 0.0 < radius * radius < square:
        return (radius / square**0.5) * p
    return p
