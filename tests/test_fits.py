"""NIST's models in machine code are those of the zoo."""

import numpy as np
import pytest

import fits
from refopt.zoo import nist


@pytest.mark.jit
@pytest.mark.parametrize("name", nist.names())
def test_the_same_residuals_and_derivatives(name):
    """To 64 roundings of the terms that are summed; an exponential may differ by one, and its argument is large."""
    fit, whole = fits.fit(f"nist:{name}")
    zoo = nist.get(name)
    x, eps = 1.1 * zoo.x0, np.finfo(float).eps
    r, J = zoo.problem.residual(x), zoo.problem.jacobian(x)
    terms = abs(r) + abs(zoo.y).max()
    assert (abs(fit.residual(x) - r) <= 64 * eps * terms).all()
    assert (abs(fit.jacobian(x) - J) <= 64 * eps * abs(J).max(axis=0)).all()
    assert whole.fun(x) == pytest.approx(0.5 * r @ r, rel=256 * eps)
    assert (abs(whole.grad(x) - J.T @ r) <= 256 * eps * abs(J).T @ abs(r)).all()
