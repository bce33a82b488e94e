"""What a layer is: y = f(p, x) on a whole batch, its first derivatives in both directions, and the R-operator.

A layer knows its own formulas and nothing of its neighbours. Its parameters p are a tuple of arrays, as ``shapes``
names them; those of a layer made of others are a tuple of theirs. Any layer, alone or composed, is a network.

    forward   y = f(p, x)                                         and the tape of what the others need
    jvp       ẏ = ∂f/∂p ṗ + ∂f/∂x ẋ                               and its own tape; ẋ may be None, for 0
    vjp       v = (∂f/∂x)ᵀu, and (∂f/∂p)ᵀu left to `use`          u is ∂ℓ/∂y
    rvjp      v and v̇ = R{v}, for R{·} = d/dt (·) along ṗ, ẋ, u̇   Pearlmutter's R-operator; R{(∂f/∂p)ᵀu} left to `use`

`use(layer, tape, u)`, in rvjp `use(layer, tape, tangent tape, u, u̇)`, meets every layer that has weights, last first:
one sweep serves sums over the batch, gradients per sample, their squares and what K-FAC captures. Without `inputs` a
sweep ends at the first weights. In vjp a cotangent u may have axes before those of y: a stack of cotangents.

B. A. Pearlmutter, *Neural Computation* 6 (1994) 147.
Shapes: x (N, …), N samples; u and y alike, u perhaps with a stack, (S, N, …).
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np

from refopt.ops import device, namespace, reals

Shape = tuple[int, ...]
Use = Callable[..., None]


class Slot(NamedTuple):
    """Where an array of parameters lies in the flat vector."""

    name: str
    shape: Shape
    part: slice


class Capture(NamedTuple):
    """What K-FAC needs of a linear map: inputs a, and g = ∂ℓ/∂(Wa + b), at the R positions where a sample passes it.

    A convolution in groups has one for each group; a shared W one for each linear layer that uses it.
    """

    name: str
    weight: slice  #: of W, (out, in) in C order, in the flat parameters
    bias: slice | None  #: of b
    a: Any  #: inputs, (N, R, in), without the coordinate 1 of the bias
    g: Any  #: gradients at the outputs, (N, R, out), or (S, N, R, out) for a stack of cotangents


class Plan(NamedTuple):
    """The flat vector: its slots, and the slots of every layer with weights, in order."""

    slots: tuple[Slot, ...]
    leaves: tuple[tuple[str, "Layer", tuple[int, ...]], ...]
    size: int
    shares: bool  #: some array occurs twice


class Layer:
    """The base of all layers, and the network made of one."""

    @property
    def children(self) -> tuple["Layer", ...]:
        """The layers this one is made of."""
        return ()

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Names and shapes of its own parameters, in order."""
        return {}

    @property
    def shared(self) -> Mapping[str, str]:
        """Parameter → name: arrays of one name are one array, wherever they occur in a network."""
        return {}

    @property
    def takes_indices(self) -> bool:
        """Whether its inputs are integers."""
        return bool(self.children) and self.children[0].takes_indices

    multiplies = False  #: v = (∂f/∂x)ᵀu is a product of matrices, and an array of its own
    scales = False  #: v = slope · u, entry by entry

    # --- formulas: what a layer without children overrides -----------------------------------------------------

    def initial(self, rng: np.random.Generator) -> tuple[Any, ...]:
        """Arrays to begin with, as ``shapes`` names them."""
        return ()

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        raise NotImplementedError

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        raise NotImplementedError

    def pull(self, p: Any, tape: Any, u: Any) -> Any:
        """v = (∂f/∂x)ᵀu."""
        raise NotImplementedError

    def slope(self, *tape: Any) -> Any:
        """∂y/∂x, entry by entry, of a layer that ``scales``."""
        raise NotImplementedError

    def rpull(self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, Any]:
        """v and v̇."""
        raise NotImplementedError

    def sums(self, tape: Any, u: Any) -> tuple[Any, ...]:
        """(∂f/∂p)ᵀu, summed over the batch; behind a stack of u, one for each."""
        raise NotImplementedError

    def rsums(self, tape: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, ...]:
        """R{(∂f/∂p)ᵀu}, summed over the batch."""
        raise NotImplementedError

    def per_sample(self, tape: Any, u: Any) -> tuple[Any, ...]:
        """(∂f/∂p)ᵀu of every sample: (…, N, *shape)."""
        raise NotImplementedError

    def squares(self, tape: Any, u: Any) -> tuple[Any, ...]:
        """The squares of ``per_sample``, summed over the stack and the batch."""
        found = self.per_sample(tape, u)
        shapes = self.shapes.values()
        return tuple(_sum_leading(g * g, len(shape)) for g, shape in zip(found, shapes, strict=True))

    def per_sample_into(self, views: list[Any], tape: Any, u: Any) -> None:
        """``per_sample``, written into NumPy arrays (…, N, *shape)."""
        for view, found in zip(views, self.per_sample(tape, u), strict=True):
            view[...] = found

    def capture(self, tape: Any, u: Any) -> list[tuple[Any, Any]]:
        """(a, g) of every linear map of this layer."""
        return []

    # --- sweeps ----------------------------------------------------------------------------------------------

    def vjp(self, p: Any, tape: Any, u: Any, use: Use, inputs: bool = True) -> Any:
        if self.shapes:
            use(self, tape, u)
        return self.pull(p, tape, u) if inputs else None

    def rvjp(
        self, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any, use: Use, inputs: bool = True
    ) -> tuple[Any, Any]:
        if self.shapes:
            use(self, tape, dtape, u, du)
        return self.rpull(p, tape, dp, dtape, u, du) if inputs else (None, None)

    # --- the flat vector of parameters -------------------------------------------------------------------------

    def __call__(self, x: Any, X: Any, masks: Any = ()) -> Any:
        """Outputs f (N, …) for parameters x (P,) and inputs X (N, …)."""
        return self.forward(self.nested(x, masks), X if hasattr(X, "dtype") else np.asarray(X))[0]

    @property
    def named(self) -> tuple[tuple[str, "Layer"], ...]:
        """The children with their names."""
        return tuple((str(k), child) for k, child in enumerate(self.children))

    def leaves(self, name: str = "") -> Iterator[tuple[str, "Layer"]]:
        """All layers without children, in order, with their names."""
        if not self.children:
            yield name, self
        for part, child in self.named:
            yield from child.leaves(f"{name}.{part}" if name and part else name or part)

    @cached_property
    def plan(self) -> Plan:
        slots: dict[str, int] = {}
        found, leaves, end = list[Slot](), list[tuple[str, Layer, tuple[int, ...]]](), 0
        for name, leaf in self.leaves():
            own = []
            for parameter, shape in leaf.shapes.items():
                key = leaf.shared.get(parameter) or (f"{name}.{parameter}" if name else parameter)
                if key not in slots:
                    slots[key] = len(found)
                    found.append(Slot(key, shape, slice(end, end + prod(shape))))
                    end += prod(shape)
                elif prod(found[slots[key]].shape) != prod(shape):
                    raise ValueError(f"{key!r} is shared by arrays of shapes {found[slots[key]].shape} and {shape}")
                own.append(slots[key])
            if own:
                leaves.append((name, leaf, tuple(own)))
        return Plan(tuple(found), tuple(leaves), end, sum(len(own) for _, _, own in leaves) > len(found))

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return self.plan.size

    def init(self, rng: Any = None) -> np.ndarray:
        """Parameters (P,) to begin with, float64, from a `numpy.random.Generator` or a seed."""
        rng, plan = np.random.default_rng(rng), self.plan
        x = np.zeros(plan.size)
        for _, leaf, own in reversed(plan.leaves):  # a shared array is drawn by the first that has it
            for k, array in zip(own, leaf.initial(rng), strict=True):
                x[plan.slots[k].part] = array.ravel()
        return x

    def unravel(self, x: Any) -> dict[str, Any]:
        """Named arrays of x (P,), or of a stack of such vectors (…, P)."""
        x = reals(x)
        xp, lead = namespace(x), x.shape[:-1]
        if x.shape[-1:] != (self.size,):
            raise ValueError(f"the network has {self.size} parameters, but the array has shape {tuple(x.shape)}")
        return {slot.name: xp.reshape(x[..., slot.part], (*lead, *slot.shape)) for slot in self.plan.slots}

    def ravel(self, arrays: Any) -> Any:
        """(P,) of arrays: a dict by name, or a list in order, as PyTorch's `named_parameters()` gives them."""
        slots = self.plan.slots
        names = [slot.name for slot in slots]
        if isinstance(arrays, Mapping):
            if set(arrays) != set(names):
                raise ValueError(f"the network's arrays are {names}, those given {list(arrays)}")
            arrays = [arrays[name] for name in names]
        arrays = list(arrays)
        for slot, array in zip(slots, arrays, strict=False):
            if tuple(array.shape) != slot.shape and prod(array.shape) != prod(slot.shape):
                raise ValueError(f"{slot.name} has shape {slot.shape}, the array given for it {tuple(array.shape)}")
        if len(arrays) != len(slots):
            raise ValueError(f"the network has {len(slots)} arrays ({', '.join(names)}), {len(arrays)} were given")
        return joined(arrays, [0] * len(arrays))

    # --- what the sweeps need of it ------------------------------------------------------------------------------

    def nested(self, x: Any, masks: Any = ()) -> Any:
        """The parameters as the sweeps take them, nested as the layers are: views into x (P,)."""
        plan, x = self.plan, reals(x)
        if x.shape != (plan.size,):
            raise ValueError(f"the network has {plan.size} parameters, shape ({plan.size},), not {tuple(x.shape)}")
        xp = namespace(x)
        arrays = [xp.reshape(x[slot.part], slot.shape) for slot in plan.slots]
        owned = iter([tuple(arrays[k] for k in own) for _, _, own in plan.leaves])
        if len(masks) not in (0, self.dropouts):
            raise ValueError(f"the network has {self.dropouts} layers of Dropout, but {len(masks)} masks were given")
        return self.nest(owned, iter(masks))

    @cached_property
    def dropouts(self) -> int:
        """How many layers take a mask."""
        return sum(child.dropouts for child in self.children)

    def draw_masks(self, x: Any, X: Any, rng: Any) -> tuple[Any, ...]:
        """Masks for all layers of Dropout, from a `numpy.random.Generator` or a seed, for a batch X (N, …)."""
        rng, masks = np.random.default_rng(rng), list[Any]()

        def drawn(z: Any, rate: float) -> Any:
            xp = namespace(z)
            kept = (rng.random(z.shape) >= rate).astype(float)
            masks.append(xp.asarray(kept, dtype=z.dtype, device=device(z)))
            return masks[-1]

        self.forward(self.nested(x, (drawn,) * self.dropouts), X)
        return tuple(masks)

    def nest(self, owned: Iterator[Any], masks: Iterator[Any]) -> Any:
        if self.children:
            return tuple(child.nest(owned, masks) for child in self.children)
        return next(owned) if self.shapes else ()

    def flat(self, found: list[tuple[Any, ...]]) -> Any:
        """(…, P) from what `use` has found, last layer first."""
        plan, parts = self.plan, dict[int, Any]()
        for (_, leaf, own), arrays in zip(plan.leaves, reversed(found), strict=True):
            for k, array, shape in zip(own, arrays, leaf.shapes.values(), strict=True):
                lead = array.ndim - len(shape)
                flat = namespace(array).reshape(array, (*array.shape[:lead], prod(shape)))
                parts[k] = parts[k] + flat if k in parts else flat
        arrays = [parts[k] for k in range(len(plan.slots))]
        return namespace(arrays[0]).concat(arrays, axis=-1)

    def into(self, out: np.ndarray) -> Use:
        """A `use` that writes gradients per sample into a NumPy array (…, N, P), without another copy of them."""
        leaves, written = reversed(self.plan.leaves), set[int]()

        def use(layer: Layer, tape: Any, u: Any) -> None:
            own = next(leaves)[2]
            shapes = layer.shapes.values()
            parts = [out[..., self.plan.slots[k].part] for k in own]
            views = [part.reshape(*out.shape[:-1], *shape) for part, shape in zip(parts, shapes, strict=True)]
            if written.isdisjoint(own):
                layer.per_sample_into(views, tape, u)
            else:  # a shared array is the sum of its occurrences
                for k, view, found in zip(own, views, layer.per_sample(tape, u), strict=True):
                    view[...] = view + found if k in written else found
            written.update(own)

        return use

    def captures(self, found: list[list[tuple[Any, Any]]]) -> list[Capture]:
        """Captures in the order of the layers, from those that `use` has found."""
        captures = []
        for (name, _, own), maps in zip(self.plan.leaves, reversed(found), strict=True):
            slots = [self.plan.slots[k] for k in own]
            for k, (a, g) in enumerate(maps):
                parts = [_piece(slot.part, k, len(maps)) for slot in slots]
                captures.append(Capture(name, parts[0], parts[1] if parts[1:] else None, a, g))
        return captures


def joined(arrays: list[Any], leads: list[int]) -> Any:
    """The arrays side by side, each raveled behind its first `lead` axes."""
    xp = namespace(arrays[0])
    flat = [xp.reshape(a, (*a.shape[:lead], -1)) for a, lead in zip(arrays, leads, strict=True)]
    return xp.concat(flat, axis=-1)


def _piece(whole: slice, k: int, count: int) -> slice:
    length = (whole.stop - whole.start) // count
    return slice(whole.start + k * length, whole.start + (k + 1) * length)


def _sum_leading(array: Any, kept: int) -> Any:
    """The sum over all axes but the last `kept`."""
    return namespace(array).sum(array, axis=tuple(range(array.ndim - kept)))
