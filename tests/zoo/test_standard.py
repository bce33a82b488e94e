"""Standard problems, in few and in many variables: formulas written anew for mpmath, minima, starts, array kinds."""

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fifty_digits import of_function
from refopt import zoo
from refopt.zoo import standard, structured
from strategies import seeds

EPS = np.finfo(float).eps
FAMILIES = {**standard.FAMILIES, **structured.FAMILIES}


# --- formulas --------------------------------------------------------------------------------------------------------


def levy(x):
    pi, w = mpmath.pi, [1 + (value - 1) / 4 for value in x]
    inner = sum((v - 1) ** 2 * (1 + 10 * mpmath.sin(pi * v + 1) ** 2) for v in w[:-1])
    return mpmath.sin(pi * w[0]) ** 2 + inner + (w[-1] - 1) ** 2 * (1 + mpmath.sin(2 * pi * w[-1]) ** 2)


def zakharov(x):
    s = sum(i * value for i, value in enumerate(x, 1)) / 2
    return sum(value**2 for value in x) + s**2 + s**4


def wood(a, b, c, d):
    valleys = 100 * (b - a**2) ** 2 + (1 - a) ** 2 + 90 * (d - c**2) ** 2 + (1 - c) ** 2
    return valleys + 10 * (b + d - 2) ** 2 + (b - d) ** 2 / 10


def ill_conditioned(x):
    """½ Σᵢ λᵢ (Q(x − 1))ᵢ²,  λᵢ = 10^(6 (i − 1)/(n − 1))."""
    n, d = len(x), [value - 1 for value in x]
    mean = sum(d) / n
    values = [mpmath.mpf(10) ** (mpmath.mpf(6 * i) / (n - 1)) for i in range(n)]
    return sum(value * (v - 2 * mean) ** 2 for value, v in zip(values, d, strict=True)) / 2


def logistic(x):
    """By log(1 + e^z) as it stands, on the data that the zoo draws."""
    A, p, w = structured.drawn(len(x))
    loss = mpmath.mpf(0)
    for row, frequency in zip(A.tolist(), p.tolist(), strict=True):
        z = sum(a * value for a, value in zip(row, x, strict=True))
        loss += mpmath.log(1 + mpmath.exp(z)) - frequency * z
    return loss / len(A) + sum((value - v) ** 2 for value, v in zip(x, w.tolist(), strict=True)) / 2000


FORMULAS = {
    "quadratic": lambda x: (4 * x[0] ** 2 + 2 * x[0] * x[1] + 2 * x[1] ** 2) / 2 - 3 * x[0] - 2 * x[1],
    "saddle": lambda x: x[0] ** 2 + (x[1] ** 2 - 1) ** 2,
    "monkey_saddle": lambda x: x[0] ** 3 - 3 * x[0] * x[1] ** 2 + (x[0] ** 2 + x[1] ** 2) ** 2,
    "himmelblau": lambda x: (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2,
    "fourth_power": lambda x: sum(value**2 for value in x) ** 2,
    "double_well": lambda x: sum((value**2 - 1) ** 2 for value in x),
    "styblinski_tang": lambda x: sum(value**4 - 16 * value**2 + 5 * value for value in x) / 2,
    "levy": levy,
    "plateau": lambda x: sum(value**2 / (1 + value**2) for value in x),
    "barrier": lambda x: sum(value - mpmath.log(value) for value in x),
    "ill_conditioned": ill_conditioned,
    "zakharov": zakharov,
    "dixon_price": lambda x: (x[0] - 1) ** 2 + sum(
        (i + 1) * (2 * x[i] ** 2 - x[i - 1]) ** 2 for i in range(1, len(x))
    ),
    "nesterov": lambda x: (x[0] - 1) ** 2 / 4 + sum((b - 2 * a**2 + 1) ** 2 for a, b in itertools.pairwise(x)),
    "extended_rosenbrock": lambda x: sum(
        100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in zip(x[::2], x[1::2], strict=True)
    ),
    "chained_wood": lambda x: sum(wood(*x[i : i + 4]) for i in range(0, len(x) - 3, 2)),
    "logistic": logistic,
}  # fmt: skip


def test_every_problem_has_a_formula():
    assert FORMULAS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("name", FORMULAS)
def test_function_gradient_and_hessian(name):
    """At most 100 roundings of terms no larger than the largest."""
    family = FAMILIES[name]
    n = min(n for n in range(2, 9) if n in family.sizes and (n >= 6 or len(family.sizes) == 1))
    problem = zoo.get(f"{name}:{n}").problem
    x = np.random.default_rng(0).uniform(0.2 if name == "barrier" else -2, 2, n)
    f, g, H = of_function(FORMULAS[name], x)
    assert problem.fun(x) == pytest.approx(f, rel=100 * EPS)
    assert isinstance(problem.fun(x), float)
    assert problem.grad(x) == pytest.approx(g, rel=0, abs=100 * EPS * abs(g).max())
    assert problem.hess(x) == pytest.approx(H, rel=0, abs=100 * EPS * abs(H).max())


PRODUCTS = [name for name in FAMILIES if zoo.get(name).problem.hvp]


@pytest.mark.parametrize("name", PRODUCTS)
@given(seed=seeds)
def test_the_product_is_the_hessian_times_the_vector(name, seed):
    n = 8
    problem, rng = zoo.get(f"{name}:{n}").problem, np.random.default_rng(seed)
    x, v = rng.uniform(0.2 if name == "barrier" else -2, 2, (2, n))
    H = problem.hess(x)
    assert (abs(problem.hvp(x, v) - H @ v) <= 20 * n * EPS * abs(H).max() * abs(v).max()).all()
    assert (H == H.T).all() or (abs(H - H.T) <= 4 * EPS * abs(H).max()).all()


def test_many_variables_have_products():
    assert {name for name, family in FAMILIES.items() if len(family.sizes) > 1} == set(PRODUCTS)


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_thousand_variables(name):
    """The product there against a difference of gradients, right to seven digits."""
    case = zoo.get(f"{name}:1000")
    x, v, h = case.x0 + 0.01, np.random.default_rng(0).uniform(-1, 1, 1000), 1e-6
    difference = (case.problem.grad(x + h * v) - case.problem.grad(x - h * v)) / (2 * h)
    exact = case.problem.hvp(x, v)
    assert difference == pytest.approx(exact, rel=0, abs=1e-6 * abs(exact).max())


# --- minima and starts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMULAS)
def test_minimisers(name):
    """∇f is what rounding x leaves of it, f as listed, ∇²f ⪰ 0."""
    case = zoo.get(name if name != "extended_rosenbrock" else f"{name}:20")
    assert case.fun == case.minima[0].fun == min(minimum.fun for minimum in case.minima)
    assert (case.solution == case.minima[0].x).all()
    for minimum in case.minima:
        x, H = minimum.x, case.problem.hess(minimum.x)
        g, eigenvalues = case.problem.grad(x), np.linalg.eigvalsh(H)
        assert abs(g).max() <= 4 * EPS * (abs(H) @ abs(x)).max()
        assert case.problem.fun(x) == pytest.approx(minimum.fun, rel=8 * EPS, abs=1e-28)
        assert eigenvalues[0] >= -x.size * EPS * eigenvalues[-1]


def test_every_start_lies_above_the_minimum():
    for name, family in FAMILIES.items():
        for start in range(1, len(family.starts(family.size)) + 1):
            case = zoo.get(name, start=start)
            assert case.problem.fun(case.x0) > case.fun, name


STATIONARY = {"saddle": 2, "monkey_saddle": 2, "double_well": 2}


@pytest.mark.parametrize(("name", "start"), STATIONARY.items())
def test_starts_that_are_stationary_and_no_minima(name, start):
    case = zoo.get(name, start=start)
    assert (case.problem.grad(case.x0) == 0).all()
    lowest = np.linalg.eigvalsh(case.problem.hess(case.x0))[0]
    assert lowest == 0 if name == "monkey_saddle" else lowest < 0


def test_the_way_into_the_saddle():
    """From start 1 the gradient leads to the saddle, along its stable manifold."""
    case = zoo.get("saddle")
    assert case.problem.grad(case.x0)[1] == 0
    assert case.x0[1] == 0


def test_dixon_price_beside_its_second_stationary_point():
    """At (1/3, 0, …, 0) the Hessian is positive semidefinite, but f falls along (·, ε, √(ε/2), …)."""
    problem, third = zoo.get("dixon_price:5").problem, np.array([1 / 3, 0, 0, 0, 0])
    assert abs(problem.grad(third)).max() <= EPS
    assert np.linalg.eigvalsh(problem.hess(third))[0] >= -10 * EPS
    e = 1e-3
    x3 = (e / 2) ** 0.5
    x4 = (x3 / 2) ** 0.5
    way = np.array([1 / 3, e, x3, x4, (x4 / 2) ** 0.5])
    assert problem.fun(way) - problem.fun(third) == pytest.approx(-8 / 3 * e**2, rel=1e-3)


def test_the_barrier_ends_where_the_logarithm_does():
    problem = zoo.get("barrier:2").problem
    assert np.isnan(problem.fun(np.array([1.0, -1.0])))
    assert problem.fun(np.array([1.0, 0.0])) == np.inf


@given(seed=seeds, condition=st.sampled_from([1e1, 1e5, 1e10]))
def test_the_spectrum_given_is_the_spectrum(seed, condition):
    eigenvalues = np.sort(condition ** np.random.default_rng(seed).uniform(0, 1, 6))
    H = structured.with_spectrum(eigenvalues).hess(np.zeros(6))
    assert np.linalg.eigvalsh(H) == pytest.approx(eigenvalues, rel=0, abs=20 * EPS * eigenvalues[-1])


def test_other_data_for_logistic_regression():
    A, p, w = structured.drawn(4, seed=1)
    assert (structured.drawn(4)[0] != A).any()
    problem = structured.logistic(A, p, w)
    assert abs(problem.grad(w)).max() <= EPS
    far = problem.fun(1e4 * w)  # |z| in the thousands: e^z overflows
    assert np.isfinite(far)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("chained_wood:5", "'chained_wood:5' is unknown: write chained_wood:n with n = 4, 6, ... variables"),
        ("himmelblau:3", "write himmelblau:n with n = 2 variables"),
        ("zakharov:ls", "write zakharov:n with n = 1, 2, ... variables"),
        ("himmelblauu", "no problem 'himmelblauu' in the zoo; the nearest is 'himmelblau'"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(ValueError, match=message):
        zoo.get(name)


@pytest.mark.parametrize("name", FORMULAS)
def test_every_array_kind(name, namespace):
    case = zoo.get(name if name != "extended_rosenbrock" else f"{name}:8")
    twin = zoo.get(case.name, like=namespace.asarray([0.0]))
    assert all(map(namespace.owns, (twin.x0, twin.solution, *(minimum.x for minimum in twin.minima))))
    y = 0.75 * case.x0 + 0.5
    x = namespace.asarray(y)
    assert twin.problem.fun(x) == pytest.approx(case.problem.fun(y), rel=100 * EPS)
    pairs = [(twin.problem.grad(x), case.problem.grad(y)), (twin.problem.hess(x), case.problem.hess(y))]
    if case.problem.hvp:
        pairs.append((twin.problem.hvp(x, x), case.problem.hvp(y, y)))
    for found, expected in pairs:
        assert namespace.owns(found)
        assert namespace.to_numpy(found) == pytest.approx(expected, rel=0, abs=100 * EPS * abs(expected).max())
    single = namespace.asarray(y.astype("float32"))
    like32 = zoo.get(case.name, like=single).problem
    assert like32.grad(single).dtype == like32.hess(single).dtype == single.dtype
