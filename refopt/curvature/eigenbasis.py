"""EKFAC: K-FAC's eigenvectors with the right second moments along them.

    A = P diag(a) Pᵀ,   G = Q diag(g) Qᵀ              K-FAC's factors
    S_ij = c Σₙ E[(Qᵀ∇ₙP)_ij²]                         in place of gᵢaⱼ

    F ≈ (Q ⊗ P) diag(S) (Q ⊗ P)ᵀ

Of all matrices diagonal in this basis it is the nearest to F, in Frobenius norm, for S is the diagonal of F there.
K-FAC is one of them: ‖F − EKFAC‖ ≤ ‖F − K-FAC‖, layer by layer.

T. George et al., *NeurIPS* 2018, arXiv:1806.03884.
Shapes: P (in, in), Q (out, out), S (out, in); with a bias in + 1.   Cost: K-FAC's, 9(in³ + out³) for the eigenvectors
and, where R = 1, three products for S, as (Qᵀgaᵀ P)² = (Qᵀg)²(Pᵀa)²ᵀ; with R > 1 gradients of a few samples at a time.
Where K-FAC takes a few samples at a time, so does this, and sweeps twice: for the basis, and for S.

`sharing` chooses the factors, and with them the basis; S comes from whole gradients ∇ₙ, summed over positions, always.
Where a factor has an eigenvalue several times, as 0 in "reduce" with fewer samples than inputs, its eigenvectors are
not unique; then S depends on which ones the library of arrays finds, so far as gradients lie among them (R > 1).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.factored import block, summed, times
from refopt.curvature.kron import Kron, flat
from refopt.curvature.layerwise import Layers, assembled, by_pieces, layers, pieces
from refopt.curvature.pieces import checked_damping
from refopt.linalg.arrays import as_type
from refopt.ops import Matrix, Vector, device, eps, namespace, norm_inf, scalar
from refopt.room import LIMIT

AT_ONCE = 2**22  #: numbers in the gradients of a few samples


def ekfac(
    problem: Any, x: Any, *, fisher: str = "exact", sharing: str = "expand", bias: str = "joint", labels: Any = None,
    samples: int = 1, rng: Any = None,
) -> BlockDiagonal:  # fmt: skip
    """EKFAC of a ``Supervised`` problem at x (P,), one ``Corrected`` for each layer; arguments are those of ``kfac``.

    In "forward-only" there are no gradients to take second moments of, and it is K-FAC.
    """
    details = {"sharing": sharing, "bias": bias, "labels": labels, "samples": samples, "rng": rng}
    if len(list(pieces(problem, x, fisher))) == 1:
        return corrected(layers(problem, x, fisher=fisher, **details))
    found, blocks, _ = summed(by_pieces(problem, x, fisher, **details))
    return assembled(found, with_moments(blocks, by_pieces(problem, x, fisher, **details)))


def corrected(layers: Layers) -> BlockDiagonal:
    """EKFAC of layers."""
    blocks = [block(part, layers) for part in layers.parts]
    return assembled(layers, blocks if layers.fisher == "forward-only" else with_moments(blocks, [layers]))


def with_moments(blocks: list[Kron], each: Iterable[Layers]) -> "list[Corrected]":
    """K-FAC's blocks, and S from the layers of some samples at a time."""
    bases, total = [[as_type(V, K.A) for _, V in K._spectra] for K in blocks], list[Any]()
    for found in each:
        some = [moments(part.a, part.g, P, Q, found.c) for part, (P, Q) in zip(found.parts, bases, strict=True)]
        del found  # before the next are made
        total = [one + other for one, other in zip(total, some, strict=True)] if total else some
    return [Corrected(K.A, K.G, K.bias, S=S) for K, S in zip(blocks, total, strict=True)]


def moments(a: Any, g: Any, P: Matrix, Q: Matrix, c: float) -> Matrix:
    """S (out, in) of a (N, R, in), g (S, N, R, out) and orthogonal P, Q."""
    xp, (N, R, width) = namespace(a), a.shape
    a, g = times(a, P), times(g, Q)
    if R == 1:
        return c * (xp.sum(g[:, :, 0, :] ** 2, axis=0).T @ a[:, 0, :] ** 2)
    few = max(1, AT_ONCE // (g.shape[0] * g.shape[3] * width))
    total = xp.zeros((g.shape[3], width), dtype=a.dtype, device=device(a))
    for k in range(0, N, few):
        some = slice(k, min(k + few, N))
        gradients = xp.matrix_transpose(g[:, some, ...]) @ a[some, ...]
        total = total + xp.sum(gradients**2, axis=(0, 1))
    return c * total


@dataclass(frozen=True, eq=False, repr=False)
class Corrected(Kron):
    """(Q ⊗ P) diag(S) (Q ⊗ P)ᵀ, with the eigenvectors of A and G, and damped by λI under every rule."""

    S: Matrix = field(kw_only=True)

    def __repr__(self) -> str:
        return super().__repr__().replace("Kron", "Corrected", 1)

    @property
    def T(self) -> "Corrected":
        return self

    def dense(self, vec: str = "row", limit: float = LIMIT) -> Matrix:
        """The (P, P) matrix, in flat order, or stacked by columns: vec = "row" or "column"."""
        _, vectors = self.eigh()
        V, S = vectors.dense(vec, limit), self.S if vec == "row" else self.S.T
        return (V * flat(S[None, ...], self.bias and vec == "row")[0, :]) @ V.T

    def matvec(self, v: Any) -> Any:
        """The product with v (P,) or (P, k)."""
        return self._rescaled(v, self.S)

    matmat = rmatvec = rmatmat = __matmul__ = matvec

    def trace(self) -> Any:
        return scalar(namespace(self.S).sum(self.S))

    def logdet(self, damping: float = 0.0) -> float:
        """log det of the block + λI: −∞ where that is singular."""
        xp, values = namespace(self.S), self._damped(damping, "exact")
        return scalar(xp.sum(xp.log(values))) if scalar(xp.min(values)) > 0.0 else -inf

    def eigh(self) -> tuple[Vector, Kron]:
        """The eigenvalues S (P,), in flat order and not sorted, and eigenvectors, the columns of a ``Kron``."""
        P, Q = (as_type(M, self.A) for M in self._vectors)
        return flat(self.S[None, ...], self.bias)[0, :], Kron(P, Q, self.bias)

    @property
    def _vectors(self) -> tuple[Matrix, Matrix]:
        (_, P), (_, Q) = self._spectra
        return P, Q

    def _damped(self, damping: float, rule: str) -> Matrix:
        """The eigenvalues (out, in) of the damped block; squares of what is zero to rounding are zero."""
        xp, lam, P = namespace(self.S), checked_damping(damping, rule), self.shape[0]
        rounding = (P * eps(self.S)) ** 2 * norm_inf(xp.reshape(self.S, (P,)))
        values = xp.where(rounding < self.S, self.S, 0.0 * self.S)
        return xp.astype(values, self._spectra[0][0].dtype) + lam

    def _rescaled(self, v: Any, S: Matrix) -> Any:
        P, Q = self._vectors
        return self._mapped(v, lambda V: Q @ ((Q.T @ as_type(V, Q) @ P) * as_type(S, Q)) @ P.T)
