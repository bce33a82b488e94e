"""What has become of the weights that a pruning has kept: sweeps, refits and single corrections, and their mistakes.

    sweep       column after column, e_j = w_j where it goes:  w_k ← w_k − e_j V_jk,  k > j,      V_jk = U_jk / U_jj
                H⁻¹ = UᵀU of H + λI, U upper triangular                                        (SparseGPT, §3)
    refit       Δ H = 0 where a weight is kept: the least loss of the mask                     (OBS, all at once)
    unmoved     weights are kept as they are                                                   (magnitude, Wanda, OBD)

Each takes the mask as theirs has it, so that a weight that went by another rule is no error of the correction. Written
by these formulas, and not by those of ``refopt.pruning``, which are another way to the same numbers.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from refopt.oracle.fine import cholesky, inverse, is_fine, solved

Array = np.ndarray
BEST = "the best for the mask"
SHARES = (0.01, 0.0, 0.1, 0.05, 0.02, 0.005, 0.001, 1e-4, 1e-5, 1e-6, 1e-8)  #: λ beside the diagonal, in use


class Damping(NamedTuple):
    """λ, and by which rule."""

    lam: float
    words: str
    usual: bool = True  #: a multiple of the mean of the diagonal


class Factor(NamedTuple):
    """V and d of the sweep: w_k −= e_j V_jk, and a score w²/d."""

    V: Array
    d: Array


class Correction(NamedTuple):
    """What became of the weights that are kept, by a rule."""

    kind: str  #: "unmoved", "sweep", "refit", …
    words: str
    damping: Damping
    made: Callable[[Array, Array, Array], Array]  #: of W, gone and the damped H
    factor: Callable[[Array], Factor] | None = None
    how: Mapping[str, Any] = MappingProxyType({})  #: options of the sweep
    defect: str = ""


# --- the sweep ---------------------------------------------------------------------------------------------------


def sweep(
    W: Array, V: Array, gone: Array, width: int, sign: float = 1.0, within: bool = False, stale: bool = False
) -> tuple[Array, Array]:
    """The weights afterwards, and those of each block of `width` columns when the sweep came to it.

    sign: −1 adds what should be subtracted.   within: columns beyond the block learn nothing.   stale: what goes is
    taken to be what it was before the sweep.
    """
    w, seen, n = W.copy(), np.empty_like(W), W.shape[1]
    for first in range(0, n, width):
        stop = min(first + width, n)
        seen[:, first:stop] = w[:, first:stop]
        E = np.zeros_like(W[:, first:stop])
        for j in range(first, stop):
            E[:, j - first] = sign * np.where(gone[:, j], W[:, j] if stale else w[:, j], 0.0)
            w[:, j + 1 : stop] -= np.outer(E[:, j - first], V[j, j + 1 : stop])
        if not within:
            w[:, stop:] -= E @ V[first:stop, stop:]
    return np.where(gone, 0.0, w), seen


def triangle(H: Array) -> Factor:
    """U with H⁻¹ = UᵀU."""
    return _of_triangle(cholesky(inverse(H)).T)


def reverse(H: Array) -> Factor:
    """U with H⁻¹ = UUᵀ, the inverse of the factor of H, transposed."""
    return _of_triangle(np.linalg.inv(np.linalg.cholesky(H)).T)


def of_hessian(H: Array) -> Factor:
    """U with H = UᵀU: no inverse was taken."""
    return _of_triangle(cholesky(H).T)


def whole(H: Array) -> Factor:
    """H⁻¹ as it is, for all columns."""
    P = inverse(H)
    return Factor(P / np.diag(P)[:, None], np.diag(P))


def undivided(H: Array) -> Factor:
    U = cholesky(inverse(H)).T
    return Factor(U, np.diag(U) ** 2)


def _of_triangle(U: Array) -> Factor:
    return Factor(U / np.diag(U)[:, None], np.diag(U) ** 2)


# --- all at once -------------------------------------------------------------------------------------------------


def refit(W: Array, gone: Array, H: Array) -> Array:
    """Each row fitted again: H_MM w_M = H_M: w, by least squares where H is singular."""
    new = np.zeros_like(W)
    for row, w, out in zip(gone, W, new, strict=True):
        M, Q = ~row, row
        out[M] = w[M] + _solved(H[np.ix_(M, M)], H[np.ix_(M, Q)] @ w[Q])
    return new


def _solved(A: Array, b: Array) -> Array:
    if is_fine(A):
        return solved(A, b) if len(A) else b
    try:
        L = np.linalg.cholesky(A)
        if len(A) and np.diag(L).min() > 1e-7 * np.diag(L).max():
            return np.linalg.solve(A, b)
    except np.linalg.LinAlgError:
        pass
    return np.linalg.lstsq(A, b)[0]


def singly(W: Array, gone: Array, H: Array) -> Array:
    """The corrections of single removals, −(w_q/[H⁻¹]_qq) H⁻¹e_q, added up."""
    P = inverse(H)
    return np.where(gone, 0.0, W - (np.where(gone, W, 0.0) / np.diag(P)) @ P)


def _opposite(W: Array, gone: Array, H: Array) -> Array:
    return np.where(gone, 0.0, 2.0 * W - refit(W, gone, H))


def ridge(lam: float) -> Callable[[Array, Array, Array], Array]:
    """The refit with ½λ‖w‖² of the new weights in its loss: (H_MM + λI) w_M = H_M: w."""

    def made(W: Array, gone: Array, damped: Array) -> Array:
        new = refit(W, gone, damped)
        for row, w, out in zip(gone, W, new, strict=True):
            out[~row] -= _solved(damped[np.ix_(~row, ~row)], lam * w[~row])
        return new

    return made


def multiplier(slope: Array, own: Array, gone: Array) -> float:
    """The λ ≥ 0 for which slope + λ own comes closest to 0 where a weight is kept."""
    return max(0.0, -float((slope * own)[~gone].sum()) / (float((own * own)[~gone].sum()) or 1.0))


def unmoved(W: Array, gone: Array, H: Array) -> Array:
    return np.where(gone, 0.0, W)


# --- what is tried -----------------------------------------------------------------------------------------------

FACTORS = {
    "H⁻¹ is factored as UUᵀ, not UᵀU: U is the inverse of H's own factor": reverse,
    "H itself is factored, not its inverse": of_hessian,
    "rows of the whole H⁻¹ are used for every column: it is not the inverse of what is left of H": whole,
    "the error is not divided by Uⱼⱼ": undivided,
}
SLIPS: dict[str, dict[str, Any]] = {
    "the correction has the wrong sign": {"sign": -1.0},
    "the weight that goes is taken as it was before the sweep, without the corrections it has had": {"stale": True},
}


def swept(damping: Damping, width: int, factor: Any = triangle, defect: str = "", **how: Any) -> Correction:
    def made(W: Array, gone: Array, H: Array) -> Array:
        return sweep(W, factor(H).V, gone, width, **how)[0]

    return Correction("sweep", "as the sweep of SparseGPT leaves them", damping, made, factor, how, defect)


def corrections(damping: Damping, widths: list[int]) -> Iterator[Correction]:
    """The right ones of a damping first."""
    wide = widths[0]
    yield swept(damping, wide)
    yield Correction("refit", BEST, damping, refit)
    for says, factor in FACTORS.items():
        yield swept(damping, wide, factor, says)
    for says, how in SLIPS.items():
        yield swept(damping, wide, triangle, says, **how)
    for width in widths:
        says = f"columns beyond the block of {width} are not corrected"
        yield swept(damping, width, triangle, says, within=True)
    yield Correction("refit", BEST, damping, _opposite,
                     defect="the correction has the wrong sign")  # fmt: skip
    yield Correction("refit", "corrections of single removals", damping, singly,
                     defect="the corrections of single removals are added up, as if those that go together did not "
                     "correct each other")  # fmt: skip


def dampings(H: Array, dead: Array, given: float | None) -> list[Damping]:
    """λ by the rules in use: of the diagonal's mean, with ones for dead columns or not, of its largest, or itself."""
    diag, found, seen = np.diag(H), list[Damping](), set[float]()
    counted = diag + dead
    for share in SHARES if given is None else (given, *SHARES):
        for scale, words, usual in (
            (diag.mean(), "{:g} of the mean of H's diagonal", True),
            (counted.mean(), "{:g} of the mean of H's diagonal, a one for each dead column in it", True),
            (diag.max(), "{:g} of the largest entry of H's diagonal", False),
            (1.0, "{:g} itself, which does not scale with H", False),
        ):
            lam = float(share * scale)
            if lam not in seen:
                seen.add(lam)
                found.append(Damping(lam, f"λ = {words.format(share)}" if share else "no damping", usual or not share))
    return found
