"""How long their steps are beside ours: all by one factor, or by factors that change, which is a schedule of the step.

A factor is found by least squares over the entries of which rounding leaves something, and so is what rounding leaves
of it. A schedule is one if every equation holds with the step lengths that it makes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from refopt.oracle.findings import Finding, Run, first_of
from refopt.oracle.rulebook import Rule

TURNS = 3  #: until the lengths of a schedule are found: a step need not be proportional to η
KNOWN = 0.2  #: of a factor: where rounding leaves more, it is not said to be the same throughout
SPREAD = 1.5  #: of what rounding leaves of a factor, between it and the mean of equal ones


def multiples(findings: list[Finding]) -> list[float]:
    """How many times ours each step of theirs is, along ours."""
    return [ratio for ratio, _ in map(_ratio, _steps(findings))]


def _steps(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.equation.startswith("x₊") and f.ours.any() and f.judged]


def _ratio(f: Finding) -> tuple[float, float]:
    """The factor, and what rounding leaves of it."""
    sure = np.isfinite(f.bound)
    theirs, ours, bound = f.theirs[sure], f.ours[sure], f.bound[sure]
    square = float(ours @ ours) or 1e-300
    return float(theirs @ ours) / square, float(np.linalg.norm(bound * ours)) / square


def _is_multiple(f: Finding, ratio: float) -> bool:
    sure = np.isfinite(f.bound)
    rest = np.linalg.norm((f.theirs - ratio * f.ours)[sure])
    return bool(rest <= max(1.0, abs(ratio)) * np.linalg.norm(f.bound[sure]))


def constant_factor(findings: list[Finding]) -> float:
    """The factor of all steps where it is the same throughout and not 1, else 0."""
    steps = _steps(findings)
    if not steps or len(steps[0].ours) < 2:
        return 0.0
    known = [_ratio(f) for f in steps]
    ratios, left = np.array(known).T
    if not np.isfinite(ratios).all() or not all(map(_is_multiple, steps, ratios)):
        return 0.0
    if np.median(left / np.abs(ratios)) > KNOWN:
        return 0.0
    left = SPREAD * left + 1e-6 * np.abs(ratios)
    mean = float(np.sum(ratios / left**2) / np.sum(left**-2.0))
    alike, whole = (bool((np.abs(ratios - value) <= left).all()) for value in (mean, 1.0))
    return mean if alike and not whole else 0.0


def scheduled(
    rule: Rule, run: Run, options: Any, how: Mapping[str, Any], findings: list[Finding]
) -> list[float]:  # fmt: skip
    """How many times the step each step has, where with these lengths all agrees, and they are not one length."""
    count = 1 + max((f.step for f in findings), default=0)
    if not _steps(findings) or len(_steps(findings)[0].ours) < 2 or constant_factor(findings):
        return []
    pace, instead = np.ones(count), findings
    for _ in range(TURNS):
        for f in _steps(instead):
            pace[f.step] *= _ratio(f)[0]
        if not np.isfinite(pace).all() or pace.min() <= 0.0:
            return []
        instead = run.judged(rule, options, {**how, "pace": tuple(pace)})
        if not first_of(instead):
            return [float(pace[f.step]) for f in _steps(findings)]
    return []
