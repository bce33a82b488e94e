"""An optimizer's step, x, state = target(x, g, state): its run is the one that its method's equations give."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from refopt.conformance import Property
from refopt.conformance.strategies import nonzero_vectors, sizes
from refopt.oracle.replaying import replay
from refopt.oracle.rulebook import STEPS


@st.composite
def runs(draw: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """A start, and the gradients of a few steps."""
    n = draw(sizes)
    return draw(nonzero_vectors(n)), draw(st.lists(nonzero_vectors(n), min_size=2, max_size=8))


def properties(method: str) -> list[Property]:
    if method not in STEPS:
        raise ValueError(f"no optimizer is called {method!r}; there are {', '.join(STEPS)}")

    def follows(target: Any, instance: tuple[np.ndarray, list[np.ndarray]]) -> str:
        x, gradients = instance
        note, state = [], None
        for g in gradients:
            note.append({"x": x.copy(), "g": g.copy()})
            x, state = target(x.copy(), g.copy(), state)
            x = np.asarray(x, float)
        note.append({"x": x, "g": np.zeros_like(x)})
        found = replay(method, None, note, getattr(target, "params", None))
        return found.sentence if found.verdict == "disagrees" else ""

    return [Property("trajectory", f"every step is {method}'s", runs(), follows)]
