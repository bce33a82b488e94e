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
    """Each change of r waits until the next product with r, so that r is read once for both."""
    m, n = S.shape
    known = min(count, m)
    a, rho, r = new_vector(known), new_vector(known), copied(g)
    i = last = (count - 1) % m
    change = 0.0
    for k in range(known):
        product, curvature = 0.0, 0.0
        for j in range(n):
            r[j] -= change * Y[last, j]
            product += S[i, j] * r[j]
            curvature += S[i, j] * Y[i, j]
        rho[k] = 1.0 / curvature
        a[k] = change = product * rho[k]
        last = i
        i = i - 1 if i > 0 else m - 1
    for j in range(n):
        r[j] = gamma * (r[j] - change * Y[last, j])
    change = 0.0
    for k in range(known - 1, -1, -1):
        i = i + 1 if i < m - 1 else 0
        product = 0.0
        for j in range(n):
            r[j] += change * S[last, j]
            product += Y[i, j] * r[j]
        change = a[k] - product * rho[k]
        last = i
    for j in range(n):
        r[j] += change * S[last, j]
    return r
