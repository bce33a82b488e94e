"""The verdict on a pruned layer, in a sentence: the method and its conventions, or what is wrong, and where first."""

from typing import Any, NamedTuple

import numpy as np

from refopt.oracle.fifty import SIZE, beside, lifted
from refopt.oracle.prunings.corrections import Array, refit
from refopt.oracle.prunings.layer import Layer, centred, layer_of
from refopt.oracle.prunings.masks import Reading
from refopt.oracle.prunings.reading import FEW, WORK, Kept, chosen, damped, kept, some_rows

NAMES = {"magnitude": "magnitude", "wanda": "Wanda", "obd": "OBD", "obs": "greedy OBS", "sparsegpt": "SparseGPT"}
CORRECTS = {"obs": "refit", "refit": "refit", "sparsegpt": "sweep"}  #: the others leave the weights as they are
STILL = (
    " No weight that is kept has moved: the rows of a lower triangular factor, which are empty to the right of the "
    "diagonal, do that."
)
CLAIMS = (*NAMES, "refit")


class Pruning(NamedTuple):
    """What a pruned layer is."""

    method: str  #: "magnitude", "wanda", "obd", "obs" or "sparsegpt"; empty where it is none of them, as they are meant
    mask: str  #: by whose score the weights went; empty where nothing explains it
    groups: str  #: in which groups scores were compared, in words
    correction: str  #: "unmoved", "sweep" or "refit"; empty where nothing explains the weights that are kept
    damping: float  #: λ that was added to the diagonal of H
    residual: float  #: of the weights that are kept, relative to all
    tolerance: float  #: what rounding explains of it
    first: tuple[int, int] | None  #: row and column of the first weight that is not what it should be
    optimality: float  #: the largest |Δ(H + λI)| where a weight is kept, relative: 0 for the best weights of the mask
    loss: float  #: ‖ΔWX‖²/N = ½ tr ΔHΔᵀ
    refit_ratio: float  #: how many times the loss of the best weights for the mask that is
    sentence: str
    defects: list[str]  #: mistakes, by name

    def __bool__(self) -> bool:
        return bool(self.mask and self.correction and not self.defects)


def pruned(
    theirs: Any, W: Any, X: Any = None, hessian: Any = None, mask: Any = None, claim: str = "", *,
    sparsity: float | None = None, damping: float | None = None, block_size: int | None = None,
) -> Pruning:  # fmt: skip
    """Say what a pruned layer is: by which method weights went, and what became of the others.

    theirs: (out, n) the weights after;   W: before.   X: (n, N) calibration inputs, or hessian: (n, n), a multiple of
    XXᵀ, or a diagonal (n,) or of the shape of W.   mask: (out, n), which went; else those that are zero.   A vector of
    weights with its Hessian will do.   claim: what they say it is, "magnitude", "wanda", "obd", "obs", "sparsegpt", or
    "refit" for the best weights of any mask.   sparsity, damping (in multiples of the mean of H's diagonal),
    block_size: as they had them, where they say so.
    Cost: n³ for each damping that is tried, one where theirs is right; out·n² for each block size.
    """
    if claim and claim not in CLAIMS:
        raise ValueError(f"claim is {claim!r}; it can be {', '.join(CLAIMS)}")
    layer = layer_of(theirs, W, X, hessian, mask)
    if not layer.gone.any():
        return _nothing(layer, "Nothing has gone: no weight is zero.")
    if layer.gone.all():
        return _nothing(layer, "All weights have gone: any method does that.")
    kind = CORRECTS.get(claim, "unmoved") if claim else ""
    held = kept(layer, damping, block_size, kind)
    if not held.fits and X is not None and (other := centred(layer, X)):
        again = kept(other, damping, block_size, kind)
        layer, held = (other, again) if again.fits else (layer, held)
    readings = chosen(layer, held, damping, block_size, "" if claim == "refit" else claim)
    return _told(layer, held, readings, claim, sparsity)


def _nothing(layer: Layer, said: str) -> Pruning:
    return Pruning("", "", "", "", 0.0, 0.0, 0.0, None, 0.0, 0.0, 1.0, said, layer.defects)


def _told(layer: Layer, held: Kept, readings: list[Reading], claim: str, sparsity: float | None) -> Pruning:
    best, correction = readings[0], held.correction
    goes = not best.wrong
    counted, miscounted = _counted(layer, best, sparsity) if goes else ("", "")
    defects = [*layer.defects]
    defects += [d for d in (best.score.defect if goes else "", miscounted) if d]
    defects += [correction.defect] if held.fits and correction.defect else []
    whose = best.score.method if goes and not best.score.defect else ""
    how = correction.kind if held.fits and not correction.defect else ""
    method = whose if how and how == CORRECTS.get(whose, "unmoved") and not layer.defects and not miscounted else ""
    head = f"Yours is {NAMES[method]}. " if method else ""
    text = head + _mask_in_words(layer, best, counted) + _kept_in_words(layer, held)
    loss, ratio, cost = _cost(layer)
    optimality = _optimality(layer, correction.damping.lam)
    text += cost + "".join(f" {remark[0].upper()}{remark[1:]}." for remark in layer.remarks)
    if defects:
        text += f" That is a mistake: {'; '.join(defects)}."
    if claim and claim not in (method, how) and not defects:
        text += f" It is not {NAMES.get(claim, 'a refit')}, which you say it is."
        also = next((r for r in readings if r.score.method == claim and r.departure), None)
        text += f" The score is {NAMES[claim]}'s, which {also.departure}." if also else ""
    text += STILL * (how == "unmoved" and CORRECTS.get(claim) == "sweep")
    first = best.first if not goes else None if held.fits else _first_moved(layer, held)
    return Pruning(
        method, whose, best.groups.words if goes else "", how, correction.damping.lam, held.residual, held.tolerance,
        first, optimality, loss, ratio, text, defects,
    )  # fmt: skip


# --- the mask ----------------------------------------------------------------------------------------------------


def _mask_in_words(layer: Layer, best: Reading, counted: str) -> str:
    total = int((~layer.aside).sum())
    by = f"{best.score.words}, {best.groups.words}"
    if not best.wrong:
        theirs = f" ({NAMES[best.score.method]} {best.departure})" if best.departure else ""
        return f"The mask goes by {by}{counted}{theirs}."
    text = f"No score explains the mask. The closest is {by}: {best.wrong} of {total} weights are against it"
    if best.first is None:
        return text + "."
    row, column = best.first
    return text + f", the first in row {row}, column {column}, which {'goes' if layer.gone[best.first] else 'is kept'}."


def _counted(layer: Layer, best: Reading, sparsity: float | None) -> tuple[str, str]:
    """How many go of each group, beside what was asked for."""
    if sparsity is None or best.groups.name == "pattern":
        return "", ""
    counts = np.bincount(best.groups.labels.ravel(), layer.gone.ravel())
    sizes = np.bincount(best.groups.labels.ravel())
    over = counts - (sparsity * sizes).astype(int)
    if layer.dead.any() or (np.isin(over, (0, 1)).all() and len(set(over)) < 3 and (over == 0).any()):
        return "", ""  # exactly as many, block by block in proportion
    if (over == 1).all():
        return (
            ", one more than int(k·sparsity) of k weights: all that score ≤ the next, as the public code has it",
            "",
        )
    return "", f"{layer.gone.mean():.4g} of the weights go, and {sparsity:g} was asked for"


# --- the weights that are kept -----------------------------------------------------------------------------------


def _kept_in_words(layer: Layer, held: Kept) -> str:
    correction = held.correction
    damping = f" ({correction.damping.words})" if correction.damping.words else ""
    to = f"to {held.residual:.1e} where rounding explains {held.tolerance:.1e}"
    if held.fits and correction.defect:
        return f" Those that are kept are what a mistake makes of them{damping}, {to}."
    if held.fits:
        return f" Those that are kept are {correction.words}{damping}, {to}.{_in_fifty_digits(layer, held)}"
    text = (
        f" Nothing explains those that are kept. The closest is {correction.words}{damping}, off by {held.residual:.2g}"
    )
    where = _first_moved(layer, held)
    if where is None:
        return text + "."
    row, column = where
    return text + (
        f"; the first that differs is in row {row}, column {column}: {layer.theirs[where]:.6g}, and not "
        f"{held.ours[where]:.6g}."
    )


def _in_fifty_digits(layer: Layer, held: Kept) -> str:
    if layer.H is None or held.correction.kind == "unmoved" or len(layer.H) > SIZE or layer.W.size > SIZE**2:
        return ""
    H, W = (lifted(a) for a in (damped(layer.H, layer.dead, held.correction.damping.lam), layer.W))
    return beside(layer.theirs, held.ours, lambda: held.correction.made(np.where(layer.dead, 0, W), layer.gone, H))


def _first_moved(layer: Layer, held: Kept) -> tuple[int, int] | None:
    """The first weight, column by column, that differs by more than rounding."""
    off = np.where(layer.dead, 0.0, np.abs(layer.theirs - held.ours))
    where = np.argwhere((off > held.tolerance * np.abs(layer.W).max()).T)
    return (int(where[0][1]), int(where[0][0])) if len(where) else None


# --- what it costs -----------------------------------------------------------------------------------------------


def _cost(layer: Layer) -> tuple[float, float, str]:
    """The loss, how many times that of the refit, and both in words beside the loss without corrections."""
    if layer.H is None:
        plain = 0.5 * float((np.broadcast_to(layer.h, layer.W.shape) * (layer.theirs - layer.W) ** 2).sum())
        return plain, 1.0, ""
    loss = _loss(layer, layer.theirs)
    count = max(1, min(len(layer.W), int(WORK / (len(layer.H) + 1.0) ** 3) or FEW))
    few = layer.rows(some_rows(layer.gone, count))
    own, best, without = (
        _loss(few, w) for w in (few.theirs, refit(few.W, few.gone, layer.H), np.where(few.gone, 0.0, few.W))
    )
    near = 1e-9 * max(own, without)
    if best <= near:
        return loss, 1.0 if own <= near else np.inf, f" The loss is {loss:.4g}, and weights that cost nothing exist."
    ratio, beside = own / best, own / without
    some = f" (of {count} rows)" if count < len(layer.W) else ""
    if ratio <= 1.0 + 1e-6:
        text = f" They are the best for this mask: its loss, {loss:.4g}, is the refit's{some}"
    else:
        text = f" The loss is {loss:.4g}, {ratio:.4g} times that of the best weights for this mask{some}"
    corrected = abs(beside - 1.0) > 5e-3
    return loss, ratio, text + (f", and {beside:.3g} times that without corrections." if corrected else ".")


def _loss(layer: Layer, weights: Array) -> float:
    change = np.where(layer.dead, 0.0, weights - layer.W)
    return 0.5 * float(((change @ layer.H) * change).sum())


def _optimality(layer: Layer, lam: float) -> float:
    """max |Δ(H + λI)| where a weight is kept, beside what the weights that went alone make there."""
    if layer.H is None:
        return 0.0
    H = layer.H + lam * np.eye(len(layer.H))
    left = np.where(layer.gone | layer.dead, 0.0, (layer.theirs - layer.W) @ H)
    alone = np.where(layer.gone | layer.dead, 0.0, np.where(layer.gone, layer.W, 0.0) @ H)
    return float(np.abs(left).max() / (np.abs(alone).max() or 1.0))
