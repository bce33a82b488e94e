"""Curvature of several layers as a diagonal of blocks, whose parameters follow one another in flat order."""

from dataclasses import dataclass
from typing import Any

from refopt.curvature.kron import Dense, stack, to_scipy
from refopt.ops import Matrix, Vector, device, namespace
from refopt.room import LIMIT, PARTS, fits


@dataclass(frozen=True, eq=False)
class BlockDiagonal:
    """Blocks on the diagonal, in flat order: ``Kron``, what answers like one, or symmetric arrays (p, p)."""

    blocks: tuple[Any, ...]

    def __post_init__(self) -> None:
        blocks = tuple(block if hasattr(block, "matvec") else Dense(block) for block in self.blocks)
        if not blocks:
            raise ValueError("a block-diagonal matrix needs at least one block")
        object.__setattr__(self, "blocks", blocks)

    @property
    def shape(self) -> tuple[int, int]:
        P = sum(block.shape[0] for block in self.blocks)
        return P, P

    @property
    def dtype(self) -> Any:
        return self.like.dtype

    @property
    def like(self) -> Any:
        return self.blocks[0].like

    @property
    def T(self) -> "BlockDiagonal":
        return BlockDiagonal(tuple(block.T for block in self.blocks))

    def dense(self, vec: str = "row", limit: float = LIMIT) -> Matrix:
        """The (P, P) matrix, in flat order, or with each block stacked by columns: vec = "row" or "column".

        MemoryError where it takes more than `limit` bytes.
        """
        fits(self.shape, self.like, limit, "matrix", PARTS)
        rows, before, P = [], 0, self.shape[0]
        for block in self.blocks:
            B = block.dense(vec, limit)
            xp, p = namespace(B), B.shape[0]
            left, right = (
                xp.zeros((p, width), dtype=B.dtype, device=device(B)) for width in (before, P - before - p)
            )  # fmt: skip
            rows.append(xp.concat([left, B, right], axis=1))
            before += p
        return namespace(rows[0]).concat(rows, axis=0)

    def matvec(self, v: Any) -> Any:
        """The product with v (P,) or (P, k)."""
        return self._mapped(v, lambda block, part: block.matvec(part))

    matmat = __matmul__ = matvec

    def rmatvec(self, v: Any) -> Any:
        """The product of the transpose with v (P,) or (P, k)."""
        return self.T.matvec(v)

    rmatmat = rmatvec

    def solve(self, v: Any, damping: float = 0.0, rule: str = "exact") -> Any:
        """Each block's damped inverse times its part of v (P,) or (P, k): the rules are those of ``Kron.solve``."""
        return self._mapped(v, lambda block, part: block.solve(part, damping, rule))

    def logdet(self, damping: float = 0.0) -> float:
        """log det of the matrix + λI."""
        return sum(block.logdet(damping) for block in self.blocks)

    def trace(self) -> Any:
        return sum(block.trace() for block in self.blocks)

    def eigh(self) -> tuple[Vector, "BlockDiagonal"]:
        """The eigenvalues (P,), block after block, and the eigenvectors, columns of another ``BlockDiagonal``."""
        pairs = [block.eigh() for block in self.blocks]
        values = namespace(pairs[0][0]).concat([values for values, _ in pairs], axis=0)
        return values, BlockDiagonal(tuple(vectors for _, vectors in pairs))

    def to_scipy(self) -> Any:
        """A ``scipy.sparse.linalg.LinearOperator``, for NumPy arrays."""
        return to_scipy(self)

    def _mapped(self, v: Any, function: Any) -> Any:
        v, parts, before = stack(v, self), [], 0
        for block in self.blocks:
            parts.append(function(block, v[before : before + block.shape[0], ...]))
            before += block.shape[0]
        return namespace(v).concat(parts, axis=0)
