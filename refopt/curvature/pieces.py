"""Blocks beside Kronecker products: a diagonal, and blocks whose parameters come in another order."""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np

from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.kron import RULES, Kron, matrices, stack, to_scipy
from refopt.ops import Matrix, Vector, device, dimension, namespace, scalar
from refopt.room import LIMIT, PARTS, fits


@dataclass(frozen=True, eq=False)
class Diagonal:
    """diag(d), d (P,), damped by λI under every rule."""

    d: Vector

    @property
    def shape(self) -> tuple[int, int]:
        return self.d.shape[0], self.d.shape[0]

    @property
    def dtype(self) -> Any:
        return self.d.dtype

    @property
    def like(self) -> Any:
        return self.d

    @property
    def T(self) -> "Diagonal":
        return self

    def dense(self, vec: str = "row", limit: float = LIMIT) -> Matrix:
        """(P, P)."""
        fits(self.shape, self.d, limit, "block", PARTS)
        xp = namespace(self.d)
        return xp.eye(self.d.shape[0], dtype=self.d.dtype, device=device(self.d)) * self.d

    def matvec(self, v: Any) -> Any:
        """The product with v (P,) or (P, k)."""
        return self._scaled(self.d, v)

    matmat = rmatvec = rmatmat = __matmul__ = matvec

    def solve(self, v: Any, damping: float = 0.0, rule: str = "exact") -> Any:
        """(diag(d) + λI)⁻¹v; ValueError where that is singular."""
        damped = self.d + checked_damping(damping, rule)
        if not bool(namespace(damped).all(damped != 0.0)):
            raise ValueError(f"the block, damped by {damping:g}, is singular: give a larger damping")
        return self._scaled(1.0 / damped, v)

    def logdet(self, damping: float = 0.0) -> float:
        """log det (diag(d) + λI): −∞ where that is singular."""
        xp, damped = namespace(self.d), self.d + damping
        return scalar(xp.sum(xp.log(damped))) if scalar(xp.min(damped)) > 0.0 else -inf

    def trace(self) -> Any:
        return scalar(namespace(self.d).sum(self.d))

    def eigh(self) -> tuple[Vector, "Diagonal"]:
        """d, and the identity."""
        return self.d, Diagonal(namespace(self.d).ones_like(self.d))

    def to_scipy(self) -> Any:
        """A ``scipy.sparse.linalg.LinearOperator``, for NumPy arrays."""
        return to_scipy(self)

    def _scaled(self, d: Vector, v: Any) -> Any:
        v = stack(v, self)
        return v * (d if len(v.shape) == 1 else d[:, None])


@dataclass(frozen=True, eq=False)
class Reordered:
    """Another block B in another order: parameter k of B is parameter order[k] of this one."""

    block: Any
    order: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.block.shape

    @property
    def blocks(self) -> tuple[Any, ...]:
        return self.block.blocks

    @property
    def dtype(self) -> Any:
        return self.block.dtype

    @property
    def like(self) -> Any:
        return self.block.like

    @property
    def T(self) -> "Reordered":
        return Reordered(self.block.T, self.order)

    def dense(self, vec: str = "row", limit: float = LIMIT) -> Matrix:
        """The (P, P) matrix in flat order; with vec = "column" B's own, stacked by columns, block after block."""
        B = self.block.dense(vec, limit)
        if vec == "column":
            return B
        xp, back = namespace(B), self._index(np.argsort(self.order))
        return xp.take(xp.take(B, back, axis=0), back, axis=1)

    def matvec(self, v: Any) -> Any:
        """The product with v (P,) or (P, k)."""
        return self._mapped(v, self.block.matvec)

    matmat = __matmul__ = matvec

    def rmatvec(self, v: Any) -> Any:
        """The product of the transpose with v (P,) or (P, k)."""
        return self._mapped(v, self.block.rmatvec)

    rmatmat = rmatvec

    def solve(self, v: Any, damping: float = 0.0, rule: str = "exact") -> Any:
        """B's damped inverse times v (P,) or (P, k)."""
        return self._mapped(v, lambda part: self.block.solve(part, damping, rule))

    def logdet(self, damping: float = 0.0) -> float:
        return self.block.logdet(damping)

    def trace(self) -> Any:
        return self.block.trace()

    def eigh(self) -> tuple[Vector, "Reordered"]:
        """Eigenvalues (P,) in this order, and eigenvectors, the columns of another ``Reordered``."""
        values, vectors = self.block.eigh()
        values = namespace(values).take(values, self._index(np.argsort(self.order)), axis=0)
        return values, Reordered(vectors, self.order)

    def to_scipy(self) -> Any:
        """A ``scipy.sparse.linalg.LinearOperator``, for NumPy arrays."""
        return to_scipy(self)

    def _mapped(self, v: Any, function: Any) -> Any:
        v = stack(v, self)
        xp = namespace(v)
        found = function(xp.take(v, self._index(self.order), axis=0))
        return xp.take(found, self._index(np.argsort(self.order)), axis=0)

    def _index(self, places: np.ndarray) -> Any:
        return namespace(self.like).asarray(places, device=device(self.like))


def checked_damping(damping: Any, rule: str) -> float:
    """λ, where it is one and the rule is known."""
    lam = float(damping)
    if not (isfinite(lam) and lam >= 0.0):
        raise ValueError(f"damping must be finite and at least 0; it is {damping!r}")
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}; it is {rule!r}")
    return lam


def column_stacked(block: Any) -> Reordered:
    """The same matrix for vectors that have each layer's [W b] column by column, as the K-FAC papers do: A ⊗ G.

    block: a ``Kron``, what answers like one, or a ``BlockDiagonal`` or ``BlockTridiagonal`` of them.   Products,
    solves and eigenvectors of what is returned are in that order; trace and determinant depend on none.
    """
    return Reordered(block, np.argsort(column_order(getattr(block, "diagonal", block))))


def column_order(block: Any) -> np.ndarray:
    """The places, in flat order, of the parameters of a block that is stacked by columns."""
    if isinstance(block, BlockDiagonal):
        starts = np.cumsum([0, *(inner.shape[0] for inner in block.blocks)])
        return np.concatenate([k + column_order(inner) for k, inner in zip(starts, block.blocks, strict=False)])
    if isinstance(block, Reordered):
        return block.order[column_order(block.block)]
    places = np.arange(block.shape[0])
    if isinstance(block, Kron):
        return matrices(places[None, :], dimension(block.G), block.bias)[0].T.reshape(-1)
    return places
