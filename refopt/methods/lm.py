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

A run that lasts is in a canyon, and canyons bend: it follows them, from its fortieth residual on.

Shapes: x, g, c, d, p are (n,); r is (m,); J (m, n); R (n, n), upper triangular, J = QR and c = Qᵀr.
Cost of a step: 2mn² flops where it is taken, and 2n³/3 for each λ that is tried, two or three at the boundary.

Deviations from the sources, with reasons:
- Where f has lost the digits of the decrease, fₖ − f(xₖ + pₖ) is replaced by the trapezoid rule −½ (g + g₊)ᵀp.
- A trial that is not finite shrinks the radius to a tenth of the step.
- The radius starts at ‖Dx₀‖, not a hundred times that: fewer starts lose themselves on a plateau.
- Where J is rank-deficient it is damped by √eps of its columns, which gives nearly the shortest step.
- Every λ starts from the triangle R, factored once per Jacobian, not from J.
"""

from typing import NamedTuple

from refopt.linearised import (
    arrived,
    first_radius,
    judged,
    promise,
    refused,
    regular,
    resized,
    tried,
)
from refopt.ops import (
    Matrix,
    Vector,
    column_norms,
    damped,
    dot,
    larger,
    norm,
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
    geodesic: bool = False  #: second-order correction of every step, for one more residual
    canyon: int = 40  #: residuals after which longer steps than 10⁻⁴ ‖Dx‖ are corrected in any case
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
    R, c, full = triangular(J, r)
    radius = reach(x, d, R, c, params)
    f, g = 0.5 * dot(r, r), rmatvec(J, r)
    return State(x, f, g, r, J, R, c, full, d, radius, params.damping, 0.0, 0, True, True, 1, 1)


def reach(x: Vector, d: Vector, R: Matrix, c: Vector, params: Params) -> float:
    """The first radius: factor ‖Dx‖, or the length of the first step if its λ is given."""
    if params.damping > 0.0:
        S, z = damped(R, c, params.damping**0.5 * positive(d))
        return norm(d * solve_upper(S, z))
    return first_radius(x, d, params.factor)


def step(problem: LeastSquares, state: State, params: Params) -> State:
    R, c = regular(state.R, state.c, state.full)
    inner = constrained(R, c, positive(state.d), state.radius, state.lam, params.accuracy)
    p, nfev, njev = inner.p, state.nfev + 1, state.njev
    if params.geodesic or (state.nfev >= params.canyon and inner.length > 1e-4 * norm(state.d * state.x)):
        p, nfev = p + 0.5 * acceleration(problem, state, inner), nfev + 1
    trial = tried(problem, state.x, state.f, p, inner.promised, params.eta)
    gain, state = trial.gain, state._replace(lam=inner.lam)
    if trial.worth:
        J, njev = problem.jacobian(trial.x), njev + 1
        g, norms, gain = judged(state.g, trial, p, J)
        if gain > params.eta * inner.promised:
            d = larger(state.d, norms) if params.rescale else state.d
            radius = resized(state.radius, inner, inner.lam > 0.0, gain, 0.1)
            return arrived(state, trial, J, g, d, radius, inner.promised, nfev, njev)
    return refused(problem, state, inner, gain, nfev, njev)


def constrained(R: Matrix, c: Vector, d: Vector, radius: float, guess: float, accuracy: float) -> Step:
    """The damped step with ‖Dp‖ = Δ (1 ± accuracy), or the Gauss-Newton step if that is inside.   Cost: 2n³/3 per λ.

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


def predicted(state: State) -> float:
    """What a Gauss-Newton step would gain."""
    return promise(state)


def resume(state: State, params: Params) -> State:
    """Ready to try again, with the region as large as at the start."""
    radius = reach(state.x, state.d, state.R, state.c, params)
    return state._replace(radius=radius, rejected=0, ok=True)
