"""The whole zoo as users meet it: scaled, shifted, noisy, badly started; and what a run on it may not claim.

    false success   success, although ‖g‖∞ > max(1e-6 · max(1, ‖g(x₀)‖∞), 10 G),  G the noise of g, measured here,
                    or, where a Hessian was given, λmin(H) < −1e-6 ‖H‖
    false alarm     f − f* ≤ max(1e-8 |f*|, 1e-10 · min(1, f₀ − f*)), f* a known minimum, and no success, nor a limit

On c·f both hold as they are written and for f. G is what the rounding of x, and of r, does to g. Where a run has only
values of f, it is what that rounding does to the best differences there are, central ones of the width that suits it;
how many successes need this is told. The runs of a method on all cases of its front door are a survey.
"""

import ast
import csv
import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import refopt
from refopt import (
    departure,
    driver,
    inexact,
    judgement,
    judgement_residuals,
    linearised,
    newton_type,
    noise,
    refinement,
    region,
    stopping,
    stopping_residuals,
    zoo,
)
from refopt.derivatives import differences, gradient_of, jacobian_of
from refopt.derivatives.differences import sizes
from refopt.linesearch import wolfe
from refopt.problem import LeastSquares, Problem
from refopt.stopping import Status

EPS, EPS32 = 2.0**-52, 2.0**-23
LIMITS = (Status.MAXITER, Status.MAXFUN, Status.MAXTIME)


class Case(NamedTuple):
    """A problem, a start, and what is known of it."""

    name: str
    problem: Any  #: Problem, or LeastSquares, whose f is ½‖r‖²; its functions may be None
    x0: np.ndarray
    minima: tuple[float, ...]  #: values of f
    truth: Callable[[np.ndarray], float]  #: f without scale, shift and noise
    scale: float = 1.0  #: the factor of f
    shift: float = 0.0
    rounding: float = EPS  #: of x
    noise: float = EPS  #: of f or r, relative
    exact: Any = None  #: the gradient before r was rounded


def as_function(problem: Any) -> Problem:
    """f with its gradient and, where there is one, its Hessian."""
    if isinstance(problem, Problem):
        return problem

    def fun(x):
        r = problem.residual(x)
        return 0.5 * float(r @ r)

    return Problem(fun, lambda x: problem.jacobian(x).T @ problem.residual(x))


# --- the zoo ---------------------------------------------------------------------------------------------------------

SMALLER = {"extended_rosenbrock": 10, "chained_wood": 10, "logistic": 10, "rosenbrock:ls": 2}


@cache
def cases(door: str, quick: bool = False) -> tuple[Case, ...]:
    """Every problem that a front door takes; "minimize" gets the certified data as f = ½‖r‖², without a Hessian.

    ``quick``: the certified ones in machine code.
    """
    found = []
    for name in zoo.names():
        if name.startswith("nist:"):
            found += [certified(name, start, door, quick) for start in (1, 2)]
        elif door == "minimize" and not name.endswith(":ls"):
            found.append(known(f"{name}:{SMALLER[name]}" if name in SMALLER else name))
        elif door == "least_squares" and name.endswith(":ls"):
            found.append(known(name))
        elif door == "least_squares" and name.startswith("mgh:"):
            _, problem, *size = name.split(":")
            found.append(known(":".join(["mgh", problem, "ls", *size])))
    return tuple(found)


def known(name: str) -> Case:
    entry = zoo.get(name)
    problem, truth = entry.problem, as_function(entry.problem).fun
    if isinstance(problem, Problem):
        problem = Problem(*problem[:3])
    return Case(name, problem, entry.x0, tuple(m.fun for m in entry.minima), truth)


def certified(name: str, start: int, door: str, quick: bool) -> Case:
    entry = zoo.get(name, start)
    fit, whole = entry.problem, as_function(entry.problem)
    if quick:
        import fits

        fit, whole = fits.fit(name)
    problem = fit if door == "least_squares" else whole
    return Case(f"{name}/{start}", problem, entry.x0, (entry.fun,), whole.fun)


@cache
def case(name: str, door: str = "minimize") -> Case:
    return next(case for case in cases(door) if case.name == name)


@cache
def answer(name: str, door: str) -> np.ndarray:
    """The certified solution, or where trust-exact or lm end from the standard start."""
    if name.startswith("nist:"):
        return zoo.get(name.split("/")[0]).solution
    return solve(case(name, door), {"minimize": "trust-exact", "least_squares": "lm"}[door]).x


# --- variants --------------------------------------------------------------------------------------------------------


def mapped(problem: Any, *changes: Callable[[Any], Any]) -> Any:
    """The problem with its functions changed, those that it has."""
    functions = [f and change(f) for f, change in zip(problem, changes, strict=False)]
    return type(problem)(*functions)


def plain(case):
    return case


def times(c):
    """c·f: of residuals √c·r."""

    def scaled(case):
        factor = c if isinstance(case.problem, Problem) else c**0.5
        return case._replace(problem=mapped(case.problem, *[lambda f: lambda x: factor * f(x)] * 3), scale=c)

    return scaled


def plus(c):
    """f + c: of residuals one more, √2c."""

    def shifted(case):
        if isinstance(case.problem, Problem):
            changes = [lambda f: lambda x: f(x) + c, lambda g: g, lambda h: h]
        else:
            changes = [
                lambda r: lambda x: np.append(r(x), (2 * c) ** 0.5),
                lambda J: lambda x: np.vstack([J(x), 0 * x]),
            ]
        return case._replace(problem=mapped(case.problem, *changes), shift=c)

    return shifted


def float32_value(case):
    """f, or r, rounded to float32, its derivatives exact."""

    def rounded(f):
        return lambda x: np.asarray(f(x)).astype("float32").astype(float)[()]

    problem = mapped(case.problem, rounded, lambda g: g, lambda h: h)
    return case._replace(problem=problem, noise=EPS32, exact=as_function(case.problem).grad)


def float32_point(case):
    """Everything evaluated at x rounded to float32."""

    def at(f):
        return lambda x: f(x.astype("float32").astype(float))

    return case._replace(problem=mapped(case.problem, at, at, at), truth=at(case.truth), rounding=EPS32)


def farther(case):
    return case._replace(x0=10 * case.x0)


def rescaled(case):
    """Each variable in a unit of its own, from 1e-4 to 1e4."""
    d = np.logspace(4, -4, len(case.x0))
    changes = (
        lambda f: lambda z: f(d * z),
        lambda g: lambda z: g(d * z) * d,
        lambda h: lambda z: np.outer(d, d) * h(d * z),
    )
    return case._replace(problem=mapped(case.problem, *changes), x0=case.x0 / d, truth=lambda z: case.truth(d * z))


def restarted(away):
    """From the answer, or from beside it."""

    def begun(case):
        signs = 1.0 - 2.0 * (np.arange(len(case.x0)) % 2)
        door = "minimize" if isinstance(case.problem, Problem) else "least_squares"
        return case._replace(x0=answer(case.name, door) * (1 + away * signs))

    return begun


VARIANTS = {
    "plain": plain, "times 1e12": times(1e12), "times 1e-12": times(1e-12), "plus 1e8": plus(1e8),
    "f in float32": float32_value, "x in float32": float32_point, "ten times the start": farther,
    "rescaled variables": rescaled, "from the answer": restarted(0.0), "1e-9 from the answer": restarted(1e-9),
    "1e-6 from the answer": restarted(1e-6),
}  # fmt: skip
DERIVATIVES = ("analytic", "3-point", "2-point")
TIGHT = 1e-12
PATIENCE = {"maxiter": 1000, "maxfun": 20_000}  #: of a survey: what ends here claims nothing


# --- runs ------------------------------------------------------------------------------------------------------------


@np.errstate(all="ignore")
def solve(case: Case, method: str, derivatives: str = "analytic", gtol: float | None = None, **options: Any) -> Any:
    """A run through the front door of the method; it gets the Hessian too if it uses one and there is one."""
    entry, analytic = refopt.available()[method], derivatives == "analytic"
    value, slope, *hess = case.problem[:3]
    jac = slope if analytic else derivatives
    options = options | ({} if gtol is None else {"gtol": gtol})
    if entry.door == "least_squares":
        return refopt.least_squares(value, case.x0, jac=jac, method=method, options=options)
    given = {"hess": hess[0]} if {"hess", "hessp"} & set(entry.needs) and analytic else {}
    return refopt.minimize(value, case.x0, jac=jac, method=method, options=options, **given)


def gradient_noise(case: Case, x: np.ndarray) -> float:
    """How much g changes when x changes in its last bits, or when r is rounded."""
    rng, grad = np.random.default_rng(1), as_function(case.problem).grad
    g, noise = grad(x), 0.0
    for _ in range(8):
        y = x * (1 + case.rounding * rng.integers(-4, 5, len(x)))
        noise = max(noise, abs(grad(y) - g).max(), abs(grad(y) - case.exact(y)).max() if case.exact else 0.0)
    return noise


def difference_error(case: Case, x: np.ndarray) -> float:
    """How far central differences, of the width that suits the noise of f, are from the gradient at x and beside it."""
    value, size, noise = case.problem[0], sizes(case.x0), max(case.noise, case.rounding)
    exact, rng, error = case.exact or as_function(case.problem).grad, np.random.default_rng(1), 0.0
    if isinstance(case.problem, Problem):
        found = gradient_of(value, "3-point", size, noise)
    else:
        found = as_function(LeastSquares(value, jacobian_of(value, "3-point", size, noise))).grad
    for k in range(9):
        y = x * (1 + (k > 0) * 1e-8 * rng.uniform(-1, 1, len(x)))
        error = max(error, abs(found(y) - exact(y)).max())
    return error


def enough(case: Case, m: float, shift: float = 0.0) -> float:
    """max(1e-8 |f*|, 1e-10 · min(1, f₀ − f*)), of c·f and of f; f* = m is that without scale, and without shift."""
    return max(1e-8 * abs(m + shift), 1e-10 * min(max(1.0, 1.0 / case.scale), case.truth(case.x0) - m))


def near_a_minimum(case: Case, x: np.ndarray, shift: float = 0.0) -> bool:
    """f − f* as small, or less than shows beside the shift. There may be saddles as high as a minimum that is not the
    lowest: there the Hessian tells, if there is one."""
    f, visible = case.truth(x), 10 * EPS * case.shift
    near = [m for m in case.minima if abs(f - m) <= max(enough(case, m, shift), visible)]
    if f <= (lowest := min(case.minima, default=-np.inf)) or lowest in near:
        return True
    return bool(near) and not saddle(case, x)


def flat(case: Case, x: np.ndarray, derivatives: str = "analytic") -> bool:
    """Whether ‖g‖∞ is as small as a success must have it."""
    g0, g = (abs(as_function(case.problem).grad(y)).max() for y in (case.x0, x))
    if g <= 1e-6 * min(max(1.0, g0), max(case.scale, g0)) or g <= 10 * gradient_noise(case, x):
        return True
    return derivatives != "analytic" and g <= 10 * difference_error(case, x)


def saddle(case: Case, x: np.ndarray) -> bool:
    """Whether λmin(H) < −1e-6 ‖H‖; not known without a Hessian."""
    if getattr(case.problem, "hess", None) is None:
        return False
    eigenvalues = np.linalg.eigvalsh(case.problem.hess(x))
    return eigenvalues[0] < -1e-6 * abs(eigenvalues).max()


@np.errstate(all="ignore")
def verdict(case: Case, result: Any, method: str, derivatives: str = "analytic") -> str:
    """ "false success", "false alarm", "solved", "elsewhere" (a success at another point), or "given up"."""
    sees = derivatives == "analytic" and {"hess", "hessp"} & set(refopt.available()[method].needs)
    if not result.success:
        good = near_a_minimum(case, result.x, case.shift)  # beside |f*| with its shift: what no run may deny
        return "false alarm" if good and result.status not in LIMITS else "given up"
    if not flat(case, result.x, derivatives) or (sees and saddle(case, result.x)):
        return "false success"
    return "solved" if near_a_minimum(case, result.x) else "elsewhere"


class Survey(NamedTuple):
    """The names of the cases under their verdicts, and what the solved ones cost."""

    names: dict[str, list[str]]
    nfev: float  #: the median over what was solved
    leeway: int  #: successes whose gradient is only small beside the errors of differences

    def count(self, verdict: str) -> int:
        return len(self.names.get(verdict, ()))


def survey(
    method: str, variant: str, derivatives: str = "analytic", part: slice = slice(None), **options: Any
) -> Survey:
    """Runs on all cases of the method's front door, or a part of them."""
    names: dict[str, list[str]] = {}
    costs, leeway = [], 0
    for case in cases(refopt.available()[method].door, quick=True)[part]:
        changed = VARIANTS[variant](case)
        result = solve(changed, method, derivatives, **options)
        said = verdict(changed, result, method, derivatives)
        names.setdefault(said, []).append(case.name)
        costs += [result.nfev] if said == "solved" else []
        leeway += derivatives != "analytic" and said in ("solved", "elsewhere") and not flat(changed, result.x)
    return Survey(names, float(np.median(costs)) if costs else np.nan, leeway)


# --- on record -------------------------------------------------------------------------------------------------------

FOLDER = Path(__file__).parents[1] / "docs" / "honesty"
KEYS = ("derivatives", "gtol", "variant")
COUNTS = ("solved", "elsewhere", "given up", "false success", "false alarm")
FIELDS = (*KEYS, *COUNTS, "evaluations", "within errors", "rules")
SHARED = noise, refinement, region, driver, differences, wolfe
RULES = {
    "minimize": (*SHARED, stopping, judgement, departure, newton_type, inexact),
    "least_squares": (*SHARED, stopping_residuals, judgement_residuals, linearised),
}


DEFINITIONS = gradient_noise, difference_error, enough, near_a_minimum, flat, saddle, verdict


def tolerance(gtol: float | None) -> str:
    return "default" if gtol is None else f"{gtol:g}"


def record(method: str) -> dict[tuple[str, ...], dict[str, str]]:
    """What surveys of all cases have found: a row for each kind of derivatives, tolerance and variant."""
    path = FOLDER / f"{method}.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {tuple(row[key] for key in KEYS): row for row in csv.DictReader(file)}


def keep(method: str, key: tuple[str, ...], found: Survey) -> None:
    """Put a survey on record; the false claims by name."""
    counts = [str(found.count(verdict)) for verdict in COUNTS[:3]]
    claims = [" ".join(found.names.get(verdict, ())) for verdict in COUNTS[3:]]
    row = dict(zip(FIELDS, (*key, *counts, *claims, f"{found.nfev:.0f}", found.leeway, rules(method)), strict=True))
    rows = record(method) | {key: row}
    path = FOLDER / f"{method}.csv"
    with (new := path.with_suffix(".new")).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[key] for key in sorted(rows))
    new.replace(path)


@cache
def rules(method: str) -> str:
    """A digest of the code that ends a run of the method and judges it; a row with another is due to be made again."""
    entry = refopt.available()[method]
    sources = [Path(module.__file__).read_text(encoding="utf-8") for module in (*RULES[entry.door], entry.module)]
    sources += [inspect.getsource(part) for part in DEFINITIONS]
    return hashlib.sha256("".join(ast.dump(bare(ast.parse(source))) for source in sources).encode()).hexdigest()[:8]


def bare(tree: ast.Module) -> ast.Module:
    """Without docstrings."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body[0].value.value = ""
    return tree
