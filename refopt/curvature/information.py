"""Gauss-Newton and Fisher matrices: sums of outer products of gradients.

    G  = c Σₙ Jₙᵀ ∇²ℓₙ Jₙ = c Σₙₛ σₛ (Jₙᵀrₙₛ)(Jₙᵀrₙₛ)ᵀ          ∇²ℓₙ = Σₛ σₛ rₙₛrₙₛᵀ
    F  = c Σₙ E[sₙsₙᵀ],  sₙ = Jₙᵀ∇ℓ(fₙ, y),  y ~ e^{−ℓ(fₙ, ·)}   exact: a sum over classes, or the closed form
    F̂  = c/S Σₛₙ sₙₛsₙₛᵀ                                          for S labels of each sample, drawn from the model
    EF = c Σₙ sₙsₙᵀ                                              at the labels of the data

G = F where the outputs are natural parameters, at every x: for all losses but "gaussian", whose G is not even
semidefinite. F̂ is unbiased; EF is neither F nor an estimate of it unless the labels are the model's own.

Several terms in a sample (tokens): ℓₙ = Σₜ ℓₙₜ. For unit="sample" sₙ is the gradient of the sum; for "token" each
term's gradient has its outer product, c Σₙₜ sₙₜsₙₜᵀ. G and F are the same for both: given x, the labels of tokens are
independent. centred=True subtracts the mean of s over all units: the covariance, c Σ (s − s̄)(s − s̄)ᵀ.

With Z the rows of gradients, √c included, M = ZᵀσZ, and (Woodbury)

    (M + λI)⁻¹v = (v − Zᵀ(λσ + ZZᵀ)⁻¹Zv)/λ

takes a system of the size of the outputs, like the neural tangent kernel: ZZᵀ has the nonzero eigenvalues of M.

J. Martens, *JMLR* 21 (2020) 146, §5, §9, §11;  F. Kunstner, L. Balles & P. Hennig, arXiv:1905.12558;
M. Korbit et al., arXiv:2405.14402 (solves through the outputs).
Cost: a product 1.7 gradients; dense as in ``refopt.curvature.outer``; no matrix larger than asked for is formed.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from refopt.curvature.matrices import Curvature, parts
from refopt.curvature.outer import Cotangents, blocks, diagonal, gram, terms
from refopt.curvature.point import expansion, vector
from refopt.derivatives import jacobian_of
from refopt.expansion import Expansion
from refopt.linalg.operators import generator
from refopt.networks.loss import token_by_token
from refopt.ops import Matrix, Vector, cholesky, device, dot, namespace, solve_lower, solve_lower_t, solve_symmetric
from refopt.room import LIMIT, fits

KINDS = ("exact", "monte-carlo", "empirical")
UNITS = ("sample", "token")


def ggn(problem: Any, x: Any) -> "Outer":
    """G = c Σ Jₙᵀ ∇²ℓₙ Jₙ at x; JᵀJ for least squares."""
    point = expansion(problem, x)
    return Outer("ggn", point, lambda some, rows: some.factor(), point.ggnvp, terms(point))


def fisher(
    problem: Any,
    x: Any,
    kind: str = "exact",
    labels: Any = None,
    samples: int = 1,
    rng: Any = None,
    centred: bool = False,
    unit: str = "sample",
) -> "Outer":
    """Fisher's information matrix at x, or the empirical one.

    kind: "exact", the expectation over y ~ e^{−ℓ}; "monte-carlo", its mean over `samples` labels for each input, drawn
    with `rng` (a Generator or a seed), or given as `labels`, like y or a stack (S, …) of such; "empirical", at the
    labels of the problem, or at `labels`.   unit, centred: see above; neither matters to the exact matrix.
    Of a ``LeastSquares`` labels are residuals (m,): drawn from N(0, 1), or given in place of its own.
    """
    if kind not in KINDS:
        raise ValueError(f"no Fisher matrix is {kind!r}; kind is one of {', '.join(map(repr, KINDS))}")
    if unit not in UNITS:
        raise ValueError(f"unit is 'sample' or 'token', not {unit!r}")
    point = expansion(problem, x)
    if kind == "exact":
        if labels is not None:
            raise ValueError("the exact Fisher matrix takes no labels: it is an expectation over all of them")
        return Outer("fisher", point, lambda some, rows: signed(some.fisher_factor()), point.fisher_vp, terms(point))
    stack = drawn(point, labels, samples, rng) if kind == "monte-carlo" else given(point, labels)
    if kind == "empirical" and len(stack) != 1:
        raise ValueError(f"the empirical Fisher matrix takes labels like y, one for each sample, not {len(stack)}")
    rows = len(stack) * (1 if unit == "sample" else prod(point.f.shape[1:-1]))
    made = Outer("fisher", point, scores(stack, unit), None, rows)
    if centred:
        units = point.problem.samples if unit == "sample" else point.loss.tokens(point.problem.y)
        made.centre(units, len(stack))
    return made


def fisher_from_log_prob(
    log_prob: Callable[[Any, Any], Any],
    theta: Any,
    samples: Any,
    jac: str | Callable[[Any, Any], Any] = "autograd",
    weights: Any = None,
) -> Matrix:
    """Σ wᵢ sᵢsᵢᵀ (P, P), sᵢ = ∇log p(yᵢ; θ): the Fisher matrix of any density, from samples.

    log_prob: (theta, y) ↦ log p(y; θ).   samples: y₁ … y_S along the first axis, drawn from the model at θ: from data,
    this is the empirical Fisher matrix.   weights: (S,), 1/S unless given; for finitely many outcomes, all of
    them with their probabilities give the exact matrix.   jac: how to differentiate, "autograd", "cs", "3-point",
    "2-point", or a function (theta, y) ↦ ∇log p.
    """
    theta, ys = vector(theta), one_by_one(samples)
    if not ys:
        raise ValueError("there are no samples to average over")
    if callable(jac):
        scores = namespace(theta).stack([jac(theta, y) for y in ys])
    else:
        scores = jacobian_of(lambda t: _listed([log_prob(t, y) for y in ys], t), jac)(theta)
    count = len(ys)
    if tuple(scores.shape) != (count, theta.shape[0]):
        raise ValueError(f"log_prob must be a number and its gradient (P,): the scores have shape {scores.shape}")
    if weights is None:
        weighted = scores / count
    else:
        weights = weights if hasattr(weights, "dtype") else np.asarray(weights)
        if tuple(weights.shape) != (count,):
            raise ValueError(f"weights are one number for each of {count} samples; they have shape {weights.shape}")
        weighted = scores * weights[:, None]
    F = scores.T @ weighted
    return (F + F.T) / 2


def one_by_one(samples: Any) -> list[Any]:
    """y₁ … y_S, also of an array that has no length."""
    return list(samples) if hasattr(samples, "__len__") else [samples[i, ...] for i in range(samples.shape[0])]


def _listed(values: list[Any], theta: Any) -> Any:
    """The numbers as an array; those that autograd traces as a list, which it makes one of itself."""
    first = values[0]
    if hasattr(first, "dtype") and not hasattr(first, "_value"):
        return namespace(first).stack([namespace(v).reshape(v, ()) for v in values])
    return values if hasattr(first, "_value") else namespace(theta).asarray(values, dtype=theta.dtype)


# --- the operator ------------------------------------------------------------------------------------------------


class Outer(Curvature):
    """M = c Σ σₛ (Jₙᵀuₛₙ)(Jₙᵀuₛₙ)ᵀ, less c·units·s̄s̄ᵀ where it is centred."""

    def __init__(self, name: str, point: Expansion, cotangents: Cotangents, product: Any, count: int) -> None:
        super().__init__(name, point.x, product or self.by_scores, parts(point))
        self.point, self.cotangents, self.count, self.c = point, cotangents, count, point.c
        self.mean, self.units = None, 0

    def centre(self, units: int, draws: int) -> None:
        """Subtract the mean score of so many units, with so many labels of each."""
        u, _ = self.all
        self.mean, self.units = self.point.vjp(namespace(u).sum(u, axis=0)) / (units * draws**0.5), units

    @property
    def all(self) -> tuple[Any, list[float]]:
        """The cotangents of all samples, (S, N, …, C), and their signs."""
        return self.cotangents(self.point, slice(0, self.point.problem.samples))

    def by_scores(self, v: Vector) -> Vector:
        u, _ = self.all
        xp, Jv = namespace(u), self.point.jvp(v)
        along = xp.sum(u * Jv, axis=tuple(range(2, u.ndim)), keepdims=True)
        Mv = self.c * self.point.vjp(xp.sum(along * u, axis=0))
        return Mv if self.mean is None else Mv - self.c * self.units * dot(self.mean, v) * self.mean

    def on_diagonal(self, parts: list[slice]) -> list[Matrix]:
        found = [self.c * block for block in blocks(self.point, self.cotangents, parts, self.count)]
        if self.mean is None:
            return found
        weight = self.c * self.units
        means = [self.mean[part] for part in parts]
        return [block - weight * (s[:, None] * s[None, :]) for block, s in zip(found, means, strict=True)]

    def diagonal(self) -> Vector:
        """(P,), without any gradient per sample for linear maps."""
        d = self.c * diagonal(self.point, self.cotangents, self.count)
        return d if self.mean is None else d - self.c * self.units * self.mean * self.mean

    def gram(self, limit: float = LIMIT) -> Matrix:
        """ZZᵀ (S·N, S·N), with the nonzero eigenvalues of M where all signs are +."""
        self._uncentred("a Gram matrix")
        size = self.count * self.point.problem.samples
        fits((size, size), self.x, limit, "Gram matrix", "fewer samples")
        return self.c * gram(self.point, self.all[0])

    def solve(self, v: Any, damping: float, limit: float = LIMIT) -> Any:
        """(M + λI)⁻¹v, λ = `damping` > 0, through the smaller of M (P, P) and ZZᵀ (S·N, S·N).

        Through ZZᵀ, what is left of v is solved for once more: the first solution has lost eps·‖v‖/λ.
        """
        lam = float(damping)
        if not lam > 0.0:
            raise ValueError(f"damping must be positive: these matrices are singular in general; it is {damping!r}")
        if len(v.shape) == 2:
            return namespace(v).stack([self.solve(v[:, j], lam, limit) for j in range(v.shape[1])], axis=1)
        if self.mean is not None or self.count * self.point.problem.samples >= self.shape[0]:
            return inverse(self.dense(limit), lam, True)(v)
        u, signs = self.all
        definite = min(signs) > 0.0
        K = self.gram(limit)
        through = inverse(K, lam, True) if definite else inverse(K + lam * diagonal_of(signs, K), 0.0, False)
        solve = lambda v: (v - self.back(u, through(self.along(u, v)))) / lam
        p = solve(v)
        return p + solve(v - lam * p - self.product(p))

    def along(self, u: Any, v: Vector) -> Vector:
        """Zv (S·N,)."""
        dims = tuple(range(2, u.ndim))
        return self.c**0.5 * namespace(u).reshape(namespace(u).sum(u * self.point.jvp(v), axis=dims), (-1,))

    def back(self, u: Any, w: Vector) -> Vector:
        """Zᵀw (P,)."""
        xp = namespace(u)
        weights = xp.reshape(w, (*u.shape[:2], *(1,) * (u.ndim - 2)))
        return self.c**0.5 * self.point.vjp(xp.sum(weights * u, axis=0))

    def _uncentred(self, what: str) -> None:
        if self.mean is not None:
            raise ValueError(f"{what} is of a matrix that is not centred")


def signed(u: Any) -> tuple[Any, list[float]]:
    return u, [1.0] * u.shape[0]


def inverse(A: Matrix, lam: float, definite: bool) -> Callable[[Vector], Vector]:
    """v ↦ (A + λI)⁻¹v, by Cholesky's factor where there is one."""
    L, ok = cholesky(A, lam) if definite else (A, False)
    if ok:
        return lambda v: solve_lower_t(L, solve_lower(L, v))
    return lambda v: solve_symmetric(A, lam, v)[0]


def diagonal_of(signs: list[float], K: Matrix) -> Matrix:
    """diag(σ), each sign as often as there are samples, like K."""
    xp, n = namespace(K), K.shape[0]
    one = xp.eye(n, dtype=K.dtype, device=device(K))
    return one * xp.asarray([sign for sign in signs for _ in range(n // len(signs))], dtype=K.dtype, device=device(K))


# --- labels ------------------------------------------------------------------------------------------------------


def scores(stack: list[Any], unit: str) -> Cotangents:
    """∇ℓ at each of S labels, over √S; for "token" the terms of a sample one by one."""

    def cotangents(some: Expansion, rows: slice) -> tuple[Any, list[float]]:
        xp = namespace(some.f)
        each = [some.scores(y[rows, ...]) for y in stack]
        u = xp.stack(each) / len(stack) ** 0.5 if len(stack) > 1 else each[0][None, ...]
        return signed(token_by_token(u) if unit == "token" else u)

    return cotangents


def drawn(point: Expansion, labels: Any, samples: int, rng: Any) -> list[Any]:
    """S labels of every sample, drawn from the model, or given."""
    if labels is not None:
        stack = given(point, labels)
        if samples not in (1, len(stack)):
            raise ValueError(f"samples is {samples}, and the labels given are {len(stack)} of each sample")
        return stack
    if samples < 1:
        raise ValueError(f"samples must be at least 1; it is {samples}")
    source = generator(rng, "labels=, drawn from the model")
    return [point.sample(source) for _ in range(samples)]


def given(point: Expansion, labels: Any) -> list[Any]:
    """The labels of the problem, or others, one by one, as the loss takes them."""
    problem, loss = point.problem, point.loss
    if labels is None:
        return [problem.y]
    if not hasattr(labels, "dtype"):
        labels = namespace(point.f).asarray(labels, device=device(point.f))
    stacked = len(labels.shape) > len(problem.y.shape)
    found = [labels[k, ...] for k in range(labels.shape[0])] if stacked else [labels]
    found = [loss.labels(y, problem.dtype) for y in found]
    for y in found:
        if y.shape != problem.y.shape:
            raise ValueError(
                f"labels are like y, {tuple(problem.y.shape)}, or a stack of such, not {tuple(labels.shape)}"
            )
        loss.check(tuple(point.f.shape), y)
    return found
