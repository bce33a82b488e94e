"""Derivatives by differences inside the compiled loop: the rules of ``refopt.derivatives.differences``, "3-point".

Functions get copies, to keep or to change. Steps are exact, so these loops keep their order of rounding.
"""

# mypy: disable-error-code="index, arg-type, return-value, attr-defined, misc, var-annotated"

from collections.abc import Callable

from refopt.ops import Matrix, Symmetric, Vector
from refopt.words.arithmetic import (
    copied,
    divided,
    minus,
    moved,
    new_matrix,
    new_vector,
    scaled,
    symmetric_product,
    zero_vector,
)
from refopt.words.vocabulary import EPS, finite, norm_inf

CUBE_ROOT_EPS = EPS ** (1 / 3)


def difference_gradient(fun: Callable[[Vector], float], x: Vector, scale: Vector) -> Vector:
    """(f(x + hᵢeᵢ) − f(x − hᵢeᵢ)) / 2hᵢ; one-sided where that is not finite although f(x) is."""
    g, there, whole = new_vector(len(x)), copied(x), True
    for i in range(len(x)):
        h = exact_step(x[i], scale[i])
        up, down = x[i] + h, x[i] - h
        there[i] = up
        above = fun(copied(there))
        there[i] = down
        g[i] = (above - fun(copied(there))) / (up - down)
        there[i] = x[i]
        whole = whole and finite(g[i])
    if not whole:
        here = fun(copied(x))
        for i in range(len(x)):
            if finite(here) and not finite(g[i]):
                g[i] = one_sided(fun, x, here, i)
    return g


def one_sided(fun: Callable[[Vector], float], x: Vector, here: float, i: int) -> float:
    """(−3 f(x) + 4 f(x + heᵢ) − f(x + 2heᵢ)) / 2h, for h or else −h: the side where it is finite."""
    there, slope = copied(x), 0.0
    for sign in (1.0, -1.0):
        h = sign * exact_step(x[i], 0.0)
        there[i] = x[i] + h
        near = fun(copied(there))
        there[i] = x[i] + 2.0 * h
        slope = (4.0 * (near - here) - (fun(copied(there)) - here)) / (2.0 * h)
        if finite(slope):
            break
    return slope


def difference_jacobian(function: Callable[[Vector], Vector], x: Vector, scale: Vector) -> Matrix:
    """The columns (F(x + hᵢeᵢ) − F(x − hᵢeᵢ)) / 2hᵢ; one-sided where one is not finite although F(x) is."""
    J, there, lost = new_matrix(0, 0), copied(x), zero_vector(len(x))
    for i in range(len(x)):
        h = exact_step(x[i], scale[i])
        up, down = x[i] + h, x[i] - h
        there[i] = up
        above = function(copied(there))
        there[i] = down
        column = divided(minus(above, function(copied(there))), up - down)
        there[i] = x[i]
        if i == 0:
            J = new_matrix(len(column), len(x))
        set_column(J, i, column)
        if not finite(norm_inf(column)):
            lost[i] = 1.0
    if norm_inf(lost) > 0.0:
        here = function(copied(x))
        for i in range(len(x)):
            if finite(norm_inf(here)) and lost[i] > 0.0:
                set_column(J, i, one_sided_column(function, x, here, i))
    return J


def one_sided_column(function: Callable[[Vector], Vector], x: Vector, here: Vector, i: int) -> Vector:
    """The rule of ``one_sided`` for a function with values in a vector space."""
    there, slope = copied(x), here
    for sign in (1.0, -1.0):
        h = sign * exact_step(x[i], 0.0)
        there[i] = x[i] + h
        near = function(copied(there))
        there[i] = x[i] + 2.0 * h
        far = function(copied(there))
        slope = divided(minus(scaled(4.0, minus(near, here)), minus(far, here)), 2.0 * h)
        if finite(norm_inf(slope)):
            break
    return slope


def difference_hessian(grad: Callable[[Vector], Vector], x: Vector, scale: Vector) -> Symmetric:
    """The symmetric part of the Jacobian of the gradient."""
    return symmetric_part(difference_jacobian(grad, x, scale))


def second_difference_hessian(fun: Callable[[Vector], float], x: Vector, scale: Vector) -> Symmetric:
    """The same where the gradient is a difference itself."""
    n, there = len(x), copied(x)
    B = new_matrix(n, n)
    for i in range(n):
        h = exact_step(x[i], scale[i])
        up, down = x[i] + h, x[i] - h
        there[i] = up
        above = difference_gradient(fun, there, scale)
        there[i] = down
        set_column(B, i, divided(minus(above, difference_gradient(fun, there, scale)), up - down))
        there[i] = x[i]
    return symmetric_part(B)


def set_column(A: Matrix, j: int, column: Vector) -> None:
    """Write a column into A."""
    for i in range(len(column)):
        A[i, j] = column[i]


def exact_step(x: float, scale: float) -> float:
    """h = (x + ∛eps s) − x with s = max(|x|, |x₀|), or 1 if both are 0."""
    size = max(abs(x), scale)
    return (x + CUBE_ROOT_EPS * (size if size > 0.0 else 1.0)) - x


def symmetric_part(B: Matrix) -> Symmetric:
    """½ (B + Bᵀ), written into B."""
    for i in range(len(B)):
        for j in range(i):
            B[i, j] = B[j, i] = 0.5 * (B[i, j] + B[j, i])
    return B


# --- products with the Hessian ---------------------------------------------------------------------------------------


def hessian_product(hess: Callable[[Vector], Symmetric], x: Vector, p: Vector, kept: Symmetric) -> Vector:
    """∇²f(x) p from the Hessian itself, which is kept, and below it, in one more row, x and how many were evaluated."""
    n = len(x)
    known = kept[n, n] > 0.0
    for i in range(n):
        known = known and kept[n, i] == x[i]
    if not known:
        H = hess(copied(x))
        for i in range(n):
            kept[n, i] = x[i]
            for j in range(i + 1):
                kept[i, j] = H[i, j]
        kept[n, n] += 1.0
    return symmetric_product(1.0, kept, p)


def difference_product(grad: Callable[[Vector], Vector], x: Vector, p: Vector, scale: Vector) -> Vector:
    """(∇f(x + hp) − ∇f(x − hp)) / 2h; one-sided where that is not finite although ∇f(x) is."""
    length, h = relative_length(x, p, scale), CUBE_ROOT_EPS
    if length == 0.0:
        return zero_vector(len(x))
    unit = divided(p, length)
    slope = divided(minus(grad(moved(x, h, unit)), grad(moved(x, -h, unit))), 2.0 * h)
    if not finite(norm_inf(slope)):
        here = grad(copied(x))
        for sign in (1.0, -1.0):
            t = sign * h
            if finite(norm_inf(here)) and not finite(norm_inf(slope)):
                near, far = grad(moved(x, t, unit)), grad(moved(x, 2.0 * t, unit))
                slope = divided(minus(scaled(4.0, minus(near, here)), minus(far, here)), 2.0 * t)
    return scaled(length, slope)


def second_difference_product(fun: Callable[[Vector], float], x: Vector, p: Vector, scale: Vector) -> Vector:
    """The same where the gradient is a difference itself, known to ε^⅔ only: h is the cube root of that."""
    length, h = relative_length(x, p, scale), CUBE_ROOT_EPS ** (2 / 3)
    if length == 0.0:
        return zero_vector(len(x))
    unit = divided(p, length)
    above = difference_gradient(fun, moved(x, h, unit), scale)
    return scaled(length, divided(minus(above, difference_gradient(fun, moved(x, -h, unit), scale)), 2.0 * h))


def relative_length(x: Vector, p: Vector, scale: Vector) -> float:
    """maxᵢ |pᵢ|/sᵢ with sᵢ = max(|xᵢ|, |x₀ᵢ|), or 1 if both are 0."""
    longest = 0.0
    for i in range(len(x)):
        size = max(abs(x[i]), scale[i])
        longest = max(longest, abs(p[i]) / (size if size > 0.0 else 1.0))
    return longest
