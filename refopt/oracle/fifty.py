"""The equations of a replay once more, in fifty digits: how right theirs is, and how right it could be.

Their numbers are taken as they are, every one a float; what the problem says at their x (a gradient, a Hessian) is what
it says in float64. The rules of ``refopt.oracle.rules`` then run on arrays of ``mpmath`` numbers, and what separates
theirs from the result is theirs alone: the rounding of the check is thirty-four digits away. How right it could be is
said by our own float64 result, and by the rounding of x, of which s is a difference. Factorisations and paths have a
body of their own there (``fine``). Runs of hessian-free, SOAP and the methods on batches, sr1 without its B, and the
matrices of networks have no such digits.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from refopt.oracle.rules import Array, Path, Seen, top

PLACES = 50
SIZE, STEPS = 20, 120  #: variables and iterates of a small case


class Digits(NamedTuple):
    """Where theirs lacks most of the digits that it could have."""

    step: int
    equation: str
    theirs: float  #: digits it has
    possible: float  #: digits that float64 leaves


def available() -> bool:
    return find_spec("mpmath") is not None


def digits(
    says: Callable[..., Iterator[Seen]], path: Path, how: Mapping[str, Any], ours: Mapping[Any, Any]
) -> Digits | None:
    """Of the equations in `ours`, (step, equation) ↦ our side in float64; None where they are no arithmetic."""
    if not available() or path.x(0).size > SIZE or len(path.records) > STEPS:
        return None
    import mpmath

    with mpmath.workdps(PLACES), np.errstate(all="ignore"):
        try:
            seen = list(says(_Fine(path), **how))
        except (TypeError, AttributeError, ValueError, ZeroDivisionError, np.linalg.LinAlgError):
            return None
        found = [_compared(s, ours[s.k, s.equation], path.eps) for s in seen if (s.k, s.equation) in ours]
    return min(found, key=lambda each: each.theirs - each.possible, default=None)


def _compared(exact: Seen, rounded: Any, eps: float) -> Digits:
    scale = float(exact.scale) or 1.0
    theirs = top(np.asarray(exact.theirs) - np.asarray(exact.ours)) / scale
    ours = top(lifted(np.asarray(rounded)) - np.asarray(exact.ours)) / scale
    lost = max(eps, float(ours), 0.5 * eps * float(top(np.asarray(exact.digits))) / scale)
    return Digits(exact.k, exact.equation, _digits(theirs), _digits(lost))


def beside(theirs: Array, ours: Array, make: Callable[[], Array]) -> str:
    """How many digits of an array are right, and how many float64 leaves, in words; `make` makes it in fifty digits."""
    if not available():
        return ""
    import mpmath

    with mpmath.workdps(PLACES):
        exact = make()
        size = top(exact) or 1.0
        right, possible = (_digits(top(lifted(np.asarray(each, float)) - exact) / size) for each in (theirs, ours))
    return f" In fifty digits this holds to {right:.1f} digits, of some {possible:.1f} that float64 leaves."


def _digits(error: float) -> float:
    return min(16.0, max(0.0, -float(np.log10(error + 1e-300))))


class _Fine(Path):
    """Their path in fifty digits."""

    def __init__(self, path: Path) -> None:
        params = path.params
        if hasattr(params, "_replace"):
            params = params._replace(**{f: lifted(v) for f, v in params._asdict().items() if type(v) is float})
        records = [{name: lifted(value) for name, value in entry.items()} for entry in path.records]
        super().__init__(path.problem, records, params, path.eps)
        self.rounded = path

    def kept(self, name: Any, k: int, make: Any) -> Any:
        if (name, k) not in self.known:
            self.known[name, k] = lifted(self.rounded.kept(name, k, make))
        return self.known[name, k]


def lifted(value: Any) -> Any:
    """Floats, alone or in arrays, as numbers of fifty digits."""
    import mpmath

    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim:
        return np.vectorize(lambda number: mpmath.mpf(float(number)), otypes=[object])(value) if value.size else value
    return mpmath.mpf(float(value)) if isinstance(value, float | np.floating) or np.shape(value) == () else value
