"""Random combinations of conventions, made literally: curvature as another program may have it, and what it is.

Each draw is theirs, what ``diagnose`` takes with it, and what must be found: kind, reduction, damping.
"""

from typing import Any, NamedTuple

import numpy as np

import refopt
from refopt import curvature
from refopt.networks import Conv2d, Flatten, Linear, Sequential, Tanh
from refopt.oracle.layouts import blocks_of, layers_of, layouts


class Case(NamedTuple):
    """A problem at a point, and what somebody may compute there."""

    problem: Any
    x: np.ndarray
    matrices: dict[str, np.ndarray]

    @property
    def reductions(self):
        """α of theirs, by name, where ours is the mean over samples."""
        N = len(self.problem.X)
        elements = self.problem.at(self.x).f[0].size
        tokens = self.problem.y[0].size
        found = {
            "mean": 1.0,
            "sum": N,
            "half mean": 0.5,
            "double mean": 2.0,
            "half sum": 0.5 * N,
            "double sum": 2.0 * N,
        }
        found |= {"squared mean": 1.0 / N, "cubed mean": 1.0 / N**2, "N - 1": N / (N - 1)}
        found |= {"mean-elements": 1.0 / elements} | (
            {"mean-tokens": 1.0 / tokens} if tokens not in (1, elements) else {}
        )
        return found


def case(net, loss, X, y, seed=0):
    problem = refopt.Supervised(net, loss, X, y)
    x = net.init(np.random.default_rng(seed)) * 1.3
    matrices = {
        "hessian": curvature.hessian(problem, x),
        "ggn": curvature.ggn(problem, x),
        "empirical": curvature.fisher(problem, x, kind="empirical"),
        "empirical-centred": curvature.fisher(problem, x, kind="empirical", centred=True),
        "functional-hessian": curvature.functional_hessian(problem, x),
    }
    if problem.at(x).f.ndim > 2:
        matrices["empirical-token"] = curvature.fisher(problem, x, kind="empirical", unit="token")
    return Case(problem, x, matrices)


def cases():
    rng = np.random.default_rng(17)
    dense = Sequential(Linear(4, 5), Tanh(), Linear(5, 3))
    conv = Sequential(Conv2d(2, 3, 2), Tanh(), Flatten(), Linear(12, 3))
    tokens = Sequential(Linear(3, 4), Tanh(), Linear(4, 3))
    X = rng.standard_normal((30, 4)) + 0.3
    return {
        "classes": case(dense, "cross-entropy", X, rng.integers(0, 3, 30)),
        "fit": case(dense, "squared", X, rng.standard_normal((30, 3))),
        "labels": case(dense, "binary-cross-entropy", X, rng.integers(0, 2, (30, 3)).astype(float)),
        "images": case(conv, "cross-entropy", rng.standard_normal((14, 2, 3, 3)), rng.integers(0, 3, 14)),
        "tokens": case(tokens, "cross-entropy", rng.standard_normal((12, 5, 3)), rng.integers(0, 3, (12, 5))),
    }


class Drawn(NamedTuple):
    """What is handed in, and what must be said of it."""

    theirs: Any
    more: dict[str, Any]
    kind: str
    reduction: str
    damping: float
    words: str


def within(M, structure, case):
    """The part of M that a structure keeps, written out."""
    size = len(M)
    parts = {
        "block-diagonal": [part for _, part in blocks_of(case.problem, size)],
        "array-diagonal": [slot.part for _, slots in layers_of(case.problem, size) for slot in slots],
        "diagonal": [slice(k, k + 1) for k in range(size)],
    }.get(structure, [slice(0, size)])
    out = np.zeros_like(M)
    for part in parts:
        out[part, part] = M[part, part]
    return out


def _scaled(case, draw, kind, structure):
    """αK + λI in an order of theirs, and what it is."""
    reduction = draw.choice(list(case.reductions))
    K = case.reductions[reduction] * within(case.matrices[kind], structure, case)
    damping = draw.choice([0.0, 0.1, 1e-3]) * abs(np.trace(K)) / len(K)
    orders = layouts(case.problem, case.x.size)
    order = orders[draw.integers(len(orders))]
    words = f"{structure} {kind}, {reduction}, λ = {damping:.3g}, {order.words}"
    return (K + damping * np.eye(len(K)))[np.ix_(order.order, order.order)], reduction, damping, words


def matrix(case, draw, kind):
    structure = draw.choice(["full", "block-diagonal", "array-diagonal", "diagonal"])
    M, reduction, damping, words = _scaled(case, draw, kind, structure)
    if draw.random() < 0.15:
        return Drawn(np.triu(M), {}, kind, reduction, damping, f"triangle of {words}")
    return Drawn(M, {}, kind, reduction, damping, words)


def diagonal(case, draw, kind):
    M, reduction, damping, words = _scaled(case, draw, kind, "full")
    return Drawn(np.diag(M), {}, kind, reduction, damping, f"diagonal of {words}")


def product(case, draw, kind):
    structure = draw.choice(["full", "block-diagonal", "array-diagonal", "diagonal"])
    M, reduction, damping, words = _scaled(case, draw, kind, structure)
    v = draw.choice([draw.standard_normal(len(M)), draw.choice([-1.0, 1.0], len(M))])
    return Drawn(M @ v, {"v": v}, kind, reduction, damping, f"product with {words}")


def factors(case, draw, fisher):
    """Pairs of K-FAC: sharing, scale and its split, order, bias, direction of the layers, damping, inverses."""
    shared = len(case.problem.X.shape) > 2
    sharing = draw.choice(["expand", "reduce"]) if shared else "expand"
    more = {}
    if fisher == "monte-carlo":
        there = case.problem.at(case.x)
        more = {"labels": np.stack([there.sample(draw) for _ in range(2)])}
    blocks = curvature.kfac(case.problem, case.x, fisher=fisher, sharing=sharing, **more).blocks
    reduction = draw.choice(list(case.reductions))
    split = draw.choice([1.0, len(case.problem.X), 0.5, len(case.problem.X) ** 0.5])
    bias = draw.choice(["last", "first", "none"])
    lam = draw.choice([0.0, 1e-3, 0.1])
    how = draw.choice(["as they are", "by π", "both alike", "A alone"])
    pairs, inverse = [], lam > 0.0 and how != "A alone" and draw.random() < 0.3
    for block in blocks:
        A, G = split * block.A, case.reductions[reduction] / split * block.G
        A = {"last": A, "first": np.roll(A, (1, 1), (0, 1)), "none": A[:-1, :-1]}[bias]
        a, g = np.trace(A) / len(A), np.trace(G) / len(G)
        root = (lam * a * g) ** 0.5
        alpha = {"as they are": 0.0, "by π": root * (a / g) ** 0.5, "both alike": root, "A alone": lam * a}[how]
        gamma = {"as they are": 0.0, "by π": root * (g / a) ** 0.5, "both alike": root, "A alone": 0.0}[how]
        pair = A + alpha * np.eye(len(A)), G + gamma * np.eye(len(G))
        pairs.append(tuple(np.linalg.inv(M) for M in pair) if inverse and how != "as they are" else pair)
    inverse = inverse and how != "as they are"
    backwards, swapped = draw.random() < 0.2, draw.random() < 0.2
    pairs = [pair[::-1] if swapped else pair for pair in (pairs[::-1] if backwards else pairs)]
    words = f"{fisher} K-FAC ({sharing}), {reduction}, A times {split:.3g}, bias {bias}, λ = {lam:g} {how}"
    words += ", inverses" * bool(inverse) + ", swapped" * bool(swapped) + ", backwards" * bool(backwards)
    return Drawn(pairs, more, f"{'inverse-' * bool(inverse)}kfac-{fisher}", reduction, np.nan, words)
