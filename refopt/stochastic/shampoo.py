"""Shampoo: gradients of matrices and tensors, preconditioned along each of their axes.

    Lᵢ ← Lᵢ + G₍ᵢ₎G₍ᵢ₎ᵀ                             i = 1 … k, the axes of G;   β₂ = 1
    Lᵢ ← β₂Lᵢ + (1 − β₂)G₍ᵢ₎G₍ᵢ₎ᵀ,  L̂ᵢ = Lᵢ/(1 − β₂ᵗ)    β₂ < 1, else L̂ᵢ = Lᵢ
    P  = M̂ ×₁ (L̂₁ + εI)^{−1/2k} … ×ₖ (L̂ₖ + εI)^{−1/2k}     a matrix: L^{−¼} M̂ R^{−¼};   a vector: L^{−½} M̂
    x  ← x − ηP − ηωx,    M ← β₁M + (1 − β₁)G,  M̂ = M/(1 − β₁ᵗ)

V. Gupta, T. Koren & Y. Singer, Shampoo: preconditioned stochastic tensor optimization, *ICML* 2018, arXiv:1802.09568,
Algorithms 1 and 2;  R. Anil, V. Gupta, T. Koren, K. Regan & Y. Singer, Scalable second order optimization for deep
learning, arXiv:2002.09018, for running means, grafting, blocks and the schedule of the roots.
Shapes: G (n₁, …, n_k), Lᵢ (nᵢ, nᵢ).
Cost of a step: Σ 4nᵢ · size flops, and 10 Σ nᵢ³ or so every `every` steps; Σ 2nᵢ² numbers.

Every Lᵢ is made of the gradient as it is, and the mean M is one of gradients: what is preconditioned never enters
either of them. With ε in place of the source's L₀ = εI the sums are the same, and means are not biased by it.
- `grafting`: P takes, array by array, the length of the step of another method: "sgd" ‖M̂‖, "adagrad", "rmsprop" or
  "adam" with `graft_beta2` and `graft_eps`. Until step `start` that method steps itself.
- `block`: longer axes are cut into pieces with factors of their own, 0 for none.
- `every`: steps between the computing of roots, by `root`: "eigh" or "coupled-newton".
- `shapes` decide which axes there are: arrays may be handed in with axes merged, those of length 1 left out.
"""

from fractions import Fraction
from typing import Any, NamedTuple

from refopt.linalg.roots import METHODS, inverse_root
from refopt.ops import identity, namespace, norm
from refopt.sampled import Draw, Shapes, arrays_of, at, begun, flat, like, shapes_of
from refopt.tensors import along, gram, pieces, reunited

GRAFTING = ("none", "sgd", "adagrad", "rmsprop", "adam")


class Params(NamedTuple):
    step: float = 0.1  #: η
    beta1: float = 0.0  #: β₁
    beta2: float = 1.0  #: β₂; 1 for sums
    eps: float = 1e-6  #: ε
    relative: bool = False  #: ε in units of the largest eigenvalue
    every: int = 1  #: steps from root to root
    start: int = 0  #: steps before the first preconditioned one
    block: int = 1024  #: the longest axis that is not cut
    root: str = "eigh"  #: or "coupled-newton"
    grafting: str = "none"  #: "none", "sgd", "adagrad", "rmsprop" or "adam"
    graft_beta2: float = 0.999  #: of "rmsprop" and "adam"
    graft_eps: float = 1e-8  #: ε of the same
    weight_decay: float = 0.0  #: ω
    shapes: Shapes = ()  #: of the arrays in x; the network's where nothing is said


CHOICES = {"root": METHODS, "grafting": GRAFTING}
Factors = tuple[tuple[Any, ...], ...]


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    m: Any  #: the mean of the gradients
    v: Any  #: squares for grafting
    L: Factors  #: for each piece of an array, a matrix for each axis
    roots: Factors  #: the last inverse roots
    shapes: Shapes
    t: int  #: steps taken


def init(problem: Any, x: Any, params: Params) -> State:
    x = begun(x)
    shapes, factors, roots = shapes_of(problem, x, params.shapes), [], []
    for array, shape in zip(arrays_of(x, shapes), shapes, strict=True):
        for piece in pieces(shape, params.block):
            one = [identity(unit(array[piece], axis)) for axis in range(len(shape))]
            roots.append(tuple(one))
            factors.append(tuple(0.0 * each for each in one))
    return State(x, float("nan"), 0.0 * x, 0.0 * x, 0.0 * x, tuple(factors), tuple(roots), shapes, 0)


def unit(array: Any, axis: int) -> Any:
    """Any vector as long as the axis."""
    index = tuple(slice(None) if k == axis else 0 for k in range(array.ndim))
    return array[index]


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    point = at(problem, state.x, draw)
    return update(state, point.grad, params, draw, donate)._replace(f=point.fun)


def update(state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    like(grad, state)
    t = state.t + 1
    m = params.beta1 * state.m + (1.0 - params.beta1) * grad
    m_hat = m / (1.0 - params.beta1**t)
    L, roots = list(state.L), list(state.roots)
    fresh, k, steps = state.t >= params.start and (state.t - params.start) % params.every == 0, 0, []
    for G, M, shape in zip(arrays_of(grad, state.shapes), arrays_of(m_hat, state.shapes), state.shapes, strict=True):
        parts = []
        for piece in pieces(shape, params.block):
            L[k] = tuple(gathered(old, G[piece], axis, params.beta2) for axis, old in enumerate(L[k]))
            if fresh:
                roots[k] = tuple(inverse_of(each, len(shape), t, params) for each in L[k])
            parts.append(preconditioned(M[piece], roots[k]))
            k += 1
        steps.append(reunited(parts, shape, params.block))
    v, other = grafted(state.v, grad, m_hat, t, params)
    p = flat(steps)
    if params.grafting != "none":
        p = other if state.t < params.start else flat(of_length(steps, arrays_of(other, state.shapes)))
    x = (1.0 - params.step * params.weight_decay) * state.x - params.step * p
    return state._replace(x=x, g=grad, m=m, v=v, L=tuple(L), roots=tuple(roots), t=t)


def gathered(L: Any, G: Any, axis: int, beta2: float) -> Any:
    """L + G₍ᵢ₎G₍ᵢ₎ᵀ, or the running mean."""
    return L + gram(G, axis) if beta2 == 1.0 else beta2 * L + (1 - beta2) * gram(G, axis)


def inverse_of(L: Any, axes: int, t: int, params: Params) -> Any:
    """(L̂ + εI)^{−1/2k}."""
    L = L if params.beta2 == 1.0 else L / (1.0 - params.beta2**t)
    if params.relative and not norm(namespace(L).reshape(L, (-1,))) > 0.0:
        return identity(L[0, :])  # nothing was seen along this axis
    return inverse_root(L, Fraction(2 * axes), params.root, params.eps, params.relative)[0]


def preconditioned(M: Any, roots: tuple[Any, ...]) -> Any:
    """M ×₁ X₁ … ×ₖ Xₖ: X₁MX₂ of a matrix, for symmetric Xᵢ."""
    for axis, X in enumerate(roots):
        M = along(X, M, axis)
    return M


def grafted(v: Any, g: Any, m_hat: Any, t: int, params: Params) -> tuple[Any, Any]:
    """The squares, and the step of the method that lends its length; η is applied later."""
    xp, kind, beta2 = namespace(g), params.grafting, params.graft_beta2
    if kind in ("none", "sgd"):
        return v, m_hat
    if kind not in GRAFTING:
        raise ValueError(f"grafting must be one of {', '.join(map(repr, GRAFTING))}; it is {kind!r}")
    v = v + g * g if kind == "adagrad" else beta2 * v + (1.0 - beta2) * (g * g)
    size = v / (1.0 - beta2**t) if kind == "adam" else v
    return v, m_hat / (xp.sqrt(size) + params.graft_eps)


def of_length(steps: list[Any], others: list[Any]) -> list[Any]:
    """Each step with the length of the other."""
    found = []
    for P, other in zip(steps, others, strict=True):
        length = norm(namespace(P).reshape(P, (-1,)))
        wanted = norm(namespace(P).reshape(other, (-1,)))
        found.append(P * (wanted / length) if length > 0.0 else P)
    return found
