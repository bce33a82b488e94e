"""Linear algebra in fifty digits: factorisations, and the paths of steps, on arrays of ``mpmath`` numbers.

What the rules of a replay and the corrections of a pruning need beyond arithmetic. On float64 each is NumPy's; the two
paths have no other body, because on float64 the library's own are taken.
"""

from typing import Any

import numpy as np

Array = np.ndarray


def is_fine(A: Array) -> bool:
    """Whether its numbers have fifty digits."""
    return A.dtype == object


def solved(A: Array, b: Array) -> Array:
    """A⁻¹b."""
    if not (is_fine(A) or is_fine(b)):
        return np.linalg.solve(A, b)
    import mpmath

    return np.array(list(mpmath.lu_solve(_matrix(A), _matrix(b))), dtype=object)


def inverse(A: Array) -> Array:
    if not is_fine(A):
        return np.linalg.inv(A)
    import mpmath

    return _array(mpmath.inverse(_matrix(A)))


def cholesky(A: Array) -> Array:
    """L lower triangular with LLᵀ = A."""
    if not is_fine(A):
        return np.linalg.cholesky(A)
    import mpmath

    return _array(mpmath.cholesky(_matrix(A)))


def eigh(A: Array) -> tuple[Array, Array]:
    """Eigenvalues of a symmetric A, ascending, and unit eigenvectors in columns."""
    if not is_fine(A):
        return np.linalg.eigh(A)
    import mpmath

    values, V = mpmath.eigsy(_matrix(A))
    return np.array(list(values), dtype=object), _array(V)


def length(x: Array) -> Any:
    """‖x‖₂, or ‖x‖_F of a matrix."""
    return (x.reshape(-1) @ x.reshape(-1)) ** 0.5 if is_fine(x) else float(np.linalg.norm(x))


def _matrix(A: Array) -> Any:
    import mpmath

    return mpmath.matrix(A.tolist())


def _array(A: Any) -> Array:
    return np.array(A.tolist(), dtype=object).reshape(A.rows, A.cols)


# --- paths -------------------------------------------------------------------------------------------------------


def powells_path(g: Array, B: Array, radius: Any) -> Array:
    """The point of that length on Powell's path of gᵀp + ½ pᵀBp, B ≻ 0, or its end."""
    bend = g @ B @ g
    if bend <= 0:
        raise ValueError("Powell's path of a model that is not convex has no such form")
    newton, steepest = solved(B, -g), -(g @ g / bend) * g
    if length(newton) <= radius:
        return newton
    if length(steepest) >= radius:
        return -(radius / length(g)) * g
    return _onward(steepest, newton - steepest, radius)


def conjugate_path(g: Array, B: Array, radius: Any) -> Array:
    """The point of that length on the path through the iterates of conjugate gradients, or its end (Steihaug)."""
    z, r, d = 0 * g, g, -g
    for _ in range(g.size):
        bend, square = d @ B @ d, r @ r
        if bend <= 0:
            return _onward(z, d, radius)
        step = square / bend
        if length(z + step * d) >= radius:
            return _onward(z, d, radius)
        z, r = z + step * d, r + step * (B @ d)
        d = -r + (r @ r / square) * d
    return z


def krylov_best(g: Array, B: Array, radius: Any, count: int) -> Array:
    """The best step of that length, or shorter, in span{g, Bg, …} of so many dimensions."""
    Q = [g / length(g)]
    while len(Q) < count:
        w = B @ Q[-1]
        for q in Q:
            w = w - (q @ w) * q
        if length(w) <= length(B) * 1e-30:
            break
        Q.append(w / length(w))
    basis = np.stack(Q)
    values, V = eigh(basis @ B @ basis.T)
    c = V.T @ (basis @ g)
    if values[0] > 0 and length(c / values) <= radius:
        return -(c / values) @ V.T @ basis
    lam = max(0 * radius, abs(c[0]) / radius - values[0])  # ‖h‖ ≥ |c₁|/(λ₁ + λ): where Newton's steps ascend
    for _ in range(100):
        h = c / (values + lam)
        step = (length(h) - radius) / radius * (h @ h) / (h @ (h / (values + lam)))
        lam = lam + step
        if abs(step) <= 1e-45 * lam:
            break
    return -(c / (values + lam)) @ V.T @ basis


def _onward(z: Array, d: Array, radius: Any) -> Array:
    """z + τd on the sphere, τ ≥ 0."""
    a, b, c = d @ d, z @ d, z @ z - radius * radius
    return z + ((b * b - a * c) ** 0.5 - b) / a * d
