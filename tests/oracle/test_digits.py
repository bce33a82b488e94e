"""Certain digits: balls contain what floats round, and floats of fifty digits do not round where it shows."""

from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

from refopt.oracle import digits, verify
from refopt.oracle.claim import claim
from refopt.oracle.draw import excess, least, size

KINDS = [name for name in ("flint", "mpmath") if find_spec(name)]


@pytest.fixture(params=KINDS)
def kind(request, monkeypatch):
    """Each kind of number, as if the others were missing."""
    monkeypatch.setattr(digits, "find_spec", lambda name: name == request.param)
    return request.param


def root_of_two(x):
    return claim(
        "test.root", "x² = 2", "direct", lambda draw: {"x": x}, scale=lambda: 2.0, because="-", exact=False
    )(lambda x: x * x - 2)  # fmt: skip


@pytest.mark.parametrize(("wrong", "known"), [(0.0, 15), (1e-8, 7), (1e-3, 2), (0.5, 0)])
def test_digits_are_those_of_the_result(kind, wrong, known):
    x = 2.0**0.5 * (1 + wrong)
    found = digits.certain(root_of_two(x), {"x": x})[0]
    assert known <= found <= known + 1


def test_rounding_of_the_check_does_not_count(kind):
    """x² rounds to 2 in float64 for one of the neighbours of √2; with more digits its error is seen."""
    x = np.nextafter(2.0**0.5, 0)
    with digits.places():
        assert 0 < abs(float(digits.numbers(float(x)) ** 2 - 2)) < 1e-15


def test_norms_and_inequalities(kind):
    with digits.places():
        v = digits.numbers(np.array([3.0, 4.0]))
        assert digits.upper(np.asarray(size(v) - 5)) < 1e-48
        assert list(excess(v - 10)) == [0, 0]
        assert excess(digits.numbers(2.0)) == 2


def test_what_balls_are_certain_of_is_so_at_fifty_digits(monkeypatch):
    """The eigenvalue in these claims has a ball of 1e-13 or so."""
    found = []
    for name in KINDS:
        monkeypatch.setattr(digits, "find_spec", lambda wanted, name=name: wanted == name)
        found.append([verify(f"trust-region.{fact}", examples=3)[0].digits for fact in ("optimality", "hard-case")])
    assert all(a <= b <= a + 4 for a, b in zip(found[0], found[-1], strict=True))
    assert min(found[0]) >= 10


@pytest.mark.skipif("flint" not in KINDS, reason="needs python-flint")
@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_eigenvalue_is_in_its_ball(seed):
    rng = np.random.default_rng(seed)
    Q, values = np.linalg.qr(rng.integers(-9, 9, (4, 4)) + 0.0)[0], np.array([-2.0, -2.0, 1.0, 50.0])
    A = (Q * values) @ Q.T
    A = (A + A.T) / 2
    ball = least(digits.numbers(A))
    assert abs(float(ball.mid()) + 2) < 1e-13
    assert float(ball.rad()) < 1e-12
    assert float(ball.lower()) <= np.linalg.eigvalsh(A)[0] + 1e-14


def eigenvalues():
    return claim("test.eigenvalues", "λ = 1", "direct", lambda draw: {"A": np.eye(2)}, scale=lambda: 1.0, because="-")(
        lambda A: np.linalg.eigvalsh(A) - 1
    )


def test_what_is_not_arithmetic_has_no_digits(kind):
    assert digits.certain(eigenvalues(), {"A": np.eye(2)}) == []


def test_reports_have_digits_where_numbers_are_irrational(kind):
    report = verify("trust-region.optimality", examples=4)[0]
    assert 10 <= report.digits <= 16
    assert verify("bfgs.secant", examples=2)[0].digits is None


def test_the_smallest_eigenvalue_at_fifty_digits(kind):
    """(2 1; 1 2) has 1 and 3, and floats hold its entries."""
    with digits.places():
        assert digits.upper(np.asarray(least(digits.numbers(np.array([[2.0, 1.0], [1.0, 2.0]]))) - 1)) < 1e-10


def test_without_either_there_are_none(monkeypatch):
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    report = verify("trust-region.optimality", examples=2)[0]
    assert (report.status, report.digits) == ("verified", None)


@pytest.mark.parametrize("wanted", [eigenvalues(), root_of_two(1.0)], ids=["no digits", "digits"])
def test_precision_is_given_back(kind, wanted):
    home = import_module("flint" if kind == "flint" else "mpmath")
    context = home.ctx if kind == "flint" else home.mp
    before = context.dps
    digits.certain(wanted, {"A": np.eye(2), "x": 1.0})
    assert context.dps == before
