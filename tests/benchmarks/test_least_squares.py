"""How long a fit takes, beside MINPACK's Levenberg-Marquardt as SciPy offers it."""

import numpy as np
import pytest
import scipy.optimize

import refopt

TIGHT = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}


@pytest.mark.parametrize("name", ["Misra1a", "Thurber", "Gauss1"])
@pytest.mark.parametrize("tight", [True, False], ids=["to its last digits", "at its defaults"])
def test_a_fit_in_numpy(paired, name, tight):
    """MINPACK's default tolerances leave four to eight digits where the polish brings ten: compare both ways."""
    case = refopt.zoo.get(f"nist:{name}", start=2)
    residual, jacobian = case.problem.residual, case.problem.jacobian
    tolerances = TIGHT if tight else {}
    ours, theirs = paired(
        f"lm, NIST {name}, a solve",
        lambda: refopt.least_squares(residual, case.x0, jac=jacobian),
        "MINPACK's lm, to its last digits" if tight else "MINPACK's lm, at its defaults",
        lambda: scipy.optimize.least_squares(residual, case.x0, jac=jacobian, method="lm", **tolerances),
    )
    assert ours.success
    assert ours.cost <= theirs.cost * (1 + 1e-10)


@pytest.mark.jit
def test_a_jitted_fit(paired):
    """An exponential decay with 60 observations, both functions compiled."""
    import numba

    t = np.linspace(0.0, 5.0, 60)
    y = 2.5 * np.exp(-1.3 * t) + 0.5 + 0.01 * np.cos(7.0 * t)

    @numba.njit
    def residual(b):
        return b[0] * np.exp(-b[1] * t) + b[2] - y

    @numba.njit
    def jacobian(b):
        J = np.ones((t.size, 3))
        J[:, 0] = np.exp(-b[1] * t)
        J[:, 1] = -b[0] * t * J[:, 0]
        return J

    x0 = np.array([1.0, 0.5, 0.0])
    ours, theirs = paired(
        "lm, jitted exponential decay, a solve",
        lambda: refopt.least_squares(residual, x0, jac=jacobian),
        "MINPACK's lm, at its defaults",
        lambda: scipy.optimize.least_squares(residual, x0, jac=jacobian, method="lm"),
    )
    assert ours.success
    assert ours.cost <= theirs.cost * (1 + 1e-10)


@pytest.mark.jit
@pytest.mark.parametrize("name", ["Misra1a", "Thurber", "Gauss1"])
def test_a_jitted_certified_fit(paired, name):
    from jitted_zoo import squares

    case = refopt.zoo.get(f"nist:{name}", start=2)
    residual, jacobian, *_ = squares(case.problem, len(case.x0))
    ours, theirs = paired(
        f"lm, jitted NIST {name}, a solve",
        lambda: refopt.least_squares(residual, case.x0, jac=jacobian),
        "MINPACK's lm, at its defaults",
        lambda: scipy.optimize.least_squares(residual, case.x0, jac=jacobian, method="lm"),
    )
    assert ours.success
    assert ours.cost <= theirs.cost * (1 + 1e-10)


@pytest.mark.jit
@pytest.mark.parametrize(("m", "n"), [(100, 4), (100, 50), (5000, 4), (5000, 50), (50_000, 10)])
def test_a_jitted_fit_of_peaks(paired, m, n):
    """Each contender at its own default tolerances."""
    from speed import peaks

    if m > 5000 and not paired.rounds:
        pytest.skip("long, and of no other result than the small ones")
    (residual, jacobian, *_), x0 = peaks(m, n)
    ours, theirs = paired(
        f"lm, jitted peaks, {m} × {n}, a solve",
        lambda: refopt.least_squares(residual, x0, jac=jacobian),
        "MINPACK's lm, at its defaults",
        lambda: scipy.optimize.least_squares(residual, x0, jac=jacobian, method="lm"),
    )
    assert ours.success
    assert ours.cost <= theirs.cost * (1 + 1e-10)
