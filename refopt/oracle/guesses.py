"""What a run may be that is not what it is said to be: the same method with other options, or another method.

Options are tried one at a time, and in pairs: the values that occur, all decades of an ε, and a damping that is found
by least squares,  Bs + λs = −αg  for the first step s.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, combinations, product
from typing import Any

import numpy as np

from refopt.oracle.findings import COARSE, Finding, Run, explains, first_of
from refopt.oracle.lengths import constant_factor, multiples
from refopt.oracle.rulebook import RULES, STEPS, Rule, options_of
from refopt.oracle.rules import Path, fisher, hessian, top

DECADES = (0.0, *(10.0**-k for k in range(1, 17)))
BETAS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999)
USUAL: dict[str, tuple[Any, ...]] = {
    "beta1": BETAS[:6], "beta2": BETAS[3:], "eps": DECADES, "momentum": BETAS[1:7], "decay": BETAS[3:],
    "weight_decay": (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 5e-2, 0.1), "memory": (*range(1, 31), 50, 100),
    "every": (1, 2, 5, 10, 20, 50, 100), "exponent": (0.25, 0.5, 1.0),
}  # fmt: skip
OPEN = ("memory",)  #: what a run may choose, unless it has said what it chose
ALIKE = (
    ("gradient-descent", "newton", "damped-newton", "bfgs", "dfp", "l-bfgs"),
    ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw", "adam-no-sqrt"),
    ("gauss-newton", "lm"),
)


def guessed(name: str, run: Run, options: Any, how: Mapping[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """Other options with which all agrees, or another method that it is; each perhaps with another step length."""
    if constant_factor(findings) and run.eps <= COARSE:
        return {}
    for change in chain(_lengths(options, findings), tried(name, run.path(0, options), pairs=run.eps <= COARSE)):
        changed = options._replace(**change)
        try:
            if not _first_steps(run, RULES[name], changed, how):
                continue
            if scale := _fits(run.judged(RULES[name], changed, how), findings):
                return change if scale == 1.0 else change | {"step": scale * changed.step}
        except ValueError:  # of what their records lack for it
            continue
    for other in others(name):
        try:
            params = options_of(other, None)
            changes = [{}, *tried(other, run.path(0, params))] if other == "damped-newton" else [{}]
            for change in changes:
                known = run.judged(RULES[other], params._replace(**change), RULES[other].conventions[0])
                if scale := _fits(known, findings):
                    return {"method": other} | change | ({"step": scale * params.step} if scale != 1.0 else {})
        except (ValueError, np.linalg.LinAlgError):  # what it needs is not there, or has no inverse
            continue
    return {}


def _lengths(options: Any, findings: list[Finding]) -> Iterator[dict[str, Any]]:
    """The step for which the typical one of theirs is as long as ours, of few digits."""
    if ratios := multiples(findings) if hasattr(options, "step") else []:
        step = float(np.median(ratios)) * options.step
        yield from ({"step": float(f"{step:.{digits}g}")} for digits in (2, 3) if np.isfinite(step) and step > 0.0)


def _first_steps(run: Run, rule: Rule, options: Any, how: Mapping[str, Any]) -> bool:
    """Whether the first steps fit: few are enough to refuse most options."""
    if run.eps > COARSE:
        return True
    short = run.path(0, options)
    short.records = short.records[:4]
    with np.errstate(all="ignore"):
        seen = [s for s in rule.says(short, **how) if s.equation.startswith("x₊") and s.ours.any()]
    near = lambda s: top(s.theirs - (s.theirs @ s.ours) / (s.ours @ s.ours) * s.ours) <= 1e-3 * top(s.theirs)
    return all(map(near, seen))


def _fits(instead: list[Finding], findings: list[Finding]) -> float:
    """1 if everything agrees, the factor of all steps if that is all that is wrong, else 0."""
    if explains(instead, findings):
        return 1.0
    rest = [f for f in instead if not f.equation.startswith("x₊")]
    return constant_factor(instead) if not first_of(rest) else 0.0


# --- what is tried -----------------------------------------------------------------------------------------------


def tried(name: str, path: Path, pairs: bool = True) -> Iterator[dict[str, Any]]:
    """Changes of the options, the smallest first."""
    params = path.params
    fields = [f for f in USUAL if hasattr(params, f)] if name in STEPS or name == "l-bfgs" else []
    changes = {f: [value for value in USUAL[f] if value != getattr(params, f)] for f in fields}
    for f in fields:
        yield from ({f: value} for value in changes[f])
    for f, g in combinations([f for f in fields if f != "memory" and pairs], 2):
        yield from ({f: a, g: b} for a, b in product(changes[f], changes[g]))
    if "damping" in getattr(params, "_fields", ()) and name in ("damped-newton", "natural-gradient"):
        yield from ({"damping": lam} for lam in dampings(name, path))


def dampings(name: str, path: Path) -> Iterator[float]:
    """λ of the first steps."""
    for k in path.moved[:3]:
        B, g, s = (fisher if name == "natural-gradient" else hessian)(path, k), path.g(k), path.s(k)
        (lam, alpha), *_ = np.linalg.lstsq(np.stack([s, g], 1), -B @ s)
        if lam > 0.0 and alpha > 0.0:
            short = float(f"{lam:.6g}")  # of a number somebody chose the rounding of s hides the last digits
            yield short if abs(short - lam) <= 1e-8 * lam else float(lam)


def others(name: str) -> list[str]:
    """Others that a run could be of, with no more in its records."""
    return [other for family in ALIKE if name in family for other in family if other != name and other in RULES]
