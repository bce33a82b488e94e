"""The first state of each method, and what ends a run: searches that were not enough, or found nothing."""

import numpy as np

from refopt.methods import (
    bfgs,
    damped_newton,
    gauss_newton,
    gradient_descent,
    hessian_free,
    modified_newton,
    newton_cg,
    saddle_free_newton,
    sr1,
)  # fmt: skip
from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.states import quartic
from refopt.problem import LeastSquares, Problem

RULE = "a rule of this library"
BEGINNING = {"alpha": 0, "weak": 0, "rejected": 0, "fresh": 1, "taken": 1, "ok": 1, "nfev": 1, "njev": 1, "nhev": 1}
SEARCHING = (gradient_descent, newton_cg, hessian_free, bfgs)


def begun(draw):
    """What a state says before any step, where it says such a thing."""
    problem, x = quartic(draw)
    B = draw.unit(len(x), 1e2)
    fit = LeastSquares(lambda x: B @ x + 1, lambda x: B)
    states = [(method.init(problem, x, method.Params()), BEGINNING)
              for method in (*SEARCHING, damped_newton, modified_newton, saddle_free_newton, sr1)]  # fmt: skip
    states.append((gauss_newton.init(fit, x, gauss_newton.Params()), BEGINNING | {"promised": 0}))
    rows = [getattr(state, name) - float(value) for state, wanted in states for name, value in wanted.items()
            if hasattr(state, name)]  # fmt: skip
    return {"rows": rows}


@claim(
    "states.beginning",
    "Before the first step one f and one derivative of each kind are known, nothing was refused or promised or learnt, "
    "no search was weak, and there is reason to go on",
    RULE,
    begun,
    scale=lambda: 1.0,
    because="counters and flags",
    exact=False,
)
def beginning(rows):
    return np.array(rows)


def weakened(draw):
    """f = ¼Σxᵢ⁴, where a Newton step goes a third of the way: one trial is lower, but the slope is not small enough."""
    n = draw.size()
    x = (1 + abs(draw.vector(n))) * 2.0 ** int(draw.rng.integers(-3, 3))
    problem = Problem(
        lambda y: float(np.sum(y**4)) / 4, lambda y: y**3, lambda y: np.diag(3 * y**2), lambda y, p: 3 * y**2 * p
    )
    rows = []
    for method in SEARCHING:
        params = method.Params(c1=1e-9, c2=1e-6, trials=1)
        for weak in range(4):
            new = method.step(problem, method.init(problem, x, params)._replace(weak=weak), params)
            rows.append([new.weak - weak - 1.0, new.ok - float(weak < 2), new.taken - 1.0])
    fit = LeastSquares(lambda y: y**2, lambda y: np.diag(2 * y))
    params = gauss_newton.Params(trials=0)
    none = gauss_newton.step(fit, gauss_newton.init(fit, x, params), params)
    return {"rows": rows, "none": [none.taken, none.ok, *none.x - x]}


@claim(
    "states.weak",
    "A run ends with the third search in a row that finds a lower point but not the conditions, or with one that finds "
    "no point",
    NW + "§3.5 (a search may be cut short)",
    weakened,
    given="a single trial on Σxᵢ⁴, from where the slope still falls; for Gauss and Newton's steps no trial",
    scale=lambda: 1.0,
    because="counters and flags",
    exact=False,
)
def is_weak(rows, none):
    return np.array(rows), np.array(none, float)
