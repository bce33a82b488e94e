"""The command line:  refopt verify | solve | methods | recommend | compile | judge | conform."""

import argparse
import json
import math
import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import refopt

if TYPE_CHECKING:
    from refopt.oracle import ClaimReport

EXAMPLES = """\
examples:
  refopt verify                        check the whole ledger of claims on this machine
  refopt verify "bfgs.*" --examples 200
  refopt solve nist:MGH09              fit a certified problem, digit by digit
  refopt solve nist                    fit all of them, and summarise
  refopt methods                       what there is, and what it needs
  refopt recommend 500 --derivatives jac hess
  refopt compile bfgs                  fill the cache of compiled methods beforehand
  refopt judge dump.npz                what is this matrix, and what is wrong with that run?
  refopt conform mine.optim:minimize minimizer    is it what it should be?
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 where all went well."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without ₖ still gets its table
    given = parser().parse_args(arguments)
    try:
        return int(given.run(given) or 0)
    except ValueError as error:  # a name that does not exist, a number out of range
        print(f"refopt {given.command}: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="refopt",
        description="Second-order optimization that can be checked against the book.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"refopt {refopt.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    verify = commands.add_parser("verify", help="check what the literature says, claim by claim", description=VERIFY)
    verify.add_argument("pattern", nargs="*", default=["*"], help='claims or topics, such as "bfgs.*" (default: all)')
    verify.add_argument("--examples", type=int, default=20, metavar="N", help="random instances of each claim (20)")
    verify.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed draws the same instances (0)")
    verify.add_argument("--json", type=Path, metavar="FILE", help="write the reports to FILE as well")
    verify.add_argument("--html", type=Path, metavar="FILE", help="write them as a page that needs no network as well")
    verify.set_defaults(run=run_verify)

    solve = commands.add_parser("solve", help="solve a problem of the zoo and compare with what is known of it")
    solve.add_argument("problem", help='"nist" for all certified problems, "nist:NAME" for one')
    solve.add_argument("--method", default="lm", help="a method of least_squares (lm)")
    solve.set_defaults(run=run_solve)

    methods = commands.add_parser("methods", help="list the methods: what each needs and costs")
    methods.set_defaults(run=run_methods)

    recommends = "name the method for a problem, and say why"
    guide = commands.add_parser("recommend", help=recommends, allow_abbrev=False)  # --n is not --no-convex
    guide.add_argument("n", type=int, help="the number of variables")
    guide.add_argument("--structure", default="general", help="general (default) or least-squares")
    guide.add_argument("--stochastic", action="store_true", help="every evaluation draws another sample")
    guide.add_argument("--derivatives", nargs="*", default=["jac"], help="of jac, hess, hessp, those at hand (jac)")
    guide.add_argument("--convex", action=argparse.BooleanOptionalAction, help="whether f is convex, where it is known")
    guide.add_argument("--m", type=int, help="the number of residuals")
    guide.add_argument("--memory", type=float, default=2.0**30, metavar="BYTES", help="what may be used (1 GiB)")
    guide.set_defaults(run=run_recommend)

    warm = commands.add_parser("compile", help="compile methods beforehand, so that no first solve waits for it")
    warm.add_argument("method", nargs="*", help="names of methods (default: all that compile)")
    warm.add_argument("--many", action="store_true", help="the loops of minimize_many as well")
    warm.set_defaults(run=run_compile)

    judge = commands.add_parser("judge", help="say whether a dump is what it claims to be", description=JUDGE)
    judge.add_argument("dump", help="an npz file in the form of docs/oracle (refopt.oracle.exchange)")
    judge.set_defaults(run=run_judge)

    conform = commands.add_parser("conform", help="judge your own function by the facts of the field")
    conform.add_argument("target", metavar="MODULE:NAME", help="the function, such as mypackage.optim:minimize")
    conform.add_argument(
        "kind",
        nargs="?",
        default="",
        help="minimizer, inverse-root, bfgs.update, optimizer:adam, curvature:ggn, pruner:obs, …",
    )
    conform.add_argument("--examples", type=int, default=50, metavar="N", help="instances of each property (50)")
    conform.set_defaults(run=run_conform)
    return top


JUDGE = """Judge a matrix, a diagonal, a product, Kronecker factors, a run, a pruned layer or an inverse root of another
program: what it is, under which conventions, and where it goes wrong. Ends with 0 if it is what it claims to be, with
1 if not, with 2 if the file cannot be judged."""


VERIFY = """Draw random instances of each claim, compute a residual that is zero where the claim holds, and compare it
with what rounding alone may leave; over rational numbers it must be zero. What is false as usually stated is refuted by
a counterexample, and its correction verified. Ends with 1 if anything fails."""


# --- verify ------------------------------------------------------------------------------------------------------


def run_verify(given: argparse.Namespace) -> int:
    from refopt.oracle import verify
    from refopt.oracle.page import page

    for path in (given.json, given.html):
        if path and not path.parent.is_dir():
            raise ValueError(f"cannot write {path}: there is no folder {path.parent}")
        if path and path.is_dir():
            raise ValueError(f"cannot write {path}: it is a folder")
    reports = verify(given.pattern, examples=given.examples, seed=given.seed, progress=progress)
    print(table(reports, max(80, min(shutil.get_terminal_size((120, 40)).columns, 160))))
    failed = [report for report in reports if report.status == "failed"]
    for report in failed:
        print(f"\n{report.code}")
    if given.json:
        reported = [plain(report) for report in reports]
        write(given.json, json.dumps(reported, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if given.html:
        write(given.html, page(reports, refopt.__version__, f"{given.examples} examples, seed {given.seed}"))
    return 1 if failed else 0


def progress(done: int, total: int, report: "ClaimReport") -> None:
    """How far it is: one line that is written over on a terminal, a line for each failure elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K[{done}/{total}] {report.id}" if done < total else "\r\x1b[K", end="", file=sys.stderr)
        sys.stderr.flush()
    elif done == total or done % 10 == 0:
        print(f"[{done}/{total}] claims checked", file=sys.stderr)


def table(reports: "Sequence[ClaimReport]", width: int) -> str:
    """The reports as text, a block for each topic."""
    column = max(len(report.id) for report in reports)
    lines = []
    for topic, block in groupby(reports, key=lambda report: report.id.partition(".")[0]):
        lines += [topic, *(row for report in block for row in rows(report, column, width)), ""]
    return "\n".join([*lines, summary(reports)])


def rows(report: "ClaimReport", column: int, width: int) -> list[str]:
    """One claim: what came out, the worst residual beside its tolerance, and the statement below."""
    found = f"{report.cases:5d} cases   worst {report.worst:.1e} of {report.tolerance:.1e}" if report.cases else ""
    known = "   exact" if report.exact else "" if report.digits is None else f"   {report.digits} digits certain"
    first = f"  {report.status:9} {report.id:{column}} {found}{known}"
    notes = [report.says]
    if report.corrected:
        notes.append(f"{report.verdict}: {report.corrected}")
    if report.detail:
        notes.append(f"{report.status}: {report.detail}")
    indent = " " * 12
    filled = (textwrap.fill(n, width, initial_indent=indent, subsequent_indent=indent + "  ") for n in notes)
    return [first.rstrip(), *filled]


def summary(reports: "Sequence[ClaimReport]") -> str:
    from refopt.oracle import digits

    counts = Counter(report.status for report in reports)
    parts = [f"{counts[status]} {status}" for status in ("verified", "refuted", "failed", "skipped") if counts[status]]
    exact = sum(report.exact for report in reports)
    names = ", ".join(report.id for report in reports if report.status == "failed")
    number = "1 claim" if len(reports) == 1 else f"{len(reports)} claims"
    text = f"{number}: {', '.join(parts)}; {exact} decided without rounding too"
    if not digits.kind():
        text += "\nno certain digits: they need python-flint or mpmath; pip install 'refopt[exact]' brings both"
    return f"{text}\nfailed: {names}" if names else text


def plain(report: "ClaimReport") -> dict[str, Any]:
    """As JSON has it, without infinities."""
    return report._asdict() | {"worst": report.worst if math.isfinite(report.worst) else None}


def write(path: Path, text: str) -> None:
    """Write to a temporary name beside `path`, then rename: a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# --- the other commands ------------------------------------------------------------------------------------------


def run_solve(given: argparse.Namespace) -> int:
    from refopt import certified

    return certified.main(given.problem, given.method)


def run_methods(given: argparse.Namespace) -> int:
    from refopt.catalogue import DOORS

    entries = [entry for door in DOORS for entry in refopt.available(door).values()]
    head = entries[0]._fields
    cells = [[shown(value) for value in entry] for entry in entries]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    for row in (head, *cells):
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
    return 0


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def run_recommend(given: argparse.Namespace) -> int:
    from refopt.recommend import amount, recommend

    asked = {name: value for name, value in vars(given).items() if name not in ("command", "run")}
    found = recommend(**asked)
    print(f"{found.method}, a method of {found.door}, with {amount(found.memory)}")
    print(textwrap.fill(found.reason, 100))
    if found.alternatives:
        print(f"or: {', '.join(found.alternatives)}")
    return 0


def run_compile(given: argparse.Namespace) -> int:
    from refopt import warming

    return warming.main(given.method, given.many)


# --- judge -------------------------------------------------------------------------------------------------------


def run_judge(given: argparse.Namespace) -> int:
    from refopt.oracle import judge

    try:
        verdict = judge(given.dump)
    except (TypeError, IndexError) as error:  # what is in a dump may be of any kind
        raise ValueError(f"{given.dump} cannot be judged: {error}") from error
    print(("right: " if verdict.right else "not right: ") + verdict.sentence)
    return 0 if verdict.right else 1


# --- conform -----------------------------------------------------------------------------------------------------


def run_conform(given: argparse.Namespace) -> int:
    from refopt import conformance

    sys.path.insert(0, os.getcwd())  # the caller's own modules
    reports = conformance.check(conformance.named(given.target), given.kind, given.examples)
    print("\n".join(conformance.lines(reports)))
    return 1 if any(report.status == "fails" for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
