"""Layers one after the other, y = f_L(… f₂(f₁(x))), and beside an identity, y = x + f(x).

The chain rule: tangents run forward, ẋ_{k+1} = ḟ_k, cotangents backward, u_k = (∂f_k/∂x)ᵀu_{k+1}, and the R-operator
with them. Before the first weights there is nothing to differentiate, and no sweep goes there.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from refopt.networks.layer import Layer, Use


class Chain(Layer):
    """The sweeps through ``children``; those who inherit say which they are."""

    @cached_property
    def first(self) -> int:
        """The index of the first layer with weights."""
        return next((k for k, layer in enumerate(self.children) if layer.plan.slots), len(self.children))

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        tapes = []
        for layer, q in zip(self.children, p, strict=True):
            x, tape = layer.forward(q, x)
            tapes.append(tape)
        return x, tapes

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        dtapes = []
        for k, layer in enumerate(self.children):
            dtape = None
            if dx is not None or k >= self.first:
                dx, dtape = layer.jvp(p[k], tape[k], dp[k], dx)
            dtapes.append(dtape)
        return dx, dtapes

    def vjp(self, p: Any, tape: Any, u: Any, use: Use, inputs: bool = True) -> Any:
        own = False  # whether nobody else holds u
        for k in range(len(self.children) - 1, -1 if inputs else self.first - 1, -1):
            layer = self.children[k]
            if own and layer.scales:
                u *= layer.slope(*tape[k])
            else:
                u = layer.vjp(p[k], tape[k], u, use, inputs or k > self.first)
                own = layer.multiplies
        return u if inputs else None

    def rvjp(
        self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any, use: Use, inputs: bool = True
    ) -> tuple[Any, Any]:
        for k in range(len(self.children) - 1, -1 if inputs else self.first - 1, -1):
            u, du = self.children[k].rvjp(p[k], tape[k], dp[k], dtape[k], u, du, use, inputs or k > self.first)
        return (u, du) if inputs else (None, None)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Sequential(Chain):
    """Layers, one after the other; the parameters of layer k are called "k.W", "k.b"."""

    layers: tuple[Layer, ...]

    def __init__(self, *layers: Layer) -> None:
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"layers come one by one, Sequential(a, b, …), not as a {type(layer).__name__}")
        object.__setattr__(self, "layers", layers)

    @property
    def children(self) -> tuple[Layer, ...]:
        return self.layers

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Residual(Chain):
    """y = x + f(x), where f is one layer, or several one after the other."""

    layers: tuple[Layer, ...]
    __init__ = Sequential.__init__
    __repr__ = Sequential.__repr__
    children = Sequential.children

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        y, tape = super().forward(p, x)
        if y.shape != x.shape:
            raise ValueError(f"a residual adds its input, of shape {x.shape}, to its layers' output, of {y.shape}")
        return x + y, tape

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        dy, dtape = super().jvp(p, tape, dp, dx)
        return (dy if dx is None else dx if dy is None else dx + dy), dtape

    def vjp(self, p: Any, tape: Any, u: Any, use: Use, inputs: bool = True) -> Any:
        v = super().vjp(p, tape, u, use, inputs)
        return u + v if inputs else None

    def rvjp(
        self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any, use: Use, inputs: bool = True
    ) -> tuple[Any, Any]:
        v, dv = super().rvjp(p, tape, dp, dtape, u, du, use, inputs)
        return (u + v, du + dv) if inputs else (None, None)
