"""OBS on a layer, row by row: each row has its own order, and its own inverse Hessian.

    ‖ΔW X‖²_F/N = Σᵢ ½ δᵢᵀHδᵢ,   H = 2XXᵀ/N            δᵢ the change of row i

Rows do not interact, which is why it is rows and not columns that are pruned apart: the Hessian of the layer in all its
weights is I ⊗ H. So greedy OBS on the whole layer is greedy OBS on every row, merged: the cheapest next removal of all
rows goes. For the loss of the *network* rows do interact, through the layers above.

E. Frantar, S. P. Singh & D. Alistarh, Optimal brain compression, arXiv:2208.11580, §4.
Deviations: theirs sorts the increases of all rows at once, which is the same where those of a row rise.
Shapes: W (out, n), X (n, N).   Cost: 2n²N + 2n³/3, then n³/3 for each row whose order is known to the end.
"""

from itertools import chain
from math import inf
from typing import Any

from refopt.ops import device, namespace
from refopt.pruning.hessian import inverse, prepared
from refopt.pruning.layer import layer_of, report
from refopt.pruning.obs import greedy, merged, saliencies
from refopt.pruning.result import Pruned, how_many, integers, like

ROWS = ("global", "uniform")


def obs_rows(
    W: Any,
    X: Any = None,
    sparsity: float | None = None,
    *,
    count: int | None = None,
    rows: str = "global",
    damping: float = 0.01,
    hessian: Any = None,
    compiled: bool | None = None,
) -> Pruned:
    """Prune the layer y = Wx by greedy OBS: `count` weights or a share `sparsity` of them, with all corrections.

    W: (out, n).   X: (n, N), or `hessian`, (n, n).   rows: "global", the cheapest removals wherever they are;
    "uniform", the same number in each row, which `count` or `sparsity` then mean.   The rest is as in ``sparsegpt``.
    """
    if rows not in ROWS:
        raise ValueError(f"rows is {rows!r}: choose one of {', '.join(ROWS)}")
    W, H = layer_of(W, X, hessian)
    xp, (k, n) = namespace(W), W.shape
    H_damped, dead = prepared(H, damping, n)
    P, start = like(inverse(H_damped), W), xp.where(dead, xp.zeros_like(W), W)
    if rows == "uniform":
        counts = [how_many(n, count, sparsity)] * k
        done = [greedy(start[i, :], P, counts[i], inf, compiled) for i in range(k)]
        order = [i * n + q for i in range(k) for q in done[i].order]
    else:
        most = how_many(k * n, count, sparsity)
        traces = [greedy(start[i, :], P, min(n, most), inf, compiled) for i in range(k)]
        taken, _ = merged([trace.increases for trace in traces], most)
        order, counts = [], [0] * k
        for i in taken:
            order.append(i * n + traces[i].order[counts[i]])
            counts[i] += 1
        done = [
            trace if counts[i] == len(trace.order) else greedy(start[i, :], P, counts[i], inf, compiled)
            for i, trace in enumerate(traces)
        ]
    places = chain(*([i * n + q for q in row.order] for i, row in enumerate(done)))
    costs = dict(zip(places, chain(*(row.increases for row in done)), strict=True))
    gone = set(order)
    mask = xp.reshape(integers([q not in gone for q in range(k * n)], W) == 1, W.shape)
    new = xp.stack([row.w for row in done])
    weights = xp.where(mask, xp.where(dead, W, new), xp.zeros_like(W))
    spent = xp.asarray([costs[q] for q in order], dtype=W.dtype, device=device(W))
    return report(W, weights, mask, H, saliencies(start, P), spent, integers(order, W))
