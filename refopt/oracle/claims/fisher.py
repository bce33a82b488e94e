"""Fisher's information matrix of explicit families, seen along a line w + tu in the parameters.

    Softmax     log p_y = z_y − log Σₖ exp zₖ       zₖ(t) = zₖ + aₖt + bₖt²
    Gaussian    log p_y = −(y − f)²/2σ²             f(t) = f + at + bt²
    Poisson     log p_y = yη − exp η                η(t) = η + at + bt²
    Gaussian    of mean μ + at and deviation σ exp(bt), neither of which is a natural parameter

A family is here the probabilities p of its outcomes, and the slope and the bend, d/dt and d²/dt², of log p_y for each.
Where slopes and bends are polynomials in y, F needs no more than the first moments of y: a few outcomes that have them
stand for all.
"""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import bulk, excess, least, size

AMARI = "S. Amari, Neural Computation 10 (1998) 251"
MARTENS = "J. Martens, JMLR 21 (2020), "
KUNSTNER = "F. Kunstner, L. Balles & P. Hennig, NeurIPS 32 (2019), arXiv:1905.12558, §3"
SUMS = "sums of a few products of this size, though slopes and bends may be what little they leave"


def softmax(draw, curved=True):
    odds = abs(draw.vector(C := draw.size(2, 4))) + draw.number(0, 1)
    a, b = draw.vector(C), draw.vector(C) * int(curved)
    return along(odds / odds.sum(), a, b)


def along(p, a, b):
    """Slopes and bends of z_y − log Σ exp zₖ, by the power series of the logarithm."""
    first, second, ggn = p @ a, p @ (b + a * a / 2), p @ (a * a) - (p @ a) ** 2
    terms = bulk(a) ** 2 + bulk(b)
    return {"p": p, "slopes": a - first, "bends": 2 * (b - second) + first**2, "ggn": ggn, "terms": terms}


def gaussian(draw, curved=True):
    a, b, sigma = draw.number(1, 9), draw.number(1, 9) * int(curved), draw.magnitude(1)
    rest = draw.array([1, -1]) * sigma
    return {"p": halves(draw)} | of_rest(rest, a, b, sigma)


def of_rest(rest, a, b, sigma):
    """Of y = f + rest."""
    slopes, bent, ggn = a * rest / sigma**2, 2 * b * rest / sigma**2, a * a / sigma**2
    return {"slopes": slopes, "bends": bent - ggn, "ggn": ggn, "terms": bulk(slopes) ** 2 + bulk(bent) + abs(ggn)}


def poisson(draw, curved=True):
    """Of rate q², whose variance is q² too."""
    a, b, q = draw.number(1, 9), draw.number(1, 9) * int(curved), draw.number(1, 9)
    rest, ggn = draw.array([1, -1]) * q, q * q * a * a
    terms = ggn * 4 + bulk(2 * b * rest)
    return {"p": halves(draw), "slopes": a * rest, "bends": 2 * b * rest - ggn, "ggn": ggn, "terms": terms}


def of_mean_and_deviation(draw):
    """(y − μ)/σ = 0, ±1, ±2 with the first four moments of a normal distribution, 0, 1, 0, 3."""
    a, b, sigma = draw.number(-9, 9), draw.number(-9, 9), draw.magnitude(1)
    c, xi = a / sigma, draw.array([0, 1, -1, 2, -2])
    bends = -(c * c) - 4 * b * c * xi - 2 * b * b * xi**2
    p, terms = draw.array(["1/2", "1/6", "1/6", "1/12", "1/12"]), 10 * (abs(c) + abs(b)) ** 2
    return {"p": p, "slopes": c * xi + b * (xi**2 - 1), "bends": bends, "terms": terms}


def halves(draw):
    return draw.array(["1/2", "1/2"])


def any_family(draw, curved=True):
    return (softmax, gaussian, poisson)[int(draw.rng.integers(3))](draw, curved)


def whichever(draw):
    return of_mean_and_deviation(draw) if draw.rng.integers(4) == 0 else any_family(draw)


def information(p, slopes):
    """uᵀFu = E[(uᵀ∇log p)²]."""
    return p @ slopes**2


# --- at every w --------------------------------------------------------------------------------------------------


@claim(
    "fisher.score",
    "The score has no mean:   E[∇log p] = 0",
    MARTENS + "§5",
    whichever,
    given="the expectation is over the model's own y",
    scale=lambda terms: float(terms) ** 0.5,
    because=SUMS,
)
def score(p, slopes):
    return p @ slopes


def at_the_maximum(draw):
    """Two labels of a Gaussian with curved f, for which w is the maximum of the likelihood."""
    a, c = abs(draw.vector(2)) + 1, draw.number(1, 9)
    turned = a[::-1] * draw.array([1, -1])
    made = of_rest(c * turned, a, turned, draw.array(1)[()])
    return {"slope": made["slopes"].sum(), "bends": made["bends"], "ggn": made["ggn"].sum()}


@claim(
    "fisher.expected-hessian",
    "F = −∇² log p at the maximum of the likelihood, and there only",
    AMARI + "; " + MARTENS + "§5",
    whichever,
    "false",
    corrected="F = E[∇log p ∇log pᵀ] = −E[∇² log p] at every w, over the model's own y; not over labels of data",
    scale=lambda terms: terms,
    because=SUMS,
    fails=(
        Fails(
            "as stated, labels y of a Gaussian with curved mean",
            at_the_maximum,
            lambda slope, bends, ggn: (bends.sum() + ggn) / ggn if abs(slope) < 1e-9 * ggn else 0,
        ),
    ),
)
def expected_hessian(p, slopes, bends):
    return information(p, slopes) + p @ bends


def identity_link(draw):
    """Counts y of rates r + xw, not the natural parameter; two of them, for which w is the maximum."""
    x, r, d = draw.array([1, 2]) * draw.number(1, 9), draw.array([1, 1]) * draw.number(1, 9), draw.number(0, 0.9)
    y = r * (1 + draw.array([1, -1]) * d * x[0] / x)
    return {"slope": (x * (y / r - 1)).sum(), "F": (x * x / r).sum(), "G": (x * x * y / r**2).sum()}


@claim(
    "fisher.gauss-newton",
    "F is the Gauss-Newton matrix at the maximum of the likelihood",
    MARTENS + "§9",
    any_family,
    "false",
    corrected="At every w, if the outputs are natural parameters of an exponential family; otherwise not even there",
    scale=lambda terms: terms,
    because=SUMS,
    fails=(
        Fails(
            "as stated, Poisson with rates linear in w",
            identity_link,
            lambda slope, F, G: (G - F) / F if abs(slope) < 1e-9 * F else 0,
        ),
    ),
)
def gauss_newton(p, slopes, ggn):
    return information(p, slopes) - ggn


def matrix(draw):
    """F of a softmax in n parameters; and f″ and F of f = ½(y − w²)², where 3w² < y."""
    p, J = (odds := abs(draw.vector(C := draw.size(2))) + draw.number(0, 1)) / odds.sum(), draw.matrix(C, C)
    S = J - p @ J
    w = draw.number(0.1, 2)
    y = w * w * draw.number(4, 9)
    return {"F": (S.T * p) @ S, "S": S, "curvature": 6 * w * w - 2 * y, "fisher": 4 * w * w}


@claim(
    "fisher.semidefinite",
    "F ⪰ 0, also where ∇²(−log p) is indefinite: for −log p = ½(y − w²)², 3w² < y, it is negative and F = 4w²",
    MARTENS + "§5",
    matrix,
    scale=lambda S: (size(S) ** 2, 1, 1),
    because="the lowest eigenvalue is known to n eps of what is summed",
)
def semidefinite(F, curvature, fisher):
    return excess(-least((F + F.T) / 2)), int(not curvature < 0), int(not fisher > 0)


def for_one_label(draw, curved):
    made = any_family(draw, curved)
    return made | {"F": information(made["p"], made["slopes"])}


def far_label(draw):
    """A label y = f + rest with 2b·rest of the size of a²."""
    a, b = draw.number(1, 9), draw.number(1, 9)
    made = of_rest(a * a / b * draw.array([1]), a, b, draw.array(1)[()])
    return made | {"F": made["ggn"]}


@claim(
    "fisher.hessian",
    "The diagonal of F, E[gᵢ²], is that of the Hessian of −log p",
    MARTENS + "§9",
    lambda draw: for_one_label(draw, False),
    "conditional",
    given="natural parameters are affine in w: then ∇²(−log p_y) = F for each y; else where Σ(∂ℓ/∂zₖ)∇²zₖ is small",
    scale=lambda terms: terms,
    because=SUMS,
    fails=(Fails("a curved mean, and a label far from it", far_label, lambda bends, F: (bends + F) / F),),
)
def is_hessian(bends, F):
    return bends + F


# --- the empirical Fisher matrix ---------------------------------------------------------------------------------


def labelled(draw, spread=1):
    """A Gaussian of variance σ² for labels of variance (spread·σ)² about its mean."""
    a, sigma = draw.number(1, 9), draw.magnitude(1)
    rest = draw.array([1, -1]) * sigma * spread
    return {"p": halves(draw), "spread": spread} | of_rest(rest, a, 0 * a, sigma)


def misspecified(draw):
    return labelled(draw, draw.number(2, 9))


@claim(
    "fisher.empirical",
    "The mean of squared gradients over data estimates F, whatever the data",
    KUNSTNER + "; " + MARTENS + "§11",
    labelled,
    "conditional",
    given="labels are drawn from the model itself; labels of s times its deviation give s² F, also where E[∇log p] = 0",
    scale=lambda terms: terms,
    because=SUMS,
    fails=(Fails("labels spread more widely", misspecified, lambda p, slopes, ggn: information(p, slopes) / ggn - 1),),
)
def empirical(p, slopes, ggn):
    return information(p, slopes) - ggn


@claim(
    "fisher.empirical-at-maximum",
    "At the maximum of the likelihood the empirical Fisher matrix is F",
    KUNSTNER,
    misspecified,
    "false",
    corrected="If the model is well specified, in the limit of many data; of a Gaussian with residuals ±sσ it is s² F",
    scale=lambda terms: terms,
    because=SUMS,
    fails=(
        Fails(
            "as stated, a Gaussian of variance 1 with residuals ±s",
            misspecified,
            lambda p, slopes, ggn: (information(p, slopes) / ggn - 1) if abs(p @ slopes) <= 1e-9 * bulk(slopes) else 0,
        ),
    ),
)
def empirical_at_maximum(p, slopes, ggn, spread):
    return p @ slopes, information(p, slopes) - spread**2 * ggn


# --- what F measures ---------------------------------------------------------------------------------------------


def nearby(draw):
    """Two softmax distributions, by logits."""
    z, delta = draw.vector(C := draw.size(2)), draw.vector(C) * draw.number(0.01, 0.2)
    return {"z": z, "delta": delta - delta.mean()}


def divergence(z, delta):
    """KL(p_z ‖ p_{z+δ}) = log E[exp δ] − E[δ], and δᵀFδ = Var δ."""
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    mean = p @ delta
    return np.log1p(p @ np.expm1(delta)) - mean, p @ (delta - mean) ** 2


@claim(
    "fisher.kl",
    "KL(p_θ ‖ p_θ₊δ) ≈ δᵀFδ",
    AMARI + "; " + MARTENS + "§5",
    nearby,
    "imprecise",
    corrected="½δᵀFδ + O(‖δ‖³): for the logits of a softmax the rest is (max δ − min δ)³/24 at most",
    scale=lambda delta: size(delta),
    because="a difference of numbers of this size",
    exact=False,
    fails=(
        Fails(
            "as stated, without the half",
            nearby,
            lambda z, delta: divergence(z, delta)[0] / divergence(z, delta)[1] - 1 if np.ptp(delta) else 1.0,
        ),
    ),
)
def kl(z, delta):
    found, square = divergence(z, delta)
    return excess(abs(found - square / 2) - np.ptp(delta) ** 3 / 24)


def in_other_parameters(draw):
    """z(φ) = z + Mδ + ½δᵀQδ for the logits of a softmax, and the line φ + tu."""
    C, n = draw.size(2, 4), draw.size(1, 3)
    p = (odds := abs(draw.vector(C)) + draw.number(0, 1)) / odds.sum()
    M, u, Q = draw.matrix(C, n), draw.vector(n), [draw.matrix(n, n) for _ in range(C)]
    made = along(p, M @ u, np.array([u @ K @ u / 2 for K in Q]))
    return made | {"M": M, "u": u, "F": np.diag(p) - p[:, None] * p}


@claim(
    "fisher.transform",
    "In other parameters, θ = θ(φ), the matrix is MᵀFM with M = ∂θ/∂φ, however curved the change is",
    AMARI,
    in_other_parameters,
    scale=lambda terms: terms,
    because=SUMS,
)
def transform(p, slopes, bends, M, u, F):
    inside = (M @ u) @ F @ (M @ u)
    return information(p, slopes) - inside, p @ bends + inside


def averaged(draw):
    """r = f − y, m of them: the gradient of the mean of rᵢ², and of ‖r‖²/2σ²."""
    m = draw.size(3)
    J, r = draw.matrix(m, 2), draw.vector(m)
    return {"J": J, "r": r, "slope": 2 * J.T @ r / m, "bend": 2 * J.T @ J / m}


@claim(
    "fisher.mean-square",
    "The mean squared error is −log N(y; f, I), up to a constant",
    "direct",
    averaged,
    "imprecise",
    corrected="½‖f − y‖² is; the mean of m squares, without ½, belongs to the variance σ² = m/2: F = JᵀJ/σ²",
    scale=lambda J, r: (bulk(J) * bulk(r), bulk(J) ** 2),
    because=SUMS,
    fails=(Fails("as stated: F = JᵀJ, m > 2", averaged, lambda J, bend: (bend - J.T @ J) / bulk(J) ** 2),),
)
def mean_square(J, r, slope, bend):
    return len(r) * slope - 2 * (J.T @ r), len(r) * bend - 2 * (J.T @ J)
