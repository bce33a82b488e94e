"""K-FAC: the Fisher matrix of each layer as a Kronecker product, G ⊗ A.

    F = c Σₙ E[vec(∇ₙ) vec(∇ₙ)ᵀ],   ∇ₙ = Σᵣ gₙᵣ āₙᵣᵀ      the block of [W b] of a layer, applied at R positions

    expand    A = 1/(NR) Σₙ Σᵣ āₙᵣ āₙᵣᵀ                     G = c Σₙ Σᵣ E[gₙᵣ gₙᵣᵀ]
    reduce    A = 1/N Σₙ āₙ āₙᵀ,  āₙ = 1/R Σᵣ āₙᵣ           G = c Σₙ E[gₙ gₙᵀ],  gₙ = Σᵣ gₙᵣ

A bears no trace of the reduction, G its factor c. With R = 1 both are the same, and the product of the means stands for
the mean of the products: exact where aaᵀ and ggᵀ are uncorrelated. "expand" is exact for deep linear networks with a
loss at each position, "reduce" for those with a loss of the mean over positions.

J. Martens & R. Grosse, *ICML* 2015, arXiv:1503.05671, §3;  R. Grosse & J. Martens, *ICML* 2016, arXiv:1602.01407;
R. Eschenhagen et al., *NeurIPS* 2023, arXiv:2311.00636 (expand and reduce).
Shapes: a (N, R, in), g (S, N, R, out); A (in, in), with a bias (in + 1, in + 1), its coordinate last; G (out, out).
Cost: one sweep forward, one backward with S cotangents (S the classes for "exact"), then N R in² + S N R out² flops;
memory for a few samples at a time.

Deviation from the sources: A is no running average, and a convolution's A is the mean over positions, not their sum.
"""

from collections.abc import Callable, Iterable
from typing import Any

from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.kron import Kron
from refopt.curvature.layerwise import Layers, Part, assembled, by_pieces, emptied
from refopt.ops import Matrix, Symmetric, device, namespace


def kfac(
    problem: Any, x: Any, *, fisher: str = "exact", sharing: str = "expand", bias: str = "joint", labels: Any = None,
    samples: int = 1, rng: Any = None,
) -> BlockDiagonal:  # fmt: skip
    """K-FAC of a ``Supervised`` problem at x (P,): one ``Kron(A, G)`` for each layer, in flat order.

    fisher: "exact" (all labels of the model with their probabilities, or in closed form); "monte-carlo" (`samples`
    labels drawn with `rng`, or given as `labels`, like y or a stack of such); "empirical" (the labels of the data, or
    `labels`); "forward-only" (G = I).
    sharing: "expand" or "reduce", for layers at several positions of a sample: convolutions, attention, tokens.
    bias: "joint" (one block for [W b]) or "separate" (one for W, one for b).

    Parameters of no linear layer have a ``Diagonal``. Blocks of a convolution with groups are put together in a
    ``Reordered``. ValueError or TypeError where an argument is none of these.
    """
    details = {"sharing": sharing, "bias": bias, "labels": labels, "samples": samples, "rng": rng}
    found, blocks, _ = summed(by_pieces(problem, x, fisher, **details))
    return assembled(found, blocks)


def summed(each: Iterable[Layers], also: Callable[[Layers], Any] = lambda _: []) -> tuple[Layers, list[Kron], Any]:
    """The layers of all samples, emptied, and their blocks, from those of some at a time; with the sums of `also`."""
    total = list[Any]()
    for found in each:
        some, found = [*sums(found), *also(found)], emptied(found)
        total = [one + other for one, other in zip(total, some, strict=True)] if total else some
    count = len(found.parts)
    squares = [(place, total[3 * count + k]) for k, (place, _) in enumerate(found.others)]
    found = found._replace(others=squares)
    blocks = [product(part, found, *total[3 * k : 3 * k + 3]) for k, part in enumerate(found.parts)]
    return found, blocks, total[3 * count + len(squares) :]


def sums(layers: Layers) -> list[Any]:
    """Σ āāᵀ, Σ ggᵀ and how many ā there are, part after part, and after them what others have."""
    found = list[Any]()
    for part in layers.parts:
        rows = inputs(part.a, layers.sharing)
        found += [second_moment(rows), second_moment(outputs(part.g, layers.sharing)), rows.shape[0]]
    return found + [squares for _, squares in layers.others]


def product(part: Part, layers: Layers, A: Symmetric, G: Symmetric, count: int) -> Kron:
    if layers.fisher == "forward-only":
        G = namespace(A).eye(G.shape[0], dtype=A.dtype, device=device(A))
    else:
        G = layers.c * G
    return Kron(A / count, G, part.bias)


def factored(layers: Layers) -> BlockDiagonal:
    return assembled(layers, [block(part, layers) for part in layers.parts])


def block(part: Part, layers: Layers) -> Kron:
    return product(part, layers, *sums(layers._replace(parts=[part], others=[])))


def input_factor(a: Any, sharing: str) -> Symmetric:
    """A (in, in) of a (N, R, in)."""
    rows = inputs(a, sharing)
    return second_moment(rows) / rows.shape[0]


def output_factor(g: Any, c: float, sharing: str) -> Symmetric:
    """G (out, out) of g (S, N, R, out)."""
    return c * second_moment(outputs(g, sharing))


def inputs(a: Any, sharing: str) -> Matrix:
    """The vectors of which A is the mean square: (NR, in), or (N, in)."""
    if sharing == "reduce":
        return namespace(a).sum(a, axis=1) / a.shape[1]
    return namespace(a).reshape(a, (a.shape[0] * a.shape[1], a.shape[2]))


def outputs(g: Any, sharing: str) -> Matrix:
    """The vectors of which G is c times the sum of squares: (SNR, out), or (SN, out)."""
    xp, (S, N, R, out) = namespace(g), g.shape
    if sharing == "reduce":
        return xp.reshape(xp.sum(g, axis=2), (S * N, out))
    return xp.reshape(g, (S * N * R, out))


def second_moment(rows: Matrix) -> Symmetric:
    """DᵀD of D (k, n), a product of half the work where BLAS sees that both are one array."""
    return rows.T @ rows


def times(x: Any, M: Matrix) -> Any:
    """x M for x (…, k) and M (k, k), as one product of matrices."""
    xp = namespace(x)
    return xp.reshape(xp.reshape(x, (-1, x.shape[-1])) @ M, x.shape)
