"""A warm process that has everything imported and collected, and forks for each mutant.

In the child the changed function's code takes the place of the original one: all who hold the function see it, and no
file is written. Then run the claims of the ledger and the tests that are known to reach the line, the cheapest first,
until one fails. What takes longer than ten times its recorded time, and five seconds, never ends: that is a failure.
"""

import os
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import coverage
import pytest
from _pytest.runner import runtestprotocol

from refopt.oracle import ledger, verify
from tests.mutation.mutants import PACKAGES, ROOT, Mutant, files, put

Each = dict[str, Callable[[], bool]]  #: claims and tests by name; whether each passes
Timed = list[tuple[str, Callable[[], bool], float]]  #: and how long it takes


class Reach(NamedTuple):
    """What runs which lines, and for how long."""

    seconds: dict[str, float]  #: of each claim and each test
    lines: dict[str, dict[int, list[str]]]  #: file: line: who runs it

    def of(self, mutant: Mutant) -> list[str]:
        found = self.lines.get(mutant.file, {})
        return sorted({name for line in mutant.lines for name in found.get(line, ())})


class Fate(NamedTuple):
    """What became of a mutant: the claim and the test that noticed it, and how."""

    claim: str
    test: str
    timed: bool  #: noticed because it did not end

    @property
    def killed(self) -> bool:
        return bool(self.claim or self.test)


# --- recording ---------------------------------------------------------------------------------------------------


def record(each: Each) -> Reach:
    """Run each once, and note its lines. What fails without a mutant is left out, and named."""
    sources = [str(path) for package in PACKAGES for path in files(package)]
    tracer = coverage.Coverage(data_file=None, include=sources, config_file=False, messages=False)
    seconds, failing = {}, []
    tracer.start()
    for name, passes in each.items():
        tracer.switch_context(name)
        began = time.perf_counter()
        if passes():
            seconds[name] = round(time.perf_counter() - began, 4)
        else:
            failing.append(name)
    tracer.stop()
    for name in failing:
        print(f"fails without any change: {name}", file=sys.stderr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", coverage.exceptions.CoverageWarning)  # that nothing was reached
        data, lines = tracer.get_data(), {}
    for file in data.measured_files():
        where = data.contexts_by_lineno(file).items()
        lines[str(Path(file).relative_to(ROOT))] = {n: [who for who in names if who in seconds] for n, names in where}
    used = {who for table in lines.values() for names in table.values() for who in names}
    return Reach({name: t for name, t in seconds.items() if name in used}, lines)


def claims() -> Each:
    """Each claim as ``refopt verify`` runs it."""
    return {claim.id: lambda id=claim.id: verify(id)[0].status != "failed" for claim in ledger()}


def tests(items: list[pytest.Item]) -> Each:
    """Each collected test; those that are generated from the claims are left to the claims themselves."""
    return {i.nodeid: lambda i=i: _passes(i) for i in items if not i.nodeid.startswith("tests/oracle/test_claims")}


def _passes(item: pytest.Item) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


# --- judging -----------------------------------------------------------------------------------------------------


class Judge:
    """Says who notices a mutant. Whatever noticed it, or others of the same function, before is asked first."""

    def __init__(self, kinds: list[tuple[Each, Callable[[], Reach]]], known: dict[str, str]) -> None:
        """kinds: claims, and tests; and what they reach, which is asked for when it is needed."""
        self.kinds = [(each, cache(reach)) for each, reach in kinds]
        self.known, self.noticed = known, Counter[tuple[str, str]]()

    def __call__(self, mutant: Mutant, patience: float) -> Fate:
        """Claims come first, all of them where an equation is broken; then tests. Either take `patience` seconds."""
        code = mutant.code()
        for which, (each, reach) in enumerate(self.kinds):
            claims, seconds = which == 0, reach().seconds
            names = self._ordered(mutant, reach().of(mutant), seconds)
            if not (claims and mutant.equation):
                ends = accumulate(seconds[name] for name in names)
                names = [name for name, end in zip(names, ends, strict=True) if end - seconds[name] < patience]
            timed_each = [(name, each[name], seconds[name]) for name in names]
            failed, timed = _first(mutant, code, timed_each)
            while failed and _first(None, code, [one for one in timed_each if one[0] == failed])[0]:
                print(f"fails without any change: {failed}", file=sys.stderr)
                timed_each = [one for one in timed_each if one[0] != failed]
                failed, timed = _first(mutant, code, timed_each)
            if failed:
                self.noticed[mutant.function, failed] += 1
                self.known[mutant.name] = failed
                return Fate(failed, "", timed) if claims else Fate("", failed, timed)
        return Fate("", "", False)

    def _ordered(self, mutant: Mutant, names: list[str], seconds: dict[str, float]) -> list[str]:
        """What noticed before, then the cheap ones, one test of each function, those of the same name early."""
        stem, seen, costs = Path(mutant.file).stem, Counter[str](), dict[str, float]()
        for name in sorted(names, key=seconds.__getitem__):
            function = name.partition("[")[0]
            seen[function] += 1
            near = 0.3 if stem in function or mutant.function in function else 1.0
            costs[name] = (0.002 + seconds[name]) * seen[function] * near
        known = self.known.get(mutant.name)
        return sorted(names, key=lambda n: (n != known, -self.noticed[mutant.function, n], costs[n]))


def _first(
    mutant: Mutant | None, code: CodeType, each: list[tuple[str, Callable[[], bool], float]]
) -> tuple[str, bool]:
    """The first that fails in a child, with the mutant if there is one; and whether because it did not end."""
    if not each:
        return "", False
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _child(mutant, code, each, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        last = pipe.read().decode().split("\n")[-1]
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return "", False
    return each[int(last)][0], os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM


def _child(
    mutant: Mutant | None, code: CodeType, each: list[tuple[str, Callable[[], bool], float]], write: int
) -> None:
    """Never returns: exit status 1 with the first failure, 0 without one."""
    failed = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        if mutant:
            put(mutant, code)
        for i, (_, passes, seconds) in enumerate(each):
            os.write(write, b"\n%d" % i)
            signal.setitimer(signal.ITIMER_REAL, 5.0 + 10.0 * seconds)
            if not passes():
                break
        else:
            failed = 0
    finally:
        os._exit(failed)
