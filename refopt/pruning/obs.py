"""Optimal brain surgeon: one weight goes, and all others move to make up for it.

    min ½ δᵀHδ   subject to   e_qᵀδ + w_q = 0
    δ   = −(w_q / [H⁻¹]_qq) H⁻¹e_q,      L_q = ½ w_q² / [H⁻¹]_qq               ≤ ½ H_qq w_q², what OBD expects
    H⁻¹ ← H⁻¹ − H⁻¹e_q e_qᵀH⁻¹ / [H⁻¹]_qq                       the inverse of H without row and column q

    δ_Q = −H⁻¹_{:,Q} ([H⁻¹]_QQ)⁻¹ w_Q,   L_Q = ½ w_Qᵀ ([H⁻¹]_QQ)⁻¹ w_Q       a group Q at once

Greedy: the weight of least L_q goes, and again. One by one or at once, the weights that are left are the same for the
same set; which set is best is another question, which greed does not settle. The downdate is a Schur complement; the
rank-one formula of Sherman and Morrison is what *builds* H⁻¹ from gradients (``hessian.fisher_inverse``).

B. Hassibi & D. G. Stork, Second order derivatives for network pruning, NIPS 1992, §2 and §3;  E. Frantar, S. P. Singh
& D. Alistarh, Optimal brain compression, arXiv:2208.11580, §4 (the downdate, and rows apart).
It needs g = 0: w is a minimum of the loss, as it is for the reconstruction of a layer.
Shapes: w (n,), H (n, n).   Cost: 2n³/3 for H⁻¹, then n² for each weight that goes.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain, pairwise
from math import inf
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.linalg import LinAlgError

from refopt.ops import device, diagonal, namespace, outer, scalar
from refopt.pruning.hessian import ADVICE, inverse, prepared, symmetric
from refopt.pruning.kernels import CHUNK, compiles, remove
from refopt.pruning.kernels import compiled as _compiled
from refopt.pruning.result import Pruned, integers, like, limits, numbers

LOST = "the inverse Hessian has lost its positive diagonal to rounding: " + ADVICE
SMALL = 32  #: below this many weights a compiled loop is not worth its start


class Removed(NamedTuple):
    """What greedy OBS leaves: the weights, zero where one went; what went, in order; and what each removal cost."""

    w: Any
    order: list[int]
    increases: list[Any]


def obs(
    w: Any,
    hessian: Any = None,
    count: int | None = None,
    *,
    sparsity: float | None = None,
    budget: float | None = None,
    groups: Sequence[Sequence[int]] | None = None,
    damping: float = 0.0,
    inverse_hessian: Any = None,
    loss: Callable[[Any], Any] | None = None,
    compiled: bool | None = None,
) -> Pruned:
    """Remove weights by greedy OBS: `count` of them, a share `sparsity`, or as many as a loss `budget` allows.

    A budget beside one of the others: whichever ends first.

    w: (n,), float or rational, on any array library.   hessian: (n, n), symmetric positive definite; a zero row and
    column is a weight that costs nothing.   groups: sets of indices; each goes as a whole, and `count` counts them.
    damping: λ in multiples of mean(diag H).   inverse_hessian: H⁻¹ in place of H, (n, n), or a list of the diagonal
    blocks of a block-diagonal one, as ``fisher_inverse`` makes them.   loss: a function of the weights, for the actual
    increase.   compiled: None decides by size; True and False insist.

    Raises ValueError (LinAlgError is one) where H is singular, indefinite or not finite: no identity takes its place.
    """
    w = numbers(w)
    xp = namespace(w)
    if w.ndim != 1:
        raise ValueError(f"w has shape {tuple(w.shape)}: it must be a vector; for a layer take obs_rows or sparsegpt")
    if (hessian is None) == (inverse_hessian is None):
        raise ValueError("give either the Hessian or inverse_hessian, not both")
    n, start, dead = w.shape[0], w, w != w
    if hessian is not None:
        hessian, dead = prepared(symmetric(numbers(hessian), n, "the Hessian"), damping, n)
        inverse_hessian, start = inverse(hessian), xp.where(dead, xp.zeros_like(w), w)
    blocks = inverse_hessian if isinstance(inverse_hessian, list | tuple) else [inverse_hessian]
    blocks = [like(numbers(P), w) for P in blocks]
    _check(w, blocks)
    blocks = [symmetric(P, P.shape[0], "the inverse Hessian") for P in blocks]
    groups = None if groups is None else places_of(groups, n)
    most, limit = limits(n if groups is None else len(groups), count, sparsity, budget)
    parts = [start[a:b] for a, b in pairwise([0, *accumulate(P.shape[0] for P in blocks)])]
    if groups is not None:
        done = by_groups(start, one(blocks), groups, most, limit)
    elif len(blocks) == 1:
        done = greedy(start, blocks[0], most, limit, compiled)
    else:
        done = blockwise(parts, blocks, most, limit, compiled)
    scores = xp.concat([saliencies(part, P) for part, P in zip(parts, blocks, strict=True)])
    return result(w, dead, done, scores, loss)


# --- the equations -----------------------------------------------------------------------------------------------


def saliencies(w: Any, P: Any) -> Any:
    """L_q = ½ w_q² / [H⁻¹]_qq of every weight; P = H⁻¹."""
    return w * w / (2 * diagonal(P))


def corrected(w: Any, P: Any, q: int) -> Any:
    """(n − 1,) weights that are left: w + δ without q, δ = −(w_q / [H⁻¹]_qq) H⁻¹e_q."""
    return without(w, q) - w[q] / P[q, q] * without(P[:, q], q)


def downdate(P: Any, q: int) -> Any:
    """(n − 1, n − 1) inverse of H without row and column q: H⁻¹ − H⁻¹e_q e_qᵀH⁻¹ / [H⁻¹]_qq, where it is not zero."""
    c = without(P[:, q], q)
    return without(without(P, q).T, q) - outer(c / P[q, q], c)


def without(A: Any, q: int) -> Any:
    """A without its entry or row q."""
    return namespace(A).concat([A[:q, ...], A[q + 1 :, ...]])


# --- greed -------------------------------------------------------------------------------------------------------


def greedy(w: Any, P: Any, count: int, budget: float = inf, compiled: bool | None = None) -> Removed:
    """The weight of least L_q goes, `count` times or until the budget is spent; of equal ones the first."""
    if compiles(compiled, w.shape[0] >= SMALL, w, P):
        return _greedy_compiled(w, P, count, budget)
    xp, left, order, increases = namespace(w), list(range(w.shape[0])), list[int](), list[Any]()
    while len(order) < count:
        if not bool(xp.all(diagonal(P) > 0)):
            raise LinAlgError(LOST)
        scores = saliencies(w, P)
        q = int(xp.argmin(scores))
        if sum(increases) + scalar(scores[q]) > budget:
            break
        increases.append(scalar(scores[q]))
        order.append(left.pop(q))
        w, P = corrected(w, P, q), downdate(P, q)
    return Removed(_restored(w, left, order), order, increases)


def _greedy_compiled(w: Any, P: Any, count: int, budget: float) -> Removed:
    n, run = len(w), _compiled(remove)
    A, left, c = np.array(P, order="C"), w.copy(), np.empty_like(w)
    at, order, increases = np.arange(n), np.empty(count, dtype=np.int64), np.empty(count)
    done, spent, steps = 0, 0.0, max(1, int(CHUNK / (n * n)))
    while done < count:
        stop = min(count, done + steps)
        done, spent = run(A, left, c, at, order, increases, done, stop, spent, budget)
        if done < 0:
            raise LinAlgError(LOST)
        if done < stop:
            break
    out, k = np.zeros_like(w), n - done
    out[at[:k]] = left[:k]
    return Removed(out, order[:done].tolist(), increases[:done].tolist())


def by_groups(w: Any, P: Any, groups: list[list[int]], count: int, budget: float) -> Removed:
    """The group of least L_Q goes, `count` times or until the budget is spent."""
    left, order, increases, waiting = list(range(w.shape[0])), list[int](), list[Any](), list(groups)
    for _ in range(count):
        at = {q: place for place, q in enumerate(left)}
        costs = [cost_of_group(w, P, [at[q] for q in Q]) for Q in waiting]
        best = min(range(len(costs)), key=costs.__getitem__)
        if sum(increases) + costs[best] > budget:
            break
        Q = waiting.pop(best)
        w, P, increase = of_group(w, P, [at[q] for q in Q])
        left = [q for q in left if q not in Q]
        order += Q
        increases += [increase / len(Q)] * len(Q)
    return Removed(_restored(w, left, order), order, increases)


def one(blocks: Sequence[Any]) -> Any:
    """The block-diagonal matrix of these blocks."""
    if len(blocks) == 1:
        return blocks[0]
    from refopt.curvature import BlockDiagonal

    return BlockDiagonal(tuple(blocks)).dense()


def cost_of_group(w: Any, P: Any, Q: Sequence[int]) -> Any:
    """L_Q, which depends on w_Q and [H⁻¹]_QQ only."""
    xp, places = namespace(w), integers(Q, w)
    return of_group(xp.take(w, places), xp.take(xp.take(P, places, axis=0), places, axis=1), range(len(Q)))[2]


def of_group(w: Any, P: Any, Q: Sequence[int]) -> tuple[Any, Any, Any]:
    """The weights without Q and their H⁻¹, and L_Q: the elements one after the other, the same as all at once."""
    increase: Any = 0
    for q in sorted(Q, reverse=True):  # so that the places of the others stay
        if not P[q, q] > 0:
            raise LinAlgError(LOST)
        increase = increase + scalar(w[q] * w[q] / (2 * P[q, q]))
        w, P = corrected(w, P, q), downdate(P, q)
    return w, P, increase


def blockwise(ws: Sequence[Any], Ps: Iterable[Any], count: int, budget: float, compiled: bool | None = None) -> Removed:
    """Greedy on a block-diagonal H: each block has its own order, and the cheapest next removal of all goes."""
    Ps = list(Ps)
    traces = [greedy(w, P, min(count, w.shape[0]), budget, compiled) for w, P in zip(ws, Ps, strict=True)]
    taken, increases = merged([trace.increases for trace in traces], count, budget)
    starts, order, counts = [0, *accumulate(w.shape[0] for w in ws)], list[int](), [0] * len(traces)
    for b in taken:
        order.append(starts[b] + traces[b].order[counts[b]])
        counts[b] += 1
    ends = [
        trace.w if k == len(trace.order) else greedy(w, P, k, inf, compiled).w
        for w, P, trace, k in zip(ws, Ps, traces, counts, strict=True)
    ]
    return Removed(namespace(ws[0]).concat(ends), order, increases)


def merged(traces: Sequence[Sequence[Any]], count: int, budget: float = inf) -> tuple[list[int], list[Any]]:
    """From which trace each removal comes, and what it costs, when the cheapest next one of all traces goes."""
    heap = [(trace[0], b, 0) for b, trace in enumerate(traces) if trace]
    heapq.heapify(heap)
    taken, increases, spent = list[int](), list[Any](), 0
    while heap and len(taken) < count:
        cost, b, t = heap[0]
        spent = spent + cost
        if spent > budget:
            break
        taken.append(b)
        increases.append(cost)
        if t + 1 < len(traces[b]):
            heapq.heapreplace(heap, (traces[b][t + 1], b, t + 1))
        else:
            heapq.heappop(heap)
    return taken, increases


# --- in and out --------------------------------------------------------------------------------------------------


def result(w: Any, dead: Any, done: Removed, scores: Any, loss: Any) -> Pruned:
    """What `obs` returns: weights that cost nothing, and were not asked to go, are what they were."""
    xp, gone = namespace(w), set(done.order)
    mask = integers([q not in gone for q in range(w.shape[0])], w) == 1
    weights = xp.where(mask, xp.where(dead, w, done.w), xp.zeros_like(w))
    actual = None if loss is None else scalar(loss(weights)) - scalar(loss(w))
    increases = xp.asarray(done.increases, dtype=w.dtype, device=device(w))
    predicted = sum(done.increases, 0.0 if w.dtype != object else 0)
    return Pruned(mask, weights, integers(done.order, w), scores, increases, predicted, actual, "hessian")


def _restored(w: Any, left: list[int], order: list[int]) -> Any:
    """(n,) the weights that are left in their places, zeros elsewhere."""
    xp = namespace(w)
    zeros = xp.zeros(len(order), dtype=w.dtype, device=device(w))
    return xp.take(xp.concat([w, zeros]), xp.argsort(integers(left + order, w)))


def places_of(groups: Any, n: int) -> list[list[int]]:
    """The groups as lists of indices, or an error."""
    rule = f"groups must be disjoint, not empty, and of indices from 0 to {n - 1}"
    try:
        places = [[index(q) for q in Q] for Q in groups]
    except TypeError:
        raise ValueError(f"{rule}: a list of lists") from None
    members = list(chain(*places))
    if len(set(members)) < len(members) or not all(0 <= q < n for q in members) or not all(places):
        raise ValueError(rule)
    return places


def _check(w: Any, blocks: Sequence[Any]) -> None:
    shapes = [tuple(P.shape) for P in blocks]
    if any(len(s) != 2 or s[0] != s[1] for s in shapes) or sum(s[0] for s in shapes) != w.shape[0]:
        raise ValueError(f"inverse_hessian has blocks of shapes {shapes}; {w.shape[0]} weights need square ones")
    for what, a in (("w", w), *(("inverse_hessian", P) for P in blocks)):
        if a.dtype != object and not bool(namespace(a).all(namespace(a).isfinite(a))):
            raise ValueError(f"{what} has entries that are not finite")
