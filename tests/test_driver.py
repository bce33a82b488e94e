"""Driving a run: chunks, limits, reports and what is said at the end, with runs made of nothing but numbers."""

import inspect
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

import refopt
from refopt import driver, stopping
from refopt.judgement import BESIDE, BUDGET, DISTANT, DONE, FALLING, RUNNING, STUCK
from refopt.loop import Loop
from refopt.stopping import Ending, Status, Tests


class State(NamedTuple):
    k: int
    x: Any = np.zeros(1)
    f: float = 1.0
    g: Any = np.ones(1)
    nfev: int = 1
    njev: int = 1


class Watch(NamedTuple):
    verdict: int = RUNNING
    gnorm: float = 1.0
    f0: float = 1.0
    g0: float = 1.0
    rough: float = 0.0


class Problem(NamedTuple):
    fun: Any = staticmethod(lambda x: 1.0)
    grad: Any = staticmethod(lambda x: x)
    noise: float = 0.0


class Steps:
    """A loop that counts, takes a given time a step, and ends with a verdict after so many."""

    def __init__(self, end=10**9, verdict=DONE, seconds=0.0, clock=None, nfev=1):
        self.end, self.verdict, self.seconds, self.clock, self.nfev = end, verdict, seconds, clock, nfev
        self.chunks = []

    def __call__(self, noise, state, watch, params, tests, steps):
        k = min(steps, self.end - state.k)
        self.chunks.append(k)
        if self.clock:
            self.clock.now += k * self.seconds
        new = state._replace(k=state.k + k, nfev=state.nfev + self.nfev * k)
        return new, Watch(self.verdict if new.k >= self.end else RUNNING), k


def never(*_):
    raise AssertionError("nothing is stuck")


def drive(run, think=never, limits=None, watch=Watch(), began=None, pace=None, starting=0.0, **options):  # noqa: B008
    limits = limits or driver.Limits(10**6, 1e300, np.inf)
    began = driver.time.perf_counter() if began is None else began

    def begin(x, size, params, tests, steps):
        if getattr(run, "clock", None):
            run.clock.now += starting
        return run(0.0, State(0), watch, params, tests, steps) if steps else (State(0), watch, 0)

    x = np.zeros(1)
    loop = Loop(begin, run, {} if pace is None else pace)
    return driver.drive(loop, think, x, x, None, Tests(), limits, began, **options)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    hands = SimpleNamespace(now=100.0)
    monkeypatch.setattr(driver, "time", SimpleNamespace(perf_counter=lambda: hands.now))
    return hands


# --- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "status", "success"),
    [
        (DONE, Status.CONVERGED, True),
        (BUDGET, Status.MAXFUN, False),
        (FALLING, Status.UNBOUNDED, False),
    ],
)
def test_verdicts_become_statuses(verdict, status, success):
    end = drive(Steps(17, verdict))
    assert (end.ending.status, end.ending.success, end.nit, end.state.k) == (status, success, 17, 17)


def test_a_run_that_is_done_at_once_takes_no_step():
    run = Steps()
    end = drive(run, watch=Watch(DONE))
    assert (end.ending.status, end.nit, run.chunks) == (Status.CONVERGED, 0, [])
    assert "zero gradient" not in end.ending.advice


def test_a_zero_gradient_at_the_start_deserves_a_word_unless_the_hessian_is_seen():
    assert "cannot be told apart" in driver.arrived(Watch(DONE, 0.0), State(0), 0).advice
    assert driver.arrived(Watch(DONE, 0.0), SimpleNamespace(nhev=1), 0).advice == ""
    assert driver.arrived(Watch(DONE, 0.0), State(0), 1).advice == ""


def test_a_success_whose_next_step_would_be_long_says_so():
    end = drive(Steps(3, DISTANT))
    assert end.ending.success
    assert "infinity" in end.ending.advice


@pytest.mark.parametrize("maxiter", [0, 1, 7, 1000])
def test_maxiter_is_exact(maxiter):
    run = Steps()
    end = drive(run, limits=driver.Limits(maxiter, 1e300, np.inf))
    assert (end.ending.status, end.nit, end.state.k) == (Status.MAXITER, maxiter, maxiter)


def test_maxfun_is_noticed_whatever_the_chunk():
    """The loop itself says BUDGET; what thinking cost is added by the driver."""
    end = drive(Steps(5, STUCK, nfev=20), lambda *_: Ending(Status.PRECISION, True), driver.Limits(100, 101, np.inf))
    assert end.ending.status == Status.MAXFUN


def test_maxtime(clock):
    end = drive(Steps(seconds=0.01, clock=clock), limits=driver.Limits(10**6, 1e300, 5.0), starting=0.01)
    assert end.ending.status == Status.MAXTIME
    assert 4.99 <= clock.now - 100.0 <= 5.2  # a chunk too much at the most
    assert drive(Steps(), limits=driver.Limits(10**6, 1e300, 0.0)).ending.status == Status.MAXTIME


# --- chunks ----------------------------------------------------------------------------------------------------------


def test_chunks_grow_while_they_are_quick(clock):
    run = Steps(seconds=1e-5, clock=clock, end=20000)
    drive(run)
    assert run.chunks[0] <= 1000
    grown = [b / a for a, b in zip(run.chunks, run.chunks[1:], strict=False)]
    assert set(grown[:-1]) <= {1.0, 4.0}
    assert max(run.chunks) * 1e-5 < 0.2  # the last growth was from under 0.05 s


def test_chunks_shrink_while_they_are_slow(clock):
    """Starting took 0.12 ms, but a step takes 40: quarters until a chunk takes less than a fifth of a second."""
    run = Steps(seconds=0.04, clock=clock, end=150)
    drive(run, starting=2.0**-13)
    assert run.chunks[:4] == [81, 20, 5, 1]
    assert set(run.chunks[4:-1]) == {4}


@pytest.mark.parametrize(("seconds", "steps"), [(1e-9, 1000), (1e-4, 100), (1e-3, 10), (0.02, 1), (5.0, 1)])
def test_the_first_chunk_takes_about_ten_milliseconds(seconds, steps):
    assert driver.chunk(seconds) == pytest.approx(steps, abs=1)


@pytest.mark.parametrize(
    ("steps", "elapsed", "following"), [(4, 0.01, 16), (4, 0.1, 4), (4, 0.3, 1), (1, 9.0, 1), (100, 0.21, 25)]
)
def test_the_next_chunk(steps, elapsed, following):
    assert driver.next_chunk(steps, elapsed) == following


def test_chunks_are_never_empty(clock):
    run = Steps(seconds=3.0, clock=clock, end=10)
    drive(run, starting=3.0)
    assert run.chunks == [1] * 10


def test_a_loop_remembers_its_pace_and_takes_the_first_steps_at_once(clock):
    run, pace = Steps(seconds=1e-4, clock=clock, end=150), {}
    drive(run, pace=pace)
    assert pace == {1: pytest.approx(1e-4)}
    run.chunks.clear()
    drive(run, pace=pace)
    assert run.chunks == [pytest.approx(100, abs=1), pytest.approx(50, abs=1)]  # ten milliseconds' worth first
    run.chunks.clear()
    assert drive(run, pace={1: 1e-4}, limits=driver.Limits(4, 1e300, np.inf)).nit == 4
    assert run.chunks == [4]


@pytest.mark.parametrize("watch", [Watch(f0=np.nan), Watch(g0=np.inf), Watch(f0=-np.inf)])
def test_a_start_that_is_not_finite_is_the_end(watch):
    end = drive(never, watch=watch)
    assert end.ending == Ending(Status.NOT_FINITE, False)
    assert end.nit == 0


# --- thinking --------------------------------------------------------------------------------------------------------


class Rules:
    """Rules whose thinking costs two values and a gradient, and which give up the third time."""

    def __init__(self):
        self.asked = []

    def think(self, method, problem, state, watch, params, tests, tried):
        self.asked.append((tried, state.k, problem.noise))
        problem.fun(state.x), problem.fun(state.x), problem.grad(state.x)
        if tried == 2:
            return Ending(Status.PRECISION, True, "so it is")
        return problem._replace(noise=0.5 + tried), state, watch._replace(verdict=RUNNING)


def test_a_run_that_is_stuck_is_thought_about_and_may_go_on():
    run, rules, noises = Steps(), Rules(), []
    verdicts = iter([STUCK, RUNNING, STUCK, STUCK])

    def steps(noise, state, watch, params, tests, n):
        noises.append(noise)
        new, _, k = run(noise, state, watch, params, tests, 1)
        return new, Watch(next(verdicts)), k

    end = drive(steps, driver.thinker(rules, None, lambda rough: Problem(), None, Tests()))
    assert end.ending == Ending(Status.PRECISION, True, "so it is")
    assert rules.asked == [(0, 1, 0.0), (1, 3, 0.5), (2, 4, 1.5)]
    assert noises == [0.0, 0.5, 0.5, 1.5]
    assert (end.state.nfev, end.state.njev) == (1 + 4 + 3 * 2, 1 + 3)  # its own evaluations are counted, every time


@pytest.mark.parametrize("finite", [True, False])
def test_a_run_begins_again_beside(finite):
    """With the point that the rules name, f and evaluations as they were; beside a wall it goes on where it was."""

    class Beside(Rules):
        def think(self, method, problem, state, watch, params, tests, tried):
            return problem, state, seen._replace(x=np.full(1, 7.0), verdict=BESIDE)

    class Method:
        def init(self, problem, x, params):
            return State(0, x, problem.fun(x), problem.grad(x) if finite else np.full(1, np.nan))

    seen = stopping.watch(np.ones(1), 3.0, np.ones(1), np.ones(1))
    rules = Beside()
    rules.watch = stopping.watch
    think = driver.thinker(rules, Method(), lambda rough: Problem(), None, Tests())
    _, state, watch = think(0.25, State(4, nfev=5, njev=6), seen, 0)
    assert watch.verdict == RUNNING
    assert (state.k, watch.f0, watch.x[0]) == ((0, 3.0, 7.0) if finite else (4, 3.0, 1.0))
    assert not finite or (state.nfev, state.njev) == (5 + 1, 6 + 1)


def test_the_problem_is_made_when_there_is_something_to_think_about():
    def made():
        raise AssertionError("nobody asked")

    assert drive(Steps(5), driver.thinker(Rules(), None, made, None, Tests())).ending.success


def test_counted_passes_values_and_counts_calls():
    problem, calls = driver.counted(Problem(lambda x: x + 1, lambda x: x - 1, 0.25))
    assert (problem.fun(1), problem.fun(2), problem.grad(1), problem.noise) == (2, 3, 0, 0.25)
    assert calls == [2, 1]


# --- reports ---------------------------------------------------------------------------------------------------------


def test_a_report_sees_every_step_and_may_end_the_run():
    seen = []

    def report(state, watch, nit):
        seen.append((state.k, nit))
        return nit == 3

    end = drive(Steps(), report=report)
    assert seen == [(1, 1), (2, 2), (3, 3)]
    assert (end.ending.status, end.ending.success, end.nit) == (Status.CALLBACK, False, 3)


def test_a_trace_holds_every_state():
    end = drive(Steps(5), trace=True)
    assert [state.k for state in end.trace] == [0, 1, 2, 3, 4, 5]
    assert drive(Steps(5)).trace == []


def describe(state, watch, nit):
    return {"x": state.x, "nit": nit}


def test_callbacks_in_both_forms():
    seen = []

    def with_result(intermediate_result):
        seen.append(intermediate_result)

    class Callable:
        def __call__(self, intermediate_result):
            seen.append(intermediate_result["nit"])

    for callback in (with_result, Callable(), lambda x: seen.append(x.tolist()), seen.append):
        report = driver.reporter(callback, False, describe)
        assert report(State(0, np.array([2.0])), Watch(), 4) is False
    assert seen[0]["nit"] == 4
    assert seen[1:3] == [4, [2.0]]
    assert seen[3].tolist() == [2.0]


def test_a_callback_whose_parameters_are_unknown_gets_x():
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature({}.update)
    assert driver.parameters({}.update) == set()


def test_callbacks_of_x_get_a_copy(namespace):
    x, seen = namespace.asarray([1.0, 2.0]), []
    driver.reporter(seen.append, False, describe)(State(0, x), Watch(), 1)
    assert seen[0] is not x
    assert namespace.owns(seen[0])


def test_only_stop_iteration_ends_a_run():
    def stop(x):
        raise StopIteration

    def fail(x):
        raise KeyError("mine")

    assert driver.reporter(stop, False, describe)(State(0), Watch(), 1) is True
    with pytest.raises(KeyError, match="mine"):
        driver.reporter(fail, False, describe)(State(0), Watch(), 1)


def test_disp_prints_a_line_for_each_step(namespace, capsys):
    report = driver.reporter(None, True, describe)
    assert report(State(0, f=1.25, g=namespace.asarray([0.5, -3.0])), Watch(), 7) is False
    line = capsys.readouterr().out
    assert line.split() == ["7", "f", "=", "1.2500000000000000e+00", "|g|", "=", "3.000e+00"]


def test_nothing_to_report():
    assert driver.reporter(None, False, describe) is None


def test_the_intermediate_result_may_be_written_into():
    x = np.array([1.0])
    found = driver.so_far(lambda run: {"x": run.watch, "nit": run.nit}, State(0), x, 3)
    found["x"][0] = 5.0
    assert x[0] == 1.0
    assert found["nit"] == 3


# --- the result ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_message(status, clock):
    run = driver.Run(State(2, nfev=4), Watch(), 3, Ending(status, False, "why"), [])
    found = driver.result(run, Tests(), 99.5, x=1.0)
    assert found.status is status
    assert found.message
    assert (found.nit, found.nfev, found.njev, found.nhev, found.nhvp) == (3, 4, 1, 0, 0)
    assert (found.advice, found.time, found.trace, found.success, found.x) == ("why", 0.5, [], False, 1.0)


def test_the_trace_has_a_state_for_every_step_where_the_end_takes_thought():
    """Rounding ends this run in float32, and what is measured then makes no step."""
    case = refopt.zoo.get("rosenbrock")
    x0 = np.array([0.0, 3.0], dtype=np.float32)
    run = refopt.minimize(
        lambda x: float(case.problem.fun(x)), x0, jac=case.problem.grad, method="l-bfgs", options={"trace": True}
    )
    assert len(run.trace) == run.nit + 1
    assert run.trace[-1].x.dtype == np.float32
