"""What stochastic methods estimate: Adam's squares and the Fisher matrix, probes of a diagonal, batches' curvature."""

from itertools import product

import numpy as np

from refopt.networks import Linear
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.woodbury import outputs, push_through_scale
from refopt.oracle.draw import eye, size, solve
from refopt.sampled import Draw
from refopt.stochastic import adam_true_fisher, adam_true_fisher_batch, gauss_newton
from refopt.supervised import Supervised

KUNSTNER = "F. Kunstner, L. Balles & P. Hennig, NeurIPS 2019, arXiv:1905.12558"
KINGMA = "D. P. Kingma & J. Ba, arXiv:1412.6980, §2"
YAO = "Z. Yao et al., AdaHessian, arXiv:2006.00719, §3"
KORBIT = "M. Korbit et al., arXiv:2405.14402"
FEW = "a few roundings of numbers of this size"


# --- Adam's squares and the Fisher matrix ----------------------------------------------------------------------------


def enumerated(draw):
    """v̂ of Adam with sampled labels after one step, as means over all labels, and the Fisher's diagonal."""
    B, net = 2, Linear(2, 3)
    problem = Supervised(net, "cross-entropy", draw.matrix(B, 2), np.zeros(B, int))
    x = draw.matrix(net.size, 1)[:, 0]
    p = np.exp(problem.outputs(x))
    p /= p.sum(axis=1, keepdims=True)
    found = {}
    for name, method in (("sample", adam_true_fisher), ("batch", adam_true_fisher_batch)):
        params, mean = method.Params(), 0
        for y in product(range(3), repeat=B):
            new = method.step(problem, method.init(problem, x, params), params, Draw(labels=np.array(y)))
            mean = mean + p[range(B), y].prod() * new.v / (1 - params.beta2)
        found[name] = mean
    scores = np.array([problem.per_sample_grad(x, np.full(B, k)) for k in range(3)])
    return found | {"B": B, "F": (p.T[:, :, None] * scores**2).sum(axis=(0, 1)) / B}


@claim(
    "adam-fisher.batch",
    "With labels sampled from the model, Adam's v̂ of the batch's gradient has the Fisher's diagonal for its mean",
    KUNSTNER,
    enumerated,
    "false",
    corrected="It has that over B, for a mean over B samples; squares of every sample's gradient have the diagonal",
    scale=lambda F: size(F),
    because=FEW + ", over 1 − β₂ = 0.001",
    exact=False,
    fails=(Fails("as stated, B = 2", enumerated, lambda F, batch: (batch - F) / F.max()),),
)
def adam_fisher_batch(F, B, sample, batch):
    return B * batch - F, sample - F


def two_changes(draw):
    """Steps η/(√v + ε), and with η ten times smaller and ε raised from 1e-6 to 1e-2, √v from 1e-5 to 1e-2."""
    eta, root = draw.magnitude(2), draw.number(0.01, 1) / draw.array([1, 10, 100])[int(draw.rng.integers(3))]
    small, large = draw.array(["1/1000000", "1/100"])
    return {"first": eta / (root + small), "second": eta / 10 / (root + large), "root": root}


@claim(
    "adam-fisher.eps",
    "With η ten times smaller, and ε raised from 1e-6 to 1e-2 with it, a step is ten times shorter",
    KINGMA,
    two_changes,
    "false",
    corrected="It is shorter by 10 (√v + 1e-2)/(√v + 1e-6), hundreds of times where √v ≪ 1e-2: two changes, not one",
    scale=lambda first: float(first),
    because=FEW,
    fails=(Fails("as stated", two_changes, lambda first, second: 10 * second / first - 1),),
)
def two_at_once(first, second, root):
    return 10 * second * (100 * root + 1) / (100 * root + root**0 / 10000) - first


# --- probes ----------------------------------------------------------------------------------------------------------


def symmetric(draw):
    M = draw.matrix(n := draw.size(2, 3), n)
    return M + M.T + eye(M)


def combined(draw, probed, positive=False):
    """Probes that are the sign of a sum of two random signs, +1 where that is 0; and random signs themselves."""
    H = symmetric(draw)
    H = 1 + abs(H) if positive else H
    signs = [draw.array(list(z)) for z in product((-1, 1), repeat=len(H))]
    merged = np.array([np.where(a + b < 0, -abs(a), abs(a)) for a in signs for b in signs])
    plain = np.array(signs)
    return {"H": H, "plain": probed(plain, plain @ H), "merged": probed(merged, merged @ H)}


def filled(draw, probed):
    return combined(draw, probed, True)


@claim(
    "probes.merged",
    "Signs of sums of random signs, +1 where a sum is 0, are random signs: their mean of z ∘ Hz is diag H",
    YAO,
    combined,
    "false",
    corrected="It is for signs with E[zzᵀ] = I; for these E[zᵢzⱼ] = ¼, and a quarter of the rest of each row is added",
    uses=("adahessian.probed",),
    scale=lambda H: size(H),
    because=FEW,
    fails=(Fails("as stated, H with positive entries", filled, lambda H, merged: (merged - H.diagonal()) / H.max()),),
)
def merged_probes(H, plain, merged):
    d = H.diagonal()
    return plain - d, 4 * (merged - d) - (H.sum(axis=1) - d)


# --- Gauss-Newton on batches -----------------------------------------------------------------------------------------


def window(draw):
    """Two batches of one sample each; the gradient is of the first."""
    first, second = outputs(draw), outputs(draw)
    n = min(first["J"].shape[1], second["J"].shape[1])
    J, K = first["J"][:, :n], second["J"][:, :n]
    Hs, g = (first["H"][None, ...], second["H"][None, ...]), J.T @ first["r"]
    d, _ = gauss_newton.direction((J, K), Hs, g, first["r"], first["lam"])
    free, _ = gauss_newton.direction((J, K), Hs, g, None, first["lam"])
    return {
        "J": J,
        "K": K,
        "H": first["H"],
        "M": second["H"],
        "r": first["r"],
        "lam": first["lam"],
        "d": d,
        "free": free,
    }


def window_scale(J, K, H, M, r, lam):
    A = np.vstack([J, K])
    both = np.block([[H, 0 * H[:, :1] * M[:1]], [0 * M[:, :1] * H[:1], M]])
    return push_through_scale(A, both, np.concatenate([r, 0 * M[0]]), lam) * (1 + size(A) ** 2 / lam)


@claim(
    "gauss-newton.window",
    "The step of a window of batches, (G₁ + G₂)/2 + λI, comes from a system of the size of their outputs",
    KORBIT,
    window,
    given="H ⪰ 0, λ > 0; with r in place of the gradient, or with any gradient by d = (g − Jᵀ(HJJᵀ + λI)⁻¹HJg)/λ",
    scale=window_scale,
    because="each solve loses eps κ, and each product the size of its terms; the second form divides by λ",
    exact=False,
)
def of_window(J, K, H, M, r, lam, d, free):
    A = (J.T @ H @ J + K.T @ M @ K) / 2 + lam * eye(J.T @ J)
    return solve(A, J.T @ r) - d, solve(A, J.T @ r) - free
