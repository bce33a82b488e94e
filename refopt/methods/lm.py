"""Levenberg-Marquardt: Gauss-Newton steps inside a scaled trust region.

    pₖ   = argmin ‖Jₖp + rₖ‖   subject to  ‖Dₖp‖ ≤ Δₖ
         ⇔ (JₖᵀJₖ + λₖDₖ²) pₖ = −Jₖᵀrₖ,   λₖ ≥ 0,   λₖ (Δₖ − ‖Dₖpₖ‖) = 0
    ρₖ   = (fₖ − f(xₖ + pₖ)) / (½‖Jₖpₖ‖² + λₖ‖Dₖpₖ‖²)                     f = ½‖r‖²
    xₖ₊₁ = xₖ + pₖ if ρₖ > η,   xₖ otherwise
    Dₖ   = diag(maxᵢ≤ₖ ‖(Jᵢ)ⱼ‖)                                           the longest that column j of J has been

J. J. Moré, The Levenberg-Marquardt algorithm: implementation and theory, in G. A. Watson (ed.), *Numerical Analysis*
(Dundee 1977), Springer 1978, §§2-6;  J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §10.3.
Geodesic acceleration (M. K. Transtrum & J. P. Sethna, arXiv:1201.5885) follows the curve of the step v to second order:

    a = argmin ‖J a + r_vv‖² + λ‖D a‖²,   r_vv = ∂²r(x + tv)/∂t² at t = 0,    p = v + ½a  where  2‖Da‖ ≤ ¾‖Dv‖

Shapes: x, g, c, d, p are (n,); r is (m,); J (m, n); R (n, n), upper triangular, J = QR and c = Qᵀr.
Cost of a step: 2mn² flops where it is taken, and 10n³/3 for each λ that is tried, two or three at the boundary.

Deviations from the sources, with reasons:
- Where f has lost the digits of the decrease, fₖ − f(xₖ + pₖ) is replaced by the trapezoid rule −½ (g + g₊)ᵀp.
- A trial that is not finite counts as ρ = −1 and shrinks the radius to a tenth of the step.
- The radius starts at ‖Dx₀‖, not a hundred times that: fewer starts lose themselves on a plateau.
- Where J is rank-deficient it is damped by √eps of its columns, which gives nearly the shortest step.
- Every λ starts from the triangle R, factored once per Jacobian, not from J.
"""

from math import inf
from typing import NamedTuple

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
    positive,
    rmatvec,
    solve_upper,
    solve_upper_t,
    triangular,
)
from refopt.problem import LeastSquares
from refopt.subproblem import inside


class Params(NamedTuple):
    damping: float = 0.0  #: the first λ; 0 leaves it to the first radius
    factor: float = 1.0  #: the first radius is factor ‖Dx₀‖
    geodesic: bool = False  #: second-order correction of the step, for one more residual
    polish: bool = True  #: refine the answer to its last digits
    rescale: bool = True  #: D follows the columns of J; else it stays as it was at the start
    eta: float = 1e-4  #: a step is taken if ρ > η
    accuracy: float = 0.1  #: of ‖Dp‖ = Δ


class State(NamedTuple):
    x: Vector
    f: float  #: ½‖r‖²
    g: Vector  #: Jᵀr
    r: Vector
    J: Matrix
    R: Matrix
    c: Vector
    full: bool  #: J has full column rank
    d: Vector  #: the diagonal of D, 0 for a column that has always been 0
    radius: float
    lam: float
    promised: float  #: what the model said that the last step would gain
    rejected: int  #: steps refused in a row
    taken: bool
    ok: bool  #: the region can still shrink, and refusals are not due to noise
    nfev: int
    njev: int


class Step(NamedTuple):
    """A damped step: SᵀS = JᵀJ + λD²."""

    p: Vector
    S: Matrix
    lam: float
    length: float  #: ‖Dp‖
    slope: float  #: gᵀp
    promised: float  #: ½‖Jp‖² + λ‖Dp‖²


def init(problem: LeastSquares, x: Vector, params: Params) -> State:
    r, J = problem.residual(x), problem.jacobian(x)
    d = column_norms(J)
    R, c, full = triangle(J, r)
    radius = first_radius(x, d, R, c, params)
    f, g = 0.5 * dot(r, r), rmatvec(J, r)
    return State(x, f, g, r, J, R, c, full, d, radius, params.damping, 0.0, 0, True, True, 1, 1)


def first_radius(x: Vector, d: Vector, R: Matrix, c: Vector, params: Params) -> float:
    """factor ‖Dx‖, with 1 for each xᵢ = 0; or the length of the first step if its λ is given."""
    if params.damping > 0.0:
        S, z = damped(R, c, params.damping**0.5 * positive(d))
        return norm(d * solve_upper(S, z))
    return params.factor * norm(d * positive(absolute(x)))


def step(problem: LeastSquares, state: State, params: Params) -> State:
    x, f, g, d = state.x, state.f, state.g, state.d
    trial = constrained(state.R, state.c, positive(d), state.radius, state.lam, params.accuracy)
    p, promised, nfev, njev = trial.p, trial.promised, state.nfev + 1, state.njev
    if params.geodesic:
        p, nfev = p + 0.5 * acceleration(problem, state, trial), nfev + 1
    x_new = x + p
    r = problem.residual(x_new)
    f_new, ef = 0.5 * dot(r, r), noise_floor(problem, x, f)
    gain = f - f_new if finite(f_new) else -inf
    drowned = promised <= 10.0 * ef and gain >= -10.0 * ef
    if promised > 0.0 and (drowned or gain > params.eta * promised):
        J, njev = problem.jacobian(x_new), njev + 1
        g_new, norms = rmatvec(J, r), column_norms(J)
        if drowned:
            gain = -0.5 * dot(g + g_new, p)
        if not finite(norm_inf(norms)):
            gain = -inf
        if gain > params.eta * promised:
            d = larger(d, norms) if params.rescale else d
            radius = resized(state.radius, trial, gain, 0.1)
            return arrived(x_new, f_new, g_new, r, J, d, radius, trial.lam, promised, nfev, njev)
    least = 1e-6 if promised <= 10.0 * ef and gain > -inf else 0.1
    radius, rejected = resized(state.radius, trial, gain, least), state.rejected + 1
    ok = radius > eps(x) * norm(d * x) and rejected < (8 if promised <= ef else 40)
    return refused(state, radius, trial.lam, promised, rejected, ok, nfev, njev)


def arrived(
    x: Vector, f: float, g: Vector, r: Vector, J: Matrix, d: Vector, radius: float, lam: float, promised: float,
    nfev: int, njev: int,
) -> State:  # fmt: skip
    """The state at a new point."""
    R, c, full = triangle(J, r)
    return State(x, f, g, r, J, R, c, full, d, radius, lam, promised, 0, True, True, nfev, njev)


def refused(
    old: State, radius: float, lam: float, promised: float, rejected: int, ok: bool, nfev: int, njev: int
) -> State:
    """The state at the old point, after a step that was not taken."""
    return old._replace(
        radius=radius, lam=lam, promised=promised, rejected=rejected, taken=False, ok=ok, nfev=nfev, njev=njev
    )


def triangle(J: Matrix, r: Vector) -> tuple[Matrix, Vector, bool]:
    """R and c with RᵀR = JᵀJ and Rᵀc = Jᵀr; where J is rank-deficient, RᵀR = JᵀJ + eps diag(‖Jⱼ‖²)."""
    R, c, full = triangular(J, r)
    if full:
        return R, c, full
    S, z = damped(R, c, eps(c) ** 0.5 * positive(column_norms(J)))
    return S, z, full


def constrained(R: Matrix, c: Vector, d: Vector, radius: float, guess: float, accuracy: float) -> Step:
    """The damped step with ‖Dp‖ = Δ (1 ± accuracy), or the Gauss-Newton step if that is inside.   Cost: 10n³/3 per λ.

    Newton's method on  1/Δ − 1/‖Dp(λ)‖ = 0  inside a shrinking interval, from λ = 0 or the last λ; Moré (1978), §5.
    """
    best = damped_step(R, c, d, 0.0)
    if best.length <= (1.0 + accuracy) * radius or not radius > 0.0:
        return best
    low, high = 0.0, norm(rmatvec(R, c) / d) / radius
    lam = max(guess, newton(best, d, radius))
    for _ in range(30):
        lam = lam if low < lam < high else inside(low, high)
        S, z = damped(R, c, lam**0.5 * d)
        best = damped_step(S, z, d, lam)
        if abs(best.length - radius) <= accuracy * radius:
            break
        low, high = (lam, high) if best.length > radius else (low, lam)
        lam = newton(best, d, radius)
    return best


def damped_step(S: Matrix, z: Vector, d: Vector, lam: float) -> Step:
    """p = −S⁻¹z with SᵀS = JᵀJ + λD², Sᵀz = Jᵀr; then gᵀp = −‖z‖² and ½‖Jp‖² + λ‖Dp‖² = ½ (‖z‖² + λ‖Dp‖²)."""
    p = -solve_upper(S, z)
    length, gain = norm(d * p), dot(z, z)
    return Step(p, S, lam, length, -gain, 0.5 * (gain + lam * length * length))


def newton(step: Step, d: Vector, radius: float) -> float:
    """λ + (‖Dp‖/‖w‖)² (‖Dp‖ − Δ)/Δ,  w = S⁻ᵀD²p."""
    steep = norm(solve_upper_t(step.S, d * (d * step.p)))
    if steep > 0.0:
        ratio = step.length / steep
        return step.lam + ratio * ratio * (step.length - radius) / radius
    return -1.0


def acceleration(problem: LeastSquares, state: State, trial: Step) -> Vector:
    """a = −(JᵀJ + λD²)⁻¹ Jᵀr_vv, or zero where it is not small beside v; r_vv by a difference with step 0.1."""
    v, S = trial.p, trial.S
    ahead = problem.residual(state.x + 0.1 * v)
    r_vv = 20.0 * (10.0 * (ahead - state.r) - state.J @ v)
    a = -solve_upper(S, solve_upper_t(S, rmatvec(state.J, r_vv)))
    if trial.length > 0.0 and 2.0 * norm(state.d * a) <= 0.75 * trial.length:
        return a
    return 0.0 * v


def resized(radius: float, trial: Step, gain: float, least: float) -> float:
    """The next radius: longer where the model held, shorter where it failed, by the parabola through gain and slope."""
    if gain > 0.75 * trial.promised and trial.lam > 0.0:
        return (4.0 if gain > 0.9 * trial.promised else 2.0) * trial.length
    if gain > 0.25 * trial.promised:
        return radius
    bend = -gain - trial.slope
    t = -0.5 * trial.slope / bend if bend > 0.0 else 0.5
    return min(max(t, least), 0.5) * trial.length


def predicted(state: State) -> float:
    """What a Gauss-Newton step would gain, without what lies along singular vectors of JD⁻¹ below 1e-10."""
    _, z = damped(state.R, state.c, 1e-10 * positive(column_norms(state.J)))
    return 0.5 * dot(z, z)


def polish(problem: LeastSquares, state: State, params: Params, trials: int) -> State:
    """Gauss-Newton steps without damping, up to ``trials``, as long as each is shorter than the one before."""
    for _ in range(trials):
        state = refine(problem, state, params)
        if not state.ok:
            break
    return state


def refine(problem: LeastSquares, state: State, params: Params) -> State:
    """One step of the polish; ok if another is worth trying.

    It is taken if f does not rise beyond its noise, or 1e-10 f, and the next step is shorter by a tenth or more; there
    is nothing left to do where every |pᵢ| ≤ 2 eps |xᵢ|.
    """
    x, f, d, nfev, njev = state.x, state.f, state.d, state.nfev, state.njev
    p = gauss_newton(state)
    excess = larger(absolute(p) - 2.0 * eps(x) * absolute(x), 0.0 * x)
    if norm_inf(excess) > 0.0:
        r, nfev = problem.residual(x + p), nfev + 1
        f_new = 0.5 * dot(r, r)
        if f_new <= f + max(1e-10 * f, problem.noise):
            J, njev = problem.jacobian(x + p), njev + 1
            new = arrived(x + p, f_new, rmatvec(J, r), r, J, d, state.radius, 0.0, state.promised, nfev, njev)
            if new.full and norm(d * gauss_newton(new)) < 0.9 * norm(d * p):
                return new
    return refused(state, state.radius, 0.0, state.promised, 0, False, nfev, njev)


def gauss_newton(state: State) -> Vector:
    """p = −R⁻¹c, or no step where J is rank-deficient."""
    if state.full:
        return -solve_upper(state.R, state.c)
    return 0.0 * state.c


def resume(state: State, params: Params) -> State:
    """Ready to try again, with the region as large as at the start."""
    radius = first_radius(state.x, state.d, state.R, state.c, params)
    return refused(state, radius, state.lam, state.promised, 0, True, state.nfev, state.njev)
