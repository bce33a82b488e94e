"""Trace and diagonal of a matrix A that is known through products with vectors.

    Hutchinson    tr A ≈ zᵀAz,     diag A ≈ z ∘ Az          E[zzᵀ] = I;  the mean over k probes z

    Hutch++       tr A = tr QᵀAQ + tr (I − QQᵀ)A(I − QQᵀ),     Q = orth(AS): the second by Hutchinson

    XTrace        tr A ≈ tr QᵢᵀAQᵢ + vᵢᵀAvᵢ,                   Qᵢ = orth(AΩ without its column Aωᵢ),  vᵢ = (I − QᵢQᵢᵀ)ωᵢ
    normal        tr A ≈ tr QᵢᵀAQᵢ + (n − k + 1)/‖vᵢ‖² vᵢᵀAvᵢ    for probes whose law is invariant under rotations
    XDiag         diag A ≈ diag(QᵢQᵢᵀA) + ωᵢ ∘ (I − QᵢQᵢᵀ)Aωᵢ    the mean over i = 1 … k

M. F. Hutchinson, *Commun. Statist. Simul. Comput.* 19 (1990) 433; C. Bekas, E. Kokiopoulou & Y. Saad, *Appl. Numer.
Math.* 57 (2007) 1214; R. A. Meyer, C. Musco, C. Musco & D. P. Woodruff, Hutch++, arXiv:2010.09649; E. N. Epperly,
J. A. Tropp & R. J. Webber, XTrace, arXiv:2301.07825.

All are unbiased for independent probes with E[zzᵀ] = I, such as random signs, which have the least variance:
2(‖A‖_F² − Σ aᵢᵢ²) for a symmetric A and one probe of Hutchinson's, Σⱼ≠ᵢ aᵢⱼ² for an entry of the diagonal.

Shapes: A is (n, n), z (n,), Ω (n, k).   Cost: k probes take k products with Hutchinson, 3k/2 with Hutch++ and 2k with
XTrace and XDiag, and 2nk² flops or so. The exact trace of a function or an operator takes n products.

Of XTrace's two forms the normal one is exact for multiples of the identity. Where eigenvalues hardly fall off it has a
third of the error at k = n/3, where they fall there is little between the two; with few probes signs do better where A
is nearly diagonal. It is unbiased only if the law of the probes is invariant under rotations, as that of signs is not.

Deviation from the source: XTrace's Qᵢ are found from the singular values of AΩ, so that products that depend on one
another (a matrix of low rank, equal probes) do no harm; n − k + 1 is n less the rank of Qᵢ.
"""

from math import nan, sqrt
from typing import Any, NamedTuple

import numpy as np

from refopt.linalg.arrays import created, square
from refopt.linalg.operators import Operator, operator, probe_matrix
from refopt.ops import Matrix, Vector, column_norms, dot, eps, namespace, positive, scalar

METHODS = ("exact", "hutchinson", "hutch++", "xtrace", "xtrace-normal")
COUNT = 32  #: probes where nothing is said


class Estimate(NamedTuple):
    """A trace or a diagonal, and the standard error of what was estimated of it: 0 where exact, NaN from one probe.

    Those of XTrace and XDiag take their k parts as independent, which they are less and less where eigenvalues hardly
    fall off.
    """

    value: Any
    stderr: Any


def trace(A: Any, method: str = "exact", probes: Any = None, rng: Any = None, n: Any = None) -> Estimate:
    """tr A and its standard error.

    A: what ``refopt.linalg.operator`` takes: an array, an operator, or a function v ↦ Av with n.
    probes: how many random signs (32), with `rng`, a Generator or a seed; or the probes themselves, (n, k), independent
    and with E[zzᵀ] = I. For Hutch++ the first k/2 of them are S; "xtrace-normal" draws normal ones, and takes such.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; it is {method!r}")
    op = operator(A, n)
    if method == "exact":
        return Estimate(_exact(A, op), 0.0)
    Z = probe_matrix(op, probes, rng, COUNT, normal=method == "xtrace-normal")
    ways = {"hutchinson": _hutchinson, "hutch++": _hutchpp, "xtrace": _xtrace, "xtrace-normal": _xtrace_normal}
    return ways[method](op, Z)


def hutchinson(A: Any, probes: Any = None, rng: Any = None, n: Any = None, stderr: bool = False) -> Any:
    """(n,) estimate of diag A, the mean of z ∘ Az.   The arguments are those of ``trace``; A need not be symmetric.

    stderr: with True an ``Estimate``, the diagonal and the standard error of each of its entries.
    """
    op = operator(A, n)
    Z = probe_matrix(op, probes, rng, COUNT)
    return entries(0, Z * op.matmat(Z), stderr)


def xdiag(A: Any, probes: Any = None, rng: Any = None, n: Any = None, stderr: bool = False) -> Any:
    """(n,) estimate of diag A: exact where k − 1 probes span the range of A.

    The arguments are those of ``hutchinson``.
    """
    op = operator(A, n)
    Z = probe_matrix(op, probes, rng, COUNT)
    left = without_each(op.matmat(Z))
    if left is None:
        return entries(0, 0.0 * Z, stderr)
    Q, R, S = left
    xp, AtQ, QS = namespace(Z), op.rmatmat(Q), Q @ S
    known = xp.sum(Q * AtQ, axis=1)
    return entries(known, Z * QS * xp.sum(S * R, axis=0)[None, :] - QS * (AtQ @ S), stderr)


# --- the estimators ----------------------------------------------------------------------------------------------


def _exact(A: Any, op: Operator) -> float:
    """Σ aᵢᵢ: of an array or a structured matrix without products, else of blocks of columns."""
    if hasattr(A, "matvec") and callable(getattr(A, "trace", None)):
        return A.trace()
    if not (hasattr(A, "matvec") or hasattr(A, "toarray") or callable(A)):
        return scalar(namespace(op.like).linalg.trace(square(A)))
    total: Any = 0
    for first in range(0, op.n, COUNT):
        E = created(np.eye(op.n, min(COUNT, op.n - first), -first), op.like)
        total += scalar(namespace(E).sum(E * op.matmat(E)))
    return total


def _hutchinson(A: Operator, Z: Matrix) -> Estimate:
    return averaged(0, namespace(Z).sum(Z * A.matmat(Z), axis=0))


def _hutchpp(A: Operator, Z: Matrix) -> Estimate:
    xp, k = namespace(Z), Z.shape[1]
    if k < 2:
        raise ValueError(f"Hutch++ needs at least 2 probes: some for Q, some for the rest; it has {k}")
    Q, G = xp.linalg.qr(A.matmat(Z[:, : k // 2]))[0], Z[:, k // 2 :]
    rest = xp.concat([Q, G - Q @ (Q.T @ G)], axis=1)
    samples = xp.sum(rest * A.matmat(rest), axis=0)
    return averaged(scalar(xp.sum(samples[: Q.shape[1]])), samples[Q.shape[1] :])


def _xtrace_normal(A: Operator, Z: Matrix) -> Estimate:
    return _xtrace(A, Z, normal=True)


def _xtrace(A: Operator, Z: Matrix, normal: bool = False) -> Estimate:
    """vᵢᵀAvᵢ = wᵢᵀrᵢ − tᵢᵀxᵢ − xᵢᵀrᵢ + xᵢᵀHxᵢ with W = QᵀΩ, AΩ = QR, T = (AQ)ᵀΩ, H = QᵀAQ, xᵢ = wᵢ − sᵢ sᵢᵀwᵢ.

    ‖vᵢ‖² = ‖ωᵢ‖² − ‖xᵢ‖², and tr QᵢᵀAQᵢ = tr H − sᵢᵀHsᵢ.
    """
    left = without_each(A.matmat(Z))
    if left is None:
        return Estimate(0.0, 0.0)
    Q, R, S = left
    xp, AQ, W = namespace(Z), A.matmat(Q), Q.T @ Z
    H, X = Q.T @ AQ, W - S * xp.sum(S * W, axis=0)[None, :]
    beyond = xp.sum(W * R - X * (AQ.T @ Z + R - H @ X), axis=0)
    if normal:
        left = A.n - S.shape[0] + xp.sum(S * S, axis=0)  # dimensions without Qᵢ
        away = xp.sum(Z * Z, axis=0) - xp.sum(X * X, axis=0)
        beyond = xp.where(left > 0.5, left / positive(away) * beyond, 0.0 * beyond)
    samples = beyond - xp.sum(S * (H @ S), axis=0)
    return averaged(scalar(xp.linalg.trace(H)), samples)


def without_each(Y: Matrix) -> tuple[Matrix, Matrix, Matrix] | None:
    """Q, R and S with Y = QR (n, r)(r, k), such that Q(I − sᵢsᵢᵀ)Qᵀ projects on the columns of Y but the i-th.

    sᵢ is a unit vector, orthogonal to all columns of R but its own; zero where that one depends on the others. That is
    the i-th row of R⁺, if (R⁺R)ᵢᵢ = 1.   None where Y = 0.
    """
    xp, tiny = namespace(Y), max(Y.shape) * eps(Y)
    Q, R = xp.linalg.qr(Y)
    U, s, Vt = xp.linalg.svd(R, full_matrices=False)
    rank = int(xp.sum(xp.astype(s > tiny * s[0], xp.int64)))
    if rank == 0:
        return None
    s, Vt = s[:rank], Vt[:rank, :]
    free = xp.sum(Vt * Vt, axis=0) > 1.0 - 100.0 * tiny
    rows = Vt / s[:, None]
    S = xp.where(free[None, :], rows / positive(column_norms(rows))[None, :], 0.0 * rows)
    return Q @ U[:, :rank], s[:, None] * Vt, S


# --- means -------------------------------------------------------------------------------------------------------


def mean(samples: Matrix) -> Vector:
    """(n,) mean of the columns of an (n, k) matrix."""
    return namespace(samples).sum(samples, axis=1) / samples.shape[1]


def averaged(known: Any, samples: Vector) -> Estimate:
    """known + the mean of k samples, with the standard error of that mean."""
    k = samples.shape[0]
    centre = scalar(namespace(samples).sum(samples)) / k
    away = samples - centre
    return Estimate(known + centre, sqrt(float(dot(away, away)) / (k * (k - 1))) if k > 1 else nan)


def entries(known: Any, samples: Matrix, stderr: bool) -> Any:
    """(n,) known + the mean of the columns of (n, k); with the standard errors of that mean, if they are asked for."""
    k, centre = samples.shape[1], mean(samples)
    if not stderr:
        return known + centre
    away = samples - centre[:, None]
    spread = namespace(away).sum(away * away, axis=1)
    return Estimate(known + centre, (spread / (k * (k - 1))) ** 0.5 if k > 1 else nan + 0.0 * spread)
