"""Curvature of one layer as a Kronecker product.

A layer y = Wa with W of shape (out, in) has the block

    G ⊗ A    (P, P),  P = out · in,     in the order of ``W.ravel()``, row by row
    A ⊗ G                               in the order of the K-FAC papers, column by column

with A (in, in) and G (out, out) symmetric. With a bias, A is (in + 1, in + 1): its last coordinate is the constant 1 of
ā = (a, 1), and the block is that of [W b]. The flat order is then W row by row, and b after it. Column by column it is
A ⊗ G as it stands, for the last column of [W b] is b; row by row b is taken out of every row and put to the end.

Nothing of size P² is formed: with V the matrix of a vector v,

    (G ⊗ A) v             =  GVAᵀ
    (G ⊗ A + λI)⁻¹ v      =  Q ((QᵀVP) / (gaᵀ + λ)) Pᵀ          A = P diag(a) Pᵀ,  G = Q diag(g) Qᵀ
    log det (G ⊗ A)       =  Σᵢⱼ log gᵢaⱼ,          tr (G ⊗ A) = tr G tr A

J. Martens & R. Grosse, *ICML* 2015, arXiv:1503.05671, §3 and §6.3.
Shapes: v is (P,), or (P, k) for k vectors at once.   Cost: 9 (in³ + out³) flops once, for the two sets of eigenvectors,
which are kept; then 2P(in + out) for a product and 4P(in + out) for a solve, whatever the damping.

Deviation from the source: it inverts damped factors, anew for each damping. Eigenvectors serve every damping and every
rule. They are computed in float64; results are in the type of the factors and v.
"""

from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite
from typing import Any

import numpy as np

from refopt.linalg.arrays import as_type, real, rounding, spectral, square, symmetric
from refopt.linalg.kronecker import kron
from refopt.ops import Matrix, Vector, device, dimension, namespace, scalar
from refopt.room import LIMIT, PARTS, fits

RULES = ("exact", "pi", "factored")


@dataclass(frozen=True, eq=False, repr=False)
class Kron:
    """G ⊗ A: the block of a layer with inputs' factor A and outputs' factor G; with a bias, the block of [W b]."""

    A: Matrix
    G: Matrix
    bias: bool = False

    def __post_init__(self) -> None:
        A, G = square(self.A, "A"), square(self.G, "G")
        xp = namespace(A)
        if A.dtype != G.dtype:
            common = xp.result_type(A, G)
            A, G = xp.astype(A, common), xp.astype(G, common)
        object.__setattr__(self, "A", A)
        object.__setattr__(self, "G", G)

    def __repr__(self) -> str:
        return f"Kron(A {tuple(self.A.shape)}, G {tuple(self.G.shape)}, bias={self.bias})"

    @property
    def shape(self) -> tuple[int, int]:
        P = dimension(self.A) * dimension(self.G)
        return P, P

    @property
    def dtype(self) -> Any:
        return self.A.dtype

    @property
    def like(self) -> Any:
        """An array of the block's kind and type, on its device."""
        return self.A

    @property
    def T(self) -> "Kron":
        """The transpose, Gᵀ ⊗ Aᵀ."""
        return Kron(self.A.T, self.G.T, self.bias)

    def dense(self, vec: str = "row", limit: float = LIMIT) -> Matrix:
        """The (P, P) matrix, in flat order, or stacked by columns: vec = "row" or "column".

        MemoryError where it takes more than `limit` bytes.
        """
        fits(self.shape, self.A, limit, "block", PARTS)
        if vec == "column":
            return kron(self.A, self.G)
        if vec != "row":
            raise ValueError(f"vec must be 'row' or 'column'; it is {vec!r}")
        K = kron(self.G, self.A)
        if not self.bias:
            return K
        xp, places = namespace(K), np.arange(self.shape[0]).reshape(1, dimension(self.G), dimension(self.A))
        order = xp.asarray(flat(places, True)[0], device=device(K))
        return xp.take(xp.take(K, order, axis=0), order, axis=1)

    def matvec(self, v: Any) -> Any:
        """(G ⊗ A)v, for v (P,) or (P, k)."""
        return self._mapped(v, lambda V: as_type(self.G, V) @ V @ as_type(self.A.T, V))

    matmat = __matmul__ = matvec

    def rmatvec(self, v: Any) -> Any:
        """(G ⊗ A)ᵀv, for v (P,) or (P, k)."""
        return self.T.matvec(v)

    rmatmat = rmatvec

    def solve(self, v: Any, damping: float = 0.0, rule: str = "exact") -> Any:
        """The damped inverse times v, v (P,) or (P, k), with λ = `damping` ≥ 0; A and G ⪰ 0.

        rule = "exact":    (G ⊗ A + λI)⁻¹ v
        rule = "pi":       ((G + √λ/π I) ⊗ (A + π√λ I))⁻¹ v,     π = √((tr A/dim A)/(tr G/dim G))
        rule = "factored": the same with π = 1

        The factored rules damp more than λI: by π√λ G ⊗ I + √λ/π I ⊗ A, of which π makes the trace the smallest.
        Where a trace is not positive, π is 1. An eigenvalue of a factor that its own rounding hides, n eps of the
        largest or less, is 0.   Raises ValueError where what is to be inverted is singular to rounding.
        """
        products = self._damped(damping, rule)
        if not bool(namespace(products).all(products != 0.0)):
            raise ValueError(f"the block, damped by {damping:g}, is singular to rounding: give a larger damping")
        (_, P), (_, Q) = self._spectra
        return self._mapped(v, lambda V: in_eigenbases(as_type(V, Q), P, Q, products))

    def logdet(self, damping: float = 0.0) -> float:
        """log det (G ⊗ A + λI): −∞ where that is singular to rounding."""
        products = self._damped(damping, "exact")
        (a, _), (g, _) = self._spectra
        xp = namespace(products)
        if damping == 0.0 and scalar(xp.min(a)) > 0.0 and scalar(xp.min(g)) > 0.0:  # no product underflows
            return dimension(g) * scalar(xp.sum(xp.log(a))) + dimension(a) * scalar(xp.sum(xp.log(g)))
        least = scalar(xp.min(products))
        if least < 0.0:
            raise ValueError(f"log det needs a block that is not indefinite; an eigenvalue is {least:.3g}")
        return scalar(xp.sum(xp.log(products))) if least > 0.0 else -inf

    def trace(self) -> Any:
        """tr A tr G."""
        return trace(self.A) * trace(self.G)

    @property
    def pi(self) -> float:
        """π = √((tr A/dim A)/(tr G/dim G)), 1 where a trace is not positive."""
        a, g = (float(trace(M)) / dimension(M) for M in (self.A, self.G))
        return (a / g) ** 0.5 if a > 0.0 and g > 0.0 else 1.0

    def eigh(self) -> tuple[Vector, "Kron"]:
        """The eigenvalues gᵢaⱼ (P,), in flat order and not sorted; eigenvectors, the columns of another ``Kron``."""
        (a, P), (g, Q) = self._spectra
        values = flat((g[:, None] * a[None, :])[None, ...], self.bias)[0, :]
        return as_type(values, self.A), Kron(as_type(P, self.A), as_type(Q, self.G), self.bias)

    def to_scipy(self) -> Any:
        """A ``scipy.sparse.linalg.LinearOperator``, for NumPy arrays."""
        return to_scipy(self)

    @cached_property
    def _spectra(self) -> tuple[tuple[Vector, Matrix], tuple[Vector, Matrix]]:
        """Eigenvalues and eigenvectors of A and of G, in float64; what is zero to rounding is zero."""
        found = []
        for M, name in ((self.A, "A"), (self.G, "G")):
            values, V = spectral(symmetric(M, name))
            xp = namespace(values)
            found.append((xp.where(xp.abs(values) <= rounding(values, M), 0.0 * values, values), V))
        return found[0], found[1]

    def _damped(self, damping: float, rule: str) -> Matrix:
        """The eigenvalues (out, in) of the damped block."""
        lam = float(damping)
        if not (isfinite(lam) and lam >= 0.0):
            raise ValueError(f"damping must be finite and at least 0; it is {damping!r}")
        if rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}; it is {rule!r}")
        (a, _), (g, _) = self._spectra
        if rule == "exact":
            return g[:, None] * a[None, :] + lam
        return factored(a, g, lam**0.5, self.pi if rule == "pi" else 1.0)

    def _mapped(self, v: Any, linear: Any) -> Any:
        """A linear function of the matrices V (k, out, in) of v, flat again, in the type of v and the factors."""
        v = stack(v, self)
        rows = v.T if len(v.shape) == 2 else v[None, :]
        out = as_type(flat(linear(matrices(rows, dimension(self.G), self.bias)), self.bias), v)
        return out.T if len(v.shape) == 2 else out[0, :]


class Dense(Kron):
    """A symmetric matrix B (P, P) as a block: B ⊗ 1, damped by λI under every rule."""

    def __init__(self, B: Matrix) -> None:
        B = square(B, "B")
        super().__init__(namespace(B).ones((1, 1), dtype=B.dtype, device=device(B)), B)

    def solve(self, v: Any, damping: float = 0.0, rule: str = "exact") -> Any:
        """(B + λI)⁻¹v: there is nothing to factor."""
        if rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}; it is {rule!r}")
        return super().solve(v, damping)


# --- damping -----------------------------------------------------------------------------------------------------


def in_eigenbases(V: Any, P: Matrix, Q: Matrix, products: Matrix) -> Any:
    """Q ((QᵀVP) / products) Pᵀ, for V (…, out, in): the inverse of the block with these eigenvalues (out, in)."""
    return Q @ ((Q.T @ V @ P) / products) @ P.T


def factored(a: Vector, g: Vector, root: Any, pi: Any) -> Matrix:
    """The eigenvalues (gᵢ + √λ/π)(aⱼ + π√λ) of a block with damped factors, for root = √λ."""
    return (g + root / pi)[:, None] * (a + pi * root)[None, :]


# --- the flat order ----------------------------------------------------------------------------------------------


def matrices(rows: Matrix, out: int, bias: bool) -> Any:
    """Flat vectors (k, P) as matrices V (k, out, in), or [W b] (k, out, in + 1)."""
    xp, (k, P) = namespace(rows), rows.shape
    if not bias:
        return xp.reshape(rows, (k, out, P // out))
    W = xp.reshape(rows[:, : P - out], (k, out, P // out - 1))
    return xp.concat([W, rows[:, P - out :, None]], axis=2)


def flat(V: Any, bias: bool) -> Matrix:
    """Matrices (k, out, in), or [W b] (k, out, in + 1), as flat vectors (k, P)."""
    xp, (k, out, columns) = namespace(V), V.shape
    if not bias:
        return xp.reshape(V, (k, out * columns))
    return xp.concat([xp.reshape(V[:, :, :-1], (k, out * (columns - 1))), V[:, :, -1]], axis=1)


def trace(M: Matrix) -> Any:
    return scalar(namespace(M).linalg.trace(M))


def stack(v: Any, block: Any) -> Any:
    """v (P,) or (P, k), in the common type of v and the block."""
    v, P = real(v, "v"), block.shape[0]
    if len(v.shape) not in (1, 2) or v.shape[0] != P:
        raise ValueError(f"v must have shape ({P},) or ({P}, k); it has shape {tuple(v.shape)}")
    xp = namespace(v)
    return v if v.dtype == block.dtype else xp.astype(v, xp.result_type(v, block.like))


def to_scipy(block: Any) -> Any:
    if not isinstance(block.like, np.ndarray):
        raise TypeError(f"SciPy's operators take NumPy arrays; the block holds {type(block.like).__name__}")
    from scipy.sparse.linalg import LinearOperator

    return LinearOperator(
        block.shape, matvec=block.matvec, rmatvec=block.rmatvec, matmat=block.matvec, rmatmat=block.rmatvec,
        dtype=block.dtype,
    )  # fmt: skip
