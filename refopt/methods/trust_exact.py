"""Trust-region Newton: the exact minimiser of the second-order model inside a ball that the model has earned.

    pₖ = argmin mₖ(p) = fₖ + gₖᵀp + ½ pᵀBₖp   subject to  ‖p‖ ≤ Δₖ          Bₖ = ∇²f(xₖ)
    ρₖ = (fₖ − f(xₖ + pₖ)) / (mₖ(0) − mₖ(pₖ))
    Δₖ₊₁ = ¼ ‖pₖ‖ if ρₖ < ¼,   min(2Δₖ, Δ_max) if ρₖ > ¾ and ‖pₖ‖ = Δₖ,   Δₖ otherwise
    xₖ₊₁ = xₖ + pₖ if ρₖ > η,   xₖ otherwise

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §4.1 (the method) and §4.3 (the subproblem).
Shapes: x, g, p are (n,); B is (n, n), symmetric.   Cost of a step: a few times n³/3 flops.

Deviations from the book, with reasons:
- Where f has lost the digits of the decrease, fₖ − f(xₖ + pₖ) is replaced by the trapezoid rule −½ (g + g₊)ᵀp.
- A trial that is not finite counts as ρ = −1 and shrinks the radius to a tenth of the step.
- The radius starts at a fifth of the length of x₀ (1 at the origin), so that the units of x do not matter, and because
  a first step that is too long ends on plateaus.
"""

from math import inf
from typing import NamedTuple

from refopt.linesearch import noise_floor
from refopt.ops import Symmetric, Vector, cholesky, dot, eps, finite, frobenius, norm, norm_inf, solve_lower
from refopt.problem import Problem
from refopt.subproblem import more_sorensen


class Params(NamedTuple):
    radius: float = 0.0  #: the first Δ; 0 stands for ‖x₀‖/5, or 1 at the origin
    max_radius: float = 1e100  #: no region is larger than this
    eta: float = 0.1  #: a step is taken if ρ > η
    accuracy: float = 0.1  #: of ‖p‖ = Δ


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    B: Symmetric
    radius: float
    rejected: int  #: steps refused in a row
    taken: bool
    ok: bool  #: the region can still shrink, and refusals are not due to noise
    nfev: int
    njev: int
    nhev: int


def init(problem: Problem, x: Vector, params: Params) -> State:
    radius = params.radius if params.radius > 0.0 else 0.2 * norm(x) or 1.0
    return State(x, problem.fun(x), problem.grad(x), problem.hess(x), radius, 0, True, True, 1, 1, 1)


def step(problem: Problem, state: State, params: Params) -> State:
    x, f, g, B = state.x, state.f, state.g, state.B
    p, lam, promised = more_sorensen(g, B, state.radius, params.accuracy)
    x_new = x + p
    f_new = problem.fun(x_new)
    nfev, njev, nhev = state.nfev + 1, state.njev, state.nhev
    ef = noise_floor(problem, x, f)
    ratio, g_new, seen = -1.0, g, False
    if finite(f_new) and promised > 0.0:
        ratio = (f - f_new) / promised
        if promised <= 10.0 * ef and f_new <= f + 10.0 * ef:
            g_new, seen, njev = problem.grad(x_new), True, njev + 1
            ratio = -0.5 * dot(g + g_new, p) / promised
    if ratio > params.eta:
        if not seen:
            g_new, njev = problem.grad(x_new), njev + 1
        B_new, nhev = problem.hess(x_new), nhev + 1
        if finite(norm_inf(g_new)) and finite(frobenius(B_new)):
            radius = resized(state.radius, norm(p), lam, ratio, params.max_radius)
            return State(x_new, f_new, g_new, B_new, radius, 0, True, True, nfev, njev, nhev)
    shrunk = (0.25 if finite(f_new) else 0.1) * norm(p)
    room = shrunk > eps(x) * norm(x)
    rejected = state.rejected + 1
    ok = room and rejected < (5 if promised <= 10.0 * ef else 30)
    return State(x, f, g, B, shrunk if room else state.radius, rejected, False, ok, nfev, njev, nhev)


def resized(radius: float, length: float, lam: float, ratio: float, max_radius: float) -> float:
    """The radius after an accepted step."""
    if ratio < 0.25:
        return 0.25 * length
    if ratio > 0.75 and lam > 0.0:
        return min(2.0 * radius, max_radius)
    return radius


def predicted(state: State) -> float:
    """What the unrestricted Newton step would gain, ½ gᵀB⁻¹g; infinite where B has a negative eigenvalue."""
    tiny = eps(state.g) ** 0.5 * frobenius(state.B)
    L, ok = cholesky(state.B, tiny)
    if not ok:
        return inf if tiny > 0.0 or norm_inf(state.g) > 0.0 else 0.0
    exact, definite = cholesky(state.B, 0.0)
    w = solve_lower(exact if definite else L, state.g)
    return 0.5 * dot(w, w)


def resume(state: State) -> State:
    """Ready to try again, with the region as large as at the start."""
    return state._replace(radius=0.2 * norm(state.x) or 1.0, rejected=0, ok=True)
