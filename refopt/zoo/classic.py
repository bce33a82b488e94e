"""Small classic problems with analytic derivatives and known minimisers.

    rosenbrock   f = Σᵢ 100 (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)²    a curved valley; unique minimiser (1, …, 1) for n ≤
    3,
                                                      a second local minimum near (−1, 1, …, 1) from n = 4
    quartic      f = Σᵢ₌₁⁴ aᵢuⁱ + bᵢvⁱ + uv/10,  u = 0.8x − 0.5,  v = 2y        the Hessian is indefinite at
    places valley       f = w₁² + 100 w₂²                          a quadratic with condition number 100

H. H. Rosenbrock, An automatic method for finding the greatest or least value of a function, *The Computer
Journal* 3 (1960) 175-184. All functions take and return the array kind of x.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refopt.derivatives.differences import like
from refopt.ops import device, dot, namespace, scalar
from refopt.problem import LeastSquares, Problem


class Known(NamedTuple):
    """A problem, a start, and what is known about its solution."""

    name: str
    problem: Any  #: Problem or LeastSquares
    x0: Any  #: (n,)
    solution: Any  #: (n,)
    fun: float  #: f at the solution


# --- Rosenbrock ---------------------------------------------------------------------------------------------


def rosenbrock(x: Any) -> float:
    """Σᵢ 100 tᵢ² + (1 − xᵢ)²,  tᵢ = xᵢ₊₁ − xᵢ².   Cost: O(n)."""
    t, u = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    return 100 * dot(t, t) + dot(u, u)


def rosenbrock_grad(x: Any) -> Any:
    """gᵢ = −400 xᵢ tᵢ − 2 (1 − xᵢ) + 200 tᵢ₋₁, shape (n,).   Cost: O(n)."""
    t = x[1:] - x[:-1] ** 2
    g = namespace(x).zeros_like(x)
    g[:-1] = -400 * x[:-1] * t - 2 * (1 - x[:-1])
    g[1:] += 200 * t
    return g


def rosenbrock_hess(x: Any) -> Any:
    """hᵢᵢ = 1200 xᵢ² − 400 xᵢ₊₁ + 2 + 200 [i > 1],  hᵢ,ᵢ₊₁ = −400 xᵢ, shape (n, n).   Cost: O(n²)."""
    n = x.shape[0]
    diagonal, beside = _rosenbrock_bands(x)
    H = namespace(x).zeros(n * n, dtype=x.dtype, device=device(x))
    H[:: n + 1], H[1 :: n + 1], H[n :: n + 1] = diagonal, beside, beside
    return namespace(x).reshape(H, (n, n))


def rosenbrock_hvp(x: Any, v: Any) -> Any:
    """H v without H, shape (n,).   Cost: O(n)."""
    diagonal, beside = _rosenbrock_bands(x)
    Hv = diagonal * v
    Hv[:-1] += beside * v[1:]
    Hv[1:] += beside * v[:-1]
    return Hv


def _rosenbrock_bands(x: Any) -> tuple[Any, Any]:
    diagonal = namespace(x).zeros_like(x)
    diagonal[:-1] = 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    diagonal[1:] += 200
    return diagonal, -400 * x[:-1]


def rosenbrock_residual(x: Any) -> Any:
    """r = (10 t, 1 − x), shape (2n − 2,): ‖r‖² is Rosenbrock's function, ½‖r‖² half of it.   Cost: O(n)."""
    return namespace(x).concat([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


def rosenbrock_jacobian(x: Any) -> Any:
    """J of shape (2n − 2, n): rows −20 xᵢ eᵢᵀ + 10 eᵢ₊₁ᵀ, then −eᵢᵀ.   Cost: O(n²)."""
    n, xp = x.shape[0], namespace(x)
    here, following = (xp.eye(n - 1, n, k=k, dtype=x.dtype, device=device(x)) for k in (0, 1))
    return xp.concat([10 * following - 20 * x[:-1, None] * here, -here])


def _rosenbrock(name: str, start: int) -> Known:
    """``rosenbrock``, ``rosenbrock:n``, and ``rosenbrock:ls``, ``rosenbrock:ls:n`` as sums of squares."""
    words = name.split(":")[1:]
    squares = words[:1] == ["ls"]
    sizes = words[squares:]
    if len(sizes) > 1 or not all(size.isdecimal() and int(size) > 1 for size in sizes):
        raise ValueError(f"{name!r} is unknown: write rosenbrock:n or rosenbrock:ls:n with n ≥ 2 variables")
    n = int(sizes[0]) if sizes else 2
    first = _start(name, start, (-1.2, -1.0))
    problem = (
        LeastSquares(rosenbrock_residual, rosenbrock_jacobian)
        if squares
        else Problem(rosenbrock, rosenbrock_grad, rosenbrock_hess, rosenbrock_hvp)
    )
    return Known(name, problem, np.where(np.arange(n) % 2, 1.0, first), np.ones(n), 0.0)


# --- the quartic --------------------------------------------------------------------------------------------

A = (0.20243525505065918, 0.9623256921768188, 0.060886263847351074, 1.0)
B = (0.8375757932662964, 0.0591200590133667, 0.022907614707946777, 1.0)
QUARTIC_SOLUTION = (0.5316804872489896, -0.2905145637585243)
QUARTIC_FUN = -0.36262641479800284


def quartic(z: Any) -> float:
    """Σᵢ aᵢuⁱ + bᵢvⁱ + uv/10 at z = (x, y)."""
    u, v = _uv(z)
    return _polynomial(A, u)[0] + _polynomial(B, v)[0] + 0.1 * u * v


def quartic_grad(z: Any) -> Any:
    """(0.8 (Σᵢ i aᵢuⁱ⁻¹ + v/10), 2 (Σᵢ i bᵢvⁱ⁻¹ + u/10))."""
    u, v = _uv(z)
    return like(z, [0.8 * (_polynomial(A, u)[1] + 0.1 * v), 2 * (_polynomial(B, v)[1] + 0.1 * u)])


def quartic_hess(z: Any) -> Any:
    """[[0.64 Σᵢ i(i−1) aᵢuⁱ⁻², 0.16], [0.16, 4 Σᵢ i(i−1) bᵢvⁱ⁻²]]."""
    u, v = _uv(z)
    return like(z, [[0.64 * _polynomial(A, u)[2], 0.16], [0.16, 4 * _polynomial(B, v)[2]]])


def _uv(z: Any) -> tuple[float, float]:
    return 0.8 * scalar(z[0]) - 0.5, 2 * scalar(z[1])


def _polynomial(c: tuple[float, ...], t: float) -> tuple[float, float, float]:
    """c₁t + c₂t² + c₃t³ + c₄t⁴ and its first and second derivative."""
    c1, c2, c3, c4 = c
    return (
        t * (c1 + t * (c2 + t * (c3 + t * c4))),
        c1 + t * (2 * c2 + t * (3 * c3 + t * 4 * c4)),
        2 * c2 + t * (6 * c3 + t * 12 * c4),
    )


def _quartic(name: str, start: int) -> Known:
    x0 = _start(name, start, ((-0.9, 0.4),))
    return Known(
        name,
        Problem(quartic, quartic_grad, quartic_hess),
        np.array(x0),
        np.array(QUARTIC_SOLUTION),
        QUARTIC_FUN,
    )


# --- the valley ---------------------------------------------------------------------------------------------


def valley(w: Any) -> float:
    """w₁² + 100 w₂²."""
    return dot(w, like(w, [1, 100]) * w)


def valley_grad(w: Any) -> Any:
    """(2w₁, 200w₂)."""
    return like(w, [2, 200]) * w


def valley_hess(w: Any) -> Any:
    """diag(2, 200)."""
    return like(w, [[2, 0], [0, 200]])


def _valley(name: str, start: int) -> Known:
    x0 = _start(name, start, ((1.0, 1.0),))
    return Known(name, Problem(valley, valley_grad, valley_hess), np.array(x0), np.zeros(2), 0.0)


# --- by name ------------------------------------------------------------------------------------------------

FAMILIES: dict[str, Callable[[str, int], Known]] = {
    "rosenbrock": _rosenbrock,
    "quartic": _quartic,
    "valley": _valley,
}


def _start(name: str, start: int, starts: tuple[Any, ...]) -> Any:
    if start not in range(1, len(starts) + 1):
        raise ValueError(f"{name} has starts 1 to {len(starts)}, not {start!r}")
    return starts[start - 1]
