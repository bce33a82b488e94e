"""What pruning is measured against: two scores without corrections, and the bound that no correction can pass.

    magnitude    |W_ij|
    Wanda        |W_ij| ‖X_j‖₂, within each row         its square over N is the OBD saliency: ½ H_jj w² = w²‖X_j‖²/N
    refit        ŵ_M = H_MM⁻¹ H_{M,:} w,  a row at a time, M the weights it keeps: the least squares fit of its mask

S. Han et al., NIPS 2015, arXiv:1506.02626;  M. Sun et al., A simple and effective pruning approach for large language
models, ICLR 2024, arXiv:2306.11695, §3;  I. Hubara et al., NeurIPS 2021, arXiv:2102.08124 (AdaPrune).
The increases are those of ‖ΔW X‖²_F/N + ½λ‖ΔW‖²_F (λ = 0 for the scores); without corrections they do not add up weight
by weight, so `increases` are the diagonal's, and `predicted_increase` is the quadratic's.
Shapes: W (out, n), X (n, N).   Cost: out·n for a score, n³/3 for each row that is fitted again.
"""

from dataclasses import replace
from typing import Any

from refopt.ops import device, namespace
from refopt.pruning.hessian import factored, prepared, raised
from refopt.pruning.layer import alone, layer_of, quadratic, uncorrected
from refopt.pruning.result import Pruned, how_many, kept, like, lowest, lowest_of_rows, numbers, pattern_of


def magnitude(
    W: Any, X: Any = None, sparsity: float | None = None, pattern: Any = None, *, hessian: Any = None
) -> Pruned:
    """The weights of least |W_ij| go, a share `sparsity` of the layer, or n of every m: `pattern=(n, m)`.

    Without X and `hessian` nothing is known of what that costs.
    """
    if X is hessian is None:
        W = numbers(W)
        made = magnitude(W, None, sparsity, pattern, hessian=namespace(W).eye(W.shape[-1], device=device(W)))
        return replace(made, saliency=abs(W), increases=None, predicted_increase=None, actual_increase=None, label="")
    W, H = layer_of(W, X, hessian)
    sizes = abs(W)
    return uncorrected(W, chosen(sizes, sparsity, pattern, in_rows=False), H, alone(W, H), sizes)


def wanda(W: Any, X: Any = None, sparsity: float | None = None, pattern: Any = None, *, hessian: Any = None) -> Pruned:
    """The weights of least |W_ij| ‖X_j‖ go: a share `sparsity` of each row, or n of every m: `pattern=(n, m)`."""
    W, H = layer_of(W, X, hessian)
    scores = alone(W, H)
    return uncorrected(W, chosen(scores, sparsity, pattern, in_rows=True), H, scores, scores)


def refit(W: Any, X: Any = None, mask: Any = None, *, hessian: Any = None, damping: float = 0.0) -> Pruned:
    """The best weights for a mask (out, n), True where a weight is kept: each row fitted again by least squares."""
    W, H = layer_of(W, X, hessian)
    if mask is None:
        raise ValueError(f"mask must have the shape of W, {tuple(W.shape)}, and be True where a weight is kept")
    mask, xp = kept(mask, W), namespace(W)
    H_damped, dead = prepared(H, damping, W.shape[1])
    rows = [like(refitted(like(W[i, :], H), mask[i, :], H_damped), W) for i in range(W.shape[0])]
    weights = xp.where(mask, xp.where(dead, W, xp.stack(rows)), xp.zeros_like(W))
    made = uncorrected(W, ~mask, H, alone(W, H), abs(W))
    predicted = quadratic(xp.where(dead, W, weights), W, H_damped)
    return replace(made, weights=weights, predicted_increase=predicted, actual_increase=quadratic(weights, W, H))


def refitted(w: Any, kept: Any, H: Any) -> Any:
    """ŵ (n,): w_M + H_MM⁻¹ H_MQ w_Q = H_MM⁻¹ H_{M,:} w where it is kept, and 0 where not.

    H_MM is H with rows and columns of the identity for what goes.
    """
    xp = namespace(w)
    inside = xp.where(kept[:, None] & kept[None, :], H, 0 * H)
    inside = raised(inside, xp.where(kept, 0 * w, 0 * w + 1))
    right = xp.where(kept, H @ w, 0 * w)
    V, d = factored(inside)
    return (V @ right * d) @ V


def chosen(scores: Any, sparsity: float | None, pattern: Any, in_rows: bool) -> Any:
    """The lowest share `sparsity` of the layer, or of each row; or the lowest n of every m of each row."""
    xp, (rows, columns) = namespace(scores), scores.shape
    if (sparsity is None) == (pattern is None):
        raise ValueError("say how many weights go, in one way: either sparsity=… or pattern=(n, m)")
    if pattern is None:
        count = how_many(columns if in_rows else rows * columns, None, sparsity)
        return lowest_of_rows(scores, count) if in_rows else lowest(scores, count)
    n, m = pattern_of(pattern, columns)
    return xp.reshape(lowest_of_rows(xp.reshape(scores, (rows * (columns // m), m)), n), (rows, columns))
