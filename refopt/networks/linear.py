"""Linear layers: y = Wa + b at each of R positions of each sample.

    ẏ = Wȧ + Ẇa + ḃ
    v = Wᵀu                 R{v}  = Wᵀu̇ + Ẇᵀu
    ∇W = Σ uaᵀ,  ∇b = Σ u   R{∇W} = Σ u̇aᵀ + uȧᵀ,  R{∇b} = Σ u̇          sums over samples and positions

Squares of the gradients per sample need no such gradient where R = 1: (∇Wₙ)ᵢⱼ² = uᵢ²aⱼ², one product for the batch.
With `groups` the entries of a and y fall into that many parts of equal length, each with rows of W of its own.

Shapes: a (N, …, in), y and u (N, …, out), the axes between are the positions; W (out, in), b (out,).
Cost: 2NR·in·out flops for each product.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from refopt.networks.layer import Layer, Shape
from refopt.ops import namespace


@dataclass(frozen=True)
class Linear(Layer):
    """y = Wa + b, W (outputs, inputs).   shared_as: a name; all layers that share W under one name have one W."""

    inputs: int
    outputs: int
    bias: bool = True
    shared_as: str = ""
    groups: int = 1
    kernel: Shape = ()  #: W has the shape (outputs, inputs / groups / prod(kernel), *kernel)

    multiplies = True

    def __post_init__(self) -> None:
        if self.inputs % self.groups or self.outputs % self.groups:
            raise ValueError(f"{self.inputs} inputs and {self.outputs} outputs do not fall into {self.groups} groups")

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        W = {"W": (self.outputs, self.inputs // self.groups // prod(self.kernel), *self.kernel)}
        return {**W, "b": (self.outputs,)} if self.bias else W

    @property
    def shared(self) -> dict[str, str]:
        return {"W": self.shared_as}

    def initial(self, rng: np.random.Generator) -> tuple[Any, ...]:
        """Uniform within ±1/√inputs, as PyTorch begins."""
        bound = (self.inputs / self.groups) ** -0.5 if self.inputs else 0.0
        return tuple(rng.uniform(-bound, bound, shape) for shape in self.shapes.values())

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        if x.ndim < 2 or x.shape[-1] != self.inputs:
            raise ValueError(f"{self} takes inputs of shape (N, …, {self.inputs}), not {tuple(x.shape)}")
        y = self._times(x, p[0])
        if self.bias:
            y += p[1]
        return y, x

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        dy = self._times(tape, dp[0])
        if dx is not None:
            dy += self._times(dx, p[0])
        if self.bias:
            dy += dp[1]
        return dy, dx

    def pull(self, p: Any, tape: Any, u: Any) -> Any:
        return self._times_transposed(u, p[0])

    def rpull(self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, Any]:
        dv = self._times_transposed(du, p[0])
        dv += self._times_transposed(u, dp[0])
        return self._times_transposed(u, p[0]), dv

    def sums(self, tape: Any, u: Any) -> tuple[Any, ...]:
        xp, lead = namespace(u), u.ndim - tape.ndim
        stack = u.shape[:lead]
        columns, rows = self._split(u, stack), self._split(tape, ())
        W = _shaped(xp.matrix_transpose(columns) @ rows, (*stack, *self.shapes["W"]))
        if not self.bias:
            return (W,)
        return W, _shaped(xp.sum(columns, axis=-2), (*stack, self.outputs))

    def rsums(self, tape: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, ...]:
        found = self.sums(tape, du)
        if dtape is None:
            return found
        xp = namespace(u)
        W = xp.matrix_transpose(self._split(u, ())) @ self._split(dtape, ())
        return found[0] + _shaped(W, self.shapes["W"]), *found[1:]

    def per_sample(self, tape: Any, u: Any) -> tuple[Any, ...]:
        xp = namespace(u)
        a, g = self._by_sample(tape, 0), self._by_sample(u, u.ndim - tape.ndim)
        if a.shape[-2] == 1:
            W = xp.matrix_transpose(g) * a
        else:
            W = xp.matrix_transpose(g) @ a
        shape = (*g.shape[:-3], *self.shapes["W"])
        return (xp.reshape(W, shape), *self._bias_per_sample(u, tape))

    def per_sample_into(self, views: list[Any], tape: Any, u: Any) -> None:
        if self.groups > 1 or tape.ndim > 2:
            return super().per_sample_into(views, tape, u)
        with np.errstate():
            np.setbufsize(16)  # no copies of short rows into buffers, which take as long as the product
            np.multiply(u[..., :, None], tape[:, None, :], out=views[0])
        if self.bias:
            views[1][...] = u

    def squares(self, tape: Any, u: Any) -> tuple[Any, ...]:
        xp, lead = namespace(u), u.ndim - tape.ndim
        if prod(tape.shape[1:-1]) != 1:  # the square of a sum over positions: one cotangent of the stack at a time
            parts = xp.reshape(u, (prod(u.shape[:lead]), *u.shape[lead:]))
            found = [super(Linear, self).squares(tape, parts[s, ...]) for s in range(parts.shape[0])]
            return tuple(sum(terms[1:], start=terms[0]) for terms in zip(*found, strict=True))
        if prod(u.shape[:lead]) == 1:
            found = _shaped(u, u.shape[lead:])
            found = found * found
        else:
            found = xp.sum(u * u, axis=tuple(range(lead)))
        return self.sums(tape * tape, found)

    def capture(self, tape: Any, u: Any) -> list[tuple[Any, Any]]:
        a, g = self._by_sample(tape, 0), self._by_sample(u, u.ndim - tape.ndim)
        return [(a[..., k, :, :], g[..., k, :, :]) for k in range(self.groups)]

    # --- arrays in the shapes that a matrix product wants -----------------------------------------------------

    def _times(self, x: Any, W: Any) -> Any:
        """Wx at each position."""
        y = self._split(x, ()) @ namespace(W).matrix_transpose(self._matrix(W))
        return self._joined(y, (*x.shape[:-1], self.outputs))

    def _times_transposed(self, u: Any, W: Any) -> Any:
        """Wᵀu at each position."""
        return self._joined(self._split(u, ()) @ self._matrix(W), (*u.shape[:-1], self.inputs))

    def _matrix(self, W: Any) -> Any:
        """(out, in), or (groups, out / groups, in / groups)."""
        if self.groups == 1:
            return namespace(W).reshape(W, (self.outputs, -1)) if self.kernel else W
        return namespace(W).reshape(W, (self.groups, self.outputs // self.groups, -1))

    def _split(self, z: Any, stack: Shape) -> Any:
        """(…, positions of all samples, k), in groups (…, groups, positions, k / groups)."""
        xp, positions = namespace(z), prod(z.shape[len(stack) : -1])
        if self.groups == 1:
            return z if z.ndim == len(stack) + 2 else xp.reshape(z, (*stack, positions, z.shape[-1]))
        parts = xp.reshape(z, (*stack, positions, self.groups, z.shape[-1] // self.groups))
        return xp.moveaxis(parts, -2, -3)

    def _joined(self, z: Any, shape: Shape) -> Any:
        """The inverse of `_split`."""
        return _shaped(z if self.groups == 1 else namespace(z).moveaxis(z, -3, -2), shape)

    def _by_sample(self, z: Any, lead: int) -> Any:
        """(…, N, groups, R, k / groups)."""
        xp = namespace(z)
        samples, positions = z.shape[: lead + 1], prod(z.shape[lead + 1 : -1])
        if self.groups == 1:
            return xp.reshape(z, (*samples, 1, positions, z.shape[-1]))
        parts = xp.reshape(z, (*samples, positions, self.groups, z.shape[-1] // self.groups))
        return xp.moveaxis(parts, -2, -3)

    def _bias_per_sample(self, u: Any, tape: Any) -> tuple[Any, ...]:
        if not self.bias:
            return ()
        positions = tuple(range(u.ndim - tape.ndim + 1, u.ndim - 1))
        return (namespace(u).sum(u, axis=positions) if positions else u,)


def _shaped(z: Any, shape: Shape) -> Any:
    return z if z.shape == shape else namespace(z).reshape(z, shape)
