"""Anything that multiplies vectors, as one kind of thing: arrays, sparse matrices, operators, functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refopt.linalg.arrays import created, real, square
from refopt.ops import Matrix, Vector, finite, namespace, norm_inf


class Operator(NamedTuple):
    """V ↦ AV and V ↦ AᵀV for V (n, k), and an array of the kind, type and device of what A takes."""

    matmat: Callable[[Matrix], Matrix]
    rmatmat: Callable[[Matrix], Matrix]
    n: int
    like: Any

    def matvec(self, v: Vector) -> Vector:
        return self.matmat(v[:, None])[:, 0]


def operator(A: Any, n: Any = None) -> Operator:
    """A as an ``Operator``.

    A: an array (n, n); a sparse matrix; an object with ``shape`` and ``matvec``, such as a curvature matrix or SciPy's
    ``LinearOperator``; or a function v ↦ Av.   n: for a function the number of variables, or an array (n,) such as x,
    of the kind, type and device of v; objects may need that as well. A function is taken to be symmetric, and so is an
    object without ``rmatvec``.
    """
    if hasattr(A, "matvec") or hasattr(A, "toarray"):
        return _of_object(A, n)
    if callable(A) and not hasattr(A, "dtype"):
        return _of_function(A, n)
    A = square(A)
    if not finite(norm_inf(namespace(A).reshape(A, (-1,)))):
        raise ValueError("A must be finite; it holds NaN or infinity")
    return Operator(lambda V: A @ V, lambda V: A.T @ V, A.shape[0], A)


def _of_object(A: Any, n: Any) -> Operator:
    shape = tuple(A.shape)
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise ValueError(f"A must be an operator of shape (n, n), n ≥ 1; it has shape {shape}")
    kind = getattr(A, "dtype", None)
    sample = real(n, "n") if hasattr(n, "shape") else getattr(A, "like", None)
    if sample is None:
        sample = real(np.zeros(0, dtype=np.float64 if kind is None else kind))
    if hasattr(A, "toarray"):
        product, transposed = (lambda V: A @ V), (lambda V: A.T @ V)
    elif hasattr(A, "matmat"):
        product, transposed = A.matmat, A.rmatmat if hasattr(A, "rmatmat") else A.matmat
    else:
        product, transposed = _columns(A.matvec), _columns(A.rmatvec if hasattr(A, "rmatvec") else A.matvec)
    return Operator(_tested(product), _tested(transposed), shape[0], sample)


def _of_function(A: Callable[[Vector], Vector], n: Any) -> Operator:
    if n is None:
        raise TypeError("a function v ↦ Av needs n: the number of variables, or an array (n,) such as x")
    x = np.zeros(int(n)) if isinstance(n, int | np.integer) else real(n, "n")
    if len(x.shape) != 1 or not x.shape[0]:
        raise ValueError(f"n must be at least 1, or an array (n,); it is {n!r}")
    product = _tested(_columns(A))
    return Operator(product, product, x.shape[0], x)


def _columns(matvec: Callable[[Vector], Vector]) -> Callable[[Matrix], Matrix]:
    """Column by column, each a vector of its own."""

    def matmat(V: Matrix) -> Matrix:
        xp = namespace(V)
        columns = [xp.asarray(V[:, j], copy=True) for j in range(V.shape[1])]
        return xp.stack([_vector(matvec(v), v) for v in columns], axis=1) if columns else V

    return matmat


def _vector(value: Any, v: Vector) -> Vector:
    shape = tuple(getattr(value, "shape", ()))
    if shape != tuple(v.shape):
        raise ValueError(f"the product Av must have the shape of v, {tuple(v.shape)}; it has shape {shape}")
    return value


def _tested(matmat: Callable[[Matrix], Matrix]) -> Callable[[Matrix], Matrix]:
    return lambda V: _finite(matmat(V))


def _finite(V: Any) -> Any:
    if not finite(norm_inf(namespace(V).reshape(V, (-1,)))):
        raise ValueError("a product Av is not finite: it holds NaN or infinity")
    return V


# --- probes --------------------------------------------------------------------------------------------------------


def generator(rng: Any, instead: str) -> np.random.Generator:
    """The Generator itself, or that of a seed."""
    if rng is None:
        raise TypeError(f"random numbers are drawn only from a Generator or a seed that you give: rng=, or {instead}")
    return np.random.default_rng(rng)


def probe_matrix(A: Operator, probes: Any, rng: Any, count: int, normal: bool = False) -> Matrix:
    """Probes (n, k), given, or random signs or normal numbers: `probes` of them, or `count` where that is None."""
    if probes is None or isinstance(probes, int | np.integer):
        k = count if probes is None else int(probes)
        if k < 1:
            raise ValueError(f"probes must be at least 1; it is {k}")
        random = generator(rng, "probes=, an array (n, k)")
        drawn = random.standard_normal((A.n, k)) if normal else random.integers(0, 2, (A.n, k)) * 2.0 - 1.0
        return created(drawn, A.like)
    Z = real(probes, "probes")
    Z = Z[:, None] if len(Z.shape) == 1 else Z
    if len(Z.shape) != 2 or Z.shape[0] != A.n or not Z.shape[1]:
        raise ValueError(f"probes must be an array ({A.n}, k), k ≥ 1; it has shape {tuple(Z.shape)}")
    return Z
