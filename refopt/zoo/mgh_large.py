"""The problems 17 to 35 of Moré, Garbow and Hillstrom: in five to eleven variables, and in any number of them.

Residuals r, Jacobians J and curvatures Σᵢ wᵢ ∇²rᵢ, with the paper's data and standard starts; see ``refopt.zoo.mgh``.
"""

import math
from typing import Any

import numpy as np

from refopt.derivatives.differences import like
from refopt.ops import device, dot, namespace
from refopt.zoo.arrays import band, columns, counting, diagonal, symmetric, vector
from refopt.zoo.known import ANY
from refopt.zoo.mgh_small import powell_singular, rosenbrock
from refopt.zoo.squares import Squares, Terms, squares

# --- fits ------------------------------------------------------------------------------------------------------------

OSBORNE_1 = [
    0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603,
    0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411,
    0.406,
]  # fmt: skip


@squares(start=(0.5, 1.5, -1, 0.01, 0.02))
def osborne_1(x: Any) -> Terms:
    """yᵢ − (x₁ + x₂ e^(−tᵢx₄) + x₃ e^(−tᵢx₅)),  tᵢ = 10 (i − 1),  i = 1, …, 33."""
    exp = namespace(x).exp
    x1, x2, x3, x4, x5 = x
    y, t = like(x, OSBORNE_1), 10 * (counting(x, 33) - 1)
    e, f = exp(-t * x4), exp(-t * x5)
    return (
        y - (x1 + x2 * e + x3 * f),
        lambda: columns(x, -1, -e, -f, x2 * t * e, x3 * t * f),
        lambda w: symmetric(x, {
            (1, 3): dot(w, t * e), (2, 4): dot(w, t * f), (3, 3): -x2 * dot(w, t**2 * e), (4, 4): -x3 * dot(w, t**2 * f)
        }),
    )  # fmt: skip


@squares(start=(1, 2, 1, 1, 1, 1))
def biggs_exp6(x: Any) -> Terms:
    """x₃ e^(−tᵢx₁) − x₄ e^(−tᵢx₂) + x₆ e^(−tᵢx₅) − yᵢ,  yᵢ = e^(−tᵢ) − 5e^(−10tᵢ) + 3e^(−4tᵢ),  tᵢ = i/10."""
    exp = namespace(x).exp
    x1, x2, x3, x4, x5, x6 = x
    t = counting(x, 13) / 10
    e, f, g = exp(-t * x1), exp(-t * x2), exp(-t * x5)
    return (
        x3 * e - x4 * f + x6 * g - (exp(-t) - 5 * exp(-10 * t) + 3 * exp(-4 * t)),
        lambda: columns(x, -x3 * t * e, x4 * t * f, e, -f, -x6 * t * g, g),
        lambda w: symmetric(x, {
            (0, 2): -dot(w, t * e), (1, 3): dot(w, t * f), (4, 5): -dot(w, t * g), (0, 0): x3 * dot(w, t**2 * e),
            (1, 1): -x4 * dot(w, t**2 * f), (4, 4): x6 * dot(w, t**2 * g),
        }),
    )  # fmt: skip


OSBORNE_2 = [
    1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616, 0.606,
    0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500, 0.423,
    0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668,
    0.645, 0.632, 0.591, 0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098,
    0.054,
]  # fmt: skip


@squares(start=(1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5))
def osborne_2(x: Any) -> Terms:
    """yᵢ − (x₁ e^(−tᵢx₅) + Σⱼ aⱼ e^(−bⱼ(tᵢ − cⱼ)²)),  (a, b, c)ⱼ = (xⱼ₊₁, xⱼ₊₅, xⱼ₊₈),  tᵢ = (i − 1)/10."""
    exp = namespace(x).exp
    y, t = like(x, OSBORNE_2), (counting(x, 65) - 1) / 10
    e, a, b = exp(-t * x[4]), x[1:4], x[5:8]
    d = t[:, None] - x[8:11]
    g = exp(-b * d**2)

    def jacobian() -> Any:
        decay, peaks = columns(x, -e, x[0] * t * e), [-g, a * d**2 * g, -2 * a * b * d * g]
        return namespace(x).concat([decay[:, :1], peaks[0], decay[:, 1:], *peaks[1:]], axis=1)

    def curvature(w: Any) -> Any:
        entries = {(0, 4): dot(w, t * e), (4, 4): -x[0] * dot(w, t**2 * e)}
        for j in range(3):
            wg, dj = w * g[:, j], d[:, j]
            entries[j + 1, j + 5], entries[j + 1, j + 8] = dot(wg, dj**2), -2 * b[j] * dot(wg, dj)
            entries[j + 5, j + 5], entries[j + 8, j + 8] = (
                -a[j] * dot(wg, dj**4), 2 * a[j] * b[j] * dot(wg, 1 - 2 * b[j] * dj**2)
            )  # fmt: skip
            entries[j + 5, j + 8] = -2 * a[j] * dot(wg, dj - b[j] * dj**3)
        return symmetric(x, entries)

    return y - (x[0] * e + g @ a), jacobian, curvature


@squares(start=lambda n: np.zeros(n), sizes=range(2, 32))
def watson(x: Any) -> Terms:
    """Σⱼ (j − 1) xⱼ tᵢʲ⁻² − (Σⱼ xⱼ tᵢʲ⁻¹)² − 1,  tᵢ = i/29,  i = 1, …, 29;  x₁;  x₂ − x₁² − 1."""
    j, t = counting(x, x.shape[0]), counting(x, 29)[:, None] / 29
    powers, slopes = t ** (j - 1), (j - 1) * t ** (j - 2)
    sums, e = powers @ x, band(x, 0)
    last = e[1:2, :] - 2 * x[0] * e[:1, :]
    return (
        vector(x, slopes @ x - sums**2 - 1, x[0], x[1] - x[0] ** 2 - 1),
        lambda: namespace(x).concat([slopes - 2 * sums[:, None] * powers, e[:1, :], last]),
        lambda w: -2 * ((powers.T * w[:29]) @ powers + diagonal(w[30] * e[0, :])),
    )


# --- any number of variables -----------------------------------------------------------------------------------------


def extended(block: Squares, name: str) -> Squares:
    """Copies of a problem side by side, each with variables of its own."""
    size = block.sizes[0]

    def formula(x: Any) -> Terms:
        n = x.shape[0]
        xp, places = namespace(x), [slice(k, k + size) for k in range(0, n, size)]
        terms = [block.formula(x[place]) for place in places]

        def beside(blocks: list[Any]) -> Any:
            whole = xp.zeros((n, n), dtype=x.dtype, device=device(x))
            for place, each in zip(places, blocks, strict=True):
                whole[place, place] = each
            return whole

        return (
            xp.concat([r for r, _, _ in terms]),
            lambda: beside([jacobian() for _, jacobian, _ in terms]),
            lambda w: beside([curvature(w[place]) for place, (_, _, curvature) in zip(places, terms, strict=True)]),
        )

    return Squares(name, formula, lambda n: np.tile(block.start(size), n // size), range(size, ANY, size))


extended_rosenbrock = extended(rosenbrock, "extended_rosenbrock")
extended_powell_singular = extended(powell_singular, "extended_powell_singular")

SMALL = math.sqrt(1e-5)


@squares(start=lambda n: np.arange(1, n + 1))
def penalty_1(x: Any) -> Terms:
    """√10⁻⁵ (xᵢ − 1),  i = 1, …, n;  Σⱼ xⱼ² − ¼."""
    return (
        vector(x, SMALL * (x - 1), dot(x, x) - 0.25),
        lambda: namespace(x).concat([SMALL * band(x, 0), 2 * x[None, :]]),
        lambda w: 2 * w[-1] * band(x, 0),
    )


@squares(start=lambda n: np.full(n, 0.5))
def penalty_2(x: Any) -> Terms:
    """x₁ − 0.2;  √10⁻⁵ (eᵢ + eᵢ₋₁ − e^(i/10) − e^((i−1)/10));  √10⁻⁵ (eᵢ − e^(−1/10));  Σⱼ (n − j + 1) xⱼ² − 1.

    Here eᵢ = e^(xᵢ/10), and i = 2, …, n.
    """
    n, xp = x.shape[0], namespace(x)
    i = counting(x, n)
    falling, e, y = n + 1 - i, SMALL * xp.exp(x / 10), SMALL * xp.exp(i / 10)
    below, here = band(x, 0, rows=n - 1), band(x, 1, rows=n - 1)
    both = below + here
    return (
        vector(x, x[0] - 0.2, both @ (e - y), here @ e - SMALL * math.exp(-0.1), dot(falling, x**2) - 1),
        lambda: xp.concat([band(x, 0, rows=1), both * e / 10, here * e / 10, 2 * (falling * x)[None, :]]),
        lambda w: diagonal((w[1:n] @ both + w[n:-1] @ here) * e / 100 + 2 * w[-1] * falling),
    )


@squares(start=lambda n: 1 - np.arange(1, n + 1) / n)
def variably_dimensioned(x: Any) -> Terms:
    """xᵢ − 1,  i = 1, …, n;  s;  s²,   s = Σⱼ j (xⱼ − 1)."""
    j = counting(x, x.shape[0])
    s = dot(j, x - 1)
    return (
        vector(x, x - 1, s, s**2),
        lambda: namespace(x).concat([band(x, 0), j[None, :], 2 * s * j[None, :]]),
        lambda w: 2 * w[-1] * j[:, None] * j,
    )


@squares(start=lambda n: np.full(n, 1 / n))
def trigonometric(x: Any) -> Terms:
    """n − Σⱼ cos xⱼ + i (1 − cos xᵢ) − sin xᵢ,  i = 1, …, n;  1 − cos x = 2 sin²(x/2)."""
    xp, i = namespace(x), counting(x, x.shape[0])
    cos, sin, rise = xp.cos(x), xp.sin(x), 2 * xp.sin(x / 2) ** 2
    return (
        xp.sum(rise) + i * rise - sin,
        lambda: diagonal(i * sin - cos) + sin,
        lambda w: diagonal(xp.sum(w) * cos + w * (i * cos + sin)),
    )


@squares(start=lambda n: np.full(n, 0.5))
def brown_almost_linear(x: Any) -> Terms:
    """xᵢ + Σⱼ xⱼ − (n + 1),  i = 1, …, n − 1;  Πⱼ xⱼ − 1."""
    xp, n, same = namespace(x), x.shape[0], band(x, 0)
    others = x + same * (1 - x)  # row i is x with a one in place of xᵢ
    product = xp.prod(others, axis=1)

    def curvature(w: Any) -> Any:
        pairs = xp.prod(others[:, None, :] * (1 - same) + same, axis=2)
        return w[-1] * pairs * (1 - same)

    return (
        vector(x, x[:-1] + xp.sum(x) - (n + 1), xp.prod(x) - 1),
        lambda: xp.concat([same[:-1, :] + 1, product[None, :]]),
        curvature,
    )


def grid(n: int) -> np.ndarray:
    """tᵢ = i/(n + 1), i = 1, …, n."""
    return np.arange(1, n + 1) / (n + 1)


@squares(start=lambda n: grid(n) * (grid(n) - 1))
def discrete_boundary_value(x: Any) -> Terms:
    """2xᵢ − xᵢ₋₁ − xᵢ₊₁ + h²(xᵢ + tᵢ + 1)³/2,  h = 1/(n + 1),  tᵢ = ih,  x₀ = xₙ₊₁ = 0."""
    h = 1 / (x.shape[0] + 1)
    A, z = 2 * band(x, 0) - band(x, -1) - band(x, 1), x + h * counting(x, x.shape[0]) + 1
    return (
        A @ x + h**2 * z**3 / 2,
        lambda: A + diagonal(1.5 * h**2 * z**2),
        lambda w: diagonal(3 * h**2 * z * w),
    )


@squares(start=lambda n: grid(n) * (grid(n) - 1))
def discrete_integral(x: Any) -> Terms:
    """xᵢ + h/2 Σⱼ kᵢⱼ (xⱼ + tⱼ + 1)³,  kᵢⱼ = min(tᵢ, tⱼ) (1 − max(tᵢ, tⱼ)),  h = 1/(n + 1),  tᵢ = ih."""
    h, xp = 1 / (x.shape[0] + 1), namespace(x)
    t = h * counting(x, x.shape[0])
    K, z = h / 2 * xp.minimum(t[:, None], t) * (1 - xp.maximum(t[:, None], t)), x + t + 1
    return x + K @ z**3, lambda: band(x, 0) + 3 * K * z**2, lambda w: diagonal(6 * z * (w @ K))


@squares(start=lambda n: -np.ones(n))
def broyden_tridiagonal(x: Any) -> Terms:
    """(3 − 2xᵢ) xᵢ − xᵢ₋₁ − 2xᵢ₊₁ + 1,  x₀ = xₙ₊₁ = 0."""
    B = band(x, -1) + 2 * band(x, 1)
    return (3 - 2 * x) * x - B @ x + 1, lambda: diagonal(3 - 4 * x) - B, lambda w: -4 * diagonal(w)


@squares(start=lambda n: -np.ones(n))
def broyden_banded(x: Any) -> Terms:
    """xᵢ (2 + 5xᵢ²) + 1 − Σⱼ xⱼ (1 + xⱼ),  j ≠ i from max(1, i − 5) to min(n, i + 1)."""
    B = sum(band(x, k) for k in (-5, -4, -3, -2, -1, 1))
    return (
        x * (2 + 5 * x**2) + 1 - B @ (x * (1 + x)),
        lambda: diagonal(2 + 15 * x**2) - B * (1 + 2 * x),
        lambda w: diagonal(30 * x * w - 2 * (w @ B)),
    )


def linear(A: Any, x: Any) -> Terms:
    """Ax − 1."""
    return A @ x - 1, lambda: A, lambda w: 0 * band(x, 0)


@squares(start=np.ones)
def linear_full_rank(x: Any) -> Terms:
    """xᵢ − 2/m Σⱼ xⱼ − 1,  i = 1, …, n;  −2/m Σⱼ xⱼ − 1,  i = n + 1, …, m."""
    n = x.shape[0]
    return linear(band(x, 0, rows=2 * n) - 1 / n, x)


@squares(start=np.ones)
def linear_rank_1(x: Any) -> Terms:
    """i Σⱼ j xⱼ − 1,  i = 1, …, m."""
    n = x.shape[0]
    return linear(counting(x, 2 * n)[:, None] * counting(x, n), x)


@squares(start=np.ones, sizes=range(3, ANY))
def linear_rank_1_zero(x: Any) -> Terms:
    """−1;  (i − 1) Σⱼ j xⱼ − 1,  i = 2, …, m − 1,  j = 2, …, n − 1;  −1."""
    n = x.shape[0]
    rows, cols = vector(x, 0, counting(x, 2 * n - 2), 0), vector(x, 0, counting(x, n)[1:-1], 0)
    return linear(rows[:, None] * cols, x)


@squares(start=grid)
def chebyquad(x: Any) -> Terms:
    """1/n Σⱼ Tᵢ(xⱼ) − ∫₀¹ Tᵢ,  Tᵢ Chebyshev's polynomial of degree i shifted to [0, 1];  i = 1, …, n."""
    xp, n = namespace(x), x.shape[0]
    y, zero = 2 * x - 1, 0 * x
    T, D, S = [zero + 1, y], [zero, zero + 2], [zero, zero]  # values, first and second derivatives
    for k in range(1, n):
        T.append(2 * y * T[k] - T[k - 1])
        D.append(2 * y * D[k] + 4 * T[k] - D[k - 1])
        S.append(2 * y * S[k] + 8 * D[k] - S[k - 1])
    integrals = like(x, [0 if i % 2 else -1 / (i * i - 1) for i in range(1, n + 1)])
    return (
        xp.mean(xp.stack(T[1:]), axis=1) - integrals,
        lambda: xp.stack(D[1:]) / n,
        lambda w: diagonal(w @ xp.stack(S[1:]) / n),
    )
