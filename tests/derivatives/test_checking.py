"""The checker names planted mistakes, and accuses no correct derivative."""

import re

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from refopt.derivatives import check_gradient, check_hessian, check_jacobian
from refopt.ops import namespace as array_namespace

X = np.array([0.7, -1.3, 2.1, 0.4])


def fun(x):
    """Σ 100 (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)²."""
    xp = array_namespace(x)
    return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def real_fun(x):
    """The same, without a complex form."""
    return float(fun(x))


def grad(x):
    g = array_namespace(x).zeros_like(x)
    t = x[1:] - x[:-1] ** 2
    g[:-1] = -400 * x[:-1] * t - 2 * (1 - x[:-1])
    g[1:] += 200 * t
    return g


def hess(x):
    H = np.diag([1200 * x[i] ** 2 - 400 * x[i + 1] + 2 + 200 * (i > 0) for i in range(3)] + [200.0])
    for i in range(3):
        H[i, i + 1] = H[i + 1, i] = -400 * x[i]
    return H


def residual(x):
    return np.array([x[0] * x[1], np.sin(x[2]), x[3] ** 2, x[0] - x[3], x[1] * x[2] * x[3]])


def jacobian(x):
    a, b, c, d = x
    return np.array([[b, a, 0, 0], [0, 0, np.cos(c), 0], [0, 0, 0, 2 * d], [1, 0, 0, -1], [0, c * d, b * d, b * c]])


def changed(derivative, change):
    return lambda x: change(derivative(x))


def scaled(j, factor):
    def change(g):
        g[..., j] *= factor
        return g

    return change


@pytest.mark.parametrize("function", [fun, real_fun])
def test_right_derivatives_pass(function):
    report = check_gradient(function, grad, X)
    assert report
    assert report.ok
    assert str(report).startswith("the gradient agrees with")
    assert report.method == ("the complex step" if function is fun else "differences")
    assert report.error == abs(report.given - report.reference) <= report.tolerance
    assert check_hessian(grad, hess, X)
    assert check_jacobian(residual, jacobian, X)


@pytest.mark.parametrize("function", [fun, real_fun])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (scaled(3, 0.5), r"component 3: given .*\(ratio 0.5: a factor 2 is missing\); 1 of 4 components disagree"),
        (scaled(1, 2.0), r"component 1: given .*\(ratio 2: a factor 1/2 is missing\)"),
        (scaled(1, -1.0), r"component 1: given .*\(ratio -1: the sign is wrong\)"),
        (scaled(1, -0.5), r"\(ratio -0.5: the sign is wrong and a factor 2 is missing\)"),
        (scaled(1, -2.0), r"\(ratio -2: the sign is wrong and a factor 1/2 is missing\)"),
        (scaled(2, 0.0), r"component 2: given 0, .*\(ratio 0: it is missing\)"),
        (scaled(2, 1.01), r"component 2: given .*\(ratio 1.01\)"),
        (scaled(2, np.nan), r"component 2: given nan, .*\(not finite\)"),
        (np.negative, "the whole gradient is -1 times what it should be, the sign is wrong: component"),
        (lambda g: g / 2, "the whole gradient is 0.5 times what it should be, a factor 2 is missing"),
        (lambda g: 10 * g, "the whole gradient is 10 times what it should be: component"),
        (lambda g: g[[0, 2, 1, 3]], "components 1 and 2 are interchanged: component"),
        (lambda g: g[[1, 2, 0, 3]], r"components are in another order \(0 is 1, 1 is 2, 2 is 0\)"),
        (lambda g: g[:3], r"the gradient has shape \(3,\), expected \(4,\)"),
    ],
)
def test_mistakes_in_a_gradient_are_named(function, change, sentence):
    report = check_gradient(function, changed(grad, change), X)
    assert not report
    if report.component:
        assert report.reference == pytest.approx(grad(X)[report.component], rel=1e-9)
    assert re.search(sentence, str(report)), report


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (np.transpose, r"the Jacobian has shape \(4, 5\), expected \(5, 4\): it is transposed"),
        (np.negative, "the whole Jacobian is -1 times what it should be, the sign is wrong: entry"),
        (lambda J: J[:, [0, 3, 2, 1]], "columns 1 and 3 are interchanged: entry"),
        (lambda J: J[[2, 1, 0, 3, 4]], "rows 0 and 2 are interchanged: entry"),
        (lambda J: J + 0.5 * np.eye(5, 4, k=3), r"entry \(0, 3\): given 0.5, .* 0 \(off by 0.5\); 1 of 20"),
    ],
)
def test_mistakes_in_a_jacobian_are_named(change, sentence):
    report = check_jacobian(residual, changed(jacobian, change), X)
    assert not report
    assert re.search(sentence, str(report)), report


def test_a_square_jacobian_may_be_transposed():
    A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0]])
    assert "the Jacobian is transposed" in check_jacobian(lambda x: A @ x, lambda x: A.T, X[:3]).message


def test_mistakes_in_a_hessian_are_named():
    report = check_hessian(grad, changed(hess, np.tril), X)
    assert report.component in {(0, 1), (1, 2), (2, 3)}
    assert "given 0, " in report.message


# --- no correct derivative is accused ----------------------------------------------------------------------------


def smooth(seed, n):
    """A random sum of sines of different frequencies, and its gradient."""
    rng = np.random.default_rng(seed)
    A, c = rng.normal(size=(n, n)), rng.normal(size=n)
    w = np.exp(1.5 * rng.normal(size=n))  # the variables live on different scales
    return (lambda x: np.sum(c * np.sin(A @ (w * x)))), (lambda x: w * (A.T @ (c * np.cos(A @ (w * x)))))


points = st.tuples(st.integers(0, 2**16), st.integers(1, 5), st.floats(-3, 0.5)).map(
    lambda drawn: (drawn[0], np.random.default_rng(drawn[0]).normal(size=drawn[1]) * 10 ** drawn[2])
)
ways = st.sampled_from([(1, 0), (1e12, 0), (1e-12, 0), (1, 1e8)])


@given(point=points, way=ways, analytic=st.booleans())
def test_correct_gradients_pass_scaled_and_shifted(point, way, analytic):
    (seed, x), (factor, shift) = point, way
    f, g = smooth(seed, x.size)
    function = lambda x: factor * f(x) + shift
    report = check_gradient(function if analytic else lambda x: float(function(x)), lambda x: factor * g(x), x)
    assert report, report.message


@given(point=points, way=ways, analytic=st.booleans(), factor=st.sampled_from([-1, 0, 0.5, 2]))
def test_a_wrong_component_that_matters_is_found(point, way, analytic, factor):
    (seed, x), (scale, shift) = point, way
    f, g = smooth(seed, x.size)
    # moves f by more than the rounding of the shift, over a step in which the fastest sine is a straight line
    j = int(np.argmax(abs(g(x) * x)))
    if shift and abs(g(x)[j] * x[j]) < 1e-2:
        return
    function = lambda x: scale * f(x) + shift
    wrong = lambda x: scale * scaled(j, factor)(g(x))
    report = check_gradient(function if analytic else lambda x: float(function(x)), wrong, x)
    assert not report
    assert report.component == (j,)


@given(point=points)
def test_correct_gradients_pass_under_float32_rounding_of_f(point):
    seed, x = point
    f, g = smooth(seed, x.size)
    report = check_gradient(lambda x: float(np.float32(f(x))), g, x)
    assert report, report.message


@pytest.mark.parametrize("slope", [-1.0, -0.3, 0.0, 1.0])
def test_a_subgradient_at_a_kink_passes_and_others_do_not(slope):
    f = lambda x: abs(x[0]) + x[1] ** 2
    x = np.array([0.0, 1.0])
    assert check_gradient(f, lambda x: np.array([slope, 2 * x[1]]), x)
    assert not check_gradient(f, lambda x: np.array([slope, -2 * x[1]]), x)
    assert check_gradient(f, lambda x: np.array([1.5, 2 * x[1]]), x).component == (0,)


def test_a_part_lost_by_the_complex_step_is_no_reason_to_accuse():
    f = lambda x: abs(x[0]) + x[1] ** 2  # the complex step says 0 for the first component
    report = check_gradient(f, lambda x: np.array([1.0, 2 * x[1]]), np.array([2.0, 1.0]))
    assert report
    assert report.method == "differences"


def test_outside_the_domain_nothing_can_be_judged():
    report = check_gradient(lambda x: np.log(x[0]).item() + x[1], lambda x: 1 / x, np.array([-1.0, 1.0]))
    assert report.ok
    assert report.message.startswith(
        "the gradient is neither confirmed nor contradicted by differences; 2 of 2 could not"
    )


def test_every_array_kind(namespace):
    x = namespace.asarray(X)
    assert check_gradient(fun, grad, x)
    assert check_gradient(lambda x: float(fun(x)), grad, x)
    assert not check_gradient(fun, changed(grad, lambda g: -g), x)
    assert check_hessian(grad, lambda x: namespace.asarray(hess(X)), x)


def test_the_derivative_is_called_with_an_array():
    assert check_gradient(lambda x: x @ x, lambda x: 2 * x, [1, 2])
    assert check_jacobian(lambda x: x * x, lambda x: 2 * np.diag(x), [1.0, 2.0])
    assert check_hessian(lambda x: x**3, lambda x: 3 * np.diag(x * x), (1.0, 2.0))
    assert check_gradient(lambda x: x @ x, lambda x: 2 * x, 3.0)
