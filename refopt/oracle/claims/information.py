"""Fisher's matrix of networks: the library's, beside sums over all labels of the same network written out."""

import numpy as np

from refopt.networks import Linear
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.written_out import NATURAL, drawn, outcomes
from refopt.oracle.draw import bulk, excess
from refopt.supervised import Supervised

MARTENS = "J. Martens, JMLR 21 (2020), "
KUNSTNER = "F. Kunstner, L. Balles & P. Hennig, NeurIPS 32 (2019), arXiv:1905.12558, "
SUMS = "sums of a few hundred products of this size"
FISHER = "curvature.fisher"


def enumerated(net):
    """c Σₙ Σ_y p(y | xₙ) sₙsₙᵀ."""
    pairs = [(net.scores(y), p) for y, p in outcomes(net.loss, net.f(net.x))]
    return net.c * sum((s.T * p) @ s for s, p in pairs)


@claim(
    "information.enumeration",
    "The exact Fisher matrix is c Σₙ Σ_y p(y | xₙ) sₙsₙᵀ over all labels y, none of them sampled",
    MARTENS + "§5",
    lambda draw, fisher: {
        "F": fisher((net := drawn(draw)).problem, net.x, "exact"), "wanted": enumerated(net), "terms": net.size
    },
    uses=(FISHER,),
    scale=lambda terms: terms,
    because=SUMS,
    exact=False,
)  # fmt: skip
def enumeration(F, wanted):
    return F - wanted


def both(draw, ggn, fisher, loss):
    net = drawn(draw, loss)
    return {"G": ggn(net.problem, net.x), "F": fisher(net.problem, net.x, "exact"), "terms": net.size}


@claim(
    "information.gauss-newton",
    "The Fisher matrix of a network is its Gauss-Newton matrix",
    MARTENS + "§9",
    lambda draw, ggn, fisher: both(draw, ggn, fisher, NATURAL[int(draw.rng.integers(len(NATURAL)))]),
    "conditional",
    given="the outputs are natural parameters: then at every x; a mean and a log-variance are not",
    uses=("curvature.ggn", FISHER),
    scale=lambda terms: terms,
    because=SUMS,
    exact=False,
    fails=(
        Fails(
            "a normal mean and log-variance",
            lambda draw, ggn, fisher: both(draw, ggn, fisher, "gaussian"),
            lambda G, F: (G - F) / bulk(F),
        ),
    ),
)
def gauss_newton(G, F):
    return G - F


def averaged_hessian(draw, hessian, fisher):
    """The Hessian for each label of one sample, and the mean of them over the model's labels."""
    net = drawn(draw, samples=1)
    pairs = [(net._replace(y=y), p[0]) for y, p in outcomes(net.loss, net.f(net.x))]
    return {
        "F": fisher(net.problem, net.x, "exact"), "terms": net.size,
        "mean": sum(p * hessian(labelled.problem, net.x) for labelled, p in pairs),
    }  # fmt: skip


@claim(
    "information.expected-hessian",
    "F = E[∇²ℓ] at every x, for every loss, also where F is not the Gauss-Newton matrix",
    MARTENS + "§5",
    averaged_hessian,
    given="the expectation is over the model's own labels",
    uses=("curvature.hessian", FISHER),
    scale=lambda terms: 10 * terms,
    because=SUMS,
    exact=False,
)
def expected_hessian(F, mean):
    return F - mean


def of_labels(draw, fisher, own=True):
    """EF for each label of one sample, weighted by its probability; or at one label, whatever the model says."""
    net = drawn(draw, samples=1)
    pairs = outcomes(net.loss, net.f(net.x))
    if own:
        mean = sum(p[0] * fisher(net.problem, net.x, "empirical", y) for y, p in pairs)
        sampled = sum(p[0] * fisher(net.problem, net.x, "monte-carlo", y) for y, p in pairs)
    else:
        likely = max(pairs, key=lambda pair: pair[1][0])[0]
        mean = sampled = fisher(net.problem, net.x, "empirical", likely)
    return {"mean": mean, "sampled": sampled, "F": fisher(net.problem, net.x, "exact"), "terms": net.size}


@claim(
    "information.empirical",
    "The empirical Fisher matrix is an unbiased estimate of the Fisher matrix",
    KUNSTNER + "§3",
    of_labels,
    "conditional",
    given="the labels are the model's own, for every loss and reduction; labels of data have their own mean",
    uses=(FISHER,),
    scale=lambda terms: 10 * terms,
    because=SUMS,
    exact=False,
    fails=(
        Fails(
            "every label the likeliest one",
            lambda draw, fisher: of_labels(draw, fisher, own=False),
            lambda mean, F: (mean - F) / bulk(F),
        ),
    ),
)
def empirical(mean, sampled, F):
    return mean - F, sampled - F


# --- batches and tokens ------------------------------------------------------------------------------------------


def cut(draw, gradient_moments, naive=False):
    """The diagonal of EF of four samples, in one batch and in two; or the squares of the gradients of both batches."""
    net = drawn(draw, reduction="mean", samples=4)
    batches = [(net.X[:1], net.y[:1]), (net.X[1:], net.y[1:])]
    s = net.scores(net.y)
    if naive:
        found = sum(len(X) * Supervised(net.problem.network, net.loss, X, y).grad(net.x) ** 2 for X, y in batches) / 4
    else:
        found = gradient_moments(net.problem, net.x, batches).empirical_fisher
    return {"found": found, "wanted": (s**2).sum(0) / 4, "terms": net.size}


@claim(
    "information.batches",
    "The diagonal of the empirical Fisher matrix is the mean of the squared gradients of batches, by their sizes",
    KUNSTNER + "§2; " + MARTENS + "§11",
    cut,
    "false",
    corrected="It is the mean of the squared gradients of samples, (1/N) Σ sₙ², however they are cut into batches",
    uses=("curvature.gradient-moments",),
    scale=lambda terms: terms,
    because=SUMS,
    exact=False,
    fails=(
        Fails(
            "as stated, three of four samples in one batch",
            lambda draw, gradient_moments: cut(draw, gradient_moments, naive=True),
            lambda found, wanted: (found - wanted) / abs(wanted).max(),
        ),
    ),
)
def batches(found, wanted):
    return found - wanted


def sequences(draw, fisher):
    """A linear map at each of T positions: scores of the positions, J_t ᵀ(p − e_y)."""
    N, T, n, C = draw.size(1, 2), draw.size(2, 3), draw.size(1, 2), draw.size(2, 3)
    W, X, y = draw.matrix(C, n), draw.matrix(N * T, n).reshape(N, T, n), draw.rng.integers(0, C, (N, T))
    problem = Supervised(Linear(n, C, bias=False), "cross-entropy", X, y, "sum")
    p = np.exp(X @ W.T) / np.exp(X @ W.T).sum(-1, keepdims=True)
    scores = np.einsum("ntc,nti->ntci", p - (np.arange(C) == y[..., None]), X).reshape(N, T, -1)
    F = sum(
        np.kron(np.diag(a) - np.outer(a, a), np.outer(b, b))
        for a, b in zip(p.reshape(-1, C), X.reshape(-1, n), strict=True)
    )
    x = W.ravel()
    return {
        "scores": scores, "F_wanted": F, "terms": 1 + T * (X**2).sum(),
        "by_sample": fisher(problem, x, "empirical"), "by_token": of_tokens(fisher, problem, x, "empirical"),
        "F": fisher(problem, x, "exact"), "F_token": of_tokens(fisher, problem, x, "exact"),
    }  # fmt: skip


def of_tokens(fisher, problem, x, kind):
    return fisher(problem, x, kind, None, 1, None, False, "token")


@claim(
    "information.tokens",
    "For sequences the empirical Fisher matrix is the sum over tokens of the outer products of their gradients",
    "direct",
    sequences,
    "imprecise",
    corrected="With tokens as units it is; with sequences as units, of the gradients' sums; F is the same for both",
    uses=(FISHER,),
    scale=lambda terms: terms,
    because=SUMS,
    exact=False,
    fails=(
        Fails(
            "as stated, of sequences as units",
            sequences,
            lambda by_sample, by_token: (by_sample - by_token) / bulk(by_token),
        ),
    ),
)
def tokens(scores, by_sample, by_token, F, F_token, F_wanted):
    whole, each = scores.sum(axis=1), scores.reshape(-1, scores.shape[-1])
    return by_sample - whole.T @ whole, by_token - each.T @ each, F - F_wanted, F_token - F_wanted


# --- what it measures --------------------------------------------------------------------------------------------


def moved(draw, fisher):
    """KL(p_x ‖ p_x+δ) summed over samples, for a linear map to the logits."""
    N, n, C = draw.size(1, 3), draw.size(1, 3), draw.size(2, 3)
    W, X = draw.matrix(C, n), draw.matrix(N, n)
    delta = draw.matrix(C, n) * draw.number(0.01, 0.2)
    problem = Supervised(Linear(n, C, bias=False), "cross-entropy", X, np.zeros(N, int), "sum")
    z, d = X @ W.T, X @ delta.T
    p = np.exp(z) / np.exp(z).sum(1)[:, None]
    mean = (p * d).sum(1)
    KL = (np.log1p((p * np.expm1(d - mean[:, None])).sum(1))).sum()
    F = fisher(problem, W.ravel(), "exact")
    return {"KL": KL, "square": delta.ravel() @ F @ delta.ravel(), "rest": (np.ptp(d, axis=1) ** 3).sum() / 24, "d": d}


@claim(
    "information.kl",
    "KL(p_x ‖ p_x+δ) ≈ δᵀFδ",
    "S. Amari, Neural Computation 10 (1998) 251; " + MARTENS + "§5",
    moved,
    "imprecise",
    corrected="½δᵀFδ + O(‖δ‖³); the rest is Σₙ (range of Jₙδ)³/24 at most where the logits are linear in x",
    uses=(FISHER,),
    scale=lambda d: bulk(d),
    because="differences of numbers of this size",
    exact=False,
    fails=(Fails("as stated, without the half", moved, lambda KL, square: KL / square - 1),),
)
def kl(KL, square, rest):
    return excess(abs(KL - square / 2) - rest)
