"""Block-tridiagonal K-FAC of a network: the matrix is in ``refopt.curvature.tridiagonal``, here is what fills it."""

from collections.abc import Iterable
from typing import Any

from refopt.curvature.factored import inputs, outputs, summed
from refopt.curvature.layerwise import Layers, assembled, by_pieces
from refopt.curvature.tridiagonal import BlockTridiagonal, Link
from refopt.ops import Matrix


def kfac_tridiagonal(
    problem: Any, x: Any, *, fisher: str = "exact", sharing: str = "expand", bias: str = "joint", labels: Any = None,
    samples: int = 1, rng: Any = None,
) -> BlockTridiagonal:  # fmt: skip
    """Block-tridiagonal K-FAC of a ``Supervised`` problem at x (P,); arguments are those of ``kfac``.

    With bias="separate" the weights are one chain of blocks and the biases another. In "forward-only" gradients of
    different layers have nothing to do with each other, and the matrix is K-FAC's.
    """
    details = {"sharing": sharing, "bias": bias, "labels": labels, "samples": samples, "rng": rng}
    return linked(by_pieces(problem, x, fisher, **details))


def chained(layers: Layers) -> BlockTridiagonal:
    """The matrix of layers."""
    return linked([layers])


def linked(each: Iterable[Layers]) -> BlockTridiagonal:
    """The matrix of layers, from those of some samples at a time."""
    pairs = list[tuple[int, int]]()

    def between_all(layers: Layers) -> list[Any]:
        pairs[:] = neighbours(layers)
        return [value for i, j in pairs for value in between(layers, i, j)]

    found, made, total = summed(each, between_all)
    K = assembled(found, made)
    place = {id(B): k for k, B in enumerate(K.blocks)}
    links = []
    for k, (i, j) in enumerate(pairs):
        ab, gh, count = total[3 * k : 3 * k + 3]
        links.append(Link(place[id(made[i])], place[id(made[j])], ab / count, gh))
    return BlockTridiagonal(K, tuple(links))


def neighbours(layers: Layers) -> list[tuple[int, int]]:
    """Pairs of parts, one after the other in their chain, that can be coupled."""
    pairs, last = list[tuple[int, int]](), dict[str, int]()
    if layers.fisher == "forward-only":
        return pairs
    for j, part in enumerate(layers.parts):
        i = last.get(part.chain)
        if i is not None and (layers.sharing == "reduce" or layers.parts[i].a.shape[1] == part.a.shape[1]):
            pairs.append((i, j))
        if part.chain:
            last[part.chain] = j
    return pairs


def between(layers: Layers, i: int, j: int) -> tuple[Matrix, Matrix, int]:
    """Σ āᵢāⱼᵀ, c Σ gᵢgⱼᵀ, and how many ā there are."""
    first, second = layers.parts[i], layers.parts[j]
    a, b = (inputs(part.a, layers.sharing) for part in (first, second))
    g, h = (outputs(part.g, layers.sharing) for part in (first, second))
    return a.T @ b, layers.c * (g.T @ h), a.shape[0]
