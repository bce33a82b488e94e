"""What the methods share that see the Hessian through products only.

Each has its own ``planned(problem, state, params)``, which finds the next step: a state knows what its model promises
before the step is tried.
"""

from typing import NamedTuple

from refopt.departure import depart, little, reach
from refopt.krylov import Inner, guarded
from refopt.linesearch import Point, search
from refopt.ops import Choice, Vector, dot, norm
from refopt.problem import Problem
from refopt.region import attempt, first_radius


class Way(NamedTuple):
    """A direction to search along."""

    p: Vector
    bend: float  #: pᵀHp of a way out of a saddle; 0 of other directions
    gain: float  #: what the Newton step would gain, at least; ∞ beside negative curvature
    products: int


def way(problem: Problem, x: Vector, f: float, g: Vector, first: float, found: Inner) -> Way:
    """The direction found, or, where hardly anything is left to gain, the way out of a saddle, if this is one."""
    step = guarded(problem, x, g, 1.0, found, little(problem, x, f, first))
    bend = -2.0 * (step.promised + dot(g, step.p)) if step.edge else 0.0
    if bend < 0.0:
        length = reach(problem, x, f, first, bend)
        return Way(length * step.p, length * bend * length, step.gain, step.products)
    return Way(step.p, 0.0, step.gain, step.products)


def ahead(
    problem: Problem, x: Vector, f: float, g: Vector, p: Vector, bend: float, kind: Choice, c1: float, c2: float,
    trials: int,
) -> Point:  # fmt: skip
    """Where the search of this kind along p ends, or the way out of a saddle, bend < 0."""
    if bend < 0.0:
        return depart(problem, x, f, g, p, bend, trials, 0.0)
    return search(problem, x, f, g, p, kind, c1, c2, trials, 1.0)


def followed(lam: float, ratio: float, a: float, b: float) -> float:
    """The damping after a step with the reduction ratio ρ: λa/b where ρ > ¾, λb/a where ρ < ¼.   a < b."""
    if ratio > 0.75:
        return a * lam / b
    return b * lam / a if ratio < 0.25 else lam


# --- trust regions ---------------------------------------------------------------------------------------------------


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    p: Vector  #: the next step
    promised: float  #: m(0) − m(p); 0 before p is known
    edge: bool  #: ‖p‖ = Δ
    gain: float  #: what a step without a boundary would gain, at least; ∞ beside negative curvature
    first: float  #: f(x₀)
    steep: float  #: the longest gradient so far
    radius: float
    rejected: int  #: steps refused in a row
    taken: bool
    ok: bool  #: the region can still shrink, and refusals are not due to noise
    nfev: int
    njev: int
    nhvp: int


def begun(problem: Problem, x: Vector, radius: float) -> State:
    """The state at x₀, without a step yet."""
    f, g = problem.fun(x), problem.grad(x)
    return State(x, f, g, 0.0 * g, 0.0, False, 0.0, f, norm(g), first_radius(x, radius), 0, True, True, 1, 1, 0)


def tried(problem: Problem, old: State, eta: float, max_radius: float) -> State:
    """The state after the step was tried, without the next."""
    trial = attempt(
        problem, old.x, old.f, old.g, old.p, old.promised, old.edge, old.radius, old.rejected, eta, max_radius
    )
    return old._replace(
        x=trial.x, f=trial.f, g=trial.g, steep=max(old.steep, norm(trial.g)), radius=trial.radius,
        rejected=trial.rejected, taken=trial.taken, ok=trial.ok, nfev=old.nfev + trial.nfev, njev=old.njev + trial.njev,
    )  # fmt: skip


def adopted(problem: Problem, state: State, found: Inner) -> State:
    """The state with this step next, or a way out of a saddle; a smaller region leaves no less to gain."""
    step = guarded(problem, state.x, state.g, state.radius, found, little(problem, state.x, state.f, state.first))
    gain = step.gain if state.taken else max(step.gain, state.gain)
    return state._replace(p=step.p, promised=step.promised, edge=step.edge, gain=gain, nhvp=state.nhvp + step.products)


def predicted(state: State) -> float:
    """What a step without a boundary would gain, at least; infinite beside negative curvature."""
    return state.gain


def resume(state: State) -> State:
    """Ready to try again, with the region as large as at the start; the step is found anew."""
    return state._replace(promised=0.0, radius=first_radius(state.x, 0.0), rejected=0, ok=True)
