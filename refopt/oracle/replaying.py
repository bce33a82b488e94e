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

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from refopt.oracle import guesses, rules
from refopt.oracle.fifty import Digits, digits
from refopt.oracle.iterates import Record, eps_of, records
from refopt.oracle.rulebook import RULES, Rule, home
from refopt.oracle.rules import Path, Seen

REPEATS = 4  #: times that their numbers are changed in the last digit
ENOUGH = 4  #: iterates; of fewer too many options might be guessed


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
    guess: dict[str, Any]  #: other options, or another method, that explain all of it
    digits: Digits | None  #: of a run that agrees: how right the least certain equation is, and could be

    def __bool__(self) -> bool:
        return self.verdict == "agrees"


def replay(method: Any, problem: Any, iterates: Iterable[Any], params: Any = None) -> Replay:
    """Judge a run.

    method: a name, or a module of ``refopt.methods`` or ``refopt.stochastic``; "train.hessian-free" where both have
    one.   problem: a ``Problem``, ``LeastSquares`` or ``Supervised`` with what the method needs, in float64; None where
    the records carry the gradients.   iterates: what ``refopt.oracle.records`` takes: points alone, or records with
    more, or a ``Recorder``.   params: the method's ``Params``, or a dict of its options as *they* had them.
    Cost: five runs of the method's linear algebra, and as many for each choice, defect and option that is tried.
    """
    name, path = _named(method), records(iterates)
    whole = next((k for k, entry in enumerate(path) if not np.isfinite(entry["x"]).all()), len(path))
    if whole < 2:
        raise ValueError(f"x of iterate {whole} is not finite: there is no step to judge")
    rule, run = RULES[name], _Run(problem, path[:whole])
    options = _options(name, params)
    how, findings = _chosen(rule, run, options)
    first, wrong, guess = _first(findings), list[str](), dict[str, Any]()
    if first:
        for choice in [how, *(other for other in rule.conventions if other != how)]:
            tried = ((known, run.judged(rule, options, choice | dict(d.how))) for known, d in rule.defects.items())
            wrong = wrong or [known for known, instead in tried if _explains(instead, findings)]
    if first and not wrong and whole >= ENOUGH:
        guess = _guessed(name, run, options, how, findings)
    if guess and set(guess) <= set(guesses.OPEN) and not _said(params, guess):
        options, how, guess = options._replace(**guess), how | guess, {}
        findings = run.judged(rule, options, {key: value for key, value in how.items() if key not in options._fields})
        first = None
    hidden = rule.hidden if any(entry.get(rule.hidden) is None for entry in path) else ""
    verdict = "undecided" if first and hidden else "disagrees" if first or whole < len(path) else "agrees"
    verdict = verdict if _decided(findings) else "undecided"
    search = _searched(run.path(0, options)) if rule.searches else {}
    said = [rule.defects[known].says for known in wrong]
    known = None if first or not _decided(findings) else _certain(rule, run, options, how, findings)
    sentence = _sentence(name, verdict, first, findings, how, said, search, whole - 1, guess)
    if known:
        sentence += (
            f" In fifty digits {known.equation} at step {known.step} holds to {known.theirs:.1f} digits, of some "
            f"{known.possible:.1f} that their rounding leaves."
        )
    if first and hidden:
        sentence += f" Trials that were refused teach {hidden} too, and leave no trace: give {hidden} in the records."
    if whole < len(path):
        sentence = f"Their x is not finite from step {whole - 1} on. Before that: {sentence}"
    return Replay(name, verdict, sentence, whole - 1, first, findings, how, wrong, search, guess, known)


def _named(method: Any) -> str:
    """The name of a method in the rulebook."""
    if isinstance(method, str):
        name = method.lower().replace("_", "-")
    else:
        package, _, name = method.__name__.rpartition(".")
        name = name.replace("_", "-")
        name = f"train.{name}" if package.endswith("stochastic") and f"train.{name}" in RULES else name
    if name not in RULES:
        raise ValueError(f"no replay of {method!r}; there is one of {', '.join(RULES)}")
    return name


def _options(name: str, params: Any) -> Any:
    """Their options as the method's ``Params``."""
    package, module = home(name)
    known: Any = import_module(f"refopt.{package}.{module}").Params
    if params is None:
        return known()
    if not isinstance(params, Mapping):  # of ``minimize``, which has options that a step by itself has not
        return known(**{field: getattr(params, field) for field in known._fields if hasattr(params, field)})
    if unknown := params.keys() - set(known._fields):
        raise TypeError(
            f"{name} has no option {', '.join(sorted(unknown))}; its options are {', '.join(known._fields)}"
        )
    return known(**params)


def _said(params: Any, guess: Mapping[str, Any]) -> bool:
    """Whether they have said what these options were."""
    return params is not None and (not isinstance(params, Mapping) or bool(set(guess) & set(params)))


class _Run:
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
            seen, *shaken = [_seen(rule, self.path(j, params), how) for j in range(len(self.records))]
        return [_finding(key, value, [other.get(key) for other in shaken], self.eps) for key, value in seen.items()]


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
    rng = np.random.default_rng(seed)

    def moved(v: Any) -> Any:
        exact = np.asarray(v, float)
        return exact * (1.0 + eps_of(v) * rng.choice([-1.0, 1.0], exact.shape))

    return [{name: moved(v) if _is_float(v) else v for name, v in entry.items()} for entry in path]


def _is_float(v: Any) -> bool:
    return isinstance(v, float) or (isinstance(v, np.ndarray) and v.dtype.kind == "f")


def _first(findings: list[Finding]) -> Finding | None:
    return next((f for f in findings if not f.agrees), None)


def _judged(findings: list[Finding]) -> int:
    return sum(f.judged for f in findings)


def _decided(findings: list[Finding]) -> bool:
    return _judged(findings) > 0


def _explains(instead: list[Finding], findings: list[Finding]) -> bool:
    """Whether everything agrees, and two of the steps that did not, if there are two, are not drowned now."""
    if _first(instead):
        return False
    judged = {f.step for f in instead if f.judged and f.equation not in rules.GIVEN}
    wrong = {f.step for f in findings if not f.agrees}
    return min(wrong) in judged and len(judged & wrong) >= min(2, len(wrong))


def _certain(rule: Rule, run: "_Run", options: Any, how: Mapping[str, Any], findings: list[Finding]) -> Digits | None:
    """The digits of what was judged, of a small case."""
    path = run.path(0, options)
    how = {key: value for key, value in how.items() if not hasattr(options, key)}
    judged = {(f.step, f.equation): f.ours for f in findings if f.judged}
    return digits(rule.says, path, how, judged)


# --- choices, options, other methods -----------------------------------------------------------------------------


def _chosen(rule: Rule, run: _Run, options: Any) -> tuple[dict[str, Any], list[Finding]]:
    """The choice that explains most: the first of those that explain all; a later one only if it explains much more."""
    made, lacking = [], None
    for how in rule.conventions:
        try:
            made.append((how, run.judged(rule, options, how)))
        except ValueError as error:  # of what the problem or the records lack
            lacking = lacking or error
    if not made:
        raise lacking  # type: ignore[misc]
    best, clear = made[0], 0.5 * max(_judged(findings) for _, findings in made)
    for how, findings in made[1:]:
        if _judged(findings) >= clear and _explained(findings) > _explained(best[1]) + 2:
            best = how, findings
    return best


def _explained(findings: list[Finding]) -> float:
    """How many equations agree before the first that does not."""
    first = _first(findings)
    return findings.index(first) if first else np.inf


def _guessed(name: str, run: _Run, options: Any, how: Mapping[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """Other options with which all agrees, or another method that it is; each perhaps with another step length."""
    if _constant_factor(findings):
        return {}
    for change in guesses.options(name, run.path(0, options)):
        changed = options._replace(**change)
        if not _first_steps(run, RULES[name], changed, how):
            continue
        if scale := _fits(run.judged(RULES[name], changed, how), findings):
            return change if scale == 1.0 else change | {"step": scale * options.step}
    for other in guesses.methods(name):
        try:
            params = _options(other, None)
            changes = [{}, *guesses.options(other, run.path(0, params))] if other == "damped-newton" else [{}]
            for change in changes:
                known = run.judged(RULES[other], params._replace(**change), RULES[other].conventions[0])
                if scale := _fits(known, findings):
                    return {"method": other} | change | ({"step": scale * params.step} if scale != 1.0 else {})
        except (ValueError, np.linalg.LinAlgError):  # what it needs is not there, or has no inverse
            continue
    return {}


def _first_steps(run: "_Run", rule: Rule, options: Any, how: Mapping[str, Any]) -> bool:
    """Whether the first steps fit: few are enough to refuse most options."""
    short = run.path(0, options)
    short.records = short.records[:4]
    with np.errstate(all="ignore"):
        seen = [s for s in rule.says(short, **how) if s.equation.startswith("x₊") and s.ours.any()]
    near = lambda s: (
        rules.top(s.theirs - (s.theirs @ s.ours) / (s.ours @ s.ours) * s.ours) <= 1e-3 * rules.top(s.theirs)
    )
    return all(map(near, seen))


def _fits(instead: list[Finding], findings: list[Finding]) -> float:
    """1 if everything agrees, the factor of all steps if that is all that is wrong, else 0."""
    if _explains(instead, findings):
        return 1.0
    others = [f for f in instead if not f.equation.startswith("x₊")]
    return _constant_factor(instead) if not _first(others) else 0.0


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
    said: list[str], search: Mapping[str, int], steps: int, guess: Mapping[str, Any],
) -> str:  # fmt: skip
    """The verdict in words."""
    judged = [f for f in findings if f.judged]
    words = [CHOICES.get((key, value), f"{key} {value}") for key, value in how.items()]
    chosen = f" ({', '.join(filter(None, words))})" if any(words) else ""
    if not judged:
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
        text += _explanation(findings, said, guess)
    if left := len(findings) - len(judged):
        text += f" {left} of {len(findings)} equations drown in rounding and are left out."
    if search:
        text += (
            f" Of {search['steps']} steps {search['armijo']} satisfy Armijo's condition and "
            f"{search['strong curvature']} the strong curvature condition; how far a search goes is not judged."
        )
    return text


CHOICES = {
    ("ahead", False): "", ("ahead", True): "whose means have seen the gradient already",
    ("start", "I"): "H₀ = I", ("start", "scaled"): "H₀ scaled by the first pair",
    ("start", "length"): "H₀ = ‖x₀‖/‖g₀‖ I", ("start", "γI"): "H₀ = γI",
    ("scaling", "I"): "D = I", ("scaling", "columns"): "D of the columns' lengths",
    ("scaling", "longest columns"): "D of the columns' longest lengths",
    ("region", "I"): "D = I", ("region", "line"): "along −J⁺r",
    ("inner", "to η"): "conjugate gradients stopped elsewhere",
    ("begin", "length"): "B₀ of their first record, or 10 ‖g₀‖/‖x₀‖ I",
    ("begin", "I"): "B₀ of their first record, or I",
    ("trials", "as here"): "", ("trials", "halved"): "a region that is halved",
    ("trials", "taken"): "B learns from the steps taken",
}  # fmt: skip


def _explanation(findings: list[Finding], said: list[str], guess: Mapping[str, Any]) -> str:
    """What would explain every step."""
    if said:
        which = "One change explains" if len(said) == 1 else f"Each of {len(said)} changes alone explains"
        return f" {which} every step: {'; or '.join(said)}."
    given = ", ".join(f"{key} = {value:.6g}" for key, value in guess.items() if key != "method")
    if "method" in guess:
        return f" These are the steps of {guess['method']}{f', with {given}' if given else ''}."
    if given:
        return f" With {given} every step agrees: is that what it was run with?"
    if scale := _constant_factor(findings):
        return f" Every step is {scale:.6g} times ours."
    if scales := _factors(findings):
        some = ", ".join(f"{scale:.4g}" for scale in scales[:5])
        return f" Each step is a multiple of ours, {some}{', …' if len(scales) > 5 else ''}: the step has a schedule."
    return ""


def _factors(findings: list[Finding]) -> list[float]:
    """The factors between their steps and ours, if each is a multiple of ours."""
    steps = [f for f in findings if f.equation.startswith("x₊") and f.ours.any()]
    ratios = [float(f.theirs @ f.ours / (f.ours @ f.ours)) for f in steps]
    near = zip(steps, ratios, strict=True)
    close = all(rules.top(f.theirs - ratio * f.ours) <= 1e-6 * rules.top(f.theirs) for f, ratio in near)
    return ratios if ratios and close and np.isfinite(ratios).all() and len(steps[0].ours) > 1 else []


def _constant_factor(findings: list[Finding]) -> float:
    """That factor where it is the same throughout and not 1, else 0."""
    ratios = _factors(findings)
    alike = ratios and np.ptp(ratios) <= 1e-6 * abs(ratios[0]) and abs(ratios[0] - 1.0) >= 1e-6
    return ratios[0] if alike else 0.0
