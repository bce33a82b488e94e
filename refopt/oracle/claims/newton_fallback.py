"""Solving for Newton's step: what a fixed shift does where H is indefinite, and why H⁻¹ is not formed."""

import numpy as np

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


def ill_conditioned(draw, direction):
    """κ(H) = 1e13, and a step p of the size of 1."""
    H = with_spectrum(draw.orthogonal(n := draw.size(2)), np.logspace(-13, 0, n))
    g = -H @ draw.vector(n)
    return {"H": H, "g": g, "p": direction(H, g)}


def hilbert(draw, direction):
    """Hilbert's matrix of order 10, κ = 1.6e13, and p near (1, …, 1)."""
    i = np.arange(1.0, 11.0)
    H = 1 / (i[:, None] + i - 1)
    g = -H @ (1 + 0.1 * draw.matrix(10, 1)[:, 0])
    return {"H": H, "g": g, "p": -np.linalg.inv(H) @ g}


def residual(H, g, p):
    return (H @ p + g) / (size(H) * size(p) + size(g))


@claim(
    "newton.inverse",
    "−H⁻¹g by the inverse of H is as good as by solving Hp = −g",
    "N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., §14.1",
    ill_conditioned,
    "false",
    corrected="Solving leaves a residual of n eps ‖H‖‖p‖ whatever κ(H); the inverse leaves eps κ(H), and costs three "
    "times as much or more",
    uses=("newton.direction",),
    scale=lambda: 1,
    because="a stable solve leaves a residual of n eps ‖H‖‖p‖, whatever the condition of H",
    exact=False,
    fails=(Fails("as stated, Hilbert's matrix of order 10", hilbert, residual),),
)
def inverse(H, g, p):
    return residual(H, g, p)
