"""Break the mathematics, one change at a time, and see whether a claim or a test notices.

``python -m tests.mutation --write`` makes the table of docs/mutation.csv over all packages; ``python -m tests.mutation
linesearch --sample 50`` a part of it, on a smaller sample.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import random
import sys
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.mutation.mutants import PACKAGES, ROOT, WHERE, Mutant, mutants
from tests.mutation.runs import Each, Fate, Judge, Reach, claims, record, tests

EQUIVALENTS = Path(__file__).with_name("equivalents.toml")
TABLE = ROOT / "docs" / "mutation.csv"
SELECTED = "not jit and not gpu and not peers and not slow"
TESTS = (  #: of these packages; all of them are reached by these, every branch
    "methods", "linesearch", "linalg", "test_subproblem.py", "test_region.py", "test_krylov.py", "test_linearised.py",
    "test_inexact.py", "test_departure.py",
)  # fmt: skip

Judged = tuple[Mutant, Fate, str]  #: and why it is equivalent, if it is listed


class Mutation:
    """A plugin that judges mutants in place of running the tests."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        """Few examples, the same each time, and none made small: that something fails is enough."""
        from hypothesis import HealthCheck, Phase, settings  # pytest wants to be there first

        os.environ["HYPOTHESIS_PROFILE"] = "mutation"
        settings.register_profile(
            "mutation", deadline=None, max_examples=12, derandomize=True, database=None,
            phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
        )  # fmt: skip

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        asked, cache, code = self.asked, Path(str(session.config.cache.mkdir("mutation"))), state()
        of_claims, of_tests = claims(), tests(session.items)
        reach = [lambda: kept(cache / f"claims-{code}.json", of_claims), lambda: Reach({}, {})]
        if asked.patience:
            reach[1] = lambda: kept(cache / f"tests-{code}.json", of_tests)
        before = cache / "noticed.json"
        known = json.loads(before.read_text()) if before.exists() else {}
        judge = Judge([(of_claims, reach[0]), (of_tests, reach[1])], known)
        done = Done(cache / f"judged-{code}-{asked.patience:g}.jsonl")
        reasons = tomllib.loads(EQUIVALENTS.read_text())["equivalent"]
        for package in asked.packages:
            chosen = selected(package, asked.sample, asked.seed, asked.only)
            chosen = [m for m in chosen if not asked.files or Path(m.file).stem in asked.files]
            judged = []
            for k, mutant in enumerate(chosen):
                why = reason(mutant, reasons)
                patience = asked.patience / 10 if why else asked.patience
                judged.append((mutant, done.fate(mutant, judge, patience), why))
                print(f"[{k + 1}/{len(chosen)}] {said(*judged[-1])}", flush=True)
            replace(before, json.dumps(known))
            for name in (mutant.name for mutant, fate, why in judged if why and fate.killed):
                print(f"listed as equivalent, but killed: {name}")
            table = rows(package, judged, asked, code)
            print(*table, sep="\n")
            if asked.write:
                write(table)
        return True


def state() -> str:
    """A name for the code that is judged and what judges it: all sources of the library and of its tests."""
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "refopt").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:10]


def replace(path: Path, text: str) -> None:
    """Write the file whole, or not at all."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


class Done:
    """What was judged of this state of the code, kept line by line: a run that was broken off goes on from there."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text().split("\n") if path.exists() else []
        self.path, self.fates = path, {name: Fate(*fate) for name, fate in map(json.loads, filter(None, lines[:-1]))}

    def fate(self, mutant: Mutant, judge: Judge, patience: float) -> Fate:
        name = f"{mutant.name} {mutant.path} {mutant.choice}"
        if name not in self.fates:
            self.fates[name] = judge(mutant, patience)
            with self.path.open("a") as out:
                out.write(json.dumps([name, self.fates[name]]) + "\n")
        return self.fates[name]


def kept(path: Path, each: Each) -> Reach:
    """What they reach: recorded once for a state of the code."""
    if not path.exists():
        replace(path, json.dumps(record(each)))
    seconds, lines = json.loads(path.read_text())
    return Reach(seconds, {file: {int(n): who for n, who in table.items()} for file, table in lines.items()})


def selected(package: str, sample: int, seed: int, only: str) -> list[Mutant]:
    """The equations in full, and of all mutants a sample."""
    every = mutants(package)
    drawn = set(random.Random(f"{package} {seed}").sample(range(len(every)), min(sample, len(every))))
    return [m._replace(sampled=k in drawn) for k, m in enumerate(every)
            if (m.equation and only != "sample") or (k in drawn and only != "equations")]  # fmt: skip


def reason(mutant: Mutant, reasons: Iterable[dict[str, Any]]) -> str:
    """Why no test can tell the mutant from the original, if it is listed."""
    said = [getattr(mutant, key) for key in WHERE]
    for listed in reasons:
        patterns = (listed.get(key, "*") for key in WHERE)
        if all(map(fnmatchcase, said, patterns)) and any(fnmatchcase(mutant.after, each) for each in listed["after"]):
            return listed["reason"]
    return ""


def said(mutant: Mutant, fate: Fate, why: str) -> str:
    mark = "=" if mutant.equation else " "
    how = f"{fate.claim or fate.test}{' (time)' if fate.timed else ''}" if fate.killed else f"SURVIVED {why}"
    return f"{mark} {mutant.name}   {how}   in: {mutant.statement}"


class Row(NamedTuple):
    """A line of the table."""

    package: str
    mutants: str  #: which of them
    drawn: int
    equivalent: int
    killed: int
    survived: int
    by_verify: int  #: of the killed, by a claim that ``refopt verify`` names
    by_time: int  #: of the killed, because something did not end
    killed_percent: float  #: of those that are not equivalent
    by_verify_percent: float
    code: str  #: the state of the library and its tests that the row is of


def row(package: str, what: str, judged: list[Judged], code: str) -> Row:
    equivalent = sum(bool(why) and not fate.killed for _, fate, why in judged)
    killed = sum(fate.killed for _, fate, _ in judged)
    named, timed = sum(bool(fate.claim) for _, fate, _ in judged), sum(fate.timed for _, fate, _ in judged)
    counted = max(len(judged) - equivalent, 1)
    return Row(
        package, what, len(judged), equivalent, killed, len(judged) - equivalent - killed, named, timed,
        round(100 * killed / counted, 1), round(100 * named / counted, 1), code,
    )  # fmt: skip


def rows(package: str, judged: list[Judged], asked: argparse.Namespace, code: str) -> list[Row]:
    """What the table says of a package."""
    found = []
    if asked.only != "sample":
        found.append(row(package, "equations", [each for each in judged if each[0].equation], code))
    if asked.only != "equations":
        what = f"sample of {asked.sample}, seed {asked.seed}"
        found.append(row(package, what, [each for each in judged if each[0].sampled], code))
    return found


def write(lines: list[Row]) -> None:
    """The rows, in the place of those that the table has of the same mutants."""
    names = [name.replace("_", " ") for name in Row._fields]
    old = [Row(*row.values()) for row in csv.DictReader(TABLE.read_text().splitlines())] if TABLE.exists() else []
    new = {row[:2]: row for row in [*old, *lines]}
    order = {(package, what): k for k, (package, what) in enumerate(new)}
    rows = sorted(new.values(), key=lambda row: (list(PACKAGES).index(row.package), order[row[:2]]))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([names, *rows])
    replace(TABLE, out.getvalue())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", help=f"files, or packages: {', '.join(PACKAGES)}; all by default")
    parser.add_argument("--sample", type=int, default=400, help="mutants drawn from each package")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=4.0, help="seconds of tests to survive; 0: none")
    parser.add_argument("--only", choices=["sample", "equations"], default="")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.relative_to(ROOT)}")
    asked = parser.parse_args()
    asked.packages = [name for name in asked.what if name in PACKAGES] or list(PACKAGES)
    asked.files = [name for name in asked.what if name not in PACKAGES]
    options = ["-q", "--tb=no", "-p", "no:randomly", "--benchmark-disable", "-m", SELECTED]
    options += [str(ROOT / "tests" / name) for name in TESTS]
    return int(pytest.main(options, plugins=[Mutation(asked)]))


if __name__ == "__main__":
    sys.exit(main())
