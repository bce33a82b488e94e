"""The residuals of Moré, Garbow and Hillstrom written as the paper prints them: one number after the other, by mpmath.

Variables count from one: x[1], …, x[n]; n = len(x) − 1.
"""

from mpmath import acos, atan, cos, exp, log, mpf, pi, re, sin, sqrt


def decimals(texts):
    """Decimal numbers as they are printed, not as binary floats."""
    return [mpf(text) for text in texts.split()]


def rosenbrock(x):
    return [10 * (x[2] - x[1] ** 2), 1 - x[1]]


def freudenstein_roth(x):
    return [-13 + x[1] + ((5 - x[2]) * x[2] - 2) * x[2], -29 + x[1] + ((x[2] + 1) * x[2] - 14) * x[2]]


def powell_badly_scaled(x):
    return [10**4 * x[1] * x[2] - 1, exp(-x[1]) + exp(-x[2]) - mpf("1.0001")]


def brown_badly_scaled(x):
    return [x[1] - 10**6, x[2] - mpf("2e-6"), x[1] * x[2] - 2]


def beale(x):
    y = decimals("1.5 2.25 2.625")
    return [y[i - 1] - x[1] * (1 - x[2] ** i) for i in (1, 2, 3)]


def jennrich_sampson(x):
    return [2 + 2 * i - (exp(i * x[1]) + exp(i * x[2])) for i in range(1, 11)]


def helical_valley(x):
    theta = atan(x[2] / x[1]) / (2 * pi) + (mpf(1) / 2 if x[1] < 0 else 0)
    return [10 * (x[3] - 10 * theta), 10 * (sqrt(x[1] ** 2 + x[2] ** 2) - 1), x[3]]


BARD = "0.14 0.18 0.22 0.25 0.29 0.32 0.35 0.39 0.37 0.58 0.73 0.96 1.34 2.10 4.39"


def bard(x):
    y = decimals(BARD)
    return [y[i - 1] - (x[1] + i / ((16 - i) * x[2] + min(i, 16 - i) * x[3])) for i in range(1, 16)]


GAUSSIAN = "0.0009 0.0044 0.0175 0.0540 0.1295 0.2420 0.3521 0.3989 0.3521 0.2420 0.1295 0.0540 0.0175 0.0044 0.0009"


def gaussian(x):
    y = decimals(GAUSSIAN)
    return [x[1] * exp(-x[2] * (mpf(8 - i) / 2 - x[3]) ** 2 / 2) - y[i - 1] for i in range(1, 16)]


MEYER = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]


def meyer(x):
    return [x[1] * exp(x[2] / (45 + 5 * i + x[3])) - MEYER[i - 1] for i in range(1, 17)]


def gulf(x):
    """With a minus sign for the paper's misprint "m i"."""
    t = [mpf(i) / 100 for i in range(1, 100)]
    y = [25 + (-50 * log(ti)) ** (mpf(2) / 3) for ti in t]
    return [exp(-(abs(yi - x[2]) ** x[3]) / x[1]) - ti for ti, yi in zip(t, y, strict=True)]


def box(x):
    t = [mpf(i) / 10 for i in range(1, 11)]
    return [exp(-s * x[1]) - exp(-s * x[2]) - x[3] * (exp(-s) - exp(-10 * s)) for s in t]


def powell_singular(x):
    return [x[1] + 10 * x[2], sqrt(5) * (x[3] - x[4]), (x[2] - 2 * x[3]) ** 2, sqrt(10) * (x[1] - x[4]) ** 2]


def wood(x):
    return [
        10 * (x[2] - x[1] ** 2), 1 - x[1], sqrt(90) * (x[4] - x[3] ** 2), 1 - x[3], sqrt(10) * (x[2] + x[4] - 2),
        (x[2] - x[4]) / sqrt(10),
    ]  # fmt: skip


KOWALIK = "0.1957 0.1947 0.1735 0.1600 0.0844 0.0627 0.0456 0.0342 0.0323 0.0235 0.0246"
OSBORNE = "4.0 2.0 1.0 0.5 0.25 0.167 0.125 0.1 0.0833 0.0714 0.0625"


def kowalik_osborne(x):
    data = zip(decimals(KOWALIK), decimals(OSBORNE), strict=True)
    return [y - x[1] * (u**2 + u * x[2]) / (u**2 + u * x[3] + x[4]) for y, u in data]


def brown_dennis(x):
    t = [mpf(i) / 5 for i in range(1, 21)]
    return [(x[1] + s * x[2] - exp(s)) ** 2 + (x[3] + x[4] * sin(s) - cos(s)) ** 2 for s in t]


OSBORNE_1 = """
0.844 0.908 0.932 0.936 0.925 0.908 0.881 0.850 0.818 0.784 0.751 0.718 0.685 0.658 0.628 0.603 0.580 0.558 0.538
0.522 0.506 0.490 0.478 0.467 0.457 0.448 0.438 0.431 0.424 0.420 0.414 0.411 0.406
"""


def osborne_1(x):
    data = enumerate(decimals(OSBORNE_1))
    return [y - (x[1] + x[2] * exp(-10 * i * x[4]) + x[3] * exp(-10 * i * x[5])) for i, y in data]


def biggs_exp6(x):
    t = [mpf(i) / 10 for i in range(1, 14)]
    y = [exp(-s) - 5 * exp(-10 * s) + 3 * exp(-4 * s) for s in t]
    return [
        x[3] * exp(-s * x[1]) - x[4] * exp(-s * x[2]) + x[6] * exp(-s * x[5]) - yi for s, yi in zip(t, y, strict=True)
    ]


OSBORNE_2 = """
1.366 1.191 1.112 1.013 0.991 0.885 0.831 0.847 0.786 0.725 0.746 0.679 0.608 0.655 0.616 0.606 0.602 0.626 0.651
0.724 0.649 0.649 0.694 0.644 0.624 0.661 0.612 0.558 0.533 0.495 0.500 0.423 0.395 0.375 0.372 0.391 0.396 0.405
0.428 0.429 0.523 0.562 0.607 0.653 0.672 0.708 0.633 0.668 0.645 0.632 0.591 0.559 0.597 0.625 0.739 0.710 0.729
0.720 0.636 0.581 0.428 0.292 0.162 0.098 0.054
"""


def osborne_2(x):
    def model(t):
        peaks = [x[2] * exp(-((t - x[9]) ** 2) * x[6]), x[3] * exp(-((t - x[10]) ** 2) * x[7])]
        return x[1] * exp(-t * x[5]) + sum(peaks) + x[4] * exp(-((t - x[11]) ** 2) * x[8])

    return [y - model(mpf(i) / 10) for i, y in enumerate(decimals(OSBORNE_2))]


def watson(x):
    n = len(x) - 1

    def value(t):
        slope = sum((j - 1) * x[j] * t ** (j - 2) for j in range(2, n + 1))
        return slope - sum(x[j] * t ** (j - 1) for j in range(1, n + 1)) ** 2 - 1

    return [*(value(mpf(i) / 29) for i in range(1, 30)), x[1], x[2] - x[1] ** 2 - 1]


def extended_rosenbrock(x):
    pairs = [[10 * (x[2 * i] - x[2 * i - 1] ** 2), 1 - x[2 * i - 1]] for i in range(1, len(x) // 2 + 1)]
    return [value for pair in pairs for value in pair]


def extended_powell_singular(x):
    values = []
    for i in range(4, len(x), 4):
        a, b, c, d = x[i - 3], x[i - 2], x[i - 1], x[i]
        values += [a + 10 * b, sqrt(5) * (c - d), (b - 2 * c) ** 2, sqrt(10) * (a - d) ** 2]
    return values


def penalty_1(x):
    return [*(sqrt(mpf("1e-5")) * (xi - 1) for xi in x[1:]), sum(xi**2 for xi in x[1:]) - mpf(1) / 4]


def penalty_2(x):
    n, a = len(x) - 1, sqrt(mpf("1e-5"))
    y = [None, *(exp(mpf(i) / 10) + exp(mpf(i - 1) / 10) for i in range(1, n + 1))]
    return [
        x[1] - mpf(1) / 5,
        *(a * (exp(x[i] / 10) + exp(x[i - 1] / 10) - y[i]) for i in range(2, n + 1)),
        *(a * (exp(x[i - n + 1] / 10) - exp(mpf(-1) / 10)) for i in range(n + 1, 2 * n)),
        sum((n - j + 1) * x[j] ** 2 for j in range(1, n + 1)) - 1,
    ]


def variably_dimensioned(x):
    s = sum(j * (x[j] - 1) for j in range(1, len(x)))
    return [*(xi - 1 for xi in x[1:]), s, s**2]


def trigonometric(x):
    n = len(x) - 1
    total = sum(cos(xi) for xi in x[1:])
    return [n - total + i * (1 - cos(x[i])) - sin(x[i]) for i in range(1, n + 1)]


def brown_almost_linear(x):
    n, product = len(x) - 1, mpf(1)
    for xi in x[1:]:
        product *= xi
    return [*(x[i] + sum(x[1:]) - (n + 1) for i in range(1, n)), product - 1]


def discrete_boundary_value(x):
    n = len(x) - 1
    h, z = mpf(1) / (n + 1), [0, *x[1:], 0]
    return [2 * z[i] - z[i - 1] - z[i + 1] + h**2 * (z[i] + i * h + 1) ** 3 / 2 for i in range(1, n + 1)]


def discrete_integral(x):
    n = len(x) - 1
    h = mpf(1) / (n + 1)
    t = [i * h for i in range(n + 1)]

    def value(i):
        left = sum(t[j] * (x[j] + t[j] + 1) ** 3 for j in range(1, i + 1))
        right = sum((1 - t[j]) * (x[j] + t[j] + 1) ** 3 for j in range(i + 1, n + 1))
        return x[i] + h * ((1 - t[i]) * left + t[i] * right) / 2

    return [value(i) for i in range(1, n + 1)]


def broyden_tridiagonal(x):
    z = [0, *x[1:], 0]
    return [(3 - 2 * z[i]) * z[i] - z[i - 1] - 2 * z[i + 1] + 1 for i in range(1, len(x))]


def broyden_banded(x):
    n = len(x) - 1
    near = {i: [j for j in range(max(1, i - 5), min(n, i + 1) + 1) if j != i] for i in range(1, n + 1)}
    return [x[i] * (2 + 5 * x[i] ** 2) + 1 - sum(x[j] * (1 + x[j]) for j in near[i]) for i in near]


def linear_full_rank(x):
    n, total = len(x) - 1, sum(x[1:])
    m = 2 * n
    return [*(xi - 2 * total / m - 1 for xi in x[1:]), *[-2 * total / m - 1] * (m - n)]


def linear_rank_1(x):
    n = len(x) - 1
    return [i * sum(j * x[j] for j in range(1, n + 1)) - 1 for i in range(1, 2 * n + 1)]


def linear_rank_1_zero(x):
    n = len(x) - 1
    m = 2 * n
    return [-1, *((i - 1) * sum(j * x[j] for j in range(2, n)) - 1 for i in range(2, m)), -1]


def chebyquad(x):
    """Chebyshev's polynomials by Tᵢ(cos θ) = cos iθ, of complex θ outside [−1, 1]."""
    n = len(x) - 1
    integral = {i: 0 if i % 2 else mpf(-1) / (i**2 - 1) for i in range(1, n + 1)}
    return [sum(re(cos(i * acos(2 * xj - 1))) for xj in x[1:]) / n - integral[i] for i in range(1, n + 1)]
