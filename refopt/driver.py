"""Driving a run: chunks of steps, and between them limits, callback, trace and judgement.

The chunk is ``loop.run`` or its compiled twin. It grows while it is quick and shrinks while it is slow, so that a
signal, a time limit or a callback never waits long.
"""

import inspect
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from refopt.ops import namespace, norm_inf
from refopt.stopping import BUDGET, DONE, FALLING, RUNNING, ZERO_GRADIENT, Ending, Status, spent

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
    run: Callable[..., Any], think: Callable[..., Any], problem: Any, state: Any, watch: Any, params: Any, tests: Any,
    limits: Limits, began: float, report: Callable[[Any, Any, int], bool] | None = None, trace: bool = False,
) -> Run:  # fmt: skip
    """Run until something ends it.

    ``run(problem, state, watch, params, tests, steps)`` advances; ``think(problem, state, watch, params, tests,
    tried)`` is asked when the run is stuck; ``report(state, watch, nit)`` is told of every step, and may end the run.
    """
    nit, tried, seen = 0, 0, [state] if trace else []
    differenced = hasattr(state, "nhev") and tests.per_hessian + tests.gradients_per_hessian > 0
    uncounted = limits.maxfun < 1e300 and differenced  # by the loop itself
    single = report is not None or trace or uncounted
    steps = 1 if single else first_chunk(time.perf_counter() - began)
    while True:
        if watch.verdict == DONE:
            return Run(state, watch, nit, arrived(watch, state, nit), seen)
        if watch.verdict == BUDGET or spent(state, tests).nfev >= limits.maxfun:
            return Run(state, watch, nit, Ending(Status.MAXFUN, False), seen)
        if watch.verdict == FALLING:
            return Run(state, watch, nit, Ending(Status.UNBOUNDED, False), seen)
        if watch.verdict != RUNNING:
            observed, calls = counted(problem)
            answer = think(observed, state, watch, params, tests, tried)
            if isinstance(answer, Ending):
                return Run(with_calls(state, calls), watch, nit, answer, seen)
            observed, state, watch = answer
            problem, state = problem._replace(noise=observed.noise), with_calls(state, calls)
            tried += 1
        if nit >= limits.maxiter:
            return Run(state, watch, nit, Ending(Status.MAXITER, False), seen)
        start = time.perf_counter()
        if start - began >= limits.maxtime:
            return Run(state, watch, nit, Ending(Status.MAXTIME, False), seen)
        state, watch, k = run(problem, state, watch, params, tests, min(steps, limits.maxiter - nit))
        nit += k
        if trace:
            seen.append(state)
        if report is not None and report(state, watch, nit):
            return Run(state, watch, nit, Ending(Status.CALLBACK, False), seen)
        if not single:
            steps = next_chunk(steps, time.perf_counter() - start)


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


def first_chunk(init_time: float) -> int:
    """As many steps as take about ten milliseconds, judged by what starting took."""
    return max(1, min(1000, int(0.01 / max(init_time, 1e-6))))


def next_chunk(steps: int, elapsed: float) -> int:
    if elapsed < 0.05:
        return 4 * steps
    return max(1, steps // 4) if elapsed > 0.2 else steps


def arrived(watch: Any, state: Any, nit: int) -> Ending:
    """CONVERGED, with a word of caution where the start or the last steps call for one."""
    if nit == 0 and watch.gnorm == 0.0 and not hasattr(state, "B"):
        return Ending(Status.CONVERGED, True, ZERO_GRADIENT)
    return Ending(Status.CONVERGED, True)


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


def parameters(function: Any) -> set[str]:
    """The names of a function's parameters; none where they are not known, as of some builtins."""
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set()


def result(ending: Ending, nit: int, seconds: float, trace: list[Any], state: Any, **fields: Any) -> Any:
    """The OptimizeResult, with the same fields for every method."""
    from scipy.optimize import OptimizeResult

    counts = {name: int(getattr(state, name, 0)) for name in ("nfev", "njev", "nhev", "nhvp")}
    message = MESSAGES[ending.status]
    return OptimizeResult(
        **fields, nit=nit, **counts, status=ending.status, success=ending.success, message=message,
        advice=ending.advice, time=seconds, trace=trace,
    )  # fmt: skip
