"""What `refopt solve` prints, and what it may call solved."""

import numpy as np
import pytest

import refopt
from refopt import certified, zoo
from refopt.certified import fit, main, parameters, solved, summary


def test_one_problem_parameter_by_parameter(capsys):
    assert main("nist:Misra1a") == 0
    out = capsys.readouterr().out
    assert out.count("nist:Misra1a (lower difficulty), from start") == 2
    rows = [line.split() for line in out.splitlines() if line.strip().startswith("b1 ")]
    for _, value, error, known, digits in rows:
        assert float(known) == 238.94212918
        assert abs(float(value) / float(known) - 1) < 1e-10
        assert abs(float(error) / 2.7070075241 - 1) < 1e-8
        assert float(digits) >= 10.0


def test_a_wrong_answer_is_not_solved(monkeypatch, capsys):
    right = fit("nist:DanWood", 1)
    assert solved(right)
    wrong = right._replace(digits=np.array([11.0, 3.9]))
    assert not solved(wrong)
    assert summary([right, wrong]).startswith("1 of 2 solved; 1 with 10 digits")
    monkeypatch.setattr(certified, "fit", lambda *arguments: wrong)
    assert main("nist:DanWood") == 1
    assert "3.9" in capsys.readouterr().out


def test_advice_is_printed():
    run = fit("nist:DanWood", 1)
    run.result.advice = "look at the third column"
    assert parameters(run).endswith("look at the third column")


def test_only_certified_data():
    with pytest.raises(ValueError, match="rosenbrock:ls is not certified data"):
        fit("rosenbrock:ls", 1)


@pytest.fixture(scope="module")
def runs():
    """All 54, with exact Jacobians."""
    names = [name for name in zoo.names() if name.startswith("nist:")]
    return [fit(name, start) for name in names for start in (1, 2)]


def test_every_run_has_ten_digits_in_every_parameter(runs):
    assert len(runs) == 54
    assert all(map(solved, runs))
    worst = sorted(run.digits.min() for run in runs)
    assert worst[0] >= 9.0
    assert worst[2] >= 10.0  # in at least 52 runs


def test_standard_errors_have_eight_digits(runs):
    """Without Lanczos1: its residuals are the rounding of its data, and so are standard errors made from them."""
    assert min(run.error_digits.min() for run in runs if run.case.name != "nist:Lanczos1") >= 8.0


def test_the_polish_costs_little(runs):
    spent = []
    for run in runs:
        case, plain = run.case, {"polish": False}
        rough = refopt.least_squares(case.problem.residual, case.x0, jac=case.problem.jacobian, options=plain)
        spent.append(run.result.nfev - rough.nfev)
    assert np.median(spent) <= 12
    assert max(spent) <= 60


def test_no_success_is_false(runs):
    for run in runs:
        g0 = np.abs(run.case.problem.residual(run.case.x0) @ run.case.problem.jacobian(run.case.x0)).max()
        assert run.result.optimality <= 1e-6 * max(1.0, g0), run.case.name


def test_six_digits_with_differences():
    for name in (name for name in zoo.names() if name.startswith("nist:")):
        for start in (1, 2):
            run = fit(name, start, jac="3-point")
            assert run.result.success, name
            assert run.digits.min() >= 6.0, name
