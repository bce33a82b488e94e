"""The 54 runs on certified data: what is promised of them, digit by digit; and what `refopt solve` prints of them."""

from functools import cache

import numpy as np
import pytest

import refopt
from refopt import certified, stopping_residuals, zoo
from refopt.certified import fit, main, parameters, solved, summary
from refopt.linearised import polish

# --- what is printed -------------------------------------------------------------------------------------------------


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


# --- what is promised ------------------------------------------------------------------------------------------------

NAMES = [name for name in zoo.names() if name.startswith("nist:")]
RUNS = [(name, start) for name in NAMES for start in (1, 2)]


STRAIGHT = {"canyon": 10**9}  #: no correction of steps but that which is asked for


@cache
def run_of(name, start, jac=None, polish=True):
    case = zoo.get(name, start)
    jac = jac or case.problem.jacobian
    return case, refopt.least_squares(case.problem.residual, case.x0, jac=jac, options={"polish": polish})


def digits(case, result):
    return zoo.matching_digits(result.x, case.certified).min()


def test_every_run_is_solved_to_ten_digits():
    found = {run: digits(*run_of(*run)) for run in RUNS}
    assert len(found) == 54
    assert all(run_of(*run)[1].status == refopt.Status.CONVERGED for run in RUNS)
    assert min(found.values()) >= 10.0, min(found, key=found.get)


@pytest.mark.parametrize("name", NAMES)
def test_standard_errors_and_the_sum_of_squares(name):
    # the residuals of Lanczos1 are 1e-13 beside data of order one: three digits are all that rounding leaves of them
    wanted = 2.0 if name == "nist:Lanczos1" else 9.5
    for start in (1, 2):
        case, result = run_of(name, start)
        assert zoo.matching_digits(result.stderr, case.stderr).min() >= wanted
        assert zoo.matching_digits(2 * result.cost, case.rss) >= wanted
        freedom = len(result.residual) - len(result.x)
        assert zoo.matching_digits((2 * result.cost / freedom) ** 0.5, case.rsd) >= wanted


def test_no_success_is_false():
    for case, result in (run_of(*run) for run in RUNS):
        g0, g = (abs(case.problem.residual(x) @ case.problem.jacobian(x)).max() for x in (case.x0, result.x))
        assert g <= 1e-6 * max(1.0, g0), case.name


def test_the_polish_is_short(monkeypatch):
    """It learns: Gauss-Newton steps alone need 6 in the median and 52 at most."""
    trials = []

    def counting(problem, state, most, failures):
        end = polish(problem, state, most, failures)
        trials[-1] += end.nfev - state.nfev
        return end

    monkeypatch.setattr(stopping_residuals, "polish", counting)
    for name, start in RUNS:
        trials.append(0)
        case = zoo.get(name, start)
        refopt.least_squares(case.problem.residual, case.x0, jac=case.problem.jacobian)
    assert np.median(trials) <= 6
    assert max(trials) <= 15


def test_the_polish_costs_less_than_an_evaluation_a_run():
    """Because it begins before the end, and saves steps that converge more slowly."""
    more = [run_of(*run)[1].nfev - run_of(*run, polish=False)[1].nfev for run in RUNS]
    assert sum(more) <= len(RUNS)


def test_the_polish_is_what_brings_the_digits():
    assert sum(digits(*run_of(*run, polish=False)) >= 10.0 for run in RUNS) < 20


def test_differences_bring_six_digits():
    for run in RUNS:
        case, result = run_of(*run, jac="3-point")
        assert result.success, run
        assert digits(case, result) >= 6.0, run


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("away", [0.0, 1e-9, 1e-6])
def test_from_the_certified_answer(name, away):
    case = zoo.get(name)
    x0 = case.certified * (1 + away * (1.0 - 2.0 * (np.arange(len(case.certified)) % 2)))
    result = refopt.least_squares(case.problem.residual, x0, jac=case.problem.jacobian)
    assert result.success
    assert digits(case, result) >= 10.0


def test_acceleration_solves_most_runs_with_fewer_jacobians():
    def jacobians(geodesic):
        counts = []
        for name, start in RUNS:
            case = zoo.get(name, start)
            result = refopt.least_squares(
                case.problem.residual, case.x0, jac=case.problem.jacobian, options={"geodesic": geodesic} | STRAIGHT
            )
            assert not result.success or digits(case, result) >= 4.0
            counts.append(result.njev if result.success else np.inf)
        return np.array(counts)

    plain, accelerated = jacobians(False), jacobians(True)
    solved = np.isfinite(accelerated)
    assert solved.sum() >= 50
    assert accelerated[solved].sum() < 0.6 * plain[solved].sum()


def test_runs_that_last_follow_the_canyon():
    def jacobians(options):
        case = zoo.get("nist:Bennett5", 1)
        result = refopt.least_squares(case.problem.residual, case.x0, jac=case.problem.jacobian, options=options)
        assert digits(case, result) >= 10.0
        return result.njev

    assert jacobians({}) < 0.2 * jacobians(STRAIGHT)
