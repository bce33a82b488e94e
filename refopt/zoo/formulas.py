"""Problems from one formula each.

A formula takes x (n,) and returns f and functions that return its derivatives, so that the value alone costs nothing
more and the derivatives reuse what the value computed. Formulas work on any array kind; where one overflows or leaves
its domain, the result is not finite, and nothing warns.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refopt.ops import namespace, scalar
from refopt.problem import Problem
from refopt.zoo.arrays import diagonal, tridiagonal, tridiagonal_product

Formula = Callable[[Any], Any]


def smooth(formula: Formula) -> Problem:
    """From f, () ↦ ∇f and () ↦ ∇²f."""
    return structured(lambda x: (*formula(x), None))._replace(hvp=None)  # type: ignore[arg-type]


def structured(formula: Formula) -> Problem:
    """From f, () ↦ ∇f, () ↦ ∇²f and v ↦ ∇²f v, the last without the matrix."""
    quiet = np.errstate(all="ignore")
    return Problem(
        quiet(lambda x: scalar(formula(x)[0])),
        quiet(lambda x: formula(x)[1]()),
        quiet(lambda x: formula(x)[2]()),
        quiet(lambda x, v: formula(x)[3](v)),
    )


def separable(formula: Formula) -> Problem:
    """f = Σᵢ φᵢ(xᵢ) from the vectors φ, () ↦ φ′ and () ↦ φ″."""

    def whole(x: Any) -> Any:
        terms, first, second = formula(x)
        return namespace(x).sum(terms), first, lambda: diagonal(second()), lambda v: second() * v

    return structured(whole)


def chained(formula: Formula) -> Problem:
    """From f, () ↦ ∇f and () ↦ the diagonal (n,) and its neighbours (n − 1,) in a tridiagonal ∇²f."""

    def whole(x: Any) -> Any:
        f, grad, bands = formula(x)

        def product(v: Any) -> Any:
            d, e = bands()
            return tridiagonal_product(d, e, v)

        return f, grad, lambda: tridiagonal(*bands()), product

    return structured(whole)
