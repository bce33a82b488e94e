"""What Broyden's two methods share: a matrix J that learns from the residuals, and the dogleg along its model.

Each has its own ``update(J, s, y)``, in which J learns from  s = x₊ − x,  y = r₊ − r. The Jacobian itself is evaluated

- at the start, and wherever a run ends;
- where the model fails: a step is refused, or gains less than a quarter of what was promised;
- where the model's promise drowns in the noise of f: nothing is concluded from a J that is only learnt.

M. J. D. Powell, A hybrid method for nonlinear equations, in P. Rabinowitz (ed.), *Numerical Methods for Nonlinear
Algebraic Equations*, 1970, evaluates it anew where two steps in a row fail; in a fit the gradient Jᵀr is no better than
J, and a step that fails is one too many.
"""

from math import inf
from typing import NamedTuple

from refopt.linearised import (
    Path,
    Trial,
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


class Params(NamedTuple):
    factor: float = 1.0  #: the first radius is factor ‖Dx₀‖
    polish: bool = True  #: refine the answer to its last digits
    rescale: bool = True  #: D follows the columns of J; else it stays as it was at the start
    eta: float = 1e-4  #: a step is taken if it gains more than η of what it promises
    skip: float = 1e-10  #: no update while its denominator is no larger than this part of its factors


class State(NamedTuple):
    x: Vector
    f: float  #: ½‖r‖²
    g: Vector  #: Jᵀr
    r: Vector
    J: Matrix  #: the Jacobian, or what has been learnt of it
    exact: bool  #: J is the Jacobian at x
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
    radius = first_radius(x, d, params.factor)
    return State(x, f, g, r, J, True, R, c, full, d, radius, 0.0, 0, True, True, 1, 1)


def attempted(problem: LeastSquares, state: State, params: Params) -> tuple[Path, Trial]:
    """The step, and what the residuals say of it."""
    R, c = regular(state.R, state.c, state.full)
    path = dogleg(R, c, state.g, positive(state.d), state.radius)
    return path, tried(problem, state.x, state.f, path.p, path.promised, params.eta)


def landed(problem: LeastSquares, state: State, params: Params, path: Path, trial: Trial, J: Matrix) -> State:
    """The next state; J has learnt from the trial."""
    gain, nfev, njev = trial.gain, state.nfev + 1, state.njev
    if trial.worth:
        exact = trial.drowned or gain < 0.25 * path.promised
        if exact:
            J, njev = problem.jacobian(trial.x), njev + 1
        g, norms, gain = judged(state.g, trial, path.p, J)
        if gain > params.eta * path.promised:
            d = larger(state.d, norms) if params.rescale else state.d
            radius = resized(state.radius, path, path.edge, gain, 0.1)
            state = state._replace(exact=exact)
            return arrived(state, trial, J, g, d, radius, path.promised, nfev, njev)
    if state.exact:
        return refused(problem, state, path, gain, nfev, njev)
    return renewed(problem, state._replace(nfev=nfev, njev=njev))


def renewed(problem: LeastSquares, state: State) -> State:
    """The state at the same point with the Jacobian there.   Cost: one Jacobian."""
    J = problem.jacobian(state.x)
    R, c, full = triangular(J, state.r)
    return state._replace(J=J, g=rmatvec(J, state.r), R=R, c=c, full=full, exact=True, taken=False, njev=state.njev + 1)


def predicted(state: State) -> float:
    """What a Gauss-Newton step would gain; infinite while J is only learnt, so that nothing ends on it."""
    return promise(state) if state.exact else inf


def resume(state: State, params: Params) -> State:
    """Ready to try again, with the region as large as at the start."""
    return state._replace(radius=first_radius(state.x, state.d, params.factor), rejected=0, ok=True)
