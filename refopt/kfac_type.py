"""What K-FAC, its block-tridiagonal form and EKFAC share: all of a step but the inverse of the factors.

    h(x) = f(x) + ½η‖x‖²,   ∇h = g + ηx,   B = F + (λ + η)I,   M(δ) = ∇hᵀδ + ½δᵀBδ       F: the exact Fisher matrix
    A̅ ← εA̅ + (1 − ε)A,  ε = min(1 − 1/k, ε̄)          each factor, of labels drawn from the model, in the k-th step
    Δ = −F̂(γ)⁻¹∇h                                    F̂(γ): the factored approximation, damped by γ² ≈ λ + η
    δ = αΔ + μδ₀ ← argmin M                          δ₀: the last step
    γ ∈ {γ, ω₂γ, γ/ω₂}, with the lowest M(δ)         every T₂ steps;    ω₂ = √ωᵀ², ω₁ = ωᵀ¹
    x ← x + δ
    ρ = (h(x + δ) − h(x))/M(δ):   λ ← ω₁λ where ρ > ¾,  λ/ω₁ where ρ < ¼           every T₁ steps

J. Martens & R. Grosse, *ICML* 2015, arXiv:1503.05671: §5 averages, §6.3 π, §6.4 and §7 α and μ, §6.5 λ, §6.6 γ, §8 T₃.

Defaults: ε̄ = 0.95, T₁ = 5, T₂ = T₃ = 20, ω = 19/20 and η = 1e-5, those of the authors' own code (KFAC3-MATLAB at
www.cs.toronto.edu/~jmartens, ``nnet_train_2.m`` and ``KFAC_demo_2.m``), where T₁, T₂ and T₃ are said to be the paper's.

A method is a ``Family``: how one batch is factored, what is kept of the inverse, and products with it. F̂ is inverted
in the first three steps, every T₃, and where other γ are tried.

Deviations from the source:
- All samples of the batch serve all parts; it takes fewer of them for the factors and for F in M (§8).
- λ₀ = 1 suits a loss that is a mean, as that code says of classifiers; its 150 is for sums over the pixels of digits.
- λ is no less than eps ΔᵀFΔ/‖Δ‖²: what is smaller changes nothing, and would take long to grow again.
- γ is free; that code keeps it between √η and 1. Without candidates γ = √(λ + η) whenever F̂ is inverted.
- Where Δ and δ₀ are parallel to rounding, as in the first step, where δ₀ = 0, μ = 0.
"""

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from refopt.curvature.layerwise import KINDS, SHARINGS, Layers, made_of_layers, taken_apart
from refopt.curvature.leaves import Arrays
from refopt.curvature.pieces import Diagonal
from refopt.elementwise import applied
from refopt.inexact import followed
from refopt.linalg.arrays import as_type, lower_inverse, rounding, spectral, symmetric
from refopt.ops import Symmetric, cholesky, dot, eps, finite, namespace, norm, norm_inf, scalar, symmetrised
from refopt.sampled import Draw, Needs, at, begun, like, required, stacked_labels, supervised

RULES = ("pi", "factored", "exact")


class Params(NamedTuple):
    damping: float = 1.0  #: λ₀, in the units of f
    l2: float = 1e-5  #: η
    averaging: float = 0.95  #: ε̄, the largest weight of the past factors; 0 for those of the batch alone
    fisher: str = "monte-carlo"  #: labels "monte-carlo" from the model, all of them ("exact"), or "empirical"
    samples: int = 1  #: labels drawn for each sample
    sharing: str = "expand"  #: or "reduce"
    rule: str = "pi"  #: of damping: A + πγI and G + (γ/π)I; "factored": π = 1; "exact": G ⊗ A + γ²I, K-FAC only
    rescale: bool = True  #: α from M; else α = `step`
    momentum: bool = True  #: μ from M; else μ = 0
    adapt_every: int = 5  #: T₁; 0: λ stays
    candidates_every: int = 20  #: T₂; 0: γ = √(λ + η)
    inverse_every: int = 20  #: T₃
    omega: float = 0.95  #: ω
    step: float = 1.0  #: α without rescaling


CHOICES = {"fisher": KINDS[:3], "sharing": SHARINGS, "rule": RULES}


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    delta: Any  #: δ₀, the last step
    factors: tuple[Arrays, ...]  #: running averages
    inverse: tuple[Any, ...]  #: what is kept of F̂⁻¹
    damping: float  #: λ
    gamma: float  #: γ
    t: int  #: steps taken


class Seen(NamedTuple):
    """What a batch says beyond its gradient."""

    layers: Layers  #: inputs a and, for the labels of the draw, gradients g of every layer
    gram: Callable[..., Any]  #: vectors u, v, … ↦ the matrix of all uᵀFv
    fun: Callable[[Any], float]  #: f
    value: float  #: f(x)


class Family(NamedTuple):
    """How F̂ is made of factors; `arrays` is State.inverse."""

    name: str
    factored: Callable[[Layers], tuple[Any, tuple[Arrays, ...]]]  #: a matrix of this structure, and its factors
    inverted: Callable[..., Any]  #: matrix, averages, rule ↦ the function γ ↦ arrays
    solved: Callable[..., Any]  #: matrix, arrays, γ, v ↦ F̂(γ)⁻¹v
    tracked: Callable[..., tuple[Any, ...]] | None = None  #: matrix, averages, arrays, ε, c ↦ arrays, in every step


def needs(params: Params) -> Needs:
    return Needs(labels=params.samples if params.fisher == "monte-carlo" else 0)


def init(problem: Any, x: Any, params: Params) -> State:
    x = begun(x)
    for name, (least, most) in {"damping": (0.0, inf), "omega": (0.0, 1.0)}.items():
        if not least < (value := getattr(params, name)) <= most:
            raise ValueError(f"{name} must be positive{', 1 at most' if most == 1.0 else ''}; it is {value}")
    return State(x, float("nan"), 0.0 * x, 0.0 * x, (), (), params.damping, (params.damping + params.l2) ** 0.5, 0)


def seen_at(problem: Any, x: Any, params: Params, draw: Draw | None, name: str) -> tuple[Any, Seen]:
    """The problem on the draw, at x, and what it says."""
    supervised(problem, name)
    made_of_layers(problem)
    for key, known in CHOICES.items():
        if (value := getattr(params, key)) not in known:
            raise ValueError(f"{key} must be one of {', '.join(map(repr, known))}; it is {value!r}")
    point = at(problem, x, draw)
    labels = None
    if params.fisher == "monte-carlo":
        labels = stacked_labels(problem, draw, name)
        labels = namespace(labels[0]).stack(labels)
    layers = taken_apart(point, params.fisher, params.sharing, labels=labels)
    return point, Seen(layers, lambda *vectors: gram(point, vectors), point.problem.fun, point.fun)


def stepped(family: Family, state: State, grad: Any, params: Params, seen: Any, donate: Any) -> State:
    """The next state, given the gradient of the draw."""
    like(grad, state)
    layers, metric, fun, value = required(seen, "layers, products and values of the batch, seen=", family.name)
    if not finite(norm(grad)):
        return state._replace(g=grad, t=state.t + 1)
    k, x = state.t + 1, state.x
    weight, gradient, shift = averaging(k, params.averaging), grad + params.l2 * x, state.damping + params.l2
    matrix, fresh = family.factored(layers)
    factors = averaged(state.factors, fresh, weight, donate)
    trials = []
    for gamma, arrays in inverses(family, state, params, matrix, factors):
        if family.tracked:
            arrays = family.tracked(matrix, factors, arrays, weight, layers.c)
        proposal = -family.solved(matrix, arrays, gamma, gradient)
        trials.append(Trial(gamma, arrays, *stepwise(proposal, state, gradient, metric, shift, params)))
    best = min(trials, key=lambda trial: trial.change if trial.change == trial.change else inf)
    before = value + penalty(x, params.l2)
    (x,) = applied(moved, (x, best.delta), (), bool(donate))
    lam = state.damping
    if due(k, params.adapt_every) and best.change != 0.0:
        rho = reduction(fun(x) + penalty(x, params.l2) - before, best.change)
        lam = max(followed(lam, rho, params.omega**params.adapt_every, 1.0), eps(x) * best.size)
    return State(x, state.f, grad, best.delta, factors, best.arrays, lam, best.gamma, k)


# --- the equations ---------------------------------------------------------------------------------------------------


def due(k: int, every: int) -> bool:
    return every > 0 and k % every == 0


def averaging(k: Any, most: Any) -> Any:
    """ε = min(1 − 1/k, ε̄): the first k factors are averaged alike, as far as ε̄ allows."""
    return min(1 - 1 / k, most)


def candidates(gamma: Any, omega: Any) -> tuple[Any, Any, Any]:
    """γ, ω₂γ and γ/ω₂."""
    return gamma, omega * gamma, gamma / omega


def pair(B: Any, b: Any, tiny: Any = 0) -> tuple[Any, Any]:
    """α and μ with B(α, μ)ᵀ = −b: the minimum of M along Δ and δ₀, or, where these are parallel, along Δ."""
    (aa, am), (_, mm) = B
    det = aa * mm - am * am
    if not det > tiny * aa * mm:
        return rescaling(aa, b[0]), 0 * aa
    return (am * b[1] - mm * b[0]) / det, (am * b[0] - aa * b[1]) / det


def rescaling(bend: Any, slope: Any) -> Any:
    """α = −∇hᵀΔ/ΔᵀBΔ."""
    return -slope / bend if bend > 0 else 0 * bend


def model(B: Any, b: Any, z: Any) -> Any:
    """M = bᵀz + ½zᵀBz, for steps with the coefficients z."""
    n = range(len(z))
    return sum(z[i] * (b[i] + sum(B[i][j] * z[j] for j in n) / 2) for i in n)


def reduction(change: float, promised: float) -> float:
    """ρ; −∞ where h is not finite, or a step of fixed length raises M itself."""
    return change / promised if promised < 0.0 and finite(change) else -inf


def moved(x: Any, delta: Any) -> tuple[Any]:
    return (x + delta,)


def mean(old: Any, new: Any, weight: float, rest: float) -> tuple[Any]:
    return (weight * old + rest * new,)


# --- their parts -----------------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """A step with one γ."""

    gamma: float
    arrays: tuple[Any, ...]
    delta: Any
    change: float  #: M(δ)
    size: float  #: ΔᵀFΔ/‖Δ‖²


def averaged(old: tuple[Arrays, ...], new: tuple[Arrays, ...], weight: float, donate: Any) -> tuple[Arrays, ...]:
    """The running averages of all factors."""
    if not old or weight == 0.0:
        return new
    pairs = [zip(was, now, strict=True) for was, now in zip(old, new, strict=True)]
    return tuple(
        tuple(applied(mean, both, (weight, 1.0 - weight), bool(donate))[0] for both in of_block) for of_block in pairs
    )


def inverses(family: Family, state: State, params: Params, matrix: Any, factors: Any) -> Any:
    """Each γ to try, with what is kept of the inverse; nothing is inverted where neither is due."""
    k, gamma = state.t + 1, state.gamma
    several = due(k, params.candidates_every)
    if not (several or k <= 3 or due(k, params.inverse_every)):
        return [(gamma, state.inverse)]
    gammas: tuple[float, ...] = (gamma if params.candidates_every else (state.damping + params.l2) ** 0.5,)
    if several:
        gammas = candidates(gamma, params.omega ** (params.candidates_every / 2))
    invert = family.inverted(matrix, factors, params.rule)
    return [(gamma, invert(gamma)) for gamma in gammas]


def stepwise(
    proposal: Any, state: State, gradient: Any, metric: Any, shift: float, params: Params
) -> tuple[Any, float, float]:
    """δ, M(δ), and ΔᵀFΔ/‖Δ‖²."""
    vectors = (proposal, state.delta) if params.momentum and state.t else (proposal,)
    F, n = metric(*vectors), range(len(vectors))
    B = [[float(F[i][j]) + shift * dot(vectors[i], vectors[j]) for j in n] for i in n]
    b = [dot(gradient, v) for v in vectors]
    z = coefficients(B, b, params, 10.0 * eps(proposal))
    delta = sum((c * v for c, v in zip(z[1:], vectors[1:], strict=True)), z[0] * proposal)
    return delta, model(B, b, z), float(F[0][0]) / (dot(proposal, proposal) or 1.0)


def coefficients(B: Any, b: Any, params: Params, tiny: float) -> tuple[float, ...]:
    """α, and μ where there is a last step."""
    if params.rescale:
        return pair(B, b, tiny) if len(b) > 1 else (rescaling(B[0][0], b[0]),)
    if len(b) == 1:
        return (params.step,)
    return params.step, rescaling(B[1][1], b[1] + params.step * B[0][1])


def gram(point: Any, vectors: tuple[Any, ...]) -> list[list[float]]:
    """uᵀFv = c Σ (Jₙu)ᵀFₙ(Jₙv) of all vectors: one sweep forward for each, and none back."""
    xp, along = namespace(point.f), [point.jvp(v) for v in vectors]
    bent = [point.loss.fisher_vp(point.f, point.problem.y, j) for j in along]
    return [[point.c * scalar(xp.sum(j * Fj)) for Fj in bent] for j in along]


def penalty(x: Any, l2: float) -> float:
    """½η‖x‖²."""
    return 0.5 * l2 * dot(x, x)


# --- inverses of blocks ----------------------------------------------------------------------------------------------


def inverse_of(leaf: Any, gamma: float, rule: str) -> Arrays:
    """(A + πγI)⁻¹ and (G + γ/π I)⁻¹; or, of the exact rule, P, Q and 1/(gᵢaⱼ + γ²); or 1/(d + γ²)."""
    if isinstance(leaf, Diagonal):
        return (1.0 / (leaf.d + gamma**2),)
    if rule == "exact":
        (a, P), (g, Q) = leaf._spectra
        return tuple(as_type(M, leaf.A) for M in (P, Q, 1.0 / (g[:, None] * a[None, :] + gamma**2)))
    pi = leaf.pi if rule == "pi" else 1.0
    return damped_inverse(leaf.A, pi * gamma), damped_inverse(leaf.G, gamma / pi)


def damped_inverse(A: Symmetric, shift: float) -> Symmetric:
    """(A + shift I)⁻¹, in float64, by Cholesky; by eigenvalues where A itself is less certain."""
    xp, uncertain = namespace(A), A.shape[0] * eps(A) * norm_inf(namespace(A).reshape(A, (-1,)))
    L, ok = cholesky(xp.astype(A, xp.float64), shift) if shift > uncertain else (A, False)
    if ok:
        M = lower_inverse(L)
        return as_type(M.T @ M, A)
    values, V = spectral(symmetric(A))
    values = xp.where(xp.abs(values) <= rounding(values, A), 0.0 * values, values)
    return as_type(symmetrised((V / (values + shift)) @ V.T), A)
