"""When a least-squares run ends, and what it may claim.

f = ½‖r‖², g = Jᵀr, and norms of g are ∞-norms. A run has converged when r = 0 or g = 0, or

    (a)  ‖g‖ ≤ min(gtol · max over visited states of ‖g‖,  max(gtol, 1e-6) · ‖g(x₀)‖)       and one of
    (b)  a full Gauss-Newton step would gain D ≤ ef,  or  D ≤ min(1e-15 (f₀ − f), 1e-10 f), 1e-6 f with differences
    (c)  maxⱼ |Jⱼᵀr| / (‖Jⱼ‖‖r‖) ≤ gtol,  the last step promised ≤ ef,  and  D ≤ 1e-6 f
    (d)  ‖r‖ ≤ 1e-10 ‖r(x₀)‖,  and  f ≤ max(1e-10, 1e-2 what the last step promised)

The cosine alone never falls where r → 0, and D never where J loses rank in the limit: it is measured without what lies
along singular vectors of J below 1e-10. The noise of f is ef = max(10 eps f, N), N what was measured of it. The
user's ftol (D ≤ ftol f) and xtol (‖Dp‖ ≤ xtol ‖Dx‖, p undamped) count in place of (a) to (d), but only where
‖g‖ ≤ 1e-6 ‖g(x₀)‖.

Where J has not full rank, f may bend down along what J does not see: that is looked for before the run ends, unless r
is linear, as it is where its slopes are the same elsewhere.

A polish is tried once before the end, where the last step promised 1e-4 f or less and ‖g‖ has fallen to a hundredth: it
converges faster than the methods do.
"""

from math import inf
from typing import Any, NamedTuple

from refopt.judgement import BUDGET, DONE, FLAT, MANY, NEAR, PRECISE, RUNNING, STUCK
from refopt.judgement_residuals import SAFE, as_function, centred, cosine, perfected, risen, stationary
from refopt.linearised import polish
from refopt.linesearch import noise_floor
from refopt.noise import best_central, differences_for, differences_of, measure_f, measure_g, one_sided
from refopt.ops import (
    Vector,
    absolute,
    finite,
    larger,
    norm,
    norm_inf,
    oblique,
    positive,
    solve_upper,
)
from refopt.problem import LeastSquares
from refopt.refinement import lower_beside
from refopt.stopping import WRONG_GRADIENT, Ending, Status, escapes, is_news, spent


class Tests(NamedTuple):
    """What the user asked for."""

    gtol: float = 1e-8
    ftol: float = 0.0
    xtol: float = 0.0
    gtol_abs: float = 0.0
    absolute_only: bool = False
    differences: float = 0.0  #: the relative step of a difference Jacobian, 0 for an analytic one
    per_gradient: int = 0  #: evaluations of r that one Jacobian by differences costs
    per_hessian: int = 0
    gradients_per_hessian: int = 0
    gradients_per_product: int = 0
    maxfun: float = 1e300


class Watch(NamedTuple):
    """What must be remembered of a run to judge it."""

    f0: float
    g0: float  #: ‖g(x₀)‖
    gmax: float
    size: Vector  #: |x₀|
    f: float  #: the lowest f, and the lowest ‖g‖
    gnorm: float
    stall: int  #: steps in a row that lowered neither
    patience: int  #: the stall that makes the run stop to think
    rough: float  #: the relative noise of f that differences are made for, 0 for rounding
    small: bool  #: the gradient is small
    near: bool  #: a polish before the end has still to be tried
    verdict: int


def watch(x: Vector, f: float, g: Vector, size: Vector) -> Watch:
    gnorm = norm_inf(g)
    return Watch(f, gnorm, gnorm, size, f, gnorm, -1, 5, 0.0, False, True, RUNNING)


def finished(method: Any, problem: LeastSquares, state: Any, watch: Watch, params: Any, tests: Tests) -> Any:
    """The polish of what has converged, or nearly; then it is looked at again.

    By differences it may be a polish of their errors: what has a larger gradient is not kept.
    """
    if watch.verdict == FLAT:
        known = trials(state, tests) > 0
        sure = known and linear(problem, state, watch)
        watch = watch._replace(verdict=DONE if sure else STUCK)
        state = state._replace(njev=state.njev + 1) if known else state
    wanted = params.polish and (watch.verdict == DONE or watch.verdict == NEAR)
    better = polish(problem, state, trials(state, tests) if wanted else 0, 0)
    if tests.differences > 0.0 and norm_inf(better.g) > norm_inf(state.g):
        better = state._replace(nfev=better.nfev, njev=better.njev)
    state = better
    if watch.verdict == NEAR:
        watch = look(method, problem, state, watch._replace(near=False), tests)
    return state, watch


def linear(problem: LeastSquares, state: Any, watch: Watch) -> bool:
    """Whether r has the same slopes far away, number for number, along a direction like no other.   Cost: one J."""
    u = larger(absolute(state.x), watch.size) * oblique(state.x)
    return norm_inf(problem.jacobian(state.x + u) @ u - state.J @ u) == 0.0


def trials(state: Any, tests: Tests) -> int:
    """How many points the polish may try: 60, or what the limit of evaluations leaves."""
    left = tests.maxfun - state.nfev - tests.per_gradient * state.njev
    return int(min(60.0, left / (1 + tests.per_gradient)))


def look(method: Any, problem: LeastSquares, state: Any, old: Watch, tests: Tests) -> Watch:
    """Take note of a state; ask the model only when the gradient is small."""
    new = observe(problem, old, state, tests)
    close = state.taken and state.promised <= 1e-4 * state.f and norm_inf(state.g) <= 1e-2 * new.gmax
    near = close and old.near and new.verdict == RUNNING and tests.differences == 0.0
    promised = method.predicted(state) if new.small or near else inf  # infinite as well where J is only learnt
    if new.small and finite(promised) and ended(problem, new, state, promised, tests):
        sure = DONE if state.full else FLAT  # a saddle may look like that
        return new._replace(verdict=sure if tests.differences == 0.0 else STUCK)  # and so may noise
    if near and finite(promised):
        return new._replace(verdict=NEAR)
    return new


def observe(problem: LeastSquares, old: Watch, state: Any, tests: Tests) -> Watch:
    """Take note of a state: does the run go on, is its gradient small, does it need thought?"""
    f, gnorm, ef = state.f, norm_inf(state.g), noise_floor(problem, state.x, state.f)
    gmax = max(old.gmax, gnorm)
    stall = old.stall + 1 if state.taken else old.stall
    if f < old.f - ef or gnorm < 0.9 * old.gnorm:
        stall = 0
    verdict = RUNNING
    if not state.ok or stall >= old.patience:
        verdict = STUCK
    elif state.nfev + tests.per_gradient * state.njev >= tests.maxfun:
        verdict = BUDGET
    small = gradient_small(old, gnorm, gmax, tests)
    return old._replace(
        gmax=gmax, f=min(old.f, f), gnorm=min(old.gnorm, gnorm), stall=stall, small=small, verdict=verdict
    )


def gradient_small(old: Watch, gnorm: float, gmax: float, tests: Tests) -> bool:
    """(a), or what ftol and xtol ask in its place; the absolute test alone where only that was asked for."""
    if gnorm == 0.0 or tests.absolute_only:
        return gnorm <= tests.gtol_abs
    if (tests.ftol > 0.0 or tests.xtol > 0.0) and gnorm <= SAFE * old.g0:
        return True
    return gnorm <= target(old, gmax, tests)


def target(old: Watch, gmax: float, tests: Tests) -> float:
    """The right-hand side of (a)."""
    return max(min(tests.gtol * gmax, max(tests.gtol, SAFE) * old.g0), tests.gtol_abs)


def ended(problem: LeastSquares, old: Watch, state: Any, promised: float, tests: Tests) -> bool:
    """(b), (c), (d), or the user's ftol or xtol, where the gradient is small; ``promised`` is D."""
    f, gnorm, ef = state.f, norm_inf(state.g), noise_floor(problem, state.x, state.f)
    if f > (1.0 + 1e-6) * old.f0:  # full steps may lead uphill, to where the gradient vanishes at infinity
        return False
    if gnorm == 0.0 or tests.absolute_only:
        return True
    if gnorm <= target(old, old.gmax, tests):
        share = 1e-10 if tests.differences == 0.0 else 1e-6
        if promised <= max(ef, min(1e-15 * (old.f0 - f), share * f)):
            return True
        if f <= min(1e-20 * old.f0, max(1e-10, 1e-2 * state.promised)):
            return True
        if state.promised <= ef and promised <= 1e-6 * f and cosine(state) <= tests.gtol:
            return True
    if gnorm > SAFE * old.g0:
        return False
    return promised <= tests.ftol * f or (tests.xtol > 0.0 and shift(state) <= tests.xtol)


def shift(state: Any) -> float:
    """‖Dp‖ / ‖Dx‖ for the Gauss-Newton step p, where there is one."""
    if not state.full:
        return inf
    size = norm(state.d * state.x)
    return norm(state.d * solve_upper(state.R, state.c)) / size if size > 0.0 else inf


def think(method: Any, problem: LeastSquares, state: Any, watch: Watch, params: Any, tests: Tests, tried: int) -> Any:
    """What to do with a run that is stuck: an Ending, or (problem, state, watch) to go on with.

    Measure before judging. Noise of f beyond its rounding allows another try with a fresh region; slopes that
    contradict the Jacobian end the run; a point that is stationary to working precision is a success.
    """
    promised = method.predicted(state)
    if not finite(promised):
        return regarded(method, problem, method.renewed(problem, state), state, watch, tests)
    if tests.differences == 0.0 and watch.small and ended(problem, watch, state, promised, tests):
        return arrived(method, problem, state, watch, params, tests)
    measured = by_differences if tests.differences > 0.0 else by_slopes
    answer, error = measured(method, problem, state, watch, params, tests, tried, promised)
    if answer:
        return answer
    if not one_sided(tests.differences, state.x):
        return judged(method, problem, state, watch, params, tests, tried, promised, error)
    rough, known = best_central(problem, state.x, watch, 0.1 * SAFE * watch.g0)
    problem, state, tests = centred(method, problem, state, watch._replace(rough=rough), params, tests)
    promised, error = method.predicted(state), norm_inf(known.errors)
    answer = judged(method, problem, state, watch._replace(rough=rough), params, tests, tried, promised, error)
    return answer if isinstance(answer, Ending) else (*answer[:2], answer[2]._replace(rough=watch.rough))


def arrived(method: Any, problem: LeastSquares, state: Any, watch: Watch, params: Any, tests: Tests) -> Any:
    """The end; but where J has not full rank on from a lower point, if there is one."""
    lower = None if state.full else beside(method, problem, state, watch, params, tests, 0.0)
    return lower or (problem, state, watch._replace(verdict=DONE))


def beside(
    method: Any, problem: LeastSquares, state: Any, watch: Watch, params: Any, tests: Tests, noise: float
) -> Any:  # fmt: skip
    """On from a lower point, where f bends down along what J does not see; else None. ``noise`` is that of g.

    Such saddles lie where two terms of a model have the same parameters. Where r vanishes, f cannot bend down.
    """
    (n,), left = state.x.shape, (tests.maxfun - spent(state, tests)[0]) / (1 + tests.per_gradient)
    if n > MANY or left < 2 * n + 1 or not state.f > 1e-10 * watch.f0:
        return None
    ef = noise_floor(problem, state.x, state.f)
    x = lower_beside(as_function(problem), state.x, state.f, state.g, watch.size, noise, ef)
    return None if x is None else regarded(method, problem, method.init(problem, x, params), state, watch, tests)


def by_differences(
    method: Any, problem: LeastSquares, state: Any, watch: Watch, params: Any, tests: Tests, tried: int, promised: float
) -> tuple[Any, float]:  # fmt: skip
    """What to do at once where the differences can be better, or are good; and the error of the gradient."""
    ef, function = noise_floor(problem, state.x, state.f), as_function(problem)
    content = watch.small and ended(problem, watch, state, promised, tests)
    search = tried < 6 and tests.maxfun - spent(state, tests)[0] >= 12 * tests.per_gradient
    found = differences_of(function, problem, state.x, state.f, state.g, watch, tests, search, content, state.J)
    if search and is_news(found, problem.noise, watch.rough, ef):
        watch = watch._replace(rough=found.rough, verdict=RUNNING)
        return (problem._replace(noise=found.noise), method.resume(state, params), watch), 0.0
    if found.sound:
        _, seen, judging = centred(method, problem, state, watch, params, tests)
        if gradient_small(watch, norm_inf(seen.g), watch.gmax, judging):
            return (problem, state, watch._replace(verdict=DONE)), 0.0
    error = 3.0 * found.error
    if tried & (tried - 1) == 0 or watch.patience >= 50:  # now and then, as it is dear
        error = max(error, 3.0 * measure_g(differences_for(problem, watch, tests), state.x, watch.size))
    return None, error


def by_slopes(
    method: Any, problem: LeastSquares, state: Any, watch: Watch, params: Any, tests: Tests, tried: int, promised: float
) -> tuple[Any, float]:  # fmt: skip
    """What to do at once where the Jacobian is wrong, or f noisier than was known; and ten times the noise of g."""
    ef, gnorm, function = noise_floor(problem, state.x, state.f), norm_inf(state.g), as_function(problem)
    if tried < 2 and not (gnorm <= SAFE * watch.g0 and promised <= ef):
        downhill = -state.g / positive(state.d * state.d)
        suspect = gnorm > 1e-4 * watch.gmax
        noise, wrong = measure_f(function, state.x, state.f, state.g, downhill, watch.size, watch.f0, suspect)
        if wrong:
            return Ending(Status.BAD_DERIVATIVE, False, WRONG_GRADIENT), 0.0
        if noise > ef:
            again = method.resume(state, params)
            return (problem._replace(noise=2.0 * noise), again, watch._replace(verdict=RUNNING)), 0.0
    return None, 10.0 * measure_g(function.grad, state.x, watch.size)


def judged(
    method: Any, problem: LeastSquares, state: Any, watch: Watch, params: Any, tests: Tests, tried: int,
    promised: float, error: float,
) -> Any:  # fmt: skip
    """Success, a polish, Newton's method, or more patience; at the last, the reason why there is no success."""
    ef = noise_floor(problem, state.x, state.f)
    if not risen(state.f, watch, ef) and stationary(problem, state, watch, promised, tests, error):
        return Ending(Status.PRECISION, True)
    if params.polish and tried < 6:
        better = polish(problem, state, trials(state, tests), 2 * state.x.shape[0])
        if norm_inf(better.g) < 0.9 * norm_inf(state.g):
            return regarded(method, problem, better, state, watch, tests)
    last = not (state.ok or tests.differences > 0.0) or watch.patience >= 50
    left = tests.maxfun - spent(state, tests)[0]
    best = perfected(method, problem, state, watch, params, tests, error, left, last)
    if best is not None:
        return problem, best, watch._replace(verdict=PRECISE)
    if not last:
        state = state if state.ok else method.resume(state, params)
        return problem, state, watch._replace(patience=watch.patience + 15, verdict=RUNNING)
    lower = beside(method, problem, state, watch, params, tests, 0.1 * error) if escapes(params, tried) else None
    if lower is not None:
        return lower
    if not state.full:
        return Ending(Status.SINGULAR, False, DEPENDENT)
    hidden = promised <= 10.0 * ef
    return Ending(Status.PRECISION if hidden else Status.LINE_SEARCH, False, NOISY)


def regarded(method: Any, problem: LeastSquares, better: Any, state: Any, watch: Watch, tests: Tests) -> Any:
    """What to go on with, a better state in place of the old; what it cost is counted by the driver."""
    better = better._replace(nfev=state.nfev, njev=state.njev)
    new = look(method, problem, better, watch, tests)
    return problem, better, new._replace(verdict=RUNNING) if new.verdict == NEAR else new


DEPENDENT = (
    "the columns of the Jacobian are linearly dependent: the data do not determine every parameter; fix some of them, "
    "or combine those that occur only together"
)
NOISY = (
    "the gradient is larger than its noise explains, yet no step lowers the sum of squares: check the Jacobian with "
    "refopt.derivatives.check_jacobian, and whether fun is smooth"
)
