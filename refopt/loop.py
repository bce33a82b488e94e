"""The only loops: ``iterate`` yields every state, ``run`` returns the last one.

A method is a module with ``Params``, ``State``, ``init(problem, x0, params)`` and ``step(problem, state, params)``, all
pure, and ``predicted(state)``, what its model still promises. Every state has the fields x, f, g and nfev, and says
whether the last step was ``taken`` and whether the method can go on, ``ok``.
"""

from collections.abc import Iterator
from typing import Any

from refopt.ops import scalar
from refopt.problem import Problem
from refopt.stopping import RUNNING, Tests, Watch, observe, settle


def iterate(method: Any, problem: Any, x0: Any, params: Any = None) -> Iterator[Any]:
    """Every state of ``method`` from ``x0`` on, without end: the first is ``init``, each next one a ``step``."""
    params = method.Params() if params is None else params
    problem = with_scalars(problem)
    state = method.init(problem, x0, params)
    while True:
        yield state
        state = method.step(problem, state, params)


def run(method: Any, problem: Problem, state: Any, watch: Watch, params: Any, tests: Tests, steps: int) -> Any:
    """Up to ``steps`` steps, fewer if the run ends or needs thought; and how many they were."""
    k = 0
    while k < steps and watch.verdict == RUNNING:
        state = method.step(problem, state, params)
        watch = look(method, problem, state, watch, tests)
        k = k + 1
    return state, watch, k


def look(method: Any, problem: Problem, state: Any, watch: Watch, tests: Tests) -> Watch:
    """Take note of a state; ask the model only when the gradient is small."""
    nfev = state.nfev + tests.per_gradient * state.njev
    watch = observe(problem, watch, state.x, state.f, state.g, nfev, state.ok, state.taken, tests)
    if watch.small:
        watch = settle(problem, watch, state.x, state.f, method.predicted(state), tests)
    return watch


def with_scalars(problem: Any) -> Any:
    """The problem with an f that returns Python floats (or rational numbers), whatever the user's returns."""
    if isinstance(problem, Problem):
        fun = problem.fun
        return problem._replace(fun=lambda x: scalar(fun(x)))
    return problem
