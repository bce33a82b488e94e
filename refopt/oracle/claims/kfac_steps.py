"""K-FAC as a method: averages, the length of a step and its momentum, damping, invariance."""

import numpy as np

from refopt import curvature
from refopt.networks import Linear, Sequential, Tanh
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.kronecker import KFAC
from refopt.oracle.draw import bulk, condition, excess, eye, least, size, solve
from refopt.stochastic import kfac
from refopt.supervised import Supervised

FEW = "sums of a few products of this size"


# --- averages --------------------------------------------------------------------------------------------------------


def averages(draw, averaging, mean, steps=0):
    """Running averages of k factors, k ≤ 1/(1 − ε̄)."""
    most, n = draw.array("4/5")[()], draw.size()
    factors = [draw.spd(n, 1e2) for _ in range(steps or int(draw.rng.integers(1, 6)))]
    found = 0 * factors[0]
    for k, factor in enumerate(factors, 1):
        weight = averaging(draw.array(k)[()], most)
        (found,) = mean(found, factor, weight, 1 - weight)
    return {"factors": np.array(factors), "found": found, "k": draw.array(len(factors))[()]}


@claim(
    "kfac-step.averages",
    "Running averages with the weights ε = min(1 − 1/k, ε̄) are the means of the first k factors",
    KFAC + "§5",
    averages,
    "conditional",
    given="k ≤ 1/(1 − ε̄), 20 for ε̄ = 0.95; then older factors are forgotten by ε̄ in a step",
    uses=("kfac-type.averaging", "kfac-type.mean"),
    scale=lambda factors: size(factors),
    because=FEW,
    fails=(
        Fails(
            "twenty factors with ε̄ = 4/5",
            lambda draw, averaging, mean: averages(draw, averaging, mean, 20),
            lambda factors, found, k: (k * found - factors.sum(axis=0)) / bulk(found),
        ),
    ),
)
def averaged(factors, found, k):
    return k * found - factors.sum(axis=0)


# --- the length of the step ------------------------------------------------------------------------------------------


def pairs(draw, pair, rescaling, model):
    """B ≻ 0 of F + (λ + η)I, Δ = −P⁻¹∇h for another matrix P, the last step δ₀, and what the library makes of them."""
    n = draw.size(2)
    B, P, g, last = draw.spd(n, 1e2), draw.spd(n, 1e2), draw.vector(n), draw.vector(n)
    D = np.column_stack([-solve(P, g), last])
    if not least(D.T @ D) > (0 if draw.exact else 1e-3 * size(D[:, 0]) * size(last)):
        return pairs(draw, pair, rescaling, model)
    products, slopes = D.T @ B @ D, D.T @ g
    alpha, both = rescaling(products[0, 0], slopes[0]), pair(products, slopes)
    values = {"alone": model(products, slopes, (alpha, 0)), "change": model(products, slopes, both)}
    return {"B": B, "g": g, "D": D, "alpha": alpha, "both": np.array(both)} | values


def pairs_scale(B, g, D, both):
    kappa, values = condition(D.T @ B @ D), size(g) * size(D) + size(B) * size(D) ** 2
    return kappa * (size(g) * size(D) + size(B) * size(D) ** 2 * size(both)), kappa * values * (1 + size(both)) ** 2


@claim(
    "kfac-step.momentum",
    "With α and μ from two equations M is stationary along Δ and δ₀, and M(αΔ + μδ₀) = ½∇hᵀδ ≤ M(αΔ) ≤ M(0)",
    KFAC + "§6.4 and §7",
    pairs,
    given="B ≻ 0, Δ and δ₀ independent",
    uses=("kfac-type.pair", "kfac-type.rescaling", "kfac-type.model"),
    scale=lambda B, g, D, both: (lambda slope, value: (slope, slope, *(value,) * 4))(*pairs_scale(B, g, D, both)),
    because=FEW + "; two equations lose eps κ",
)
def momentum(B, g, D, alpha, both, alone, change):
    M = lambda d: g @ d + d @ B @ d / 2
    along, d = alpha * D[:, 0], D @ both
    slopes = D[:, 0] @ (g + B @ along), D.T @ (g + B @ d)
    return *slopes, M(along) - alone, M(d) - change, change - g @ d / 2, excess(change - alone) + excess(alone)


def first(draw, pair):
    n = draw.size()
    B, g, delta = draw.spd(n, 1e2), draw.vector(n), draw.vector(n)
    D = np.column_stack([delta, 0 * delta])
    products, slopes = D.T @ B @ D, D.T @ g
    return {"products": products, "slopes": slopes, "both": np.array(pair(products, slopes))}


@claim(
    "kfac-step.first",
    "Two equations determine α and μ in every step",
    KFAC + "§7",
    first,
    "imprecise",
    corrected="In the first δ₀ = 0, and one of them is 0 = 0: μ = 0, and α = −∇hᵀΔ/ΔᵀBΔ",
    uses=("kfac-type.pair",),
    scale=lambda slopes, both, products: (bulk(slopes), bulk(both) or 1.0),
    because=FEW,
    fails=(
        Fails(
            "as stated: the determinant",
            first,
            lambda products: int(products[0, 0] * products[1, 1] - products[0, 1] ** 2 == 0),
        ),
    ),
)
def first_step(products, slopes, both):
    return products[0, 0] * both[0] + slopes[0], both[1]


# --- damping ---------------------------------------------------------------------------------------------------------


def zones(draw, followed, reduction):
    """λ after steps with ρ above ¾, at ¾, between, at ¼, below; three quarters of a whole number are not rounded."""
    lam, omega, promised = draw.magnitude(), draw.array("19/20")[()] ** 5, draw.array(-draw.rng.integers(1, 99))[()]
    ratios = [draw.number("76/100", 3), *draw.array(["3/4", "1/2", "1/4"]), draw.number(-3, "24/100")]
    changes = [rho * promised for rho in ratios]
    found = [followed(lam, reduction(change, promised), omega, 1) for change in changes]
    return {"lam": lam, "omega": omega, "found": np.array(found)}


@claim(
    "kfac-step.zones",
    "λ ← ω₁λ where ρ > ¾, λ/ω₁ where ρ < ¼; between them, both included, it stays",
    KFAC + "§6.5",
    zones,
    uses=("inexact.followed", "kfac-type.reduction"),
    scale=lambda lam: float(lam),
    because="three roundings",
)
def three_zones(lam, omega, found):
    return found[0] - omega * lam, found[1:4] - lam, omega * found[4] - lam


def gammas(draw, candidates):
    gamma, omega = draw.magnitude(), draw.number("1/10", "99/100")
    return {"gamma": gamma, "omega": omega, "found": np.array(candidates(gamma, omega))}


@claim(
    "kfac-step.candidates",
    "γ, ω₂γ and γ/ω₂ are tried: γ itself, so that no choice makes M worse, and two that can undo each other",
    KFAC + "§6.6",
    gammas,
    uses=("kfac-type.candidates",),
    scale=lambda gamma: (float(gamma), float(gamma), float(gamma) ** 2),
    because="two roundings",
)
def three_gammas(gamma, omega, found):
    return found[0] - gamma, found.min() - omega * gamma, found[1] * found[2] - gamma**2


def scheduled(draw):
    """Ten steps, no other γ tried, every fourth with new inverses; what is kept after each beside what is due."""
    net, N, every = Sequential(Linear(2, 2), Tanh(), Linear(2, 2)), 4, 4
    problem = Supervised(net, "squared", draw.matrix(N, 2), draw.matrix(N, 2))
    params = kfac.Params(candidates_every=0, inverse_every=every, damping=float(draw.magnitude(1)), fisher="exact")
    state, rows, kappa = kfac.init(problem, draw.vector(net.size), params), [], 1.0
    kept: tuple[np.ndarray, ...] = ()
    first = state.gamma**2 - params.damping - params.l2
    for k in range(1, 11):
        root, state = (state.damping + params.l2) ** 0.5, kfac.step(problem, state, params)
        if k <= 3 or k % every == 0:
            damped = [
                (A + pi * root * eye(A), G + root / pi * eye(G))
                for A, G in state.factors
                for pi in [((np.trace(A) / len(A)) / (np.trace(G) / len(G))) ** 0.5]
            ]
            kept = tuple(np.linalg.inv(M) for pair in damped for M in pair)
            kappa = max(kappa, *(condition(M) for pair in damped for M in pair))
        found = [M for arrays in state.inverse for M in arrays]
        rows += [(M - due).ravel() / size(due) for M, due in zip(found, kept, strict=True)]
    return {"first": first / (params.damping + params.l2), "rows": np.concatenate(rows), "kappa": kappa}


@claim(
    "kfac-step.inverses",
    "Inverses of the present averages, damped by γ = √(λ + η), in the first three steps and every T₃; kept in between",
    KFAC + "§6.6 and §8",
    scheduled,
    given="no other γ is tried; γ₀ = √(λ₀ + η)",
    scale=lambda kappa: (1, kappa),
    because="an inverse loses eps κ",
    exact=False,
)
def of_schedule(first, rows):
    return first, rows


def tikhonov(draw, inverse_of):
    A, G, gamma = draw.spd(draw.size(1, 3), 1e2), draw.spd(draw.size(1, 3), 1e2), float(draw.magnitude(1))
    found = {rule: inverse_of(curvature.Kron(A, G), gamma, rule) for rule in ("pi", "factored")}
    return {"A": A, "G": G, "gamma": gamma, "pi": found["pi"], "factored": found["factored"]}


def tikhonov_scale(A, G, gamma, pi, factored):
    root = ((np.trace(A) / len(A)) / (np.trace(G) / len(G))) ** 0.5
    return tuple(
        (size(A) + p * gamma) * size(found[0]) * (size(G) + gamma / p) * size(found[1])
        for p, found in ((root, pi), (1.0, factored))
    )


@claim(
    "kfac-step.tikhonov",
    "Of each layer two inverses are kept, (A + πγI)⁻¹ and (G + γ/π I)⁻¹: those of G ⊗ A + πγ G ⊗ I + γ/π I ⊗ A + γ²I",
    KFAC + "§6.3",
    tikhonov,
    given="A, G ≻ 0; π = √((tr A/d)/(tr G/m)), or 1",
    uses=("kfac-type.inverse_of",),
    scale=tikhonov_scale,
    because="an inverse loses eps κ",
    exact=False,
)
def sum_of_four(A, G, gamma, pi, factored):
    root = ((np.trace(A) / len(A)) / (np.trace(G) / len(G))) ** 0.5
    parts = []
    for p, (A_inv, G_inv) in ((root, pi), (1.0, factored)):
        one_A, one_G = eye(A), eye(G)
        F = np.kron(G, A) + p * gamma * np.kron(G, one_A) + gamma / p * np.kron(one_G, A)
        F = F + gamma**2 * np.kron(one_G, one_A)
        parts.append(F @ np.kron(G_inv, A_inv) - np.eye(len(F)))
    return tuple(parts)


# --- invariance ------------------------------------------------------------------------------------------------------


def changed_variables(draw, damping=0.0):
    """Two linear layers, and the same function with its inputs and its hidden units changed by affine maps."""
    N, net = 8, Sequential(Linear(2, 2), Linear(2, 2))
    X, Y = draw.matrix(N, 2), draw.matrix(N, 2)
    (W, V), (b, c) = (draw.spd(2, 10.0) for _ in range(2)), (draw.vector(2) for _ in range(2))
    (S, T), (s, t) = (draw.spd(2, 5.0) for _ in range(2)), (draw.vector(2) for _ in range(2))
    W, V, S, T = (M / np.linalg.norm(M, 2) for M in (W, V, S, T))
    other = T @ W @ np.linalg.inv(S), V @ np.linalg.inv(T)
    first = W, b, V, c
    second = other[0], T @ b + t - other[0] @ s, other[1], c - other[1] @ t
    found = []
    for (A, a, B, d), data in ((first, X), (second, X @ S.T + s)):
        problem = Supervised(net, "squared", data, Y)
        x = np.concatenate([A.ravel(), a, B.ravel(), d])
        delta = -curvature.kfac(problem, x).solve(problem.grad(x), damping, "pi")
        found.append(problem.outputs(x + delta))
        found.append(np.array([np.linalg.cond(K.A) * np.linalg.cond(K.G) for K in curvature.kfac(problem, x).blocks]))
    return {"before": found[0], "after": found[2], "kappa": np.concatenate([found[1], found[3]])}


@claim(
    "kfac-step.invariance",
    "A step of K-FAC makes the same function of a network whose activations are transformed by any affine maps",
    KFAC + "§10",
    changed_variables,
    "conditional",
    given="no damping, and biases as homogeneous coordinates",
    scale=lambda before, kappa: size(before) * float(kappa.sum()),
    because="solves lose eps κ of the factors",
    exact=False,
    fails=(
        Fails(
            "damped by λ = ½",
            lambda draw: changed_variables(draw, 0.5),
            lambda before, after: (after - before) / size(before),
        ),
    ),
)
def invariance(before, after):
    return after - before
