"""A network, a loss and data as one objective, with the products of its curvature matrices.

    fun = c Σₙ ℓ(f(x, Xₙ), yₙ)        c = 1 ("sum"), 1/N ("mean"), 1/(N·C) ("mean-elements"), 1/tokens ("mean-tokens")

    gradient                 g   = c Σ Jₙᵀ∇ℓₙ               Jₙ = ∂f(x, Xₙ)/∂x
    Hessian                  Hv  = R{g} along v             one sweep forward, one backward, each with its tangent
    generalised Gauss-Newton Gv  = c Σ Jₙᵀ ∇²ℓₙ Jₙ v        without what the second derivatives of f add to H
    Fisher                   Fv  = c Σ Jₙᵀ Fₙ Jₙ v          Fₙ = E[∇ℓₙ∇ℓₙᵀ], exactly, over y ~ e^{−ℓ}
    empirical Fisher         EFv = c Σ sₙ(sₙᵀv)             sₙ = Jₙᵀ∇ℓₙ, unreduced, at the labels given

``problem.at(x)`` is the problem at one point: it has run forward once, and every product with it starts from there.

N. N. Schraudolph, *Neural Computation* 14 (2002) 1723;  B. A. Pearlmutter, *Neural Computation* 6 (1994) 147.
Shapes: x, v (P,); X (N, …), outputs and u (N, …, C), or (S, N, …, C) for a stack of u.
Cost: in gradients about 0.3 for f, 1 for g and EF's diagonal, 2.5 for Hv, 1.7 for Gv and Fv.
"""

from copy import copy
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from refopt.networks.layer import Capture, Layer
from refopt.networks.losses import named
from refopt.ops import device, namespace, scalar

REDUCTIONS = ("sum", "mean", "mean-elements", "mean-tokens")


class Supervised:
    """min c Σₙ ℓ(f(x, Xₙ), yₙ) over the parameters x (P,) of a network.

    loss: a name of ``refopt.networks.losses``.   X (N, …) inputs, y labels as the loss takes them.   masks: one array
    for each layer of Dropout, 1 where an entry is kept and 0 where not; without them nothing is dropped.
    """

    noise = 0.0

    def __init__(
        self, network: Layer, loss: Any, X: Any, y: Any, reduction: str = "mean", masks: tuple[Any, ...] = ()
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(f"no reduction is called {reduction!r}; choose one of {', '.join(REDUCTIONS)}")
        self.network, self.loss, self.reduction, self.masks = network, named(loss), reduction, tuple(masks)
        self.X = _numbers(X)
        xp = namespace(self.X)
        floating = xp.isdtype(self.X.dtype, "real floating")
        self.dtype = self.X.dtype if floating else xp.empty(0, device=device(self.X)).dtype
        if not (floating or network.takes_indices):
            self.X = xp.astype(self.X, self.dtype)
        self.y = self.loss.labels(_numbers(y), self.dtype)
        if self.X.shape[0] == 0:
            raise ValueError("there are no samples: X has shape " + str(tuple(self.X.shape)))
        if self.y.shape[0] != self.X.shape[0]:
            raise ValueError(f"X holds {self.X.shape[0]} samples, y {self.y.shape[0]} labels")
        self.loss.check(self._any_outputs, self.y)

    @cached_property
    def _any_outputs(self) -> Any:
        """Outputs at some x: of the right shape."""
        xp = namespace(self.X)
        x = xp.linspace(-1.0, 1.0, self.network.size, dtype=self.dtype, device=device(self.X))
        f = self.network(x, self.X[:1, ...])
        return xp.broadcast_to(f[:1, ...], (self.samples, *f.shape[1:]))

    @property
    def samples(self) -> int:
        """N."""
        return self.X.shape[0]

    @cached_property
    def c(self) -> float:
        """The factor of the reduction."""
        if self.reduction == "sum":
            return 1.0
        if self.reduction == "mean":
            return 1.0 / self.samples
        if self.reduction == "mean-tokens":
            return 1.0 / max(1, self.loss.tokens(self.y))
        return 1.0 / max(1, self.loss.elements(self._any_outputs, self.y))

    def at(self, x: Any) -> "Expansion":
        """The problem at x: f run forward, once for all products."""
        return Expansion(self, x)

    def fun(self, x: Any) -> float:
        return self.at(x).fun

    def grad(self, x: Any) -> Any:
        return self.at(x).grad

    def fun_and_grad(self, x: Any) -> tuple[float, Any]:
        """For `minimize(…, jac=True)`: both from one sweep forward."""
        point = self.at(x)
        return point.fun, point.grad

    def hvp(self, x: Any, v: Any) -> Any:
        return self.at(x).hvp(v)

    def ggnvp(self, x: Any, v: Any) -> Any:
        return self.at(x).ggnvp(v)

    def fisher_vp(self, x: Any, v: Any) -> Any:
        return self.at(x).fisher_vp(v)

    def empirical_fisher_vp(self, x: Any, v: Any, labels: Any = None) -> Any:
        return self.at(x).empirical_fisher_vp(v, labels)

    def outputs(self, x: Any) -> Any:
        """f (N, …, C)."""
        return self.at(x).f

    def jvp(self, x: Any, v: Any) -> Any:
        return self.at(x).jvp(v)

    def vjp(self, x: Any, u: Any) -> Any:
        return self.at(x).vjp(u)

    def jacobian(self, x: Any) -> Any:
        return self.at(x).jacobian()

    def per_sample_grad(self, x: Any, labels: Any = None) -> Any:
        return self.at(x).per_sample_grad(labels)

    def captures(self, x: Any, cotangents: Any) -> list[Capture]:
        return self.at(x).captures(cotangents)

    def hess(self, x: Any) -> Any:
        """∇²fun (P, P), column by column: P products."""
        point, xp = self.at(x), namespace(x)
        one = xp.eye(x.shape[0], dtype=x.dtype, device=device(x))
        H = xp.stack([point.hvp(one[k, :]) for k in range(x.shape[0])])
        return (H + xp.matrix_transpose(H)) / 2

    def replaced(self, **changes: Any) -> "Supervised":
        """This problem with other data, loss or reduction: a batch is ``problem.replaced(X=…, y=…)``."""
        given = {name: getattr(self, name) for name in ("network", "loss", "X", "y", "reduction", "masks")}
        return Supervised(**{**given, **changes})

    def batch(self, X: Any, y: Any, masks: tuple[Any, ...] = ()) -> "Supervised":
        """The same problem on other data, of the same kind and checked no more: for loops over batches."""
        other = copy(self)
        other.X, other.y, other.masks = X, y, tuple(masks)
        for name in ("c", "_any_outputs"):
            other.__dict__.pop(name, None)
        return other


class Expansion:
    """A supervised problem at one point x, after its sweep forward."""

    def __init__(self, problem: Supervised, x: Any) -> None:
        net = problem.network
        self.problem, self.x, self.net, self.loss, self.c = problem, x, net, problem.loss, problem.c
        self.p = net.nested(x, problem.masks)
        self.f, self.tape = net.forward(self.p, problem.X)  #: outputs (N, …, C)

    # --- the objective -----------------------------------------------------------------------------------------

    @property
    def fun(self) -> float:
        """c Σₙ ℓₙ."""
        return self.c * scalar(namespace(self.f).sum(self.loss.values(self.f, self.problem.y)))

    @cached_property
    def residual(self) -> Any:
        """∂fun/∂f = c∇ℓ, (N, …, C)."""
        return self.c * self.loss.grad(self.f, self.problem.y)

    @cached_property
    def grad(self) -> Any:
        """∇fun (P,)."""
        return self.vjp(self.residual)

    def hvp(self, v: Any) -> Any:
        """∇²fun v (P,)."""
        dp, net, found = self.net.nested(v), self.net, list[Any]()
        df, dtape = net.jvp(self.p, self.tape, dp, None)
        du = self.c * self.loss.hvp(self.f, self.problem.y, df)
        use = lambda layer, *tapes: found.append(layer.rsums(*tapes))  # noqa: E731
        net.rvjp(self.p, self.tape, dp, dtape, self.residual, du, use, False)
        return net.flat(found)

    def ggnvp(self, v: Any) -> Any:
        """c Σ Jₙᵀ∇²ℓₙJₙ v (P,)."""
        return self.vjp(self.c * self.loss.hvp(self.f, self.problem.y, self.jvp(v)))

    def fisher_vp(self, v: Any) -> Any:
        """c Σ JₙᵀFₙJₙ v (P,)."""
        return self.vjp(self.c * self.loss.fisher_vp(self.f, self.problem.y, self.jvp(v)))

    def empirical_fisher_vp(self, v: Any, labels: Any = None) -> Any:
        """c Σ sₙ(sₙᵀv) (P,), for the labels of the problem or others."""
        xp, u = namespace(self.f), self.scores(labels)
        along = xp.sum(u * self.jvp(v), axis=tuple(range(1, u.ndim)), keepdims=True)
        return self.vjp(self.c * along * u)

    # --- the network -------------------------------------------------------------------------------------------

    def jvp(self, v: Any) -> Any:
        """ḟ = Jv, (N, …, C)."""
        return self.net.jvp(self.p, self.tape, self.net.nested(v), None)[0]

    def vjp(self, u: Any) -> Any:
        """Σ Jₙᵀuₙ (P,), or (S, P) for a stack of u."""
        return self.net.flat(self._sweep(u, "sums"))

    def per_sample_vjp(self, u: Any) -> Any:
        """Jₙᵀuₙ for every sample, (N, P), or (S, N, P)."""
        return self.net.flat(self._sweep(u, "per_sample"))

    def squared_vjp(self, u: Any) -> Any:
        """Σ (Jₙᵀuₙ)² (P,), summed over samples and the stack: no gradients per sample for Linear layers."""
        return self.net.flat(self._sweep(u, "squares"))

    def captures(self, u: Any) -> list[Capture]:
        """Inputs a and, for cotangents u, gradients g of every linear map."""
        return self.net.captures(self._sweep(u, "capture"))

    def per_sample_grad(self, labels: Any = None) -> Any:
        """sₙ = ∇ℓₙ, unreduced, (N, P), for the labels of the problem or others."""
        return self.per_sample_vjp(self.scores(labels))

    def squared_grad(self, labels: Any = None) -> Any:
        """Σ sₙ² (P,): the diagonal of the empirical Fisher is c times this."""
        return self.squared_vjp(self.scores(labels))

    def jacobian(self) -> Any:
        """J (N·C, P): row nC + k is the gradient of output k of sample n."""
        xp, (N, *rest) = namespace(self.f), self.f.shape
        C = prod(rest)
        one = xp.reshape(xp.eye(C, dtype=self.f.dtype, device=device(self.f)), (C, 1, *rest))
        J = self.per_sample_vjp(xp.broadcast_to(one, (C, N, *rest)))
        return xp.reshape(xp.moveaxis(J, 0, 1), (N * C, -1))

    # --- cotangents ----------------------------------------------------------------------------------------------

    def scores(self, labels: Any = None) -> Any:
        """∇ℓ in f, unreduced, (N, …, C)."""
        return self.loss.grad(self.f, self.problem.y if labels is None else labels)

    def factor(self) -> tuple[Any, list[float]]:
        """u (S, N, …, C) and signs with ∇²ℓₙ = Σ σ_s u_sn u_snᵀ: G = c Σ σ_s (Jₙᵀu_sn)(Jₙᵀu_sn)ᵀ.   S = tokens · C."""
        columns, signs = self.loss.factor(self.f, self.problem.y)
        tokens = prod(self.f.shape[1:-1])
        return _token_by_token(columns), signs * tokens

    def fisher_factor(self) -> Any:
        """u (S, N, …, C) with Fₙ = Σ u_sn u_snᵀ."""
        return _token_by_token(self.loss.fisher_factor(self.f, self.problem.y))

    def sample(self, rng: Any) -> Any:
        """Labels drawn from the model, like y."""
        return self.loss.sample(self.f, self.problem.y, np.random.default_rng(rng))

    def _sweep(self, u: Any, what: str) -> list[Any]:
        if u.shape[u.ndim - self.f.ndim :] != self.f.shape:
            raise ValueError(
                f"cotangents are like the outputs, {tuple(self.f.shape)}, or a stack of such, not {tuple(u.shape)}"
            )
        found = list[Any]()
        use = lambda layer, tape, g: found.append(getattr(layer, what)(tape, g))  # noqa: E731
        self.net.vjp(self.p, self.tape, u, use, False)
        return found


def _token_by_token(columns: Any) -> Any:
    """(T·K, N, …, C) of columns (K, N, …, C): terms of different tokens never meet in one cotangent."""
    xp, (K, N, *positions, C) = namespace(columns), columns.shape
    T = prod(positions)
    if T == 1:
        return columns
    one = xp.reshape(xp.eye(T, dtype=columns.dtype, device=device(columns)), (T, 1, 1, T, 1))
    apart = one * xp.reshape(columns, (1, K, N, T, C))
    return xp.reshape(apart, (T * K, N, *positions, C))


def _numbers(values: Any) -> Any:
    """An array; lists become NumPy's."""
    return values if hasattr(values, "dtype") else np.asarray(values)
