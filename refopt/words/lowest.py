"""The smallest eigenvalue of a symmetric matrix, and its eigenvector."""

# mypy: disable-error-code="index"

from refopt.ops import Symmetric, Vector
from refopt.words.arithmetic import divided, moved, new_vector, symmetric_product, symmetric_scaled
from refopt.words.vocabulary import EPS, cholesky, dot, gershgorin, norm, solve_lower, solve_lower_t


def lowest(B: Symmetric) -> tuple[float, Vector]:
    """Inverse iteration with a shift σ from below, which Cholesky's factorisation certifies: B − σI ≻ 0 iff σ < λ₁.

    The Rayleigh quotient ρ of the vector is an upper bound, and ρ − ‖Bv − ρv‖ the next shift to try: near the end each
    squares the error of the last. Where such a shift fails, v leans to another eigenvalue: the interval is halved.

    B. N. Parlett, *The Symmetric Eigenvalue Problem*, SIAM 1998, chapters 3 and 4 (counting eigenvalues,
    vector iterations).
    """
    v = irregular(len(B))
    least, most = gershgorin(B)
    size = max(abs(least), abs(most))
    if size == 0.0:
        return 0.0, v
    A, tiny = symmetric_scaled(1.0 / size, B), 4.0 * len(B) * EPS
    low, high = least / size - 2.0 * tiny, most / size
    shift, rho = low, high
    for _ in range(100):
        L, below = cholesky(A, -shift)
        if below:
            low = shift
            w = solve_lower_t(L, solve_lower(L, v))
            v = divided(w, norm(w))
            Av = symmetric_product(1.0, A, v)
            rho = dot(v, Av)
            error = max(norm(moved(Av, -rho, v)), tiny)
            if max(error, rho - low) <= 2.0 * tiny:
                break
            high = min(high, rho)
            shift = max(rho - error, 0.5 * (low + high))
        else:
            high = shift
            shift = 0.5 * (low + high)
    return size * rho, v


def oblique(x: Vector) -> Vector:
    return irregular(len(x))


def irregular(n: int) -> Vector:
    """A unit vector that is orthogonal to no eigenvector that one meets, being like none."""
    v = new_vector(n)
    for i in range(n):
        v[i] = 1.0 + 0.5 * ((0.6180339887498949 * (i + 1)) % 1.0)
    return divided(v, norm(v))
