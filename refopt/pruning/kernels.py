"""The loops of pruning, for the compiled reading: they write into their arguments and return numbers only.

What they do is what ``obs.greedy`` and ``sparsegpt.swept`` do, whose pages have the equations; here nothing is
allocated. Plain Python, so that they can be tested as they stand.
"""

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

CHUNK = 2e8  #: flops between two looks for signals


@cache
def compiled(loop: Any) -> Any:
    """The loop as machine code, kept on disk; numba is loaded when it is first asked for."""
    from refopt.compiled import kernel

    return kernel(loop)


def compiles(choice: bool | None, worth: bool, *arrays: Any) -> bool:
    """Whether to take a compiled loop for these arrays: as chosen, else where it is worth its start, with numba."""
    first = arrays[0]
    fit = all(type(a) is np.ndarray and a.dtype == first.dtype for a in arrays) and first.dtype.char in "fd"
    if choice and not fit:
        raise ValueError("compiled loops take NumPy arrays of float64 or float32: pass compiled=False, or None")
    return fit and (worth and find_spec("numba") is not None if choice is None else choice)


def remove(
    A: Any, w: Any, c: Any, at: Any, order: Any, increases: Any, first: int, stop: int, spent: float, budget: float
) -> tuple[int, float]:
    """Greedy OBS, removals `first` to `stop`; how many are done then, and what they cost: −1 where H⁻¹ is none.

    Of A (n, n), H⁻¹, the lower triangle is used. A weight that goes changes places with the last that is left, so that
    those left are A[:k, :k] and w[:k], and `at` says which they were.   Cost: k² flops for each.
    """
    n = len(w)
    for done in range(first, stop):
        last, best, least = n - done - 1, -1, 0.0
        for i in range(last + 1):
            if not A[i, i] > 0:
                return -1, spent
            score = w[i] * w[i] / (2 * A[i, i])
            if best < 0 or score < least or (score == least and at[i] < at[best]):
                best, least = i, score
        if spent + least > budget:
            return done, spent
        spent += least
        order[done], increases[done] = at[best], least
        for i in range(best + 1):
            c[i] = A[best, i]
        for i in range(best + 1, last + 1):
            c[i] = A[i, best]
        pivot, step = A[best, best], w[best] / A[best, best]
        for i in range(best):
            A[best, i] = A[last, i]
        for i in range(best + 1, last):
            A[i, best] = A[last, i]
        A[best, best] = A[last, last]
        c[best], w[best], at[best] = c[last], w[last], at[last]
        for i in range(last):
            w[i] -= step * c[i]
            part = c[i] / pivot
            for j in range(i + 1):
                A[i, j] -= part * c[j]
    return max(first, stop), spent


def sweep_block(W: Any, V: Any, d: Any, gone: Any, E: Any, scores: Any, n: int, m: int) -> int:
    """The columns of a block of W (k, b), from left to right; with m > 0, n of every m weights are chosen to go.

    E keeps what the weights were when they went.   Cost: 2kb² times the share that goes.
    """
    rows, columns = W.shape
    for r in range(rows):
        for j in range(columns):
            if m > 0 and j % m == 0:
                for k in range(j, j + m):
                    scores[r, k] = W[r, k] * W[r, k] / (2 * d[k])
                    gone[r, k] = False
                for _ in range(n):
                    best = -1
                    for k in range(j, j + m):
                        if not gone[r, k] and (best < 0 or scores[r, k] < scores[r, best]):
                            best = k
                    gone[r, best] = True
            if gone[r, j]:
                e = W[r, j]
                E[r, j] = e
                W[r, j] = 0.0
                for k in range(j + 1, columns):
                    W[r, k] -= e * V[j, k]
            else:
                E[r, j] = 0.0
    return rows
