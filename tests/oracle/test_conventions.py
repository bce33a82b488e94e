"""Fifty random combinations of conventions of every kind: matrices, diagonals, products and factors are recognised."""

import numpy as np
import pytest

import conventions
from refopt.oracle import diagnose

CASES = conventions.cases()
FISHERS = ("exact", "empirical", "forward-only", "monte-carlo")
KINDS = [(what, name, kind) for what in ("matrix", "diagonal", "product", "factors")
         for name, case in CASES.items() for kind in (FISHERS if what == "factors" else case.matrices)]  # fmt: skip


def recognised(what, name, kind, seed):
    case, draw = CASES[name], np.random.default_rng([seed, len(what), len(kind)])
    drawn = getattr(conventions, what)(case, draw, kind)
    found = diagnose(drawn.theirs, case.problem, case.x, **drawn.more)
    assert found.kind == drawn.kind, (drawn.words, found.sentence)
    assert found.reduction == drawn.reduction, (drawn.words, found.sentence)
    assert found.residual <= found.tolerance, drawn.words
    assert f"rounding explains {found.tolerance:.1e}" in found.sentence
    if not np.isnan(drawn.damping):
        assert found.damping == pytest.approx(drawn.damping, rel=1e-6, abs=1e-12), (drawn.words, found.sentence)


@pytest.mark.parametrize(("what", "name", "kind"), KINDS)
def test_some_random_combinations_are_recognised(what, name, kind):
    for seed in range(1 if what == "matrix" else 2):
        recognised(what, name, kind, seed)


@pytest.mark.deep
@pytest.mark.parametrize(("what", "name", "kind"), KINDS)
def test_fifty_random_combinations_are_recognised(what, name, kind):
    for seed in range(50):
        recognised(what, name, kind, seed)


@pytest.mark.deep
@pytest.mark.parametrize(("what", "name", "kind"), [each for each in KINDS if each[0] == "factors"])
def test_factors_of_one_side_are_recognised(what, name, kind):
    """A, or G, of some layers, times a number, with the bias first, and with a number on the diagonal."""
    case = CASES[name]
    for seed in range(50):
        draw = np.random.default_rng([seed, 1])
        drawn = conventions.factors(case, draw, kind)
        if drawn.kind.startswith("inverse") or "swapped" in drawn.words or "backwards" in drawn.words:
            continue
        side, layers = draw.choice(["A", "G"]), range(draw.integers(len(drawn.theirs)), len(drawn.theirs))
        given = {side: {int(k): drawn.theirs[k][side == "G"] for k in layers}}
        found = diagnose(given, case.problem, case.x, claim=f"kfac-{kind}", **drawn.more)
        assert found.kind == f"kfac-{kind}", (drawn.words, side, found.sentence)
        assert not found.defect
