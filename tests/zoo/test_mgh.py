"""The problems of Moré, Garbow and Hillstrom against the paper's formulas, data and minima, with many digits."""

import math

import mpmath
import numpy as np
import pytest

import mgh_paper
from fifty_digits import derivatives
from refopt import zoo
from refopt.zoo import mgh
from refopt.zoo.mgh import INSTANCES, PROBLEMS

EPS = np.finfo(float).eps
SIZED = [(name, n) for name, problem in PROBLEMS.items() for n in INSTANCES[problem]]


def paper(name):
    """The paper's residuals of a list of numbers."""
    return lambda x: getattr(mgh_paper, name)([None, *x])


def near_the_start(name, n):
    x0 = np.array(PROBLEMS[name].start(n), float)
    away = np.random.default_rng(n).uniform(-1, 1, (2, n))
    return x0 * (1 + away[0] / 10) + away[1] / 100


# --- formulas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "n"), SIZED)
def test_formula_and_derivatives(name, n):
    """At most 100 roundings of terms no larger than the largest, each variable taken in its own unit."""
    problem, x = PROBLEMS[name], near_the_start(name, n)
    unit, tolerance = abs(x) + 0.01, 100 * EPS
    w = np.random.default_rng(0).uniform(-1, 1, problem.residual(x).size)
    r, J, S = derivatives(paper(name), x, w)
    J, S = J * unit, S * np.outer(unit, unit)
    assert problem.residual(x) == pytest.approx(r, rel=0, abs=tolerance * abs(r).max())
    assert problem.jacobian(x) * unit == pytest.approx(J, rel=0, abs=tolerance * abs(J).max())
    bound = tolerance * abs(S).max() + 1e-20  # where S = 0 the differences themselves err
    assert problem.curvature(x, w) * np.outer(unit, unit) == pytest.approx(S, rel=0, abs=bound)


@pytest.mark.parametrize(("name", "n"), SIZED)
def test_sums_of_squares(name, n):
    problem, x = PROBLEMS[name], near_the_start(name, n)
    r, J = problem.residual(x), problem.jacobian(x)
    tolerance = 4 * r.size * EPS  # sums of m products
    assert problem.fun(x) == pytest.approx(math.fsum(r**2), rel=tolerance)
    assert isinstance(problem.fun(x), float)
    assert (abs(problem.grad(x) - 2 * (r[:, None] * J).sum(axis=0)) <= 2 * tolerance * abs(r) @ abs(J)).all()
    exact = 2 * (np.einsum("ij,ik->jk", J, J) + problem.curvature(x, r))
    bound = 2 * tolerance * (abs(J.T) @ abs(J) + abs(problem.curvature(x, r)))
    assert (abs(problem.hess(x) - exact) <= bound).all()


def test_gulf_grid():
    """The last of the 99 points is t = 0.99: at t = 1 the function would not be smooth in its minimiser."""
    assert PROBLEMS["gulf"].residual(np.array([50.0, 25.0, 1.5])).size == 99


# --- minima ----------------------------------------------------------------------------------------------------------

PRINTED = {
    "freudenstein_roth": [0, 48.9842], "jennrich_sampson": [124.362], "bard": [8.21487e-3, 17.4286],
    "gaussian": [1.12793e-8], "meyer": [87.9458], "kowalik_osborne": [3.07505e-4, 1.02734e-3],
    "brown_dennis": [85822.2], "osborne_1": [5.46489e-5], "biggs_exp6": [0, 5.65565e-3], "osborne_2": [4.01377e-2],
    "watson:6": [2.28767e-3], "watson:9": [1.39976e-6], "watson:12": [4.72238e-10], "penalty_1:4": [2.24997e-5],
    "penalty_1:10": [7.08765e-5], "penalty_2:4": [9.37629e-6], "penalty_2:10": [2.93660e-4],
    "trigonometric": [0, 2.79506e-5], "linear_full_rank": [10 - 5], "linear_rank_1": [10 * 9 / (2 * 21)],
    "linear_rank_1_zero": [(100 + 30 - 6) / (2 * 17)], "chebyquad:8": [3.51687e-3], "chebyquad:10": [6.50395e-3],
}  # fmt: skip
"""The minima of f in the literature to six digits, some rounded and some cut; elsewhere the minimum is 0."""


@pytest.mark.parametrize("name", mgh.names())
def test_printed_minima(name):
    minima = [minimum.fun for minimum in zoo.get(f"mgh:{name}").minima]
    for printed in PRINTED.get(name, [0]):
        assert any(found == pytest.approx(printed, rel=1e-5, abs=0) for found in minima), printed


FINITE = [
    pytest.param(name, minimum, id=f"{name}-{minimum.fun:.6g}")
    for name in [*mgh.names(), "brown_almost_linear:5"]
    for minimum in zoo.get(f"mgh:{name}").minima
    if np.isfinite(minimum.x).all()
]


@pytest.mark.parametrize(("name", "minimum"), FINITE)
def test_minimisers(name, minimum):
    """The gradient, with fifty digits, is what rounding x leaves of it: x has all its digits."""
    problem, x = PROBLEMS[name.partition(":")[0]], minimum.x
    m = problem.residual(x).size
    with mpmath.workdps(50):
        f = mpmath.fsum(value**2 for value in paper(problem.name)([mpmath.mpf(float(value)) for value in x]))
    r, J, _ = derivatives(paper(problem.name), x, np.zeros(m))
    H = problem.hess(x)
    moved = EPS * abs(x)
    rounding = EPS * abs(r) @ abs(J) * 2  # of the decimal data to binary, and of r and J to float64
    assert (abs(2 * r @ J) <= abs(H) @ moved + rounding).all()
    assert abs(float(f) - minimum.fun) <= EPS * minimum.fun + moved @ abs(H) @ moved
    scale = abs(x) + 1e-3
    eigenvalues = np.linalg.eigvalsh(H * np.outer(scale, scale))
    assert eigenvalues[0] >= -1e-13 * eigenvalues[-1]  # eigvalsh and H err by n eps


FAR = 10**20
Y = [1.5, 2.25, 2.625]
AT_INFINITY = {
    "beale": (lambda c: [-FAR, 1 + c / FAR], [sum(i * y for i, y in enumerate(Y, 1)) / 14]),
    "jennrich_sampson": (lambda b: [-FAR, b], None),
    "bard": (lambda a: [a, -FAR, -FAR], None),
    "box": (lambda a, c: [a, FAR, c], None),
    "kowalik_osborne": (
        lambda b, c, d: [FAR, b, FAR * c, FAR * d], [-14.075883400603309, -45.25719173922302, -28.231496899087922]
    ),
    "biggs_exp6": (lambda a, c, f: [a, FAR, c, -1, a, f], None),
    "osborne_2": (lambda a, k: [a, 1, 1, 1, k, 1, 1, 1, FAR, FAR, FAR], None),
}  # fmt: skip
"""The way to a minimum at infinity, and the values of the parameters where they are not those of x."""


@pytest.mark.parametrize("name", AT_INFINITY)
def test_minima_at_infinity(name):
    """f has the value listed far away, and not a lower one beside it."""
    (minimum,) = (each for each in zoo.get(f"mgh:{name}").minima if not np.isfinite(each.x).all())
    way, parameters = AT_INFINITY[name]
    if parameters is None:
        finite = minimum.x[np.isfinite(minimum.x)]
        parameters = finite[[0, 1, 3]] if name == "biggs_exp6" else finite

    def far_away(values):
        with mpmath.workdps(60):
            point = [mpmath.mpf(value) for value in way(*map(mpmath.mpf, map(float, values)))]
            return mpmath.fsum(value**2 for value in paper(name)(point))

    f = far_away(parameters)
    assert float(f) == pytest.approx(minimum.fun, rel=4 * EPS)
    for i, value in enumerate(parameters):
        for factor in (0.999, 1.001):
            assert far_away([*parameters[:i], factor * value, *parameters[i + 1 :]]) > f


def test_two_points_that_are_no_minima():
    """Brown's almost-linear function falls from (0, …, 0, n + 1), Biggs's from where runs with x₃ = x₆ end."""
    brown, c = PROBLEMS["brown_almost_linear"], 0.3
    for n in (5, 10):
        end = np.append(np.zeros(n - 1), n + 1.0)
        assert brown.fun(end) == 1
        assert (brown.grad(end) == 0).all()
        assert brown.fun(end + c * np.append(np.ones(n - 1), -n)) < 1
    biggs, low = PROBLEMS["biggs_exp6"], zoo.get("mgh:biggs_exp6").minima[1]
    a, b, c, d = low.x[0], low.x[1], low.x[2], low.x[3] - low.x[5]
    end = np.array([a, b, c / 2, d, a, c / 2])
    assert biggs.fun(end) == pytest.approx(low.fun, rel=1e-12)
    assert abs(biggs.grad(end)).max() <= 1e-13
    assert np.linalg.eigvalsh(biggs.hess(end))[0] < -1e-3


# --- starts, names, array kinds --------------------------------------------------------------------------------------


def test_instances():
    names = mgh.names()
    assert len(names) == 41
    assert len(PROBLEMS) == 35
    sizes = [(case.x0.size, case.problem.residual(case.x0).size) for case in (zoo.get(f"mgh:{n}:ls") for n in PROBLEMS)]
    assert sizes == [
        (2, 2), (2, 2), (2, 2), (2, 3), (2, 3), (2, 10), (3, 3), (3, 15), (3, 15), (3, 16), (3, 99), (3, 10), (4, 4),
        (4, 6), (4, 11), (4, 20), (5, 33), (6, 13), (11, 65), (6, 31), (10, 10), (12, 12), (4, 5), (4, 8), (10, 12),
        (10, 10), (10, 10), (10, 10), (10, 10), (10, 10), (10, 10), (5, 10), (5, 10), (5, 10), (8, 8),
    ]  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_starts_and_least_squares(name):
    """The starts are x₀, 10x₀, 100x₀; least squares are ½‖r‖²; nothing warns, however far the start."""
    first, *others = (zoo.get(f"mgh:{name}", start=start) for start in (1, 2, 3))
    for case, factor in zip(others, (10, 100), strict=True):
        expected = factor * (np.ones(6) if name == "watson" else first.x0)
        assert (case.x0 == expected).all()
        p = case.problem
        assert isinstance(p.fun(case.x0), float)
        assert p.grad(case.x0).shape == case.x0.shape == p.hess(case.x0)[0].shape
    fit = zoo.get(f"mgh:{name}:ls")
    assert fit.name == f"mgh:{name}:ls"
    r, J = fit.problem.residual(fit.x0), fit.problem.jacobian(fit.x0)
    assert first.problem.fun(first.x0) == pytest.approx(r @ r, rel=1e-14)
    assert first.problem.grad(first.x0) == pytest.approx(2 * r @ J, rel=1e-13)
    assert [2 * minimum.fun for minimum in fit.minima] == [minimum.fun for minimum in first.minima]
    assert fit.fun == fit.minima[0].fun
    assert (fit.solution == first.solution).all()


def test_other_sizes_have_unknown_minima():
    case = zoo.get("mgh:trigonometric:50")
    assert case.x0.shape == (50,)
    assert (case.solution, case.minima) == (None, ())
    assert math.isnan(case.fun)
    assert np.isfinite(case.problem.hess(case.x0)).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mgh:wood:5", "'mgh:wood:5' is unknown: write mgh:wood:n or mgh:wood:ls:n with n = 4 variables"),
        ("mgh:watson:32", "with n = 2, 3, ..., 31 variables"),
        ("mgh:extended_powell_singular:ls:6", "with n = 4, 8, ... variables"),
        ("mgh:wood:4:4", "'mgh:wood:4:4' is unknown"),
        ("mgh:wod", "no problem 'mgh:wod' in the zoo; the nearest is 'mgh:wood'"),
        ("mgh", "no problem 'mgh' in the zoo"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(ValueError, match=message):
        zoo.get(name)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="mgh:wood has starts 1 to 3, not 4"):
        zoo.get("mgh:wood", start=4)
    for call in ("residual", "jacobian", "fun", "grad", "hess"):
        with pytest.raises(ValueError, match="wood has 4 variables, not 3"):
            getattr(PROBLEMS["wood"], call)(np.ones(3))
    with pytest.raises(ValueError, match=r"watson has 2, 3, ..., 31 variables, not 32"):
        PROBLEMS["watson"].curvature(np.ones(32), np.ones(31))


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_array_kind(name, namespace):
    problem, case = PROBLEMS[name], zoo.get(f"mgh:{name}", like=namespace.asarray([0.0]))
    y = near_the_start(name, case.x0.shape[0])
    x, r = namespace.asarray(y), problem.residual(y)
    w = namespace.asarray(r)
    pairs = [
        (problem.residual(x), r), (problem.jacobian(x), problem.jacobian(y)),
        (problem.curvature(x, w), problem.curvature(y, r)),
        (case.problem.grad(x), problem.grad(y)), (case.problem.hess(x), problem.hess(y)),
    ]  # fmt: skip
    assert all(map(namespace.owns, (case.x0, case.solution, *(minimum.x for minimum in case.minima))))
    for found, expected in pairs:
        assert namespace.owns(found)
        # the same operations, sums in another order
        assert namespace.to_numpy(found) == pytest.approx(expected, rel=0, abs=100 * EPS * abs(expected).max())
    assert case.problem.fun(x) == pytest.approx(problem.fun(y), rel=1e-13)


def test_float32_stays_float32(namespace):
    for problem in PROBLEMS.values():
        x = namespace.asarray(np.array(problem.start(INSTANCES[problem][0]), "float32"))
        r = problem.residual(x)
        assert r.dtype == problem.jacobian(x).dtype == problem.curvature(x, r).dtype == problem.hess(x).dtype == x.dtype
