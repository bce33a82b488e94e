"""A whole network, layer by layer, on calibration data.

    for every linear map y = Wa + b, first to last:   a on the calibration data;   W pruned so that Wa changes little

With inputs="pruned" a layer sees what the layers before it, already pruned, hand on: their errors are in its data, and
it fits what it will meet. With "dense" all layers see the inputs of the network as it was. Biases stay, and so do
arrays that several layers share. Convolutions are linear maps of patches.

E. Frantar & D. Alistarh, SparseGPT, arXiv:2301.00774, §4 (layers in turn, inputs from pruned ones).
Shapes: x (P,), calibration inputs X (N, …).   Cost: one sweep through the network for each layer, besides the methods'.
"""

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from refopt.networks import Layer, Linear
from refopt.ops import namespace, reals, scalar
from refopt.pruning.baselines import magnitude, wanda
from refopt.pruning.layerwise import obs_rows
from refopt.pruning.result import Pruned
from refopt.pruning.sparsegpt import sparsegpt

METHODS: dict[str, Callable[..., Pruned]] = {
    "sparsegpt": sparsegpt,
    "obs": obs_rows,
    "wanda": wanda,
    "magnitude": magnitude,
}


class LayerReport(NamedTuple):
    """What became of one layer; increases are those of ‖ΔW a‖²/N on the inputs that it was given."""

    name: str
    shape: tuple[int, ...]  #: of W
    pruned: int  #: how many weights went
    predicted_increase: float
    actual_increase: float
    relative_error: float  #: ‖ΔW a‖ / ‖W a‖


class PrunedNetwork(NamedTuple):
    """The pruned parameters, and how it went."""

    x: Any  #: (P,)
    mask: Any  #: (P,) True where a parameter is kept
    layers: tuple[LayerReport, ...]
    left_alone: tuple[str, ...]  #: arrays that were not pruned
    output_change: float  #: ‖Δf‖²/N over the calibration data
    predicted_increase: float  #: the sum over the layers, each for itself
    actual_increase: float | None  #: of the loss, where it was given

    def __str__(self) -> str:
        head = f"{'layer':12s} {'shape':>16s} {'pruned':>8s} {'share':>6s} {'increase':>10s} {'relative error':>15s}"
        lines = [
            f"{r.name:12s} {'×'.join(map(str, r.shape)):>16s} {r.pruned:8d} {r.pruned / prod(r.shape):6.1%} "
            f"{r.actual_increase:10.3g} {r.relative_error:15.3g}"
            for r in self.layers
        ]
        return "\n".join([head, *lines, f"outputs change by {self.output_change:.3g} per sample"])


def prune(
    net: Layer,
    x: Any,
    X: Any,
    sparsity: float | None = None,
    pattern: tuple[int, int] | None = None,
    *,
    method: str | Callable[..., Pruned] = "sparsegpt",
    inputs: str = "pruned",
    layers: Any = None,
    loss: Callable[[Any], Any] | None = None,
    **options: Any,
) -> PrunedNetwork:
    """Prune every linear map of a network on calibration inputs X (N, …): a share of its weights, or n of every m.

    net: a ``Sequential``, or any other network of ``refopt.networks``.   x: (P,).   method: "sparsegpt", "obs",
    "wanda" or "magnitude", or a function of W (out, n), its inputs (n, N) and `sparsity`, such as a refit of another's
    mask; `options` are handed on to it.   layers: names of those to prune, as in `net.unravel`
    without ".W"; by default all, but for the arrays that several layers share.   inputs: "pruned" or "dense".   loss: a
    function of x.
    """
    if not callable(method) and method not in METHODS:
        raise ValueError(f"no method is called {method!r}: choose one of {', '.join(METHODS)}, or give a function")
    if not isinstance(net, Layer):
        raise TypeError(f"net is a network of refopt.networks, whose layers are known, not a {type(net).__name__}")
    if pattern is not None and method == "obs":
        raise ValueError("'obs' takes sparsity=…, no pattern: for that choose sparsegpt, wanda or magnitude")
    if inputs not in ("pruned", "dense"):
        raise ValueError(f"inputs is {inputs!r}: choose pruned or dense")
    targets = linear_maps(net)
    layers = [layers] if isinstance(layers, str) else layers
    unknown = set(layers or ()) - set(targets)
    if unknown:
        raise ValueError(f"no linear map is called {', '.join(sorted(unknown))}; there are {', '.join(targets)}")
    if pattern is not None:
        options["pattern"] = pattern
    x, X = reals(x), X if hasattr(X, "dtype") else np.asarray(X)
    if tuple(x.shape) != (net.size,):
        raise ValueError(f"the network has {net.size} parameters, shape ({net.size},); x has shape {tuple(x.shape)}")
    xp, new, reports, mask = namespace(x), x, list[LayerReport](), x == x
    pruned_by = method if callable(method) else METHODS[method]
    for name, (place, slot) in targets.items():
        if layers is not None and name not in layers:
            continue
        part, (rows, *rest) = net.plan.slots[slot].part, net.plan.slots[slot].shape
        W = xp.reshape(new[part], (rows, prod(rest)))
        a = inputs_of(net, new if inputs == "pruned" else x, X)[place]
        A = xp.reshape(a, (-1, W.shape[1])).T
        done = pruned_by(W, A, sparsity, **options)
        scale = scalar(xp.sum((W @ A) ** 2)) / A.shape[1]
        error = (done.actual_increase / scale) ** 0.5 if scale else 0.0
        new, mask = _put(new, part, done.weights), _put(mask, part, done.mask)
        increases = done.predicted_increase, done.actual_increase
        reports.append(LayerReport(name, (rows, *rest), int(done.order.shape[0]), *increases, error))
    change = scalar(xp.sum((net(new, X) - net(x, X)) ** 2)) / X.shape[0]
    pruned = {r.name for r in reports}
    others = tuple(s.name for s in net.plan.slots if s.name.removesuffix(".W") not in pruned)
    actual = None if loss is None else scalar(loss(new)) - scalar(loss(x))
    return PrunedNetwork(new, mask, tuple(reports), others, change, sum(r[3] for r in reports), actual)


def linear_maps(net: Layer) -> dict[str, tuple[int, int]]:
    """Of each linear map that has its W for itself, by name: its place among the layers with weights, and W's slot."""
    uses = Counter(slot for _, _, own in net.plan.leaves for slot in own)
    return {
        net.plan.slots[own[0]].name.removesuffix(".W"): (place, own[0])
        for place, (_, leaf, own) in enumerate(net.plan.leaves)
        if isinstance(leaf, Linear) and leaf.groups == 1 and uses[own[0]] == 1
    }


def inputs_of(net: Layer, x: Any, X: Any) -> list[Any]:
    """What each layer with weights has seen, in order: a sweep forward, and one back that only looks."""
    found = list[Any]()
    p = net.nested(x)
    y, tape = net.forward(p, X)
    net.vjp(p, tape, 0 * y, lambda layer, seen, u: found.append(seen), inputs=False)
    return found[::-1]


def _put(x: Any, part: slice, values: Any) -> Any:
    """x with this part replaced."""
    xp = namespace(x)
    return xp.concat([x[: part.start], xp.reshape(values, (-1,)), x[part.stop :]])
