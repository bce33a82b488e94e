"""Networks and parameters from and to other programs: arrays in the order of `named_parameters()`, and npz files.

net = from_arrays([p.detach().numpy() for p in model.parameters()], activation=Tanh());   x = net.init()
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from refopt.files import write_npz
from refopt.networks.activations import Tanh
from refopt.networks.layer import Layer
from refopt.networks.linear import Linear
from refopt.networks.sequential import Chain, Sequential
from refopt.ops import device, namespace


class Given(Chain):
    """A network that begins with given parameters: ``init()`` and ``x`` are these."""

    def __init__(self, network: Layer, arrays: Any) -> None:
        self.network = network
        self.x = network.ravel(arrays)  #: (P,)

    @cached_property
    def children(self) -> tuple[Layer, ...]:
        return (self.network,)

    @property
    def named(self) -> tuple[tuple[str, Layer], ...]:
        return (("", self.network),)

    def init(self, rng: Any = None) -> Any:
        return self.x

    def __repr__(self) -> str:
        return repr(self.network)


def from_arrays(arrays: Iterable[Any], network: Layer | None = None, activation: Layer | None = None) -> Given:
    """A network with the arrays as its parameters, in the order and layout of PyTorch's `named_parameters()`.

    network: the layers that the arrays belong to. Without it they are those of dense layers, W (out, in) and, where it
    has one, b (out,), with `activation` (Tanh by default) between them.   ``init()`` returns the arrays as one vector.
    """
    arrays = [array if hasattr(array, "dtype") else np.asarray(array) for array in arrays]
    return Given(_dense(arrays, activation or Tanh()) if network is None else network, arrays)


def _dense(arrays: list[Any], activation: Layer) -> Sequential:
    layers: list[Layer] = []
    for k, W in enumerate(arrays):
        if W.ndim == 1:
            continue
        if W.ndim != 2:
            raise ValueError(
                f"array {k} has shape {tuple(W.shape)}; without `network` only dense layers are understood"
            )
        bias = k + 1 < len(arrays) and arrays[k + 1].ndim == 1
        layers += [*([activation] if layers else []), Linear(W.shape[1], W.shape[0], bias)]
    return Sequential(*layers)


def save(path: Any, network: Layer, x: Any) -> None:
    """Write the named arrays of x (P,), of any kind, to an npz file: the whole of it or nothing."""
    write_npz(path, network.unravel(x), "network")


def load(path: Any, network: Layer, like: Any = None) -> Any:
    """(P,) from an npz file that ``save`` wrote for the same layers: of NumPy, or of the kind and device of `like`."""
    with np.load(Path(path), allow_pickle=False) as file:
        x = network.ravel({name: file[name] for name in file.files})
    return x if like is None else namespace(like).asarray(x, device=device(like))
