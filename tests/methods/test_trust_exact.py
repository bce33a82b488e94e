"""Trust-region Newton: the book's algorithm worked by eigenvalues, its radius rules, saddles, and every array kind."""

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from problems import PROBLEMS, double_well
from refopt import zoo
from refopt.loop import iterate
from refopt.methods import trust_exact
from refopt.problem import Problem
from strategies import nonzero_vectors, spd, symmetric_indefinite, vectors

EPS = 2.0**-52
EXACT = trust_exact.Params(accuracy=1e-10)


def problem_of(squares):
    return Problem(squares.fun, squares.grad, squares.hess)


def states_of(problem, x0, count, params=EXACT):
    return list(islice(iterate(trust_exact, problem, x0, params), count))


# --- the algorithm box, worked by eigenvalues ------------------------------------------------------------------------


def subproblem(g, B, radius):
    """The global solution by bisection on λ in the eigenbasis (not made for the hard case)."""
    values, Q = np.linalg.eigh(B)
    c = Q.T @ g
    if values[0] > 0 and np.linalg.norm(c / values) <= radius:
        return -Q @ (c / values), 0.0
    low = max(0.0, -values[0])
    high = low + np.linalg.norm(g) / radius + 1.0
    while high - low > 4 * EPS * high:
        lam = (low + high) / 2
        low, high = (lam, high) if np.linalg.norm(c / (values + lam)) > radius else (low, lam)
    return -Q @ (c / (values + high)), high


def literal(problem, x, steps, eta=0.1):
    """Each x, radius and whether the step to it was taken, by the letter of the book."""
    radius, f, taken = np.linalg.norm(x) / 5, problem.fun(x), True
    for _ in range(steps):
        yield x, f, radius, taken
        g, B = problem.grad(x), problem.hess(x)
        p, lam = subproblem(g, B, radius)
        rho = (f - problem.fun(x + p)) / -(g @ p + 0.5 * p @ B @ p)
        taken = rho > eta
        if rho < 0.25:
            radius = np.linalg.norm(p) / 4
        elif rho > 0.75 and lam > 0:
            radius = 2 * radius
        if taken:
            x = x + p
            f = problem.fun(x)


@pytest.mark.parametrize("name", ["rosenbrock", "wood", "beale", "freudenstein_roth", "kowalik_osborne", "box"])
def test_it_is_the_box_worked_by_eigenvalues(name):
    problem = PROBLEMS[name]
    rejected = 0
    for ours, (x, _, radius, taken) in zip(
        states_of(problem_of(problem), problem.x0, 12), literal(problem, problem.x0, 12), strict=True
    ):
        if np.linalg.norm(problem.grad(x)) < 1e-5 * np.linalg.norm(problem.grad(problem.x0)):
            break  # the end: what the model predicts is rounding
        # ‖p‖ = Δ to 1e-10, magnified by a dozen steps
        assert ours.x == pytest.approx(x, rel=1e-6, abs=1e-6 * np.linalg.norm(x))
        assert ours.radius == pytest.approx(radius, rel=1e-6)
        assert ours.taken is bool(taken)
        rejected = 0 if taken else rejected + 1
        assert ours.rejected == rejected


@pytest.mark.parametrize("name", PROBLEMS)
def test_states_are_whole_and_counts_are_honest(name):
    problem = PROBLEMS[name]
    calls = {"fun": 0, "grad": 0, "hess": 0}

    def counted(part):
        def function(x):
            calls[part] += 1
            return getattr(problem, part)(x)

        return function

    for state in islice(iterate(trust_exact, Problem(*map(counted, calls)), problem.x0), 15):
        assert calls == {"fun": state.nfev, "grad": state.njev, "hess": state.nhev}
        assert state.f == problem.fun(state.x)
        assert (state.g == problem.grad(state.x)).all()
        assert (problem.hess(state.x) == state.B).all()


# --- the radius ------------------------------------------------------------------------------------------------------


def test_radius_has_a_limit():
    problem = Problem(lambda x: -x[0], lambda x: np.array([-1.0]), lambda x: np.zeros((1, 1)))
    states = states_of(problem, np.ones(1), 12, trust_exact.Params(max_radius=20.0))
    assert max(state.radius for state in states) == 20.0


def test_the_first_radius():
    problem = PROBLEMS["wood"]
    for x0, params, radius in (
        (problem.x0, trust_exact.Params(), np.linalg.norm(problem.x0) / 5),
        (0 * problem.x0, trust_exact.Params(), 1.0),
        (problem.x0, trust_exact.Params(radius=0.3), 0.3),
    ):
        assert trust_exact.init(problem, x0, params).radius == pytest.approx(radius, rel=4 * EPS)


def bent(values):
    """A problem in one variable with f = values(x), but always slope 1 and curvature 1 at 0: p = −1."""
    return Problem(lambda x: values(float(x[0])), lambda x: np.array([1.0]), lambda x: np.array([[1.0]]))


@pytest.mark.parametrize(
    ("f_new", "taken", "radius"), [(-0.5, True, 3.0), (-0.06, True, 0.25), (-0.04, False, 0.25), (1.0, False, 0.25),
    (np.nan, False, 0.1), (np.inf, False, 0.1), (-np.inf, False, 0.1)],
)  # fmt: skip
def test_a_step_is_taken_if_it_keeps_a_tenth_of_its_promise(f_new, taken, radius):
    """The promise is ½: ρ = 1, 0.12, 0.08, −2, and what is not finite."""
    problem = bent(lambda x: 0.0 if x == 0 else f_new)
    first = trust_exact.init(problem, np.zeros(1), trust_exact.Params(radius=3.0))
    new = trust_exact.step(problem, first, trust_exact.Params())
    assert (new.taken, new.x[0]) == (taken, -1.0 if taken else 0.0)
    assert new.radius == pytest.approx(radius)
    assert (new.nfev, new.njev, new.nhev) == (2, 1 + taken, 1 + taken)
    assert new.rejected == (not taken)
    assert new.ok


def test_eta_is_the_part_of_the_promise():
    problem = bent(lambda x: 0.0 if x == 0 else -0.2)
    for eta, taken in ((0.39, True), (0.41, False)):
        params = trust_exact.Params(eta=eta)
        assert trust_exact.step(problem, trust_exact.init(problem, np.zeros(1), params), params).taken is taken


@pytest.mark.parametrize("part", ["grad", "hess"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_trial_without_finite_derivatives_is_refused(part, bad):
    problem = Problem(lambda x: 0.5 * (x @ x), lambda x: x * 1.0, lambda x: np.eye(2))
    spoiled = {"grad": lambda x: np.array([1.0, bad]), "hess": lambda x: np.full((2, 2), bad)}[part]
    first = trust_exact.init(problem, np.ones(2), trust_exact.Params())
    new = trust_exact.step(problem._replace(**{part: spoiled}), first, trust_exact.Params())
    assert not new.taken
    assert (new.x == 1).all()
    assert new.radius < first.radius


def test_where_f_has_lost_its_digits_slopes_decide():
    """f + 1e9 cannot show a decrease of 1e-8; −½(g + g₊)ᵀp can. A slope turned round by more went too far."""
    for sign, taken in ((1.0, True), (-1.0, False)):
        problem = Problem(
            lambda x: 1e9 + 1e-8 * (x @ x),
            lambda x, sign=sign: 2e-8 * x if x[0] == 1 else 2e-8 * x - (0 if sign > 0 else 6e-8),
            lambda x: 2e-8 * np.eye(1),
        )
        first = trust_exact.init(problem, np.ones(1), trust_exact.Params(radius=0.5))
        new = trust_exact.step(problem, first, trust_exact.Params())
        assert new.taken is taken
        assert (new.nfev, new.njev, new.nhev) == (2, 2, 1 + taken)


def test_the_trapezoid_is_exact_for_a_quadratic():
    """Within noise ρ = 1 there: taken for η below, refused for η above."""
    problem = Problem(lambda x: 1e9 + 1e-8 * (x @ x), lambda x: 2e-8 * x, lambda x: 2e-8 * np.eye(1))
    for eta, taken in ((0.999, True), (1.001, False)):
        params = trust_exact.Params(radius=0.5, eta=eta)
        assert trust_exact.step(problem, trust_exact.init(problem, np.ones(1), params), params).taken is taken


def test_ok_ends_after_thirty_refusals_or_ten_within_noise():
    for noise, count in ((0.0, 30), (1.0, 10)):
        problem = bent(lambda x: 0.0 if x == 0 else 1e9)._replace(noise=noise)
        oks = [state.ok for state in states_of(problem, np.zeros(1), count + 1)]
        assert oks == [True] * count + [False]


def test_ok_ends_where_the_region_is_within_rounding_of_x():
    problem = bent(lambda x: 0.0 if x == 1 else 1.0)
    oks = [state.ok for state in states_of(problem, np.ones(1), 30)]
    assert not oks[-1]
    assert oks.index(False) in (25, 26)  # 4⁻²⁵/5 < 2⁻⁵²


def test_resume_opens_the_region_again():
    state = trust_exact.init(PROBLEMS["wood"], PROBLEMS["wood"].x0, trust_exact.Params())
    shut = state._replace(radius=1e-20, rejected=17, ok=False)
    assert trust_exact.resume(shut)._replace(x=0, g=0, B=0) == state._replace(x=0, g=0, B=0)


# --- what the model promises -----------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 5))
def test_predicted_is_the_decrease_of_a_newton_step(data, n):
    B, g = data.draw(spd(n, 1e3)), data.draw(vectors(n))
    state = trust_exact.State(0 * g, 0.0, g, B, 1.0, 0, True, True, 1, 1, 1)
    # ½gᵀB⁻¹g through a backward stable solve of condition 1e3
    assert trust_exact.predicted(state) == pytest.approx(0.5 * g @ np.linalg.solve(B, g), rel=1e3 * 50 * n * EPS)


@given(symmetric_indefinite())
def test_predicted_is_infinite_beside_negative_curvature(B):
    state = trust_exact.State(np.zeros(len(B)), 0.0, np.zeros(len(B)), B, 1.0, 0, True, True, 1, 1, 1)
    assert trust_exact.predicted(state) == np.inf


@pytest.mark.parametrize("lowest", [0.0, -1e-12, 1e-12])
def test_a_singular_hessian_is_no_saddle(namespace, lowest):
    """An eigenvalue within √eps‖B‖ of zero is none; the promise then is that of the matrix shifted by as much."""
    g, B = np.array([0.0, 1e-9]), np.diag([lowest, 1.0])
    state = trust_exact.State(g, 0.0, namespace.asarray(g), namespace.asarray(B), 1.0, 0, True, True, 1, 1, 1)
    assert trust_exact.predicted(state) == pytest.approx(0.5e-18, rel=1e-7)


def test_no_curvature_promises_nothing_where_there_is_no_slope(namespace):
    g, B = namespace.asarray(np.zeros(2)), namespace.asarray(np.zeros((2, 2)))
    state = trust_exact.State(g, 0.0, g, B, 1.0, 0, True, True, 1, 1, 1)
    assert trust_exact.predicted(state) == 0.0


# --- convergence -----------------------------------------------------------------------------------------------------


@given(st.data(), st.integers(2, 5))
def test_on_a_convex_quadratic_one_step_inside_is_enough(data, n):
    A, x, b = data.draw(spd(n)), data.draw(nonzero_vectors(n)), data.draw(vectors(n))
    minimum = np.linalg.solve(A, b)
    problem = Problem(lambda x: 0.5 * x @ A @ x - b @ x, lambda x: A @ x - b, lambda x: A)
    params = trust_exact.Params(radius=2 * np.linalg.norm(x - minimum) + 1)
    second = states_of(problem, x, 2, params)[1]
    scale = np.linalg.norm(x) + np.linalg.norm(minimum)
    assume(np.linalg.norm(A @ x - b) > 1e-6)  # else the decrease is rounding
    assert np.linalg.norm(second.x - minimum) <= 100 * n * EPS * 1e4 * scale


@pytest.mark.parametrize(
    ("name", "solution"),
    [("rosenbrock", [1, 1]), ("wood", [1, 1, 1, 1]), ("beale", [3, 0.5]), ("helical_valley", [1, 0, 0])],
)
def test_the_end_is_quadratic(name, solution):
    """‖xₖ₊₁ − x*‖ ≤ C‖xₖ − x*‖² with one C, from a tenth on down to rounding."""
    problem = PROBLEMS[name]
    errors = [
        np.linalg.norm(state.x - solution) for state in states_of(problem_of(problem), problem.x0, 60) if state.taken
    ]
    pairs = [(a, b) for a, b in pairwise(errors) if 1e-7 < a < 0.1 * np.linalg.norm(solution)]
    assert len(pairs) >= 2
    assert max(b / a**2 for a, b in pairs[-3:]) < 100
    assert errors[-1] < 1e-14


@pytest.mark.parametrize("x0", [[0.0], [0.0, 0.0], [1.0, 0.0], [1e-12, 0.0], [0.0, 3.0]])
def test_saddles_and_maxima_are_left(x0):
    """Double wells in every variable: each x with a zero is a saddle or the maximum."""
    last = states_of(Problem(*double_well), np.array(x0), 60)[-1]
    assert abs(last.x) == pytest.approx(np.ones(len(x0)), rel=1e-7)


def test_a_saddle_approached_along_its_axis_is_left():
    """x² − y² + y⁴/2 from (1, 0): every gradient points along the axis to the saddle at the origin."""
    problem = Problem(
        lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 2,
        lambda x: np.array([2 * x[0], -2 * x[1] + 2 * x[1] ** 3]),
        lambda x: np.diag([2.0, -2 + 6 * x[1] ** 2]),
    )
    last = states_of(problem, np.array([1.0, 0.0]), 30)[-1]
    assert last.f == pytest.approx(-0.5, rel=1e-12)


# --- array kinds and units -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rosenbrock", "rosenbrock:10", "quartic", "valley"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_kind_takes_the_same_steps(namespace, name, dtype):
    like = namespace.asarray(np.ones(1, dtype))
    plain, same = zoo.get(name, like=np.ones(1, dtype)), zoo.get(name, like=like)
    steps = 12 if dtype == "float64" else 5
    reference = states_of(plain.problem, plain.x0, steps, trust_exact.Params())
    found = states_of(same.problem, same.x0, steps, trust_exact.Params())
    # other factorisations of well-conditioned matrices, magnified by the steps
    tolerance = 1e6 * float(np.finfo(dtype).eps)
    for ours, theirs in zip(found, reference, strict=True):
        if abs(theirs.g).max() < 1e-3 * tolerance * abs(reference[0].g).max():
            break  # rounding
        for field, size in (("x", reference[0].x), ("g", reference[0].g), ("B", reference[0].B)):
            array, expected = getattr(ours, field), getattr(theirs, field)
            assert namespace.owns(array)
            assert namespace.to_numpy(array).dtype == np.dtype(dtype)
            assert abs(namespace.to_numpy(array) - expected).max() <= tolerance * abs(size).max()
        counts = ("rejected", "taken", "ok", "nfev", "njev", "nhev")
        assert [getattr(ours, name) for name in counts] == [getattr(theirs, name) for name in counts]
        assert ours.radius == pytest.approx(theirs.radius, rel=tolerance)
        assert type(ours.f) is float


@pytest.mark.parametrize("name", PROBLEMS)
def test_scaling_f_by_a_power_of_four_changes_no_bit(name):
    """Of four, because its square root enters the Cholesky factor."""
    problem = PROBLEMS[name]
    c = 4.0**19
    scaled = Problem(lambda x: c * problem.fun(x), lambda x: c * problem.grad(x), lambda x: c * problem.hess(x))
    plain = states_of(problem_of(problem), problem.x0, 20, trust_exact.Params())
    for ours, theirs in zip(states_of(scaled, problem.x0, 20, trust_exact.Params()), plain, strict=True):
        assert (ours.x == theirs.x).all()
        assert ours.radius == theirs.radius
        assert ours.nfev == theirs.nfev
