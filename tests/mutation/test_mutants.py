"""The mutants are what the page of the docs says: equations are told from conditions, and each changes its function."""

import random
import tomllib
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path

import pytest

from tests.mutation.mutants import PACKAGES, WHERE, mutants, put

EVERY = [mutant for package in PACKAGES for mutant in mutants(package)]


def of(file, function, statement):
    return [m for m in EVERY if (m.file, m.function, m.statement) == (f"refopt/{file}.py", function, statement)]


def test_an_equation_is_broken_in_each_way():
    found = of("methods/broyden_good", "update", "return J + outer((y - J @ s) / dot(w, s), w)")
    assert all(mutant.equation for mutant in found)
    after = {mutant.after for mutant in found}
    assert {
        "J - outer((y - J @ s) / dot(w, s), w)", "J", "y + J @ s", "y", "J.T @ s", "(y - J @ s) * dot(w, s)", "s",
    } <= after  # fmt: skip


@pytest.mark.parametrize(
    ("file", "function", "statement"),
    [
        ("quasi_newton", "arrived", "ok = point.lower and weak < 3"),
        ("quasi_newton", "arrived", "nfev, njev = (state.nfev + point.nfev, state.njev + point.njev)"),
        ("quasi_newton", "curved", "return ys > 0 and yy > 0 and (ys * ys > skip * skip * dot(s, s) * yy)"),
        ("subproblem", "promise", "tiny = eps(g) ** 0.5 * frobenius(B)"),
    ],
)
def test_conditions_counters_and_thresholds_are_no_equations(file, function, statement):
    found = of(file, function, statement)
    assert found
    assert not any(mutant.equation for mutant in found)


def test_a_sample_of_them_can_be_put_in_place_and_taken_out():
    for mutant in random.Random(0).sample(EVERY, 20):
        module = import_module(mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        function = getattr(module, mutant.function)
        own = function.__code__
        put(mutant, mutant.code())
        changed, function.__code__ = function.__code__, own
        assert changed != own, mutant.name
        assert changed.co_filename == own.co_filename


def test_what_is_listed_as_equivalent_is_there():
    listed = tomllib.loads(Path(__file__).with_name("equivalents.toml").read_text(encoding="utf-8"))["equivalent"]
    for entry in listed:
        keys = [key for key in WHERE if key in entry]
        fit = [m for m in EVERY if all(fnmatchcase(getattr(m, key), entry[key]) for key in keys)]
        for pattern in entry["after"]:
            assert any(fnmatchcase(mutant.after, pattern) for mutant in fit), (entry, pattern)
        assert entry["reason"]
