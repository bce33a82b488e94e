"""Newton's method on the gradient alone: its model, its steps, and when it stops."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refopt import refinement
from refopt.problem import Problem
from refopt.refinement import (
    Model,
    Refined,
    better,
    damped,
    fallen,
    heard,
    lower_beside,
    model_of,
    newton_step,
    parts,
    promise,
    refine,
    shown,
    unseen,
    whitened,
)
from strategies import seeds

EPS = 2.0**-52


def quadratic(seed, condition, signs=(1.0, 1.0, 1.0)):
    """½(x − c)ᵀB(x − c) with the eigenvalues ±1 to 10^condition; B, c."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    B, c = (Q * (np.array(signs) * np.logspace(0, condition, 3))) @ Q.T, rng.uniform(1, 2, 3)
    return Problem(lambda x: 0.5 * float((x - c) @ B @ (x - c)), lambda x: B @ (x - c)), B, c


@given(seeds, st.floats(0, 5))
def test_the_model_promises_what_newtons_step_gains(seed, condition):
    """½ gᵀB⁻¹g and −B⁻¹g, whatever the sizes of the variables; B is known to eps^⅔ of its norm, by its differences."""
    problem, _, c = quadratic(seed, condition)
    x = np.ones(3)
    g, loss = problem.grad(x), 10 * EPS ** (2 / 3) * 10**condition
    for size in (np.ones(3), np.array([1.0, 2.0, 3.0])):
        model = model_of(problem.grad, x, g, size, 0.0)
        assert promise(model, g) == pytest.approx(problem.fun(x), rel=10 * loss)
        assert np.linalg.norm(newton_step(model, parts(model, g)) - (c - x)) <= 10 * loss * np.linalg.norm(c - x)


@given(seeds)
def test_where_f_bends_down_there_is_no_end_to_the_gain(seed):
    problem, _, _ = quadratic(seed, 1, (1.0, -1.0, 1.0))
    x = np.ones(3)
    assert refine(problem, x, problem.fun(x), problem.grad(x), x, 0.0 * x, 0.0, 0.0, inf).gain == inf


def test_steps_go_on_until_the_gradient_is_noise():
    """Rosenbrock's function, from near its minimum; noise of 1e-9 in the gradient, and of 1e-3 in f."""
    rng = np.random.default_rng(1)

    def grad(x):
        exact = np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])
        return exact + 1e-9 * rng.uniform(-1, 1, 2)

    problem = Problem(lambda x: 1.0 + 1e-3 * rng.uniform(-1, 1), grad)
    x = np.array([0.99, 0.985])
    end = refine(problem, x, 1.0, grad(x), x, np.full(2, 1e-9), 1e-3, 1e-12, inf)
    assert abs(end.g).max() <= 1e-8
    assert abs(end.x - 1).max() <= 1e-5  # the smallest eigenvalue is 0.4, and B is known to a part of 1e-3
    assert end.stuck
    assert end.gain <= 1e-12


@pytest.mark.parametrize(("enough", "returned"), [(0.5, 1.0), (2.5, 2.0), (3.5, 1.0), (9.0, 1.0)])
def test_the_point_that_is_returned(monkeypatch, enough, returned):
    """Slopes 4, 3, 1, 2 with gains 5, 4, 3, 2: the smallest of those with enough gained, else what is best in both."""
    gains, slopes = {4.0: 5.0, 3.0: 4.0, 1.0: 3.0, 2.0: 2.0}, iter([3.0, 1.0, 2.0])

    def following(problem, model, now, ceiling):
        slope = next(slopes, None)
        if slope is None:
            return now._replace(stuck=True), 1
        return Refined(now.x, 0.0, np.array([slope]), gains[slope]), 1

    monkeypatch.setattr(refinement, "promise", lambda model, g: gains[float(g[0])])
    monkeypatch.setattr(refinement, "damped", following)
    bowl = Problem(lambda x: float(x[0] ** 2), lambda x: 2 * x)
    end = refine(bowl, np.ones(1), 1.0, np.array([4.0]), np.ones(1), np.zeros(1), 0.0, enough, inf)
    assert end.g[0] == returned


def test_a_step_that_raises_f_or_goes_too_far_is_halved():
    """g = arctan x, where Newton's method diverges from x = 2."""
    flat = Problem(lambda x: 0.0, lambda x: np.arctan(x))
    x = np.array([2.0])
    model = model_of(flat.grad, x, flat.grad(x), x, np.zeros(1))
    now = Refined(x, 0.0, flat.grad(x), promise(model, flat.grad(x)))
    after, trials = damped(flat, model, now, 0.0)
    assert abs(after.x[0]) < 2.0
    assert trials > 1
    hill = flat._replace(fun=lambda x: float(x[0] < 1.9))
    assert damped(hill, model, now, 0.0)[0].x[0] >= 1.9
    assert damped(hill, model, now, 2.0)[0].x == after.x


def bent(curvature, noise=0.0):
    """x² + ½ curvature y², and a gradient whose second component says −1e-4 y; a model of it beside (1, 1)."""
    problem = Problem(
        lambda x: float(x[0] ** 2 + 0.5 * curvature * x[1] ** 2), lambda x: np.array([2 * x[0], -1e-4 * x[1]])
    )
    x = np.ones(2)
    return problem, x, model_of(problem.grad, x, problem.grad(x), x, np.full(2, noise))


@pytest.mark.parametrize(("curvature", "convex"), [(0.0, True), (1.0, True), (-1e-4, False), (-1e-3, False)])
def test_negative_curvature_must_show_in_f(curvature, convex):
    """What does not is an error of the eigenvalues, of all of them."""
    problem, x, model = bent(curvature)
    assert not model.convex
    seen = shown(problem, model, x, problem.fun(x), 10 * EPS)
    assert seen.convex is convex
    assert (seen.lower is None) is convex
    assert convex or problem.fun(seen.lower) < problem.fun(x)
    assert (seen.values >= 1e-4 * (1 - 1e-6)).all() or not convex


def test_a_lower_point_beside():
    """Of two directions in which f bends down that in which it does so most; none, if a slope alone leads down."""
    saddle = Problem(lambda x: float(x[0] ** 2 - x[1] ** 2 - 9 * x[2] ** 2), lambda x: np.array([2, -2, -18]) * x)
    x = np.array([1.0, 0.0, 0.0])
    lower = lower_beside(saddle, x, 1.0, saddle.grad(x), np.ones(3), 0.0, 1e-12)
    assert saddle.fun(lower) < 1.0
    assert abs(lower - x).argmax() == 2
    assert refine(saddle, x, 1.0, saddle.grad(x), np.ones(3), 0.0 * x, 1e-12, 0.0, inf).lower.tolist() == lower.tolist()
    bowl = Problem(lambda x: float(x @ x), lambda x: 2 * x)
    assert lower_beside(bowl, x, 1.0, bowl.grad(x), np.ones(3), 0.0, 1e-12) is None


def test_negative_curvature_that_noise_of_f_hides_is_none():
    """Along 0.3 of the size of y f falls by 4.5e-6 at the most, and ten times that is noise."""
    problem, x, model = bent(-1e-4)
    assert shown(problem, model, x, problem.fun(x), 4.5e-5).convex


def test_a_model_that_is_not_finite_is_shown_nothing():
    problem = Problem(lambda x: 0.0, lambda x: np.full(2, np.nan))
    x = np.ones(2)
    model = model_of(problem.grad, x, x, x, 0 * x)
    assert not shown(problem, model, x, 0.0, 1.0).convex


@np.errstate(all="ignore")
def test_no_size_of_x_is_too_large():
    """Where the products of sizes overflow, and derivatives are not finite, there is no model, and no error."""
    x = np.full(3, 1e200)
    assert not model_of(lambda x: np.full(3, np.nan), x, x, x, 0.0 * x).convex


def test_no_step_along_what_is_only_noise():
    """A gradient within its noise, along an eigenvalue within its own: promised, not heard."""
    problem, x, model = bent(0.0, noise=1e-3)
    model = shown(problem, model, x, 1.0, 1e-3)
    small, large = np.array([1.0, 0.9e-3]), np.array([1.0, 2e-3])
    assert newton_step(model, heard(model, small))[1] == pytest.approx(0.0, abs=1e-12)
    assert abs(newton_step(model, heard(model, large))[1]) > 0.01
    assert promise(model, small) > promise(model, np.array([1.0, 0.0])) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("fun", "x", "lowest"),
    [
        (lambda x: float(x[0] ** 2), 0.0, 0.0),  # α = ½
        (lambda x: np.inf if x[0] < 0.7 else float(x[0]), 0.75, 0.75),  # α = ⅛: no wall counts
        (lambda x: float(x[0] ** 2) if x[0] in (0.0, 1.0) else 2.0, 0.0, 0.0),
        (lambda x: float(abs(x[0] - 1.0)), 1.0, 2.0**-5),  # f rises: the old point
        (lambda x: 1.0 if x[0] == 1.0 else np.nan, 1.0, inf),
    ],
)
def test_what_noise_of_the_gradient_hides_f_may_show(fun, x, lowest):
    """From 1 along −2, where nothing is heard."""
    model = Model(np.ones(1), np.eye(1), np.ones(1), True)
    now = Refined(np.ones(1), fun(np.ones(1)), np.full(1, 2.0), 2.0)
    after = fallen(Problem(fun, lambda x: 2 * x), model, now, 1e-3)
    assert after.x[0] == x
    assert after.stuck is (x == 1.0)
    assert (after.lowest if after.stuck else after.f) == lowest
    assert fallen(Problem(fun, lambda x: 2 * x), model, now, 3.0) == now._replace(stuck=True)  # not worth a look


def test_it_goes_on_from_where_f_is_lower():
    """x² + 1e-6 y², whose derivative by y is lost in noise of 1e-3: it falls along y nevertheless."""
    problem = Problem(lambda x: float(x[0] ** 2 + 1e-6 * x[1] ** 2), lambda x: np.array([2 * x[0], 2e-6 * x[1]]))
    x = np.ones(2)
    end = refine(problem, x, problem.fun(x), problem.grad(x), x, np.array([0.0, 1e-3]), 1e-16, 1e-12, inf)
    assert end.f < 0.999e-6


def test_where_f_rises_along_what_is_only_bias_the_rest_is_a_step():
    """½(x² + 1e-4 y²) beside its minimum, its derivative by y wrong by 1e-3: y is at its best."""
    problem = Problem(
        lambda x: float(0.5 * x[0] ** 2 + 0.5e-4 * x[1] ** 2), lambda x: np.array([x[0], 1e-4 * x[1] + 1e-3])
    )
    x, bias = np.array([1e-2, 0.0]), np.array([0.0, 2e-3])
    begin = x, problem.fun(x), problem.grad(x), np.ones(2), 0.0 * x, 1e-9, 1e-9, inf
    assert refine(problem, *begin).x[0] > 0.9e-2
    end = refine(problem, *begin, bias=bias)
    assert abs(end.x).max() <= 1e-8
    assert end.stuck


@pytest.mark.parametrize(("weight", "size"), [(1.0, 1e-9), (1.0, 1.0), (0.0, 1e-9)])
def test_sizes_over_which_f_hardly_bends_are_made_larger(weight, size):
    """½(x² + weight y²), y in a size of its own: so large that the model sees it, but no larger than x is."""
    problem = Problem(lambda x: 0.5 * float(x[0] ** 2 + weight * x[1] ** 2), lambda x: np.array([x[0], weight * x[1]]))
    x = np.array([1.0, 0.0])
    model = model_of(problem.grad, x, problem.grad(x), np.array([1.0, size]), 0.0 * x)
    w = unseen(model)
    assert w[0] == 1.0
    assert size <= w[1] <= 1.0
    assert bool(w[1] == size) is (size == 1.0)
    assert weight == 0.0 or weight * w[1] ** 2 > 10 * model.floor
    assert (unseen(model._replace(measured=0 * w)) == model.w).all()
    assert (unseen(model._replace(measured=None)) == model.w).all()


def test_steps_find_the_minimum_in_variables_of_nearly_no_size():
    """(y − 10x)² + x² + z², from where x and y began at 1e-10 beside z = 1."""
    problem = Problem(
        lambda v: float((v[1] - 10 * v[0]) ** 2 + v[0] ** 2 + (v[2] - 1) ** 2),
        lambda v: 2 * np.array([v[0] - 10 * (v[1] - 10 * v[0]), v[1] - 10 * v[0], v[2] - 1]),
    )
    x = np.array([7e-11, 1.1e-10, 1.0])
    end = refine(problem, x, problem.fun(x), problem.grad(x), x, np.full(3, 1e-13), 1e-32, 0.0, inf)
    assert end.f <= 1e-6 * problem.fun(x)


def test_where_steps_come_to_an_end_f_is_asked_what_is_ahead(monkeypatch):
    """½(x² + 1e-6 y²) with steps too short to end it: f falls along the whole one, or does not."""
    monkeypatch.setattr(refinement, "damped", lambda problem, model, now, ceiling: (now, 1))
    for f, ahead in ((lambda x: 0.5 * float(x[0] ** 2 + 1e-6 * x[1] ** 2), True), (lambda x: 0.0, False)):
        problem = Problem(f, lambda x: np.array([x[0], 1e-6 * x[1]]))
        x = np.ones(2)
        end = refine(problem, x, f(x), problem.grad(x), x, 0.0 * x, 1e-16, 1e-12, inf)
        assert end.stuck is not ahead
        assert (end.f < 1e-6 * f(x)) is ahead
        assert not end.short


@pytest.mark.parametrize(("slope", "seen"), [(1.0, True), (1e-9, False)])
def test_whether_any_bend_is_seen(slope, seen):
    """½ slope ‖x‖² in noise of 1e-6 in its gradient."""
    problem, x = Problem(lambda x: 0.5 * slope * float(x @ x), lambda x: slope * x), np.ones(2)
    assert refine(problem, x, 0.0, problem.grad(x), x, np.full(2, 1e-6), 1.0, 1.0, inf).seen is seen


def test_a_gradient_that_no_step_changes_ends_it():
    stubborn = Problem(lambda x: 0.0, lambda x: np.where(x == 1.0, 1.0, 1.0 + x))
    x = np.ones(1)
    end = refine(stubborn, x, 0.0, stubborn.grad(x), x, 0.0 * x, 0.0, 0.0, inf)
    assert end.stuck


@given(seeds, st.integers(7, 40))
def test_no_more_gradients_than_allowed(seed, most):
    problem, _, _ = quadratic(seed, 3)
    calls = []
    counted = problem._replace(grad=lambda x: calls.append(1) or problem.grad(x))
    x = np.ones(3)
    end = refine(counted, x, problem.fun(x), problem.grad(x), x, np.zeros(3), 0.0, 0.0, most)
    assert len(calls) <= most + 6  # the last step may have seven trials
    assert end.short or len(calls) < most


def test_on_every_array_kind(namespace):
    x, q = namespace.asarray(np.array([1.0, 2.0])), namespace.asarray(np.array([3.0, 5.0]))
    problem = Problem(lambda y: 0.0, lambda y: q * (y - x) + q)
    end = refine(problem, x, 0.0, q, abs(x), 0 * x, 0.0, 1e-9, inf)
    assert promise(model_of(problem.grad, x, q, abs(x), 0 * x), q) == pytest.approx(4.0, rel=1e-9)  # ½ qᵀq/q
    assert namespace.owns(end.x)
    assert namespace.to_numpy(end.x).tolist() == pytest.approx([0.0, 1.0], abs=1e-9)


def test_a_variable_at_its_bias_stays_unless_others_push_it():
    """½xᵀBx with a gradient that is 1e-3 off in x₂, where f rises: x₁ alone moves, unless B couples them strongly."""
    for coupling, moved in ((1e-4, False), (0.9, True)):
        B, off, bias = np.array([[1.0, coupling], [coupling, 1.0]]), np.array([0.0, 1e-3]), np.array([1e-9, 3e-3])
        x = np.array([0.1, 1.0])
        x[1] = -coupling * x[0]  # where the true derivative is zero
        problem = Problem(lambda x, B=B: 0.5 * float(x @ B @ x), lambda x, B=B, off=off: B @ x + off)
        end = refine(problem, x, problem.fun(x), problem.grad(x), np.ones(2), 0.0 * x, 1e-9, 0.0, inf, bias)
        assert bool(abs(end.x[1] - x[1]) > 1.5e-4) is moved  # which raises f by 1e-8, ten times its noise
        assert (abs(end.g) <= bias).all()


@given(seeds, st.floats(0, 5))
def test_in_units_of_its_errors_a_step_is_newtons_along_what_is_heard(seed, condition):
    """All of −B⁻¹g where g is far more than its errors, nothing where it is less; between, it lowers ‖g/e‖."""
    problem, B, c = quadratic(seed, condition)
    x, e = np.ones(3), np.array([1e-3, 1.0, 1e2])
    g, loss = problem.grad(x), 1e3 * EPS ** (2 / 3) * 10**condition  # B is known to eps^⅔, and units differ by 1e5
    model = model_of(problem.grad, x, g, x, 0.0)
    loud, deaf = whitened(model, 1e-9 * e, 1.0), whitened(model, 1e9 * e, 1.0)
    assert np.linalg.norm(newton_step(loud, heard(loud, g)) - (c - x)) <= 10 * loss * np.linalg.norm(c - x)
    assert (newton_step(deaf, heard(deaf, g)) == 0.0).all()
    between = whitened(model, e, 1.0)
    p = newton_step(between, heard(between, g))
    assert np.linalg.norm((g + B @ p) / e) <= np.linalg.norm(g / e) * (1 + 1e4 * loss)


@pytest.mark.parametrize(
    ("gains", "lower", "smaller", "answer"),
    [
        ((1.0, 1.0), 0.0, True, True),  # as low, with a smaller gradient
        ((1.0, 1.0), 0.0, False, False),
        ((1.0, 1.0), 1.0, False, True),  # lower by more than is enough
        ((1.0, 1.0), -0.2, True, False),  # higher by more than noise
        ((inf, 1.0), 1.0, True, False),  # where f bends down
        ((0.1, 1.0), 0.0, False, True),  # nothing left to gain,
        ((0.1, 0.1), 0.0, False, False),  # with a smaller gradient, then
        ((0.1, 0.1), 0.0, True, True),
    ],
)
def test_the_better_point(gains, lower, smaller, answer):
    now = Refined(None, -lower, np.array([1.0 if smaller else 2.0]), gains[0])
    best = Refined(None, 0.0, np.array([1.5]), gains[1])
    assert better(now, best, 0.5, 0.01) is answer


def test_shares_that_fail_are_not_tried_again(monkeypatch):
    """Three steps by what is more than the errors of g, two by a third of it, and one by everything."""
    tried = []

    def counted(problem, model, now, ceiling):
        tried.append(model.blur if isinstance(model.blur, float) else 0.0)
        worked = tried.count(tried[-1]) <= {1.0: 3, 1.0 / 3.0: 2, 0.0: 1}[tried[-1]]
        return (now._replace(g=0.9 * now.g), 1) if worked else (now._replace(stuck=True), 1)

    monkeypatch.setattr(refinement, "damped", counted)
    problem, x = Problem(lambda x: float(x @ x), lambda x: 2 * x), np.array([0.3, 0.2])
    refine(problem, x, 0.0, 2 * x, np.ones(2), 0.0 * x, 1e-9, 0.0, inf, np.full(2, 1e-3))
    assert tried == [1.0] * 4 + [1.0 / 3.0] * 3 + [0.0] * 2
