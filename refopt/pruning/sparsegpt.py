"""SparseGPT: optimal brain surgery on all rows of a layer in one sweep over its columns.

OBS lets each row choose its order, and then each row needs an inverse Hessian of its own. Here all rows meet the
columns in the same order, j = 1 … n, and a weight that goes moves only those to its right. Then one factor serves all:

    H = 2XXᵀ/N + λI,   λ = damping · mean(diag 2XXᵀ/N),   H⁻¹ = Vᵀ diag(d) V = UᵀU          (``pruning.hessian``)
    in each block of columns, before the first of it:
        saliency  L_ij = ½ w_ij² / d_j          d_j = U_jj²: the OBS saliency among the columns j … n
        the lowest of the block's go, whichever their rows; for n:m, the lowest n of every m in each row, chosen when
        the sweep comes to those m
    column j:   e_j = w_j where it goes, else 0;   w_k ← w_k − e_j V_jk,  k > j                = (e_j / U_jj) U_jk
    after a block, all columns to the right of it at once:   W ← W − E V

For a given mask a row so treated is OBS in the order of the columns, where those to the left are frozen. So the refit
of the mask is at least as good, and the same where no kept weight stands left of one that goes. No correction at all is
mostly, but not always, worse (claim pruning.bounds): what the sweep has passed cannot answer a later removal.

E. Frantar & D. Alistarh, SparseGPT, ICML 2023, arXiv:2301.00774, §3.
Deviations: the root-free factor, which the exact reading can follow; exactly int(sparsity·size) weights go, block by
block in proportion, where the public code takes every score ≤ sorted[int(k · sparsity)] of a block's k scores, at
least one more (``ties="reference"``; there all weights of dead columns go as well, and a one for each of these columns
is in the mean that λ is relative to).
Shapes: W (out, n), X (n, N).   Cost: 2n²N for H, 2n³/3 for V, out·n² for the sweep.
Memory beside W and H: V, or what else is at hand then, and the result, four copies of W in all; block by block.
"""

from math import inf
from typing import Any

import numpy as np

from refopt.ops import namespace
from refopt.pruning.hessian import factored, shifted
from refopt.pruning.kernels import CHUNK, compiles, sweep_block
from refopt.pruning.kernels import compiled as _compiled
from refopt.pruning.layer import layer_of, report
from refopt.pruning.result import (
    Pruned,
    how_many,
    integers,
    kept,
    like,
    lowest,
    lowest_of_rows,
    pattern_of,
    pieces,
    whole,
)

TIES = ("exact", "reference")
SMALL = 4096  #: below this many weights a compiled loop is not worth its start


def sparsegpt(
    W: Any,
    X: Any = None,
    sparsity: float | None = None,
    pattern: tuple[int, int] | None = None,
    block_size: int = 128,
    damping: float = 0.01,
    ties: str = "exact",
    *,
    mask: Any = None,
    hessian: Any = None,
    compiled: bool | None = None,
) -> Pruned:
    """Prune the layer y = Wx so that WX changes little: a share `sparsity`, or n of every m weights, `pattern=(n, m)`.

    W: (out, n).   X: (n, N) calibration inputs, a token in each column, or a series of such arrays; or `hessian`,
    (n, n), in their place.   pattern: n counts what goes, as `prunen` of the public code does: (1, 4) keeps three of
    four; where N:M counts what is kept (A. Zhou et al., ICLR 2021), it is (M − N, M).   mask: True where a weight is
    kept, if that is decided already.   block_size: of the columns whose weights are compared with each other; n:m
    patterns do not depend on it.   damping: in multiples of mean(diag H).   ties: "exact", or "reference" to go by the
    public code.   compiled: None decides by size; True and False insist.

    Returns `Pruned`; its actual increase is ‖ΔW X‖²_F/N, its predicted one holds ½λ‖ΔW‖²_F besides.
    Raises ValueError (LinAlgError is one) where H + λI is singular to rounding: no identity takes its place.
    """
    if ties not in TIES:
        raise ValueError(f"ties is {ties!r}: choose one of {', '.join(TIES)}")
    if sum(given is not None for given in (sparsity, pattern, mask)) != 1:
        raise ValueError("say what goes, in one way: sparsity=…, pattern=(n, m), or mask=…")
    W, H = layer_of(W, X, hessian)
    mask = None if mask is None else kept(mask, W)
    xp, n, literal = namespace(W), W.shape[1], ties == "reference"
    n_of_m = (0, 0) if pattern is None else pattern_of(pattern, n)
    shift, dead = shifted(H, damping, n, counted=literal)
    V, d = (like(part, W) for part in factored(H, shift))
    choose, width = chooser(W, sparsity, mask, literal), _width(block_size, n_of_m[1])
    some_dead = bool(xp.any(dead))
    start = xp.where(dead, xp.zeros_like(W[:1, :]), W) if some_dead else W
    new, gone, costs, scores = swept(start, V, d, choose, width, n_of_m, compiled, dead if literal else None)
    del V, d, start
    increases = xp.concat(costs)
    costs.clear()
    if some_dead:
        new = xp.where(gone | ~dead, new, W)
    mask = ~gone
    del gone
    return report(W, new, mask, H, scores, increases)


def chooser(W: Any, sparsity: float | None, mask: Any, literal: bool) -> Any:
    """A function of a block's saliencies and of its first column: which of its weights go, as far as it is known."""
    rows = W.shape[0]
    if mask is not None:
        return lambda scores, first: ~mask[:, first : first + scores.shape[1]]
    if sparsity is None:
        return lambda scores, first: scores != scores
    how_many(0, None, sparsity)

    def exactly(scores: Any, first: int) -> Any:
        """As many as make int(sparsity · size) with the blocks before."""
        before = int(sparsity * (rows * first))
        return lowest(scores, int(sparsity * (rows * (first + scores.shape[1]))) - before)

    def up_to(scores: Any, first: int) -> Any:
        size = rows * scores.shape[1]
        ordered = namespace(scores).sort(namespace(scores).reshape(scores, (-1,)))
        return scores <= ordered[min(int(size * sparsity), size - 1)]

    return up_to if literal else exactly


def _width(block_size: int, m: int) -> int:
    """Of a block: whole groups of m."""
    size = whole("block_size", block_size, 1, inf, "a block has a whole number of columns, 1 or more")
    return max(size - size % m, m) if m else size


# --- the sweep ---------------------------------------------------------------------------------------------------


def swept(
    rest: Any, V: Any, d: Any, choose: Any, width: int, n_of_m: tuple[int, int] = (0, 0), compiled: bool | None = None,
    besides: Any = None,
) -> tuple[Any, ...]:  # fmt: skip
    """The weights after the sweep, which went, what each cost, a list of blocks, column by column, and the saliencies.

    rest: (out, n) the weights before it.   choose: which weights of a block go, by its saliencies and first column.
    besides: (n,) True for columns that go with all their weights, which are 0.
    """
    n, block = rest.shape[1], block_swept
    if compiles(compiled, n * rest.shape[0] >= SMALL, rest, V, d):
        block = _block_compiled
    rest, scores = 1 * rest, 0 * rest
    gone, costs = rest != rest, list[Any]()
    for first in range(0, n, width):
        here, beyond = slice(first, min(first + width, n)), slice(min(first + width, n), n)
        before = rest[:, here] * rest[:, here] / (2 * d[here])
        chosen = choose(before, first)
        w, lost, E, before = block(rest[:, here], V[here, here], d[here], chosen, before, *n_of_m)
        lost = lost if besides is None else lost | besides[here]
        rest[:, here], gone[:, here], scores[:, here] = w, lost, before
        costs.append(_of_columns(E * E / (2 * d[here]), lost))
        _subtract(E, V[here, beyond], rest, beyond)
    return rest, gone, costs, scores


def block_swept(W: Any, V: Any, d: Any, gone: Any, scores: Any, n: int, m: int) -> tuple[Any, Any, Any, Any]:
    """The columns of one block, from left to right."""
    xp, columns = namespace(W), W.shape[1]
    where = xp.cumulative_sum(integers([1] * columns, W)) - 1
    E = 0 * W
    for j in range(columns):
        if m and j % m == 0:
            group = (where >= j) & (where < j + m)
            now = W * W / (2 * d)
            scores = xp.where(group, now, scores)
            ranks = lowest_of_rows(now[:, j : j + m], n)
            gone = xp.concat([gone[:, :j], ranks, gone[:, j + m :]], axis=1)
        e = xp.where(gone[:, j], W[:, j], 0 * W[:, j])
        E = xp.where(where == j, e[:, None], E)
        W = W - e[:, None] * V[j, :][None, :]
    return xp.where(gone, 0 * W, W), gone, E, scores


def _block_compiled(W: Any, V: Any, d: Any, gone: Any, scores: Any, n: int, m: int) -> tuple[Any, Any, Any, Any]:
    W, V, d = np.array(W, order="C"), np.array(V, order="C"), np.array(d)
    gone, scores, E = np.ascontiguousarray(gone), np.ascontiguousarray(scores), np.empty_like(W)
    rows = max(1, int(CHUNK / W.shape[1] ** 2))
    for i in range(0, W.shape[0], rows):
        some = slice(i, i + rows)
        _compiled(sweep_block)(W[some], V, d, gone[some], E[some], scores[some], n, m)
    return W, gone, E, scores


def _of_columns(values: Any, chosen: Any) -> Any:
    """The chosen of the values (k, b), column by column."""
    xp = namespace(values)
    return xp.take(xp.reshape(values.T, (-1,)), xp.nonzero(xp.reshape(chosen.T, (-1,)))[0])


def _subtract(E: Any, V: Any, rest: Any, columns: slice) -> None:
    """EV from those columns, some rows at a time."""
    V = 1 * V  # in C order
    for some in pieces(rest.shape[0], 128):
        rest[some, columns] -= E[some, :] @ V
