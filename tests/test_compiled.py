"""The compiled loop: the same run as the generic one, safe from exceptions."""

import mmap
from functools import partial
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

import refopt
from refopt import catalogue, derivatives, diskcache, loop, stopping
from refopt.dialect import Bound, entry_source, rows_source
from refopt.methods import bfgs, l_bfgs, trust_exact
from refopt.ops import Symmetric
from refopt.problem import Problem

numba = pytest.importorskip("numba")
compiled = pytest.importorskip("refopt.compiled")
from jitted import compare, rosen, rosen_grad, rosen_hess  # noqa: E402  # numba may be missing
from refopt.compiled.entry import compiled_entry  # noqa: E402  # numba may be missing
from refopt.compiled.ways import Apart, Together  # noqa: E402

pytestmark = [pytest.mark.jit, pytest.mark.xdist_group("jit")]

EPS = 2.0**-52


ROSEN = {
    bfgs: Problem(rosen, rosen_grad),
    l_bfgs: Problem(rosen, rosen_grad),
    trust_exact: Problem(rosen, rosen_grad, rosen_hess),
}


@numba.njit
def saddle(x):
    return 0.5 * (x[0] ** 2 - x[1] ** 2 + x[2] ** 2) + 0.25 * (x @ x) ** 2


@numba.njit
def saddle_grad(x):
    return np.array([1.0, -1.0, 1.0]) * x + (x @ x) * x


@numba.njit
def saddle_hess(x):
    return np.diag(np.array([1.0, -1.0, 1.0]) + x @ x) + 2.0 * np.outer(x, x)


SADDLE = Problem(saddle, saddle_grad, saddle_hess)


def runner(method, problem):
    return compiled.runner(method, stopping, problem).run


def begin(method, problem, x0, params=None):
    x0, params = np.array(x0, float), method.Params() if params is None else params
    state = method.init(problem, x0, params)
    return state, stopping.watch(state.x, state.f, state.g, abs(state.x)), params


# --- the same run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ROSEN, ids=lambda method: method.__name__.rpartition(".")[2])
@pytest.mark.parametrize("x0", [[-1.2, 1.0], [1.3, 0.7, 0.8, 1.9, 1.2]], ids=len)
def test_a_whole_run_has_the_same_steps_and_evaluations(method, x0):
    tests, problem = stopping.Tests(), ROSEN[method]
    run = runner(method, problem)
    state, watch, params = begin(method, problem, x0)
    found, found_watch, k = run(0.0, state, watch, params, tests, 1000)
    wanted, wanted_watch, steps = loop.run(method, stopping, problem, state, watch, params, tests, 1000)
    assert k == steps
    assert (found.nfev, found.njev) == (wanted.nfev, wanted.njev)
    assert found_watch.verdict == wanted_watch.verdict == stopping.DONE
    # the last step of a Newton or quasi-Newton method squares, nearly, an error of 1e-5 or less
    assert np.abs(found.x - wanted.x).max() <= 1e-9
    assert np.abs(found.x - 1.0).max() <= 1e-9


@pytest.mark.parametrize("x0", [[0.3, 0.0, 0.1], [0.0, 0.0, 0.0]], ids=["hard case", "exact saddle"])
def test_the_hard_case_leaves_a_saddle_as_the_generic_reading_does(x0):
    """g has no part along the lowest eigenvector, (0, 1, 0); to which side a run leaves is nobody's business."""
    run = runner(trust_exact, SADDLE)
    tests = stopping.Tests()
    state, watch, params = begin(trust_exact, SADDLE, x0, trust_exact.Params(radius=0.5))
    first, first_watch, _ = run(0.0, state, watch, params, tests, 1)
    wanted, wanted_watch, _ = loop.run(trust_exact, stopping, SADDLE, state, watch, params, tests, 1)
    assert abs(first.x[1]) == pytest.approx(abs(wanted.x[1]), rel=1e-9)
    assert first.x[1] != 0.0
    assert np.linalg.norm(first.x - state.x) == pytest.approx(0.5, rel=1e-9)  # on the boundary
    assert first.f == pytest.approx(wanted.f, rel=1e-9)
    found, found_watch, k = run(0.0, first, first_watch, params, tests, 100)
    wanted, wanted_watch, steps = loop.run(trust_exact, stopping, SADDLE, wanted, wanted_watch, params, tests, 100)
    assert k == steps
    assert found_watch.verdict == wanted_watch.verdict == stopping.DONE
    assert np.abs(found.x) == pytest.approx([0.0, 1.0, 0.0], abs=1e-8)  # f = −½y² + ¼y⁴ is least at y = ±1


def test_chunks_are_the_same_run():
    run = runner(bfgs, ROSEN[bfgs])
    whole = begin(bfgs, ROSEN[bfgs], [-1.2, 1.0, -1.2, 1.0])
    state, watch, params = whole
    for _ in range(7):
        state, watch, k = run(0.0, state, watch, params, stopping.Tests(), 3)
        assert k == 3
    at_once, at_once_watch, k = run(0.0, *whole, stopping.Tests(), 21)
    assert k == 21
    for found, wanted in zip((*state, *watch), (*at_once, *at_once_watch), strict=True):
        assert np.array_equal(found, wanted)


def test_arguments_are_left_alone_and_results_are_new():
    for method, problem in ROSEN.items():
        state, watch, params = begin(method, problem, [-1.2, 1.0, 0.5])
        before = [np.copy(value) for value in (*state, *watch)]
        found, found_watch, _ = runner(method, problem)(0.0, state, watch, params, stopping.Tests(), 5)
        assert all(map(np.array_equal, (*state, *watch), before))
        arrays = [value for value in (*found, *found_watch) if isinstance(value, np.ndarray)]
        for i, a in enumerate(arrays):
            assert not any(np.shares_memory(a, b) for b in (*arrays[:i], *state, *watch))
            assert a.flags.c_contiguous
        kinds = get_type_hints(method.State)
        for matrix in (value for name, value in found._asdict().items() if kinds[name] is Symmetric):
            assert (matrix == matrix.T).all()


def test_the_noise_of_the_problem_reaches_the_loop():
    state, watch, params = begin(bfgs, ROSEN[bfgs], [-1.2, 1.0])
    noisy = ROSEN[bfgs]._replace(noise=1e3)  # nothing is worth a step
    found = runner(bfgs, ROSEN[bfgs])(1e3, state, watch, params, stopping.Tests(), 50)
    wanted = loop.run(bfgs, stopping, noisy, state, watch, params, stopping.Tests(), 50)
    assert found[2] == wanted[2] < 20
    assert found[1].verdict == wanted[1].verdict


def test_both_ways_of_compiling_do_the_same():
    bound = Bound(Problem, frozenset({"hess", "hvp"}))
    together = compiled.entry_of(bfgs, stopping, bound)
    way = partial(Apart, "apart", False, False)
    apart = compiled_entry(bfgs, stopping, bound, entry_source, way).entry_point
    state, watch, params = begin(bfgs, ROSEN[bfgs], [-1.2, 1.0, -1.2])
    _, (first, second) = zip(*runner(bfgs, ROSEN[bfgs]).code, strict=True)
    addresses = [code.library.get_pointer_to_function(code.fndesc.llvm_func_name) for code in (first, second)]
    results = []
    for entry in (together, apart):
        values = [np.copy(v) if isinstance(v, np.ndarray) else v for v in (*state, *watch)]
        numbers = entry(*addresses, 0.0, True, *values, *params, *stopping.Tests(), 20)
        results.append((numbers, values))
    (numbers, values), (other_numbers, other_values) = results
    # twenty steps from the same state, rounded differently where loops are cut differently
    assert other_numbers == pytest.approx(numbers, rel=1e-6)
    assert all(np.allclose(a, b, rtol=1e-6) for a, b in zip(values, other_values, strict=True))


def test_a_library_takes_nobody_else_s_names():
    """All libraries share one table of symbols: a later one would call our counting, which is for one thread."""
    for many in (False, True):
        way = partial(Together, f"mine{many}", False, many)
        bound = Bound(Problem, frozenset({"hess", "hvp"}))
        library = compiled_entry(bfgs, stopping, bound, rows_source if many else entry_source, way).library
        names = [function.name for function in library.get_defined_functions()]
        assert any("run" in name for name in names)
        assert all(f"mine{many}" in name for name in names)


# --- derivatives by differences --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "given"),
    [(bfgs, (rosen, None)), (trust_exact, (rosen, rosen_grad)), (trust_exact, (rosen, None))],
    ids=["gradient", "Hessian", "both"],
)
def test_missing_derivatives_are_differenced_inside_the_loop(method, given):
    x0, tests = np.array([-1.2, 1.0, 0.0]), stopping.Tests(gtol=1e-8, differences=EPS ** (1 / 3))
    grad = given[1] or derivatives.gradient_of(rosen, "3-point", abs(x0))
    hess = derivatives.hessian_of(grad=grad, method="3-point", scale=abs(x0)) if method is trust_exact else None
    generic, problem = Problem(rosen, grad, hess), Problem(*given)
    state, watch, params = begin(method, generic, x0)
    found, _, k = runner(method, problem)(0.0, state, watch, params, tests, 8)
    wanted, _, steps = loop.run(method, stopping, generic, state, watch, params, tests, 8)
    assert (k, found.nfev, found.njev) == (steps, wanted.nfev, wanted.njev)
    # points that differ in the last bit have differences that differ by eps f / h, and Hessians by that over h
    compare(found, wanted, state, rtol=1e-3 if given[1] is None and method is trust_exact else 1e-6)


# --- functions that misbehave ----------------------------------------------------------------------------------------


@numba.njit
def raises(x):
    if x[0] > 0.5:
        raise ValueError("mine")
    return rosen(x)


@numba.njit
def raises_late(x):
    if x[0] > 0.5:
        raise KeyError("slope", 3)
    return rosen_grad(x)


@pytest.mark.parametrize(("fun", "grad"), [(raises, rosen_grad), (rosen, raises_late)])
def test_exceptions_travel_unchanged(fun, grad):
    problem = Problem(fun, grad)
    state, watch, params = begin(bfgs, problem, [-1.2, 1.0])
    with pytest.raises((ValueError, KeyError)) as caught:
        runner(bfgs, problem)(0.0, state, watch, params, stopping.Tests(), 1000)
    assert (type(caught.value), caught.value.args) in ((ValueError, ("mine",)), (KeyError, ("slope", 3)))


@numba.njit
def careless(x):
    value = rosen(x)
    x[:] = 1e9
    return value


@numba.njit
def single(x):
    return np.float32(rosen(x))


@numba.njit
def whole(x):
    return int(rosen(x))


@numba.njit
def single_grad(x):
    return rosen_grad(x).astype(np.float32)


@numba.njit
def strided_grad(x):
    return np.repeat(rosen_grad(x), 2)[::2]


@numba.njit("float64(float64[:])")
def fixed(x):
    return rosen(x)


def run_twice(fun, grad, rtol):
    state, watch, params = begin(bfgs, Problem(rosen, rosen_grad), [-1.2, 1.0])
    problem = Problem(lambda x: float(fun(x.copy())), lambda x: np.array(grad(x.copy()), float))
    found, _, _ = runner(bfgs, Problem(fun, grad))(0.0, state, watch, params, stopping.Tests(), 6)
    wanted, _, _ = loop.run(bfgs, stopping, problem, state, watch, params, stopping.Tests(), 6)
    compare(found, wanted, state, rtol)


@pytest.mark.parametrize("fun", [single, whole, fixed, careless])
def test_functions_of_another_type_are_wrapped_and_careless_ones_get_copies(fun):
    run_twice(fun, rosen_grad, rtol=1e-9)


@pytest.mark.parametrize("grad", [single_grad, strided_grad])
def test_gradients_of_another_type_are_wrapped(grad):
    run_twice(rosen, grad, rtol=1e-9)


def test_what_cannot_be_wrapped_is_said():
    with pytest.raises(TypeError, match=r"fun must return float64 for a float64 vector; it returns array\(float64"):
        runner(bfgs, Problem(rosen_grad, rosen_grad))


@numba.njit
def both(x):
    return rosen(x), rosen_grad(x)


def test_value_and_gradient_together():
    options = {"compiled": True}
    found = refopt.minimize(both, [-1.2, 1.0, 0.5], jac=True, options=options)
    wanted = refopt.minimize(rosen, [-1.2, 1.0, 0.5], jac=rosen_grad, options=options)
    assert (found.x == wanted.x).all()
    assert (found.nit, found.nfev, found.njev) == (wanted.nit, wanted.nfev, wanted.njev)
    with pytest.raises(ValueError, match="must return the pair"):
        refopt.minimize(rosen, [-1.2, 1.0], jac=True, options=options)


# --- the public names ------------------------------------------------------------------------------------------------


def test_compile_makes_what_is_accepted_wherever_fun_is():
    objective = refopt.compile(rosen, rosen_grad.py_func)
    assert objective(np.array([1.0, 2.0])) == 100.0
    assert compiled.is_jitted(objective)
    assert compiled.is_jitted(objective.jac)
    assert objective.hess is None
    state, watch, params = begin(bfgs, Problem(rosen, rosen_grad), [-1.2, 1.0])
    run = runner(bfgs, Problem(objective, objective.jac))
    wanted = runner(bfgs, ROSEN[bfgs])(0.0, state, watch, params, stopping.Tests(), 9)
    found = run(0.0, state, watch, params, stopping.Tests(), 9)
    assert all(map(np.array_equal, (*found[0], *found[1]), (*wanted[0], *wanted[1])))
    with pytest.raises(TypeError, match="this is a str"):
        refopt.compile("fun")


def test_an_objective_that_cannot_be_named_is_compiled_all_the_same():
    class Unknown:
        pass

    unknown = Unknown()

    def fun(x):
        return x @ x

    def gun(x):
        return x @ x if unknown is None else 0.0

    assert diskcache.identity(fun) is not None
    assert diskcache.identity(gun) is None
    assert refopt.compile(fun)(np.ones(2)) == 2.0


def test_what_is_not_jitted_is_not():
    assert not compiled.is_jitted(lambda x: x)
    assert not compiled.is_jitted(rosen.py_func)
    assert compiled.is_jitted(rosen)


def test_the_catalogue_says_what_compiles():
    assert {name for name, entry in catalogue.available().items() if entry.compiles} >= {"bfgs", "trust-exact"}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is read from /proc")
def test_a_run_leaves_no_memory_behind():
    """They would leave a hundred megabytes if one matrix of each were not given back."""

    def pages():
        return int(Path("/proc/self/statm").read_text().split()[1])

    def run():
        refopt.minimize(rosen, np.full(200, -1.2), jac=rosen_grad, options={"maxiter": 15})

    run()
    before = pages()
    for _ in range(300):
        run()
    assert (pages() - before) * mmap.PAGESIZE < 25e6
