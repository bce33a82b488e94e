"""The Hessian of a layer, and its inverse in the two forms that pruning needs.

A layer y = Wx on calibration inputs X, its rows w apart, reconstructs Y = WX with the loss ‖ΔW X‖²_F/N. Per row

    H   = 2XXᵀ/N,      ½ δᵀHδ = ‖δᵀX‖²/N                          every row has the same H, and no row sees another
    H⁻¹ = Vᵀ diag(d) V                                            V unit upper triangular;  U = √d V has UᵀU = H⁻¹
    dⱼ  = [(H_FF)⁻¹]ⱼⱼ,   Vⱼₖ = [(H_FF)⁻¹]ⱼₖ / dⱼ,   F = {j, …, n}

The last line is why a sweep from left to right wants the Cholesky factor of the *inverse*: its row j is row j of the
inverse of what is left when the columns before j are gone, all the downdated inverses in one factorisation. And it is
why Uⱼⱼ is squared in a score: Uⱼⱼ² = dⱼ is the diagonal of that inverse, the denominator of OBS; Uⱼⱼ is its root.

    J H J = LLᵀ,   U = J L⁻¹ J        J reverses the order: neither an explicit inverse nor a second factorisation

N counts tokens. With one count per *sequence* of T tokens H is T times as large: saliencies scale, while orders, masks
and weights are the same, also under a damping λ = damping · mean(diag H), which scales with H. A fixed λ does not.

*Dead columns*: an input that is always zero has a zero row and column in H. Its weights cost nothing and correct
nothing; they are taken out of the system. Any other H that is not positive definite is an error, which says so.

E. Frantar & D. Alistarh, SparseGPT, arXiv:2301.00774, §3;  for F⁻¹: S. P. Singh & D. Alistarh, WoodFisher,
arXiv:2004.14340.
Shapes: X (n, N), H, V (n, n), d (n,).   Cost: 2n²N flops for H, 2n³/3 for V.   Memory: a copy of H becomes V.
"""

import sys
from collections.abc import Iterable
from math import inf
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from refopt import exact
from refopt.ops import _lapack, cholesky, device, diagonal, eps, finite, namespace, rank_one, scalar, symmetrised
from refopt.pruning.kernels import asymmetry, compiled, readable
from refopt.pruning.result import among, numbers, pieces, whole

MAX = sys.float_info.max


def layer_hessian(X: Any) -> Any:
    """H = 2XXᵀ/N (n, n) of each row of a layer, for inputs X (n, N), one sample or token in each column.

    X may be a series of such arrays, of any lengths: then H is that of all their columns, and one is held at a time. A
    list of lists of numbers is one array.
    """
    if isinstance(X, list | tuple) and X and isinstance(X[0], list | tuple) and np.ndim(X[0]) == 1:
        X = np.asarray(X)
    if hasattr(X, "ndim"):
        return _second_moment(X, 2)
    H, N = None, 0
    for part in X:
        part = numbers(part)
        M, N = _second_moment(part, 0), N + part.shape[1]
        if H is not None and H.shape != M.shape:
            raise ValueError(f"an array of X has {M.shape[0]} inputs, those before it {H.shape[0]}: they must be alike")
        H = M if H is None else H + M
    if H is None:
        raise ValueError("X is an empty series: give at least one array (inputs, samples)")
    return 2 * H / N


def _second_moment(X: Any, factor: int) -> Any:
    """XXᵀ, or factor·XXᵀ/N."""
    X = numbers(X)
    if X.ndim != 2 or X.shape[1] == 0:
        raise ValueError(f"X has shape {tuple(X.shape)}: it must be (inputs, samples), with one sample or more")
    H = X @ X.T
    if not factor:
        return H
    if type(H) is np.ndarray and H.dtype.char in "fd":
        H *= factor / X.shape[1]  # without a copy
        return H
    return factor * H / X.shape[1]


def symmetric(H: Any, n: int, what: str, fast: bool = False) -> Any:
    """H (n, n) that equals its transpose, to what rounding may have left; ½(H + Hᵀ) then."""
    if tuple(H.shape) != (n, n):
        raise ValueError(f"{what} has shape {tuple(H.shape)}; for {n} weights it must be ({n}, {n})")
    if fast and type(H) is np.ndarray and H.dtype.char in "fd":
        gap, size = compiled(asymmetry)(readable(H))
    else:
        with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN, and reported below
            gap = largest(H[some, :] - H[:, some].T for some in pieces(n, 256))
        size = largest(H[some, :] for some in pieces(n, 256)) if gap else gap
    if not finite(gap):
        raise ValueError(f"{what} has entries that are not finite: look for them in the inputs or gradients")
    if gap > eps(H) ** 0.5 * size:
        raise ValueError(f"{what} differs from its transpose: it must be symmetric")
    return symmetrised(H) if gap else H


def largest(parts: Iterable[Any]) -> Any:
    """The largest size of an entry of any part, infinity where one is NaN."""
    sizes = (scalar(namespace(a).max(abs(a))) for a in parts)
    return max((size if size == size else inf for size in sizes), default=0)


def prepared(H: Any, damping: float, n: int) -> tuple[Any, Any]:
    """H + λI, λ = damping · mean(diag H), with ones for dead columns; and which are dead."""
    shift, dead = shifted(H, damping, n)
    return raised(H, shift), dead


def shifted(H: Any, damping: float, n: int, counted: bool = False) -> tuple[Any, Any]:
    """What to add to the diagonal of H: λ = damping · mean(diag H), and ones for dead columns; and which are dead.

    counted: those ones are in the mean, as the public code of SparseGPT has it.
    """
    xp = namespace(H)
    among("damping", damping, MAX, "it is a multiple of the mean of the diagonal, 0 or more, and finite")
    if n == 0:
        return diagonal(H), diagonal(H) == 0
    diag = diagonal(H)
    dead = diag == 0
    if bool(xp.any(dead)):
        dead = dead & ~xp.any(H != 0, axis=1)
    if H.dtype == object:
        ones, damping = dead * exact.rational(1), exact.rational(damping)
    else:
        ones = xp.astype(dead, H.dtype)
    lam = damping * xp.sum(diag + ones if counted else diag) / n if damping else 0
    return ones + lam, dead


ADVICE = (
    "it is not positive definite. Use a Gauss-Newton or Fisher matrix, more samples, or damping=0.01 "
    "(a multiple of the mean of its diagonal)"
)


def factored(H: Any, shift: Any = 0) -> tuple[Any, Any]:
    """V and d with (H + diag(shift))⁻¹ = Vᵀ diag(d) V, V unit upper triangular; H + diag(shift) ≻ 0, symmetric."""
    if H.dtype == object:
        return _rational(raised(H, shift))
    if type(H) is np.ndarray:
        M = _inverse_of_factor(raised(H[::-1, ::-1], shift[::-1] if np.ndim(shift) else shift))
        root = M.diagonal().copy()
        M /= root[:, None]
        return M[::-1, ::-1], (root * root)[::-1]
    xp = namespace(H)
    M = _inverse_of_factor(xp.flip(raised(H, shift)))
    root = diagonal(M)
    return xp.flip(M / root[:, None]), xp.flip(root * root)


def inverse(H: Any, shift: Any = 0) -> Any:
    """(H + diag(shift))⁻¹ (n, n), symmetric to the last bit; H + diag(shift) ≻ 0, symmetric."""
    if H.dtype == object:
        V, d = _rational(raised(H, shift))
        return (V.T * d) @ V
    M = _inverse_of_factor(raised(H, shift))
    if type(M) is not np.ndarray:
        return symmetrised(M.T @ M)
    return _mirrored(_lapack("lauum", M)(M.T, overwrite_c=1)[0].T) if M.size else M


def fisher_inverse(G: Any, damping: float, block_size: int | None = None) -> Any:
    """F⁻¹ of F = λI + (1/N) Σ gₙgₙᵀ for gradients G (N, n), one sample in each row; λ = damping > 0, absolute.

        F⁻¹ ← F⁻¹ − F⁻¹g gᵀF⁻¹ / (N + gᵀF⁻¹g)        one gradient after the other, from F⁻¹ = I/λ

    (n, n), or with `block_size` the list of the diagonal blocks of that size.   Cost: 2Nn · block_size flops.
    """
    G = numbers(G, "G", ": look for them among the gradients")
    if G.ndim != 2 or G.shape[0] == 0:
        raise ValueError(f"G has shape {tuple(G.shape)}: it must be (samples, weights), with one sample or more")
    rule = "F⁻¹ begins as I/damping, which must be positive and finite"
    among("damping", damping, MAX, rule)
    if damping == 0:
        raise ValueError(f"damping is 0: {rule}")
    if block_size is None:
        return _accumulated(G, damping)
    n, size = G.shape[1], whole("block_size", block_size, 1, inf, "a block has a whole number of weights, 1 or more")
    return [_accumulated(G[:, i : min(i + size, n)], damping) for i in range(0, n, size)]


def _accumulated(G: Any, damping: float) -> Any:
    xp, (samples, n) = namespace(G), G.shape
    F = xp.eye(n, dtype=G.dtype, device=device(G)) / damping
    for i in range(samples):
        v = F @ G[i, :]
        F = rank_one(F, v, -1 / (samples + G[i, :] @ v))
    return F


def raised(H: Any, shift: Any) -> Any:
    """H + diag(shift), new."""
    if type(H) is np.ndarray:
        H = H.copy()  # in C order
        H.reshape(-1)[:: len(H) + 1] += shift
        return H
    return H + namespace(H).eye(H.shape[0], dtype=H.dtype, device=device(H)) * shift


def _inverse_of_factor(A: Any) -> Any:
    """L⁻¹, lower triangular, for LLᵀ = A; an A of NumPy becomes L⁻¹."""
    if type(A) is not np.ndarray:
        xp, n = namespace(A), A.shape[0]
        L, ok = cholesky(A, 0.0)
        _check(ok, diagonal(A), diagonal(L))
        return xp.linalg.solve(L, xp.eye(n, dtype=A.dtype, device=device(A))) if n else L
    if len(A) == 0:
        return A
    if A.dtype.char not in "fd":
        raise TypeError(f"a Hessian of {A.dtype} has no factorisation: give it, or what it is made from, in float32")
    before = A.diagonal().copy()
    R, info = _lapack("potrf", A)(A.T, overwrite_a=1)  # A.T is A, in the order that LAPACK reads
    _check(info == 0, before, R.diagonal())
    return _lapack("trtri", A)(R, overwrite_c=1)[0].T


def _mirrored(A: Any) -> Any:
    """A with what is below its diagonal above it too; there it was zero."""
    A.reshape(-1)[:: len(A) + 1] /= 2
    for some in pieces(len(A), 64):
        A[some, some] += A[some, some].T
        A[some, some.stop :] = A[some.stop :, some].T
    return A


def _check(ok: bool, diag: Any, pivots: Any) -> None:
    """Nothing, or an error where a column is what those before it make it, to rounding."""
    xp = namespace(diag)
    if not ok:
        raise LinAlgError("no Cholesky factor of the Hessian: " + ADVICE)
    if bool(xp.any(pivots * pivots <= 16 * eps(diag) * diag)):  # what is left of a column, beside its length
        raise LinAlgError("the Hessian is singular to rounding: " + ADVICE)


def _rational(H: Any) -> tuple[Any, Any]:
    """V and d over rational numbers, by their definition."""
    n = len(H)
    V, d = exact.array(np.eye(n, dtype=int)), exact.array(np.zeros(n, dtype=int))
    for j in range(n):
        try:
            row = exact.solve(H[j:, j:], V[j, j:])
        except ZeroDivisionError:
            raise LinAlgError("the Hessian is singular: " + ADVICE) from None
        if row[0] <= 0:
            raise LinAlgError("the Hessian is indefinite: " + ADVICE)
        d[j], V[j, j:] = row[0], row / row[0]
    return V, d
