"""The only loops: ``iterate`` yields every state, ``begin`` and ``run`` return the last one.

A method is a module with ``Params``, ``State``, ``init(problem, x0, params)`` and ``step(problem, state, params)``, all
pure, and ``predicted(state)``, what its model still promises. Every state has the fields x, f, g and nfev, and says
whether the last step was ``taken`` and whether the method can go on, ``ok``. The rules, ``stopping`` or
``stopping_residuals``, are a module as well: ``watch`` what matters, ``look`` at each state, and have the
last one ``finished``.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from refopt.judgement import RUNNING
from refopt.linesearch import SEARCHES
from refopt.ops import Vector, reals, scalar
from refopt.problem import LeastSquares, Problem, Products


def iterate(method: Any, problem: Any, x0: Any, params: Any = None) -> Iterator[Any]:
    """Every state of ``method`` from ``x0`` on, without end: the first is ``init``, each next one a ``step``.

    method: a module of ``refopt.methods`` or ``refopt.stochastic``, or one with the same names. params: its ``Params``,
    in which a search may be said by its name.   TypeError for anything else, for a function in place of a problem, and
    for a problem without a function that the method calls.
    """
    if not (hasattr(method, "init") and hasattr(method, "step")):
        raise TypeError(f"a method is a module, as by: from refopt.methods import bfgs; given was {method!r}")
    if callable(problem):
        raise TypeError(f"a problem is needed, as refopt.Problem(fun, grad); given was the function {problem!r}")
    params = method.Params() if params is None else params
    if isinstance(params, dict):
        raise TypeError(f"params are a method's Params, not a dict: {method.__name__.split('.')[-1]}.Params(...)")
    if isinstance(getattr(params, "search", 0), str):
        params = params._replace(search=named_search(params.search))
    problem = with_scalars(problem)
    state = method.init(problem, reals(x0), params)
    while True:
        yield state
        state = method.step(problem, state, params)


def named_search(name: str) -> int:
    """The place of a line search among all, which is what a method knows it by."""
    if name not in SEARCHES:
        raise ValueError(f"search must be one of {', '.join(map(repr, SEARCHES))}; it is {name!r}")
    return SEARCHES.index(name)


def begin(method: Any, rules: Any, problem: Any, x: Vector, size: Vector, params: Any, tests: Any, steps: int) -> Any:
    """The first state, judged, and up to ``steps`` steps from it; ``size`` is that of the variables."""
    state = method.init(problem, x, params)
    watch = rules.look(method, problem, state, rules.watch(state.x, state.f, state.g, size), tests)
    return run(method, rules, problem, state, watch, params, tests, steps)


def run(method: Any, rules: Any, problem: Any, state: Any, watch: Any, params: Any, tests: Any, steps: int) -> Any:
    """Up to ``steps`` steps, fewer if the run ends or needs thought; and how many they were."""
    k = 0
    while k < steps and watch.verdict == RUNNING:
        state = method.step(problem, state, params)
        watch = rules.look(method, problem, state, watch, tests)
        k = k + 1
    if watch.verdict != RUNNING:
        state, watch = rules.finished(method, problem, state, watch, params, tests)
    return state, watch, k


class Loop(NamedTuple):
    """The loop of one method on one problem, generic or compiled."""

    begin: Callable[..., Any]  #: (x, size, params, tests, steps) -> state, watch, steps taken
    run: Callable[..., Any]  #: (noise, state, watch, params, tests, steps) -> state, watch, steps taken
    pace: dict[int, float]  #: seconds that a step took in the last run, for each number of variables
    keeps: bool = False  #: the last Hessian, for products with it, in a matrix ``kept`` of (n + 1, n + 1)


def generic(method: Any, rules: Any, problem: Any) -> Loop:
    """The loop for arrays of any kind. Overflow and the like are part of the search, and not worth a warning."""

    def first(*rest: Any) -> Any:
        with np.errstate(all="ignore"):
            return begin(method, rules, problem, *rest)

    def further(noise: float, *rest: Any) -> Any:
        with np.errstate(all="ignore"):
            return run(method, rules, problem._replace(noise=noise), *rest)

    return Loop(first, further, {})


def keeping(loop: Loop, kept: Any) -> Loop:
    """The loop with this matrix to keep Hessians in, from step to step; its last entry says how many were evaluated."""
    return loop._replace(begin=partial(loop.begin, kept=kept), run=partial(loop.run, kept=kept))


def having_tried(loop: Loop, tried: int) -> Loop:
    """The loop, its first state with so many evaluations that were made before."""

    def begin(*start: Any) -> Any:
        state, watch, steps = loop.begin(*start)
        return state._replace(nfev=state.nfev + tried), watch, steps

    return loop._replace(begin=begin) if tried else loop


def with_wider_differences(loop: Loop, method: Any, rules: Any, problem: Callable[[float], Any]) -> Loop:
    """The loop, with differences that suit the noise of f once ``watch.rough`` says how large it is; then generic."""

    def further(noise: float, state: Any, watch: Any, *rest: Any) -> Any:
        chosen = generic(method, rules, problem(watch.rough)) if watch.rough > 0.0 else loop
        return chosen.run(noise, state, watch, *rest)

    return loop._replace(run=further)


def with_scalars(problem: Any) -> Any:
    """The problem with an f that returns Python floats (or rational numbers), and products where it has Hessians."""
    if isinstance(problem, Problem):
        fun = problem.fun
        if problem.hvp is None and problem.hess is not None:
            problem = problem._replace(hvp=Products(problem.hess))
        problem = problem._replace(fun=lambda x: scalar(fun(x)))
    if isinstance(problem, Problem | LeastSquares):
        missing = [name for name in problem._fields if getattr(problem, name) is None]
        lacking: dict[str, Any] = {name: partial(_lacking, problem, name) for name in missing}
        return problem._replace(**lacking)
    return problem


def _lacking(problem: Any, name: str, *_: Any) -> Any:
    """In place of a function that the problem lacks."""
    makers = {"grad": "gradient_of", "hess": "hessian_of", "hvp": "hvp_of", "jacobian": "jacobian_of"}
    kind, maker = type(problem).__name__, makers[name]
    raise TypeError(
        f"the method needs {name}, which the {kind} lacks: {kind}(…, {name}=…); "
        f"refopt.derivatives.{maker}({problem._fields[0]}) makes one"
    )
