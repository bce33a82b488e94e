"""minimize takes what it promises to take, and returns what it promises to return, for every method."""

import numpy as np
import pytest
from scipy.optimize import OptimizeResult

import refopt
from problems import PROBLEMS
from refopt import minimize, zoo
from refopt.stopping import Status
from runs import ROSENBROCK, START, Counter, methods, rosenbrock, solve

FIELDS = {
    "x", "fun", "jac", "nit", "nfev", "njev", "nhev", "nhvp", "status", "success", "message", "advice", "time", "trace",
}  # fmt: skip


# --- the result ------------------------------------------------------------------------------------------------------


@methods
def test_the_result_has_the_same_fields_for_every_method(method):
    result = rosenbrock(method)
    assert isinstance(result, OptimizeResult)
    state = refopt.available()[method].module.State
    carried = {
        name for field, name in (("B", "hess"), ("H", "hess_inv"), ("history", "history")) if hasattr(state, field)
    }
    assert set(result) == FIELDS | carried
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
        p, seen = PROBLEMS[name], []

        def fun(x, p=p, seen=seen):
            seen.append(p.fun(x))
            return seen[-1]

        result = solve(method, fun, p.x0, p.grad, p.hess)
        assert result.fun <= min(seen) + 100 * 2.0**-52 * abs(min(seen))


@methods
@pytest.mark.parametrize("name", ["rosenbrock", "wood", "brown_dennis"])
def test_evaluations_are_counted(method, name):
    counter = Counter(PROBLEMS[name])
    result = counter.solve(method, PROBLEMS[name].x0)
    assert counter.agrees(result)


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
        assert counter.agrees(result)


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
@pytest.mark.parametrize(
    "x0", [[-1, 1], (-1, 1), np.array([-1, 1]), np.array([-1.0, 1.0], "float32"), np.array([-1, 1], "int8")]
)
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

    result = solve(method, spoiled(ROSENBROCK.fun), START, spoiled(ROSENBROCK.grad, g), spoiled(ROSENBROCK.hess, H))
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


def test_a_tensor_that_asks_for_its_gradient_is_taken_without():
    torch = pytest.importorskip("torch")
    x0 = torch.tensor([3.0, -1.0], dtype=torch.float64, requires_grad=True)

    def jac(x):
        x = x.clone().requires_grad_(True)
        ((x - 1) ** 2).sum().backward()
        return x.grad

    result = minimize(lambda x: ((x - 1) ** 2).sum() + 0 * x0.sum(), x0, jac=jac)
    assert result.success
    assert not result.x.requires_grad
    assert result.x.tolist() == pytest.approx([1.0, 1.0])


@methods
def test_a_constant_of_every_array_kind(method, namespace):
    """No slope and no curvature: a singular Hessian on every library."""
    zeros = namespace.asarray(np.zeros(2))
    result = solve(
        method,
        lambda x: 3.0,
        namespace.asarray(np.ones(2)),
        lambda x: zeros,
        lambda x: namespace.asarray(np.zeros((2, 2))),
    )
    assert result.success
    assert result.nfev == 1
