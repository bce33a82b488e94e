"""AdaGrad, Adam, AdaHessian and diagonal Newton: means and their bias, steps of single variables, probes."""

from itertools import product

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.krylov import products
from refopt.oracle.draw import excess, size

DUCHI = "Duchi, Hazan & Singer, J. Mach. Learn. Res. 12 (2011) 2121"
KINGMA = "Kingma & Ba, arXiv:1412.6980, "
YAO = "Yao et al., arXiv:2006.00719, §3"
BECKER = "Becker & LeCun, Proc. 1988 Connectionist Models Summer School"
HUTCHINSON = "Bekas, Kokiopoulou & Saad, Appl. Numer. Math. 57 (2007) 1214"
FEW = "a few roundings of numbers of this size"


# --- AdaGrad ---------------------------------------------------------------------------------------------------------


def gathered(draw, accumulated):
    """Gradients, and the sums of their squares so far."""
    n = draw.size()
    g = np.array([draw.vector(n) for _ in range(4)])
    v = [0 * g[0]]
    for each in g:
        v.append(accumulated(v[-1], each, 1))
    return {"g": g, "v": np.array(v)}


def forgotten(draw, accumulated):
    v = gathered(draw, accumulated)["v"]
    return {"v": np.array([*v, accumulated(v[-1], 0 * v[-1], draw.array("1/2")[()])])}


@claim(
    "adagrad.monotone",
    "The accumulators never fall, vₖ ≥ vₖ₋₁, so that no variable's factor η/√vₖ ever grows; and vₖ = Σ gᵢ²",
    DUCHI,
    gathered,
    "conditional",
    given="β₂ = 1: nothing is forgotten",
    uses=("adagrad.accumulated",),
    scale=lambda g: size(g) ** 2,
    because=FEW,
    fails=(Fails("β₂ = ½, and a gradient that vanishes", forgotten, lambda v: excess(v[-2] - v[-1]) / v.max()),),
)
def monotone(g, v):
    return excess(v[:-1] - v[1:]), (g**2).sum(axis=0) - v[-1]


def steps(draw, accumulated, direction):
    """The last step after some gradients, and after the same times c."""
    g, c = draw.matrix(4, draw.size()), draw.magnitude()
    found = []
    for factor in (1, c):
        v = 0 * g[0]
        for each in g:
            v = accumulated(v, factor * each, 1)
        found.append(direction(factor * g[-1], v, 0.1, 0.5, 0.0))
    return {"g": g[-1], "p": found[0], "p_scaled": found[1]}


def with_eps(draw, accumulated, direction):
    """ε = 1 and gradients from 1 on; or from 100 on."""
    g = 1 + abs(draw.vector(draw.size()))
    found = [direction(c * g, accumulated(0 * g, c * g, 1), 0.1, 0.5, 1.0) for c in (1, 100)]
    return {"p": found[0], "p_scaled": found[1]}


@claim(
    "adagrad.scale-free",
    "f → cf changes no step; it goes against the gradient, and no farther than η in any variable",
    DUCHI,
    steps,
    "conditional",
    given="ε = 0",
    uses=("adagrad.accumulated", "adaptive.direction"),
    scale=lambda: 0.1,
    because="steps of η = 0.1 and less, " + FEW,
    exact=False,
    fails=(Fails("ε as large as the gradients", with_eps, lambda p, p_scaled: (p_scaled - p) / abs(p).max()),),
)
def adagrad_scale_free(g, p, p_scaled):
    return p_scaled - p, excess(abs(p) - 0.1), excess(np.sign(g) * p)


# --- Adam ------------------------------------------------------------------------------------------------------------


def averaged(draw, mean, corrected):
    """The mean of t gradients that are all the same, and of t that are not, with the weights (1 − β)βᵗ⁻ⁱ."""
    n, t, beta = draw.size(), int(draw.rng.integers(1, 6)), draw.number("1/10", "99/100")
    g, same, mixed = np.array([draw.vector(n) for _ in range(t)]), 0, 0
    for each in g:
        same, mixed = mean(same + 0 * g[0], g[0], beta), mean(mixed + 0 * g[0], each, beta)
    weights = np.array([(1 - beta) * beta ** (t - i) for i in range(1, t + 1)])
    return {
        "g": g, "beta": beta, "t": t, "weights": weights / weights.sum(), "raw": same,
        "same": corrected(same, beta, t), "mixed": corrected(mixed, beta, t),
    }  # fmt: skip


@claim(
    "adam.bias-correction",
    "m̂ₜ = mₜ/(1 − βᵗ) is a mean whose weights add to 1: m̂₁ = g₁, v̂₁ = g₁², and m̂ₜ = g while all gradients are g",
    KINGMA + "§3",
    averaged,
    "conditional",
    given="m₀ = 0, and m is divided by 1 − βᵗ; m itself is too short by that factor",
    uses=("adaptive.mean", "adaptive.corrected"),
    scale=lambda g, beta, t: size(g) / (1 - float(beta) ** t),
    because="1 − βᵗ loses eps/(1 − βᵗ)",
    fails=(Fails("without the correction", averaged, lambda g, raw: (raw - g[0]) / abs(g[0]).max()),),
)
def bias_correction(g, weights, same, mixed):
    return same - g[0], mixed - weights @ g


def first(draw, mean, corrected, direction):
    g = draw.vector(draw.size())
    beta1, beta2, eps = draw.number(0.1, 0.9), draw.number(0.1, 0.99), draw.magnitude(3)
    m, v = corrected(mean(0 * g, g, beta1), beta1, 1), corrected(mean(0 * g, g * g, beta2), beta2, 1)
    return {"g": g, "eps": eps, "p": direction(m, v, 0.1, 0.5, eps), "p_free": direction(m, v, 0.1, 0.5, 0.0)}


@claim(
    "adam.first-step",
    "The first step is −η g/(|g| + ε), component by component: with ε → 0 as long as η in every variable",
    KINGMA + "§2",
    first,
    uses=("adaptive.mean", "adaptive.corrected", "adaptive.direction"),
    scale=lambda g, eps: (0.1 * size(g), 0.1),
    because="(1 − β)g/(1 − β) is g to a few roundings over 1 − β ≥ 0.01",
    exact=False,
)
def first_step(g, eps, p, p_free):
    return p * (abs(g) + eps) + 0.1 * g, p_free + 0.1 * np.sign(g)


def later(draw, mean, corrected, direction, exponent=0.5):
    """The last of some steps, and the same where every gradient is c times as long."""
    n, c = draw.size(), draw.magnitude()
    g, found = [draw.vector(n) for _ in range(3)], []
    for factor in (1, c):
        m = v = 0 * g[0]
        for each in g:
            m, v = mean(m, factor * each, 0.9), mean(v, factor * factor * each * each, 0.99)
        found.append(direction(corrected(m, 0.9, 3), corrected(v, 0.99, 3), 0.1, exponent, 0.0))
    return {"c": c, "m": m / c, "p": found[0], "p_scaled": found[1]}


def squared(draw, mean, corrected, direction):
    """Exponent 1 and gradients that are ten times as long."""
    while abs(float(np.log(float((found := later(draw, mean, corrected, direction, 1.0))["c"])))) < 1:
        pass
    return found


@claim(
    "adam.scale-free",
    "f → cf changes no step; it goes against the mean of the gradients",
    KINGMA + "§2.1",
    later,
    "conditional",
    given="ε = 0 and the exponent is ½; with exponent 1 the step becomes c times shorter",
    uses=("adaptive.mean", "adaptive.corrected", "adaptive.direction"),
    scale=lambda p: size(p),
    because=FEW + ", divided by 1 − 0.99³",
    slack=1e3,
    exact=False,
    fails=(Fails("exponent 1", squared, lambda p, p_scaled: (p_scaled - p) / max(abs(p).max(), abs(p_scaled).max())),),
)
def adam_scale_free(m, p, p_scaled):
    return p_scaled - p, excess(np.sign(m) * p)


def constant(draw, mean, corrected):
    """v̂ after t times the same gradient."""
    g, t, beta = draw.vector(draw.size()), int(draw.rng.integers(1, 6)), draw.number("1/10", "99/100")
    v = 0 * g
    for _ in range(t):
        v = mean(v, g * g, beta)
    return {"g": g, "v": corrected(v, beta, t)}


@claim(
    "adam.variance",
    "v̂ is a running variance of the gradient",
    KINGMA + "§2",
    constant,
    "false",
    corrected="It is a mean of squares, not centred: for gradients that are all g it is g², while their variance is 0",
    uses=("adaptive.mean", "adaptive.corrected"),
    scale=lambda g: size(g) ** 2,
    because="1 − βᵗ ≥ 0.01 loses 100 eps",
    fails=(Fails("as stated", constant, lambda g, v: v / (g * g).max()),),
)
def variance(g, v):
    return v - g * g


# --- AdaHessian ------------------------------------------------------------------------------------------------------


def probed(draw, probe, values=None, positive=False):
    """z ∘ Hz for every z of signs; H of any kind, or diagonal, or with nothing but positive entries."""
    n = draw.size(2, 4)
    M = draw.matrix(n, n)
    H = M + M.T if values is None else np.diag(values(n)) + 0 * M
    H = 1 + abs(H) if positive else H
    problem, signs = products(H), [draw.array(list(z)) for z in product((-1, 1), repeat=n)]
    return {"H": H, "probes": np.array([probe(problem, 0 * z, z) for z in signs])}


def filled(draw, probe):
    return probed(draw, probe, positive=True)


@claim(
    "adahessian.unbiased",
    "Over all signs z, z ∘ Hz has the mean diag H, and its i-th component the variance Σⱼ≠ᵢ Hᵢⱼ²",
    YAO + "; " + HUTCHINSON,
    probed,
    uses=("adahessian.probe",),
    scale=lambda H: (size(H), size(H) ** 2),
    because=FEW,
)
def unbiased(H, probes):
    d, other = H.diagonal(), (H**2).sum(axis=1) - H.diagonal() ** 2
    return probes.mean(axis=0) - d, ((probes - d) ** 2).mean(axis=0) - other


@claim(
    "adahessian.one-probe",
    "One probe is the diagonal",
    YAO,
    lambda draw, probe: probed(draw, probe, draw.mixed),
    "conditional",
    given="H is diagonal",
    uses=("adahessian.probe",),
    scale=lambda H: size(H),
    because=FEW,
    fails=(Fails("no entry of H is 0", filled, lambda H, probes: (probes - H.diagonal()) / abs(H).max()),),
)
def one_probe(H, probes):
    return probes - H.diagonal()


# --- diagonal Newton -------------------------------------------------------------------------------------------------


def jacobi(draw, direction, diagonal=False):
    """A step of length η from the error e on a quadratic."""
    n = draw.size(1 if diagonal else 2)
    A = np.diag(draw.positive(n)) if diagonal else draw.spd(n, 1e3)
    A, e, eta = A + 0 * draw.matrix(n, n), draw.vector(n), draw.number(0.1, 1)
    p = direction(A, A @ e, draw.array("1/1000000000000")[()], draw.array("1e30")[()], draw.array("1e30")[()])
    return {"A": A, "e": e, "eta": eta, "p": p}


@claim(
    "diagonal-newton.exact",
    "On a quadratic one whole step is enough",
    BECKER,
    lambda draw, direction: jacobi(draw, direction, True),
    "conditional",
    given="the Hessian is diagonal and positive",
    uses=("diagonal-newton.direction",),
    scale=lambda e: size(e),
    because=FEW,
    fails=(
        Fails(
            "A = [[2, 1], [1, 2]], e = (1, 1)",
            lambda draw, direction: jacobi_2x2(draw, direction),
            lambda e, p: (e + p) / e.max(),
        ),
    ),
)
def exact(e, p):
    return e + p


def jacobi_2x2(draw, direction):
    A, e = draw.array([[2, 1], [1, 2]]), draw.array([1, 1]) * draw.number(1, 9)
    return {"e": e, "p": direction(A, A @ e, *(draw.array(part)[()] for part in ("1/100", "1e30", "1e30")))}


@claim(
    "diagonal-newton.jacobi",
    "On a quadratic with positive diagonal D the step is Jacobi's iteration:   e₊ = (I − ηD⁻¹A)e",
    BECKER + "; G. H. Golub & C. F. Van Loan, Matrix Computations, 4th ed., §11.2",
    jacobi,
    uses=("diagonal-newton.direction",),
    scale=lambda A, e: size(A) * size(e),
    because=FEW,
)
def error_map(A, e, eta, p):
    return A.diagonal() * (e + eta * p - e) + eta * (A @ e)


def summed(draw, probe, positive=False):
    """H, and its product with ones."""
    found = probed(draw, probe, positive=positive)
    return found | {"rows": found["H"].sum(axis=1)}


@claim(
    "diagonal-newton.row-sums",
    "H times the vector of ones is the diagonal of H",
    BECKER,
    summed,
    "false",
    corrected="It is the sum of each row; the diagonal is the mean of z ∘ Hz over all signs z, of which z = 1 is one",
    uses=("adahessian.probe",),
    scale=lambda H: size(H),
    because=FEW,
    fails=(
        Fails(
            "as stated, H with positive entries",
            lambda draw, probe: summed(draw, probe, True),
            lambda H, rows: (rows - H.diagonal()) / abs(H).max(),
        ),
    ),
)
def row_sums(H, probes, rows):
    return probes.mean(axis=0) - H.diagonal(), probes[-1] - rows
