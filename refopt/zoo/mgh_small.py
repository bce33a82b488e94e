"""The problems 1 to 16 of Moré, Garbow and Hillstrom, in two to four variables.

Residuals r, Jacobians J and curvatures Σᵢ wᵢ ∇²rᵢ, with the paper's data and standard starts; see ``refopt.zoo.mgh``.
"""

import math
from typing import Any

from refopt.derivatives.differences import like
from refopt.ops import dot, namespace
from refopt.zoo.arrays import columns, counting, matrix, symmetric, vector
from refopt.zoo.squares import Terms, squares

# --- two variables ---------------------------------------------------------------------------------------------------


@squares(start=(-1.2, 1))
def rosenbrock(x: Any) -> Terms:
    """10 (x₂ − x₁²),  1 − x₁."""
    x1, x2 = x
    r = vector(x, 10 * (x2 - x1**2), 1 - x1)
    return r, lambda: matrix(x, [[-20 * x1, 10], [-1, 0]]), lambda w: symmetric(x, {(0, 0): -20 * w[0]})


@squares(start=(0.5, -2))
def freudenstein_roth(x: Any) -> Terms:
    """−13 + x₁ + ((5 − x₂)x₂ − 2)x₂,  −29 + x₁ + ((x₂ + 1)x₂ − 14)x₂."""
    x1, x2 = x
    r = vector(x, -13 + x1 + ((5 - x2) * x2 - 2) * x2, -29 + x1 + ((x2 + 1) * x2 - 14) * x2)
    return (
        r,
        lambda: matrix(x, [[1, (10 - 3 * x2) * x2 - 2], [1, (3 * x2 + 2) * x2 - 14]]),
        lambda w: symmetric(x, {(1, 1): w[0] * (10 - 6 * x2) + w[1] * (6 * x2 + 2)}),
    )


@squares(start=(0, 1))
def powell_badly_scaled(x: Any) -> Terms:
    """10⁴ x₁x₂ − 1,  e^(−x₁) + e^(−x₂) − 1.0001."""
    x1, x2 = x
    e1, e2 = namespace(x).exp(-x)
    return (
        vector(x, 1e4 * x1 * x2 - 1, e1 + e2 - 1.0001),
        lambda: matrix(x, [[1e4 * x2, 1e4 * x1], [-e1, -e2]]),
        lambda w: symmetric(x, {(0, 0): w[1] * e1, (0, 1): 1e4 * w[0], (1, 1): w[1] * e2}),
    )


@squares(start=(1, 1))
def brown_badly_scaled(x: Any) -> Terms:
    """x₁ − 10⁶,  x₂ − 2·10⁻⁶,  x₁x₂ − 2."""
    x1, x2 = x
    r = vector(x, x1 - 1e6, x2 - 2e-6, x1 * x2 - 2)
    return r, lambda: matrix(x, [[1, 0], [0, 1], [x2, x1]]), lambda w: symmetric(x, {(0, 1): w[2]})


@squares(start=(1, 1))
def beale(x: Any) -> Terms:
    """yᵢ − x₁(1 − x₂ⁱ),  i = 1, 2, 3."""
    x1, x2 = x
    i, y = counting(x, 3), like(x, [1.5, 2.25, 2.625])
    power, slope = x2**i, i * x2 ** (i - 1)
    return (
        y - x1 * (1 - power),
        lambda: columns(x, power - 1, x1 * slope),
        lambda w: symmetric(x, {(0, 1): dot(w, slope), (1, 1): x1 * (2 * w[1] + 6 * x2 * w[2])}),
    )


@squares(start=(0.3, 0.4))
def jennrich_sampson(x: Any) -> Terms:
    """2 + 2i − (e^(ix₁) + e^(ix₂)),  i = 1, …, 10."""
    xp = namespace(x)
    i = counting(x, 10)
    e = xp.exp(i[:, None] * x)
    return (
        2 + 2 * i - xp.sum(e, axis=1),
        lambda: -i[:, None] * e,
        lambda w: symmetric(x, {(j, j): -dot(w * i**2, e[:, j]) for j in (0, 1)}),
    )


# --- three variables -------------------------------------------------------------------------------------------------


@squares(start=(-1, 0, 0))
def helical_valley(x: Any) -> Terms:
    """10 (x₃ − 10 θ),  10 (ρ − 1),  x₃;   ρ = √(x₁² + x₂²),  2πθ = arctan(x₂/x₁), and π more where x₁ < 0.

    That is 2πθ = π/2 − atan2(x₁, x₂), which jumps at x₁ = 0 > x₂ only.
    """
    xp = namespace(x)
    x1, x2, x3 = x
    rho = xp.sqrt(x1**2 + x2**2)
    theta = 0.25 - xp.atan2(x1, x2) / (2 * math.pi)

    def curvature(w: Any) -> Any:
        turn, grow = 100 * w[0] / (math.pi * rho**4), 10 * w[1] / rho**3
        mixed = turn * (x1**2 - x2**2) / 2 - grow * x1 * x2
        return symmetric(
            x, {(0, 0): grow * x2**2 - turn * x1 * x2, (0, 1): mixed, (1, 1): grow * x1**2 + turn * x1 * x2}
        )

    around = 50 / (math.pi * rho**2)
    return (
        vector(x, 10 * (x3 - 10 * theta), 10 * (rho - 1), x3),
        lambda: matrix(x, [[around * x2, -around * x1, 10], [10 * x1 / rho, 10 * x2 / rho, 0], [0, 0, 1]]),
        curvature,
    )


BARD = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]


@squares(start=(1, 1, 1))
def bard(x: Any) -> Terms:
    """yᵢ − (x₁ + uᵢ/(vᵢx₂ + wᵢx₃)),  uᵢ = i,  vᵢ = 16 − i,  wᵢ = min(uᵢ, vᵢ)."""
    x1, x2, x3 = x
    y, u = like(x, BARD), counting(x, 15)
    v = 16 - u
    least = namespace(x).minimum(u, v)
    q, slopes = v * x2 + least * x3, columns(x, 0, v, least)
    return (
        y - x1 - u / q,
        lambda: columns(x, -1, u * v / q**2, u * least / q**2),
        lambda w: -2 * (slopes.T * (w * u / q**3)) @ slopes,
    )


GAUSSIAN = [9e-4, 44e-4, 175e-4, 54e-3, 0.1295, 0.2420, 0.3521, 0.3989]


@squares(start=(0.4, 1, 0))
def gaussian(x: Any) -> Terms:
    """x₁ e^(−x₂(tᵢ − x₃)²/2) − yᵢ,  tᵢ = (8 − i)/2,  i = 1, …, 15."""
    x1, x2, x3 = x
    y, d = like(x, GAUSSIAN + GAUSSIAN[-2::-1]), (8 - counting(x, 15)) / 2 - x3
    e = namespace(x).exp(-x2 * d**2 / 2)

    def curvature(w: Any) -> Any:
        we = w * e
        return symmetric(x, {
            (0, 1): -dot(we, d**2) / 2, (0, 2): x2 * dot(we, d), (1, 1): x1 * dot(we, d**4) / 4,
            (1, 2): x1 * dot(we, d - x2 * d**3 / 2), (2, 2): x1 * x2 * dot(we, x2 * d**2 - 1),
        })  # fmt: skip

    return x1 * e - y, lambda: columns(x, e, -x1 * e * d**2 / 2, x1 * x2 * e * d), curvature


MEYER = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]


@squares(start=(0.02, 4000, 250))
def meyer(x: Any) -> Terms:
    """x₁ e^(x₂/(tᵢ + x₃)) − yᵢ,  tᵢ = 45 + 5i,  i = 1, …, 16."""
    x1, x2, x3 = x
    y, s = like(x, MEYER), 45 + 5 * counting(x, 16) + x3
    e = namespace(x).exp(x2 / s)

    def curvature(w: Any) -> Any:
        we = w * e
        return symmetric(x, {
            (0, 1): dot(we, 1 / s), (0, 2): -x2 * dot(we, 1 / s**2), (1, 1): x1 * dot(we, 1 / s**2),
            (1, 2): -x1 * dot(we, 1 / s**2 + x2 / s**3), (2, 2): x1 * x2 * dot(we, x2 / s**4 + 2 / s**3),
        })  # fmt: skip

    return x1 * e - y, lambda: columns(x, e, x1 * e / s, -x1 * x2 * e / s**2), curvature


@squares(start=(5, 2.5, 0.15))
def gulf(x: Any) -> Terms:
    """e^(−pᵢ) − tᵢ,  pᵢ = |yᵢ − x₂|^x₃ / x₁,  tᵢ = i/100,  yᵢ = 25 + (−50 log tᵢ)^(2/3),  i = 1, …, 99.

    The paper prints |yᵢ m i x₂| for the absolute value of yᵢ − x₂.
    """
    xp = namespace(x)
    x1, x2, x3 = x
    t = counting(x, 99) / 100
    d = 25 + (-50 * xp.log(t)) ** (2 / 3) - x2
    size = xp.abs(d)
    p, log = size**x3 / x1, xp.log(size)
    e, slopes = xp.exp(-p), columns(x, -p / x1, -x3 * p / d, p * log)

    def curvature(w: Any) -> Any:
        we = w * e
        bends = symmetric(x, {
            (0, 0): 2 * dot(we, p) / x1**2, (0, 1): x3 / x1 * dot(we, p / d), (0, 2): -dot(we, p * log) / x1,
            (1, 1): x3 * (x3 - 1) * dot(we, p / d**2), (1, 2): -dot(we, p / d * (1 + x3 * log)),
            (2, 2): dot(we, p * log**2),
        })  # fmt: skip
        return (slopes.T * we) @ slopes - bends

    return e - t, lambda: -e[:, None] * slopes, curvature


@squares(start=(0, 10, 20))
def box(x: Any) -> Terms:
    """e^(−tᵢx₁) − e^(−tᵢx₂) − x₃(e^(−tᵢ) − e^(−10tᵢ)),  tᵢ = i/10,  i = 1, …, 10."""
    exp = namespace(x).exp
    x1, x2, x3 = x
    t = counting(x, 10) / 10
    e1, e2, gap = exp(-t * x1), exp(-t * x2), exp(-t) - exp(-10 * t)
    return (
        e1 - e2 - x3 * gap,
        lambda: columns(x, -t * e1, t * e2, -gap),
        lambda w: symmetric(x, {(0, 0): dot(w, t**2 * e1), (1, 1): -dot(w, t**2 * e2)}),
    )


# --- four variables --------------------------------------------------------------------------------------------------


@squares(start=(3, -1, 0, 1))
def powell_singular(x: Any) -> Terms:
    """x₁ + 10x₂,  √5 (x₃ − x₄),  (x₂ − 2x₃)²,  √10 (x₁ − x₄)²."""
    x1, x2, x3, x4 = x
    u, v, a, b = x2 - 2 * x3, x1 - x4, math.sqrt(5), math.sqrt(10)

    def curvature(w: Any) -> Any:
        c, d = 2 * w[2], 2 * b * w[3]
        return symmetric(x, {(0, 0): d, (0, 3): -d, (3, 3): d, (1, 1): c, (1, 2): -2 * c, (2, 2): 4 * c})

    return (
        vector(x, x1 + 10 * x2, a * (x3 - x4), u**2, b * v**2),
        lambda: matrix(x, [[1, 10, 0, 0], [0, 0, a, -a], [0, 2 * u, -4 * u, 0], [2 * b * v, 0, 0, -2 * b * v]]),
        curvature,
    )


@squares(start=(-3, -1, -3, -1))
def wood(x: Any) -> Terms:
    """10 (x₂ − x₁²),  1 − x₁,  √90 (x₄ − x₃²),  1 − x₃,  √10 (x₂ + x₄ − 2),  (x₂ − x₄)/√10."""
    x1, x2, x3, x4 = x
    a, b = math.sqrt(90), math.sqrt(10)
    r = vector(x, 10 * (x2 - x1**2), 1 - x1, a * (x4 - x3**2), 1 - x3, b * (x2 + x4 - 2), (x2 - x4) / b)
    slopes = [
        [-20 * x1, 10, 0, 0], [-1, 0, 0, 0], [0, 0, -2 * a * x3, a], [0, 0, -1, 0], [0, b, 0, b], [0, 1 / b, 0, -1 / b]
    ]  # fmt: skip
    return r, lambda: matrix(x, slopes), lambda w: symmetric(x, {(0, 0): -20 * w[0], (2, 2): -2 * a * w[2]})


KOWALIK = [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
OSBORNE = [4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625]


@squares(start=(0.25, 0.39, 0.415, 0.39))
def kowalik_osborne(x: Any) -> Terms:
    """yᵢ − x₁(uᵢ² + uᵢx₂)/(uᵢ² + uᵢx₃ + x₄)."""
    x1, x2, x3, x4 = x
    y, u = like(x, KOWALIK), like(x, OSBORNE)
    p, q = u * (u + x2), u * (u + x3) + x4

    def curvature(w: Any) -> Any:
        wq, wq2, wq3 = w / q, w / q**2, -2 * w * p / q**3
        return symmetric(x, {
            (0, 1): -dot(wq, u), (0, 2): dot(wq2, p * u), (0, 3): dot(wq2, p), (1, 2): x1 * dot(wq2, u**2),
            (1, 3): x1 * dot(wq2, u), (2, 2): x1 * dot(wq3, u**2), (2, 3): x1 * dot(wq3, u),
            (3, 3): x1 * namespace(x).sum(wq3),
        })  # fmt: skip

    return y - x1 * p / q, lambda: columns(x, -p / q, -x1 * u / q, x1 * p * u / q**2, x1 * p / q**2), curvature


@squares(start=(25, 5, -5, -1))
def brown_dennis(x: Any) -> Terms:
    """(x₁ + tᵢx₂ − e^tᵢ)² + (x₃ + x₄ sin tᵢ − cos tᵢ)²,  tᵢ = i/5,  i = 1, …, 20."""
    xp = namespace(x)
    x1, x2, x3, x4 = x
    t = counting(x, 20) / 5
    sin = xp.sin(t)
    a, b = x1 + t * x2 - xp.exp(t), x3 + x4 * sin - xp.cos(t)
    u, v = columns(x, 1, t, 0, 0), columns(x, 0, 0, 1, sin)
    return (
        a**2 + b**2,
        lambda: 2 * (a[:, None] * u + b[:, None] * v),
        lambda w: 2 * ((u.T * w) @ u + (v.T * w) @ v),
    )
