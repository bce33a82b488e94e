"""Problems from the literature with analytic derivatives: f = ‖r‖², and what their minima are known to be.

J. J. Moré, B. S. Garbow & K. E. Hillstrom, Testing unconstrained optimization software, *ACM Trans. Math. Software* 7
(1981) 17-41; starts and minima are theirs. Here

    g = 2 Jᵀr,      ∇²f = 2 (JᵀJ + Σᵢ rᵢ ∇²rᵢ)

and each problem writes down r, J and the last sum, its *bend*, by hand.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy import arange, array, cos, exp, eye, log, ones, outer, sin, sqrt, stack, zeros


class Squares(NamedTuple):
    """min f(x) = ‖r(x)‖²."""

    name: str
    x0: np.ndarray
    minima: tuple[float, ...]  #: the values of f at its known minima, lowest first
    residual: Callable
    jacobian: Callable
    bend: Callable  #: Σᵢ rᵢ ∇²rᵢ, of x and r

    def fun(self, x):
        r = self.residual(x)
        return float(r @ r)

    def grad(self, x):
        return 2 * self.residual(x) @ self.jacobian(x)

    def hess(self, x):
        J = self.jacobian(x)
        return 2 * (J.T @ J + self.bend(x, self.residual(x)))


PROBLEMS: dict[str, Squares] = {}


def problem(x0, *minima):
    """The decorated function x ↦ (r, J, bend) as an entry of PROBLEMS, bend being a function of r."""

    def enter(function):
        PROBLEMS[function.__name__] = Squares(
            function.__name__, array(x0, float), minima,
            lambda x: function(x)[0], lambda x: function(x)[1], lambda x, r: function(x)[2](r),
        )  # fmt: skip
        return function

    return enter


def columns(*values):
    """Numbers and (m,) arrays side by side, (m, n)."""
    return stack(np.broadcast_arrays(*values), axis=1) * 1.0


def symmetric(n, entries):
    """The symmetric (n, n) matrix with these entries {(i, j): value}, i ≤ j."""
    B = zeros((n, n))
    for (i, j), value in entries.items():
        B[i, j] = B[j, i] = value
    return B


@problem([-1.2, 1], 0.0)
def rosenbrock(x):
    r = array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
    return r, array([[-20 * x[0], 10], [-1, 0]]), lambda r: np.diag([-20 * r[0], 0])


@problem([0.5, -2], 0.0, 48.984253679)
def freudenstein_roth(x):
    a, b = x
    r = array([a - 13 + ((5 - b) * b - 2) * b, a - 29 + ((b + 1) * b - 14) * b])
    J = array([[1, 10 * b - 3 * b**2 - 2], [1, 3 * b**2 + 2 * b - 14]])
    return r, J, lambda r: np.diag([0, r[0] * (10 - 6 * b) + r[1] * (6 * b + 2)])


@problem([0, 1], 0.0)
def powell_badly_scaled(x):
    a, b = x
    r = array([1e4 * a * b - 1, exp(-a) + exp(-b) - 1.0001])
    J = array([[1e4 * b, 1e4 * a], [-exp(-a), -exp(-b)]])
    return r, J, lambda r: array([[r[1] * exp(-a), 1e4 * r[0]], [1e4 * r[0], r[1] * exp(-b)]])


@problem([1, 1], 0.0)
def brown_badly_scaled(x):
    a, b = x
    return (
        array([a - 1e6, b - 2e-6, a * b - 2]),
        array([[1, 0], [0, 1], [b, a]]),
        lambda r: r[2] * (1 - eye(2)),
    )


@problem([1, 1], 0.0, 0.45202)  # the second is the infimum as x₁ → −∞
def beale(x):
    a, b, i = x[0], x[1], arange(1, 4)
    r = array([1.5, 2.25, 2.625]) - a * (1 - b**i)
    J = columns(-(1 - b**i), a * i * b ** (i - 1))
    return (
        r,
        J,
        lambda r: symmetric(2, {(0, 1): r @ (i * b ** (i - 1)), (1, 1): a * (2 * r[1] + 6 * b * r[2])}),
    )


@problem([0.3, 0.4], 124.362182356, 259.58)  # the second at x₁ = x₂
def jennrich_sampson(x):
    i = arange(1, 11)
    e = exp(outer(i, x))
    return 2 + 2 * i - e.sum(axis=1), -i[:, None] * e, lambda r: -np.diag((r * i**2) @ e)


@problem([-1, 0, 0], 0.0)
def helical_valley(x):
    a, b, c = x
    rho = sqrt(a**2 + b**2)
    theta = np.arctan(b / a) / (2 * np.pi) + (0.5 if a < 0 else 0.0)
    r = array([10 * (c - 10 * theta), 10 * (rho - 1), c])
    turn = array([-b, a, 0]) / (2 * np.pi * rho**2)
    J = array([[0, 0, 10] - 100 * turn, [10 * a / rho, 10 * b / rho, 0], [0, 0, 1]])
    bend_theta = array([[a * b, (b**2 - a**2) / 2], [(b**2 - a**2) / 2, -a * b]]) / (np.pi * rho**4)
    bend_rho = array([[b**2, -a * b], [-a * b, a**2]]) / rho**3
    return r, J, lambda r: np.pad(-100 * r[0] * bend_theta + 10 * r[1] * bend_rho, (0, 1))


@problem([1, 1, 1], 8.214877307e-3, 17.4286)  # the second as x₂, x₃ → −∞
def bard(x):
    y = array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])
    u = arange(1, 16)
    v = 16 - u
    w = np.minimum(u, v)
    q = v * x[1] + w * x[2]
    directions = columns(0, v, w)
    return (
        y - x[0] - u / q,
        columns(-1, u * v / q**2, u * w / q**2),
        lambda r: -(directions.T * (2 * r * u / q**3)) @ directions,
    )


@problem([0.4, 1, 0], 1.12793276961e-8)
def gaussian(x):
    y = array([9e-4, 44e-4, 175e-4, 54e-3, 0.1295, 0.2420, 0.3521, 0.3989])
    d = (8 - arange(1, 16)) / 2 - x[2]
    e = exp(-x[1] * d**2 / 2)
    a, b = x[:2]
    J = columns(e, -a * e * d**2 / 2, a * b * e * d)
    return a * e - np.r_[y, y[-2::-1]], J, lambda r: symmetric(3, {
        (0, 1): -r @ (e * d**2) / 2, (0, 2): b * (r @ (e * d)), (1, 1): a * (r @ (e * d**4)) / 4,
        (1, 2): a * (r @ (e * (d - b * d**3 / 2))), (2, 2): a * b * (r @ (e * (b * d**2 - 1))),
    })  # fmt: skip


@problem([0.02, 4000, 250], 87.945855171)
def meyer(x):
    y = [
        34780,
        28610,
        23650,
        19630,
        16370,
        13720,
        11540,
        9744,
        8261,
        7030,
        6005,
        5147,
        4427,
        3820,
        3307,
        2872,
    ]
    a, b, c = x
    s = 45 + 5 * arange(1, 17) + c
    e = exp(b / s)
    return a * e - array(y), columns(e, a * e / s, -a * b * e / s**2), lambda r: symmetric(3, {
        (0, 1): r @ (e / s), (0, 2): -b * (r @ (e / s**2)), (1, 1): a * (r @ (e / s**2)),
        (1, 2): -a * (r @ (e * (1 / s**2 + b / s**3))), (2, 2): a * (r @ (e * (b**2 / s**4 + 2 * b / s**3))),
    })  # fmt: skip


@problem([0, 10, 20], 0.0)
def box(x):
    t = arange(1, 11) / 10
    p, q, gap = exp(-t * x[0]), exp(-t * x[1]), exp(-t) - exp(-10 * t)
    return (
        p - q - x[2] * gap,
        columns(-t * p, t * q, -gap),
        lambda r: np.diag([r @ (t**2 * p), -r @ (t**2 * q), 0]),
    )


@problem([3, -1, 0, 1], 0.0)
def powell_singular(x):
    a, b, c, d = x
    r = array([a + 10 * b, sqrt(5) * (c - d), (b - 2 * c) ** 2, sqrt(10) * (a - d) ** 2])
    v, w = array([0, 1, -2, 0]), array([1, 0, 0, -1])
    J = array([[1, 10, 0, 0], sqrt(5) * array([0, 0, 1, -1]), 2 * (b - 2 * c) * v, 2 * sqrt(10) * (a - d) * w])
    return r, J, lambda r: 2 * r[2] * outer(v, v) + 2 * sqrt(10) * r[3] * outer(w, w)


@problem([-3, -1, -3, -1], 0.0)
def wood(x):
    a, b, c, d = x
    weights = sqrt([100, 1, 90, 1, 10, 0.1])
    r = weights * array([b - a**2, 1 - a, d - c**2, 1 - c, b + d - 2, b - d])
    slopes = [[-2 * a, 1, 0, 0], [-1, 0, 0, 0], [0, 0, -2 * c, 1], [0, 0, -1, 0], [0, 1, 0, 1], [0, 1, 0, -1]]
    return r, weights[:, None] * array(slopes), lambda r: np.diag([-20 * r[0], 0, -2 * sqrt(90) * r[2], 0])


@problem([0.25, 0.39, 0.415, 0.39], 3.07505604e-4, 1.02734e-3)  # the second at infinity
def kowalik_osborne(x):
    y = [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
    u = array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
    a, b, c, d = x
    n, q = u**2 + u * b, u**2 + u * c + d
    J = columns(-n / q, -a * u / q, a * n * u / q**2, a * n / q**2)
    return y - a * n / q, J, lambda r: symmetric(4, {
        (0, 1): -r @ (u / q), (0, 2): r @ (n * u / q**2), (0, 3): r @ (n / q**2),
        (1, 2): a * (r @ (u**2 / q**2)), (1, 3): a * (r @ (u / q**2)), (2, 2): -2 * a * (r @ (n * u**2 / q**3)),
        (2, 3): -2 * a * (r @ (n * u / q**3)), (3, 3): -2 * a * (r @ (n / q**3)),
    })  # fmt: skip


@problem([25, 5, -5, -1], 85822.2016264)
def brown_dennis(x):
    t = arange(1, 21) / 5
    a, b = x[0] + t * x[1] - exp(t), x[2] + x[3] * sin(t) - cos(t)
    v, w = columns(1, t, 0, 0), columns(0, 0, 1, sin(t))
    J = 2 * (a[:, None] * v + b[:, None] * w)
    return a**2 + b**2, J, lambda r: 2 * ((v.T * r) @ v + (w.T * r) @ w)


@problem(1 - arange(1, 11) / 10, 0.0)
def variably_dimensioned(x):
    i = arange(1, 11)
    s = i @ (x - 1)
    return np.r_[x - 1, s, s**2], np.r_[eye(10), [i], [2 * s * i]], lambda r: 2 * r[-1] * outer(i, i)


@problem([1, 2, 3, 4], 2.24997750e-5)
def penalty(x):
    small = sqrt(1e-5)
    return np.r_[small * (x - 1), x @ x - 0.25], np.r_[small * eye(4), [2 * x]], lambda r: 2 * r[-1] * eye(4)


@problem(ones(10) / 10, 0.0, 2.79505612e-5)
def trigonometric(x):
    i = arange(1, 11)
    J = np.diag(i * sin(x) - cos(x)) + sin(x)
    return (
        10 - cos(x).sum() + i * (1 - cos(x)) - sin(x),
        J,
        lambda r: np.diag(r.sum() * cos(x) + r * (i * cos(x) + sin(x))),
    )


@problem(-ones(10), 0.0)
def broyden_tridiagonal(x):
    r = (3 - 2 * x) * x - np.r_[0, x[:-1]] - 2 * np.r_[x[1:], 0] + 1
    return r, np.diag(3 - 4 * x) - eye(10, k=-1) - 2 * eye(10, k=1), lambda r: np.diag(-4 * r)


@problem(ones(5) / 2, 0.0, 1.0)
def brown_almost_linear(x):
    others = array([np.prod(np.delete(x, i)) for i in range(5)])
    pairs = {(i, j): np.prod(np.delete(x, [i, j])) for i in range(5) for j in range(i + 1, 5)}
    r = np.r_[x[:-1] + x.sum() - 6, np.prod(x) - 1]
    return r, np.r_[(eye(5) + 1)[:-1], [others]], lambda r: r[-1] * symmetric(5, pairs)


# --- not sums of squares -------------------------------------------------------------------------------------------


def log_barrier(x):
    """Σ xᵢ − log xᵢ for x > 0, NaN elsewhere: minimum n at (1, …, 1)."""
    with np.errstate(all="ignore"):
        return float((x - log(x)).sum())


barrier = (log_barrier, lambda x: 1 - 1 / x, lambda x: np.diag(1 / x**2))


double_well = (
    lambda x: float(((x**2 - 1) ** 2).sum()),
    lambda x: 4 * x * (x**2 - 1),
    lambda x: np.diag(12 * x**2 - 4),
)
"""Σ (xᵢ² − 1)²: minima 0 at ±1 in every variable, a maximum at the origin."""

saddle = (
    lambda x: float(x[0] ** 2 + (x[1] ** 2 - 1) ** 2),
    lambda x: array([2 * x[0], 4 * x[1] * (x[1] ** 2 - 1)]),
    lambda x: np.diag([2, 12 * x[1] ** 2 - 4]),
)
"""x² + (y² − 1)²: a saddle at the origin, minima 0 at (0, ±1)."""
