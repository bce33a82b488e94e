"""Fits to certified data: how many digits agree with what NIST certifies.

``refopt solve nist:MGH09`` prints both runs of one problem, parameter by parameter; ``refopt solve nist`` prints a line
for each of the 54 runs, and a summary.
"""

from typing import Any, NamedTuple

import numpy as np

from refopt import zoo


class Fit(NamedTuple):
    """One run: the problem with its certified values, the result, and the digits that agree."""

    case: zoo.Certified
    start: int
    result: Any
    digits: np.ndarray  #: of each parameter
    error_digits: np.ndarray  #: of each standard error


def fit(name: str, start: int, method: str = "lm", jac: Any = None) -> Fit:
    """Fit a certified problem from one of its two starts, with the exact Jacobian or by the scheme named."""
    from refopt.least_squares import least_squares

    case = zoo.get(name, start=start)
    if not isinstance(case, zoo.Certified):
        raise ValueError(f"{name} is not certified data: name nist, or nist:MGH09 and the like")
    result = least_squares(case.problem.residual, case.x0, jac=jac or case.problem.jacobian, method=method)
    digits = zoo.matching_digits(result.x, case.certified)
    return Fit(case, start, result, digits, zoo.matching_digits(result.stderr, case.stderr))


def solved(run: Fit) -> bool:
    """A success with four digits or more in every parameter."""
    return bool(run.result.success) and run.digits.min() >= 4.0


def parameters(run: Fit) -> str:
    """The table of one run: each parameter with its standard error, the certified value, and the digits that agree."""
    r, case = run.result, run.case
    lines = [
        f"{case.name} ({case.level.lower()} difficulty), from start {run.start}: {r.message}",
        f"  {r.nit} steps, {r.nfev} evaluations of the residuals, {r.njev} of the Jacobian",
        "",
        f"  {'':4s}{'parameter':>22s}{'standard error':>18s}{'certified':>18s}{'digits':>8s}",
    ]
    for i, (value, error, known, digits) in enumerate(zip(r.x, r.stderr, case.certified, run.digits, strict=True)):
        lines.append(f"  b{i + 1:<3d}{value:22.13e}{error:18.8e}{known:18.10e}{digits:8.1f}")
    squares = 2.0 * r.cost
    agreed = float(zoo.matching_digits(squares, case.rss))
    lines += ["", f"  sum of squares {squares:.10e}, certified {case.rss:.10e}: {agreed:.1f} digits"]
    return "\n".join(lines) + (f"\n  {r.advice}" if r.advice else "")


HEAD = f"{'problem':16s}{'start':>6s}{'digits':>8s}{'of errors':>11s}{'steps':>7s}{'evaluations':>13s}  status"


def row(run: Fit) -> str:
    """A line of the table of all runs; digits are those of the worst parameter and of the worst standard error."""
    r = run.result
    note = "  (its residuals are rounding: the errors have no more digits)" if run.case.name == "nist:Lanczos1" else ""
    return (
        f"{run.case.name[5:]:16s}{run.start:6d}{run.digits.min():8.1f}{run.error_digits.min():11.1f}"
        f"{r.nit:7d}{r.nfev:13d}  {r.status.name.lower()}{note}"
    )


def summary(runs: list[Fit]) -> str:
    worst = np.array([run.digits.min() for run in runs])
    errors = np.array([run.error_digits.min() for run in runs if run.case.name != "nist:Lanczos1"])
    return (
        f"{sum(map(solved, runs))} of {len(runs)} solved; {np.sum(worst >= 10)} with 10 digits or more in every "
        f"parameter, {worst.min():.1f} in the worst; standard errors to {errors.min():.1f} digits or more (without "
        f"Lanczos1); {np.median([run.result.nfev for run in runs]):.0f} evaluations in the median"
    )


def main(name: str, method: str = "lm") -> int:
    """What ``refopt solve`` prints; 0 if every run is solved."""
    if name == "nist":
        runs = []
        print(HEAD)
        for problem in (name for name in zoo.names() if name.startswith("nist:")):
            for start in (1, 2):
                runs.append(fit(problem, start, method))
                print(row(runs[-1]), flush=True)
        print("\n" + summary(runs))
    else:
        runs = [fit(name, start, method) for start in (1, 2)]
        print("\n\n".join(map(parameters, runs)))
    return 0 if all(map(solved, runs)) else 1
