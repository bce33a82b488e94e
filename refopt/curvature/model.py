"""Functions of one's own where the curvature matrices expect a network: f(x, X) of any kind, or residuals r(x).

    J        by the way of ``jac``: "autograd", "cs", "3-point", "2-point", or a function (x, X) ↦ (N, …, C, P)
    J v, Jᵀu products with J, which is found once for each x
    R{Jᵀu}   = d/dt J(x + tv)ᵀu at t = 0, by autograd twice, or by central differences of Jᵀu

Such a function is a network of one layer whose only array of parameters is x itself. The formulas of the curvature
matrices are those of any network; what differs is where J comes from.

Shapes: x (P,); X (N, …); f (N, …, C), or (N,) for C = 1.   Cost: J takes P sweeps forward, or 2P evaluations.
"""

from collections.abc import Callable
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from refopt.derivatives import hvp_of, jacobian_of
from refopt.networks.layer import Layer
from refopt.ops import device, finite, namespace, norm_inf
from refopt.problem import LeastSquares
from refopt.supervised import Expansion, Supervised


def of_model(
    model: Callable[[Any, Any], Any],
    loss: Any,
    X: Any,
    y: Any,
    x: Any,
    reduction: str = "mean",
    jac: str | Callable[[Any, Any], Any] = "autograd",
) -> Supervised:
    """The problem  min c Σₙ ℓ(model(x, Xₙ), yₙ)  of a model of your own: a ``Supervised`` like any other.

    model: (x, X) ↦ outputs (N, …, C), or (N,), in the functions of autograd.numpy, or of NumPy if `jac` is one of "cs",
    "3-point", "2-point", or a function (x, X) ↦ J (N, …, C, P).   x: any parameters (P,) at which it can be evaluated.
    Outputs of a sample may not depend on others. Second derivatives are exact with "autograd", else differences of J.
    """
    x = vector(x)
    return Modelled(Model(model, x.shape[0], jac), loss, X, y, reduction, x)


def expansion(problem: Any, x: Any) -> Expansion:
    """The problem at x (P,), run forward; residuals are outputs of one number each, with the loss ½r²."""
    x = vector(x)
    if isinstance(problem, LeastSquares):
        problem = of_residuals(problem, x)
    if not isinstance(problem, Supervised):
        raise TypeError(
            f"this matrix needs outputs and a loss: a refopt.Supervised, a refopt.LeastSquares, or a function of your "
            f"own by refopt.curvature.of_model(model, loss, X, y, x); a {type(problem).__name__} has neither"
        )
    point = problem.at(x)
    if not finite(norm_inf(namespace(x).reshape(point.f, (-1,)))):
        raise ValueError("the outputs at x are not finite: they hold NaN or infinity, and so would every matrix")
    return point


def vector(x: Any) -> Any:
    """A finite x (P,); integers and lists become the default float."""
    if not hasattr(x, "dtype"):
        x = np.asarray(x, dtype=float)
    xp = namespace(x)
    if len(x.shape) != 1 or not x.shape[0]:
        raise ValueError(f"x must be a vector (P,) of one parameter or more; it has shape {tuple(x.shape)}")
    if not xp.isdtype(x.dtype, "real floating"):
        x = xp.astype(x, xp.empty(0, device=device(x)).dtype)
    if not finite(norm_inf(x)):
        raise ValueError("x is not finite: it holds NaN or infinity")
    return x


# --- a function as a network -------------------------------------------------------------------------------------


class Model(Layer):
    """f(x, X) as a layer whose parameters are x (P,)."""

    def __init__(self, function: Any, size: int, jac: Any, takes_indices: bool = False) -> None:
        self.function, self.length, self.jac, self.indices = function, size, jac, takes_indices

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"x": (self.length,)}

    @property
    def takes_indices(self) -> bool:
        return self.indices

    def initial(self, rng: Any) -> tuple[Any, ...]:
        return (rng.standard_normal(self.length),)

    def forward(self, p: Any, x: Any) -> tuple[Any, Any]:
        f = self.outputs(p[0], x)
        return f, Tape(self, p[0], x, tuple(f.shape))

    def outputs(self, x: Any, X: Any) -> Any:
        """f (N, …, C)."""
        f = self.function(x, X)
        if not f.shape or f.shape[0] != X.shape[0]:
            raise ValueError(
                f"a model must return outputs (N, …, C) for N = {X.shape[0]} samples, not {tuple(f.shape)}"
            )
        return namespace(f).reshape(f, (-1, 1)) if len(f.shape) == 1 else f

    def jvp(self, p: Any, tape: Any, dp: Any, dx: Any) -> tuple[Any, Any]:
        return namespace(dp[0]).reshape(tape.J @ dp[0], tape.shape), dp[0]

    def sums(self, tape: Any, u: Any) -> tuple[Any, ...]:
        lead = u.shape[: u.ndim - len(tape.shape)]
        return (namespace(u).reshape(u, (*lead, -1)) @ tape.J,)

    def rsums(self, tape: Any, dtape: Any, u: Any, du: Any) -> tuple[Any, ...]:
        return (self.sums(tape, du)[0] + tape.bend(u)(dtape),)

    def per_sample(self, tape: Any, u: Any) -> tuple[Any, ...]:
        xp, N = namespace(u), tape.shape[0]
        lead = u.shape[: u.ndim - len(tape.shape)]
        J = xp.reshape(tape.J, (N, -1, self.length))
        rows = xp.reshape(u, (*lead, N, 1, J.shape[1])) @ J
        return (rows[..., 0, :],)


class Tape:
    """The model at one x, for one batch: its Jacobian and its bends, found when they are asked for, and once."""

    def __init__(self, model: Model, x: Any, X: Any, shape: tuple[int, ...]) -> None:
        self.model, self.x, self.X, self.shape = model, x, X, shape
        self.ndim = len(shape)
        self.bent: tuple[Any, Any] = None, None

    def flat(self, x: Any) -> Any:
        """f, (N·…·C,)."""
        return raveled(self.model.function(x, self.X))

    def jacobian(self, x: Any) -> Any:
        jac = self.model.jac
        J = jac(x, self.X) if callable(jac) else jacobian_of(self.flat, jac)(x)
        if prod(J.shape) != prod(self.shape) * self.model.length:
            raise ValueError(f"jac must return J of shape {(*self.shape, self.model.length)}, not {tuple(J.shape)}")
        return namespace(J).reshape(J, (-1, self.model.length))

    @cached_property
    def J(self) -> Any:
        """(N·…·C, P)."""
        return self.jacobian(self.x)

    def bend(self, u: Any) -> Callable[[Any], Any]:
        """v ↦ d/dt J(x + tv)ᵀu; kept for the next v."""
        if self.bent[0] is not u:
            w = namespace(u).reshape(u, (-1,))
            if self.model.jac == "autograd":
                product = hvp_of(lambda x: w @ self.flat(x), method="autograd")
            else:
                product = hvp_of(grad=lambda x: w @ self.jacobian(x))
            self.bent = u, lambda v: product(self.x, v)
        return self.bent[1]


def raveled(f: Any) -> Any:
    """f, raveled: also of the boxes in which autograd traces arrays, and of arrays without such a method."""
    return f.reshape(-1) if hasattr(f, "reshape") else namespace(f).reshape(f, (-1,))


class Modelled(Supervised):
    """A ``Supervised`` whose shapes are looked up at a given x: a model need not be defined elsewhere."""

    def __init__(self, network: Layer, loss: Any, X: Any, y: Any, reduction: str, x: Any) -> None:
        self.known = x
        super().__init__(network, loss, X, y, reduction)

    @cached_property
    def _any_outputs(self) -> Any:
        f = self.network(self.known, self.X[:1, ...])
        return namespace(f).broadcast_to(f[:1, ...], (self.samples, *f.shape[1:]))

    def replaced(self, **changes: Any) -> Supervised:
        given = {name: getattr(self, name) for name in ("network", "loss", "X", "y", "reduction")}
        changes.pop("masks", None)
        return Modelled(**{**given, **changes}, x=self.known)


def of_residuals(problem: LeastSquares, x: Any) -> Supervised:
    """½‖r(x)‖² as a sum over the m residuals: r is the model, its samples are the indices, their labels 0."""
    r = problem.residual(x)
    if not hasattr(r, "dtype") or len(r.shape) != 1 or not r.shape[0]:
        raise ValueError(f"the residual must be an array (m,), m ≥ 1; it has shape {getattr(r, 'shape', None)}")
    xp, m = namespace(x), r.shape[0]
    given: Any = problem.jacobian
    jacobian = given or jacobian_of(problem.residual)
    model = Model(
        lambda x, rows: xp.take(problem.residual(x), rows, axis=0), x.shape[0],
        lambda x, rows: xp.take(jacobian(x), rows, axis=0), True,
    )  # fmt: skip
    zero = xp.zeros((m, 1), dtype=r.dtype, device=device(x))
    return Modelled(model, "squared", xp.arange(m, device=device(x)), zero, "sum", x)
