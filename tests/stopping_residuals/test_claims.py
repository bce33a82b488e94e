"""Least squares may claim nothing false, however the problem is changed.

    false success   success, although ‖g‖∞ > max(1e-6 · max(1, ‖g(x₀)‖∞), 10 G),  G its noise, measured
    false alarm     f within 1e-6 of a known minimum (1e-10 f(x₀) where it is 0), but no success; limits excepted

On c·r both are held to c² times the bounds.
"""

from collections import defaultdict
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

import refopt
from problems import PROBLEMS
from refopt import zoo
from refopt.stopping import Status

EPS, EPS32 = 2.0**-52, 2.0**-23
LIMITS = (Status.MAXITER, Status.MAXFUN, Status.MAXTIME)


class Case(NamedTuple):
    """Residuals with their Jacobian, a start, and what is known."""

    name: str
    residual: Any
    jacobian: Any
    x0: np.ndarray
    minima: tuple[float, ...]  #: of ½‖r‖²
    truth: Any  #: r without scale and noise
    f0: float  #: ½‖r‖² at the standard start
    scale: float = 1.0  #: the factor of r
    rounding: float = EPS  #: of x


def half_square(r):
    return 0.5 * float(r @ r)


@cache
def classics():
    return tuple(
        Case(p.name, p.residual, p.jacobian, np.array(p.x0, float), tuple(m / 2 for m in p.minima), p.residual,
             half_square(p.residual(p.x0)))
        for p in PROBLEMS.values()
    )  # fmt: skip


@cache
def nist():
    found = []
    for name in zoo.names():
        for start in (1, 2) if name.startswith("nist:") else ():
            known = zoo.get(name, start)
            r, J = known.problem.residual, known.problem.jacobian
            best, first = half_square(r(known.solution)), half_square(r(known.x0))
            found.append(Case(f"{name}/{start}", r, J, known.x0, (best,), r, first))
    return tuple(found)


# --- what may happen to a problem ------------------------------------------------------------------------------------


def times(c):
    return lambda case: case._replace(
        residual=lambda x: c * case.residual(x), jacobian=lambda x: c * case.jacobian(x), scale=c
    )


def float32_value(case):
    return case._replace(residual=lambda x: case.residual(x).astype("float32").astype(float), rounding=EPS32)


def float32_point(case):
    def at(function):
        return lambda x: function(x.astype("float32").astype(float))

    return case._replace(residual=at(case.residual), jacobian=at(case.jacobian), rounding=EPS32)


def rescaled(case):
    d = np.logspace(4, -4, len(case.x0))
    return case._replace(
        residual=lambda z: case.residual(d * z), jacobian=lambda z: case.jacobian(d * z) * d, x0=case.x0 / d,
        truth=lambda z: case.truth(d * z),
    )  # fmt: skip


def restarted(away):
    def begun(case):
        return case._replace(x0=answer(case) * (1 + away * (1.0 - 2.0 * (np.arange(len(case.x0)) % 2))))

    return begun


def answer(case):
    """The certified solution, or where the method itself ends from the standard start."""
    if case.name.startswith("nist:"):
        return zoo.get(case.name.split("/")[0]).solution
    return refopt.least_squares(case.residual, case.x0, jac=case.jacobian).x


VARIANTS = {
    "plain": lambda case: case, "times 1e12": times(1e12), "times 1e-12": times(1e-12), "r in float32": float32_value,
    "x in float32": float32_point, "ten times the start": lambda case: case._replace(x0=10 * case.x0),
    "rescaled variables": rescaled, "from the answer": restarted(0.0), "1e-9 from the answer": restarted(1e-9),
    "1e-6 from the answer": restarted(1e-6),
}  # fmt: skip


def gradient(case, x):
    return case.jacobian(x).T @ case.residual(x)


def gradient_noise(case, x):
    rng = np.random.default_rng(1)
    near = [x * (1 + case.rounding * rng.integers(-4, 5, len(x))) for _ in range(8)]
    return max(abs(gradient(case, y) - gradient(case, x)).max() for y in near)


def verdict(case, result):
    """ "false success", "false alarm", "solved", "elsewhere" (a success at another point), or "given up"."""
    f, g0, g = half_square(case.truth(result.x)), *(abs(gradient(case, x)).max() for x in (case.x0, result.x))
    near = any(abs(f - m) <= (1e-6 * m if m else 1e-10 * case.f0) for m in case.minima)
    if result.success and g > 1e-6 * max(case.scale**2, g0) and g > 10 * gradient_noise(case, result.x):
        return "false success"
    if near and not result.success and result.status not in LIMITS:
        return "false alarm"
    return "solved" if near and result.success else "elsewhere" if result.success else "given up"


def survey(cases, variant, jac=None, **arguments):
    found = defaultdict(list)
    for case in map(VARIANTS[variant], cases):
        with np.errstate(all="ignore"):
            result = refopt.least_squares(case.residual, case.x0, jac=jac or case.jacobian, **arguments)
            found[verdict(case, result)].append(case.name)
    return found


# Brown and Dennis's residuals are so large that undamped steps leave the minimum; from the answer there is not room
# enough to show that the gradient falls. Nelson's gradient at float32(x) is larger than at the start.
KNOWN = {
    "from the answer": ["brown_dennis"], "1e-9 from the answer": ["brown_dennis"],
    "1e-6 from the answer": ["brown_dennis"], "x in float32": ["nist:Nelson/1"],
}  # fmt: skip


def assert_honest(found, variant):
    assert "false success" not in found, found["false success"]
    assert set(found.get("false alarm", ())) <= set(KNOWN.get(variant, ())), found["false alarm"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_false_claim(variant):
    found = survey(classics(), variant)
    assert_honest(found, variant)
    assert len(found["solved"]) >= {"ten times the start": 15}.get(variant, len(classics()) - 1)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "ten times the start"])
def test_no_false_claim_on_certified_problems(variant):
    found = survey(nist(), variant)
    assert_honest(found, variant)
    assert len(found["solved"]) >= {"x in float32": 44}.get(variant, 52)  # Lanczos1 is rounding at the solution


@pytest.mark.parametrize("variant", ["plain", "times 1e12", "rescaled variables"])
def test_no_false_claim_with_differences(variant):
    for cases in (classics(), nist()):
        found = survey(cases, variant, "3-point")
        assert_honest(found, variant)
        assert len(found["solved"]) >= len(cases) - 2


@pytest.mark.parametrize("arguments", [{"gtol": 1e-4}, {"gtol": 1e-12}, {"gtol": None}, {"ftol": 1e-8, "xtol": 1e-8}])
def test_no_false_claim_at_other_tolerances(arguments):
    found = survey(classics(), "plain", **arguments)
    loose = arguments.get("gtol") == 1e-4  # asks for a gradient of 1e-4 only
    assert loose or "false success" not in found, found
    assert "false alarm" not in found
    assert len(found["solved"]) >= len(classics()) - 2


def test_a_canyon_is_no_minimum():
    """From its first start MGH10 has f = 45 and a cosine below 1e-8 long before the minimum, 43.97."""
    case = zoo.get("nist:MGH10", start=1)
    result = refopt.least_squares(case.problem.residual, case.x0, jac=case.problem.jacobian, options={"polish": False})
    assert result.success
    assert result.cost == pytest.approx(case.fun, rel=1e-6)
