"""Newton-CG: a line search along Newton's direction, found by conjugate gradients as well as it is worth.

    ‖Hₖpₖ + gₖ‖ ≤ ηₖ ‖gₖ‖,    ηₖ = min(½, √(‖gₖ‖/max‖g‖))              Hₖ = ∇²f(xₖ)
    xₖ₊₁ = xₖ + αₖ pₖ              αₖ satisfying the strong Wolfe conditions

Conjugate gradients start from 0, and stop as well at a direction d without positive curvature: pₖ is then what they
have found so far, or −gₖ if that is nothing. Either is a direction of descent. With ηₖ → 0 convergence is superlinear.

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §7.1 (Algorithm 7.1);
R. S. Dembo, S. C. Eisenstat & T. Steihaug, Inexact Newton methods, *SIAM J. Numer. Anal.* 19 (1982) 400.
Shapes: x, g, p are (n,).   Cost of a step: a product Hd and 10n flops for each of up to 10n inner iterations.

Deviations from the book, with reasons:
- The forcing term compares ‖g‖ with the longest gradient seen, not with 1, so that the units of f do not matter.
- Where −gₖ is taken, the search begins at the length of x (1 at the origin), as no curvature tells how far to go.
- Where no more than 1e-12 of the whole decrease is left to gain, conjugate gradients on another right-hand side look
  for negative curvature, and the step goes along it: see ``refopt.departure``.
"""

from typing import NamedTuple

from refopt.inexact import ahead, way
from refopt.krylov import forcing_term, truncated
from refopt.ops import Choice, Vector, norm
from refopt.problem import Problem


class Params(NamedTuple):
    forcing: float = 0.5  #: η is no larger than this
    search: Choice = 0  #: "strong-wolfe", "hager-zhang", "armijo" or "fixed"
    c1: float = 1e-4  #: sufficient decrease
    c2: float = 0.9  #: curvature
    trials: int = 40  #: evaluations of f in one search


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    p: Vector  #: the next direction
    bend: float  #: pᵀHp of a way out of a saddle; 0 of other directions
    gain: float  #: what the Newton step would gain, at least; ∞ beside negative curvature
    first: float  #: f(x₀)
    steep: float  #: the longest gradient so far
    weak: int  #: searches in a row that did not meet their conditions
    taken: bool  #: the last search lowered f
    ok: bool  #: and it makes sense to go on
    nfev: int
    njev: int
    nhvp: int


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g = problem.fun(x), problem.grad(x)
    return directed(problem, State(x, f, g, g, 0.0, 0.0, f, norm(g), 0, True, True, 1, 1, 0), params.forcing)


def step(problem: Problem, state: State, params: Params) -> State:
    x, f, g, p = state.x, state.f, state.g, state.p
    point = ahead(problem, x, f, g, p, state.bend, params.search, params.c1, params.c2, params.trials)
    weak = 0 if point.wolfe else state.weak + 1
    new = state._replace(
        x=point.x, f=point.f, g=point.g, steep=max(state.steep, norm(point.g)), weak=weak, taken=point.lower,
        ok=point.lower and weak < 3, nfev=state.nfev + point.nfev, njev=state.njev + point.njev,
    )  # fmt: skip
    return directed(problem, new, params.forcing) if point.alpha > 0.0 else new


def directed(problem: Problem, state: State, forcing: float) -> State:
    """The state with its next direction."""
    x, g = state.x, state.g
    newton = truncated(problem, x, g, min(forcing, forcing_term(g, state.steep)))
    p, bend, gain, products = way(problem, x, state.f, g, state.first, newton)
    return state._replace(p=p, bend=bend, gain=gain, nhvp=state.nhvp + products)


def predicted(state: State) -> float:
    """What the Newton step would gain, at least; infinite beside negative curvature."""
    return state.gain


def resume(state: State) -> State:
    """Ready for another search in the same direction."""
    return state._replace(weak=0, ok=True)
