"""The vocabulary: the words in which every method of the library is written.

A method says what it means in Python's operators and these words, and nothing else. Each word has two bodies: the
generic one here, for any array kind (NumPy, CuPy, PyTorch, array-api-strict, or rational numbers in a NumPy object
array), and a plain loop in ``refopt.words``, which the compiled reading uses. A property test holds both equal.

Scalar words return the scalar of the reading: a Python float, or the rational number itself. Array words return the
input's own kind on the input's own device. Factorisations return ``(value, ok)`` and never raise.

The annotations are not decoration: the compiled reading resolves ``H @ g`` or ``x + alpha * p`` by them. ``Symmetric``
says that a matrix equals its transpose; there only its lower triangle is read.
"""

import math
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy import floating, ndarray

if TYPE_CHECKING:
    Vector: TypeAlias = Any  # no type that a checker knows fits every array kind; the dialect itself checks kinds
    Matrix: TypeAlias = Any
    Symmetric: TypeAlias = Any
    Choice: TypeAlias = int
else:

    class Vector:
        """An array of shape (n,)."""

    class Matrix:
        """An array of shape (m, n)."""

    class Symmetric:
        """An array of shape (n, n) that equals its transpose."""

    class Choice:
        """An option that is one of a few words, by its place among them: a constant of the compiled code."""


# --- scalars -----------------------------------------------------------------------------------------------------


def scalar(value: Any) -> Any:
    """A zero-dimensional array or NumPy scalar as a Python float; a rational number (or a float) as it is."""
    return float(value) if hasattr(value, "dtype") else value


def dot(x: Vector, y: Vector) -> float:
    """xᵀy, for x, y of shape (n,)."""
    value = x.dot(y) if type(x) is ndarray else x @ y
    return float(value) if isinstance(value, floating) else scalar(value)


def norm(x: Vector) -> float:
    """‖x‖₂ = √(xᵀx), scaled where the squares would over- or underflow."""
    square = dot(x, x)
    if not isinstance(square, float):
        raise TypeError("norm needs a square root, which rational numbers lack: compare squares, dot(x, x), instead")
    if 1e-30 < square < 1e30:  # even float32 has lost no digit here
        return math.sqrt(square)
    largest = norm_inf(x)
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    size = math.ldexp(0.5, math.frexp(largest)[1])  # a power of two: dividing by it rounds nothing
    unit = x / size
    return size * math.sqrt(dot(unit, unit))


def norm_inf(x: Vector) -> float:
    """‖x‖∞ = maxᵢ |xᵢ|: NaN if a component is NaN, 0 for an empty vector."""
    if type(x) is ndarray:
        return scalar(np.maximum.reduce(abs(x))) if x.size else 0.0
    xp = namespace(x)
    return scalar(xp.max(xp.abs(x))) if math.prod(x.shape) else 0.0


def eps(x: Vector) -> float:
    """The distance from 1 to the next number of x's type: 2⁻⁵² for float64, 2⁻²³ for float32, 0 for rationals."""
    if type(x) is ndarray:
        return _EPS[x.dtype.char]
    return float(namespace(x).finfo(x.dtype).eps)


_EPS = {"d": 2.0**-52, "f": 2.0**-23, "e": 2.0**-10, "g": float(np.finfo(np.longdouble).eps), "O": 0.0}


def finite(f: float) -> bool:
    """Whether a scalar is neither infinite nor NaN."""
    return f - f == 0


def dimension(x: Vector) -> int:
    """n, the number of variables."""
    return x.shape[0]


# --- vectors -----------------------------------------------------------------------------------------------------


def absolute(x: Vector) -> Vector:
    """|x|, component by component."""
    return abs(x)


def larger(x: Vector, y: Vector) -> Vector:
    """max(xᵢ, yᵢ), component by component."""
    return namespace(x).maximum(x, y)


def power(v: Vector, a: float, b: float) -> Vector:
    """vᵢᵃ + b, component by component, for v ≥ 0."""
    return v**a + b


def signs(x: Vector, k: int) -> Vector:
    """The k-th of a fixed sequence of vectors like x whose components are −1 and 1, uncorrelated as random ones are.

    The parity of a quadratic recurrence modulo the prime 2³¹ − 1, begun at a number that i and k determine.
    """
    xp = namespace(x)
    t = (48271 * xp.arange(x.shape[0], dtype=xp.int64, device=device(x)) + 69621 * k) % 2147483647
    for _ in range(4):
        t = (t * t + 16807 * t + k) % 2147483647
    return 1.0 - 2.0 * xp.astype(t % 2, x.dtype)


def oblique(x: Vector) -> Vector:
    """A unit vector of the type and on the device of x that is orthogonal to no eigenvector that one meets.

    In proportion to 1 + ½ frac(φi), i = 1 … n, with the golden ratio φ: positive, and like no eigenvector.
    """
    xp = namespace(x)
    i = xp.cumulative_sum(xp.ones_like(x))
    v = 1.0 + 0.5 * (0.6180339887498949 * i % 1.0)
    return v / norm(v)


def weighted_max(g: Vector, w: Vector) -> float:
    """maxᵢ |gᵢ| wᵢ for w ≥ 0: the largest first-order change of f when each variable moves by its own size."""
    return norm_inf(g * w)


# --- symmetric matrices ------------------------------------------------------------------------------------------


def identity(x: Vector) -> Symmetric:
    """The (n, n) identity of the type and on the device of x (n,)."""
    n = x.shape[0]
    if type(x) is ndarray:
        return np.eye(n, dtype=x.dtype)
    xp = namespace(x)
    return xp.eye(n, dtype=x.dtype, device=device(x))


def rank_one(H: Symmetric, s: Vector, a: float) -> Symmetric:
    """H + a ssᵀ.   Gives H away: the compiled body writes into it.   Cost: 2n² flops."""
    return H + a * (s[:, None] * s[None, :])


def rank_two(H: Symmetric, s: Vector, z: Vector, a: float, b: float) -> Symmetric:
    """H + a ssᵀ − b (szᵀ + zsᵀ).   Gives H away: the compiled body writes into it.   Cost: 3n² flops."""
    u: Any = a / 2 * s - b * z  # so that suᵀ + usᵀ is symmetric to the last bit, update after update
    return H + (s[:, None] * u[None, :] + u[:, None] * s[None, :])


def diagonal(B: Symmetric) -> Vector:
    """(n,) diagonal of B."""
    return B.diagonal() if type(B) is ndarray else namespace(B).linalg.diagonal(B)


def symmetrised(B: Any) -> Symmetric:
    """½ (B + Bᵀ)."""
    return (B + B.T) / 2


def frobenius(B: Symmetric) -> float:
    """‖B‖_F."""
    xp = namespace(B)
    return norm(xp.reshape(B, (-1,)))


def gershgorin(B: Symmetric) -> tuple[float, float]:
    """Bounds minᵢ (bᵢᵢ − Σⱼ≠ᵢ |bᵢⱼ|) ≤ λ ≤ maxᵢ (bᵢᵢ + Σⱼ≠ᵢ |bᵢⱼ|) of the eigenvalues of B (Gershgorin's circles)."""
    if type(B) is ndarray:
        center, size = B.diagonal(), abs(B)
        radius = np.add.reduce(size, axis=1) - size.diagonal()
        return scalar(np.minimum.reduce(center - radius)), scalar(np.maximum.reduce(center + radius))
    xp = namespace(B)
    diagonal = xp.linalg.diagonal(B)
    radius = xp.sum(xp.abs(B), axis=1) - xp.abs(diagonal)
    return scalar(xp.min(diagonal - radius)), scalar(xp.max(diagonal + radius))


def lowest(B: Symmetric) -> tuple[float, Vector]:
    """The smallest eigenvalue of B and a unit eigenvector.   Cost: about 9n³ flops."""
    values, vectors = namespace(B).linalg.eigh(_rooted("lowest", B))
    return scalar(values[0]), vectors[:, 0]


def eigh(B: Symmetric) -> tuple[Vector, Matrix]:
    """All eigenvalues of B, and unit eigenvectors, the rows of a matrix.   Cost: about 9n³ flops."""
    values, vectors = namespace(B).linalg.eigh(_rooted("eigh", B))
    return values, vectors.T


# --- factorisations ----------------------------------------------------------------------------------------------


def cholesky(B: Symmetric, shift: float) -> tuple[Matrix, bool]:
    """L lower triangular with LLᵀ = B + shift·I, and whether it exists.   Cost: n³/3 flops."""
    n = B.shape[0]
    if type(B) is ndarray:
        if n == 0:
            return B, True
        A = B.T.copy(order="F")  # B is symmetric; LAPACK reads columns and may write into its own copy
        if shift != 0.0:
            A.flat[:: n + 1] += shift
        L, info = _lapack("potrf", A)(A, lower=1, clean=1, overwrite_a=1)
        return L, info == 0 and finite(scalar(L[-1, -1]))  # a NaN in B ends up there
    xp = namespace(B)
    A = B if shift == 0.0 else B + shift * xp.eye(n, dtype=B.dtype, device=device(B))
    try:
        L = xp.linalg.cholesky(A)
    except Exception as error:
        if not type(error).__name__.endswith("LinAlgError"):
            raise
        return A, False
    return L, finite(scalar(xp.sum(xp.linalg.diagonal(L))))  # CuPy does not raise: it returns NaN


def solve_symmetric(B: Symmetric, shift: float, b: Vector) -> tuple[Vector, bool]:
    """(B + shift·I)⁻¹b for a B that need not be definite, and whether it exists.   Cost: 2n³/3 flops."""
    xp = namespace(B)
    A = B if shift == 0.0 else B + shift * identity(b)
    try:
        x = xp.linalg.solve(A, b)
    except Exception as error:
        if not type(error).__name__.endswith("LinAlgError"):
            raise
        return b, False
    return x, finite(norm_inf(x))


def solve_lower(L: Matrix, b: Vector) -> Vector:
    """L⁻¹b, L lower triangular.   Cost: n² flops."""
    if type(L) is ndarray:
        return _lapack("trtrs", L)(L, b, lower=1)[0] if L.size else b
    return namespace(L).linalg.solve(L, b)


def solve_lower_t(L: Matrix, b: Vector) -> Vector:
    """L⁻ᵀb, L lower triangular.   Cost: n² flops."""
    if type(L) is ndarray:
        return _lapack("trtrs", L)(L, b, lower=1, trans=1)[0] if L.size else b
    return namespace(L).linalg.solve(L.T, b)


# --- bases, whose vectors are the rows of a matrix -----------------------------------------------------------------


def row(q: Vector) -> Matrix:
    """The (1, n) matrix with the row q."""
    return q[None, :]


def stacked(Q: Matrix, q: Vector) -> Matrix:
    """Q with the row q below."""
    return namespace(Q).concat([Q, q[None, :]], axis=0)


def orthogonal(w: Vector, Q: Matrix) -> Vector:
    """w − Qᵀ(Qw), what w has beside the orthonormal rows of Q; twice, for the digits lost.   Cost: 8kn flops."""
    for _ in range(2):
        w = w - rmatvec(Q, Q @ w)
    return w


def projected(Q: Matrix, Y: Matrix) -> Symmetric:
    """½ (QYᵀ + YQᵀ), for Q and Y of shape (k, n): QHQᵀ, where Y = QH.   Cost: 2k²n flops."""
    return symmetrised(Q @ Y.T)


# --- least squares -----------------------------------------------------------------------------------------------


def rmatvec(J: Matrix, r: Vector) -> Vector:
    """Jᵀr, for J of shape (m, n) and r of shape (m,).   Cost: 2mn flops."""
    return r.dot(J) if type(r) is ndarray else r @ J


def column_norms(J: Matrix) -> Vector:
    """(n,) norms ‖Jⱼ‖₂ of the columns of J (m, n)."""
    _rooted("column_norms", J)
    if type(J) is ndarray:
        return np.sqrt(np.add.reduce(J * J))
    xp = namespace(J)
    return xp.sqrt(xp.sum(J * J, axis=0))


def positive(d: Vector) -> Vector:
    """d with ones in place of zeros, for d ≥ 0."""
    if type(d) is ndarray:
        return d if d.all() else d + (d == 0.0)
    xp = namespace(d)
    return xp.where(d == 0.0, xp.ones_like(d), d)


def outer(u: Vector, v: Vector) -> Matrix:
    """(m, n) matrix uvᵀ, for u of shape (m,) and v of shape (n,)."""
    return u[:, None] * v[None, :]


def triangular(J: Matrix, r: Vector) -> tuple[Matrix, Vector, bool]:
    """R and c of J = QR, c = Qᵀr, for J (m, n) and r (m,); and whether the columns of J are linearly independent.

    min ‖Jp + r‖ becomes min ‖Rp + c‖ with R (n, n) upper triangular, RᵀR = JᵀJ and Rᵀc = Jᵀr. By Householder
    reflections with the columns in their own order, so that scaling them changes nothing else. A column depends on
    those before it where |Rⱼⱼ| ≤ 4 max(m, n) eps ‖Jⱼ‖; then c keeps only its part in the range of R. (After columns of
    condition κ the rounding of a dependent one is magnified κ times, and may pass for independence.)   Cost: 2mn².
    """
    m, n = J.shape
    if type(J) is ndarray:
        A = np.zeros((max(m, n), n + 1), dtype=J.dtype, order="F")
        A[:m, :n] = J
        A[:m, n] = r
    else:
        xp = namespace(J)
        A = xp.concat([J, xp.reshape(r, (-1, 1))], axis=1)
        if m < n:
            below = xp.zeros((n - m, n + 1), dtype=A.dtype, device=device(A))
            A = xp.concat([A, below], axis=0)
    R, c = _reflected(A, n)
    xp, norms, tiny = namespace(R), column_norms(R), 4 * max(m, n) * eps(R)
    independent = abs(R.diagonal() if type(R) is ndarray else xp.linalg.diagonal(R)) > tiny * norms
    if bool(independent.all() if type(R) is ndarray else xp.all(independent)):
        return R, c, True
    if finite(norm_inf(norms)):
        R, c = _in_range(R, c, positive(norms), tiny)
    return R, c, False


def damped(R: Matrix, c: Vector, d: Vector) -> tuple[Matrix, Vector]:
    """S and z for which ‖Rp + c‖² + ‖diag(d) p‖² = ‖Sp + z‖² + constant; d > 0.

    SᵀS = RᵀR + diag(d)²,    Sᵀz = Rᵀc            R, S are (n, n), upper triangular; c, d, z are (n,).

    By Householder reflections of (R; diag d), never from RᵀR.   Cost: 2n³/3 flops, which use that both are triangular;
    10n³/3 by LAPACK, which does not.
    """
    n = c.shape[0]
    if type(R) is ndarray:
        A = np.zeros((2 * n, n + 1), dtype=R.dtype, order="F")
        A[:n, :n] = R
        A[:n, n] = c
        A.T.reshape(-1)[n :: 2 * n + 1] = d
        return _reflected(A, n)
    xp = namespace(R)
    above = xp.concat([R, xp.reshape(c, (-1, 1))], axis=1)
    below = xp.eye(n, n + 1, dtype=R.dtype, device=device(R)) * xp.reshape(d, (-1, 1))
    return _reflected(xp.concat([above, below], axis=0), n)


def solve_upper(R: Matrix, b: Vector) -> Vector:
    """R⁻¹b, R upper triangular with nonzero pivots.   Cost: n² flops."""
    if type(R) is ndarray:
        return _lapack("trtrs", R)(R, b)[0]
    return namespace(R).linalg.solve(R, b)


def solve_upper_t(R: Matrix, b: Vector) -> Vector:
    """R⁻ᵀb, R upper triangular with nonzero pivots.   Cost: n² flops."""
    if type(R) is ndarray:
        return _lapack("trtrs", R)(R, b, trans=1)[0]
    return namespace(R).linalg.solve(R.T, b)


def _reflected(A: Any, n: int) -> tuple[Any, Any]:
    """The triangle of A[:, :n], and the last column of A in its basis."""
    if type(A) is not ndarray:
        A = namespace(A).linalg.qr(A).R
        return A[:n, :n], A[:n, n]
    A = _lapack("geqrf", A)(A, lwork=32 * (n + 1), overwrite_a=1)[0]
    return A[:n, :n] * _upper(n, A.dtype.char), A[:n, n]


def _in_range(R: Any, c: Any, norms: Any, tiny: float) -> tuple[Any, Any]:
    """R without its negligible singular values, its columns taken relative to their norms, and c in its range."""
    xp, n = namespace(R), c.shape[0]
    U, s, Vt = xp.linalg.svd(R / norms)
    kept = s > tiny * s[0]
    rows = xp.where(kept, s, 0.0 * s)[:, None] * Vt * norms
    target = xp.where(kept, U.T @ c, 0.0 * s)
    return _reflected(xp.concat([rows, target[:, None]], axis=1), n)


@cache
def _upper(n: int, char: str) -> Any:
    """Ones on and above the diagonal."""
    return np.tri(n, dtype=char).T


# --- a history of vectors ----------------------------------------------------------------------------------------


def blank_rows(m: int, x: Vector) -> Matrix:
    """A history of m vectors like x, all zero: (m, n); here a tuple, so that histories share what has not changed."""
    return (0 * x,) * m


def with_row(S: Matrix, k: int, s: Vector) -> Matrix:
    """The history with s in row k mod m.   Gives S away: the compiled body writes into it."""
    i = k % len(S)
    if isinstance(S, tuple):
        return (*S[:i], s, *S[i + 1 :])
    S = namespace(S).asarray(S, copy=True)
    S[i, :] = s
    return S


def latest(S: Matrix, count: int) -> Matrix:
    """(k, n), the last k = min(count, m) rows that were written, oldest first; row k was the k-th, modulo m."""
    if isinstance(S, tuple):
        S = namespace(S[0]).stack(list(S))
    m = S.shape[0]
    if count <= m:
        return S[:count, :]
    oldest = count % m
    if type(S) is ndarray:
        return S.take(_in_turn(m, oldest), 0)
    return namespace(S).concat([S[oldest:, :], S[:oldest, :]], axis=0)


@lru_cache(maxsize=256)
def _in_turn(m: int, first: int) -> Any:
    """The numbers 0 … m − 1, from ``first`` on."""
    return (first + np.arange(m)) % m


def two_loop(S: Matrix, Y: Matrix, count: int, gamma: float, g: Vector) -> Vector:
    """Hg, where H is γI after a BFGS update by each pair (sᵢ, yᵢ) of the history, oldest first; never formed.

        q = g;    for i newest … oldest:   aᵢ = sᵢᵀq/yᵢᵀsᵢ,   q ← q − aᵢyᵢ
        r = γq;   for i oldest … newest:   r ← r + (aᵢ − yᵢᵀr/yᵢᵀsᵢ) sᵢ

    S, Y are (m, n), written by ``with_row`` for k = 0 … count − 1.   N&W §7.2.   Cost: 10mn flops.
    """
    m, known = len(S), list[Any]()
    inner, axpy, r = dot, None, g
    if type(g) is ndarray and g.dtype.char in "fd" and g.size > 0:  # BLAS takes a third of NumPy's time
        inner, axpy, r = _blas_routine("dot", g.dtype.char), _blas_routine("axpy", g.dtype.char), g.copy()
    for i in range(count - 1, max(0, count - m) - 1, -1):
        s, y = S[i % m], Y[i % m]
        ys = inner(y, s)
        a = inner(s, r) / ys
        r = axpy(y, r, a=-a) if axpy else r - a * y
        known.append((s, y, ys, a))
    r = gamma * r
    for s, y, ys, a in reversed(known):
        b = a - inner(y, r) / ys
        r = axpy(s, r, a=b) if axpy else r + b * s
    return r


# --- where arrays live -------------------------------------------------------------------------------------------


def namespace(x: Any) -> Any:
    """The array namespace of x: NumPy for NumPy arrays, else the one that array-api-compat finds."""
    return np if isinstance(x, ndarray) else _compat().array_namespace(x)


def device(x: Any) -> Any:
    """The device of x, for creating arrays beside it; None for NumPy arrays."""
    return None if isinstance(x, ndarray) else _compat().device(x)


def reals(values: Any) -> Any:
    """An array of real numbers: lists become NumPy's, integers the default floats of their library."""
    a = values if hasattr(values, "dtype") else np.asarray(values)
    if isinstance(a, ndarray) and a.dtype.kind not in "iub":
        return a
    xp = namespace(a)
    return xp.astype(a, xp.empty(0, device=device(a)).dtype) if xp.isdtype(a.dtype, ("bool", "integral")) else a


@cache
def _compat() -> Any:
    try:
        import array_api_compat
    except ImportError as error:
        raise ImportError(
            "arrays other than NumPy's need array-api-compat: pip install 'refopt[array]' brings it"
        ) from error
    return array_api_compat


@cache
def _blas_routine(name: str, char: str) -> Any:
    from scipy.linalg import blas

    return getattr(blas, {"f": "s", "d": "d"}[char] + name)


@cache
def _lapack_routine(name: str, char: str) -> Any:
    from scipy.linalg import lapack

    prefix = {"f": "s", "d": "d"}.get(char)
    if prefix is None:
        raise TypeError(f"{name} needs float32 or float64 numbers; rational numbers have no square roots")
    return getattr(lapack, prefix + name)


def _rooted(name: str, A: Any) -> Any:
    """A itself, unless it holds rational numbers."""
    if type(A) is ndarray and A.dtype == object:
        raise TypeError(f"{name} needs a square root, which rational numbers lack")
    return A


def _lapack(name: str, A: Any) -> Any:
    return _lapack_routine(name, A.dtype.char)
