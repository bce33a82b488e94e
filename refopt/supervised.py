"""A network, a loss and data as one objective, with the products of its curvature matrices.

    fun = c Σₙ ℓ(f(x, Xₙ), yₙ)        c = 1 ("sum"), 1/N ("mean"), 1/(N·C) ("mean-elements"), 1/labels ("mean-tokens")

    gradient                 g   = c Σ Jₙᵀ∇ℓₙ               Jₙ = ∂f(x, Xₙ)/∂x
    Hessian                  Hv  = R{g} along v             one sweep forward, one backward, each with its tangent
    generalised Gauss-Newton Gv  = c Σ Jₙᵀ ∇²ℓₙ Jₙ v        without what the second derivatives of f add to H
    Fisher                   Fv  = c Σ Jₙᵀ Fₙ Jₙ v          Fₙ = E[∇ℓₙ∇ℓₙᵀ], exactly, over y ~ e^{−ℓ}
    empirical Fisher         EFv = c Σ sₙ(sₙᵀv)             sₙ = Jₙᵀ∇ℓₙ, unreduced, at the labels given

Labels are counted entry by entry of y: numbers, and for cross-entropy positions, of which each has one class, or its
probabilities. C numbers of a token (position) are one random variable; outputs (N, C) are one token each.

``problem.at(x)`` is the problem at one point: it has run forward once, and every product with it starts from there.

N. N. Schraudolph, *Neural Computation* 14 (2002) 1723;  B. A. Pearlmutter, *Neural Computation* 6 (1994) 147.
Shapes: x, v (P,); X (N, …), outputs and u (N, …, C), or (S, N, …, C) for a stack of u.
Cost: in gradients about 0.3 for f, 1 for g and EF's diagonal, 2.5 for Hv, 1.7 for Gv and Fv.
"""

from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from refopt.derivatives import METHODS
from refopt.expansion import Expansion, OfFunction
from refopt.networks.layer import Capture, Layer
from refopt.networks.losses import named
from refopt.ops import device, namespace
from refopt.room import LIMIT, fits

REDUCTIONS = ("sum", "mean", "mean-elements", "mean-tokens")


class Supervised:
    """min c Σₙ ℓ(f(x, Xₙ), yₙ) over the parameters x (P,) of a network, or of any function f(x, X) → (N, …, C).

    loss: "squared", "mse", "cross-entropy", "binary-cross-entropy", "poisson" or "gaussian"
    (``refopt.networks.losses``). X (N, …): inputs.   y: labels as the loss takes them.   reduction: the factor c.
    masks: one array for each layer of Dropout, 1 where an entry is kept and 0 where not; without them nothing is
    dropped.   derivatives: how a function that is not made of layers is differentiated, one of
    ``refopt.derivatives.METHODS``.

    It has ``fun``, ``grad``, ``hess`` and ``hvp`` as ``Problem`` has, for ``minimize(problem.fun, x,
    jac=problem.grad)`` and ``iterate``.
    """

    noise = 0.0

    def __init__(
        self,
        network: Layer | Callable[[Any, Any], Any],
        loss: Any,
        X: Any,
        y: Any,
        reduction: str = "mean",
        masks: tuple[Any, ...] = (),
        derivatives: str = "autograd",
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(f"no reduction is called {reduction!r}; choose one of {', '.join(REDUCTIONS)}")
        if derivatives not in METHODS:
            raise ValueError(f"unknown method of differentiation {derivatives!r}; choose one of {', '.join(METHODS)}")
        if not callable(network):
            raise TypeError(f"a network is made of layers, or a function of (x, X), not a {type(network).__name__}")
        self.network: Any = network
        self.loss, self.reduction, self.derivatives = named(loss), reduction, derivatives
        self.masks, self.X, y = tuple(masks), _numbers(X), _numbers(y)
        if self.X.ndim == 0 or self.X.shape[0] == 0:
            raise ValueError(f"there are no samples: X has shape {tuple(self.X.shape)}")
        if y.shape[:1] != self.X.shape[:1]:
            raise ValueError(f"X holds {self.X.shape[0]} samples, but y has shape {tuple(y.shape)}")
        xp, floating = namespace(self.X), namespace(self.X).isdtype(self.X.dtype, "real floating")
        self.dtype = self.X.dtype if floating else xp.empty(0, device=device(self.X)).dtype
        if isinstance(network, Layer) and not (floating or network.takes_indices):
            self.X = xp.astype(self.X, self.dtype)
        self.y = self.loss.labels(y, self.dtype)
        if isinstance(network, Layer):
            if network.size == 0:
                raise ValueError(f"{network} has no parameters")
            if 0 in self.outputs_of_one:
                raise ValueError(f"there are no outputs: those of a sample have shape {self.outputs_of_one}")
            self.loss.check((self.samples, *self.outputs_of_one), self.y)
        if xp is np:
            _keep_memory()

    @property
    def samples(self) -> int:
        """N."""
        return self.X.shape[0]

    @cached_property
    def outputs_of_one(self) -> tuple[int, ...]:
        """The shape of one sample's outputs, (…, C)."""
        xp = namespace(self.X)
        x = xp.linspace(-1.0, 1.0, self.network.size, dtype=self.dtype, device=device(self.X))
        return tuple(self.network(x, self.X[:1, ...]).shape[1:])

    def factor(self, shape: Any) -> float:
        """c, for outputs of a shape (N, …, C)."""
        counts = {
            "sum": lambda: 1,
            "mean": lambda: self.samples,
            "mean-tokens": lambda: self.loss.entries(self.y),
            "mean-elements": lambda: self.loss.elements(self.y, shape[-1]),
        }
        return 1.0 / max(1, counts[self.reduction]())

    @cached_property
    def c(self) -> float:
        """The factor of the reduction."""
        if isinstance(self.network, Layer):
            return self.factor(self.outputs_of_one)
        if self.reduction == "mean-elements":
            raise ValueError("how many outputs a function has is known only at a point: problem.at(x).c")
        return self.factor(())

    def at(self, x: Any) -> Expansion:
        """The problem at x: f run forward, once for all products."""
        x = _numbers(x)
        if namespace(x).isdtype(x.dtype, ("bool", "integral")):
            x = namespace(x).astype(x, self.dtype)
        return (Expansion if isinstance(self.network, Layer) else OfFunction)(self, x)

    def fun(self, x: Any) -> float:
        """c Σₙ ℓₙ."""
        return self.at(x).fun

    def grad(self, x: Any) -> Any:
        """∇fun (P,)."""
        return self.at(x).grad

    def fun_and_grad(self, x: Any) -> tuple[float, Any]:
        """Both from one sweep forward, for `minimize(problem.fun_and_grad, x, jac=True)`."""
        point = self.at(x)
        return point.fun, point.grad

    def hvp(self, x: Any, v: Any) -> Any:
        """∇²fun v (P,)."""
        return self.at(x).hvp(v)

    def hess(self, x: Any, limit: float = LIMIT) -> Any:
        """∇²fun (P, P), from P products; MemoryError where it takes more than `limit` bytes."""
        point = self.at(x)
        x, xp = point.x, namespace(point.x)
        fits((x.shape[0], x.shape[0]), x, limit, "hessian", "hvp(x, v), refopt.curvature.operators.hessian(…)")
        one = xp.eye(x.shape[0], dtype=x.dtype, device=device(x))
        H = xp.stack([point.hvp(one[k, :]) for k in range(x.shape[0])])
        return (H + H.T) / 2

    def ggnvp(self, x: Any, v: Any) -> Any:
        """c Σ Jₙᵀ∇²ℓₙJₙ v (P,)."""
        return self.at(x).ggnvp(v)

    def fisher_vp(self, x: Any, v: Any) -> Any:
        """c Σ JₙᵀFₙJₙ v (P,), the expectation exact."""
        return self.at(x).fisher_vp(v)

    def empirical_fisher_vp(self, x: Any, v: Any, labels: Any = None) -> Any:
        """c Σ sₙ(sₙᵀv) (P,), for the labels of the problem or others."""
        return self.at(x).empirical_fisher_vp(v, labels)

    def margins(self, x: Any) -> Any:
        """By how much the outputs are on the side of the label, (N, …): yf for y = ±1, f_y less the largest other."""
        point = self.at(x)
        return self.loss.margins(point.f, self.y)

    def separated(self, x: Any) -> bool:
        """Whether all margins at x are positive: a certificate that the objective has no minimum.

        Then fun → 0 as the outputs grow, f → tf. Where parameters can make them grow, as those of a last linear layer
        can, and nothing else holds them back, no x attains the infimum 0. For f = Xw this is a plane that separates the
        classes: if yₙwᵀxₙ > 0 for all n, logistic regression without a ridge has no answer. False proves nothing.
        """
        return self.at(x).separated

    def outputs(self, x: Any) -> Any:
        """f (N, …, C)."""
        return self.at(x).f

    def jvp(self, x: Any, v: Any) -> Any:
        """Jv, (N, …, C)."""
        return self.at(x).jvp(v)

    def vjp(self, x: Any, u: Any) -> Any:
        """Σ Jₙᵀuₙ (P,), or (S, P) for a stack of u."""
        return self.at(x).vjp(u)

    def jacobian(self, x: Any) -> Any:
        """J (N·C, P): row nC + k is the gradient of output k of sample n."""
        return self.at(x).jacobian()

    def per_sample_grad(self, x: Any, labels: Any = None, out: Any = None) -> Any:
        """sₙ = ∇ℓₙ, unreduced, (N, P), for the labels of the problem or others; written into `out`, if there is one.

        In a loop an `out` of NumPy pays where it is large: a new array has pages to be cleared, each time.
        """
        return self.at(x).per_sample_grad(labels, out)

    def captures(self, x: Any, cotangents: Any) -> list[Capture]:
        """What K-FAC needs: inputs a and, for cotangents u, gradients g of every linear map."""
        return self.at(x).captures(cotangents)

    def batch(self, X: Any, y: Any, masks: tuple[Any, ...] = ()) -> "Supervised":
        """The same problem on other data, of the same kind and checked no more: for loops over batches."""
        other = copy(self)
        other.X, other.y, other.masks = X, y, tuple(masks)
        other.__dict__.pop("c", None)
        return other


def _numbers(values: Any) -> Any:
    """An array; lists become NumPy's."""
    return values if hasattr(values, "dtype") else np.asarray(values)


def _keep_memory() -> None:
    """Show the allocator of the C library a block of 24 MiB that comes and goes.

    glibc returns freed memory to the system, until it has seen a larger block freed; then it keeps up to twice as
    much. Otherwise sweeps ask for the same pages again and again, which takes longer than their arithmetic. Nothing is
    touched.
    """
    np.empty(24 << 20, dtype=np.uint8)
