"""Shampoo's preconditioner of a matrix of weights, as facts about matrices.

L ≻ 0 (m, m) and R ≻ 0 (n, n) precondition the gradient G (m, n). Over rational numbers L = P⁴ and R = Q⁴, P, Q ≻ 0.
"""

import numpy as np

from refopt.linalg import kron, vec
from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import bulk, condition, excess, eye, inverse, least, size
from refopt.stochastic.shampoo import preconditioned

GUPTA = "V. Gupta, T. Koren & Y. Singer, ICML 2018, arXiv:1802.09568, "
SOLVED = "each of the two inverses of a root loses eps κ"


def both_sides(L_root, G, R_root):
    """L_root⁻¹ G R_root⁻¹, by the library's function of the inverse roots."""
    return preconditioned(G, (inverse(L_root), inverse(R_root)))


def layer(draw, step):
    P, Q = draw.spd(draw.size(2, 3), 10), draw.spd(draw.size(2, 3), 10)
    G = draw.matrix(len(P), len(Q))
    return {"P": P, "Q": Q, "G": G, "D": step(P, G, Q)} if G.any() else layer(draw, step)


def loss_of(P, Q, G):
    return condition(P) * condition(Q) * size(inverse(P)) * size(inverse(Q)) * size(G)


@claim(
    "shampoo.vec",
    "L^{−¼}GR^{−¼} is (R ⊗ L)^{−¼} times the gradient: vec(G) = (R ⊗ L)^{¼} vec(L^{−¼}GR^{−¼}), and (Q ⊗ P)⁴ = R ⊗ L",
    GUPTA + "§3",
    layer,
    given="columns are stacked; L = P⁴, R = Q⁴",
    uses=("shampoo.both_sides",),
    scale=lambda P, Q, G: (size(P) * size(Q) * loss_of(P, Q, G), (size(P) * size(Q)) ** 4),
    because=SOLVED,
)
def of_vec(P, Q, G, D):
    K, power = kron(Q, P), np.linalg.matrix_power
    return K @ vec(D) - vec(G), K @ K @ K @ K - kron(power(Q, 4), power(P, 4))


def scaled(draw, step):
    """The same with G → cG, c = d²: L → c²L, R → c²R, so that L^¼ → dL^¼; and both sides with the exponent −½."""
    made, d = layer(draw, step), draw.number(2, 9)
    P, Q, G = made["P"], made["Q"], made["G"]
    half = [step(f**2 * P @ P, f**2 * G, f**2 * Q @ Q) for f in (1, d)]
    return made | {"D_scaled": step(d * P, d**2 * G, d * Q), "half": half[0], "half_scaled": half[1]}


@claim(
    "shampoo.exponent",
    "The step is L^{−½}GR^{−½}",
    GUPTA + "§3, Algorithm 1",
    scaled,
    "false",
    corrected="L^{−¼}GR^{−¼}, −1/(2k) for tensors of order k: f → cf changes no step; with −½ it is c times shorter",
    uses=("shampoo.both_sides",),
    scale=lambda P, Q, G: (loss_of(P, Q, G), size(P) * size(Q) * loss_of(P, Q, G)),
    because=SOLVED,
    fails=(Fails("as stated", scaled, lambda half, half_scaled: (half_scaled - half) / bulk(half)),),
)
def exponent(P, Q, G, D, D_scaled):
    return D_scaled - D, P @ D @ Q - G


@claim(
    "shampoo.sign",
    "W + ηL^{−¼}GR^{−¼} is a step downhill",
    GUPTA + "§3, Algorithm 1",
    layer,
    "false",
    corrected="W − ηL^{−¼}GR^{−¼} is:   −tr GᵀL^{−¼}GR^{−¼} < 0",
    uses=("shampoo.both_sides",),
    scale=lambda P, Q, G: size(G) * loss_of(P, Q, G),
    because=SOLVED,
    fails=(Fails("as stated", layer, lambda G, D: excess((G * D).sum()) / (bulk(G) * bulk(D))),),
)
def sign(G, D):
    return excess(-(G * D).sum()), int(not (G * D).sum() > 0)


def gathered(draw):
    """L = εI + ΣGGᵀ and R = εI + ΣGᵀG of several gradients."""
    m, n = draw.size(2, 3), draw.size(2, 3)
    gradients, eps = [draw.matrix(m, n) for _ in range(3)], draw.number(0.1, 1)
    L, R = (sum(G @ G.T for G in gradients), sum(G.T @ G for G in gradients))
    return {"L": L + eps * eye(L), "R": R + eps * eye(R), "eps": eps, "gradients": np.array(gradients)}


@claim(
    "shampoo.full-rank",
    "R ⊗ L is a low-rank matrix",
    GUPTA + "§2 and §3",
    gathered,
    "false",
    corrected="It is a Kronecker product, of rank mn: R ⊗ L ⪰ ε² I ≻ 0; what is small is the number of its parameters",
    scale=lambda L, R: size(L) * size(R),
    because="eigenvalues are known to n eps of the largest",
    fails=(Fails("as stated", gathered, lambda L, R: int(least(kron(R, L)) > 0)),),
)
def full_rank(L, R, eps):
    K = kron(R, L)
    return excess(-least(K - eps**2 * eye(K)))


def root(A):
    values, Q = np.linalg.eigh(A)
    return (Q * values**0.5) @ Q.T


def multiple_of_identity(draw):
    """vec(G)ᵀ(εI + vec(G)vec(G)ᵀ − R^½ ⊗ L^½)vec(G)/‖G‖² for one G = cI."""
    G, eps = np.eye(draw.size(2, 3)) * draw.number(1, 9), draw.number(0.1, 1)
    L = G @ G.T + eps * eye(G)
    g = vec(G) / size(G)
    return {"L": L, "R": L, "gap": eps + size(G) ** 2 - g @ kron(root(L), root(L)) @ g}


@claim(
    "shampoo.bound",
    "εI + (1/r)Σ vec(G)vec(G)ᵀ ⪯ R^½ ⊗ L^½,   L = εI + ΣGGᵀ, R = εI + ΣGᵀG",
    GUPTA + "Lemma 8",
    gathered,
    "conditional",
    given="the gradients have rank r at most",
    scale=lambda L, R: size(L) ** 0.5 * size(R) ** 0.5 * condition(L) ** 0.5 * condition(R) ** 0.5,
    because="roots are known to eps κ^½, eigenvalues to n eps of the largest",
    exact=False,
    fails=(
        Fails("r = 1 and G = cI", multiple_of_identity, lambda L, R, gap: excess(gap) / (size(L) * size(R)) ** 0.5),
    ),
)
def bound(L, R, eps, gradients):
    rank = min(gradients[0].shape)
    full = sum(vec(G)[:, None] * vec(G) for G in gradients) / rank
    return excess(-least(kron(root(R), root(L)) - full - eps * np.eye(full.shape[0])))


def first(draw, step):
    """L₁ = (1 − β)L and R₁ = (1 − β)R with 1 − β = d⁻⁴, from running means that begin at 0."""
    made, d = layer(draw, step), draw.number(2, 6)
    P, Q, G = made["P"], made["Q"], made["G"]
    return made | {"d": d, "raw": step(P / d, G, Q / d)}


@claim(
    "shampoo.bias-correction",
    "Running means of GGᵀ and GᵀG can be used as they are",
    "R. Anil et al., Scalable second order optimization for deep learning, arXiv:2002.09018",
    first,
    "false",
    corrected="They begin at 0: not divided by 1 − βᵗ, the first step is (1 − β)^{−½} times too long, 32 for β = 0.999",
    uses=("shampoo.both_sides",),
    scale=lambda P, Q, G, d: (float(d) ** 2 * loss_of(P, Q, G), size(P) * size(Q) * loss_of(P, Q, G)),
    because=SOLVED,
    fails=(Fails("as stated, the first step", first, lambda D, raw: (raw - D) / bulk(D)),),
)
def bias_correction(P, Q, G, D, raw, d):
    return raw - d**2 * D, P @ D @ Q - G
