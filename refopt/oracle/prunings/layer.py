"""A pruning as it is handed in: weights before and after, the Hessian of their loss, and what has gone."""

from typing import Any, NamedTuple

import numpy as np

from refopt.oracle.iterates import eps_of, host
from refopt.oracle.prunings.corrections import Array

SINGLE = 2.0**-23


class Layer(NamedTuple):
    """Weights of a layer, before and after; a vector of weights is a layer of one output."""

    W: Array  #: (out, n) before
    theirs: Array  #: (out, n) after, zero where they have gone
    H: Array | None  #: (n, n); None where only its diagonal is known
    h: Array  #: (n,) its diagonal, or (out, n)
    gone: Array  #: (out, n)
    dead: Array  #: (n,) inputs that are always zero
    stored: float  #: the relative distance of the numbers of the type that theirs is kept in
    eps: float  #: of the type it was computed in: float32 where it is kept in less
    remarks: list[str]  #: conventions that are worth a sentence
    defects: list[str]

    @property
    def aside(self) -> Array:
        """(out, n) True where it means nothing that a weight went: of dead inputs, and where it was zero before."""
        return (self.W == 0.0) | self.dead

    def rows(self, some: Any) -> "Layer":
        return self._replace(W=self.W[some], theirs=self.theirs[some], gone=self.gone[some])


def layer_of(theirs: Any, W: Any, X: Any, hessian: Any, mask: Any) -> Layer:
    """Arrays of any kind, looked at: shapes, finite numbers, what the mask means."""
    given = {"theirs": theirs, "W": W, "X": X, "hessian": hessian, "mask": mask}
    arrays = {name: host(value) for name, value in given.items() if value is not None}
    for name, value in arrays.items():
        if value.dtype.kind not in "fiub" or not np.isfinite(value).all():
            raise ValueError(f"{name} must hold finite real numbers")
    stored = eps_of(arrays["theirs"])
    numbers = {name: np.asarray(value, float) for name, value in arrays.items() if name != "mask"}
    before, after = numbers["W"], numbers["theirs"]
    if before.shape != after.shape or before.ndim not in (1, 2) or not before.size:
        raise ValueError(f"W (outputs, inputs) and theirs must have one shape; given: {before.shape} and {after.shape}")
    H, remarks, defects = _hessian(before, numbers.get("X"), numbers.get("hessian"))
    if H.shape == (before.size, before.size):  # of all weights together
        shape: tuple[int, ...] = (1, before.size)
    else:
        shape = np.atleast_2d(before).shape
    before, after = before.reshape(shape), after.reshape(shape)
    known = None if mask is None else _mask(arrays["mask"].reshape(shape), after, remarks)
    gone = after == 0.0 if known is None else ~known
    left = gone & (after != 0.0)
    if left.any():
        where = tuple(map(int, np.argwhere(left)[0]))
        defects.append(
            f"of the {int(gone.sum())} weights that the mask takes {int(left.sum())} are not zero, the first in row "
            f"{where[0]}, column {where[1]}: {after[where]:.6g}"
        )
    whole = H if H.shape == (shape[1], shape[1]) and np.allclose(H, H.T, 1e-3, 1e-3 * np.abs(H).max()) else None
    if whole is None and H.size not in (shape[1], before.size):
        raise ValueError("hessian differs from its transpose: it must be symmetric")
    h = np.diag(H) if whole is not None else H.reshape(shape if H.size == before.size else (shape[1],))
    dead = (h == 0.0) & (True if whole is None else ~whole.any(axis=0))
    dead = dead.all(axis=0) if dead.ndim == 2 else dead
    return Layer(
        before, np.where(gone, 0.0, after), whole, h, gone, dead, stored, min(stored, SINGLE), remarks, defects
    )  # fmt: skip


def _mask(mask: Array, after: Array, remarks: list[str]) -> Array:
    """True where a weight is kept; of two readings the one that has the zeros."""
    kept = mask.astype(bool)
    if (after[kept] == 0.0).sum() > (after[~kept] == 0.0).sum():
        remarks.append("your mask is True where a weight goes")
        return ~kept
    return kept


def _hessian(W: Array, X: Array | None, H: Array | None) -> tuple[Array, list[str], list[str]]:
    """H of the rows, or its diagonal; and how it is made of X, where both are given."""
    n = W.shape[-1]
    if X is not None:
        if X.ndim != 2 or n not in X.shape:
            raise ValueError(f"X must be (inputs, samples), with {n} inputs; it has shape {X.shape}")
        X = X if X.shape[0] == n else X.T
        made = 2.0 * X @ X.T / X.shape[1]
    if H is None:
        if X is None:
            raise ValueError("give the calibration inputs X (inputs, samples), or hessian")
        return made, [], []
    shapes = {(n, n), (n,), W.shape, (W.size, W.size)}
    if H.shape not in shapes:
        wanted = " or ".join(map(str, sorted(shapes)))
        raise ValueError(f"hessian must have shape {wanted}; it has {H.shape}")
    if X is None or H.shape != (n, n):
        return H, [], []
    return H, *_of_inputs(H, X, made)


CENTRED = "H is the covariance of the inputs: their mean was subtracted"


def centred(layer: Layer, X: Any) -> Layer | None:
    """The same with the covariance of the inputs for H."""
    A = np.asarray(host(X), float)
    A = A if A.shape[0] == layer.W.shape[1] else A.T
    C = 2.0 * np.atleast_2d(np.cov(A, bias=True))
    return layer._replace(H=C, h=np.diag(C), defects=[*layer.defects, CENTRED]) if np.isfinite(C).all() else None


def _of_inputs(H: Array, X: Array, made: Array) -> tuple[list[str], list[str]]:
    """What their H is, beside 2XXᵀ/N."""
    one, size = np.eye(len(H)), float(np.linalg.norm(H))
    (alpha, lam), *_ = np.linalg.lstsq(np.stack([made.ravel(), one.ravel()], 1), H.ravel())
    near = 1e-3  # what a type of few digits and sums over many samples leave
    lam = lam if abs(lam) * len(H) ** 0.5 > near * size else 0.0
    if np.linalg.norm(H - alpha * made - lam * one) <= near * size and alpha > 0.0:
        said = [f"your H is {alpha:.6g} times 2XXᵀ/N, which changes no mask and no weight while λ grows with it"]
        added = [f"{lam:.4g} has been added to its diagonal already"]
        return said * bool(abs(alpha - 1.0) > near) + added * bool(lam), []
    centred = X - X.mean(axis=1, keepdims=True)
    beside, C = float("inf"), centred @ centred.T
    if C.any():
        beside = float(np.linalg.norm(H - (H * C).sum() / (C * C).sum() * C))
    if beside <= near * size:
        return [], [CENTRED]
    off = np.linalg.norm(H / (alpha or 1.0) - made) / (np.linalg.norm(made) or 1.0)
    return [], [f"your H is no multiple of XXᵀ: the nearest is off by {100 * off:.3g} %"]
