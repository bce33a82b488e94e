"""Which weights a pruning has taken: scores, and the groups within which the lowest of them go.

    magnitude   |w|                         Wanda   |w| ‖x_j‖                   OBD   ½ h w²,  h = H_jj of a layer
    OBS         w²/[H⁻¹]_jj                 SparseGPT   w²/U_jj² with the weights as the sweep finds them

A mask goes by a score when in every group (the layer, a row, a block of columns, m weights of a row) no weight is kept
that scores less than one that goes, but for what rounding leaves open. Of several groups the widest is told: what holds
in a layer holds in its rows.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from refopt.oracle.prunings.corrections import Array, Factor
from refopt.pruning import obs_rows

SIZES = (64, 32, 16, 8, 4, 2)  #: m of n:m


USUAL = {"rows": "within each row", "layer": "over the whole layer", "blocks": "in blocks of columns, over all rows"}


class Score(NamedTuple):
    """What ranks weights."""

    method: str
    words: str
    values: Array  #: (out, n), not negative
    defect: str = ""
    width: int = 0  #: of the blocks of columns for which it was made; 0 where it was made for all at once
    within: tuple[str, ...] = ()  #: the groups in which the method compares; any where it is empty
    unsure: Any = 0.0  #: what rounding leaves of it, relative


class Groups(NamedTuple):
    """A partition of a layer's weights."""

    name: str
    words: str
    labels: Array  #: (out, n) the number of each weight's group


class Reading(NamedTuple):
    """A mask, read as the lowest scores of groups."""

    score: Score
    groups: Groups
    wrong: int  #: weights that go or stay against it
    first: tuple[int, int] | None  #: the first of them, column by column

    @property
    def departure(self) -> str:
        """What the method has in place of these groups, where it has others."""
        name, within = self.groups.name, self.score.within
        if name == "pattern":
            m = np.count_nonzero(self.groups.labels == 0)
            late = self.score.width not in (0, m)
            return "chooses them when the sweep comes to them, not where its block begins" if late else ""
        return f"compares {USUAL[within[0]]}" if within and name not in within else ""


def groups(shape: tuple[int, int], gone: Array, aside: Array, width: int = 0) -> Iterator[Groups]:
    """Those that lose alike, the widest first; with a width only what lies in blocks of columns."""
    rows, columns = np.indices(shape)
    n, wide = shape[1], width in (0, shape[1])
    if wide:
        yield Groups("layer", "over the whole layer", 0 * rows)
        yield from _alike([Groups("rows", "within each row", rows)], gone, aside)
    else:
        yield Groups("blocks", f"in each block of {width} columns, over all rows", columns // width)
    lost = {m: int(gone[0, :m].sum()) for m in SIZES if n % m == 0 and m < n and (width or m) % m == 0}
    yield from _alike(
        [Groups("pattern", f"{lost[m]} of every {m} weights of a row", rows * (n // m) + columns // m)
         for m in lost if 0 < lost[m] < m], gone, None)  # fmt: skip
    if not wide:
        labels, words = rows * -(-n // width) + columns // width, f"in each block of {width} columns of each row"
        yield from _alike([Groups("blocks of rows", words, labels)], gone, aside)
    if not width:
        yield from _alike([Groups("columns", "within each column", columns)], gone, aside)


def _alike(parts: list[Groups], gone: Array, aside: Array | None) -> Iterator[Groups]:
    """Those of which all groups lose as many, or one more, and some not all; without `aside` exactly as many."""
    for part in parts:
        labels = part.labels.ravel()
        counts = [np.bincount(labels, gone.ravel())]
        mixed = (counts[0] > 0) & (counts[0] < np.bincount(labels))
        counts += [] if aside is None else [np.bincount(labels, (gone & ~aside).ravel())]
        if mixed.any() and min(map(np.ptp, counts)) <= (aside is not None):
            yield part


def read(score: Score, part: Groups, gone: Array, slack: float, aside: Array) -> Reading:
    """The weights that go or stay against their scores; those `aside` are not looked at."""
    unsure = np.minimum(slack + score.unsure, 1.0)
    low, high = score.values * (1.0 - unsure), score.values * (1.0 + unsure)
    count = int(part.labels.max()) + 1
    most, least = np.full(count, -np.inf), np.full(count, np.inf)  # of what has gone, and of what is kept
    taken, left = gone & ~aside, ~gone & ~aside
    np.maximum.at(most, part.labels[taken], low[taken])
    np.minimum.at(least, part.labels[left], high[left])
    if not (most > least).any():
        return Reading(score, part, 0, None)
    against = _lowest(score.values, part.labels, gone, aside) != (gone & ~aside)
    return Reading(score, part, *_first(against))


def _first(against: Array) -> tuple[int, tuple[int, int] | None]:
    where = np.argwhere(against.T)
    return len(where), (int(where[0][1]), int(where[0][0])) if len(where) else None


def _lowest(values: Array, labels: Array, gone: Array, aside: Array) -> Array:
    """As many of each group as have gone, the lowest."""
    order = np.lexsort((values.reshape(-1), labels.reshape(-1)))
    order = order[~aside.reshape(-1)[order]]
    label = labels.reshape(-1)[order]
    counts = np.bincount(label, gone.reshape(-1)[order], int(labels.max()) + 1)
    goes = np.zeros(values.size, bool)
    goes[order] = np.arange(len(order)) - np.searchsorted(label, label) < counts[label]
    return goes.reshape(values.shape)


# --- scores ------------------------------------------------------------------------------------------------------


def plain(W: Array, h: Array) -> Iterator[Score]:
    """Scores of the weights as they were; h is the diagonal of H, of the inputs or of each weight."""
    size = np.abs(W)
    yield Score("magnitude", "|w|", size)
    if h.ndim == 1:
        yield Score("wanda", "|w| ‖xⱼ‖", size * np.sqrt(h), within=("rows",))
    yield Score("obd", "½ h w²", h * size**2)
    yield Score("obd", "h |w|", h * size, "w is not squared in the score: h |w| for ½ h w², or |w| ‖xⱼ‖² for |w| ‖xⱼ‖")
    yield Score("obd", "h", h + 0.0 * size, "w is left out of the score")
    yield Score("magnitude", "w", W - W.min(), "the sign of w is in the score: w for |w|")
    yield Score("obd", "w²/h", size**2 / np.where(h > 0.0, h, 1.0), "h divides w², where it should multiply it")


def by_inverse(W: Array, P: Array) -> Iterator[Score]:
    """OBS for the weights as they were."""
    yield Score("obs, once", "w²/[H⁻¹]ⱼⱼ of the weights as they were", W**2 / np.diag(P))


def along_sweep(
    seen: Array, F: Factor, U: Factor, P: Array, width: int, unsure: Any = 0.0, late: bool = False
) -> Iterator[Score]:
    """SparseGPT with the weights as a sweep by F finds them, block by block; U is the right factor, P = H⁻¹.

    late: `seen` are the weights before the sweep.
    """
    w2 = seen**2
    mistake = "the score is of the weights before the sweep, without the corrections they have had" * late
    whole = "the score has the diagonal of the whole H⁻¹ for every column, not of the inverse of what is left of H"
    rows: list[tuple[str, Array, str]] = [
        ("w²/Uⱼⱼ²", w2 / U.d, mistake),
        ("w²/Uⱼⱼ", w2 / np.sqrt(U.d), "Uⱼⱼ is not squared in the score"),
        ("w²/[H⁻¹]ⱼⱼ", w2 / np.diag(P), whole),
        ("w² Uⱼⱼ²", w2 * U.d, "Uⱼⱼ² multiplies w², where it should divide it"),
        ("w²", w2, "the score is w² alone"),
    ]
    if not np.array_equal(F.d, U.d):
        rows.insert(1, ("w²/Uⱼⱼ² with U of a wrong factor", w2 / F.d, "the score has the wrong factor too"))
    when = "of the weights as they were" if late else "of the weights as the sweep finds them"
    within = ("layer",) if width == seen.shape[1] else ("blocks",)
    for words, values, defect in rows[:2] if late else rows:
        yield Score("sparsegpt", f"{words} {when}", values, defect, width, within, unsure)


def upside_down(score: Score) -> Score:
    """The same with the greatest going."""
    return score._replace(values=score.values.max() - score.values, defect="the weights of greatest score go")


def greedy(W: Array, H: Array, gone: Array, aside: Array, work: float) -> Iterator[Reading]:
    """OBS one weight after the other: the cheapest of all rows, or as many of each row."""
    if len(W) * float(len(H)) ** 3 > work:
        return
    counts = gone.sum(axis=1)
    for part in groups(W.shape, gone, aside):
        how, count = {"layer": ("global", gone.sum()), "rows": ("uniform", counts[0])}.get(part.name, ("", 0))
        if how == "global" or (how and (counts == count).all()):
            done = obs_rows(W, None, count=int(count), rows=how, damping=0.0, hessian=H)
            score = Score("obs", "w²/[H⁻¹]ⱼⱼ of what is left, one weight after the other", np.asarray(done.saliency))
            yield Reading(score, part, *_first((np.asarray(done.mask) == gone) & ~aside))
