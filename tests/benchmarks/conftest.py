"""Paired timing: two contenders in turn in one process, the medians of their CPU times and of their ratios.

Without `--benchmark-enable` every contender runs once, so that the results are still tested. With it the table is
printed at the end, and its rows put into the file named by REFOPT_BENCHMARKS if there is one.
"""

import csv
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Row(NamedTuple):
    """One comparison: seconds of a call, ours and theirs, and the median over the rounds of ours / theirs."""

    what: str
    than: str
    ours: float
    theirs: float
    ratio: float


ROWS: list[Row] = []


@pytest.fixture
def paired(request: pytest.FixtureRequest) -> Callable[..., tuple[Any, Any]]:
    """``paired(what, ours, than, theirs, per=...)``: both results; the ratio goes into the table.

    ``per(result)`` is a number of steps by which the time is divided, where runs of unequal length are compared.
    """
    rounds = 9 if request.config.getoption("benchmark_enable") else 0

    def compare(
        what: str,
        ours: Callable[[], Any],
        than: str,
        theirs: Callable[[], Any],
        per: Callable[[Any], float] = lambda result: 1.0,
    ) -> tuple[Any, Any]:
        a, b = ours(), theirs()
        if rounds:
            calls = [repeats(ours), repeats(theirs)]
            times = [(timed(ours, calls[0]) / per(a), timed(theirs, calls[1]) / per(b)) for _ in range(rounds)]
            mine, other = (statistics.median(column) for column in zip(*times, strict=True))
            ROWS.append(Row(what, than, mine, other, statistics.median(x / y for x, y in times)))
        return a, b

    compare.rounds = rounds  # type: ignore[attr-defined]
    return compare


def timed(call: Callable[[], Any], repeats: int) -> float:
    start = cpu_time()
    for _ in range(repeats):
        call()
    return (cpu_time() - start) / repeats


def cpu_time() -> float:
    """Seconds of this process and of those it has waited for: steadier than those of a clock on a shared machine."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def repeats(call: Callable[[], Any]) -> int:
    """As many calls as last ten milliseconds."""
    return max(1, int(0.01 / max(timed(call, 1), 1e-7)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not ROWS:
        return
    terminalreporter.section("one thread, CPU time, medians of alternated rounds")
    table = [(row.what, readable(row.ours), row.than, readable(row.theirs), f"{1 / row.ratio:.2f}") for row in ROWS]
    for what, ours, than, theirs, times in table:
        terminalreporter.line(f"{what:54s} {ours:>12s}   {than:20s} {theirs:>12s}   {times:>7s} times faster")
    if "REFOPT_BENCHMARKS" in os.environ:
        record(Path(os.environ["REFOPT_BENCHMARKS"]), table)


def record(path: Path, table: list[tuple[str, ...]]) -> None:
    """Write the rows into the table that is there, in place of those that compare the same."""
    head = ("what", "refopt", "beside", "takes", "times faster")
    rows = {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = {(row[0], row[2]): tuple(row) for row in list(csv.reader(file))[1:]}
    rows |= {(row[0], row[2]): row for row in table}
    temporary = path.with_suffix(".part")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows.values()])
    temporary.replace(path)


def readable(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"
