"""L-BFGS on all samples at once: for the last digits of what a stochastic method has begun.

The method is ``refopt.methods.l_bfgs`` with its strong Wolfe search. A search compares values of one function, so that
a draw may name neither batch nor masks: all samples are used, nothing is dropped. It begins without pairs, whatever
ran before it.

J. Nocedal & S. J. Wright, *Numerical Optimization*, 2nd ed., §7.2.
Shapes: x, g (P,); m pairs (m, P).   Cost of a step: 10mP flops and one or two gradients of all samples.
"""

from typing import Any, NamedTuple

from refopt.methods import l_bfgs
from refopt.methods.l_bfgs import Params
from refopt.ops import scalar
from refopt.problem import Problem
from refopt.sampled import Draw, begun

__all__ = ["WHOLE", "Params", "State", "init", "step"]

WHOLE = True  #: batches and masks are no use


class State(NamedTuple):
    x: Any
    f: float
    g: Any
    inner: tuple[Any, ...]  #: the method's own state
    ok: bool  #: the search found a lower point
    t: int  #: steps taken


def init(problem: Any, x: Any, params: Params) -> State:
    inner = l_bfgs.init(functions(problem), begun(x), params)
    return State(inner.x, inner.f, inner.g, tuple(inner), True, 0)


def step(problem: Any, state: State, params: Params, draw: Draw | None = None, donate: Any = False) -> State:
    if draw is not None and (draw.batch is not None or draw.masks):
        raise ValueError("l-bfgs compares values of one function: a draw may name neither batch nor masks")
    old = l_bfgs.State(*state.inner)
    new = l_bfgs.step(functions(problem), old, params)
    return State(new.x, old.f, old.g, tuple(new), new.ok, state.t + 1)


def functions(problem: Any) -> Problem:
    """The functions of a problem as L-BFGS wants them."""
    return Problem(lambda x: scalar(problem.fun(x)), problem.grad, noise=getattr(problem, "noise", 0.0))
