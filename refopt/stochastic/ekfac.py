"""EKFAC: K-FAC's eigenvectors, with second moments along them that are followed from batch to batch.

    A̅ = P diag(a) Pᵀ,   G̅ = Q diag(g) Qᵀ             every T₃ steps; then S = gaᵀ
    S ← εS + (1 − ε) c Σₙ (Qᵀ∇ₙP)²                    in every step, at labels drawn from the model;   ε as for factors
    F̂(γ)⁻¹V = Q ((QᵀVP)/(S + γ²)) Pᵀ,     V like [W b]
    Δ = −F̂(γ)⁻¹∇h,     x ← x + αΔ + μδ₀

α, μ, γ and λ are those of K-FAC, in ``refopt.kfac_type``.

T. George, C. Laurent, X. Bouthillier, N. Ballas & P. Vincent, *NeurIPS* 2018, arXiv:1806.03884, Algorithm 1;
J. Martens & R. Grosse, *ICML* 2015, arXiv:1503.05671.
Shapes: P (in + 1, in + 1), Q (out, out), S (out, in + 1).   Cost of a step: that of K-FAC, and three products more of a
layer's inputs and gradients; with several positions, gradients of a few samples at a time.

Deviations from the source: S begins anew from K-FAC's own gaᵀ when the eigenvectors change, and the steps have K-FAC's
length, momentum and damping, of which the source has the damping only. That is exact, S + γ²: `rule` has no effect.
"""

from dataclasses import dataclass
from typing import Any

from refopt.curvature.eigenbasis import moments
from refopt.curvature.factored import block
from refopt.curvature.kron import Kron
from refopt.curvature.layerwise import Layers, Part, assembled
from refopt.curvature.leaves import Arrays, arrays_in, leaves, refilled
from refopt.kfac_type import CHOICES, Family, Params, Seen, State, init, mean, needs, seen_at, stepped
from refopt.linalg.arrays import as_type
from refopt.sampled import Draw

__all__ = ["CHOICES", "Params", "State", "init", "needs", "step", "update"]


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    point, seen = seen_at(problem, state.x, params, draw, "ekfac")
    return update(state, point.grad, params, draw, donate, seen)._replace(f=point.fun)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, seen: Seen | None = None
) -> State:
    """seen: ``refopt.kfac_type.Seen``, what layers, F and f are on the batch."""
    return stepped(EKFAC, state, grad, params, seen, donate)


@dataclass(frozen=True, eq=False, repr=False)
class Batch(Kron):
    """A block of one batch, with the inputs and gradients that it comes from."""

    part: Any = None


def factored(layers: Layers) -> tuple[Any, tuple[Arrays, ...]]:
    def of(part: Part) -> Batch:
        K = block(part, layers)
        return Batch(K.A, K.G, K.bias, part)

    F = assembled(layers, map(of, layers.parts))
    return F, tuple(map(arrays_in, leaves(F)))


def inverted(F: Any, factors: tuple[Arrays, ...], rule: str) -> Any:
    """γ ↦ P, Q and S = gaᵀ of every layer, whatever γ."""
    found = []
    for leaf in leaves(refilled(F, factors)):
        if hasattr(leaf, "d"):
            found.append((leaf.d,))
            continue
        (a, P), (g, Q) = leaf._spectra
        found.append(tuple(as_type(M, leaf.A) for M in (P, Q, g[:, None] * a[None, :])))
    return lambda gamma: tuple(found)


def tracked(F: Any, factors: tuple[Arrays, ...], arrays: tuple[Arrays, ...], weight: float, c: float) -> Any:
    """The arrays with the moments of the batch in S; diagonal blocks are averages themselves."""
    found = []
    for leaf, own, kept in zip(leaves(F), factors, arrays, strict=True):
        if len(kept) == 1:
            found.append(own)
            continue
        P, Q, S = kept
        found.append((P, Q, *mean(S, moments(leaf.part.a, leaf.part.g, P, Q, c), weight, 1.0 - weight)))
    return tuple(found)


def solved(F: Any, arrays: tuple[Arrays, ...], gamma: float, v: Any) -> Any:
    """F̂(γ)⁻¹v."""
    damped = ((*rest, 1.0 / (S + gamma**2)) for *rest, S in arrays)
    return refilled(F, damped).matvec(v)


EKFAC = Family("ekfac", factored, inverted, solved, tracked)
