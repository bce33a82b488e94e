"""What a run is, in sentences: the verdicts of ``replay``."""

from collections.abc import Mapping
from typing import Any

from refopt.oracle.fifty import Digits
from refopt.oracle.findings import Finding
from refopt.oracle.lengths import constant_factor
from refopt.oracle.rules import Path


def sentence_of(
    name: str, first: Finding | None, findings: list[Finding], how: Mapping[str, Any],
    said: list[str], search: Mapping[str, int], steps: int, guess: Mapping[str, Any], claimed: str = "",
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
            f"{search['strong curvature']} the strong curvature condition"
            + (f": {claimed}'s conditions are judged." if claimed else "; how far a search goes is not judged.")
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
    if scale := constant_factor(findings):
        return f" Every step is {scale:.6g} times ours."
    return ""


def paced(name: str, factors: list[float], steps: int) -> str:
    """Of a run whose step has a schedule."""
    some = ", ".join(f"{scale:.4g}" for scale in factors[:5])
    return (
        f"These {steps} steps are {name}'s, but for their lengths. Each step is a multiple of ours, {some}"
        f"{', …' if len(factors) > 5 else ''}: the step has a schedule, which is not judged."
    )


def searched(path: Path) -> dict[str, int]:
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


def in_digits(known: Digits | None) -> str:
    """How right the least certain equation is, and could be."""
    return (
        ""
        if known is None
        else (
            f" In fifty digits {known.equation} at step {known.step} holds to {known.theirs:.1f} digits, of some "
            f"{known.possible:.1f} that their rounding leaves."
        )
    )
