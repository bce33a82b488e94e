"""Factors before the sum over samples, in words: the reductions of the library, and slips that occur."""

from copy import copy
from typing import Any

from refopt.supervised import REDUCTIONS


def scale_in_words(alpha: float, problem: Any, precision: float = 1e-6) -> tuple[str, str]:
    """α, known to a relative precision, times the problem's own c, as a reduction if it is one."""
    c = float(getattr(problem, "c", 1.0))
    total = alpha * c
    for name, words, value in reductions(problem):
        if abs(total - value) <= precision * abs(value):
            return words, name
        if abs(total + value) <= precision * abs(value):
            return f"{words}, with the opposite sign", f"negative {name}"
    return f"{alpha:.6g} times what the problem's reduction gives", f"{alpha:.6g}"


def reductions(problem: Any) -> list[tuple[str, str, float]]:
    """Factors before the sum over samples that occur: those of the library, and their slips."""
    if not hasattr(problem, "network"):
        return [("sum", "as it is defined", 1.0), ("half", "times ½", 0.5), ("double", "doubled", 2.0)]
    N = len(problem.X)
    sums = {name: _factor(problem, name) for name in REDUCTIONS}
    words = {
        "sum": "summed over the samples", "mean": "averaged over the samples",
        "mean-elements": "averaged over samples and outputs", "mean-tokens": "averaged over the entries of the labels",
    }  # fmt: skip
    found = [(name, words[name], value) for name, value in sums.items()]
    for name, value in sums.items():
        squared = f"{words[name]}, its factor squared: the gradients were scaled before they were multiplied"
        found += [
            (f"half {name}", f"{words[name]}, times ½", 0.5 * value),
            (f"double {name}", f"{words[name]}, doubled", 2.0 * value),
            (f"squared {name}", squared, value * value),
        ]
    cubed = "averaged over the samples, of gradients that were divided by their number before"
    found.append(("cubed mean", cubed, sums["mean"] ** 3))
    if N > 1:
        found.append(("N - 1", "divided by N − 1", 1.0 / (N - 1)))
    return found


def _factor(problem: Any, reduction: str) -> float:
    """The c that the problem would have with another reduction."""
    other = copy(problem)
    other.reduction = reduction
    vars(other).pop("c", None)
    return float(other.c)
