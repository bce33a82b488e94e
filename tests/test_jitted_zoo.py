"""The traced functions of the survey are those of the zoo."""

import numpy as np
import pytest

numba = pytest.importorskip("numba")
from jitted_zoo import as_function, jitted, squares  # noqa: E402
from refopt import zoo  # noqa: E402

pytestmark = [pytest.mark.jit, pytest.mark.xdist_group("jit")]
FITS = ["nist:Misra1a", "nist:Nelson", "nist:Roszman1", "mgh:helical_valley:ls", "mgh:wood:ls", "mgh:meyer:ls"]


def agree(found, wanted, x):
    for ours, theirs in zip(found, wanted, strict=True):
        value = theirs(x)
        assert np.shape(ours(x)) == np.shape(value)
        np.testing.assert_allclose(ours(x), value, rtol=1e-12, atol=1e-12 * np.abs(value).max())


@pytest.mark.parametrize("name", FITS)
def test_fits(name):
    case = zoo.get(name)
    x = 1.01 * case.x0
    found = squares(case.problem, len(x))
    agree(found[:2], case.problem[:2], x)
    whole = as_function(found, 0.5)
    r, J = case.problem.residual(x), case.problem.jacobian(x)
    assert whole.fun(x) == pytest.approx(0.5 * r @ r, rel=1e-12)
    np.testing.assert_allclose(whole.grad(x), J.T @ r, rtol=1e-10)


@pytest.mark.parametrize("name", ["rosenbrock", "levy", "logistic:5", "barrier", "quartic"])
def test_functions(name):
    case = zoo.get(name)
    x = 0.9 * case.x0
    agree([jitted(f, len(x)) for f in case.problem[:3]], case.problem[:3], x)


def test_what_asks_for_values_cannot_be_traced():
    with pytest.raises(TypeError, match="value of a symbol"):
        jitted(lambda x: x[0] if x[0] > 0 else -x[0], 1)
