"""When a run ends, and what it may claim.

Three things must hold before a run may say CONVERGED. Scaling or shifting f changes none of them, but for F:

    (a)  ‖g‖ ≤ min(gtol · max over visited states of ‖g‖,  max(gtol, 1e-6) · ‖g(x₀)‖)
    (b)  maxᵢ |gᵢ| wᵢ ≤ min(gtol (f₀ − f), 1e-3 F) + ef        wᵢ = max(|xᵢ|, |x₀ᵢ|)
    (c)  what the method's own model still promises ≤ max(min(eps (f₀ − f), 1e-10 F), ef)

Norms of g are ∞-norms; ef = max(10 eps |f|, N) is the noise of f, N what was measured of it (0 until then).
(b) is the relative gradient of J. E. Dennis & R. B. Schnabel, *Numerical Methods for Unconstrained Optimization and
Nonlinear Equations*, §7.2, with f₀ − f in place of |f|. From a start so high that beside f₀ − f everything is small,
F = max(1, |f|) sets the measure, with differences F in (b) and 1e-2 F in (c). Where the Hessian is seen, (c) is
infinite while it has a negative eigenvalue: a saddle is not an end.
"""

from enum import IntEnum
from math import inf
from typing import Any, NamedTuple

from refopt.judgement import (
    BESIDE,
    BUDGET,
    DISTANT,
    DONE,
    FALLING,
    LITTLE,
    PRECISE,
    RUNNING,
    SAFE,
    SLOW,
    STUCK,
    centred,
    safe,
    share,
    stationary,
    trifle,
)
from refopt.linesearch import FIXED, noise_floor
from refopt.noise import Differences, differences_of, measure_f, one_sided
from refopt.ops import Vector, absolute, dimension, eps, finite, larger, namespace, norm, norm_inf, weighted_max
from refopt.problem import Problem


class Status(IntEnum):
    """Why a run ended; the same for every method."""

    CONVERGED = 0
    PRECISION = 1
    MAXITER = 2
    MAXFUN = 3
    CALLBACK = 4
    LINE_SEARCH = 5
    NOT_FINITE = 6
    UNBOUNDED = 7
    BAD_DERIVATIVE = 8
    SINGULAR = 9
    MAXTIME = 10


class Tests(NamedTuple):
    """What the user asked for."""

    gtol: float = 1e-10
    gtol_abs: float = 0.0
    absolute_only: bool = False
    differences: float = 0.0  #: the relative step of a difference gradient, 0 for an analytic one
    per_gradient: int = 0  #: evaluations of f that one gradient by differences costs
    per_hessian: int = 0  #: the same for a Hessian
    gradients_per_hessian: int = 0
    gradients_per_product: int = 0
    maxfun: float = 1e300


LONG = 128  #: steps without much of a fall after which the run is judged, 10n if that is more; and after twice as many
ESCAPES = 20  #: when a run has been judged so often it goes on no more from lower points beside


class Watch(NamedTuple):
    """What must be remembered of a run to judge it."""

    f0: float
    g0: float  #: ‖g(x₀)‖, or the first that is not 0
    gmax: float
    size: Vector  #: of the variables: |x₀|, and 1 for zeros where differences are taken
    x: Vector  #: the best point, its f, its gradient and ‖g‖
    f: float
    g: Vector
    gnorm: float
    low: float  #: the lowest f of a visited state, until another is lower by more than noise
    least: float  #: and the smallest ‖g‖, until another is smaller by a tenth
    slope: float  #: maxᵢ |gᵢ xᵢ| at x₀: what f changes, to first order, when x₀ doubles
    stall: int  #: steps in a row that lowered neither f nor ‖g‖
    patience: int  #: the stall that makes the run stop to think
    promise: float  #: the least that the model promised when the run stopped to think
    mark: float  #: f when it had last fallen by a hundredth of |f| and of f₀ − f, or by half
    slow: int  #: steps since then
    due: int  #: and with so many the run stops to think as well
    rough: float  #: the relative noise of f that differences are made for, 0 for rounding
    small: bool  #: (a) and (b) hold
    verdict: int


def watch(x: Vector, f: float, g: Vector, size: Vector) -> Watch:
    gnorm = norm_inf(g)
    slope = weighted_max(g, absolute(x)) or gnorm
    due = max(LONG, 10 * dimension(x))
    return Watch(f, gnorm, gnorm, size, x, f, g, gnorm, f, gnorm, slope, -1, 5, inf, f, 0, due, 0.0, False, RUNNING)


def look(method: Any, problem: Problem, state: Any, old: Watch, tests: Tests) -> Watch:
    """Take note of a state; ask the model only when the gradient is small."""
    nfev = state.nfev + tests.per_gradient * state.njev
    new = observe(problem, old, state.x, state.f, state.g, nfev, state.ok, state.taken, tests)
    if new.small:
        new = settle(problem, new, state.x, state.f, state.g, method.predicted(state), tests)
    return new


def finished(method: Any, problem: Problem, state: Any, watch: Watch, params: Any, tests: Tests) -> Any:
    """The last state as it is: only least squares have something to refine."""
    return state, watch


def observe(
    problem: Problem,
    old: Watch,
    x: Vector,
    f: float,
    g: Vector,
    nfev: int,
    ok: bool,
    taken: bool,
    tests: Tests,
) -> Watch:
    """Take note of a state: is it the best so far, is its gradient small, does the run need thought?"""
    gnorm, ef = norm_inf(g), noise_floor(problem, x, f)
    gmax, low, least = max(old.gmax, gnorm), old.low, old.least
    stall = old.stall + 1 if taken else old.stall
    if f < low - ef:
        stall, low = 0, f
    if gnorm < 0.9 * least:
        stall, least = 0, gnorm
    much = min(1e-2 * max(old.f0 - f, abs(f)), abs(f))
    mark, slow = (f, 0) if old.mark - f > much else (old.mark, old.slow + 1)
    small = gradient_small(old, x, f, g, gnorm, gmax, ef, tests)
    verdict = SLOW if slow >= old.due else RUNNING
    if not ok or stall >= old.patience:
        verdict = STUCK
    elif nfev >= tests.maxfun:
        verdict = BUDGET
    fall = old.f0 - f
    if not finite(f) or (fall > 1e30 * old.slope and fall > 1e15 * max(1.0, abs(old.f0))):  # a saddle has no slope
        verdict = FALLING
    new = old._replace(
        g0=old.g0 or gnorm, gmax=gmax, low=low, least=least, stall=stall, mark=mark, slow=slow, small=small,
        verdict=verdict,
    )  # fmt: skip
    if f < old.f - ef or (f <= low + ef and gnorm < old.gnorm):
        new = new._replace(x=x, f=f, g=g, gnorm=gnorm)
    return new


def gradient_small(
    old: Watch, x: Vector, f: float, g: Vector, gnorm: float, gmax: float, ef: float, tests: Tests
) -> bool:
    """(a) and (b); the absolute test alone where only that was asked for; within the known noise of differences."""
    if gnorm == 0.0 or tests.absolute_only:
        return gnorm <= tests.gtol_abs
    tau = tests.gtol * gmax
    if old.g0 > 0.0:
        tau = min(tau, max(tests.gtol, 1e-6) * old.g0)
    if gnorm > max(tau, tests.gtol_abs) and tests.differences == 0.0:
        return False
    change = weighted_max(g, larger(absolute(x), old.size))
    if tests.differences > 0.0 and old.rough == 0.0 and change * tests.differences <= eps(x) * abs(f):
        return True
    little = min(tests.gtol * (old.f0 - f), share(f, tests, 1e-3, 1.0)) + ef
    return gnorm <= max(tau, tests.gtol_abs) and change <= little


def settle(problem: Problem, old: Watch, x: Vector, f: float, g: Vector, promised: float, tests: Tests) -> Watch:
    """(c): the end, if the model promises nothing worth having either; DISTANT if its next step would be long.

    What is claimed of a point is claimed of no other: it becomes the best one, and must be as low as that was.
    """
    ef = noise_floor(problem, x, f)
    if promised <= max(ef, trifle(old.f0, f, tests)) or (tests.absolute_only and promised < inf):
        if tests.differences > 0.0 or f > old.f + slack(old, ef):  # noise may look like that
            return old._replace(verdict=STUCK)
        new = best_here(old, x, f, g)
        return new._replace(verdict=DISTANT if endless(old, x, g, promised) else DONE)
    return old


def slack(old: Watch, ef: float) -> float:
    """How much higher than the best point one with a smaller gradient may be: noise, or nothing of what was gained."""
    return 10.0 * ef + min(1e-8 * abs(old.f), 1e-12 * abs(old.f0 - old.f))


def best_here(old: Watch, x: Vector, f: float, g: Vector) -> Watch:
    """The watch with this point for the best one, if its gradient is smaller."""
    gnorm = norm_inf(g)
    return old._replace(x=x, f=f, g=g, gnorm=gnorm) if gnorm < old.gnorm else old


def endless(old: Watch, x: Vector, g: Vector, promised: float) -> bool:
    """Whether the model's next step, not shorter than 2D/‖g‖₂, would still be a tenth of x."""
    return 2.0 * promised > 0.1 * norm(larger(absolute(x), old.size)) * norm(g)


def spent(state: Any, tests: Any) -> tuple[int, int]:
    """How often f and its gradient were evaluated, differences included."""
    nhev, nhvp = getattr(state, "nhev", 0), getattr(state, "nhvp", 0)
    njev = state.njev + tests.gradients_per_hessian * nhev + tests.gradients_per_product * nhvp
    return state.nfev + tests.per_gradient * njev + tests.per_hessian * nhev, njev


class Ending(NamedTuple):
    """The last word on a run."""

    status: Status
    success: bool
    advice: str = ""


def think(method: Any, problem: Problem, state: Any, watch: Watch, params: Any, tests: Tests, tried: int) -> Any:
    """What to do with a run that is stuck: an Ending, or (problem, state, watch) to go on with.

    Measure before judging. Noise of f beyond its rounding allows another search, and wants wider differences; slopes
    that contradict the gradient end the run; a point that is stationary to working precision is a success; an old
    quasi-Newton matrix is dropped and the method gets another chance.   ``tried`` counts the earlier calls in this run.
    """
    ef = noise_floor(problem, watch.x, watch.f)
    here = state.f <= watch.f + slack(watch, ef)
    watch = best_here(watch, state.x, state.f, state.g) if here else watch
    promised = method.predicted(state)
    if watch.verdict == SLOW:
        return slowly(problem, state, watch, params, tests, tried, promised)
    measured = by_differences if tests.differences > 0.0 else by_slopes
    answer = measured(method, problem, state, watch, tests, tried, promised, here)
    may_escape = escapes(params, tried) and not one_sided(tests.differences, state.x)  # central ones will go on
    return answer or judged(method, problem, state, *centred(problem, watch, tests), tried, promised, may_escape)


def slowly(problem: Problem, state: Any, watch: Watch, params: Any, tests: Tests, tried: int, promised: float) -> Any:
    """Success, if a run that gets on slowly has nothing left to do; else it, or one by central differences, goes on."""
    onward = problem, state, watch._replace(due=2 * watch.due, verdict=RUNNING)
    if not escapes(params, tried):
        return onward
    left, sees_hessian = tests.maxfun - spent(state, tests)[0], counts_hessians(state)
    seen, judging = centred(problem, watch, tests)
    if seen.gnorm <= 1e-3 * SAFE * watch.g0 and safe(problem, seen, promised, judging, sees_hessian, left):
        return problem, state, seen._replace(verdict=PRECISE)
    best = stationary(problem, seen, promised, judging, sees_hessian, left)
    verdict = RUNNING if best is None else best.verdict
    if verdict == PRECISE:
        return problem, state, best
    if one_sided(tests.differences, state.x) and verdict != BUDGET:
        return Ending(Status.PRECISION, False, steepest_variable(watch))
    return onward


def by_differences(
    method: Any, problem: Problem, state: Any, watch: Watch, tests: Tests, tried: int, promised: float, here: bool
) -> Any:  # fmt: skip
    """What to do at once where the differences can be better, or are good; else None."""
    ef, left = noise_floor(problem, watch.x, watch.f), tests.maxfun - spent(state, tests)[0]
    search = tried < 6 and left >= 12 * tests.per_gradient
    content = here and watch.small and promised <= max(ef, LITTLE * (watch.f0 - watch.f))
    found = differences_of(problem, problem, watch.x, watch.f, watch.g, watch, tests, search, content)
    if search and is_news(found, problem.noise, watch.rough, ef):
        watch = watch._replace(rough=found.rough, verdict=RUNNING)
        return problem._replace(noise=found.noise), method.resume(state), watch
    if found.sound:
        seen, judging = centred(problem, watch, tests)
        if gradient_small(seen, seen.x, seen.f, seen.g, seen.gnorm, seen.gmax, ef, judging):
            return problem, state, watch._replace(verdict=DONE)
    return None


def by_slopes(
    method: Any, problem: Problem, state: Any, watch: Watch, tests: Tests, tried: int, promised: float, here: bool
) -> Any:  # fmt: skip
    """What to do at once where the gradient is wrong, or f noisier than was known; else None."""
    ef = noise_floor(problem, watch.x, watch.f)
    if tried >= 2 or (watch.gnorm <= SAFE * watch.g0 and promised <= ef):
        return None
    suspect, p = norm_inf(state.g) > 1e-4 * watch.gmax, getattr(state, "p", -state.g)
    noise, wrong = measure_f(problem, state.x, state.f, state.g, p, watch.size, watch.f0, suspect)
    if wrong:
        return Ending(Status.BAD_DERIVATIVE, False, WRONG_GRADIENT)
    if noise > ef:
        return problem._replace(noise=2.0 * noise), method.resume(state), watch._replace(verdict=RUNNING)
    return None


def judged(
    method: Any, problem: Problem, state: Any, watch: Watch, tests: Tests, tried: int, promised: float, may_escape: bool
) -> Any:  # fmt: skip
    """Success, another chance, or more patience; at the last, the reason why there is no success."""
    ef, sees_hessian = noise_floor(problem, watch.x, watch.f), counts_hessians(state)
    left = tests.maxfun - spent(state, tests)[0]
    if safe(problem, watch, promised, tests, sees_hessian, left):
        return problem, state, watch._replace(verdict=PRECISE)
    drop = hasattr(method, "restart") and not state.fresh and tried < 6
    progress = promised < 0.9 * watch.promise and promised <= 10.0 * ef  # that neither f nor ‖g‖ shows
    last = not (drop or (state.ok and (progress or watch.patience < 50)))
    if last or tried & (tried - 1) == 0:  # now and then, as it is dear
        best = stationary(problem, watch, promised, tests, sees_hessian, left)
        verdict = RUNNING if best is None else best.verdict
        if verdict == PRECISE or (verdict == BESIDE and last and may_escape):
            return problem, state, best
        if verdict == BUDGET and last:
            return Ending(Status.MAXFUN, False, UNJUDGED)
    if drop:
        return problem, method.restart(state), watch._replace(verdict=RUNNING)
    if state.ok and progress:
        return problem, state, watch._replace(stall=5, patience=20, promise=promised, verdict=RUNNING)
    if not last:
        return problem, state, watch._replace(patience=watch.patience + 15, verdict=RUNNING)
    status = Status.PRECISION if promised <= 10.0 * ef else Status.LINE_SEARCH
    return Ending(status, False, steepest_variable(watch))


def escapes(params: Any, tried: int) -> bool:
    """Whether a run may go on from a lower point: not for ever, nor by fixed steps, which ask nothing of f."""
    return tried < ESCAPES and not (hasattr(params, "step") and getattr(params, "search", FIXED) == FIXED)


def is_news(found: Differences, noise: float, rough: float, ef: float) -> bool:
    """Whether differences are to be made anew, or the noise of f is another than was thought."""
    now = max(found.noise, ef if found.noise >= noise else 0.25 * ef)
    return found.rough != rough or now > 4.0 * max(noise, ef) or 4.0 * now < noise


def counts_hessians(state: Any) -> bool:
    """Whether the method sees the Hessian, or products with it."""
    return hasattr(state, "nhev") or hasattr(state, "nhvp")


WRONG_GRADIENT = (
    "the slope of fun along the last direction, measured by central differences, contradicts the gradient: "
    "check it with refopt.derivatives.check_gradient(fun, jac, x), which names the wrong component"
)
ZERO_GRADIENT = (
    "the gradient is zero at the start: a minimum, a saddle and a plateau cannot be told apart without second "
    "derivatives; pass hess with a method that uses it, or start elsewhere"
)
AT_INFINITY = (
    "the next step would still be as long as x itself, and f falls ever more slowly: the infimum may be at infinity"
)

UNJUDGED = (
    "no step lowers f, and too few evaluations are left of maxfun to judge by differences whether this is a minimum"
)
NO_FLOOR = (
    "f fell without end while x grew: look at f along the last steps; a sign may be wrong in it, or a bound missing"
)


def steepest_variable(watch: Watch) -> str:
    """Advice that names the variable with the largest |gᵢ| wᵢ."""
    change = absolute(watch.g) * larger(absolute(watch.x), watch.size)
    i = int(namespace(change).argmax(change))
    return (
        f"f changes most, relative to the variable's size, along x[{i}]: rescale that variable, "
        "or check its derivative with refopt.derivatives.check_gradient"
    )
