"""Replay: somebody else's run, judged step by step by the equations of the method that it claims to be.

For each of *their* states, our equations give what should come next, and that is compared with what did. Errors do not
pile up, a search or schedule of their own is reported and is no error, and the first equation that disagrees is named
with both sides.

    found = refopt.oracle.replay("bfgs", refopt.Problem(fun, grad), iterates)
    print(found.sentence);   found.first.theirs, found.first.ours;   found.defect

How far may two right answers differ? Every number of theirs is changed in its last digit, a few times over, and all is
computed anew: ten times the largest effect is what rounding explains, beside 100 eps, and 10 eps |x|/|s| where s is a
difference of x. Where that is more than a thousandth of the quantity itself, nothing can be said, and nothing is.

Where a run disagrees, the conventions that sources leave open are tried, and then the defects known from the wild
(``refopt.oracle.defects``), each literally; one that agrees with every step is named.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from refopt.oracle import defects, regions, rules
from refopt.oracle.defects import Defect
from refopt.oracle.iterates import Record, records
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


class Replay(NamedTuple):
    """What a replay has found."""

    method: str
    verdict: str  #: agrees, disagrees, or undecided: rounding drowns every equation
    sentence: str
    steps: int
    first: Finding | None  #: the first equation that disagrees
    findings: list[Finding]  #: all equations
    conventions: dict[str, Any]  #: the choices that explain most of it
    defects: list[str]  #: the known ways of going wrong that explain all of it, each alone
    search: dict[str, int]  #: steps, and in how many a search's conditions hold; not judged

    def __bool__(self) -> bool:
        return self.verdict == "agrees"


@dataclass(frozen=True)
class Rule:
    """How the runs of a method are judged."""

    says: Callable[..., Iterator[Seen]]
    conventions: tuple[dict[str, Any], ...] = ({},)
    defects: Mapping[str, Defect] = field(default_factory=dict)
    searches: bool = True


def _newton(path: Path, H: Any, g: Any) -> Any:
    return np.linalg.solve(H, -g)


def _direction(method: str, *names: str) -> Callable[[Path, Any, Any], Any]:
    """The method's own direction, with those of its options."""

    def direction(path: Path, H: Any, g: Any) -> Any:
        p = rules.equation(method, "direction")(H, g, *(getattr(path.params, name) for name in names))
        return np.asarray(p[0] if isinstance(p, tuple) else p)

    return direction


STARTS = ({"start": "I"}, {"start": "scaled"}, {"start": "length"}, {"start": "γI"})
AHEAD = ({"ahead": False}, {"ahead": True})
STEPS: dict[str, Mapping[str, Defect]] = {
    "sgd": {}, "momentum": defects.MOMENTUM, "adagrad": {}, "rmsprop": defects.RMSPROP, "adam": defects.ADAM,
    "adamw": defects.ADAMW, "adam-no-sqrt": {}, "adahessian": defects.ADAHESSIAN, "shampoo": defects.SHAMPOO,
    "soap": defects.SOAP,
}  # fmt: skip
H_DEFECTS = {**defects.PAIRS, **defects.H_UPDATES}
RULES = {
    "gradient-descent": Rule(rules.steepest),
    "newton": Rule(rules.newton_type(_newton, "p = −H⁻¹g")),
    "damped-newton": Rule(rules.newton_type(_direction("damped_newton", "damping"), "p = −(H + λI)⁻¹g")),
    "modified-newton": Rule(rules.newton_type(_direction("modified_newton", "beta"), "p = −(H + τI)⁻¹g")),
    "saddle-free-newton": Rule(rules.newton_type(_direction("saddle_free_newton", "floor"), "p = −|H|⁻¹g")),
    "diagonal-newton": Rule(
        rules.newton_type(_direction("diagonal_newton", "floor", "clip", "clip_update"), "pᵢ = −gᵢ/|Hᵢᵢ|")
    ),
    "bfgs": Rule(rules.quasi_newton("bfgs"), STARTS, H_DEFECTS),
    "dfp": Rule(rules.quasi_newton("dfp"), STARTS, H_DEFECTS),
    "broyden": Rule(rules.quasi_newton("broyden", rules.stays_positive), STARTS[:3], H_DEFECTS),
    "l-bfgs": Rule(rules.l_bfgs, ({},), {**defects.PAIRS, **defects.HISTORIES}),
    "trust-exact": Rule(regions.stationary, searches=False),
    "trust-dogleg": Rule(regions.powell, searches=False),
    "trust-ncg": Rule(regions.steihaug_path, searches=False),
    "trust-krylov": Rule(regions.lanczos, searches=False),
    "newton-cg": Rule(regions.conjugate),
    "sr1": Rule(regions.symmetric_rank_one, searches=False),
    "natural-gradient": Rule(rules.newton_type(_direction("natural_gradient", "damping"), "p = −(F + λI)⁻¹g")),
    "gauss-newton": Rule(regions.gauss_newton, searches=False),
    "lm": Rule(
        regions.damped_fit,
        tuple({"scaling": name} for name in ("longest columns", "columns", "I")),
        searches=False,
    ),
    **{
        name: Rule(rules.updates(name.replace("-", "_")), AHEAD, wrong, searches=False) for name, wrong in STEPS.items()
    },
}


def replay(method: Any, problem: Any, iterates: Iterable[Any], params: Any = None) -> Replay:
    """Judge a run.

    method: a name, or a module of ``refopt.methods``.   problem: a ``Problem`` or ``LeastSquares`` with what the method
    needs, in float64; None where the records carry the gradients.   iterates: what ``refopt.oracle.records`` takes:
    points alone, or records with more, or a ``Recorder``.   params: the method's ``Params``, or a dict of its options
    as *they* had them.   Cost: five runs of the method's linear algebra, and for each defect that is tried as many.
    """
    name = method if isinstance(method, str) else method.__name__.rpartition(".")[2]
    name = name.lower().replace("_", "-")
    if name not in RULES:
        raise ValueError(f"no replay of {method!r}; there is one of {', '.join(RULES)}")
    rule, path = RULES[name], records(iterates)
    options = _options(name, params)
    made = [(how, _judged(rule, problem, path, options, how)) for how in rule.conventions]
    how, findings = max(made, key=lambda pair: _explained(pair[1]))
    first, wrong = _first(findings), list[str]()
    if first:
        tried = ((known, _judged(rule, problem, path, options, how | dict(d.how))) for known, d in rule.defects.items())
        wrong = [known for known, instead in tried if not _first(instead) and _decided(instead)]
    verdict = "disagrees" if first else "agrees" if _decided(findings) else "undecided"
    search = _searched(Path(problem, _doubled(path), options)) if rule.searches else {}
    said = [rule.defects[known].says for known in wrong]
    sentence = _sentence(name, verdict, first, findings, how, said, search, len(path) - 1)
    return Replay(name, verdict, sentence, len(path) - 1, first, findings, how, wrong, search)


def _options(name: str, params: Any) -> Any:
    """Their options as the method's ``Params``."""
    home = "stochastic" if name in STEPS else "methods"
    known: Any = import_module(f"refopt.{home}.{name.replace('-', '_')}").Params
    if params is None:
        return known()
    if not isinstance(params, Mapping):  # of ``minimize``, which has options that a step by itself has not
        return known(**{field: getattr(params, field) for field in known._fields if hasattr(params, field)})
    if unknown := params.keys() - set(known._fields):
        raise TypeError(
            f"{name} has no option {', '.join(sorted(unknown))}; its options are {', '.join(known._fields)}"
        )
    return known(**params)


def _judged(rule: Rule, problem: Any, path: list[Record], params: Any, how: Mapping[str, Any]) -> list[Finding]:
    """All equations of a run, beside what rounding does to them."""
    eps = max(_eps(entry["x"]) for entry in path)
    with np.errstate(all="ignore"):
        seen = _seen(rule, Path(problem, _doubled(path), params, eps), how)
        shaken = [_seen(rule, Path(problem, _shaken(path, j), params, eps), how) for j in range(REPEATS)]
    return [_finding(key, value, [other.get(key) for other in shaken], eps) for key, value in seen.items()]


def _seen(rule: Rule, path: Path, how: Mapping[str, Any]) -> dict[tuple[int, str], Seen]:
    found = [*rules.given(path), *rule.says(path, **how)]
    return {(s.k, s.equation): s for s in sorted(found, key=lambda s: s.k)}


def _finding(key: tuple[int, str], seen: Seen, shaken: list[Seen | None], eps: float) -> Finding:
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
    """Their numbers in double precision, each changed by one unit in the last place of what they had."""
    rng = np.random.default_rng(seed)

    def moved(v: Any) -> Any:
        v = np.asarray(v)
        return np.asarray(v, float) * (1.0 + _eps(v) * rng.choice([-1.0, 1.0], v.shape))

    return [{name: moved(v) if _is_float(v) else v for name, v in entry.items()} for entry in path]


def _is_float(v: Any) -> bool:
    return isinstance(v, float) or (isinstance(v, np.ndarray) and v.dtype.kind == "f")


def _eps(v: Any) -> float:
    kind = np.asarray(v).dtype
    return float(np.finfo(kind if kind.kind == "f" else float).eps)


def _first(findings: list[Finding]) -> Finding | None:
    return next((f for f in findings if not f.agrees), None)


def _decided(findings: list[Finding]) -> bool:
    return any(f.judged for f in findings)


def _explained(findings: list[Finding]) -> float:
    """How many equations agree before the first that does not."""
    first = _first(findings)
    return findings.index(first) if first else np.inf


def _searched(path: Path) -> dict[str, int]:
    """In how many steps the conditions of searches hold, with the usual constants 1e-4 and 0.9."""
    if not (path.has("fun") and path.has("grad")):
        return {}
    counts = {"steps": 0, "downhill": 0, "armijo": 0, "strong curvature": 0}
    for k in path.moved:
        _s, slope, end = path.s(k), float(path.g(k) @ path.s(k)), float(path.g(k + 1) @ path.s(k))
        counts["steps"] += 1
        counts["downhill"] += slope < 0.0
        counts["armijo"] += bool(path.of("fun", k + 1) <= path.of("fun", k) + 1e-4 * slope)
        counts["strong curvature"] += abs(end) <= 0.9 * abs(slope)
    return counts


def _sentence(
    name: str, verdict: str, first: Finding | None, findings: list[Finding], how: Mapping[str, Any],
    said: list[str], search: Mapping[str, int], steps: int,
) -> str:  # fmt: skip
    """The verdict in words."""
    judged = [f for f in findings if f.judged]
    chosen = "".join(f" ({key}: {value})" for key, value in how.items())
    if verdict == "undecided":
        return f"Rounding drowns every equation of these {steps} steps: nothing can be said of {name}."
    if first is None:
        worst = max(judged, key=lambda f: f.error / f.tolerance)
        text = (
            f"These {steps} steps are {name}'s{chosen}: {len(judged)} equations hold; the least certain, "
            f"{worst.equation} at step {worst.step}, to {worst.error:.1e}; rounding explains {worst.tolerance:.1e}."
        )
    else:
        text = (
            f"The first equation that disagrees with {name}{chosen} is {first.equation} at step {first.step}: by "
            f"{first.error:.2g}, where rounding explains {first.tolerance:.1e}."
        )
        if said:
            which = "One change explains" if len(said) == 1 else f"Each of {len(said)} changes alone explains"
            text += f" {which} every step: {'; or '.join(said)}."
        elif scale := _constant_factor(findings):
            text += f" Every step is {scale:.6g} times ours."
    if left := len(findings) - len(judged):
        text += f" {left} of {len(findings)} equations drown in rounding and are left out."
    if search:
        text += (
            f" Of {search['steps']} steps {search['armijo']} satisfy Armijo's condition and "
            f"{search['strong curvature']} the strong curvature condition; how far a search goes is not judged."
        )
    return text


def _constant_factor(findings: list[Finding]) -> float:
    """The factor between their steps and ours if it is the same throughout, else 0."""
    steps = [f for f in findings if f.equation.startswith("x₊")]
    ratios = [float(f.theirs @ f.ours / (f.ours @ f.ours)) for f in steps if f.ours.any()]
    if not ratios or np.ptp(ratios) > 1e-6 * abs(ratios[0]) or abs(ratios[0] - 1.0) < 1e-6:
        return 0.0
    close = all(rules.top(f.theirs - ratios[0] * f.ours) <= 1e-6 * rules.top(f.theirs) for f in steps)
    return ratios[0] if close else 0.0
