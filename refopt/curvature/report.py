"""How far from the Fisher matrix K-FAC, KFOC, EKFAC and block-tridiagonal K-FAC are, layer by layer.

Two measures, relative to F, in Frobenius norm:

    block     ‖Fᵢᵢ − Kᵢᵢ‖ / ‖Fᵢᵢ‖      of each layer's own block: KFOC and EKFAC are never further than K-FAC
    row       ‖Fᵢ − Kᵢ‖ / ‖Fᵢ‖         of all that F has between a layer and the whole network

The block-tridiagonal matrix has K-FAC's own blocks, and differs from it in the row. It is made to approximate F⁻¹, so
the report has that too, damped:   ‖(F + λI)⁻¹ − (K + λI)⁻¹‖ / ‖(F + λI)⁻¹‖.

Cost: that of F and its inverse, P³ flops and P² numbers.
"""

from typing import Any, NamedTuple

import numpy as np

from refopt.curvature.chained import chained
from refopt.curvature.eigenbasis import corrected
from refopt.curvature.factored import factored
from refopt.curvature.layerwise import Layers, layers
from refopt.curvature.nearest import closest
from refopt.ops import Matrix, device, frobenius, namespace

KINDS = ("K-FAC", "KFOC", "EKFAC", "tridiagonal")


class Row(NamedTuple):
    """One layer; errors by kind, in the order of ``KINDS``."""

    layer: str
    place: np.ndarray  #: of its parameters, in flat order
    norm: float  #: ‖Fᵢᵢ‖
    block: tuple[float, float, float, float]
    row: tuple[float, float, float, float]


class Report(NamedTuple):
    """Rows, one for each layer, and the whole matrix and its damped inverse."""

    rows: tuple[Row, ...]
    whole: tuple[float, float, float, float]
    inverse: tuple[float, float, float, float]
    damping: float

    def __str__(self) -> str:
        lines = [["", "", "own block", "", "", "", "whole row", "", "", ""], ["layer", "norm", *KINDS, *KINDS]]
        lines += [[row.layer, f"{row.norm:.3g}", *map(_percent, (*row.block, *row.row))] for row in self.rows]
        lines.append(["F", "", *[""] * 4, *map(_percent, self.whole)])
        lines.append([f"inverse, damped by {self.damping:g} tr F/P", "", *[""] * 4, *map(_percent, self.inverse)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def kfac_report(
    problem: Any, x: Any, *, fisher: str = "exact", sharing: str = "expand", bias: str = "joint", labels: Any = None,
    samples: int = 1, rng: Any = None, damping: float = 1e-2,
) -> Report:  # fmt: skip
    """Errors of all four approximations of a ``Supervised`` problem at x (P,); arguments are those of ``kfac``.

    damping: λ > 0 of the inverse, in units of tr F / P.   `str(report)` is a table.
    """
    if fisher == "forward-only":
        raise ValueError("there is no Fisher matrix to compare with where fisher='forward-only'")
    if not damping > 0.0:
        raise ValueError(f"the inverse needs damping > 0; it is {damping!r}")
    found = layers(problem, x, fisher=fisher, sharing=sharing, bias=bias, labels=labels, samples=samples, rng=rng)
    near = closest([found], problem.samples)
    F, matrices = _fisher(found), [K.dense() for K in (factored(found), near, corrected(found), chained(found))]
    xp, rows = namespace(F), list[Row]()
    if not float(xp.linalg.trace(F)) > 0.0:
        raise ValueError("the Fisher matrix at x is zero: there is nothing to compare with")
    for name, place in _places(found):
        index = xp.asarray(place, device=device(F))
        strips = [xp.take(M, index, axis=0) for M in (F, *matrices)]
        blocks = [xp.take(strip, index, axis=1) for strip in strips]
        errors = (_distances(group[0], group[1:]) for group in (blocks, strips))
        rows.append(Row(name, place, frobenius(blocks[0]), *errors))
    lam = damping * float(xp.linalg.trace(F)) / F.shape[0]
    inverses = [_inverse(K, lam) for K in (F, *matrices)]
    return Report(tuple(rows), _distances(F, matrices), _distances(inverses[0], inverses[1:]), damping)


def _fisher(layers: Layers) -> Matrix:
    D = layers.gradients()
    D = namespace(D).reshape(D, (-1, D.shape[-1]))
    return layers.c * (D.T @ D)


def _places(layers: Layers) -> list[tuple[str, np.ndarray]]:
    """The parameters of each part, and of those of no linear layer, with a name."""
    named = [(part.name, part.places) for part in layers.parts]
    named += [("no linear layer", (place,)) for place, _ in layers.others]
    found = [(name, np.concatenate([np.arange(p.start, p.stop) for p in places])) for name, places in named]
    return sorted(found, key=lambda pair: pair[1][0])


def _distances(F: Matrix, others: list[Matrix]) -> Any:
    norm = frobenius(F)
    return tuple(frobenius(F - K) / norm if norm > 0.0 else 0.0 for K in others)


def _inverse(K: Matrix, lam: float) -> Matrix:
    xp = namespace(K)
    return xp.linalg.inv(K + lam * xp.eye(K.shape[0], dtype=K.dtype, device=device(K)))


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
