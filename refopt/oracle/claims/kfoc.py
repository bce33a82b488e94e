"""KFOC: the nearest Kronecker product, through Van Loan's rearrangement."""

import numpy as np

from refopt.curvature import nearest as kfoc
from refopt.linalg import kron
from refopt.oracle.claim import claim
from refopt.oracle.claims.ekfac import gradients
from refopt.oracle.claims.kfac_factors import SUMS, fisher
from refopt.oracle.draw import bulk, excess, least, size

VAN_LOAN = "C. F. Van Loan & N. Pitsianis, Approximation with Kronecker products (1993)"


def outward(a, g, c, A):
    """c Σ ∇A∇ᵀ."""
    return kfoc.Gradients(a, g, c).outward(A)


def inward(a, g, c, G):
    """c Σ ∇ᵀG∇."""
    return kfoc.Gradients(a, g, c).inward(G)


def nearest(a, g, c):
    """G ⊗ A (P, P), nearest to F."""
    return kfoc.nearest(a, g, c).dense()


def bounds(a, g, c):
    """Lower and upper bound on σ₁, ‖F − G ⊗ A‖ and what no Kronecker product gets below."""
    return kfoc.nearest(a, g, c).certificate[1:]


def rearranged(F, out, width):
    """R(F) (out², in²): the entry of W_oi and W_pj in row (o, p) and column (i, j)."""
    return F.reshape(out, width, out, width).transpose(0, 2, 1, 3).reshape(out * out, width * width)


def as_maps(draw, outward, inward):
    made = gradients(draw)
    a, g, c = made["a"], made["g"], made["c"]
    width, out = a.shape[-1], g.shape[-1]
    A, G = (M + M.T for M in (draw.matrix(width, width), draw.matrix(out, out)))
    arrays = {"A": A, "G": G, "F": fisher(a, g, c), "to": outward(a, g, c, A), "back": inward(a, g, c, G)}
    return made | arrays


def weight(a, g, c):
    return float(c) * (bulk(a) * bulk(g)) ** 2


@claim(
    "kfoc.rearrangement",
    "R keeps norms and turns G ⊗ A into vec(G)vec(A)ᵀ; R(F) maps A to c Σ ∇A∇ᵀ, and its transpose G to c Σ ∇ᵀG∇",
    VAN_LOAN,
    as_maps,
    uses=("kfoc.outward", "kfoc.inward"),
    scale=lambda a, g, c, A, G: (
        bulk(A) * bulk(G), (weight(a, g, c) + bulk(A) * bulk(G)) ** 2, weight(a, g, c) * bulk(A),
        weight(a, g, c) * bulk(G),
    ),
    because=SUMS,
)  # fmt: skip
def rearrangement(A, G, F, to, back):
    square = lambda M: (M * M).sum()
    out, width = len(G), len(A)
    K, R = rearranged(kron(G, A), out, width), rearranged(F, out, width)
    rank_one = G.reshape(-1, 1) * A.reshape(1, -1)
    return (
        K - rank_one, square(F - kron(G, A)) - square(R - rank_one), R @ A.reshape(-1) - to.reshape(-1),
        R.T @ G.reshape(-1) - back.reshape(-1),
    )  # fmt: skip


def found(draw, nearest):
    """And some other Kronecker product, of the right size."""
    made = gradients(draw)
    a, g, c = made["a"], made["g"], made["c"]
    width, out = a.shape[-1], g.shape[-1]
    K, F = nearest(a, g, c), fisher(a, g, c)
    near = rearranged(K, out, width)
    U, s, Vt = np.linalg.svd(near)
    A, G = (Vt[0] + 0.3 * draw.vector(width**2)).reshape(width, width), (U[:, 0] * s[0]).reshape(out, out)
    return made | {"F": F, "K": K, "other": kron(G, A), "s": np.linalg.svd(rearranged(F, out, width))[1]}


@claim(
    "kfoc.nearest",
    "‖F − KFOC‖² = σ₂² + σ₃² + …, the singular values of R(F) but the first: no Kronecker product is nearer",
    VAN_LOAN + "; C. Eckart & G. Young, Psychometrika 1 (1936) 211",
    found,
    uses=("kfoc.nearest",),
    scale=lambda a, g, c: (weight(a, g, c) ** 2, weight(a, g, c), weight(a, g, c)),
    because="singular vectors are to rounding what Lanczos leaves as a residual",
    exact=False,
)
def nearest_product(F, K, other, s):
    """It is positive semidefinite too, as F is."""
    gap = size(F - K)
    return gap**2 - (s[1:] ** 2).sum(), excess(gap - size(F - other)), excess(-least((K + K.T) / 2))


def bounded(draw, bounds):
    made = gradients(draw)
    a, g, c = made["a"], made["g"], made["c"]
    lower, upper, error, floor = bounds(a, g, c)
    R = rearranged(fisher(a, g, c), g.shape[-1], a.shape[-1])
    return made | {"lower": lower, "upper": upper, "error": error, "floor": floor, "s": np.linalg.svd(R)[1]}


@claim(
    "kfoc.certificate",
    "M X ⪯ μX with X ≻ 0 implies σ₁² ≤ μ, for M = R(F)ᵀR(F): so ‖F‖² − μ is below the squared distance of any G ⊗ A",
    "L. Collatz, Math. Z. 48 (1942) 221; H. Wielandt, Math. Z. 52 (1950) 642; for cones: Perron and Frobenius",
    bounded,
    uses=("kfoc.bounds",),
    scale=lambda a, g, c: (*(weight(a, g, c),) * 2, *(weight(a, g, c) ** 2,) * 2, 1e6 * weight(a, g, c)),
    because=SUMS + "; the bound is above σ₁ by the weight 1e-8, 1e8 eps or so, of what makes X definite",
    exact=False,
)
def certificate(lower, upper, error, floor, s):
    rest = (s[1:] ** 2).sum()
    return (
        excess(lower - s[0]), excess(s[0] - upper), error**2 - rest, excess(floor**2 - rest), upper - s[0],
    )  # fmt: skip
