"""How many digits of a float64 result are certain: its residual in ball arithmetic, at fifty digits.

Where irrational numbers enter, no rational run decides a claim. The arrays of an instance, results of the library among
them, are then taken as they are, and the residual is computed from them in balls that contain every rounding error
(Arb, by way of python-flint). Its upper bound, relative to the claim's scale, says to how many digits the result
satisfies the claim, whatever the rounding of the check itself: sixteen at most, which is what a float64 has, and
sixteen where an inequality holds beyond doubt.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from math import floor, isfinite, log10
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from refopt.oracle.claim import Claim

SAMPLE = 3  #: instances of a claim that are backed
PLACES = 50
MOST = 16  #: what a float64 can have


def available() -> bool:
    return find_spec("flint") is not None


def certain(claim: "Claim", arrays: Mapping[str, Any]) -> list[int]:
    """[the digits], or [] where the residual is not made of operations on balls, or python-flint is missing."""
    if not available():
        return []
    from flint import ctx

    before, ctx.dps = ctx.dps, PLACES
    try:
        parts = claim.parts({name: balls(value) for name, value in arrays.items()})
        scales = claim.scales(arrays, len(parts))
        bounds = [upper(part) / scale if scale > 0 else 0.0 for part, scale in zip(parts, scales, strict=True)]
    except (TypeError, ValueError, AttributeError, ZeroDivisionError):  # what is not arithmetic, such as eigenvalues
        return []
    finally:
        ctx.dps = before
    worst = max(bounds)
    if not isfinite(worst):
        return []
    return [MOST if worst <= 10.0**-MOST else max(0, floor(-log10(worst)))]


def balls(value: Any) -> Any:
    """Floats, alone or in arrays, as balls of radius zero; anything else as it is."""
    from flint import arb

    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return np.vectorize(lambda number: arb(float(number)), otypes=[object])(value) if value.size else value
    return arb(float(value)) if isinstance(value, float | np.floating) else value


def upper(part: np.ndarray) -> float:
    """A bound of every |entry|."""
    return max(
        (float(abs(value).upper()) if hasattr(value, "upper") else abs(float(value)) for value in part.flat),
        default=0.0,
    )


def lowest(A: np.ndarray) -> Any:
    """A ball that contains the smallest eigenvalue of a symmetric matrix of balls.

    With Q from a float64 decomposition, R = QᵀAQ and QᵀQ = I + E, it is within 1 ± 2‖E‖ of the smallest quotient
    xᵀRx/xᵀx, which lies between Gershgorin's bound of R and its smallest diagonal entry.
    """
    from flint import arb

    Q = balls(np.linalg.eigh(np.vectorize(float, otypes=[float])(A))[1])
    R, E = Q.T @ A @ Q, Q.T @ Q - np.eye(len(A), dtype=int)
    centres = R.diagonal()
    edges = centres - (abs(R).sum(1) - abs(centres))
    low = arb(min(float(edge.lower()) for edge in edges))
    high = arb(min(float(centre.upper()) for centre in centres))
    return low.union(high) * arb(1, 2 * upper(abs(E).sum(1)) + 1e-300)
