"""The rules by which a least-squares run ends, each where it decides."""

import numpy as np
import pytest

from refopt import derivatives, stopping_residuals, zoo
from refopt.judgement import BUDGET, DONE, PRECISE, RUNNING, STUCK
from refopt.judgement_residuals import risen
from refopt.methods import lm
from refopt.problem import LeastSquares
from refopt.stopping import ESCAPES, Ending, Status
from refopt.stopping_residuals import Tests, Watch


def state_of(r, J, x=(1.0, 2.0), **changes):
    r, J = np.array(r, float), np.array(J, float)
    problem = LeastSquares(lambda x: r, lambda x: J)
    return problem, lm.init(problem, np.array(x), lm.Params())._replace(**changes)


def watch_of(**changes):
    start = Watch(1.0, 1.0, 1.0, np.ones(2), 1.0, 1.0, 0, 5, 0.0, False, True, RUNNING)
    return start._replace(**changes)


def ended(r, J, tests=None, promised=None, watch=None, **changes):
    problem, state = state_of(r, J, **changes)
    promised = lm.predicted(state) if promised is None else promised
    return stopping_residuals.ended(problem, watch or watch_of(), state, promised, tests or Tests())


ORTHOGONAL = [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]


def test_no_gradient_is_an_end():
    assert ended([0.0, 0.0, 1.0], ORTHOGONAL)
    assert ended([0.0, 0.0, 0.0], ORTHOGONAL)
    assert not ended([1e-3, 0.0, 1.0], ORTHOGONAL)


def test_a_small_promise_is_an_end_only_beside_a_small_gradient():
    r = [1e-9, 0.0, 1.0]  # D = 5e-19, below the rounding of f = ½
    assert ended(r, ORTHOGONAL)
    assert not ended(r, ORTHOGONAL, watch=watch_of(g0=1e-3, gmax=1e-3))  # the gradient fell by a million only
    assert ended(r, ORTHOGONAL, watch=watch_of(g0=1e-3, gmax=1e-3), tests=Tests(gtol=1e-5))
    # a gradient that grew on the way may be small beside the largest, but not beside the first
    assert not ended(r, ORTHOGONAL, watch=watch_of(g0=1e-4, gmax=1e6))


def test_a_promise_small_beside_the_start_must_be_small_beside_f():
    r = [1e-7, 0.0, 1.0]  # D = 5e-15
    far = watch_of(f0=1e3, g0=1e3, gmax=1e3)
    assert ended(r, ORTHOGONAL, watch=far)
    assert not ended(r, ORTHOGONAL, watch=watch_of(f0=1.0, g0=1e3, gmax=1e3), tests=Tests(gtol=1e-9))
    vanishing = np.array([1e-7, 0.0, 1e-6])  # D is a hundredth of f
    assert not ended(vanishing, ORTHOGONAL, watch=far)
    assert ended(1e-6 * vanishing, ORTHOGONAL, watch=far)  # ‖r‖ fell by ten orders


def test_the_cosine_is_an_end_where_the_last_step_promised_nothing_and_the_model_little():
    r, far = [3e-9, 0.0, 1.0], watch_of(f0=0.6, g0=10.0, gmax=10.0)
    assert ended(r, ORTHOGONAL, promised=1e-9, watch=far)
    assert not ended(r, ORTHOGONAL, promised=1e-9, watch=far, tests=Tests(gtol=1e-9))
    assert not ended(r, ORTHOGONAL, promised=1e-5, watch=far)
    problem, state = state_of(r, ORTHOGONAL, promised=1e-9)
    assert not stopping_residuals.ended(problem, far, state, 1e-9, Tests())


def test_ftol_and_xtol_need_a_gradient_a_million_times_smaller():
    r, tests = [1e-5, 0.0, 1.0], Tests(ftol=1e-8)
    assert ended(r, ORTHOGONAL, tests, watch=watch_of(g0=100.0, gmax=100.0))
    assert not ended(r, ORTHOGONAL, tests, watch=watch_of(g0=1.0))
    assert ended(r, ORTHOGONAL, Tests(xtol=1e-5), watch=watch_of(g0=100.0))
    assert not ended(r, ORTHOGONAL, Tests(xtol=1e-6), watch=watch_of(g0=100.0))
    for tests in (Tests(ftol=1e-8), Tests(xtol=1e-8)):
        assert stopping_residuals.gradient_small(watch_of(g0=100.0), 1e-5, 100.0, tests)
        assert not stopping_residuals.gradient_small(watch_of(g0=1.0), 1e-5, 1.0, tests)
    assert stopping_residuals.shift(state_of(r, np.ones((3, 2)))[1]) == np.inf  # no Gauss-Newton step without full rank


def test_an_absolute_tolerance_stands_alone():
    tests = Tests(gtol_abs=0.1, absolute_only=True)
    assert stopping_residuals.gradient_small(watch_of(), 0.1, 1.0, tests)
    assert not stopping_residuals.gradient_small(watch_of(), 0.11, 1e9, tests)
    assert ended([0.1, 0.0, 1.0], ORTHOGONAL, tests)


def test_the_cosine_and_the_shift():
    _, state = state_of([3.0, 0.0, 4.0], [[2.0, 0.0], [0.0, 5.0], [0.0, 0.0]])
    assert stopping_residuals.cosine(state) == pytest.approx(0.6)
    # p = (−1.5, 0), D = (2, 5), x = (1, 2)
    assert stopping_residuals.shift(state) == pytest.approx(3.0 / np.hypot(2.0, 10.0))


def observed(old=None, tests=None, **changes):
    problem, state = state_of([0.3, 0.0, 1.0], ORTHOGONAL, **changes)
    return stopping_residuals.observe(problem, old or watch_of(), state, tests or Tests())


def test_what_is_remembered():
    new = observed(watch_of(f=1.0, gnorm=0.5, stall=3))
    assert (new.f, new.gnorm, new.gmax, new.stall, new.verdict) == (0.545, 0.3, 1.0, 0, RUNNING)
    assert observed(watch_of(f=0.545, gnorm=0.3, stall=3)).stall == 4
    assert observed(watch_of(f=0.545, gnorm=0.3, stall=3), taken=False).stall == 3
    assert observed(watch_of(f=0.545, gnorm=0.4, stall=3)).stall == 0
    assert observed(watch_of(f=0.5, gnorm=0.3, stall=4)).verdict == STUCK
    assert observed(watch_of(f=0.5, gnorm=0.3, stall=4, patience=6)).verdict == RUNNING
    assert observed(ok=False).verdict == STUCK
    assert observed(tests=Tests(maxfun=2, per_gradient=1)).verdict == BUDGET
    assert observed(tests=Tests(maxfun=3, per_gradient=1)).verdict == RUNNING


def test_trials_of_the_polish_stay_within_the_limit():
    _, state = state_of([1.0], [[1.0, 0.0]], nfev=10, njev=3)
    assert stopping_residuals.trials(state, Tests()) == 60
    assert stopping_residuals.trials(state, Tests(maxfun=40)) == 30
    assert stopping_residuals.trials(state, Tests(maxfun=40, per_gradient=4)) == 3


# --- a run that is stuck ---------------------------------------------------------------------------------------------


def think(residual, jacobian, x, watch=None, tried=0, differences=0.0, maxfun=1e300, **changes):
    """Without a polish, which would solve these problems."""
    params = lm.Params(polish=False)
    problem = LeastSquares(residual, jacobian)
    state = lm.init(problem, np.array(x, float), params)._replace(**changes)
    g = np.abs(state.g).max()
    seen = watch or Watch(state.f, g, g, np.abs(state.x), state.f, g, 5, 5, 0.0, False, True, STUCK)
    tests = Tests(differences=differences, maxfun=maxfun)
    return stopping_residuals.think(lm, problem, state, seen, params, tests, tried), state


def valley(x):
    return np.array([x[0] - 1.0, 1.0])


def slope(x):
    return np.array([[1.0], [0.0]])


def test_a_wrong_jacobian_is_named():
    ending, _ = think(valley, lambda x: -slope(x), [3.0])
    assert ending == Ending(Status.BAD_DERIVATIVE, False, stopping_residuals.WRONG_GRADIENT)
    other, _ = think(valley, lambda x: -slope(x), [3.0], differences=1e-8)  # differences are never blamed
    assert not isinstance(other, Ending) or other.status != Status.BAD_DERIVATIVE


def test_noise_is_measured_and_the_run_goes_on():
    def noisy(x):
        return valley(x) + 1e-9 * np.sin(1e12 * x[0])

    (problem, state, watch), before = think(noisy, slope, [3.0], ok=False, rejected=8)
    # r moves by 1e-9 along r = (2, 1): f by up to 3e-9, and twice that is taken
    assert 1e-10 < problem.noise < 1e-7
    assert (state.ok, state.rejected, watch.verdict) == (True, 0, RUNNING)
    assert state.radius == before.radius


def test_patience_grows_and_ends():
    (_, _, watch), _ = think(valley, slope, [3.0], tried=2)
    assert (watch.patience, watch.verdict) == (20, RUNNING)
    steep = far_from(1e2, 1.0)
    ending, _ = think(valley, slope, [3.0], steep._replace(patience=50), tried=2)
    assert ending == Ending(Status.LINE_SEARCH, False, stopping_residuals.NOISY)
    ending, _ = think(valley, slope, [3.0], steep, tried=2, ok=False)
    assert ending.status == Status.LINE_SEARCH


def test_at_the_last_newtons_method_goes_on():
    """On the gradient alone, from beside the minimum of ½(x² − 1)² + ½, where a method has given up."""

    def bowl(x):
        return np.array([x[0] ** 2 - 1.0, 1.0])

    def tangent(x):
        return np.array([[2.0 * x[0]], [0.0]])

    x, watch = 1.0 + 1e-5, far_from(1e2, 1.0)
    (_, state, seen), before = think(bowl, tangent, [x], watch, tried=2, ok=False)
    assert seen.verdict == PRECISE
    assert abs(state.x[0] - 1.0) < 1e-12
    assert (state.nfev, state.njev) == (before.nfev, before.njev)  # the driver counts
    waiting, _ = think(bowl, tangent, [x], watch, tried=2)
    assert waiting[-1].verdict == RUNNING  # not as long as the method itself can go on
    ending, _ = think(bowl, tangent, [x], watch._replace(g0=1e-4), tried=2, ok=False)
    assert not ending.success  # nor with a gradient that is still large
    ending, _ = think(bowl, tangent, [x], watch, tried=2, ok=False, maxfun=4)
    assert not ending.success  # nor without the evaluations that it needs


@pytest.mark.parametrize(("f", "noise", "higher"), [(2e-31, 0.0, True), (2e-31, 1e-22, False), (1e-21, 1e-22, True)])
def test_higher_than_at_the_start_by_noise_is_not_higher(f, noise, higher):
    """At an exact fit f is the squares of roundings, and its noise is those of the terms of the residuals."""
    assert risen(f, watch_of(f0=1e-31), noise) == higher


def test_what_is_near_is_no_claim():
    """A better state whose model a polish might serve, seen while the run thinks, has it go on."""
    assert len({stopping_residuals.NEAR, stopping_residuals.FLAT, PRECISE, DONE, STUCK, BUDGET}) == 6
    problem, state = state_of([1e-3, 0.0, 1.0], ORTHOGONAL, promised=1e-9)
    _, _, seen = stopping_residuals.regarded(lm, problem, state, state, watch_of(g0=1.0, gmax=1.0, near=True), Tests())
    assert stopping_residuals.look(lm, problem, state, watch_of(near=True), Tests()).verdict == stopping_residuals.NEAR
    assert seen.verdict == RUNNING


@pytest.mark.parametrize("differences", [0.0, 1e-8])
def test_a_polish_by_differences_must_not_make_the_gradient_larger(monkeypatch, differences):
    problem, state = state_of([1e-9, 0.0, 1.0], ORTHOGONAL)
    worse = state._replace(g=2.0 * state.g, nfev=9)
    monkeypatch.setattr(stopping_residuals, "polish", lambda *_: worse)
    watch, tests = watch_of(verdict=DONE), Tests(differences=differences)
    kept, _ = stopping_residuals.finished(lm, problem, state, watch, lm.Params(), tests)
    assert (kept.g is state.g) is (differences > 0.0)
    assert kept.nfev == 9


def test_dependent_columns_are_the_last_thing_to_be_said():
    ending, _ = think(valley, lambda x: np.array([[1.0, 1.0], [0.0, 0.0]]), [3.0, 0.0], tried=2, ok=False)
    assert ending == Ending(Status.SINGULAR, False, stopping_residuals.DEPENDENT)


def far_from(f0, g0, x0=(100.0,)):
    return Watch(f0, g0, g0, np.abs(np.array(x0)), 1.0, 1.0, 5, 5, 0.0, False, True, STUCK)


@pytest.mark.parametrize(
    ("x", "watch", "success"),
    [
        (1.0 + 1e-8, far_from(1e2, 1.0), True),  # the gradient fell by a million, and D by 1e18
        (1.0 + 1e-5, far_from(1e2, 1.0), False),
        (1.0 + 1e-5, far_from(1e12, 1e2), True),
        (1.0 + 1e-16, far_from(0.5, 1e-16), True),  # the gradient is rounding
    ],
)
def test_what_counts_as_stationary(monkeypatch, x, watch, success):
    monkeypatch.setattr(stopping_residuals, "perfected", lambda *_: None)
    ending, _ = think(valley, slope, [x], watch, tried=2, ok=False)
    assert ending.success is success
    assert (ending.status == Status.PRECISION) is success


def test_rounding_is_that_of_the_residuals_a_column_meets():
    """r = (1e-15, 1e8), the second depends on nothing: a cosine of 1e-23, and a gradient that is no rounding."""
    problem, state = state_of([1e-15, 1e8], [[1.0], [0.0]], x=(1.0,))
    assert stopping_residuals.cosine(state) < 2.0**-52
    assert not stopping_residuals.stationary(problem, state, far_from(5e15, 1e-12), 1e-30, Tests(), 0.0)
    problem, state = state_of([1e8 + 1e-8, 1e8], [[1.0], [-1.0]], x=(1.0,))
    assert stopping_residuals.stationary(problem, state, far_from(1e16, 1e-5), 1.0, Tests(), 0.0)


@pytest.mark.parametrize(("fall", "noise", "answer"), [(0.4, 1e-17, True), (0.6, 1e-17, False), (0.4, 1e-19, False)])
def test_nothing_left_beside_a_gradient_half_a_millionth_of_the_first(fall, noise, answer):
    """r = x − 1 at 1 + 1e-8: the whole f = 5e-17 could be gained, and is within ten times the noise, or is not."""
    problem = LeastSquares(lambda x: x - 1.0, lambda x: np.eye(1), noise)
    state = lm.init(problem, np.array([1.0 + 1e-8]), lm.Params())
    watch = far_from(1e-17, 1e-2 / fall)
    assert stopping_residuals.stationary(problem, state, watch, 5e-17, Tests(), 0.0) is answer


def test_a_gradient_within_its_own_noise_is_stationary_near_the_end_only(monkeypatch):
    monkeypatch.setattr(stopping_residuals, "perfected", lambda *_: None)
    rng = np.random.default_rng(0)

    def trembling(x):
        return np.array([[1.0], [1e-4 * np.sin(1e15 * x[0])]])

    x = 1.0 + 1e-5 * rng.random()
    near, _ = think(valley, trembling, [x], far_from(1e2, 1.0), tried=2, ok=False)
    away, _ = think(valley, trembling, [x], far_from(1e2, 1e-2), tried=2, ok=False)
    beside, _ = think(valley, trembling, [x], far_from(1e2, 1e-2, (x,)), tried=2, ok=False)
    assert near.success
    assert not away.success
    assert beside.success


@pytest.mark.parametrize(
    ("x", "tried", "maxfun", "lower"),
    [
        ([0.0, 1e-3], 9, 1e300, True),
        ([0.0, 1e-3], ESCAPES, 1e300, False),
        ([0.0, 1e-3], 9, 5.0, False),  # five Jacobians are needed for second derivatives, and one was evaluated
        ([1.0, 1e-3], 9, 1e300, False),
    ],
)
def test_a_fit_that_is_stuck_goes_on_where_f_bends_down(x, tried, maxfun, lower):
    """r = (u² − 1, v/10, 1) is stuck near its saddle u = 0, and near its minimum u = 1, with a gradient of 1e-5."""

    def residual(x):
        return np.array([x[0] ** 2 - 1.0, 0.1 * x[1], 1.0])

    def jacobian(x):
        return np.array([[2 * x[0], 0.0], [0.0, 0.1], [0.0, 0.0]])

    watch = Watch(1e2, 1e-4, 1e-4, np.full(2, 9.0), 1.0, 1.0, 5, 50, 0.0, False, True, STUCK)
    found, state = think(residual, jacobian, x, watch, tried, maxfun=maxfun, ok=False)
    assert isinstance(found, Ending) is not lower
    assert not lower or (found[1].f < state.f and found[2].verdict == RUNNING)


def test_the_sum_of_squares_as_a_function():
    problem = stopping_residuals.as_function(LeastSquares(*zoo.get("rosenbrock:ls").problem[:2]))
    x = np.array([0.3, -0.7])
    assert problem.grad(x) == pytest.approx(derivatives.gradient(problem.fun, x), rel=1e-8)
    r = zoo.get("rosenbrock:ls").problem.residual(x)
    assert problem.fun(x) == pytest.approx(0.5 * (r @ r))


def test_looking_asks_the_model_only_where_the_gradient_is_small(monkeypatch):
    asked = []
    monkeypatch.setattr(lm, "predicted", lambda state: asked.append(state) or 0.0)
    problem, state = state_of([0.3, 0.0, 1.0], ORTHOGONAL)
    assert stopping_residuals.look(lm, problem, state, watch_of(), Tests()).verdict == RUNNING
    assert asked == []
    watch = stopping_residuals.look(lm, problem, state, watch_of(g0=1e9, gmax=1e9), Tests())
    assert (watch.verdict, asked) == (DONE, [state])


@pytest.mark.parametrize(
    ("bend", "maxfun", "verdict", "looks"), [(0.0, 9.0, DONE, 1), (1e-9, 9.0, STUCK, 1), (0.0, 1.0, STUCK, 0)]
)
def test_without_full_rank_only_what_is_linear_ends_at_once(bend, maxfun, verdict, looks):
    """f may bend down along what J does not see; that takes residuals that bend, if only along x₁ − x₂."""

    def jacobian(x):
        along = np.array([1.0, -1.0])
        return np.stack([np.ones(2), 2.0 * bend * (along @ x) * along])

    problem = LeastSquares(lambda x: np.array([x.sum() - 3.0, 1.0 + bend * (x[0] - x[1]) ** 2]), jacobian)
    state, tests = lm.init(problem, np.full(2, 1.5), lm.Params()), Tests(maxfun=maxfun)
    watch = stopping_residuals.look(lm, problem, state, watch_of(g0=1.0, gmax=1.0, size=state.x), Tests())
    assert watch.verdict == stopping_residuals.FLAT
    state, watch = stopping_residuals.finished(lm, problem, state, watch, lm.Params(), tests)
    assert (watch.verdict, state.njev) == (verdict, 1 + looks)
