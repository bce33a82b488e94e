"""The findings of a replay: each equation at each step, theirs beside ours, and what rounding explains of the error."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from refopt.oracle import fine, rules
from refopt.oracle.iterates import Record, eps_of
from refopt.oracle.rulebook import Rule
from refopt.oracle.rules import Array, Path, Seen

REPEATS = 4  #: times that their numbers are changed in the last digit
LIMIT = 0.3  #: of an entry: where rounding explains more, nothing is said of it
COARSE = 1e-4  #: more than eps of the types in which gradients are computed that are not coarse


class Finding(NamedTuple):
    """One equation at one step."""

    step: int
    equation: str
    theirs: Any
    ours: Any
    error: float  #: of theirs against ours, relative
    tolerance: float  #: what rounding explains of it
    limit: float = rules.CLEAR  #: of the tolerance: beyond it nothing can be said
    alpha: float = 0.0  #: how many times p their step is, of a step along p
    bound: Any = None  #: of each entry's error; ∞ where rounding leaves nothing of it

    @property
    def judged(self) -> bool:
        return self.tolerance < self.limit

    @property
    def agrees(self) -> bool:
        return not self.judged or self.error <= self.tolerance


class Run:
    """Their records, and the same with each number changed by one unit in the last place of what they had."""

    def __init__(self, problem: Any, records: list[Record]) -> None:
        names = {name for entry in records for name, value in entry.items() if _is_float(value)}
        self.units = {name: max(eps_of(entry[name]) for entry in records if name in entry) for name in names}
        self.problem, self.eps = problem, self.units["x"]
        self.records = [_doubled(records), *(_shaken(records, j, self.units) for j in range(REPEATS))]
        self.known: list[dict[Any, Any]] = [{} for _ in self.records]  # of the problem, at the x of each

    def path(self, j: int, params: Any) -> Path:
        return Path(self.problem, self.records[j], params, self.eps, self.known[j], self.units, j)

    def judged(self, rule: Rule, params: Any, how: Mapping[str, Any]) -> list[Finding]:
        """All equations of a run, beside what rounding does to them."""
        with np.errstate(all="ignore"):
            seen, *shaken = [seen_in(rule, self.path(j, params), how) for j in range(len(self.records))]
        return [finding(key, value, [other.get(key) for other in shaken], self.eps) for key, value in seen.items()]


def seen_in(rule: Rule, path: Path, how: Mapping[str, Any]) -> dict[tuple[int, str], Seen]:
    found = [*rules.given(path), *rule.says(path, **how)]
    return {(s.k, s.equation): s for s in sorted(found, key=lambda s: s.k)}


def finding(key: tuple[int, str], seen: Seen, shaken: list[Seen | None], eps: float) -> Finding:
    """The error relative to the scale, and what rounding explains of it; where that is much, entry by entry."""
    eps, d, scale = max(eps, seen.unit), seen.theirs - seen.ours, seen.scale or 1.0
    others = [(s.theirs - s.ours) - d if s else np.full_like(d, np.inf) for s in shaken]
    error = rules.top(d) / scale
    tolerance = 100.0 * eps + 10.0 * (max(map(rules.top, others)) + eps * rules.top(np.asarray(seen.digits))) / scale
    limit, bound = seen.clear, np.full(np.shape(d), tolerance * scale)
    if not tolerance < limit and seen.drift is not None:
        error, tolerance, bound = _of_entries(seen, seen.drift, d, others, eps)
        limit = LIMIT
    error = error if np.isfinite(error) else np.inf
    return Finding(*key, seen.theirs, seen.ours, error, tolerance, limit, seen.alpha, bound)


def _of_entries(seen: Seen, drift: float, d: Array, others: list[Array], eps: float) -> tuple[float, float, Array]:
    """The same of the entries of which rounding leaves something: it changes a number by eps/2 of it at most."""
    size = np.maximum(np.abs(seen.ours), np.abs(seen.theirs))
    bound = 0.5 * eps * seen.digits + (eps + drift) * np.abs(seen.ours) + np.max(np.abs(others), axis=0)
    sure = bound < LIMIT * size
    total, known = fine.length(size[sure]), np.where(sure, bound, np.inf)
    return (fine.length(d[sure]) / total, fine.length(bound[sure]) / total, known) if total else (0.0, np.inf, known)


def _doubled(path: list[Record]) -> list[Record]:
    return [{name: np.asarray(v, float) if _is_float(v) else v for name, v in entry.items()} for entry in path]


def _shaken(path: list[Record], seed: int, units: Mapping[str, float]) -> list[Record]:
    """All numbers changed in the last digit; coarse gradients beside a finer x are those that the step had."""
    rng = np.random.default_rng(seed)

    def moved(name: str, v: Any) -> Any:
        exact, eps = np.asarray(v, float), eps_of(v)
        eps = (units["x"] if name == "g" else 0.5 * eps) if eps > COARSE else eps
        return exact * (1.0 + eps * rng.choice([-1.0, 1.0], exact.shape))

    return [{name: moved(name, v) if _is_float(v) else v for name, v in entry.items()} for entry in path]


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
