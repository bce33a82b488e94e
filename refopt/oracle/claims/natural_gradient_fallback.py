"""What may stand in for F⁻¹g where F is singular."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import bulk, condition, size

AMARI = "S. Amari, Neural Computation 10 (1998) 251"


def in_other_units(draw, direction):
    """A singular F with a positive diagonal, and the same in the units θ = Tφ, T = diag(t)."""
    n = draw.size(2)
    J, g, lam = draw.matrix(n - 1, n), draw.vector(n), draw.number(0.1, 1)
    J = J + draw.array(np.ones((n - 1, n), dtype=int)) * 10  # no column of zeros
    t = draw.array([2] * n) ** draw.rng.integers(1, 5, n)
    F = J.T @ J
    steps = [direction(K + lam * np.diag(K.diagonal()), h) for K, h in ((F, g), (t[:, None] * F * t, t * g))]
    return {"F": F, "lam": lam, "g": g, "t": t, "p": steps[0], "q": steps[1]}


@claim(
    "natural-gradient.fallback",
    "Where F is singular, −g can take the place of −F⁻¹g",
    AMARI,
    in_other_units,
    "false",
    corrected="That step has other units: with θ = Tφ it would be −T²g. −(F + λ diag F)⁻¹g keeps them: p = T p̃",
    uses=("newton.direction",),
    scale=lambda F, lam, t, p: condition(F + lam * np.diag(F.diagonal())) * size(p) * float(max(t)) ** 2,
    because="both solves lose eps κ(F + λ diag F), in units that differ by max tᵢ",
    fails=(Fails("as stated, T = diag(t)", in_other_units, lambda g, t: (t * t * g - g) / bulk(t * t * g)),),
)
def fallback(t, p, q):
    return t * q - p
