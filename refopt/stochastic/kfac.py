"""K-FAC: natural gradient with the Fisher matrix of each layer as a Kronecker product, and all that makes it a method.

    F̂ = diag(G̅ᵢ ⊗ A̅ᵢ),     A̅, G̅: running averages of E[āāᵀ] and c Σ ggᵀ, g at labels drawn from the model
    F̂(γ)⁻¹V  =  (G̅ + γ/π I)⁻¹ V (A̅ + πγI)⁻¹,          π = √((tr A̅/dim A)/(tr G̅/dim G)),  V like [W b]
    Δ = −F̂(γ)⁻¹∇h,     x ← x + αΔ + μδ₀

α, μ, γ and λ follow from the exact Fisher matrix: ``refopt.kfac_type`` has their equations, and the deviations.

J. Martens & R. Grosse, *ICML* 2015, arXiv:1503.05671, §9;  R. Grosse & J. Martens, *ICML* 2016,
arXiv:1602.01407, for convolutions.
Shapes: x, g, Δ, δ (P,); A̅ (in + 1, in + 1), G̅ (out, out) of each layer.
Cost of a step: two gradients, two sweeps forward for M, N(in² + out²) flops for the factors of a layer and 2P(in + out)
for Δ; every T₃ steps 5(in³ + out³)/3 for inverses, every T₂ three times those, Δ and M, every T₁ a value of f.

The two factors' inverses are kept. With the rule "exact", which is not the source's, it is their eigenvectors, and
F̂(γ) = G̅ ⊗ A̅ + γ²I. λ is in the units of f; λ₀ = 1 suits a mean, 150 sums over pixels.
"""

from typing import Any

from refopt.curvature.factored import block
from refopt.curvature.layerwise import Layers, assembled
from refopt.curvature.leaves import Arrays, arrays_in, leaves, refilled
from refopt.kfac_type import CHOICES, Family, Params, Seen, State, init, inverse_of, needs, seen_at, stepped
from refopt.sampled import Draw

__all__ = ["CHOICES", "Params", "State", "init", "needs", "step", "update"]


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    point, seen = seen_at(problem, state.x, params, draw, "kfac")
    return update(state, point.grad, params, draw, donate, seen)._replace(f=point.fun)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, seen: Seen | None = None
) -> State:
    """seen: ``refopt.kfac_type.Seen``, what layers, F and f are on the batch."""
    return stepped(KFAC, state, grad, params, seen, donate)


def factored(layers: Layers) -> tuple[Any, tuple[Arrays, ...]]:
    F = assembled(layers, [block(part, layers) for part in layers.parts])
    return F, tuple(map(arrays_in, leaves(F)))


def inverted(F: Any, factors: tuple[Arrays, ...], rule: str) -> Any:
    """γ ↦ what is kept of F̂(γ)⁻¹."""
    blocks = leaves(refilled(F, factors))
    return lambda gamma: tuple(inverse_of(leaf, gamma, rule) for leaf in blocks)


def solved(F: Any, arrays: tuple[Arrays, ...], gamma: float, v: Any) -> Any:
    """F̂(γ)⁻¹v: γ is in the arrays."""
    return refilled(F, arrays).matvec(v)


KFAC = Family("kfac", factored, inverted, solved)
