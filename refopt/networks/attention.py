"""Multi-head self-attention over the tokens of each sample.

    (Q, K, V) = W_in x + b_in        for each head, e = d / heads entries of each:
    S = QKᵀ/√e,   A = softmax(S),   Z = AV          row by row; causal: token t sees tokens s ≤ t only
    y = W_out Z + b_out              the heads side by side

    Ṡ = (Q̇Kᵀ + QK̇ᵀ)/√e     Ȧ = D(Ṡ)                       Ż = ȦV + AV̇
    V̄ = AᵀZ̄     Ā = Z̄Vᵀ     S̄ = D(Ā)     Q̄ = S̄K/√e     K̄ = S̄ᵀQ/√e

where D(B) = A∘(B − rowsum(A∘B)) is the derivative of the softmax, symmetric, a bar marks cotangents, and by the
product rule

    R{V̄} = ȦᵀZ̄ + AᵀR{Z̄}     R{Ā} = R{Z̄}Vᵀ + Z̄V̇ᵀ     R{Q̄} = (R{S̄}K + S̄K̇)/√e     R{K̄} = (R{S̄}ᵀQ + S̄ᵀQ̇)/√e
    R{S̄} = Ȧ∘(Ā − m) + A∘(R{Ā} − ṁ),     m = rowsum(A∘Ā),   ṁ = rowsum(Ȧ∘Ā + A∘R{Ā})

A. Vaswani et al., arXiv:1706.03762, §3.2.   Shapes: x, y (N, T, d); W_in (3d, d), the rows of Q, K, V, as PyTorch's
MultiheadAttention has them; W_out (d, d).   Cost: forward 8NTd² + 4NT²d flops.
"""

from dataclasses import dataclass
from functools import cached_property
from math import inf, sqrt
from typing import Any

from refopt.networks.layer import Layer
from refopt.networks.linear import Linear
from refopt.networks.sequential import Chain
from refopt.ops import device, namespace


@dataclass(frozen=True)
class SelfAttention(Chain):
    """Self-attention of `heads` heads over tokens of `features` entries."""

    features: int
    heads: int
    causal: bool = False
    bias: bool = True

    def __post_init__(self) -> None:
        if self.heads < 1 or self.features % self.heads:
            raise ValueError(f"{self.features} features do not fall into {self.heads} heads of equal size")

    @cached_property
    def children(self) -> tuple[Layer, ...]:
        d = self.features
        return Linear(d, 3 * d, self.bias), Heads(d, self.heads, self.causal), Linear(d, d, self.bias)

    @property
    def named(self) -> tuple[tuple[str, Layer], ...]:
        return tuple(zip(("in", "", "out"), self.children, strict=True))


@dataclass(frozen=True)
class Heads(Layer):
    """(Q, K, V) side by side, (N, T, 3d), to Z (N, T, d)."""

    features: int
    heads: int
    causal: bool = False

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        if x.ndim != 3:
            raise ValueError(f"attention takes tokens (N, T, {self.features}), but got an array with {x.ndim} axes")
        Q, K, V = self._apart(x)
        A = self._softmax(Q @ _t(K) / self._root)
        return self._beside(A @ V), (Q, K, V, A)

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        (Q, K, V, A), (dQ, dK, dV) = tape, self._apart(dx)
        dA = _slope(A, (dQ @ _t(K) + Q @ _t(dK)) / self._root)
        return self._beside(dA @ V + A @ dV), (dQ, dK, dV, dA)

    def pull(self, p: Any, tape: Any, u: Any) -> Any:
        (Q, K, V, A), (Zb,) = tape, self._apart(u)
        Sb = _slope(A, Zb @ _t(V)) / self._root
        return self._together(Sb @ K, _t(Sb) @ Q, _t(A) @ Zb)

    def rpull(self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, Any]:
        (Q, K, V, A), (dQ, dK, dV, dA), (Zb,), (dZb,) = tape, dtape, self._apart(u), self._apart(du)
        Ab, dAb = Zb @ _t(V), dZb @ _t(V) + Zb @ _t(dV)
        away = Ab - _rowsum(A * Ab)
        Sb = A * away / self._root
        dSb = (dA * away + A * (dAb - _rowsum(dA * Ab + A * dAb))) / self._root
        dv = dSb @ K + Sb @ dK, _t(dSb) @ Q + _t(Sb) @ dQ, _t(dA) @ Zb + _t(A) @ dZb
        return self._together(Sb @ K, _t(Sb) @ Q, _t(A) @ Zb), self._together(*dv)

    @property
    def _root(self) -> float:
        return sqrt(self.features / self.heads)

    def _softmax(self, S: Any) -> Any:
        xp = namespace(S)
        if self.causal:
            later = xp.triu(xp.ones(S.shape[-2:], device=device(S)), k=1)
            S = xp.where(later > 0.0, xp.full_like(S, -inf), S)
        A = xp.exp(S - xp.max(S, axis=-1, keepdims=True))
        return A / xp.sum(A, axis=-1, keepdims=True)

    def _apart(self, z: Any) -> list[Any]:
        """Arrays (…, N, heads, T, e) of z (…, N, T, k·d), k of them."""
        xp, e = namespace(z), self.features // self.heads
        parts = xp.reshape(z, (*z.shape[:-1], -1, self.heads, e))
        return [xp.moveaxis(parts[..., k, :, :], -2, -3) for k in range(parts.shape[-3])]

    def _beside(self, Z: Any) -> Any:
        """The inverse for one array: (…, N, T, d)."""
        Z = namespace(Z).moveaxis(Z, -3, -2)
        return namespace(Z).reshape(Z, (*Z.shape[:-2], self.features))

    def _together(self, *parts: Any) -> Any:
        return namespace(parts[0]).concat([self._beside(part) for part in parts], axis=-1)


def _slope(A: Any, B: Any) -> Any:
    """A∘(B − rowsum(A∘B))."""
    return A * (B - _rowsum(A * B))


def _rowsum(B: Any) -> Any:
    return namespace(B).sum(B, axis=-1, keepdims=True)


def _t(B: Any) -> Any:
    return namespace(B).matrix_transpose(B)
