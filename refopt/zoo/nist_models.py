"""The models of the NIST StRD nonlinear regression problems, each with its exact derivatives.

A model is a function of the parameters b (p,) and the predictor x (n,), for Nelson (2, n). It returns the
prediction m (n,) and a function without arguments that returns the columns ∂m/∂bⱼ (n,) of the Jacobian, so
that the value alone costs nothing more and the derivatives reuse what the value computed. Parameters count
from zero.

Where the textbook formula cancels (1 − e⁻ᵘ for small u) the equal form that does not is used. Functions work
on any array kind, and on complex b, so that a complex step can check them.
"""

import math
from collections.abc import Callable
from typing import Any

from refopt.ops import namespace

Model = Callable[[Any, Any], tuple[Any, Callable[[], tuple[Any, ...]]]]


def exponential_rise(b: Any, x: Any) -> Any:
    """m = b₀ (1 − e^(−b₁x)): Misra1a, BoxBOD."""
    xp = namespace(x)
    b0, b1 = b
    rise = -xp.expm1(-b1 * x)
    return b0 * rise, lambda: (rise, b0 * x * xp.exp(-b1 * x))


def misra1b(b: Any, x: Any) -> Any:
    """m = b₀ (1 − (1 + b₁x/2)⁻²) = b₀ u (2 + u)/(1 + u)², u = b₁x/2."""
    b0, b1 = b
    u = b1 * x / 2
    v = 1 + u
    rise = u * (2 + u) / (v * v)
    return b0 * rise, lambda: (rise, b0 * x / (v * v * v))


def misra1c(b: Any, x: Any) -> Any:
    """m = b₀ (1 − (1 + 2b₁x)^(−½)) = b₀ 2b₁x/(s (s + 1)), s = √(1 + 2b₁x)."""
    b0, b1 = b
    u = 2 * b1 * x
    s = (1 + u) ** 0.5
    rise = u / (s * (s + 1))
    return b0 * rise, lambda: (rise, b0 * x / (s * s * s))


def misra1d(b: Any, x: Any) -> Any:
    """m = b₀ b₁x / (1 + b₁x)."""
    b0, b1 = b
    v = 1 + b1 * x
    rise = b1 * x / v
    return b0 * rise, lambda: (rise, b0 * x / (v * v))


def chwirut(b: Any, x: Any) -> Any:
    """m = e^(−b₀x) / (b₁ + b₂x)."""
    b0, b1, b2 = b
    q = b1 + b2 * x
    m = namespace(x).exp(-b0 * x) / q
    return m, lambda: (-x * m, -m / q, -x * m / q)


def lanczos(b: Any, x: Any) -> Any:
    """m = b₀ e^(−b₁x) + b₂ e^(−b₃x) + b₄ e^(−b₅x)."""
    exp = namespace(x).exp
    b0, b1, b2, b3, b4, b5 = b
    e, f, g = exp(-b1 * x), exp(-b3 * x), exp(-b5 * x)
    return b0 * e + b2 * f + b4 * g, lambda: (e, -b0 * x * e, f, -b2 * x * f, g, -b4 * x * g)


def gauss(b: Any, x: Any) -> Any:
    """m = b₀ e^(−b₁x) + b₂ e^(−z²) + b₅ e^(−w²),  z = (x − b₃)/b₄,  w = (x − b₆)/b₇."""
    exp = namespace(x).exp
    b0, b1, b2, b3, b4, b5, b6, b7 = b
    z, w = (x - b3) / b4, (x - b6) / b7
    e, f, g = exp(-b1 * x), exp(-z * z), exp(-w * w)

    def columns() -> tuple[Any, ...]:
        df, dg = 2 * b2 * f * z / b4, 2 * b5 * g * w / b7
        return e, -b0 * x * e, f, df, df * z, g, dg, dg * w

    return b0 * e + b2 * f + b5 * g, columns


def danwood(b: Any, x: Any) -> Any:
    """m = b₀ x^b₁."""
    b0, b1 = b
    power = x**b1
    return b0 * power, lambda: (power, b0 * power * namespace(x).log(x))


def rational(b: Any, x: Any) -> Any:
    """m = (b₀ + b₁x + … + b_d xᵈ) / (1 + b_{d+1} x + … + b_{2d} xᵈ): Kirby2 (d = 2), Hahn1, Thurber (3)."""
    parameters = tuple(b)
    d = len(parameters) // 2
    p = _horner(parameters[: d + 1], x)
    q = 1 + x * _horner(parameters[d + 1 :], x)
    m = p / q

    def columns() -> tuple[Any, ...]:
        upper = [1 / q]
        for _ in range(d):
            upper.append(x * upper[-1])
        return *upper, *(-m * column for column in upper[1:])

    return m, columns


def _horner(coefficients: tuple[Any, ...], x: Any) -> Any:
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = coefficient + x * value
    return value


def nelson(b: Any, x: Any) -> Any:
    """m = b₀ − b₁ x₀ e^(−b₂x₁), fitted to log y."""
    b0, b1, b2 = b
    x0, x1 = x[0, :], x[1, :]
    xp = namespace(x)
    e = x0 * xp.exp(-b2 * x1)
    return b0 - b1 * e, lambda: (xp.ones_like(x0), -e, b1 * x1 * e)


def mgh17(b: Any, x: Any) -> Any:
    """m = b₀ + b₁ e^(−b₃x) + b₂ e^(−b₄x)."""
    xp = namespace(x)
    b0, b1, b2, b3, b4 = b
    e, f = xp.exp(-b3 * x), xp.exp(-b4 * x)
    return b0 + b1 * e + b2 * f, lambda: (xp.ones_like(x), e, f, -b1 * x * e, -b2 * x * f)


def roszman1(b: Any, x: Any) -> Any:
    """m = b₀ − b₁x − arctan(b₂/(x − b₃))/π."""
    xp = namespace(x)
    b0, b1, b2, b3 = b
    d = x - b3
    m = b0 - b1 * x - xp.atan(b2 / d) / math.pi

    def columns() -> tuple[Any, ...]:
        q = math.pi * (d * d + b2 * b2)
        return xp.ones_like(x), -x, -d / q, -b2 / q

    return m, columns


def enso(b: Any, x: Any) -> Any:
    """b₀ + Σᵢ cᵢ cos θᵢ + sᵢ sin θᵢ; θᵢ = 2πx/Tᵢ, T = (12, b₃, b₆), c = (b₁, b₄, b₇), s = (b₂, b₅, b₈)."""
    xp = namespace(x)
    b0, b1, b2, b3, b4, b5, b6, b7, b8 = b
    theta = [2 * math.pi * x / period for period in (12, b3, b6)]
    (c1, s1), (c2, s2), (c3, s3) = ((xp.cos(angle), xp.sin(angle)) for angle in theta)
    m = b0 + b1 * c1 + b2 * s1 + b4 * c2 + b5 * s2 + b7 * c3 + b8 * s3

    def columns() -> tuple[Any, ...]:
        period2 = (b4 * s2 - b5 * c2) * theta[1] / b3  # ∂θ/∂T = −θ/T
        period3 = (b7 * s3 - b8 * c3) * theta[2] / b6
        return xp.ones_like(x), c1, s1, period2, c2, s2, period3, c3, s3

    return m, columns


def mgh09(b: Any, x: Any) -> Any:
    """m = b₀ (x² + b₁x) / (x² + b₂x + b₃)."""
    b0, b1, b2, b3 = b
    q = x * (x + b2) + b3
    shape = x * (x + b1) / q
    m = b0 * shape
    return m, lambda: (shape, b0 * x / q, -m * x / q, -m / q)


def mgh10(b: Any, x: Any) -> Any:
    """m = b₀ e^(b₁/(x + b₂))."""
    b0, b1, b2 = b
    d = x + b2
    e = namespace(x).exp(b1 / d)
    return b0 * e, lambda: (e, b0 * e / d, -b0 * b1 * e / (d * d))


def eckerle4(b: Any, x: Any) -> Any:
    """m = (b₀/b₁) e^(−z²/2),  z = (x − b₂)/b₁."""
    b0, b1, b2 = b
    z = (x - b2) / b1
    shape = namespace(x).exp(-0.5 * z * z) / b1
    slope = b0 / b1 * shape
    return b0 * shape, lambda: (shape, slope * (z * z - 1), slope * z)


def rat42(b: Any, x: Any) -> Any:
    """m = b₀ s,  s = 1/(1 + eᵗ),  t = b₁ − b₂x;  ∂s/∂t = −s (1 − s), 1 − s = 1/(1 + e⁻ᵗ)."""
    exp = namespace(x).exp
    b0, b1, b2 = b
    t = b1 - b2 * x
    s = 1 / (1 + exp(t))

    def columns() -> tuple[Any, ...]:
        slope = b0 * s / (1 + exp(-t))
        return s, -slope, slope * x

    return b0 * s, columns


def rat43(b: Any, x: Any) -> Any:
    """m = b₀ (1 + eᵗ)^(−1/b₃),  t = b₁ − b₂x."""
    xp = namespace(x)
    b0, b1, b2, b3 = b
    t = b1 - b2 * x
    shape = (1 + xp.exp(t)) ** (-1 / b3)

    def columns() -> tuple[Any, ...]:
        slope = b0 * shape / (b3 * (1 + xp.exp(-t)))
        return shape, -slope, slope * x, b0 * shape * xp.logaddexp(0 * t, t) / (b3 * b3)

    return b0 * shape, columns


def bennett5(b: Any, x: Any) -> Any:
    """m = b₀ (b₁ + x)^(−1/b₂)."""
    b0, b1, b2 = b
    d = b1 + x
    power = d ** (-1 / b2)
    m = b0 * power
    return m, lambda: (power, -m / (b2 * d), m * namespace(x).log(d) / (b2 * b2))


MODELS: dict[str, Model] = {
    "Misra1a": exponential_rise,
    "Chwirut2": chwirut,
    "Chwirut1": chwirut,
    "Lanczos3": lanczos,
    "Gauss1": gauss,
    "Gauss2": gauss,
    "DanWood": danwood,
    "Misra1b": misra1b,
    "Kirby2": rational,
    "Hahn1": rational,
    "Nelson": nelson,
    "MGH17": mgh17,
    "Lanczos1": lanczos,
    "Lanczos2": lanczos,
    "Gauss3": gauss,
    "Misra1c": misra1c,
    "Misra1d": misra1d,
    "Roszman1": roszman1,
    "ENSO": enso,
    "MGH09": mgh09,
    "Thurber": rational,
    "BoxBOD": exponential_rise,
    "Rat42": rat42,
    "MGH10": mgh10,
    "Eckerle4": eckerle4,
    "Rat43": rat43,
    "Bennett5": bennett5,
}
