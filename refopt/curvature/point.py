"""A problem at x, as the curvature matrices take it: run forward, with J v and Jᵀu of its outputs.

A ``Supervised`` is that already, of a network of layers or of any function f(x, X). Residuals r(x) are outputs of one
number each, Nₙ = m samples of the loss ½r² and labels 0: J is the problem's own, or by central differences, and

    ∇²fun v = JᵀJ v + d/dt J(x + tv)ᵀr,         r held fixed, by central differences

Shapes: x (P,).
"""

from functools import cached_property
from typing import Any

import numpy as np

from refopt.derivatives import hvp_of, jacobian_of
from refopt.expansion import Expansion, OfFunction
from refopt.ops import Vector, device, finite, namespace, norm_inf
from refopt.problem import LeastSquares
from refopt.supervised import Supervised


def expansion(problem: Any, x: Any) -> Expansion:
    """The problem at x (P,), outputs and loss in hand."""
    x = vector(x)
    if isinstance(problem, LeastSquares):
        problem = Residuals(problem, x)
    if not isinstance(problem, Supervised):
        raise TypeError(
            f"this matrix needs outputs and a loss: a refopt.Supervised, of a network or of any function (x, X), or a "
            f"refopt.LeastSquares; a {type(problem).__name__} has neither"
        )
    point = problem.at(x)
    if not finite(norm_inf(namespace(point.f).reshape(point.f, (-1,)))):
        raise ValueError("the outputs at x are not finite: they hold NaN or infinity, and so would every matrix")
    return point


def vector(x: Any) -> Vector:
    """A finite x (P,); integers and lists become the default float."""
    x = x if hasattr(x, "dtype") else np.asarray(x, dtype=float)
    xp = namespace(x)
    if xp.isdtype(x.dtype, "complex floating"):
        raise TypeError(f"x must hold real numbers; it has dtype {x.dtype}")
    if len(x.shape) != 1 or not x.shape[0]:
        raise ValueError(f"x must be a vector (P,) of one parameter or more; it has shape {tuple(x.shape)}")
    if not xp.isdtype(x.dtype, "real floating"):
        x = xp.astype(x, xp.empty(0, device=device(x)).dtype)
    if not finite(norm_inf(x)):
        raise ValueError("x is not finite: it holds NaN or infinity")
    return x


class Residuals(Supervised):
    """½‖r(x)‖² as a sum over m samples, the indices of r."""

    def __init__(self, problem: LeastSquares, x: Vector) -> None:
        r = problem.residual(x)
        if not hasattr(r, "dtype") or len(r.shape) != 1 or not r.shape[0]:
            raise ValueError(f"the residual must be an array (m,), m ≥ 1; it has shape {getattr(r, 'shape', None)}")
        xp, m = namespace(r), r.shape[0]
        zero = xp.zeros((m, 1), dtype=r.dtype, device=device(r))
        super().__init__(self.some, "squared", xp.arange(m, device=device(r)), zero, "sum")
        given: Any = problem.jacobian
        self.residual, self.full, self.dtype = problem.residual, given or jacobian_of(problem.residual), r.dtype

    def some(self, x: Vector, rows: Any) -> Any:
        """The residuals of these indices, (N, 1)."""
        return namespace(rows).take(self.residual(x), rows, axis=0)[:, None]

    def at(self, x: Any) -> Expansion:
        return OfResiduals(self, x)


class OfResiduals(OfFunction):
    """Residuals at one point x."""

    def jacobian_at(self, x: Any) -> Any:
        return namespace(x).take(self.problem.full(x), self.problem.X, axis=0)

    @cached_property
    def _jacobian(self) -> Any:
        return self.jacobian_at(self.x)

    @cached_property
    def _bent(self) -> Any:
        u = self.residual[:, 0]
        product = hvp_of(grad=lambda x: u @ self.jacobian_at(x))
        return lambda v: product(self.x, v)

    def jvp(self, v: Any) -> Any:
        return (self._jacobian @ v)[:, None]

    def vjp(self, u: Any) -> Any:
        self._stack(u)
        return u[..., 0] @ self._jacobian
