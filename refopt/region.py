"""Trust regions: what becomes of a step p from x that promises m(0) − m(p), whichever method has found it.

    ρ  = (f(x) − f(x + p)) / (m(0) − m(p))
    Δ₊ = ¼ ‖p‖ if ρ < ¼,   min(2Δ, Δ_max) if ρ > ¾ and ‖p‖ = Δ,   Δ otherwise
    x₊ = x + p if ρ > η,   x otherwise

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §4.1.

Deviations from the book, with reasons:
- It has ¼ Δ where ρ < ¼: where p has ended inside, that region could hold the same step again.
- Where f has lost the digits of the decrease, f(x) − f(x + p) is replaced by the trapezoid rule −½ (g + g₊)ᵀp.
- A trial that is not finite is refused and shrinks the radius to a tenth of the step.
"""

from typing import Any, NamedTuple

from refopt.linesearch import noise_floor
from refopt.ops import Symmetric, Vector, dot, eps, finite, frobenius, norm, norm_inf
from refopt.problem import Problem
from refopt.subproblem import promise


class Params(NamedTuple):
    radius: float = 0.0  #: the first Δ; 0 stands for ‖x₀‖, or 1 at the origin
    max_radius: float = 1e100  #: no region is larger than this
    eta: float = 0.1  #: a step is taken if ρ > η


class Trial(NamedTuple):
    """Where a step has led, and the next region."""

    x: Vector
    f: float
    g: Vector
    radius: float
    rejected: int  #: steps refused in a row
    taken: bool
    ok: bool  #: the region can still shrink, and refusals are not due to noise
    nfev: int
    njev: int


def attempt(
    problem: Problem, x: Vector, f: float, g: Vector, p: Vector, promised: float, edge: bool, radius: float,
    rejected: int, eta: float, max_radius: float,
) -> Trial:  # fmt: skip
    """Try a step.   ``edge``: it ends on the boundary.   Cost: one f, and one gradient if it is taken."""
    x_new = x + p
    f_new, ef, njev = problem.fun(x_new), noise_floor(problem, x, f), 0
    whole = finite(f_new)
    if whole and promised > 0.0:
        ratio = (f - f_new) / promised
        drowned = promised <= 10.0 * ef and f_new <= f + 10.0 * ef
        if drowned or ratio > eta:
            g_new, njev = problem.grad(x_new), 1
        if drowned:
            ratio = -0.5 * dot(g + g_new, p) / promised
        if ratio > eta and finite(norm_inf(g_new)):
            grown = resized(radius, norm(p), edge, ratio, max_radius)
            if promised < 0.25 * ef and grown > radius:
                grown = min(min(10.0, (ef / promised) ** 0.5) * radius, max_radius)
            return Trial(x_new, f_new, g_new, grown, 0, True, True, 1, njev)
    return refused(Trial(x, f, g, radius, rejected, False, True, 1, njev), norm(p), whole, promised <= 10.0 * ef)


def refused(old: Trial, length: float, whole: bool, drowned: bool) -> Trial:
    """A step of this length is not taken.   ``whole``: f is finite there; ``drowned``: what it promised is noise."""
    shrunk = (0.25 if whole else 0.1) * length
    room = shrunk > eps(old.x) * norm(old.x)
    rejected = old.rejected + 1
    ok = room and rejected < (10 if drowned else 30)
    return old._replace(radius=shrunk if room else old.radius, rejected=rejected, taken=False, ok=ok)


def resized(radius: float, length: float, edge: bool, ratio: float, max_radius: float) -> float:
    """The radius after an accepted step."""
    if ratio < 0.25:
        return 0.25 * length
    if ratio > 0.75 and edge:
        return min(2.0 * radius, max_radius)
    return radius


def first_radius(x: Vector, radius: float) -> float:
    """The radius that was asked for; 0 stands for ‖x₀‖, or 1 at the origin, so that the units of x do not matter."""
    return radius if radius > 0.0 else norm(x) or 1.0


# --- the methods that carry the Hessian ------------------------------------------------------------------------------


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    B: Symmetric  #: the Hessian
    radius: float
    rejected: int  #: steps refused in a row
    taken: bool
    ok: bool  #: the region can still shrink, and refusals are not due to noise
    nfev: int
    njev: int
    nhev: int


def init(problem: Problem, x: Vector, params: Any) -> State:
    f, g, B = problem.fun(x), problem.grad(x), problem.hess(x)
    return State(x, f, g, B, first_radius(x, params.radius), 0, True, True, 1, 1, 1)


def tried(problem: Problem, old: State, p: Vector, promised: float, edge: bool, eta: float, max_radius: float) -> State:
    """The state after a step was tried.   Cost: one f, and if it is taken one gradient and one Hessian."""
    x, f, g, B, nhev = old.x, old.f, old.g, old.B, old.nhev
    trial = attempt(problem, x, f, g, p, promised, edge, old.radius, old.rejected, eta, max_radius)
    if trial.taken:
        B, nhev = problem.hess(trial.x), nhev + 1
        if not finite(frobenius(B)):
            back = Trial(x, f, g, old.radius, old.rejected, False, True, trial.nfev, trial.njev)
            trial, B = refused(back, norm(p), False, False), old.B
    return State(
        trial.x, trial.f, trial.g, B, trial.radius, trial.rejected, trial.taken, trial.ok,
        old.nfev + trial.nfev, old.njev + trial.njev, nhev,
    )  # fmt: skip


def predicted(state: State) -> float:
    """What the unrestricted Newton step would gain, ½ gᵀB⁻¹g; infinite where B has a negative eigenvalue."""
    return promise(state.g, state.B)


def resume(state: State) -> State:
    """Ready to try again, with the region as large as at the start."""
    return state._replace(radius=first_radius(state.x, 0.0), rejected=0, ok=True)
