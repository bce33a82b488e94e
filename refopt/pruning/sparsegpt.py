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
Memory beside W and H: V and a copy of H, then half of V and the result, less than four copies of W in all.
"""

from collections.abc import Iterator
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
    numbers,
    pattern_of,
    pieces,
    strung,
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
    xp, (rows, n), literal = namespace(W), W.shape, ties == "reference"
    n_of_m = (0, 0) if pattern is None else pattern_of(pattern, n)
    width, choose, block = _width(block_size, n_of_m[1]), chooser(W, sparsity, mask, literal), blocks(compiled, W)
    shift, dead = shifted(H, damping, n, counted=literal)
    V, d = factored(H, shift)
    H = H if hessian is None else numbers(hessian)  # as it was: no quadratic sees more than its symmetric part
    parts = cut(V, width, W)
    del V
    rest, scores, gone = xp.where(dead, 0 * W[:1, :], W), xp.empty_like(W), xp.zeros_like(W, dtype=xp.bool)
    costs = sweep(rest, scores, gone, parts, like(d, W), choose, n_of_m, block, dead if literal else None)
    increases = strung(costs, most(W, sparsity, n_of_m, mask, literal), W.dtype, W)
    if bool(xp.any(dead)):
        for some in pieces(rows):
            rest[some, :] = xp.where(dead & ~gone[some, :], W[some, :], rest[some, :])
    return report(W, rest, ~gone, H, scores, increases)


def most(W: Any, sparsity: float | None, n_of_m: tuple[int, int], mask: Any, literal: bool) -> int:
    """How many weights go, or more."""
    if literal:
        return W.shape[0] * W.shape[1]
    if mask is not None:
        return W.shape[0] * W.shape[1] - int(namespace(W).count_nonzero(mask))
    n, m = n_of_m
    return W.shape[0] * W.shape[1] // m * n if m else int(sparsity * (W.shape[0] * W.shape[1]))


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
    W: Any, V: Any, d: Any, choose: Any, width: int, n_of_m: tuple[int, int] = (0, 0), compiled: bool | None = None
) -> tuple[Any, ...]:  # fmt: skip
    """The weights after the sweep, which went, what each cost, a list of blocks, column by column, and the saliencies.

    W: (out, n) the weights before it.   choose: which weights of a block go, by its saliencies and first column.
    """
    rest, scores, gone = 1 * W, 0 * W, W != W
    costs = list(sweep(rest, scores, gone, cut(V, width, W), d, choose, n_of_m, blocks(compiled, W)))
    return rest, gone, costs, scores


def sweep(
    rest: Any, scores: Any, gone: Any, parts: list[Any], d: Any, choose: Any, n_of_m: tuple[int, int], block: Any,
    besides: Any = None,
) -> Iterator[Any]:  # fmt: skip
    """What each weight of a block cost, column by column, block after block: it writes into `rest`, `scores`, `gone`.

    parts: of V, as ``cut`` makes them; each is dropped when it is used.   besides: (n,) True for columns that go with
    all their weights, which are 0.
    """
    first = 0
    while parts:
        V = parts.pop(0)
        k = V.shape[0]
        here, beyond = slice(first, first + k), slice(first + k, rest.shape[1])
        before = rest[:, here] * rest[:, here] / (2 * d[here])
        chosen = choose(before, first)
        rest[:, here], lost, E, scores[:, here] = block(rest[:, here], V[:, :k], d[here], chosen, before, *n_of_m)
        gone[:, here] = lost = lost if besides is None else lost | besides[here]
        del before, chosen
        for some in pieces(rest.shape[0], 128):
            rest[some, beyond] -= E[some, :] @ V[:, k:]
        yield _of_columns(E * E / (2 * d[here]), lost)
        first += k


def cut(V: Any, width: int, W: Any) -> list[Any]:
    """The rows of V, so many at a time, without the zeros to their left; in the precision of W."""
    xp, n = namespace(W), W.shape[1]
    return [xp.asarray(V[i : min(i + width, n), i:], dtype=W.dtype, copy=True) for i in range(0, n, width)]


def blocks(compiled: bool | None, W: Any) -> Any:
    """What sweeps over a block: the page, or a compiled loop."""
    return _block_compiled if compiles(compiled, W.shape[0] * W.shape[1] >= SMALL, W) else block_swept


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
