"""Hager and Zhang's search: its conditions hold where it ends, and its trials are the paper's, worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given

from refopt.linesearch import hager_zhang
from refopt.linesearch.approximate import secant
from refopt.problem import Problem
from strategies import seeds

EPS = 2.0**-52


def along(phi, slope, c1=1e-4, c2=0.9, trials=40, first=1.0, noise=0.0):
    """The search to the right of 0 on φ and φ′, and its trials."""
    tried, slopes = [], []
    problem = Problem(
        lambda x: tried.append(float(x[0])) or phi(float(x[0])),
        lambda x: slopes.append(0) or np.array([slope(float(x[0]))]),
        noise=noise,
    )
    x, p = np.zeros(1), np.ones(1)
    point = hager_zhang(problem, x, phi(0.0), np.array([slope(0.0)]), p, c1, c2, trials, first)
    assert (point.nfev, point.njev) == (len(tried), len(slopes))
    assert point.nfev <= trials
    return point, tried


def wave(seed):
    """φ = q(α − a)² + Σ bⱼ sin(wⱼα + cⱼ) with φ′(0) < 0: bounded below, with curvature of both signs."""
    rng = np.random.default_rng(seed)
    q, a = 10 ** rng.uniform(-2, 1), rng.standard_normal() * 10 ** rng.uniform(-2, 3)
    b, w, c = rng.standard_normal(3) * 10 ** rng.uniform(-1, 2), 10 ** rng.uniform(-1, 1, 3), rng.uniform(0, 6, 3)
    phi = lambda t: q * (t - a) ** 2 + float(b @ np.sin(w * t + c))
    slope = lambda t: 2 * q * (t - a) + float(b @ (w * np.cos(w * t + c)))
    sign = -math.copysign(1.0, slope(0.0))
    return (lambda t: phi(sign * t)), (lambda t: sign * slope(sign * t)), 10 ** rng.uniform(-4, 4)


@given(seeds)
def test_accepted_steps_satisfy_the_conditions(seed):
    phi, slope, first = wave(seed)
    c1, c2 = 0.1, 0.5
    point, _ = along(phi, slope, c1, c2, 60, first)
    assert point.wolfe
    assert point.lower
    assert (point.f, point.g[0]) == (phi(point.alpha), slope(point.alpha))
    f0, d0, ef = phi(0.0), slope(0.0), 10 * EPS * abs(phi(0.0))
    assert point.g[0] >= c2 * d0
    assert point.f <= f0 + c1 * point.alpha * d0 or (point.f <= f0 + ef and point.g[0] <= -0.8 * d0)


def test_a_tight_search_on_many_waves_never_fails():
    for seed in range(500):
        phi, slope, first = wave(seed)
        point, _ = along(phi, slope, 0.01, 0.02, 60, first)
        assert point.wolfe, seed


# --- its trials ------------------------------------------------------------------------------------------------------


def test_steps_grow_fivefold_while_the_slope_is_negative():
    _, tried = along(lambda a: -a, lambda a: -1.0, trials=4)
    assert tried == [1.0, 5.0, 25.0, 125.0]


def test_a_parabola_is_minimized_by_the_first_secant():
    """From [0, 1]: the secant through both slopes is exact."""
    point, tried = along(lambda a: (a - 0.3) ** 2, lambda a: 2 * (a - 0.3), c1=0.5, c2=1e-3)
    assert tried == pytest.approx([1.0, 0.3], rel=8 * EPS)
    assert point.wolfe


def test_an_iteration_is_two_secants_and_then_perhaps_the_middle():
    """φ′ = (α + ½)³ − 1 on [0, 1]; c becomes the left end, so the next secant runs through both left ends."""
    slope = lambda a: (a + 0.5) ** 3 - 1
    _, tried = along(lambda a: (a + 0.5) ** 4 / 4 - a, slope, c1=0.9, c2=1e-9, trials=6)
    c = secant(0.0, slope(0.0), 1.0, slope(1.0))
    assert slope(c) < 0
    second = secant(0.0, slope(0.0), c, slope(c))
    assert c < second < 1
    low, high = (second, 1.0) if slope(second) < 0 else (c, second)
    third = secant(low, slope(low), high, slope(high)) if high - low <= 0.66 else (low + high) / 2
    assert tried[:4] == pytest.approx([1.0, c, second, third], rel=1e-12)


def test_from_a_point_that_is_too_high_although_the_slope_is_negative_halving_leads_back():
    """A hill between 0 and 1: φ falls, rises to 5, and falls again at 1."""
    phi = lambda a: -a if a < 0.2 else 5 - a
    _, tried = along(phi, lambda a: -1.0, trials=5)
    assert tried == [1.0, 0.5, 0.25, 0.125, 0.1875]


@pytest.mark.parametrize("wall", [math.nan, math.inf, -math.inf])
def test_walls(wall):
    point, tried = along(lambda a: -a if a < 0.37 else wall, lambda a: -1.0)
    assert tried[:3] == pytest.approx([1.0, 0.1, 0.55])
    assert point.lower
    assert not point.wolfe
    assert 0.36 <= point.alpha < 0.37
    point, _ = along(lambda a: 1.0 if a == 0 else wall, lambda a: -1.0)
    assert not point.lower
    point, _ = along(lambda a: (a - 0.4) ** 2, lambda a: 2 * (a - 0.4) if a < 0.5 else wall)
    assert point.wolfe
    assert np.isfinite(point.g).all()


@pytest.mark.parametrize("slope", [0.0, 1.0, math.nan])
def test_a_direction_that_does_not_descend_costs_nothing(slope):
    point, tried = along(lambda a: a, lambda a: slope)
    assert (tried, point.alpha, point.lower, point.wolfe) == ([], 0.0, False, False)


def test_an_increase_beyond_the_noise_is_never_accepted():
    point, _ = along(lambda a: 0.0 if a == 0 else 1e-3 - 1e-6 * a, lambda a: -1e-6, trials=20)
    assert not point.wolfe
    assert point.f <= 0.0


@pytest.mark.parametrize(("slope", "taken"), [(-1.9, False), (-1.7, True), (0.0, True), (1.5, True), (1.7, False)])
def test_the_approximate_conditions(slope, taken):
    """φ′(0) = −2, c₂ = 0.9 and δ = 0.1 admit slopes from −1.8 to 1.6, where values say nothing."""
    point, _ = along(lambda a: 0.0, lambda a: slope if a == 1 else -2.0, noise=1.0, trials=1)
    assert point.wolfe is taken


def test_a_shift_that_swallows_the_digits_of_f_leaves_a_search_on_slopes():
    point, _ = along(lambda a: 1e8 + 1e-10 * (a - 0.3) ** 2, lambda a: 2e-10 * (a - 0.3), c2=0.1)
    assert point.wolfe
    assert point.alpha == pytest.approx(0.3, rel=0.2)
