"""SOAP: Adam in the eigenbases of Shampoo's factors.

    G′ = Q₁ᵀ G Q₂,  M′ = Q₁ᵀ M Q₂                   of a matrix; in general along each axis
    M  ← β₁M + (1 − β₁)G                            in the weights' own basis, rotated when it is used
    V  ← β₂V + (1 − β₂)G′²                          in the rotated one
    x  ← (1 − ηω)(x − η√(1 − β₂ᵗ)/(1 − β₁ᵗ) Q₁ (M′/(√V + ε)) Q₂ᵀ)
    Lᵢ ← β₃Lᵢ + (1 − β₃)G₍ᵢ₎G₍ᵢ₎ᵀ                    after the step
    Qᵢ ← the Q of LᵢQᵢ = QR, every f steps          columns in falling order of qᵀLᵢq, V permuted alike

N. Vyas, D. Morwani, R. Zhao, I. Shapira, D. Brandfonbrener, L. Janson & S. Kakade, SOAP: improving and stabilizing
Shampoo using Adam, arXiv:2409.11321, Algorithm 3.
Shapes: G, M, V (n₁, …, n_k), Lᵢ and Qᵢ (nᵢ, nᵢ).
Cost of a step: Σ 8nᵢ · size flops, and Σ 10nᵢ³/3 or so every f steps; Σ 2nᵢ² numbers.

The first gradient makes the bases, by eigh, and moves nothing. t counts the steps after it. As in the authors' code ε
is beside √V, not √V̂; vectors and axes longer than `longest` keep their own basis. V belongs to the columns of Q: when
these change places and V does not, every direction is divided by another one's root. Where eigenvalues coincide, as the
zeros of the first gradient's factors do, the routine for eigenvectors chooses the basis, and steps depend on that.
"""

from typing import Any, NamedTuple

from refopt.ops import eigh, identity, namespace
from refopt.sampled import Draw, Shapes, arrays_of, at, begun, flat, like, shapes_of
from refopt.tensors import along, gram

Factors = tuple[tuple[Any, ...], ...]


class Params(NamedTuple):
    step: float = 0.003  #: η
    beta1: float = 0.95  #: β₁
    beta2: float = 0.95  #: β₂
    beta3: float = 0.95  #: β₃, of the factors
    eps: float = 1e-8  #: ε
    every: int = 10  #: f
    longest: int = 10000  #: axis that is rotated
    vectors: bool = False  #: whether arrays of one axis are rotated
    weight_decay: float = 0.0  #: ω
    shapes: Shapes = ()  #: of the arrays in x; the network's where nothing is said


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    m: Any  #: M, raveled
    v: Any  #: V, raveled
    L: Factors  #: for each array a matrix for each axis; None for an axis that is not rotated
    Q: Factors  #: their bases
    shapes: Shapes
    t: int  #: gradients seen, one more than steps taken


def init(problem: Any, x: Any, params: Params) -> State:
    x = begun(x)
    shapes, factors = shapes_of(problem, x, params.shapes), []
    for array in arrays_of(x, shapes):
        kept = array.ndim > 1 or params.vectors
        factors.append(tuple(0.0 * gram(array, axis) if kept and n <= params.longest else None
                             for axis, n in enumerate(array.shape)))  # fmt: skip
    bases = tuple(tuple(None if L is None else identity(L[0, :]) for L in own) for own in factors)
    return State(x, float("nan"), 0.0 * x, 0.0 * x, 0.0 * x, tuple(factors), bases, shapes, 0)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    point = at(problem, state.x, draw)
    return update(state, point.grad, params, draw, donate)._replace(f=point.fun)


def update(state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    like(grad, state)
    arrays = arrays_of(grad, state.shapes)
    factors = tuple(gathered(own, G, params.beta3) for own, G in zip(state.L, arrays, strict=True))
    if state.t == 0:
        bases = tuple(tuple(None if L is None else basis(L) for L in own) for own in factors)
        return state._replace(g=grad, L=factors, Q=bases, t=1)
    m = params.beta1 * state.m + (1.0 - params.beta1) * grad
    V, p = [], []
    for G, M, old, Q in zip(arrays, *(arrays_of(each, state.shapes) for each in (m, state.v)), state.Q, strict=True):
        rotated = turned(G, Q)
        V.append(params.beta2 * old + (1.0 - params.beta2) * (rotated * rotated))
        p.append(turned(turned(M, Q) / (namespace(G).sqrt(V[-1]) + params.eps), Q, back=True))
    t, bases = state.t, state.Q
    eta = params.step * (1.0 - params.beta2**t) ** 0.5 / (1.0 - params.beta1**t)
    x = (1.0 - params.step * params.weight_decay) * (state.x - eta * flat(p))
    if t % params.every == 0:
        renewed = [refreshed(L, Q, each) for L, Q, each in zip(factors, bases, V, strict=True)]
        bases, V = tuple(Q for Q, _ in renewed), [each for _, each in renewed]
    return state._replace(x=x, g=grad, m=m, v=flat(V), L=factors, Q=bases, t=t + 1)


def gathered(factors: tuple[Any, ...], G: Any, beta: float) -> tuple[Any, ...]:
    """β₃Lᵢ + (1 − β₃)G₍ᵢ₎G₍ᵢ₎ᵀ for each axis that is rotated."""
    return tuple(None if L is None else beta * L + (1 - beta) * gram(G, axis) for axis, L in enumerate(factors))


def basis(L: Any) -> Any:
    """The eigenvectors of L as columns, that of the largest eigenvalue first."""
    xp = namespace(L)
    return xp.flip(eigh(L)[1], axis=0).T


def turned(G: Any, bases: tuple[Any, ...], back: bool = False) -> Any:
    """Q₁ᵀGQ₂ of a matrix, or back, Q₁GQ₂ᵀ."""
    for axis, Q in enumerate(bases):
        if Q is not None:
            G = along(Q if back else Q.T, G, axis)
    return G


def refreshed(factors: tuple[Any, ...], bases: tuple[Any, ...], V: Any) -> tuple[tuple[Any, ...], Any]:
    """Bases after one step of the power method, their columns in order, and V in the same order."""
    xp, renewed = namespace(V), list[Any]()
    for axis, (L, Q) in enumerate(zip(factors, bases, strict=True)):
        if L is None:
            renewed.append(None)
            continue
        LQ = L @ Q
        order = xp.argsort(-xp.sum(Q * LQ, axis=0))
        V = xp.take(V, order, axis=axis)
        renewed.append(xp.linalg.qr(xp.take(LQ, order, axis=1))[0])
    return tuple(renewed), V
