"""What a pruner does to a layer: which weights go, and what becomes of the others.

    pruner:magnitude, pruner:wanda, pruner:sparsegpt     target(W, X, sparsity) → W₊ (out, n);   X (n, N)
    pruner:obs                                           target(w, H, count) → w₊ (n,);          H (n, n), H ≻ 0

A weight that has gone is zero in what comes back. SparseGPT has H = 2XXᵀ/N + λI, λ a hundredth of its mean diagonal.
"""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from refopt import pruning
from refopt.conformance import Property
from refopt.conformance.strategies import basis, seeds, spectra

KINDS = ("magnitude", "wanda", "sparsegpt", "obs")
NEAR = 1e-6  #: of the largest weight


class Layer(NamedTuple):
    W: np.ndarray
    X: np.ndarray
    sparsity: float


class Minimum(NamedTuple):
    w: np.ndarray
    H: np.ndarray
    few: int  #: weights that are to go


@st.composite
def layers(draw: Any, correlated: bool = True) -> Layer:
    out, n, rng = draw(st.integers(1, 3)), draw(st.integers(1, 6)), np.random.default_rng(draw(seeds))
    X = rng.standard_normal((n, n + 4)) if correlated else np.diag(rng.uniform(0.5, 2.0, n))
    mixed = np.eye(n) + 0.7 * rng.standard_normal((n, n)) if correlated else np.eye(n)
    return Layer(rng.standard_normal((out, n)), mixed @ X, draw(st.sampled_from([0.5, 0.25, 0.75])))


@st.composite
def minima(draw: Any) -> Minimum:
    values = draw(spectra(st.integers(1, 6), 100.0))
    V, rng = basis(values.size, draw(seeds)), np.random.default_rng(draw(seeds))
    return Minimum(rng.standard_normal(values.size), (V * values) @ V.T, draw(st.integers(1, values.size)))


def properties(kind: str) -> list[Property]:
    if kind not in KINDS:
        raise ValueError(f"no pruner is called {kind!r}; there are {', '.join(KINDS)}")
    if kind == "obs":
        return [
            Property("count", "as many weights go as are to go", minima(), as_many_go),
            Property(
                "optimal", "H(w₊ − w) = 0 where a weight is kept: the others make up for it", minima(), is_optimal
            ),
            Property(
                "cheapest first", "of single weights the one of least w²/[H⁻¹]ᵢᵢ goes", minima(), takes_the_cheapest
            ),
            Property("as here", "mask and weights are those of greedy OBS", minima(), is_greedy),
            Property("arguments untouched", "w and H are not written into", minima(), leaves_alone),
        ]
    found = [
        Property("count", "a share of the weights goes", layers(), a_share_goes),
        Property("as here", f"mask and weights are {kind}'s", layers(), _like_ours(kind)),
        Property("arguments untouched", "W and X are not written into", layers(), leaves_alone),
    ]
    if kind != "sparsegpt":
        return [*found, Property("kept weights", "what is kept keeps its value", layers(), keeps_values)]
    return [*found, Property("uncorrelated inputs", "what is kept keeps its value where XXᵀ is diagonal",
                             layers(correlated=False), keeps_values)]  # fmt: skip


# --- a layer -----------------------------------------------------------------------------------------------------


def _done(target: Any, instance: Any) -> np.ndarray:
    found = np.asarray(target(*(part.copy() if isinstance(part, np.ndarray) else part for part in instance)), float)
    if found.shape != instance[0].shape:
        raise ValueError(f"it must return an array of shape {instance[0].shape}; it has {found.shape}")
    return found


def a_share_goes(target: Any, layer: Layer) -> str:
    """int(sparsity · size), or one more, as the public code of SparseGPT has it; row by row a little less."""
    gone, rows = int((_done(target, layer) == 0.0).sum()), layer.W.shape[0]
    wanted, each = int(layer.sparsity * layer.W.size), rows * int(layer.sparsity * layer.W.shape[1])
    return "" if gone in (wanted, wanted + 1, each) else f"of {layer.W.size} weights {gone} are zero, and not {wanted}"


def keeps_values(target: Any, layer: Layer) -> str:
    found = _done(target, layer)
    error = np.abs(np.where(found == 0.0, 0.0, found - layer.W)).max() / np.abs(layer.W).max()
    return "" if error <= NEAR else f"a weight that is kept changes by {error:.2g} of the largest"


def _ours(kind: str, layer: Layer) -> list[np.ndarray]:
    if kind == "sparsegpt":
        return [pruning.sparsegpt(*layer, ties=ties).weights for ties in ("exact", "reference")]
    if kind == "wanda":
        return [pruning.wanda(*layer).weights]
    rows = [pruning.magnitude(row[None, :], sparsity=layer.sparsity).weights for row in layer.W]
    return [pruning.magnitude(layer.W, sparsity=layer.sparsity).weights, np.concatenate(rows)]


def _like_ours(kind: str) -> Any:
    def same(target: Any, layer: Layer) -> str:
        theirs, known = _done(target, layer), _ours(kind, layer)
        return "" if any(_near(theirs, ours) for ours in known) else _difference(theirs, known[0], kind)

    return same


def _near(theirs: np.ndarray, ours: np.ndarray) -> bool:
    return bool(np.abs(theirs - ours).max() <= NEAR * np.abs(ours).max(initial=1e-300))


def _difference(theirs: np.ndarray, ours: np.ndarray, kind: str) -> str:
    apart = np.argwhere((theirs == 0.0) != (ours == 0.0))
    if len(apart):
        where = tuple(int(k) for k in apart[0])
        return f"weight {where} {'goes' if theirs[where] == 0.0 else 'is kept'}, which by {kind} it does not"
    worst = tuple(int(k) for k in np.unravel_index(np.abs(theirs - ours).argmax(), ours.shape))
    return f"the right weights go, but weight {worst} becomes {theirs[worst]:.6g}, and by {kind} {ours[worst]:.6g}"


# --- a minimum ---------------------------------------------------------------------------------------------------


def as_many_go(target: Any, case: Minimum) -> str:
    gone = int((_done(target, case) == 0.0).sum())
    return "" if gone == case.few else f"{gone} weights are zero, and {case.few} were to go"


def is_optimal(target: Any, case: Minimum) -> str:
    found = _done(target, case)
    slope = np.where(found == 0.0, 0.0, case.H @ (found - case.w))
    error = np.abs(slope).max() / np.abs(case.H @ case.w).max()
    if error <= NEAR:
        return ""
    unmoved = _near(np.where(found == 0.0, 0.0, found - case.w), np.zeros_like(found))
    return f"the gradient is {error:.2g} where weights are kept{'; they have not moved at all' * unmoved}"


def takes_the_cheapest(target: Any, case: Minimum) -> str:
    one = case._replace(few=1)
    gone = np.flatnonzero(_done(target, one) == 0.0)
    costs = 0.5 * case.w**2 / np.diag(np.linalg.inv(case.H))
    best = int(costs.argmin())
    if len(gone) == 1 and costs[gone[0]] <= (1.0 + NEAR) * costs[best]:
        return ""
    return f"weights {gone.tolist()} go first; the cheapest is {best}: all cost {costs.round(6).tolist()}"


def is_greedy(target: Any, case: Minimum) -> str:
    theirs, ours = _done(target, case), np.asarray(pruning.obs(case.w, case.H, case.few).weights)
    return "" if _near(theirs, ours) else _difference(theirs, ours, "greedy OBS")


def leaves_alone(target: Any, instance: Any) -> str:
    given = [part.copy() if isinstance(part, np.ndarray) else part for part in instance]
    target(*given)
    same = all(np.array_equal(a, b) for a, b in zip(instance, given, strict=True))
    return "" if same else "an argument was written into"
