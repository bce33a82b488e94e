"""What holds for every second-order method of ``minimize``: whole states, honest counts, every array kind, saddles."""

from itertools import islice

import numpy as np
import pytest

import refopt
from methods.second_order import double_well_saddle, problem_of, states_of
from problems import PROBLEMS
from refopt import zoo
from refopt.loop import iterate
from refopt.methods import newton_cg, trust_krylov, trust_ncg
from refopt.problem import Problem

EPS = 2.0**-52

SECOND = [e for e in refopt.available().values() if e.door == "minimize" and {"hess", "hessp"} & set(e.needs)]
LOCAL = ["newton", "damped-newton", "diagonal-newton", "natural-gradient", "adahessian"]  #: near a minimum only
GLOBAL = [e for e in SECOND if e.name not in LOCAL]

methods = pytest.mark.parametrize("entry", SECOND, ids=lambda entry: entry.name)
globals_ = pytest.mark.parametrize("entry", GLOBAL, ids=lambda entry: entry.name)
exact_ = pytest.mark.parametrize(
    "entry",
    [e for e in SECOND if e.name not in ("damped-newton", "diagonal-newton", "adahessian")],
    ids=lambda entry: entry.name,
)


@methods
@pytest.mark.parametrize("name", ["rosenbrock", "wood", "beale", "meyer", "powell_singular", "brown_badly_scaled"])
def test_states_are_whole_and_counts_are_honest(entry, name):
    problem = PROBLEMS[name]
    calls = {"fun": 0, "grad": 0, "hess": 0, "hvp": 0}

    def counted(part, function):
        def call(*arguments):
            calls[part] += 1
            return function(*arguments)

        return call

    functions = {part: counted(part, getattr(problem, part)) for part in ("fun", "grad", "hess")}
    functions["hvp"] = counted("hvp", lambda x, p: problem.hess(x) @ p)
    with np.errstate(all="ignore"):
        for state in islice(iterate(entry.module, Problem(**functions), problem.x0), 15):
            counts = [state.nfev, state.njev, getattr(state, "nhev", 0), getattr(state, "nhvp", 0)]
            assert list(calls.values()) == counts
            assert state.f == problem.fun(state.x)
            assert (state.g == problem.grad(state.x)).all()
            if hasattr(state, "B"):
                assert (problem.hess(state.x) == state.B).all()


@exact_
@pytest.mark.parametrize("n", [1, 2, 5])
def test_on_a_convex_quadratic_one_whole_step_is_enough(entry, n):
    """Trust regions are given room; conjugate gradients need a small residual, so theirs takes a few steps."""
    rng = np.random.default_rng(n)
    M = rng.standard_normal((n, n))
    A, b, x0 = M @ M.T + np.eye(n), rng.standard_normal(n), rng.standard_normal(n)
    problem = Problem(lambda x: 0.5 * x @ A @ x - b @ x, lambda x: A @ x - b, lambda x: A)
    room = {"radius": 1e3} if entry.name.startswith("trust") else {}
    steps = 10 if entry.name == "hessian-free" else 6 if "hessp" in entry.needs else 1  # its damping falls by thirds
    last = states_of(entry.module, problem, x0, steps + 1, **room)[-1]
    # one stable solve, of a condition below 1e2
    assert last.x == pytest.approx(np.linalg.solve(A, b), abs=1e4 * EPS * (1 + abs(x0).max()))


@methods
@pytest.mark.parametrize("name", ["rosenbrock", "rosenbrock:10", "quartic"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_kind_takes_the_same_steps(entry, namespace, name, dtype):
    like = namespace.asarray(np.ones(1, dtype))
    plain, same = zoo.get(name, like=np.ones(1, dtype)), zoo.get(name, like=like)
    steps = 6 if dtype == "float64" else 3
    reference = states_of(entry.module, plain.problem, plain.x0, steps)
    found = states_of(entry.module, same.problem, same.x0, steps)
    # other factorisations of well-conditioned matrices, magnified by the steps
    tolerance = 1e6 * float(np.finfo(dtype).eps)
    for ours, theirs in zip(found, reference, strict=True):
        if abs(theirs.g).max() < 1e-3 * tolerance * abs(reference[0].g).max():
            break  # rounding
        for field in ("x", "g"):
            array, expected = getattr(ours, field), getattr(theirs, field)
            assert namespace.owns(array)
            assert namespace.to_numpy(array).dtype == np.dtype(dtype)
            size = max(abs(expected).max(), abs(getattr(reference[0], field)).max())
            assert abs(namespace.to_numpy(array) - expected).max() <= tolerance * size
        assert (ours.taken, ours.ok, ours.nfev, ours.njev) == (theirs.taken, theirs.ok, theirs.nfev, theirs.njev)
        assert type(ours.f) is float


@globals_
@pytest.mark.parametrize("name", ["rosenbrock", "wood", "beale", "helical_valley", "box", "bard", "gaussian"])
def test_classics_are_solved(entry, name):
    problem = PROBLEMS[name]
    result = refopt.minimize(problem.fun, problem.x0, jac=problem.grad, hess=problem.hess, method=entry.name)
    assert result.success
    assert min(abs(result.fun - f) for f in problem.minima) <= 1e-8 * max(1e-2, min(map(abs, problem.minima)))


@globals_
def test_a_saddle_beside_the_start_is_left(entry):
    """Each method comes down from (1, 1e-6), although the gradient points to the saddle."""
    problem = double_well_saddle()
    result = refopt.minimize(problem.fun, [1.0, 1e-6], jac=problem.grad, hess=problem.hess, method=entry.name)
    assert result.success
    assert result.fun == pytest.approx(-0.5, rel=1e-9)


@globals_
@pytest.mark.parametrize("x0", [[0.0, 0.0], [1.0, 0.0], [1e-9, 0.0], [1e3, 0.0], [0.0, 1e-12]])
@pytest.mark.parametrize("shift", [0.0, 7.0])
@pytest.mark.parametrize("c", [1e-12, 1.0, 1e12])
def test_an_exact_saddle_and_its_axis_are_left(entry, x0, shift, c):
    """No gradient shows the way; the Hessian does. Neither do the units of f matter, nor its digits beside a shift."""
    saddle = double_well_saddle()
    result = refopt.minimize(
        lambda x: c * (saddle.fun(x) + shift), x0, jac=lambda x: c * saddle.grad(x), hess=lambda x: c * saddle.hess(x),
        method=entry.name,
    )  # fmt: skip
    assert result.success
    assert result.fun == pytest.approx(c * (shift - 0.5), rel=1e-9)


@globals_
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_saddle_is_left_to_the_side_where_the_gradient_points_down(entry, side):
    """Beside 7 the values of f show nothing of a slope of 2e-9, but there it is."""
    saddle = double_well_saddle()
    result = refopt.minimize(
        lambda x: 7.0 + saddle.fun(x), [0.0, 1e-9 * side], jac=saddle.grad, hess=saddle.hess, method=entry.name
    )
    assert result.x == pytest.approx([0.0, side], abs=1e-6)


@globals_
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_saddle_is_left_on_every_array_kind(entry, namespace, dtype):
    case = zoo.get("saddle", like=namespace.asarray(np.ones(1, dtype)))
    x0 = namespace.asarray(np.zeros(2, dtype))
    last = states_of(entry.module, case.problem, x0, 40)[-1]
    assert namespace.owns(last.x)
    assert namespace.to_numpy(last.x).dtype == np.dtype(dtype)
    assert abs(last.f - case.minima[0].fun) <= 1e-10


@methods
def test_no_method_calls_a_saddle_a_success(entry):
    """From (1, 0) every gradient points along the axis to the saddle."""
    problem = double_well_saddle()
    with np.errstate(all="ignore"):
        result = refopt.minimize(
            problem.fun, [1.0, 0.0], jac=problem.grad, hess=problem.hess, method=entry.name, options={"maxiter": 100}
        )
    assert result.fun == pytest.approx(-0.5, rel=1e-9) if result.success else abs(result.x[1]) < 1e-8


@methods
def test_a_wall_of_nan_is_kept_away_from(entry):
    """x − log x, whose Newton step from 3 leads beyond 0."""

    def fun(x):
        return float(x[0] - np.log(x[0])) if x[0] > 0 else np.nan

    x0 = np.array([3.0])
    for state in islice(
        iterate(entry.module, Problem(fun, lambda x: 1 - 1 / x, lambda x: np.array([[1.0]]) / x**2), x0), 8
    ):
        assert np.isfinite(state.f)
        assert state.x[0] > 0


@globals_
@pytest.mark.parametrize("name", ["rosenbrock", "wood", "beale"])
def test_scaling_f_by_a_power_of_four_changes_no_bit(entry, name):
    """Of four, because roots are taken."""
    problem = PROBLEMS[name]
    c = 4.0**19
    scaled = Problem(lambda x: c * problem.fun(x), lambda x: c * problem.grad(x), lambda x: c * problem.hess(x))
    plain = states_of(entry.module, problem_of(problem), problem.x0, 12)
    for ours, theirs in zip(states_of(entry.module, scaled, problem.x0, 12), plain, strict=True):
        assert (ours.x == theirs.x).all()
        assert ours.nfev == theirs.nfev


@methods
def test_resume_makes_ready_again(entry):
    problem = PROBLEMS["wood"]
    state = entry.module.init(
        problem_of(problem)._replace(hvp=lambda x, p: problem.hess(x) @ p), problem.x0, entry.module.Params()
    )
    used = {name: 7 for name in ("weak", "rejected") if name in state._fields}
    again = entry.module.resume(state._replace(ok=False, **used))
    assert again.ok
    assert (again.x == state.x).all()
    assert all(getattr(again, name) == 0 for name in used)


@pytest.mark.parametrize(("method", "most"), [(trust_ncg, ()), (trust_krylov, (50,))], ids=["ncg", "krylov"])
def test_a_step_that_is_known_is_not_computed_again(method, most):
    """Products are spent on the next one only."""
    B = np.diag([1.0, 4.0, 9.0])
    problem = Problem(lambda x: 0.5 * (x @ B @ x), lambda x: B @ x, hvp=lambda x, p: B @ p)
    state = method.init(problem, np.ones(3), method.Params(radius=0.1))
    new = method.step(problem, state, method.Params())
    fresh = method.planned(problem, new, *most)
    assert state.promised > 0.0
    assert new.nhvp - state.nhvp == fresh.nhvp - new.nhvp > 0


@pytest.mark.parametrize(("method", "most"), [(trust_ncg, ()), (trust_krylov, (50,))], ids=["ncg", "krylov"])
def test_after_a_new_start_of_the_region_the_step_is_found_anew(method, most):
    """resume makes the region as large as at the start; the step of the small one would end a tenth as far away."""
    B = np.diag([1.0, 4.0, 9.0])
    problem = Problem(lambda x: 0.5 * (x @ B @ x), lambda x: B @ x, hvp=lambda x, p: B @ p)
    small = method.init(problem, np.ones(3), method.Params(radius=0.1))
    again = method.resume(small)
    new = method.step(problem, again, method.Params())
    wanted = method.planned(problem, again, *most)
    assert np.linalg.norm(wanted.p) > 2 * np.linalg.norm(small.p)
    assert (new.x == small.x + wanted.p).all()


def test_newton_cg_forgets_weak_searches_after_one_that_meets_its_conditions():
    problem = Problem(lambda x: x @ x, lambda x: 2.0 * x, hvp=lambda x, p: 2.0 * p)
    state = newton_cg.init(problem, np.ones(2), newton_cg.Params())._replace(weak=2)
    new = newton_cg.step(problem, state, newton_cg.Params())
    assert (new.taken, new.ok, new.weak) == (True, True, 0)


def test_newton_cg_spends_no_products_where_a_search_found_nothing():
    problem = Problem(lambda x: float((x != 1.0).any()), lambda x: 2.0 * x, hvp=lambda x, p: 2.0 * p)
    state = newton_cg.init(problem, np.ones(2), newton_cg.Params())
    new = newton_cg.step(problem, state, newton_cg.Params(trials=5))
    assert (new.taken, new.ok) == (False, False)
    assert new.nhvp == state.nhvp > 0
    assert (new.x == state.x).all()
