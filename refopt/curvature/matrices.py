"""What every curvature matrix at a point can do: products, the matrix itself, its blocks and its diagonal.

Shapes: v is (P,), or (P, k) for k vectors at once. A matrix that is known only through products takes P of them for
``dense``, ``diagonal`` and ``blocks``; sums of outer products (``refopt.curvature.information``) know better ways.
"""

from collections.abc import Callable
from math import prod
from typing import Any

from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.kron import to_scipy
from refopt.expansion import Expansion, OfFunction
from refopt.ops import Matrix, Vector, device, namespace, scalar, symmetrised
from refopt.room import LIMIT, fits


class Curvature:
    """A symmetric matrix at x, known through its product with a vector."""

    def __init__(
        self, name: str, x: Any, product: Callable[[Vector], Vector], parts: dict[str, list[slice]], matrix: Any = None
    ) -> None:
        self.name, self.x, self.product, self.parts, self.matrix = name, x, product, parts, matrix

    def __repr__(self) -> str:
        return f"<{self.name} {self.shape}, {self.dtype}>"

    @property
    def shape(self) -> tuple[int, int]:
        return self.x.shape[0], self.x.shape[0]

    @property
    def dtype(self) -> Any:
        return self.x.dtype

    @property
    def like(self) -> Any:
        """An array of the matrix's kind and type, on its device."""
        return self.x

    def matvec(self, v: Any) -> Any:
        """The product with v (P,) or (P, k)."""
        return by_columns(self.product, v, self.shape[1])

    matmat = __matmul__ = rmatvec = rmatmat = matvec

    @property
    def T(self) -> "Curvature":
        return self

    def dense(self, limit: float = LIMIT) -> Matrix:
        """The matrix (P, P), in flat order; MemoryError where it takes more than `limit` bytes."""
        fits(self.shape, self.x, limit, self.name)
        return self.on_diagonal([slice(0, self.shape[0])])[0]

    def blocks(self, by: str = "layer", limit: float = LIMIT) -> BlockDiagonal:
        """The blocks of the layers (weight and bias together), or of each array of parameters, on the diagonal."""
        if by not in self.parts:
            raise ValueError(f"blocks are by {' or by '.join(map(repr, self.parts))}, not by {by!r}")
        parts = [part for part in self.parts[by] if part.start < part.stop]
        for part in parts:
            fits((part.stop - part.start, part.stop - part.start), self.x, limit, self.name)
        return BlockDiagonal(tuple(self.on_diagonal(parts)))

    def on_diagonal(self, parts: list[slice]) -> list[Matrix]:
        """Blocks on the diagonal, one column of the matrix after another."""
        if self.matrix is not None:
            return [symmetrised(self.matrix[part, part]) for part in parts]
        xp, found = namespace(self.x), []
        for part in parts:
            columns = [self.product(unit(self.x, k))[part] for k in range(part.start, part.stop)]
            found.append(symmetrised(xp.stack(columns, axis=1)))
        return found

    def diagonal(self) -> Vector:
        """(P,), from P products."""
        xp = namespace(self.x)
        if self.matrix is not None:
            return xp.linalg.diagonal(self.matrix)
        return xp.stack([self.product(unit(self.x, k))[k] for k in range(self.shape[0])])

    def trace(self) -> float:
        return scalar(namespace(self.x).sum(self.diagonal()))

    def to_scipy(self) -> Any:
        """A ``scipy.sparse.linalg.LinearOperator``, for NumPy arrays."""
        return to_scipy(self)


class Jacobian:
    """J (N·…·C, P): row nC + k is the gradient of output k of sample n."""

    def __init__(self, point: Expansion) -> None:
        self.point, self.like = point, point.x
        self.shape = (prod(point.f.shape), point.x.shape[0])

    @property
    def dtype(self) -> Any:
        return self.point.f.dtype

    def matvec(self, v: Any) -> Any:
        """Jv (N·…·C,), for v (P,), or (P, k)."""
        return by_columns(lambda v: raveled(self.point.jvp(v)), v, self.shape[1])

    def rmatvec(self, u: Any) -> Any:
        """Jᵀu (P,), for u (N·…·C,), or (N·…·C, k)."""
        return by_columns(lambda u: self.point.vjp(namespace(u).reshape(u, self.point.f.shape)), u, self.shape[0])

    matmat = __matmul__ = matvec
    rmatmat = rmatvec

    def dense(self, limit: float = LIMIT) -> Matrix:
        fits(self.shape, self.like, limit, "jacobian", "refopt.curvature.operators.jacobian(…), with .matvec, .rmatvec")
        return self.point.jacobian()

    def to_scipy(self) -> Any:
        return to_scipy(self)


# --- shapes ------------------------------------------------------------------------------------------------------


def parts(point: Expansion) -> dict[str, list[slice]]:
    """The parts of the flat vector: layer by layer, and array by array. A shared array is its first layer's."""
    if isinstance(point, OfFunction):
        return {"layer": [slice(0, point.x.shape[0])]}
    plan, layers, before = point.net.plan, [], 0
    for _, _, own in plan.leaves:
        slots = [plan.slots[k].part for k in own if plan.slots[k].part.start >= before]
        if slots:
            layers.append(slice(before, slots[-1].stop))
            before = slots[-1].stop
    return {"layer": layers, "parameter": [slot.part for slot in plan.slots if slot.part.stop > slot.part.start]}


def whole(x: Vector) -> dict[str, list[slice]]:
    return {"layer": [slice(0, x.shape[0])]}


def by_columns(product: Callable[[Vector], Vector], v: Any, n: int) -> Any:
    """The products with v (n,), or with the columns of (n, k)."""
    if not hasattr(v, "dtype"):
        raise TypeError(f"v must be an array of shape ({n},) or ({n}, k), not a {type(v).__name__}")
    if len(v.shape) not in (1, 2) or v.shape[0] != n or 0 in v.shape:
        raise ValueError(f"v must have shape ({n},) or ({n}, k), k ≥ 1; it has shape {tuple(v.shape)}")
    if len(v.shape) == 1:
        return product(v)
    xp = namespace(v)
    return xp.stack([product(xp.asarray(v[:, j], copy=True)) for j in range(v.shape[1])], axis=1)


def unit(x: Vector, k: int) -> Vector:
    """eₖ."""
    xp = namespace(x)
    e = xp.zeros(x.shape, dtype=x.dtype, device=device(x))
    e[k] = 1.0
    return e


def raveled(f: Any) -> Vector:
    return namespace(f).reshape(f, (-1,))
