"""Block-tridiagonal K-FAC: the *inverse* of the Fisher matrix as a block-tridiagonal matrix.

K-FAC's factored blocks between layers i and j would be F̃ᵢⱼ = Gᵢⱼ ⊗ Aᵢⱼ, with Aᵢⱼ = E[āᵢ āⱼᵀ], Gᵢⱼ = c Σ E[gᵢ gⱼᵀ].
F̂ is the matrix that agrees with F̃ on the diagonal and beside it, and whose inverse is block-tridiagonal:

    F̂⁻¹ = Ξᵀ Λ Ξ,     Ξ = 1 on the diagonal, −Ψᵢ,ᵢ₊₁ beside it,     Λ = diag(Σᵢ|ᵢ₊₁⁻¹)
    Ψᵢ,ᵢ₊₁ = F̃ᵢ,ᵢ₊₁ F̃ᵢ₊₁,ᵢ₊₁⁻¹ = Ψᴳ ⊗ Ψᴬ                        Ψᴬ = Aᵢ,ᵢ₊₁ Aᵢ₊₁⁻¹,   Ψᴳ = Gᵢ,ᵢ₊₁ Gᵢ₊₁⁻¹
    Σᵢ|ᵢ₊₁ = F̃ᵢᵢ − Ψ F̃ᵢ₊₁,ᵢ₊₁ Ψᵀ = Gᵢ ⊗ Aᵢ − D ⊗ C              C = Ψᴬ Aᵢ₊₁ Ψᴬᵀ,     D = Ψᴳ Gᵢ₊₁ Ψᴳᵀ;    of the last, F̃
    (G ⊗ A − D ⊗ C)⁻¹ = (K_G ⊗ K_A)(1 − s_D s_Cᵀ)⁻¹(K_G ⊗ K_A)ᵀ      K_A = A^{−½}E,   A^{−½}CA^{−½} = E diag(s_C) Eᵀ

The band of F̃ itself would be no approximation of F: it may be indefinite, and F̂ is dense.

J. Martens & R. Grosse, *ICML* 2015, arXiv:1503.05671, §4.3, and the appendix on A ⊗ B ± C ⊗ D.
Shapes: as in ``kfac``.   Cost: some 40 (in³ + out³) flops a layer; then 16 P (in + out) for a product or a solve.

Deviations from the source: it names A first, for it stacks columns. Ψ takes pseudoinverses, so that F̂ exists where
factors are singular. Layers with different numbers of positions are not coupled in "expand", as no position of one is
one of the other; nor are groups of a convolution, layers that share weights, and parameters of no linear layer.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any, NamedTuple

from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.kron import Kron, flat, matrices, stack, to_scipy
from refopt.curvature.pieces import checked_damping, column_order
from refopt.linalg.arrays import DOUBLE, as_type, spectral
from refopt.ops import Matrix, Vector, device, dimension, namespace, scalar, symmetrised
from refopt.room import LIMIT, PARTS, fits

ENOUGH = 1e-14  #: of the residual of (F̂ + λI)⁻¹v, relative to v


class Link(NamedTuple):
    """Block j comes next to block i."""

    i: int
    j: int
    A: Matrix  #: Aᵢⱼ (inᵢ, inⱼ)
    G: Matrix  #: Gᵢⱼ (outᵢ, outⱼ)


@dataclass(frozen=True, eq=False, repr=False)
class BlockTridiagonal:
    """F̂ ⪰ 0, whose inverse is block-tridiagonal."""

    diagonal: BlockDiagonal  #: F̃'s own blocks: K-FAC
    links: tuple[Link, ...]  #: of ``Kron`` blocks, i < j, each i and each j once at most

    def __repr__(self) -> str:
        return f"BlockTridiagonal({', '.join(map(repr, self.blocks))})"

    @property
    def blocks(self) -> tuple[Any, ...]:
        """The blocks on F̂'s diagonal: those of K-FAC."""
        return self.diagonal.blocks

    @property
    def shape(self) -> tuple[int, int]:
        return self.diagonal.shape

    @property
    def dtype(self) -> Any:
        return self.diagonal.dtype

    @property
    def like(self) -> Any:
        return self.diagonal.like

    @property
    def T(self) -> "BlockTridiagonal":
        return self

    def dense(self, vec: str = "row", limit: float = LIMIT) -> Matrix:
        """F̂ (P, P), in flat order, or with each block stacked by columns: vec = "row" or "column"."""
        if vec not in ("row", "column"):
            raise ValueError(f"vec must be 'row' or 'column'; it is {vec!r}")
        fits(self.shape, self.like, limit, "matrix", PARTS)
        xp, where = namespace(self.like), device(self.like)
        F = symmetrised(self.matvec(xp.eye(self.shape[0], dtype=self.dtype, device=where)))
        if vec == "row":
            return F
        order = xp.asarray(column_order(self.diagonal), device=where)
        return xp.take(xp.take(F, order, axis=0), order, axis=1)

    def matvec(self, v: Any) -> Any:
        """F̂v for v (P,) or (P, k)."""
        return self._mapped(v, self._undamped.product)

    matmat = rmatvec = rmatmat = __matmul__ = matvec

    def solve(self, v: Any, damping: float = 0.0, rule: str = "exact") -> Any:
        """The damped inverse times v, v (P,) or (P, k).

        rule = "pi", "factored":   ΞᵀΛΞ v, of factors damped as in ``Kron.solve``: Aᵢ + π√λ I and Gᵢ + √λ/π I
        rule = "exact":            (F̂ + λI)⁻¹ v, by conjugate gradients, preconditioned by K-FAC's blocks + λI

        ValueError where what is to be inverted is singular to rounding; RuntimeWarning where the gradients do not end.
        """
        lam = checked_damping(damping, rule)
        if lam == 0.0:
            return self._mapped(v, self._undamped.inverse)
        if rule == "exact":
            return self._mapped(v, lambda V: self._conjugate_gradients(V, lam))
        return self._mapped(v, Factors(self, lam, rule).inverse)

    def logdet(self, damping: float = 0.0) -> float:
        """log det (F̂ + λI): −∞ where that is singular to rounding.   Cost: where λ > 0, that of the dense matrix."""
        if damping == 0.0:
            return self._undamped.logdet()
        xp, lam = namespace(self.like), checked_damping(damping, "exact")
        values, _ = spectral(self.dense())
        return scalar(xp.sum(xp.log(values + lam))) if scalar(xp.min(values)) > -lam else -inf

    def trace(self) -> Any:
        return self.diagonal.trace()

    def to_scipy(self) -> Any:
        """A ``scipy.sparse.linalg.LinearOperator``, for NumPy arrays."""
        return to_scipy(self)

    @cached_property
    def _undamped(self) -> "Factors":
        return Factors(self, 0.0, "pi")

    def _mapped(self, v: Any, function: Callable[[Matrix], Matrix]) -> Any:
        """A function of matrices (P, k), in float64."""
        v = stack(v, self)
        V = namespace(v).astype(v if len(v.shape) == 2 else v[:, None], namespace(v).float64)
        found = as_type(function(V), v)
        return found if len(v.shape) == 2 else found[:, 0]

    def _conjugate_gradients(self, V: Matrix, lam: float) -> Matrix:
        """(F̂ + λI)⁻¹V, all columns at a time."""
        xp = namespace(V)
        sums = lambda X, Y: xp.sum(X * Y, axis=0)
        ratio = lambda a, b: xp.where(b > 0.0, a / xp.where(b > 0.0, b, 1.0 + 0.0 * b), 0.0 * a)
        X, R, enough = 0.0 * V, V, ENOUGH**2 * sums(V, V)
        Z = self.diagonal.solve(R, lam)
        D, rz = Z, sums(R, Z)
        for _ in range(10 * self.shape[0] + 100):
            if bool(xp.all(sums(R, R) <= enough)):
                return X
            B = self._undamped.product(D) + lam * D
            alpha = ratio(rz, sums(D, B))
            X, R = X + alpha * D, R - alpha * B
            Z = self.diagonal.solve(R, lam)
            new = sums(R, Z)
            D, rz = Z + ratio(new, rz) * D, new
        warnings.warn(f"(F + λI)⁻¹v is not to rounding: λ = {lam:g} is small beside F", RuntimeWarning, stacklevel=4)
        return X


class Factors:
    """Ξ and Σ of a ``BlockTridiagonal``, of damped factors."""

    def __init__(self, F: BlockTridiagonal, lam: float, rule: str) -> None:
        self.F, self.lam, self.rule, self.places = F, lam, rule, places(F)
        self.coupled = {link.i: Coupled(link, F.blocks[link.i], F.blocks[link.j], lam, rule) for link in F.links}

    def product(self, V: Matrix) -> Matrix:
        """F̂V = Ξ⁻¹ Σ Ξ⁻ᵀ V, of undamped factors."""
        parts = [V[place, :] for place in self.places]
        for i, link in sorted(self.coupled.items()):
            parts[link.j] = parts[link.j] + link.transposed(parts[i])
        for i, block in enumerate(self.F.blocks):
            parts[i] = self.coupled[i].product(parts[i]) if i in self.coupled else block.matvec(parts[i])
        for i, link in sorted(self.coupled.items(), reverse=True):
            parts[i] = parts[i] + link.forward(parts[link.j])
        return namespace(V).concat(parts, axis=0)

    def inverse(self, V: Matrix) -> Matrix:
        """F̂⁻¹V."""
        last = lambda i, part: self.F.blocks[i].solve(part, self.lam, self.rule)
        return precision(V, self.places, self.coupled, last)

    def logdet(self) -> float:
        blocks = enumerate(self.F.blocks)
        return sum(self.coupled[i].logdet() if i in self.coupled else block.logdet() for i, block in blocks)


def places(F: BlockTridiagonal) -> list[slice]:
    """Where the blocks lie."""
    found, end = list[slice](), 0
    for block in F.blocks:
        found.append(slice(end, end + block.shape[0]))
        end += block.shape[0]
    return found


def precision(V: Matrix, places: list[slice], coupled: Any, last: Callable[[int, Matrix], Matrix]) -> Matrix:
    """F̂⁻¹V = Ξᵀ Λ Ξ V, with the inverse `last` of the blocks that no other follows."""
    parts = [V[place, :] for place in places]
    for i, link in sorted(coupled.items()):
        parts[i] = parts[i] - link.forward(parts[link.j])
    parts = [coupled[i].inverse(part) if i in coupled else last(i, part) for i, part in enumerate(parts)]
    for i, link in sorted(coupled.items(), reverse=True):
        parts[link.j] = parts[link.j] - link.transposed(parts[i])
    return namespace(V).concat(parts, axis=0)


class Coupled:
    """Ψ between blocks i and j, and Σᵢ|ⱼ."""

    def __init__(self, link: Link, first: Kron, second: Kron, lam: float, rule: str) -> None:
        self.i, self.j, self.first, self.second = link.i, link.j, first, second
        own, other = damped_spectra(first, lam, rule), damped_spectra(second, lam, rule)
        self.A, self.G = ((V * values) @ V.T for values, V in own)
        across = [as_type(M, V) for M, (_, V) in zip((link.A, link.G), other, strict=True)]
        psi, schur = zip(*(conditioned(M, *found) for M, found in zip(across, other, strict=True)), strict=True)
        (self.psi_A, self.psi_G), (self.C, self.D) = psi, schur
        self.spectra = own

    @property
    def arrays(self) -> tuple[Any, ...]:
        """All that products with Ψ and Σᵢ|ⱼ⁻¹ take."""
        return self.psi_A, self.psi_G, *self.diagonalised

    @classmethod
    def of(cls, link: Link, first: Kron, second: Kron, arrays: tuple[Any, ...]) -> "Coupled":
        """For such products, from the arrays of another."""
        made = cls.__new__(cls)
        made.i, made.j, made.first, made.second = link.i, link.j, first, second
        made.psi_A, made.psi_G = arrays[:2]
        made.__dict__["diagonalised"] = arrays[2:]
        return made

    def forward(self, part: Matrix) -> Matrix:
        """Ψ times block j of vectors."""
        V = matrices(part.T, dimension(self.second.G), self.second.bias)
        return flat(self.psi_G @ V @ self.psi_A.T, self.first.bias).T

    def transposed(self, part: Matrix) -> Matrix:
        """Ψᵀ times block i of vectors."""
        V = matrices(part.T, dimension(self.first.G), self.first.bias)
        return flat(self.psi_G.T @ V @ self.psi_A, self.second.bias).T

    def product(self, part: Matrix) -> Matrix:
        """Σ times block i of vectors."""
        V = matrices(part.T, dimension(self.first.G), self.first.bias)
        return flat(self.G @ V @ self.A - self.D @ V @ self.C, self.first.bias).T

    def inverse(self, part: Matrix) -> Matrix:
        """Σ⁻¹ times block i of vectors."""
        K_A, K_G, rest = self.diagonalised
        if rest is None:
            raise ValueError("a block, conditioned on the next one, is singular to rounding: give a larger damping")
        V = matrices(part.T, dimension(self.first.G), self.first.bias)
        return flat(K_G @ ((K_G.T @ V @ K_A) / rest) @ K_A.T, self.first.bias).T

    def logdet(self) -> float:
        _, _, rest = self.diagonalised
        if rest is None:
            return -inf
        xp, ((a, _), (g, _)) = namespace(rest), self.spectra
        own = dimension(g) * scalar(xp.sum(xp.log(a))) + dimension(a) * scalar(xp.sum(xp.log(g)))
        return own + scalar(xp.sum(xp.log(rest)))

    @cached_property
    def diagonalised(self) -> tuple[Any, Any, Any]:
        """K_A, K_G and 1 − s_D s_Cᵀ (out, in), None where Σ is singular to rounding."""
        xp, found = namespace(self.A), []
        for (values, V), M in zip(self.spectra, (self.C, self.D), strict=True):
            if not scalar(xp.min(values)) > 0.0:
                return None, None, None
            root = V / xp.sqrt(values)
            s, E = spectral(symmetrised(root.T @ M @ root))
            found.append((s, root @ E))
        (s_C, K_A), (s_D, K_G) = found
        rest = 1.0 - s_D[:, None] * s_C[None, :]
        small = 4.0 * DOUBLE * sum(rest.shape)
        return K_A, K_G, rest if scalar(xp.min(rest)) > small else None


def damped_spectra(K: Kron, lam: float, rule: str) -> tuple[tuple[Vector, Matrix], tuple[Vector, Matrix]]:
    """Eigenvalues and eigenvectors of A + π√λ I and of G + √λ/π I."""
    (a, P), (g, Q) = K._spectra
    pi = K.pi if rule == "pi" else 1.0
    return (a + pi * lam**0.5, P), (g + lam**0.5 / pi, Q)


def conditioned(M: Matrix, values: Vector, V: Matrix) -> tuple[Matrix, Matrix]:
    """MB⁺ and MB⁺Mᵀ of B = V diag(values) Vᵀ."""
    xp = namespace(values)
    inverse = xp.where(values > 0.0, 1.0 / xp.where(values > 0.0, values, 1.0 + 0.0 * values), 0.0 * values)
    MV = M @ V
    return (MV * inverse) @ V.T, symmetrised((MV * inverse) @ MV.T)
