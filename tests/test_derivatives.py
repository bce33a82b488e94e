"""Differences, the complex step and autograd against derivatives known in closed form; steps, costs, manners."""

import math

import autograd.numpy
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from refopt.derivatives import (
    METHODS,
    gradient,
    gradient_of,
    hessian,
    hessian_of,
    hvp,
    hvp_of,
    jacobian,
    jacobian_of,
    relative_step,
)
from refopt.derivatives.differences import doubtful, own_sizes, start_sizes
from refopt.ops import namespace as array_namespace
from strategies import spd, vectors

EPS = np.finfo(float).eps
SCHEMES = ["2-point", "3-point", "cs"]

# relative errors, for functions whose values and derivatives are of order 1: a few times ε^½, ε^⅔, ε (see the formulas)
FIRST = {"2-point": 1e-6, "3-point": 1e-9, "cs": 1e-14, "autograd": 1e-14}
# second derivatives from values alone: ε^⅓, ε^½; the complex step differenced once: ε^⅔
SECOND = {"2-point": 2e-5, "3-point": 1e-6, "cs": 1e-9, "autograd": 1e-13}

X = np.array([0.5, -1.25, 2.0])
V = np.array([1.0, -0.5, 0.25])


def fun(x):
    """f = e^{x₀} sin x₁ + x₁ x₂³."""
    xp = array_namespace(x) if not hasattr(x, "_value") else np
    return xp.exp(x[0]) * xp.sin(x[1]) + x[1] * x[2] ** 3


def grad(x):
    xp = array_namespace(x)
    e, s, c = xp.exp(x[0]), xp.sin(x[1]), xp.cos(x[1])
    return xp.stack([e * s, e * c + x[2] ** 3, 3 * x[1] * x[2] ** 2])


def traceable_grad(x):
    e, s, c = np.exp(x[0]), np.sin(x[1]), np.cos(x[1])
    return np.stack([e * s, e * c + x[2] ** 3, 3 * x[1] * x[2] ** 2])


def hess(x):
    e, s, c = math.exp(x[0]), math.sin(x[1]), math.cos(x[1])
    return np.array([[e * s, e * c, 0], [e * c, -e * s, 3 * x[2] ** 2], [0, 3 * x[2] ** 2, 6 * x[1] * x[2]]])


def residual(x):
    """r = (x₀², x₀x₁, e^{x₂}, x₁ − 2x₂)."""
    xp = array_namespace(x) if not hasattr(x, "_value") else np
    return xp.stack([x[0] ** 2, x[0] * x[1], xp.exp(x[2]), x[1] - 2 * x[2]])


def jac(x):
    return np.array([[2 * x[0], 0, 0], [x[1], x[0], 0], [0, 0, math.exp(x[2])], [0, 1, -2]])


def close(found, exact, tolerance):
    assert found.shape == exact.shape
    assert abs(found - exact).max() <= tolerance * abs(exact).max()


class Recorder:
    """A function that remembers where it was called."""

    def __init__(self, function):
        self.function, self.points = function, []

    def __call__(self, x):
        self.points.append(x)
        return self.function(x)


# --- values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_first_derivatives(method):
    close(gradient(fun, X, method), grad(X), FIRST[method])
    close(jacobian(residual, X, method), jac(X), FIRST[method])


@pytest.mark.parametrize("method", METHODS)
def test_hessian_from_values(method):
    H = hessian(fun, X, method)
    close(H, hess(X), SECOND[method])
    assert (H == H.T).all()


@pytest.mark.parametrize("method", METHODS)
def test_hessian_and_products_from_the_gradient(method):
    H = hessian(None, X, method, grad=traceable_grad)
    close(H, hess(X), FIRST[method])
    assert (H == H.T).all()
    close(hvp(traceable_grad, X, V, method), hess(X) @ V, FIRST[method])


def test_hessian_vector_product_from_values_by_autograd():
    close(hvp(None, X, V, "autograd", fun=fun), hess(X) @ V, 1e-14)


@given(A=spd(), data=st.data())
def test_central_differences_of_a_quadratic_err_by_rounding_only(A, data):
    n = A.shape[0]
    x, b = data.draw(vectors(n)), data.draw(vectors(n))
    found = gradient(lambda x: 0.5 * x @ A @ x - b @ x, x, scale=np.ones(n))
    size = np.maximum(abs(x), 1)
    terms = (abs(A) @ size) @ size + abs(b) @ size  # bounds every intermediate value at x and at x ± h
    # each of the two values errs by (n + 4) ε·terms at most, and the difference is divided by 2h = 2 ε^⅓ s
    assert (abs(found - (A @ x - b)) * size <= (n + 4) * EPS ** (2 / 3) * terms).all()


@given(k=st.integers(-40, 40), method=st.sampled_from(SCHEMES))
def test_scaling_by_powers_of_two_rounds_nothing(k, method):
    c = 2.0**k
    assert (gradient(lambda x: c * fun(x), X, method) == c * gradient(fun, X, method)).all()
    d = 2.0 ** np.array([k, -k, 3])
    assert (gradient(lambda x: fun(x / d), d * X, method) == gradient(fun, X, method) / d).all()
    scaled = hvp(lambda x: traceable_grad(x / d) / d, d * X, V / d, method)
    assert (scaled == hvp(traceable_grad, X, V / d**2, method) / d).all()


def test_product_with_zero_is_zero():
    assert (hvp(grad, X, 0 * V) == 0).all()


# --- array kinds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SCHEMES)
def test_every_array_kind(namespace, method):
    x, v = namespace.asarray(X), namespace.asarray(V)
    for found, exact, tolerance in [
        (gradient(fun, x, method, scale=v), grad(X), FIRST),
        (jacobian(residual, x, method), jac(X), FIRST),
        (hessian(fun, x, method), hess(X), SECOND),
        (hessian(None, x, method, grad=grad), hess(X), FIRST),
        (hvp(grad, x, v, method), hess(X) @ V, FIRST),
    ]:
        assert namespace.owns(found)
        close(namespace.to_numpy(found), exact, tolerance[method])
    assert (namespace.to_numpy(x) == X).all()


@pytest.mark.parametrize("method", METHODS)
def test_float32_is_kept(method):
    x = X.astype(np.float32)
    found = gradient(fun, x, method)
    assert found.dtype == np.float32
    close(found, grad(X), {"2-point": 1e-2, "3-point": 1e-3, "cs": 1e-6, "autograd": 1e-6}[method])


def test_lists_and_integers_become_floats():
    assert gradient(lambda x: x @ x / 2, [1, 2]) == pytest.approx([1, 2], rel=1e-9)
    assert gradient(lambda x: x @ x / 2, np.array([1, 2])) == pytest.approx([1, 2], rel=1e-9)
    with pytest.raises(TypeError, match="floating-point"):
        gradient(fun, X + 0j)


# --- steps, cost, manners ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_are_relative_and_exact(dtype):
    eps = float(np.finfo(dtype).eps)
    x, scale = np.array([3.0, 0.1, 0.0, 1e-9], dtype), np.array([1.0, 10.0, 0.0, 0.0], dtype)
    sizes = np.array([3.0, 10.0, 1.0, 1e-9], dtype)
    for method, power, first in [("2-point", 1 / 2, 1), ("3-point", 1 / 3, 0)]:
        record = Recorder(lambda x: x.sum())
        gradient(record, x, method, scale)
        # x + h differs from x in one component, by the step to within the rounding of x
        stride = 1 if method == "2-point" else 2
        ahead = np.array([point - x for point in record.points[first::stride]])
        assert (ahead == np.diag(np.diag(ahead))).all()
        h = np.diag(ahead)
        assert np.allclose(h, eps**power * sizes, rtol=0, atol=eps * abs(x).max())
        assert ((x + h) - x == h).all()
        if method == "3-point":
            behind = np.array([x - point for point in record.points[1::2]])
            assert (behind == np.diag(h)).all()


def test_relative_step_grows_with_noise():
    assert relative_step("3-point", X) == pytest.approx(EPS ** (1 / 3))
    assert relative_step("2-point", X, noise=1e-6) == pytest.approx(1e-3)
    noisy = lambda x: fun(x) * (1 + 1e-6 * math.sin(1e9 * x.sum()))
    close(gradient(noisy, X, noise=1e-6), grad(X), 1e-3)  # ε^⅔ = 1e-4


@pytest.mark.parametrize(("method", "cost"), [("2-point", 4), ("3-point", 6), ("cs", 3)])
def test_cost_in_evaluations(method, cost):
    record = Recorder(fun)
    gradient(record, X, method)
    assert len(record.points) == cost
    record = Recorder(traceable_grad)
    hvp(record, X, V, method)
    assert len(record.points) == {"2-point": 2, "3-point": 2, "cs": 1}[method]


def test_cost_of_a_hessian_from_values():
    for method, cost in [("2-point", 10), ("3-point", 19)]:  # 1 + n + n(n + 1)/2, and 1 + 2n + n(n + 1)
        record = Recorder(fun)
        hessian(record, X, method)
        assert len(record.points) == cost


@pytest.mark.parametrize("method", SCHEMES)
def test_a_function_may_keep_return_or_change_its_argument(method):
    assert jacobian(lambda x: x, X, method) == pytest.approx(np.eye(3), abs=1e-9)

    def greedy(x):
        value = fun(x)
        x[:] = np.nan
        return value

    assert (gradient(greedy, X, method) == gradient(fun, X, method)).all()
    record = Recorder(fun)
    gradient(record, X, method)
    assert len({id(point) for point in record.points}) == len({point.tobytes() for point in record.points})


def test_unknown_method_and_missing_functions():
    for make in (gradient_of, jacobian_of):
        with pytest.raises(ValueError, match=r"'4-point'; choose one of 2-point, 3-point, cs, autograd"):
            make(fun, "4-point")
    with pytest.raises(TypeError, match="pass fun or grad"):
        hessian_of()
    with pytest.raises(TypeError, match="need the gradient"):
        hvp_of(fun=fun)


# --- the edge of the domain --------------------------------------------------------------------------------------


def barrier(x):
    """f = Σ xᵢ − log xᵢ, NaN for negative x."""
    return np.sum(x - np.log(x))


def test_where_a_step_leaves_the_domain_a_smaller_one_sided_one_is_taken():
    x = np.array([1e-3, 2.0])
    scale = np.array([1e4, 1.0])  # a step of 0.06 (3-point) passes 0
    found = gradient(barrier, x, "3-point", scale)
    # one-sided, h = 6e-6 x: truncation ⅓h²|f‴| = 2.4e-11/x, rounding 4ε|f|/h = 1e-9/x with |f| = 8
    assert found == pytest.approx(1 - 1 / x, rel=1e-7)
    J = jacobian(lambda x: np.stack([barrier(x), x[1] ** 2, x[0]]), x, "3-point", scale)
    assert pytest.approx(np.array([1 - 1 / x, [0, 4], [1, 0]]), rel=1e-7, abs=1e-9) == J


def test_one_sided_on_the_left_of_a_wall():
    wall = lambda x: float(np.exp(x[0])) if x[0] <= 1 else math.inf
    assert gradient(wall, np.array([1.0])) == pytest.approx([math.e], rel=1e-8)


def test_outside_the_domain_the_gradient_is_not_finite():
    assert np.isnan(gradient(barrier, np.array([-1.0, 2.0]))[0])
    assert np.isnan(gradient(lambda x: 0.0 if x[0] == 1 else math.nan, np.ones(1))).all()


# --- the complex step --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (lambda x: abs(x[0]) + 0.0, "returned float64"),
        (lambda x: np.linalg.norm(x), "returned float64"),
        (lambda x: math.exp(x[0]) + x[1], "discards the imaginary part"),
        (lambda x: x[0].item() if x[0].item() > 0 else 0.0, "not supported between"),
        (lambda x: np.logaddexp(x[0], x[1]), "logaddexp"),
    ],
)
def test_the_complex_step_says_why_it_cannot(bad, says):
    with pytest.raises(TypeError, match=f"complex step needs.*{says}.*choose '3-point'"):
        gradient(bad, X, "cs")


def test_the_complex_step_passes_other_exceptions_on():
    def mine(x):
        raise LookupError("mine")

    with pytest.raises(LookupError, match=r"^mine$"):
        gradient(mine, X, "cs")


# --- autograd ----------------------------------------------------------------------------------------------------


def assigns(x):
    y = np.zeros(3)
    y[0] = x[0]
    return y[0]


def assigns_to_x(x):
    x[0] = 1.0
    return x[0]


def accumulates(x):
    total = np.zeros(3)
    total += x
    return total[0]


@pytest.mark.parametrize(
    ("bad", "advice"),
    [
        (assigns, "y.i. = "),
        (assigns_to_x, "x.i. = "),
        (accumulates, r"s = s \+ x"),
        (lambda x: float(x[0]) ** 2, r"float\(x\) cuts the trace"),
        (lambda x: int(x[0]) ** 2, r"int\(x\) cuts the trace"),
        (lambda x: math.exp(x[0]), "functions of numpy"),
        (lambda x: x.dot(x), r"np.dot\(x, y\)"),
        (lambda x: np.linalg.solve(np.diag(x), X)[0], "autograd.numpy"),
        (lambda x: np.exp(np.stack([x[0], x[1]]))[0], "autograd.numpy"),
    ],
)
def test_autograd_says_why_it_cannot(bad, advice):
    with pytest.raises(TypeError, match=f"autograd cannot trace this function: .*{advice}.*choose '3-point'"):
        gradient(bad, X, "autograd")


@pytest.mark.jit
def test_autograd_refuses_jitted_functions():
    numba = pytest.importorskip("numba")
    with pytest.raises(TypeError, match=r"jitted function cannot be traced.*py_func"):
        gradient(numba.njit(lambda x: x[0] ** 2), X, "autograd")


def test_autograd_passes_other_exceptions_on():
    def mine(x):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        gradient(mine, X, "autograd")


def test_autograd_refuses_other_arrays(namespace):
    if namespace.name.startswith("numpy"):
        return
    with pytest.raises(TypeError, match="autograd works on NumPy arrays"):
        gradient(fun, namespace.asarray(X), "autograd")


def test_constant_derivatives_are_no_reason_to_warn():
    assert (hessian(lambda x: x[0] + 0.0 * x[1], X, "autograd") == 0).all()


def test_jacobian_by_reverse_mode_where_forward_mode_has_no_rule():
    A = np.array([[2.0, 1.0], [0.5, 3.0]])

    def solve(x):
        return autograd.numpy.linalg.solve(A + autograd.numpy.diag(x), np.ones(2))

    x = np.array([0.5, 1.0])
    inverse = np.linalg.inv(A + np.diag(x))  # d(M⁻¹1) = −M⁻¹ diag(dx) M⁻¹ 1
    close(jacobian(solve, x, "autograd"), -inverse * solve(x), 1e-14)


def test_products_at_one_x_trace_once():
    record = Recorder(fun)
    product = hvp_of(fun=record, method="autograd")
    first = [product(X, v) for v in np.eye(3)]
    assert len(record.points) == 1
    close(np.array(first), hess(X), 1e-14)
    close(product(2 * X, V), hess(2 * X) @ V, 1e-14)
    assert len(record.points) == 2


# --- sizes at the start ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fun", "x", "sizes", "calls"),
    [
        (lambda x: (x[0] - 1.0) ** 2 + x[1], [1e-16, 1.0], [1e-7, 1.0], 5),  # a zero that was found: 1e-7 shows
        (lambda x: (1e16 * x[0] - 1.0) ** 2 + x[1], [1e-16, 1.0], [1e-16, 1.0], 2),  # this is its size
        (lambda x: x[1], [1e-16, 1.0], [1.0, 1.0], 7),  # f does not depend on it
        (lambda x: 1e8 + x[0] ** 2, [-1e-12], [1.0], 5),
        (lambda x: math.inf if abs(x[0]) > 1e-8 else 1.0, [1e-9, 1.0], [1e-6, 1.0], 3),  # beyond a wall it shows
        (lambda x: 1.0, [0.0, -2.0], [1.0, 2.0], 0),
        (lambda x: 1.0, [1e-7, 2.0], [1e-7, 2.0], 0),  # not small enough to be asked
        (lambda x: np.array([x[0], 1e3]), [1e-9, 1.0], [1e-3, 1.0], 4),  # residuals
    ],
)
def test_how_large_variables_are_that_begin_near_zero(fun, x, sizes, calls):
    asked = []
    found, said = start_sizes(lambda x: asked.append(1) or fun(x), np.array(x))
    assert found == pytest.approx(sizes, rel=1e-12)
    assert len(asked) == said == calls


def test_sizes_on_every_array_kind(namespace):
    x = namespace.asarray(np.array([1e-16, 1.0, 0.0]))
    found, calls = start_sizes(lambda x: (x[0] - 1.0) ** 2 + x[1], x)
    assert namespace.owns(found)
    assert namespace.to_numpy(found).tolist() == pytest.approx([1e-7, 1.0, 1.0], rel=1e-6)
    assert calls == 5
    assert namespace.to_numpy(own_sizes(x)).tolist() == [0.0, 1.0, 0.0]
    assert namespace.to_numpy(doubtful(x)).tolist() == [True, False, True]
    assert namespace.to_numpy(doubtful(1e-20 * x)).tolist() == [True] * 3
