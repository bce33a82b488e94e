"""The power iteration: the largest eigenvalue in modulus, from products.

    v ← Av / ‖Av‖,     θ = vᵀAv,     until ‖Av − θv‖ ≤ tol |θ|

G. H. Golub & C. F. Van Loan, *Matrix Computations*, 4th ed., §8.2.
"""

import warnings
from typing import Any, NamedTuple

from refopt.linalg.arrays import created
from refopt.linalg.operators import generator, operator
from refopt.ops import Vector, dot, norm


class Dominant(NamedTuple):
    """An eigenvalue, a unit eigenvector, and the products that it took."""

    value: float
    vector: Vector
    iterations: int


def power_iteration(
    matvec: Any, n: Any = None, rng: Any = None, tol: float = 1e-6, maxiter: int = 10_000
) -> Dominant:  # fmt: skip
    """The eigenvalue of largest modulus of a symmetric A (n, n), an eigenvector (n,), and the number of products.

    matvec: a function v ↦ Av, or what ``refopt.linalg.operator`` takes.   n: the number of variables, or an array (n,)
    of the kind of v.   rng: a Generator or a seed, for the vector to begin with.

    An eigenvalue lies within tol |θ| of θ; where the next one in modulus is λ₂, each product gains the factor |λ₂/λ₁|.
    Where that is too near 1 for `maxiter` products, as it is for ±λ, the result comes with a RuntimeWarning.
    """
    A = operator(matvec, n)
    start = created(generator(rng, "a seed").standard_normal(A.n), A.like)
    v, value = start / norm(start), 0.0
    for k in range(1, maxiter + 1):
        w = A.matvec(v)
        value, length = dot(v, w), norm(w)
        if norm(w - value * v) <= tol * abs(value):
            return Dominant(value, v, k)
        v = w / length
    warnings.warn(
        f"the power iteration has not converged in {maxiter} products: two eigenvalues have nearly the same modulus",
        RuntimeWarning,
        stacklevel=2,
    )
    return Dominant(value, v, maxiter)
