"""Whether the point of a fit that is stuck is stationary to working precision.

It is by its gradient, if that is next to nothing beside the first one; by the cosine between the residual and the
columns of the Jacobian; or by the noise of its gradient, which is measured, where the model or Newton's method has
nothing to gain. ``watch`` and ``tests`` are those of ``refopt.stopping_residuals``.
"""

from typing import Any

from refopt.derivatives import jacobian, relative_step
from refopt.judgement import MANY
from refopt.linesearch import noise_floor
from refopt.noise import central, central_accuracy, nearby, one_sided
from refopt.ops import Vector, absolute, column_norms, dot, eps, norm, norm_inf, positive, rmatvec
from refopt.problem import LeastSquares, Problem
from refopt.refinement import refine

SAFE = 1e-6  #: a gradient this much smaller than at the start is small


def cosine(state: Any) -> float:
    """maxⱼ |Jⱼᵀr| / (‖Jⱼ‖‖r‖)."""
    return norm_inf(state.g / positive(column_norms(state.J))) / (norm(state.r) or 1.0)


def stationary(problem: LeastSquares, state: Any, watch: Any, promised: float, tests: Any, error: float) -> bool:
    """Whether the point is stationary to working precision: by its gradient, by the rounding or the noise of that."""
    gnorm, gained, angle = norm_inf(state.g), watch.f0 - state.f, cosine(state)
    if gnorm <= SAFE * watch.g0 and (promised <= min(1e-12 * gained, 1e-6 * max(1.0, state.f)) or angle <= 1e-6):
        return True
    if norm_inf(state.g / rounding(state)) <= 2.0 * state.r.shape[0]:
        return True
    ef = noise_floor(problem, state.x, state.f)
    reach = 0.5 if tests.differences == 0.0 else 1.0
    if promised <= 10.0 * ef and gnorm <= reach * SAFE * watch.g0:
        return True
    falling = gnorm <= 1e-3 * watch.g0 and (angle <= 1e-3 or state.f <= 1e-6 * watch.f0)
    near = falling or unmoved(state.x, state.f, ef, watch, tests) or promised <= min(10.0 * ef, 0.1 * state.f)
    return near and gnorm <= error


def rounding(state: Any) -> Vector:
    """eps |J|ᵀ|r|, which each term of Jᵀr may be wrong by."""
    return eps(state.x) * positive(rmatvec(absolute(state.J), absolute(state.r)))


def perfected(
    method: Any, problem: LeastSquares, state: Any, watch: Any, params: Any, tests: Any, error: float, left: float,
    last: bool,
) -> Any:  # fmt: skip
    """The state at a point from which a Newton step, by second derivatives by differences, would gain nothing; or None.

    There the gradient must be small beside the first, or within its error, or the run not have left its start. It is
    the point of ``state``, or, at the last, where Newton's method on the gradient leads from there; ``left``
    evaluations may be made.
    """
    exact, (n,) = tests.differences == 0.0, state.x.shape
    most = left / (1 + (tests.per_gradient if exact else 2 * n))
    function, ef = as_function(problem), noise_floor(problem, state.x, state.f)

    def small(x: Vector, g: Vector) -> bool:
        idle = unmoved(x, state.f, ef, watch, tests)
        known = error if idle or not exact or error <= 1e-2 * watch.g0 else 0.0  # more is a jump
        if norm_inf(g) <= max(known, 0.5 * SAFE * watch.g0) or (exact and nearby(x, watch.size)):
            return True
        return last and error <= 1e-3 * watch.g0 and idle

    promising = norm_inf(state.g) <= 1e-2 * watch.g0 or unmoved(state.x, state.f, ef, watch, tests)
    if not (small(state.x, state.g) or (last and promising)):
        return None
    if n > MANY or most < 2 * n + 12 or risen(state.f, watch, ef):
        return None
    noise, bias, enough = 0.0 * state.g + 0.1 * error, 0.0, 10.0 * ef
    if not exact:
        function = function._replace(grad=central(problem, watch))
        enough = max(min(enough, 1e-3 * state.f), 1e-8 * min(state.f, watch.f0 - state.f))
        noise, bias, errors, _ = central_accuracy(problem, state.x, state.g, watch)
        error = max(error, norm_inf(errors))
    most = most - 11 if last else 2 * n + 1
    x, _, g, gain, *_ = refine(function, state.x, state.f, state.g, watch.size, noise, ef, enough, most, bias)
    if gain > enough or not small(x, g):
        return None
    return state if x is state.x else method.init(problem, x, params)._replace(nfev=state.nfev, njev=state.njev)


def centred(method: Any, problem: LeastSquares, state: Any, watch: Any, params: Any, tests: Any) -> Any:
    """Problem, state and tests as those of a run by central differences, where it takes one-sided ones.

    Those have a minimum elsewhere: nothing is claimed by them alone.   Cost: one residual, one Jacobian.
    """
    if state.x.shape[0] > MANY or not one_sided(tests.differences, state.x):
        return problem, state, tests
    problem = problem._replace(jacobian=lambda x: jacobian(problem.residual, x, "3-point", watch.size, watch.rough))
    state = method.init(problem, state.x, params)._replace(nfev=state.nfev, njev=state.njev)
    return problem, state, tests._replace(differences=relative_step("3-point", state.x))


def risen(f: float, watch: Any, ef: float) -> bool:
    """Whether f is higher than at the start: full steps may lead uphill, to where the gradient vanishes at infinity."""
    return f > (1.0 + 1e-6) * watch.f0 + ef


def unmoved(x: Vector, f: float, ef: float, watch: Any, tests: Any) -> bool:
    """Whether the run never left its start: by what f has fallen, of which differences see eight digits, or by x."""
    return watch.f0 - f <= max(10.0 * ef, 1e-8 * f if tests.differences > 0.0 else 0.0) or nearby(x, watch.size)


def as_function(problem: LeastSquares) -> Problem:
    """½‖r‖² with its gradient Jᵀr."""

    def fun(x: Vector) -> float:
        r = problem.residual(x)
        return 0.5 * dot(r, r)

    return Problem(fun, lambda x: rmatvec(problem.jacobian(x), problem.residual(x)))
