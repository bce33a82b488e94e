"""What a matrix is, in a sentence: the verdicts of ``diagnose``."""

from typing import Any, NamedTuple

import numpy as np

from refopt.oracle.candidates import Array, Candidate
from refopt.oracle.crossed import Crossed
from refopt.oracle.damped import Damped
from refopt.oracle.differences import Differences
from refopt.oracle.layouts import blocks_of
from refopt.oracle.readings import Explanation, View, good
from refopt.oracle.reductions import scale_in_words
from refopt.oracle.sampled import Sampled

CLOSE = 5e-3  #: what is no closer is something else; bfloat16 leaves less


class Diagnosis(NamedTuple):
    """What theirs is."""

    kind: str  #: "fisher", "empirical", …; empty where nothing explains it
    reduction: str  #: "sum", "mean", …, or a number in words
    vec: str  #: "row" or "column"; "mixed" where one layer has it otherwise
    bias: str  #: "after", "first", "joint", "joint-first", "last"
    damping: float  #: λ that was added to the diagonal
    scale: float  #: α beside the problem's own c
    residual: float
    sentence: str
    alternatives: list[str]  #: other readings that fit as well
    tolerance: float = 0.0  #: what rounding explains of the residual
    defect: str = ""  #: a mistake that it is, by name
    structure: str = "full"  #: or "block-diagonal", "array-diagonal", "diagonal" of what it is; "kfac"
    backwards: bool = False  #: the last layer comes first

    def __bool__(self) -> bool:
        return bool(self.kind)


def told(
    view: View, found: list[Explanation], problem: Any, x: Array, plain: list[Candidate], claim: str, tolerance: float
) -> Diagnosis:  # fmt: skip
    fit = good(found, tolerance)
    if not fit and found[0].residual <= tolerance:
        lam, layout = found[0].damping, found[0].layout
        text = f"Yours is {lam:.6g} times the identity: no curvature is in it."
        return Diagnosis("", "", layout.stacking, layout.bias, lam, 0.0, found[0].residual, text, [], tolerance)
    if not fit:
        return _nothing(view, found, problem, tolerance)
    best = fit[0]
    what = best.candidate
    precision = max(1e-6, 2.0 * best.residual)
    words, reduction = scale_in_words(best.alpha, problem, precision)
    same = [e for e in fit[1:] if _same(e, best)]
    others = [e for e in fit[1:] if e not in same]
    diagonal = view.theirs.ndim == 1 and view.v is None
    text = f"Yours is {'the diagonal of ' * diagonal}{what.words}"
    alike = sorted({e.candidate.words for e in same if e.candidate.kind != what.kind and e.layout.usual})
    if alike:
        text += f" (which here is {' and '.join(alike)} too)"
    text += f", {words}"
    if not best.layout.usual:
        text += f", {best.layout.words}"
    if best.damping:
        relative = best.damping / (np.trace(best.alpha * what.matrix) / len(x) or 1.0)
        text += f", with {best.damping:.6g} added to the diagonal ({relative:.3g} of its mean)"
    text += f", to {best.residual:.1e} where rounding explains {tolerance:.1e}."
    if what.defect:
        text += f" That is a mistake: {what.defect}."
    text += _beside_claim(best, plain, claim)
    alternatives = [
        f"{e.candidate.words}, {scale_in_words(e.alpha, problem, precision)[0]}, {e.layout.words}" for e in others[:5]
    ]
    if count := len(alternatives):
        text += f" {count} other reading{'s fit' if count > 1 else ' fits'} as well."
    return Diagnosis(
        what.kind, reduction, best.layout.stacking, best.layout.bias, best.damping, best.alpha, best.residual, text,
        alternatives, tolerance, what.defect, what.structure, best.layout.reversed,
    )  # fmt: skip


def _same(e: Explanation, best: Explanation) -> bool:
    """The same numbers under another name."""
    if abs(e.alpha - best.alpha) > 1e-8 * abs(best.alpha) or abs(e.damping - best.damping) > 1e-8 * abs(best.alpha):
        return False
    A, B = e.candidate.matrix, best.candidate.matrix
    return (
        bool(np.abs(A - B).max() <= 1e-10 * np.abs(B).max()) and e.layout.order.tolist() == best.layout.order.tolist()
    )


def _beside_claim(best: Explanation, plain: list[Candidate], claim: str) -> str:
    """How far what they claim it to be is from what it is."""
    wanted = next((c for c in plain if c.kind == claim), None)
    if wanted is None or wanted.kind == best.candidate.kind:
        return ""
    A, B = best.candidate.matrix, wanted.matrix
    apart = float(np.linalg.norm(A - B) / np.linalg.norm(B))
    said = wanted.words[0].upper() + wanted.words[1:]
    return "" if apart <= 1e-10 else f" {said}, which you say it is, differs by {100 * apart:.3g} %."


def _nothing(view: View, found: list[Explanation], problem: Any, tolerance: float) -> Diagnosis:
    """Nothing explains it: how close the closest definition comes, and where it leaves most."""
    best = next((e for e in found if not e.candidate.defect and e.alpha > 0.0), found[0])
    order = "" if best.layout.usual else f", {best.layout.words}"
    fields = best.layout.stacking, best.layout.bias, best.damping, best.alpha, best.residual
    if best.residual <= CLOSE:
        scale = scale_in_words(best.alpha, problem, max(1e-6, 2.0 * best.residual))[0]
        text = (
            f"Yours is {best.candidate.words}, {scale}{order}, but only to {best.residual:.1e}, where rounding "
            f"explains {tolerance:.1e}. Differences or a coarser type of numbers leave as much; so does a small term "
            f"that is wrong. accuracy={_above(best.residual)} lets it pass."
        )
        return Diagnosis("", "", *fields, text, [], tolerance)
    left = 100 * best.residual
    text = f"Nothing explains yours. The closest is {best.candidate.words}{order}, which leaves {left:.3g} %"
    whole = view.target(best.layout, True)
    K, one = view.columns(best.candidate, best.layout, True)
    parts = blocks_of(problem, len(view.theirs))
    if len(parts) > 1:
        share = _shares(whole - best.alpha * K - best.damping * one, parts)
        worst = max(share, key=lambda name: share[name])
        text += f"; {100 * share[worst]:.3g} % of the square of that is in {worst}"
    text += _row(whole - best.alpha * K - best.damping * one, best.layout.order) + "." + _constant(view.theirs, K)
    if view.theirs.ndim == 2:
        apart = float(np.linalg.norm(view.theirs - view.theirs.T) / np.linalg.norm(view.theirs))
        text += f" Yours is not symmetric: it differs from its transpose by {100 * apart:.3g} %." * (apart > tolerance)
    return Diagnosis("", "", *fields, text, [], tolerance)


def _row(R: Array, order: Array) -> str:
    """The one row, or entry, in which most of R sits, as they count it."""
    rows = (R * R).reshape(len(R), -1).sum(1)
    k = int(np.argmax(rows))
    where = "row" if R.ndim == 2 else "entry"
    return f", most of it in {where} {int(np.argmax(order == k))}" if rows[k] > 0.5 * rows.sum() else ""


def _constant(T: Array, K: Array) -> str:
    """Rows and columns of zeros, that the closest has not."""
    zero = np.flatnonzero(~T.any(axis=0) & ~T.any(axis=1)) if T.ndim == 2 else np.empty(0, int)
    if not zero.size or len(zero) == np.count_nonzero(~K.any(axis=0)):
        return ""
    return (
        f" Of yours {zero.size} rows and columns are zero, the first {zero[0]}, as if these parameters were constant."
    )


def _shares(R: Array, parts: list[tuple[str, slice]]) -> dict[str, float]:
    """How much of ‖R‖² each block holds."""
    total = float((R * R).sum()) or 1.0
    if R.ndim == 1:
        return {f"layer {name}": float((R[p] ** 2).sum()) / total for name, p in parts}
    return {
        f"block ({row}, {column})": float((R[p, q] ** 2).sum()) / total for row, p in parts for column, q in parts
    }  # fmt: skip


def of_entries(what: Candidate, alpha: float, theirs: Array, off: Array, problem: Any, tolerance: float) -> Diagnosis:
    """A diagonal of which a few entries are wrong."""
    ours, k, count = alpha * np.diag(what.matrix), int(np.argmax(off)), int(off.sum())
    name = next(name for name, part in blocks_of(problem, len(theirs)) if part.start <= k < part.stop)
    words, where = scale_in_words(alpha, problem)[0], f", in layer {name}" * bool(name)
    text = (
        f"Nothing explains yours. It is the diagonal of {what.words}, {words}, but for {count} of {off.size} entries, "
        f"the first entry {k}{where}: {theirs[k]:.6g}, not {ours[k]:.6g}."
    )
    residual = float(np.linalg.norm(theirs - ours) / np.linalg.norm(theirs))
    return Diagnosis("", "", "row", "after", 0.0, alpha, residual, text, [], tolerance)


def of_relative(
    what: Candidate, layout: Any, alpha: float, lam: float, residual: float, problem: Any, tolerance: float
) -> Diagnosis:  # fmt: skip
    words, reduction = scale_in_words(alpha, problem)
    text = f"Yours is {what.words}, {words}{'' if layout.usual else f', {layout.words}'}, with {lam:.6g} times its own "
    text += f"diagonal added to it, to {residual:.1e} where rounding explains {tolerance:.1e}."
    return Diagnosis(
        what.kind, reduction, layout.stacking, layout.bias, lam, alpha, residual, text, [], tolerance, what.defect,
        backwards=layout.reversed,
    )  # fmt: skip


# --- what is sampled, and what is damped factor by factor -----------------------------------------------------------


def of_samples(found: Sampled, tolerance: float) -> Diagnosis:
    reduction = "" if abs(found.scale - 1.0) <= 1e-6 else f"{found.scale:.6g}"
    return Diagnosis(
        found.kind, reduction, found.layout.stacking, found.layout.bias, 0.0, found.scale, found.residual, found.text,
        [], max(tolerance, found.residual), found.defect, backwards=found.layout.reversed,
    )  # fmt: skip


def of_differences(found: Differences, tolerance: float) -> Diagnosis:
    text = (
        f"Yours is the Hessian by {found.form} differences of the gradient with a step of {found.step:.3g}, to "
        f"{found.residual:.1e}; such differences leave {found.leaves:.1e} of it."
    )
    defect = f"the step of {found.step:.3g} is too large" if found.leaves > CLOSE else ""
    text += f" That is a mistake: {defect}." if defect else f" accuracy={_above(found.leaves)} lets it pass."
    kind = "hessian-by-differences" if defect else ""
    return Diagnosis(kind, "", "row", "after", 0.0, 1.0, found.leaves, text, [], tolerance, defect)


def of_crossed(found: Crossed, problem: Any, tolerance: float, is_product: bool) -> Diagnosis:
    words, reduction = scale_in_words(found.alpha, problem)
    one, two = ("its result is", "v") if is_product else ("its rows are", "its columns")
    defect = f"{one} {found.rows.words}, and {two} {found.columns.words}: a transpose is on one side only"
    text = f"Yours is {found.candidate.words}, {words}, but {defect}; to {found.residual:.1e} where rounding explains "
    return Diagnosis(
        found.candidate.kind, reduction, "mixed", found.rows.bias, 0.0, found.alpha, found.residual,
        f"{text}{tolerance:.1e}.", [], tolerance, defect,
    )  # fmt: skip


def _above(error: float) -> str:
    """The power of ten above."""
    return f"{10.0 ** np.ceil(np.log10(error)):.0e}"


def of_damped(found: Damped, problem: Any, tolerance: float) -> Diagnosis:
    words, reduction = scale_in_words(found.alpha, problem)
    lam = found.lam[0]
    same = np.allclose(found.lam, lam, rtol=1e-5)
    damping = f"λ = {lam:.6g}" if same else f"λ = {', '.join(f'{each:.6g}' for each in found.lam)} from layer to layer"
    text = f"Yours is {found.words}, {words}{'' if found.layout.usual else f', {found.layout.words}'}, "
    text += f"its factors damped, (G + √λ/π I) ⊗ (A + π√λ I) with {damping} and {found.rule}."
    return Diagnosis(
        found.kind, reduction, found.layout.stacking, found.layout.bias, lam if same else 0.0, found.alpha,
        found.residual, text, [], tolerance, structure="kfac", backwards=found.layout.reversed,
    )  # fmt: skip
