"""The words of ``refopt.ops`` for least squares.

Householder reflections work on a few hundred transposed rows at a time: the loops run along memory that is near.
"""

# mypy: disable-error-code="index, arg-type, return-value, attr-defined, misc, var-annotated"

from refopt.ops import Matrix, Vector
from refopt.words.arithmetic import copied, new_matrix, new_vector, zero_matrix, zero_vector
from refopt.words.vocabulary import EPS, dot, norm

ROWS = 512  #: of a Jacobian that are reflected at a time


def rmatvec(J: Matrix, r: Vector) -> Vector:
    """Four rows at a time: g is read and written a quarter as often."""
    m, n = J.shape
    g, whole = zero_vector(n), 4 * (m // 4)
    for i in range(0, whole, 4):
        for j in range(n):
            g[j] += J[i, j] * r[i] + J[i + 1, j] * r[i + 1] + J[i + 2, j] * r[i + 2] + J[i + 3, j] * r[i + 3]
    for i in range(whole, m):
        for j in range(n):
            g[j] += J[i, j] * r[i]
    return g


def column_norms(J: Matrix) -> Vector:
    m, n = J.shape
    d, whole = zero_vector(n), 4 * (m // 4)
    for i in range(0, whole, 4):
        for j in range(n):
            d[j] += J[i, j] ** 2 + J[i + 1, j] ** 2 + J[i + 2, j] ** 2 + J[i + 3, j] ** 2
    for i in range(whole, m):
        for j in range(n):
            d[j] += J[i, j] ** 2
    for j in range(n):
        d[j] = d[j] ** 0.5
    return d


def positive(d: Vector) -> Vector:
    z = new_vector(len(d))
    for i in range(len(d)):
        z[i] = 1.0 if d[i] == 0.0 else d[i]
    return z


def outer(u: Vector, v: Vector) -> Matrix:
    A = new_matrix(len(u), len(v))
    for i in range(len(u)):
        for j in range(len(v)):
            A[i, j] = u[i] * v[j]
    return A


def triangular(J: Matrix, r: Vector) -> tuple[Matrix, Vector, bool]:
    m, n = J.shape
    T, block = zero_matrix(n, n + 1), new_matrix(n + 1, min(m, ROWS))
    for first in range(0, m, ROWS):
        rows = min(m - first, ROWS)
        for i in range(rows):
            block[n, i] = r[first + i]
        for j in range(n):
            for i in range(rows):
                block[j, i] = J[first + i, j]
        for j in range(n):
            reflect(T, block, j, j, rows)
    R, c = parted(T)
    norms, tiny, full = column_norms(R), 4 * max(m, n) * EPS, True
    for j in range(n):
        full = full and abs(R[j, j]) > tiny * norms[j]
    if not full:
        R, c = parted(echelon(T, norms, tiny))
    return R, c, full


def damped(R: Matrix, c: Vector, d: Vector) -> tuple[Matrix, Vector]:
    n = len(c)
    T, block = new_matrix(n, n + 1), zero_matrix(n + 1, n)
    for i in range(n):
        for j in range(n):
            T[i, j] = R[i, j]
        T[i, n] = c[i]
        block[i, i] = d[i]
    for j in range(n):
        reflect(T, block, j, j, j + 1)  # the rows below have nothing yet in this column
    return parted(T)


def reflect(T: Matrix, block: Matrix, j: int, k: int, rows: int) -> None:
    """Reflect column j, its entry a in row k of T and v, the first rows of the block, to (α, 0); and those after it.

    H = I − 2uuᵀ/uᵀu,  u = (a − α, v),  α = −sign(a) √(a² + vᵀv),  in units of the larger of |a| and ‖v‖. The columns
    are the rows of ``block``; v is of no further use.
    """
    v = block[j]
    size = max(norm(v[:rows]), abs(T[k, j]))
    if size == 0.0:
        return
    for i in range(rows):
        v[i] /= size
    a, square = T[k, j] / size, dot(v[:rows], v[:rows])
    if square == 0.0:
        return
    alpha = (a * a + square) ** 0.5
    alpha = -alpha if a > 0.0 else alpha
    T[k, j], lead = alpha * size, a - alpha
    for other in range(j + 1, len(block)):
        w, t = block[other], T[k, other] * lead
        for i in range(rows):
            t += v[i] * w[i]
        t /= alpha * lead
        T[k, other] += t * lead
        for i in range(rows):
            w[i] += t * v[i]


def echelon(T: Matrix, norms: Vector, tiny: float) -> Matrix:
    """T (n, n + 1) reflected to echelon form, each column down to the first row that is still free.

    Where what is left of a column is tiny beside its norm, the column depends on those before it, and takes no row.
    """
    n = len(T)
    E, block = zero_matrix(n, n + 1), new_matrix(n + 1, n)
    for i in range(n):
        for j in range(n + 1):
            block[j, i] = T[i, j]
    k = 0
    for j in range(n):
        if norm(block[j]) > tiny * norms[j]:
            reflect(E, block, j, k, n)
            k += 1
    return E


def parted(T: Matrix) -> tuple[Matrix, Vector]:
    """The upper triangle of all columns but the last, and the last."""
    n = len(T)
    R, c = zero_matrix(n, n), new_vector(n)
    for i in range(n):
        for j in range(n):
            if j >= i:
                R[i, j] = T[i, j]
        c[i] = T[i, n]
    return R, c


def solve_upper(R: Matrix, b: Vector) -> Vector:
    n = len(b)
    x = new_vector(n)
    for i in range(n - 1, -1, -1):
        x[i] = (b[i] - dot(R[i, i + 1 :], x[i + 1 :])) / R[i, i]
    return x


def solve_upper_t(R: Matrix, b: Vector) -> Vector:
    x = copied(b)
    for i in range(len(b)):
        x[i] /= R[i, i]
        for j in range(i + 1, len(b)):
            x[j] -= R[i, j] * x[i]
    return x
