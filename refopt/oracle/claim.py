"""Claims: what the literature says about second-order optimization, as data that a computer can check.

A claim is a residual that is zero where the statement holds. On random instances it is compared with
slack · eps · scale, what rounding alone may leave; where only rational operations occur, it is computed without
rounding as well and must be zero. Some claims hold only under conditions that the popular wording leaves out, and some
not at all: then a counterexample is executed too and must fail clearly, and beside it the corrected statement is
verified.

    report = refopt.verify("bfgs.secant", implementation={"bfgs.update": yours})[0]
    find("bfgs.secant")[0].error({"H_new": …, "s": …, "y": …})          anyone's arrays
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from refopt.exact import checked
from refopt.oracle.digits import SAMPLE, certain
from refopt.oracle.draw import Instance
from refopt.oracle.trial import Equation, Trial, isolated

EPS = 2.0**-52

VERDICTS = {
    "true": "holds as it stands",
    "conditional": "holds under the conditions given, which the popular wording leaves out",
    "imprecise": "lacks or confuses something; the corrected statement holds",
    "false": "does not hold as it stands; the corrected statement does",
    "editorial": "no computation can decide it",
}


class Fails(NamedTuple):
    """What must fail: a claim whose condition is dropped, or a statement as it is usually, and wrongly, made."""

    what: str
    instance: Instance
    residual: Callable[..., Any] | None = None  #: of order 1 where the statement fails; None for the claim's own
    exact: bool = True


@dataclass(frozen=True)
class Claim:
    """A statement and how to check it: ``residual`` of an ``instance`` is zero, to slack · eps · scale.

    `instance(draw, *equations)` draws arrays and applies the named equations of `uses` to them; it returns a dict.
    `residual` and `scale` take those of its arrays that they name, and return a number, an array, or a tuple of them.
    """

    id: str
    says: str
    source: str
    verdict: str
    instance: Instance
    residual: Callable[..., Any]
    scale: Callable[..., Any]
    because: str  #: why rounding leaves slack · eps · scale
    slack: float = 100.0
    given: str = ""
    corrected: str = ""  #: what `residual` checks where `says` does not hold as it stands
    uses: tuple[str, ...] = ()
    exact: bool = True
    fixed: bool = False  #: the instance is always the same
    needs: str = ""  #: a package that not everybody has
    fails: tuple[Fails, ...] = ()

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"{self.id}: no verdict {self.verdict!r}; the verdicts are {', '.join(VERDICTS)}")
        if (self.verdict in ("conditional", "imprecise", "false")) != bool(self.fails):
            raise ValueError(f"{self.id}: a {self.verdict} claim and its counterexamples must come together")
        if (self.verdict in ("imprecise", "false")) != bool(self.corrected):
            raise ValueError(f"{self.id}: a {self.verdict} claim and a corrected statement must come together")

    @property
    def topic(self) -> str:
        return self.id.partition(".")[0]

    @property
    def tolerance(self) -> float:
        return self.slack * EPS

    def error(self, arrays: Mapping[str, Any], refuted: Fails | None = None) -> float:
        """The residual relative to its scale; over rational numbers 0 where it is zero and infinite where not."""
        theirs = refuted.residual if refuted else None
        parts = _parts(_apply(theirs, arrays)) if theirs else self.parts(arrays)
        if any(part.dtype == object for part in parts):
            return np.inf if any(checked(part).any() for part in parts) else 0.0
        scales = [np.asarray(1.0)] * len(parts) if theirs else self.scales(arrays, len(parts))
        return max(_relative(part, scale) for part, scale in zip(parts, scales, strict=True))

    def parts(self, arrays: Mapping[str, Any]) -> list[np.ndarray]:
        """The parts of the residual."""
        return _parts(_apply(self.residual, arrays))

    def scales(self, arrays: Mapping[str, Any], count: int) -> list[np.ndarray]:
        """The scale of each part."""
        scales = _parts(_apply(self.scale, arrays))
        return scales * count if len(scales) == 1 else scales


def claim(
    id: str, says: str, source: str, instance: Instance, verdict: str = "true", **details: Any
) -> Callable[[Callable[..., Any]], Claim]:
    """A decorator that makes a residual function a ``Claim``; see there for the details."""
    return lambda residual: Claim(
        id=id, says=says, source=source, verdict=verdict, instance=instance, residual=residual, **details
    )


def _apply(function: Callable[..., Any], arrays: Mapping[str, Any]) -> Any:
    return function(**{name: arrays[name] for name in inspect.signature(function).parameters})


def _parts(value: Any) -> list[np.ndarray]:
    return [np.asarray(part) for part in (value if isinstance(value, tuple) else (value,))]


def _relative(part: np.ndarray, scale: np.ndarray) -> float:
    """max |part| / scale; infinite where something is not finite, 0 for 0/0."""
    largest = float(np.abs(part).max()) if part.size else 0.0
    return 0.0 if largest == 0.0 else largest / float(scale) if np.isfinite(largest) and scale > 0.0 else np.inf


# --- the ledger --------------------------------------------------------------------------------------------------


@cache
def ledger() -> tuple[Claim, ...]:
    """All claims, topic by topic, in the order of the modules where a topic begins."""
    package = importlib.import_module("refopt.oracle.claims")
    names = [f"{package.__name__}.{info.name}" for info in pkgutil.iter_modules(package.__path__)]
    spaces = [vars(importlib.import_module(name)) for name in names]
    found = [value for space in spaces for value in space.values() if isinstance(value, Claim)]
    topics = list(dict.fromkeys(claim.topic for claim in found))
    return tuple(sorted(found, key=lambda claim: topics.index(claim.topic)))


def find(patterns: str | Iterable[str]) -> list[Claim]:
    """The claims whose id is, or matches, one of the patterns: "bfgs.secant", "bfgs.*", or a whole topic, "bfgs"."""
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    found = []
    for pattern in patterns:
        matched = [c for c in ledger() if fnmatchcase(c.id, pattern) or c.topic == pattern]
        if not matched:
            near = get_close_matches(pattern, [c.id for c in ledger()], n=3, cutoff=0.5)
            topics = ", ".join(dict.fromkeys(c.topic for c in ledger()))
            hint = f"did you mean {' or '.join(near)}?" if near else f"the topics are {topics}"
            raise ValueError(f"no claim is called {pattern!r}: {hint}")
        found += [c for c in matched if c not in found]
    return found


def ours(name: str) -> Equation:
    """The library's own equation of a name such as "bfgs.update", or the ledger's where no method has it."""
    module, _, function = name.replace("-", "_").rpartition(".")
    for home in ("refopt.methods", "refopt.stochastic", "refopt", "refopt.oracle.claims"):
        package = f"{home}.{module}".rpartition(".")[0]
        if find_spec(package) and find_spec(f"{home}.{module}"):
            equation = getattr(importlib.import_module(f"{home}.{module}"), function, None)
            if equation:
                return equation
    raise LookupError(f"no module of the library has the equation {name!r}")


# --- verifying ---------------------------------------------------------------------------------------------------


class ClaimReport(NamedTuple):
    """What became of a claim."""

    id: str
    says: str
    source: str
    verdict: str  #: what is known of the statement: true, conditional, imprecise, false, editorial
    status: str  #: verified; refuted (as it should be, its correction verified); failed; skipped
    cases: int  #: instances checked, counterexamples included
    worst: float  #: the largest residual over floats, relative to its scale
    tolerance: float  #: what rounding may leave of it
    exact: bool  #: decided without rounding too
    given: str
    corrected: str
    because: str  #: the reason of the tolerance
    detail: str = ""  #: what went wrong
    code: str = ""  #: Python text that shows it again
    fails: tuple[str, ...] = ()  #: what was run as a counterexample
    digits: int | None = None  #: of the float64 results are certain, at least, in a sample at fifty digits


Implementation = Equation | Mapping[str, Equation]


def verify(
    claims: str | Iterable[str] = "*",
    examples: int = 20,
    exact: bool = True,
    seed: int = 0,
    implementation: Implementation | None = None,
    progress: Callable[[int, int, ClaimReport], None] | None = None,
) -> list[ClaimReport]:
    """Check claims of the ledger on `examples` random instances each, and, where `exact`, on rational ones too.

    claims: a pattern such as "bfgs.*", a topic, or several of them.   implementation: functions to be judged in place
    of the library's, by name of the equation, {"bfgs.update": f}, or one function where all the claims use the same
    equation; it may compute in floats only, and claims that do not use it are skipped.   progress: called with how many
    claims are done, how many there are, and the report.   The same seed draws the same instances.
    """
    if examples < 1:
        raise ValueError(f"examples is {examples}: a claim needs at least one instance")
    if seed < 0:
        raise ValueError(f"seed is {seed}: it must not be negative")
    chosen = find(claims)
    theirs = _named(implementation, chosen)
    reports: list[ClaimReport] = []
    for wanted in chosen:
        reports.append(_examine(wanted, examples, exact, seed, theirs))
        if progress:
            progress(len(reports), len(chosen), reports[-1])
    return reports


def _named(implementation: Implementation | None, chosen: list[Claim]) -> Mapping[str, Equation]:
    """The implementation by name of its equation."""
    names = list(dict.fromkeys(name for wanted in chosen for name in wanted.uses))
    if callable(implementation):
        if len(names) != 1:
            raise ValueError(f"the claims use {', '.join(names) or 'no equation'}: say which is meant, in a dict")
        return {names[0]: implementation}
    unknown = [name for name in implementation or () if name not in names]
    if unknown:
        raise ValueError(f"the claims do not use {', '.join(unknown)}: they use {', '.join(names) or 'no equation'}")
    return implementation or {}


def _examine(wanted: Claim, examples: int, exact: bool, seed: int, theirs: Mapping[str, Equation]) -> ClaimReport:
    """Run the trials of one claim.   A foreign equation that cannot compute in rational numbers is judged in floats."""
    report = ClaimReport(
        wanted.id, wanted.says, wanted.source, wanted.verdict, "skipped", 0, 0.0, wanted.tolerance, False,
        wanted.given, wanted.corrected, wanted.because, fails=tuple(refuted.what for refuted in wanted.fails),
    )  # fmt: skip
    if wanted.verdict == "editorial":
        return report._replace(detail=f"{VERDICTS['editorial']}: {wanted.because}")
    if wanted.needs and not find_spec(wanted.needs):
        return report._replace(detail=f"needs {wanted.needs}: pip install 'refopt[exact]' brings it")
    if theirs and not set(theirs) & set(wanted.uses):
        return report._replace(detail=f"does not use {', '.join(theirs)}")
    book = [isolated(ours(name)) for name in wanted.uses]
    judged = [isolated(theirs[name]) if name in theirs else own for name, own in zip(wanted.uses, book, strict=True)]
    cases, worst, decided, sample = 0, 0.0, exact and wanted.exact, list[int]()
    for k in range(1 if wanted.fixed else examples):
        for trial in _trials(wanted, decided):
            outcome = trial.run(wanted, judged if trial.refuted is None else book, seed, k)
            if outcome.inexact and theirs:
                decided = False
                continue
            cases, worst = cases + 1, max(worst, outcome.error if trial.refuted is None else 0.0)
            if outcome.detail:
                report = report._replace(detail=outcome.detail, code=trial.code(wanted, outcome, seed, k))
                return report._replace(status="failed", cases=cases, worst=worst)
            if k < SAMPLE and trial == Trial(False) and not (wanted.exact or wanted.needs):
                sample += certain(wanted, outcome.arrays)
    status = "refuted" if wanted.corrected else "verified"
    digits = min(sample, default=None)
    return report._replace(status=status, cases=cases, worst=worst, exact=decided, digits=digits)


def _trials(wanted: Claim, exact: bool) -> list[Trial]:
    """What each draw runs: the claim and its counterexamples, over floats and over rational numbers."""
    over_floats = [Trial(False), *(Trial(False, refuted) for refuted in wanted.fails)]
    over_rationals = [Trial(True), *(Trial(True, refuted) for refuted in wanted.fails if refuted.exact)]
    return over_floats + over_rationals if exact else over_floats
