"""Certain digits: balls contain what floats round."""

import numpy as np
import pytest

from refopt.oracle import digits, verify
from refopt.oracle.claim import claim
from refopt.oracle.draw import excess, least, size

pytest.importorskip("flint")


def root_of_two(x):
    return claim(
        "test.root", "x² = 2", "direct", lambda draw: {"x": x}, scale=lambda: 2.0, because="-", exact=False
    )(lambda x: x * x - 2)  # fmt: skip


@pytest.mark.parametrize(("wrong", "known"), [(0.0, 15), (1e-8, 7), (1e-3, 2), (0.5, 0)])
def test_digits_are_those_of_the_result(wrong, known):
    x = 2.0**0.5 * (1 + wrong)
    found = digits.certain(root_of_two(x), {"x": x})[0]
    assert known <= found <= known + 1


def test_rounding_of_the_check_does_not_count():
    """x² rounds to 2 in float64 for one of the neighbours of √2; in balls its error is seen."""
    x = np.nextafter(2.0**0.5, 0)
    assert 0 < abs(float(digits.balls(float(x)) ** 2 - 2)) < 1e-15


def test_norms_and_inequalities_of_balls():
    v = digits.balls(np.array([3.0, 4.0]))
    assert size(v).contains(5)
    assert size(v).rad() < 1e-15
    assert list(excess(v - 10)) == [0, 0]
    assert excess(digits.balls(2.0)) == 2


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_eigenvalue_is_in_its_ball(seed):
    rng = np.random.default_rng(seed)
    Q, values = np.linalg.qr(rng.integers(-9, 9, (4, 4)) + 0.0)[0], np.array([-2.0, -2.0, 1.0, 50.0])
    A = (Q * values) @ Q.T
    A = (A + A.T) / 2
    ball = least(digits.balls(A))
    assert abs(float(ball.mid()) + 2) < 1e-13
    assert float(ball.rad()) < 1e-12
    assert float(ball.lower()) <= np.linalg.eigvalsh(A)[0] + 1e-14


def eigenvalues():
    return claim("test.eigenvalues", "λ = 1", "direct", lambda draw: {"A": np.eye(2)}, scale=lambda: 1.0, because="-")(
        lambda A: np.linalg.eigvalsh(A) - 1
    )


def test_what_is_not_arithmetic_has_no_digits():
    assert digits.certain(eigenvalues(), {"A": np.eye(2)}) == []


def test_reports_have_digits_where_numbers_are_irrational():
    report = verify("trust-region.optimality", examples=4)[0]
    assert 10 <= report.digits <= 16
    assert verify("bfgs.secant", examples=2)[0].digits is None


def test_without_flint_there_are_none(monkeypatch):
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    report = verify("trust-region.optimality", examples=2)[0]
    assert (report.status, report.digits) == ("verified", None)


@pytest.mark.parametrize("wanted", [eigenvalues(), root_of_two(1.0)], ids=["no digits", "digits"])
def test_precision_is_given_back(wanted):
    from flint import ctx

    before = ctx.dps
    digits.certain(wanted, {"A": np.eye(2), "x": 1.0})
    assert ctx.dps == before
