"""The selection guide: every rule can decide, ties and memory are settled, and what it names exists."""

import numpy as np
import pytest

import refopt
from refopt import catalogue
from refopt.recommend import PAIRS, RULES, Case, amount, bytes_of, checked, recommend

CASES = [
    ({"n": 5, "structure": "least-squares"}, "lm"),
    ({"n": 5, "structure": "least-squares", "stochastic": True}, "adam"),
    ({"n": 5, "stochastic": True, "derivatives": ("jac", "hess")}, "adam"),
    ({"n": 5, "derivatives": ("jac", "hess"), "convex": True}, "modified-newton"),
    ({"n": 5, "derivatives": ("jac", "hess"), "convex": False}, "trust-exact"),
    ({"n": 5, "derivatives": ("jac", "hess")}, "trust-exact"),
    ({"n": 5, "derivatives": ("jac", "hessp"), "convex": True}, "newton-cg"),
    ({"n": 5, "derivatives": ("jac", "hessp")}, "trust-krylov"),
    ({"n": 5}, "bfgs"),
    ({"n": 5, "convex": True}, "bfgs"),
    ({"n": 10**6}, "l-bfgs"),
    ({"n": 10**6, "derivatives": ("jac", "hess")}, "trust-krylov"),
    ({"n": 10**6, "structure": "least-squares", "derivatives": ("hessp", "jac"), "convex": True}, "hessian-free"),
]


@pytest.mark.parametrize(("given", "method"), CASES, ids=lambda value: value if isinstance(value, str) else None)
def test_what_it_recommends(given, method):
    found = recommend(**given)
    assert found.method == method
    assert found.door == ("train" if given.get("stochastic") else catalogue.available()[method].door)
    assert method not in found.alternatives


def test_every_rule_decides_somewhere():
    assert {method for _, method in CASES} == {rule.method for rule in RULES}


def test_what_it_names_exists():
    for rule in RULES:
        assert {rule.method, *rule.alternatives} <= set(refopt.available(rule.door))


@pytest.mark.parametrize("given", [{}, {"derivatives": ("jac", "hess")}, {"structure": "least-squares"}], ids=str)
def test_a_limit_belongs_to_the_smaller_side(given):
    small, large = recommend(1000, **given).method, recommend(1001, **given).method
    assert small in ("bfgs", "trust-exact", "lm")
    assert large in ("l-bfgs", "trust-krylov")


def test_memory_is_what_the_method_s_arrays_take():
    """The vectors and matrices of the states, and their copies: no more than three times what is said, no less."""
    problem = refopt.zoo.get("rosenbrock").problem
    for name in ("bfgs", "trust-exact"):
        method, x0 = catalogue.available()[name].module, np.linspace(-1.0, 1.0, 200)
        state = next(refopt.iterate(method, problem, x0, method.Params()))
        held = sum(np.asarray(value).nbytes for value in state)
        said = recommend(200, derivatives=("jac", "hess") if name == "trust-exact" else ("jac",)).memory
        assert held <= said <= 3 * held


def test_the_formulas_of_the_catalogue_are_understood():
    case = checked(Case(7, "least-squares", False, (), None, 50))
    assert bytes_of("bfgs", case) == 8 * (49 + 70)
    assert bytes_of("l-bfgs", case) == 8 * (2 * PAIRS * 7 + 70)
    assert bytes_of("lm", case) == 8 * (2 * 50 * 7 + 3 * 49)
    assert all(bytes_of(name, case) > 0 for name in refopt.available())


def test_too_little_memory_leads_to_the_next_rule_and_is_said():
    found = recommend(1000, memory=1e6)
    assert found.method == "l-bfgs"
    assert found.reason.startswith("bfgs would need 8.08 MB, more than 1 MB; ")
    assert found.memory == 8 * (2 * PAIRS * 1000 + 10 * 1000)
    assert recommend(100, memory=1e5, derivatives=("jac", "hess")).method == "trust-krylov"
    # the same holds for what else would do
    assert "bfgs" not in recommend(1000, derivatives=("jac", "hessp"), memory=1e6).alternatives
    with pytest.raises(ValueError, match=r"10 bytes are too little: bfgs would need .*; l-bfgs would need"):
        recommend(5, memory=10.0)


def test_differences_are_said():
    assert "differences" in recommend(5, derivatives=()).reason
    assert "differences" not in recommend(5, structure="least-squares").reason


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"n": 0}, "n must be positive; it is 0"),
        ({"n": -5}, "n must be positive; it is -5"),
        ({"n": 3, "m": -1}, "m must be positive; it is -1"),
        ({"n": 3, "m": 0}, "m must be positive; it is 0"),
        ({"n": 2.5}, "n must be a whole number; it is 2.5"),
        ({"n": float("nan")}, "n must be a whole number; it is nan"),
        ({"n": 3, "convex": "yes"}, "convex must be True, False or None; it is 'yes'"),
        ({"n": 3, "structure": "network"}, "structure must be one of general, least-squares; it is 'network'"),
        ({"n": 3, "derivatives": ("jac", "third")}, "derivatives are of jac, hess, hessp; third is none of them"),
    ],
)
def test_what_is_wrong_is_said(given, says):
    with pytest.raises(ValueError, match=says):
        recommend(**given)


def test_amounts_as_people_say_them():
    assert [amount(size) for size in (800, 8080, 2.0**30, 8e13)] == ["800 bytes", "8.08 kB", "1.07 GB", "80 TB"]


def test_one_derivative_may_be_said_by_its_name():
    assert recommend(10, derivatives="hess") == recommend(10, derivatives=("hess",))
