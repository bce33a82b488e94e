"""Products with the Hessian, from whatever the user has given: ``hessp``, a Hessian of any kind, or nothing."""

from collections.abc import Callable
from typing import Any

from refopt.inputs import own, same_kind
from refopt.ops import eps, symmetrised
from refopt.problem import Products


def products_of(
    hess: Any, hessp: Any, args: tuple[Any, ...], raw: Any, grad: Any, scheme: str, size: Any
) -> Callable[[Any, Any], Any]:  # fmt: skip
    """(x, p) ↦ ∇²f(x) p: the user's, or by the user's Hessian, or by a scheme from the gradient."""
    from refopt import derivatives

    if callable(hessp):
        return lambda x, p: same_kind(hessp(own(x), own(p), *args), x, tuple(x.shape), "hessp")
    if callable(hess):
        return Products(lambda x: matrix_or_operator(hess(own(x), *args), x))
    method = hess or "3-point"
    if method == "autograd":
        return derivatives.hvp_of(fun=raw, method=method)
    if scheme in ("2-point", "3-point"):  # the gradient is known to ε^½ or ε^⅔ only
        noise = eps(size) ** {"2-point": 1 / 2, "3-point": 2 / 3}[scheme]
        return derivatives.hvp_of(grad=grad, method="3-point", scale=size, noise=noise)
    through = "3-point" if method == "cs" and scheme else method  # not through a gradient that takes real numbers only
    return derivatives.hvp_of(grad=grad, method=through, scale=size)


def matrix_or_operator(value: Any, x: Any) -> Any:
    """A Hessian fit for products: a symmetrised array like x, or the sparse matrix or operator itself."""
    shape = (x.shape[0], x.shape[0])
    if not (hasattr(value, "toarray") or hasattr(value, "matvec")):
        return symmetrised(same_kind(value, x, shape, "hess"))
    if tuple(value.shape) != shape:
        raise ValueError(f"hess must return shape {shape}; it returned shape {tuple(value.shape)}")
    return value
