"""Standard problems in few variables, or in variables that do not mix: saddles, plateaus, walls and flat minima.

    quadratic         f = ½xᵀAx − bᵀx,  A = [[4, 1], [1, 2]],  b = (3, 2)    minimum −11/7 at (4/7, 5/7)
    saddle            f = x₁² + (x₂² − 1)²                      start 2 is the saddle; start 1 lies on the way into it
    monkey_saddle     f = x₁³ − 3x₁x₂² + (x₁² + x₂²)²           start 2 is a saddle where ∇²f = 0
    himmelblau        f = (x₁² + x₂ − 11)² + (x₁ + x₂² − 7)²    four minima
    fourth_power:n    f = (xᵀx)²                                ∇²f = 0 at the minimum
    double_well:n     f = Σᵢ (xᵢ² − 1)²                         2ⁿ minima; start 2 is the maximum
    styblinski_tang:n f = ½ Σᵢ xᵢ⁴ − 16xᵢ² + 5xᵢ                2ⁿ minima; concave at the start
    levy:n            f = sin²(πw₁) + Σᵢ<ₙ (wᵢ − 1)² (1 + 10 sin²(πwᵢ + 1)) + (wₙ − 1)² (1 + sin²(2πwₙ)),
                      w = 1 + (x − 1)/4                         very many minima
    plateau:n         f = Σᵢ xᵢ²/(1 + xᵢ²)                      concave and ever flatter away from the minimum
    barrier:n         f = Σᵢ xᵢ − log xᵢ                        NaN where an xᵢ < 0

D. M. Himmelblau, *Applied Nonlinear Programming*, McGraw-Hill 1972; M. A. Styblinski & T.-S. Tang, Experiments in
nonconvex optimization, *Neural Networks* 3 (1990) 467-483; A. V. Levy & A. Montalvo, The tunneling algorithm for the
global minimization of functions, *SIAM J. Sci. Stat. Comput.* 6 (1985) 15-29.
"""

import math
from typing import Any

import numpy as np

from refopt.derivatives.differences import like
from refopt.ops import dot, namespace
from refopt.zoo.arrays import band, diagonal, matrix, vector
from refopt.zoo.formulas import separable, smooth, structured
from refopt.zoo.known import ANY, Family

# --- variables that mix ----------------------------------------------------------------------------------------------


@smooth
def quadratic(x: Any) -> Any:
    """½xᵀAx − bᵀx."""
    A, b = like(x, [[4, 1], [1, 2]]), like(x, [3, 2])
    return dot(x, A @ x) / 2 - dot(b, x), lambda: A @ x - b, lambda: A


@smooth
def saddle(x: Any) -> Any:
    """x₁² + (x₂² − 1)²."""
    a, b = x
    u = b**2 - 1
    return a**2 + u**2, lambda: vector(x, 2 * a, 4 * b * u), lambda: diagonal(vector(x, 2, 12 * b**2 - 4))


@smooth
def monkey_saddle(x: Any) -> Any:
    """x₁³ − 3x₁x₂² + s²,  s = x₁² + x₂²."""
    a, b = x
    s = a**2 + b**2
    return (
        a**3 - 3 * a * b**2 + s**2,
        lambda: vector(x, 3 * (a**2 - b**2) + 4 * s * a, -6 * a * b + 4 * s * b),
        lambda: matrix(x, [[6 * a, -6 * b], [-6 * b, -6 * a]]) + 4 * s * band(x, 0) + 8 * x[:, None] * x,
    )


@smooth
def himmelblau(x: Any) -> Any:
    """p² + q²,  p = x₁² + x₂ − 11,  q = x₁ + x₂² − 7."""
    a, b = x
    p, q, mixed = a**2 + b - 11, a + b**2 - 7, 4 * (a + b)
    return (
        p**2 + q**2,
        lambda: vector(x, 4 * a * p + 2 * q, 2 * p + 4 * b * q),
        lambda: matrix(x, [[4 * p + 8 * a**2 + 2, mixed], [mixed, 4 * q + 8 * b**2 + 2]]),
    )


@structured
def fourth_power(x: Any) -> Any:
    """(xᵀx)²."""
    s = dot(x, x)
    return (
        s**2,
        lambda: 4 * s * x,
        lambda: 4 * s * band(x, 0) + 8 * x[:, None] * x,
        lambda v: 4 * s * v + 8 * dot(x, v) * x,
    )


# --- variables that do not mix ---------------------------------------------------------------------------------------


@separable
def double_well(x: Any) -> Any:
    """(xᵢ² − 1)²."""
    u = x**2 - 1
    return u**2, lambda: 4 * x * u, lambda: 12 * x**2 - 4


@separable
def styblinski_tang(x: Any) -> Any:
    """½(xᵢ⁴ − 16xᵢ² + 5xᵢ)."""
    return ((x**2 - 16) * x + 5) * x / 2, lambda: (2 * x**2 - 16) * x + 2.5, lambda: 6 * x**2 - 16


@separable
def levy(x: Any) -> Any:
    """u²A, and sin²(πu) more for i = 1;  u = (xᵢ − 1)/4,  A = 1 + 10 sin²(πu + π + 1), for i = n 1 + sin²(2πu)."""
    xp, n, pi = namespace(x), x.shape[0], math.pi
    u = (x - 1) / 4
    first, last = (like(x, np.arange(n) == i) for i in (0, n - 1))
    k, height = pi * (1 + last), 10 - 9 * last
    angle, turn = k * u + (pi + 1) * (1 - last), pi * u
    A, A1, A2 = 1 + height * xp.sin(angle) ** 2, height * k * xp.sin(2 * angle), 2 * height * k**2 * xp.cos(2 * angle)
    return (
        u**2 * A + first * xp.sin(turn) ** 2,
        lambda: (2 * u * A + u**2 * A1 + first * pi * xp.sin(2 * turn)) / 4,
        lambda: (2 * A + 4 * u * A1 + u**2 * A2 + first * 2 * pi**2 * xp.cos(2 * turn)) / 16,
    )


@separable
def plateau(x: Any) -> Any:
    """xᵢ²/(1 + xᵢ²)."""
    s = 1 + x**2
    return x**2 / s, lambda: 2 * x / s**2, lambda: 2 * (1 - 3 * x**2) / s**3


@separable
def barrier(x: Any) -> Any:
    """xᵢ − log xᵢ."""
    return x - namespace(x).log(x), lambda: 1 - 1 / x, lambda: 1 / x**2


# --- by name ---------------------------------------------------------------------------------------------------------

TWO, FREE = range(2, 3), range(1, ANY)
MONKEY = [(-0.75, 0), (0.375, 0.375 * math.sqrt(3)), (0.375, -0.375 * math.sqrt(3))]
HIMMELBLAU = [
    (3, 2), (-2.805118086952745, 3.1313125182505730), (-3.779310253377747, -3.2831859912861694),
    (3.584428340330492, -1.8481265269644036),
]  # fmt: skip
TANG = (-39.166165703771415, -2.9035340277711771), (-25.029446655283943, 2.7468027709908370)


def _styblinski_tang_minima(n: int) -> list[tuple[float, np.ndarray]]:
    """With k of the n variables in the higher of the two wells."""
    (low, left), (high, right) = TANG
    return [((n - k) * low + k * high, np.where(np.arange(n) < k, right, left)) for k in range(n + 1)]


FAMILIES: dict[str, Family] = {
    "quadratic": Family(quadratic, lambda n: [(0, 0)], lambda n: [(-11 / 7, (4 / 7, 5 / 7))], TWO, 2),
    "saddle": Family(saddle, lambda n: [(1, 0), (0, 0)], lambda n: [(0, (0, 1)), (0, (0, -1))], TWO, 2),
    "monkey_saddle": Family(
        monkey_saddle, lambda n: [(0.5, 0.5), (0, 0)], lambda n: [(-27 / 256, x) for x in MONKEY], TWO, 2
    ),
    "himmelblau": Family(himmelblau, lambda n: [(0, 0)], lambda n: [(0, x) for x in HIMMELBLAU], TWO, 2),
    "fourth_power": Family(fourth_power, lambda n: [np.ones(n)], lambda n: [(0, np.zeros(n))], FREE, 10),
    "double_well": Family(double_well, lambda n: [np.full(n, 0.5), np.zeros(n)], lambda n: [(0, np.ones(n))], FREE, 10),
    "styblinski_tang": Family(styblinski_tang, lambda n: [np.zeros(n)], _styblinski_tang_minima, FREE, 10),
    "levy": Family(levy, lambda n: [np.zeros(n), np.full(n, -4)], lambda n: [(0, np.ones(n))], FREE, 10),
    "plateau": Family(plateau, lambda n: [np.ones(n), np.full(n, 10)], lambda n: [(0, np.zeros(n))], FREE, 10),
    "barrier": Family(barrier, lambda n: [np.full(n, 50), np.full(n, 0.01)], lambda n: [(n, np.ones(n))], FREE, 10),
}
