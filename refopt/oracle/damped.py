"""Factored damping of K-FAC, found in a dense matrix: α(G + √λ/π I) ⊗ (A + π√λ I) in the block of each layer.

Written out it is linear in four numbers, α(G ⊗ A) + αa(I ⊗ A) + αb(G ⊗ I) + αab(I ⊗ I), which are found by least
squares, on products with a few vectors first. That the last is the product of the others says that both are damped.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from refopt import curvature
from refopt.curvature import Kron
from refopt.oracle.candidates import Array, kroneckers
from refopt.oracle.layouts import Layout


class Damped(NamedTuple):
    """K-FAC whose factors are damped, layer by layer."""

    kind: str
    words: str
    layout: Layout
    alpha: float
    lam: list[float]  #: λ = ab of each block
    ratio: list[float]  #: √(b/a)/π of each block, 1 with π of the traces
    pi: list[float]
    residual: float

    @property
    def rule(self) -> str:
        """How π was chosen."""
        if np.allclose(self.ratio, 1.0, rtol=1e-4):
            return "π from the traces"
        return "π = 1" if np.allclose(np.multiply(self.ratio, self.pi), 1.0, rtol=1e-4) else "a π of its own"


def damped(theirs: Array, problem: Any, x: Array, orders: list[Layout], tolerance: float) -> Damped | None:
    """The factored damping that explains theirs, a matrix in any order."""
    probes = np.random.default_rng(0).choice([-1.0, 1.0], (len(theirs), 8))
    for kind, words, how in kroneckers(problem, x):
        if not kind.startswith("kfac"):
            continue
        F = curvature.kfac(problem, x, **how)
        parts = [part for part in _placed(F) if isinstance(part[1], Kron)]
        if not parts or sum(block.shape[0] for _, block in parts) != len(theirs):
            continue
        wide = [k for k, (_, block) in enumerate(parts) if min(block.A.shape[0], block.G.shape[0]) > 1]
        for layout in orders:
            back = np.argsort(layout.order)
            T = (theirs @ probes[layout.order])[back]
            fits = [_fitted(T, block, place, probes) for place, block in parts]
            residual = float(np.linalg.norm([fit[-1] for fit in fits]) / np.linalg.norm(T))
            found = [(parts[k][1], fits[k]) for k in wide]  # of a factor that is a number nothing can be told
            alphas = np.array([fit[0] for _, fit in found])
            alike = found and all(_is_damping(fit) for _, fit in found) and np.ptp(alphas) <= 1e-6 * alphas.max()
            if residual <= 10.0 * tolerance and alike:
                ratio = [(b / a) ** 0.5 / block.pi for block, (_, a, b, *_) in found]
                lam = [a * b for _, (_, a, b, *_) in found]
                return Damped(kind, words, layout, float(alphas[0]), lam, ratio, [b.pi for b, _ in found], residual)
    return None


def _placed(F: Any) -> Iterator[tuple[slice, Any]]:
    start = 0
    for block in F.blocks:
        yield slice(start, start + block.shape[0]), block
        start += block.shape[0]


def _fitted(T: Array, block: Any, place: slice, probes: Array) -> tuple[float, float, float, float, float]:
    """α, a, b, what would be ab, and what is left."""
    A, G, V = np.asarray(block.A, float), np.asarray(block.G, float), probes[place]
    I_a, I_g = np.eye(len(A)), np.eye(len(G))
    parts = [Kron(M, N, block.bias) @ V for M, N in ((A, G), (A, I_g), (I_a, G), (I_a, I_g))]
    basis = np.stack([np.asarray(part).reshape(-1) for part in parts], 1)
    coefficients, *_ = np.linalg.lstsq(basis, T[place].reshape(-1))
    rest = float(np.linalg.norm(T[place].reshape(-1) - basis @ coefficients))
    alpha, a, b, ab = map(float, coefficients)
    return (alpha, a / alpha, b / alpha, ab / alpha, rest) if alpha else (0.0, 0.0, 0.0, 0.0, rest)


def _is_damping(found: tuple[float, float, float, float, float]) -> bool:
    alpha, a, b, ab, _ = found
    return alpha > 0.0 and a > 0.0 and b > 0.0 and abs(ab - a * b) <= 1e-6 * a * b
