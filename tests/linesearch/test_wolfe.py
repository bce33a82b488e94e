"""The search ends where its conditions hold, whatever the function does on the way, and counts what it spends."""

import math
import warnings
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.optimize import line_search

from refopt.linesearch import hager_zhang, noise_floor, strong_wolfe
from refopt.linesearch.wolfe import between
from refopt.ops import dot
from refopt.problem import Problem
from strategies import seeds

EPS = 2.0**-52
C1, C2, TRIALS = 1e-4, 0.9, 40


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, x):
        self.calls += 1
        return self.function(x)


class Wave(NamedTuple):
    """f = Σ qᵢ xᵢ² + Σ aⱼ sin(wⱼᵀx + bⱼ): smooth, bounded below, with curvature of both signs along any line."""

    q: np.ndarray
    a: np.ndarray
    W: np.ndarray
    b: np.ndarray

    def fun(self, x):
        return float(self.q @ (x * x) + self.a @ np.sin(self.W @ x + self.b))

    def grad(self, x):
        return 2 * self.q * x + (self.a * np.cos(self.W @ x + self.b)) @ self.W


def wave(seed):
    """A wave, a point, and a descent direction from a millionth to a million times the length of the gradient."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 4), rng.integers(0, 5)
    steepness = 10 ** rng.uniform(-1, 1, (m, 1))
    f = Wave(
        q=10 ** rng.uniform(-2, 1, n), a=rng.standard_normal(m) * 10 ** rng.uniform(-1, 2),
        W=rng.standard_normal((m, n)) * steepness, b=rng.uniform(0, 2 * np.pi, m),
    )  # fmt: skip
    x = rng.standard_normal(n) * 10 ** rng.uniform(-2, 2)
    g = f.grad(x)
    p = 0.5 * rng.standard_normal(n) * np.linalg.norm(g) - g
    return f, x, p * -math.copysign(1, g @ p) * 10 ** rng.uniform(-6, 6)


def search(fun, grad, x, p, c1=C1, c2=C2, trials=TRIALS, noise=0.0):
    """The search from x, its counts checked."""
    f, g = Counted(fun), Counted(grad)
    point = strong_wolfe(Problem(f, g, noise=noise), x, fun(x), grad(x), p, c1, c2, trials)
    assert (point.nfev, point.njev) == (f.calls, g.calls)
    assert point.nfev <= trials
    return point


def along(phi, slope, start=0.0, **options):
    """The search in one dimension from ``start`` to the right, on φ and φ′."""

    def fun(x):
        return phi(float(x[0]))

    def grad(x):
        return np.array([slope(float(x[0]))])

    return search(fun, grad, np.array([start]), np.array([1.0]), **options)


def strong(f0, d0, f, d, alpha, c1, c2):
    return f <= f0 + c1 * alpha * d0 and abs(d) <= c2 * abs(d0)


def approximate(f0, d0, f, d, c2, ef):
    return abs(f - f0) <= ef and c2 * d0 <= d <= -0.8 * d0


# --- smooth functions ------------------------------------------------------------------------------------------------

constants = st.tuples(st.floats(1e-6, 0.9), st.floats(0.02, 0.99)).filter(lambda c: c[0] + 0.02 <= c[1])


@given(seeds, constants)
@example(43, (0.37, 0.40))
def test_accepted_steps_satisfy_both_conditions(seed, constants):
    f, x, p = wave(seed)
    c1, c2 = constants
    point = search(f.fun, f.grad, x, p, c1, c2)
    assert point.wolfe
    assert point.lower
    assert (point.x == x + point.alpha * p).all()
    assert point.f == f.fun(point.x)
    assert (point.g == f.grad(point.x)).all()
    f0, d0, d = f.fun(x), f.grad(x) @ p, point.g @ p
    ef = 10 * EPS * abs(f0)
    assert strong(f0, d0, point.f, d, point.alpha, c1, c2) or approximate(f0, d0, point.f, d, c2, ef)


def test_a_tight_search_on_thousands_of_waves_never_fails():
    """Sufficient decrease nearly to the tangent: an interval that does not keep its promise shrinks onto nothing."""
    for seed in range(1500):
        f, x, p = wave(seed)
        assert search(f.fun, f.grad, x, p, 0.3, 0.4).wolfe, seed


def test_no_trial_goes_beyond_one_that_was_too_high():
    for seed in range(300):
        f, x, p = wave(seed)
        tried = []
        search(lambda y, f=f, tried=tried: tried.append(y) or f.fun(y), f.grad, x, p)
        lengths = np.linalg.norm(np.array(tried[1:]) - x, axis=1)
        high = [f.fun(y) > f.fun(x) for y in tried[1:]]
        for k, length in enumerate(lengths):
            assert not high[k] or (lengths[k + 1 :] < length).all()


@given(seeds)
def test_where_scipy_finds_a_step_there_is_one(seed):
    f, x, p = wave(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that theirs did not converge
        theirs = line_search(f.fun, f.grad, x, p, maxiter=50)[0]
    assume(theirs is not None)
    f0, d0 = f.fun(x), f.grad(x) @ p
    assert search(f.fun, f.grad, x, p).wolfe
    found = x + theirs * p
    assert strong(f0, d0, f.fun(found), f.grad(found) @ p, theirs, C1, C2)  # the conditions mean the same to both


def test_the_first_trial_is_one_and_is_taken_where_it_will_do():
    point = along(lambda a: (a - 1.2) ** 2, lambda a: 2 * (a - 1.2))
    assert (point.alpha, point.nfev, point.njev) == (1.0, 1, 1)


def test_a_parabola_is_minimized_by_the_second_trial():
    point = along(lambda a: (a - 0.3) ** 2, lambda a: 2 * (a - 0.3), c2=1e-3)
    assert point.alpha == pytest.approx(0.3, rel=8 * EPS)  # the interpolation is exact but for its own roundings
    assert point.nfev == 2


@pytest.mark.parametrize("away", [3.0, 1e3, 1e6, 1e12])
def test_extension(away):
    """Each extension goes at most ten times as far, so log₁₀ of them reach the minimum, and two more refine it."""
    point = along(lambda a: (a / away - 1) ** 4, lambda a: 4 * (a / away - 1) ** 3 / away, c2=0.1)
    assert point.wolfe
    assert 0.5 * away < point.alpha < 1.5 * away
    assert point.nfev <= math.log10(away) + 6


@pytest.mark.parametrize("away", [0.3, 1e-3, 1e-6, 1e-12])
def test_shortening(away):
    point = along(lambda a: (a / away - 1) ** 2, lambda a: 2 * (a / away - 1) / away, c2=0.1)
    assert point.wolfe
    assert 0.9 * away <= point.alpha <= 1.1 * away
    assert point.nfev <= 2 * (-math.log10(away) + 2)


def test_negative_curvature_along_the_direction():
    """From beside the maximum of a double well the slope grows before it vanishes."""
    point = along(lambda a: (a * a - 1) ** 2, lambda a: 4 * a * (a * a - 1), start=1e-3)
    assert point.wolfe
    assert point.f < 0.9


@pytest.mark.parametrize("find", [strong_wolfe, hager_zhang])
def test_a_search_that_runs_out_of_trials_ends_at_a_whole_point(find):
    """(x − 5)⁴ is still steep at 1, but lower than at 0: f and g are those of 1. Of a constant nothing is lower."""
    problem = Problem(lambda x: float((x[0] - 5.0) ** 4), lambda x: 4.0 * (x - 5.0) ** 3)
    flat = Problem(lambda x: 1.0, lambda x: -np.ones(1))
    x, p = np.zeros(1), np.ones(1)
    point = find(problem, x, 625.0, problem.grad(x), p, 1e-4, 0.1, 1, 1.0)
    assert (point.x, point.f, point.g, point.alpha) == (1.0, 256.0, -256.0, 1.0)
    assert (point.lower, point.wolfe, point.nfev, point.njev) == (True, False, 1, 1)
    assert not find(flat, x, 1.0, flat.grad(x), p, 1e-4, 0.1, 1, 1.0).lower


# --- the trials themselves, worked by hand ---------------------------------------------------------------------------


def trials_of(phi, slope, **options):
    """The step lengths tried."""
    tried = []
    along(lambda a: tried.append(a) or phi(a), slope, **options)
    return tried[1:]  # the first is the value at the start


def test_extension_by_nine_times_the_last_step():
    """On a straight line the slopes never meet zero: 1, then 1 + 9·1, 10 + 9·9, 91 + 9·81."""
    assert trials_of(lambda a: -a, lambda a: -1.0, trials=4) == [1.0, 10.0, 91.0, 820.0]


def test_extension_to_the_zero_of_the_secant():
    """φ = (α − 5)⁴: slopes −500 and −256 at 0 and 1 meet zero 256/244 further on."""
    tried = trials_of(lambda a: (a - 5) ** 4, lambda a: 4 * (a - 5) ** 3, c2=0.1)
    assert tried[:2] == [1.0, pytest.approx(1 + 256 / 244, rel=8 * EPS)]


def test_extension_by_no_less_than_the_last_step():
    """Slopes −10 and −2 would meet zero a quarter further on."""
    tried = trials_of(lambda a: 4 * a * a - 10 * a, lambda a: 8 * a - 10, c2=0.1)
    assert tried[:2] == [1.0, 2.0]


def test_the_first_trial_can_be_chosen():
    x = np.array([3.0])
    point = strong_wolfe(Problem(lambda x: float(x @ x), lambda x: 2 * x), x, 9.0, 2 * x, -x, C1, C2, TRIALS, 0.125)
    assert point.alpha == 0.125


def test_from_a_wall_a_tenth_of_the_way_then_halves():
    tried = trials_of(lambda a: -a if a < 0.37 else math.nan, lambda a: -1.0)
    expected = [1.0, 0.1, 0.55, 0.145, 0.3475, 0.44875, 0.357625, 0.4031875, 0.36218125]
    assert tried[:9] == pytest.approx(expected, rel=8 * EPS)
    assert tried[9:] == pytest.approx([0.3827, 0.3642, 0.3735, 0.3652, 0.3693, 0.3714], abs=5e-5)  # and within 1 %


def test_the_cubic_through_both_ends():
    """φ = α³ − 1.2α is its own cubic: from values and slopes at 0 and 1 straight to the minimum √0.4."""
    tried = trials_of(lambda a: a**3 - 1.2 * a, lambda a: 3 * a * a - 1.2, c2=0.1)
    assert tried == pytest.approx([1.0, 0.4**0.5], rel=8 * EPS)


def test_the_parabola_while_the_far_slope_is_unknown():
    """φ = α² − α/2: too high at 1, so no slope is asked for there; the parabola is φ itself."""
    x, asked = [], []
    along(lambda a: x.append(a) or a * a - a / 2, lambda a: asked.append(a) or 2 * a - 0.5, c2=0.1)
    assert x[1:] == [1.0, 0.25]
    assert asked[1:] == [0.25]


def test_the_secant_where_values_are_noise():
    """Values that differ by noise only, slopes −1 and 3 at 0 and 1: zero at a quarter."""
    assert trials_of(lambda a: 0.0, lambda a: 4 * a - 1, c2=0.1, noise=1.0) == [1.0, 0.25]


def test_a_tenth_of_the_interval_is_kept_from_its_ends():
    """The parabola from a very high far end would have its minimum at 5e-7; a too high trial is never passed again."""
    tried = trials_of(lambda a: 1e6 * a * a - a, lambda a: 2e6 * a - 1, c2=0.1)
    assert tried[:3] == pytest.approx([1.0, 0.1, 0.01], rel=8 * EPS)


def test_the_value_at_the_far_end_counts_when_the_near_end_moves():
    """Slope −1 all the way to a step up by 1000 between ½ and 1: a tenth of (0, 1), and then a tenth of (0.1, 1)."""
    tried = trials_of(lambda a: -a if a < 0.5 else 1e3, lambda a: -1.0, c2=0.1, trials=3)
    assert tried == pytest.approx([1.0, 0.1, 0.19], rel=8 * EPS)


@pytest.mark.parametrize(("risen", "told"), [(10.0, False), (11.0, True)])
def test_a_rise_by_ten_times_the_noise_tells_nothing(risen, told):
    """With slope −1 at 0 and none known at 1 that leaves the middle; the parabola is lowest at 1/24, within a tenth."""
    assert between(0.0, 0.0, -1.0, 1.0, risen, 0.0, False, 1.0) == (0.1 if told else 0.5)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_after_fifteen_trials_the_interval_is_halved_or_its_logarithm(start):
    """Slope −1 at the start but values on a line of slope −0.8, and c₁ = 0.9: the parabola always points too far."""
    tried = trials_of(lambda a: -0.8 * (a - start), lambda a: -1.0, c1=0.9, c2=0.95, trials=18, start=start)
    assert tried[:16] == pytest.approx([start + 0.9**k for k in range(16)], rel=100 * EPS)
    if start:  # longer than the steps
        assert tried[16:] == pytest.approx([start + 0.9**15 / 2**k for k in (1, 2)], rel=100 * EPS)
    else:
        assert tried[16] == pytest.approx((1e-300 * 0.9**15) ** 0.5, rel=100 * EPS)
        assert tried[17] == pytest.approx(1e-150 * tried[16] ** 0.5, rel=100 * EPS)


def test_after_fifteen_trials_it_is_halved_between_both_ends():
    """The same, but steep enough up to t = ⅕: the half of 0.9¹⁵ is a lower end, and then the middle is tried."""
    values = lambda t: -t if t <= 0.1 else -0.02 - 0.8 * t
    tried = trials_of(lambda a: values(a - 1.0), lambda a: -1.0, c1=0.9, c2=0.95, trials=18, start=1.0)
    assert tried[15:] == pytest.approx([1.0 + 0.9**15 * t for t in (1.0, 0.5, 0.75)], rel=100 * EPS)


@pytest.mark.parametrize("away", [1e20, 1e60, 1e150])
def test_a_direction_too_long_by_any_power_of_ten(away):
    """On √(1 + t²), t = 50 at the start: values say only that a step was far too long."""
    point = search(
        lambda x: float(1 + (x @ x)) ** 0.5, lambda x: x / float(1 + (x @ x)) ** 0.5, np.array([50.0]),
        np.array([-away]), c2=0.5,
    )  # fmt: skip
    assert point.wolfe
    assert point.nfev <= 30


# --- where there is no Wolfe step ------------------------------------------------------------------------------------


def test_unbounded_below_is_followed_as_far_as_trials_go():
    point = along(lambda a: -a, lambda a: -1.0, trials=12)
    assert point.lower
    assert not point.wolfe
    assert point.nfev == 12
    assert point.alpha >= 9.0**11  # each extension is nine times the last


@pytest.mark.parametrize("sign", [0.0, 1.0, math.nan])
def test_a_direction_that_does_not_descend_costs_nothing(sign):
    point = search(lambda x: float(x @ x), lambda x: 2 * x, np.ones(2), sign * np.ones(2))
    assert not point.lower
    assert not point.wolfe
    assert (point.alpha, point.nfev, point.njev) == (0.0, 0, 0)


def test_a_gradient_of_the_wrong_sign_finds_no_lower_point_and_says_so():
    x = np.array([1.0, 2.0])
    point = search(lambda x: float(x @ x), lambda x: -2 * x, x, 2 * x)
    assert not point.lower
    assert point.f <= 5.0 + 10 * EPS * 5.0
    assert abs(point.x - x).max() <= 1e-14


def test_a_kink_gives_the_lowest_point_found():
    """|x|: the slope jumps from −1 to 1, and c₂ = 0.9 admits neither."""
    point = along(lambda a: abs(a - 0.7), lambda a: math.copysign(1.0, a - 0.7))
    assert point.lower
    assert not point.wolfe
    assert point.f <= 0.07


@given(st.integers(1, 40))
def test_trials_are_a_limit(trials):
    point = along(lambda a: abs(a - 0.7), lambda a: math.copysign(1.0, a - 0.7), trials=trials)
    assert point.nfev <= trials


# --- walls -----------------------------------------------------------------------------------------------------------

walls = pytest.mark.parametrize("wall", [math.nan, math.inf, -math.inf])


@walls
@pytest.mark.parametrize("width", [2.0, 0.5, 1e-3, 1e-9])
def test_a_wall_beyond_the_minimum(wall, width):
    """f is finite on a part of the way only: −log of the distance to the wall, and a pull towards it."""

    def phi(a):
        return -math.log(1 - a / width) - 5 * a / width if a < width else wall

    def slope(a):
        return (1 / (1 - a / width) - 5) / width if a < width else math.nan

    point = along(phi, slope)
    assert point.wolfe
    assert 0 < point.alpha < width


@walls
def test_falling_towards_a_wall_gets_close_to_it(wall):
    """No Wolfe step exists: f falls up to the wall. The best point is within a hundredth of it."""
    point = along(lambda a: -a if a < 0.37 else wall, lambda a: -1.0)
    assert point.lower
    assert not point.wolfe
    assert 0.36 <= point.alpha < 0.37


@walls
def test_a_wall_all_around(wall):
    point = along(lambda a: 1.0 if a == 0 else wall, lambda a: -1.0)
    assert not point.lower
    assert point.f == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_not_accepted(bad):
    """Where f is finite beyond 0.5, but its gradient is not."""
    point = along(lambda a: (a - 0.4) ** 2, lambda a: 2 * (a - 0.4) if a < 0.5 else bad)
    assert point.wolfe
    assert np.isfinite(point.g).all()
    assert point.alpha < 0.5


# --- noise -----------------------------------------------------------------------------------------------------------


def test_noise_floor():
    problem = Problem(None, noise=1e-3)
    assert noise_floor(problem, np.ones(1), 1.0) == 1e-3
    assert noise_floor(problem, np.ones(1), -1e14) == 10 * EPS * 1e14
    assert noise_floor(Problem(None), np.ones(1, "float32"), 1.0) == 10 * 2.0**-23


@given(st.floats(-14, -6), seeds)
def test_in_noise_the_slope_decides(exponent, seed):
    """f + 1 with noise of size N, at a distance from the minimum where f − f* is N/10: values say nothing."""
    N = 10.0**exponent
    away = (0.1 * N) ** 0.5

    def fun(x):
        return 1.0 + float(x @ x) + N * np.random.default_rng([seed, *x.view(np.uint64)]).uniform(-0.5, 0.5)

    x = np.array([away])
    point = search(fun, lambda x: 2 * x, x, -3 * x, noise=2 * N)
    assert point.wolfe
    f0, d0 = fun(x), -6 * away**2
    d = float(point.g @ (-3 * x))
    assert strong(f0, d0, point.f, d, point.alpha, C1, C2) or approximate(f0, d0, point.f, d, C2, 2 * N)
    assert abs(point.x[0]) < 0.95 * away


@pytest.mark.parametrize(("slope", "taken"), [(-1.9, False), (-1.7, True), (0.0, True), (1.5, True), (1.7, False)])
def test_the_approximate_conditions(slope, taken):
    """φ′(0) = −2, c₂ = 0.9 and δ = 0.1 admit slopes from −1.8 to 1.6, where values say nothing."""
    point = along(lambda a: 0.0, lambda a: slope if a == 1 else -2.0, noise=1.0, trials=1)
    assert point.wolfe is taken


def test_a_shift_that_swallows_the_digits_of_f_leaves_a_search_on_slopes():
    """At f = 1e8 a decrease of 1e-10 is invisible; c₂ = 0.1 asks for nearly the minimum all the same."""
    point = along(lambda a: 1e8 + 1e-10 * (a - 0.3) ** 2, lambda a: 2e-10 * (a - 0.3), c2=0.1)
    assert point.wolfe
    assert point.lower
    assert point.alpha == pytest.approx(0.3, rel=0.2)  # |φ′| ≤ 0.1 |φ′(0)| means within a tenth; 0.2 with roundings


def test_an_increase_beyond_the_noise_is_never_accepted():
    point = along(lambda a: 0.0 if a == 0 else 1e-3 - 1e-6 * a, lambda a: -1e-6, trials=20)
    assert not point.wolfe
    assert point.f <= 0.0 or not point.lower


# --- array kinds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_array_kind_takes_the_same_trials(namespace, dtype):
    x, p, A = (np.array(v, dtype) for v in ([1.0, -2.0], [-4.0, 1.0], [[5.0, 0.5], [0.5, 2.0]]))

    def on(asarray):
        B = asarray(A)
        return search(lambda x: 0.5 * dot(x, B @ x), lambda x: B @ x, asarray(x), asarray(p), c2=0.1)

    reference, found = on(np.array), on(namespace.asarray)
    assert (found.nfev, found.njev, found.lower, found.wolfe) == reference[4:]
    assert found.nfev > 1
    # the same operations in the same order; only a fused multiply-add may differ in the last bits
    assert found.alpha == pytest.approx(reference.alpha, rel=16 * float(np.finfo(dtype).eps))
    assert namespace.owns(found.x)
    assert namespace.owns(found.g)
    assert namespace.to_numpy(found.x).dtype == np.dtype(dtype)


def test_slopes_whose_squares_overflow_are_bisected():
    """d₁² is infinite, and the cubic's minimiser no number."""
    assert between(1.0, 0.0, -1e200, 3.0, 1.0, 1e200, True, 0.0) == 2.0
