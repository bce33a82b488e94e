"""A limit of evaluations that is kept to the last one.

The user's functions count their calls; the call after the last that is allowed raises ``Spent`` instead, wherever it
comes from, and the driver ends the run at the last complete step. The first point is evaluated in any case, with its
derivatives.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

COUNTS = ("nfev", "njev", "nhev", "nhvp")  #: of fun, jac, hess, hessp
ENDLESS = 2**62


class Spent(Exception):
    """Another evaluation of fun was asked for than the limit allows."""


class Budget:
    """How often each function was called, and how often the first may be; in memory, so that machine code can count."""

    def __init__(self, most: float, counts: Any = None) -> None:
        self.most = int(min(most, ENDLESS))
        self.counts = np.empty(len(COUNTS) + 1, np.int64) if counts is None else counts
        self.counts[:] = [0, 0, 0, 0, ENDLESS]

    def begin(self, nfev: int) -> None:
        """From here on, after so many evaluations, the limit holds."""
        self.counts[0], self.counts[-1] = nfev, max(self.most, nfev)

    def steps(self, per_gradient: int) -> int:
        """So many steps may be taken without a look at what is left: hardly one needs more than 64 points."""
        return max(1, int(self.counts[-1] - self.counts[0]) // (64 * (1 + per_gradient)))

    def counting(self, function: Callable[..., Any], i: int) -> Callable[..., Any]:
        """A Python function, counted; not where autograd only records it."""

        def call(x: Any, *rest: Any, **named: Any) -> Any:
            if not type(x).__module__.startswith("autograd"):
                if i == 0 and self.counts[0] >= self.counts[-1]:
                    raise Spent
                self.counts[i] += 1
            return function(x, *rest, **named)

        return call
