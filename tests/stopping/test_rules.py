"""When a run ends: each rule by itself."""

from math import inf
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refopt
from refopt import stopping
from refopt.derivatives import gradient
from refopt.judgement import BESIDE, BUDGET, DISTANT, DONE, FALLING, PRECISE, RUNNING, SLOW, STUCK
from refopt.linesearch import FIXED
from refopt.methods import bfgs, gradient_descent, newton, trust_exact
from refopt.noise import Differences
from refopt.problem import Problem
from refopt.stopping import Ending, Status
from strategies import vectors

EPS = 2.0**-52
TESTS = stopping.Tests()
BOWL = Problem(lambda x: float(x @ x), lambda x: 2 * x)
STEEP = Problem(lambda x: 1.0 + 1e6 * float(x.sum()), lambda x: 1e6 * np.ones(2))
methods = pytest.mark.parametrize("method", ["bfgs", "trust-exact"])


def begun(f=100.0, g=(1.0, 2.0), x=(3.0, -4.0)):
    return stopping.watch(np.array(x), f, np.array(g), abs(np.array(x)))


def seen(watch, f, g, x=(3.0, -4.0), problem=BOWL, nfev=5, ok=True, taken=True, tests=TESTS):
    return stopping.observe(problem, watch, np.array(x), f, np.array(g), nfev, ok, taken, tests)


# --- taking note -----------------------------------------------------------------------------------------------------


def test_statuses_have_the_numbers_that_users_rely_on():
    assert [status.name for status in Status] == [
        "CONVERGED", "PRECISION", "MAXITER", "MAXFUN", "CALLBACK", "LINE_SEARCH", "NOT_FINITE", "UNBOUNDED",
        "BAD_DERIVATIVE", "SINGULAR", "MAXTIME",
    ]  # fmt: skip
    assert [int(status) for status in Status] == list(range(11))
    assert len({RUNNING, STUCK, DONE, DISTANT, BUDGET, FALLING, PRECISE, BESIDE}) == 8


def test_what_differences_cost_is_counted():
    """Three gradients of 4 values; two Hessians of 11 values, or of 5 gradients, which are of 4 values each."""
    from_values = stopping.Tests(per_gradient=4, per_hessian=11)
    state = trust_exact.State(0, 0.0, 0, 0, 1.0, 0, True, True, nfev=7, njev=3, nhev=2)
    assert stopping.spent(state, from_values) == (7 + 3 * 4 + 2 * 11, 3)
    from_gradients = stopping.Tests(per_gradient=4, gradients_per_hessian=5)
    assert stopping.spent(state, from_gradients) == (7 + 13 * 4, 13)
    plain = bfgs.State(0, 0.0, 0, 0, 0, 0.0, True, 0, True, True, nfev=7, njev=3)
    assert stopping.spent(plain, from_values) == (7 + 3 * 4, 3)


def test_a_watch_begins_with_the_start():
    watch = begun()
    assert (watch.f0, watch.f, watch.g0, watch.gmax, watch.gnorm, watch.least) == (100.0, 100.0, 2.0, 2.0, 2.0, 2.0)
    assert watch.size.tolist() == [3.0, 4.0]
    assert watch.slope == 8.0
    assert watch.verdict == RUNNING
    assert begun(x=(0.0, 0.0)).slope == 2.0


def test_the_best_point_is_the_lowest_and_within_noise_the_flattest():
    watch = begun()
    lower = seen(watch, 90.0, [5.0, 5.0], x=(1.0, 1.0))
    assert (lower.f, lower.gnorm, lower.x.tolist()) == (90.0, 5.0, [1.0, 1.0])
    higher = seen(lower, 95.0, [0.1, 0.1])
    assert (higher.f, higher.gmax, higher.least) == (90.0, 5.0, 0.1)
    ef = 10 * EPS * 90
    assert seen(lower, 90 + 0.9 * ef, [4.0, 4.0]).gnorm == 4.0
    assert seen(lower, 90 + 1.1 * ef, [4.0, 4.0]).gnorm == 5.0
    assert seen(lower, 90 - 0.9 * ef, [6.0, 6.0]).gnorm == 5.0


def test_steps_that_lower_nothing_are_counted_until_patience_ends():
    watch = seen(begun(), 100.0, [1.0, 2.0])
    assert watch.stall == 0  # the start itself
    for k in range(1, 6):
        assert watch.verdict == RUNNING
        watch = seen(watch, 100.0, [1.0, 2.0])
        assert watch.stall == k
    assert watch.verdict == STUCK
    assert seen(watch, 100.0, [1.0, 2.0], taken=False).stall == 5
    assert seen(watch, 99.0, [1.0, 2.0]).stall == 0
    assert seen(watch, 100.0, [1.0, 1.79]).stall == 0
    assert seen(watch, 100.0, [1.0, 1.81]).stall == 6


def test_what_falls_by_less_than_noise_is_progress_when_it_adds_up():
    """The best point goes along, by its smaller gradient; what it is compared with stays."""
    ef, watch = 10 * EPS * 100, begun()
    for k in range(1, 6):
        watch = seen(watch, 100.0 - 0.3 * k * ef, [1.0, 2.0 - 0.01 * k])
        assert watch.f == 100.0 - 0.3 * k * ef
        assert watch.stall == (0, 1, 2, 0, 1)[k - 1]
    for k in range(1, 20):
        watch = seen(watch, watch.low + 0.3 * k * ef, [1.0, 1.95 - 0.001 * k])
    assert watch.f <= watch.low + ef


def test_a_gradient_small_once_is_no_progress_twice():
    """Where f has risen by more than its noise the best point stays, but the same small ‖g‖ again is a stall."""
    watch = seen(begun(), 100.0 + 1e-10, [0.0, 0.1])
    assert (watch.f, watch.stall) == (100.0, 0)
    assert seen(watch, 100.0 + 1e-10, [0.0, 0.1]).stall == 1


@pytest.mark.parametrize(
    ("f0", "start", "to", "slow"),
    [
        (100.0, 1e-8, 0.9e-8, 1), (100.0, 1e-8, 0.4e-8, 0),  # f may have halved,
        (100.0, 50.0, 49.9, 1), (100.0, 50.0, 49.0, 0),  # or fallen by a hundredth of all,
        (1e8 + 1.0, 1e8 + 0.5, 1e8 + 0.4, 1), (1e8 + 3e6, 1e8 + 2e6, 1e8, 0),  # and of |f|,
        (-1.0, -2.0, -2.001, 1), (-1.0, -2.0, -2.1, 0),
    ],
)  # fmt: skip
def test_runs_are_slow_that_hardly_lower_f(f0, start, to, slow):
    watch = begun(f=f0)._replace(mark=start, slow=7)
    found = seen(watch, to, [1.0, 1.0])
    assert (found.slow, found.mark) == ((8, start) if slow else (0, to))


def test_slow_runs_are_judged_after_so_many_steps():
    watch = begun(f=1.0)
    for k in range(1, stopping.LONG + 1):
        watch = seen(watch, 1.0 - 1e-6 * k, [1.0, 1.0])
        assert watch.verdict == (SLOW if k == stopping.LONG else RUNNING)
    assert stopping.watch(np.ones(100), 1.0, np.ones(100), np.ones(100)).due == 1000  # as quasi-Newton methods take


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, RUNNING), ({"ok": False}, STUCK), ({"nfev": 10}, BUDGET), ({"f": inf}, FALLING), ({"f": -inf}, FALLING),
        ({"f": -7e30}, RUNNING), ({"f": -9e30}, FALLING),
    ],
)  # fmt: skip
def test_verdicts(change, verdict):
    f = change.pop("f", 50.0)
    assert seen(begun(), f, [1.0, 1.0], tests=stopping.Tests(maxfun=10), **change).verdict == verdict


@pytest.mark.parametrize(("f0", "fall"), [(0.0, 1e14), (1e3, 1e17)])
def test_beside_a_saddle_a_fall_is_no_abyss(f0, fall):
    """The first slope is next to nothing there: any decrease is 1e30 times as much."""
    watch = begun(f=f0, g=(1e-40, 0.0))
    assert seen(watch, f0 - fall, [1.0, 1.0]).verdict == RUNNING
    assert seen(watch, f0 - 100 * fall, [1.0, 1.0]).verdict == FALLING


# --- (a), (b), (c) ---------------------------------------------------------------------------------------------------


def small(g, f=0.0, x=(3.0, -4.0), watch=None, gmax=None, tests=TESTS, ef=0.0):
    watch, g = watch or begun(), np.array(g)
    gnorm = abs(g).max()
    return stopping.gradient_small(watch, np.array(x), f, g, gnorm, max(gmax or watch.gmax, gnorm), ef, tests)


def test_a_is_relative_to_the_largest_gradient_but_not_looser_than_a_millionth_of_the_first():
    assert small([0, 1.9e-10])
    assert not small([0, 2.1e-10])
    assert small([0, 1.9e-6], f=-1e30, gmax=1e10)
    assert not small([0, 2.1e-6], f=-1e30, gmax=1e10)
    gentle = begun(g=(0.2, 0.1))
    assert small([0, 1.9e-7], f=-1e30, gmax=1e10, watch=gentle)
    assert not small([0, 2.1e-7], f=-1e30, gmax=1e10, watch=gentle)
    loose = stopping.Tests(gtol=1e-3)
    assert small([0, 1.9e-3], f=-1e30, gmax=1e10, tests=loose)
    assert not small([0, 2.1e-3], f=-1e30, gmax=1e10, tests=loose)


def test_b_weighs_each_component_by_the_size_of_its_variable():
    """maxᵢ |gᵢ| max(|xᵢ|, |x₀ᵢ|) ≤ 1e-10 · 100."""
    assert small([0, 1e-10], x=(3.0, 90.0))
    assert not small([0, 1e-10], x=(3.0, 110.0))
    big = begun(x=(3.0, 110.0))
    assert not small([0, 1e-10], x=(3.0, 90.0), watch=big)
    assert small([0, 1e-10], x=(3.0, 110.0), ef=1.1e-8)


def test_gtol_abs_alone_is_scipys_test_alone():
    tests = stopping.Tests(gtol_abs=1e-3, absolute_only=True)
    assert small([0, 0.9e-3], f=100.0, tests=tests)
    assert not small([0, 1.1e-3], f=-1e30, tests=tests)
    assert small([0, 0.9e-3], f=-1e30, tests=stopping.Tests(gtol_abs=1e-3))
    assert not small([0, 0.9e-3], f=100.0, tests=stopping.Tests(gtol_abs=1e-3))  # (b) asks as well


def test_no_gradient_is_small_under_any_test():
    assert small([0.0, 0.0], f=100.0)
    assert small([0.0, 0.0], watch=begun(g=(0.0, 0.0)))
    assert small([0.0, 0.0], tests=stopping.Tests(absolute_only=True))


def test_differences_are_small_within_their_own_noise():
    """|gᵢ| h wᵢ ≤ eps |f|, of which the rounding of gᵢ is at most one half."""
    tests = stopping.Tests(differences=1e-5)
    assert small([0, 5.5e-10], f=100.0, tests=tests)  # 5.5e-10 · 4 · 1e-5 = 2.2e-14
    assert not small([0, 5.6e-10], f=100.0, tests=tests)
    assert not small([0, 5.5e-10], f=100.0, tests=tests, watch=begun()._replace(rough=1e-8))


@given(vectors(3), vectors(3), vectors(3), st.floats(-5, 5), st.integers(-60, 60), st.integers(-12, 0))
def test_smallness_does_not_depend_on_the_scale_of_f(x, g, g0, fall, k, exponent):
    c = 2.0**k
    tests = stopping.Tests(gtol=10.0**exponent)

    def ask(c):
        watch = stopping.watch(x + 1, c, c * g0, abs(x + 1))
        return stopping.gradient_small(
            watch, x, c * (1 - fall), c * g, c * abs(g).max(), c * max(abs(g).max(), abs(g0).max()), c * 1e-10, tests
        )

    assert ask(1.0) == ask(c)


@pytest.mark.parametrize(
    ("promised", "done"), [(0.0, True), (2.2e-14, True), (2.3e-14, False), (inf, False), (float("nan"), False)]
)
def test_c_asks_what_the_model_promises(promised, done):
    """eps · (100 − 0), the noise of f = 0 being none."""
    assert (stopping.settle(BOWL, begun(), np.ones(2), 0.0, np.full(2, 1e3), promised, TESTS).verdict == DONE) is done


def test_c_is_relative_to_what_was_gained():
    watch = begun(f=-900.0)
    assert stopping.settle(BOWL, watch, np.ones(2), -1000.0, np.full(2, 1e3), 1e-13, TESTS).verdict == DONE
    assert stopping.settle(BOWL, watch, np.ones(2), -1000.0, np.full(2, 1e3), 3e-12, TESTS).verdict == RUNNING


def test_c_asks_for_no_more_than_the_noise_of_f():
    assert stopping.settle(BOWL, begun(), np.ones(2), 99.0, np.full(2, 1e3), 0.9 * 990 * EPS, TESTS).verdict == DONE
    assert (
        stopping.settle(BOWL._replace(noise=1.0), begun(), np.ones(2), 0.0, np.full(2, 1e3), 0.9, TESTS).verdict == DONE
    )


def test_c_is_not_asked_for_an_absolute_test_but_a_saddle_still_is_none():
    tests = stopping.Tests(gtol_abs=1.0, absolute_only=True)
    assert stopping.settle(BOWL, begun(), np.ones(2), 0.0, np.full(2, 1e12), 1e9, tests).verdict == DONE
    assert stopping.settle(BOWL, begun(), np.ones(2), 0.0, np.full(2, 1e3), inf, tests).verdict == RUNNING


# --- thinking --------------------------------------------------------------------------------------------------------


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    ok: bool = False
    fresh: bool = True
    nfev: int = 1
    njev: int = 1


class Method:
    """A method that promises a given decrease; it can resume, and, if wanted, restart."""

    def __init__(self, promised=1.0, restarts=False):
        self.promised = promised
        if restarts:
            self.restart = lambda state: state._replace(fresh=True, ok=True)

    def predicted(self, state):
        return self.promised

    def resume(self, state):
        return state._replace(ok=True)


def think(problem, x, method=None, tried=0, g0=2.0, tests=TESTS, f0=100.0, **state):
    """What is thought of a run stuck at x, its best point."""
    x = np.array(x)
    f, g = problem.fun(x), problem.grad(x)
    watch = stopping.watch(x, f, g, abs(x))._replace(f0=f0, g0=g0, gmax=max(g0, abs(g).max()), verdict=STUCK)
    return stopping.think(method or Method(), problem, State(x, f, g, **state), watch, None, tests, tried)


def test_noise_beyond_rounding_is_twice_what_was_measured_and_allows_another_search():
    def fun(x):
        return float(np.float32(1 + x @ x))

    problem, state, watch = think(Problem(fun, lambda x: 2 * x), [0.3, 0.4])
    assert 2.0**-26 <= problem.noise <= 2.0**-20  # of a value beside 1
    assert state.ok
    assert watch.verdict == RUNNING


def test_it_is_measured_twice_at_most():
    def fun(x):
        return float(np.float32(1 + x @ x))

    assert isinstance(think(Problem(fun, lambda x: 2 * x), [0.3, 0.4], tried=2), Ending)


def test_a_wrong_gradient_is_said_to_be_wrong():
    ending = think(Problem(BOWL.fun, lambda x: -2 * x), [1.0, 1.0])
    assert ending.status == Status.BAD_DERIVATIVE
    assert not ending.success
    assert "check_gradient" in ending.advice


def test_differences_are_never_said_to_be_wrong():
    ending = think(Problem(BOWL.fun, lambda x: -2 * x), [1.0, 1.0], tests=stopping.Tests(differences=1e-5))
    assert not isinstance(ending, Ending) or ending.status != Status.BAD_DERIVATIVE


def test_a_gradient_next_to_nothing_that_promises_nothing_is_success_without_measuring():
    calls = []
    problem = Problem(lambda x: calls.append(1) or 1 + float(x @ x), lambda x: 2 * x)
    assert think(problem, [1e-9, 1e-9], Method(0.0))[2].verdict == PRECISE
    assert len(calls) == 1  # by the test itself


def test_progress_that_only_the_model_shows_earns_patience():
    """Each time that a promise within the noise of f has fallen by a tenth; the first one in any case."""
    watch, promise, patience = begun(), 1.0, []
    for factor in (1.0, 0.89, 0.91, 0.91, 0.5):
        promise *= factor
        state = State(watch.x, watch.f, watch.g, ok=True)
        watch = stopping.think(
            Method(promise), STEEP._replace(noise=0.1), state, watch._replace(verdict=STUCK), None, TESTS, 3
        )[2]
        patience.append((watch.patience, watch.promise))
    assert patience == [(20, 1.0), (20, 0.89), (35, 0.89), (20, promise / 0.5), (20, promise)]


def test_where_newtons_method_can_go_on_the_run_is_a_success():
    """A method that is stuck a millionth beside the minimum of a bowl, far from where it began."""
    _, _, watch = think(BOWL, [3e-3, -4e-3], tried=2)
    assert watch.verdict == PRECISE
    assert abs(watch.x).max() <= 1e-8
    assert watch.gnorm == abs(watch.g).max() <= 1e-8


def test_the_newton_step_is_asked_for_now_and_then():
    """At the first, second, third, fifth, ninth time, and at the last."""
    asked = []
    for tried in range(10):
        counted = Problem(lambda x: float(x[0]) - 2.0, lambda x, k=tried: asked.append(k) or np.array([1.0, 0.0]))
        watch = begun(f=1.0, g=(1.0, 0.0))._replace(g0=1e3, promise=0.0, f0=2.0)
        stopping.think(Method(1.0), counted, State(watch.x, 1.0, watch.g, ok=True), watch, None, TESTS, tried)
    assert sorted(set(asked)) == [0, 1, 2, 4, 8]


@pytest.mark.parametrize(
    ("verdict", "tried", "restarts", "answer"),
    [
        (BESIDE, 19, False, BESIDE), (BESIDE, 20, False, Status.LINE_SEARCH), (BESIDE, 4, True, RUNNING),
        (BUDGET, 2, False, Status.MAXFUN), (BUDGET, 2, True, RUNNING), (PRECISE, 4, True, PRECISE),
    ],
)  # fmt: skip
def test_at_the_last_a_run_goes_on_from_beside(monkeypatch, verdict, tried, restarts, answer):
    """When there is no other chance, and not for ever; or it has not been judged for want of evaluations."""
    monkeypatch.setattr(stopping, "stationary", lambda problem, watch, *_: watch._replace(verdict=verdict))
    found = think(BOWL, [1.0, 1.0], Method(restarts=restarts), tried=tried, fresh=False)
    assert (found.status if isinstance(found, Ending) else found[2].verdict) == answer
    assert answer != Status.MAXFUN or "too few evaluations" in found.advice


@pytest.mark.parametrize(("step", "answer"), [(2.0**-26, Status.LINE_SEARCH), (2.0**-17, BESIDE)])
def test_one_sided_differences_leave_it_to_central_ones(monkeypatch, step, answer):
    monkeypatch.setattr(stopping, "stationary", lambda problem, watch, *_: watch._replace(verdict=BESIDE))
    tests = TESTS._replace(differences=step, per_gradient=3)
    found = think(BOWL, [1.0, 1.0], tried=6, tests=tests, fresh=False)
    assert (found.status if isinstance(found, Ending) else found[2].verdict) == answer


def test_fixed_steps_do_not_escape_nor_do_others_for_ever():
    assert stopping.escapes(bfgs.Params(), 19)
    assert not stopping.escapes(bfgs.Params(), 20)
    assert stopping.escapes(trust_exact.Params(), 0)
    assert not stopping.escapes(newton.Params(), 0)
    assert not stopping.escapes(gradient_descent.Params(search=FIXED), 0)
    assert stopping.escapes(gradient_descent.Params(), 0)


@pytest.mark.parametrize(
    ("verdict", "step", "params", "answer"),
    [
        (PRECISE, 0.0, bfgs, PRECISE), (BESIDE, 0.0, bfgs, RUNNING), (BUDGET, 0.0, bfgs, RUNNING),
        (BESIDE, 2.0**-17, bfgs, RUNNING), (BESIDE, 2.0**-26, bfgs, Status.PRECISION), (PRECISE, 0.0, newton, RUNNING),
    ],
)  # fmt: skip
def test_a_slow_run_ends_where_nothing_is_left_to_do(monkeypatch, verdict, step, params, answer):
    """One by 2-point differences ends in any case, for central ones to go on; one by fixed steps in none."""
    monkeypatch.setattr(stopping, "stationary", lambda problem, watch, *_: watch._replace(verdict=verdict))
    x, g = np.ones(2), np.array([2.0, 2.0])
    watch = stopping.watch(x, 2.0, g, x)._replace(verdict=SLOW)
    tests = TESTS._replace(differences=step, per_gradient=3)
    found = stopping.think(Method(), BOWL, State(x, 2.0, g, ok=True), watch, params.Params(), tests, 0)
    assert (found.status if isinstance(found, Ending) else found[2].verdict) == answer
    assert answer != RUNNING or found[2].due == 2 * stopping.LONG


@pytest.mark.parametrize(("gnorm", "answer"), [(1e-9, RUNNING), (1e-11, PRECISE)])
def test_a_slow_run_needs_a_smaller_gradient_than_one_that_is_stuck(monkeypatch, gnorm, answer):
    monkeypatch.setattr(stopping, "stationary", lambda *_: None)
    x, g = np.ones(2), np.array([gnorm, 0.0])
    watch = stopping.watch(x, 2.0, g, x)._replace(f0=3.0, g0=1.0, gmax=1.0, verdict=SLOW)
    found = stopping.think(Method(), BOWL, State(x, 2.0, g, ok=True), watch, bfgs.Params(), TESTS, 0)
    assert found[2].verdict == answer


def test_a_run_that_crawls_succeeds(monkeypatch):
    """To a minimum of fourth order, where 2-point differences say no more than that it is near."""

    def fun(x):
        return 0.5 * float(
            (x[0] ** 2 - x[1] ** 2) ** 2 + (x[0] - x[2]) ** 4 + (x[1] * (x[2] - 1)) ** 2 + (x[0] - 1) ** 4
        )

    def run():
        return refopt.minimize(fun, np.zeros(3), method="trust-krylov", jac="2-point", options={"gtol": 1e-12})

    found = run()
    assert found.success
    assert found.nit < 1000
    assert found.fun < 1e-14
    monkeypatch.setattr(stopping, "LONG", 10**6)
    assert run().status == Status.MAXITER


def test_an_old_matrix_is_dropped_before_giving_up():
    """Far from any minimum, where nothing is wrong and nothing is noisy."""
    problem, state, watch = think(BOWL, [1.0, 1.0], Method(restarts=True), tried=2, fresh=False)
    assert state.fresh
    assert watch.verdict == RUNNING
    assert problem is BOWL
    assert isinstance(think(BOWL, [1.0, 1.0], Method(restarts=True), tried=6, fresh=False), Ending)


def test_patience_grows_before_it_ends():
    x = np.ones(2)
    watch = stopping.watch(x, 2.0, 2 * x, abs(x))._replace(f0=100.0, verdict=STUCK)
    patience = []
    while True:
        answer = stopping.think(Method(), BOWL, State(x, 2.0, 2 * x, ok=True), watch, None, TESTS, 2)
        if isinstance(answer, Ending):
            break
        watch = answer[2]._replace(verdict=STUCK)
        patience.append(watch.patience)
    assert patience == [20, 35, 50]
    assert answer.status == Status.LINE_SEARCH


def test_giving_up_names_the_variable_to_blame():
    skew = Problem(lambda x: float(x[0] ** 2 + 1e8 * x[1] ** 2), lambda x: np.array([2 * x[0], 2e8 * x[1]]))
    ending = think(skew, [1.0, 1.0], tried=2, f0=1e9)
    assert (ending.status, ending.success) == (Status.LINE_SEARCH, False)
    assert "x[1]" in ending.advice
    assert think(skew, [1.0, 1.0], Method(0.0), tried=2, f0=1e9).status == Status.PRECISION


@pytest.mark.parametrize(("promised", "answer"), [(0.9, False), (1.1, True)])
def test_endless(promised, answer):
    """The step is at least 2D/‖g‖; a tenth of max(|x|, |x₀|) = (3, 4), with ‖g‖ = 4, is reached at D = 1."""
    watch = begun()._replace(size=np.array([3.0, 0.0]))
    x, g = np.array([1.0, -4.0]), np.array([4.0, 0.0])
    assert stopping.endless(watch, x, g, promised) is answer
    settled = stopping.settle(BOWL._replace(noise=2.0), watch, x, 0.0, g, promised, TESTS)
    assert settled.verdict == (DISTANT if answer else DONE)


@pytest.mark.parametrize(("promised", "status"), [(2.2e-14, Status.PRECISION), (2.3e-14, Status.LINE_SEARCH)])
def test_without_success_the_promise_names_the_status(promised, status):
    """Ten times ef, which is 10 eps for f = 1."""
    steep = Problem(lambda x: 1.0 + 0.0 * float(x[0]), lambda x: 1e6 * np.ones(2))
    assert think(steep, [1.0, 1.0], Method(promised), tried=2).status == status


def test_differences_are_never_the_last_word():
    """What would be DONE is thought about: noise may look like a gradient that is small."""
    for differences, verdict in ((0.0, DONE), (1e-5, STUCK)):
        tests = stopping.Tests(differences=differences)
        assert stopping.settle(BOWL, begun(), np.ones(2), 0.0, np.zeros(2), 0.0, tests).verdict == verdict


def think_of_differences(fun, x, tried=0, step=2.0**-17, **watched):
    """What is thought of a run that has converged by 3-point differences of relative width ``step``."""
    x, tests = np.array(x), stopping.Tests(differences=step)
    problem = Problem(fun, lambda x: gradient(fun, x, "3-point", abs(x), EPS))
    g = problem.grad(x)
    watch = stopping.watch(x, fun(x), g, abs(x))._replace(small=True, verdict=STUCK, **watched)
    return stopping.think(Method(0.0), problem, State(x, fun(x), g), watch, None, tests, tried)


@pytest.mark.parametrize(
    ("found", "rough", "noise", "rough_before", "answer"),
    [
        (0.0, 0.0, 0.0, 0.0, False), (0.0, 1e-8, 0.0, 0.0, True), (3.9e-9, 0.0, 0.0, 0.0, False),
        (4.1e-9, 0.0, 0.0, 0.0, True), (3.9e-8, 1e-8, 1e-8, 1e-8, False), (4.1e-8, 1e-8, 1e-8, 1e-8, True),
        (2.6e-9, 1e-8, 1e-8, 1e-8, False), (2.4e-9, 1e-8, 1e-8, 1e-8, True),
    ],
)  # fmt: skip
def test_news_are_other_differences_or_four_times_the_noise_or_a_quarter(found, rough, noise, rough_before, answer):
    """Where f rounds to 1e-9."""
    assert stopping.is_news(Differences(found, rough, 0.0, False), noise, rough_before, 1e-9) is answer


def test_differences_without_a_doubt_have_converged():
    _, _, watch = think_of_differences(BOWL.fun, [1e-12, 1e-12], f0=100.0, g0=20.0, gmax=20.0)
    assert (watch.verdict, watch.rough) == (DONE, 0.0)


def test_what_is_small_is_looked_at_again():
    """‖g‖ = 2 is not small beside a first one of 1e6: Newton's step goes on to the minimum."""
    _, _, watch = think_of_differences(BOWL.fun, [1e-9, 1.0], f0=100.0, g0=1e6)
    assert watch.verdict == PRECISE
    assert abs(watch.x).max() < 1e-6


def test_noise_wants_wider_differences():
    """Of f in float32: best made for a noise of 2⁻²⁴ or, of a quadratic that no step is too long for, of more."""
    problem, _, watch = think_of_differences(lambda x: float(np.float32(1 + x @ x)), [1.0, -0.3], f0=100.0)
    assert watch.verdict == RUNNING
    assert 2.0**-36 <= watch.rough <= 2.0**-10
    assert 2.0**-26 <= problem.noise <= 2.0**-21


def test_a_zero_that_is_no_minimum_is_seen_through():
    """Everything is evaluated at x rounded to float32: short differences see nothing."""
    _, _, watch = think_of_differences(lambda x: float(x.astype("float32") @ x), [3.0, 4.0], step=2.0**-26)
    assert watch.rough > 2.0**-46
    assert watch.verdict == RUNNING


def test_every_array_kind_is_judged_alike(namespace):
    x, g = namespace.asarray([3.0, -4.0]), namespace.asarray([1.0, 2.0])
    watch = stopping.watch(x, 100.0, g, abs(x))
    assert watch._replace(size=0, x=0, g=0) == begun()._replace(size=0, x=0, g=0)
    found = stopping.observe(BOWL, watch, x, 90.0, 1e-12 * g, 5, True, True, TESTS)
    assert found.small
    assert namespace.owns(found.x)
    assert "x[1]" in stopping.steepest_variable(watch)
