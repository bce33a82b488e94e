"""Driving a run: chunks of steps, and between them limits, callback, trace and judgement.

The first chunk is ``loop.begin``, the others are ``loop.run``, or their compiled twins. They grow while they are quick
and shrink while they are slow, so that a signal, a time limit or a callback never waits long.
"""

import inspect
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from refopt.budget import Budget, Spent
from refopt.derivatives.differences import all_finite
from refopt.judgement import BESIDE, BUDGET, DISTANT, DONE, FALLING, PRECISE, RUNNING, SLOW
from refopt.loop import Loop
from refopt.ops import finite, namespace, norm_inf
from refopt.stopping import (
    AT_INFINITY,
    NO_FLOOR,
    ZERO_GRADIENT,
    Ending,
    Status,
    counts_hessians,
    spent,
)

MESSAGES = {
    Status.CONVERGED: "converged: the gradient, its effect on every variable and the model's promise are all small",
    Status.PRECISION: "no step lowers f beyond its noise",
    Status.MAXITER: "stopped at the iteration limit",
    Status.MAXFUN: "stopped at the limit of function evaluations",
    Status.CALLBACK: "stopped by the callback",
    Status.LINE_SEARCH: "no acceptable step was found",
    Status.NOT_FINITE: "fun, or its derivative, is not finite at x0",
    Status.UNBOUNDED: "f appears to be unbounded below",
    Status.BAD_DERIVATIVE: "the derivative contradicts the function",
    Status.SINGULAR: "the Jacobian is singular",
    Status.MAXTIME: "stopped at the time limit",
}


class Limits(NamedTuple):
    maxiter: int
    maxfun: float
    maxtime: float


class Run(NamedTuple):
    state: Any
    watch: Any
    nit: int
    ending: Ending
    trace: list[Any]


def drive(
    loop: Loop, think: Callable[..., Any], x: Any, size: Any, params: Any, tests: Any, limits: Limits, began: float,
    report: Callable[[Any, Any, int], bool] | None = None, trace: bool = False, budget: Budget | None = None,
) -> Run:  # fmt: skip
    """Run until something ends it.

    ``think(noise, state, watch, tried)`` is asked when the run is stuck; ``report(state, watch, nit)`` is told of every
    step, and may end the run.
    """
    uncounted = limits.maxfun < 1e300 and (
        tests.per_hessian + tests.gradients_per_hessian + tests.gradients_per_product > 0  # by the loop itself
    )
    single = report is not None or trace or uncounted
    n, noise, tried, start = x.shape[0], 0.0, 0, time.perf_counter()
    steps = 0 if single or budget or n not in loop.pace else min(chunk(loop.pace[n]), limits.maxiter)
    state, watch, nit = loop.begin(x, size, params, tests, steps)
    if budget:
        budget.begin(spent(state, tests)[0])
    took = time.perf_counter() - start
    loop.pace[n] = took / (nit or 1)
    steps = 1 if single else next_chunk(steps, took) if steps else chunk(took)
    seen = [state] if trace else []
    if not (finite(watch.f0) and finite(watch.g0) and whole(state)):
        return Run(state, watch, nit, Ending(Status.NOT_FINITE, False), seen)
    try:
        while True:
            if ending := ended(state, watch, tests, limits, nit):
                return Run(state, watch, nit, ending, seen)
            if watch.verdict != RUNNING:
                answer = think(noise, state, watch, tried)
                if isinstance(answer[-1], Ending):
                    return Run(answer[0], watch, nit, answer[-1], seen)
                tried += watch.verdict != SLOW
                noise, state, watch = answer
            if nit >= limits.maxiter:
                return Run(state, watch, nit, Ending(Status.MAXITER, False), seen)
            start = time.perf_counter()
            if start - began >= limits.maxtime:
                return Run(state, watch, nit, Ending(Status.MAXTIME, False), seen)
            most = min(steps, limits.maxiter - nit, budget.steps(tests.per_gradient) if budget else steps)
            state, watch, k = loop.run(noise, state, watch, params, tests, most)
            took = time.perf_counter() - start
            loop.pace[n], nit = took / (k or 1), nit + k
            if trace:
                seen[len(seen) - (k == 0) :] = [state]  # the same point again, judged anew, takes the place of the last
            if report is not None and report(state, watch, nit):
                return Run(state, watch, nit, Ending(Status.CALLBACK, False), seen)
            if not single:
                steps = next_chunk(steps, took)
    except Spent:
        return Run(given_up(state, tests, budget), watch, nit, Ending(Status.MAXFUN, False), seen)


def given_up(state: Any, tests: Any, budget: Any) -> Any:
    """The state, with what was evaluated in the step that could not be ended."""
    nfev, njev = spent(state, tests)
    more = {"nfev": state.nfev + int(budget.counts[0]) - nfev}
    if tests.per_gradient == 0:
        more["njev"] = state.njev + max(int(budget.counts[1]) - njev, 0)
    for i, name in enumerate(("nhev", "nhvp"), 2):
        if hasattr(state, name):
            more[name] = max(getattr(state, name), int(budget.counts[i]))
    return state._replace(**more)


def ended(state: Any, watch: Any, tests: Any, limits: Limits, nit: int) -> Ending | None:
    """How the run has ended, if it needs no thought to say so."""
    if watch.verdict in (DONE, DISTANT):
        return arrived(watch, state, nit)
    if watch.verdict == BUDGET or (limits.maxfun < 1e300 and spent(state, tests)[0] >= limits.maxfun):
        return Ending(Status.MAXFUN, False)
    if watch.verdict == PRECISE:
        return Ending(Status.PRECISION, True)
    return Ending(Status.UNBOUNDED, False, NO_FLOOR) if watch.verdict == FALLING else None


def thinker(rules: Any, method: Any, problem: Callable[[float], Any], params: Any, tests: Any) -> Callable[..., Any]:
    """``think`` for ``drive``: the rules' own, on the problem in its generic form, which is made when it is needed."""
    return partial(think, rules, method, problem, params, tests)


def think(
    rules: Any, method: Any, problem: Callable[[float], Any], params: Any, tests: Any, noise: float, state: Any,
    watch: Any, tried: int,
) -> Any:  # fmt: skip
    """An Ending after a state, or noise, state and watch to go on with."""
    observed, calls = counted(problem(watch.rough)._replace(noise=noise))
    with np.errstate(all="ignore"):
        answer = rules.think(method, observed, state, watch, params, tests, tried)
    if isinstance(answer, Ending):
        return with_calls(state, calls), answer
    observed, state, new = answer
    state = with_calls(state, calls)
    if new.rough != watch.rough or new.verdict == BESIDE:
        there = problem(new.rough)._replace(noise=observed.noise)
        with np.errstate(all="ignore"):
            again = begun_again(rules, method, there, state, new, params)
        state, new = again if whole(again[0]) else (state, watch._replace(verdict=RUNNING))  # beside a wall
    return observed.noise, state, new


def whole(state: Any) -> bool:
    """Whether the derivatives of the state are finite, the Hessian too, or what its products say of a step."""
    gain = getattr(state, "gain", 0.0)
    return all_finite(getattr(state, "g", 0.0)) and all_finite(getattr(state, "B", 0.0)) and gain == gain


def begun_again(rules: Any, method: Any, problem: Any, state: Any, watch: Any, params: Any) -> tuple[Any, Any]:
    """State and watch at the best point, with the derivatives of another problem."""
    new = method.init(problem, getattr(watch, "x", state.x), params)
    counts = [name for name in ("nfev", "njev", "nhev", "nhvp") if hasattr(new, name)]
    seen = rules.watch(new.x, new.f, new.g, watch.size)
    at_start = watch.f == watch.f0 or watch.g0 == 0.0  # elsewhere the gradient says nothing of the first one
    g0 = max(watch.g0, seen.g0) if at_start else watch.g0
    seen = seen._replace(f0=watch.f0, g0=g0, gmax=max(g0, seen.gmax), rough=watch.rough)
    return new._replace(**{name: getattr(state, name) + getattr(new, name) for name in counts}), seen


def counted(problem: Any) -> tuple[Any, list[int]]:
    """The problem with a function and a derivative that count their calls, and the two counts."""
    calls = [0, 0]

    def counting(i: int, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(x: Any) -> Any:
            calls[i] += 1
            return function(x)

        return call

    names = problem._fields[:2]
    return problem._replace(**{name: counting(i, getattr(problem, name)) for i, name in enumerate(names)}), calls


def with_calls(state: Any, calls: list[int]) -> Any:
    return state._replace(nfev=state.nfev + calls[0], njev=state.njev + calls[1])


def chunk(seconds: float) -> int:
    """As many steps as take about ten milliseconds, if one takes this long."""
    return max(1, min(1000, int(0.01 / max(seconds, 1e-6))))


def next_chunk(steps: int, elapsed: float) -> int:
    if elapsed < 0.05:
        return 4 * steps
    return max(1, steps // 4) if elapsed > 0.2 else steps


def arrived(watch: Any, state: Any, nit: int) -> Ending:
    """CONVERGED, with a word of caution where the start or the last steps call for one."""
    if watch.verdict == DISTANT:
        return Ending(Status.CONVERGED, True, AT_INFINITY)
    if nit == 0 and watch.gnorm == 0.0 and not counts_hessians(state):
        return Ending(Status.CONVERGED, True, ZERO_GRADIENT)
    return ARRIVED


ARRIVED = Ending(Status.CONVERGED, True)


def so_far(describe: Callable[[Run], Any], state: Any, watch: Any, nit: int) -> Any:
    """The intermediate result after a step, with arrays that the user may write into."""
    found = describe(Run(state, watch, nit, Ending(Status.MAXITER, False), []))
    found.update({name: copied(value) for name, value in found.items() if hasattr(value, "shape")})
    return found


def copied(x: Any) -> Any:
    return namespace(x).asarray(x, copy=True)


def reporter(callback: Any, disp: bool, describe: Callable[[Any, Any, int], Any]) -> Any:
    """What ``drive`` tells about every step: the user's callback in SciPy's two forms, and a printed line."""
    if callback is None and not disp:
        return None
    check_callback(callback)
    wants_result = parameters(callback) == {"intermediate_result"}

    def report(state: Any, watch: Any, nit: int) -> bool:
        if disp:
            print(f"{nit:6d}  f = {state.f: .16e}  |g| = {norm_inf(state.g): .3e}")
        if callback is None:
            return False
        try:
            if wants_result:
                callback(intermediate_result=describe(state, watch, nit))
            else:
                callback(copied(state.x))
        except StopIteration:
            return True
        return False

    return report


def check_callback(callback: Any) -> None:
    if not (callback is None or callable(callback)):
        raise TypeError(f"callback must be callable or None; it is {type(callback).__name__}")


def parameters(function: Any) -> set[str]:
    """The names of a function's parameters; none where they are not known, as of some builtins."""
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set()


def result(run: Run, tests: Any, began: float, **fields: Any) -> Any:
    """The OptimizeResult, with the same fields for every method."""
    state, ending = run.state, run.ending
    nfev, njev = spent(state, tests)
    return result_type()(
        **fields, nit=run.nit, nfev=nfev, njev=njev, nhev=getattr(state, "nhev", 0), nhvp=getattr(state, "nhvp", 0),
        status=ending.status, success=ending.success, message=MESSAGES[ending.status], advice=ending.advice,
        time=time.perf_counter() - began, trace=run.trace,
    )  # fmt: skip


@cache
def result_type() -> Any:
    """SciPy's, imported when there is a result."""
    from scipy.optimize import OptimizeResult

    return OptimizeResult
