"""Optimal brain damage: the weights that a diagonal curvature says are cheapest go, and the others stay as they are.

    Lᵢ = ½ hᵢ wᵢ²                        δL = gᵀδ + ½ δᵀHδ + O(‖δ‖³), with g = 0 and H = diag(h)

Y. LeCun, J. S. Denker & S. A. Solla, Optimal brain damage, NIPS 1989, §2.
Three assumptions: w is a minimum (g = 0), the loss is quadratic, and weights do not interact. Theirs is the diagonal of
the Hessian, and no square of a gradient. Where h is the diagonal of a Fisher matrix it is one if the model is right
and *its own* labels are drawn; where it is Adam's second moment, see ``CAUTIONS``.
Shapes: w, h (n,) or any other, alike.   Cost: n log n.
"""

import warnings
from collections.abc import Callable
from typing import Any

from refopt.ops import namespace, scalar
from refopt.pruning.result import Pruned, like, limits, lowest, numbers, total

CAUTIONS = {
    "hessian": "",
    "ggn": "the Gauss-Newton diagonal leaves out what the curvature of the model adds to the Hessian's "
    "(claim gauss-newton.dropped-term)",
    "fisher": "the Fisher diagonal is the Hessian's where the model is right; elsewhere they differ "
    "(claim fisher.hessian)",
    "empirical": "observed labels make an empirical Fisher matrix: where gradients vanish, so does it, whatever the "
    "curvature (claim pruning.obd-curvature)",
    "adam": "Adam averages squares of batch means: weight by weight between 1/B and 1 times a mean of squares, "
    "so it ranks like the empirical Fisher diagonal only for B = 1, or where that factor is the same for all "
    "(claims pruning.adam-*)",
}


def obd(
    w: Any,
    hessian_diagonal: Any,
    count: int | None = None,
    *,
    sparsity: float | None = None,
    budget: float | None = None,
    of: str = "hessian",
    loss: Callable[[Any], Any] | None = None,
) -> Pruned:
    """Remove the weights of least ½ hᵢwᵢ²: `count` of them, a share `sparsity`, or as many as a loss `budget` allows.

    A budget beside one of the others: whichever ends first.

    w, hessian_diagonal: of one shape, on any array library.   of: whose diagonal it is, "hessian", "ggn", "fisher",
    "empirical" or "adam" (its second moment): the result has it as `label`, and says in `caution` when it misleads.
    loss: a function of the weights, for the actual increase.   Raises ValueError for a negative diagonal entry: there
    w is no minimum, and no saliency is defined.
    """
    w, h = numbers(w), numbers(hessian_diagonal)
    xp, h = namespace(w), like(h, w)
    if of not in CAUTIONS:
        raise ValueError(f"of is {of!r}: the diagonals known are {', '.join(CAUTIONS)}")
    if tuple(h.shape) != tuple(w.shape):
        raise ValueError(f"the diagonal has shape {tuple(h.shape)}, the weights {tuple(w.shape)}: one entry for each")
    if bool(xp.any(h < 0)):
        raise ValueError(
            f"{int(xp.sum(xp.astype(h < 0, xp.int64)))} entries of the diagonal are negative: w is no minimum, and OBD "
            "is not defined. Train on, or use the diagonal of a Gauss-Newton or Fisher matrix"
        )
    if of == "adam":
        warnings.warn(CAUTIONS[of], RuntimeWarning, stacklevel=2)
    scores = saliency(w, h)
    if w.dtype != object and not bool(xp.all(xp.isfinite(scores))):
        raise ValueError("weights or diagonal are not finite: look for NaN or infinity in them")
    flat = xp.reshape(scores, (-1,))
    ranked = xp.argsort(flat, stable=True)
    most, limit = limits(flat.shape[0], count, sparsity, budget)
    if budget is not None:
        most = min(most, int(xp.count_nonzero(xp.cumulative_sum(xp.take(flat, ranked)) <= limit)))
    order = ranked[:most]
    gone = lowest(scores, order.shape[0])
    weights, increases = xp.where(gone, xp.zeros_like(w), w), xp.take(flat, order)
    actual = None if loss is None else scalar(loss(weights)) - scalar(loss(w))
    return Pruned(~gone, weights, order, scores, increases, total(increases), actual, of, CAUTIONS[of])


def saliency(w: Any, h: Any) -> Any:
    """Lᵢ = ½ hᵢwᵢ²."""
    return h * w * w / 2
