"""K-FAC with a block-tridiagonal inverse: layers that follow one another see each other.

    F̂(γ)⁻¹ = ΞᵀΛΞ           of factors A̅ᵢ + πγI, G̅ᵢ + γ/π I, and A̅ᵢ,ᵢ₊₁, G̅ᵢ,ᵢ₊₁ between layers: running averages all
    Δ = −F̂(γ)⁻¹∇h,     x ← x + αΔ + μδ₀

Ξ and Λ are those of ``refopt.curvature.tridiagonal``; α, μ, γ and λ those of K-FAC, in ``refopt.kfac_type``.

J. Martens & R. Grosse, *ICML* 2015, arXiv:1503.05671, §4.3 and §9.
Shapes: as in ``kfac``, and between layers (in + 1, inⱼ + 1), (out, outⱼ).
Cost of a step: that of K-FAC, with some 4P(in + out) flops for Δ, and 40(in³ + out³) for each γ every T₃ steps.
"""

from typing import Any

from refopt.curvature.chained import chained
from refopt.curvature.layerwise import Layers
from refopt.curvature.leaves import Arrays, arrays_in, leaves, refilled
from refopt.curvature.tridiagonal import BlockTridiagonal, Coupled, places, precision
from refopt.kfac_type import CHOICES, Family, Params, Seen, State, init, inverse_of, needs, seen_at, stepped
from refopt.linalg.arrays import as_type
from refopt.sampled import Draw

__all__ = ["CHOICES", "Params", "State", "init", "needs", "step", "update"]


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    point, seen = seen_at(problem, state.x, params, draw, "kfac-tridiagonal")
    return update(state, point.grad, params, draw, donate, seen)._replace(f=point.fun)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, seen: Seen | None = None
) -> State:
    """seen: ``refopt.kfac_type.Seen``, what layers, F and f are on the batch."""
    return stepped(TRIDIAGONAL, state, grad, params, seen, donate)


def factored(layers: Layers) -> tuple[BlockTridiagonal, tuple[Arrays, ...]]:
    """F̃ on its band; the factors of blocks, then those between them."""
    F = chained(layers)
    return F, (*map(arrays_in, leaves(F.diagonal)), *((link.A, link.G) for link in F.links))


def inverted(F: BlockTridiagonal, factors: tuple[Arrays, ...], rule: str) -> Any:
    """γ ↦ Ψ and Σᵢ|ᵢ₊₁⁻¹ of each block that another follows, and the damped inverses of the others."""
    if rule == "exact":
        raise ValueError("kfac-tridiagonal damps its factors: rule must be 'pi' or 'factored'")
    n = len(factors) - len(F.links)
    blocks = refilled(F.diagonal, factors[:n]).blocks
    links = {link.i: link._replace(A=A, G=G) for link, (A, G) in zip(F.links, factors[n:], strict=True)}

    def at(gamma: float) -> tuple[Any, ...]:
        found = list[Any]()
        for i, block in enumerate(blocks):
            if i in links:
                coupled = Coupled(links[i], block, blocks[links[i].j], gamma**2, rule)
                found.append(tuple(as_type(M, block.like) for M in coupled.arrays))
            else:
                found.append(tuple(inverse_of(leaf, gamma, rule) for leaf in leaves(block)))
        return tuple(found)

    return at


def solved(F: BlockTridiagonal, arrays: tuple[Any, ...], gamma: float, v: Any) -> Any:
    """F̂(γ)⁻¹v: γ is in the arrays."""
    blocks = F.blocks
    coupled = {i: Coupled.of(link, blocks[i], blocks[link.j], arrays[i]) for link in F.links for i in (link.i,)}
    last = lambda i, part: refilled(blocks[i], arrays[i]).matvec(part)
    return precision(v[:, None], places(F), coupled, last)[:, 0]


TRIDIAGONAL = Family("kfac-tridiagonal", factored, inverted, solved)
