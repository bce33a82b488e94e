"""What `refopt solve` prints, and what it may call solved."""

import numpy as np
import pytest

from refopt import certified
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
