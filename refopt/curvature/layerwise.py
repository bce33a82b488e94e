"""The parameters of a network layer by layer, as Kronecker-factored curvature takes them apart.

A layer y = W a + b, applied at R positions of each sample, has the gradient, for one cotangent u of the outputs,

    ∇[W b] = Σᵣ gᵣ āᵣᵀ,        āᵣ = (aᵣ, 1),    gᵣ = ∂(uᵀf)/∂yᵣ

and the Fisher matrix is c Σ vec(∇) vec(∇)ᵀ over samples and cotangents, which the kind of Fisher matrix says:

    exact          u_s with E[∇ℓ∇ℓᵀ] = Σ_s u_s u_sᵀ, y ~ the model: nothing is drawn
    monte-carlo    u_s = ∇ℓ at labels drawn from the model, or handed in;  c/S instead of c
    empirical      u = ∇ℓ at the labels of the data
    forward-only   none: G = I (F. Benzing, arXiv:2201.12250)

A ``Part`` is a layer with [W b] as one matrix (bias="joint"), or W, or b as a layer on the constant a = 1 ("separate").
A convolution is a linear layer on patches at each of its positions, each of its groups a layer of its own. Layers that
share one W are one layer at the positions of all of them, and have their biases apart.

J. Martens & R. Grosse, *ICML* 2015, arXiv:1503.05671, §2, §3;  R. Grosse & J. Martens, *ICML* 2016, arXiv:1602.01407.

Deviation from the sources: parameters of no linear layer (normalisation, embeddings, positions) have the diagonal of
the Fisher matrix, which has no Kronecker structure there. In "forward-only" it is that of the empirical one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np

from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.pieces import Diagonal, Reordered
from refopt.curvature.point import vector
from refopt.linalg.operators import generator
from refopt.ops import device, namespace

KINDS = ("exact", "monte-carlo", "empirical", "forward-only")
SHARINGS = ("expand", "reduce")
BIASES = ("joint", "separate")
AT_ONCE = 2**19  #: numbers in the gradients g of a layer for a few samples


class Part(NamedTuple):
    """A linear layer, or W or b of one, and what passed through it."""

    name: str
    places: tuple[slice, ...]  #: of W and b, of W, or of b, in the flat parameters
    a: Any  #: inputs (N, R, in), the last of them 1 where the bias is joint
    g: Any  #: gradients at the outputs (S, N, R, out)
    bias: bool  #: joint
    chain: str  #: "weights", "biases", or "" where no layer comes before or after


class Layers(NamedTuple):
    """A network taken apart at one point."""

    parts: list[Part]  #: in the order of the layers
    others: list[tuple[slice, Any]]  #: parameters of no linear layer, and Σ ∇² for them
    c: float  #: of F = c Σ vec(∇) vec(∇)ᵀ
    fisher: str
    sharing: str
    gradients: Callable[[], Any]  #: ∇ of all samples and cotangents, formed: (S, N, P)


def layers(
    problem: Any, x: Any, *, fisher: str = "exact", sharing: str = "expand", bias: str = "joint", labels: Any = None,
    samples: int = 1, rng: Any = None,
) -> Layers:  # fmt: skip
    """The layers of a ``Supervised`` problem at x (P,).   Cost: one sweep forward, one backward with all cotangents."""
    for given, known, name in ((fisher, KINDS, "fisher"), (sharing, SHARINGS, "sharing"), (bias, BIASES, "bias")):
        if given not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; it is {given!r}")
    made_of_layers(problem)
    return taken_apart(problem.at(vector(x)), fisher, sharing, bias, labels, samples, rng)


def emptied(layers: Layers) -> Layers:
    """The layers without what passed through them."""
    parts = [part._replace(a=None, g=None) for part in layers.parts]
    return layers._replace(parts=parts, gradients=lambda: None)


def made_of_layers(problem: Any) -> None:
    if not hasattr(getattr(problem, "network", None), "plan"):
        raise TypeError("Kronecker factors need a refopt.Supervised with a network made of layers: see from_arrays")


def taken_apart(
    point: Any, fisher: str, sharing: str, bias: str = "joint", labels: Any = None, samples: int = 1, rng: Any = None
) -> Layers:
    """The layers of a problem at a point, which has run forward."""
    xp = namespace(point.f)
    if not bool(xp.all(xp.isfinite(point.f))):
        raise ValueError("the network has outputs that are not finite at x, and no factors there")
    u, c = cotangents(point, fisher, labels, samples, rng)
    captures = point.captures(u)
    apart = _of_other_layers(point.net, captures)
    parts = [part for part in _parts(captures, bias, apart) if any(p.stop > p.start for p in part.places)]
    squares = point.squared_vjp(u) if apart else point.x
    others = [(place, squares[place]) for place in apart if place.stop > place.start]
    return Layers(parts, others, c, fisher, sharing, lambda: point.per_sample_vjp(u))


def pieces(problem: Any, x: Any, fisher: str) -> Iterator[Any]:
    """The problem on a few samples at a time, where all cotangents of all of them are many numbers."""
    net: Any = getattr(problem, "network", None)
    if fisher != "exact" or not hasattr(net, "plan") or problem.masks:
        yield problem
        return
    N, outputs = problem.samples, prod(problem.outputs_of_one)
    few = -(-N // max(1, N * _widest(problem, x) * outputs // AT_ONCE))
    for k in range(0, N, few):
        some = slice(k, min(k + few, N))
        yield problem if few == N else problem.batch(problem.X[some, ...], problem.y[some, ...])


def by_pieces(problem: Any, x: Any, fisher: str, **details: Any) -> Iterator[Layers]:
    """The layers of a few samples at a time, with the factor c of all samples."""
    for piece in pieces(problem, x, fisher):
        factor = {} if piece is problem else {"c": problem.c}
        yield layers(piece, x, fisher=fisher, **details)._replace(**factor)


def _widest(problem: Any, x: Any) -> int:
    """Numbers in g of one layer for one cotangent of one sample; inputs (N, in) meet every layer at one position."""
    if problem.X.ndim == 2 and not problem.network.takes_indices:
        return max((slot.shape[0] for slot in problem.network.plan.slots), default=1)
    one = problem.batch(problem.X[:1, ...], problem.y[:1, ...]).at(x)
    return max((prod(capture.g.shape) for capture in one.captures(one.scores())), default=1)


def cotangents(point: Any, fisher: str, labels: Any, samples: int, rng: Any) -> tuple[Any, float]:
    """u (S, N, …, C), and c with F = c Σ (Jₙᵀu_sn)(Jₙᵀu_sn)ᵀ."""
    if labels is not None and fisher not in ("monte-carlo", "empirical"):
        raise ValueError(f"fisher={fisher!r} takes no labels: it depends on none")
    if fisher == "exact":
        return point.fisher_factor(), point.c
    if fisher != "monte-carlo":
        return point.scores(None if labels is None else _checked(point, labels))[None, ...], point.c
    if labels is not None:
        labels = labels if hasattr(labels, "dtype") else np.asarray(labels)
        several = labels.ndim > point.problem.y.ndim
        given = [labels[k, ...] for k in range(labels.shape[0])] if several else [labels]
        drawn = [_checked(point, y) for y in given]
    elif samples < 1:
        raise ValueError(f"samples must be at least 1; it is {samples!r}")
    else:
        random = generator(rng, "labels=")
        drawn = [point.sample(random) for _ in range(samples)]
    return namespace(point.f).stack([point.scores(y) for y in drawn]), point.c / len(drawn)


def assembled(layers: Layers, blocks: Iterable[Any]) -> BlockDiagonal:
    """The matrix of a block for each part, in the order of the parts, as it is in flat order."""
    runs: list[tuple[int, Any]] = [(place.start, Diagonal(layers.c * values)) for place, values in layers.others]
    for _, same in groupby(zip(layers.parts, blocks, strict=True), key=lambda pair: pair[0].name):
        parts, made = zip(*same, strict=True)
        if all(p.stop == q.start for part in parts for p, q in pairwise(part.places)):
            runs += [(part.places[0].start, block) for part, block in zip(parts, made, strict=True)]
        else:  # W and b of groups lie apart: W of all of them, then b of all
            order = np.concatenate([np.arange(p.start, p.stop) for part in parts for p in part.places])
            inner = BlockDiagonal(made)
            runs.append((int(order.min()), Reordered(inner, order - order.min())))
    return BlockDiagonal(tuple(made for _, made in sorted(runs, key=lambda run: run[0])))


def _checked(point: Any, labels: Any) -> Any:
    """Labels as the loss takes them."""
    problem = point.problem
    labels = problem.loss.labels(labels if hasattr(labels, "dtype") else np.asarray(labels), problem.dtype)
    problem.loss.check(tuple(point.f.shape), labels)
    return labels


def _of_other_layers(network: Any, captures: list[Any]) -> list[slice]:
    """Where parameters lie that a layer other than a linear one uses, alone or together with linear ones."""
    linear, plan = {capture.name for capture in captures}, network.plan
    own = sorted({k for name, _, owned in plan.leaves if name not in linear for k in owned})
    return [plan.slots[k].part for k in own]


def _parts(captures: list[Any], bias: str, apart: list[slice]) -> Iterator[Part]:
    groups, by_weight = Counter(capture.name for capture in captures), dict[Any, list[Any]]()
    for k, capture in enumerate(captures):
        place = capture.weight
        by_weight.setdefault((place.start, place.stop) if place.stop > place.start else k, []).append(capture)
    for same in by_weight.values():
        if len(same) > 1 or same[0].weight in apart:
            yield from _shared(same, apart)
        else:
            yield from _layer(same[0], bias, groups[same[0].name] == 1)


def _layer(capture: Any, bias: str, alone: bool) -> Iterator[Part]:
    name, weight, place, a, g = capture
    if place is None or bias == "separate":
        yield Part(name, (weight,), a, g, False, "weights" if alone else "")
        if place is not None:
            yield Part(name, (place,), _ones(a), g, False, "biases" if alone else "")
    else:
        a = namespace(a).concat([a, _ones(a)], axis=2)
        yield Part(name, (weight, place), a, g, True, "weights" if alone else "")


def _shared(captures: list[Any], apart: list[slice]) -> Iterator[Part]:
    """W of several layers at the positions of all; their biases."""
    first, xp = captures[0], namespace(captures[0].a)
    if first.weight not in apart:
        a = xp.concat([capture.a for capture in captures], axis=1)
        g = xp.concat([capture.g for capture in captures], axis=2)
        yield Part(first.name, (first.weight,), a, g, False, "")
    for name, _, place, a, g in captures:
        if place is not None:
            yield Part(name, (place,), _ones(a), g, False, "")


def _ones(a: Any) -> Any:
    return namespace(a).ones((*a.shape[:2], 1), dtype=a.dtype, device=device(a))
