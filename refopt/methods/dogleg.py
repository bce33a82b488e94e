"""Dogleg for least squares: along Powell's path from steepest descent to Gauss-Newton, as far as the region allows.

    h   = D⁻¹g                                               the gradient in the variables Dx
    p_C = −(‖h‖²/‖JD⁻¹h‖²) D⁻¹h,     p_GN = −R⁻¹c            the Cauchy step, and the Gauss-Newton step
    p   = p_GN                       if ‖Dp_GN‖ ≤ Δ
          −Δ D⁻¹h/‖h‖                if ‖Dp_C‖ ≥ Δ
          p_C + τ (p_GN − p_C)       with ‖Dp‖ = Δ otherwise

Along the path ‖Dp‖ grows and ‖Jp + r‖ falls, so that a step is at least as good as the Cauchy step. It is taken if it
gains more than η of what it promises, ½‖r‖² − ½‖Jp + r‖²; the region grows and shrinks as that of ``lm``.

M. J. D. Powell, A hybrid method for nonlinear equations, in P. Rabinowitz (ed.), *Numerical Methods for Nonlinear
Algebraic Equations*, 1970;  J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §4.1, §10.3;
J. J. Moré, in G. A. Watson (ed.), *Numerical Analysis* (Dundee 1977), Springer 1978, §6 (the scaling D).
Shapes: x, g, c, d, p are (n,); r is (m,); J (m, n); R (n, n), upper triangular, J = QR and c = Qᵀr.
Cost of a step: 2mn² flops where it is taken, n² where it is not.

Deviations from the sources, with reasons:
- D is Moré's, the longest that each column of J has been; Powell's D = I depends on the units of the variables.
- Where J is rank-deficient it is damped by √eps of its columns, which gives nearly the shortest Gauss-Newton step.
- Where f has lost the digits of the decrease the trapezoid rule −½ (g + g₊)ᵀp tells it.
"""

from typing import NamedTuple

from refopt.linearised import (
    arrived,
    dogleg,
    first_radius,
    judged,
    promise,
    refused,
    regular,
    resized,
    tried,
)
from refopt.ops import Matrix, Vector, column_norms, dot, larger, positive, rmatvec, triangular
from refopt.problem import LeastSquares

__all__ = ["Params", "State", "dogleg", "init", "predicted", "resume", "step"]


class Params(NamedTuple):
    factor: float = 1.0  #: the first radius is factor ‖Dx₀‖
    polish: bool = True  #: refine the answer to its last digits
    rescale: bool = True  #: D follows the columns of J; else it stays as it was at the start
    eta: float = 1e-4  #: a step is taken if it gains more than η of what it promises


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
    promised: float  #: what the model said that the last step would gain
    rejected: int  #: steps refused in a row
    taken: bool
    ok: bool  #: the region can still shrink, and refusals are not due to noise
    nfev: int
    njev: int


def init(problem: LeastSquares, x: Vector, params: Params) -> State:
    r, J = problem.residual(x), problem.jacobian(x)
    R, c, full = triangular(J, r)
    f, g, d = 0.5 * dot(r, r), rmatvec(J, r), column_norms(J)
    return State(x, f, g, r, J, R, c, full, d, first_radius(x, d, params.factor), 0.0, 0, True, True, 1, 1)


def step(problem: LeastSquares, state: State, params: Params) -> State:
    R, c = regular(state.R, state.c, state.full)
    path = dogleg(R, c, state.g, positive(state.d), state.radius)
    trial = tried(problem, state.x, state.f, path.p, path.promised, params.eta)
    gain, nfev, njev = trial.gain, state.nfev + 1, state.njev
    if trial.worth:
        J, njev = problem.jacobian(trial.x), njev + 1
        g, norms, gain = judged(state.g, trial, path.p, J)
        if gain > params.eta * path.promised:
            d = larger(state.d, norms) if params.rescale else state.d
            radius = resized(state.radius, path, path.edge, gain, 0.1)
            return arrived(state, trial, J, g, d, radius, path.promised, nfev, njev)
    return refused(problem, state, path, gain, nfev, njev)


def predicted(state: State) -> float:
    """What a Gauss-Newton step would gain."""
    return promise(state)


def resume(state: State, params: Params) -> State:
    """Ready to try again, with the region as large as at the start."""
    return state._replace(radius=first_radius(state.x, state.d, params.factor), rejected=0, ok=True)
