"""Rosenbrock's function, jitted, with its derivatives; and what it means that two readings of a method agree."""

import numba
import numpy as np


@numba.njit
def rosen(x):
    total = 0.0
    for i in range(len(x) - 1):
        total += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return total


@numba.njit
def rosen_grad(x):
    g = np.zeros_like(x)
    for i in range(len(x) - 1):
        t = x[i + 1] - x[i] ** 2
        g[i] += -400.0 * x[i] * t - 2.0 * (1.0 - x[i])
        g[i + 1] += 200.0 * t
    return g


@numba.njit
def rosen_hess(x):
    B = np.zeros((len(x), len(x)), x.dtype)
    for i in range(len(x) - 1):
        B[i, i] += 1200.0 * x[i] ** 2 - 400.0 * x[i + 1] + 2.0
        B[i + 1, i] -= 400.0 * x[i]
        B[i, i + 1] -= 400.0 * x[i]
        B[i + 1, i + 1] += 200.0
    return B


@numba.njit
def rosen_product(x, p):
    return rosen_hess(x) @ p


def compare(found, wanted, first, rtol):
    """Equal counts and verdicts; numbers to rounding, relative to what they were at first: f and g tend to zero."""
    assert type(found) is type(wanted)
    for name, a, b, c in zip(found._fields, found, wanted, first, strict=True):
        if isinstance(b, bool | int) or np.isinf(b).all():
            assert type(a) is type(b), name
            assert a == b, name
        else:
            assert np.shape(a) == np.shape(b), name
            size = max(np.abs(b).max(), np.abs(c).max(where=np.isfinite(c), initial=0.0))
            assert np.abs(np.subtract(a, b)).max() <= rtol * size, name
