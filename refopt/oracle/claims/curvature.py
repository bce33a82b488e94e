"""The Hessian and the Gauss-Newton matrix of networks: the library's, beside the same network written out."""

import numpy as np

from refopt.networks import LOSSES
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.written_out import NATURAL, drawn
from refopt.oracle.draw import condition, excess, eye, least, size

SCHRAUDOLPH = "N. N. Schraudolph, Neural Computation 14 (2002) 1723"
MARTENS = "J. Martens, JMLR 21 (2020), "
HESSIAN, GGN, FUNCTIONAL = "curvature.hessian", "curvature.ggn", "curvature.functional-hessian"
SUMS = "sums of a few hundred products of this size"


def parts(draw, hessian, ggn, functional_hessian):
    net = drawn(draw)
    problem, x = net.problem, net.x
    return {
        "H": hessian(problem, x), "G": ggn(problem, x), "S": functional_hessian(problem, x), "terms": net.size,
        "H_wanted": net.hessian, "G_wanted": net.ggn, "S_wanted": net.dropped,
    }  # fmt: skip


@claim(
    "curvature.decomposition",
    "The Hessian of a network's loss is G = c Σ Jₙᵀ∇²ℓₙJₙ plus c Σ ∂ℓₙ/∂fₙₖ ∇²fₙₖ, with one c for both",
    SCHRAUDOLPH + "; " + MARTENS + "§8",
    parts,
    uses=(HESSIAN, GGN, FUNCTIONAL),
    scale=lambda terms: terms,
    because=SUMS,
    exact=False,
)
def decomposition(H, G, S, H_wanted, G_wanted, S_wanted):
    return H - H_wanted, G - G_wanted, S - S_wanted, H - G - S


def along(draw, ggn, summed=False):
    """Gv, and Jᵀ∇²ℓ Jv sample by sample; or Σₖ ∇²fₖ v, the sum of the outputs differentiated twice."""
    net = drawn(draw, ("squared", "mse", "cross-entropy")[int(draw.rng.integers(3))])
    v = draw.vector(net.x.size)
    wanted = net.ggn @ v
    if summed:
        twice = lambda x: net.grad(x, np.ones((len(net.X), net.outputs)))
        found = np.imag(twice(net.x + 1e-30j * v)) / 1e-30
    else:
        found = ggn(net.problem, net.x) @ v
    return {"found": found, "wanted": wanted, "terms": net.size * size(v)}


@claim(
    "curvature.summed-outputs",
    "The product Gv comes from differentiating the sum of the outputs twice: two sweeps backward",
    SCHRAUDOLPH,
    along,
    "false",
    corrected="Jv forward, ∇²ℓ times it, Jᵀ backward; the sum of the outputs gives Σ ∇²fₖ v, of the kind that G drops",
    uses=(GGN,),
    scale=lambda terms: terms,
    because=SUMS,
    exact=False,
    fails=(
        Fails(
            "as stated",
            lambda draw, ggn: along(draw, ggn, summed=True),
            lambda found, wanted: (found - wanted) / abs(wanted).max(),
        ),
    ),
)
def summed_outputs(found, wanted):
    return found - wanted


def of_convex(draw, ggn):
    net = drawn(draw, NATURAL[int(draw.rng.integers(len(NATURAL)))])
    return {"G": ggn(net.problem, net.x), "terms": net.size}


def far_labels(draw, ggn):
    """Labels whose distance from the mean is beyond e^{s/2}: e⁻ˢ(1, d; d, ½d²) has a negative determinant, −½d²e⁻²ˢ."""
    net = drawn(draw, "gaussian")
    mu, s = np.split(net.f(net.x), 2, axis=1)
    net = net._replace(y=mu + 3 * np.exp(s / 2))
    return {"G": ggn(net.problem, net.x), "terms": net.size}


@claim(
    "curvature.semidefinite",
    "The Gauss-Newton matrix of a network is positive semidefinite",
    MARTENS + "§8 and §9",
    of_convex,
    "conditional",
    given="ℓ is convex in the outputs; the negative log-likelihood of a normal mean and log-variance is not",
    uses=(GGN,),
    scale=lambda terms: terms,
    because="the lowest eigenvalue is known to n eps of what is summed",
    exact=False,
    fails=(
        Fails(
            "a mean and a log-variance, labels far from the mean: indefinite",
            far_labels,
            lambda G: excess(-least(G)) / size(G),
        ),
    ),
)
def semidefinite(G):
    return excess(-least((G + G.T) / 2))


def doubled(draw, ggn, ntk, solve):
    """G and its twin in the outputs, for half the square as the loss: G = cJᵀJ and K = JJᵀ; and a damped solve."""
    net, lam = drawn(draw, "squared", samples=draw.size(1, 3)), draw.number(0.1, 9)
    problem, v = net.problem, draw.vector(net.x.size)
    G, K = ggn(problem, net.x), net.c * ntk(problem, net.x)
    small = min(len(G), len(K))
    return {
        "of_G": np.linalg.eigvalsh(G)[::-1], "of_K": np.linalg.eigvalsh(K)[::-1], "small": small,
        "G": G, "lam": lam, "v": v, "p": solve(problem, net.x, v, lam), "terms": net.size,
    }  # fmt: skip


@claim(
    "curvature.duality",
    "G = cJᵀJ and the neural tangent kernel cJJᵀ have the same nonzero eigenvalues; (G + λI)⁻¹v from either",
    "A. Jacot, F. Gabriel & C. Hongler, NeurIPS 31 (2018); Golub & Van Loan, 4th ed., §2.1",
    doubled,
    given="half the square as the loss, and λ > 0",
    uses=(GGN, "curvature.ntk", "curvature.solve"),
    scale=lambda terms, G, lam, p, v: (
        terms, terms, terms, condition(G + lam * eye(G)) * (size(v) + (lam + size(G)) * size(p))
    ),
    because="eigenvalues are known to n eps of the largest; a solve loses eps κ",
    exact=False,
)  # fmt: skip
def duality(of_G, of_K, small, G, lam, v, p):
    return of_G[:small] - of_K[:small], of_G[small:], of_K[small:], G @ p + lam * p - v


def ranked(draw, ggn):
    net = drawn(draw, "cross-entropy", samples=draw.size(1, 3))
    values = np.linalg.eigvalsh(ggn(net.problem, net.x))[::-1]
    bound = len(net.X) * (net.outputs - 1)
    return {"beyond": values[bound:], "terms": net.size, "values": values, "N": len(net.X)}


def three_classes(draw, ggn):
    """One sample of three classes."""
    net = drawn(draw, "cross-entropy", samples=1, C=3)
    if abs(net.f(net.x)).max() > 3:
        return three_classes(draw, ggn)
    values = np.linalg.eigvalsh(ggn(net.problem, net.x))[::-1]
    return {"values": values, "N": 1}


@claim(
    "curvature.rank",
    "The Gauss-Newton matrix of N samples has rank N at most",
    SCHRAUDOLPH + "; " + MARTENS + "§9",
    ranked,
    "false",
    corrected="N(C − 1) at most for the cross-entropy of C classes: (1, …, 1) is a null vector of every ∇²ℓₙ",
    uses=(GGN,),
    scale=lambda terms: terms,
    because="eigenvalues are known to n eps of the largest",
    exact=False,
    fails=(Fails("as stated, three classes", three_classes, lambda values, N: values[N] / values[0]),),
)
def rank(beyond):
    return beyond


# --- the factor of the reduction ---------------------------------------------------------------------------------


def reduced(draw, ggn, fisher, kind="empirical", of_the_mean=False):
    """The matrices of the sum and of the mean over N samples; or with the gradients of the mean, sₙ/N, in EF."""
    net = drawn(draw, tuple(LOSSES)[int(draw.rng.integers(len(LOSSES)))], reduction="sum")
    mean, N = net._replace(reduction="mean"), len(net.X)
    s = net.scores(net.y)
    found = s.T @ s / N**2 if of_the_mean else fisher(mean.problem, net.x, "empirical")
    return {
        "N": N, "EF": found, "EF_sum": fisher(net.problem, net.x, "empirical"), "terms": net.size,
        "G": ggn(mean.problem, net.x), "G_sum": ggn(net.problem, net.x),
        "F": fisher(mean.problem, net.x, "exact"), "F_sum": fisher(net.problem, net.x, "exact"),
        "EF_wanted": s.T @ s, "G_wanted": net.ggn,
    }  # fmt: skip


@claim(
    "curvature.reduction",
    "With the mean over N samples the empirical Fisher matrix is made of the gradients of that mean's terms, sₙ/N",
    "F. Kunstner, L. Balles & P. Hennig, arXiv:1905.12558, §2",
    reduced,
    "false",
    corrected="All of them are linear in c: 1/N of those of the sum, sₙ unreduced; as stated EF is N times too small",
    uses=(GGN, "curvature.fisher"),
    scale=lambda terms: terms,
    because=SUMS,
    exact=False,
    fails=(
        Fails(
            "as stated",
            lambda draw, ggn, fisher: reduced(draw, ggn, fisher, of_the_mean=True),
            lambda N, EF, EF_sum: (N * EF - EF_sum) / abs(EF_sum).max(),
        ),
    ),
)
def reduction(N, EF, EF_sum, EF_wanted, G, G_sum, G_wanted, F, F_sum):
    return N * EF - EF_sum, N * G - G_sum, N * F - F_sum, EF_sum - EF_wanted, G_sum - G_wanted
