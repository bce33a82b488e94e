"""The smallest eigenvalue of a symmetric matrix and its eigenvector.

Householder's reduction to a tridiagonal T, bisection on T (Sturm), inverse iteration on T, and the way back.

G. H. Golub & C. F. Van Loan, *Matrix Computations*, 4th ed., §8.2, §8.3, §8.4.
"""

# mypy: disable-error-code="index, arg-type, return-value, attr-defined, misc, var-annotated"

from refopt.ops import Matrix, Symmetric, Vector
from refopt.words.arithmetic import new_matrix, new_vector, zero_matrix, zero_vector
from refopt.words.vocabulary import EPS, norm


def lowest(B: Symmetric) -> tuple[float, Vector]:
    """Householder's reduction to a tridiagonal T, bisection on T (Sturm), inverse iteration on T, and back.

    G. H. Golub & C. F. Van Loan, *Matrix Computations*, 4th ed., §8.3.1, §8.4.1, §8.4.2.
    """
    size = largest_entry(B)
    V, scales, d, e = tridiagonal(B, size)
    value = least_eigenvalue(d, e)
    x = inverse_iteration(d, e, value)
    n = len(d)
    for k in range(n - 2, -1, -1):
        along = 0.0
        for i in range(k + 1, n):
            along += V[k, i] * x[i]
        along *= scales[k]
        for i in range(k + 1, n):
            x[i] -= along * V[k, i]
    return size * value, x


def largest_entry(B: Symmetric) -> float:
    """maxᵢⱼ |bᵢⱼ|, or 1 if B is zero."""
    size = 0.0
    for i in range(len(B)):
        for j in range(i + 1):
            size = max(size, abs(B[i, j]))
    return size if size > 0.0 else 1.0


def tridiagonal(B: Symmetric, size: float) -> tuple[Matrix, Vector, Vector, Vector]:
    """Rows v and factors β of the reflections I − β vvᵀ that make B / size tridiagonal; its diagonal d, subdiagonal e."""
    n = len(B)
    A = new_matrix(n, n)
    for i in range(n):
        for j in range(i + 1):
            A[i, j] = A[j, i] = B[i, j] / size
    V, scales, d, e = zero_matrix(n, n), zero_vector(n), zero_vector(n), zero_vector(n)
    p = zero_vector(n)
    for k in range(n - 1):
        d[k] = A[k, k]
        v = V[k]
        largest = 0.0
        for i in range(k + 1, n):
            largest = max(largest, abs(A[k, i]))
        if largest == 0.0:
            continue
        square = 0.0
        for i in range(k + 1, n):
            v[i] = A[k, i] / largest
            square += v[i] * v[i]
        alpha = square**0.5 if v[k + 1] <= 0.0 else -(square**0.5)
        v[k + 1] -= alpha
        e[k] = alpha * largest
        beta = 1.0 / (square + abs(alpha) * (abs(v[k + 1]) - abs(alpha)))
        scales[k] = beta
        along = 0.0
        for i in range(k + 1, n):
            total = 0.0
            for j in range(k + 1, n):
                total += A[i, j] * v[j]
            p[i] = beta * total
            along += p[i] * v[i]
        for i in range(k + 1, n):
            p[i] -= 0.5 * beta * along * v[i]
        for i in range(k + 1, n):
            for j in range(k + 1, n):
                A[i, j] -= v[i] * p[j] + p[i] * v[j]
    d[n - 1] = A[n - 1, n - 1]
    return V, scales, d, e


def least_eigenvalue(d: Vector, e: Vector) -> float:
    """The smallest eigenvalue of the tridiagonal T, by bisection: T − λI ≻ 0 iff all its pivots are positive."""
    n = len(d)
    low, high = d[0], d[0]
    for i in range(n):
        radius = abs(e[i]) + (abs(e[i - 1]) if i > 0 else 0.0)
        low, high = min(low, d[i] - radius), min(high, d[i])
    for _ in range(60):  # the first interval is at most 2 size long: to its last bit
        middle = low + 0.5 * (high - low)
        pivot = d[0] - middle
        i = 1
        while i < n and pivot > 0.0:
            pivot = d[i] - middle - e[i - 1] * (e[i - 1] / pivot)
            i += 1
        if pivot > 0.0:
            low = middle
        else:
            high = middle
    return low + 0.5 * (high - low)


def inverse_iteration(d: Vector, e: Vector, value: float) -> Vector:
    """A unit vector x with T x ≈ value x: three solves with T − value I, from a fixed irregular start.

    Gaussian elimination with partial pivoting; U has diagonals a, b, c, and `swap` remembers the exchanges.
    """
    n = len(d)
    a, b, c, factor = zero_vector(n), zero_vector(n), zero_vector(n), zero_vector(n)
    swap = zero_vector(n)
    diagonal, beside = d[0] - value, e[0]
    for i in range(n - 1):
        below, next_diagonal, next_beside = e[i], d[i + 1] - value, e[i + 1]
        if abs(below) > abs(diagonal):
            swap[i], factor[i] = 1.0, diagonal / below
            a[i], b[i], c[i] = below, next_diagonal, next_beside
            diagonal, beside = beside - factor[i] * next_diagonal, -factor[i] * next_beside
        else:
            a[i], b[i] = diagonal if diagonal != 0.0 else EPS, beside
            factor[i] = below / a[i]
            diagonal, beside = next_diagonal - factor[i] * beside, next_beside
    a[n - 1] = diagonal if abs(diagonal) > EPS else EPS
    x = new_vector(n)
    for i in range(n):
        x[i] = 1.0 + 0.5 * ((0.6180339887498949 * (i + 1)) % 1.0)
    for _ in range(3):
        for i in range(n - 1):
            if swap[i] == 1.0:
                x[i], x[i + 1] = x[i + 1], x[i] - factor[i] * x[i + 1]
            else:
                x[i + 1] -= factor[i] * x[i]
        for i in range(n - 1, -1, -1):
            ahead = x[i]
            if i + 1 < n:
                ahead -= b[i] * x[i + 1]
            if i + 2 < n:
                ahead -= c[i] * x[i + 2]
            x[i] = ahead / a[i]
        length = norm(x)
        for i in range(n):
            x[i] /= length
    return x
