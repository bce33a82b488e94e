"""The words of ``refopt.ops`` for a history of vectors: the rows of a matrix, written in turn."""

# mypy: disable-error-code="index, arg-type, return-value, attr-defined, misc, var-annotated"

from refopt.ops import Matrix, Vector
from refopt.words.arithmetic import copied, leave_row, new_vector, zero_matrix


def blank_rows(m: int, x: Vector) -> Matrix:
    return zero_matrix(m, len(x))


def with_row(S: Matrix, k: int, s: Vector) -> Matrix:
    """Writes into S and returns it."""
    leave_row(S, k % len(S), s)
    return S


def two_loop(S: Matrix, Y: Matrix, count: int, gamma: float, g: Vector) -> Vector:
    m, n = S.shape
    known = min(count, m)
    a, ys, r = new_vector(known), new_vector(known), copied(g)
    for k in range(known):
        i = (count - 1 - k) % m
        product, curvature = 0.0, 0.0
        for j in range(n):
            product += S[i, j] * r[j]
            curvature += S[i, j] * Y[i, j]
        a[k], ys[k] = product / curvature, curvature
        for j in range(n):
            r[j] -= a[k] * Y[i, j]
    for j in range(n):
        r[j] *= gamma
    for k in range(known - 1, -1, -1):
        i = (count - 1 - k) % m
        product = 0.0
        for j in range(n):
            product += Y[i, j] * r[j]
        change = a[k] - product / ys[k]
        for j in range(n):
            r[j] += change * S[i, j]
    return r
