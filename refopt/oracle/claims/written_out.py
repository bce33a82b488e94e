"""A network of one hidden layer written out once more, in functions that take complex numbers too.

    f = V tanh(Wa + b) + c       x = (W, b, V, c) in flat order

What the library computes by sweeps comes here from the formulas, or by the complex step, Im f(x + ihe)/h, which has no
error beyond rounding; expectations over labels are sums over outcomes that have the moments which matter.
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from refopt.networks import LOSSES, Linear, Sequential, Tanh
from refopt.oracle.draw import Draw
from refopt.supervised import Supervised

STEP = 1e-30
NATURAL = tuple(name for name in LOSSES if name != "gaussian")


class Net(NamedTuple):
    """A network at x, with data and a loss."""

    x: np.ndarray
    X: np.ndarray
    y: np.ndarray
    hidden: int
    outputs: int
    loss: str
    reduction: str = "sum"

    @property
    def problem(self) -> Supervised:
        """As the library takes it."""
        net = Sequential(Linear(self.X.shape[1], self.hidden), Tanh(), Linear(self.hidden, self.outputs))
        return Supervised(net, self.loss, self.X, self.y, self.reduction)

    @property
    def c(self) -> float:
        per = {"sum": 1, "mean": len(self.X), "mean-elements": self.y.size * (self.outputs if self.y.ndim == 1 else 1)}
        return 1.0 / per[self.reduction]

    def arrays(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        n, k, C = self.X.shape[1], self.hidden, self.outputs
        W, b, V, c = np.split(x, np.cumsum([k * n, k, C * k]))
        return W.reshape(k, n), b, V.reshape(C, k), c

    def layers(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """h = tanh z, its slope, and f (N, C)."""
        W, b, V, c = self.arrays(x)
        z = self.X @ W.T + b
        h = np.tanh(z)
        return h, 1 - h * h, h @ V.T + c

    def f(self, x: np.ndarray) -> np.ndarray:
        return self.layers(x)[2]

    def grad(self, x: np.ndarray, r: Any = None) -> np.ndarray:
        """c Σ Jₙᵀrₙ by hand, for the slopes r = ∇ℓ at x or for others."""
        h, slope, f = self.layers(x)
        r = slopes(self.loss, f, self.y) if r is None else r
        d = (r @ self.arrays(x)[2]) * slope
        parts = d.T @ self.X, d.sum(0), r.T @ h, r.sum(0)
        return self.c * np.concatenate([part.ravel() for part in parts])

    @property
    def J(self) -> np.ndarray:
        """(N, C, P)."""
        return np.moveaxis(along_axes(self.f, self.x), 0, -1)

    @property
    def hessian(self) -> np.ndarray:
        return along_axes(self.grad, self.x)

    @property
    def dropped(self) -> np.ndarray:
        """∇² of c Σ rₙᵀfₙ with r held fixed."""
        r = slopes(self.loss, self.f(self.x), self.y)
        return along_axes(lambda x: self.grad(x, r), self.x)

    @property
    def ggn(self) -> np.ndarray:
        f = self.f(self.x)
        bends = np.moveaxis(along_axes_of_rows(lambda z: slopes(self.loss, z, self.y), f), 0, -1)
        return self.c * np.einsum("ncp,ncd,ndq->pq", self.J, bends, self.J)

    def scores(self, y: np.ndarray) -> np.ndarray:
        """sₙ (N, P), unreduced, for any labels."""
        return np.einsum("nc,ncp->np", slopes(self.loss, self.f(self.x), y), self.J)

    @property
    def size(self) -> float:
        """What sums of outer products are made of: c Σ ‖Jₙ‖² times squares of slopes and bends."""
        f = self.f(self.x)
        worst = max(1.0, *(abs(slopes(self.loss, f, y)).max() ** 2 for y, _ in outcomes(self.loss, f)))
        worst = max(worst, abs(slopes(self.loss, f, self.y)).max() ** 2)
        return float(self.c * (1 + (self.J**2).sum() + (self.x**2).sum() * (self.X**2).sum()) * worst)


def drawn(draw: Draw, loss: str = "", reduction: str = "", samples: int = 0, C: int = 0) -> Net:
    loss = loss or tuple(LOSSES)[int(draw.rng.integers(len(LOSSES)))]
    C = C or (2 * draw.size(1, 2) if loss == "gaussian" else draw.size(2, 3))
    N, n, k = samples or draw.size(2, 4), draw.size(1, 3), draw.size(1, 3)
    x, X = draw.vector(k * n + k + C * k + C) / 2, draw.matrix(N, n)
    y = {
        "cross-entropy": lambda: draw.rng.integers(0, C, N),
        "binary-cross-entropy": lambda: draw.rng.integers(0, 2, (N, C)).astype(float),
        "poisson": lambda: draw.rng.integers(0, 4, (N, C)).astype(float),
        "gaussian": lambda: draw.matrix(N, C // 2),
    }.get(loss, lambda: draw.matrix(N, C))()
    reduction = reduction or ("sum", "mean", "mean-elements")[int(draw.rng.integers(3))]
    return Net(x, X, y, k, C, loss, reduction)


def slopes(loss: str, f: np.ndarray, y: np.ndarray) -> np.ndarray:
    """∇ℓ (N, C)."""
    if loss == "cross-entropy":
        odds = np.exp(f - f.real.max(1)[:, None])
        return odds / odds.sum(1)[:, None] - (np.arange(f.shape[1]) == y[:, None])
    if loss == "gaussian":
        mu, s = np.split(f, 2, axis=1)
        return np.concatenate([(mu - y) * np.exp(-s), (1 - (y - mu) ** 2 * np.exp(-s)) / 2], axis=1)
    mean = {"binary-cross-entropy": lambda: 1 / (1 + np.exp(-f)), "poisson": lambda: np.exp(f)}.get(loss, lambda: f)()
    return (mean - y) * (2 if loss == "mse" else 1)


def outcomes(loss: str, f: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Labels of all samples and the probability of each, (N,): all classes or signs; else few with the same moments."""
    N, C = f.shape
    if loss == "cross-entropy":
        p = np.exp(f) / np.exp(f).sum(1)[:, None]
        return [(np.full(N, c), p[:, c]) for c in range(C)]
    if loss == "binary-cross-entropy":
        mean = 1 / (1 + np.exp(-f))
        choices = [(0 * f, 1 - mean), (0 * f + 1, mean)]
    elif loss == "poisson":  # slopes are linear in y: mean and variance are all that matters, and both are e^f
        mean = np.exp(f)
        choices = [(0 * f, 1 / (1 + mean)), (1 + mean, mean / (1 + mean))]
    else:
        centre, spread = (f, np.full_like(f, 0.5**0.5 if loss == "mse" else 1.0))
        if loss == "gaussian":
            centre, spread = f[:, : C // 2], np.exp(f[:, C // 2 :] / 2)
        nodes, weights = np.polynomial.hermite_e.hermegauss(3)
        choices = [(centre + t * spread, 0 * centre + w / weights.sum()) for t, w in zip(nodes, weights, strict=True)]
    columns = choices[0][0].shape[1]
    found = []
    for picked in product(choices, repeat=columns):
        y = np.stack([value[:, j] for j, (value, _) in enumerate(picked)], axis=1)
        found.append((y, np.prod([weight[:, j] for j, (_, weight) in enumerate(picked)], axis=0)))
    return found


def along_axes(function: Any, x: np.ndarray) -> np.ndarray:
    """∂/∂xⱼ of it by the complex step, along the first axis."""
    return np.array([function(x + 1j * STEP * e).imag / STEP for e in np.eye(x.size)])


def along_axes_of_rows(function: Any, f: np.ndarray) -> np.ndarray:
    """∂/∂fₙⱼ of the n-th row, (C, N, …)."""
    return np.array([function(f + 1j * STEP * e).imag / STEP for e in np.eye(f.shape[1])])
