"""Arrays of any number of axes as matrices along one of them, and their pieces.

    G₍ᵢ₎ = unfolded(G, i)       (nᵢ, rest): axis i in front        gram(G, i) = G₍ᵢ₎G₍ᵢ₎ᵀ       along(X, G, i): G ×ᵢ X

T. G. Kolda & B. W. Bader, *SIAM Review* 51 (2009) 455, §2.4 and §2.5.
"""

from itertools import pairwise, product
from typing import Any

from refopt.ops import namespace


def unfolded(G: Any, axis: int) -> Any:
    """(nᵢ, rest) of an array (n₁, …, n_k)."""
    xp = namespace(G)
    return xp.reshape(xp.moveaxis(G, axis, 0), (G.shape[axis], -1))


def gram(G: Any, axis: int) -> Any:
    """G₍ᵢ₎G₍ᵢ₎ᵀ (nᵢ, nᵢ): GGᵀ and GᵀG of a matrix."""
    U = unfolded(G, axis)
    return U @ U.T


def along(X: Any, G: Any, axis: int) -> Any:
    """G with X (m, nᵢ) applied along axis i: XG and GXᵀ of a matrix."""
    xp = namespace(G)
    return xp.moveaxis(xp.tensordot(X, G, axes=((1,), (axis,))), 0, axis)


def pieces(shape: tuple[int, ...], longest: int) -> list[tuple[slice, ...]]:
    """Where an array is cut so that no axis of a piece is longer than that, into lengths as equal as can be; 0: not."""
    axes = []
    for n in shape:
        count = -(-n // longest) if longest else 1
        ends = [n * k // count for k in range(count + 1)]
        axes.append([slice(a, b) for a, b in pairwise(ends)])
    return list(product(*axes))


def reunited(parts: list[Any], shape: tuple[int, ...], longest: int) -> Any:
    """The array of this shape of its pieces, in the order of ``pieces``."""
    xp = namespace(parts[0])
    for axis in reversed(range(len(shape))):
        count = -(-shape[axis] // longest) if longest else 1
        parts = [xp.concat(parts[k : k + count], axis=axis) if count > 1 else parts[k]
                 for k in range(0, len(parts), count)]  # fmt: skip
    return parts[0]
