"""More than a thousand right runs, matrices, factors and prunings, but for rounding: none is called wrong. -m deep"""

import numpy as np
import pytest

import conventions
import refopt
import rounded
from refopt.oracle import diagnose, pruned, replay
from refopt.oracle.rulebook import BATCHES, RULES

CASES = conventions.cases()
PROBLEMS = ("rosenbrock", "mgh:wood", "quartic")
RUNS = [name for name in RULES if name not in (*rounded.STEPS, *BATCHES, "natural-gradient")
        and refopt.catalogue.available()[name].door == "minimize"]  # fmt: skip
FISHERS = ("exact", "empirical", "forward-only")
WHATS = [(what, kind) for kind in rounded.MATRICES for what in ("matrix", "diagonal", "product")
         if what == "matrix" or "kfac" not in kind]  # fmt: skip
WAYS = [(method, way) for method in rounded.STEPS for way in rounded.WAYS
        if way != "midst" or method not in ("shampoo", "soap")]  # fmt: skip


def of_matrices(name, number, seed, whats):
    case = CASES[name]
    for what, kind in whats:
        theirs, v = rounded.curved(case, np.random.default_rng([seed, len(kind)]), kind, what, number)
        found = diagnose(theirs, case.problem, case.x, v, claim=kind)
        assert (found.kind, found.reduction, found.defect) == (kind, "mean", ""), (what, number, found.sentence)


def of_factors(name, number, seed):
    case = CASES[name]
    for fisher in FISHERS:
        pairs = rounded.paired(case, np.random.default_rng([seed, len(fisher)]), fisher, number)
        side = "AG"[seed % 2]
        alone = {side: {k: pair[seed % 2] for k, pair in enumerate(pairs)}}
        for theirs in (pairs, alone):
            found = diagnose(theirs, case.problem, case.x, claim=f"kfac-{fisher}")
            assert (found.kind, found.defect) == (f"kfac-{fisher}", ""), (number, found.sentence)
            assert found.scale == pytest.approx(1.0, abs=max(1e-6, 2 * found.residual))


def of_steps(method, way, number, seed):
    run, options = rounded.descended(method, np.random.default_rng([seed, len(method)]), number, way)
    found = replay(method, None, run, options)
    assert found.verdict != "disagrees", (number, found.sentence)
    assert found.verdict == "agrees" or number != "float64"


def of_runs(method, number, seed):
    for name in PROBLEMS:
        case, rng = refopt.zoo.get(name), np.random.default_rng([seed, len(method)])
        x0 = np.asarray(case.x0) + 0.1 * rng.standard_normal(len(case.x0))
        found = replay(method, case.problem, rounded.minimized(method, case.problem, x0, rng, number))
        assert found.verdict != "disagrees", (name, number, found.sentence)


def of_prunings(method, number, seed):
    theirs, W, X = rounded.pruned(method, np.random.default_rng(seed), number)
    found = pruned(theirs, W, X, claim=method)
    assert found, (number, found.sentence)
    assert found.method == method


PRUNINGS = ("magnitude", "wanda", "obd", "obs", "sparsegpt")


def test_a_few_that_are_right_are_called_right():
    """One of each; -m deep has more than a thousand."""
    for k, number in enumerate(rounded.TYPES):
        name = list(CASES)[k]
        of_matrices(name, number, 0, WHATS[k::6])
        of_factors(name, number, k)
        for method in ("sgd", "adamw"):
            of_steps(method, "decay and schedule", number, k)
        of_prunings(PRUNINGS[k + 2], number, 0)


@pytest.mark.deep
@pytest.mark.parametrize("number", rounded.TYPES)
@pytest.mark.parametrize("name", CASES)
def test_two_hundred_and_seventy_matrices_diagonals_and_products(name, number):
    of_matrices(name, number, 0, WHATS)


@pytest.mark.deep
@pytest.mark.parametrize("number", rounded.TYPES)
@pytest.mark.parametrize("name", CASES)
def test_three_hundred_and_sixty_factors(name, number):
    for seed in range(4):
        of_factors(name, number, seed)


@pytest.mark.deep
@pytest.mark.parametrize("number", rounded.TYPES)
@pytest.mark.parametrize(("method", "way"), WAYS)
def test_three_hundred_and_fifty_runs_of_steps(method, way, number):
    for seed in range(2):
        of_steps(method, way, number, seed)


@pytest.mark.deep
@pytest.mark.parametrize("number", rounded.TYPES)
@pytest.mark.parametrize("method", RUNS)
def test_a_hundred_and_fifty_runs_of_minimize(method, number):
    of_runs(method, number, 0)


@pytest.mark.deep
@pytest.mark.parametrize("number", rounded.TYPES)
@pytest.mark.parametrize("method", PRUNINGS)
def test_seventy_five_prunings(method, number):
    for seed in range(5):
        of_prunings(method, number, seed)
