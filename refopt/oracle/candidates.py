"""What a curvature matrix may be: every definition of the field at one point, and the mistakes that pass for them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refopt import curvature
from refopt.oracle.factors import is_shared
from refopt.supervised import Supervised

Array = np.ndarray


@dataclass
class Candidate:
    """A matrix in our flat order, with the problem's own c; made when it is first looked at."""

    kind: str  #: its name, such as "fisher"
    words: str  #: in a sentence
    make: Callable[[], Array] = field(repr=False)
    defect: str = ""  #: what is wrong with it, where it is a mistake
    structure: str = "full"
    apply: Callable[[Array], Array] | None = field(default=None, repr=False)  #: products, where they come without it
    _matrix: Array | None = field(default=None, repr=False)
    _products: Array | None = field(default=None, repr=False)

    @property
    def matrix(self) -> Array:
        if self._matrix is None:
            self._matrix = np.asarray(self.make(), float)
        return self._matrix

    def times(self, probes: Array) -> Array:
        """The products with vectors that are always the same."""
        if self._products is None:
            self._products = self.apply(probes) if self.apply and self._matrix is None else self.matrix @ probes
        return self._products

    def within(self, structure: str, words: str, mask: Callable[[Array], Array]) -> "Candidate":
        """The same with all other entries zero."""
        return Candidate(self.kind, f"{words} of {self.words}", lambda: mask(self.matrix), self.defect, structure)


def matrices(problem: Any, x: Array, labels: Any = None) -> list[Candidate]:
    """The candidates of a problem: many for a ``Supervised``, Hessian and Gauss-Newton for others."""
    found = [Candidate("hessian", "the Hessian", lambda: curvature.hessian(problem, x))]
    if not isinstance(problem, Supervised):
        if hasattr(problem, "jacobian"):
            found.append(Candidate("ggn", "the Gauss-Newton matrix JᵀJ", lambda: curvature.ggn(problem, x)))
        return found
    scores = np.asarray(problem.per_sample_grad(x))
    c, N = problem.c, scores.shape[0]
    mean = scores.mean(axis=0)
    found += [
        Candidate("ggn", "the generalised Gauss-Newton matrix", lambda: curvature.ggn(problem, x)),
        Candidate("fisher", "the exact Fisher matrix", lambda: curvature.fisher(problem, x, kind="exact")),
        Candidate("empirical", "the empirical Fisher matrix", lambda: c * scores.T @ scores),
        Candidate("empirical-centred", "the covariance of the gradients (the empirical Fisher matrix, centred)",
                  lambda: c * (scores - mean).T @ (scores - mean)),
        Candidate("functional-hessian", "the part of the Hessian that Gauss-Newton drops",
                  lambda: curvature.functional_hessian(problem, x)),
        Candidate("outer-mean", "the outer product of the whole gradient with itself",
                  lambda: N * c * np.outer(mean, mean),
                  "the gradient is averaged over the batch before it is squared, not after"),
        Candidate("jacobian", "JᵀJ of the outputs", lambda: _jacobian_squared(problem, x),
                  "the Hessian of the loss in the outputs is left out"),
    ]  # fmt: skip
    if problem.at(x).f.ndim > 2:
        found += [
            Candidate("empirical-token", "the empirical Fisher matrix per token",
                      lambda: curvature.fisher(problem, x, kind="empirical", unit="token")),
            Candidate("fisher-token", "the exact Fisher matrix per token",
                      lambda: curvature.fisher(problem, x, kind="exact", unit="token")),
        ]  # fmt: skip
    if labels is not None:
        found.append(Candidate(
            "monte-carlo", "the Fisher matrix sampled with the labels given",
            lambda: curvature.fisher(problem, x, kind="monte-carlo", labels=labels)))  # fmt: skip
    return found


def _jacobian_squared(problem: Any, x: Array) -> Array:
    J = np.asarray(curvature.jacobian(problem, x))
    return problem.c * J.T @ J


def structured(found: list[Candidate], blocks: list[slice], arrays: list[slice]) -> list[Candidate]:
    """The candidates, whole, by layers, by arrays, and their diagonals."""
    by_layer = [c.within("block-diagonal", "the layers' diagonal blocks", lambda M: kept(M, blocks)) for c in found]
    by_array = [c.within("array-diagonal", "the arrays' diagonal blocks", lambda M: kept(M, arrays)) for c in found]
    by_entry = [c.within("diagonal", "the diagonal", lambda M: np.diag(np.diag(M))) for c in found]
    return found + by_layer * (len(blocks) > 1) + by_array * (len(arrays) > len(blocks)) + by_entry


def summed(found: list[Candidate]) -> list[Candidate]:
    """What passes for diagonals: the sums of the rows, as the diagonal of a matrix."""
    mistake = "a product with a vector of ones gives the sums of the rows, not the diagonal"
    return [
        Candidate(c.kind, f"{c.words}, its rows summed", lambda c=c: np.diag(c.matrix.sum(axis=1)), mistake)  # type: ignore[misc]
        for c in found
    ]


def factored(problem: Any, x: Array) -> list[Candidate]:
    """K-FAC and its kin, of every Fisher matrix, sharing and bias."""
    return [
        Candidate(kind, words, _dense(kind, problem, x, how), "", "kfac") for kind, words, how in kroneckers(problem, x)
    ]


def kroneckers(problem: Any, x: Array) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, words and keywords of each."""
    if not isinstance(problem, Supervised):
        return
    shared = is_shared(problem, x)
    rows = {"exact": "", "empirical": "empirical ", "forward-only": "forward-only "}
    for fisher, words in rows.items():
        for sharing in ("expand", "reduce") if shared else ("expand",):
            for bias in ("joint", "separate"):
                for kind in ("kfac",) if fisher == "forward-only" else ("kfac", "ekfac", "kfoc"):
                    name = {"kfac": "K-FAC", "ekfac": "EKFAC", "kfoc": "KFOC"}[kind]
                    said = f"{words}{name}{f' ({sharing})' * shared}, bias {bias}"
                    yield f"{kind}-{fisher}", said, {"fisher": fisher, "sharing": sharing, "bias": bias}


def _dense(kind: str, problem: Any, x: Array, how: dict[str, Any]) -> Callable[[], Array]:
    return lambda: getattr(curvature, kind.partition("-")[0])(problem, x, **how).dense()


def kept(M: Array, blocks: list[slice]) -> Array:
    """M with everything outside of the blocks zero."""
    out = np.zeros_like(M)
    for block in blocks:
        out[block, block] = M[block, block]
    return out
