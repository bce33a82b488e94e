"""Schedules: options of ``refopt.train`` that change from step to step.

Any option that is a number may be a function of the step t = 0, 1, … instead, but the damping where a method has a rule
for it, which begins with a number:

    refopt.train(problem, x, method="adam", options={"step": schedules.cosine(1e-3, steps=1000, warmup=50)})

Every function here returns such a function.
"""

from collections.abc import Callable
from math import cos, pi

Schedule = Callable[[int], float]


def cosine(first: float, steps: int, last: float = 0.0, warmup: int = 0) -> Schedule:
    """From `first` to `last` along half a cosine in `steps` steps, after a linear rise over `warmup` of them.

    I. Loshchilov & F. Hutter, SGDR, arXiv:1608.03983, §3, without restarts.
    """
    _positive(steps=steps - warmup)

    def value(t: int) -> float:
        if t < warmup:
            return first * (t + 1) / warmup
        part = min(1.0, (t - warmup) / (steps - warmup))
        return last + 0.5 * (first - last) * (1.0 + cos(pi * part))

    return value


def linear(first: float, steps: int, last: float = 0.0, warmup: int = 0) -> Schedule:
    """From `first` to `last` in a straight line, after a linear rise over `warmup` steps."""
    _positive(steps=steps - warmup)

    def value(t: int) -> float:
        if t < warmup:
            return first * (t + 1) / warmup
        return first + (last - first) * min(1.0, (t - warmup) / (steps - warmup))

    return value


def exponential(first: float, factor: float, every: int = 1) -> Schedule:
    """`first` times `factor` after every so many steps."""
    _positive(every=every)
    return lambda t: first * factor ** (t // every)


def inverse_root(first: float, warmup: int = 1) -> Schedule:
    """`first` after a linear rise over `warmup` steps, then as 1/√t.   A. Vaswani et al., arXiv:1706.03762, §5.3."""
    _positive(warmup=warmup)
    return lambda t: first * min((t + 1) / warmup, (warmup / (t + 1)) ** 0.5)


def _positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, and more than the warmup; it is {value}")
