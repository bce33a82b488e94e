"""Small classic problems with analytic derivatives and known minimisers.

    rosenbrock:n   f = Σᵢ 100 (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)²                    a curved valley; unique minimiser (1, …, 1)
                                                           for n ≤ 3, a local one near (−1, 1, …, 1) from n = 4 on
    quartic        f = Σᵢ₌₁⁴ aᵢuⁱ + bᵢvⁱ + uv/10,  u = 0.8x − 0.5,  v = 2y     convex, far from quadratic
    valley         f = w₁² + 100 w₂²                                           a quadratic with condition number 100

H. H. Rosenbrock, An automatic method for finding the greatest or least value of a function, *The Computer
Journal* 3 (1960) 175-184. All functions take and return the array kind of x.
"""

from typing import Any

import numpy as np

from refopt.derivatives.differences import like
from refopt.ops import dot, namespace
from refopt.problem import LeastSquares
from refopt.zoo.arrays import band, matrix, vector
from refopt.zoo.formulas import chained, smooth
from refopt.zoo.known import ANY, Family

# --- Rosenbrock ------------------------------------------------------------------------------------------------------


@chained
def rosenbrock(x: Any) -> Any:
    """Σᵢ 100 tᵢ² + (1 − xᵢ)²,  tᵢ = xᵢ₊₁ − xᵢ².

    gᵢ = −400 xᵢ tᵢ − 2 (1 − xᵢ) + 200 tᵢ₋₁;  hᵢᵢ = 1200 xᵢ² − 400 xᵢ₊₁ + 2 + 200 [i > 1],  hᵢ,ᵢ₊₁ = −400 xᵢ.
    """
    t, u = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    return (
        100 * dot(t, t) + dot(u, u),
        lambda: vector(x, -400 * x[:-1] * t - 2 * u, 0) + vector(x, 0, 200 * t),
        lambda: (vector(x, 1200 * x[:-1] ** 2 - 400 * x[1:] + 2, 0) + vector(x, 0, 0 * t + 200), -400 * x[:-1]),
    )


def rosenbrock_residual(x: Any) -> Any:
    """r = (10 t, 1 − x), shape (2n − 2,): ‖r‖² is Rosenbrock's function, ½‖r‖² half of it.   Cost: O(n)."""
    return namespace(x).concat([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


def rosenbrock_jacobian(x: Any) -> Any:
    """J of shape (2n − 2, n): rows −20 xᵢ eᵢᵀ + 10 eᵢ₊₁ᵀ, then −eᵢᵀ.   Cost: O(n²)."""
    here, following = (band(x, k, rows=x.shape[0] - 1) for k in (0, 1))
    return namespace(x).concat([10 * following - 20 * x[:-1, None] * here, -here])


LOCAL = {
    4: 3.7014286104300173, 5: 3.9308394341330281, 6: 3.9739405009302949, 7: 3.9836005364248540, 8: 3.9858877695994898,
    9: 3.9864428232478139, 10: 3.9865791123471382,
}  # fmt: skip
"""f at the local minimiser near (−1, 1, …, 1)."""


def _rosenbrock_minima(n: int) -> list[tuple[float, Any]]:
    return [(0, np.ones(n)), *([(LOCAL[n], None)] if n in LOCAL else [])]


# --- the quartic -----------------------------------------------------------------------------------------------------

A = (0.20243525505065918, 0.9623256921768188, 0.060886263847351074, 1.0)
B = (0.8375757932662964, 0.0591200590133667, 0.022907614707946777, 1.0)
QUARTIC_SOLUTION = (0.5316804872489896, -0.2905145637585243)
QUARTIC_FUN = -0.36262641479800284


@smooth
def quartic(z: Any) -> Any:
    """Σᵢ aᵢuⁱ + bᵢvⁱ + uv/10 at z = (x, y)."""
    u, v = 0.8 * z[0] - 0.5, 2 * z[1]
    (p, p1, p2), (q, q1, q2) = _polynomial(A, u), _polynomial(B, v)
    return (
        p + q + 0.1 * u * v,
        lambda: vector(z, 0.8 * (p1 + 0.1 * v), 2 * (q1 + 0.1 * u)),
        lambda: matrix(z, [[0.64 * p2, 0.16], [0.16, 4 * q2]]),
    )


def _polynomial(c: tuple[float, ...], t: Any) -> tuple[Any, Any, Any]:
    """c₁t + c₂t² + c₃t³ + c₄t⁴ and its first and second derivative."""
    c1, c2, c3, c4 = c
    return (
        t * (c1 + t * (c2 + t * (c3 + t * c4))),
        c1 + t * (2 * c2 + t * (3 * c3 + t * 4 * c4)),
        2 * c2 + t * (6 * c3 + t * 12 * c4),
    )


# --- the valley ------------------------------------------------------------------------------------------------------


@smooth
def valley(w: Any) -> Any:
    """w₁² + 100 w₂²."""
    d = like(w, [1, 100])
    return dot(w, d * w), lambda: 2 * d * w, lambda: 2 * d * band(w, 0)


# --- by name ---------------------------------------------------------------------------------------------------------


def alternating(a: float, b: float, n: int) -> np.ndarray:
    """(a, b, a, b, …) of length n."""
    return np.where(np.arange(n) % 2, b, a)


FAMILIES: dict[str, Family] = {
    "rosenbrock": Family(
        rosenbrock,
        lambda n: [alternating(-1.2, 1, n), alternating(-1, 1, n)],
        _rosenbrock_minima,
        range(2, ANY),
        2,
        LeastSquares(rosenbrock_residual, rosenbrock_jacobian),
    ),
    "quartic": Family(quartic, lambda n: [(-0.9, 0.4)], lambda n: [(QUARTIC_FUN, QUARTIC_SOLUTION)], range(2, 3), 2),
    "valley": Family(valley, lambda n: [(1, 1)], lambda n: [(0, (0, 0))], range(2, 3), 2),
}
