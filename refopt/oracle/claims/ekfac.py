"""EKFAC: the diagonal of a Fisher matrix in a Kronecker-factored basis."""

import numpy as np

from refopt import curvature
from refopt.curvature import eigenbasis, factored
from refopt.linalg import kron
from refopt.oracle.claim import claim
from refopt.oracle.claims.kfac_factors import SUMS, fisher, inputs
from refopt.oracle.draw import bulk, excess, size

EKFAC = "T. George et al., NeurIPS 2018, arXiv:1806.03884"


def moments(a, g, P, Q, c):
    """S_ij = c Σ (Qᵀ∇P)_ij², (out, in)."""
    return eigenbasis.moments(a, g, P, Q, c)


def corrected(a, g, c):
    """EKFAC (P, P)."""
    A, G = factored.input_factor(a, "expand"), factored.output_factor(g, c, "expand")
    (_, P), (_, Q) = curvature.Kron(A, G)._spectra
    return curvature.Corrected(A, G, S=eigenbasis.moments(a, g, P, Q, c)).dense()


def gradients(draw):
    N, R, S, width, out = (draw.size(1, high) for high in (3, 2, 2, 3, 2))
    a, g = inputs(draw, N, R, width), inputs(draw, S * N, R, out).reshape(S, N, R, out)
    return {"a": a, "g": g, "c": draw.number("1/10", 2)}


def in_any_basis(draw, moments):
    """P, Q orthogonal, and any other diagonal D."""
    made = gradients(draw)
    a, g, c = made["a"], made["g"], made["c"]
    width, out = a.shape[-1], g.shape[-1]
    P, Q = draw.orthogonal(width), draw.orthogonal(out)
    return made | {"V": kron(Q, P), "F": fisher(a, g, c), "S": moments(a, g, P, Q, c), "D": draw.matrix(out, width)}


@claim(
    "ekfac.nearest-diagonal",
    "S = E[(Qᵀ∇P)²] is the best diagonal in its basis: ‖F − VDVᵀ‖² = ‖F − VSVᵀ‖² + ‖D − S‖² for every other one",
    EKFAC,
    in_any_basis,
    given="V = Q ⊗ P orthogonal, diagonals by rows, Frobenius norms",
    uses=("ekfac.moments",),
    scale=lambda a, g, c, D: (
        m := float(c) * (bulk(a) * bulk(g)) ** 2, (m + bulk(D)) ** 2,
    ),
    because=SUMS,
)  # fmt: skip
def nearest_diagonal(F, V, S, D):
    square = lambda M: (M * M).sum()
    away, best = (F - (V * d.reshape(-1)) @ V.T for d in (D, S))
    return (V.T @ F @ V).diagonal() - S.reshape(-1), square(away) - square(best) - square(D - S)


def beside_kfac(draw, corrected):
    made = gradients(draw)
    a, g, c = made["a"], made["g"], made["c"]
    K = kron(factored.output_factor(g, c, "expand"), factored.input_factor(a, "expand"))
    return made | {"F": fisher(a, g, c), "K": K, "E": corrected(a, g, c)}


@claim(
    "ekfac.nearer",
    "EKFAC is never further from the Fisher matrix than K-FAC:   ‖F − EKFAC‖ ≤ ‖F − K-FAC‖, and its trace is tr F",
    EKFAC,
    beside_kfac,
    given="Frobenius norms, layer by layer",
    uses=("ekfac.corrected",),
    scale=lambda a, g, c: float(c) * (bulk(a) * bulk(g)) ** 2,
    because="eigenvectors are orthogonal to rounding",
    exact=False,
)
def nearer(F, K, E):
    return excess(size(F - E) - size(F - K)), np.trace(E) - np.trace(F)
