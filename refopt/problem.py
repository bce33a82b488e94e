"""Problems: tuples of pure functions.

``Problem(fun, grad, hess, hvp)`` is  min f(x),  ``LeastSquares(residual, jacobian)`` is  min ½‖r(x)‖².
A function that a method does not need may be missing. Tuples, because the compiled reading takes them as they are.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from refopt.ops import Matrix, Symmetric, Vector


class Problem(NamedTuple):
    """min f(x) over x of shape (n,)."""

    fun: Callable[[Vector], float]
    grad: Callable[[Vector], Vector] = None  # type: ignore[assignment]
    hess: Callable[[Vector], Symmetric] = None  # type: ignore[assignment]
    hvp: Callable[[Vector, Vector], Vector] = None  # type: ignore[assignment]
    noise: float = 0.0  #: f is known only to this absolute accuracy (beyond its rounding); 0 until measured


class Products:
    """(x, p) ↦ H(x) p for a function H whose values are matrices, dense or sparse, or linear operators.

    The H of the last x is remembered: methods ask for many products at one point, which they do not change.
    """

    def __init__(self, hess: Callable[[Any], Any]) -> None:
        self.hess, self.point, self.matrix, self.evaluations = hess, None, None, 0

    def __call__(self, x: Any, p: Any) -> Any:
        if x is not self.point:
            self.point, self.matrix = x, self.hess(x)
            self.evaluations += 1
        return self.matrix @ p


class LeastSquares(NamedTuple):
    """min ½‖r(x)‖² over x of shape (n,), with r(x) of shape (m,) and its Jacobian J(x) of shape (m, n)."""

    residual: Callable[[Vector], Vector]
    jacobian: Callable[[Vector], Matrix] = None  # type: ignore[assignment]
    noise: float = 0.0  #: of ½‖r‖²
