"""All eigenvalues of a symmetric matrix, systems with one that is not definite, and bases of Krylov spaces."""

# mypy: disable-error-code="index, arg-type, return-value, attr-defined, misc, var-annotated"

from refopt.ops import Matrix, Symmetric, Vector
from refopt.words.arithmetic import copied, new_matrix, new_vector, zero_matrix
from refopt.words.vocabulary import EPS, finite


def eigh(B: Symmetric) -> tuple[Vector, Matrix]:
    """Jacobi's method: plane rotations, each of which makes one pair of entries zero, until none is left to turn.

    G. H. Golub & C. F. Van Loan, *Matrix Computations*, 4th ed., §8.5 (the cyclic method by rows).
    """
    n = len(B)
    A, V = zero_matrix(n, n), zero_matrix(n, n)
    for i in range(n):
        for j in range(i + 1):
            A[i, j] = A[j, i] = B[i, j]
        V[i, i] = 1.0
    for _ in range(40):
        turned = False
        for p in range(n):
            for q in range(p + 1, n):
                if abs(A[p, q]) > EPS * (abs(A[p, p]) * abs(A[q, q])) ** 0.5 or (
                    abs(A[p, q]) > 0.0 and min(abs(A[p, p]), abs(A[q, q])) == 0.0
                ):
                    turned = True
                    rotate(A, V, p, q)
        if not turned:
            break
    values = new_vector(n)
    for i in range(n):
        values[i] = A[i, i]
    return values, V


def rotate(A: Symmetric, V: Matrix, p: int, q: int) -> None:
    """A ← RᵀAR with A[p, q] = 0, and Vᵀ ← RᵀVᵀ: rows of V are the vectors."""
    n, theta = len(A), 0.5 * (A[q, q] - A[p, p]) / A[p, q]
    t = 1.0 / (abs(theta) + (1.0 + theta * theta) ** 0.5)
    t = -t if theta < 0.0 else t
    c = 1.0 / (1.0 + t * t) ** 0.5
    s = t * c
    A[p, p] -= t * A[p, q]
    A[q, q] += t * A[p, q]
    A[p, q] = A[q, p] = 0.0
    for k in range(n):
        if k not in (p, q):
            a, b = A[p, k], A[q, k]
            A[p, k] = A[k, p] = c * a - s * b
            A[q, k] = A[k, q] = s * a + c * b
        a, b = V[p, k], V[q, k]
        V[p, k], V[q, k] = c * a - s * b, s * a + c * b


def solve_symmetric(B: Symmetric, shift: float, b: Vector) -> tuple[Vector, bool]:
    """Elimination with partial pivoting."""
    n, x = len(b), copied(b)
    A = zero_matrix(n, n)
    for i in range(n):
        for j in range(i + 1):
            A[i, j] = A[j, i] = B[i, j]
        A[i, i] += shift
    for j in range(n):
        pivot = j
        for i in range(j + 1, n):
            if abs(A[i, j]) > abs(A[pivot, j]):
                pivot = i
        if not (abs(A[pivot, j]) > 0.0 and finite(A[pivot, j])):
            return x, False
        for k in range(j, n):
            A[j, k], A[pivot, k] = A[pivot, k], A[j, k]
        x[j], x[pivot] = x[pivot], x[j]
        for i in range(j + 1, n):
            factor = A[i, j] / A[j, j]
            for k in range(j + 1, n):
                A[i, k] -= factor * A[j, k]
            x[i] -= factor * x[j]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            x[i] -= A[i, k] * x[k]
        x[i] /= A[i, i]
    return x, finite(x[0])


# --- bases, whose vectors are the rows of a matrix -------------------------------------------------------------------


def row(q: Vector) -> Matrix:
    Q = new_matrix(1, len(q))
    for j in range(len(q)):
        Q[0, j] = q[j]
    return Q


def stacked(Q: Matrix, q: Vector) -> Matrix:
    k, n = Q.shape
    Z = new_matrix(k + 1, n)
    for i in range(k):
        for j in range(n):
            Z[i, j] = Q[i, j]
    for j in range(n):
        Z[k, j] = q[j]
    return Z


def orthogonal(w: Vector, Q: Matrix) -> Vector:
    k, n = Q.shape
    z = copied(w)
    for _ in range(2):
        for i in range(k):
            part = 0.0
            for j in range(n):
                part += Q[i, j] * z[j]
            for j in range(n):
                z[j] -= part * Q[i, j]
    return z


def projected(Q: Matrix, Y: Matrix) -> Symmetric:
    k, n = Q.shape
    T = new_matrix(k, k)
    for i in range(k):
        for j in range(i + 1):
            total = 0.0
            for m in range(n):
                total += Q[i, m] * Y[j, m] + Y[i, m] * Q[j, m]
            T[i, j] = 0.5 * total
    return T
