"""Two-dimensional convolution (cross-correlation, as in deep learning) with stride, padding, dilation and groups.

    y[o, i, j] = b[o] + Σ_{c, k, l} W[o, c, k, l] x[c, s i + d k − p, s j + d l − p]          0 outside of x

The patches of x under the kernel, unfolded into vectors, make it a linear layer that is applied at every position of
y: with K-FAC it is treated as such (Grosse & Martens, arXiv:1602.01407). The adjoint of unfolding adds each patch to
where it came from. With `groups` the channels of x and y fall into that many parts, each with a convolution of its
own.

Shapes: x (N, C, H, W), y (N, out, H′, W′), H′ = ⌊(H + 2p − d(kh − 1) − 1)/s⌋ + 1; W (out, C / groups, kh, kw), b
(out,).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from refopt.networks.layer import Layer, Shape
from refopt.networks.linear import Linear
from refopt.networks.sequential import Chain
from refopt.networks.structure import Map
from refopt.ops import device, namespace

Pair = tuple[int, int]


@dataclass(frozen=True)
class Conv2d(Chain):
    """Convolution with a kernel of (kh, kw); a number stands for both axes, as in PyTorch."""

    inputs: int  #: channels
    outputs: int
    kernel: int | Pair
    stride: int | Pair = 1
    padding: int | Pair = 0
    dilation: int | Pair = 1
    groups: int = 1
    bias: bool = True

    @cached_property
    def children(self) -> tuple[Layer, ...]:
        kernel = _pair(self.kernel)
        width = self.inputs * kernel[0] * kernel[1]
        unfold = Unfold(self.inputs, kernel, _pair(self.stride), _pair(self.padding), _pair(self.dilation))
        return unfold, Linear(width, self.outputs, self.bias, "", self.groups, kernel), ChannelsFirst()

    @property
    def named(self) -> tuple[tuple[str, Layer], ...]:
        return tuple(("", child) for child in self.children)


@dataclass(frozen=True)
class Unfold(Map):
    """(N, C, H, W) → (N, H′, W′, C·kh·kw): the patch under the kernel at each of its positions."""

    channels: int
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    def apply(self, x: Any) -> Any:
        if x.ndim < 4 or x.shape[-3] != self.channels:
            raise ValueError(f"the convolution takes images (N, {self.channels}, H, W), not {tuple(x.shape)}")
        xp = namespace(x)
        shape = x.shape[-3:]
        if any(self.padding):
            padded, inside = self._padded(x, x.shape)
            padded[inside] = x
            x = padded
        patches = xp.stack([x[part] for part in self._parts(shape)], axis=-1)  # (…, C, H′, W′, kh·kw)
        patches = xp.moveaxis(patches, -4, -2)
        return xp.reshape(patches, (*patches.shape[:-2], -1))

    def adjoint(self, u: Any, shape: Shape) -> Any:
        xp = namespace(u)
        u = xp.moveaxis(xp.reshape(u, (*u.shape[:-1], self.channels, -1)), -2, -4)
        v, inside = self._padded(u, (*u.shape[:-4], *shape))
        for k, part in enumerate(self._parts(shape)):
            v[part] += u[..., k]
        return v[inside]

    def _padded(self, like: Any, shape: Shape) -> tuple[Any, Any]:
        """Zeros with room for the padding around an array of this shape, and where that array lies in them."""
        (ph, pw), (H, W) = self.padding, shape[-2:]
        room = namespace(like).zeros((*shape[:-2], H + 2 * ph, W + 2 * pw), dtype=like.dtype, device=device(like))
        return room, (..., slice(ph, ph + H), slice(pw, pw + W))

    def _parts(self, shape: Shape) -> list[tuple[Any, slice, slice]]:
        """For each entry of the kernel, in C order, the entries of the padded image that it meets."""
        rows, columns = (
            [slice(k * d, k * d + s * (size - 1) + 1, s) for k in range(kernel)]
            for kernel, s, d, size in zip(self.kernel, self.stride, self.dilation, self._positions(shape), strict=True)
        )
        return [(..., row, column) for row in rows for column in columns]

    def _positions(self, shape: Shape) -> list[int]:
        """H′ and W′."""
        given = zip(shape[-2:], self.kernel, self.stride, self.padding, self.dilation, strict=True)
        sizes = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in given]
        if min(sizes) < 1:
            raise ValueError(f"a kernel of {self.kernel}, dilated by {self.dilation}, does not fit images {shape[-2:]}")
        return sizes


@dataclass(frozen=True)
class ChannelsFirst(Map):
    """(N, H, W, C) → (N, C, H, W)."""

    def apply(self, x: Any) -> Any:
        return namespace(x).moveaxis(x, -1, -3)

    def adjoint(self, u: Any, shape: Shape) -> Any:
        return namespace(u).moveaxis(u, -3, -1)


def _pair(size: int | Pair) -> Pair:
    return (size, size) if isinstance(size, int) else size
