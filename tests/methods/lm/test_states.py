"""Levenberg-Marquardt's states: the docstring's algorithm, the same in any units and on every array kind."""

from itertools import islice, pairwise

import numpy as np
import pytest

from problems import PROBLEMS
from refopt import zoo
from refopt.loop import iterate
from refopt.methods import lm
from refopt.problem import LeastSquares

EPS = 2.0**-52
EXACT = 1e-10  # the accuracy of ‖Dp‖ = Δ asked for where it must be the solution


def size(x):
    return float(np.linalg.norm(x))


def problem_of(squares):
    return LeastSquares(squares.residual, squares.jacobian)


def states_of(problem, x0, count, params=None):
    return list(islice(iterate(lm, problem, np.array(x0, float), params), count))


# --- the algorithm, literally ----------------------------------------------------------------------------------------


def by_bisection(J, r, d, radius):
    """p and λ from singular values of JD⁻¹."""
    U, s, Vt = np.linalg.svd(J / d, full_matrices=False)
    b = U.T @ r

    def step(lam):
        return -Vt.T @ (s * b / (s * s + lam))

    if size(step(0.0)) <= radius:
        return step(0.0) / d, 0.0
    low, high = 0.0, size(s * b) / radius
    for _ in range(2000):
        lam = (low + high) / 2
        low, high = (lam, high) if size(step(lam)) > radius else (low, lam)
    return step(high) / d, high


def literal(problem, x, steps):
    """Each x, D, radius and whether the step to it was taken, by the letter of the docstring, as long as f can tell."""
    J, r = problem.jacobian(x), problem.residual(x)
    d, taken = np.linalg.norm(J, axis=0), True
    radius = size(d * np.where(x == 0, 1, x))
    for _ in range(steps):
        yield x, d, radius, taken
        p, lam = by_bisection(J, r, d, radius)
        f, f_new = 0.5 * r @ r, 0.5 * size(problem.residual(x + p)) ** 2
        promised = 0.5 * size(J @ p) ** 2 + lam * size(d * p) ** 2
        if promised <= 1e4 * EPS * f:
            return
        rho = (f - f_new) / promised
        length, slope = size(d * p), (J.T @ r) @ p
        if rho > 0.75 and lam > 0:
            radius = (4 if rho > 0.9 else 2) * length
        elif rho <= 0.25:
            radius = length * np.clip(-0.5 * slope / (f_new - f - slope), 0.1, 0.5)
        taken = rho > 1e-4
        if taken:
            x = x + p
            J, r = problem.jacobian(x), problem.residual(x)
            d = np.maximum(d, np.linalg.norm(J, axis=0))


@pytest.mark.parametrize(
    "name", ["rosenbrock", "freudenstein_roth", "wood", "kowalik_osborne", "bard", "helical_valley", "box"]
)
def test_it_is_the_docstring_worked_by_singular_values(name):
    problem = PROBLEMS[name]
    ours = states_of(problem_of(problem), problem.x0, 10, lm.Params(accuracy=1e-12))
    refused = 0
    for state, (x, d, radius, taken) in zip(ours, literal(problem, problem.x0, 10), strict=False):
        if state.f < 1e-12 * ours[0].f:
            break  # the end: the residuals are rounding
        # ‖Dp‖ = Δ to 1e-12, magnified by ten steps
        assert state.x == pytest.approx(x, rel=1e-7, abs=1e-7 * size(x))
        assert state.d == pytest.approx(d, rel=1e-7)
        assert state.radius == pytest.approx(radius, rel=1e-6)
        assert state.taken is bool(taken)
        refused = 0 if taken else refused + 1
        assert state.rejected == refused


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("geodesic", [False, True])
def test_states_are_whole_and_counts_are_honest(name, geodesic):
    problem, calls = PROBLEMS[name], [0, 0]

    def residual(x):
        calls[0] += 1
        return problem.residual(x)

    def jacobian(x):
        calls[1] += 1
        return problem.jacobian(x)

    start = np.array(problem.x0, float)
    for state in islice(iterate(lm, LeastSquares(residual, jacobian), start, lm.Params(geodesic=geodesic)), 15):
        r, J = problem.residual(state.x), problem.jacobian(state.x)
        assert calls == [state.nfev, state.njev]
        assert (state.r == r).all()
        assert (state.J == J).all()
        assert state.f == pytest.approx(0.5 * r @ r, rel=100 * EPS)
        assert state.g == pytest.approx(J.T @ r, abs=100 * EPS * size(J) * (size(r) + 1e-300))
        assert size(state.R.T @ state.R - J.T @ J) <= 1e3 * EPS * size(J) ** 2
        assert (state.d >= np.linalg.norm(J, axis=0) * (1 - 100 * EPS)).all()
    assert (start == problem.x0).all()


def test_the_same_states_on_every_kind_of_array(namespace):
    expected = states_of(zoo.get("rosenbrock:ls").problem, zoo.get("rosenbrock:ls").x0, 12)
    case = zoo.get("rosenbrock:ls", like=namespace.asarray([0.0]))
    for state, known in zip(islice(iterate(lm, case.problem, case.x0), 12), expected, strict=True):
        for name in ("x", "g", "r", "J", "R", "c", "d"):
            assert namespace.owns(getattr(state, name))
        # twelve steps, each with a few roundings magnified by κ(J) ≈ 50
        assert namespace.to_numpy(state.x) == pytest.approx(known.x, abs=1e-10)
        assert state.f == pytest.approx(known.f, rel=1e-8, abs=1e-18)
        assert (state.taken, state.nfev, state.njev) == (known.taken, known.nfev, known.njev)


def test_float32_stays_float32(namespace):
    case = zoo.get("rosenbrock:ls", like=namespace.asarray(np.zeros(1, "float32")))
    *_, last = islice(iterate(lm, case.problem, case.x0), 25)
    assert {"float32"} == {str(getattr(last, name).dtype)[-7:] for name in ("x", "g", "r", "J", "R", "c", "d")}
    assert namespace.to_numpy(last.x) == pytest.approx([1.0, 1.0], abs=1e-5)


# --- invariance ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rosenbrock", "wood", "kowalik_osborne", "meyer"])
@pytest.mark.parametrize("factor", [2.0**40, 2.0**-40])
def test_scaling_the_residuals_changes_no_step(name, factor):
    problem = PROBLEMS[name]
    scaled = LeastSquares(lambda x: factor * problem.residual(x), lambda x: factor * problem.jacobian(x))
    for ours, other in zip(
        states_of(problem_of(problem), problem.x0, 30), states_of(scaled, problem.x0, 30), strict=True
    ):
        assert (ours.x == other.x).all()  # powers of two: bit for bit
        assert ours.taken is other.taken
        assert other.f == ours.f * factor**2


@pytest.mark.parametrize("name", ["rosenbrock", "kowalik_osborne", "bard", "meyer"])
def test_scaling_the_variables_changes_no_step(name):
    problem = PROBLEMS[name]
    s = 2.0 ** np.array([10, -7, 3, -12])[: len(problem.x0)]
    scaled = LeastSquares(lambda z: problem.residual(z * s), lambda z: problem.jacobian(z * s) * s)
    for ours, other in zip(
        states_of(problem_of(problem), problem.x0, 30), states_of(scaled, problem.x0 / s, 30), strict=True
    ):
        assert (ours.x == other.x * s).all()  # powers of two: bit for bit


def test_without_rescaling_d_stays():
    problem = PROBLEMS["rosenbrock"]
    first, *_, last = states_of(problem_of(problem), problem.x0, 10, lm.Params(rescale=False))
    assert (first.d == last.d).all()
    first, *_, last = states_of(problem_of(problem), [0.5, 1.0], 10)
    assert (first.d != last.d).any()


# --- the radius ------------------------------------------------------------------------------------------------------


def test_the_first_radius():
    problem = PROBLEMS["box"]
    J = problem.jacobian(problem.x0)
    expected = size(np.linalg.norm(J, axis=0) * [1, 10, 20])  # x₀ = (0, 10, 20): 1 stands for 0
    for factor in (1.0, 10.0):
        (state,) = states_of(problem_of(problem), problem.x0, 1, lm.Params(factor=factor))
        assert state.radius == pytest.approx(factor * expected, rel=8 * EPS)


@pytest.mark.parametrize("damping", [1e-3, 1.0, 1e3])
def test_the_first_damping(damping):
    problem = PROBLEMS["wood"]
    J, r = problem.jacobian(problem.x0), problem.residual(problem.x0)
    D = np.diag(np.linalg.norm(J, axis=0))
    p = np.linalg.solve(J.T @ J + damping * D @ D, -J.T @ r)
    state, _ = states_of(problem_of(problem), problem.x0, 2, lm.Params(damping=damping))
    assert state.radius == pytest.approx(size(D @ p), rel=1e-10)
    found = lm.constrained(state.R, state.c, state.d, state.radius, state.lam, EXACT)
    assert found.lam == pytest.approx(damping, rel=1e-6)
    assert found.p == pytest.approx(p, rel=1e-6, abs=1e-8 * size(p))


# --- trials that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["residual", "jacobian"])
def test_a_trial_that_is_not_finite_shrinks_the_region_to_a_tenth_of_it(bad, part):
    def value(x):
        return np.array([bad if part == "residual" and x[0] < 1 else x[0], 0.0])

    def derivative(x):
        return np.array([[bad if part == "jacobian" and x[0] < 1 else 1.0], [0.0]])

    with np.errstate(invalid="ignore"):
        _, second, third = states_of(LeastSquares(value, derivative), [5.0], 3)
    assert (second.x, second.f, second.taken, second.rejected) == (5.0, 12.5, False, 1)
    assert second.radius == pytest.approx(0.1 * 5.0)  # the step was −5, and D = 1
    assert third.x[0] == pytest.approx(4.5, rel=0.02)


def test_where_f_has_lost_the_decrease_the_gradient_judges():
    # f = ½(1e20 + (x − 1)²): every decrease drowns
    problem = LeastSquares(lambda x: np.array([1e10, x[0] - 1]), lambda x: np.array([[0.0], [1.0]]))
    states = states_of(problem, [3.0], 4)
    assert states[1].f == states[0].f
    assert states[1].taken
    assert states[-1].x[0] == pytest.approx(1.0, abs=1e-12)
    wrong = problem._replace(jacobian=lambda x: np.array([[0.0], [np.sign(x[0] - 3.0) or -1.0]]))
    assert not states_of(wrong, [3.0], 2)[1].taken  # uphill, by the mean of both slopes


def test_a_step_far_too_long_is_cut_at_once_where_its_promise_drowns():
    # at its second minimum J has nearly no rank: the Gauss-Newton step is as long as x, the right one 1e-9 of that
    problem = PROBLEMS["freudenstein_roth"]
    x = np.array([11.4127789868, -0.8968052533]) * (1 + 1e-9)
    states = states_of(problem_of(problem), x, 10)
    assert min(after.radius / before.radius for before, after in pairwise(states)) < 0.01
    assert np.abs(states[-1].g).max() < 0.5 * np.abs(states[0].g).max()


def test_eight_refusals_within_the_noise_of_f_are_enough():
    # f is constant, and its derivative points the other way wherever the step goes
    away = LeastSquares(lambda x: np.array([1.0, 1e-9]), lambda x: np.array([[0.0], [1e-9 if x[0] == 1.0 else -3e-9]]))
    states = states_of(away, [1.0], 9)
    assert [state.ok for state in states] == [True] * 8 + [False]
    assert states[-1].radius > 1e-6 * states[0].radius


def test_it_says_when_it_cannot_go_on():
    inside = LeastSquares(lambda x: x if x[0] == 1.0 else np.full(1, np.nan), lambda x: np.ones((1, 1)))
    ends = next(state for state in iterate(lm, inside, np.ones(1)) if not state.ok)
    assert ends.x == 1.0
    assert ends.radius < 1e-15
    again = lm.resume(ends, lm.Params())
    assert (again.ok, again.rejected, again.radius) == (True, 0, 1.0)
    problem = problem_of(PROBLEMS["rosenbrock"])
    _, solved = states_of(problem, [1.0, 1.0], 2)  # the gradient is zero
    assert (solved.ok, solved.taken) == (False, False)
