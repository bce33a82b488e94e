"""What makes X = target(A, p) the inverse p-th root of a symmetric positive definite A."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from refopt.conformance import Property
from refopt.conformance.strategies import basis, scales, seeds, sizes, spd, spectra

EPS = float(np.finfo(float).eps)
roots = st.integers(1, 8)


@st.composite
def matrices(draw: Any) -> tuple[np.ndarray, int]:
    return draw(spd(draw(sizes), 1e4)), draw(roots)


@st.composite
def known(draw: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """A spectrum and the basis in which A has it."""
    values = draw(spectra(draw(sizes), 1e4))
    return values, basis(values.size, draw(seeds)), draw(roots)


def inverts(target: Any, instance: tuple[np.ndarray, int]) -> str:
    A, p = instance
    X = np.asarray(target(A.copy(), p))
    error = np.abs(np.linalg.matrix_power(X, p) @ A - np.eye(len(A))).max()
    bound = 1e3 * EPS * p * np.linalg.cond(A) * len(A)
    return "" if error <= bound else f"|X^{p} A − I| is {error:.2g}; rounding leaves {bound:.1g}"


def is_the_positive_one(target: Any, instance: tuple[np.ndarray, np.ndarray, int]) -> str:
    """Of all the roots the symmetric positive definite one, V Λ^(−1/p) Vᵀ."""
    values, V, p = instance
    A = (V * values) @ V.T
    X, wanted = np.asarray(target((A + A.T) / 2, p)), (V * values ** (-1.0 / p)) @ V.T
    error = np.abs(X - wanted).max() / np.abs(wanted).max()
    bound = 1e3 * EPS * values.max() / values.min() * len(A)
    if error <= bound:
        return ""
    others = [q for q in (0.5 * p, 2 * p, -p) if np.abs(X - (V * values ** (-1.0 / q)) @ V.T).max() < 1e-6]
    hint = f"; it is the power −1/{others[0]:g}" if others else ""
    return f"it is off by {error:.2g}, where rounding leaves {bound:.1g}{hint}"


def has_units(target: Any, instance: tuple[tuple[np.ndarray, int], float]) -> str:
    (A, p), unit = instance
    X, Y = np.asarray(target(A.copy(), p)), np.asarray(target(unit * A, p))
    error = np.abs(Y - unit ** (-1.0 / p) * X).max() / np.abs(Y).max()
    bound = 1e3 * EPS * np.linalg.cond(A) * len(A)
    return "" if error <= bound else f"(cA)^(−1/p) and c^(−1/p) A^(−1/p) differ by {error:.2g} for c = {unit:g}"


def leaves_it_alone(target: Any, instance: tuple[np.ndarray, int]) -> str:
    A, p = instance
    given = A.copy()
    target(given, p)
    return "" if np.array_equal(A, given) else "A was written into"


PROPERTIES = [
    Property("inverse", "XᵖA = I", matrices(), inverts),
    Property("principal root", "X = V Λ^(−1/p) Vᵀ: symmetric, positive definite", known(), is_the_positive_one),
    Property("units", "(cA)^(−1/p) = c^(−1/p) A^(−1/p)", st.tuples(matrices(), scales), has_units),
    Property("A untouched", "A is not written into", matrices(), leaves_it_alone),
]
