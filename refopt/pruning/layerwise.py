"""OBS on a layer, row by row: each row has its own order, and its own inverse Hessian.

    ‖ΔW X‖²_F/N = Σᵢ ½ δᵢᵀHδᵢ,   H = 2XXᵀ/N            δᵢ the change of row i

Rows do not interact, which is why it is rows and not columns that are pruned apart: the Hessian of the layer in all its
weights is I ⊗ H. So greedy OBS on the whole layer is greedy OBS on every row, merged: the cheapest next removal of all
rows goes. For the loss of the *network* rows do interact, through the layers above.

E. Frantar, S. P. Singh & D. Alistarh, Optimal brain compression, arXiv:2208.11580, §4.
Deviations: theirs sorts the increases of all rows at once, which is the same where those of a row rise.
Shapes: W (out, n), X (n, N).   Cost: 2n²N + n³, then n³/3 for each row whose order is known to the end.
"""

from math import inf
from typing import Any

from refopt.ops import device, namespace
from refopt.pruning.hessian import inverse, shifted
from refopt.pruning.kernels import FEW, compiles
from refopt.pruning.layer import layer_of, report
from refopt.pruning.obs import blockwise, greedy, in_turn, saliencies
from refopt.pruning.result import Pruned, all_but, how_many, integers, like

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
    shift, dead = shifted(H, damping, n)
    P, start = like(inverse(H, shift), W), xp.where(dead, 0 * W, W)
    fast, each = compiles(compiled, n >= FEW, W), [start[i, :] for i in range(k)]
    if rows == "uniform":
        most = how_many(n, count, sparsity)
        done = in_turn([greedy(w, P, most, inf, fast) for w in each])
    else:
        done = blockwise(each, [P] * k, how_many(k * n, count, sparsity), inf, fast)
    mask = xp.reshape(all_but(done.order, k * n, W), W.shape)
    weights = xp.where(dead & mask, W, xp.reshape(done.w, W.shape))
    increases = xp.asarray(done.increases, dtype=W.dtype, device=device(W))
    return report(W, weights, mask, H, saliencies(start, P), increases, integers(done.order, W))
