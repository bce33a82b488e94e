"""The findings of a replay: each equation at each step, theirs beside ours, and what rounding explains of the error."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from refopt.oracle import rules
from refopt.oracle.iterates import Record, eps_of
from refopt.oracle.rulebook import Rule
from refopt.oracle.rules import Path, Seen

REPEATS = 4  #: times that their numbers are changed in the last digit


class Finding(NamedTuple):
    """One equation at one step."""

    step: int
    equation: str
    theirs: Any
    ours: Any
    error: float  #: of theirs against ours, relative
    tolerance: float  #: what rounding explains of it

    @property
    def judged(self) -> bool:
        return self.tolerance < 1e-3

    @property
    def agrees(self) -> bool:
        return not self.judged or self.error <= self.tolerance


class Run:
    """Their records, and the same with each number changed by one unit in the last place of what they had."""

    def __init__(self, problem: Any, records: list[Record]) -> None:
        self.problem, self.eps = problem, max(eps_of(entry["x"]) for entry in records)
        self.records = [_doubled(records), *(_shaken(records, j) for j in range(REPEATS))]
        self.known: list[dict[Any, Any]] = [{} for _ in self.records]  # of the problem, at the x of each

    def path(self, j: int, params: Any) -> Path:
        return Path(self.problem, self.records[j], params, self.eps, self.known[j])

    def judged(self, rule: Rule, params: Any, how: Mapping[str, Any]) -> list[Finding]:
        """All equations of a run, beside what rounding does to them."""
        with np.errstate(all="ignore"):
            seen, *shaken = [seen_in(rule, self.path(j, params), how) for j in range(len(self.records))]
        return [finding(key, value, [other.get(key) for other in shaken], self.eps) for key, value in seen.items()]


def seen_in(rule: Rule, path: Path, how: Mapping[str, Any]) -> dict[tuple[int, str], Seen]:
    found = [*rules.given(path), *rule.says(path, **how)]
    return {(s.k, s.equation): s for s in sorted(found, key=lambda s: s.k)}


def finding(key: tuple[int, str], seen: Seen, shaken: list[Seen | None], eps: float) -> Finding:
    """The error relative to the scale, and what rounding explains of it."""
    scale = seen.scale or 1.0
    d = seen.theirs - seen.ours
    moves = [rules.top((s.theirs - s.ours) - d) if s else np.inf for s in shaken]
    error = rules.top(d) / scale
    tolerance = 100.0 * eps + 10.0 * (max(moves) + eps * seen.digits) / scale
    return Finding(*key, seen.theirs, seen.ours, error if np.isfinite(error) else np.inf, tolerance)


def _doubled(path: list[Record]) -> list[Record]:
    return [{name: np.asarray(v, float) if _is_float(v) else v for name, v in entry.items()} for entry in path]


def _shaken(path: list[Record], seed: int) -> list[Record]:
    rng = np.random.default_rng(seed)

    def moved(v: Any) -> Any:
        exact = np.asarray(v, float)
        return exact * (1.0 + eps_of(v) * rng.choice([-1.0, 1.0], exact.shape))

    return [{name: moved(v) if _is_float(v) else v for name, v in entry.items()} for entry in path]


def _is_float(v: Any) -> bool:
    return isinstance(v, float) or (isinstance(v, np.ndarray) and v.dtype.kind == "f")


def first_of(findings: list[Finding]) -> Finding | None:
    return next((f for f in findings if not f.agrees), None)


def judged_of(findings: list[Finding]) -> int:
    return sum(f.judged for f in findings)


def decided(findings: list[Finding]) -> bool:
    return judged_of(findings) > 0


def explains(instead: list[Finding], findings: list[Finding]) -> bool:
    """Whether everything agrees, and two of the steps that did not, if there are two, are not drowned now."""
    if first_of(instead):
        return False
    judged = {f.step for f in instead if f.judged and f.equation not in rules.GIVEN}
    wrong = {f.step for f in findings if not f.agrees}
    return min(wrong) in judged and len(judged & wrong) >= min(2, len(wrong))


# --- steps that are multiples of ours ----------------------------------------------------------------------------


def factors(findings: list[Finding]) -> list[float]:
    """The factors between their steps and ours, if each is a multiple of ours."""
    steps = [f for f in findings if f.equation.startswith("x₊") and f.ours.any()]
    ratios = [float(f.theirs @ f.ours / (f.ours @ f.ours)) for f in steps]
    near = zip(steps, ratios, strict=True)
    close = all(rules.top(f.theirs - ratio * f.ours) <= 1e-6 * rules.top(f.theirs) for f, ratio in near)
    return ratios if ratios and close and np.isfinite(ratios).all() and len(steps[0].ours) > 1 else []


def constant_factor(findings: list[Finding]) -> float:
    """That factor where it is the same throughout and not 1, else 0."""
    ratios = factors(findings)
    alike = ratios and np.ptp(ratios) <= 1e-6 * abs(ratios[0]) and abs(ratios[0] - 1.0) >= 1e-6
    return ratios[0] if alike else 0.0
