"""The trust-region subproblem:   min m(p) = gᵀp + ½ pᵀBp   subject to   ‖p‖ ≤ Δ.

p solves it exactly if for some λ ≥ 0

    (B + λI) p = −g,      λ (Δ − ‖p‖) = 0,      B + λI ⪰ 0.

J. J. Moré & D. C. Sorensen, *SIAM J. Sci. Stat. Comput.* 4 (1983) 553;
J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §4.3;  A. R. Conn, N. I. M. Gould & Ph. L. Toint,
*Trust-Region Methods*, §7.3.
"""

from math import inf
from typing import NamedTuple

from refopt.ops import (
    Matrix,
    Symmetric,
    Vector,
    cholesky,
    dot,
    eps,
    frobenius,
    gershgorin,
    lowest,
    norm,
    solve_lower,
    solve_lower_t,
)


class Step(NamedTuple):
    """A step, the multiplier of its constraint, and what the model promises."""

    p: Vector
    lam: float
    predicted: float  #: m(0) − m(p)


def more_sorensen(g: Vector, B: Symmetric, radius: float, accuracy: float) -> Step:
    """The exact solution; on the boundary to ‖p‖ = Δ (1 ± accuracy).   Cost: n³/3 flops, two or three times.

    Newton's method on  1/Δ − 1/‖p(λ)‖ = 0  with  p(λ) = −(B + λI)⁻¹g,  kept inside an interval (low, high):

        B + λI = LLᵀ,    LLᵀp = −g,    Lw = p,    λ ← λ + (‖p‖/‖w‖)² (‖p‖ − Δ)/Δ

    λ = 0 comes first: a Newton step inside the region is the answer. Where the factorisation has failed three times,
    or the iteration lingers, the lowest eigenpair decides whether this is the hard case. Where λ is known to rounding,
    and ‖p(λ)‖ is not, as next to −λ₁, the same eigenvector leads to the boundary.
    """
    low, high, size = interval(g, B, radius)
    lam = inside(low, high) if low > 0.0 else 0.0
    p, failures, floor = cauchy(g, B, radius), 0, 0.0
    for k in range(100):
        L, ok = cholesky(B, lam)
        newton = -1.0
        if ok:
            p = -solve(L, g)
            length = norm(p)
            if abs(length - radius) <= accuracy * radius or (lam == 0.0 and length < radius):
                break
            low, high = (lam, high) if length > radius else (low, lam)
            newton = newton_multiplier(L, p, length, lam, radius)
            if failures == 4 and abs(newton - lam) <= 2.0 * eps(g) * (size + lam):
                return nearly_hard(g, B, radius, lam + 4.0 * eps(g) * (size + lam))
        else:
            failures = failures + 1
            low = lam
        if failures == 3 or k == 10:
            failures = 4
            mu, v = lowest(B)
            nearly = max(0.0, 30.0 * eps(g) * size - mu)
            L, ok = cholesky(B, nearly)
            if not ok or norm(solve(L, g)) < radius:
                return hard_case(g, B, radius, max(0.0, -mu), v, size)
            low, floor = max(low, nearly), max(0.0, -mu)
        lam = newton if low < newton < high else floor + inside(low - floor, max(low, high) - floor)
    return Step(p, lam, decrease(g, B, p))


def interval(g: Vector, B: Symmetric, radius: float) -> tuple[float, float, float]:
    """low ≤ λ ≤ high, and a bound of ‖B‖, by Gershgorin's bounds of the eigenvalues λ₁, …, λₙ of B.

    ‖g‖/Δ − λₙ ≤ λ ≤ ‖g‖/Δ − λ₁, a little wider: rounding must not shut out a λ at its end.
    """
    least, most = gershgorin(B)
    size = max(abs(least), abs(most))
    reach, slack = norm(g) / radius, 1.0 + 4.0 * eps(g)
    return max(0.0, reach / slack - size), reach * slack + max(0.0, -least), size


def newton_multiplier(L: Matrix, p: Vector, length: float, lam: float, radius: float) -> float:
    """The next λ of Newton's method on  1/Δ − 1/‖p(λ)‖ = 0,  ‖p‖ = length;  −1, which no λ is, where p is zero."""
    if length == 0.0:
        return -1.0
    ratio = length / norm(solve_lower(L, p))
    return lam + ratio * ratio * (length - radius) / radius


def hard_case(g: Vector, B: Symmetric, radius: float, lam: float, v: Vector, size: float) -> Step:
    """g has no part along the lowest eigenvector v, or too little: p(λ) stays inside for every λ > −λ₁.

        p = −(B − λ₁I)⁺ g + τ v,    ‖p‖ = Δ

    The pseudoinverse is a shifted factorisation refined against the unshifted matrix; what is left along the
    eigenspace of λ₁ does no harm, because the optimality conditions do not see it. Where neither the curvature nor the
    slope along v is more than rounding, τ = 0: the shortest of many solutions.
    """
    L, ok = cholesky(B, lam + eps(g) ** 0.5 * size)
    p = 0.0 * g
    if ok:
        for _ in range(5):
            p = p - solve(L, g + B @ p + lam * p)
    p = p - dot(v, p) * v
    slope, rounding = dot(g, v), 10.0 * eps(g)
    if lam <= rounding * size and abs(slope) <= rounding * norm(g):
        return Step(p, 0.0, decrease(g, B, p))
    tau = max(radius * radius - dot(p, p), 0.0) ** 0.5
    p = p - (tau if slope > 0.0 else -tau) * v
    return Step(p, lam + abs(slope) / radius, decrease(g, B, p))


def nearly_hard(g: Vector, B: Symmetric, radius: float, lam: float) -> Step:
    """λ > −λ₁ is known to rounding, and p(λ) lies inside: the rest goes along v, of which B + λI leaves hardly any.

    p = −(B + λI)⁻¹ g + τ v,    ‖p‖ = Δ
    """
    _mu, v = lowest(B)
    L, _ = cholesky(B, lam)
    p = -solve(L, g)
    v = -v if dot(p, v) < 0.0 else v
    p = p + boundary(p, v, radius) * v
    return Step(p, lam, decrease(g, B, p))


def cauchy(g: Vector, B: Symmetric, radius: float) -> Vector:
    """The minimiser of the model along −g inside the region."""
    slope = norm(g)
    if slope == 0.0:
        return 0.0 * g
    d = g / slope
    bend = dot(d, B @ d)
    tau = min(radius, slope / bend) if bend > 0.0 else radius
    return -tau * d


def decrease(g: Vector, B: Symmetric, p: Vector) -> float:
    """m(0) − m(p) = −gᵀp − ½ pᵀBp."""
    return -dot(g, p) - dot(p, B @ p) / 2


def promise(g: Vector, B: Symmetric) -> float:
    """What the unrestricted Newton step would gain, ½ gᵀB⁻¹g; infinite where B has a negative eigenvalue.

    An eigenvalue within √eps ‖B‖_F of zero is none.   Cost: two factorisations.
    """
    tiny = eps(g) ** 0.5 * frobenius(B)
    L, ok = cholesky(B, tiny)
    if not ok:
        return inf if tiny > 0.0 or norm(g) > 0.0 else 0.0
    exact, definite = cholesky(B, 0.0)
    w = solve_lower(exact if definite else L, g)
    return 0.5 * dot(w, w)


def dogleg(g: Vector, B: Symmetric, radius: float) -> tuple[Vector, bool]:
    """The point where Powell's path leaves the region, or its end; and whether it leaves.   Cost: n³/3 flops.

    From 0 to the minimiser p_U = −(gᵀg/gᵀAg) g along the gradient, and on to p_B = −A⁻¹g, with A = B where B ≻ 0 and
    A = B + 3/2 |λ₁| I where the lowest eigenvalue λ₁ is negative; then p_B is followed by the eigenvector of λ₁.
    """
    shift, v, size = 0.0, 0.0 * g, frobenius(B)
    if size == 0.0:
        return cauchy(g, B, radius), True
    L, definite = cholesky(B, shift)
    if not definite:
        lam, v = lowest(B)
        shift = max(-1.5 * lam, 10.0 * eps(g) * size)
        L, _ = cholesky(B, shift)
    newton = -solve(L, g)
    if norm(newton) < radius:
        if definite:
            return newton, False
        v = -v if dot(g, v) > 0.0 else v
        return newton + boundary(newton, v, radius) * v, True
    slope = dot(g, g)
    bend = dot(g, B @ g) + shift * slope
    if slope * norm(g) >= radius * bend:  # gᵀg may be too small a number, and bend 0
        return -(radius / norm(g)) * g, True
    steepest = -(slope / bend) * g
    leg = newton - steepest
    return steepest + boundary(steepest, leg, radius) * leg, True


def boundary(p: Vector, d: Vector, radius: float) -> float:
    """τ ≥ 0 with ‖p + τd‖ = Δ, for ‖p‖ ≤ Δ."""
    length = norm(d)
    b, c = dot(p, d) / length, max(radius * radius - dot(p, p), 0.0)
    root = (b * b + c) ** 0.5
    return (c / (b + root) if b > 0.0 else root - b) / length


def solve(L: Matrix, b: Vector) -> Vector:
    """(LLᵀ)⁻¹ b."""
    return solve_lower_t(L, solve_lower(L, b))


def inside(low: float, high: float) -> float:
    """A point of (low, high) that favours the lower end."""
    return max((low * high) ** 0.5, low + 0.01 * (high - low))
