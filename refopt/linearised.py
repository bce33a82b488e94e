"""Residuals made linear, ‖Jp + r‖: what the least-squares methods share.

    J = QR,  c = Qᵀr:      ½‖r‖² − ½‖Jp + r‖² = −½ (Rp)ᵀ(Rp + 2c)
    Gauss-Newton:          p = −R⁻¹c,   which promises ½‖c‖²

The states of these methods have x, f = ½‖r‖², g = Jᵀr, r, J, R, c, ``full`` (J has full column rank), d (the scale of
the variables, the diagonal of D), nfev and njev; those with a region also radius and rejected.

The *polish* of an answer is Broyden's method on p(x) = 0, where p(x) is the Gauss-Newton step. Alone, steps x + p(x)
converge linearly where residuals are large, like the powers of (JᵀJ)⁻¹S, S = Σ rᵢ∇²rᵢ; what each shows of S shortens or
lengthens the next ones, s = p + Ep, and convergence is superlinear:

    E₊ = E + (s − (I + E)y) sᵀD²(I + E) / sᵀD²(I + E)y,     y = p(x) − p(x + s)

C. G. Broyden, *Math. Comp.* 19 (1965) 577;  J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §10.3, §11.1.
"""

from math import inf
from typing import Any, NamedTuple

from refopt.linesearch import noise_floor
from refopt.ops import (
    Matrix,
    Vector,
    absolute,
    column_norms,
    damped,
    dot,
    eps,
    finite,
    larger,
    norm,
    norm_inf,
    outer,
    positive,
    rmatvec,
    solve_upper,
    triangular,
)
from refopt.problem import LeastSquares
from refopt.subproblem import boundary


def regular(R: Matrix, c: Vector, full: bool) -> tuple[Matrix, Vector]:
    """R and c; where J is rank-deficient, S and z with SᵀS = JᵀJ + eps diag(‖Jⱼ‖²) and Sᵀz = Jᵀr."""
    if full:
        return R, c
    return damped(R, c, eps(c) ** 0.5 * positive(column_norms(R)))


def gauss_newton(state: Any) -> Vector:
    """p = −R⁻¹c, or no step where J is rank-deficient."""
    if state.full:
        return -solve_upper(state.R, state.c)
    return 0.0 * state.c


def promise(state: Any) -> float:
    """What a Gauss-Newton step would gain, without what lies along singular vectors of JD⁻¹ below 1e-10."""
    _, z = damped(state.R, state.c, 1e-10 * positive(column_norms(state.R)))
    return 0.5 * dot(z, z)


# --- a step p is tried -------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """What the residuals say of x + p."""

    x: Vector
    f: float
    r: Vector
    gain: float  #: f(x) − f(x + p), −∞ where that is not finite
    drowned: bool  #: neither what was promised nor what was gained stands out of the noise of f
    worth: bool  #: a Jacobian there is worth having


def tried(problem: LeastSquares, x: Vector, f: float, p: Vector, promised: float, eta: float) -> Trial:
    """The point x + p; worth going to if it gains more than η times what was promised.   Cost: one r."""
    x_new, ef = x + p, noise_floor(problem, x, f)
    r = problem.residual(x_new)
    f_new = 0.5 * dot(r, r)
    gain = f - f_new if finite(f_new) else -inf
    drowned = promised <= 10.0 * ef and gain >= -10.0 * ef
    return Trial(x_new, f_new, r, gain, drowned, promised > 0.0 and (drowned or gain > eta * promised))


def judged(g: Vector, trial: Trial, p: Vector, J: Matrix) -> tuple[Vector, Vector, float]:
    """The gradient and the norms of the columns of J at the point tried; and what the step gains, as they tell it.

    Where f has lost the digits of its decrease, that is the trapezoid rule −½ (g + g₊)ᵀp; −∞ where J is not finite.
    """
    g_new, norms, gain = rmatvec(J, trial.r), column_norms(J), trial.gain
    if trial.drowned:
        gain = -0.5 * dot(g + g_new, p)
    return g_new, norms, gain if finite(norm_inf(norms)) else -inf


# --- in a region ‖Dp‖ ≤ Δ ----------------------------------------------------------------------------------------


def first_radius(x: Vector, d: Vector, factor: float) -> float:
    """factor ‖Dx‖, with 1 for each xᵢ = 0."""
    return factor * norm(d * positive(absolute(x)))


class Path(NamedTuple):
    """A step in the region."""

    p: Vector
    length: float  #: ‖Dp‖
    slope: float  #: gᵀp
    promised: float  #: ½‖r‖² − ½‖Jp + r‖²
    edge: bool  #: it ends on the boundary


def dogleg(R: Matrix, c: Vector, g: Vector, d: Vector, radius: float) -> Path:
    """Where Powell's path from the Cauchy step to the Gauss-Newton step leaves the region, or its end.   Cost: 3n²."""
    p = -solve_upper(R, c)
    edge = norm(d * p) > radius
    if edge:
        h = g / d
        size, bend = norm(h), norm(R @ (h / d))
        steepest = size * (size / bend) * (size / bend) if bend > 0.0 else inf
        if steepest >= radius:
            p = -(radius / size) * (h / d)
        else:
            cauchy = -(steepest / size) * h
            leg = d * p - cauchy
            p = (cauchy + boundary(cauchy, leg, radius) * leg) / d
    u = R @ p
    return Path(p, norm(d * p), dot(g, p), -dot(u, c) - 0.5 * dot(u, u), edge)


def resized(radius: float, step: Any, edge: bool, gain: float, least: float) -> float:
    """The next radius: longer where the model held, shorter where it failed, by the parabola through gain and slope.

    ``step`` has its length ‖Dp‖, slope gᵀp and what it promised; ``edge``: it ended on the boundary.
    """
    if gain > 0.75 * step.promised and edge:
        return (4.0 if gain > 0.9 * step.promised else 2.0) * step.length
    if gain > 0.25 * step.promised:
        return radius
    bend = -gain - step.slope
    t = -0.5 * step.slope / bend if bend > 0.0 else 0.5
    return min(max(t, least), 0.5) * step.length


def arrived(
    state: Any, trial: Trial, J: Matrix, g: Vector, d: Vector, radius: float, promised: float, nfev: int, njev: int
) -> Any:
    """The state at the point that was tried."""
    R, c, full = triangular(J, trial.r)
    return state._replace(
        x=trial.x, f=trial.f, g=g, r=trial.r, J=J, R=R, c=c, full=full, d=d, radius=radius, promised=promised,
        rejected=0, taken=True, ok=True, nfev=nfev, njev=njev,
    )  # fmt: skip


def refused(problem: LeastSquares, state: Any, step: Any, gain: float, nfev: int, njev: int) -> Any:
    """The state at the old point, in a smaller region; ok while that can still shrink and noise is not to blame."""
    ef, rejected = noise_floor(problem, state.x, state.f), state.rejected + 1
    least = 1e-6 if step.promised <= 10.0 * ef and gain > -inf else 0.1
    radius = resized(state.radius, step, False, gain, least)
    ok = radius > eps(state.x) * norm(state.d * state.x) and rejected < (8 if step.promised <= ef else 40)
    return state._replace(
        radius=radius, promised=step.promised, rejected=rejected, taken=False, ok=ok, nfev=nfev, njev=njev
    )


# --- the polish --------------------------------------------------------------------------------------------------


def polish(problem: LeastSquares, state: Any, trials: int, failures: int) -> Any:
    """Up to ``trials`` steps s = p + Ep while they make p shorter by a tenth, or f lower.   Cost of one: r and J.

    f must not rise beyond its noise, or 1e-10 f; nothing is left to do where every |sᵢ| ≤ 64 eps |xᵢ|. So many
    ``failures`` may occur, each of which teaches E what is wrong with it.
    """
    x, f, r, J, R, c, d, nfev, njev = (
        state.x, state.f, state.r, state.J, state.R, state.c, state.d, state.nfev, state.njev,
    )  # fmt: skip
    p, E = gauss_newton(state), outer(0.0 * x, 0.0 * x)
    for _ in range(trials):
        s = p + E @ p
        if not norm_inf(larger(absolute(s) - 64.0 * eps(s) * absolute(x), 0.0 * s)) > 0.0:
            break
        r_new, nfev = problem.residual(x + s), nfev + 1
        f_new = 0.5 * dot(r_new, r_new)
        low = f_new <= f + max(1e-10 * f, problem.noise)
        if not (low or (failures > 0 and finite(f_new))):
            break
        J_new, njev = problem.jacobian(x + s), njev + 1
        R_new, c_new, full = triangular(J_new, r_new)
        if not full:
            break
        q = -solve_upper(R_new, c_new)
        E = learnt(E, s, p - q, d)
        if low and (norm(d * q) < 0.9 * norm(d * p) or f_new < f - noise_floor(problem, x, f)):
            x, f, r, J, R, c, p = x + s, f_new, r_new, J_new, R_new, c_new, q
        elif failures > 0:
            failures = failures - 1
        else:
            break
    return state._replace(x=x, f=f, g=rmatvec(J, r), r=r, J=J, R=R, c=c, nfev=nfev, njev=njev)


def learnt(E: Matrix, s: Vector, y: Vector, d: Vector) -> Matrix:
    """E₊ with (I + E₊)y = s, nearest to E in a sense; E itself where that is out of reach."""
    t = d * (d * s)
    row = t + rmatvec(E, t)
    bend = dot(row, y)
    if bend * bend > 1e-20 * dot(row, row) * dot(y, y):
        return E + outer((s - y - E @ y) / bend, row)
    return E
