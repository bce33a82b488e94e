"""The exact reading: the method files themselves, run on rational numbers, without any rounding.

NumPy arrays of dtype object hold the numbers, ``fractions.Fraction`` by default or any other kind that is made as
``kind(numerator, denominator)``, such as ``flint.fmpq``, which is several times faster. Operators and the words of
``refopt.ops`` then return rational numbers; a word that needs a square root raises a TypeError. A float that slips in
would turn everything after it into floats, so ``checked`` looks through the result of every exact run and raises.

    refopt.exact.run(A, b, x0, H0)        BFGS with the exact search on ½ xᵀAx − bᵀx ends with g = 0 and H = A⁻¹
"""

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from math import isfinite
from typing import Any

import numpy as np

from refopt.linesearch import Point
from refopt.methods import bfgs
from refopt.ops import dot, identity
from refopt.problem import Problem

Kind = Callable[[int, int], Any]


# --- numbers and arrays ------------------------------------------------------------------------------------------


def rational(value: Any, kind: Kind = Fraction) -> Any:
    """The number itself: an int, a fraction, the exact value of a float, or a string such as "2/3" or "0.1"."""
    if isinstance(value, float | np.floating) and not isfinite(value):
        raise ValueError(f"{value} is not a rational number: an exact array needs finite entries")
    if isinstance(value, float | np.floating | str):
        value = Fraction(str(value)) if isinstance(value, str) else Fraction(float(value))
    try:
        return kind(int(value.numerator), int(value.denominator))
    except AttributeError:
        raise TypeError(f"cannot read {value!r} as a rational number: give int, float, Fraction or 'p/q'") from None


def array(values: Any, kind: Kind = Fraction) -> np.ndarray:
    """An object array of rational numbers, of the same shape as `values` (nested lists, or any NumPy array)."""
    given = np.asarray(values, dtype=object)
    out = np.empty(given.shape, dtype=object)
    for index, value in np.ndenumerate(given):
        out[index] = rational(value, kind)
    return out


def checked(result: Any, name: str = "result") -> Any:
    """`result` as it is, or a TypeError that names the first float in it.   Looks into whatever holds others."""
    if isinstance(result, float | complex | np.inexact):
        raise TypeError(f"{name} is the float {result!r}: this run was to be exact, but rounded on its way")
    if isinstance(result, np.ndarray):
        if result.dtype.kind in "fc":
            raise TypeError(f"{name} is an array of {result.dtype}: this run was to be exact, but rounded on its way")
        for index, value in np.ndenumerate(result):
            checked(value, f"{name}{list(index)}")
    elif isinstance(result, dict):
        for key, value in result.items():
            checked(value, f"{name}[{key!r}]")
    elif dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            checked(getattr(result, field.name), f"{name}.{field.name}")
    elif isinstance(result, list | tuple):
        fields = getattr(result, "_fields", range(len(result)))
        for field, value in zip(fields, result, strict=True):
            checked(value, f"{name}.{field}" if isinstance(field, str) else f"{name}[{field}]")
    return result


# --- elimination -------------------------------------------------------------------------------------------------


def solve(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A⁻¹b for b of shape (n,) or (n, k), by elimination.   Raises ZeroDivisionError where A is singular."""
    n, columns = len(A), b.reshape(len(A), -1)
    work = np.concatenate([A, columns], axis=1)
    for j in range(n):
        pivot = next((i for i in range(j, n) if work[i, j] != 0), None)
        if pivot is None:
            raise ZeroDivisionError("the matrix is singular: a system with it has no unique solution")
        work[[j, pivot]] = work[[pivot, j]]
        work[j] = work[j] / work[j, j]
        others = np.arange(n) != j
        work[others] = work[others] - work[others, j : j + 1] * work[j]
    return work[:, n:].reshape(b.shape)


def pivots(A: np.ndarray) -> list[Any]:
    """The diagonal of D in A = LDLᵀ, A symmetric: their smallest is positive iff A ≻ 0, and not negative iff A ⪰ 0.

    A zero above a column that is not zero proves eigenvalues of both signs: there −maxᵢ |aᵢ₁| is the last pivot.
    """
    found: list[Any] = []
    while A.size:
        pivot, column = A[0, 0], A[1:, 0]
        if pivot == 0 and column.any():
            return [*found, -abs(column).max()]
        found.append(pivot)
        A = A[1:, 1:]
        if pivot != 0:
            A = A - column[:, None] * column / pivot
    return found


# --- random instances --------------------------------------------------------------------------------------------


def numbers(rng: np.random.Generator, shape: Any, size: int = 9, kind: Kind = Fraction) -> np.ndarray:
    """Random rational numbers p/q with |p| ≤ size and 1 ≤ q ≤ 3."""
    p, q = rng.integers(-size, size + 1, shape), rng.integers(1, 4, shape)
    return array(np.vectorize(Fraction, otypes=[object])(p, q), kind)


def spd(rng: np.random.Generator, n: int, size: int = 3, kind: Kind = Fraction) -> np.ndarray:
    """A random symmetric positive definite matrix, MᵀM + I, of integers up to n·size² + 1."""
    M = rng.integers(-size, size + 1, (n, n))
    return array(M.T @ M + np.eye(n, dtype=int), kind)


def orthogonal(rng: np.random.Generator, n: int, size: int = 3, kind: Kind = Fraction) -> np.ndarray:
    """A random orthogonal matrix with rational entries: the reflection I − 2vvᵀ/vᵀv of an integer vector v."""
    v = rng.integers(-size, size + 1, n)
    v[rng.integers(n)] = size
    return array(np.eye(n, dtype=int) - Fraction(2, int(v @ v)) * np.outer(v, v).astype(object), kind)


# --- runs --------------------------------------------------------------------------------------------------------


def quadratic(A: Any, b: Any) -> Problem:
    """f(x) = ½ xᵀAx − bᵀx with gradient Ax − b and Hessian A."""
    return Problem(
        fun=lambda x: dot(x, A @ x) / 2 - dot(b, x),
        grad=lambda x: A @ x - b,
        hess=lambda x: A,
        hvp=lambda x, v: A @ v,
    )


def search(problem: Problem, x: np.ndarray, g: np.ndarray, p: np.ndarray) -> Point:
    """The exact minimiser of a quadratic along p:   α = −gᵀp / pᵀAp."""
    alpha = -dot(g, p) / dot(p, problem.hvp(x, p))
    x_new = x + alpha * p
    f_new, g_new = problem.fun(x_new), problem.grad(x_new)
    return Point(x=x_new, f=f_new, g=g_new, alpha=alpha, nfev=1, njev=1, lower=True, wolfe=True)


def run(A: Any, b: Any, x0: Any, H0: Any = None, steps: int | None = None, kind: Kind = Fraction) -> list[bfgs.State]:
    """The states of BFGS with exact search on ½ xᵀAx − bᵀx: the start and up to `steps` (n) steps, fewer where g = 0.

    A (n, n), symmetric positive definite; b, x0 (n,); H0 (n, n), the identity by default. All are read as rational
    numbers, and so is every number of the states.   Raises TypeError if one of them should have become a float.
    """
    A, b, x = array(A, kind), array(b, kind), array(x0, kind)
    H = array(identity(x) if H0 is None else H0, kind)
    problem, params = quadratic(A, b), bfgs.Params(*(rational(value, kind) for value in bfgs.Params()))
    rounded = bfgs.init(quadratic(A.astype(float), b.astype(float)), x.astype(float), bfgs.Params())
    f, g = problem.fun(x), problem.grad(x)
    states = [rounded._replace(x=x, f=f, g=g, H=H, p=-(H @ g), alpha=rational(0, kind), fresh=False)]
    for _ in range(len(x) if steps is None else steps):
        state = states[-1]
        if not state.g.any():
            break
        states.append(bfgs.advance(state, search(problem, state.x, state.g, state.p), params))
    return checked(states)
