"""Levenberg-Marquardt: each step is the damped least-squares step of its radius, each state is whole, on every array kind."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems import PROBLEMS
from refopt import zoo
from refopt.loop import iterate
from refopt.methods import lm
from refopt.problem import LeastSquares
from strategies import basis, full_rank, seeds, sizes, vectors

EPS = 2.0**-52
EXACT = 1e-10  # the accuracy of ‖Dp‖ = Δ asked for where it must be the solution


def size(x):
    return float(np.linalg.norm(x))


def problem_of(squares):
    return LeastSquares(squares.residual, squares.jacobian)


def states_of(problem, x0, count, params=None):
    return list(islice(iterate(lm, problem, np.array(x0, float), params), count))


@st.composite
def subproblems(draw):
    """J of any shape with singular values in [1, 100], r, D with entries in [1, 11], and a radius."""
    J = draw(full_rank(draw(sizes), draw(sizes), condition=1e2))
    r, d = draw(vectors(len(J))), 1.0 + np.abs(draw(vectors(J.shape[1])))
    return J, r, d, draw(st.sampled_from([1e-3, 0.1, 1.0, 10.0, 1e4]))


def constrained(J, r, d, radius, accuracy=EXACT):
    R, c, _ = lm.triangle(J, r)
    return lm.constrained(R, c, d, radius, 0.0, accuracy)


# --- one step --------------------------------------------------------------------------------------------------------


@given(subproblems())
def test_the_step_is_the_augmented_least_squares_solution(case):
    J, r, d, radius = case
    step = constrained(J, r, d, radius)
    lam = step.lam if step.lam > 0 or len(J) >= len(d) else EPS  # without full rank J is damped by √eps of its columns
    A = np.vstack([J, np.diag(lam**0.5 * (d if step.lam > 0 else np.linalg.norm(J, axis=0)))])
    p = np.linalg.lstsq(A, np.append(-r, 0 * d))[0]
    # κ(A)² where the residual is not small; a wide J is damped by √eps besides, which moves p by eps κ²
    kappa = np.linalg.cond(A) if len(J) >= len(d) else 1e4
    assert size(step.p - p) <= 200 * EPS * kappa**2 * (size(p) + size(r))


@given(subproblems())
def test_the_step_solves_the_trust_region_problem_of_its_radius(case):
    J, r, d, radius = case
    step = constrained(J, r, d, radius)

    def model(p):
        return 0.5 * size(J @ p + r) ** 2

    length = size(d * step.p)
    assert length <= radius * (1 + 2 * EXACT)
    assert step.lam == 0.0 or length == pytest.approx(radius, rel=2 * EXACT)
    gradient = J.T @ (J @ step.p + r) + step.lam * d * d * step.p
    # the normal equations are as good as the QR that solved them; a wide J is damped by eps‖Jⱼ‖² besides
    assert size(gradient) <= 1e3 * EPS * (1 + size(J)) * (size(r) + size(J) * size(step.p))
    rng = np.random.default_rng(0)
    for _ in range(20):  # no point of the ball is better
        q = rng.standard_normal(len(d)) / d
        q *= radius * rng.random() / size(d * q)
        assert model(step.p) <= model(q) + 1e-8 * (1 + model(q))


@given(subproblems())
def test_what_the_step_says_of_itself(case):
    J, r, d, radius = case
    step = constrained(J, r, d, radius, 0.1)
    scale = 1e4 * EPS * (1 + r @ r)  # a few roundings, times κ = 100
    assert step.length == pytest.approx(size(d * step.p), rel=4 * EPS, abs=1e-300)
    assert step.slope == pytest.approx((J.T @ r) @ step.p, abs=scale)
    decrease = 0.5 * (r @ r) - 0.5 * size(J @ step.p + r) ** 2
    assert step.promised == pytest.approx(decrease, abs=scale)
    assert size(step.S.T @ step.S - (J.T @ J + step.lam * np.diag(d * d))) <= 1e3 * EPS * (size(J) ** 2 + step.lam * 200)


@given(st.integers(1, 4), seeds)
def test_without_full_rank_a_long_radius_gives_nearly_the_shortest_step(rank, seed):
    rng = np.random.default_rng(seed)
    J = basis(7, seed)[:, :rank] @ rng.standard_normal((rank, 5)) * 10.0 ** rng.integers(-3, 3, 5)
    r, norms = rng.standard_normal(7), np.linalg.norm(J, axis=0)
    values = np.linalg.svd(J / norms)[1][:rank]
    shortest = -np.linalg.pinv(J / norms, rcond=1e-11) @ r  # in the norm ‖diag(‖Jⱼ‖) p‖
    R, c, full = lm.triangle(J, r)
    assert not full
    step = lm.constrained(R, c, norms, 1e6 * size(shortest), 0.0, EXACT)
    assert step.lam == 0.0
    # damping by eps moves the step by eps κ², rounding of the null space by √eps κ
    assert size(norms * step.p - shortest) <= 1e3 * EPS**0.5 * values[0] / values[-1] * size(shortest)


@given(subproblems())
def test_the_parameter_falls_as_the_radius_grows(case):
    J, r, d, radius = case
    assert constrained(J, r, d, radius).lam >= constrained(J, r, d, 1.5 * radius).lam * (1 - 1e-6)


def test_no_region_no_step():
    step = constrained(np.eye(2), np.ones(2), np.ones(2), 0.0)
    assert step.length >= 0.0
    assert constrained(np.zeros((3, 2)), np.ones(3), np.ones(2), 1.0).promised == 0.0


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
    """Each x, D, radius and whether the step to it was taken, by the letter of the docstring."""
    J, r = problem.jacobian(x), problem.residual(x)
    d, taken = np.linalg.norm(J, axis=0), True
    radius = size(d * np.where(x == 0, 1, x))
    for _ in range(steps):
        yield x, d, radius, taken
        p, lam = by_bisection(J, r, d, radius)
        f, f_new = 0.5 * r @ r, 0.5 * size(problem.residual(x + p)) ** 2
        rho = (f - f_new) / (0.5 * size(J @ p) ** 2 + lam * size(d * p) ** 2)
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


@pytest.mark.parametrize("name", ["rosenbrock", "freudenstein_roth", "wood", "kowalik_osborne", "bard", "helical_valley", "box"])
def test_it_is_the_docstring_worked_by_singular_values(name):
    problem = PROBLEMS[name]
    ours = states_of(problem_of(problem), problem.x0, 10, lm.Params(accuracy=1e-12))
    refused = 0
    for state, (x, d, radius, taken) in zip(ours, literal(problem, problem.x0, 10), strict=True):
        if state.f < 1e-12 * ours[0].f:
            break  # the end: what the model predicts is rounding
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
    for ours, other in zip(states_of(problem_of(problem), problem.x0, 30), states_of(scaled, problem.x0, 30), strict=True):
        assert (ours.x == other.x).all()  # powers of two: bit for bit
        assert ours.taken is other.taken
        assert other.f == ours.f * factor**2


@pytest.mark.parametrize("name", ["rosenbrock", "kowalik_osborne", "bard", "meyer"])
def test_scaling_the_variables_changes_no_step(name):
    problem = PROBLEMS[name]
    s = 2.0 ** np.array([10, -7, 3, -12])[: len(problem.x0)]
    scaled = LeastSquares(lambda z: problem.residual(z * s), lambda z: problem.jacobian(z * s) * s)
    for ours, other in zip(states_of(problem_of(problem), problem.x0, 30), states_of(scaled, problem.x0 / s, 30), strict=True):
        assert (ours.x == other.x * s).all()  # powers of two: bit for bit


def test_without_rescaling_d_stays():
    problem = PROBLEMS["rosenbrock"]
    first, *_, last = states_of(problem_of(problem), problem.x0, 10, lm.Params(rescale=False))
    assert (first.d == last.d).all()
    first, *_, last = states_of(problem_of(problem), [0.5, 1.0], 10)
    assert (first.d != last.d).any()


# --- the radius ------------------------------------------------------------------------------------------------------


def trial(length=2.0, lam=1.0, slope=-1.0):
    return lm.Step(np.zeros(1), np.zeros((1, 1)), lam, length, slope, 1.0)


@pytest.mark.parametrize(
    ("ratio", "lam", "f_new", "expected"),
    [
        (0.95, 1.0, 0.0, 8.0), (0.95, 0.0, 0.0, 5.0), (0.8, 1.0, 0.0, 4.0), (0.8, 0.0, 0.0, 5.0), (0.5, 1.0, 0.0, 5.0),
        (0.2, 1.0, 0.5, 1.0), (-1.0, 1.0, 2.0, 0.5), (-1.0, 1.0, 1e6, 0.2), (-1.0, 0.0, np.inf, 0.2),
        (-1.0, 1.0, np.nan, 0.2),
    ],
)  # fmt: skip
def test_the_next_radius(ratio, lam, f_new, expected):
    # f = 1 and slope −1: the parabola through f_new has its minimum at ½/(f_new − f + 1) of the step
    assert lm.resized(5.0, trial(lam=lam), ratio, 1.0, f_new) == expected


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


# --- geodesic acceleration -------------------------------------------------------------------------------------------


def curved(seed):
    """r(x) = a + Bx + ½ C[x, x], for which the difference along v is exact."""
    rng = np.random.default_rng(seed)
    a, B, C = rng.standard_normal(5), rng.standard_normal((5, 3)), rng.standard_normal((5, 3, 3))
    C = C + C.transpose(0, 2, 1)
    problem = LeastSquares(lambda x: a + B @ x + 0.5 * C @ x @ x, lambda x: B + C @ x)
    return problem, C


@given(seeds, st.sampled_from([1e-4, 1e-2]))
def test_acceleration_is_the_second_order_of_the_damped_path(seed, factor):
    problem, C = curved(seed)
    (state,) = states_of(problem, np.ones(3), 1, lm.Params(factor=factor))
    step = lm.constrained(state.R, state.c, state.d, state.radius, 0.0, 0.1)
    A = np.vstack([state.J, step.lam**0.5 * np.diag(state.d)])
    r_vv = C @ step.p @ step.p
    a = np.linalg.lstsq(A, np.append(-r_vv, np.zeros(3)))[0]
    found = lm.acceleration(problem, state, step)
    # differences of r with step 0.1 lose the digits of ‖r‖ beside ‖r_vv‖/200; normal equations, κ(A)² times
    tolerance = 1e4 * EPS * np.linalg.cond(A) ** 2 * (size(state.r) + size(r_vv)) / size(A)
    if 2 * size(state.d * a) <= 0.75 * step.length * 0.999:
        assert size(found - a) <= tolerance
    elif 2 * size(state.d * a) > 0.75 * step.length * 1.001:
        assert (found == 0).all()


def test_acceleration_is_half_added_and_costs_one_residual():
    problem, _ = curved(1)
    params = lm.Params(factor=0.01, geodesic=True)
    start, after = states_of(problem, np.ones(3), 2, params)
    step = lm.constrained(start.R, start.c, start.d, start.radius, 0.0, 0.1)
    a = lm.acceleration(problem, start, step)
    assert size(a) > 0
    assert after.x == pytest.approx(start.x + step.p + 0.5 * a, rel=4 * EPS)
    assert (after.nfev, after.njev) == (3, 2)


def test_acceleration_saves_jacobians_in_a_canyon():
    case = zoo.get("nist:Bennett5", start=2)

    def jacobians(geodesic):
        states = iterate(lm, case.problem, case.x0, lm.Params(geodesic=geodesic))
        return next(state.njev for state in states if state.f < case.fun * (1 + 1e-6))

    assert jacobians(True) < 0.7 * jacobians(False)


def test_acceleration_is_dropped_where_it_leaves_the_domain():
    problem = LeastSquares(lambda x: np.log(x) - 3.0, lambda x: np.diag(1 / x))
    with np.errstate(invalid="ignore"):
        (state,) = states_of(problem, [0.01], 1)
        step = trial(length=1.0)._replace(p=np.array([-1.0]), S=np.eye(1))
        assert (lm.acceleration(problem, state, step) == 0).all()


# --- the polish ------------------------------------------------------------------------------------------------------


def near_the_end(name, tolerance=1e-8):
    case = zoo.get(f"nist:{name}", start=2)
    states = iterate(lm, case.problem, case.x0)
    return case, next(state for state in states if state.f <= case.fun * (1 + tolerance))


@pytest.mark.parametrize("name", ["Misra1a", "Thurber", "ENSO", "MGH09", "Rat43"])
def test_polish_brings_the_last_digits(name):
    case, state = near_the_end(name)
    end = lm.polish(case.problem, state, lm.Params(), 60)
    assert zoo.matching_digits(state.x, case.certified).min() < 8
    assert zoo.matching_digits(end.x, case.certified).min() >= 10
    assert end.f <= state.f * (1 + 1e-9)
    assert end.nfev - state.nfev <= 60
    assert lm.polish(case.problem, end, lm.Params(), 60).nfev <= end.nfev + 1  # nothing is left to do


def test_polish_takes_shrinking_steps_only():
    case, state = near_the_end("ENSO")
    length = np.inf
    for _ in range(60):
        p = np.linalg.lstsq(state.J, -state.r)[0]
        state = lm.refine(case.problem, state, lm.Params())
        if not state.ok:
            break
        assert size(state.d * p) < 0.9 * length * (1 + 1e-6)
        length = size(state.d * p)
    assert not state.ok
    case, state = near_the_end("ENSO")
    assert lm.polish(case.problem, state, lm.Params(), 3).nfev == state.nfev + 3
    assert lm.polish(case.problem, state, lm.Params(), 0) is state


def test_polish_refuses_what_raises_f_or_makes_the_next_step_longer():
    # Brown and Dennis's residuals are large at the minimum: undamped steps leave it
    problem = PROBLEMS["brown_dennis"]
    states = iterate(lm, problem_of(problem), np.array(problem.x0, float))
    state = next(state for state in states if np.abs(state.g).max() < 1e-3)
    end = lm.refine(problem_of(problem), state, lm.Params())
    assert not end.ok
    assert (end.x == state.x).all()
    assert end.nfev == state.nfev + 1


def test_polish_does_nothing_without_full_rank():
    problem = LeastSquares(lambda x: np.array([x[0] + x[1], x[0] + x[1] + 1.0]), lambda x: np.ones((2, 2)))
    (state,) = states_of(problem, [1.0, 1.0], 1)
    end = lm.refine(problem, state, lm.Params())
    assert (end.ok, end.nfev) == (False, 1)
    assert (end.x == state.x).all()


# --- what the model promises -----------------------------------------------------------------------------------------


@given(subproblems())
def test_predicted_is_the_gain_of_a_gauss_newton_step(case):
    J, r, d, _ = case
    (state,) = states_of(LeastSquares(lambda x: r, lambda x: J), 0 * d, 1)
    p = np.linalg.lstsq(J, -r)[0]
    gain = 0.5 * (r @ r) - 0.5 * size(J @ p + r) ** 2
    # a wide J is damped by √eps, and κ = 100: (1e-8 · 100)² of the gain is missing
    assert lm.predicted(state) == pytest.approx(gain, rel=1e-9, abs=1e4 * EPS * (1 + r @ r))


def test_predicted_does_not_count_what_only_rounding_spans():
    J = np.array([[1.0, 1.0], [0.0, 1e-13], [0.0, 0.0]])
    (state,) = states_of(LeastSquares(lambda x: np.array([0.0, 1.0, 1.0]), lambda x: J), [1.0, 1.0], 1)
    assert lm.predicted(state) < 1e-5
    spanned = LeastSquares(lambda x: np.array([0.0, 1.0, 1.0]), lambda x: J + [[0, 0], [0, 1e-4], [0, 0]])
    assert lm.predicted(states_of(spanned, [1.0, 1.0], 1)[0]) == pytest.approx(0.5, rel=1e-6)


def test_a_column_of_zeros_takes_no_step_and_no_share_of_the_radius():
    problem = LeastSquares(lambda x: 1e-12 * np.array([x[0] - 1, 1.0]), lambda x: 1e-12 * np.array([[1.0, 0], [0, 0]]))
    states = states_of(problem, [4.0, 5.0], 4)
    assert states[0].radius == pytest.approx(4e-12)
    assert states[-1].x == pytest.approx([1.0, 5.0], rel=1e-7)
    assert states[-1].x[1] == 5.0
