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
Shapes: w (n,), H (n, n).   Cost: n³ flops for H⁻¹, then 2n² for each weight that goes; compiled n²/2 at most, since no
downdate is written (``kernels.remove``).
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, chain, pairwise
from math import inf
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.linalg import LinAlgError

from refopt.ops import device, diagonal, namespace, outer, scalar
from refopt.pruning.hessian import ADVICE, inverse, shifted, symmetric
from refopt.pruning.kernels import CHUNK, FEW, compiles, readable, remove
from refopt.pruning.kernels import compiled as _compiled
from refopt.pruning.result import Pruned, all_but, integers, like, limits, numbers

LOST = "the inverse Hessian has lost its positive diagonal to rounding: " + ADVICE


class Removed(NamedTuple):
    """What greedy OBS leaves."""

    w: Any  #: zero where a weight went
    order: Any  #: which went; a list or an array of NumPy, as the costs are
    increases: Any  #: what each of them cost
    spent: Any  #: and all


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
    w = numbers(w, "w")
    if w.ndim != 1:
        raise ValueError(f"w has shape {tuple(w.shape)}: it must be a vector; for a layer take obs_rows or sparsegpt")
    if (hessian is None) == (inverse_hessian is None):
        raise ValueError("give either the Hessian or inverse_hessian, not both")
    n, start, dead = w.shape[0], w, None
    fast = compiles(compiled, n >= FEW, w)
    if hessian is None:
        blocks = inverses(inverse_hessian, w, fast)
    else:
        H = symmetric(numbers(hessian), n, "the Hessian", fast)
        shift, dead = shifted(H, damping, n)
        blocks, start = [like(inverse(H, shift), w)], namespace(w).where(dead, 0 * w, w)
    places = None if groups is None else places_of(groups, n)
    most, limit = limits(n if places is None else len(places), count, sparsity, budget)
    parts = parted(start, blocks)
    if places is not None:
        done = by_groups(start, one(blocks), places, most, limit)
    elif len(blocks) == 1:
        done = greedy(start, blocks[0], most, limit, fast)
    else:
        done = blockwise(parts, blocks, most, limit, fast)
    return result(w, dead, done, joined([*map(saliencies, parts, blocks)]), loss)


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


def greedy(w: Any, P: Any, count: int, budget: float = inf, fast: bool = False) -> Removed:
    """The weight of least L_q goes, `count` times or until the budget is spent; of equal ones the first."""
    if fast:
        return _greedy_compiled(w, P, count, budget)
    xp, left, order, increases = namespace(w), list(range(w.shape[0])), list[int](), list[Any]()
    spent: Any = 0
    while len(order) < count:
        if not bool(xp.all(diagonal(P) > 0)):
            raise LinAlgError(LOST)
        scores = saliencies(w, P)
        q = int(xp.argmin(scores))
        if spent + scalar(scores[q]) > budget:
            break
        increases.append(scalar(scores[q]))
        spent = spent + increases[-1]
        order.append(left.pop(q))
        w, P = corrected(w, P, q), downdate(P, q)
    return Removed(_restored(w, left, order), order, increases, spent)


def _greedy_compiled(w: Any, P: Any, count: int, budget: float) -> Removed:
    n, run = len(w), _compiled(remove)
    P, U, left, d, at = readable(P), np.empty((count, n), w.dtype), w.copy(), P.diagonal().copy(), np.arange(n)
    order, increases = np.empty(count, dtype=np.int64), np.empty(count, w.dtype)
    done, spent, steps = 0, 0.0, max(1, int(CHUNK / max(n * n, 1)))
    while done < count:
        stop = min(count, done + steps)
        done, spent = run(P, U, left, d, at, order, increases, done, stop, spent, budget)
        if done < 0:
            raise LinAlgError(LOST)
        if done < stop:
            break
    out, k = np.zeros(n, w.dtype), n - done
    out[at[:k]] = left[:k]
    return Removed(out, order[:done], increases[:done], spent)


def by_groups(w: Any, P: Any, groups: list[list[int]], count: int, budget: float) -> Removed:
    """The group of least L_Q goes, `count` times or until the budget is spent."""
    left, order, increases, waiting = list(range(w.shape[0])), list[int](), list[Any](), list(groups)
    spent: Any = 0
    for _ in range(count):
        at = {q: place for place, q in enumerate(left)}
        costs = [cost_of_group(w, P, [at[q] for q in Q]) for Q in waiting]
        best = min(range(len(costs)), key=costs.__getitem__)
        if spent + costs[best] > budget:
            break
        Q = waiting.pop(best)
        w, P, increase = of_group(w, P, [at[q] for q in Q])
        left = [q for q in left if q not in Q]
        order += Q
        increases += [increase / len(Q)] * len(Q)
        spent = spent + increase
    return Removed(_restored(w, left, order), order, increases, spent)


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


def blockwise(ws: Sequence[Any], Ps: Sequence[Any], count: int, budget: float = inf, fast: bool = False) -> Removed:
    """Greedy on a block-diagonal H: each block has its own order, and the cheapest next removal of all goes."""
    traces = [greedy(w, P, min(count, w.shape[0]), budget, fast) for w, P in zip(ws, Ps, strict=True)]
    taken = merged([trace.increases for trace in traces], count, budget)
    block = np.repeat(np.arange(len(ws)), [len(trace.order) for trace in traces])[taken]
    counts = np.bincount(block, minlength=len(ws)).tolist()
    every = in_turn([
        trace if k == len(trace.order) else trace._replace(w=greedy(w, P, k, inf, fast).w)
        for w, P, trace, k in zip(ws, Ps, traces, counts, strict=True)
    ])  # fmt: skip
    increases = every.increases[taken]
    return Removed(every.w, every.order[taken], increases, sum(increases.tolist()))


def in_turn(blocks: Sequence[Removed]) -> Removed:
    """What has gone from each block, in one vector, a block after the other."""
    starts = accumulate((b.w.shape[0] for b in blocks), initial=0)
    order = [np.asarray(b.order, dtype=np.int64) + start for b, start in zip(blocks, starts, strict=False)]
    increases = np.concatenate([b.increases for b in blocks])
    return Removed(joined([b.w for b in blocks]), np.concatenate(order), increases, sum(b.spent for b in blocks))


def merged(traces: Sequence[Sequence[Any]], count: int, budget: float = inf) -> Any:
    """Which of the costs in these traces are met, the cheapest next one of all first: places in all of them together.

    A cost waits for those before it in its trace: so they are sorted by the largest of their trace so far.
    """
    heights = np.concatenate([np.maximum.accumulate(trace) for trace in traces])
    taken = np.argsort(heights, kind="stable")[:count]
    return taken[: np.count_nonzero(np.cumsum(np.concatenate(traces)[taken]) <= budget)]


def parted(w: Any, blocks: Sequence[Any]) -> list[Any]:
    """The weights of each block."""
    if len(blocks) == 1:
        return [w]
    return [w[a:b] for a, b in pairwise(accumulate((P.shape[0] for P in blocks), initial=0))]


def joined(parts: Sequence[Any]) -> Any:
    """What `parted` took apart."""
    return parts[0] if len(parts) == 1 else namespace(parts[0]).concat(parts)


# --- in and out --------------------------------------------------------------------------------------------------


def result(w: Any, dead: Any, done: Removed, scores: Any, loss: Any) -> Pruned:
    """What `obs` returns: weights that cost nothing, and were not asked to go, are what they were."""
    xp, mask = namespace(w), all_but(done.order, w.shape[0], w)
    weights = done.w if dead is None else xp.where(dead & mask, w, done.w)
    actual = None if loss is None else scalar(loss(weights)) - scalar(loss(w))
    increases = xp.asarray(done.increases, dtype=w.dtype, device=device(w))
    predicted = done.spent if w.dtype == object else float(done.spent)
    return Pruned(mask, weights, integers(done.order, w), scores, increases, predicted, actual, "hessian")


def _restored(w: Any, left: list[int], order: list[int]) -> Any:
    """(n,) the weights that are left in their places, zeros elsewhere."""
    xp = namespace(w)
    zeros = xp.zeros(len(order), dtype=w.dtype, device=device(w))
    return xp.take(xp.concat([w, zeros]), xp.argsort(integers(left + order, w)))


def inverses(given: Any, w: Any, fast: bool) -> list[Any]:
    """The diagonal blocks of H⁻¹, symmetric, in the precision of w; or an error."""
    whole = hasattr(given, "dtype") or np.ndim(given[0]) == 1  # an array, or its rows
    blocks = [like(numbers(P), w) for P in ([given] if whole else given)]
    sizes = [P.shape[0] if P.ndim == 2 else 0 for P in blocks]
    if sum(sizes) != w.shape[0] or (0 in sizes and w.shape[0]):
        shapes = [tuple(P.shape) for P in blocks]
        raise ValueError(f"inverse_hessian has blocks of shapes {shapes}; {w.shape[0]} weights need square ones")
    return [symmetric(P, n, "the inverse Hessian", fast) for P, n in zip(blocks, sizes, strict=True)]


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
