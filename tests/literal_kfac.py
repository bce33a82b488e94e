"""K-FAC from its definition, sample by sample and position by position, by sums that are written out.

A network is a list of steps on one sample: (W, b) for Wz + b at each position of z (R, d), b perhaps None, or any
function. Its Jacobians are complex steps; the second moments E[∇ℓ∇ℓᵀ] sums over labels, or known by heart.
"""

from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from refopt import Supervised
from refopt.networks import Conv2d, Linear, MeanPool, SelfAttention, Sequential, Tanh

STEP = 1e-30


class Sample(NamedTuple):
    """Inputs a (R, in) and Jacobians J (R, T·C, out) of each linear step, and E[∇ℓ∇ℓᵀ] (T·C, T·C)."""

    a: list[np.ndarray]
    J: list[np.ndarray]
    M: np.ndarray


def outputs(steps, z, at=None, disturbance=0.0):
    """f (T, C), inputs of the linear steps, and their outputs; `disturbance` is added to the outputs of step `at`."""
    inputs, results = [], []
    for k, step in enumerate(steps):
        if callable(step):
            z = step(z)
        else:
            W, b = step
            inputs.append(z)
            z = z @ W.T + (0 if b is None else b) + (disturbance if k == at else 0)
            results.append(z)
    return z, inputs, results


def sample(steps, z, loss, labels=None):
    f, a, results = outputs(steps, z)
    linear = [k for k, step in enumerate(steps) if not callable(step)]
    J = []
    for k, y in zip(linear, results, strict=True):
        found = np.zeros((y.shape[0], f.size, y.shape[1]))
        for r, o in np.ndindex(y.shape):
            e = np.zeros(y.shape, complex)
            e[r, o] = 1j * STEP
            found[r, :, o] = outputs(steps, z, k, e)[0].imag.ravel() / STEP
        J.append(found)
    return Sample(a, J, moment(f, loss) if labels is None else observed(f, loss, labels))


def slope(f, loss, y):
    """∇ℓ at one position."""
    if loss == "squared":
        return f - y
    if loss == "mse":
        return 2 * (f - y)
    if loss == "cross-entropy":
        p = np.exp(f) / np.exp(f).sum()
        return p - np.eye(len(f))[y]
    if loss == "binary-cross-entropy":
        return 1 / (1 + np.exp(-f)) - y
    if loss == "poisson":
        return np.exp(f) - y
    m, s = np.split(f, 2)
    return np.concatenate([(m - y) / np.exp(s), 0.5 - 0.5 * (y - m) ** 2 / np.exp(s)])


def moment_at(f, loss):
    """E[∇ℓ∇ℓᵀ] at one position, y ~ the model."""
    C = len(f)
    if loss == "cross-entropy":
        p = np.exp(f) / np.exp(f).sum()
        return sum(p[y] * np.outer(slope(f, loss, y), slope(f, loss, y)) for y in range(C))
    if loss == "binary-cross-entropy":
        q = 1 / (1 + np.exp(-f))
        total = 0
        for y in product((0, 1), repeat=C):
            u = slope(f, loss, np.array(y))
            total = total + np.prod([q[c] if y[c] else 1 - q[c] for c in range(C)]) * np.outer(u, u)
        return total
    if loss == "gaussian":
        _, s = np.split(f, 2)
        return np.diag(np.concatenate([np.exp(-s), np.full(len(s), 0.5)]))
    return {"squared": np.eye(C), "mse": 2 * np.eye(C), "poisson": np.diag(np.exp(f))}[loss]


def moment(f, loss):
    """Positions are independent, with mean 0."""
    T, C = f.shape
    M = np.zeros((T, C, T, C))
    for t in range(T):
        M[t, :, t, :] = moment_at(f[t], loss)
    return M.reshape(T * C, T * C)


def observed(f, loss, labels):
    """The mean of ∇ℓ∇ℓᵀ over given labels, each like those of one sample."""
    total = 0
    for y in labels:
        u = np.concatenate([slope(f[t], loss, y[t]) for t in range(len(f))])
        total = total + np.outer(u, u)
    return total / len(labels)


class Literal(NamedTuple):
    """By layer: A, G, what lies between it and the next, its block of F; and F (P, P)."""

    A: list[np.ndarray]
    G: list[np.ndarray]
    A_next: list[np.ndarray]
    G_next: list[np.ndarray]
    F: np.ndarray
    places: list[slice]


def literal(steps, X, c, loss, sharing="expand", labels=None):
    """For X (N, R, d); labels: for each sample a list of labels, or None for the model's own.   Biases are joint."""
    samples = [sample(steps, X[n], loss, labels and labels[n]) for n in range(len(X))]
    biased = [step[1] is not None for step in steps if not callable(step)]
    L = len(biased)

    def vectors(s, k):
        a, J = s.a[k], s.J[k]
        if biased[k]:
            a = np.array([[*row, 1.0] for row in a])
        if sharing == "reduce":
            return [sum(a) / len(a)], [sum(J)]
        return list(a), list(J)

    def pair(j, k):
        A, G, count = 0, 0, 0
        for s in samples:
            (a, J), (b, K) = vectors(s, j), vectors(s, k)
            if len(a) != len(b):
                return None, None
            for r in range(len(a)):
                A, G, count = A + np.outer(a[r], b[r]), G + J[r].T @ s.M @ K[r], count + 1
        return A / count, c * G

    own = [pair(k, k) for k in range(L)]
    after = [pair(k, k + 1) for k in range(L - 1)]
    jacobians = [np.hstack([flat_jacobian(s, k, biased[k]) for k in range(L)]) for s in samples]
    F = c * sum(D.T @ s.M @ D for D, s in zip(jacobians, samples, strict=True))
    sizes = [flat_jacobian(samples[0], k, biased[k]).shape[1] for k in range(L)]
    ends = np.cumsum([0, *sizes])
    places = [slice(int(ends[k]), int(ends[k + 1])) for k in range(L)]
    return Literal(*map(list, zip(*own, strict=True)), *(zip(*after, strict=True) if after else ([], [])), F, places)


def flat_jacobian(s, k, biased):
    """∂f/∂(W, b), W row by row."""
    a, J = s.a[k], s.J[k]
    (R, outputs_, out), width = J.shape, a.shape[1]
    W, b = np.zeros((outputs_, out, width)), np.zeros((outputs_, out))
    for r in range(R):
        for o in range(out):
            b[:, o] += J[r][:, o]
            for i in range(width):
                W[:, o, i] += J[r][:, o] * a[r, i]
    W = W.reshape(outputs_, -1)
    return np.hstack([W, b]) if biased else W


def product_of(A, G, bias):
    """(P, P) in flat order: the entry of W_oi and W_pj is G_op A_ij; b is the last column of [W b]."""
    out, width = len(G), len(A) - bias
    where = [(o, i) for o in range(out) for i in range(width)] + [(o, width) for o in range(out)] * bias
    return np.array([[G[o, p] * A[i, j] for p, j in where] for o, i in where])


# --- the same networks as the library has them -------------------------------------------------------------------

LOSSES = ("squared", "mse", "cross-entropy", "binary-cross-entropy", "poisson", "gaussian")


class Case(NamedTuple):
    """A network both ways, with data."""

    steps: list
    problem: object
    x: np.ndarray
    X: np.ndarray  #: (N, R, d)


def case(seed=0, sizes=(3, 4, 2), R=1, N=5, loss="squared", reduction="mean", bias=True, linear=False, mean=False):
    """A network of linear layers, tanh between them unless `linear`, on R positions; `mean` over them at last."""
    rng = np.random.default_rng(seed)
    steps, net = [], []
    for k, (i, o) in enumerate(pairwise(sizes)):
        if k and not linear:
            steps.append(np.tanh)
            net.append(Tanh())
        W, b = rng.standard_normal((o, i)) / max(i, 1) ** 0.5, 0.3 * rng.standard_normal(o)
        steps.append((W, b if bias else None))
        net.append(Linear(i, o, bias))
    if mean:
        steps.append(mean_of)
        net.append(MeanPool())
    X = rng.standard_normal((N, R, sizes[0]))
    x = flat_of(steps)
    single = R == 1 and not mean
    data = X[:, 0, :] if single else X
    positions = () if mean or single else (R,)
    labels = draw(rng, loss, (N, *positions), sizes[-1])
    return Case(steps, Supervised(Sequential(*net), loss, data, labels, reduction), x, X)


def convolution(seed=0, stride=2, padding=1, loss="cross-entropy", reduction="mean", bias=True):
    """Images (2, 4, 3) through a convolution of kernel (3, 2), tanh, one of kernel 1, and the mean over positions."""
    rng = np.random.default_rng(seed)
    W, b = rng.standard_normal((3, 2, 3, 2)), rng.standard_normal(3) if bias else None
    V, c = rng.standard_normal((3, 3, 1, 1)), rng.standard_normal(3) if bias else None
    X = rng.standard_normal((4, 2, 4, 3))

    def patches(z):
        padded = np.zeros((2, 4 + 2 * padding, 3 + 2 * padding))
        padded[:, padding : padding + 4, padding : padding + 3] = z
        H, K = (padded.shape[1] - 3) // stride + 1, (padded.shape[2] - 2) // stride + 1
        corners = [(stride * i, stride * j) for i in range(H) for j in range(K)]
        return np.array([padded[:, i : i + 3, j : j + 2].ravel() for i, j in corners])

    steps = [patches, (W.reshape(3, 12), b), np.tanh, (V.reshape(3, 3), c), mean_of]
    layers = Conv2d(2, 3, (3, 2), stride, padding, bias=bias), Tanh(), Conv2d(3, 3, 1, bias=bias), MeanPool((-2, -1))
    labels = draw(rng, loss, (4,), 3)
    return Case(steps, Supervised(Sequential(*layers), loss, X, labels, reduction), flat_of([(W, b), (V, c)]), X)


def attention(seed=0, loss="cross-entropy", reduction="mean", pooled=True):
    """Three tokens of four entries through two heads, tanh and, `pooled`, the mean over tokens, to three outputs."""
    rng = np.random.default_rng(seed)
    T, d, C = 3, 4, 3
    first, second, last = (
        (rng.standard_normal((o, d)) / 2, rng.standard_normal(o) / 4) for o in (3 * d, d, C)
    )  # fmt: skip
    X = rng.standard_normal((4, T, d))

    def heads(z):
        found = []
        for h in (0, 1):
            Q, K, V = (z[:, k * d + 2 * h : k * d + 2 * h + 2] for k in range(3))
            weights = np.exp(Q @ K.T / 2**0.5)
            found.append(weights / weights.sum(axis=1, keepdims=True) @ V)
        return np.concatenate(found, axis=1)

    steps = [first, heads, second, np.tanh, *([mean_of] if pooled else []), last]
    layers = SelfAttention(d, 2), Tanh(), *([MeanPool()] if pooled else []), Linear(d, C)
    labels = draw(rng, loss, (4,) if pooled else (4, T), C)
    return Case(steps, Supervised(Sequential(*layers), loss, X, labels, reduction), flat_of([first, second, last]), X)


def mean_of(z):
    return sum(z[r] for r in range(len(z)))[None] / len(z)


def flat_of(steps):
    linear = [step for step in steps if not callable(step)]
    return np.concatenate([part.ravel() for step in linear for part in step if part is not None])


def draw(rng, loss, shape, C):
    """Labels of a loss."""
    if loss == "cross-entropy":
        return rng.integers(0, C, shape)
    if loss == "binary-cross-entropy":
        return rng.integers(0, 2, (*shape, C)).astype(float)
    if loss == "poisson":
        return rng.integers(0, 4, (*shape, C)).astype(float)
    return rng.standard_normal((*shape, C // 2 if loss == "gaussian" else C))


def by_sample(labels, case, loss):
    """A stack of labels (S, N, …) as ``literal`` takes them: for each sample a list, with one for each position."""
    single = case.problem.outputs(case.x).ndim == 2
    return [[y[n][None] if single else y[n] for y in labels] for n in range(len(case.X))]
