"""NIST problems: formulas against the published strings, Jacobians against the complex step, answers against NIST."""

import mpmath
import numpy as np
import pytest

from refopt.zoo import nist

EPS = np.finfo(float).eps
NAMES = nist.names()

CERTIFIED = [name for name in NAMES if name != "Lanczos1"]  # whose residuals are rounding, see below


def places(case):
    return case.x0, nist.get(case.name.removeprefix("nist:"), 2).x0, case.solution


def by_complex_step(function, b):
    step = 1e-30 * abs(b)
    return np.stack([function(b + 1j * h).imag / h.max() for h in np.diag(step)], axis=1)


def formula(case, b):
    """The published string, read by Python."""
    words = {name: getattr(np, name) for name in ("exp", "cos", "sin", "arctan", "pi")}
    return eval(case.model, words, {"b": b, "x": case.x})


@pytest.mark.parametrize("name", NAMES)
def test_residual_is_the_published_formula_minus_the_data(name):
    case = nist.get(name)
    y = np.log(case.y) if case.log_y else case.y
    for b in places(case):
        expected = formula(case, b)
        # up to ten operations, each rounding terms not much larger than the model; ENSO's angles reach 2π·168/25 = 42,
        # and the far starts of MGH10 and Bennett5 have exponents of order 20: 50 ε in all. The string's own 1 − e⁻ᵘ
        # (Misra1a–c from u = 0.008 on) loses 2/u ε more.
        tolerance = (400 if name.startswith("Misra1") else 50) * EPS * (abs(expected) + abs(y)).max()
        assert abs(case.problem.residual(b) - (expected - y)).max() <= tolerance


@pytest.mark.parametrize("name", NAMES)
def test_jacobian_is_exact(name):
    case = nist.get(name)
    for b in places(case):
        J = case.problem.jacobian(b)
        exact = by_complex_step(case.problem.residual, b)
        assert J.shape == exact.shape == (case.y.size, b.size)
        assert (abs(J - exact) <= 1e-13 * abs(exact).max(axis=0)).all()  # 50 ε of angles and exponents, ENSO: 300 ε


@pytest.mark.parametrize(("name", "small"), [("Misra1a", 1e-4), ("Misra1b", 1e-4), ("Misra1c", 1e-4), ("BoxBOD", 1e-6)])
def test_small_exponents_do_not_cancel(name, small):
    case = nist.get(name)
    rise = {
        "Misra1b": lambda u: 1 - (1 + u / 2) ** -2,
        "Misra1c": lambda u: 1 - 1 / mpmath.sqrt(1 + 2 * u),
    }.get(name, lambda u: 1 - mpmath.exp(-u))
    with mpmath.workdps(40):
        expected = np.array([float(500 * rise(mpmath.mpf(small) * mpmath.mpf(x))) for x in case.x])
    found = nist.least_squares(nist.MODELS[name], case.x, 0 * case.y).residual(np.array([500.0, small]))
    assert (abs(found - expected) <= 8 * EPS * expected).all()  # eight operations


def standard_errors(J, rss):
    """s √diag (JᵀJ)⁻¹, by QR of the scaled columns: R⁻¹ has rows of norm √diag (JᵀJ)⁻¹."""
    scale = np.linalg.norm(J, axis=0)
    R = np.linalg.qr(J / scale)[1]
    n, p = J.shape
    return np.sqrt(rss / (n - p)) * np.linalg.norm(np.linalg.inv(R), axis=1) / scale


@pytest.mark.parametrize("name", CERTIFIED)
def test_certified_answers_are_reproduced(name):
    case = nist.get(name)
    b, n = case.certified, case.y.size
    r, J = case.problem.residual(b), case.problem.jacobian(b)
    rss = r @ r
    assert nist.matching_digits(rss, case.rss) >= 9.9  # of 11; the rest is lost to b's eleven digits
    assert nist.matching_digits(np.sqrt(rss / (n - b.size)), case.rsd) >= 10
    assert (nist.matching_digits(standard_errors(J, rss), case.stderr) >= 9).all()  # conditions up to 1e5 eat two
    # half the last of eleven digits of b moves r by at most J·δ: the gradient vanishes to within JᵀJ·δ
    assert (abs(J.T @ r) <= abs(J.T) @ abs(J) @ (5e-11 * abs(b))).all()
    assert case.fun == case.rss / 2
    assert (case.solution == case.certified).all()


def test_lanczos1_needs_more_digits_than_float64_has():
    """‖r‖ = 1e-13 there is below the rounding of the model: Gauss-Newton with 50 digits finds the certified values."""
    case = nist.get("Lanczos1")
    r = case.problem.residual(case.certified)
    assert r @ r < 1e-19  # eleven digits of b: (1e-11)² · 24
    with mpmath.workdps(50):
        data = [
            (mpmath.mpf(repr(x)), mpmath.mpf(repr(y))) for x, y in zip(case.x.tolist(), case.y.tolist(), strict=True)
        ]
        b = [mpmath.mpf(repr(value)) for value in case.certified.tolist()]
        for _ in range(8):
            rows, r = [], []
            for x, y in data:
                e = [mpmath.exp(-b[j] * x) for j in (1, 3, 5)]
                r.append(b[0] * e[0] + b[2] * e[1] + b[4] * e[2] - y)
                rows.append([e[0], -b[0] * x * e[0], e[1], -b[2] * x * e[1], e[2], -b[4] * x * e[2]])
            J, r = mpmath.matrix(rows), mpmath.matrix(r)
            inverse = (J.T * J) ** -1
            b = list(mpmath.matrix(b) - inverse * (J.T * r))
        rss = (r.T * r)[0]
        stderr = [mpmath.sqrt(rss / 18 * inverse[j, j]) for j in range(6)]
    assert nist.matching_digits(np.array(b, float), case.certified).min() >= 10
    assert nist.matching_digits(float(rss), case.rss) >= 9
    assert nist.matching_digits(np.array(stderr, float), case.stderr).min() >= 9


def test_names_levels_and_starts():
    assert len(NAMES) == len(set(NAMES)) == 27
    levels = [nist.get(name).level for name in NAMES]
    assert levels == ["Lower"] * 8 + ["Average"] * 11 + ["Higher"] * 8
    assert nist.get("Rat43", 2).x0.tolist() == [700, 5, 0.75, 1.3]
    with pytest.raises(ValueError, match="no NIST problem 'Rat44'; there are Misra1a,"):
        nist.get("Rat44")
    with pytest.raises(ValueError, match=r"starts 1 \(far\) and 2 \(near\), not 3"):
        nist.get("Rat43", 3)


def test_x0_is_a_copy():
    nist.get("Rat43").x0[0] = np.nan
    assert nist.get("Rat43").x0[0] == 100


def test_overflow_is_silent_and_not_finite():
    case = nist.get("BoxBOD")
    assert np.isinf(case.problem.residual(np.array([1.0, -1000.0]))).all()
    assert not np.isfinite(case.problem.jacobian(np.array([1.0, -1000.0]))).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_array_kind(name, namespace):
    case, twin = nist.get(name), nist.get(name, like=namespace.asarray([0.0]))
    assert namespace.owns(twin.x0)
    for function in ("residual", "jacobian"):
        found = getattr(twin.problem, function)(twin.x0)
        assert namespace.owns(found)
        expected = getattr(case.problem, function)(case.x0)
        # the libraries' exp, cos and powers differ by roundings, which exponents up to 30 and ENSO's angles multiply
        assert np.allclose(namespace.to_numpy(found), expected, rtol=1e-13, atol=1e-13 * abs(expected).max())


def test_float32_is_kept():
    case = nist.get("ENSO", like=np.zeros(1, np.float32))
    assert case.x0.dtype == np.float32
    assert case.problem.residual(case.x0).dtype == np.float32
    assert case.problem.jacobian(case.x0).dtype == np.float32


def test_matching_digits():
    digits = nist.matching_digits([1.0, 1.001, 2.0, 100.0, np.nan, np.inf, 1 + 1e-13], 1.0)
    assert digits == pytest.approx([11, 3, 0, 0, 0, 0, 11])
    assert nist.matching_digits(-0.0099, -0.01) == pytest.approx(2)
    assert nist.matching_digits([[1.0], [1.1]], [1.0, 1.1]).shape == (2, 2)
