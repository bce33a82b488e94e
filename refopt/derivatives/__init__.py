"""Derivatives of plain functions, by differences, the complex step, or autograd; and a check of given ones.

    gradient(fun, x)        ∇f   (n,)       of f: (n,) → scalar
    jacobian(residual, x)   J    (m, n)     of r: (n,) → (m,)
    hessian(fun, x)         ∇²f  (n, n)     from f, or from its gradient: symmetric part of the Jacobian of ∇f
    hvp(grad, x, v)         ∇²f v  (n,)     = d/dt ∇f(x + tv) at t = 0

``gradient_of``, ``jacobian_of``, ``hessian_of``, ``hvp_of`` return the derivative as a function. Methods:

    "2-point", "3-point"    differences; errors about ε^½ and ε^⅔, relative; any array kind
    "cs"                    the complex step; exact, for analytic functions that accept complex x
    "autograd"              reverse mode, forward for J, reverse over reverse for ∇²f; exact; NumPy only

Formulas, steps and errors of the first three are in ``refopt.derivatives.differences``. The ``scale`` of the
variables, normally |x0|, keeps steps sensible where xᵢ happens to be near 0; ``noise`` is the relative noise
of a function that is noisier than its rounding. Cost in evaluations: gradient n + 1, 2n, n and about 4;
Jacobian the same, autograd about 3n.

A. Griewank & A. Walther, *Evaluating Derivatives*, 2nd ed., SIAM 2008 (ch. 3).
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from refopt.derivatives.checking import check_gradient, check_hessian, check_jacobian
from refopt.derivatives.differences import (
    all_finite,
    columns,
    floating,
    like,
    relative_step,
    second_differences,
    sizes,
    within_domain,
)
from refopt.derivatives.mismatch import Report
from refopt.ops import namespace, norm_inf, scalar, symmetrised

__all__ = [
    "METHODS",
    "Report",
    "check_gradient",
    "check_hessian",
    "check_jacobian",
    "gradient",
    "gradient_of",
    "hessian",
    "hessian_of",
    "hvp",
    "hvp_of",
    "jacobian",
    "jacobian_of",
    "relative_step",
]

METHODS = ("2-point", "3-point", "cs", "autograd")

Function = Callable[[Any], Any]


def gradient(fun: Function, x: Any, method: str = "3-point", scale: Any = None, noise: float = 0.0) -> Any:
    """∇f(x), shape (n,)."""
    return gradient_of(fun, method, scale, noise)(x)


def jacobian(residual: Function, x: Any, method: str = "3-point", scale: Any = None, noise: float = 0.0) -> Any:
    """J(x) with Jᵢⱼ = ∂rᵢ/∂xⱼ, shape (m, n)."""
    return jacobian_of(residual, method, scale, noise)(x)


def hessian(
    fun: Any,
    x: Any,
    method: str = "3-point",
    scale: Any = None,
    noise: float = 0.0,
    grad: Any = None,
) -> Any:
    """∇²f(x), shape (n, n), symmetric; see ``hessian_of``."""
    return hessian_of(fun, grad, method, scale, noise)(x)


def hvp(
    grad: Any,
    x: Any,
    v: Any,
    method: str = "3-point",
    scale: Any = None,
    noise: float = 0.0,
    fun: Any = None,
) -> Any:
    """∇²f(x) v, shape (n,); see ``hvp_of``."""
    return hvp_of(fun, grad, method, scale, noise)(x, v)


# --- as functions -------------------------------------------------------------------------------------------


def gradient_of(fun: Function, method: str = "3-point", scale: Any = None, noise: float = 0.0) -> Function:
    """The function x ↦ ∇f(x)."""
    if _known(method) == "autograd":
        return _traced("grad", fun)

    def grad(x: Any) -> Any:
        x = floating(x)
        found = columns(fun, x, method, scale, noise)
        g = like(x, [scalar(slope) for slope in found])
        if all_finite(g):
            return g
        return like(x, [scalar(slope) for slope in within_domain(found, fun, x)])

    return grad


def jacobian_of(residual: Function, method: str = "3-point", scale: Any = None, noise: float = 0.0) -> Function:
    """The function x ↦ J(x)."""
    if _known(method) == "autograd":
        return _traced_jacobian(residual)

    def jac(x: Any) -> Any:
        x = floating(x)
        found = columns(residual, x, method, scale, noise)
        J = _beside(found)
        return J if all_finite(J) else _beside(within_domain(found, residual, x))

    return jac


def hessian_of(
    fun: Any = None,
    grad: Any = None,
    method: str = "3-point",
    scale: Any = None,
    noise: float = 0.0,
) -> Function:
    """The function x ↦ ∇²f(x), symmetric.

    Differences and the complex step use the gradient where it is given: the symmetric part of its Jacobian.
    From f alone, differences are of second order, and the complex step of f is differenced (3-point).
    autograd traces f where it is given, else the gradient.   Cost: n + 1, 2n or n gradients; from f about ½n²
    or n² evaluations, cs 2n².
    """
    _known(method)
    if fun is None and grad is None:
        raise TypeError("a Hessian needs the function or its gradient: pass fun or grad")
    if method == "autograd":
        return _symmetric(_traced("hessian", fun) if fun is not None else _traced("jacobian", grad))
    if grad is None and method != "cs":
        return lambda x: second_differences(fun, floating(x), method, scale, noise)
    if grad is None:
        grad, method = gradient_of(fun, "cs", scale), "3-point"
    return _symmetric(jacobian_of(grad, method, scale, noise))


def hvp_of(
    fun: Any = None,
    grad: Any = None,
    method: str = "3-point",
    scale: Any = None,
    noise: float = 0.0,
) -> Callable[[Any, Any], Any]:
    """The function x, v ↦ ∇²f(x) v.

    Differences of the gradient along v, with the step h for which the largest |h vᵢ|/sᵢ is that of a
    gradient; the complex step Im ∇f(x + ihv)/h; autograd from f where it is given, else from the gradient
    (then vᵀ∇²f, the same by symmetry), with the trace of the last x kept for the next product.   Cost: 2, 2,
    1 gradients; about 3 for autograd.
    """
    if _known(method) == "autograd":
        return _traced_product(fun, grad)
    if grad is None:
        raise TypeError(f"Hessian-vector products by {method!r} need the gradient: pass grad, or use 'autograd'")

    def product(x: Any, v: Any) -> Any:
        x = floating(x)
        length = norm_inf(v / sizes(x, scale))
        if length == 0.0:
            return namespace(x).zeros_like(x)
        unit = v / length
        slope = jacobian_of(lambda t: grad(x + t * unit), method, None, noise)
        return length * slope(like(x, [0.0]))[:, 0]

    return product


def _known(method: str) -> str:
    if method not in METHODS:
        raise ValueError(f"unknown method of differentiation {method!r}; choose one of {', '.join(METHODS)}")
    return method


def _beside(found: list[Any]) -> Any:
    """The columns as a matrix; of NumPy arrays in column order, as LAPACK likes it."""
    if isinstance(found[0], np.ndarray):
        return np.array(found).T
    return namespace(found[0]).stack(found, axis=1)


def _symmetric(jac: Function) -> Function:
    return lambda x: symmetrised(jac(x))


# --- autograd -----------------------------------------------------------------------------------------------

_LIMITS = {
    "TypingError": "a jitted function cannot be traced: pass the Python function (fun.py_func)",
    "must be real number, not ArrayBox": "math.* takes plain floats: use the functions of numpy",
    "float() argument": "float(x) cuts the trace: leave array scalars as they are",
    "int() argument": "int(x) cuts the trace, and has no derivative",
    "setting an array element": "y[i] = … on a plain array cannot be traced, nor can np.asarray(x, float): "
    "build y with np.stack, np.concatenate or np.where",
    "item assignment": "x[i] = … cannot be traced: build a new array with np.where or np.concatenate",
    "__array_ufunc__": "in-place arithmetic (s += x) cannot be traced: write s = s + x",
    "'ArrayBox' object has no attribute": "methods of arrays are missing: write np.dot(x, y), not x.dot(y)",
    "dtype('O')": "NumPy collected traced scalars in an array of objects: use the functions of autograd.numpy",
    "ArrayBox": "NumPy met traced numbers where it cannot take them: use the functions of autograd.numpy",
}


def _traced(operator: str, function: Any) -> Function:
    """autograd's operator of the function, with advice in place of its errors about what it cannot trace."""
    import autograd

    derivative = getattr(autograd, operator)(_joined(function))
    return lambda x: _advised(derivative, floating(x))


def _traced_jacobian(residual: Function) -> Function:
    """Forward mode, n passes; reverse mode, m passes, where a step of the function has no forward rule."""
    from autograd import jacobian, make_jvp

    forward, reverse = make_jvp(_joined(residual)), jacobian(_joined(residual))

    def jac(x: Any) -> Any:
        try:
            push = forward(x)
            return np.stack([push(e)[1] for e in np.eye(x.size, dtype=x.dtype)], axis=1)
        except NotImplementedError:
            return reverse(x)

    return lambda x: _advised(jac, floating(x))


def _traced_product(fun: Any, grad: Any) -> Callable[[Any, Any], Any]:
    """∇²f(x) v by reverse over reverse; the trace at the last x is kept for the next v."""
    from autograd import make_hvp, make_vjp

    trace = make_hvp(_joined(fun)) if fun is not None else make_vjp(_joined(grad))
    kept: tuple[Any, Any] = None, None

    def product(x: Any, v: Any) -> Any:
        nonlocal kept
        if kept[0] is None or not np.array_equal(kept[0], x):
            kept = np.array(x), _advised(trace, floating(x))[0]
        return kept[1](v)

    return product


def _joined(function: Function) -> Function:
    """The function, its trace kept where NumPy has put traced scalars into a list or an array of objects."""
    from autograd.numpy import array

    def joined(x: Any) -> Any:
        value = function(x)
        if getattr(value, "dtype", None) == np.dtype(object):
            value = value.tolist()
        return array(value) if isinstance(value, (list, tuple)) else value

    return joined


def _advised(derivative: Function, x: Any) -> Any:
    if not isinstance(x, np.ndarray):
        raise TypeError(
            f"autograd works on NumPy arrays, not on {type(x).__name__}: use '3-point' or pass the derivative"
        )
    try:
        with warnings.catch_warnings():  # a constant derivative is no mistake
            warnings.filterwarnings("ignore", "Output seems independent of input")
            return derivative(x)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        advice = next((text for sign, text in _LIMITS.items() if sign in said), None)
        if advice is None:
            raise
        raise TypeError(f"autograd cannot trace this function: {advice}; or choose '3-point' ({error})") from error
