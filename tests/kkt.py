"""Pruning by the conditions of Karush, Kuhn and Tucker, solved densely and anew for every removal.

    min ½ δᵀHδ   subject to   δ_Q = −w_Q:        ( H   E ) (δ)   ( 0   )
                                                 ( Eᵀ  0 ) (μ) = (−w_Q ),    E = I_{:,Q}

No inverse of H, no downdate, no factor: only this system.
"""

import numpy as np


def removed(w, H, Q):
    """w + δ, and ½ δᵀHδ."""
    n, k = len(w), len(Q)
    E = np.eye(n)[:, list(Q)]
    system = np.block([[H, E], [E.T, np.zeros((k, k))]])
    delta = np.linalg.solve(system, np.concatenate([np.zeros(n), -w[list(Q)]]))[:n]
    return w + delta, delta @ H @ delta / 2


def greedy(w, H, count):
    """Which weights go when each time the one is taken that makes the increase of all so far least."""
    Q, costs = [], [0.0]
    for _ in range(count):
        trials = {q: removed(w, H, [*Q, q])[1] for q in range(len(w)) if q not in Q}
        Q.append(min(trials, key=trials.__getitem__))
        costs.append(trials[Q[-1]])
    return removed(w, H, Q)[0], Q, np.diff(costs)


def sweep(W, H, choose, width, m=0):
    """SparseGPT: the weights that went, and those that are left; all to the left of a column are frozen.

    `choose(scores, first)` is the mask of what goes, of a block of `width` columns, or of m columns with m > 0.
    """
    W, gone = W.copy(), np.zeros(W.shape, dtype=bool)
    rows, n = W.shape
    step = m or width
    for first in range(0, n, step):
        columns = range(first, min(first + step, n))
        scores = [[removed(w[j:], H[j:, j:], [0])[1] for j in columns] for w in W]
        gone[:, first : first + step] = choose(np.array(scores), first)
        for j in columns:
            for i in range(rows):
                if gone[i, j]:
                    W[i, j:] = removed(W[i, j:], H[j:, j:], [0])[0]
                    W[i, j] = 0.0
    return W, gone
