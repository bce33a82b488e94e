"""Readings of somebody's matrix, diagonal or product: theirs = α K + λ I in some order of the parameters.

α and λ are found by least squares, on a few products with random vectors first, on everything for those that fit.
"""

from typing import Any, NamedTuple

import numpy as np

from refopt.oracle.candidates import Array, Candidate
from refopt.oracle.layouts import Layout

SMALL = 1e-2  #: a residual that rounding, a coarse type or differences may leave
STRUCTURES = ("full", "block-diagonal", "array-diagonal", "kfac", "diagonal")


class Explanation(NamedTuple):
    """One reading of theirs: αK + λI in some order, up to a residual."""

    candidate: Candidate
    layout: Layout
    alpha: float
    damping: float
    residual: float  #: relative to theirs


class View:
    """Theirs, and what of a candidate it is compared with."""

    def __init__(self, theirs: Array, v: Array | None, rng: np.random.Generator) -> None:
        self.theirs, self.v = theirs, v
        self.probes = rng.choice([-1.0, 1.0], (len(theirs), 3))

    def target(self, layout: Layout, whole: bool) -> Array:
        """Theirs in our order: its products with a few vectors, or all of it."""
        back = np.argsort(layout.order)
        if self.theirs.ndim == 1:
            return self.theirs[back]
        return self.theirs[np.ix_(back, back)] if whole else (self.theirs @ self.probes[layout.order])[back]

    def columns(self, candidate: Candidate, layout: Layout, whole: bool) -> tuple[Array, Array]:
        """The same of the candidate and of the identity."""
        if self.theirs.ndim == 2 and not whole:
            return candidate.times(self.probes), self.probes
        K = candidate.matrix
        if self.theirs.ndim == 2:
            return K, np.eye(len(K))
        if self.v is None:
            return np.diag(K), np.ones(len(K))
        v = self.v[np.argsort(layout.order)]
        return K @ v, v

    def fitted(self, candidate: Candidate, layout: Layout, T: Array, whole: bool = False) -> Explanation:
        """The best α and λ for T, theirs in our order."""
        K, one = self.columns(candidate, layout, whole)
        alpha, lam, rest = fitted(T, K, one)
        return Explanation(candidate, layout, alpha, lam, rest / (float(np.linalg.norm(T)) or 1.0))

    def readings(self, candidates: list[Candidate], orders: list[Layout]) -> list[Explanation]:
        """Every reading, best first; those that a sketch lets through are judged as a whole."""
        targets = [(layout, self.target(layout, False)) for layout in orders]
        found = [self.fitted(candidate, layout, T) for layout, T in targets for candidate in candidates]
        found.sort(key=lambda e: e.residual)
        if self.theirs.ndim == 1 or not found:
            return found
        factor = 10.0 if found[0].residual <= SMALL else 1.5  # three vectors tell how far what is far is, to a half
        good = [e for e in found[:40] if e.residual <= max(factor * found[0].residual, 1e-6)]
        judged = [self.fitted(e.candidate, e.layout, self.target(e.layout, True), True) for e in good[:12]]
        return sorted(judged, key=lambda e: e.residual) + found[len(good) :]


def fitted(T: Array, K: Array, one: Array) -> tuple[float, float, float]:
    """α, λ and what is left of the least ‖T − αK − λ1‖; λ = 0 where that is as good."""
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


def good(found: list[Explanation], tolerance: float) -> list[Explanation]:
    """The readings that leave no more than rounding, simplest first; those with a minus sign where there are no others.

    Of several only those near the closest: a coarse number type leaves room for more than one. Where αK is itself no
    more than rounding beside λI, K is not in it.
    """
    fit = [e for e in found if e.residual <= tolerance and _is_in(e, tolerance)]
    fit = [e for e in fit if e.alpha > 0.0] or [e for e in fit if e.damping == 0.0]
    near = max(10.0 * min((e.residual for e in fit), default=0.0), 0.1 * tolerance)
    return sorted((e for e in fit if e.residual <= near), key=_simplicity)


def _is_in(e: Explanation, tolerance: float) -> bool:
    K = e.candidate.matrix
    return bool(abs(e.alpha) * np.linalg.norm(K) > tolerance * abs(e.damping) * len(K) ** 0.5)


def _simplicity(e: Explanation) -> tuple[Any, ...]:
    """Fewer departures from the definition come first."""
    return (
        bool(e.candidate.defect),
        not e.layout.usual,
        e.damping != 0.0,
        STRUCTURES.index(e.candidate.structure),
        round(np.log10(e.residual + 1e-300)),
    )
