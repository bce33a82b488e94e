"""What an answer costs, beside SciPy: evaluations until f is first right, and after that."""

import numpy as np
import pytest

import work
from problems import saddle
from refopt.problem import Problem
from variants import Case
from work import PAIRS, classics, measured, record

methods = pytest.mark.parametrize("method", PAIRS)


def solved_by_both(method):
    return [row for row in record() if row["method"] == method and np.isfinite([row["refopt"], row["scipy"]]).all()]


def median(rows, key):
    return np.median([row[key] for row in rows])


@methods
def test_no_more_evaluations_than_scipy(method):
    """In the median over the problems that both solve; and no fewer problems are solved, but for one."""
    rows, both = [row for row in record() if row["method"] == method], solved_by_both(method)
    assert len(rows) == len(classics())
    assert median(both, "refopt") <= median(both, "scipy")
    mine, theirs = (sum(np.isfinite(row[name]) for row in rows) for name in ("refopt", "scipy"))
    assert mine >= theirs - 1


@methods
def test_few_are_wasted(method):
    assert median(solved_by_both(method), "refopt after") <= (1 if "trust" in method or method == "newton-cg" else 4)


@pytest.mark.parametrize(("method", "first"), [(method, i) for i, method in enumerate(PAIRS)])
def test_the_record_is_right(method, first):
    """On a tenth of the problems, both programs; to a tenth, because another machine rounds differently."""
    known = {row["problem"]: row for row in record() if row["method"] == method}
    for case in classics()[first::10]:
        for key, value in measured(case, method).items():
            if key in ("refopt", "scipy") and known[case.name][key] < 200:
                assert value == pytest.approx(known[case.name][key], rel=0.1, abs=3), (case.name, key)


@pytest.mark.deep
def test_everything_is_measured_anew():
    work.keep([measured(case, method) for method in PAIRS for case in classics()])
    record.cache_clear()
    for method in PAIRS:
        test_no_more_evaluations_than_scipy(method)


def test_work_counts_every_evaluation_of_f_and_stops_at_the_first_that_is_right():
    fun, grad, hess = saddle
    case = Case("saddle", Problem(fun, grad, hess), np.array([1.0, 2.0]), (0.0,), fun)

    def run(case):
        for y in ([1.0, 2.0], [0.5, 1.5], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0]):
            case.problem.fun(np.array(y))

    assert work.work(case, run) == (3, 2)
    assert work.work(case, lambda case: case.problem.fun(case.x0)) == (np.inf, np.inf)
