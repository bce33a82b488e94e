"""How long compiled runs take beside SciPy's on the same jitted functions, both at their own default tolerances.

    python tests/speed.py [NAME…]        all problems, or those whose names begin so; writes docs/honesty/speed.csv

Every problem of the zoo that can be jitted, and fits of peaks to up to 50,000 points. Each row has the processor time
of a solve, the best of alternated rounds, the evaluations of f and of its derivative, and the final f; the last lines
printed are those in which SciPy was faster.
"""

import csv
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import scipy.optimize

import refopt
from jitted_zoo import as_function, jitted, squares
from refopt.problem import LeastSquares, Problem
from variants import cases

RECORD = Path(__file__).parents[1] / "docs" / "honesty" / "speed.csv"
SIZES = [(m, n) for m in (100, 1000, 5000, 50_000) for n in (2, 4, 10, 50)]
ROUNDS, SHORTEST = 5, 2e-3  #: and what a measurement lasts at least, in seconds


class Row(NamedTuple):
    problem: str
    method: str
    beside: str
    ours: float  #: seconds of a solve
    theirs: float
    times_faster: float
    nfev: int
    njev: int
    their_nfev: int
    their_njev: int
    f: float
    their_f: float
    success: bool


def peaks(m: int, n: int) -> tuple[LeastSquares, np.ndarray]:
    """n/2 Lorentzian peaks, of unknown height and place, fitted to m noisy points; and a start."""
    k, rng, t = n // 2, np.random.default_rng(0), np.linspace(0.0, 1.0, m)
    places, width = (np.arange(k) + 0.5) / k, 0.6 / k
    heights, found = 1.0 + rng.uniform(size=k), places + rng.uniform(-0.1, 0.1, k) / k
    y = sum(a / (1.0 + ((t - c) / width) ** 2) for a, c in zip(heights, found, strict=True))
    y = y + 0.01 * rng.standard_normal(m)

    @numba.njit
    def residual(b):
        r = np.empty(m)
        for i in range(m):
            r[i] = -y[i]
            for j in range(k):
                z = (t[i] - b[2 * j + 1]) / width
                r[i] += b[2 * j] / (1.0 + z * z)
        return r

    @numba.njit
    def jacobian(b):
        J = np.empty((m, 2 * k))
        for i in range(m):
            for j in range(k):
                z = (t[i] - b[2 * j + 1]) / width
                e = 1.0 / (1.0 + z * z)
                J[i, 2 * j] = e
                J[i, 2 * j + 1] = 2.0 * b[2 * j] * e * e * z / width
        return J

    return LeastSquares(residual, jacobian), np.ravel(np.column_stack([np.ones(k), places + 0.15 / k]))


def fits(wanted: Any) -> Any:
    """(name, jitted LeastSquares, x0) of all fits."""
    for case in cases("least_squares"):
        if wanted(case.name) and not case.name.startswith("mgh:chebyquad"):  # its formulas are too long to be written
            yield case.name, squares(case.problem, len(case.x0)), case.x0
    for m, n in SIZES:
        if wanted(name := f"peaks, {m} × {n}"):
            yield name, *peaks(m, n)


def functions(wanted: Any) -> Any:
    """(name, jitted Problem, x0) of all functions; certified data as ½‖r‖², without a Hessian."""
    for case in cases("minimize"):
        if not wanted(case.name) or case.name.startswith("mgh:chebyquad"):
            continue
        n, (fun, grad, hess, *_) = len(case.x0), case.problem
        if case.name.startswith(("mgh:", "nist:")):
            name, _, start = case.name.partition("/")
            _, family, *size = name.split(":")
            whole = (
                refopt.zoo.get(name, int(start)) if start else refopt.zoo.get(":".join(["mgh", family, "ls", *size]))
            )
            problem = as_function(squares(whole.problem, n), 0.5 if start else 1.0)
        else:
            problem = Problem(jitted(fun, n), jitted(grad, n))
        yield case.name, problem._replace(hess=jitted_or_none(hess, n)), case.x0


def jitted_or_none(hess: Any, n: int) -> Any:
    try:
        return hess and jitted(hess, n)
    except ValueError:  # too long
        return None


def compared(name: str, method: str, beside: str, ours: Any, theirs: Any) -> Row:
    """Both in turn; the best times of each."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        a, b = ours(), theirs()
        calls = [max(1, int(SHORTEST / max(seconds(call, 1), 1e-7))) for call in (ours, theirs)]
        times = np.min([[seconds(ours, calls[0]), seconds(theirs, calls[1])] for _ in range(ROUNDS)], axis=0)
    f, g = (float(getattr(result, "cost", result.fun)) for result in (a, b))
    return Row(
        name, method, beside, *times, times[1] / times[0], a.nfev, a.njev, b.nfev, b.njev or 0, f, g, bool(a.success)
    )


def seconds(call: Any, repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def rows(wanted: Any) -> Any:
    for name, (residual, jacobian, *_), x0 in fits(wanted):

        def ours(residual=residual, jacobian=jacobian, x0=x0):
            return refopt.least_squares(residual, x0, jac=jacobian, options={"compiled": True})

        for theirs in ("lm", "trf"):
            if theirs == "trf" or jacobian(x0).shape[0] >= len(x0):  # MINPACK wants no fewer residuals

                def other(residual=residual, jacobian=jacobian, x0=x0, theirs=theirs):
                    return scipy.optimize.least_squares(residual, x0, jac=jacobian, method=theirs)

                yield compared(name, "lm", f"SciPy {theirs}", ours, other)
    for name, problem, x0 in functions(wanted):
        for method, other in (("bfgs", "BFGS"), ("trust-exact", "trust-exact")):
            derivatives = {"jac": problem.grad} | ({"hess": problem.hess} if method == "trust-exact" else {})
            if None in derivatives.values():
                continue

            def ours(fun=problem.fun, x0=x0, method=method, derivatives=derivatives):
                return refopt.minimize(fun, x0, method=method, options={"compiled": True}, **derivatives)

            def theirs(fun=problem.fun, x0=x0, other=other, derivatives=derivatives):
                return scipy.optimize.minimize(fun, x0, method=other, **derivatives)

            yield compared(name, method, f"SciPy {other}", ours, theirs)


def main(prefixes: list[str]) -> None:
    found = []
    for row in rows(lambda name: not prefixes or name.startswith(tuple(prefixes))):
        found.append(row)
        print(line(row), flush=True)
    slower = [row for row in found if row.times_faster < 1.0]
    print(f"\nSciPy was faster in {len(slower)} of {len(found)}:")
    for row in slower:
        print(line(row))
    if not prefixes:
        temporary = RECORD.with_suffix(".part")
        with temporary.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([Row._fields, *map(written, found)])
        temporary.replace(RECORD)


def line(row: Row) -> str:
    counts = f"{row.nfev}/{row.njev} {row.their_nfev}/{row.their_njev}"
    return (
        f"{row.problem:34s} {row.method:11s} {1e6 * row.ours:10.0f} us   {row.beside:17s} {1e6 * row.theirs:10.0f} us"
        f"   {row.times_faster:6.2f}   {counts:20s} f {row.f:.9g} {row.their_f:.9g}{'' if row.success else ' FAILS'}"
    )


def written(row: Row) -> list[str]:
    return [f"{value:.6g}" if isinstance(value, float) else str(value) for value in row]


if __name__ == "__main__":
    main(sys.argv[1:])
