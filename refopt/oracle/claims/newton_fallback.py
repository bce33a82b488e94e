"""Where Newton's matrix is indefinite: what a fixed shift does, and how large one must be."""

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import condition, excess, eye, least, size, with_spectrum


def shifted(draw, direction):
    """(H + λI)p = −g with λ = δ − λ₁, λ₁ < 0 the lowest eigenvalue."""
    Q, values, g = draw.orthogonal(n := draw.size(2)), draw.mixed(n), draw.vector(n)
    delta = draw.number(0.01, 1) * abs(values).max()
    B = with_spectrum(Q, values) + (delta - values.min()) * eye(Q)
    return {"B": B, "g": g, "p": direction(B, g)}


def little(draw, direction):
    """A shift of a tenth of −λ₁ at most, and a gradient along that eigenvector."""
    Q, values = draw.orthogonal(n := draw.size(2)), draw.mixed(n)
    k = int((values == values.min()).nonzero()[0][0])
    g = Q[:, k] * draw.magnitude(1)
    B = with_spectrum(Q, values) - draw.number(0.01, 0.1) * values[k] * eye(Q)
    return {"g": g, "p": direction(B, g)} if len(set(values)) == n else little(draw, direction)


def opposite(draw, direction):
    """H = diag(−μ, 1) and the shift μ."""
    mu = draw.number(0.001, 0.1)
    return {"B": draw.array([[1, 0], [0, 0]]) * (1 + mu) + draw.array([[0, 0], [0, 1]]) * (mu - mu)}


@claim(
    "newton.fixed-shift",
    "Where Cholesky fails on H, H + λI with a small fixed λ gives a descent direction",
    NW + "§3.4",
    shifted,
    "false",
    corrected="With λ = δ − λ₁(H), δ > 0, it does: H + λI ⪰ δI; a smaller λ climbs along the lowest eigenvector, or "
    "makes H + λI singular",
    uses=("newton.direction",),
    scale=lambda B, g, p: (condition(B) * size(g) * size(p), 1),
    because="the solve loses eps κ of its step",
    fails=(
        Fails("as stated, g along that eigenvector", little, lambda g, p: excess(g @ p) / (size(g) * size(p))),
        Fails("as stated, λ = −λ₁: singular", opposite, lambda B: int(least(B) == 0)),
    ),
)
def fixed_shift(B, g, p):
    return excess(g @ p), int(not least(B) > 0)
