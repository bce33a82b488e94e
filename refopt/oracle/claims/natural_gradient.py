"""The natural gradient: what it is steepest for, and on what it does not depend."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import condition, excess, size

AMARI = "S. Amari, Neural Computation 10 (1998) 251"
MARTENS = "J. Martens, J. Mach. Learn. Res. 21 (2020) 146, §12"
USES = ("natural-gradient.direction",)
SOLVED = "the solve loses eps κ of its step"


def stepped(draw, direction):
    F, g, d = draw.spd(n := draw.size(), 1e4), draw.vector(n), draw.vector(n)
    p, _ = direction(F, g, 0.0)
    return {"F": F, "g": g, "d": d, "p": p}


@claim(
    "natural-gradient.steepest",
    "−F⁻¹g descends most steeply of all directions of one length in the metric of F:   (gᵀd)² ≤ −gᵀp · dᵀFd",
    AMARI + ", Theorem 1",
    stepped,
    given="F ≻ 0",
    uses=USES,
    scale=lambda F, g, d, p: (
        condition(F) * size(g) * size(p) * size(F) * size(d) ** 2,
        condition(F) * size(g) * size(p),
        size(F) * size(p) + size(g),
    ),
    because=SOLVED,
    exact=False,
)
def steepest(F, g, d, p):
    return excess((g @ d) ** 2 + (g @ p) * (d @ F @ d)), g @ p + p @ F @ p, F @ p + g


@claim(
    "natural-gradient.sign",
    "θ + ηF⁻¹∇f(θ) is a step downhill",
    AMARI,
    stepped,
    "false",
    corrected="θ − ηF⁻¹∇f(θ) is:   −gᵀF⁻¹g < 0",
    uses=USES,
    scale=lambda F, g, p: condition(F) * size(g) * size(p),
    because=SOLVED,
    exact=False,
    fails=(Fails("as stated", stepped, lambda g, p: excess(-g @ p) / (size(g) * size(p))),),
)
def sign(g, p):
    return excess(g @ p)


def reparametrised(draw, direction, damping=0.0):
    F, g = draw.spd(n := draw.size(), 1e2), draw.vector(n)
    M = draw.full_rank(n, n, 1e2)
    lam = damping * size(F)
    return {"F": F, "M": M, "p": direction(F, g, lam)[0], "q": direction(M.T @ F @ M, M.T @ g, lam)[0]}


def damped(draw, direction):
    """F = I and M = 10 I: the damping of half of F is one of 1/200 there."""
    F, g = np.eye(n := draw.size()), draw.vector(n)
    return {"M": 10 * F, "p": direction(F, g, 0.5)[0], "q": direction(100 * F, 10 * g, 0.5)[0]}


@claim(
    "natural-gradient.affine-invariance",
    "With θ = Mφ + c, F becomes MᵀFM and g becomes Mᵀg, and the steps belong together:   p = M p̃",
    AMARI + "; " + MARTENS,
    reparametrised,
    "conditional",
    given="M invertible, no damping",
    uses=USES,
    scale=lambda F, M, p, q: condition(M.T @ F @ M) * size(M) * size(q) + condition(F) * size(p),
    because=SOLVED,
    exact=False,
    fails=(Fails("λ = ½ in both", damped, lambda M, p, q: (M @ q - p) / abs(p).max()),),
)
def affine_invariance(M, p, q):
    return M @ q - p


def curved(draw, direction):
    """θ = e^φ in one variable: F̃ = θ²F, g̃ = θg. Steps of η in either, seen in θ."""
    theta, eta = draw.number(0.5, 2), draw.number(0.05, 0.2)
    F, g = draw.array([[draw.number(0.5, 2)]]), draw.array([draw.number(0.2, 1)])
    p, q = direction(F, g, 0.0)[0], direction(theta**2 * F, theta * g, 0.0)[0]
    t = eta * p[0] / theta
    return {"theta": theta, "t": t, "there": theta + eta * p[0], "back": theta * np.exp(eta * q[0])}


@claim(
    "natural-gradient.parametrisation",
    "The step does not depend on how the model is parametrised",
    MARTENS,
    curved,
    "imprecise",
    corrected="To first order in η: with θ = e^φ the points differ by θ(eᵗ − 1 − t) ≤ θt², t = ηp/θ, |t| ≤ 1",
    uses=USES,
    scale=lambda theta: float(theta),
    because="numbers of order 1",
    exact=False,
    fails=(Fails("as stated, θ = e^φ", curved, lambda theta, t, there, back: (back - there) / (theta * t * t)),),
)
def parametrisation(theta, t, there, back):
    return back - there - theta * (np.exp(t) - 1 - t), excess(abs(back - there) - theta * t * t)
