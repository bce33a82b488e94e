"""Checking given derivatives: which component is wrong, and how.

The reference is a ladder of central differences D(h), h = 8⁻ᵏ/10 of each variable's size, each extrapolated
once, (64 D(h/8) − D(h))/63, so that its error is O(h⁴). Its rounding is at most w(h) = 4N/h, N the noise of
the function measured at x. From the smallest step upwards the intervals [D − w, D + w] are intersected; the
first step whose interval misses the others has a truncation error that shows, and ends the ladder. What
remains holds the derivative, within a few times the smallest w that took part, whatever the scale of the
function or of the variables. Where the complex step works and lies inside, it is the reference instead.

A given derivative is blamed only if it is off by more than twice that error, more than a 3-point difference
would be, and more than half the jump of the one-sided slopes (so a subgradient at a kink is accepted), and
if no two neighbouring steps of the ladder speak for it.

C. Ridders, Accurate computation of F′(x) and F′(x)F″(x), *Advances in Engineering Software* 4 (1982) 75-76
(ladder and extrapolation); O. V. Lepskii, On a problem of adaptive estimation in Gaussian white noise,
*Theory of Probability and Its Applications* 35 (1991) 454-466 (intersecting intervals).   Cost: 43n
evaluations.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refopt.derivatives.differences import columns, floating, replaced, sizes
from refopt.derivatives.mismatch import Report, report
from refopt.ops import eps, namespace

LEVELS, RATIO, WIDEST = 21, 8.0, 0.1
NEAR = 1e-6  # steps below which second differences are noise
SINGLE = 2.0**-23  # the rounding of float32, which a function may use inside


def check_gradient(fun: Callable[[Any], Any], grad: Callable[[Any], Any], x: Any, scale: Any = None) -> Report:
    """Compare grad(x) (n,) with differences of fun at x; ``scale``: sizes of variables that are near 0."""
    return _check("gradient", fun, grad, x, scale)


def check_jacobian(residual: Callable[[Any], Any], jacobian: Callable[[Any], Any], x: Any, scale: Any = None) -> Report:
    """Compare jacobian(x) (m, n), entry (i, j) = ∂rᵢ/∂xⱼ, with differences of residual (m,) at x."""
    return _check("Jacobian", residual, jacobian, x, scale)


def check_hessian(grad: Callable[[Any], Any], hess: Callable[[Any], Any], x: Any, scale: Any = None) -> Report:
    """Compare hess(x) (n, n) with differences of grad (n,) at x."""
    return _check("Hessian", grad, hess, x, scale)


def _check(what: str, function: Callable[[Any], Any], derivative: Callable[[Any], Any], x: Any, scale: Any) -> Report:
    x = floating(x)
    given = _host(derivative(x + 0))
    with np.errstate(all="ignore"):
        ladder = _climb(lambda point: np.ravel(_host(function(point))), x, scale)
        reference, tolerance, method = _reference(ladder, function, x, scale)
        shape = reference.shape[1:] if what == "gradient" else reference.shape
        if given.shape == shape:
            doubtful = (abs(given - reference) > tolerance) & _confirmed(ladder.slopes, given, reference)
            tolerance = np.where(doubtful, np.inf, tolerance)
        return report(what, given, reference.reshape(shape), tolerance.reshape(shape), method)


class _Ladder(NamedTuple):
    slopes: np.ndarray  # (levels, m, n), the smallest step first
    gaps: np.ndarray  # (levels, m, n): half the jump from backward to forward slopes
    widths: np.ndarray  # (levels, m, n): bounds on the rounding of the slopes


def _reference(
    ladder: _Ladder, function: Callable[[Any], Any], x: Any, scale: Any
) -> tuple[np.ndarray, np.ndarray, str]:
    """The derivative (m, n), the deviation from it that is blamed on nobody (m, n), and the method."""
    low, high, used = _intersection(ladder)
    reference = (low + high) / 2
    error = RATIO * np.where(used, ladder.widths, np.inf).min(axis=0)
    jump = np.where(used, ladder.gaps + ladder.widths, np.inf).min(axis=0)
    curved = np.where(used, ladder.gaps - ladder.widths, 0).max(axis=0)
    size = _host(sizes(x, scale))
    largest = (abs(reference) * size).max(axis=1, keepdims=True)
    floor = eps(x) ** (1 / 2) * curved + 16 * eps(x) * largest / size
    rounding = eps(x) ** (1 / 3)
    tolerance = jump + rounding * abs(reference) + floor
    exact = _complex_step(function, x, scale)
    if exact is not None and (abs(exact - reference) <= tolerance + 2 * error).all():
        return exact, tolerance, "the complex step"
    return reference, tolerance + 2 * error, "differences"


def _confirmed(slopes: np.ndarray, given: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Where two neighbouring steps are a hundred times nearer to what was given than the reference is."""
    near = (abs(slopes - given) <= 0.01 * abs(given - reference)) & (slopes != 0)
    return (near[1:] & near[:-1]).any(axis=0)


def _climb(function: Callable[[Any], np.ndarray], x: Any, scale: Any) -> _Ladder:
    here, size = function(x + 0)[:, None], sizes(x, scale)
    heights = WIDEST * RATIO ** -np.arange(LEVELS)[::-1]
    ahead, behind, width = [], [], []
    for height in heights.tolist():
        up, down = x + height * size, x - height * size
        ahead.append(np.stack([function(point) for point in replaced(x, up)], axis=1))
        behind.append(np.stack([function(point) for point in replaced(x, down)], axis=1))
        width.append(_host(up - down))
    f, b, w = np.stack(ahead), np.stack(behind), np.stack(width)[:, None, :]
    slopes, bends = (f - b) / w, abs((f - here) + (b - here))
    extrapolated = slopes[:-1] + (slopes[:-1] - slopes[1:]) / (RATIO**2 - 1)
    sway = np.maximum(abs(f - here), abs(b - here))
    noise = _noise(bends[heights < NEAR], sway, here) + 2 * eps(x) * np.maximum(abs(f), abs(b))
    return _Ladder(extrapolated, (bends / w)[:-1], (8 * noise / w)[:-1])


def _noise(bends: np.ndarray, sway: np.ndarray, here: np.ndarray) -> np.ndarray:
    """The noise of each value under each variable (m, n).

    Close by, second differences are noise. To it comes the smallest change that was seen, which on a function
    rounded more coarsely than its type is the height of a stair; where nothing changed, that seen elsewhere.
    """
    quantum = np.min(np.where(sway > 0, sway, np.inf), axis=0)
    seen = np.isfinite(quantum)
    largest = np.max(quantum, axis=1, where=seen, initial=0)[:, None]
    stairs = np.where(seen, quantum, np.where(largest > 0, largest, SINGLE * abs(here)))
    return np.fmax.reduce(bends, axis=(0, 2), initial=0)[:, None] + stairs


def _intersection(ladder: _Ladder) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bounds on the derivative (m, n), and which levels took part (levels, m, n)."""
    low, high = np.full(ladder.slopes.shape[1:], -np.inf), np.full(ladder.slopes.shape[1:], np.inf)
    climbing, used = np.ones(low.shape, bool), []
    for slope, width in zip(ladder.slopes, ladder.widths, strict=True):
        blind = ~np.isfinite(width)  # x + h == x: nothing to see yet
        lower, higher = np.fmax(low, slope - width), np.fmin(high, slope + width)
        climbing &= blind | (np.isfinite(slope) & (lower <= higher))
        seen = climbing & ~blind
        low, high = np.where(seen, lower, low), np.where(seen, higher, high)
        used.append(seen)
    return low, high, np.stack(used)


def _complex_step(function: Callable[[Any], Any], x: Any, scale: Any) -> np.ndarray | None:
    """The Jacobian (m, n) by the complex step, or None where the function does not take it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = columns(function, x, "cs", scale, 0.0)
        except Exception:  # whatever it is, the function does not work on complex numbers
            return None
    return np.stack([np.ravel(_host(column)) for column in found], axis=1)


def _host(value: Any) -> np.ndarray:
    """The numbers as a NumPy array: this is a report to a reader, so leaving the device is right."""
    if isinstance(value, np.ndarray) or not hasattr(value, "device"):
        return np.asarray(value)
    flat = namespace(value).reshape(value, (-1,))
    kind = complex if "complex" in str(value.dtype) else float
    return np.array([kind(number) for number in flat]).reshape(tuple(value.shape))
