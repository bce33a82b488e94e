"""SR1: a trust-region method that learns the Hessian by symmetric rank-one updates, negative curvature included.

    pₖ   = argmin mₖ(p) = fₖ + gₖᵀp + ½ pᵀBₖp   subject to  ‖p‖ ≤ Δₖ
    ρₖ   = (fₖ − f(xₖ + pₖ)) / (mₖ(0) − mₖ(pₖ));      xₖ₊₁ = xₖ + pₖ if ρₖ > η,   xₖ otherwise
    yₖ   = ∇f(xₖ + pₖ) − gₖ,   rₖ = yₖ − Bₖpₖ
    Bₖ₊₁ = Bₖ + rₖ rₖᵀ / rₖᵀpₖ      where |rₖᵀpₖ| ≥ skip ‖rₖ‖‖pₖ‖,   Bₖ otherwise

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §6.2; the subproblem exactly, §4.3.
Shapes: x, g, p, r, y are (n,); B is (n, n), symmetric.   Cost of a step: a few times n³/3 flops.

Deviations from the book, with reasons:
- The radius follows the rules of ``refopt.region``, as for every trust-region method here.
- search and step: the step is p times `step`, or where a search along p ends, whose gain then is the actual decrease.
- No update is larger than B/√eps, in which what B has learnt would drown: refused steps can end anywhere.
- B₀ = (10 ‖g₀‖/‖x₀‖) I (denominator 1 at the origin): the units of f and x do not matter, and the first step is a tenth
  as long as x₀, because one that is too long ends on plateaus.
"""

from typing import NamedTuple

from refopt.linesearch import FIXED, search
from refopt.ops import Choice, Symmetric, Vector, dot, eps, finite, frobenius, identity, norm, rank_one
from refopt.problem import Problem
from refopt.region import Trial, attempt, first_radius, refused, resized
from refopt.subproblem import decrease, more_sorensen


class Params(NamedTuple):
    radius: float = 0.0  #: the first Δ; 0 stands for ‖x₀‖, or 1 at the origin
    max_radius: float = 1e100  #: no region is larger than this
    eta: float = 1e-3  #: a step is taken if ρ > η
    skip: float = 1e-8  #: no update while (rᵀp)² < skip² ‖r‖² ‖p‖²
    accuracy: float = 0.1  #: of ‖p‖ = Δ
    search: Choice = 3  #: "fixed": none, the region decides; "strong-wolfe", "hager-zhang" or "armijo" along p
    step: float = 1.0  #: the first α of a search, or the only one
    c1: float = 1e-4  #: sufficient decrease
    c2: float = 0.9  #: curvature
    trials: int = 40  #: evaluations of f in one search


class State(NamedTuple):
    x: Vector
    f: float
    g: Vector
    B: Symmetric
    radius: float
    fresh: bool  #: B has learnt nothing yet
    rejected: int  #: steps refused in a row
    taken: bool
    ok: bool  #: the region can still shrink, and refusals are not due to noise
    nfev: int
    njev: int


def init(problem: Problem, x: Vector, params: Params) -> State:
    f, g = problem.fun(x), problem.grad(x)
    return State(x, f, g, first_guess(x, g) * identity(x), first_radius(x, params.radius), True, 0, True, True, 1, 1)


def first_guess(x: Vector, g: Vector) -> float:
    """The curvature for which the minimiser along −g is a tenth of ‖x‖ away, or a tenth at the origin."""
    return 10.0 * norm(g) / (norm(x) or 1.0) or 1.0


def step(problem: Problem, state: State, params: Params) -> State:
    x, f, g, B, fresh = state.x, state.f, state.g, state.B, state.fresh
    p, lam, promised = more_sorensen(g, B, state.radius, params.accuracy)
    if params.search != FIXED:
        trial = sought(problem, state, p, promised, lam > 0.0, params)
    else:
        if params.step != 1.0:
            p = params.step * p
            promised = decrease(g, B, p)
        trial = attempt(
            problem, x, f, g, p, promised, lam > 0.0, state.radius, state.rejected, params.eta, params.max_radius
        )
    nfev, njev = state.nfev + trial.nfev, state.njev + trial.njev
    s, y = trial.x - x, trial.g - g
    if not trial.taken:
        s, y, njev = p, problem.grad(x + p) - g, njev + 1  # a refused step is the one that B has most to learn from
    if learns(B, s, y, params.skip, fresh):
        B, fresh = update(B, s, y), False
    ok = trial.ok
    return State(trial.x, trial.f, trial.g, B, trial.radius, fresh, trial.rejected, trial.taken, ok, nfev, njev)


def sought(problem: Problem, state: State, p: Vector, promised: float, edge: bool, params: Params) -> Trial:
    """Where a search along the region's step ends; the region grows to hold it."""
    x, f, g = state.x, state.f, state.g
    point = search(problem, x, f, g, p, params.search, params.c1, params.c2, params.trials, params.step)
    length = norm(point.x - x)
    if not point.lower:
        old = Trial(x, f, g, state.radius, state.rejected, False, True, point.nfev, point.njev)
        return refused(old, norm(p), True, False)
    ratio = (f - point.f) / promised if promised > 0.0 else 1.0
    radius = min(max(length, resized(state.radius, length, edge, ratio, params.max_radius)), params.max_radius)
    return Trial(point.x, point.f, point.g, radius, 0, True, True, point.nfev, point.njev)


def learns(B: Symmetric, s: Vector, y: Vector, skip: float, fresh: bool) -> bool:
    """Whether the update is safe: |rᵀs| ≥ skip ‖r‖‖s‖ > 0, r = y − Bs, and does not drown what B has learnt."""
    r = y - B @ s
    rs, rr, size = dot(r, s), dot(r, r), frobenius(B)
    gentle = fresh or eps(s) * rr * rr <= rs * rs * size * size
    return finite(rr) and gentle and rs != 0 and rs * rs >= skip * skip * rr * dot(s, s)


def update(B: Symmetric, s: Vector, y: Vector) -> Symmetric:
    """B₊ = B + rrᵀ / rᵀs,  r = y − Bs.   Gives B away."""
    r = y - B @ s
    return rank_one(B, r, 1 / dot(r, s))


def predicted(state: State) -> float:
    """What the model promises of a step inside the region; nothing while B has learnt nothing."""
    return 0.0 if state.fresh else more_sorensen(state.g, state.B, state.radius, 0.1).predicted


def resume(state: State) -> State:
    """Ready to try again, with the region as large as at the start."""
    return state._replace(radius=first_radius(state.x, 0.0), rejected=0, ok=True)


def restart(state: State) -> State:
    """The history forgotten: B is a multiple of the identity again."""
    B = first_guess(state.x, state.g) * identity(state.x)
    return state._replace(B=B, radius=first_radius(state.x, 0.0), fresh=True, rejected=0, ok=True)


def primed(state: State, hess0: Symmetric) -> State:
    """The first state with another B₀, which counts as learnt."""
    return state._replace(B=hess0, fresh=False)
