"""What an answer costs: evaluations of f until it is first right, and after that, here and in SciPy.

f is right within the tolerance of a false alarm (``variants``): f − f* ≤ max(1e-8 |f*|, 1e-10 · min(1, f₀ − f*)), f*
any known minimum. Every evaluation counts, those of trial points too; all derivatives are given.
"""

import csv
import warnings
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from variants import Case, cases, near_a_minimum, solve

#: methods and their counterparts in SciPy
PAIRS = {
    "bfgs": "BFGS", "l-bfgs": "L-BFGS-B", "trust-exact": "trust-exact", "trust-dogleg": "dogleg",
    "trust-ncg": "trust-ncg", "trust-krylov": "trust-krylov", "newton-cg": "Newton-CG",
}  # fmt: skip
RECORD = Path(__file__).parents[1] / "docs" / "honesty" / "work.csv"
FIELDS = ("problem", "method", "refopt", "refopt after", "scipy", "scipy after")


class Work(NamedTuple):
    """Evaluations of f: until it was first right (infinite if never), and from there to the end of the run."""

    first: float
    after: float


def work(case: Case, run: Any) -> Work:
    """Of ``run(case)``, whose f is watched."""
    count, first = 0, np.inf

    def watched(x):
        nonlocal count, first
        count += 1
        if first == np.inf and near_a_minimum(case, x):
            first = count
        return case.problem.fun(x)

    run(case._replace(problem=case.problem._replace(fun=watched)))
    return Work(first, count - first if first < np.inf else np.inf)


@np.errstate(all="ignore")
def of_refopt(case: Case, method: str) -> Work:
    def run(case):
        return solve(case, method)

    return work(case, run)


@np.errstate(all="ignore")
def of_scipy(case: Case, method: str) -> Work:
    """At tolerances as tight as refopt's: SciPy's own end long before on problems that are scaled badly."""
    name = PAIRS[method]
    hess = {} if name in ("BFGS", "L-BFGS-B") else {"hess": case.problem.hess}
    tight = {"L-BFGS-B": {"ftol": 1e-15, "gtol": 1e-12}, "Newton-CG": {"xtol": 1e-15}}.get(name, {"gtol": 1e-12})

    def run(case):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                options = {"maxiter": 5000, **tight}
                if name == "L-BFGS-B":
                    options["maxfun"] = 100000
                optimize.minimize(
                    case.problem.fun, case.x0, jac=case.problem.grad, method=name, options=options, **hess
                )
            except (ValueError, np.linalg.LinAlgError):
                return

    return work(case, run)


def classics() -> list[Case]:
    """The problems with a Hessian, from their standard starts."""
    return [case for case in cases("minimize") if not case.name.startswith("nist:")]


def measured(case: Case, method: str) -> dict[str, Any]:
    ours, theirs = of_refopt(case, method), of_scipy(case, method)
    return dict(zip(FIELDS, (case.name, method, *ours, *theirs), strict=True))


@cache
def record() -> list[dict[str, Any]]:
    """What was measured last."""
    with RECORD.open(encoding="utf-8", newline="") as file:
        return [
            {key: value if key in FIELDS[:2] else float(value) for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


def keep(rows: list[dict[str, Any]]) -> None:
    with RECORD.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: value if key in FIELDS[:2] else f"{value:g}" for key, value in row.items()} for row in rows
        )
