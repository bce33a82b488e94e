"""Classic problems: formulas by mpmath, derivatives by mpmath's differentiation with fifty digits."""

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given

from fifty_digits import of_function
from refopt import zoo
from refopt.zoo import classic
from strategies import vectors

EPS = np.finfo(float).eps


def rosenbrock(x):
    return mpmath.fsum(100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))


def quartic(z):
    u, v = mpmath.mpf("0.8") * z[0] - mpmath.mpf("0.5"), 2 * z[1]
    return (
        mpmath.fsum(a * u**i + b * v**i for i, (a, b) in enumerate(zip(classic.A, classic.B, strict=True), 1))
        + u * v / 10
    )


def valley(w):
    return w[0] ** 2 + 100 * w[1] ** 2


EXACT = {"rosenbrock": rosenbrock, "quartic": quartic, "valley": valley}
CASES = ["rosenbrock", "rosenbrock:3", "rosenbrock:6", "quartic", "valley"]


@pytest.mark.parametrize("name", CASES)
def test_function_gradient_and_hessian(name):
    problem = zoo.get(name).problem
    x = np.random.default_rng(0).uniform(-2, 2, zoo.get(name).x0.size)
    f, g, H = of_function(EXACT[name.partition(":")[0]], x)
    # a dozen operations on terms not larger than the largest derivative times max|x|² = 4
    assert problem.fun(x) == pytest.approx(f, rel=50 * EPS)
    assert problem.grad(x) == pytest.approx(g, abs=50 * EPS * abs(g).max())
    assert problem.hess(x) == pytest.approx(H, abs=50 * EPS * abs(H).max())
    assert isinstance(problem.fun(x), float)


@given(x=vectors(n=5, bound=3.0), v=vectors(n=5, bound=3.0))
def test_rosenbrock_product_is_the_hessian_times_the_vector(x, v):
    H = classic.rosenbrock.hess(x)
    bound = abs(H) @ abs(v)
    assert (abs(classic.rosenbrock.hvp(x, v) - H @ v) <= 6 * EPS * bound).all()  # three products, two sums, each way


@given(x=vectors(n=4, bound=3.0))
def test_rosenbrock_as_least_squares(x):
    r, J = classic.rosenbrock_residual(x), classic.rosenbrock_jacobian(x)
    assert r.shape == (6,)
    assert J.shape == (6, 4)
    assert r @ r == pytest.approx(classic.rosenbrock.fun(x), rel=20 * EPS)
    g = classic.rosenbrock.grad(x)
    assert (abs(2 * J.T @ r - g) <= 20 * EPS * (2 * abs(J.T) @ abs(r) + 800 * abs(x) ** 3 + 10)).all()
    # the complex step errs by rounding only
    exact = np.stack([classic.rosenbrock_residual(x + 1e-30j * e).imag / 1e-30 for e in np.eye(4)], axis=1)
    assert pytest.approx(exact, rel=8 * EPS) == J


@pytest.mark.parametrize("n", classic.LOCAL)
def test_the_local_minimum_of_rosenbrock(n):
    """Newton's method from (−1, 1, …, 1)."""
    case = zoo.get(f"rosenbrock:{n}")
    x = np.where(np.arange(n) == 0, -1.0, 1.0)
    for _ in range(20):
        x = x - np.linalg.solve(case.problem.hess(x), case.problem.grad(x))
    with mpmath.workdps(50):
        f = rosenbrock([mpmath.mpf(value) for value in x.tolist()])
    assert float(f) == pytest.approx(case.minima[1].fun, rel=2 * EPS)
    assert case.minima[1].x is None
    assert np.linalg.eigvalsh(case.problem.hess(x))[0] > 0.1


def test_the_quartic_minimum_with_fifty_digits():
    case = zoo.get("quartic")
    with mpmath.workdps(50):
        gradient = lambda x, y: [
            mpmath.diff(lambda *z: quartic(z), (x, y), (1, 0)),
            mpmath.diff(lambda *z: quartic(z), (x, y), (0, 1)),
        ]
        root = mpmath.findroot(gradient, (0.53, -0.29))
        assert case.solution.tolist() == [float(root[0]), float(root[1])]
        assert case.fun == float(quartic(list(root)))
    assert case.problem.fun(case.x0) == pytest.approx(4.32175508, rel=1e-8)
    assert (np.linalg.eigvalsh(case.problem.hess(case.solution)) > 0).all()


@pytest.mark.parametrize("name", ["rosenbrock", "rosenbrock:7", "rosenbrock:ls", "rosenbrock:ls:5", "valley"])
def test_known_solutions_are_stationary_with_the_known_value(name):
    case = zoo.get(name)
    if "ls" in name:
        assert (case.problem.residual(case.solution) == 0).all()
    else:
        assert (case.problem.grad(case.solution) == 0).all()
        assert case.problem.fun(case.solution) == case.fun == 0


def test_starts():
    assert zoo.get("rosenbrock").x0.tolist() == [-1.2, 1]
    assert zoo.get("rosenbrock", start=2).x0.tolist() == [-1, 1]
    assert zoo.get("rosenbrock:5").x0.tolist() == [-1.2, 1, -1.2, 1, -1.2]
    assert zoo.get("quartic").x0.tolist() == [-0.9, 0.4]
    assert zoo.get("valley").x0.tolist() == [1, 1]
    with pytest.raises(ValueError, match="valley has starts 1 to 1, not 2"):
        zoo.get("valley", start=2)


def test_names():
    names = zoo.names()
    assert len(names) == len(set(names)) == 22 + 41 + 27
    assert {"rosenbrock", "rosenbrock:10", "rosenbrock:ls", "quartic", "valley", "zakharov", "mgh:watson:9"} < {*names}
    for name in names:
        case = zoo.get(name)
        assert case.name == name
        assert case.x0.shape == case.solution.shape
    with pytest.raises(ValueError, match="no problem 'rosenbrok' in the zoo; the nearest is 'rosenbrock'"):
        zoo.get("rosenbrok")
    for wrong in ("rosenbrock:1", "rosenbrock:x", "rosenbrock:3:4"):
        with pytest.raises(ValueError, match=f"'{wrong}' is unknown: write rosenbrock:n"):
            zoo.get(wrong)


@pytest.mark.parametrize("name", [*CASES, "rosenbrock:ls:4"])
def test_every_array_kind(name, namespace):
    case, twin = zoo.get(name), zoo.get(name, like=namespace.asarray([0.0]))
    assert namespace.owns(twin.x0)
    assert namespace.owns(twin.solution)
    calls = ["residual", "jacobian"] if "ls" in name else ["grad", "hess"]
    for call in calls:
        found = getattr(twin.problem, call)(twin.x0)
        assert namespace.owns(found)
        assert namespace.to_numpy(found) == pytest.approx(getattr(case.problem, call)(case.x0), rel=8 * EPS)
    if "ls" not in name:
        assert twin.problem.fun(twin.x0) == pytest.approx(case.problem.fun(case.x0), rel=8 * EPS)
    if name.startswith("rosenbrock") and "ls" not in name:
        assert namespace.owns(twin.problem.hvp(twin.x0, twin.solution))
