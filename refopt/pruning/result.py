"""What pruning returns, and how many weights it is asked to take."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from refopt.ops import device, finite, namespace, scalar


@dataclass(eq=False)
class Pruned:
    """Weights of which some are zero, and what that costs.

    The increases are those of the quadratic in the Hessian that the method used, its damping included; the actual one
    is the loss's own, where it is known.
    """

    mask: Any  #: True where a weight is kept; of the shape of the weights
    weights: Any  #: zero where the mask is False; the others as the method has corrected them
    order: Any  #: (count,) places in the raveled weights, in the order in which they went
    saliency: Any  #: of every weight, when it was chosen among: what removing it alone would have cost
    increases: Any  #: (count,) increase by each removal, in that order; where a group goes at once, shared evenly
    predicted_increase: Any  #: their sum
    actual_increase: Any = None  #: None where nobody could know it
    label: str = ""  #: which curvature it was
    caution: str = ""  #: when that curvature misleads

    def __post_init__(self) -> None:
        if self.order is None:  # column by column, and of the size of the weights: made when it is asked for
            del self.order

    def __getattr__(self, name: str) -> Any:
        if name != "order":
            raise AttributeError(f"a result of pruning has no {name!r}")
        self.order = by_columns(self.mask)
        return self.order


def by_columns(mask: Any) -> Any:
    """(count,) the places of what goes, column by column."""
    xp, (rows, n) = namespace(mask), mask.shape

    def of(some: slice) -> Any:
        places = xp.nonzero(xp.reshape(~mask[:, some].T, (-1,)))[0]
        return places % rows * n + places // rows + some.start

    return strung(map(of, pieces(n)), rows * n - int(xp.count_nonzero(mask)), xp.int64, mask)


def strung(parts: Iterable[Any], size: int, dtype: Any, like: Any) -> Any:
    """The parts one after the other, `size` numbers or fewer, beside the array `like`; no part is held for long."""
    values, done = namespace(like).empty(size, dtype=dtype, device=device(like)), 0
    for part in parts:
        values[done : done + part.shape[0]] = part
        done += part.shape[0]
    return values[:done]


def numbers(values: Any, what: str = "", advice: str = "") -> Any:
    """An array of floats or rational numbers: lists become NumPy's, integers the default floats of their library.

    what: its name, where an entry that is not finite is an error.
    """
    a = values if hasattr(values, "dtype") else np.asarray(values)
    if not (type(a) is np.ndarray and a.dtype.char in "dfO" and a.dtype.isnative):
        a, xp = array_of(a), namespace(a)
        if not xp.isdtype(a.dtype, ("real floating", "integral", "bool")):
            raise TypeError(f"weights and curvatures are real numbers, not {a.dtype}")
        a = a if xp.isdtype(a.dtype, "real floating") else xp.astype(a, xp.empty(0, device=device(a)).dtype)
    if what and a.dtype != object and not all_finite(a):
        raise ValueError(f"{what} has entries that are not finite{advice}")
    return a


def array_of(a: Any) -> Any:
    """The array itself; of NumPy's, a plain one in the order of bytes that the machine has."""
    return np.asarray(a, dtype=a.dtype.newbyteorder("=")) if isinstance(a, np.ndarray) else a


def all_finite(a: Any) -> bool:
    """Whether no entry is infinite or NaN."""
    xp = namespace(a)
    return (xp is np and finite(float(np.vdot(a, a)))) or bool(xp.all(xp.isfinite(a)))


def like(a: Any, w: Any) -> Any:
    """a in the precision of w."""
    return a if a.dtype == w.dtype else namespace(a).astype(a, w.dtype)


def how_many(size: int, count: int | None, sparsity: float | None) -> int:
    """The number of weights to go: `count`, or int(sparsity · size)."""
    if count is None:
        if sparsity is None:
            raise ValueError("say how many weights go: either count=… or sparsity=…")
        among("sparsity", sparsity, 1, "it is the share of the weights that go, between 0 and 1")
        return int(sparsity * size)
    if sparsity is not None:
        raise ValueError("say how many weights go in one way: either count=… or sparsity=…")
    return whole("count", count, 0, size, f"of {size} weights a whole number between 0 and {size} can go")


def limits(size: int, count: int | None, sparsity: float | None, budget: float | None) -> tuple[int, float]:
    """The most weights that may go, and the most that they may cost."""
    if budget is None:
        return how_many(size, count, sparsity), inf
    among("budget", budget, inf, "it is what the removals may cost in all, 0 or more")
    return size if count is sparsity is None else how_many(size, count, sparsity), budget


def among(name: str, value: Any, most: float, rule: str) -> None:
    """Nothing, or an error with the rule: the value is a number from 0 to `most`, and not NaN."""
    try:
        fits = bool(0 <= value <= most)
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{name} is {value!r}: {rule}")


def whole(name: str, value: Any, least: int, most: float, rule: str) -> int:
    """The value as a whole number between those, or an error with the rule."""
    try:
        number = int(value)
        fits = number == value and least <= number <= most
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        raise ValueError(f"{name} is {value!r}: {rule}")
    return number


def pattern_of(pattern: Any, columns: int) -> tuple[int, int]:
    """(n, m): n of every m consecutive weights of a row go."""
    try:
        n, m = pattern
    except (TypeError, ValueError):
        raise ValueError(f"pattern is {pattern!r}: it is a pair (n, m), n of m consecutive weights go") from None
    rule = "of m consecutive weights n go, whole numbers, 0 ≤ n ≤ m"
    m = whole("m of the pattern", m, 1, inf, rule)
    n = whole("n of the pattern", n, 0, m, rule)
    if columns % m:
        raise ValueError(f"pattern is {pattern!r}, but {columns} inputs do not fall into groups of {m}")
    return n, m


def kept(mask: Any, W: Any) -> Any:
    """The mask as booleans of the shape of W; zeros and ones are understood, and lists become NumPy's arrays."""
    m = mask if hasattr(mask, "dtype") else np.asarray(mask)
    if tuple(m.shape) != tuple(W.shape):
        raise ValueError(f"mask has shape {tuple(m.shape)}, W {tuple(W.shape)}: they must be alike")
    if namespace(m).isdtype(m.dtype, "bool"):
        return m
    if not bool(namespace(m).all((m == 0) | (m == 1))):
        raise ValueError("mask must hold True, or 1, where a weight is kept, and False, or 0, where it goes")
    return m == 1


def lowest(scores: Any, count: int) -> Any:
    """True for the `count` lowest scores; of equal ones those that come first."""
    xp = namespace(scores)
    flat = xp.reshape(scores, (-1,))
    if count == 0:
        return xp.reshape(flat != flat, scores.shape)
    ordered = xp.partition(flat, count - 1) if hasattr(xp, "partition") else xp.sort(flat)
    below, equal = flat < ordered[count - 1], flat == ordered[count - 1]
    missing = count - int(xp.count_nonzero(below))
    if missing < int(xp.count_nonzero(equal)):
        equal = equal & (xp.cumulative_sum(xp.astype(equal, xp.int64)) <= missing)
    return xp.reshape(below | equal, scores.shape)


def lowest_of_rows(scores: Any, count: int) -> Any:
    """(k, m) True for the `count` lowest scores of each row; of equal ones those that come first."""
    xp = namespace(scores)
    return xp.argsort(xp.argsort(scores, axis=1, stable=True), axis=1) < count


def integers(values: Any, like: Any) -> Any:
    """(k,) places, beside the array `like`."""
    values = values if type(values) is np.ndarray else list(values)
    return namespace(like).asarray(values, dtype=namespace(like).int64, device=device(like))


def all_but(places: Any, size: int, like: Any) -> Any:
    """(size,) True but at these places, beside the array `like`."""
    gone = np.zeros(size, dtype=bool)
    gone[places] = True
    return namespace(like).asarray(~gone, device=device(like))


def total(values: Any) -> Any:
    """Σ values: a float, or a rational number."""
    value = values.sum() if type(values) is np.ndarray else namespace(values).sum(values)
    return scalar(value)


def pieces(size: int, least: int = 1) -> list[slice]:
    """Slices one after the other, a 32nd of the whole or `least` long: for what would take much memory at once."""
    length = max(least, -(-size // 32))
    return [slice(start, min(start + length, size)) for start in range(0, size, length)]
