"""Conjugate gradients on the model  m(p) = gᵀp + ½ pᵀHp,  which see the Hessian through products Hd only.

    r₀ = g,  d₀ = −g,    αⱼ = rⱼᵀrⱼ / dⱼᵀHdⱼ,    zⱼ₊₁ = zⱼ + αⱼdⱼ,    rⱼ₊₁ = rⱼ + αⱼHdⱼ,
    βⱼ₊₁ = rⱼ₊₁ᵀrⱼ₊₁ / rⱼᵀrⱼ,    dⱼ₊₁ = −rⱼ₊₁ + βⱼ₊₁dⱼ

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §7.1 (inexact Newton methods);
T. Steihaug, *SIAM J. Numer. Anal.* 20 (1983) 626;
N. I. M. Gould, S. Lucidi, M. Roma & Ph. L. Toint, *SIAM J. Optim.* 9 (1999) 504.
"""

from math import inf
from typing import NamedTuple

from refopt.ops import Vector, dimension, dot, eps, finite, norm, oblique, orthogonal, projected, rmatvec, row, stacked
from refopt.problem import Problem
from refopt.subproblem import boundary, more_sorensen, promise


class Iterate(NamedTuple):
    """Where conjugate gradients ended: at z, before a last direction d that they could not follow to its end."""

    z: Vector
    d: Vector
    square: float  #: ‖r‖² = −rᵀd
    bend: float  #: dᵀHd
    solved: bool  #: the residual is small; there is no d
    concave: bool  #: dᵀHd is negative, and not from rounding
    promised: float  #: m(0) − m(z)
    gain: float  #: what they would gain without a boundary, d included; ∞ where the model has no minimum, NaN if H is
    size: float  #: the largest ‖Hd‖/‖d‖
    products: int


class Inner(NamedTuple):
    """A step, and what is known of the model."""

    p: Vector
    promised: float  #: m(0) − m(p)
    edge: bool  #: ‖p‖ = Δ
    gain: float  #: what a step without a boundary would gain, at least; ∞ beside negative curvature, NaN if H is
    products: int


def conjugate_gradients(
    problem: Problem, x: Vector, g: Vector, start: Vector, shift: float, radius: float, forcing: float,
    progress: float, limit: int,
) -> Iterate:  # fmt: skip
    """To ‖r‖ ≤ forcing ‖g‖, to a d without positive curvature, or to the boundary ‖z‖ = Δ, with H + shift I for H.

    From the best multiple of `start`, or from 0 where it does not lead downhill. Where the first d has no positive
    curvature z is 0, because along `start` alone f may have no slope: a search may have ended there. They end as well
    where the last k = max(10, j/10) of j iterations have gained less than the part k · progress of all. Up to `limit`
    products beside that for the start. ‖H‖ is estimated by the largest ‖Hd‖/‖d‖: curvature within 10 eps ‖H‖ is none,
    and it counts as negative, or for the gain as more than that, from √eps ‖H‖ on.
    """
    z, r, promised, products = best_multiple(problem, x, g, start, shift)
    d, square, gain, before = -r, dot(r, r), promised, promised
    least, since, due, size, bend = forcing * forcing * dot(g, g), 0, 10.0, 0.0, 0.0
    for k in range(limit):
        if not square > least:
            return Iterate(z, d, square, bend, True, False, promised, gain, size, products + k)
        Hd = problem.hvp(x, d) + shift * d
        bend, length = dot(d, Hd), dot(d, d)
        if not finite(bend):
            return Iterate(z, d, square, 0.0, False, False, promised, bend - bend, size, products + k + 1)
        size = max(size, norm(Hd) / length**0.5)
        flat = eps(x) ** 0.5 * size * length
        if not bend > 10.0 * eps(x) * size * length:
            if k == 0:
                z, promised = 0.0 * g, 0.0
            concave = bend < -flat
            gain = inf if concave or flat == 0.0 else gain + 0.5 * (square / flat) * square
            return Iterate(z, d, square, bend, False, concave, promised, gain, size, products + k + 1)
        gain = gain + 0.5 * (square / max(bend, flat)) * square
        alpha = square / bend
        z_new = z + alpha * d
        if norm(z_new) >= radius:
            return Iterate(z, d, square, bend, False, False, promised, gain, size, products + k + 1)
        promised = promised + 0.5 * alpha * square
        z, r = z_new, r + alpha * Hd
        rr = dot(r, r)
        d, square = (rr / square) * d - r, rr
        if k + 1 >= due:
            if promised - before < (k + 1 - since) * progress * promised:
                return Iterate(z, d, square, bend, True, False, promised, gain, size, products + k + 1)
            before, since, due = promised, k + 1, k + 1 + max(10.0, 0.1 * k)
    return Iterate(z, d, square, bend, True, False, promised, gain, size, products + limit)


def best_multiple(
    problem: Problem, x: Vector, g: Vector, start: Vector, shift: float
) -> tuple[Vector, Vector, float, int]:
    """z = t · start, the residual there, m(0) − m(z), and the products spent.

    t = −gᵀstart / startᵀ(H + shift I) start, or 0 where that is not positive.
    """
    slope, products = dot(g, start), 0
    if slope < 0.0:
        Hs, products = problem.hvp(x, start) + shift * start, 1
        bend = dot(start, Hs)
        if bend > 0.0:
            t = -slope / bend
            return t * start, g + t * Hs, -0.5 * t * slope, products
    return 0.0 * g, g, 0.0, products


def truncated(problem: Problem, x: Vector, g: Vector, forcing: float) -> Inner:
    """The inexact Newton step; −g with the length of x (1 at the origin) where its curvature is not positive.

    N&W, Algorithm 7.1.
    """
    s = norm(g) or 1.0  # squares of g itself might overflow
    cg = conjugate_gradients(problem, x, g / s, 0.0 * g, 0.0, inf, forcing, 0.0, 10 * dimension(g))
    p = s * cg.z if norm(cg.z) > 0.0 else -((norm(x) or 1.0) / s) * g
    return Inner(p, s * cg.promised * s, False, s * cg.gain * s, cg.products)


def steihaug(problem: Problem, x: Vector, g: Vector, radius: float, forcing: float) -> Inner:
    """The iteration, and from its last point along the last direction to the boundary.   N&W, Algorithm 7.2."""
    s = norm(g) or 1.0  # squares of g itself might overflow
    cg = conjugate_gradients(problem, x, g / s, 0.0 * g, 0.0, radius / s, forcing, 0.0, 10 * dimension(g))
    if cg.solved:
        return Inner(s * cg.z, s * cg.promised * s, False, s * cg.gain * s, cg.products)
    tau = boundary(cg.z, cg.d, radius / s)
    promised = cg.promised + tau * cg.square - 0.5 * tau * tau * cg.bend
    return Inner(s * (cg.z + tau * cg.d), s * promised * s, True, s * cg.gain * s, cg.products)


def gltr(problem: Problem, x: Vector, g: Vector, radius: float, forcing: float, most: int) -> Inner:
    """The exact solution in the Krylov space  𝒦ₖ = span{g, Hg, …, Hᵏ⁻¹g},  which grows until ‖(H + λI)p + g‖ is small.

        γₖ₊₁qₖ₊₁ = Hqₖ − Qᵀ(QHqₖ),    Q an orthonormal basis of 𝒦ₖ in rows, Y = QH, T = QYᵀ
        h = argmin (Qg)ᵀh + ½ hᵀTh, ‖h‖ ≤ Δ,    p = Qᵀh,    ‖(H + λI)p + g‖ = γₖ₊₁|hₖ|

    While p is inside, it is the point of conjugate gradients, for which no small problem need be solved:

        dₖ = qₖ − (γₖ / dₖ₋₁ᵀHdₖ₋₁) dₖ₋₁,    pₖ = pₖ₋₁ − αₖdₖ,    αₖ = dₖᵀrₖ₋₁ / dₖᵀHdₖ,    dₖ₊₁ᵀrₖ = −αₖγₖ₊₁

    On the boundary it is solved for k ≤ 8 and every eighth k.   Cost: k products and 4k²n flops, k³n/12 more
    on the boundary, k ≤ `most`.
    """
    length = norm(g)
    if length == 0.0:
        return Inner(g, 0.0, False, 0.0, 0)
    q = g / length
    w = problem.hvp(x, q)
    Q, Y, size = row(q), row(w), norm(w)
    if not finite(size):
        return Inner(0.0 * g, 0.0, False, size - size, 1)
    p, d, bend, slope, rest, promised, inside = 0.0 * g, 0.0 * g, 1.0, length, 0.0, 0.0, True
    for k in range(1, most + 1):
        if inside:
            d, bend = q - (rest / bend) * d, dot(q, w) - rest / bend * rest
            inside = bend > 0.0
        w = orthogonal(w, Q)
        rest = norm(w)
        last = k == most or k >= dimension(g) or not rest > 10.0 * eps(g) * size
        if inside:
            alpha = slope / bend
            p, promised, slope = p - alpha * d, promised + 0.5 * alpha * slope, -alpha * rest
            inside = norm(p) < radius
            if inside and (last or abs(slope) <= forcing * length):
                return Inner(p, promised, False, promised, k)
        if not inside and (last or k <= 8 or k % 8 == 0):
            T, c = projected(Q, Y), Q @ g
            h, lam, value = more_sorensen(c, T, radius, 0.1 * forcing)
            p = rmatvec(Q, h)
            if last or rest * abs(dot(q, p)) <= forcing * length:
                return Inner(p, value, lam > 0.0, promise(c, T), k)
        q = w / rest
        w = problem.hvp(x, q)
        size = max(size, norm(w))
        Q, Y = stacked(Q, q), stacked(Y, w)
    return Inner(0.0 * g, 0.0, False, 0.0, most)


def escape(problem: Problem, x: Vector, g: Vector, radius: float) -> Inner:
    """A step of length Δ along negative curvature, if there is any; else no step.

    Conjugate gradients on a right-hand side with a part along every eigenvector: where H has a negative eigenvalue,
    they meet a direction that shows it, after n products at most but for rounding.
    """
    b = oblique(g)
    cg = conjugate_gradients(problem, x, b, 0.0 * b, 0.0, inf, eps(g) ** 0.5, 0.0, 3 * dimension(g) + 10)
    if not cg.concave:
        return Inner(0.0 * g, 0.0, False, 0.0, cg.products)
    t = radius / norm(cg.d)
    t = -t if dot(g, cg.d) > 0.0 else t
    return Inner(t * cg.d, -t * dot(g, cg.d) - 0.5 * t * t * cg.bend, True, inf, cg.products)


def guarded(problem: Problem, x: Vector, g: Vector, radius: float, step: Inner, small: float) -> Inner:
    """The step; or, where no more than `small` is left to gain, the way out of a saddle, if this is one."""
    if step.gain > small:
        return step
    out = escape(problem, x, g, radius)
    products = step.products + out.products
    return out._replace(products=products) if out.edge else step._replace(products=products)


def forcing_term(g: Vector, steep: float) -> float:
    """min(½, √(‖g‖/‖g‖_max)): the accuracy with which a system is worth solving, for superlinear convergence."""
    return min(0.5, (norm(g) / steep) ** 0.5) if steep > 0.0 else 0.5
