"""What becomes of a step in a trust region: worked by hand."""

import numpy as np
import pytest

from refopt.problem import Problem
from refopt.region import Params, attempt, first_radius, init, resized
from refopt.region import tried as carried

EPS = 2.0**-52


def bent(values, slopes=lambda x: 1.0):
    """One variable: f = values(x), with this slope."""
    return Problem(lambda x: values(float(x[0])), lambda x: np.array([slopes(float(x[0]))]))


def tried(problem, promised=0.5, edge=False, radius=3.0, rejected=0, eta=0.1, x=0.0):
    """The step −1 from x, where f = 0 and the slope is 1."""
    x = np.array([x])
    return attempt(
        problem, x, problem.fun(x), np.array([1.0]), np.array([-1.0]), promised, edge, radius, rejected, eta, 50.0
    )


@pytest.mark.parametrize(
    ("f_new", "taken", "radius"), [(-0.5, True, 3.0), (-0.06, True, 0.25), (-0.04, False, 0.25), (1.0, False, 0.25),
    (np.nan, False, 0.1), (np.inf, False, 0.1), (-np.inf, False, 0.1)],
)  # fmt: skip
def test_a_step_is_taken_if_it_keeps_a_tenth_of_its_promise(f_new, taken, radius):
    """The promise is ½: ρ = 1, 0.12, 0.08, −2, and what is not finite."""
    trial = tried(bent(lambda x: 0.0 if x == 0 else f_new))
    assert (trial.taken, trial.x[0], trial.rejected) == (taken, -1.0 if taken else 0.0, not taken)
    assert trial.radius == pytest.approx(radius)
    assert (trial.nfev, trial.njev) == (1, int(taken))
    assert trial.ok


def test_eta_is_the_part_of_the_promise():
    for eta, taken in ((0.39, True), (0.41, False)):
        assert tried(bent(lambda x: 0.0 if x == 0 else -0.2), eta=eta).taken is taken


def test_a_step_that_keeps_just_that_part_is_not_taken():
    """ρ = η = ½ exactly: x₊ = x + p only if ρ > η, and no gradient is asked for."""
    trial = tried(bent(lambda x: 0.0 if x == 0 else -0.25), promised=0.5, eta=0.5)
    assert (trial.taken, trial.njev) == (False, 0)


def test_a_step_that_promises_nothing_is_refused():
    assert not tried(bent(lambda x: x), promised=0.0).taken


def test_a_region_too_small_for_f_to_show_anything_grows_until_it_does():
    """Where curvature makes the promise, radius² of it, by √(ef/promise), ten times at most."""
    flat = Problem(lambda x: 1.0, lambda x: np.ones(1))
    for part, grown in ((0.04, 15.0), (1e-4, 30.0), (0.24, 3 / 0.24**0.5), (0.26, 6.0)):
        assert tried(flat, promised=10 * EPS * part, edge=True).radius == pytest.approx(grown)
    assert tried(flat, promised=10 * EPS * 1e-2, edge=False).radius == 3.0


def test_a_trial_without_a_finite_gradient_is_refused():
    trial = tried(bent(lambda x: x, lambda x: np.nan))
    assert (trial.taken, trial.njev, trial.radius) == (False, 1, 0.25)


def test_where_f_has_lost_its_digits_slopes_decide():
    """A promise of 1e-8 beside f = 1e9: the trapezoid −½(g + g₊)ᵀp."""
    for slope, taken in ((-1.0 + 4e-9, True), (-1.0 - 4e-9, False)):
        trial = tried(bent(lambda x: 1e9, lambda x, slope=slope: slope), promised=1e-8)
        assert trial.taken is taken
        assert trial.njev == 1


def test_ok_ends_after_thirty_refusals_or_ten_within_noise():
    for noise, count in ((0.0, 30), (1.0, 10)):
        problem = bent(lambda x: 0.0 if x == 0 else 1e9)._replace(noise=noise)
        oks = [tried(problem, rejected=k).ok for k in range(count)]
        assert oks == [True] * (count - 1) + [False]


@pytest.mark.parametrize(("promised", "ok"), [(5.0, False), (10.0, False), (np.nextafter(10.0, 11.0), True)])
def test_a_promise_of_ten_times_the_noise_is_noise(promised, ok):
    problem = bent(lambda x: 0.0 if x == 0 else 1e9)._replace(noise=1.0)
    assert tried(problem, promised=promised, rejected=9).ok is ok


def test_at_the_start_nothing_has_been_refused():
    problem = Problem(lambda x: x @ x, lambda x: 2 * x, lambda x: 2 * np.eye(2))
    state = init(problem, np.array([3.0, 4.0]), Params())
    assert (state.f, state.radius, state.rejected, state.taken, state.ok) == (25.0, 5.0, 0, True, True)
    assert (state.nfev, state.njev, state.nhev) == (1, 1, 1)


def test_ok_ends_after_thirty_hessians_that_are_not_finite():
    """The step from 2 to 1 gains more than the 2 that were promised, but no model can be made there."""
    problem = Problem(lambda x: x @ x, lambda x: 2 * x, lambda x: np.full((1, 1), 2.0 if x[0] == 2.0 else np.nan))
    state = init(problem, np.array([2.0]), Params())
    news = [carried(problem, state._replace(rejected=k), -np.ones(1), 2.0, False, 0.1, 50.0) for k in range(30)]
    assert [new.ok for new in news] == [True] * 29 + [False]
    assert not any(new.taken for new in news)
    assert all(new.x == 2.0 and new.B == 2.0 for new in news)
    assert {(new.nfev, new.njev, new.nhev) for new in news} == {(2, 2, 2)}


def test_ok_ends_where_the_region_is_within_rounding_of_x():
    shrunk = tried(bent(lambda x: 1.0 if x < 8.0 / EPS else 0.0), x=8.0 / EPS)
    assert not shrunk.ok
    assert shrunk.radius == 3.0


@pytest.mark.parametrize(
    ("length", "edge", "ratio", "expected"),
    [
        (2.0, True, 0.2, 0.5), (1.0, False, 0.2, 0.25), (2.0, True, 0.25, 2.0), (2.0, True, 0.75, 2.0),
        (2.0, True, 0.8, 4.0), (1.0, False, 0.8, 2.0), (2.0, True, 5.0, 4.0),
    ],
)  # fmt: skip
def test_radius_after_an_accepted_step(length, edge, ratio, expected):
    assert resized(2.0, length, edge, ratio, 100.0) == expected
    assert resized(2.0, length, edge, ratio, 3.0) == min(expected, 3.0)


def test_the_first_radius():
    assert first_radius(np.array([3.0, 4.0]), 0.0) == pytest.approx(5.0)
    assert first_radius(np.zeros(2), 0.0) == 1.0
    assert first_radius(np.ones(2), 0.3) == 0.3
