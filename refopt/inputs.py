"""What users hand in, made fit for the methods: a float vector, and functions that return what they promise."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from refopt.ops import device, finite, namespace, norm_inf, scalar

FLOAT = np.dtype(float)  #: numba's as well


def vector(x0: Any, name: str = "x0") -> Any:
    """A float vector of the caller's own array kind, never the caller's own array."""
    if type(x0) is np.ndarray and x0.dtype is FLOAT and x0.ndim == 1 and x0.size and math.isfinite(np.vdot(x0, x0)):
        return x0.copy()
    if not hasattr(x0, "dtype") or hasattr(x0, "to_numpy") or isinstance(x0, np.generic):  # lists; a pandas Series
        x0 = np.asarray(x0)
    if isinstance(x0, np.ndarray):
        if np.ma.is_masked(x0):
            raise ValueError(f"{name} has masked entries, which have no value; leave them out: {name}.compressed()")
        x0 = numbers(x0) if x0.dtype.kind == "O" else x0
        if x0.dtype.kind not in "fiub":
            raise ValueError(f"{name} must hold real numbers; it has dtype {x0.dtype}")
        x = np.array(x0, dtype=x0.dtype if x0.dtype.char in "fd" else np.float64)
    else:
        x0, xp = detached(x0), namespace(x0)
        real = xp.isdtype(x0.dtype, "real floating")
        x = xp.asarray(x0, copy=True) if real else xp.astype(x0, xp.float64)
    if x.ndim == 0:
        x = namespace(x).reshape(x, (1,))
    if x.ndim != 1:
        raise ValueError(f"{name} must be a vector of shape (n,); it has shape {tuple(x.shape)}")
    if x.shape[0] == 0:
        raise ValueError(f"{name} is empty")
    if not finite(norm_inf(x)):
        raise ValueError(f"{name} must be finite; it holds NaN or infinity: {x}")
    return x


def numbers(x: np.ndarray) -> np.ndarray:
    """An array of Python's own numbers (fractions, decimals) as floats; as it is where it holds anything else."""
    try:
        return np.array([float(value) for value in x.flat]).reshape(x.shape)
    except (TypeError, ValueError):
        return x


def same_kind(value: Any, x: Any, shape: tuple[int, ...], name: str) -> Any:
    """A user's array as a fresh array of x's kind and type; an error if its shape is not the one expected."""
    if isinstance(x, np.ndarray):
        array = np.array(value)
        if array.dtype != x.dtype:
            array = cast(value, x.dtype, name)
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        xp = namespace(x)
        array = xp.asarray(detached(value), dtype=x.dtype, copy=True)
    else:
        raise TypeError(f"{name} returned {type(value).__name__}; an array like x0 ({type(x).__name__}) is needed")
    if array.shape == () and shape == (1,):  # one variable: a number will do
        return namespace(x).reshape(array, shape)
    if tuple(array.shape) != shape:
        raise ValueError(f"{name} must return shape {shape}; it returned shape {tuple(array.shape)}")
    return array


def cast(value: Any, dtype: Any, name: str) -> np.ndarray:
    """A new array of this type, of what a user's function has returned: numbers, or a sparse matrix of them."""
    array = np.array(value.toarray() if hasattr(value, "toarray") else value)
    array = numbers(array) if array.dtype.kind == "O" else array
    if array.dtype.kind not in "fiub":
        given = type(value).__name__ if array.shape == () else f"an array of {array.dtype}"
        raise TypeError(f"{name} must return real numbers; it returned {given}")
    return array.astype(dtype)


DERIVATIVES = {
    "jac": "callable, True, None or the name of a scheme",
    "hess": "callable, None or the name of a scheme",
    "hessp": "callable or None",
}


def check_derivatives(**given: Any) -> None:
    """A TypeError for a derivative that is neither a function nor a way to have one."""
    for name, value in given.items():
        scheme = isinstance(value, str) if name == "hess" else isinstance(value, str | bool) and name == "jac"
        if not (value is None or callable(value) or scheme):
            hint = "; bfgs and sr1 learn the Hessian themselves" if hasattr(value, "get_matrix") else ""
            raise TypeError(f"{name} must be {DERIVATIVES[name]}; it is {type(value).__name__}{hint}")


def start_array(name: str, value: Any, x: Any) -> Any:
    """An option that is an array, of x's kind: a symmetric matrix (n, n), or the pairs (S, Y) of a history, (k, n)."""
    n = x.shape[0]
    if name == "history":
        pair = tuple(like(part, x, name) for part in value)
        if len(pair) != 2 or pair[0].shape != pair[1].shape or tuple(pair[0].shape)[1:] != (n,):
            raise ValueError(f"history must be the pair (S, Y) of arrays of shape (k, {n}), as in result.history")
        return tuple(tuple(part[i, :] for i in range(part.shape[0])) for part in pair)
    matrix = like(value, x, name)
    if tuple(matrix.shape) != (n, n):
        raise ValueError(f"{name} must have shape ({n}, {n}); it has shape {tuple(matrix.shape)}")
    if not bool(namespace(x).all(matrix == matrix.T)):
        raise ValueError(f"{name} must be a symmetric matrix; take (A + A.T) / 2")
    return matrix


def like(value: Any, x: Any, name: str) -> Any:
    """A new array of x's kind and type, on its device."""
    array = namespace(x).asarray(detached(value), dtype=x.dtype, device=device(x), copy=True)
    if not bool(namespace(x).all(namespace(x).isfinite(array))):
        raise ValueError(f"{name} must be finite; it holds NaN or infinity")
    return array


def detached(x: Any) -> Any:
    """The array without the graph that PyTorch may have hung on it."""
    return x.detach() if hasattr(x, "detach") else x


def own(x: Any) -> Any:
    """A copy for the user's function to keep or to write into."""
    return x.copy() if isinstance(x, np.ndarray) else namespace(x).asarray(x, copy=True)


def scalar_function(fun: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[Any], float]:
    """x ↦ fun(x, *args) as a Python float."""

    def evaluate(x: Any) -> float:
        value = fun(own(x), *args)
        if isinstance(value, float):
            return float(value)
        shape = tuple(getattr(value, "shape", ()))
        if math.prod(shape) != 1:
            raise ValueError(f"fun must return a number; it returned an array of shape {shape}")
        if shape:
            value = namespace(value).reshape(value, (-1,))[0]
        if "complex" in str(getattr(value, "dtype", type(value))) or not hasattr(value, "__float__"):
            raise TypeError(f"fun must return a real number; it returned {type(value).__name__}")
        return float(scalar(detached(value)))

    return evaluate


def array_function(
    fun: Callable[..., Any], args: tuple[Any, ...], shape: Callable[[Any], tuple[int, ...]], name: str
) -> Callable[[Any], Any]:
    """x ↦ fun(x, *args) as a fresh array of x's kind and of the shape expected."""

    def evaluate(x: Any) -> Any:
        return same_kind(fun(own(x), *args), x, shape(x), name)

    return evaluate


class Together:
    """A function that returns value and derivative at once, taken apart; the last point is remembered."""

    def __init__(self, fun: Callable[..., Any]) -> None:
        self.fun, self.point, self.pair = fun, None, (None, None)

    def at(self, x: Any, args: tuple[Any, ...]) -> Any:
        if self.point is None or not bool(namespace(x).all(self.point == x)):
            pair = self.fun(x, *args)
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise ValueError("with jac=True, fun must return the pair (value, derivative)")
            self.point, self.pair = own(x), pair
        return self.pair

    def value(self, x: Any, *args: Any) -> Any:
        return self.at(x, args)[0]

    def derivative(self, x: Any, *args: Any) -> Any:
        return self.at(x, args)[1]


class Later:
    """A problem, made when it is first asked for; anew where its differences are to suit another noise of f."""

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        self.make, self.arguments, self.made, self.noise = make, arguments, None, 0.0

    def __call__(self, noise: float = 0.0) -> Any:
        if self.made is None or noise != self.noise:
            self.made, self.noise = self.make(*self.arguments, noise), noise
        return self.made
