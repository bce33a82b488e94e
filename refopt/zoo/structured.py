"""Standard problems in up to a thousand variables, whose Hessians have structure: each with the product ∇²f v.

    ill_conditioned:n      f = ½(x − 1)ᵀA(x − 1)                         A with eigenvalues spread over [1, 10⁶]
    zakharov:n             f = xᵀx + s² + s⁴,  s = ½ Σᵢ ixᵢ              a matrix of rank one added to the identity
    dixon_price:n          f = (x₁ − 1)² + Σᵢ≥₂ i (2xᵢ² − xᵢ₋₁)²         tridiagonal; for n ≥ 3 stationary with ∇²f ⪰ 0
                                                                         at (1/3, 0, …, 0), which is no minimum
    nesterov:n             f = ¼(x₁ − 1)² + Σᵢ (xᵢ₊₁ − 2xᵢ² + 1)²        tridiagonal; the way along the valley grows
                                                                         exponentially with n
    extended_rosenbrock:n  f = Σᵢ 100 (x₂ᵢ − x₂ᵢ₋₁²)² + (1 − x₂ᵢ₋₁)²     block diagonal
    chained_wood:n         Wood's function on (x₁, …, x₄), (x₃, …, x₆), …      banded
    logistic:n             f = 1/m Σᵢ log(1 + e^zᵢ) − pᵢzᵢ + λ/2 ‖x − w‖²,  z = Ax        convex; data drawn by a seed

Zakharov's function after M. Jamil & X.-S. Yang, A literature survey of benchmark functions for global optimization
problems, *Int. J. Math. Model. Numer. Optim.* 4 (2013) 150-194; L. C. W. Dixon & R. C. Price, Truncated
Newton method for sparse unconstrained optimization using automatic differentiation, *J. Optim. Theory Appl.* 60 (1989)
261-275; M. Gürbüzbalaban & M. L. Overton, On Nesterov's nonsmooth Chebyshev-Rosenbrock functions, *Nonlinear Analysis*
75 (2012) 1282-1289 (here the smooth one); A. R. Conn, N. I. M. Gould & Ph. L. Toint, Testing a class of methods for
solving minimization problems with simple bounds on the variables, *Math. Comp.* 50 (1988) 399-430.
"""

from typing import Any

import numpy as np

from refopt.derivatives.differences import like
from refopt.ops import dot, namespace
from refopt.problem import Problem
from refopt.zoo.arrays import band, counting, diagonal, interleaved, tridiagonal, vector
from refopt.zoo.classic import alternating
from refopt.zoo.formulas import chained, structured
from refopt.zoo.known import ANY, Family

# --- quadratics and ranks of one -------------------------------------------------------------------------------------


def with_spectrum(eigenvalues: Any) -> Problem:
    """½(x − 1)ᵀA(x − 1),  A = QΛQ with the eigenvalues given and the reflection Q = I − 2/n 11ᵀ, n ≥ 2."""

    @structured
    def quadratic(x: Any) -> Any:
        values, xp = like(x, eigenvalues), namespace(x)

        def product(v: Any) -> Any:
            return reflected(values * reflected(v))

        def reflected(v: Any) -> Any:
            return v - 2 * xp.mean(v, axis=0)

        d = x - 1
        return (
            dot(d, product(d)) / 2,
            lambda: product(d),
            lambda: reflected(reflected(diagonal(values)).T),
            product,
        )

    return quadratic


def spectrum(n: int) -> np.ndarray:
    """n numbers from 1 to 10⁶, each the same factor above the one before."""
    return np.logspace(0, 6, n)


@structured
def zakharov(x: Any) -> Any:
    """xᵀx + s² + s⁴,  s = ½ Σᵢ ixᵢ."""
    i = counting(x, x.shape[0])
    s = dot(i, x) / 2
    slope, bend = s + 2 * s**3, (1 + 6 * s**2) / 2
    return (
        dot(x, x) + s**2 + s**4,
        lambda: 2 * x + slope * i,
        lambda: 2 * band(x, 0) + bend * i[:, None] * i,
        lambda v: 2 * v + bend * dot(i, v) * i,
    )


# --- chains ----------------------------------------------------------------------------------------------------------


@chained
def dixon_price(x: Any) -> Any:
    """(x₁ − 1)² + Σᵢ≥₂ i tᵢ²,  tᵢ = 2xᵢ² − xᵢ₋₁."""
    i, y = counting(x, x.shape[0])[1:], x[1:]
    t, u = 2 * y**2 - x[:-1], x[:1] - 1
    return (
        dot(u, u) + dot(i, t**2),
        lambda: vector(x, 2 * u, 8 * i * t * y) - vector(x, 2 * i * t, 0),
        lambda: (vector(x, 2, i * (32 * y**2 + 8 * t)) + vector(x, 2 * i, 0), -8 * i * y),
    )


@chained
def nesterov(x: Any) -> Any:
    """¼(x₁ − 1)² + Σᵢ tᵢ²,  tᵢ = xᵢ₊₁ − 2xᵢ² + 1."""
    y, u = x[:-1], x[:1] - 1
    t = x[1:] - 2 * y**2 + 1
    return (
        dot(u, u) / 4 + dot(t, t),
        lambda: vector(x, u / 2, 2 * t) - vector(x, 8 * y * t, 0),
        lambda: (vector(x, 0.5, 0 * t + 2) + vector(x, 32 * y**2 - 8 * t, 0), -8 * y),
    )


@chained
def extended_rosenbrock(x: Any) -> Any:
    """Σᵢ 100 tᵢ² + uᵢ²,  tᵢ = x₂ᵢ − x₂ᵢ₋₁²,  uᵢ = 1 − x₂ᵢ₋₁."""
    odd, even = x[::2], x[1::2]
    t, u = even - odd**2, 1 - odd
    return (
        100 * dot(t, t) + dot(u, u),
        lambda: interleaved(-400 * odd * t - 2 * u, 200 * t),
        lambda: (interleaved(1200 * odd**2 - 400 * even + 2, 0 * t + 200), interleaved(-400 * odd, 0 * t)[:-1]),
    )


@structured
def chained_wood(x: Any) -> Any:
    """Σⱼ cⱼtⱼ² + dⱼuⱼ² + Σⱼ 10 (bⱼ + bⱼ₊₁ − 2)² + (bⱼ − bⱼ₊₁)²/10,  tⱼ = bⱼ − aⱼ²,  uⱼ = 1 − aⱼ.

    x = (a₁, b₁, a₂, b₂, …); c = (100, 190, …, 190, 90) and d = (1, 2, …, 2, 1), as the inner pairs are in two Woods.
    """
    a, b = x[::2], x[1::2]
    zero = 0 * a[:-1]
    c, d = vector(x, zero + 100, 0) + vector(x, 0, zero + 90), vector(x, zero + 1, 0) + vector(x, 0, zero + 1)
    t, u, plus, minus = b - a**2, 1 - a, b[:-1] + b[1:] - 2, b[:-1] - b[1:]

    def bands() -> tuple[Any, Any, Any]:
        return -4 * c * (b - 3 * a**2) + 2 * d, -4 * c * a, 2 * c + 20.2 * d

    def hess() -> Any:
        (here, beside, corner), ends = bands(), interleaved(0 * a, 0 * a + 19.8)
        inner = tridiagonal(interleaved(here, corner), interleaved(beside, 0 * a)[:-1])
        return inner + ends * (band(x, 2) + band(x, -2))

    def product(v: Any) -> Any:
        (here, beside, corner), p, q = bands(), v[::2], v[1::2]
        neighbours = vector(x, q[1:], 0) + vector(x, 0, q[:-1])
        return interleaved(here * p + beside * q, beside * p + corner * q + 19.8 * neighbours)

    pull, push = 20 * plus, minus / 5
    return (
        dot(c, t**2) + dot(d, u**2) + 10 * dot(plus, plus) + dot(minus, minus) / 10,
        lambda: interleaved(
            -4 * c * a * t - 2 * d * u,
            2 * c * t + vector(x, pull + push, 0) + vector(x, 0, pull - push),
        ),
        hess,
        product,
    )


# --- logistic regression ---------------------------------------------------------------------------------------------

RIDGE = 1e-3


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (2n, n), the frequencies p (2n,) with which an outcome was seen, and the parameters w (n,) behind them."""
    rng = np.random.default_rng(seed)
    A, w = rng.standard_normal((2 * n, n)), rng.standard_normal(n) / np.sqrt(n)
    return A, 1 / (1 + np.exp(-A @ w)), w


def logistic(A: Any, p: Any, w: Any) -> Problem:
    """1/m Σᵢ log(1 + e^zᵢ) − pᵢzᵢ + λ/2 ‖x − w‖²,  z = Ax.

    A ridge towards w, on frequencies that are exactly those of w: so that w is the minimiser.
    """
    m, xp = A.shape[0], namespace(A)

    @structured
    def negative_log_likelihood(x: Any) -> Any:
        z, d = A @ x, x - w
        total = xp.logaddexp(0 * z, z)
        chance = xp.exp(z - total)
        weight = chance * xp.exp(-total) / m
        return (
            xp.mean(total - p * z) + RIDGE / 2 * dot(d, d),
            lambda: (chance - p) @ A / m + RIDGE * d,
            lambda: (A.T * weight) @ A + RIDGE * band(x, 0),
            lambda v: (weight * (A @ v)) @ A + RIDGE * v,
        )

    return negative_log_likelihood


def _logistic(n: int, kind: Any) -> Problem:
    return logistic(*(like(kind, data) for data in drawn(n)))


def _logistic_minima(n: int) -> list[tuple[float, np.ndarray]]:
    A, p, w = drawn(n)
    return [(logistic(A, p, w).fun(w), w)]


# --- by name ---------------------------------------------------------------------------------------------------------


def _dixon_price_solution(n: int) -> np.ndarray:
    return 2.0 ** (2.0 ** -np.arange(n) - 1)


def _wood_start(n: int) -> np.ndarray:
    return np.where(np.arange(n) < 4, alternating(-3, -1, n), alternating(-2, 0, n))


FAMILIES: dict[str, Family] = {
    "ill_conditioned": Family(
        lambda n, kind: with_spectrum(spectrum(n)), lambda n: [np.zeros(n)], lambda n: [(0, np.ones(n))],
        range(2, ANY), 10,
    ),
    "zakharov": Family(zakharov, lambda n: [np.ones(n)], lambda n: [(0, np.zeros(n))], range(1, ANY), 10),
    "dixon_price": Family(
        dixon_price, lambda n: [np.ones(n)], lambda n: [(0, _dixon_price_solution(n))], range(2, ANY), 10
    ),
    "nesterov": Family(
        nesterov, lambda n: [np.where(np.arange(n), 1, -1)], lambda n: [(0, np.ones(n))], range(2, ANY), 5
    ),
    "extended_rosenbrock": Family(
        extended_rosenbrock, lambda n: [alternating(-1.2, 1, n)], lambda n: [(0, np.ones(n))], range(2, ANY, 2), 1000
    ),
    "chained_wood": Family(
        chained_wood, lambda n: [_wood_start(n)], lambda n: [(0, np.ones(n))], range(4, ANY, 2), 100
    ),
    "logistic": Family(_logistic, lambda n: [np.zeros(n)], _logistic_minima, range(1, ANY), 100),
}  # fmt: skip
