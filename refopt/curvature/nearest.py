"""KFOC: the Kronecker product nearest to the Fisher matrix of each layer.

Van Loan's rearrangement R lays the entries of G ⊗ A out as the rank-one matrix vec(G) vec(A)ᵀ, and keeps norms:

    F = c Σ vec(∇) vec(∇)ᵀ        R(F)ᵀ maps G to c Σ ∇ᵀG∇,   R(F) maps A to c Σ ∇A∇ᵀ        ∇ = Σᵣ gᵣ āᵣᵀ
    min ‖F − G ⊗ A‖²  =  ‖F‖² − σ₁²      σ₁ the largest singular value of R(F), G and A singular vectors (Eckart, Young)

Both maps take positive semidefinite matrices to such, so by Perron and Frobenius A and G are positive semidefinite, and
a start A ≻ 0 meets them. They are found by Lanczos on M = R(F)ᵀR(F), whose Ritz value bounds σ₁² from below, and

    M X ⪯ μX,  X ≻ 0     implies     σ₁² ≤ μ              (Collatz, Wielandt, for the cone of semidefinite matrices)

bounds it from above: no Kronecker product is nearer to F than √(‖F‖² − μ). That is the certificate.

C. F. Van Loan & N. Pitsianis, *Approximation with Kronecker products* (1993);  C. F. Van Loan, *J. Comput. Appl. Math.*
123 (2000) 85.
Shapes: a (N, R, in), g (S, N, R, out), with more positions R than inputs a = I and g = ∇ᵀ, R = in.   Cost:
4NR(in² + S out²) + 4NR²(in + S out) flops for a product, some fifty of them; the certificate, computed when it is asked
for, SN P² or (SNR)²(in + out), whichever is less.   Memory: a and g of all samples, and products of a few; or, where
that is less and takes no longer than the products would, R(F), from a few samples at a time: P² numbers, P = in · out.

`sharing` has no part in it: ∇ is the whole gradient of a sample. A is scaled to the trace of K-FAC's A for "expand".
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, reduce
from math import isqrt, sqrt
from operator import add
from typing import Any, NamedTuple

import numpy as np

from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.factored import input_factor, kfac, output_factor, summed, times
from refopt.curvature.kron import Kron, trace
from refopt.curvature.layerwise import Layers, assembled, by_pieces
from refopt.linalg.arrays import as_type, created, spectral
from refopt.linalg.lanczos import lanczos
from refopt.ops import Matrix, Symmetric, device, frobenius, namespace, rmatvec, symmetrised

STEPS, RESTARTS, FLOOR = 30, 20, 1e-8
PRODUCTS = 50  #: that are taken, or so
AT_ONCE = 2**22  #: numbers in products of a few samples


class Certificate(NamedTuple):
    """least ≤ ‖F − Kronecker product‖ for every such product; ‖F − G ⊗ A‖ = error for these A and G."""

    norm: float  #: ‖F‖
    sigma: float  #: ⟨F, G ⊗ A⟩ / ‖G ⊗ A‖, which σ₁ is at least
    upper: float  #: which σ₁ is at most
    error: float  #: √(‖F‖² − sigma²)
    least: float  #: √(‖F‖² − upper²)


class Rearranged:
    """R(F), as a map of A to G and back."""

    def outward(self, A: Symmetric) -> Symmetric:
        """c Σ ∇A∇ᵀ."""
        raise NotImplementedError

    def inward(self, G: Symmetric) -> Symmetric:
        """c Σ ∇ᵀG∇."""
        raise NotImplementedError

    def both(self, A: Symmetric) -> Symmetric:
        """M A."""
        return self.inward(self.outward(A))


@dataclass(frozen=True, eq=False)
class Gradients(Rearranged):
    """By ∇ = Σᵣ gᵣ āᵣᵀ of samples and cotangents, not formed, with F = c Σ vec(∇)vec(∇)ᵀ."""

    a: Any  #: (N, R, in)
    g: Any  #: (S, N, R, out)
    c: float

    def __add__(self, other: "Gradients") -> "Gradients":
        """Of both one's samples."""
        xp = namespace(self.a)
        return Gradients(xp.concat([self.a, other.a], axis=0), xp.concat([self.g, other.g], axis=1), self.c)

    def outward(self, A: Symmetric) -> Symmetric:
        found = (_gram(g, _weighted(_inner(times(a, A), a), g)) for a, g in self._some_at_a_time())
        return self.c * reduce(add, found)

    def inward(self, G: Symmetric) -> Symmetric:
        xp = namespace(self.g)
        found = (_gram(a, _weighted(xp.sum(_inner(times(g, G), g), axis=0), a)) for a, g in self._some_at_a_time())
        return self.c * reduce(add, found)

    def formed(self) -> "Formed":
        xp, out, width = namespace(self.g), self.g.shape[-1], self.a.shape[-1]
        some = (xp.reshape(xp.matrix_transpose(g) @ a, (-1, out * width)) for a, g in self._some_at_a_time())
        F = xp.reshape(self.c * reduce(add, (D.T @ D for D in some)), (out, width, out, width))
        return Formed(xp.reshape(xp.permute_dims(F, (0, 2, 1, 3)), (out * out, width * width)))

    @property
    def norm(self) -> float:
        """‖F‖, from F itself or from the inner products of all gradients."""
        xp, (N, R, width), (S, _, _, out) = namespace(self.a), self.a.shape, self.g.shape
        if S * N * (width * out) ** 2 < (S * N * R) ** 2 * (width + out):
            return self.formed().norm
        total, a, g = 0.0, xp.reshape(self.a, (N * R, width)), xp.reshape(self.g, (S, N * R, out))
        of_inputs = a @ a.T
        for s in range(S):
            for t in range(s + 1):
                inner = of_inputs * (g[s, ...] @ g[t, ...].T)
                inner = xp.sum(xp.reshape(inner, (N, R, N, R)), axis=(1, 3)) if R > 1 else inner
                total += (1 if s == t else 2) * float(xp.sum(inner * inner))
        return self.c * sqrt(total)

    def _some_at_a_time(self) -> Iterator[tuple[Any, Any]]:
        """a and g of a few samples."""
        (N, R, width), (S, _, _, out) = self.a.shape, self.g.shape
        few = max(1, AT_ONCE // (R * max(width, S * out, S * R)))
        for k in range(0, N, few):
            some = slice(k, min(k + few, N))
            yield self.a[some, ...], self.g[:, some, ...]


@dataclass(frozen=True, eq=False)
class Formed(Rearranged):
    """R(F) itself."""

    R: Matrix  #: (out², in²)

    def __add__(self, other: "Formed") -> "Formed":
        return Formed(self.R + other.R)

    def outward(self, A: Symmetric) -> Symmetric:
        return _square(self.R @ namespace(A).reshape(A, (-1,)))

    def inward(self, G: Symmetric) -> Symmetric:
        return _square(namespace(G).reshape(G, (-1,)) @ self.R)

    @property
    def norm(self) -> float:
        """‖F‖."""
        return frobenius(self.R)


def rearranged(a: Any, g: Any, c: float, N: int) -> Gradients | Formed:
    """R(F), from a and g of some or all of N samples: formed where it is the less for all of them, and soon done."""
    xp = namespace(a)
    F = Gradients(*at_few_positions(xp.astype(a, xp.float64), xp.astype(g, xp.float64)), c)
    (_, R, width), (S, _, _, out) = F.a.shape, F.g.shape
    less = (width * out) ** 2 < N * R * (width + S * out)
    soon = S * (width * out) ** 2 < PRODUCTS * 2 * R * (width**2 + S * out**2 + R * (width + S * out))
    return F.formed() if less and soon else F


@dataclass(frozen=True, eq=False, repr=False)
class Nearest(Kron):
    """The Kronecker product nearest to a block F, and what proves it."""

    of: Gradients | Formed = field(kw_only=True)
    warm: Symmetric = field(kw_only=True)  #: some products of M with I

    def __repr__(self) -> str:
        return super().__repr__().replace("Kron", "Nearest", 1)

    @cached_property
    def certificate(self) -> Certificate:
        norm, sigma = self.of.norm, frobenius(self.A) * frobenius(self.G)
        upper = max(sigma, min(norm, sqrt(collatz_wielandt(self.of.both, self.A, self.warm))))
        return Certificate(norm, sigma, upper, *(sqrt(max(0.0, norm**2 - s**2)) for s in (sigma, upper)))


def kfoc(
    problem: Any, x: Any, *, fisher: str = "exact", sharing: str = "expand", bias: str = "joint", labels: Any = None,
    samples: int = 1, rng: Any = None,
) -> BlockDiagonal:  # fmt: skip
    """KFOC of a ``Supervised`` problem at x (P,), one ``Nearest`` for each layer; arguments are those of ``kfac``.

    In "forward-only" there is no F, and K-FAC is returned.
    """
    details = {"sharing": sharing, "bias": bias, "labels": labels, "samples": samples, "rng": rng}
    if fisher == "forward-only":
        return kfac(problem, x, fisher=fisher, **details)
    return closest(by_pieces(problem, x, fisher, **details), problem.samples)


def closest(each: Iterable[Layers], N: int) -> BlockDiagonal:
    """KFOC of N samples, from the layers of some at a time."""
    maps = lambda some: [rearranged(part.a, part.g, some.c, N) for part in some.parts]
    found, blocks, F = summed((some._replace(sharing="expand") for some in each), maps)
    return assembled(found, [near(*pair) for pair in zip(F, blocks, strict=True)])


def nearest(a: Any, g: Any, c: float, bias: bool = False) -> Nearest:
    """G ⊗ A nearest to F = c Σ vec(∇)vec(∇)ᵀ, for a (N, R, in), g (S, N, R, out)."""
    return near(rearranged(a, g, c, a.shape[0]), Kron(input_factor(a, "expand"), output_factor(g, c, "expand"), bias))


def near(F: Gradients | Formed, K: Kron) -> Nearest:
    """G ⊗ A nearest to F, and A of the trace that K-FAC's has."""
    xp, kind = namespace(K.A), K.A
    warm, A = dominant(F.both, xp.eye(kind.shape[0], dtype=xp.float64, device=device(kind)))
    scale = trace(kind) / trace(A) if trace(A) > 0.0 else 1.0
    return Nearest(as_type(scale * A, kind), as_type(F.outward(A) / scale, kind), K.bias, of=F, warm=warm)


def at_few_positions(a: Any, g: Any) -> tuple[Any, Any]:
    """a and g with the same ∇ = Σᵣ gᵣ āᵣᵀ, at no more positions than there are inputs: I and ∇ᵀ."""
    xp, (N, R, width) = namespace(a), a.shape
    if width >= R:
        return a, g
    one = xp.eye(width, dtype=a.dtype, device=device(a))
    return xp.broadcast_to(one, (N, width, width)), xp.matrix_transpose(a) @ g


def dominant(product: Callable[[Symmetric], Symmetric], start: Symmetric) -> tuple[Symmetric, Symmetric]:
    """A few products with M of `start` ≻ 0, and M's dominant eigenvector A ⪰ 0, of norm 1; or twice 0."""
    xp, n = namespace(start), start.shape[0]
    matrix = lambda v: xp.reshape(v, (n, n))
    for _ in range(4):
        start = symmetrised(product(start))
        if frobenius(start) == 0.0:
            return start, start
        start = start / frobenius(start)
    A = start
    for _ in range(RESTARTS):
        T = lanczos(lambda v: xp.reshape(product(matrix(v)), (n * n,)), xp.reshape(A, (n * n,)), STEPS)
        values, V = np.linalg.eigh(np.diag(T.alpha) + np.diag(T.beta, 1) + np.diag(T.beta, -1))
        A = positive_part(matrix(rmatvec(T.Q, created(V[:, -1], T.Q))))
        if frobenius(product(A) - float(values[-1]) * A) <= 1e-13 * n * float(values[-1]):
            break
    return start, A


def positive_part(A: Symmetric) -> Symmetric:
    """A or −A, whichever has the larger trace, without its negative eigenvalues, of norm 1."""
    A = symmetrised(A)
    values, V = spectral(A if trace(A) > 0.0 else -A)
    values = namespace(values).where(values > 0.0, values, 0.0 * values)
    A = (V * values) @ V.T
    return A / frobenius(A)


def collatz_wielandt(product: Callable[[Symmetric], Symmetric], A: Symmetric, warm: Symmetric) -> float:
    """μ with M X ⪯ μX for an X ≻ 0 near A; where A is singular, `warm` and I come in."""
    if frobenius(A) == 0.0:
        return 0.0
    xp = namespace(A)
    A = xp.astype(A, xp.float64)
    one = xp.eye(A.shape[0], dtype=A.dtype, device=device(A))
    X = A / frobenius(A) + FLOOR * (warm + one)
    values, V = spectral(X)
    root = V / xp.sqrt(values)
    return max(0.0, float(xp.max(spectral(symmetrised(root.T @ product(X) @ root))[0])))


def _inner(x: Any, y: Any) -> Any:
    """x yᵀ (…, R, R) for x, y (…, R, k)."""
    xp = namespace(x)
    return xp.sum(x * y, axis=-1)[..., None] if x.shape[-2] == 1 else x @ xp.matrix_transpose(y)


def _weighted(weights: Any, x: Any) -> Any:
    """The products of weights (…, R, R) and x (…, R, k)."""
    return weights * x if x.shape[-2] == 1 else weights @ x


def _gram(x: Any, y: Any) -> Matrix:
    """Σ xᵀy over all axes but the last."""
    xp = namespace(x)
    return xp.reshape(x, (-1, x.shape[-1])).T @ xp.reshape(y, (-1, y.shape[-1]))


def _square(v: Any) -> Matrix:
    """The square matrix with these entries."""
    n = isqrt(v.shape[0])
    return namespace(v).reshape(v, (n, n))
