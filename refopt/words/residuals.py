"""The words of ``refopt.ops`` for least squares.

Householder reflections work on a transposed copy, whose rows are the columns of the matrix: the loops run along memory.
"""

# mypy: disable-error-code="index, arg-type, return-value, attr-defined, misc, var-annotated"

from refopt.ops import Matrix, Vector
from refopt.words.arithmetic import new_matrix, new_vector, zero_matrix, zero_vector
from refopt.words.vocabulary import EPS


def rmatvec(J: Matrix, r: Vector) -> Vector:
    m, n = J.shape
    g = zero_vector(n)
    for i in range(m):
        for j in range(n):
            g[j] += J[i, j] * r[i]
    return g


def column_norms(J: Matrix) -> Vector:
    m, n = J.shape
    d = zero_vector(n)
    for i in range(m):
        for j in range(n):
            d[j] += J[i, j] * J[i, j]
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
    columns = zero_matrix(n + 1, max(m, n))
    for i in range(m):
        for j in range(n):
            columns[j, i] = J[i, j]
        columns[n, i] = r[i]
    rank = reflected(columns, 4 * max(m, n) * EPS)
    R, c = triangle_of(columns, rank)
    return R, c, rank == n


def damped(R: Matrix, c: Vector, d: Vector) -> tuple[Matrix, Vector]:
    n = len(c)
    columns = zero_matrix(n + 1, 2 * n)
    for i in range(n):
        for j in range(i, n):
            columns[j, i] = R[i, j]
        columns[n, i] = c[i]
        columns[i, n + i] = d[i]
    return triangle_of(columns, reflected(columns, 0.0))


def reflected(columns: Matrix, tiny: float) -> int:
    """Reflect the columns to echelon form, each down to the first row that is still free; how many rows are taken.

    The part a of column j from row k on is reflected by H = I − 2 vvᵀ/vᵀv, v = a − αe₁, to Ha = αe₁, α = −sign(a₁)‖a‖.
    Where ‖a‖ is tiny beside the column, the column depends on those before it, and takes no row.
    """
    n, rows = len(columns) - 1, columns.shape[1]
    k = 0
    for j in range(n):
        whole, alpha = length(columns, j, 0), length(columns, j, k)
        if not alpha > tiny * whole:
            for i in range(k, rows):
                columns[j, i] = 0.0
            continue
        if length(columns, j, k + 1) > 0.0:
            alpha = -alpha if columns[j, k] > 0.0 else alpha
            lead = columns[j, k] - alpha
            for other in range(j + 1, n + 1):
                t = columns[other, k] * lead
                for i in range(k + 1, rows):
                    t += columns[j, i] * columns[other, i]
                t /= alpha * lead
                columns[other, k] += t * lead
                for i in range(k + 1, rows):
                    columns[other, i] += t * columns[j, i]
            columns[j, k] = alpha
            for i in range(k + 1, rows):
                columns[j, i] = 0.0
        k += 1
    return k


def length(columns: Matrix, j: int, first: int) -> float:
    """The norm of column j from a row on, scaled by its largest entry."""
    largest = 0.0
    for i in range(first, columns.shape[1]):
        size = abs(columns[j, i])
        if size > largest or size != size:
            largest = size
    if largest == 0.0:
        return 0.0
    total = 0.0
    for i in range(first, columns.shape[1]):
        part = columns[j, i] / largest
        total += part * part
    return largest * total**0.5


def triangle_of(columns: Matrix, rank: int) -> tuple[Matrix, Vector]:
    """The upper triangle of all columns but the last, and the last down to the rank."""
    n = len(columns) - 1
    R, c = zero_matrix(n, n), zero_vector(n)
    for j in range(n):
        for i in range(j + 1):
            R[i, j] = columns[j, i]
    for i in range(rank):
        c[i] = columns[n, i]
    return R, c


def solve_upper(R: Matrix, b: Vector) -> Vector:
    n = len(b)
    x = new_vector(n)
    for i in range(n - 1, -1, -1):
        total = 0.0
        for j in range(i + 1, n):
            total += R[i, j] * x[j]
        x[i] = (b[i] - total) / R[i, i]
    return x


def solve_upper_t(R: Matrix, b: Vector) -> Vector:
    n = len(b)
    x = new_vector(n)
    for i in range(n):
        x[i] = b[i]
    for i in range(n):
        x[i] /= R[i, i]
        for j in range(i + 1, n):
            x[j] -= R[i, j] * x[i]
    return x
