"""Sums of squares with exact first and second derivatives, each from one formula.

    f = Σᵢ rᵢ²,      ∇f = 2 Jᵀr,      ∇²f = 2 (JᵀJ + Σᵢ rᵢ ∇²rᵢ)

A formula takes x (n,) and returns r (m,), a function without arguments that returns J (m, n), and a function of
weights w (m,) that returns the curvature Σᵢ wᵢ ∇²rᵢ (n, n). The value alone costs nothing more, and the derivatives
reuse what the value computed. Formulas work on any array kind.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from refopt.ops import dot, rmatvec
from refopt.zoo.known import ANY, spoken

Terms: TypeAlias = tuple[Any, Callable[[], Any], Callable[[Any], Any]]
"""r, J and the curvature at a point."""


class Squares(NamedTuple):
    """f(x) = ‖r(x)‖²; where a formula overflows, the result is not finite, and nothing warns."""

    name: str
    formula: Callable[[Any], Terms]
    start: Callable[[int], Any]  #: the standard start with n variables
    sizes: range  #: the numbers of variables that the problem can have

    def terms(self, x: Any) -> Terms:
        """r, J and the curvature at x. Raises ValueError if x does not fit."""
        if x.shape[0] not in self.sizes:
            raise ValueError(f"{self.name} has {spoken(self.sizes)} variables, not {x.shape[0]}")
        return self.formula(x)

    @np.errstate(all="ignore")
    def residual(self, x: Any) -> Any:
        """r, shape (m,)."""
        return self.terms(x)[0]

    @np.errstate(all="ignore")
    def jacobian(self, x: Any) -> Any:
        """J, shape (m, n)."""
        return self.terms(x)[1]()

    @np.errstate(all="ignore")
    def curvature(self, x: Any, w: Any) -> Any:
        """Σᵢ wᵢ ∇²rᵢ, shape (n, n), for w (m,)."""
        return self.terms(x)[2](w)

    @np.errstate(all="ignore")
    def fun(self, x: Any) -> float:
        """‖r‖²."""
        r = self.terms(x)[0]
        return dot(r, r)

    @np.errstate(all="ignore")
    def grad(self, x: Any) -> Any:
        """2 Jᵀr, shape (n,)."""
        r, jacobian, _ = self.terms(x)
        return 2 * rmatvec(jacobian(), r)

    @np.errstate(all="ignore")
    def hess(self, x: Any) -> Any:
        """2 (JᵀJ + Σᵢ rᵢ ∇²rᵢ), shape (n, n)."""
        r, jacobian, curvature = self.terms(x)
        J = jacobian()
        return 2 * (J.T @ J + curvature(r))


def squares(
    start: Sequence[float] | Callable[[int], Any], sizes: range = range(1, ANY)
) -> Callable[[Callable[[Any], Terms]], Squares]:
    """Makes the decorated formula a problem with this start; a function of n where the number of variables is free."""

    def named(formula: Callable[[Any], Terms]) -> Squares:
        if callable(start):
            return Squares(formula.__name__, formula, start, sizes)
        return Squares(formula.__name__, formula, lambda n: start, range(len(start), len(start) + 1))

    return named
