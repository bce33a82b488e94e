"""Modified Newton: a multiple of the identity, raised until Cholesky's factorisation succeeds, and a line search.

    τ = 0, β‖Hₖ‖, 2β‖Hₖ‖, 4β‖Hₖ‖, …   the first with   LLᵀ = Hₖ + τI            Hₖ = ∇²f(xₖ)
    LLᵀ pₖ = −gₖ
    xₖ₊₁ = xₖ + αₖ pₖ              αₖ satisfying the strong Wolfe conditions

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §3.4 (Algorithm 3.3).
Shapes: x, g, p are (n,); H and L are (n, n).   Cost of a step: n³/3 flops for each τ that is tried.

p is always a direction of descent. Where H ≻ 0 it is Newton's, and convergence is quadratic.

Deviations from the book, with reasons:
- β is relative to ‖H‖ (Frobenius), so that the units of f and x do not matter.
- Where H = 0, τ = ‖g‖ makes a step of unit length.
- A factorisation that succeeds by rounding only, H being singular, counts as failed: nothing limits its step.
- τ does not start from the smallest diagonal entry: a single failed factorisation is cheap.
- Beside a saddle, where p has no more than 1e-12 of the whole decrease left to gain, the step goes along the lowest
  eigenvector: see ``refopt.departure``.
"""

from typing import NamedTuple

from refopt.newton_type import State, downhill, init, predicted, resume
from refopt.ops import Choice, Symmetric, Vector, absolute, cholesky, diagonal, dot, eps, frobenius, norm
from refopt.problem import Problem
from refopt.subproblem import solve

__all__ = ["Params", "State", "direction", "init", "predicted", "resume", "step"]


class Params(NamedTuple):
    beta: float = 1e-3  #: the first τ > 0, as a part of ‖H‖
    search: Choice = 0  #: "strong-wolfe", "hager-zhang", "armijo" or "fixed"
    c1: float = 1e-4  #: sufficient decrease
    c2: float = 0.9  #: curvature
    trials: int = 40  #: evaluations of f in one search


def step(problem: Problem, state: State, params: Params) -> State:
    p, _ = direction(state.B, state.g, params.beta)
    return downhill(problem, state, p, params.search, params.c1, params.c2, params.trials, 1.0)


def direction(H: Symmetric, g: Vector, beta: float) -> tuple[Vector, float]:
    """p = −(H + τI)⁻¹g, and τ."""
    tau, first = 0.0, beta * frobenius(H) or norm(g) or 1.0
    p, ok = raised(H, tau, g)
    while not ok and tau < 1e9 * first:
        tau = max(2.0 * tau, first)
        p, ok = raised(H, tau, g)
    return p, tau


def raised(H: Symmetric, tau: float, g: Vector) -> tuple[Vector, bool]:
    """p = −(H + τI)⁻¹g, and whether H + τI ≻ 0 beyond rounding: −gᵀp, its curvature along p, against Σ Hᵢᵢpᵢ²."""
    L, ok = cholesky(H, tau)
    if not ok:
        return -g, False
    p = -solve(L, g)
    return p, -dot(g, p) >= 10.0 * eps(g) * dot(absolute(diagonal(H)) * p, p)
