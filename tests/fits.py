"""NIST's models once more, in machine code: the same fits, several times as fast, for surveys that make millions.

A model takes parameters b and predictors s, t (equal but for Nelson) and returns m and its derivatives by b.
"""

import math
from functools import cache, partial
from typing import Any

import numba
import numpy as np

from refopt import zoo
from refopt.compiled.objective import remembered
from refopt.problem import LeastSquares, Problem


def kept(function: Any) -> Any:
    return remembered(numba.njit(error_model="numpy")(function))


part = numba.njit(error_model="numpy", inline="always")


@part
def exponential_rise(b, s, t):
    e = np.exp(-b[1] * t)
    rise = -np.expm1(-b[1] * t)
    return b[0] * rise, (rise, b[0] * t * e)


@part
def misra1b(b, s, t):
    u = b[1] * t / 2
    v = 1 + u
    rise = u * (2 + u) / (v * v)
    return b[0] * rise, (rise, b[0] * t / (v * v * v))


@part
def misra1c(b, s, t):
    u = 2 * b[1] * t
    root = math.sqrt(1 + u) if u > -1 else np.nan
    rise = u / (root * (root + 1))
    return b[0] * rise, (rise, b[0] * t / (root * root * root))


@part
def misra1d(b, s, t):
    v = 1 + b[1] * t
    rise = b[1] * t / v
    return b[0] * rise, (rise, b[0] * t / (v * v))


@part
def chwirut(b, s, t):
    q = b[1] + b[2] * t
    m = np.exp(-b[0] * t) / q
    return m, (-t * m, -m / q, -t * m / q)


@part
def lanczos(b, s, t):
    e, f, g = np.exp(-b[1] * t), np.exp(-b[3] * t), np.exp(-b[5] * t)
    return b[0] * e + b[2] * f + b[4] * g, (e, -b[0] * t * e, f, -b[2] * t * f, g, -b[4] * t * g)


@part
def gauss(b, s, t):
    z, w = (t - b[3]) / b[4], (t - b[6]) / b[7]
    e, f, g = np.exp(-b[1] * t), np.exp(-z * z), np.exp(-w * w)
    df, dg = 2 * b[2] * f * z / b[4], 2 * b[5] * g * w / b[7]
    return b[0] * e + b[2] * f + b[5] * g, (e, -b[0] * t * e, f, df, df * z, g, dg, dg * w)


@part
def danwood(b, s, t):
    power = t ** b[1]
    return b[0] * power, (power, b[0] * power * np.log(t))


@part
def kirby(b, s, t):
    p, q = b[0] + t * (b[1] + t * b[2]), 1 + t * (b[3] + t * b[4])
    m, one = p / q, 1 / q
    return m, (one, t * one, t * t * one, -m * t * one, -m * t * t * one)


@part
def cubics(b, s, t):
    p, q = b[0] + t * (b[1] + t * (b[2] + t * b[3])), 1 + t * (b[4] + t * (b[5] + t * b[6]))
    m, one = p / q, 1 / q
    two = t * t
    three = t * two
    return m, (one, t * one, two * one, three * one, -m * t * one, -m * two * one, -m * three * one)


@part
def nelson(b, s, t):
    e = s * np.exp(-b[2] * t)
    return b[0] - b[1] * e, (1.0, -e, b[1] * t * e)


@part
def mgh17(b, s, t):
    e, f = np.exp(-b[3] * t), np.exp(-b[4] * t)
    return b[0] + b[1] * e + b[2] * f, (1.0, e, f, -b[1] * t * e, -b[2] * t * f)


@part
def roszman1(b, s, t):
    d = t - b[3]
    q = math.pi * (d * d + b[2] * b[2])
    return b[0] - b[1] * t - np.arctan(b[2] / d) / math.pi, (1.0, -t, -d / q, -b[2] / q)


@part
def enso(b, s, t):
    x1, x2, x3 = 2 * math.pi * t / 12, 2 * math.pi * t / b[3], 2 * math.pi * t / b[6]
    c1, s1, c2, s2, c3, s3 = np.cos(x1), np.sin(x1), np.cos(x2), np.sin(x2), np.cos(x3), np.sin(x3)
    m = b[0] + b[1] * c1 + b[2] * s1 + b[4] * c2 + b[5] * s2 + b[7] * c3 + b[8] * s3
    period2, period3 = (b[4] * s2 - b[5] * c2) * x2 / b[3], (b[7] * s3 - b[8] * c3) * x3 / b[6]
    return m, (1.0, c1, s1, period2, c2, s2, period3, c3, s3)


@part
def mgh09(b, s, t):
    q = t * (t + b[2]) + b[3]
    shape = t * (t + b[1]) / q
    m = b[0] * shape
    return m, (shape, b[0] * t / q, -m * t / q, -m / q)


@part
def mgh10(b, s, t):
    d = t + b[2]
    e = np.exp(b[1] / d)
    return b[0] * e, (e, b[0] * e / d, -b[0] * b[1] * e / (d * d))


@part
def eckerle4(b, s, t):
    z = (t - b[2]) / b[1]
    shape = np.exp(-0.5 * z * z) / b[1]
    slope = b[0] / b[1] * shape
    return b[0] * shape, (shape, slope * (z * z - 1), slope * z)


@part
def rat42(b, s, t):
    u = b[1] - b[2] * t
    e = 1 / (1 + np.exp(u))
    slope = b[0] * e / (1 + np.exp(-u))
    return b[0] * e, (e, -slope, slope * t)


@part
def rat43(b, s, t):
    u = b[1] - b[2] * t
    shape = (1 + np.exp(u)) ** (-1 / b[3])
    slope = b[0] * shape / (b[3] * (1 + np.exp(-u)))
    return b[0] * shape, (shape, -slope, slope * t, b[0] * shape * np.logaddexp(0.0, u) / (b[3] * b[3]))


@part
def bennett5(b, s, t):
    d = b[1] + t
    power = d ** (-1 / b[2])
    m = b[0] * power
    return m, (power, -m / (b[2] * d), m * np.log(d) / (b[2] * b[2]))


NAMED = {
    "BoxBOD": exponential_rise, "Chwirut": chwirut, "DanWood": danwood, "Kirby2": kirby, "Hahn1": cubics,
    "Thurber": cubics, "Misra1a": exponential_rise,
}  # fmt: skip


def model(name: str) -> Any:
    return NAMED.get(name) or globals().get(name.lower()) or NAMED.get(name[:-1]) or globals()[name[:-1].lower()]


@cache
def loops(at: Any) -> Any:
    """f = ½‖r‖², g = Jᵀr, r and J of a model at b, for data s, t, y."""

    @kept
    def value(s, t, y, b):
        total = 0.0
        for k in range(len(y)):
            r = at(b, s[k], t[k])[0] - y[k]
            total += r * r
        return 0.5 * total

    @kept
    def slope(s, t, y, b):
        g = np.zeros(len(b))
        for k in range(len(y)):
            m, row = at(b, s[k], t[k])
            r = m - y[k]
            for j in range(len(b)):
                g[j] += r * row[j]
        return g

    @kept
    def residual(s, t, y, b):
        r = np.empty(len(y))
        for k in range(len(y)):
            r[k] = at(b, s[k], t[k])[0] - y[k]
        return r

    @kept
    def jacobian(s, t, y, b):
        J = np.empty((len(y), len(b)))
        for k in range(len(y)):
            _, row = at(b, s[k], t[k])
            for j in range(len(b)):
                J[k, j] = row[j]
        return J

    return value, slope, residual, jacobian


@cache
def fit(name: str) -> tuple[LeastSquares, Problem]:
    """A data set, nist:name, as residuals and as f = ½‖r‖²."""
    entry = zoo.get(name)
    rows, y = np.atleast_2d(entry.x), np.log(entry.y) if entry.log_y else entry.y
    value, slope, residual, jacobian = (
        partial(loop, rows[0].copy(), rows[-1].copy(), y) for loop in loops(model(name.removeprefix("nist:")))
    )
    return LeastSquares(residual, jacobian), Problem(value, slope)
