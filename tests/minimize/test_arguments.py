"""minimize takes the derivatives, arguments and wishes that it promises to take, for every method."""

import warnings

import numpy as np
import pytest
from scipy.optimize import BFGS, Bounds
from scipy.optimize import minimize as scipy_minimize
from scipy.sparse import csr_array

import refopt
from problems import PROBLEMS
from refopt import least_squares, minimize
from refopt.stopping import Status
from runs import METHODS, ROSENBROCK, START, Counter, hessian, methods, rosenbrock, solve

FIELDS = {
    "x", "fun", "jac", "nit", "nfev", "njev", "nhev", "nhvp", "status", "success", "message", "advice", "time", "trace",
}  # fmt: skip


# --- derivatives and args --------------------------------------------------------------------------------------------


def valley(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def valley_grad(x):  # for complex x as well, and for autograd
    return np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])


@methods
@pytest.mark.parametrize("jac", [None, False, "2-point", "3-point", "cs", "autograd"])
def test_derivatives_by_name(method, jac):
    result = minimize(valley, START, method=method, jac=jac)
    assert result.success
    # forward differences are right to √eps of the curvature, 1e3 here, over the smallest, 0.4
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-3 if jac == "2-point" else 1e-5)


@pytest.mark.parametrize("jac", [True, "2-point", "3-point", "cs", "autograd"])
@pytest.mark.parametrize("hess", [None, "2-point", "3-point", "cs", "autograd"])
def test_derivatives_by_name_in_every_combination(jac, hess):
    """Value and slope at once among them: neither traces nor complex numbers may meet a value remembered."""
    fun = (lambda x: (valley(x), valley_grad(x))) if jac is True else valley
    result = minimize(fun, START, method="trust-exact", jac=jac, hess=hess)
    assert result.success
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-4 if jac == "2-point" else 1e-6)
    assert result.nit < 40


@pytest.mark.parametrize("hess", [None, "2-point", "3-point", "cs", "autograd"])
def test_hessians_by_name(hess):
    result = minimize(valley, START, method="trust-exact", jac=valley_grad, hess=hess)
    assert result.success
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-8)


@methods
@pytest.mark.parametrize("jac", ["2-point", "3-point", "cs", None])
@pytest.mark.parametrize("hess", ["2-point", "3-point", "cs", None])
def test_evaluations_for_differences_are_counted(method, jac, hess):
    calls = []

    def fun(x):
        calls.append(1)
        return valley(x)

    result = minimize(fun, START, method=method, jac=jac, options={"maxiter": 5}, **hessian(method, hess))
    assert result.nfev == len(calls)


@pytest.mark.parametrize("hess", ["2-point", "3-point", None])
def test_gradients_for_a_differenced_hessian_are_counted(hess):
    counter = Counter()
    jac = counter.part("grad")
    result = minimize(ROSENBROCK.fun, START, method="trust-exact", jac=jac, hess=hess, options={"maxiter": 5})
    assert result.njev == counter.calls["grad"]


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
def test_args_go_to_every_function(method):
    args = (2.0, 3.0)

    def fun(x, a, b):
        return a * float((x - b) @ (x - b))

    def jac(x, a, b):
        return 2 * a * (x - b)

    result = minimize(fun, [0.0, 0.0], args, method, jac, **hessian(method, lambda x, a, b: 2 * a * np.eye(2)))
    assert result.x == pytest.approx([3.0, 3.0])
    differenced = minimize(fun, [0.0, 0.0], args, method)
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
        ({"jac": lambda x: None}, TypeError, "jac must.*NoneType"), ({"jac": lambda x: x + 1j}, TypeError, "jac.*real"),
        ({"jac": "5-point"}, ValueError, "5-point.*2-point"), ({"jac": 3}, TypeError, "jac must be callable"),
        ({"jac": np.ones(2)}, TypeError, "jac must be callable.*ndarray"),
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
        (BFGS(), TypeError, "it is BFGS; bfgs and sr1 learn the Hessian themselves"),
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


# --- compiled --------------------------------------------------------------------------------------------------------


@methods
def test_what_cannot_be_compiled_says_why(method):
    with pytest.raises(ValueError, match=r"compiled=True is not possible here: fun is not jitted"):
        rosenbrock(method, compiled=True)
    with pytest.raises(ValueError, match="compiled must be 'auto', True or False; it is 'yes'"):
        rosenbrock(method, compiled="yes")
    assert rosenbrock(method, compiled=False).nfev == rosenbrock(method, compiled="auto").nfev


# --- SciPy -----------------------------------------------------------------------------------------------------------


@methods
def test_as_scipy(method):
    as_method, hess = refopt.as_scipy(method), hessian(method, ROSENBROCK.hess)
    result = scipy_minimize(
        ROSENBROCK.fun, START, method=as_method, jac=ROSENBROCK.grad, options={"maxiter": 500}, **hess
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
    assert loose.nfev <= result.nfev  # the model must promise nothing more whatever the tolerance, so perhaps no fewer
    early = scipy_minimize(ROSENBROCK.fun, START, method=as_method, jac=ROSENBROCK.grad, options={"gtol_abs": 1.0})
    assert early.success
    assert 1e-8 < abs(early.jac).max() <= 1.0
    assert early.nfev < result.nfev
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


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (5, TypeError, "options must be a dict of names and values; it is 5"),
        ("gtol", TypeError, "options must be a dict"),
        ({"gtol": "small"}, ValueError, "gtol must be a number; it is 'small'"),
        ({"gtol": np.nan}, ValueError, "gtol must be a number; it is nan"),
        ({"gtol_abs": -1e-5}, ValueError, "gtol_abs must not be negative"),
        ({"maxiter": "ten"}, ValueError, "maxiter must be a number"),
        ({"maxfun": -1}, ValueError, "maxfun must not be negative"),
        ({"trials": 2.5}, ValueError, "trials must be a whole number; it is 2.5"),
        ({"c1": [0.1, 0.2]}, ValueError, "c1 must be a number"),
        ({"maxfev": 10}, TypeError, "what SciPy calls maxfev is maxfun here"),
    ],
)
def test_mistakes_in_options_are_explained(options, error, says):
    with pytest.raises(error, match=says):
        minimize(ROSENBROCK.fun, START, jac=ROSENBROCK.grad, options=options)


def test_scipys_names_are_said_only_where_the_method_has_such_an_option():
    with pytest.raises(TypeError, match="what SciPy calls maxcor is memory here"):
        rosenbrock("l-bfgs", maxcor=5)
    with pytest.raises(TypeError, match=r"compiled$"):
        rosenbrock("bfgs", maxcor=5)


def test_no_limit_may_be_said_as_infinity():
    unlimited = rosenbrock("bfgs", maxiter=np.inf, maxfun=np.inf, maxtime=np.inf)
    assert unlimited.success
    assert unlimited.nfev == rosenbrock("bfgs").nfev


def test_tol_is_a_number_from_zero_on():
    with pytest.raises(ValueError, match="tol must not be negative"):
        minimize(ROSENBROCK.fun, START, jac=ROSENBROCK.grad, tol=-1.0)


def test_a_callback_that_cannot_be_called():
    with pytest.raises(TypeError, match="callback must be callable or None; it is int"):
        minimize(ROSENBROCK.fun, START, jac=ROSENBROCK.grad, callback=5)


def test_a_sparse_hessian_serves_methods_that_need_the_matrix_too():
    sparse = minimize(
        ROSENBROCK.fun, START, jac=ROSENBROCK.grad, hess=lambda x: csr_array(ROSENBROCK.hess(x)), method="trust-exact"
    )
    dense = minimize(ROSENBROCK.fun, START, jac=ROSENBROCK.grad, hess=ROSENBROCK.hess, method="trust-exact")
    assert (sparse.x == dense.x).all()


NONE = [
    None,
    (),
    (-np.inf, np.inf),
    ([-np.inf, -np.inf], np.inf),
    [(None, None), (-np.inf, None)],
    Bounds(-np.inf, np.inf),
    Bounds([-np.inf] * 2),
]


@pytest.mark.parametrize("bounds", NONE)
def test_bounds_that_bound_nothing_are_none(bounds):
    assert minimize(ROSENBROCK.fun, START, jac=ROSENBROCK.grad, bounds=bounds).success
    assert least_squares(lambda x: x - 1.0, START, bounds=bounds).success


@pytest.mark.parametrize("bounds", [(0, np.inf), [(None, 3.0), (None, None)], Bounds([-np.inf, 0]), ([-1, -2], 3), 5])
def test_bounds_are_refused(bounds):
    with pytest.raises(ValueError, match=r"without bounds; scipy.optimize.minimize\(method='L-BFGS-B'\)"):
        minimize(ROSENBROCK.fun, START, jac=ROSENBROCK.grad, bounds=bounds)
    with pytest.raises(ValueError, match=r"without bounds; scipy.optimize.least_squares\(bounds=...\)"):
        least_squares(lambda x: x - 1.0, START, bounds=bounds)
