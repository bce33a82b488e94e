"""Functions that the array standard lacks, each to the last digits and without overflow."""

from functools import cache
from math import pi, sqrt
from typing import Any

from numpy import ndarray

from refopt.ops import namespace


def sigmoid(x: Any) -> Any:
    """1/(1 + e⁻ˣ), from e^{−|x|}: accurate, and never an overflow, for either sign."""
    xp = namespace(x)
    z = xp.exp(-xp.abs(x))
    return xp.where(x < 0.0, z, xp.ones_like(z)) / (1.0 + z)


def normal_cdf(x: Any) -> Any:
    """Φ(x) = ½ erfc(−x/√2): accurate also where it is tiny."""
    return 0.5 * erfc(x * (-1.0 / sqrt(2.0)))


def erfc(x: Any) -> Any:
    """1 − erf(x), by the library of x where it has it, else by ``erfc_series``."""
    if isinstance(x, ndarray):
        return _special("scipy.special")(x)
    xp = namespace(x)
    if hasattr(xp, "special"):  # PyTorch
        return xp.special.erfc(x)
    if "cupy" in xp.__name__:
        return _special("cupyx.scipy.special")(x)
    return erfc_series(x)


@cache
def _special(module: str) -> Any:
    from importlib import import_module

    return import_module(module).erfc


def erfc_series(x: Any) -> Any:
    """erfc from the words of the array standard alone; relative error some tens of eps for x < 26.

    |x| < 2:  1 − erf(x), with erf(x) = 2/√π e^{−x²} Σ 2ᵏx^{2k+1}/(2k + 1)!!, terms of one sign
    |x| ≥ 2:  e^{−x²}/√π · 1/(x + ½/(x + 1/(x + ³⁄₂/(x + …)))), and erfc(−x) = 2 − erfc(x)

    M. Abramowitz & I. A. Stegun, *Handbook of Mathematical Functions*, §7.1.
    """
    xp = namespace(x)
    size = xp.abs(x)
    gauss = xp.exp(-x * x)
    near, far = xp.minimum(size, 2.0 * xp.ones_like(x)), xp.maximum(size, 2.0 * xp.ones_like(x))
    term = series = near
    for k in range(1, 40):
        term = term * (2.0 * near * near / (2 * k + 1))
        series = series + term
    fraction = far
    for k in range(80, 0, -1):
        fraction = far + 0.5 * k / fraction
    tail = xp.where(size < 2.0, 1.0 - 2.0 / sqrt(pi) * gauss * series, gauss / (sqrt(pi) * fraction))
    return xp.where(x < 0.0, 2.0 - tail, tail)
