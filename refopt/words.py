"""The loop bodies of the vocabulary: what the words of ``refopt.ops`` and the array operators become when compiled.

Each function here does to float64 arrays of NumPy what the word of the same name does to any array; the first group
stands for the operators ``+ - * / @`` instead. Plain Python, so that they can be tested as they are; compiled, each is
a loop without temporaries. Of a ``Symmetric`` only the lower triangle is read, and only it is written.
"""

from collections.abc import Callable

import numpy as np

from refopt.ops import Matrix, Symmetric, Vector

EPS = 2.0**-52
CUBE_ROOT_EPS = EPS ** (1 / 3)

# The loops write into arrays and take them apart, which the protocols Vector, Matrix, Symmetric do not offer to methods.
# mypy: disable-error-code="index, arg-type, return-value, attr-defined"

# --- memory ------------------------------------------------------------------------------------------------------


def new_vector(n: int) -> Vector:
    return np.empty(n)


def new_matrix(m: int, n: int) -> Matrix:
    return np.empty((m, n))


def zero_vector(n: int) -> Vector:
    z = new_vector(n)
    for i in range(n):
        z[i] = 0.0
    return z


def zero_matrix(m: int, n: int) -> Matrix:
    Z = new_matrix(m, n)
    for i in range(m):
        for j in range(n):
            Z[i, j] = 0.0
    return Z


# --- operators ---------------------------------------------------------------------------------------------------


def plus(x: Vector, y: Vector) -> Vector:
    """x + y."""
    z = new_vector(len(x))
    for i in range(len(x)):
        z[i] = x[i] + y[i]
    return z


def minus(x: Vector, y: Vector) -> Vector:
    """x − y."""
    z = new_vector(len(x))
    for i in range(len(x)):
        z[i] = x[i] - y[i]
    return z


def times(x: Vector, y: Vector) -> Vector:
    """x y, component by component."""
    z = new_vector(len(x))
    for i in range(len(x)):
        z[i] = x[i] * y[i]
    return z


def over(x: Vector, y: Vector) -> Vector:
    """x / y, component by component."""
    z = new_vector(len(x))
    for i in range(len(x)):
        z[i] = x[i] / y[i]
    return z


def scaled(a: float, x: Vector) -> Vector:
    """a x."""
    z = new_vector(len(x))
    for i in range(len(x)):
        z[i] = a * x[i]
    return z


def divided(x: Vector, a: float) -> Vector:
    """x / a."""
    z = new_vector(len(x))
    for i in range(len(x)):
        z[i] = x[i] / a
    return z


def negated(x: Vector) -> Vector:
    """−x."""
    return scaled(-1.0, x)


def moved(x: Vector, a: float, p: Vector) -> Vector:
    """x + a p."""
    z = new_vector(len(x))
    for i in range(len(x)):
        z[i] = x[i] + a * p[i]
    return z


def product(A: Matrix, x: Vector) -> Vector:
    """A x."""
    m, n = A.shape
    z = new_vector(m)
    for i in range(m):
        total = 0.0
        for j in range(n):
            total += A[i, j] * x[j]
        z[i] = total
    return z


def symmetric_product(a: float, H: Symmetric, x: Vector) -> Vector:
    """a H x."""
    n = len(x)
    z = new_vector(n)
    for i in range(n):
        ax, total = a * x[i], 0.0
        for j in range(i):
            z[j] += ax * H[i, j]
            total += H[i, j] * x[j]
        z[i] = a * total + ax * H[i, i]
    return z


def symmetric_scaled(a: float, H: Symmetric) -> Symmetric:
    """a H."""
    n = len(H)
    B = new_matrix(n, n)
    for i in range(n):
        for j in range(i + 1):
            B[i, j] = a * H[i, j]
    return B


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
        square += (x[i] / largest) ** 2
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
            square += 2.0 * (B[i, j] / largest) ** 2
        square += (B[i, i] / largest) ** 2
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


def lowest(B: Symmetric) -> tuple[float, Vector]:
    """Householder's reduction to a tridiagonal T, bisection on T (Sturm), inverse iteration on T, and back.

    G. H. Golub & C. F. Van Loan, *Matrix Computations*, 4th ed., §8.3.1, §8.4.1, §8.4.2.
    """
    V, scales, d, e = tridiagonal(B)
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
    return value, x


def tridiagonal(B: Symmetric) -> tuple[Matrix, Vector, Vector, Vector]:
    """Rows v and factors β of the reflections I − β vvᵀ that make B tridiagonal; its diagonal d, subdiagonal e."""
    n = len(B)
    A = new_matrix(n, n)
    for i in range(n):
        for j in range(i + 1):
            A[i, j] = A[j, i] = B[i, j]
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
    size = 0.0
    for i in range(n):
        size = max(size, abs(d[i]) + abs(e[i]))
    tiny = EPS * size if size > 0.0 else 1.0
    diagonal, beside = d[0] - value, e[0]
    for i in range(n - 1):
        below, next_diagonal, next_beside = e[i], d[i + 1] - value, e[i + 1]
        if abs(below) > abs(diagonal):
            swap[i], factor[i] = 1.0, diagonal / below
            a[i], b[i], c[i] = below, next_diagonal, next_beside
            diagonal, beside = beside - factor[i] * next_diagonal, -factor[i] * next_beside
        else:
            a[i], b[i] = diagonal if diagonal != 0.0 else tiny, beside
            factor[i] = below / a[i]
            diagonal, beside = next_diagonal - factor[i] * beside, next_beside
    a[n - 1] = diagonal if abs(diagonal) > tiny else tiny
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


# --- derivatives by differences ----------------------------------------------------------------------------------
# The rules of refopt.derivatives.differences, "3-point". Functions get copies, to keep or to change. Steps are exact, so
# these loops keep their order of rounding.


def difference_gradient(fun: Callable[[Vector], float], x: Vector, scale: Vector) -> Vector:
    """(f(x + hᵢeᵢ) − f(x − hᵢeᵢ)) / 2hᵢ; one-sided where that is not finite although f(x) is."""
    g, there, whole = new_vector(len(x)), copied(x), True
    for i in range(len(x)):
        h = exact_step(x[i], scale[i])
        up, down = x[i] + h, x[i] - h
        there[i] = up
        above = fun(copied(there))
        there[i] = down
        g[i] = (above - fun(copied(there))) / (up - down)
        there[i] = x[i]
        whole = whole and finite(g[i])
    if not whole:
        here = fun(copied(x))
        for i in range(len(x)):
            if finite(here) and not finite(g[i]):
                g[i] = one_sided(fun, x, here, i)
    return g


def one_sided(fun: Callable[[Vector], float], x: Vector, here: float, i: int) -> float:
    """(−3 f(x) + 4 f(x + heᵢ) − f(x + 2heᵢ)) / 2h, for h or else −h: the side where it is finite."""
    there, slope = copied(x), 0.0
    for sign in (1.0, -1.0):
        h = sign * exact_step(x[i], 0.0)
        there[i] = x[i] + h
        near = fun(copied(there))
        there[i] = x[i] + 2.0 * h
        slope = (4.0 * (near - here) - (fun(copied(there)) - here)) / (2.0 * h)
        if finite(slope):
            break
    return slope


def difference_jacobian(function: Callable[[Vector], Vector], x: Vector, scale: Vector) -> Matrix:
    """The columns (F(x + hᵢeᵢ) − F(x − hᵢeᵢ)) / 2hᵢ; one-sided where one is not finite although F(x) is."""
    J, there, lost = new_matrix(0, 0), copied(x), zero_vector(len(x))
    for i in range(len(x)):
        h = exact_step(x[i], scale[i])
        up, down = x[i] + h, x[i] - h
        there[i] = up
        above = function(copied(there))
        there[i] = down
        column = divided(minus(above, function(copied(there))), up - down)
        there[i] = x[i]
        if i == 0:
            J = new_matrix(len(column), len(x))
        set_column(J, i, column)
        if not finite(norm_inf(column)):
            lost[i] = 1.0
    if norm_inf(lost) > 0.0:
        here = function(copied(x))
        for i in range(len(x)):
            if finite(norm_inf(here)) and lost[i] > 0.0:
                set_column(J, i, one_sided_column(function, x, here, i))
    return J


def one_sided_column(function: Callable[[Vector], Vector], x: Vector, here: Vector, i: int) -> Vector:
    """The rule of ``one_sided`` for a function with values in a vector space."""
    there, slope = copied(x), here
    for sign in (1.0, -1.0):
        h = sign * exact_step(x[i], 0.0)
        there[i] = x[i] + h
        near = function(copied(there))
        there[i] = x[i] + 2.0 * h
        far = function(copied(there))
        slope = divided(minus(scaled(4.0, minus(near, here)), minus(far, here)), 2.0 * h)
        if finite(norm_inf(slope)):
            break
    return slope


def difference_hessian(grad: Callable[[Vector], Vector], x: Vector, scale: Vector) -> Symmetric:
    """The symmetric part of the Jacobian of the gradient."""
    return symmetric_part(difference_jacobian(grad, x, scale))


def second_difference_hessian(fun: Callable[[Vector], float], x: Vector, scale: Vector) -> Symmetric:
    """The same where the gradient is a difference itself."""
    n, there = len(x), copied(x)
    B = new_matrix(n, n)
    for i in range(n):
        h = exact_step(x[i], scale[i])
        up, down = x[i] + h, x[i] - h
        there[i] = up
        above = difference_gradient(fun, there, scale)
        there[i] = down
        set_column(B, i, divided(minus(above, difference_gradient(fun, there, scale)), up - down))
        there[i] = x[i]
    return symmetric_part(B)


def set_column(A: Matrix, j: int, column: Vector) -> None:
    """Write a column into A."""
    for i in range(len(column)):
        A[i, j] = column[i]


def exact_step(x: float, scale: float) -> float:
    """h = (x + ∛eps s) − x with s = max(|x|, |x₀|), or 1 if both are 0."""
    size = max(abs(x), scale)
    return (x + CUBE_ROOT_EPS * (size if size > 0.0 else 1.0)) - x


def symmetric_part(B: Matrix) -> Symmetric:
    """½ (B + Bᵀ), written into B."""
    for i in range(len(B)):
        for j in range(i):
            B[i, j] = B[j, i] = 0.5 * (B[i, j] + B[j, i])
    return B


ORDERED = (difference_gradient, one_sided, difference_jacobian, one_sided_column, second_difference_hessian, exact_step)


# --- arrays that belong to the caller ----------------------------------------------------------------------------


def copied(x: Vector) -> Vector:
    """A new vector equal to x."""
    z = new_vector(len(x))
    for i in range(len(x)):
        z[i] = x[i]
    return z


def leave_vector(target: Vector, x: Vector) -> None:
    """Write x into the caller's vector."""
    for i in range(len(x)):
        target[i] = x[i]


def leave_matrix(target: Matrix, A: Matrix) -> None:
    """Write A into the caller's matrix."""
    m, n = A.shape
    for i in range(m):
        for j in range(n):
            target[i, j] = A[i, j]


def leave_symmetric(target: Symmetric, B: Symmetric) -> None:
    """Write B into the caller's matrix, which may be B itself: both triangles."""
    n = len(B)
    for i in range(n):
        for j in range(i + 1):
            target[i, j] = B[i, j]
            target[j, i] = B[i, j]
