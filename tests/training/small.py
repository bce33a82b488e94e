"""A small classification problem, a loss with an edge, and gradients without a problem."""

import numpy as np

import refopt
from refopt.networks import Linear, Sequential, Tanh

METHODS = refopt.available("train")
NET = Sequential(Linear(3, 4), Tanh(), Linear(4, 3))
RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((23, 3)), RNG.integers(3, size=23)
PROBLEM = refopt.Supervised(NET, "cross-entropy", X, Y)
X0 = NET.init(1)
NOTHING = refopt.Problem(None, None)


def batch_for(name):
    return None if name == "l-bfgs" else 7


def cliff(at):
    """A loss that is not finite from a point on: x falls by ½ every step of `sgd` with η = ½."""
    return refopt.Problem(lambda x: float(x[0]) if x[0] > at else float("nan"), lambda x: np.ones(1))


def fed(method, params, gradients, x0):
    """The state after these gradients."""
    state = method.init(NOTHING, x0, params)
    for g in gradients:
        state = method.update(state, g, params)
    return state
