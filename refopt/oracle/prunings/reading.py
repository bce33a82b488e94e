"""What a pruned layer *is*: by which method its mask was made, and what became of the weights that are kept.

    found = refopt.oracle.pruned(theirs, W, X)
    print(found.sentence)
        Yours is SparseGPT. The mask goes by w²/Uⱼⱼ² of the weights as the sweep finds them, in each block of 128
        columns, over all rows. The weights that are kept are those of the sweep, λ = 0.01 of the mean of H's diagonal …

The two are read apart. Of the weights every known correction is tried on *their* mask (``corrections``), with each
damping in use and the best one between; of the mask every known score in every group (``masks``), SparseGPT's with the
weights as the correction that was found leaves them when the sweep arrives. What remains must be what rounding
explains: of W and H that change in the last digit of the type that was computed in. Beside that stands what the mask
costs: with their weights, with the best weights for it (its refit, the lower bound), and without corrections.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from refopt.oracle.prunings import masks
from refopt.oracle.prunings.corrections import (
    BEST,
    SHARES,
    Array,
    Correction,
    Damping,
    corrections,
    dampings,
    multiplier,
    refit,
    ridge,
    sweep,
    swept,
    triangle,
    unmoved,
)  # fmt: skip
from refopt.oracle.prunings.layer import Layer
from refopt.oracle.prunings.masks import Reading, Score

SURE = 1e-3  #: of ‖W‖: where rounding explains more, several corrections may fit, and the closest is taken
NEAR = 0.05  #: of ‖W‖: what is further is not explained by rounding
FEW = 8  #: rows that are looked at until something fits: they do not depend on each other
WIDTHS = (128, 256, 64, 32, 16, 512, 8, 4, 2)  #: of blocks, in use
WORK = 4e9  #: flops of a refit, or of greedy OBS, that are worth its answer


class Kept(NamedTuple):
    """What became of the weights that are kept."""

    correction: Correction
    ours: Array
    residual: float  #: relative to ‖W‖
    tolerance: float  #: what rounding explains of it
    usual: float  #: the median of what differs: a few weights that are off do not count

    @property
    def fits(self) -> bool:
        return self.residual <= self.tolerance


# --- the weights that are kept -----------------------------------------------------------------------------------


def kept(layer: Layer, given: float | None, width: int | None, claimed: str) -> Kept:
    """The correction that explains the weights, or comes closest; one that is claimed before others."""
    still = Correction("unmoved", "as they were", Damping(0.0, ""), unmoved)
    if layer.H is None:
        return _judged(still, layer)
    few, tried = layer.rows(some_rows(layer.gone, FEW)), list[Kept]()
    known = dampings(layer.H, layer.dead, given)
    usual = [each for each in known if each.usual][: 2 if given is not None else 4]
    stages: tuple[Callable[[], Iterator[Correction]], ...] = (
        lambda: chain([still], _refits(few)),
        lambda: (swept(each, 128) for each in known),
        lambda: (swept(each, 128) for each in _between(few, tried)),
        lambda: (c for each in usual for c in corrections(each, _widths(layer, width))),
    )
    for number, stage in enumerate(stages):
        for correction in stage():
            tried.append(_judged(correction, few))
            if tried[-1].fits and number and few.stored == few.eps and tried[-1].tolerance < SURE:
                break
        fit = sorted(
            (k for k in tried if k.fits), key=lambda k: (k.correction.kind != claimed, k.correction.defect != "")
        )
        sure = fit and (number > 1 or fit[0].tolerance < SURE or few.stored > few.eps)
        if sure and (number or not claimed or fit[0].correction.kind == claimed):
            alike = [k for k in fit if k.correction.kind == fit[0].correction.kind]
            return _judged(min(alike, key=lambda k: k.residual).correction, layer)
    plain = fit or [k for k in tried if not k.correction.defect]
    return _judged(min(plain, key=lambda k: (k.usual, k.residual)).correction, layer)


def some_rows(gone: Array, count: int) -> Array:
    """Rows in which something went, evenly spread."""
    rows = np.flatnonzero(gone.any(axis=1))
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]


def _refits(layer: Layer) -> Iterator[Correction]:
    """The refit with no damping, and with the one for which its equations hold best."""
    assert layer.H is not None
    change, mean = layer.theirs - layer.W, float(np.diag(layer.H).mean()) or 1.0
    yield Correction("refit", BEST, Damping(0.0, "no damping"), refit)
    for words, own in ((BEST, change), (f"{BEST}, with ½λ‖w‖² of the new weights in its loss", layer.theirs)):
        lam = multiplier(change @ layer.H, own, layer.gone)
        damping = Damping(lam, f"λ = {lam / mean:.4g} of the mean of H's diagonal")
        yield Correction("refit", words, damping, refit if words == BEST else ridge(lam))


def _judged(correction: Correction, layer: Layer) -> Kept:
    """Their weights beside those of a correction, and what changes of the last digit make of these."""
    try:
        ours = _made(correction, layer.W, layer.H, layer)
        size = _size(layer.W, layer) or 1.0
        residual = _size(layer.theirs - ours, layer) / size
        base = layer.stored * (layer.stored > layer.eps) + 100.0 * layer.eps
        moved = 0.0
        if base < residual < NEAR and correction.kind != "unmoved":  # else no more need be known
            moved = max(_size(_shaken(correction, layer, j) - ours, layer) for j in range(2)) / size
    except np.linalg.LinAlgError:
        return Kept(correction, layer.W, np.inf, 0.0, np.inf)
    apart = np.abs(layer.theirs - ours)[~layer.gone]
    return Kept(correction, ours, residual, base + 20.0 * moved, float(np.median(apart)) if apart.size else 0.0)


def _size(W: Array, layer: Layer) -> float:
    return float(np.linalg.norm(np.where(layer.dead, 0.0, W)))


def _made(correction: Correction, W: Array, H: Array | None, layer: Layer) -> Array:
    if H is None:
        return unmoved(W, layer.gone, W)
    return correction.made(np.where(layer.dead, 0.0, W), layer.gone, damped(H, layer.dead, correction.damping.lam))


def damped(H: Array, dead: Array, lam: float) -> Array:
    """H + λI, with ones for dead inputs."""
    return H + np.diag(dead + lam)


def _shaken(correction: Correction, layer: Layer, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    W = layer.W * (1.0 + layer.eps * rng.choice([-1.0, 1.0], layer.W.shape))
    assert layer.H is not None
    signs, lengths = np.triu(rng.choice([-1.0, 1.0], layer.H.shape)), np.diag(layer.H) ** 0.5
    moved = layer.eps * (signs + np.triu(signs, 1).T) * lengths * lengths[:, None]  # of sums of products
    return _made(correction, W, layer.H + moved, layer)


def _between(layer: Layer, tried: list[Kept]) -> Iterator[Damping]:
    """The λ for which the sweep comes closest, beside the best of those tried."""
    assert layer.H is not None
    mean, swept_by = float(np.diag(layer.H).mean()) or 1.0, [k for k in tried if k.correction.kind == "sweep"]
    best = min(swept_by, key=lambda k: k.residual).correction.damping.lam
    if not best:
        return
    low, high = (np.log(share * best) for share in (0.1, 10.0))
    found = minimize_scalar(
        lambda log: min(_judged(swept(Damping(np.exp(log), ""), 128), layer).residual, 1e300),
        bounds=(low, high), method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    share = float(f"{np.exp(found.x) / mean:.6g}")  # of a number somebody chose
    yield Damping(share * mean, f"λ = {share:g} of the mean of H's diagonal")


def _widths(layer: Layer, given: int | None) -> list[int]:
    """Of blocks of columns, as far as they differ."""
    n = layer.W.shape[1]
    return list(dict.fromkeys(min(width, n) for width in ([given] if given else []) + list(WIDTHS)))


# --- those that went ---------------------------------------------------------------------------------------------


def chosen(layer: Layer, held: Kept, given: float | None, width: int | None, claimed: str) -> list[Reading]:
    """The readings of the mask that fit: without a mistake, as claimed, as the correction has it; else the closest."""
    own = {"sweep": "sparsegpt", "refit": "obs"}.get(held.correction.kind, "")
    scores, found = list[Score](), list[Reading]()
    for score in _scores(layer, held, given, width):
        scores.append(score)
        found += _read(layer, score)
        if _plainly(found[-1], claimed or own):
            return [found[-1], *(r for r in found[:-1] if not r.wrong)]
    if "obs" in (own, claimed) or all(r.wrong for r in found):
        found += _greedy(layer, held, given)
    if all(r.wrong for r in found):
        found += [reading for score in scores for reading in _read(layer, masks.upside_down(score))]
    fit = [r for r in found if not r.wrong] or [min(found, key=lambda r: (bool(r.score.defect), r.wrong))]
    return sorted(
        fit, key=lambda r: (bool(r.score.defect), bool(r.departure), r.score.method != claimed, r.score.method != own)
    )  # fmt: skip


def _plainly(reading: Reading, method: str) -> bool:
    """Whether nothing else need be looked at."""
    meant = reading.score.method in (method, method or reading.score.method)
    return meant and not (reading.wrong or reading.score.defect or reading.departure)


def _greedy(layer: Layer, held: Kept, given: float | None) -> Iterator[Reading]:
    if layer.H is not None:
        try:
            yield from masks.greedy(layer.W, _hessian(layer, held, given), layer.gone, layer.aside, WORK)
        except np.linalg.LinAlgError:
            return


def _hessian(layer: Layer, held: Kept, given: float | None) -> Array:
    """H with the damping that the weights show; where they show none, with the one that is given, or in use."""
    assert layer.H is not None
    usual = (SHARES[0] if given is None else given) * float(np.diag(layer.H).mean())
    shown = held.fits and held.correction.kind != "unmoved"
    return damped(layer.H, layer.dead, held.correction.damping.lam if shown else usual)


def _scores(layer: Layer, held: Kept, given: float | None, width: int | None) -> Iterator[Score]:
    yield from masks.plain(layer.W, layer.h)
    if layer.H is None:
        return
    H = _hessian(layer, held, given)
    try:
        right, P = triangle(H), np.linalg.inv(H)
    except np.linalg.LinAlgError:
        return
    yield from masks.by_inverse(layer.W, P)
    own, how = (held.correction.factor or triangle)(H), held.correction.how
    start = np.where(layer.dead, 0.0, layer.W)
    for each in _widths(layer, width):
        yield from masks.along_sweep(start, right, right, P, each, late=True)
        if held.correction.defect:
            seen = sweep(start, right.V, layer.gone, each)[1]
            yield from masks.along_sweep(seen, right, right, P, each)
        seen = sweep(start, own.V, layer.gone, each, **how)[1]
        unsure = 4.0 * held.tolerance * np.abs(seen).mean() / np.maximum(np.abs(seen), 1e-300) if held.fits else 0.0
        yield from masks.along_sweep(seen, own, right, P, each, unsure)


def _read(layer: Layer, score: Score) -> Iterator[Reading]:
    """In the widest groups that fit, and on to the method's own."""
    slack = 100.0 * layer.eps + 4.0 * layer.stored * (layer.stored > layer.eps)
    for part in masks.groups(layer.W.shape, layer.gone, layer.aside, score.width):
        reading = masks.read(score, part, layer.gone, slack, layer.aside)
        yield reading
        if not (reading.wrong or reading.departure):
            return
