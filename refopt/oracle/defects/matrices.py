"""Mistakes in the matrices of Newton's method, of the natural gradient and of fits."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refopt.oracle.defects import Defect
from refopt.oracle.rules import Array, Path, fisher
from refopt.supervised import Supervised


def stale(path: Path, k: int) -> Array:
    return path.B(max(0, k - 1))


def only_diagonal(path: Path, k: int) -> Array:
    return np.diag(np.abs(np.diag(path.B(k))))


def of_samples(make: Callable[[Any, Array], Array]) -> Callable[[Path, int], Array]:
    """A matrix of the gradients of the samples; of the identity where there are none, so that nothing is explained."""

    def matrix(path: Path, k: int) -> Array:
        if not isinstance(path.problem, Supervised):
            return np.eye(path.x(k).size)
        scores = lambda x: np.asarray(path.problem.per_sample_grad(x))
        return make(path.problem.c, path.kept("scores", k, scores))

    return matrix


def summed(path: Path, k: int) -> Array:
    return fisher(path, k) / getattr(path.problem, "c", 1.0)


def heaped(path: Path, k: int) -> Array:
    """H, to which the damping of every step before was added for good."""
    return path.B(k) + k * getattr(path.params, "damping", 0.0) * np.eye(path.x(k).size)


NEWTON = {
    "damping heaped": Defect(
        "the damping accumulates: each step adds λI to what the steps before added",
        "a matrix changed in place",
        {"matrix": heaped},
    ),
    "old H": Defect("the Hessian is that of the step before", "stale", {"matrix": stale}),
    "diagonal": Defect("of the Hessian only the diagonal is used", "diagonal", {"matrix": only_diagonal}),
}
FISHER = {
    "empirical": Defect("F is the empirical Fisher matrix", "Kunstner et al.",
                        {"matrix": of_samples(lambda c, S: c * S.T @ S)}),
    "outer": Defect("F is the square of the mean gradient", "order of mean and square",
                    {"matrix": of_samples(lambda c, S: np.outer(c * S.sum(0), c * S.sum(0)))}),
    "sum": Defect("F is summed over the samples, and g averaged", "reduction", {"matrix": summed}),
}  # fmt: skip
FITS = {
    "2Jᵀr": Defect("the gradient is that of ‖r‖², 2Jᵀr, beside JᵀJ", "factor 2", {"factor": 2.0}),
    "2JᵀJ": Defect("JᵀJ is doubled beside Jᵀr", "factor 2", {"factor": 0.5}),
    "sign": Defect("the sign of r is wrong", "sign", {"factor": -1.0}),
}
