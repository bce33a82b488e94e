"""Differences of noisy functions: of the widths that suit them, and no more wrong than they say."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refopt import noise, stopping
from refopt.derivatives import gradient
from refopt.noise import best_central, best_differences, by_differences, finest, left_by, sizes
from refopt.problem import LeastSquares, Problem
from rounded import planted
from strategies import seeds


def calm(noise):
    """What no noise leaves."""
    return 0.0


@given(seeds, st.floats(-11, -6))
@example(250, -6.0)  # two of the shortest steps agree
def test_the_best_differences_of_a_noisy_function(seed, exponent):
    """Σ exp(cᵢxᵢ) with noise ε: made for the best of the noises tried, they are as right as those made for ε."""
    rng = np.random.default_rng(seed)
    c, x, size = rng.uniform(0.5, 2, 3), rng.uniform(0.5, 2, 3), 10.0**exponent

    def fun(x):
        return float(np.exp(c * x).sum()) * (1 + planted(x, seed, size)[0])

    def wrong(noise):
        return abs(gradient(fun, x, "3-point", x, noise) - c * np.exp(c * x)).max()

    def left(noise):
        return left_by(size * fun(x), "3-point", x, x, noise).max()

    found, error = best_differences(lambda noise: gradient(fun, x, "3-point", x, noise), left, 2.0**-52)
    assert wrong(found) <= 10 * max(wrong(size), wrong(64 * size), wrong(size / 64))
    assert wrong(found) <= 10 * error


@given(seeds, st.floats(-15, -6))
def test_the_finest_differences_know_how_wrong_they_are(seed, exponent):
    """Of Σ exp(cᵢxᵢ) with noise: as right as they say, and nearly as right as any."""
    rng = np.random.default_rng(seed)
    c, x, size = rng.uniform(0.5, 2, 3), rng.uniform(0.5, 2, 3), 10.0**exponent
    problem = Problem(lambda x: float(np.exp(c * x).sum()) * (1 + planted(x, seed, size)[0]))
    exact, widths = c * np.exp(c * x), [2.0**-52 * 8.0**k for k in range(14)]
    made, g, known, _ = finest(problem, x, x)
    assert (g == gradient(problem.fun, x, "3-point", x, made)).all()
    assert (abs(g - exact) <= known.errors.max()).all()
    best = min(abs(gradient(problem.fun, x, "3-point", x, width) - exact).max() for width in widths)
    assert known.errors.max() <= 1000 * max(best, 1e-13)


def test_differences_that_agree_by_chance_are_not_the_best():
    """By steps that are too short both see the same nothing, almost; noise is known to leave 1/ε of them."""

    def slope(noise):
        return np.array([1e-3 if noise < 1e-13 else 1.0 + noise])

    assert best_differences(slope, calm, 2.0**-52) == (2.0**-52, 0.0)
    made, error = best_differences(slope, lambda noise: 1e-16 / noise, 2.0**-52)
    assert 1e-13 < made < 1e-7
    assert error < 1e-3


def test_steps_that_are_too_long_are_not_the_finest():
    """A size of 1 beside variables of 1e-3, cos 300x: the usual steps of 6e-6 are wrong by 5e-4, shorter ones less."""
    problem, x = Problem(lambda x: float(np.cos(300.0 * x).sum())), np.array([3e-3, 4e-3])
    _, g, known, _ = finest(problem, x, np.ones(2))
    wrong = abs(g + 300.0 * np.sin(300.0 * x))
    assert (wrong <= known.errors).all()
    assert wrong.max() <= 1e-5


def test_two_differences_that_agree_by_chance_are_no_less_wrong(monkeypatch):
    """Of a slope of 1: the third and the fourth are both 7, and what noise leaves is next to nothing."""
    widths = [2.0**-52 * 8.0**k for k in range(-3, 14)]
    slopes = dict(zip(widths, [30.0, 3.0, 7.0, 7.0, 1.2, 1.02, 1.0, 1.0, 1.04, 1.2, *[2.0] * 7], strict=True))
    monkeypatch.setattr(noise, "by_differences", lambda p, x, size, scheme, width: np.full(1, slopes[width]))
    _, g, known, _ = finest(Problem(lambda x: 0.0), np.ones(1), np.ones(1))
    assert abs(g - 1.0) <= known.errors <= 6.0


@pytest.mark.parametrize(("rough", "enough", "least"), [(0.0, 1e-6, 0.0), (0.0, 0.0, 1e-14), (1e-5, 0.0, 1e-14)])
def test_the_best_central_differences_of_a_fit(rough, enough, least):
    """exp(x) − y in float32 numbers: made for more noise than none, and for less than much; or as it is."""
    y, x = np.array([1.0, 2.0, 4.0]), np.array([0.7])
    fit = LeastSquares(lambda x: np.float32(np.exp(x[0] * y) - y).astype(float), None)
    watch = stopping.watch(x, 1.0, x, np.ones(1))._replace(rough=rough)
    exact = y * np.exp(x[0] * y) @ (np.exp(x[0] * y) - y)
    made, known = best_central(fit, x, watch, 1e9 if enough else 0.0)
    assert least <= made <= 1e-5
    assert made == rough or enough == 0.0
    assert enough or abs(by_differences(fit, x, np.ones(1), "3-point", made) - exact) <= known.errors


def test_what_began_at_nothing_has_the_size_of_the_others():
    """1e-17 beside 3; but if that is its size, it was found to be."""
    x = np.array([3.0, 1e-17, 0.0])
    assert sizes(x, np.zeros(3)).tolist() == [3.0, 3.0, 3.0]
    assert sizes(x, np.array([4.0, 1e-17, 1e-9])).tolist() == [4.0, 1e-17, 1e-9]


def test_differences_that_agree_by_chance_tremble():
    """x² of float32 numbers, beside its minimum and from a size of 1: long steps round x away, all to the same."""
    problem, x = Problem(lambda x: 1e12 * float(np.float32(x[0] - 2e-6)) ** 2), np.array([2e-6])
    coarse = Problem(lambda x: 1e12 * (float(np.float32(x[0])) - 2e-6) ** 2)
    for one in (problem, coarse):
        _, g, known, error = finest(one, x, np.ones(1))
        assert abs(g) <= known.errors
        assert known.errors >= 3.0 * error


@pytest.mark.parametrize(("f", "relative"), [(1e8, 1e-16), (1.0, 1e-6)])
def test_what_differences_of_the_usual_width_cannot_tell_from_zero(f, relative):
    """f in noise: that over the step that suits it, and at least what is known of the finest."""
    rng = np.random.default_rng(4)
    problem = Problem(lambda x: f * (1 + relative * rng.uniform(-1, 1)) + float(x @ x))
    x = np.array([1.0, 20.0])
    _, _, known, _ = finest(problem, x, x)
    width = max(relative, 2.0**-52) ** (1 / 3)
    assert (known.usual >= known.errors).all()
    assert (known.usual >= 0.1 * relative * f / (width * x)).all()
    assert (known.usual <= 10 * max(relative, 2.0**-52) * f / (width * x) + known.errors).all()


def test_differences_that_see_nothing_are_not_the_finest():
    """Values rounded to float32 are the same beside a minimum, and beyond a wall differences are one-sided."""
    c = np.array([0.3, 0.5])
    coarse = Problem(lambda x: float(np.float32(1.0 + ((x - c) ** 2).sum())))
    x = c + 1e-3
    _, g, known, _ = finest(coarse, x, x)
    assert (abs(g - 2e-3) <= known.errors).all()
    assert known.errors.max() <= 1e-4
    far, walled = np.array([50.0, 50.0]), Problem(lambda x: 1e8 + float((x - np.log(x)).sum()))
    _, g, known, _ = finest(walled, 1 + 1e-3 * np.ones(2), far)
    assert (abs(g - 1e-3 / 1.001) <= known.errors).all()
    assert known.errors.max() <= 1e-3


@pytest.mark.parametrize(
    ("g", "better", "relative", "blind", "answer"),
    [
        (1.0, 1.5, 0.0, False, 0.0),  # another gradient, as far from this one as it is in doubt itself
        (1.0, 9.0, 0.0, False, 2.0**-46),  # a clearly better one
        (0.0, 0.5, 0.0, False, 0.0),  # that nothing seems to change is no reason yet,
        (0.0, 0.5, 0.0, True, 2.0**-46),  # but that nothing does over longer steps is one,
        (0.0, 0.5, 1e-12, False, 2.0**-34),  # and so is noise that such steps cannot see
    ],
)
def test_wider_differences_are_made_where_they_are_better(monkeypatch, g, better, relative, blind, answer):
    """The best ones for 64 times the least noise, wrong by ½."""
    monkeypatch.setattr(noise, "best_differences", lambda slope, left, least: (64 * least, 0.5))
    found = noise.wider(lambda noise: np.array([better]), calm, np.array([g]), 0.0, relative, blind)
    assert found == answer


@pytest.mark.parametrize(("nothing", "answer"), [(1e-3, 0.0), (1e-2, 2.0**-34)])
def test_zero_is_looked_through_where_noise_could_leave_more(monkeypatch, nothing, answer):
    """Of 0 ± what noise leaves of the usual differences, and of wider ones that are wrong by 5e-3."""
    monkeypatch.setattr(noise, "best_differences", lambda slope, left, least: (64 * least, 5e-3))
    assert noise.wider(lambda noise: np.full(1, 1e-2), lambda noise: nothing, np.zeros(1), 0.0, 1e-12, False) == answer


def test_the_best_differences_on_every_array_kind(namespace):
    q = namespace.asarray(np.array([3.0, 5.0]))
    assert best_differences(lambda noise: (1 + noise) * q, calm, 2.0**-52)[0] == 2.0**-52


def test_sizes(namespace):
    """max(|x|, |x₀|), and ‖x‖ for what is and was 0, or next to nothing."""
    x, size = namespace.asarray([3.0, 0.0, -4.0]), namespace.asarray([1.0, 0.0, 7.0])
    found = sizes(x, size)
    assert namespace.owns(found)
    assert namespace.to_numpy(found).tolist() == [3.0, 5.0, 7.0]
    assert namespace.to_numpy(sizes(0 * x, 0 * x)).tolist() == [1.0, 1.0, 1.0]
    tiny = namespace.asarray([3.0, 1e-17, -4.0])
    assert namespace.to_numpy(sizes(tiny, 0 * x)).tolist() == [3.0, 5.0, 4.0]
