"""How long a fit takes, beside MINPACK's Levenberg-Marquardt as SciPy offers it."""

import pytest
import scipy.optimize

import refopt


@pytest.mark.parametrize("name", ["Misra1a", "Thurber", "Gauss1"])
def test_a_fit_in_numpy(paired, name):
    case = refopt.zoo.get(f"nist:{name}", start=2)
    residual, jacobian = case.problem.residual, case.problem.jacobian
    ours, theirs = paired(
        f"lm, NIST {name}, a solve",
        lambda: refopt.least_squares(residual, case.x0, jac=jacobian),
        "SciPy lm (MINPACK)",
        lambda: scipy.optimize.least_squares(residual, case.x0, jac=jacobian, method="lm"),
    )
    assert ours.success
    assert ours.cost <= theirs.cost * (1 + 1e-10)
