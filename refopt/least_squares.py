"""``least_squares`` and ``curve_fit``: SciPy's shape, refopt's methods."""

import inspect
import math
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import Parameter
from typing import Any, NamedTuple

import numpy as np

from refopt import driver, stopping, stopping_residuals
from refopt import loop as loops
from refopt.accounts import Account
from refopt.budget import Spent
from refopt.catalogue import Entry, as_dict, find, nonnegative, split_options
from refopt.derivatives.differences import start_sizes
from refopt.inputs import Later, Together, array_function, check_derivatives, own, same_kind, vector
from refopt.linalg.arrays import lower_inverse
from refopt.linalg.gram import inverse_gram
from refopt.minimize import bounding, differenced, given, planned, steps_at_most, why_generic
from refopt.ops import cholesky, device, diagonal, eps, finite, namespace, norm_inf, positive
from refopt.problem import LeastSquares


def least_squares(
    fun: Callable[..., Any], x0: Any, jac: Any = "3-point", method: str = "lm", args: Any = (),
    kwargs: dict[str, Any] | None = None, x_scale: Any = 1.0, ftol: float | None = 0.0, xtol: float | None = 0.0,
    gtol: float | None = 1e-8, max_nfev: int | None = None, callback: Any = None,
    options: dict[str, Any] | None = None, bounds: Any = None, loss: Any = "linear",
) -> Any:  # fmt: skip
    """Minimize ½‖r(x)‖² over x of shape (n,).   Arguments mean what they mean in ``scipy.optimize``.

    Parameters
    ----------
    fun : callable ``fun(x, *args, **kwargs) -> (m,)``, the residuals; or ``-> ((m,), (m, n))`` with ``jac=True``.
        Jitted by numba, it is fitted by a compiled loop. Fewer residuals than variables are allowed.
    x0 : (n,) numbers, or an array of any kind (NumPy, CuPy, PyTorch, ...), which ``fun`` then receives. Not modified.
    jac : callable ``jac(x, *args, **kwargs) -> (m, n)``, True, "autograd", "cs", "3-point" or "2-point". The matrix may
        be sparse; it is made dense.
    method : a name from ``refopt.available()``.
    x_scale : 1.0 or "jac" to scale the variables by the columns of the Jacobian; or sizes, (n,) or one for all.
    ftol, xtol, gtol : see ``refopt.stopping_residuals``; ``gtol`` bounds the cosine between the residual and the
        columns of the Jacobian. 0 or None is off.
    max_nfev : how many evaluations of ``fun`` at most, those of differences included; the first point is evaluated in
        any case, with its Jacobian.
    callback : ``callback(intermediate_result=...)`` or ``callback(x)`` after every step; StopIteration ends the run.
    options : fields of the method's ``Params``, and maxiter, maxfun, maxtime (seconds), gtol, gtol_abs (‖Jᵀr‖∞ at the
        end), trace, disp, compiled ("auto", True, False).
    bounds, loss : only none, and "linear".

    Returns
    -------
    OptimizeResult with x, fun = cost = ½‖r‖², residual (m,), jac (m, n), grad = Jᵀr, optimality = ‖Jᵀr‖∞,
    covariance = s² (JᵀJ)⁻¹ (n, n) with s² = ‖r‖²/(m − rank J), stderr = √diag, and
    nit nfev njev nhev nhvp status success message advice time trace. ``status`` is a ``refopt.Status``. Where J is
    rank-deficient the inverse is the pseudoinverse, and ``advice`` says so; where m ≤ rank J, covariance is infinite.

    Raises
    ------
    ValueError for a wrong shape, NaN in ``x0``, an unknown method, bounds, a robust loss; TypeError for an unknown
    option. An exception of the user's functions arrives unchanged.
    """
    began, options = time.perf_counter(), as_dict(options)
    refuse(bounds, loss)
    x = vector(x0)
    scale, limit = fixed_scale(x_scale, x), nonnegative("maxfun", given(options, "maxfun", 1e300))
    limit = limit if max_nfev is None else nonnegative("max_nfev", max_nfev)
    with Account((fun, jac), args, limit, not kwargs) as account:
        (fun, jac), args = account.functions, account.args
        plan = planned(plan_of, x, fun, jac, args, kwargs or None, method, ftol, xtol, gtol, limit, options)
        method, params, tests, common = plan.method, plan.params, plan.tests, plan.common
        size, tried = positive(abs(x)), 0
        if tests.differences > 0.0:
            size, tried = start_sizes(Residual(partial(fun, **(kwargs or {})), args), x)
        problem = Later(generic_problem, fun, jac, args, kwargs or {}, size)
        loop = plan.loop or loops.generic(method, stopping_residuals, problem())
        if tests.differences > 0.0:
            loop = loops.with_wider_differences(loop, method, stopping_residuals, problem)
        if scale is not None and "rescale" in params._fields:
            params, loop = params._replace(rescale=False), scaled(loop, method, scale)
        loop = loops.having_tried(loop, tried)
        think = driver.thinker(stopping_residuals, method, problem, params, tests)
        describe = partial(driver.so_far, partial(sketch, tests, began))
        report = driver.reporter(callback, bool(common.get("disp")), describe)
        trace, budget = bool(common.get("trace")), account.budget
        done = driver.drive(loop, think, x, size, params, tests, plan.limits, began, report, trace, budget)
        with np.errstate(all="ignore"):
            with suppress(Spent):
                done = completed(method, problem, done, params, tests)
            return outcome(tests, began, done)


class Plan(NamedTuple):
    """What is asked of a run, all but its start."""

    method: Any
    params: Any
    tests: stopping_residuals.Tests
    limits: driver.Limits
    common: dict[str, Any]  #: the options that all methods have
    loop: loops.Loop | None  #: the compiled one, if it can be


def plan_of(
    x: Any, fun: Any, jac: Any, args: Any, kwargs: Any, method: str, ftol: Any, xtol: Any, gtol: Any, maxfun: float,
    options: Any,
) -> Plan:  # fmt: skip
    entry = find(method, "least_squares")
    params, common = split_options(entry, options)
    check_derivatives(jac=jac)
    tests = wanted(ftol, xtol, gtol, maxfun, common, jac, x)
    limits = driver.Limits(steps_at_most(common, x.shape[0]), maxfun, given(common, "maxtime", np.inf))
    loop = compiled_loop(entry, fun, jac, args, kwargs, x, common.get("compiled", "auto"))
    return Plan(entry.module, params, tests, limits, common, loop)


def refuse(bounds: Any, loss: Any) -> None:
    """Bounds and robust losses, with a word on who can do them."""
    if bounding(bounds):
        raise ValueError("refopt fits without bounds; scipy.optimize.least_squares(bounds=...) has them")
    if loss != "linear":
        raise ValueError(
            f"refopt fits by squares, loss 'linear', not {loss!r}: minimize the sum of a loss of the residuals with "
            "refopt.minimize, or take scipy.optimize.least_squares(loss=...)"
        )


def completed(method: Any, problem: Later, run: driver.Run, params: Any, tests: Any) -> driver.Run:
    """The run with a Jacobian that is not only learnt; and polished, where that has still to be done."""
    if not getattr(run.state, "exact", True):
        run = run._replace(state=method.renewed(problem(run.watch.rough), run.state))
    ending = run.ending
    if ending.status is stopping.Status.PRECISION and ending.success and tests.differences == 0.0:
        final, watch = problem(run.watch.rough), run.watch._replace(verdict=stopping.DONE)
        state, _ = stopping_residuals.finished(method, final, run.state, watch, params, tests)
        run = run._replace(state=state)
    return run


def scaled(loop: loops.Loop, method: Any, scale: Any) -> loops.Loop:
    """The loop with the user's sizes of the variables in place of the Jacobian's."""

    def begin(x: Any, size: Any, params: Any, tests: Any, steps: int) -> Any:
        state, watch, _ = loop.begin(x, size, params, tests, 0)
        state = method.resume(state._replace(d=1.0 / scale), params)
        return loop.run(0.0, state, watch, params, tests, steps)

    return loop._replace(begin=begin)


def sketch(tests: Any, began: float, run: driver.Run) -> Any:
    """The OptimizeResult without the covariance: what a callback sees."""
    state = run.state
    return driver.result(
        run, tests, began, x=state.x, fun=state.f, cost=state.f, residual=state.r, jac=state.J, grad=state.g,
        optimality=norm_inf(state.g),
    )  # fmt: skip


def outcome(tests: stopping_residuals.Tests, began: float, run: driver.Run) -> Any:
    """The OptimizeResult of a run, with what can be said about the parameters' errors."""
    result = sketch(tests, began, run)
    if result.status == stopping.Status.NOT_FINITE:
        culprit = "the Jacobian" if finite(result.fun) else "fun, or the sum of its squares,"
        result.advice = f"{culprit} holds NaN or infinity at x0: start where the model is defined"
    inverse, rank = information(run.state, noise_of(tests.differences, run.state.x))
    covariance = spread(inverse, run.state.f, run.state.r.shape[0] - rank)
    result.covariance, result.stderr = covariance, namespace(inverse).sqrt(diagonal(covariance))
    if run.ending.success:
        result.advice = advice(result, rank)
    return result


def advice(result: Any, rank: int) -> str:
    if result.nit == 0 and result.optimality == 0.0 and result.cost > 0.0:
        return "the gradient is zero at the start: a minimum and a plateau cannot be told apart; start elsewhere"
    return stopping_residuals.DEPENDENT if rank < result.x.shape[0] else ""


def information(state: Any, noise: float) -> tuple[Any, int]:
    """(JᵀJ)⁻¹ and the rank of J: R⁻¹R⁻ᵀ where the method has found full rank in an exact J."""
    if not state.full or noise > 0.0:
        return inverse_gram(state.J, noise)
    half = lower_inverse(state.R.T)
    return half.T @ half, state.R.shape[0]


def spread(inverse: Any, cost: float, freedom: int) -> Any:
    """s² (JᵀJ)⁻¹ with s² = ‖r‖²/freedom, infinite without degrees of freedom."""
    return 2.0 * cost / freedom * inverse if freedom > 0 else namespace(inverse).full_like(inverse, np.inf)


def wanted(
    ftol: float | None, xtol: float | None, gtol: float | None, maxfun: float, common: dict[str, Any], jac: Any, x: Any
) -> stopping_residuals.Tests:  # fmt: skip
    """The stopping tests that the user asked for; ``gtol_abs`` alone means SciPy's absolute test alone."""
    n, gtol_abs = x.shape[0], given(common, "gtol_abs", 0.0)
    ftol, xtol, gtol = (
        None if value is None else nonnegative(name, value)
        for name, value in (("ftol", ftol), ("xtol", xtol), ("gtol", gtol))
    )
    return stopping_residuals.Tests(
        gtol=float(common.get("gtol", gtol) or 0.0),
        ftol=float(ftol or 0.0),
        xtol=float(xtol or 0.0),
        gtol_abs=float(gtol_abs),
        absolute_only="gtol" not in common and gtol in (None, 0.0, 1e-8) and gtol_abs > 0.0,
        differences=difference_step(jac, x),
        per_gradient={"2-point": n + 1, "3-point": 2 * n, "cs": n}.get(differenced(jac), 0),
        maxfun=float(maxfun),
    )


def difference_step(jac: Any, x: Any) -> float:
    """The relative step of a Jacobian by differences, 0 for another."""
    if differenced(jac) not in ("2-point", "3-point"):
        return 0.0
    from refopt.derivatives import relative_step

    return relative_step(differenced(jac), x)


def noise_of(step: float, x: Any) -> float:
    """The relative noise of a Jacobian by differences with this step, 0 for another."""
    return 10.0 * eps(x) / step if step > 0.0 else 0.0


def fixed_scale(x_scale: Any, x: Any) -> Any:
    """The sizes of the variables as a vector like x, or None where the Jacobian is to tell them."""
    if isinstance(x_scale, str) and x_scale != "jac":
        raise ValueError(f"x_scale must be 'jac', a positive number or (n,) of them; it is {x_scale!r}")
    if isinstance(x_scale, str) or (isinstance(x_scale, int | float) and x_scale == 1.0):
        return None
    xp = namespace(x)
    scale = xp.asarray(x_scale, dtype=x.dtype, device=device(x))
    scale = xp.ones_like(x) * scale if scale.shape == () else scale
    if tuple(scale.shape) != tuple(x.shape) or not finite(norm_inf(scale)) or not bool(xp.all(scale > 0.0)):
        raise ValueError(f"x_scale must be 'jac', a positive number or (n,) of them, n = {x.shape[0]}; it is {x_scale}")
    return scale


def compiled_loop(
    entry: Entry, fun: Any, jac: Any, args: tuple[Any, ...], kwargs: Any, x: Any, wish: Any
) -> loops.Loop | None:  # fmt: skip
    """The loop that will run, if it is compiled."""
    if not callable(fun):
        raise TypeError(f"fun must be callable; it is {type(fun).__name__}")
    obstacle = "compiled is False" if not wish else why_generic(entry, fun, jac, None, (*args, *(kwargs or ())), x)
    if not obstacle:
        from refopt import compiled

        fun, jac = compiled.parts(fun) if jac is True else (fun, jac)
        functions = LeastSquares(fun, jac if callable(jac) else None)  # type: ignore[arg-type]
        return compiled.runner(entry.module, stopping_residuals, functions)
    if wish is True:
        raise ValueError(f"compiled=True is not possible here: {obstacle}")
    return None


def generic_problem(
    fun: Any, jac: Any, args: tuple[Any, ...], kwargs: dict[str, Any], size: Any, noise: float = 0.0
) -> LeastSquares:
    """The user's functions, and differences that suit the sizes of variables and the noise of r, 0 for its rounding."""
    from refopt import derivatives

    if jac is True:
        both = Together(fun)
        fun, jac = both.value, both.derivative
    residual = Residual(partial(fun, **kwargs), args)
    if callable(jac):
        shape = lambda x: (residual.rows(x), x.shape[0])
        return LeastSquares(residual, array_function(partial(jac, **kwargs), args, shape, "jac"))
    raw = (lambda x: fun(x, *args, **kwargs)) if jac in ("autograd", "cs") else residual
    return LeastSquares(residual, derivatives.jacobian_of(raw, differenced(jac), size, noise))


class Residual:
    """x ↦ fun(x, *args) as a fresh vector of x's kind; its length m is that of the first one."""

    def __init__(self, fun: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.fun, self.args, self.m = fun, args, 0

    def __call__(self, x: Any) -> Any:
        value = self.fun(own(x), *self.args)
        if self.m == 0:
            self.m = length(value)
        return same_kind(value, x, (self.m,), "fun")

    def rows(self, x: Any) -> int:
        """m, asked of the function where a compiled loop has not said it."""
        return self.m or int(self(x).shape[0])


def length(value: Any) -> int:
    """The number of residuals."""
    shape = tuple(value.shape) if hasattr(value, "shape") else np.shape(value)
    if len(shape) > 1:
        raise ValueError(f"fun must return the residuals as a vector of shape (m,); it returned shape {shape}")
    if shape == (0,):
        raise ValueError("fun returned no residuals: there is nothing to fit")
    return math.prod(shape)


def curve_fit(
    f: Callable[..., Any], xdata: Any, ydata: Any, p0: Any = None, sigma: Any = None, absolute_sigma: bool = False,
    method: str = "lm", jac: Any = None, **kwargs: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """The parameters p of y = f(x, *p) + error, and their covariance.   As ``scipy.optimize.curve_fit``.

    Parameters
    ----------
    f : callable ``f(xdata, *p) -> (m,)``.
    ydata : (m,) finite numbers.
    p0 : (n,) numbers, the start; without it ones, as many as f has parameters.
    sigma : None, or standard deviations of ydata, (m,) or one for all, or their covariance matrix (m, m).
    absolute_sigma : whether sigma is known, and not only up to a factor that the fit tells.
    jac : None for 3-point differences, callable ``jac(xdata, *p) -> (m, n)``, "autograd", "cs", "3-point", "2-point".
    kwargs : further arguments of ``least_squares``.

    Returns
    -------
    popt (n,) and pcov (n, n) = s² (JᵀJ)⁻¹ with s² = ‖r‖²/(m − n), or 1 with ``absolute_sigma``; r and J are weighted by
    sigma. Infinite, with a warning, where the data do not determine every parameter.

    Raises
    ------
    RuntimeError if no minimum is found, with the reason; ValueError for data that are not finite or of a wrong shape.
    """
    if strange := kwargs.keys() - inspect.signature(least_squares).parameters.keys():
        hint = "; what SciPy calls maxfev is max_nfev here" if "maxfev" in strange else ""
        raise TypeError(
            f"curve_fit has no argument {', '.join(map(repr, sorted(strange)))}; it takes those of least_squares{hint}"
        )
    if isinstance(xdata, list | tuple):
        xdata = np.asarray(xdata, float)
    if isinstance(xdata, np.ndarray) and xdata.dtype.kind == "f" and not np.isfinite(xdata).all():
        raise ValueError("xdata must be finite; it holds NaN or infinity")
    y = vector(ydata, "ydata")
    p0 = np.ones(parameters(f)) if p0 is None else vector(p0, "p0")
    weighted = weighting(sigma, y)

    def residual(p: Any) -> Any:
        values = f(xdata, *(p[i] for i in range(p.shape[0])))
        if getattr(values, "shape", y.shape) not in (y.shape, (), (1,)):
            raise ValueError(
                f"f must return {y.shape[0]} numbers, as ydata has; it returned shape {tuple(values.shape)}"
            )
        return weighted(values - y)

    derivative = "3-point" if jac is None else jac
    if callable(jac):
        derivative = lambda p: weighted(jac(xdata, *(p[i] for i in range(p.shape[0]))))
    fit = least_squares(residual, p0, jac=derivative, method=method, **kwargs)
    if not fit.success:
        raise RuntimeError(f"no best parameters were found: {fit.message}. {fit.advice}".rstrip(". ") + ".")
    inverse, rank = inverse_gram(fit.jac, noise_of(difference_step(jac, fit.x), fit.x))
    pcov = inverse if absolute_sigma else fit.covariance
    if rank < fit.x.shape[0] or (fit.jac.shape[0] <= rank and not absolute_sigma):
        from scipy.optimize import OptimizeWarning

        warnings.warn("the covariance of the parameters could not be estimated", OptimizeWarning, stacklevel=2)
        pcov = namespace(inverse).full_like(inverse, np.inf)
    return fit.x, pcov


def parameters(f: Callable[..., Any]) -> int:
    """How many parameters follow the first argument of f."""
    kinds = [parameter.kind for parameter in inspect.signature(f).parameters.values()]
    n = sum(kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds) - 1
    if Parameter.VAR_POSITIONAL in kinds or n < 1:
        raise ValueError("how many parameters f has cannot be told from its arguments; pass p0, their first values")
    return n


def weighting(sigma: Any, y: Any) -> Callable[[Any], Any]:
    """r ↦ r/σ, or L⁻¹r where sigma = LLᵀ is a covariance matrix; r may be (m,) or (m, n)."""
    if sigma is None:
        return lambda r: r
    xp, m = namespace(y), y.shape[0]
    sigma = xp.asarray(sigma, dtype=y.dtype, device=device(y))
    if tuple(sigma.shape) == (m, m) and m > 1:
        factor, definite = cholesky(sigma, 0.0)
        if not definite:
            raise ValueError("sigma is no covariance matrix of ydata: it must be symmetric positive definite")
        inverse = xp.linalg.inv(factor)
        return lambda r: inverse @ r
    if tuple(sigma.shape) not in ((), (1,), (m,)):
        raise ValueError(f"sigma must have shape ({m},) or ({m}, {m}), as ydata; it has shape {tuple(sigma.shape)}")
    if not bool(xp.all((sigma > 0.0) & xp.isfinite(sigma))):
        raise ValueError("sigma must hold positive, finite standard deviations; where ydata is unknown, leave it out")
    return lambda r: r / (sigma if len(r.shape) == 1 or len(sigma.shape) == 0 else sigma[:, None])
