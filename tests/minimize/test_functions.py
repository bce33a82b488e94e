"""minimize keeps its head on functions with walls, saddles, noise, kinks and no minimum at all."""

import math

import numpy as np
import pytest

from problems import PROBLEMS, barrier, double_well, saddle
from refopt import available, minimize, zoo
from refopt.stopping import Status
from runs import METHODS, ROSENBROCK, START, STEPPERS, float32, hessian, methods, solve


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
        assert "NaN or infinite at x0" in result.advice
        assert "not finite at x0" in result.message
        assert result.x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("method", ["newton-cg", "hessian-free", "trust-ncg", "trust-krylov"])
def test_products_that_are_not_finite_at_the_start(method, bad):
    """Said at once, as of a Hessian: a method that goes on without them would creep along the gradient."""
    result = minimize(
        lambda x: float(x @ x), [1.0, 2.0], method=method, jac=lambda x: 2 * x, hess=lambda x: np.full((2, 2), bad)
    )
    assert (result.status, result.success, result.nit) == (Status.NOT_FINITE, False, 0)
    assert "NaN or infinite at x0" in result.advice


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
    "the maximum of wells": (double_well, [0.0, 0.0]),
    "the saddle": (saddle, [0.0, 0.0]),
    "the axis to the saddle": (saddle, [3.0, 0.0]),
    "a hair beside the maximum": (double_well, [1e-20, -1e-17]),
}


@pytest.mark.parametrize("start", SADDLES)
@pytest.mark.parametrize("method", [m for m in METHODS if {"hess", "hessp"} & set(available()[m].needs)])
def test_saddles_are_left_where_the_hessian_is_seen(method, start):
    (fun, jac, hess), x0 = SADDLES[start]
    result = minimize(fun, x0, method=method, jac=jac, hess=hess)
    assert result.status == Status.CONVERGED
    assert result.fun == pytest.approx(0.0, abs=1e-18)  # a gradient of 1e-9, curvatures of 2 and more


def test_a_zero_gradient_at_the_start_is_pointed_out_where_it_is_not():
    fun, jac, _ = saddle
    result = minimize(fun, [0.0, 0.0], jac=jac)
    assert (result.status, result.success, result.nfev) == (Status.CONVERGED, True, 1)
    assert "pass hess" in result.advice


@methods
@pytest.mark.parametrize("x0", [5.0, 0.7, 1e-20, -3.0, 30.0])
def test_a_double_well_is_not_left_on_its_top(method, x0):
    """From any start the first step must not land on the stationary point at the origin."""
    result = solve(method, double_well[0], [x0], *double_well[1:])
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
@pytest.mark.parametrize("c", [1e12, 1e-12, 4.0**20, 4.0**-20])
def test_scaling_f_changes_nothing(method, name, c):
    """Powers of four round nothing, not even in roots, and change no bit. Those of ten round f, g and H.

    From a start so high that max(1, |f|) sets the measure, the run goes further, on the same way if nothing is rounded.
    """
    p = PROBLEMS[name]
    plain = solve(method, p.fun, p.x0, p.grad, p.hess)
    scaled = solve(method, lambda x: c * p.fun(x), p.x0, lambda x: c * p.grad(x), lambda x: c * p.hess(x))
    if c * (p.fun(np.array(p.x0)) - scaled.fun / c) > 4e5 * max(1.0, scaled.fun):
        assert scaled.success
        assert scaled.nit >= plain.nit or np.frexp(c)[0] != 0.5
        assert scaled.fun <= c * plain.fun
        return
    assert scaled.status == plain.status
    if np.frexp(c)[0] == 0.5:
        assert (scaled.x == plain.x).all()
        assert (scaled.nit, scaled.nfev) == (plain.nit, plain.nfev)
    else:
        assert scaled.x == pytest.approx(plain.x, rel=1e-4, abs=1e-4)
        assert scaled.nit == plain.nit or name == "wood"  # whose valley magnifies the rounding, a hundred steps long


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
    result = solve(method, float32(p.fun), p.x0, p.grad, p.hess)
    assert result.success
    assert abs(result.jac).max() <= 1e-6 * abs(p.grad(p.x0)).max()


@methods
@pytest.mark.parametrize("name", ["rosenbrock", "wood", "beale", "bard", "brown_dennis", "freudenstein_roth", "box"])
def test_everything_in_float32(method, name):
    """x0 in float32, and so are f, g and H: as near as eight digits allow, and said to be."""
    p = PROBLEMS[name]
    double = {part: (lambda x, part=part: getattr(p, part)(np.asarray(x, float))) for part in ("fun", "grad", "hess")}
    result = solve(method, float32(double["fun"]), p.x0.astype("float32"), double["grad"], double["hess"])
    assert result.x.dtype == np.float32
    assert result.success
    f = p.fun(result.x.astype(float))
    arrived = any(abs(f - m) <= 1e-5 * max(m, p.fun(p.x0)) for m in p.minima)
    if not arrived:  # at the saddle of wood, λ₁ = −1.2e-4 ‖H‖, which is within √eps ‖H‖, or not seen by gradients
        assert (name, method) in (("wood", "bfgs"), ("wood", "l-bfgs"), ("wood", "newton-cg"))
        assert result.x == pytest.approx([-0.968, 0.947, -0.970, 0.951], abs=0.04)
        assert abs(result.jac).max() <= 1e-6 * abs(p.grad(p.x0)).max()


@methods
def test_a_start_at_the_answer(method):
    for name in ("wood", "beale", "rosenbrock"):
        p = PROBLEMS[name]
        x = {"wood": np.ones(4), "beale": np.array([3.0, 0.5]), "rosenbrock": np.ones(2)}[name]
        result = solve(method, p.fun, x, p.grad, p.hess)
        assert (result.status, result.nfev, result.success) == (Status.CONVERGED, 1, True)
        assert (result.x == x).all()
        differenced = minimize(p.fun, x, method=method)
        assert differenced.success
        assert differenced.x == pytest.approx(x, rel=1e-4)


UNBOUNDED = {
    "line": (lambda x: float(-x[0]), lambda x: np.array([-1.0, 0.0]), lambda x: np.zeros((2, 2))),
    "parabola": (lambda x: -float(x @ x), lambda x: -2 * x, lambda x: -2 * np.eye(2)),
    "cubic": (
        lambda x: float(x[0] ** 3 + x[1] ** 2),
        lambda x: np.array([3 * x[0] ** 2, 2 * x[1]]),
        lambda x: np.diag([6 * x[0], 2]),
    ),
}


@methods
@pytest.mark.parametrize("name", UNBOUNDED)
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_unbounded_below(method, name, scale):
    fun, jac, hess = UNBOUNDED[name]
    result = solve(method, lambda x: scale * fun(x), [-1.0, 0.5], lambda x: scale * jac(x), lambda x: scale * hess(x))
    assert (result.status, result.success) == (Status.UNBOUNDED, False)
    assert "fell without end" in result.advice
    assert np.isfinite(result.fun)
    assert result.nfev < 400


FALLING = {
    "1/x": (lambda x: float(1 / x[0]), lambda x: -1 / x**2, lambda x: np.diag(2 / x**3)),
    "-arctan x": (lambda x: -math.atan(x[0]), lambda x: -1 / (1 + x**2), lambda x: np.diag(2 * x / (1 + x**2) ** 2)),
}


@methods
@pytest.mark.parametrize("name", FALLING)
def test_an_infimum_at_infinity_is_pointed_out(method, name):
    result = solve(method, FALLING[name][0], [1.0], *FALLING[name][1:], trace=True)
    assert result.status == Status.CONVERGED
    assert result.x[0] > 1e6
    if method == "dfp":  # its tight searches go thrice as far as its model says, whose next step is below 10 % of x
        assert 0.05 < result.trace[-1].p[0] / result.x[0] < 0.1
    else:
        assert "infinity" in result.advice


@methods
def test_no_advice_where_nothing_is_strange(method):
    for p in PROBLEMS.values():
        assert solve(method, p.fun, p.x0, p.grad, p.hess).advice == "", p.name


@methods
@pytest.mark.parametrize("x0", [[1.0, -2.0], [1e-3, 7.0], [0.5, 0.0]])
def test_kinks_are_no_minima_of_smooth_functions_and_no_mistakes(method, x0):
    """|x₁| + 2|x₂|: no claim of success but at the very kink, no blame on the derivative."""
    result = solve(
        method,
        lambda x: float(abs(x[0]) + 2 * abs(x[1])),
        x0,
        lambda x: np.sign(x) * [1, 2],
        lambda x: np.zeros((2, 2)),
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


CONVEX = {
    "quartic": (*zoo.get("quartic").problem[:3], zoo.get("quartic").x0, zoo.get("quartic").minima[0].x),
    "barrier": (*barrier, np.array([0.7, 1.4]), np.ones(2)),
    "cosh": (
        lambda x: float(np.cosh(x - 1).sum()),
        lambda x: np.sinh(x - 1),
        lambda x: np.diag(np.cosh(x - 1)),
        np.array([2.0, 0.5, 1.5]),
        np.ones(3),
    ),
}
PACE = {"adam": {"step": 0.03}, "adagrad": {"step": 1.0}}  #: their own are made for thousands of noisy steps


@pytest.mark.parametrize("name", CONVEX)
@pytest.mark.parametrize("method", sorted(STEPPERS))
def test_steps_without_a_search_arrive_in_a_convex_bowl(method, name):
    fun, jac, hess, x0, x = CONVEX[name]
    options = PACE.get(method, {}) | ({"fisher": hess} if method == "natural-gradient" else {})
    given = {} if method == "natural-gradient" else hessian(method, hess)
    result = minimize(fun, x0, method=method, jac=jac, options=options, **given)
    assert result.success
    # a gradient of 1e-7 of the first, which is below 3, at worst, and curvatures of 1 and more
    assert result.x == pytest.approx(x, abs=3e-7)


@methods
@pytest.mark.parametrize("n", [1, 2, 30, 100])
def test_sizes(method, n):
    d = np.linspace(1, 10, n)
    result = solve(
        method, lambda x: float(d @ (x - 1) ** 2), np.zeros(n), lambda x: 2 * d * (x - 1), lambda x: np.diag(2 * d)
    )
    assert result.success
    assert result.x == pytest.approx(np.ones(n), abs=1e-8)
