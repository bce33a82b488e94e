"""Diagnose: what somebody's curvature matrix, diagonal, product or factors *are*, and under which conventions.

    found = refopt.oracle.diagnose(theirs, problem, x)
    print(found.sentence)
        Yours is the empirical Fisher matrix, summed, column-stacked, with 0.001 added to the diagonal; the exact Fisher
        matrix, which you said it is, differs by 35 %.

For every order of the parameters (``layouts``) and every matrix of the field (``candidates``) the two numbers of

    theirs = α K + λ I

are found by least squares, on a few products with random vectors first, on everything for those that fit. What remains
must be what rounding explains: of inputs that change in the last digit. α is the reduction, λ the damping. A matrix
that nothing explains may be a sampled Fisher matrix: its distance from the exact one is held beside draws of ours.
"""

from copy import copy
from typing import Any, NamedTuple

import numpy as np

from refopt.curvature import ggn
from refopt.oracle import factors
from refopt.oracle.candidates import Array, Candidate, factored, matrices, structured, summed
from refopt.oracle.iterates import host
from refopt.oracle.layouts import Layout, blocks_of, layers_of, layouts
from refopt.oracle.reductions import scale_in_words
from refopt.oracle.sampled import samples_of
from refopt.supervised import Supervised


class Explanation(NamedTuple):
    """One reading of theirs: αK + λI in some order, up to a residual."""

    candidate: Candidate
    layout: Layout
    alpha: float
    damping: float
    residual: float  #: relative to theirs


class Diagnosis(NamedTuple):
    """What theirs is."""

    kind: str  #: "fisher", "empirical", …; empty where nothing explains it
    reduction: str  #: "sum", "mean", …, or a number in words
    vec: str  #: "row" or "column"
    bias: str  #: "after", "first", "joint", "joint-first", "last"
    damping: float  #: λ that was added to the diagonal
    scale: float  #: α beside the problem's own c
    residual: float
    sentence: str
    alternatives: list[str]  #: other readings that fit as well
    tolerance: float = 0.0  #: what rounding explains of the residual
    defect: str = ""  #: a mistake that it is, by name

    def __bool__(self) -> bool:
        return bool(self.kind)


def diagnose(
    theirs: Any, problem: Any, x: Any, v: Any = None, claim: str = "", labels: Any = None, seed: int = 0
) -> Diagnosis:
    """Say what `theirs` is: a matrix (P, P), a diagonal (P,), the product with v, or Kronecker factors [(A, G), …].

    problem: a ``Supervised`` (or ``LeastSquares``, or ``Problem``) and x (P,), in our order.   v is in *their* order.
    claim: what they say it is, "fisher", "ggn", "hessian" or "empirical", to be told how far that is.   labels: those
    that they sampled.   Cost: each matrix once, P² for each reading, P³ nowhere.
    """
    x = host(x)
    if isinstance(theirs, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in theirs):
        return _of_factors(theirs, problem, x)
    theirs, size = host(theirs), x.size
    _check(theirs, size, v)
    view = _View(theirs.astype(float), None if v is None else host(v).astype(float), np.random.default_rng(seed))
    eps = float(np.finfo(theirs.dtype if theirs.dtype.kind == "f" else float).eps)
    blocks = [part for _, part in blocks_of(problem, size)]
    arrays = [slot.part for _, slots in layers_of(problem, size) for slot in slots] or blocks
    plain = matrices(problem, x, labels)
    if claim and claim not in (kinds := [c.kind for c in plain]):
        raise ValueError(f"claim is {claim!r}; it can be {', '.join(kinds)}")
    candidates = structured(plain, blocks, arrays) if theirs.ndim == 2 or v is not None else [*plain, *summed(plain)]
    orders, tolerance = layouts(problem, size), _rounding(problem, x, eps)
    found = _readings(view, candidates, orders)
    if not _good(found, tolerance):
        found = sorted(found + _readings(view, factored(problem, x), orders), key=lambda e: e.residual)
    if not _good(found, tolerance) and theirs.ndim == 2 and (sampled := samples_of(theirs, problem, x, orders, seed)):
        return Diagnosis("monte-carlo", *sampled)
    return _told(view, found, problem, x, plain, claim, tolerance)


def _rounding(problem: Any, x: Array, eps: float) -> float:
    """What rounding explains: of x and X that change in the last digit, as it shows in the Gauss-Newton matrix.

    Twenty times the larger of three such changes, and a thousand eps. Without a network: a million eps.
    """
    if not isinstance(problem, Supervised):
        return 1e6 * eps
    G, moves, rng = np.asarray(ggn(problem, x), float), [0.0], np.random.default_rng(0)
    for _ in range(3):
        other = copy(problem)
        if np.asarray(problem.X).dtype.kind == "f":
            other.X = problem.X * (1.0 + eps * rng.choice([-1.0, 1.0], problem.X.shape))
        there = np.asarray(ggn(other, x * (1.0 + eps * rng.choice([-1.0, 1.0], x.shape))), float)
        moves.append(float(np.linalg.norm(there - G) / (np.linalg.norm(G) or 1.0)))
    return 1e3 * eps + 20.0 * max(moves)


def _of_factors(theirs: Any, problem: Any, x: Array) -> Diagnosis:
    """Pairs of Kronecker factors, one for each layer."""
    found = factors.fits(theirs, problem, x)
    if not found:
        raise ValueError("these pairs have neither the number nor the shapes of the layers' factors A and G")
    best, layers = found[0], [name for name, _ in layers_of(problem, x.size)]
    tolerance = _rounding(problem, x, float(np.finfo(host(theirs[0][0]).dtype).eps))
    bias = {"last": "joint", "first": "joint-first", "none": "separate"}[best.bias]
    if best.residual > tolerance:
        text = f"Nothing explains these factors; those of {best.fisher} K-FAC come closest, to {best.residual:.3g}."
        return Diagnosis("", "", "row", bias, 0.0, best.alphas[0][0] * best.alphas[0][1], best.residual, text, [])
    text, reduction, scale = factors.told(best, scale_in_words, problem, layers, factors.is_shared(problem, x))
    others = [f"{f.fisher} ({f.sharing})" for f in found[1:] if f.residual <= tolerance and f[:4] != best[:4]]
    damping = best.dampings[0][0] * best.dampings[0][1]
    kind = f"kfac-{best.fisher}"
    return Diagnosis(kind, reduction, "row", bias, damping, scale, best.residual, text, others, tolerance)


def _check(theirs: Array, size: int, v: Any) -> None:
    shapes = [(size,)] if v is not None else [(size, size), (size,)]
    if theirs.shape not in shapes:
        wanted = " or ".join(map(str, shapes))
        raise ValueError(f"x has {size} parameters, so theirs must have shape {wanted}; it has {theirs.shape}")
    if theirs.dtype.kind not in "fiu" or not np.isfinite(theirs).all():
        raise ValueError("theirs must hold finite real numbers")
    if not theirs.any():
        raise ValueError("theirs is zero throughout: nothing can be said of it")


class _View:
    """Theirs, and what of a candidate it is compared with."""

    def __init__(self, theirs: Array, v: Array | None, rng: np.random.Generator) -> None:
        self.theirs, self.v = theirs, v
        self.probes = rng.choice([-1.0, 1.0], (len(theirs), 3))
        self.size = float(np.linalg.norm(theirs))

    def target(self, layout: Layout, whole: bool) -> Array:
        """Theirs in our order: its products with a few vectors, or all of it."""
        back = np.argsort(layout.order)
        if self.theirs.ndim == 1:
            return self.theirs[back]
        return self.theirs[np.ix_(back, back)] if whole else (self.theirs @ self.probes[layout.order])[back]

    def columns(self, candidate: Candidate, layout: Layout, whole: bool) -> tuple[Array, Array]:
        """The same of the candidate and of the identity."""
        K = candidate.matrix
        if self.theirs.ndim == 2:
            return (K, np.eye(len(K))) if whole else (candidate.times(self.probes), self.probes)
        if self.v is None:
            return np.diag(K), np.ones(len(K))
        v = self.v[np.argsort(layout.order)]
        return K @ v, v

    def explained(self, candidate: Candidate, layout: Layout, whole: bool) -> Explanation:
        """The best α and λ."""
        return self.fitted(candidate, layout, self.target(layout, whole), whole)

    def fitted(self, candidate: Candidate, layout: Layout, T: Array, whole: bool = False) -> Explanation:
        K, one = self.columns(candidate, layout, whole)
        alpha, lam, rest = _fitted(T, K, one)
        return Explanation(candidate, layout, alpha, lam, rest / (float(np.linalg.norm(T)) or 1.0))


def _fitted(T: Array, K: Array, one: Array) -> tuple[float, float, float]:
    """α and λ of the least ‖T − αK − λ1‖; λ = 0 where that is as good."""
    kk, ko, oo = (float((a * b).sum()) for a, b in ((K, K), (K, one), (one, one)))
    kt, ot = float((K * T).sum()), float((one * T).sum())
    if kk == 0.0:
        return 0.0, 0.0, float(np.linalg.norm(T))
    alpha = kt / kk
    plain = float(np.linalg.norm(T - alpha * K))
    det = kk * oo - ko * ko
    if det <= 1e-12 * kk * oo:
        return alpha, 0.0, plain
    a, lam = (oo * kt - ko * ot) / det, (kk * ot - ko * kt) / det
    damped = float(np.linalg.norm(T - a * K - lam * one))
    return (a, lam, damped) if damped < 0.1 * plain else (alpha, 0.0, plain)


def _readings(view: _View, candidates: list[Candidate], orders: list[Layout]) -> list[Explanation]:
    """Every reading, best first; those that a sketch lets through are judged as a whole."""
    targets = [(layout, view.target(layout, False)) for layout in orders]
    found = [view.fitted(candidate, layout, T) for layout, T in targets for candidate in candidates]
    found.sort(key=lambda e: e.residual)
    if view.theirs.ndim == 1:
        return found
    good = [e for e in found[:40] if e.residual <= max(10.0 * found[0].residual, 1e-6)]
    judged = [view.explained(e.candidate, e.layout, True) for e in good[:12]]
    return sorted(judged, key=lambda e: e.residual) + found[len(good) :]


def _good(found: list[Explanation], tolerance: float) -> list[Explanation]:
    """The readings that leave no more than rounding, simplest first; those with a minus sign where there are no others.

    Where αK is itself no more than rounding beside λI, K is not in it.
    """
    good = [e for e in found if e.residual <= tolerance and _is_in(e, tolerance)]
    good = [e for e in good if e.alpha > 0.0] or [e for e in good if e.damping == 0.0]
    return sorted(good, key=_simplicity)


def _is_in(e: Explanation, tolerance: float) -> bool:
    K = e.candidate.matrix
    return bool(abs(e.alpha) * np.linalg.norm(K) > tolerance * abs(e.damping) * len(K) ** 0.5)


def _simplicity(e: Explanation) -> tuple[Any, ...]:
    """Fewer departures from the definition come first."""
    structure = ("full", "block-diagonal", "array-diagonal", "kfac", "diagonal").index(e.candidate.structure)
    return (
        bool(e.candidate.defect),
        not e.layout.usual,
        e.damping != 0.0,
        structure,
        round(np.log10(e.residual + 1e-300)),
    )


# --- telling it --------------------------------------------------------------------------------------------------


def _told(
    view: _View, found: list[Explanation], problem: Any, x: Array, plain: list[Candidate], claim: str, tolerance: float
) -> Diagnosis:  # fmt: skip
    good = _good(found, tolerance)
    if not good and found[0].residual <= tolerance:
        lam, layout = found[0].damping, found[0].layout
        text = f"Yours is {lam:.6g} times the identity: no curvature is in it."
        return Diagnosis("", "", layout.vec, layout.bias, lam, 0.0, found[0].residual, text, [], tolerance)
    if not good:
        return _nothing(view, found[0], problem)
    best = good[0]
    what = best.candidate
    words, reduction = scale_in_words(best.alpha, problem)
    same = [e for e in good[1:] if _same(e, best)]
    others = [e for e in good[1:] if e not in same]
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
    text += "."
    if what.defect:
        text += f" That is a mistake: {what.defect}."
    text += _beside_claim(best, plain, claim)
    alternatives = [f"{e.candidate.words}, {scale_in_words(e.alpha, problem)[0]}, {e.layout.words}" for e in others[:5]]
    if alternatives:
        text += f" {len(alternatives)} other readings fit as well."
    return Diagnosis(
        what.kind, reduction, best.layout.vec, best.layout.bias, best.damping, best.alpha, best.residual, text,
        alternatives, tolerance, what.defect,
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


def _nothing(view: _View, best: Explanation, problem: Any) -> Diagnosis:
    """Nothing explains it: where the best reading leaves most."""
    text = (
        f"Nothing explains yours. The closest is {best.candidate.words} ({best.layout.words}), which leaves "
        f"{100 * best.residual:.3g} %"
    )
    T = view.target(best.layout, True)
    K, one = view.columns(best.candidate, best.layout, True)
    R = T - best.alpha * K - best.damping * one
    parts = blocks_of(problem, len(view.theirs))
    if len(parts) > 1:
        share = _shares(R, parts)
        worst = max(share, key=lambda name: share[name])
        text += f"; {100 * share[worst]:.3g} % of the square of that is in {worst}"
    return Diagnosis("", "", best.layout.vec, best.layout.bias, 0.0, best.alpha, best.residual, text + ".", [])


def _shares(R: Array, parts: list[tuple[str, slice]]) -> dict[str, float]:
    """How much of ‖R‖² each block holds."""
    total = float((R * R).sum()) or 1.0
    if R.ndim == 1:
        return {f"layer {name}": float((R[p] ** 2).sum()) / total for name, p in parts}
    return {
        f"block ({row}, {column})": float((R[p, q] ** 2).sum()) / total for row, p in parts for column, q in parts
    }  # fmt: skip
