"""Orders in which somebody may have put the parameters of a network: permutations of our flat vector.

Ours is PyTorch's: layer by layer, W (out, in) in C order, then b. A layout is the array of our indices in their order,
so that theirs = ours[layout], and a matrix of theirs is ours[layout][:, layout].
"""

from collections.abc import Iterator
from itertools import groupby
from math import prod
from typing import Any, NamedTuple

import numpy as np


class Layout(NamedTuple):
    """An order, in words."""

    vec: str  #: "row" or "column": how a weight matrix becomes a vector
    bias: str  #: where the bias is: "after", "first", "joint" ([W b] row by row), "joint-first" ([b W])
    reversed: bool  #: the last layer comes first
    order: np.ndarray
    alone: str = ""  #: the one layer whose weights are stacked in the other way

    @property
    def stacking(self) -> str:
        return "mixed" if self.alone else self.vec

    @property
    def usual(self) -> bool:
        return (self.vec, self.bias, self.reversed, self.alone) == ("row", "after", False, "")

    @property
    def words(self) -> str:
        vec = {"row": "row-stacked", "column": "column-stacked (or weights of shape (in, out))"}[self.vec]
        bias = {
            "after": "", "first": ", biases before their weights", "joint": ", [W b] row by row",
            "joint-first": ", [b W] row by row", "last": ", all biases after all weights",
        }[self.bias]  # fmt: skip
        alone = f", but {'column' if self.vec == 'row' else 'row'}-stacked in layer {self.alone}" * bool(self.alone)
        return vec + bias + alone + (", layers in reverse order" if self.reversed else "")


def layouts(problem: Any, size: int) -> list[Layout]:
    """All orders worth trying, the usual one first; those that are the same are named once."""
    found, seen = list[Layout](), set[bytes]()
    for layout in _candidates(problem, size):
        if layout.order.tobytes() not in seen:
            seen.add(layout.order.tobytes())
            found.append(layout)
    return found


def layers_of(problem: Any, size: int) -> list[tuple[str, list[Any]]]:
    """Name and arrays of each layer; nothing where the problem has no network."""
    network = getattr(problem, "network", None)
    slots = network.plan.slots if network is not None else ()
    return [(name, list(group)) for name, group in groupby(slots, lambda slot: slot.name.rpartition(".")[0])]


def blocks_of(problem: Any, size: int) -> list[tuple[str, slice]]:
    """The part of the flat vector of every layer; one block where there is no network."""
    layers = layers_of(problem, size)
    return [(name, slice(g[0].part.start, g[-1].part.stop)) for name, g in layers] or [("", slice(0, size))]


def _candidates(problem: Any, size: int) -> Iterator[Layout]:
    named = layers_of(problem, size)
    layers = [slots for _, slots in named]
    yield Layout("row", "after", False, np.arange(size))
    if not layers:
        return
    for backwards in (False, True):
        for bias in ("after", "first", "joint", "joint-first", "last"):
            for vec in ("row", "column"):
                if bias == "last":
                    parts = [_weights(slots, vec) for slots in layers] + [_biases(slots) for slots in layers]
                    count = len(layers)
                    parts = parts[:count][::-1] + parts[count:][::-1] if backwards else parts
                else:
                    parts = [_layer(slots, vec, bias) for slots in layers]
                    parts = parts[::-1] if backwards else parts
                yield Layout(vec, bias, backwards, np.concatenate(parts))
    for bias in ("after", "joint") if len(layers) > 1 else ():
        for vec, other in (("row", "column"), ("column", "row")):
            for k, (name, slots) in enumerate(named):
                parts = [_layer(own, vec, bias) for own in layers]
                parts[k] = _layer(slots, other, bias)
                yield Layout(vec, bias, False, np.concatenate(parts), name)


def _layer(slots: list[Any], vec: str, bias: str) -> np.ndarray:
    """The indices of one layer in their order."""
    W, b = _weights(slots, vec), _biases(slots)
    if bias == "after" or not (W.size and b.size):
        return np.concatenate([W, b])
    if bias == "first":
        return np.concatenate([b, W])
    rows = _weights(slots, "row").reshape(b.size, -1)
    joint = np.concatenate([rows, b[:, None]] if bias == "joint" else [b[:, None], rows], axis=1)
    return (joint if vec == "row" else joint.T).reshape(-1)


def _weights(slots: list[Any], vec: str) -> np.ndarray:
    found = [np.arange(s.part.start, s.part.stop).reshape(s.shape[0], -1) for s in slots if len(s.shape) > 1]
    return np.concatenate([(W if vec == "row" else W.T).reshape(-1) for W in found] or [np.empty(0, int)])


def _biases(slots: list[Any]) -> np.ndarray:
    found = [np.arange(s.part.start, s.part.start + prod(s.shape)) for s in slots if len(s.shape) < 2]
    return np.concatenate(found or [np.empty(0, int)])
