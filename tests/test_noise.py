"""Measured noise is planted noise, within a factor ten; a wrong derivative is found, and no kink is taken for one."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refopt.noise import (
    alternating,
    bend,
    larger_finite,
    measure_f,
    measure_g,
    noise_of_g,
    scatter,
    tremor,
    unexplained,
)
from refopt.problem import LeastSquares, Problem
from rounded import planted
from strategies import seeds


def bowl(seed, nearest=-6):
    """1 + Σ qᵢ(xᵢ − cᵢ)², and a point at a relative distance of 10^nearest to 1 from its minimum."""
    rng = np.random.default_rng(seed)
    n = rng.integers(2, 6)
    q, x = 10 ** rng.uniform(-1, 1, n), rng.standard_normal(n) * 10 ** rng.uniform(-2, 2)
    c = x + rng.standard_normal(n) * abs(x) * 10 ** rng.uniform(nearest, 0)
    return lambda x: 1 + float(q @ (x - c) ** 2), lambda x: 2 * q * (x - c), x


def measured(fun, grad, x, suspect=True):
    g = grad(x)
    return measure_f(Problem(fun, grad), x, fun(x), g, -g, abs(x), 2 * fun(x) + 1, suspect)


# --- planted noise ---------------------------------------------------------------------------------------------------


@given(seeds, st.floats(-12, -5))
def test_noise_of_f_within_a_factor_ten(seed, exponent):
    smooth, grad, x = bowl(seed)
    size = 10.0**exponent * smooth(x)
    noise, wrong = measured(lambda x: smooth(x) + planted(x, seed, size)[0], grad, x)
    assert size / 10 <= noise <= 10 * size
    assert not wrong


@given(seeds, st.floats(-12, -2))
def test_noise_of_the_gradient_within_a_factor_ten(seed, exponent):
    smooth, grad, x = bowl(seed)
    size = 10.0**exponent
    problem = Problem(smooth, lambda x: grad(x) + planted(x, seed, size))
    assert size / 10 <= measure_g(problem.grad, x, abs(x)) <= 10 * size


def test_the_noise_of_each_component_is_its_own():
    rng = np.random.default_rng(1)
    x = np.array([1.0, -2.0, 3.0])
    found = noise_of_g(lambda x: x + rng.uniform(-1, 1, 3) * [1e-3, 1e-6, 1e-9], x, abs(x))
    assert (np.array([1e-4, 1e-7, 1e-10]) <= found).all()
    assert (found <= [1e-2, 1e-5, 1e-8]).all()


def test_beside_a_wall_nothing_is_known_of_the_noise():
    found = noise_of_g(lambda x: np.where(x > 1, np.inf, x), np.ones(2), np.ones(2))
    assert found.tolist() == [0.0, 0.0]


@given(seeds)
@example(18113)  # where x, 150 times as long as x − c, is rounded by more than f
def test_where_there_is_none_but_rounding_it_is_small(seed):
    """A few roundings of f and its terms, and of x, by which f moves; for g, of the cancellation in x − c as well."""
    smooth, grad, x = bowl(seed)
    assert measured(smooth, grad, x).noise <= 2.0**-52 * (100 * smooth(x) + abs(grad(x)) @ abs(x))
    assert measure_g(grad, x, abs(x)) <= 1e3 * 2.0**-52 * 20 * abs(x).max()


@pytest.mark.parametrize("digits", [5, 6, 7, 10])
def test_rounding_to_digits_is_noise(digits):
    """f given to so many digits: noise of half a unit in the last place. Fewer digits make steps longer than h."""
    smooth, grad, x = bowl(3)

    def printed(x):
        return float(f"{smooth(x):.{digits}e}")

    unit = 10.0 ** (np.floor(np.log10(smooth(x))) - digits)
    assert unit / 20 <= measured(printed, grad, x).noise <= 5 * unit


def test_noise_of_a_float32_point():
    """f and g evaluated at float32(x): noise of f is |g| times the rounding of x."""
    smooth, grad, x = bowl(5)
    x = x.astype("float32").astype(float)

    def rounded(x):
        return x.astype("float32").astype(float)

    size = 2.0**-24 * float(abs(grad(x)) @ abs(x))
    noise, wrong = measured(lambda x: smooth(rounded(x)), lambda x: grad(rounded(x)), x)
    assert size / 20 <= noise <= 10 * size
    assert not wrong


def test_noise_is_capped_by_the_size_of_f():
    """On a cliff no difference is explained by the slope at x; what is called noise stays a ten thousandth of f."""
    found = measured(lambda x: 1.0 if x[0] < 1 else 1e9, lambda x: np.array([1.0]), np.array([1.0 - 1e-15]))
    assert found.noise <= 1e-4 * 3.0


def test_values_that_are_not_finite_do_not_count():
    """Half of the points around x lie outside the domain."""
    x = np.array([1.0, 1.0])

    def fun(y):
        return float("nan") if y[0] > 1 else 1 + float(y @ y)

    noise, wrong = measured(fun, lambda y: 2 * y, x)
    assert noise <= 1e-12
    assert not wrong
    assert larger_finite(2.0, np.nan) == larger_finite(2.0, np.inf) == 2.0
    assert larger_finite(2.0, 3.0) == 3.0


def test_no_direction_to_look_along():
    x = np.ones(2)
    assert measure_f(Problem(lambda x: 1.0), x, 1.0, np.zeros(2), np.zeros(2), x, 1.0, True) == (0.0, False)


@given(seeds, st.floats(-12, -5))
def test_scatter_is_the_noise_within_a_factor_ten(seed, exponent):
    smooth, _, x = bowl(seed)
    size = 10.0**exponent * smooth(x)
    problem = Problem(lambda x: smooth(x) + planted(x, seed, size)[0])
    assert size / 10 <= scatter(problem, x, abs(x), 0.0) <= 10 * size


@given(seeds)
def test_a_smooth_function_does_not_scatter(seed):
    """More than its rounding: that of f, and of x in the slopes of f."""
    smooth, grad, x = bowl(seed)
    assert scatter(Problem(smooth), x, abs(x), 0.0) <= 20 * 2.0**-52 * (smooth(x) + abs(grad(x)) @ abs(x))


def test_what_is_rounded_to_few_digits_scatters():
    """Beside a minimum, where most values are equal, only a longer line tells."""
    x = np.array([1e-4, 1e-4])
    problem = Problem(lambda x: float(np.float32(1 + x @ x)))
    assert 2.0**-26 <= scatter(problem, x, np.ones(2), 0.0) <= 2.0**-22
    assert scatter(Problem(lambda x: 1.0), x, np.ones(2), 0.0) == 0.0


def test_rounding_of_x_does_not_scatter():
    """(x − 10⁶)², whose slopes are 1 where it is looked at: points are exact, and so are its values, nearly."""
    problem, x = Problem(lambda x: float((x[0] - 1e6) ** 2)), np.array([1e6 + 1 / 3])
    assert scatter(problem, x, x, 0.0) <= 1e-15
    assert scatter(Problem(lambda x: problem.fun(np.float32(x))), x, x, 0.0) >= 1e-3


def test_scatter_looks_no_further_than_it_says():
    """Along ±sizes to the 0.4th power of eps, and a shorter line where that scatters."""
    x, seen = np.array([2.0, -5.0]), []

    def fun(y):
        seen.append(((y - x) / abs(x)).tolist())
        return planted(y, 3, 1.0)[0]

    scatter(Problem(fun), x, abs(x), 0.0)
    away = np.array(seen)
    for part, power in ((away[:8], 0.4), (away[8:], 0.45)):
        assert part.shape == (8, 2)
        assert abs(part).max() == pytest.approx(2.0 ** (-52 * power), rel=1e-6)  # rounding of x: 2⁻⁵² of it
        assert part[:, 0] == pytest.approx(-part[:, 1], rel=1e-5)


@given(seeds, st.floats(-12, -5))
def test_the_tremor_of_residuals_within_a_factor_ten(seed, exponent):
    """Σ over pairs of equal residuals too, whose noise no sum with alternating signs shows."""
    rng, m = np.random.default_rng(seed), 12
    c, x = rng.uniform(0.5, 2, m), rng.uniform(0.5, 2, 1)
    J, size = (c * np.exp(c * x[0]))[:, None], 10.0**exponent

    def residual(y):
        return np.exp(c * y[0]) + size * np.random.default_rng([seed, y.view(np.uint64)[0]]).standard_normal(m)

    def twice(y):
        return np.repeat(residual(y), 2)

    for fun, jac, rows in ((residual, J, m), (twice, np.repeat(J, 2, axis=0), 2 * m)):
        found, reach = tremor(LeastSquares(fun, None), x, jac, x), np.linalg.norm(jac) * x[0]
        assert 0.1 * size * rows**0.5 <= found.relative * reach <= 10 * size * rows**0.5
        assert found.passed == pytest.approx(found.relative * reach / rows**0.5 * np.linalg.norm(jac))


def test_residuals_that_do_not_depend_on_x_tremble_or_not():
    x, J = np.array([1.0, 2.0]), np.zeros((3, 2))
    assert tremor(LeastSquares(lambda x: np.ones(3), None), x, J, x) == (0.0, 0.0)
    assert tremor(LeastSquares(lambda x: np.full(3, planted(x, 1, 1.0)[0]), None), x, J, x).relative == 1.0


def test_bend():
    """∂²/∂t² of Σ qᵢ(xᵢ + t wᵢ)² is 2 Σ qᵢwᵢ²."""
    x, q = np.array([1.0, -2.0]), np.array([3.0, 5.0])
    assert bend(Problem(lambda x: float(q @ (x - 0.5) ** 2)), x, 0.0 + float(q @ (x - 0.5) ** 2), abs(x)) == (
        pytest.approx(2 * q @ x**2, rel=1e-6)  # 2⁻⁵² of f over h² = 5e-7
    )


def test_unexplained_leaves_out_what_is_not_finite():
    values = [(t, t**3) for t in np.linspace(-1, 1, 8)]
    assert unexplained([*values, (0.5, np.nan)]) < 1e-15
    assert unexplained(values[:5]) == 0.0


# --- wrong derivatives -----------------------------------------------------------------------------------------------

MISTAKES = {"sign": lambda g: -g, "third": lambda g: 0.3 * g, "triple": lambda g: 3 * g}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_gradient_is_found(mistake):
    found = 0
    for seed in range(100):
        smooth, grad, x = bowl(seed, nearest=-2)
        found += measured(smooth, lambda x, grad=grad: MISTAKES[mistake](grad(x)), x).wrong
    assert found >= 97  # beside the minimum, curvature explains anything


@given(seeds)
def test_a_right_gradient_is_not_suspected(seed):
    smooth, grad, x = bowl(seed)
    assert not measured(smooth, grad, x).wrong


def test_what_is_not_suspected_is_not_convicted():
    smooth, grad, x = bowl(1)
    assert measured(smooth, lambda x: -grad(x), x).wrong
    assert not measured(smooth, lambda x: -grad(x), x, suspect=False).wrong


# --- kinks and curvature ---------------------------------------------------------------------------------------------


def kinked(kind, rng):
    """A function with kinks at x, or near it, or bent so strongly that no difference sees the slope."""
    n, m = rng.integers(1, 5, 2)
    A, x, w = (
        rng.standard_normal((m, n)),
        rng.standard_normal(n) * 10 ** rng.uniform(-2, 2),
        10 ** rng.uniform(-2, 2, m),
    )
    near = 10 ** rng.uniform(-14, -2) * np.linalg.norm(x) * rng.standard_normal(m)
    b = A @ x + (near if kind in ("beside a kink", "cusp", "curved", "cubic") else 0)
    steep = 10 ** rng.uniform(0, 14)
    functions = {
        "absolute": (lambda x: w @ abs(A @ x - b), lambda x: (w * np.sign(A @ x - b)) @ A),
        "beside a kink": (lambda x: w @ abs(A @ x - b), lambda x: (w * np.sign(A @ x - b)) @ A),
        "hinge": (lambda x: w @ np.maximum(A @ x - b, 0), lambda x: (w * (A @ x - b > 0)) @ A),
        "largest": (lambda x: (w * (A @ x - b)).max(), lambda x: (w[:, None] * A)[(w * (A @ x - b)).argmax()]),
        "cusp": (
            lambda x: w @ abs(A @ x - b) ** 0.5,
            lambda x: (0.5 * w * np.sign(A @ x - b) / abs(A @ x - b) ** 0.5) @ A,
        ),
        "curved": (lambda x: steep * w @ (A @ x - b) ** 2, lambda x: 2 * steep * (w * (A @ x - b)) @ A),
        "cubic": (lambda x: steep * w @ (A @ x - b) ** 3, lambda x: 3 * steep * (w * (A @ x - b) ** 2) @ A),
    }
    fun, grad = functions[kind]
    return lambda x: float(fun(x)), grad, x


@pytest.mark.parametrize("beside", [1e-12, 1e-14, 1e-16])
def test_a_cusp_is_no_mistake(beside):
    """Across √|x₀| central slopes see x₁ alone; the gradient's slope is 1e6 and more, and so it is on both sides."""
    x = np.array([beside, -1.0])
    fun, grad = lambda x: float((abs(x) ** 0.5).sum()), lambda x: 0.5 * np.sign(x) / abs(x) ** 0.5
    p = np.array([-3.0, -1.0])
    assert not measure_f(Problem(fun, grad), x, fun(x), grad(x), p, np.ones(2), 2.0, True).wrong
    wrong = Problem(fun, lambda x: -grad(x))
    away = np.array([0.5, -1.0])
    assert measure_f(wrong, away, fun(away), wrong.grad(away), p, np.ones(2), 2.0, True).wrong


@pytest.mark.parametrize("kind", ["absolute", "beside a kink", "hinge", "largest", "cusp", "curved", "cubic"])
def test_kinks_and_curvature_are_no_mistakes(kind):
    rng = np.random.default_rng(7)
    for _ in range(200):
        fun, grad, x = kinked(kind, rng)
        g = grad(x)
        p = -g + 0.3 * rng.standard_normal(len(g)) * np.linalg.norm(g)
        assert not measure_f(Problem(fun, grad), x, fun(x), g, p, abs(x), fun(x) + 1, True).wrong


# --- array kinds -----------------------------------------------------------------------------------------------------


def test_noise_is_looked_for_within_the_size_of_each_variable():
    """f = 1 + (1e9 x₂)³ + x₁ beside x₂ = 1e-9: a step as long as 1e-4‖x‖ would see a cubic for noise."""
    x = np.array([1.0, 1e-9])

    def fun(x):
        return 1 + (1e9 * x[1]) ** 3 + x[0]

    g = np.array([1.0, 3e9])
    assert measure_f(Problem(fun), x, fun(x), g, -g, x, 4.0, True).noise < 1e-13


def test_alternating(namespace):
    for dtype in ("float32", "float64"):
        found = alternating(namespace.asarray(np.zeros(4, dtype)))
        assert namespace.owns(found)
        assert namespace.to_numpy(found).dtype == np.dtype(dtype)
        assert namespace.to_numpy(found).tolist() == [1.0, -1.0, 1.0, -1.0]


def test_every_array_kind_measures_the_same(namespace):
    x = np.array([1.0, -2.0, 3.0])

    def on(asarray, to_numpy):
        # noise from the values of x, as any kind can compute it
        problem = Problem(
            lambda x: 1 + float(to_numpy(x) @ to_numpy(x)) + planted(to_numpy(x), 3, 1e-9)[0],
            lambda x: 2 * x + asarray(planted(to_numpy(x), 5, 1e-9)),
        )
        y = asarray(x)
        found = measure_f(problem, y, problem.fun(y), problem.grad(y), -problem.grad(y), asarray(abs(x)), 20.0, True)
        return [*found, measure_g(problem.grad, y, asarray(abs(x)))]

    # the same points to the last bit, or nearly: noise of the same size
    assert on(namespace.asarray, namespace.to_numpy) == pytest.approx(on(np.array, np.asarray), rel=3)
