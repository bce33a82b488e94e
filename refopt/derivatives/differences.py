"""Derivatives from values: forward and central differences and the complex step.

    2-point    ∂f/∂xᵢ ≈ (f(x + hᵢeᵢ) − f(x)) / hᵢ             hᵢ = ε^½ sᵢ       error ½hᵢ|f″| + 2ε|f|/hᵢ
    3-point    ∂f/∂xᵢ ≈ (f(x + hᵢeᵢ) − f(x − hᵢeᵢ)) / 2hᵢ     hᵢ = ε^⅓ sᵢ       error ⅙hᵢ²|f‴| + ε|f|/hᵢ
    cs         ∂f/∂xᵢ ≈ Im f(x + i hᵢeᵢ) / hᵢ                 hᵢ = 10⁻²⁰ sᵢ     error ⅙hᵢ²|f‴|; no cancelling

that is, relative to f/sᵢ, about ε^½, ε^⅔ and ε.

The size of a variable is sᵢ = max(|xᵢ|, |scaleᵢ|), or 1 if both are 0; ε is the relative noise of f, by
default the rounding unit of x's type. Steps are exact: h = (x + h) − x. Where a difference is not finite
although f(x) is, because the domain of f ends nearby, a one-sided difference of second order takes its place.

Functions are called with fresh arrays of x's kind on x's device, one at a time: they may keep or change them.

J. E. Dennis & R. B. Schnabel, *Numerical Methods for Unconstrained Optimization and Nonlinear Equations*,
SIAM 1996, §5.4, §5.6; J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §8.1; W. Squire & G.
Trapp, Using complex variables to estimate derivatives of real functions, *SIAM Review* 40 (1998) 110-112.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refopt.ops import device, eps, namespace, scalar

COMPLEX_STEP = 1e-20


def columns(function: Callable[[Any], Any], x: Any, method: str, scale: Any, noise: float) -> list[Any]:
    """[∂function/∂x₁, …, ∂function/∂xₙ], for scalar or array values; silent at the points it chooses."""
    rule = {"2-point": forward, "3-point": central, "cs": complex_step}[method]
    with np.errstate(all="ignore"):
        return rule(function, x, scale, noise)


def forward(function: Callable[[Any], Any], x: Any, scale: Any, noise: float) -> list[Any]:
    """(function(x + hᵢeᵢ) − function(x)) / hᵢ.   Cost: n + 1 evaluations."""
    up = x + steps(x, relative_step("2-point", x, noise), scale)
    here = function(x + 0)
    return [(function(u) - here) / h for u, h in zip(replaced(x, up), _items(up - x), strict=True)]


def central(function: Callable[[Any], Any], x: Any, scale: Any, noise: float) -> list[Any]:
    """(function(x + hᵢeᵢ) − function(x − hᵢeᵢ)) / 2hᵢ.   Cost: 2n evaluations."""
    h = steps(x, relative_step("3-point", x, noise), scale)
    up, down = x + h, x - h
    return [
        (function(u) - function(d)) / width
        for u, d, width in zip(replaced(x, up), replaced(x, down), _items(up - down), strict=True)
    ]


def complex_step(function: Callable[[Any], Any], x: Any, scale: Any, noise: float) -> list[Any]:
    """Im function(x + i hᵢeᵢ) / hᵢ.   Cost: n evaluations.

    ``function`` must be analytic and computed by complex arithmetic throughout. Real output, a TypeError or a
    cast to real numbers on the way raise TypeError with advice. An ``abs`` in a *part* of the function goes
    unnoticed here; ``check_gradient`` finds it.
    """
    xp = namespace(x)
    h = COMPLEX_STEP * sizes(x, scale)
    z = xp.astype(x, xp.result_type(x, xp.complex64))
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        return [
            _imaginary(function, point) / size for point, size in zip(replaced(z, z + 1j * h), _items(h), strict=True)
        ]


def one_sided(function: Callable[[Any], Any], x: Any, here: Any, i: int, h: float) -> Any:
    """(−3 function(x) + 4 function(x + heᵢ) − function(x + 2heᵢ)) / 2h, where not finite with −h for h."""
    for step in (h, -h):
        near, far = (_with(x, i, x[i] + k * step) for k in (1, 2))
        slope = (4 * (function(near) - here) - (function(far) - here)) / (2 * step)
        if all_finite(slope):
            break
    return slope


def within_domain(found: list[Any], function: Callable[[Any], Any], x: Any) -> list[Any]:
    """The columns found, with one-sided differences for those that are not finite although function(x) is."""
    h = _items(steps(x, relative_step("3-point", x)))
    with np.errstate(all="ignore"):
        here = function(x + 0)
        if not all_finite(here):
            return found
        return [
            column if all_finite(column) else one_sided(function, x, here, i, h[i]) for i, column in enumerate(found)
        ]


def second_differences(fun: Callable[[Any], float], x: Any, method: str, scale: Any, noise: float) -> Any:
    """hᵢⱼ = (f(x + dᵢ + dⱼ) − f(x + dᵢ) − f(x + dⱼ) + f(x)) / hᵢhⱼ with dᵢ = hᵢeᵢ, shape (n, n).

    2-point: as it stands, hᵢ = ε^⅓ sᵢ, error O(ε^⅓), ½n² + 3n/2 + 1 evaluations. 3-point: the mean of the
    formula for h and for −h, hᵢ = ε^¼ sᵢ, error O(ε^½), twice the cost.
    """
    power, signs = {"2-point": (1 / 3, (1,)), "3-point": (1 / 4, (1, -1))}[method]
    h = steps(x, (noise or eps(x)) ** power, scale)
    with np.errstate(all="ignore"):
        here = scalar(fun(x + 0))
        return sum(_second_differences(fun, x, here, sign * h) for sign in signs) / len(signs)


def _second_differences(fun: Callable[[Any], float], x: Any, here: float, h: Any) -> Any:
    xp, n = namespace(x), x.shape[0]
    D = xp.eye(n, dtype=x.dtype, device=device(x)) * h
    once = [scalar(fun(x + D[i, :])) for i in range(n)]
    mixed = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            mixed[i][j] = mixed[j][i] = scalar(fun(x + (D[i, :] + D[j, :]))) - once[i] - once[j] + here
    return like(x, mixed) / (h[:, None] * h[None, :])


# --- steps and points ---------------------------------------------------------------------------------------


def relative_step(method: str, x: Any, noise: float = 0.0) -> float:
    """hᵢ/sᵢ = ε^½ (2-point) or ε^⅓ (3-point); ε is the noise, by default the rounding unit of x's type."""
    return (noise or eps(x)) ** {"2-point": 1 / 2, "3-point": 1 / 3}[method]


def sizes(x: Any, scale: Any = None) -> Any:
    """sᵢ = max(|xᵢ|, |scaleᵢ|), 1 where both are 0."""
    xp = namespace(x)
    size = abs(x) if scale is None else xp.maximum(abs(x), abs(scale))
    return xp.where(size == 0, xp.ones_like(x), size)


def start_sizes(function: Callable[[Any], Any], x: Any) -> tuple[Any, int]:
    """The sizes of variables that begin at x: |xᵢ|, 1 for zeros; and how often that took the function, mostly never.

    What is small beside the others, or 1, may be a zero that was found, not chosen. Where the function does not change
    by √ε of it over such a size, differences would see nothing: it is made a thousand times larger until it does, or 1.
    """
    size = sizes(x)
    small = doubtful(size)
    if not bool(namespace(x).any(small)):
        return size, 0
    with np.errstate(all="ignore"):
        here, calls, least = function(x + 0), 1, eps(x) ** 0.5
        for i in (i for i, one in enumerate(_items(small)) if one):
            s, seen = float(size[i]), False
            while s < 1.0 and not seen:
                change, calls = function(_with(x, i, x[i] + s)) - here, calls + 1
                seen = not _largest(change) <= least * _largest(here)
                s = s if seen else min(1e3 * s, 1.0)
            size = _with(size, i, s)
    return size, calls


def doubtful(size: Any) -> Any:
    """Which sizes, (n,) or (k, n), are small beside the others, or 1: less than √ε of it."""
    xp = namespace(size)
    largest = xp.max(size, axis=-1, keepdims=True)
    return size < eps(size) ** 0.5 * xp.where(largest > 1.0, largest, xp.ones_like(largest))


def own_sizes(x: Any) -> Any:
    """|x|, (n,) or (k, n), and 0 for what is nothing beside the largest: a zero that was found, not chosen."""
    xp = namespace(x)
    return xp.where(abs(x) <= 1e-15 * xp.max(abs(x), axis=-1, keepdims=True), xp.zeros_like(x), abs(x))


def steps(x: Any, relative: float, scale: Any = None) -> Any:
    """h = relative · s, rounded so that x + h is exact."""
    return (x + relative * sizes(x, scale)) - x


def replaced(x: Any, values: Any) -> Iterator[Any]:
    """x with component i replaced by valuesᵢ, for each i; every point is a new array."""
    for i, value in enumerate(_items(values)):
        yield _with(x, i, value)


def _with(x: Any, i: int, value: Any) -> Any:
    """A new array equal to x but for component i."""
    if isinstance(x, np.ndarray):
        point = x.copy()
        point[i] = value
        return point
    xp = namespace(x)
    return xp.where(xp.arange(x.shape[0], device=device(x)) == i, value, x)


def _items(values: Any) -> list[Any]:
    """The components: Python numbers of a NumPy array, else scalars on the array's device."""
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def floating(x: Any) -> Any:
    """x as it is if it holds floating-point numbers; lists and integers as float64."""
    if isinstance(x, np.ndarray) and x.dtype.kind != "f":
        if x.dtype.kind not in "biu":
            raise TypeError(f"derivatives need floating-point x, not {x.dtype}")
        return x.astype(float)
    return np.atleast_1d(np.asarray(x, float)) if isinstance(x, list | tuple | int | float) else x


def like(x: Any, values: Any) -> Any:
    """The numbers as an array of the kind and type and on the device of x."""
    return namespace(x).asarray(values, dtype=x.dtype, device=device(x))


def _largest(value: Any) -> float:
    """The largest modulus in a scalar or an array."""
    return float(namespace(value).max(abs(value))) if getattr(value, "shape", ()) else abs(float(value))


def all_finite(value: Any) -> bool:
    """Whether a scalar, or every element of an array, is neither infinite nor NaN."""
    if not getattr(value, "shape", ()):
        return math.isfinite(value)
    if isinstance(value, np.ndarray) and math.isfinite(abs(np.vdot(value, value))):  # quick, but it may overflow
        return True
    xp = namespace(value)
    return bool(xp.all(xp.isfinite(value)))


def _imaginary(function: Callable[[Any], Any], point: Any) -> Any:
    try:
        value = function(point)
    except (TypeError, np.exceptions.ComplexWarning) as error:
        raise TypeError(
            f"the complex step needs a function that takes complex x, and this one raised {error}: without "
            "comparisons, math.*, float() and functions of real numbers only; or choose '3-point' differences"
        ) from error
    if isinstance(value, complex):
        return value.imag
    kind = str(getattr(value, "dtype", type(value).__name__))
    if "complex" not in kind:
        raise TypeError(
            f"the complex step needs complex output for complex x, and the function returned {kind}: abs, "
            "norms, .real, float() and real work arrays lose the imaginary part; choose '3-point' differences"
        )
    return namespace(value).imag(value)
