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
    """Of four parts at a time, because each comparison waits for the one before."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    fours = len(x) - len(x) % 4
    for i in range(0, fours, 4):
        a, b, c, d = longer(a, x[i]), longer(b, x[i + 1]), longer(c, x[i + 2]), longer(d, x[i + 3])
    for i in range(fours, len(x)):
        a = longer(a, x[i])
    return longer(longer(a, b), longer(c, d))


def longer(largest: float, part: float) -> float:
    """max(largest, |part|), NaN if one of them is."""
    size = abs(part)
    return size if size > largest or size != size else largest


def eps(x: Vector) -> float:
    return EPS


def finite(f: float) -> bool:
    return f - f == 0.0


def dimension(x: Vector) -> int:
    return len(x)


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


def power(v: Vector, a: float, b: float) -> Vector:
    z = new_vector(len(v))
    for i in range(len(v)):
        z[i] = v[i] ** a + b
    return z


def signs(x: Vector, k: int) -> Vector:
    z = new_vector(len(x))
    for i in range(len(x)):
        t = (48271 * i + 69621 * k) % 2147483647
        for _ in range(4):
            t = (t * t + 16807 * t + k) % 2147483647
        z[i] = 1.0 - 2.0 * (t % 2)
    return z


# --- symmetric matrices ------------------------------------------------------------------------------------------


def identity(x: Vector) -> Symmetric:
    n = len(x)
    B = zero_matrix(n, n)
    for i in range(n):
        B[i, i] = 1.0
    return B


def diagonal(B: Symmetric) -> Vector:
    d = new_vector(len(B))
    for i in range(len(B)):
        d[i] = B[i, i]
    return d


def rank_one(H: Symmetric, s: Vector, a: float) -> Symmetric:
    """Writes into H and returns it."""
    for i in range(len(s)):
        u = a * s[i]
        for j in range(i + 1):
            H[i, j] += u * s[j]
    return H


def rank_two(H: Symmetric, s: Vector, z: Vector, a: float, b: float) -> Symmetric:
    """Writes into H and returns it."""
    for i in range(len(s)):
        u, v = a * s[i] - b * z[i], b * s[i]
        for j in range(i + 1):
            H[i, j] += u * s[j] - v * z[j]
    return H


def frobenius(B: Symmetric) -> float:
    square = scaled_square(B, 1.0)
    if 1e-200 < square < 1e200:
        return square**0.5
    largest = 0.0
    for i in range(len(B)):
        for j in range(i + 1):
            size = abs(B[i, j])
            if size > largest or size != size:
                largest = size
    if largest == 0.0 or not finite(largest):
        return largest
    return largest * scaled_square(B, largest) ** 0.5


def scaled_square(B: Symmetric, size: float) -> float:
    """The sum of the squares of B/size."""
    square = 0.0
    for i in range(len(B)):
        row = 0.0
        for j in range(i):
            part = B[i, j] / size
            row += part * part
        part = B[i, i] / size
        square += 2.0 * row + part * part
    return square


def gershgorin(B: Symmetric) -> tuple[float, float]:
    n = len(B)
    radius = zero_vector(n)
    for i in range(n):
        row = 0.0
        for j in range(i):
            size = abs(B[i, j])
            row += size
            radius[j] += size
        radius[i] = row
    least, most = B[0, 0] - radius[0], B[0, 0] + radius[0]
    for i in range(1, n):
        least, most = min(least, B[i, i] - radius[i]), max(most, B[i, i] + radius[i])
    return least, most


# --- factorisations ----------------------------------------------------------------------------------------------


def cholesky(B: Symmetric, shift: float) -> tuple[Matrix, bool]:
    """By panels of four columns, each freed first from all columns before it."""
    n = len(B)
    L = zero_matrix(n, n)
    for i in range(n):
        for j in range(i):
            L[i, j] = B[i, j]
        L[i, i] = B[i, i] + shift
    inverse = new_vector(4)
    for first in range(0, n, 4):
        last = min(first + 4, n)
        free_panel(L, first, last)
        for i in range(first, n):
            for j in range(first, last):
                rest = L[i, j]
                for k in range(first, min(i, j)):
                    rest -= L[i, k] * L[j, k]
                if j < i:
                    L[i, j] = rest * inverse[j - first]
                elif j > i:
                    L[i, j] = 0.0
                elif rest > 0.0:
                    L[i, i] = rest**0.5
                    inverse[i - first] = 1.0 / L[i, i]
                else:
                    return L, False
    return L, True


def free_panel(L: Matrix, first: int, last: int) -> None:
    """L[first:, first:last] −= L[first:, :first] L[first:last, :first]ᵀ, two rows and four columns at a time."""
    n, i = len(L), first
    while i + 1 < n and last - first == 4:
        a0, a1, a2, a3, b0, b1, b2, b3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for k in range(first):
            a, b = L[i, k], L[i + 1, k]
            c0, c1, c2, c3 = L[first, k], L[first + 1, k], L[first + 2, k], L[first + 3, k]
            a0, a1, a2, a3 = a0 + a * c0, a1 + a * c1, a2 + a * c2, a3 + a * c3
            b0, b1, b2, b3 = b0 + b * c0, b1 + b * c1, b2 + b * c2, b3 + b * c3
        L[i, first] -= a0
        L[i, first + 1] -= a1
        L[i, first + 2] -= a2
        L[i, first + 3] -= a3
        L[i + 1, first] -= b0
        L[i + 1, first + 1] -= b1
        L[i + 1, first + 2] -= b2
        L[i + 1, first + 3] -= b3
        i += 2
    while i < n:
        for j in range(first, last):
            total = 0.0
            for k in range(first):
                total += L[i, k] * L[j, k]
            L[i, j] -= total
        i += 1


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
