"""The words of ``refopt.ops`` for scalars, vectors and symmetric matrices."""

# mypy: disable-error-code="index, arg-type, return-value, attr-defined, misc, var-annotated"

from refopt.ops import Matrix, Symmetric, Vector
from refopt.words.arithmetic import new_vector, zero_matrix, zero_vector

EPS = 2.0**-52


# --- scalars -----------------------------------------------------------------------------------------------------


def dot(x: Vector, y: Vector) -> float:
    total = 0.0
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


def norm(x: Vector) -> float:
    square = dot(x, x)
    if 1e-200 < square < 1e200:
        return square**0.5
    largest = norm_inf(x)
    if largest == 0.0 or not finite(largest):
        return largest
    square = 0.0
    for i in range(len(x)):
        part = x[i] / largest
        square += part * part
    return largest * square**0.5


def norm_inf(x: Vector) -> float:
    largest = 0.0
    for i in range(len(x)):
        size = abs(x[i])
        if size > largest or size != size:
            largest = size
    return largest


def eps(x: Vector) -> float:
    return EPS


def finite(f: float) -> bool:
    return f - f == 0.0


# --- vectors -----------------------------------------------------------------------------------------------------


def absolute(x: Vector) -> Vector:
    z = new_vector(len(x))
    for i in range(len(x)):
        z[i] = abs(x[i])
    return z


def larger(x: Vector, y: Vector) -> Vector:
    z = new_vector(len(x))
    for i in range(len(x)):
        z[i] = x[i] if x[i] > y[i] or x[i] != x[i] else y[i]
    return z


def weighted_max(g: Vector, w: Vector) -> float:
    largest = 0.0
    for i in range(len(g)):
        size = abs(g[i] * w[i])
        if size > largest or size != size:
            largest = size
    return largest


# --- symmetric matrices ------------------------------------------------------------------------------------------


def identity(x: Vector) -> Symmetric:
    n = len(x)
    B = zero_matrix(n, n)
    for i in range(n):
        B[i, i] = 1.0
    return B


def rank_two(H: Symmetric, s: Vector, z: Vector, a: float, b: float) -> Symmetric:
    """Writes into H and returns it."""
    for i in range(len(s)):
        u, v = a * s[i] - b * z[i], b * s[i]
        for j in range(i + 1):
            H[i, j] += u * s[j] - v * z[j]
    return H


def frobenius(B: Symmetric) -> float:
    n = len(B)
    largest = 0.0
    for i in range(n):
        for j in range(i + 1):
            size = abs(B[i, j])
            if size > largest or size != size:
                largest = size
    if largest == 0.0 or not finite(largest):
        return largest
    square = 0.0
    for i in range(n):
        for j in range(i):
            part = B[i, j] / largest
            square += 2.0 * part * part
        part = B[i, i] / largest
        square += part * part
    return largest * square**0.5


def gershgorin(B: Symmetric) -> tuple[float, float]:
    n = len(B)
    radius = zero_vector(n)
    for i in range(n):
        for j in range(i):
            size = abs(B[i, j])
            radius[i] += size
            radius[j] += size
    least, most = B[0, 0] - radius[0], B[0, 0] + radius[0]
    for i in range(1, n):
        least, most = min(least, B[i, i] - radius[i]), max(most, B[i, i] + radius[i])
    return least, most


# --- factorisations ----------------------------------------------------------------------------------------------


def cholesky(B: Symmetric, shift: float) -> tuple[Matrix, bool]:
    n = len(B)
    L = zero_matrix(n, n)
    for i in range(n):
        for j in range(i):
            total = 0.0
            for k in range(j):
                total += L[i, k] * L[j, k]
            L[i, j] = (B[i, j] - total) / L[j, j]
        total = 0.0
        for k in range(i):
            total += L[i, k] * L[i, k]
        pivot = B[i, i] + shift - total
        if not pivot > 0.0:
            return L, False
        L[i, i] = pivot**0.5
    return L, True


def solve_lower(L: Matrix, b: Vector) -> Vector:
    n = len(b)
    x = new_vector(n)
    for i in range(n):
        total = 0.0
        for j in range(i):
            total += L[i, j] * x[j]
        x[i] = (b[i] - total) / L[i, i]
    return x


def solve_lower_t(L: Matrix, b: Vector) -> Vector:
    n = len(b)
    x = new_vector(n)
    for i in range(n):
        x[i] = b[i]
    for i in range(n - 1, -1, -1):
        x[i] /= L[i, i]
        for j in range(i):
            x[j] -= L[i, j] * x[i]
    return x
