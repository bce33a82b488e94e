"""How many digits of a float64 result are certain: its residual at fifty digits.

Where irrational numbers enter, no rational run decides a claim. The arrays of an instance, results of the library among
them, are then taken as they are, and the residual is computed from them: in balls that contain every rounding error
(Arb, by way of python-flint), or, where that is missing, in mpmath's floats of fifty digits, whose own rounding is out
of sight. Its upper bound, relative to the claim's scale, says to how many digits the result satisfies the claim,
whatever the rounding of a check in float64: sixteen at most, which is what a float64 has, and sixteen where an
inequality holds beyond doubt.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from math import floor, isfinite, log10
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from refopt.oracle.claim import Claim

SAMPLE = 3  #: instances of a claim that are backed
PLACES = 50
MOST = 16  #: what a float64 can have


def kind() -> str:
    """The package that the digits come from, python-flint before mpmath; "" where there is neither."""
    return next((name for name in ("flint", "mpmath") if find_spec(name)), "")


@contextmanager
def places() -> Iterator[None]:
    """Fifty digits, of whichever kind, for as long as the block lasts."""
    if kind() == "mpmath":
        from mpmath import workdps

        with workdps(PLACES):
            yield
    else:
        from flint import ctx

        with ctx.workdps(PLACES):
            yield


def certain(claim: "Claim", arrays: Mapping[str, Any]) -> list[int]:
    """[the digits], or [] where the residual is not made of operations on such numbers, or nobody has them."""
    if not kind():
        return []
    try:
        with places():
            parts = claim.parts({name: numbers(value) for name, value in arrays.items()})
            scales = claim.scales(arrays, len(parts))
            bounds = [upper(part) / scale if scale > 0 else 0.0 for part, scale in zip(parts, scales, strict=True)]
    except (TypeError, ValueError, AttributeError, ZeroDivisionError):  # what is not arithmetic, such as eigenvalues
        return []
    worst = max(bounds)
    if not isfinite(worst):
        return []
    return [MOST if worst <= 10.0**-MOST else max(0, floor(-log10(worst)))]


def numbers(value: Any) -> Any:
    """Floats, alone or in arrays, as numbers of fifty digits (balls of radius zero); anything else as it is."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        exactly = number()
        return np.vectorize(lambda x: exactly(float(x)), otypes=[object])(value) if value.size else value
    return number()(float(value)) if isinstance(value, float | np.floating) else value


def number() -> Any:
    """The type of such numbers."""
    package = kind()
    return getattr(import_module(package), {"flint": "arb", "mpmath": "mpf"}[package])


def of_many(value: Any) -> bool:
    """Whether it is a number of many digits."""
    return hasattr(value, "rad") or hasattr(value, "_mpf_")


def upper(part: np.ndarray) -> float:
    """A bound of every |entry|."""
    return max(
        (float(abs(value).upper()) if hasattr(value, "upper") else abs(float(value)) for value in part.flat),
        default=0.0,
    )


def lowest(A: np.ndarray) -> Any:
    """The smallest eigenvalue of a symmetric matrix of such numbers; of balls, a ball that contains it.

    With Q from a float64 decomposition, R = QᵀAQ and QᵀQ = I + E, it is within 1 ± 2‖E‖ of the smallest quotient
    xᵀRx/xᵀx, which lies between Gershgorin's bound of R and its smallest diagonal entry.
    """
    if not hasattr(A.flat[0], "rad"):
        from mpmath import eigsy, matrix

        return min(eigsy(matrix(A.tolist()), eigvals_only=True))
    from flint import arb

    Q = numbers(np.linalg.eigh(np.vectorize(float, otypes=[float])(A))[1])
    R, E = Q.T @ A @ Q, Q.T @ Q - np.eye(len(A), dtype=int)
    centres = R.diagonal()
    edges = centres - (abs(R).sum(1) - abs(centres))
    low = arb(min(float(edge.lower()) for edge in edges))
    high = arb(min(float(centre.upper()) for centre in centres))
    return low.union(high) * arb(1, 2 * upper(abs(E).sum(1)) + 1e-300)
