"""``minimize``: SciPy's shape, refopt's methods.   ``as_scipy``: refopt's methods in SciPy's ``minimize``."""

import sys
import time
import warnings
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from refopt import driver, stopping
from refopt import loop as loops
from refopt.accounts import Account
from refopt.budget import Spent
from refopt.catalogue import Entry, as_dict, find, nonnegative, split_options
from refopt.derivatives.differences import own_sizes, relative_step, start_sizes
from refopt.inputs import (
    FLOAT,
    Later,
    Together,
    array_function,
    check_derivatives,
    scalar_function,
    start_array,
    vector,
)
from refopt.ops import finite, symmetrised
from refopt.problem import Problem
from refopt.products import products_of


def minimize(
    fun: Callable[..., Any], x0: Any, args: Any = (), method: str = "bfgs", jac: Any = None, hess: Any = None,
    hessp: Any = None, bounds: Any = None, constraints: Any = (), tol: float | None = None, callback: Any = None,
    options: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """Minimize f(x), x of shape (n,), without constraints.   Arguments mean what they mean in ``scipy.optimize``.

    Parameters
    ----------
    fun : callable ``fun(x, *args) -> float``, or ``-> (float, gradient)`` with ``jac=True``. Jitted by numba, it is
        minimized by a compiled loop.
    x0 : (n,) numbers, or an array of any kind (NumPy, CuPy, PyTorch, ...), which ``fun`` then receives. Not modified.
    method : a name from ``refopt.available()``, or SciPy's for the same.
    jac : callable ``-> (n,)``, True, "autograd", "2-point", "3-point", "cs", or None for 3-point differences. Where
        "2-point" leaves a run stuck it goes on with 3-point differences.
    hess : callable ``-> (n, n)``, "autograd", "2-point", "3-point", "cs", or None for differences of the gradient.
        It may return a sparse matrix, and where products suffice a ``LinearOperator``.
    hessp : callable ``hessp(x, p, *args) -> (n,)``, the Hessian times p, for the methods that need products only.
    tol : sets ``options["gtol"]``.
    callback : ``callback(intermediate_result=...)`` or ``callback(x)`` after every step; StopIteration ends the run.
    options : fields of the method's ``Params`` (searches by name), its arrays (hess_inv0, hess0, history), and maxiter,
        maxfun, maxtime (seconds), gtol (relative, default 1e-10, 1e-8 with differences), gtol_abs, trace, disp,
        compiled ("auto", True, False).

    Returns
    -------
    OptimizeResult with x fun jac nit nfev njev nhev nhvp status success message advice time trace, and hess or
    hess_inv where the method has one. ``x`` is the best point seen. ``status`` is a ``refopt.Status``.

    Raises
    ------
    ValueError for a wrong shape, NaN in ``x0``, an unknown method, bounds or constraints; TypeError for an unknown
    option. An exception of the user's functions arrives unchanged.
    """
    began, options = time.perf_counter(), as_dict(options)
    refuse(bounds, constraints)
    limit = nonnegative("maxfun", given(options, "maxfun", 1e300))
    with Account((fun, jac, hess, hessp), args, limit, "fisher" not in options) as account:
        x, (fun, jac, hess, hessp), args = vector(x0), account.functions, account.args
        plan = planned(plan_of, x, fun, args, method, jac, hess, hessp, tol, options)
        ignore_unused(plan.entry, hess=hess, hessp=hessp)
        perform = partial(performed, fun, args, x, callback, account.budget, began)
        run, describe = perform(plan)
        if plan.jac == "2-point" and run.ending.status in STUCK and not run.ending.success:
            central, so_far = centrally(plan, run)
            if room(central, so_far):
                try:
                    run, describe = perform(central, so_far)
                except Spent:  # by its first state
                    state = driver.given_up(run.state, plan.tests, account.budget)
                    run = run._replace(state=state, ending=stopping.Ending(stopping.Status.MAXFUN, False))
        return describe(run)


STUCK = (stopping.Status.PRECISION, stopping.Status.LINE_SEARCH)  #: as one-sided differences leave a run now and then


def performed(
    fun: Any, args: Any, x: Any, callback: Any, budget: Any, began: float, plan: "Plan", after: Any = None
) -> tuple[driver.Run, Callable[[driver.Run], Any]]:
    """The run that is planned, from x or from where an earlier one ended, and what makes its result."""
    method, params, tests, common = plan.method, plan.params, plan.tests, plan.common
    size, tried = after.watch.size if after else all_sizes(x), 0
    if plan.differs and not after:
        size, tried = start_sizes(value_of(fun, args, plan.jac), x)
    problem = Later(generic_problem, plan, fun, args, size)
    loop = plan.loop or loops.generic(method, stopping, problem())
    kept = np.zeros((x.shape[0] + 1,) * 2) if loop.keeps else None
    if kept is not None:
        loop = loops.keeping(loop, kept)
    if plan.arrays:
        loop = primed(loop, method, {name: start_array(name, common[name], x) for name in plan.arrays})
    if tests.differences > 0.0:
        loop = loops.with_wider_differences(loop, method, stopping, problem)
    if after:
        again = driver.begun_again(stopping, method, problem(after.watch.rough), after.state, after.watch, params)
        loop = loop._replace(begin=lambda *_: (*again, 0))
    loop = loops.having_tried(loop, tried)
    if plan.differs and tests.differences == 0.0:
        size = all_sizes(x)
    think = driver.thinker(stopping, method, problem, params, tests)
    hessians = partial(evaluations, problem, kept) if callable(plan.hess) else None
    describe = partial(outcome, tests, began, hessians, after)
    disp, trace = bool(common.get("disp")), bool(common.get("trace"))
    report = driver.reporter(callback, disp, partial(driver.so_far, describe)) if disp or callback is not None else None
    return driver.drive(loop, think, x, size, params, tests, plan.limits, began, report, trace, budget), describe


def centrally(plan: "Plan", run: driver.Run) -> tuple["Plan", driver.Run]:
    """Plan and run to go on with central differences; what was spent stays spent."""
    x, old = run.watch.x, plan.tests
    tests = old._replace(differences=relative_step("3-point", x), per_gradient=2 * x.shape[0])
    more = stopping.spent(run.state, tests)[0] - stopping.spent(run.state, old)[0]
    limits = plan.limits._replace(maxiter=plan.limits.maxiter - run.nit)
    plan = plan._replace(jac="3-point", tests=tests, limits=limits)
    return plan, run._replace(state=run.state._replace(nfev=run.state.nfev - more))


def room(plan: "Plan", run: driver.Run) -> bool:
    """Whether the limit of evaluations leaves another state."""
    tests = plan.tests
    gradients = 1 + tests.gradients_per_hessian + tests.gradients_per_product
    return tests.maxfun - stopping.spent(run.state, tests)[0] > tests.per_hessian + gradients * tests.per_gradient + 1


class Plan(NamedTuple):
    """What is asked of a run, all but its start."""

    entry: Entry
    method: Any
    params: Any
    tests: stopping.Tests
    limits: driver.Limits
    common: dict[str, Any]  #: the options that all methods have
    arrays: list[str]  #: and those among them that are arrays to begin with
    jac: Any
    hess: Any  #: of the second derivatives given the one that the method uses
    hessp: Any
    loop: loops.Loop | None  #: the compiled one, if it can be
    differs: bool  #: some derivative is made of differences


def planned(make: Callable[..., Any], x: Any, fun: Any, *asked: Any) -> Any:
    """``make(x, fun, *asked)``, the plan of a run; options are the last that is asked.

    For jitted functions it is remembered, by the length of x: another run begins at once.
    """
    *rest, options = asked
    if not (jitted(fun) and type(x) is np.ndarray and x.dtype is FLOAT):
        return make(x, fun, *asked)
    key = make, x.shape[0], len(rest), fun, *rest, *(options or {}).items()
    try:
        hash(key)
    except TypeError:  # an array among them
        return make(x, fun, *asked)
    return remembered(*key)


@lru_cache(maxsize=256, typed=True)
def remembered(make: Callable[..., Any], n: int, rest: int, fun: Any, *asked: Any) -> Any:
    return make(np.zeros(n), fun, *asked[:rest], dict(asked[rest:]))


def plan_of(
    x: Any, fun: Any, args: Any, method: str, jac: Any, hess: Any, hessp: Any, tol: Any, options: Any
) -> Plan:  # fmt: skip
    entry = find(method, "minimize")
    params, common = split_options(entry, options)
    check_derivatives(jac=jac, hess=hess, hessp=hessp)
    hess, hessp = second(entry, fun, hess, hessp)
    if entry.fisher and (hess := common.pop("fisher", hess)) is None:
        raise ValueError(f"{entry.name} needs a Fisher matrix: options={{'fisher': function of x that returns (n, n)}}")
    jac = jac or getattr(fun, "jac", None)
    tests = wanted(entry, tol, common, jac, hessp or hess, x)
    limits = driver.Limits(steps_at_most(common, x.shape[0]), tests.maxfun, given(common, "maxtime", np.inf))
    if not callable(fun):
        raise TypeError(f"fun must be callable; it is {type(fun).__name__}")
    loop = compiled_loop(entry, params, fun, jac, hess, hessp, args, x, common.get("compiled", "auto"))
    arrays = [name for name in entry.arrays if common.get(name) is not None]
    differs = any((tests.per_gradient, tests.per_hessian, tests.gradients_per_hessian, tests.gradients_per_product))
    return Plan(entry, entry.module, params, tests, limits, common, arrays, jac, hess, hessp, loop, differs)


def primed(loop: loops.Loop, method: Any, arrays: dict[str, Any]) -> loops.Loop:
    """The loop with the user's arrays in the first state."""

    def begin(x: Any, size: Any, params: Any, tests: Any, steps: int) -> Any:
        state, watch, _ = loop.begin(x, size, params, tests, 0)
        return loop.run(0.0, method.primed(state, **arrays), watch, params, tests, steps)

    return loop._replace(begin=begin)


def outcome(tests: stopping.Tests, began: float, hessians: Any, after: Any, run: driver.Run) -> Any:
    """The OptimizeResult of a run: the best point seen, and the curvature that the method ended with."""
    if after:
        run = run._replace(nit=after.nit + run.nit, trace=after.trace[:-1] + run.trace)
    state, watch = run.state, run.watch
    result = driver.result(run, tests, began, x=watch.x, fun=watch.f, jac=watch.g)
    for field, name in (("H", "hess_inv"), ("B", "hess"), ("history", "history")):
        if (value := getattr(state, field, None)) is not None:
            result[name] = value
    if run.ending.status is stopping.Status.NOT_FINITE:
        culprit = "a derivative of fun" if finite(watch.f) else "fun"
        result.advice = f"{culprit} is NaN or infinite at x0: start where it is defined, or look at it there"
    if hessians and result["nhvp"]:
        result.nhev = hessians()
    return result


def evaluations(problem: Later, kept: Any) -> int:
    """How many Hessians were evaluated for products, one at each point: by the compiled loop, and outside of it."""
    return (0 if kept is None else int(kept[-1, -1])) + getattr(problem.made and problem.made.hvp, "evaluations", 0)


def wanted(entry: Entry, tol: float | None, common: dict[str, Any], jac: Any, hess: Any, x: Any) -> stopping.Tests:
    """The stopping tests that the user asked for; ``gtol_abs`` alone means SciPy's absolute test alone."""
    tol = tol if tol is None else nonnegative("tol", tol)
    gtol, gtol_abs, first = common.get("gtol", tol), common.get("gtol_abs"), differenced(jac)
    noisy = first in ("2-point", "3-point")
    tests = stopping.Tests(
        gtol=float(gtol) if gtol is not None else (1e-8 if noisy else 1e-10),
        gtol_abs=float(gtol_abs or 0.0),
        absolute_only=gtol is None and bool(gtol_abs),
        maxfun=float(given(common, "maxfun", 1e300)),
    )
    second = differenced(hess) if {"hess", "hessp"} & set(entry.needs) else ""
    if "hessp" in entry.needs:
        two = 2 if first else 1  # the complex step does not go through differences: those of 3 points take its place
        tests = tests._replace(gradients_per_product={"2-point": 2, "3-point": 2, "cs": two}.get(second, 0))
        second = ""
    return tests._replace(**cost_of_differences(first, second, x)) if first or second else tests


def second(entry: Entry, fun: Any, hess: Any, hessp: Any) -> tuple[Any, Any]:
    """What the method uses of the second derivatives given, one of them; those of a compiled objective are its own."""
    products = "hessp" in entry.needs
    hessp = (hessp or (None if hess else getattr(fun, "hessp", None))) if products else None
    hess = (hess or getattr(fun, "hess", None)) if (products and not hessp) or "hess" in entry.needs else None
    return hess, hessp


def cost_of_differences(jac: str, hess: str, x: Any) -> dict[str, Any]:
    """How many evaluations the schemes for gradient and Hessian take, and the relative step of the first."""
    from refopt.derivatives import relative_step

    n, noisy = x.shape[0], jac in ("2-point", "3-point")
    first = {"2-point": n + 1, "3-point": 2 * n, "cs": n}
    second = {"2-point": (n * n + 3 * n + 2) // 2, "3-point": n * n + 3 * n + 1, "cs": 2 * n * n}
    through_gradient = not noisy and not (hess == "cs" and jac)
    return {
        "differences": relative_step(jac, x) if noisy else 0.0,
        "per_gradient": first.get(jac, 0),
        "per_hessian": 0 if through_gradient else second.get(hess, 0),
        "gradients_per_hessian": first.get(hess, 0) if through_gradient else 0,
    }


def steps_at_most(common: dict[str, Any], n: int) -> int:
    return int(min(given(common, "maxiter", max(2000, 200 * n)), 2.0**53))


def given(common: dict[str, Any], name: str, default: Any) -> Any:
    """An option, which may be 0, or its default where it is missing or None."""
    value = common.get(name)
    return default if value is None else value


def differenced(jac: Any) -> str:
    """The name of the scheme if the derivative is not the user's own, else nothing."""
    return "3-point" if jac is None or jac is False else jac if isinstance(jac, str) else ""


def compiled_loop(
    entry: Entry, params: Any, fun: Any, jac: Any, hess: Any, hessp: Any, args: tuple[Any, ...], x: Any, wish: Any
) -> loops.Loop | None:  # fmt: skip
    """The loop that will run, if it is compiled."""
    obstacle = "compiled is False" if not wish else why_generic(entry, fun, jac, hess, args, x, hessp)
    if not obstacle:
        problem = jitted_problem(fun, jac, hess, hessp)
        return compiled().runner(entry.module, stopping, problem, getattr(params, "search", 0))
    if wish == 1:
        raise ValueError(f"compiled=True is not possible here: {obstacle}")
    return None


def jitted_problem(fun: Any, jac: Any, hess: Any, hessp: Any) -> Problem:
    """The problem of jitted functions, for the compiled loop; what is missing is differenced there."""
    fun, jac = compiled().parts(fun) if jac is True else (fun, jac)
    return Problem(fun, *(part if callable(part) else None for part in (jac, hess, hessp)))  # type: ignore[arg-type]


def jitted(function: Any) -> bool:
    return "numba" in sys.modules and compiled().is_jitted(function)


@cache
def compiled() -> Any:
    """The package that needs numba."""
    from refopt import compiled

    return compiled


def why_generic(
    entry: Entry, fun: Any, jac: Any, hess: Any, args: tuple[Any, ...], x: Any, hessp: Any = None
) -> str:  # fmt: skip
    """What stands in the way of the compiled loop; nothing if nothing does."""
    if not jitted(fun):
        return "fun is not jitted (decorate it with numba.njit, or pass refopt.compile(fun))"
    if not isinstance(x, np.ndarray) or x.dtype != np.float64:
        return "x0 is not a NumPy vector of float64 numbers"
    if args:
        return "args hold more than numbers and NumPy arrays of numbers; close over them in the jitted function"
    for name, part in (("jac", None if jac is True else jac), ("hess", hess), ("hessp", hessp)):
        if not (part is None or jitted(part) or part is False or part == "3-point"):
            return f"{name} is neither jitted nor left to 3-point differences"
    return "" if entry.compiles else f"{entry.name} does not compile"


def all_sizes(x: Any) -> Any:
    """``own_sizes``, at once where there are few and every |xᵢ| is one."""
    size = abs(x)
    few = size.tolist() if type(x) is np.ndarray and len(x) <= 64 else [0.0]
    return size if min(few) > 1e-15 * max(few) else own_sizes(x)


def value_of(fun: Any, args: tuple[Any, ...], jac: Any) -> Callable[[Any], float]:
    """f alone."""
    return scalar_function(Together(fun).value if jac is True else fun, args)


def generic_problem(plan: Plan, fun: Any, args: tuple[Any, ...], size: Any, noise: float = 0.0) -> Problem:
    """The user's functions, and differences that suit the sizes of variables and the noise of f, 0 for its rounding."""
    from refopt import derivatives

    entry, jac, hess, hessp = plan.entry, plan.jac, plan.hess, plan.hessp
    written, pair = fun, jac is True

    def raw(x: Any) -> Any:
        """f as the user wrote it, for complex numbers and for autograd's boxes."""
        return written(x, *args)[0] if pair else written(x, *args)

    if pair:
        both = Together(fun)
        fun, jac = both.value, both.derivative
    value = scalar_function(fun, args)
    scheme = "" if callable(jac) else differenced(jac)
    if callable(jac):
        grad = array_function(jac, args, lambda x: tuple(x.shape), "jac")
    else:
        grad = derivatives.gradient_of(raw if scheme in ("autograd", "cs") else value, scheme, size, noise)
    if "hessp" in entry.needs:
        return Problem(value, grad, hvp=products_of(hess, hessp, args, raw, grad, scheme, size))
    if "hess" not in entry.needs:
        return Problem(value, grad)
    if callable(hess):
        matrix = array_function(hess, args, lambda x: (x.shape[0], x.shape[0]), "hess")
    elif hess == "autograd" or (hess == "cs" and scheme):  # not through a gradient that takes real numbers only
        matrix = derivatives.hessian_of(fun=raw, method=hess, scale=size)
    elif scheme in ("2-point", "3-point"):  # differences of differences would lose too much
        matrix = derivatives.hessian_of(fun=value, method=differenced(hess), scale=size, noise=noise)
    else:
        matrix = derivatives.hessian_of(grad=grad, method=differenced(hess), scale=size)
    return Problem(value, grad, lambda x: symmetrised(matrix(x)))


def refuse(bounds: Any, constraints: Any) -> None:
    """Bounds and constraints that are not empty, with a word on who can do them."""
    if bounding(bounds):
        raise ValueError("refopt minimizes without bounds; scipy.optimize.minimize(method='L-BFGS-B') has them")
    if constraints is not None and (not hasattr(constraints, "__len__") or len(constraints) > 0):
        raise ValueError(
            "refopt minimizes without constraints; scipy.optimize.minimize(method='trust-constr') has them"
        )


def bounding(bounds: Any) -> bool:
    """Whether bounds, as SciPy takes them, keep any variable from any number."""
    if bounds is None:
        return False
    if hasattr(bounds, "lb"):
        return bounding((bounds.lb, bounds.ub))
    if isinstance(bounds, list | tuple | dict | np.ndarray):
        return any(map(bounding, bounds))
    return not (isinstance(bounds, int | float) and np.isinf(bounds))


def ignore_unused(entry: Entry, **given: Any) -> None:
    """A derivative that the method does not use is worth a warning; products can be had from a Hessian."""
    for name, value in given.items():
        if value is not None and name not in entry.needs and not (name == "hess" and "hessp" in entry.needs):
            warnings.warn(f"{entry.name} does not use {name}; it is ignored", RuntimeWarning, stacklevel=3)


def as_scipy(name: str) -> Callable[..., Any]:
    """A method for ``scipy.optimize.minimize(..., method=refopt.as_scipy(name))``."""
    find(name, "minimize")

    def method(
        fun: Any, x0: Any, args: Any = (), jac: Any = None, hess: Any = None, hessp: Any = None, bounds: Any = None,
        constraints: Any = (), callback: Any = None, tol: float | None = None, **options: Any,
    ) -> Any:  # fmt: skip
        return minimize(
            fun,
            x0,
            args,
            name,
            jac,
            hess,
            hessp,
            bounds,
            constraints,
            tol=tol,
            callback=callback,
            options=options,
        )

    return method
