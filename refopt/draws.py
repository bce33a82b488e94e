"""Batches, labels, probes and masks for every step of a run, from one seed.

The draw of step t is a function of (seed, t), and each of the four has a stream of its own: `default_rng([seed, stream,
t])`. So batches are the same for every method, no generator's state needs to be kept, and a run that is taken up again
goes on as if it had never stopped. Without replacement an epoch is a permutation of the samples, cut into batches; what
is left over sits this epoch out.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refopt.ops import device, namespace
from refopt.sampled import Draw, Needs, drawn

BATCH, LABELS, PROBES, MASKS = range(4)

Seed = tuple[int, ...]


def seed_of(rng: Any) -> Seed:
    """What a generator, a seed, or None (then another one each time) stands for."""
    if isinstance(rng, np.random.Generator):
        return tuple(map(int, rng.integers(2**32, size=4)))
    if rng is None:
        return tuple(map(int, np.random.SeedSequence().generate_state(4)))
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool) and rng >= 0:
        return (int(rng),)
    raise TypeError(f"rng must be a numpy.random.Generator or a seed, an int ≥ 0; it is {rng!r}")


class Sampler(NamedTuple):
    """The draws of one run. batch_size None: all samples, every time."""

    problem: Any
    seed: Seed
    batch_size: int | None = None
    replacement: bool = False  #: each batch from all samples, which may come twice

    def draw(self, t: int, x: Any, needs: Needs = Needs()) -> Draw:  # noqa: B008
        """The randomness of step t; labels are drawn from the model at x."""
        draw = Draw(batch=self.batch(t))
        if getattr(getattr(self.problem, "network", None), "dropouts", 0):
            X = drawn(self.problem, draw).X if draw.batch is not None else self.problem.X
            draw = draw._replace(masks=self.problem.network.draw_masks(x, X, self.rng(MASKS, t)))
        if needs.labels:
            draw = draw._replace(labels=self.labels(t, x, draw, needs.labels))
        if needs.probes:
            draw = draw._replace(probes=signs(self.rng(PROBES, t), needs.probes, x))
        return draw

    def rng(self, stream: int, t: int) -> np.random.Generator:
        return np.random.default_rng([*self.seed, stream, t])

    def batch(self, t: int) -> Any:
        if self.batch_size is None:
            return None
        N, B = self.problem.samples, self.batch_size
        if self.replacement:
            return self.rng(BATCH, t).integers(N, size=B)
        epoch, k = divmod(t, N // B)
        return permutation(self.seed, epoch, N)[k * B : (k + 1) * B].copy()

    def labels(self, t: int, x: Any, draw: Draw, count: int) -> Any:
        if not hasattr(self.problem, "at"):
            raise TypeError(
                f"the method needs labels drawn from a model, and a {type(self.problem).__name__} has none: give a "
                "refopt.Supervised"
            )
        whole = draw.batch is None and not draw.masks
        point, rng = (self.problem if whole else drawn(self.problem, draw)).at(x), self.rng(LABELS, t)
        found = [point.sample(rng) for _ in range(count)]
        return found[0] if count == 1 else namespace(found[0]).stack(found)


@lru_cache(maxsize=4)
def permutation(seed: Seed, epoch: int, N: int) -> Any:
    order = np.random.default_rng([*seed, BATCH, epoch]).permutation(N)
    order.flags.writeable = False
    return order


def signs(rng: np.random.Generator, count: int, x: Any) -> Any:
    """(count, P) random signs of the kind and type of x."""
    xp, where = namespace(x), device(x)
    drawn = 2 * rng.integers(2, size=(count, x.shape[0]), dtype=np.int8) - 1
    if where is None:
        return drawn.astype(x.dtype)
    return xp.asarray(drawn.astype(np.float64), dtype=x.dtype, device=where)
