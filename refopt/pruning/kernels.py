"""The loops of pruning, for the compiled reading: they write into their arguments and return numbers only.

What they do is what ``obs.greedy`` and ``sparsegpt.swept`` do, whose pages have the equations; here nothing is
allocated. Plain Python, so that they can be tested as they stand.
"""

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

CHUNK = 2e8  #: flops between two looks for signals
FEW = 32  #: weights of a row below which a compiled loop is not worth its start
TILE = 32  #: rows and columns of a matrix that are read together


@cache
def compiled(loop: Any) -> Any:
    """The loop as machine code, kept on disk; numba is loaded when it is first asked for."""
    from refopt.compiled import kernel

    return kernel(loop)


@cache
def compiler() -> bool:
    """Whether there is one."""
    return find_spec("numba") is not None


def compiles(choice: bool | None, worth: bool, *arrays: Any) -> bool:
    """Whether to take a compiled loop for these arrays: as chosen, else where it is worth its start, with numba."""
    kinds = {a.dtype.char if type(a) is np.ndarray else "" for a in arrays}
    fit = kinds in ({"d"}, {"f"})
    if choice and not fit:
        raise ValueError("compiled loops take NumPy arrays of float64 or float32: pass compiled=False, or None")
    return fit and (worth and compiler() if choice is None else choice)


def readable(A: Any) -> Any:
    """A in C order and read-only, so that one machine code serves every A; nothing is copied that need not be."""
    A = np.ascontiguousarray(A).view()
    A.flags.writeable = False
    return A


def asymmetry(A: Any) -> tuple[float, float]:
    """max |a_ij − a_ji| of A (n, n), infinity where an entry is not finite; and max |a_ij|, i ≥ j."""
    n, gap, size = len(A), 0.0, 0.0
    for above in range(0, n, TILE):
        for left in range(0, above + 1, TILE):
            for i in range(above, min(above + TILE, n)):
                for j in range(left, min(left + TILE, i + 1)):
                    between = abs(A[i, j] - A[j, i])
                    if not between <= gap:
                        gap = between if between > gap else np.inf
                    size = max(size, abs(A[i, j]))
    return gap, size


def remove(
    P: Any,
    U: Any,
    w: Any,
    d: Any,
    at: Any,
    order: Any,
    increases: Any,
    first: int,
    stop: int,
    spent: float,
    most: float,
) -> tuple[int, float]:
    """Greedy OBS, removals `first` to `stop`; how many are done then, and what they cost: −1 where H⁻¹ is none.

    It is the Cholesky factorisation of P = H⁻¹ (n, n), a row of U for each removal, with the pivot of least saliency:

        u_t = (P e_q − Σ_s<t [u_s]_q u_s) / √d_q,     d ← d − u_t²,     w ← w − (w_q / √d_q) u_t

    where d is the diagonal of today's inverse, so that no downdate of it is written. A weight that goes changes places
    with the last that is left: those left are the first of w, d and of the rows of U, and `at` says which they were.
    Cost: 2tk flops for the removal after t others that leaves k: n³/6 for half of the weights, n³/3 for all.
    """
    n = len(w)
    for t in range(first, stop):
        last, best, least = n - t - 1, -1, 0.0
        for i in range(last + 1):
            if not d[i] > 0:
                return -1, spent
            score = w[i] * w[i] / (2 * d[i])
            if best < 0 or score < least or (score == least and at[i] < at[best]):
                best, least = i, score
        if spent + least > most:
            return t, spent
        spent += least
        q, u, scale = at[best], U[t], np.sqrt(d[best]) / d[best]
        step = w[best] * scale
        order[t], increases[t] = q, least
        w[best], d[best], at[best], at[last] = w[last], d[last], at[last], q
        for s in range(t):
            U[s, best], U[s, last] = U[s, last], U[s, best]
        for i in range(last):
            u[i] = P[q, at[i]]
        for s in range(0, t - 3, 4):
            a, b, c, e = U[s, last], U[s + 1, last], U[s + 2, last], U[s + 3, last]
            for i in range(last):
                u[i] -= a * U[s, i] + b * U[s + 1, i] + c * U[s + 2, i] + e * U[s + 3, i]
        for s in range(t - t % 4, t):
            a = U[s, last]
            for i in range(last):
                u[i] -= a * U[s, i]
        for i in range(last):
            u[i] *= scale
            w[i] -= step * u[i]
            d[i] -= u[i] * u[i]
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
