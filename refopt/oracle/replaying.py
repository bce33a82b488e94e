"""Replay: somebody else's run, judged step by step by the equations of the method that it claims to be.

For each of *their* states, our equations give what should come next, and that is compared with what did. Errors do not
pile up, a search or schedule of their own is reported and is no error, and the first equation that disagrees is named
with both sides.

    found = refopt.oracle.replay("bfgs", refopt.Problem(fun, grad), iterates)
    print(found.sentence);   found.first.theirs, found.first.ours;   found.defect

How far may two right answers differ? Every number of theirs is changed in its last digit, a few times over, and all is
computed anew: ten times the largest effect is what rounding explains, beside 100 eps, and 10 eps |x|/|s| where s is a
difference of x. Where that is more than a thousandth of the quantity itself, as in bfloat16, steps that are made of
gradients alone are judged by those of their entries of which rounding, half a unit in the last place, leaves something:
an entry of x that is small is known well. Of the rest nothing can be said, and nothing is.

Where a run disagrees, the conventions that sources leave open are tried, and then the defects known from the wild
(``refopt.oracle.defects``), each literally; one that agrees with every step is named.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from refopt.oracle.fifty import Digits, digits
from refopt.oracle.findings import Finding, Run, decided, explains, first_of, judged_of
from refopt.oracle.guesses import OPEN, guessed
from refopt.oracle.iterates import records
from refopt.oracle.lengths import scheduled
from refopt.oracle.recounting import in_digits, paced, searched, sentence_of
from refopt.oracle.rulebook import RULES, Rule, named, options_of, without
from refopt.oracle.rules import GIVEN
from refopt.oracle.searches import Search, mistakes

ENOUGH = 4  #: iterates; of fewer too many options might be guessed


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
    more, or a ``Recorder``.   params: the method's ``Params``, or a dict of its options as *they* had them; with
    ``{"search": "strong-wolfe"}`` the search is judged too, with c1 = 1e-4 and c2 = 0.9 unless the dict has others.
    Cost: five runs of the method's linear algebra, and as many for each choice, defect and option that is tried.
    """
    name, path, search = named(method), records(iterates), Search.claimed(params)
    whole = next((k for k, entry in enumerate(path) if not np.isfinite(entry["x"]).all()), len(path))
    if whole < 2:
        raise ValueError(f"x of iterate {whole} is not finite: there is no step to judge")
    rule, run = RULES[name], Run(problem, path[:whole])
    options = options_of(name, without(params, Search._fields) if rule.searches else params)
    how, findings = _chosen(rule, run, options)
    ends = run.judged(Rule(search.conditions), options, {}) if search.search else []
    first, known, guess = first_of(findings), dict[str, list[Finding]](), dict[str, Any]()
    if first:
        known = _known(rule, run, options, how, findings)
    pace = scheduled(rule, run, options, how, findings) if first and not known and hasattr(options, "step") else []
    first = None if pace else first
    if first and not known and whole >= ENOUGH:
        guess = guessed(name, run, options, how, findings)
    if guess and set(guess) <= set(OPEN) and not _said(params, guess):
        options, how, guess = options._replace(**guess), how | guess, {}
        findings = run.judged(rule, options, {key: value for key, value in how.items() if key not in options._fields})
        first = None
    said = [rule.defects[each].says for each in known]
    slips = mistakes(ends, next(iter(known.values()), findings))
    findings = sorted([*findings, *(f for f in ends if f.equation not in GIVEN)], key=lambda f: f.step)
    first = first_of(findings) if first_of(ends) else first
    hidden = rule.hidden if any(entry.get(rule.hidden) is None for entry in path) else ""
    verdict = "undecided" if first and hidden else "disagrees" if first or whole < len(path) else "agrees"
    verdict = verdict if decided(findings) else "undecided"
    counts = searched(run.path(0, options)) if rule.searches else {}
    right = None if first or pace or not decided(findings) else _certain(rule, run, options, how, findings)
    sentence = sentence_of(name, first, findings, how, said, counts, whole - 1, guess, search.search)
    sentence += "".join(f" That is {slip}: {says}." for slip, says in slips.items())
    sentence = paced(name, pace, whole - 1) if pace else sentence + in_digits(right)
    if first and hidden:
        sentence += f" Trials that were refused teach {hidden} too, and leave no trace: give {hidden} in the records."
    if whole < len(path):
        sentence = f"Their x is not finite from step {whole - 1} on. Before that: {sentence}"
    return Replay(name, verdict, sentence, whole - 1, first, findings, how, [*known, *slips], counts, guess, right)


def _known(
    rule: Rule, run: Run, options: Any, how: dict[str, Any], findings: list[Finding]
) -> dict[str, list[Finding]]:  # fmt: skip
    """The defects that explain every step, with the conventions that explain most of it or with others."""
    for choice in [how, *(other for other in rule.conventions if other != how)]:
        tried = ((name, run.judged(rule, options, choice | dict(d.how))) for name, d in rule.defects.items())
        if known := {name: instead for name, instead in tried if explains(instead, findings)}:
            return known
    return {}


def _said(params: Any, guess: Mapping[str, Any]) -> bool:
    """Whether they have said what these options were."""
    return params is not None and (not isinstance(params, Mapping) or bool(set(guess) & set(params)))


def _chosen(rule: Rule, run: Run, options: Any) -> tuple[dict[str, Any], list[Finding]]:
    """The choice that explains most: the first of those that explain all; a later one only if it explains much more."""
    made, lacking = [], None
    for how in rule.conventions:
        try:
            made.append((how, run.judged(rule, options, how)))
        except ValueError as error:  # of what the problem or the records lack
            lacking = lacking or error
    if not made:
        raise lacking  # type: ignore[misc]
    best, clear = made[0], 0.5 * max(judged_of(findings) for _, findings in made)
    for how, findings in made[1:]:
        if judged_of(findings) >= clear and _explained(findings) > _explained(best[1]) + 2:
            best = how, findings
    return best


def _explained(findings: list[Finding]) -> float:
    """How many equations agree before the first that does not."""
    first = first_of(findings)
    return findings.index(first) if first else np.inf


def _certain(rule: Rule, run: Run, options: Any, how: Mapping[str, Any], findings: list[Finding]) -> Digits | None:
    """The digits of what was judged, of a small case."""
    path = run.path(0, options)
    how = {key: value for key, value in how.items() if not hasattr(options, key)}
    judged = {(f.step, f.equation): f.ours for f in findings if f.judged}
    return digits(rule.says, path, how, judged)
