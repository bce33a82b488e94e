"""AdaHessian: Adam with an estimate of the Hessian's diagonal in place of the gradient in v.

    D  = (1/K) Σ z ∘ Hz                 z ∈ {−1, 1}ᴾ, K of them;   H: the Hessian of the batch.   E[D] = diag H
    D  ← its mean over blocks           spatial averaging: see below
    m ← β₁ m + (1 − β₁) g,      v ← β₂ v + (1 − β₂) D²
    x ← x − η m̂ / (v̂ᵃ + ε) − ηωx        m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ);   a = k/2, k the Hessian power, 1

Z. Yao, A. Gholami, S. Shen, M. Mustafa, K. Keutzer & M. W. Mahoney, AdaHessian, arXiv:2006.00719, §3.
Shapes: x, g, m, v, z are (P,).   Cost of a step: K products with the Hessian, and O(P).

Spatial averaging replaces the entries of a block by their mean. A block is a filter's kernel, the axes of an array
behind its second: (kh, kw) of (out, in, kh, kw). With `block` b, arrays of two axes or less are cut into runs of b
entries in C order, if b divides their number. `averaging` is "signed", the mean of D as in the paper; "absolute",
the mean of |D|, as in code that is in use; or "none". They differ where entries of a block have different signs.

Probes are random signs and nothing else. Those of another law with variance 1 have the same mean; but with normal
numbers the variance of each entry is larger by 2Hᵢᵢ², and even a diagonal Hessian is not met by one probe.
"""

from math import prod
from typing import Any, NamedTuple

from refopt.moments import learnt, of_probe, of_squares
from refopt.ops import namespace
from refopt.sampled import Draw, Needs, Shapes, arrays_of, at, begun, flat, like, products, required, shapes_of

AVERAGING = ("signed", "absolute", "none")


class Params(NamedTuple):
    step: float = 0.15  #: η
    beta1: float = 0.9  #: β₁
    beta2: float = 0.999  #: β₂
    eps: float = 1e-6  #: ε
    exponent: float = 0.5  #: a = k/2
    probes: int = 1  #: K
    averaging: str = "signed"  #: "signed", "absolute" or "none"
    block: int = 1  #: b, of arrays with two axes or less
    weight_decay: float = 0.0  #: ω
    shapes: Shapes = ()  #: of the arrays in x; the network's where nothing is said


CHOICES = {"averaging": AVERAGING}


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    m: Any  #: the mean of the gradients
    v: Any  #: the mean of D²
    shapes: Shapes
    t: int  #: steps taken


def needs(params: Params) -> Needs:
    return Needs(probes=params.probes)


def init(problem: Any, x: Any, params: Params) -> State:
    x = begun(x)
    return State(x, float("nan"), 0.0 * x, 0.0 * x, 0.0 * x, shapes_of(problem, x, params.shapes), 0)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    probes = required(None if draw is None else draw.probes, "draw.probes, random signs (K, P)", "adahessian")
    point = at(problem, state.x, draw)
    new = update(state, point.grad, params, draw, donate, products(point, probes))
    return new._replace(f=point.fun)


def update(
    state: State, grad: Any, params: Params, draw: Draw | None = None, donate: Any = False, products: Any = None
) -> State:
    """products: Hz (K, P) for the probes z of the draw."""
    like(grad, state)
    probes = required(None if draw is None else draw.probes, "draw.probes, random signs (K, P)", "adahessian")
    products = required(products, "Hz of the probes, products=", "adahessian")
    if probes.shape[0] == 1 and alone(state.shapes, params.averaging, params.block):
        return learnt(state, grad, params, of_probe, probes[0, :], products[0, :], donate=donate)
    D = averaged(probed(probes, products), state.shapes, params.averaging, params.block)
    return learnt(state, grad, params, of_squares, D * D, donate=donate)


def probed(probes: Any, products: Any) -> Any:
    """The mean of z ∘ Hz over the K probes: (P,)."""
    if tuple(probes.shape) != tuple(products.shape):
        raise ValueError(f"probes have shape {tuple(probes.shape)}, their products {tuple(products.shape)}")
    return namespace(probes).mean(probes * products, axis=0)


def averaged(D: Any, shapes: Shapes, averaging: str, block: int) -> Any:
    """D with the mean of its block in place of each entry."""
    if alone(shapes, averaging, block):
        return D
    xp = namespace(D)
    D = xp.abs(D) if averaging == "absolute" else D
    found = []
    for part, shape in zip(arrays_of(D, shapes), shapes, strict=True):
        runs = xp.reshape(part, (-1, blocks(shape, block)))
        found.append(xp.broadcast_to(xp.mean(runs, axis=1, keepdims=True), runs.shape))
    return flat(found)


def alone(shapes: Shapes, averaging: str, block: int) -> bool:
    """Whether every entry is a block of its own."""
    if averaging not in AVERAGING:
        raise ValueError(f"averaging must be one of {', '.join(map(repr, AVERAGING))}; it is {averaging!r}")
    return averaging == "none" or all(blocks(shape, block) == 1 for shape in shapes)


def blocks(shape: tuple[int, ...], block: int) -> int:
    """The length of a block, which is a run of entries in C order."""
    if len(shape) > 2:
        return prod(shape[2:])
    return block if block > 0 and prod(shape) % block == 0 else 1
