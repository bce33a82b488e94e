"""The words of ``refopt.ops`` for least squares.

Householder reflections work on a transposed copy, whose rows are the columns of the matrix: the loops run along memory.
"""

# mypy: disable-error-code="index, arg-type, return-value, attr-defined, misc, var-annotated"

from refopt.ops import Matrix, Vector
from refopt.words.arithmetic import new_vector, zero_matrix, zero_vector
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


def triangular(J: Matrix, r: Vector) -> tuple[Matrix, Vector, bool]:
    m, n = J.shape
    columns = zero_matrix(n + 1, max(m, n))
    for i in range(m):
        for j in range(n):
            columns[j, i] = J[i, j]
        columns[n, i] = r[i]
    R, c = reflected(columns)
    full = True
    for j in range(n):
        total = 0.0
        for i in range(j + 1):
            total += R[i, j] * R[i, j]
        full = full and abs(R[j, j]) > n * EPS * total**0.5
    return R, c, full


def damped(R: Matrix, c: Vector, d: Vector) -> tuple[Matrix, Vector]:
    n = len(c)
    columns = zero_matrix(n + 1, 2 * n)
    for i in range(n):
        for j in range(i, n):
            columns[j, i] = R[i, j]
        columns[n, i] = c[i]
        columns[i, n + i] = d[i]
    return reflected(columns)


def reflected(columns: Matrix) -> tuple[Matrix, Vector]:
    """The triangle of all columns but the last, and the last in its basis.

    For each column a = A[j:, j] the reflection H = I − 2 vvᵀ/vᵀv with v = a − αe₁, α = −sign(a₁)‖a‖, so that Ha = αe₁.
    """
    n, rows = len(columns) - 1, columns.shape[1]
    for j in range(n):
        alpha = pivot(columns, j)
        lead = columns[j, j] - alpha
        if lead != 0.0:
            columns[j, j] = lead
            for k in range(j + 1, n + 1):
                t = 0.0
                for i in range(j, rows):
                    t += columns[j, i] * columns[k, i]
                t /= alpha * lead
                for i in range(j, rows):
                    columns[k, i] += t * columns[j, i]
            columns[j, j] = alpha
    R, c = zero_matrix(n, n), new_vector(n)
    for j in range(n):
        for i in range(j + 1):
            R[i, j] = columns[j, i]
        c[j] = columns[n, j]
    return R, c


def pivot(columns: Matrix, j: int) -> float:
    """−sign(a₁)‖a‖ for the part a of column j from its diagonal on, scaled by ‖a‖∞; a₁ if nothing is below it."""
    largest = 0.0
    for i in range(j + 1, columns.shape[1]):
        largest = max(largest, abs(columns[j, i]))
    first = columns[j, j]
    if largest == 0.0:
        return first
    largest = max(largest, abs(first))
    total = 0.0
    for i in range(j, columns.shape[1]):
        total += (columns[j, i] / largest) ** 2
    return -largest * total**0.5 if first > 0.0 else largest * total**0.5


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
