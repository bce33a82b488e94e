"""Matrices that come of known mistakes: made literally, in place of the curvature that was meant.

c Σ JₙᵀMₙJₙ       M not the Hessian of the loss in the outputs, but half of it, its mean, or logits for p
c Σ sₙsₙᵀ         s at the model's own best label, of gradients of whole batches, or with the weight decay in it
∇²f               by two passes backwards, the second of which does not see a part of the first
"""

from collections.abc import Callable
from copy import copy, deepcopy
from functools import cache, partial
from typing import Any

import numpy as np

from refopt import curvature
from refopt.networks import Layer, Linear
from refopt.networks.activations import Activation
from refopt.oracle.candidates import Array, Candidate

WORDS = "the generalised Gauss-Newton matrix with another Jacobian"
LOGITS = ("cross-entropy", "binary-cross-entropy")


def mistaken(problem: Any, x: Array) -> list[Candidate]:
    """The matrices of a ``Supervised`` that are made wrongly."""
    found = _of_batches(problem, x) + _of_jacobians(problem, x) + _of_turned_weights(problem, x)
    if problem.loss.name in LOGITS:
        found += _of_outputs(problem, x)
    if problem.loss.name == "cross-entropy":
        best = np.asarray(problem.at(x).f).argmax(axis=-1)
        words = "the matrix of outer products of the gradients at the labels that the model finds likeliest"
        mistake = "labels are drawn from the model for a Fisher matrix, not its best ones taken"
        found.append(
            Candidate("fisher-best", words, lambda: _outer(problem, problem.per_sample_grad(x, best)), mistake)
        )
    return found


def _outer(problem: Any, scores: Any) -> Array:
    S = np.asarray(scores, float)
    return problem.c * S.T @ S


def _of_outputs(problem: Any, x: Array) -> list[Candidate]:
    """c Σ JᵀMJ with a wrong M."""
    f = np.asarray(problem.at(x).f, float)
    z, several = f.reshape(-1, f.shape[-1]), problem.loss.name == "cross-entropy"
    p = np.exp(z - z.max(1, keepdims=True)) if several else 1.0 / (1.0 + np.exp(-z))
    p = p / p.sum(1, keepdims=True) if several else p
    curved = lambda q: diagonals(q) - q[:, :, None] * q[:, None, :] if several else diagonals(q * (1.0 - q))
    right, mean = ("diag(p) − ppᵀ" if several else "p(1 − p)"), np.broadcast_to(p.mean(0), p.shape)
    wrong = {
        f"the Hessian of the loss in the outputs is taken to be {'diag(p)' if several else 'p'} in place of {right}":
            diagonals(p),
        f"{'ppᵀ' if several else 'p²'} stands in place of {right}":
            p[:, :, None] * p[:, None, :] if several else diagonals(p * p),
        f"{right} is taken at the mean of all samples' p": curved(mean),
        f"the outputs themselves, not their probabilities p, are in {right}": curved(z),
    }  # fmt: skip
    words = "the generalised Gauss-Newton matrix with another Hessian of the loss"
    return [Candidate("ggn", words, lambda M=M: _between(problem, x, M), says) for says, M in wrong.items()]  # type: ignore[misc]


def _of_jacobians(problem: Any, x: Array) -> list[Candidate]:
    """c Σ JₙᵀMₙJₙ with a wrong J: reshaped where it should be transposed, or averaged before it is multiplied."""
    point = problem.at(x)
    f = np.asarray(point.f, float)
    if f.ndim != 2 or f.shape[1] < 2:
        return []

    def parts() -> tuple[Array, Array]:
        J = np.asarray(curvature.jacobian(problem, x), float).reshape(*f.shape, -1)
        units = [
            np.asarray(problem.loss.hvp(f, problem.y, np.broadcast_to(e, f.shape)), float) for e in np.eye(f.shape[1])
        ]
        return J, np.stack(units, axis=2)

    def one() -> Array:
        J, M = parts()
        return problem.c * side_by_side(J.reshape(len(f), len(x), -1) @ M) @ J.reshape(-1, len(x))

    def both() -> Array:
        J, M = parts()
        R = J.reshape(len(f), len(x), -1)
        return problem.c * side_by_side(R @ M) @ side_by_side(R).T

    def means() -> Array:
        J, M = parts()
        return problem.c * len(f) * J.mean(0).T @ M.mean(0) @ J.mean(0)

    words, reshaped = WORDS, "Jₙ is reshaped to (P, C) where Jₙᵀ is meant: that does not transpose it"
    once = Candidate("ggn", words, one, reshaped)
    return [
        once,
        Candidate("ggn", words, lambda: once.matrix.T, reshaped),
        Candidate("ggn", words, both, "Jₙ is reshaped to (P, C), which does not transpose it, on both sides"),
        Candidate("ggn", words, means, "J and the Hessian of the loss are averaged over the samples before they meet"),
    ]


def _of_turned_weights(problem: Any, x: Array) -> list[Candidate]:
    """c Σ JₙᵀMₙJₙ where what is passed back through one layer with as many outputs as inputs is Wδ, not Wᵀδ."""
    found = list[Candidate]()
    leaves = problem.network.leaves() if isinstance(problem.network, Layer) and problem.at(x).f.ndim == 2 else ()
    for k, (name, leaf) in enumerate(leaves):
        if not isinstance(leaf, Linear) or leaf.inputs != leaf.outputs or leaf.kernel or leaf.groups != 1:
            continue

        def sides(k: int = k) -> tuple[Array, Array]:
            other = copy(problem)
            other.network = deepcopy(problem.network)
            changed = [*other.network.leaves()][k][1]
            turned = {"_times_transposed": lambda self, u, W: u @ W.T}
            object.__setattr__(changed, "__class__", type(type(changed).__name__, (type(changed),), turned))
            point = problem.at(x)
            right, wrong = (np.asarray(curvature.jacobian(each, x), float) for each in (problem, other))
            through = right.reshape(*point.f.shape, -1)
            M = [problem.loss.hvp(point.f, problem.y, through[:, :, j]) for j in range(len(x))]
            return problem.c * np.stack(M, 2).reshape(right.shape), wrong

        def one(sides: Any = sides) -> Array:
            MJ, wrong = sides()
            return wrong.T @ MJ

        says = f"in layer {name} W stands for Wᵀ in what is passed back, on one side"
        once = Candidate("ggn", WORDS, one, says)
        found += [once, _transposed(once)]
    return found


def side_by_side(A: Array) -> Array:
    """(P, N·C) of (N, P, C)."""
    return A.transpose(1, 0, 2).reshape(A.shape[1], -1)


def diagonals(q: Array) -> Array:
    return q[:, :, None] * np.eye(q.shape[1])


def _between(problem: Any, x: Array, M: Array) -> Array:
    J = np.asarray(curvature.jacobian(problem, x), float)
    blocks = J.reshape(*M.shape[:2], -1)
    return problem.c * J.T @ (M @ blocks).reshape(J.shape)


def _of_batches(problem: Any, x: Array) -> list[Candidate]:
    """The outer products of the gradients of consecutive batches, averaged."""
    S = np.asarray(problem.per_sample_grad(x), float)
    N, found = len(S), []
    for b in (b for b in range(2, N) if N % b == 0):
        words = f"the matrix of outer products of the gradients of consecutive batches of {b}"
        mistake = "the gradient is averaged over each batch before it is squared, not after"
        make = lambda b=b: problem.c * b * _gram(S.reshape(N // b, b, -1).mean(1))
        found.append(Candidate("outer-batches", words, make, mistake))
    return found


def _gram(S: Array) -> Array:
    return S.T @ S


def decayed(T: Array, problem: Any, x: Array) -> list[Candidate]:
    """c Σ (sₙ + λx)(sₙ + λx)ᵀ with the λ that fits T best, a matrix in our order."""
    S = np.asarray(problem.per_sample_grad(x), float)
    g, K = problem.c * S.sum(0), _outer(problem, S)
    parts = [K, np.outer(g, x) + np.outer(x, g), problem.c * len(S) * np.outer(x, x)]
    (a, b, _), *_ = np.linalg.lstsq(np.stack([part.reshape(-1) for part in parts], 1), T.reshape(-1))
    lam = float(b / a) if a else 0.0
    words = f"the empirical Fisher matrix of gradients to which {lam:.6g} x was added"
    mistake = "the weight decay is in the gradients of the samples: add it to the diagonal"
    return [Candidate("empirical", words, lambda: _outer(problem, S + lam * x), mistake)] if lam else []


def definite(hessian: Candidate) -> list[Candidate]:
    """The Hessian with other eigenvalues in place of the negative ones."""
    how: dict[str, Callable[[Array], Array]] = {
        "are set to zero": lambda values: np.maximum(values, 0.0), "have lost their sign": np.abs,
    }  # fmt: skip

    known = cache(lambda: np.linalg.eigh(hessian.matrix))

    def make(change: Callable[[Array], Array]) -> Array:
        values, V = known()
        return (V * change(values)) @ V.T

    return [
        Candidate("hessian", f"{hessian.words} made positive", partial(make, f), f"its negative eigenvalues {what}")
        for what, f in how.items()
    ]


def transformed(kinds: list[Candidate]) -> list[Candidate]:
    """Diagonals of which the modulus, the root or the square was taken."""
    how: dict[str, Callable[[Array], Array]] = {
        "modulus": np.abs, "square root": lambda d: np.sqrt(np.abs(d)), "square": np.square,
    }  # fmt: skip
    return [
        Candidate(c.kind, f"{c.words}, of each entry the {what}", _diagonal_of(c, f), f"the {what} was taken")
        for c in kinds for what, f in how.items()
    ]  # fmt: skip


def _diagonal_of(c: Candidate, f: Callable[[Array], Array]) -> Callable[[], Array]:
    return lambda: np.diag(f(np.diag(c.matrix)))


# --- Hessians of which a term is lost --------------------------------------------------------------------------------


def _no_weights(self: Any, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> Any:
    return self._times_transposed(u, p[0]), self._times_transposed(du, p[0])


def _no_cotangent(self: Any, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> Any:
    v = self._times_transposed(u, p[0])
    return v, 0.0 * v


def _no_inputs(self: Any, tape: Any, dtape: Any, u: Any, du: Any) -> Any:
    return self.sums(tape, du)


def _no_bend(self: Any, p: Any, tape: Any, dp: Any, dtape: Any, u: Any, du: Any) -> Any:
    return dtape[0] * u, dtape[0] * du


_LOST = (
    ("in Wᵀδ, which is passed back, W is held constant; or, with two passes backwards, a in ∇W = δaᵀ",
     Linear, "rpull", _no_weights),
    ("in ∇W = δaᵀ a is held constant; or, with two passes backwards, W in Wᵀδ, which is passed back",
     Linear, "rsums", _no_inputs),
    ("the slopes φ′ of the activations are held constant: the term with φ″ is missing", Activation, "rpull", _no_bend),
    ("what is passed back, Wᵀδ, is held constant", Linear, "rpull", _no_cotangent),
)  # fmt: skip


def lost_terms(problem: Any, x: Array) -> list[Candidate]:
    """∇²f of a network whose R-operator loses one term; two passes backwards give its transpose.   Cost: 4P of them."""
    found = []
    for says, base, name, instead in _LOST if isinstance(problem.network, Layer) else ():
        make = _without(problem, x, base, name, instead)
        whole = partial(make, np.eye(len(x)))
        found.append(Candidate("hessian", "the Hessian without one of its terms", whole, says, apply=make))
    return [*found, *map(_transposed, found[-1:])]  # that of the last is none of the others


def _transposed(c: Candidate) -> Candidate:
    return Candidate(c.kind, c.words, lambda: c.matrix.T, c.defect)


def _without(problem: Any, x: Array, base: type, name: str, instead: Callable[..., Any]) -> Callable[[Array], Array]:
    def make(V: Array) -> Array:
        other = copy(problem)
        other.network = deepcopy(problem.network)
        for _, leaf in other.network.leaves():
            if isinstance(leaf, base):
                object.__setattr__(leaf, "__class__", type(type(leaf).__name__, (type(leaf),), {name: instead}))
        point = other.at(x)
        return np.stack([np.asarray(point.hvp(v)) for v in V.T], 1)

    return make
