"""minimize keeps what its page promises, for every method, whatever the user hands in."""

import math
import warnings

import numpy as np
import pytest
from scipy.optimize import OptimizeResult
from scipy.optimize import minimize as scipy_minimize

import refopt
from problems import PROBLEMS, barrier
from refopt import minimize, zoo
from refopt.stopping import Status

METHODS = [name for name, entry in refopt.available().items() if entry.door == "minimize"]
FIELDS = {
    "x", "fun", "jac", "nit", "nfev", "njev", "nhev", "nhvp", "status", "success", "message", "advice", "time", "trace",
}  # fmt: skip
methods = pytest.mark.parametrize("method", METHODS)
ROSENBROCK = zoo.get("rosenbrock").problem
START = (-1.2, 1.0)


def sees_hessian(method):
    return "hess" in refopt.available()[method].needs


def solve(method, fun, x0, jac=None, hess=None, **options):
    """minimize with the Hessian for the methods that want one."""
    return minimize(fun, x0, method=method, jac=jac, hess=hess if sees_hessian(method) else None, options=options)


def rosenbrock(method, x0=START, **options):
    return solve(method, ROSENBROCK.fun, x0, ROSENBROCK.grad, ROSENBROCK.hess, **options)


class Counter:
    """Functions that count their calls."""

    def __init__(self, problem=ROSENBROCK):
        self.problem, self.calls = problem, {"fun": 0, "grad": 0, "hess": 0}

    def part(self, name):
        def call(x):
            self.calls[name] += 1
            return getattr(self.problem, name)(x)

        return call

    def solve(self, method, x0=START, **options):
        return solve(method, self.part("fun"), x0, self.part("grad"), self.part("hess"), **options)


# --- the result ------------------------------------------------------------------------------------------------------


@methods
def test_the_result_has_the_same_fields_for_every_method(method):
    result = rosenbrock(method)
    curvature = {"hess"} if sees_hessian(method) else {"hess_inv"}
    assert isinstance(result, OptimizeResult)
    assert set(result) == FIELDS | curvature
    assert result.status is Status.CONVERGED
    assert result.success is True
    assert type(result.fun) is float
    assert all(type(result[name]) is int for name in ("nit", "nfev", "njev", "nhev", "nhvp"))
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-9)
    assert result.fun == ROSENBROCK.fun(result.x)
    assert (result.jac == ROSENBROCK.grad(result.x)).all()
    assert result.message.startswith("converged")
    assert 0 < result.time < 60
    assert result.trace == []


def test_curvature_is_that_of_the_end():
    assert rosenbrock("trust-exact").hess == pytest.approx(ROSENBROCK.hess(np.ones(2)), rel=1e-6)
    # 40 steps of learning along a valley: a tenth
    assert rosenbrock("bfgs").hess_inv == pytest.approx(np.linalg.inv(ROSENBROCK.hess(np.ones(2))), rel=0.1)


@methods
def test_x_is_the_best_point_seen(method):
    """Up to the noise of f, ten roundings of it."""
    for name in ("wood", "bard", "brown_dennis"):
        problem, seen = PROBLEMS[name], []
        result = solve(method, lambda x, p=problem: seen.append(p.fun(x)) or seen[-1], problem.x0, problem.grad, problem.hess)
        assert result.fun <= min(seen) + 100 * 2.0**-52 * abs(min(seen))


@methods
@pytest.mark.parametrize("name", ["rosenbrock", "wood", "brown_dennis"])
def test_evaluations_are_counted(method, name):
    counter = Counter(PROBLEMS[name])
    result = counter.solve(method, PROBLEMS[name].x0)
    assert counter.calls == {"fun": result.nfev, "grad": result.njev, "hess": result.nhev}


@methods
def test_evaluations_spent_on_thinking_are_counted_too(method):
    """f in float32: the run gets stuck, and noise is measured."""
    for sign in (1.0, -1.0):
        counter = Counter()
        noisy = counter.problem._replace(
            fun=lambda x: float(np.float32(ROSENBROCK.fun(x) + 1)), grad=lambda x, s=sign: s * ROSENBROCK.grad(x)
        )
        counter.problem = noisy
        result = counter.solve(method)
        assert result.status != Status.CONVERGED or result.success
        assert counter.calls == {"fun": result.nfev, "grad": result.njev, "hess": result.nhev}


@methods
def test_trace_holds_every_state(method):
    result = rosenbrock(method, trace=True)
    assert len(result.trace) == result.nit + 1
    assert result.trace[0].x.tolist() == list(START)
    assert result.trace[-1].nfev == result.nfev
    plain = rosenbrock(method)
    assert (plain.x == result.x).all()
    assert plain.nfev == result.nfev


@methods
def test_the_same_call_gives_the_same_result(method):
    first, second = rosenbrock(method), rosenbrock(method)
    assert (first.x == second.x).all()
    assert first.nfev == second.nfev


# --- x0 --------------------------------------------------------------------------------------------------------------


@methods
@pytest.mark.parametrize("x0", [[-1, 1], (-1, 1), np.array([-1, 1]), np.array([-1.0, 1.0], "float32"), np.array([-1, 1], "int8")])
def test_lists_integers_and_float32(method, x0):
    result = rosenbrock(method, x0)
    assert result.success
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-3 if getattr(x0, "dtype", None) == np.float32 else 1e-8)
    assert result.x.dtype == (np.float32 if getattr(x0, "dtype", None) == np.float32 else np.float64)


@methods
@pytest.mark.parametrize("x0", [5, 5.0, np.float64(5), np.array(5.0), [5.0]])
def test_one_variable(method, x0):
    result = solve(method, lambda x: (x[0] - 2) ** 2, x0, lambda x: 2 * (x[0] - 2), lambda x: [[2.0]])
    assert result.x.tolist() == pytest.approx([2.0])
    assert result.success


@methods
@pytest.mark.parametrize(
    ("x0", "says"),
    [([], "empty"), ([[1.0, 2.0]], r"shape \(n,\)"), ([1j], "real numbers"), ([1.0, np.nan], "finite"), (None, "real")],
)
def test_x0_that_is_no_vector(method, x0, says):
    with pytest.raises(ValueError, match=f"x0.*{says}"):
        rosenbrock(method, x0)


@methods
def test_x0_is_not_modified_and_not_returned(method):
    x0 = np.array(START)
    result = rosenbrock(method, x0)
    assert x0.tolist() == list(START)
    assert not np.shares_memory(result.x, x0)
    at_once = solve(method, lambda x: float(x @ x), np.zeros(2), lambda x: 2 * x, lambda x: 2 * np.eye(2))
    assert at_once.nfev == 1


@methods
def test_functions_may_write_into_x_and_return_what_they_keep(method):
    """A fun that spoils its argument, and derivatives that fill the same array at every call."""
    g, H = np.empty(2), np.empty((2, 2))

    def spoiled(function, out=None):
        def call(x):
            value = function(x.copy())
            x[:] = np.nan
            if out is None:
                return value
            out[...] = value
            return out

        return call

    result = solve(
        method, spoiled(ROSENBROCK.fun), START, spoiled(ROSENBROCK.grad, g), spoiled(ROSENBROCK.hess, H)
    )
    plain = rosenbrock(method)
    assert (result.x == plain.x).all()
    assert result.nfev == plain.nfev


@methods
def test_every_array_kind(method, namespace):
    problem = zoo.get("rosenbrock", like=namespace.asarray([1.0])).problem
    result = solve(method, problem.fun, namespace.asarray(START), problem.grad, problem.hess)
    plain = rosenbrock(method)
    assert result.success
    assert namespace.owns(result.x)
    assert namespace.owns(result.jac)
    assert namespace.to_numpy(result.x) == pytest.approx([1.0, 1.0], abs=1e-9)
    # roundings in another order may cost or spare a step or two at the end
    assert abs(result.nit - plain.nit) <= 3


@methods
def test_a_constant_of_every_array_kind(method, namespace):
    """No slope and no curvature: a singular Hessian on every library."""
    zeros = namespace.asarray(np.zeros(2))
    result = solve(method, lambda x: 3.0, namespace.asarray(np.ones(2)), lambda x: zeros, lambda x: namespace.asarray(np.zeros((2, 2))))
    assert result.success
    assert result.nfev == 1


# --- derivatives and args --------------------------------------------------------------------------------------------


@methods
@pytest.mark.parametrize("jac", [None, False, "2-point", "3-point", "cs", "autograd"])
def test_derivatives_by_name(method, jac):
    def fun(x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    result = minimize(fun, START, method=method, jac=jac)
    assert result.success
    # forward differences are right to √eps of the curvature, 1e3 here, over the smallest, 0.4
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-3 if jac == "2-point" else 1e-5)


@pytest.mark.parametrize("hess", [None, "2-point", "3-point", "cs", "autograd"])
def test_hessians_by_name(hess):
    def fun(x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    def jac(x):  # for complex x as well, and for autograd
        return np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])

    result = minimize(fun, START, method="trust-exact", jac=jac, hess=hess)
    assert result.success
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-8)


@methods
@pytest.mark.parametrize("jac", ["2-point", "3-point", None])
def test_evaluations_for_differences_are_counted(method, jac):
    counter = Counter()
    result = minimize(counter.part("fun"), START, method=method, jac=jac, options={"maxiter": 5})
    assert result.nfev == counter.calls["fun"]


@methods
def test_jac_true(method):
    calls = []

    def both(x):
        calls.append(1)
        return ROSENBROCK.fun(x), ROSENBROCK.grad(x)

    result = solve(method, both, START, True, ROSENBROCK.hess)
    plain = rosenbrock(method)
    assert (result.x == plain.x).all()
    assert len(calls) == result.nfev  # one call for both


@methods
@pytest.mark.parametrize("args", [(2.0, 3.0), [2.0, 3.0]])
def test_args_go_to_every_function(method, args):
    if isinstance(args, list):
        args = tuple(args)
    hess = (lambda x, a, b: 2 * a * np.eye(2)) if sees_hessian(method) else None
    result = minimize(
        lambda x, a, b: a * float((x - b) @ (x - b)), [0.0, 0.0], args, method, lambda x, a, b: 2 * a * (x - b), hess
    )
    assert result.x == pytest.approx([3.0, 3.0])
    differenced = minimize(lambda x, a, b: a * float((x - b) @ (x - b)), [0.0, 0.0], args, method)
    assert differenced.x == pytest.approx([3.0, 3.0])


def test_args_that_are_no_tuple_are_one_argument():
    assert minimize(lambda x, a: (x[0] - a) ** 2, [0.0], 3.0).x == pytest.approx([3.0])


def test_a_derivative_that_is_not_used_is_worth_a_warning():
    for name, method in (("hess", "bfgs"), ("hessp", "bfgs"), ("hessp", "trust-exact")):
        with pytest.warns(RuntimeWarning, match=f"{method} does not use {name}") as caught:
            minimize(ROSENBROCK.fun, START, method=method, jac=ROSENBROCK.grad, **{name: lambda x, *p: 1.0})
        assert caught[0].filename == __file__


@methods
@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"jac": lambda x: np.ones(3)}, ValueError, r"jac must return shape \(2,\); it returned shape \(3,\)"),
        ({"jac": lambda x: None}, ValueError, "jac must return"), ({"jac": lambda x: x + 1j}, TypeError, "jac.*real"),
        ({"jac": "5-point"}, ValueError, "5-point.*2-point"), ({"jac": 3}, TypeError, "jac must be callable"),
        ({"jac": True}, ValueError, "pair"), ({"fun": lambda x: np.ones(2)}, ValueError, r"fun.*shape \(2,\)"),
        ({"fun": lambda x: None}, TypeError, "fun.*NoneType"), ({"fun": 3}, TypeError, "fun must be callable"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(method, arguments, error, says):
    given = {"fun": ROSENBROCK.fun, "jac": ROSENBROCK.grad} | arguments
    with pytest.raises(error, match=says):
        minimize(given["fun"], START, method=method, jac=given["jac"])


@pytest.mark.parametrize(
    ("hess", "error", "says"),
    [
        (lambda x: np.ones(2), ValueError, r"hess must return shape \(2, 2\)"), (3, TypeError, "hess must be callable"),
        ("5-point", ValueError, "5-point"),
    ],
)  # fmt: skip
def test_mistakes_about_the_hessian_are_explained(hess, error, says):
    with pytest.raises(error, match=says):
        minimize(ROSENBROCK.fun, START, method="trust-exact", jac=ROSENBROCK.grad, hess=hess)


def test_a_hessian_is_symmetrised():
    skew = np.array([[0.0, 1.0], [-1.0, 0.0]])
    result = minimize(
        ROSENBROCK.fun, START, method="trust-exact", jac=ROSENBROCK.grad, hess=lambda x: ROSENBROCK.hess(x) + skew
    )
    assert (result.x == rosenbrock("trust-exact").x).all()


def test_an_unknown_method_or_option():
    with pytest.raises(ValueError, match="no method 'nelder-mead'; its methods are bfgs"):
        minimize(ROSENBROCK.fun, START, method="nelder-mead")
    with pytest.raises(TypeError, match=r"bfgs has no option 'xtol'; its options are c1, c2, .*maxiter"):
        minimize(ROSENBROCK.fun, START, options={"xtol": 1})


@methods
@pytest.mark.parametrize("empty", [None, (), [], {}])
def test_bounds_and_constraints_that_are_empty_do_not_matter(method, empty):
    assert minimize(ROSENBROCK.fun, START, method=method, bounds=empty, constraints=empty, tol=1e-3).success


@methods
@pytest.mark.parametrize("given", [[(0, 1), (0, 1)], {"type": "eq", "fun": sum}, object()])
@pytest.mark.parametrize("other", [None, ()])
def test_bounds_and_constraints_are_refused(method, given, other):
    with pytest.raises(ValueError, match=r"without bounds.*L-BFGS-B"):
        minimize(ROSENBROCK.fun, START, method=method, bounds=given, constraints=other)
    with pytest.raises(ValueError, match=r"without constraints.*trust-constr"):
        minimize(ROSENBROCK.fun, START, method=method, bounds=other, constraints=given)


# --- tolerances ------------------------------------------------------------------------------------------------------


@methods
def test_tol_is_gtol(method):
    runs = [
        minimize(ROSENBROCK.fun, START, method=method, jac=ROSENBROCK.grad, **given)
        for given in ({"tol": 1e-4}, {"options": {"gtol": 1e-4}}, {"tol": 1e-9, "options": {"gtol": 1e-4}})
    ]
    assert len({run.nfev for run in runs}) == 1
    assert runs[0].nfev < rosenbrock(method).nfev or sees_hessian(method)


@methods
@pytest.mark.parametrize("gtol", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12])
def test_gtol_is_kept(method, gtol):
    result = rosenbrock(method, gtol=gtol)
    assert abs(result.jac).max() <= gtol * 1e3  # the largest gradient on the way is some hundreds


@methods
@pytest.mark.parametrize("gtol", [0.0, 1e-20])
def test_a_tolerance_below_rounding_is_allowed(method, gtol):
    result = solve(method, lambda x: 1 + ROSENBROCK.fun(x), START, ROSENBROCK.grad, ROSENBROCK.hess, gtol=gtol)
    assert result.success
    assert result.status in (Status.PRECISION, Status.CONVERGED)


@methods
def test_gtol_abs_alone_is_scipys_test(method):
    result = rosenbrock(method, gtol_abs=1e-3, trace=True)
    assert result.status == Status.CONVERGED
    gradients = [abs(state.g).max() for state in result.trace]
    assert gradients[-1] <= 1e-3
    assert min(gradients[:-1]) > 1e-3


# --- limits ----------------------------------------------------------------------------------------------------------


@methods
@pytest.mark.parametrize("maxiter", [0, 1, 5])
def test_maxiter(method, maxiter):
    result = rosenbrock(method, maxiter=maxiter)
    assert (result.status, result.success, result.nit) == (Status.MAXITER, False, maxiter)
    assert "iteration limit" in result.message


@methods
@pytest.mark.parametrize("maxfun", [0, 1, 2, 7])
def test_maxfun(method, maxfun):
    """Noticed after each step, and a step is a few evaluations."""
    result = rosenbrock(method, maxfun=maxfun)
    assert (result.status, result.success) == (Status.MAXFUN, False)
    assert max(maxfun, 1) <= result.nfev <= maxfun + 5


@methods
def test_maxfun_counts_differences(method):
    counter = Counter()
    result = minimize(counter.part("fun"), START, method=method, options={"maxfun": 30})
    assert result.status == Status.MAXFUN
    assert counter.calls["fun"] == result.nfev
    assert 30 <= result.nfev <= 60


@methods
def test_maxtime(method):
    assert rosenbrock(method, maxtime=0).status == Status.MAXTIME
    assert rosenbrock(method, maxtime=1e-9).nit <= 1
    assert rosenbrock(method, maxtime=100.0).success


@methods
def test_limits_of_none_are_the_default(method):
    assert rosenbrock(method, maxiter=None, maxfun=None, maxtime=None, gtol=None, gtol_abs=None).success


@methods
def test_a_result_within_limits_is_a_result(method):
    """Good enough at the very step of the limit: converged, not stopped."""
    needed = rosenbrock(method).nit
    assert rosenbrock(method, maxiter=needed).status == Status.CONVERGED
    assert rosenbrock(method, maxiter=needed - 1).status == Status.MAXITER


# --- callbacks and exceptions ----------------------------------------------------------------------------------------


@methods
def test_callback_with_the_result_so_far(method):
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)
        intermediate_result.x[:] = np.nan  # theirs to spoil
        intermediate_result.jac[:] = np.nan

    hess = {"hess": ROSENBROCK.hess} if sees_hessian(method) else {}
    result = minimize(ROSENBROCK.fun, START, method=method, jac=ROSENBROCK.grad, callback=callback, **hess)
    assert (result.x == rosenbrock(method).x).all()
    assert len(seen) == result.nit
    assert all(set(each) == set(result) for each in seen)
    assert [each.nit for each in seen] == list(range(1, result.nit + 1))
    assert seen[-1].fun == result.fun


@methods
def test_callback_with_x(method):
    seen = []
    result = minimize(ROSENBROCK.fun, START, method=method, jac=ROSENBROCK.grad, callback=lambda xk: seen.append(xk))
    assert len(seen) == result.nit
    assert seen[-1].tolist() == result.x.tolist()


@methods
@pytest.mark.parametrize("with_result", [True, False])
def test_stop_iteration_stops(method, with_result):
    def old(x):
        raise StopIteration

    def new(intermediate_result):
        if intermediate_result.nit == 3:
            raise StopIteration

    result = minimize(ROSENBROCK.fun, START, method=method, jac=ROSENBROCK.grad, callback=new if with_result else old)
    assert (result.status, result.success) == (Status.CALLBACK, False)
    assert result.nit == (3 if with_result else 1)
    assert np.isfinite(result.fun)


class MyError(Exception):
    pass


@methods
@pytest.mark.parametrize("error", [MyError, KeyboardInterrupt, StopIteration, ValueError, np.linalg.LinAlgError, ZeroDivisionError])
@pytest.mark.parametrize("part", ["fun", "grad", "hess", "callback"])
def test_exceptions_arrive_unchanged(method, error, part):
    if part == "hess" and not sees_hessian(method) or part == "callback" and error is StopIteration:
        pytest.skip("not called, or another meaning")
    raised, calls = error("mine"), []

    def failing(function):
        def call(*args):
            calls.append(1)
            if len(calls) == 3:
                raise raised
            return function(*args) if function else None

        return call

    functions = {"fun": ROSENBROCK.fun, "grad": ROSENBROCK.grad, "hess": ROSENBROCK.hess, "callback": None}
    functions[part] = failing(functions[part])
    hess = {"hess": functions["hess"]} if sees_hessian(method) else {}
    with pytest.raises(error) as caught:
        minimize(functions["fun"], START, method=method, jac=functions["grad"], callback=functions["callback"], **hess)
    assert caught.value is raised


@methods
@pytest.mark.parametrize("jac", ["3-point", "cs", "autograd"])
def test_exceptions_inside_differences_arrive_unchanged(method, jac):
    raised = MyError("mine")

    def fun(x):
        if len(calls) == 7:
            raise raised
        calls.append(1)
        return (x[0] - 3.0) ** 4 + x[1] ** 2

    calls = []
    with pytest.raises(MyError) as caught:
        minimize(fun, START, method=method, jac=jac)
    assert caught.value is raised


@methods
def test_disp(method, capsys):
    result = rosenbrock(method, disp=True)
    assert len(capsys.readouterr().out.splitlines()) == result.nit
    rosenbrock(method)
    assert capsys.readouterr().out == ""


@methods
def test_no_warnings_from_inside(method):
    """Overflow and NaN in a trial are no news to anybody."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert solve(method, lambda x: float(np.exp(x[0]) - 2 * x[0]), [700.0], lambda x: np.exp(x) - 2, lambda x: np.exp(x)[:, None]).success


# --- hard functions --------------------------------------------------------------------------------------------------


@methods
@pytest.mark.parametrize("x0", [[50.0], [1e4], [1e-4], [50.0, 1e-3, 2.0]])
def test_x_minus_log_x(method, x0):
    result = solve(method, barrier[0], x0, barrier[1], barrier[2])
    assert result.status == Status.CONVERGED
    assert result.x == pytest.approx(np.ones(len(x0)), rel=1e-8)
    if max(x0) < 100:  # differences as wide as x₀ is large see nothing of a minimum at 1
        assert minimize(barrier[0], x0, method=method).x == pytest.approx(np.ones(len(x0)), rel=1e-4)


@methods
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_start_that_is_not_finite(method, bad):
    for result in (
        solve(method, lambda x: bad, [1.0, 2.0], lambda x: x, lambda x: np.eye(2)),
        solve(method, lambda x: 1.0, [1.0, 2.0], lambda x: np.array([bad, 1.0]), lambda x: np.eye(2)),
        minimize(lambda x: bad, [1.0, 2.0], method=method),
    ):
        assert (result.status, result.success, result.nit) == (Status.NOT_FINITE, False, 0)
        assert "not finite at x0" in result.message
        assert result.x.tolist() == [1.0, 2.0]


@methods
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nothing_finite_but_the_start(method, bad):
    result = solve(
        method, lambda x: 5.0 if x.tolist() == [1.0, 2.0] else bad, [1.0, 2.0], lambda x: x, lambda x: np.eye(2)
    )
    assert not result.success
    assert result.fun == 5.0
    assert result.nfev < 500


@methods
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [1.5, 1.0 + 1e-3, 1.0 + 1e-6])
def test_walls(method, bad, at):
    """A quadratic with its minimum at 1, and a wall close behind."""

    def walled(good):
        return lambda x: good(x) if x[0] < at else bad

    result = solve(
        method, walled(lambda x: 10 * (x[0] - 1) ** 2 + x[1] ** 2), [-3.0, 4.0],
        lambda x: np.array([20 * (x[0] - 1), 2 * x[1]]), lambda x: np.diag([20.0, 2.0]),
    )  # fmt: skip
    assert result.success
    assert result.x == pytest.approx([1.0, 0.0], abs=1e-8)
    assert result.nfev < 200


@methods
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_walls_of_the_derivatives(method, bad):
    """f is finite beyond 2, its derivatives are not."""
    result = solve(
        method, lambda x: (x[0] - 1) ** 4 + x[1] ** 2, [-30.0, 4.0],
        lambda x: np.array([4 * (x[0] - 1) ** 3, 2 * x[1]]) if x[0] < 2 else np.full(2, bad),
        lambda x: np.diag([12 * (x[0] - 1) ** 2, 2.0]) if x[0] < 2 else np.full((2, 2), bad),
    )  # fmt: skip
    assert result.success
    assert result.x == pytest.approx([1.0, 0.0], abs=1e-2)
    assert np.isfinite(result.jac).all()


SADDLES = {
    "maximum": (lambda x: ((x**2 - 1) ** 2).sum(), lambda x: 4 * x * (x**2 - 1), lambda x: np.diag(12 * x**2 - 4), [0.0, 0.0], 0.0),
    "saddle": (lambda x: x[0] ** 2 + (x[1] ** 2 - 1) ** 2, lambda x: np.array([2 * x[0], 4 * x[1] * (x[1] ** 2 - 1)]), lambda x: np.diag([2, 12 * x[1] ** 2 - 4]), [0.0, 0.0], 0.0),
    "axis": (lambda x: x[0] ** 2 + (x[1] ** 2 - 1) ** 2, lambda x: np.array([2 * x[0], 4 * x[1] * (x[1] ** 2 - 1)]), lambda x: np.diag([2, 12 * x[1] ** 2 - 4]), [3.0, 0.0], 0.0),
    "beside": (lambda x: ((x**2 - 1) ** 2).sum(), lambda x: 4 * x * (x**2 - 1), lambda x: np.diag(12 * x**2 - 4), [1e-20, -1e-17], 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", SADDLES)
def test_saddles_are_left_where_the_hessian_is_seen(name):
    fun, jac, hess, x0, lowest = SADDLES[name]
    result = minimize(fun, x0, method="trust-exact", jac=jac, hess=hess)
    assert result.status == Status.CONVERGED
    assert result.fun == pytest.approx(lowest, abs=1e-20)


def test_a_zero_gradient_at_the_start_is_pointed_out_where_it_is_not():
    fun, jac, _, x0, _ = SADDLES["saddle"]
    result = minimize(fun, x0, jac=jac)
    assert (result.status, result.success, result.nfev) == (Status.CONVERGED, True, 1)
    assert "pass hess" in result.advice


@methods
@pytest.mark.parametrize("x0", [5.0, 0.7, 1e-20, -3.0, 30.0])
def test_a_double_well_is_not_left_on_its_top(method, x0):
    """From any start the first step must not land on the stationary point at the origin."""
    fun, jac, hess, *_ = SADDLES["maximum"]
    result = solve(method, fun, [x0], jac, hess)
    assert result.success
    assert abs(result.x[0]) == pytest.approx(1.0, rel=1e-4)  # from 30, 1e-10 of the first gradient is 1e-5


@methods
@pytest.mark.parametrize("mistake", ["sign", "half"])
def test_a_wrong_gradient_is_found_out(method, mistake):
    def jac(x):
        g = ROSENBROCK.grad(x)
        return -g if mistake == "sign" else g * np.array([0.5, 1.0])

    result = solve(method, ROSENBROCK.fun, START, jac, ROSENBROCK.hess)
    if mistake == "sign":
        assert result.status == Status.BAD_DERIVATIVE
        assert "check_gradient" in result.advice
        assert result.nfev < 100
    else:  # one component halved vanishes where the gradient does: Newton steps still find it
        assert not result.success or result.x == pytest.approx([1.0, 1.0], abs=1e-6)
        assert result.fun <= ROSENBROCK.fun(np.array(START))


@methods
@pytest.mark.parametrize("name", ["wood", "bard", "brown_dennis", "box"])
@pytest.mark.parametrize("c", [1e12, 1e-12])
def test_scaling_f_changes_nothing(method, name, c):
    p = PROBLEMS[name]
    plain = solve(method, p.fun, p.x0, p.grad, p.hess)
    scaled = solve(method, lambda x: c * p.fun(x), p.x0, lambda x: c * p.grad(x), lambda x: c * p.hess(x))
    assert scaled.status == plain.status
    assert scaled.x == pytest.approx(plain.x, rel=1e-4, abs=1e-4)
    assert abs(scaled.nit - plain.nit) <= 3


@methods
@pytest.mark.parametrize("name", ["wood", "bard", "brown_dennis", "beale"])
def test_shifting_f_changes_nothing_that_matters(method, name):
    p = PROBLEMS[name]
    result = solve(method, lambda x: 1e8 + p.fun(x), p.x0, p.grad, p.hess)
    assert result.success
    assert p.fun(result.x) <= min(p.minima, key=lambda m: abs(m - p.fun(result.x))) + 1e-6


@methods
@pytest.mark.parametrize("name", ["wood", "bard", "brown_dennis", "beale", "rosenbrock"])
def test_f_in_float32(method, name):
    p = PROBLEMS[name]
    result = solve(method, lambda x: np.float32(p.fun(x)), p.x0, p.grad, p.hess)
    assert result.success
    assert abs(result.jac).max() <= 1e-6 * abs(p.grad(p.x0)).max()


@methods
@pytest.mark.parametrize("name", ["rosenbrock", "wood", "beale", "bard", "brown_dennis", "freudenstein_roth", "box"])
def test_everything_in_float32(method, name):
    """x0 in float32, and so are f, g and H: as near as eight digits allow, and said to be."""
    p = PROBLEMS[name]
    double = {part: (lambda x, part=part: getattr(p, part)(np.asarray(x, float))) for part in ("fun", "grad", "hess")}
    result = solve(method, lambda x: np.float32(double["fun"](x)), p.x0.astype("float32"), double["grad"], double["hess"])
    assert result.x.dtype == np.float32
    assert result.success
    f = p.fun(result.x.astype(float))
    assert any(abs(f - m) <= 1e-5 * max(m, p.fun(p.x0)) for m in p.minima)


@methods
def test_a_start_at_the_answer(method):
    for name in ("wood", "beale", "rosenbrock"):
        p = PROBLEMS[name]
        x = {"wood": np.ones(4), "beale": np.array([3.0, 0.5]), "rosenbrock": np.ones(2)}[name]
        result = solve(method, p.fun, x, p.grad, p.hess)
        assert (result.status, result.nfev, result.success) == (Status.CONVERGED, 1, True)
        assert (result.x == x).all()


UNBOUNDED = {
    "line": (lambda x: float(-x[0]), lambda x: np.array([-1.0, 0.0]), lambda x: np.zeros((2, 2))),
    "parabola": (lambda x: -float(x @ x), lambda x: -2 * x, lambda x: -2 * np.eye(2)),
    "cubic": (lambda x: float(x[0] ** 3 + x[1] ** 2), lambda x: np.array([3 * x[0] ** 2, 2 * x[1]]), lambda x: np.diag([6 * x[0], 2])),
}  # fmt: skip


@methods
@pytest.mark.parametrize("name", UNBOUNDED)
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_unbounded_below(method, name, scale):
    fun, jac, hess = UNBOUNDED[name]
    result = solve(method, lambda x: scale * fun(x), [-1.0, 0.5], lambda x: scale * jac(x), lambda x: scale * hess(x))
    assert (result.status, result.success) == (Status.UNBOUNDED, False)
    assert np.isfinite(result.fun)
    assert result.nfev < 400


@methods
@pytest.mark.parametrize("x0", [[1.0, -2.0], [1e-3, 7.0], [0.5, 0.0]])
def test_kinks_are_no_minima_of_smooth_functions_and_no_mistakes(method, x0):
    """|x₁| + 2|x₂|: no claim of success but at the very kink, no blame on the derivative."""
    result = solve(
        method, lambda x: float(abs(x[0]) + 2 * abs(x[1])), x0, lambda x: np.sign(x) * [1, 2], lambda x: np.zeros((2, 2))
    )
    assert result.status in (Status.PRECISION, Status.LINE_SEARCH, Status.CONVERGED, Status.MAXITER)
    assert not result.success or result.fun < 1e-8


@methods
@pytest.mark.parametrize("power", [4, 6])
def test_flat_minima(method, power):
    """x⁴ and x⁴ + 1: a singular Hessian at the answer."""
    for shift in (0.0, 1.0):
        result = solve(
            method, lambda x, s=shift: s + float((x**power).sum()), [2.0, -3.0], lambda x: power * x ** (power - 1),
            lambda x: np.diag(power * (power - 1) * x ** (power - 2)),
        )  # fmt: skip
        assert result.success
        assert abs(result.x).max() < 0.1


@methods
def test_a_gradient_by_differences_of_what_starts_at_zero(method):
    """x₀ = (−1, 0, 0): the second and third variable have no size yet; the run must move."""
    p = PROBLEMS["helical_valley"]
    result = minimize(p.fun, p.x0, method=method)
    assert result.success
    assert result.fun < 1e-8


@methods
@pytest.mark.parametrize("n", [1, 2, 30, 100])
def test_sizes(method, n):
    d = np.linspace(1, 10, n)
    result = solve(method, lambda x: float(d @ (x - 1) ** 2), np.zeros(n), lambda x: 2 * d * (x - 1), lambda x: np.diag(2 * d))
    assert result.success
    assert result.x == pytest.approx(np.ones(n), abs=1e-8)


# --- compiled --------------------------------------------------------------------------------------------------------


@methods
def test_what_cannot_be_compiled_says_why(method):
    with pytest.raises(ValueError, match=r"compiled=True is not possible here: fun is not jitted"):
        rosenbrock(method, compiled=True)
    assert rosenbrock(method, compiled=False).nfev == rosenbrock(method, compiled="auto").nfev


# --- SciPy -----------------------------------------------------------------------------------------------------------


@methods
def test_as_scipy(method):
    hess = {"hess": ROSENBROCK.hess} if sees_hessian(method) else {}
    result = scipy_minimize(
        ROSENBROCK.fun, START, method=refopt.as_scipy(method), jac=ROSENBROCK.grad, options={"maxiter": 500}, **hess
    )
    assert (result.x == rosenbrock(method).x).all()
    assert set(result) >= FIELDS


@methods
def test_as_scipy_passes_everything_on(method):
    as_method, seen = refopt.as_scipy(method), []

    def both(x, a):
        return a * ROSENBROCK.fun(x), a * ROSENBROCK.grad(x)

    def callback(intermediate_result):
        seen.append(intermediate_result.nit)

    result = scipy_minimize(both, START, args=(2.0,), method=as_method, jac=True, callback=callback)
    assert result.success
    assert seen == list(range(1, result.nit + 1))
    loose = scipy_minimize(ROSENBROCK.fun, START, method=as_method, jac=ROSENBROCK.grad, tol=1e-2)
    assert loose.nfev < result.nfev or sees_hessian(method)
    assert scipy_minimize(ROSENBROCK.fun, START, method=as_method, options={"maxiter": 2}).status == Status.MAXITER
    with pytest.raises(ValueError, match="without bounds"):
        scipy_minimize(ROSENBROCK.fun, START, method=as_method, bounds=[(0, 1), (0, 1)])


def test_as_scipy_of_an_unknown_name():
    with pytest.raises(ValueError, match="no method 'newton-raphson'"):
        refopt.as_scipy("newton-raphson")


def test_scipys_own_problems_are_solved_as_well_as_by_scipy():
    """A sanity check against another implementation: nowhere a higher minimum than SciPy's BFGS finds."""
    for name in ("rosenbrock", "wood", "beale", "bard", "box", "brown_dennis", "gaussian"):
        p = PROBLEMS[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = scipy_minimize(p.fun, p.x0, jac=p.grad, method="BFGS")
        for method in METHODS:
            ours = solve(method, p.fun, p.x0, p.grad, p.hess)
            assert ours.fun <= theirs.fun + 1e-8 * (1 + abs(theirs.fun)), (name, method)

