"""A supervised problem at one point x: after one sweep forward, all first derivatives and products of second ones.

    jvp  Jv      vjp  Σ Jₙᵀuₙ      hvp  R{∇fun} along v      ggnvp  c Σ Jₙᵀ∇²ℓₙJₙv      fisher_vp  c Σ JₙᵀFₙJₙv

``Expansion`` sweeps through layers; ``OfFunction`` has the same for a model that is any function of (x, X), through
``refopt.derivatives``: J from there, and

    ∇²fun v = Jᵀ∇²ℓ J v + ∇²(uᵀf) v,      u = c∇ℓ held fixed

where autograd multiplies by ∇²(uᵀf) and the other methods form it, once at each point.

Shapes: x, v (P,); outputs and u (N, …, C), or (S, N, …, C) for a stack of cotangents.
"""

from functools import cached_property
from math import inf, prod
from typing import Any

import numpy as np

from refopt.derivatives import gradient_of, hessian_of, hvp_of, jacobian_of
from refopt.networks.layer import Capture
from refopt.networks.loss import token_by_token
from refopt.ops import device, namespace, reals, scalar


class Expansion:
    """A supervised problem with a network of layers, at one point x."""

    def __init__(self, problem: Any, x: Any) -> None:
        self.problem, self.x, self.net, self.loss = problem, x, problem.network, problem.loss
        self.f, self.p, self.tape = self._forward()  #: f: outputs (N, …, C)
        self.c = problem.factor(self.f.shape)

    def _forward(self) -> tuple[Any, Any, Any]:
        p = self.net.nested(self.x, self.problem.masks)
        f, tape = self.net.forward(p, self.problem.X)
        return f, p, tape

    # --- the objective -----------------------------------------------------------------------------------------

    @property
    def fun(self) -> float:
        """c Σₙ ℓₙ."""
        return self.c * scalar(namespace(self.f).sum(self.loss.values(self.f, self.problem.y)))

    @cached_property
    def residual(self) -> Any:
        """∂fun/∂f = c∇ℓ, (N, …, C)."""
        return self.c * self.scores()

    @cached_property
    def grad(self) -> Any:
        """∇fun (P,)."""
        return self.vjp(self.residual)

    def hvp(self, v: Any) -> Any:
        """∇²fun v (P,)."""
        net, dp, found = self.net, self.net.nested(v), list[Any]()
        df, dtape = net.jvp(self.p, self.tape, dp, None)
        du = self.c * self.loss.hvp(self.f, self.problem.y, df)
        net.rvjp(self.p, self.tape, dp, dtape, self.residual, du, _collecting(found, "rsums"), False)
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

    def per_sample_grad(self, labels: Any = None, out: Any = None) -> Any:
        """sₙ = ∇ℓₙ, unreduced, (N, P), for the labels of the problem or others; written into `out`, if there is one."""
        return self.per_sample_vjp(self.scores(labels), out)

    def squared_grad(self, labels: Any = None) -> Any:
        """Σ sₙ² (P,): the diagonal of the empirical Fisher is c times this."""
        return self.squared_vjp(self.scores(labels))

    @property
    def separated(self) -> bool:
        """Whether every label has a positive margin."""
        return 0.0 < scalar(namespace(self.f).min(self.loss.margins(self.f, self.problem.y))) < inf

    # --- the network -------------------------------------------------------------------------------------------

    def jvp(self, v: Any) -> Any:
        """ḟ = Jv, (N, …, C)."""
        return self.net.jvp(self.p, self.tape, self.net.nested(v), None)[0]

    def vjp(self, u: Any) -> Any:
        """Σ Jₙᵀuₙ (P,), or (S, P) for a stack of u."""
        return self.net.flat(self._sweep(reals(u), "sums"))

    def per_sample_vjp(self, u: Any, out: Any = None) -> Any:
        """Jₙᵀuₙ for every sample, (N, P), or (S, N, P); written into `out`, if there is one."""
        u = reals(u)
        if not isinstance(u, np.ndarray):
            return _written(out, self.net.flat(self._sweep(u, "per_sample")))
        shape = (*self._stack(u), self.f.shape[0], self.net.size)
        if out is None or out.shape != shape or not out.flags.c_contiguous:
            return _written(out, self.per_sample_vjp(u, np.empty(shape, dtype=np.result_type(u, self.x))))
        self.net.vjp(self.p, self.tape, u, self.net.into(out), False)
        return out

    def squared_vjp(self, u: Any) -> Any:
        """Σ (Jₙᵀuₙ)² (P,), summed over samples and the stack; dense layers form no gradients per sample for it."""
        if self.net.plan.shares:  # the square of a sum is no sum of squares
            s = self.per_sample_vjp(u)
            return namespace(s).sum(s * s, axis=tuple(range(s.ndim - 1)))
        return self.net.flat(self._sweep(u, "squares"))

    def captures(self, u: Any) -> list[Capture]:
        """Inputs a and, for cotangents u, gradients g of every linear map."""
        return self.net.captures(self._sweep(u, "capture"))

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
        return token_by_token(columns), signs * prod(self.f.shape[1:-1])

    def fisher_factor(self) -> Any:
        """u (S, N, …, C) with Fₙ = Σ u_sn u_snᵀ."""
        return token_by_token(self.loss.fisher_factor(self.f, self.problem.y))

    def sample(self, rng: Any) -> Any:
        """Labels like y, drawn from the model with a `numpy.random.Generator` or a seed."""
        return self.loss.sample(self.f, self.problem.y, np.random.default_rng(rng))

    def _stack(self, u: Any) -> tuple[int, ...]:
        lead = u.ndim - self.f.ndim
        if lead < 0 or tuple(u.shape[lead:]) != tuple(self.f.shape):
            raise ValueError(
                f"cotangents are like the outputs, {tuple(self.f.shape)}, or a stack of such, not {tuple(u.shape)}"
            )
        return u.shape[:lead]

    def _sweep(self, u: Any, what: str) -> list[Any]:
        self._stack(u)
        found = list[Any]()
        self.net.vjp(self.p, self.tape, u, _collecting(found, what), False)
        return found


class OfFunction(Expansion):
    """The same for a model f(x, X) that is any function, differentiated by one of ``refopt.derivatives.METHODS``."""

    def _forward(self) -> tuple[Any, Any, Any]:
        f = self.net(self.x, self.problem.X)
        if f.shape[:1] != self.problem.X.shape[:1]:
            raise ValueError(f"a model returns outputs (N, …, C) for N = {self.problem.X.shape[0]}, not {f.shape}")
        if 0 in f.shape:
            raise ValueError(f"there are no outputs: those of a sample have shape {tuple(f.shape[1:])}")
        self.problem.loss.check((*f.shape, 1) if f.ndim == 1 else tuple(f.shape), self.problem.y)
        return (f[:, None] if f.ndim == 1 else f), None, None

    def _flat(self, x: Any) -> Any:
        """All outputs as one vector; `reshape` is a method where autograd traces."""
        f = self.net(x, self.problem.X)
        return f.reshape(-1) if hasattr(f, "reshape") else namespace(f).reshape(f, (-1,))

    @cached_property
    def _jacobian(self) -> Any:
        return jacobian_of(self._flat, self.problem.derivatives)(self.x)

    @cached_property
    def _bent(self) -> Any:
        """v ↦ ∇²(uᵀf)v for u = ∂fun/∂f."""
        u = namespace(self.f).reshape(self.residual, (-1,))
        along, method = (lambda x: self._flat(x) @ u), self.problem.derivatives
        if method == "autograd":
            product = hvp_of(along, None, method)
            return lambda v: product(self.x, v)
        H = hessian_of(along, None, method)(self.x)
        return lambda v: H @ v

    def hvp(self, v: Any) -> Any:
        v = reals(v)
        return self.ggnvp(v) + self._bent(v)

    def jvp(self, v: Any) -> Any:
        xp, v = namespace(self.x), reals(v)
        if "_jacobian" in self.__dict__:
            return xp.reshape(self._jacobian @ v, self.f.shape)
        slope = jacobian_of(lambda t: self._flat(self.x + t * v), self.problem.derivatives)
        return xp.reshape(slope(xp.zeros_like(self.x[:1])), self.f.shape)

    def vjp(self, u: Any) -> Any:
        u = reals(u)
        xp, stack = namespace(u), self._stack(u)
        rows = xp.reshape(u, (*stack, -1))
        if stack or "_jacobian" in self.__dict__ or self.problem.derivatives != "autograd":
            return rows @ self._jacobian
        return gradient_of(lambda x: self._flat(x) @ rows, "autograd")(self.x)

    def per_sample_vjp(self, u: Any, out: Any = None) -> Any:
        u = reals(u)
        xp, stack, N = namespace(u), self._stack(u), self.f.shape[0]
        rows = xp.reshape(u, (*stack, N, 1, -1))
        J = xp.reshape(self._jacobian, (N, -1, self.x.shape[0]))
        return _written(out, (rows @ J)[..., 0, :])

    def squared_vjp(self, u: Any) -> Any:
        s = self.per_sample_vjp(u)
        return namespace(s).sum(s * s, axis=tuple(range(s.ndim - 1)))

    def captures(self, u: Any) -> list[Capture]:
        raise TypeError("K-FAC needs the layers of a network: build it from refopt.networks, or with from_arrays")

    def jacobian(self) -> Any:
        return self._jacobian


def _written(out: Any, found: Any) -> Any:
    """What was found; in `out`, if there is one."""
    if out is None:
        return found
    if tuple(out.shape) != tuple(found.shape):
        raise ValueError(f"out has shape {tuple(out.shape)}; the gradients per sample have {tuple(found.shape)}")
    out[...] = found
    return out


def _collecting(found: list[Any], what: str) -> Any:
    """A `use` that keeps what this method of the layers returns."""
    return lambda layer, *tapes: found.append(getattr(layer, what)(*tapes))
