"""`curve_fit` is SciPy's, digit by digit, in what it means by sigma and by a covariance."""

import autograd.numpy as anp
import numpy as np
import pytest
import scipy.optimize

import refopt
from refopt import zoo

T = np.linspace(0.0, 4.0, 40)
Y = 2.5 * np.exp(-1.3 * T) + 0.5 + 0.05 * np.sin(37.0 * T)
SPREAD = 0.02 + 0.01 * T
CORRELATED = np.diag(SPREAD**2) + 1e-4 * np.exp(-np.abs(T[:, None] - T))


def decay(t, a, k, c):
    return a * np.exp(-k * t) + c


def slopes(t, a, k, c):
    e = np.exp(-k * t)
    return np.stack([e, -a * t * e, 1.0 + 0.0 * t], axis=1)


@pytest.mark.parametrize("absolute_sigma", [False, True])
@pytest.mark.parametrize("sigma", [None, SPREAD, SPREAD.tolist(), CORRELATED])
@pytest.mark.parametrize("jac", [None, slopes, "3-point", "cs"])
def test_it_is_scipys(sigma, absolute_sigma, jac):
    popt, pcov = refopt.curve_fit(decay, T, Y, [1, 1, 0], sigma=sigma, absolute_sigma=absolute_sigma, jac=jac)
    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
    expected, covariance = scipy.optimize.curve_fit(
        decay, T, Y, [1, 1, 0], sigma=sigma, absolute_sigma=absolute_sigma, jac=slopes, **tight
    )
    # MINPACK stops where its own rounding does
    assert popt == pytest.approx(expected, rel=1e-7)
    assert pcov == pytest.approx(covariance, rel=1e-6)


def test_one_sigma_for_all():
    popt, pcov = refopt.curve_fit(decay, T, Y, [1, 1, 0], jac=slopes)
    same, unknown = refopt.curve_fit(decay, T, Y, [1, 1, 0], sigma=0.3, jac=slopes)
    _, known = refopt.curve_fit(decay, T, Y, [1, 1, 0], sigma=0.3, absolute_sigma=True, jac=slopes)
    assert same == pytest.approx(popt, rel=1e-12)
    assert unknown == pytest.approx(pcov, rel=1e-10)
    r = decay(T, *popt) - Y
    assert known == pytest.approx(pcov * 0.09 * (len(T) - 3) / (r @ r), rel=1e-10)


def test_certified_errors():
    case = zoo.get("nist:Misra1a", start=1)
    popt, pcov = refopt.curve_fit(lambda x, a, b: -a * np.expm1(-b * x), case.x, case.y, case.x0)
    assert zoo.matching_digits(popt, case.certified).min() >= 8
    assert zoo.matching_digits(np.sqrt(pcov.diagonal()), case.stderr).min() >= 8


def test_autograd():
    popt, _ = refopt.curve_fit(lambda t, a, k, c: a * anp.exp(-k * t) + c, T, Y, [1, 1, 0], jac="autograd")
    assert popt == pytest.approx(refopt.curve_fit(decay, T, Y, [1, 1, 0], jac=slopes)[0], rel=1e-12)


def test_lists_and_further_arguments():
    popt, _ = refopt.curve_fit(lambda t, a: a * t, [1.0, 2.0, 3.0], [2.0, 4.1, 5.9], [1.0], options={"geodesic": True})
    assert popt[0] == pytest.approx(np.dot([1, 2, 3], [2.0, 4.1, 5.9]) / 14)
    with pytest.raises(
        RuntimeError, match="no best parameters were found: stopped at the limit of function evaluations"
    ):
        refopt.curve_fit(decay, T, Y, [1, 1, 0], max_nfev=3)


def test_xdata_may_be_anything():
    popt, _ = refopt.curve_fit(lambda data, a, b: a * data["u"] + b * data["v"], {"u": T, "v": T**2}, T - T**2, [0, 0])
    assert popt == pytest.approx([1.0, -1.0], abs=1e-10)


def test_every_kind_of_array(namespace):
    def line(t, a, b):
        return a * t + b

    t, y = namespace.asarray(T), namespace.asarray(3.0 * T - 1.0 + 0.1 * np.cos(9 * T))
    popt, pcov = refopt.curve_fit(line, t, y, namespace.asarray([1.0, 0.0]), sigma=namespace.asarray(SPREAD))
    expected, covariance = np.polyfit(T, 3.0 * T - 1.0 + 0.1 * np.cos(9 * T), 1, w=1 / SPREAD, cov=True)
    assert namespace.owns(popt)
    assert namespace.to_numpy(popt) == pytest.approx(expected, rel=1e-8)
    assert namespace.to_numpy(pcov) == pytest.approx(covariance, rel=1e-7)


def test_parameters_that_the_data_do_not_determine():
    with pytest.warns(scipy.optimize.OptimizeWarning, match="could not be estimated"):
        popt, pcov = refopt.curve_fit(lambda t, a, b: (a + b) * t, T, 2 * T + 0.1 * np.cos(T), [1.0, 2.0])
    assert np.isinf(pcov).all()
    with pytest.warns(scipy.optimize.OptimizeWarning, match="could not be estimated"):
        popt, pcov = refopt.curve_fit(lambda t, a, b: a * t + b, [1.0, 2.0], [3.0, 5.0], [0, 0])
    assert popt == pytest.approx([2.0, 1.0])
    assert np.isinf(pcov).all()
    _, known = refopt.curve_fit(
        lambda t, a, b: a * t + b, [1.0, 2.0], [3.0, 5.0], [0, 0], sigma=[1.0, 1.0], absolute_sigma=True
    )
    assert known == pytest.approx(np.array([[2.0, -3.0], [-3.0, 5.0]]))


@pytest.mark.parametrize(
    ("ydata", "sigma", "says"),
    [
        ([1.0, np.nan, 2.0], None, "ydata must be finite"), ([[1.0, 2.0, 3.0]], None, "ydata must be a vector"),
        ([1.0, 2.0, 3.0], [1.0, 1.0], r"sigma must have shape \(3,\) or \(3, 3\)"),
        ([1.0, 2.0, 3.0], np.ones((2, 2)), r"sigma must have shape \(3,\) or \(3, 3\)"),
        ([1.0, 2.0, 3.0], [1.0, 0.0, 1.0], "sigma must hold positive, finite"),
        ([1.0, 2.0, 3.0], [1.0, -1.0, 1.0], "sigma must hold positive, finite"),
        ([1.0, 2.0, 3.0], [1.0, np.inf, 1.0], "sigma must hold positive, finite"),
        ([1.0, 2.0, 3.0], -np.eye(3), "sigma is no covariance matrix"),
        (np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]), None, "ydata has masked entries"),
        ([], None, "ydata is empty"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_fitted(ydata, sigma, says):
    with pytest.raises(ValueError, match=says):
        refopt.curve_fit(lambda t, a: a * t, np.arange(3.0), ydata, [1.0], sigma=sigma)


@pytest.mark.parametrize(("m", "shape"), [(5, r"\(40,\)"), (40, r"\(40, 1\)")])
def test_a_model_of_another_shape_than_the_data(m, shape):
    model = decay if m < len(T) else lambda t, *p: decay(t, *p)[:, None]
    with pytest.raises(ValueError, match=rf"f must return {m} numbers, as ydata has; it returned shape {shape}"):
        refopt.curve_fit(model, T, Y[:m], [1, 1, 0])


def test_a_model_may_be_a_constant():
    popt, pcov = refopt.curve_fit(lambda t, c: c, T, Y, [0.0])
    assert popt == pytest.approx(Y.mean(), rel=1e-12)
    assert pcov == pytest.approx(Y.var(ddof=1) / len(Y), rel=1e-9)


def test_unknown_arguments_are_named():
    with pytest.raises(TypeError, match=r"curve_fit has no argument 'full_output'; it takes those of least_squares$"):
        refopt.curve_fit(decay, T, Y, full_output=True)
    with pytest.raises(TypeError, match="what SciPy calls maxfev is max_nfev here"):
        refopt.curve_fit(decay, T, Y, maxfev=100)


def test_xdata_that_are_not_finite():
    with pytest.raises(ValueError, match="xdata must be finite"):
        refopt.curve_fit(decay, np.where(T == 0.0, np.nan, T), Y, [1, 1, 0])


def test_without_a_start_it_begins_at_ones_as_scipys():
    popt, pcov = refopt.curve_fit(decay, T, Y)
    expected, covariance = refopt.curve_fit(decay, T, Y, np.ones(3))
    assert (popt == expected).all()
    assert (pcov == covariance).all()


@pytest.mark.parametrize("f", [lambda t, *p: p[0] * t, lambda t: t])
def test_without_a_start_the_parameters_must_be_countable(f):
    with pytest.raises(ValueError, match="pass p0"):
        refopt.curve_fit(f, T, Y)
