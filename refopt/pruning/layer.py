"""What all prunings of a layer y = Wx share: its Hessian, and the loss ‖ΔW X‖²_F/N = Σᵢ ½ δᵢᵀHδᵢ of what they did.

Shapes: W (out, n), X (n, N), H (n, n).
"""

from dataclasses import replace
from typing import Any

from refopt.ops import diagonal, namespace
from refopt.pruning.hessian import layer_hessian, symmetric
from refopt.pruning.result import Pruned, like, numbers, pieces, total


def layer_of(W: Any, X: Any, hessian: Any) -> tuple[Any, Any]:
    """W, and H (n, n) of its rows, from their inputs or as given."""
    W = numbers(W, "W")
    if W.ndim != 2 or 0 in W.shape:
        raise ValueError(f"W has shape {tuple(W.shape)}: it must be (outputs, inputs), with one of each or more")
    if (X is None) == (hessian is None):
        raise ValueError("give either the inputs X (inputs, samples) or hessian=…, not both")
    if X is None:
        return W, symmetric(numbers(hessian), W.shape[1], "the Hessian")
    if hasattr(X, "ndim") and (X.ndim != 2 or X.shape[0] != W.shape[1]):
        raise ValueError(f"X has shape {tuple(X.shape)}; W takes {W.shape[1]} inputs: X must be (inputs, samples)")
    H = layer_hessian(X)
    if H.shape[0] != W.shape[1]:
        raise ValueError(f"X has {H.shape[0]} inputs, W {W.shape[1]}: the arrays of X must be (inputs, samples)")
    return W, numbers(H, "the Hessian", ": look for them in X")


def report(W: Any, weights: Any, mask: Any, H: Any, scores: Any, increases: Any, order: Any = None) -> Pruned:
    """The result for a layer: what went in an order, by these increases (count,); without one, column by column."""
    actual = quadratic(weights, W, H)
    return Pruned(mask, weights, order, scores, increases, total(increases), actual, "hessian")


def uncorrected(W: Any, gone: Any, H: Any, scores: Any, ranking: Any) -> Pruned:
    """The result where the others stay as they are; what ranks lowest went first."""
    xp = namespace(W)
    order = lowest_first(ranking, gone)
    increases = xp.take(xp.reshape(scores, (-1,)), order)
    made = report(W, xp.where(gone, xp.zeros_like(W), W), ~gone, H, scores, increases, order)
    return replace(made, predicted_increase=made.actual_increase)


def alone(W: Any, H: Any) -> Any:
    """½ H_jj w_ij², what a weight costs that goes alone, and nothing makes up for it."""
    return like(diagonal(H), W) * W * W / 2


def lowest_first(ranking: Any, gone: Any) -> Any:
    """The places of what has gone, by rank."""
    xp = namespace(ranking)
    places = xp.nonzero(xp.reshape(gone, (-1,)))[0]
    return xp.take(places, xp.argsort(xp.take(xp.reshape(ranking, (-1,)), places), stable=True))


def quadratic(new: Any, old: Any, H: Any) -> Any:
    """Σᵢ ½ δᵢᵀHδᵢ of δ = new − old, some rows at a time."""
    parts = (like(new[some, :] - old[some, :], H) for some in pieces(old.shape[0]))
    return sum(total(namespace(H).vecdot(part @ H, part)) for part in parts) / 2
