"""What makes H = target(arrays, X, y, loss) a curvature matrix of a network of dense layers with tanh between them.

arrays: [W, b, W, b, …], W (out, in);   X (N, in);   y (N,) classes or (N, C) numbers;   loss: "cross-entropy" of a
softmax, or "squared", ½‖f − y‖², averaged over the samples.   The matrix is (P, P), in the order of the arrays, each
row by row; of K-FAC it is a list of pairs (A, G), one for each layer, with the coordinate of the bias last.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from refopt.conformance import Property
from refopt.conformance.strategies import seeds
from refopt.networks import from_arrays
from refopt.oracle.diagnosis import diagnose
from refopt.supervised import Supervised

KINDS = ("hessian", "ggn", "fisher", "empirical", "kfac-exact", "kfac-empirical")
SEMIDEFINITE = KINDS[1:4]
SAME = {"ggn": ("ggn", "fisher"), "fisher": ("ggn", "fisher")}


class Case(NamedTuple):
    """A network, and its data."""

    arrays: list[np.ndarray]
    X: np.ndarray
    y: np.ndarray
    loss: str

    def problem(self) -> tuple[Supervised, np.ndarray]:
        net = from_arrays(self.arrays)
        return Supervised(net, self.loss, self.X, self.y), net.x

    def copy(self) -> "Case":
        return Case([a.copy() for a in self.arrays], self.X.copy(), self.y.copy(), self.loss)


@st.composite
def cases(draw: Any) -> Case:
    """Small layers first, and one sample; a loss with several classes or numbers."""
    loss = draw(st.sampled_from(["squared", "cross-entropy"]))
    widths = draw(st.lists(st.integers(1, 3), min_size=2, max_size=3))
    widths[-1] = max(widths[-1], 2) if loss == "cross-entropy" else widths[-1]
    N, rng = draw(st.integers(1, 5)), np.random.default_rng(draw(seeds))
    arrays = []
    for before, after in pairwise(widths):
        arrays += [rng.uniform(-1.0, 1.0, (after, before)), rng.uniform(-1.0, 1.0, after)]
    y = rng.integers(0, widths[-1], N) if loss == "cross-entropy" else rng.standard_normal((N, widths[-1]))
    return Case(arrays, rng.standard_normal((N, widths[0])), y, loss)


def properties(kind: str) -> list[Property]:
    if kind not in KINDS:
        raise ValueError(f"no curvature is called {kind!r}; there are {', '.join(KINDS)}")

    def is_it(target: Any, case: Case) -> str:
        """As ``refopt.oracle.diagnose`` sees it, which says what else it is."""
        theirs = target(*case.copy())
        problem, x = case.problem()
        zero = not isinstance(theirs, list) and not np.any(theirs)
        if zero:
            return "it is zero"
        found = diagnose(theirs, problem, x, claim="" if kind.startswith("kfac") else kind)
        usual = abs(found.scale - 1.0) <= 1e-6 and found.damping == 0.0 and (found.vec, found.bias) in USUAL
        right = found.kind in SAME.get(kind, (kind,)) and not found.defect and usual
        return "" if right or _alike(kind, theirs, problem, x) else found.sentence

    found = [
        Property("definition", f"it is {kind}, averaged over the samples, in the order of the arrays", cases(), is_it),
        Property("arguments untouched", "arrays, X and y are not written into", cases(), leaves_alone),
        Property("order of samples", "another order of the samples gives the same", cases(), ignores_order),
    ]
    if not kind.startswith("kfac"):
        found.append(Property("symmetry", "H = Hᵀ", cases(), is_symmetric))
    if kind in SEMIDEFINITE:
        found.append(Property("semidefinite", "no eigenvalue is negative", cases(), is_semidefinite))
    return found


USUAL = (("row", "after"), ("row", "joint"))


def _alike(kind: str, theirs: Any, problem: Supervised, x: np.ndarray) -> bool:
    """Where matrices of several names are the same here, the name does not matter."""
    from refopt import curvature

    if kind.startswith("kfac"):
        blocks = curvature.kfac(problem, x, fisher=kind.removeprefix("kfac-")).blocks
        return len(theirs) == len(blocks) and all(
            _close(np.kron(G, A), np.kron(b.G, b.A)) for (A, G), b in zip(theirs, blocks, strict=True)
        )
    if kind == "empirical":
        return _close(theirs, curvature.fisher(problem, x, kind="empirical"))
    return _close(theirs, getattr(curvature, kind)(problem, x))


def _close(theirs: Any, ours: Any) -> bool:
    return np.shape(theirs) == np.shape(ours) and bool(
        np.abs(np.asarray(theirs) - ours).max() <= 1e-9 * np.abs(ours).max()
    )


def leaves_alone(target: Any, case: Case) -> str:
    given = case.copy()
    target(*given)
    names = ["arrays"] * len(case.arrays) + ["X", "y"]
    pairs = zip(names, [*case.arrays, case.X, case.y], [*given.arrays, given.X, given.y], strict=True)
    changed = sorted({name for name, before, after in pairs if not np.array_equal(before, after)})
    return f"{', '.join(changed)} has been written into" if changed else ""


def ignores_order(target: Any, case: Case) -> str:
    turned = case._replace(X=case.X[::-1].copy(), y=case.y[::-1].copy())
    one, two = _flat(target(*case.copy())), _flat(target(*turned))
    error = np.abs(one - two).max() / (np.abs(one).max() or 1.0)
    return "" if error <= 1e-10 else f"with the samples backwards it differs by {error:.2g}"


def _flat(found: Any) -> np.ndarray:
    parts = [M for pair in found for M in pair] if isinstance(found, list) else [found]
    return np.concatenate([np.ravel(M) for M in parts])


def is_symmetric(target: Any, case: Case) -> str:
    H = np.asarray(target(*case.copy()))
    error = np.abs(H - H.T).max() / (np.abs(H).max() or 1.0)
    return "" if error <= 1e-10 else f"it differs from its transpose by {error:.2g}"


def is_semidefinite(target: Any, case: Case) -> str:
    H = np.asarray(target(*case.copy()))
    values = np.linalg.eigvalsh((H + H.T) / 2.0)
    bad = values[0] < -1e-10 * np.abs(values).max()
    return f"its lowest eigenvalue is {values[0]:.3g}, its highest {values[-1]:.3g}" if bad else ""
