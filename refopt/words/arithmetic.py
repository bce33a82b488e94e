"""What the operators ``+ - * / @`` and unary minus become between arrays, memory for results, and parting with them."""

# mypy: disable-error-code="index, arg-type, return-value, attr-defined, misc, var-annotated"

import numpy as np

from refopt.ops import Matrix, Symmetric, Vector

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


# --- numbers -----------------------------------------------------------------------------------------------------


def greater(a: float, b: float) -> float:
    """max(a, b), as a function that numba need not choose among its own."""
    return b if b > a else a


def lesser(a: float, b: float) -> float:
    return b if b < a else a


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


def matrix_plus(A: Matrix, B: Matrix) -> Matrix:
    """A + B."""
    m, n = A.shape
    C = new_matrix(m, n)
    for i in range(m):
        for j in range(n):
            C[i, j] = A[i, j] + B[i, j]
    return C


# --- copies ------------------------------------------------------------------------------------------------------


def copied(x: Vector) -> Vector:
    """A new vector equal to x."""
    z = new_vector(len(x))
    for i in range(len(x)):
        z[i] = x[i]
    return z


def copied_matrix(A: Matrix) -> Matrix:
    """A new matrix equal to A."""
    m, n = A.shape
    Z = new_matrix(m, n)
    for i in range(m):
        for j in range(n):
            Z[i, j] = A[i, j]
    return Z


def row_of(A: Matrix, i: int) -> Vector:
    """A new vector equal to row i of A."""
    n = A.shape[1]
    z = new_vector(n)
    for j in range(n):
        z[j] = A[i, j]
    return z


# --- arrays that belong to the caller: filled where the shapes agree; how many rows there are ------------------------


def leave_vector(target: Vector, x: Vector) -> int:
    """Write x into the caller's vector."""
    if len(target) == len(x):
        for i in range(len(x)):
            target[i] = x[i]
    return len(x)


def leave_matrix(target: Matrix, A: Matrix) -> int:
    """Write A into the caller's matrix."""
    m, n = A.shape
    if target.shape == A.shape:
        for i in range(m):
            for j in range(n):
                target[i, j] = A[i, j]
    return m


def leave_symmetric(target: Symmetric, B: Symmetric) -> int:
    """Write B into the caller's matrix, which may be B itself: both triangles."""
    n = len(B)
    if len(target) == n:
        for i in range(n):
            for j in range(i + 1):
                target[i, j] = B[i, j]
                target[j, i] = B[i, j]
    return n


def leave_row(target: Matrix, i: int, x: Vector) -> None:
    """Write x into row i of the caller's matrix."""
    for j in range(len(x)):
        target[i, j] = x[j]
