"""The cross-entropy of a softmax, ℓ(z) = log Σₖ exp zₖ − z_y: its Hessian, and Gauss-Newton matrices made of it."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import excess, least, size

MARTENS = "J. Martens, JMLR 21 (2020), §9"
SCHRAUDOLPH = "N. N. Schraudolph, Neural Computation 14 (2002) 1723; "
SUMS = "sums of a few products of this size"


def hessian(p):
    """∇²ℓ = diag(p) − ppᵀ,   p = softmax(z)."""
    return np.diag(p) - p[:, None] * p


def odds(draw, C):
    """exp z of C classes, positive."""
    return abs(draw.vector(C)) + draw.number(0, 1)


def bend(odds, u):
    """d²/dt² ℓ(z + tu) at t = 0, read off the power series of the logarithm of Σ exp(zₖ)(1 + tuₖ + ½t²uₖ²)."""
    s0, s1, s2 = odds.sum(), odds @ u, odds @ (u * u) / 2
    return 2 * (s2 / s0 - (s1 / s0) ** 2 / 2)


# --- one sample --------------------------------------------------------------------------------------------------


def one_sample(draw, hessian):
    e = odds(draw, C := draw.size(2))
    return {"odds": e, "H": hessian(e / e.sum()), "u": draw.vector(C)}


def of_logits(draw, hessian):
    C = draw.size(2)
    z = draw.array(np.arange(C)) + draw.number(1, 3)
    return {"z": z, "H": np.diag(z) - z[:, None] * z, "u": draw.vector(C)}


@claim(
    "cross-entropy.logit-hessian",
    "The Hessian of the cross-entropy is diag(z) − zzᵀ with the logits z",
    SCHRAUDOLPH + MARTENS,
    one_sample,
    "false",
    corrected="It is diag(p) − ppᵀ with the probabilities p = softmax(z): semidefinite, with (1, …, 1) as null vector",
    uses=("cross-entropy.hessian",),
    scale=lambda u: (size(u) ** 2, 1, 1),
    because=SUMS + "; the lowest eigenvalue of a matrix of norm 1 is known to n eps",
    fails=(Fails("as stated: indefinite", of_logits, lambda H: int(least(H) < 0)),),
)
def logit_hessian(odds, H, u):
    return bend(odds, u) - u @ H @ u, excess(-least(H)), H.sum(axis=1)


def far_apart(draw):
    z = np.array([0.0, -draw.number(800, 2000)])
    with np.errstate(divide="ignore"):
        logarithm = np.log(np.exp(z) / np.exp(z).sum())
    return {"z": z, "literal": np.maximum(logarithm, -1e300), "stable": z - z.max() - np.log(np.exp(z - z.max()).sum())}


@claim(
    "cross-entropy.log-softmax",
    "log p can be computed as the logarithm of the softmax",
    "P. Blanchard, D. J. Higham & N. J. Higham, IMA J. Numer. Anal. 41 (2021) 2311",
    far_apart,
    "false",
    corrected="p underflows to 0; zₖ − max z − log Σ exp(zⱼ − max z) does not: log p = −800 where z = (0, −800)",
    scale=lambda z: size(z),
    because="a difference of numbers of this size, and log(1 + 0)",
    exact=False,
    fails=(Fails("as stated, logits 800 apart", far_apart, lambda z, literal: (literal - z) / size(z)),),
)
def log_softmax(z, stable):
    return stable - z


# --- a batch -----------------------------------------------------------------------------------------------------


def batch(draw, hessian, together=False):
    """b samples: the Hessian of the sum of their losses in all bC logits; `together`, as if they were one."""
    b, C = 2 if draw.exact else draw.size(2, 4), 2 if draw.exact else draw.size(2, 4)
    e = np.array([odds(draw, C) for _ in range(b)])
    p, H = e / e.sum(axis=1)[:, None], draw.array(np.zeros((b * C, b * C), dtype=int))
    for i in range(b):
        H[i * C : i * C + C, i * C : i * C + C] = hessian(p[i])
    flat = p.reshape(-1)
    return {"odds": e, "H": np.diag(flat) - flat[:, None] * flat if together else H, "u": draw.vector(b * C)}


@claim(
    "cross-entropy.batch",
    "For a batch the Hessian in all its logits is diag(p) − ppᵀ, p holding the probabilities of all samples",
    SCHRAUDOLPH + MARTENS,
    batch,
    "false",
    corrected="It is block-diagonal, a block for each sample; one p would sum to b: 1ᵀH1 = b − b² < 0",
    uses=("cross-entropy.hessian",),
    scale=lambda u: size(u) ** 2,
    because=SUMS,
    fails=(
        Fails(
            "as stated: indefinite",
            lambda draw, hessian: batch(draw, hessian, together=True),
            lambda H: excess(-H.sum()),
        ),
    ),
)
def batch_hessian(odds, H, u):
    rows = u.reshape(odds.shape)
    return sum(bend(e, row) for e, row in zip(odds, rows, strict=True)) - u @ H @ u


def generic(draw, hessian):
    """G = JᵀHJ of a batch with a J of full rank, as many parameters as outputs."""
    made = batch(draw, hessian)
    J = draw.full_rank(n := made["odds"].size, n, 10)
    return {"shape": made["odds"].shape, "J": J, "G": J.T @ made["H"] @ J}


def rank(G):
    """Of G ⪰ 0."""
    values = rank_values(G)
    return sum(int(value > 1e-10 * float(max(values))) for value in values)


def rank_values(G):
    """Its eigenvalues; over rational numbers its pivots, of which as many are zero."""
    if G.dtype != object:
        return np.linalg.eigvalsh((G + G.T) / 2)
    found, A = [], G
    while A.size:
        pivot = A[0, 0]
        found.append(pivot)
        A = A[1:, 1:] - (A[1:, :1] * A[:1, 1:] / pivot if pivot != 0 else 0)
    return found


@claim(
    "cross-entropy.rank",
    "The Gauss-Newton matrix of a batch of b samples has rank b at most",
    SCHRAUDOLPH + MARTENS,
    generic,
    "false",
    corrected="The rank is b(C − 1) for C classes where the rows of J are independent, 1 being the null vector of each "
    "block, and else no more than that",
    uses=("cross-entropy.hessian",),
    scale=lambda: 1,
    because="a rank is a whole number; eigenvalues beyond it are 1e-6 of the largest or so, or 0",
    fails=(
        Fails(
            "as stated, three classes",
            lambda draw, hessian: three_classes(draw, hessian),
            lambda G, shape: rank(G) / shape[0] - 1,
        ),
    ),
)
def is_rank(G, shape):
    b, C = shape
    return rank(G) - b * (C - 1)


def three_classes(draw, hessian):
    blocks = [hessian((e := odds(draw, 3)) / e.sum()) for _ in range(2)]
    zero = 0 * blocks[0]
    H = np.block([[blocks[0], zero], [zero, blocks[1]]])
    J = draw.full_rank(6, 6, 10)
    return {"shape": (2, 3), "G": J.T @ H @ J}


def squares(draw):
    """Of a batch of b samples with C outputs and half the square as loss: G = JᵀJ."""
    b, C = 2, draw.size(1, 3)
    J = draw.full_rank(b * C + 1, b * C, 10).T
    return {"outputs": b * C, "G": J.T @ J}


@claim(
    "cross-entropy.rank-of-squares",
    "With half the square of C outputs as the loss, the rank is bC",
    SCHRAUDOLPH + MARTENS,
    squares,
    given="J has full rank and as many columns or more",
    scale=lambda: 1,
    because="a rank is a whole number; eigenvalues beyond it are 1e-2 of the largest, or 0",
)
def rank_of_squares(G, outputs):
    return rank(G) - outputs


def window(draw, hessian):
    """The mean of the matrices of k samples of three classes in n parameters, n > 2k."""
    k, blocks = draw.size(1, 3), []
    n = 2 * k + 1
    for _ in range(k):
        e, J = odds(draw, 3), draw.matrix(3, n)
        blocks.append(J.T @ hessian(e / e.sum()) @ J / k)
    return {"k": k, "n": n, "G": sum(blocks), "first": blocks[0]}


@claim(
    "cross-entropy.window",
    "A mean of Gauss-Newton matrices over batches has full rank",
    SCHRAUDOLPH + MARTENS,
    window,
    "false",
    corrected="The rank grows by b(C − 1) at most with each batch: over a window of k batches it is kb(C − 1) at most",
    uses=("cross-entropy.hessian",),
    scale=lambda: 1,
    because="a rank is a whole number; eigenvalues beyond it are 0",
    fails=(Fails("as stated, more parameters than that", window, lambda G, n: rank(G) / n - 1),),
)
def is_window(k, G, first):
    return excess(rank(G) - 2 * k), excess(rank(first) - 2)
