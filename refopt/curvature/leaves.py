"""The innermost blocks of a block-diagonal matrix: taken out, and put back as others, in flat order."""

from collections.abc import Callable, Iterable
from typing import Any

from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.kron import Kron
from refopt.curvature.pieces import Diagonal, Reordered
from refopt.ops import Matrix

Arrays = tuple[Any, ...]


def leaves(M: Any) -> list[Any]:
    """The blocks that hold numbers."""
    if isinstance(M, BlockDiagonal):
        return [leaf for block in M.blocks for leaf in leaves(block)]
    return leaves(M.block) if isinstance(M, Reordered) else [M]


def replaced(M: Any, function: Callable[[Any], Any]) -> Any:
    """M with function(leaf) in place of each leaf."""
    if isinstance(M, BlockDiagonal):
        return BlockDiagonal(tuple(replaced(block, function) for block in M.blocks))
    return Reordered(replaced(M.block, function), M.order) if isinstance(M, Reordered) else function(M)


def refilled(M: Any, arrays: Iterable[Arrays]) -> Any:
    """M with other arrays in its leaves: (d,), (A, G), or (P, Q, S) for Q ⊗ P diag(S) (Q ⊗ P)ᵀ."""
    each = iter(arrays)
    return replaced(M, lambda leaf: with_arrays(leaf, next(each)))


def with_arrays(leaf: Any, arrays: Arrays) -> Any:
    if isinstance(leaf, Diagonal):
        return Diagonal(*arrays)
    A, G, *S = arrays
    return Rotated(A, G, leaf.bias, *S) if S else Kron(A, G, leaf.bias)


def arrays_in(leaf: Any) -> Arrays:
    return (leaf.d,) if isinstance(leaf, Diagonal) else (leaf.A, leaf.G)


class Rotated(Kron):
    """(Q ⊗ P) diag(S) (Q ⊗ P)ᵀ with P (in, in), Q (out, out) orthogonal, S (out, in): for products only."""

    def __init__(self, P: Matrix, Q: Matrix, bias: bool, S: Matrix) -> None:
        super().__init__(P, Q, bias)
        object.__setattr__(self, "S", S)

    def matvec(self, v: Any) -> Any:
        P, Q, S = self.A, self.G, self.S  # type: ignore[attr-defined]
        return self._mapped(v, lambda V: Q @ ((Q.T @ V @ P) * S) @ P.T)
