"""Gauss-Newton: each step solves the problem with its residuals made linear, and a search makes it short enough.

    pₖ   = argmin ‖Jₖp + rₖ‖ = −Jₖ⁺ rₖ          the shortest one, where there are many
    xₖ₊₁ = xₖ + αₖ pₖ

with the first α that gains a part of what the linear model promises: 1, and then each time where the parabola through
the last values and slope is least, no less than a tenth of the last α and no more than half,

    f(xₖ) − f(xₖ + αpₖ) ≥ η (α − ½α²) ‖Jₖpₖ‖²,      f = ½‖r‖²

pₖ descends, gₖᵀpₖ = −‖Jₖpₖ‖², but a full step may be too long: from |x| ≥ 1.4 it drives r = arctan x to infinity.
``search`` "fixed" takes it nevertheless. Near a minimum e₊ ≈ −(JᵀJ)⁻¹Se with S = Σ rᵢ∇²rᵢ: convergence is quadratic
where the residuals vanish, and there is none where they are large.

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §10.3;  J. E. Dennis & R. B. Schnabel, *Numerical Methods
for Unconstrained Optimization and Nonlinear Equations*, §10.2.
Shapes: x, g, c, d, p are (n,); r is (m,); J (m, n); R (n, n), upper triangular, J = QR and c = Qᵀr.
Cost of a step: 2mn² flops, and 20n³ more where J is rank-deficient.

Deviations from the sources, with reasons:
- J⁺ is the limit of damped solutions, reached by iterating them: a word for orthogonal factors is not needed.
- Where f has lost the digits of the decrease the trapezoid rule −½ (g + g₊)ᵀp tells it.
"""

from typing import NamedTuple

from refopt.linearised import (
    judged,
    promise,
    tried,
)
from refopt.linesearch import ARMIJO, FIXED
from refopt.ops import (
    Matrix,
    Vector,
    column_norms,
    damped,
    dot,
    eps,
    finite,
    norm_inf,
    positive,
    rmatvec,
    solve_upper,
    triangular,
)
from refopt.problem import LeastSquares

CHOICES = {"search": ("armijo", "fixed")}  #: of the searches that there are


class Params(NamedTuple):
    search: int = ARMIJO  #: "armijo", or "fixed": full steps, whether f falls or not
    step: float = 1.0  #: the first α, or the only one; below 2
    eta: float = 1e-4  #: of what is promised, as much must be gained
    trials: int = 40  #: evaluations of r in one search
    polish: bool = True  #: refine the answer to its last digits


class State(NamedTuple):
    x: Vector
    f: float  #: ½‖r‖²
    g: Vector  #: Jᵀr
    r: Vector
    J: Matrix
    R: Matrix
    c: Vector
    full: bool  #: J has full column rank
    d: Vector  #: ‖Jⱼ‖
    alpha: float
    promised: float  #: what the model said that the last step would gain
    taken: bool
    ok: bool  #: the search found a point
    nfev: int
    njev: int


def init(problem: LeastSquares, x: Vector, params: Params) -> State:
    r, J = problem.residual(x), problem.jacobian(x)
    R, c, full = triangular(J, r)
    f, g, d = 0.5 * dot(r, r), rmatvec(J, r), column_norms(J)
    return State(x, f, g, r, J, R, c, full, d, 0.0, 0.0, True, True, 1, 1)


def step(problem: LeastSquares, state: State, params: Params) -> State:
    whole = shortest(state.R, state.c, state.full)
    gain, slope, alpha, nfev, njev = 0.0, dot(state.g, whole), params.step, state.nfev, state.njev
    for _ in range(params.trials):
        p, promised = alpha * whole, -(alpha - 0.5 * alpha * alpha) * slope
        trial, nfev = tried(problem, state.x, state.f, p, promised, params.eta), nfev + 1
        gain = trial.gain
        if trial.worth or (params.search == FIXED and finite(trial.f)):
            J, njev = problem.jacobian(trial.x), njev + 1
            g, d, gain = judged(state.g, trial, p, J)
            if gain > params.eta * promised or (params.search == FIXED and finite(gain)):
                R, c, full = triangular(J, trial.r)
                return State(
                    trial.x, trial.f, g, trial.r, J, R, c, full, d, alpha, promised, True, True, nfev, njev
                )  # fmt: skip
        bend = -gain - alpha * slope
        alpha = alpha * min(max(-0.5 * alpha * slope / bend if bend > 0.0 else 0.5, 0.1), 0.5)
    return state._replace(taken=False, ok=False, nfev=nfev, njev=njev)


def shortest(R: Matrix, c: Vector, full: bool) -> Vector:
    """−J⁺r = −R⁺c, the shortest of all p that make ‖Rp + c‖ least.

    Where R is singular, p ← p − (RᵀR + μI)⁻¹Rᵀ(Rp + c) leaves μ/(σ² + μ) of the error along each singular vector, and
    never leaves the range of Rᵀ; μ = eps ‖R‖², ‖R‖ the largest norm of a column.
    """
    if full:
        return -solve_upper(R, c)
    p, tiny = 0.0 * c, eps(c) ** 0.5 * (norm_inf(column_norms(R)) or 1.0)
    for _ in range(3):
        S, z = damped(R, c + R @ p, tiny * positive(0.0 * c))
        p = p - solve_upper(S, z)
    return p


def predicted(state: State) -> float:
    """What a Gauss-Newton step would gain."""
    return promise(state)


def resume(state: State, params: Params) -> State:
    """Ready for another search."""
    return state._replace(ok=True)
