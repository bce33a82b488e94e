"""Naming the difference between a given derivative and the right one.

Mistakes in derivatives are few: a sign, a factor, a component or a term left out, components in another order, a
transposed matrix. Each is recognised where it explains the given numbers within their tolerances.
"""

from typing import Any

import numpy as np

FACTORS = {
    -1.0: "the sign is wrong",
    0.0: "it is missing",
    0.5: "a factor 2 is missing",
    2.0: "a factor 1/2 is missing",
    -0.5: "the sign is wrong and a factor 2 is missing",
    -2.0: "the sign is wrong and a factor 1/2 is missing",
}

Blame = tuple[bool, str, tuple[int, ...], float, float, float, float]


def blame(what: str, given: np.ndarray, reference: np.ndarray, tolerance: np.ndarray, method: str) -> Blame:
    """(ok, sentence, worst component, given, reference, error and tolerance there); arrays are (n,) or (m, n)."""
    if given.shape != reference.shape:
        nan = float("nan")
        return False, _wrong_shape(what, given, reference, tolerance), (), nan, nan, nan, nan
    error = abs(given - reference)
    judged = np.isfinite(tolerance)
    wrong = judged & ~(error <= tolerance)
    with np.errstate(all="ignore"):
        excess = np.where(judged, np.nan_to_num(error / tolerance, nan=0.0), -1.0)
    excess[wrong & ~np.isfinite(given)] = np.inf
    worst = tuple(int(i) for i in np.unravel_index(np.argmax(excess), excess.shape))
    numbers = tuple(float(array[worst]) for array in (given, reference, error, tolerance))
    if wrong.any():
        sentence = _accusation(what, given, reference, tolerance, wrong, worst, method)
    else:
        sentence = f"the {what} agrees with {_witness(method)}: largest error {error[worst]:.1e}, {_place(worst)}"
    if not judged.all():
        unseen = _place(tuple(int(i) for i in np.argwhere(~judged)[0]))
        sentence += f"; {np.sum(~judged)} of {judged.size} could not be judged, first {unseen}"
    return not wrong.any(), sentence, worst, *numbers


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
    sentence = f"{_place(worst)}: given {mine:.6g}, {_witness(method)} {_says(method)} {right:.6g}"
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


def _wrong_shape(what: str, given: np.ndarray, reference: np.ndarray, tolerance: np.ndarray) -> str:
    sentence = f"the {what} has shape {given.shape}, expected {reference.shape}"
    if given.shape == reference.T.shape and (abs(given.T - reference) <= tolerance).all():
        return f"{sentence}: it is transposed"
    return sentence


def _place(index: tuple[int, ...]) -> str:
    return f"component {index[0]}" if len(index) == 1 else f"entry ({index[0]}, {index[1]})"


def _witness(method: str) -> str:
    return "the complex step" if method == "complex step" else "differences"


def _says(method: str) -> str:
    return "says" if method == "complex step" else "say"
