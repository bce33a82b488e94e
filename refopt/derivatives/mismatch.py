"""Naming the difference between a given derivative and the right one.

Mistakes in derivatives are few: a sign, a factor, a component or a term left out, components in another
order, a transposed matrix. Each is recognised where it explains the given numbers within their tolerances.
"""

from typing import NamedTuple

import numpy as np

FACTORS = {
    -1.0: "the sign is wrong",
    0.0: "it is missing",
    0.5: "a factor 2 is missing",
    2.0: "a factor 1/2 is missing",
    -0.5: "the sign is wrong and a factor 2 is missing",
    -2.0: "the sign is wrong and a factor 1/2 is missing",
}


class Report(NamedTuple):
    """What a check found; true in a condition if nothing is wrong, and its message when printed."""

    ok: bool
    message: str  #: one sentence: which component is wrong, and how
    component: tuple[int, ...]  #: the worst one: (j,) of a gradient, (i, j) of a matrix, () if the shape is wrong
    given: float  #: the derivative that was given there
    reference: float  #: what it should be there
    error: float  #: |given − reference|
    tolerance: float  #: the error up to which nobody is blamed
    method: str  #: where the reference comes from: "the complex step" or "differences"

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return self.message


def report(what: str, given: np.ndarray, reference: np.ndarray, tolerance: np.ndarray, method: str) -> Report:
    """Judge the derivative given, (n,) or (m, n); entries without a finite tolerance are not judged."""
    if given.shape != reference.shape:
        nan = float("nan")
        return Report(False, _shape(what, given, reference, tolerance), (), nan, nan, nan, nan, method)
    error, judged = abs(given - reference), np.isfinite(tolerance)
    wrong = judged & ~(error <= tolerance)
    excess = np.where(judged, error / tolerance, -1.0)
    excess[np.isnan(excess)] = 0.0  # 0/0: right
    excess[wrong & ~np.isfinite(given)] = np.inf
    worst = _index(np.argmax(excess), excess)
    if wrong.any():
        message = _accusation(what, given, reference, tolerance, wrong, worst, method)
    elif judged.any():
        message = f"the {what} agrees with {method}: largest error {error[worst]:.1e}, {_place(worst)}"
    else:
        message = f"the {what} is neither confirmed nor contradicted by {method}"
    if not judged.all():
        first = _place(_index(np.argmin(judged), judged))
        message += f"; {np.sum(~judged)} of {judged.size} could not be judged, first {first}"
    mine, right, off, allowed = (float(array[worst]) for array in (given, reference, error, tolerance))
    return Report(not wrong.any(), message, worst, mine, right, off, allowed, method)


def _accusation(
    what: str,
    given: np.ndarray,
    reference: np.ndarray,
    tolerance: np.ndarray,
    wrong: np.ndarray,
    worst: tuple[int, ...],
    method: str,
) -> str:
    mine, right = given[worst], reference[worst]
    sentence = f"{_place(worst)}: given {mine:.6g}, {method} say{'' if method == 'differences' else 's'} {right:.6g}"
    pattern = _whole(what, given, reference, tolerance)
    if pattern is None:
        return f"{sentence} ({_factor(mine, right)}); {wrong.sum()} of {wrong.size} components disagree"
    return f"{pattern}: {sentence}"


def _whole(what: str, given: np.ndarray, reference: np.ndarray, tolerance: np.ndarray) -> str | None:
    """What explains all components at once, or None."""
    if np.sum(abs(reference) > 2 * tolerance) < 2 or not np.isfinite(given).all():
        return None
    weight = 1 / tolerance
    ratio = float(np.sum((weight * given) * (weight * reference)) / np.sum((weight * reference) ** 2))
    if (abs(given - ratio * reference) <= (1 + abs(ratio)) * tolerance).all():
        return f"the whole {what} is {ratio:.6g} times what it should be, {_reason(ratio)}".removesuffix(", ")
    if given.ndim == 1:
        return _order("components", given[None, :], reference[None, :], tolerance[None, :])
    if given.shape == reference.T.shape and (abs(given.T - reference) <= tolerance).all():
        return f"the {what} is transposed"
    return _order("columns", given, reference, tolerance) or _order("rows", given.T, reference.T, tolerance.T)


def _order(name: str, given: np.ndarray, reference: np.ndarray, tolerance: np.ndarray) -> str | None:
    """The permutation that brings the columns of ``given`` to those of ``reference``, in words, or None."""
    wrong = np.flatnonzero((abs(given - reference) > tolerance).any(axis=0))
    source, free = {}, [int(k) for k in wrong]
    for j in wrong:
        k = next((k for k in free if (abs(given[:, j] - reference[:, k]) <= tolerance[:, k]).all()), None)
        if k is None:
            return None
        source[int(j)] = k
        free.remove(k)
    if len(source) == 2:
        return f"{name} {min(source)} and {max(source)} are interchanged"
    listing = ", ".join(f"{j} is {k}" for j, k in source.items())
    return f"{name} are in another order ({listing})"


def _factor(mine: float, right: float) -> str:
    if not np.isfinite(mine):
        return "not finite"
    if right == 0:
        return f"off by {mine:.3g}"
    reason = _reason(mine / right)
    return f"ratio {mine / right:.4g}" + (f": {reason}" if reason else "")


def _reason(ratio: float) -> str:
    return next((text for factor, text in FACTORS.items() if abs(ratio - factor) <= 1e-3 * max(1, abs(factor))), "")


def _shape(what: str, given: np.ndarray, reference: np.ndarray, tolerance: np.ndarray) -> str:
    sentence = f"the {what} has shape {given.shape}, expected {reference.shape}"
    if given.shape == reference.T.shape and (abs(given.T - reference) <= tolerance).all():
        return f"{sentence}: it is transposed"
    return sentence


def _index(flat: np.intp, array: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, array.shape))


def _place(index: tuple[int, ...]) -> str:
    return f"component {index[0]}" if len(index) == 1 else f"entry ({index[0]}, {index[1]})"
