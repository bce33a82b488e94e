"""Problems whose runs are replayed, the library's own runs on them, SciPy's, and literal ones."""

from itertools import islice

import numpy as np
import scipy.optimize
from scipy.optimize import rosen, rosen_der, rosen_hess

import refopt
from refopt.catalogue import available
from refopt.oracle import Recorder, records
from refopt.oracle.rules import Path

PROBLEM = refopt.Problem(rosen, rosen_der, rosen_hess)
START = np.array([-1.2, 1.0, 0.5])
FIT = refopt.zoo.get("nist:Misra1a", start=1)


def states_of(name, steps=12):
    """The states of the library's own run, and its problem."""
    entry = available()[name]
    problem, x0 = (PROBLEM, START) if entry.door == "minimize" else (FIT.problem, FIT.x0)
    return problem, list(islice(refopt.iterate(entry.module, problem, x0, entry.module.Params()), steps))


SCIPYS = {
    "bfgs": "BFGS", "l-bfgs": "L-BFGS-B", "newton-cg": "Newton-CG", "trust-exact": "trust-exact",
    "trust-dogleg": "dogleg", "trust-ncg": "trust-ncg", "trust-krylov": "trust-krylov",
}  # fmt: skip


def scipys(method, **arguments):
    note = Recorder(START)
    hess = None if method in ("BFGS", "L-BFGS-B") else rosen_hess
    scipy.optimize.minimize(rosen, START, jac=rosen_der, hess=hess, method=method, callback=note, **arguments)
    return note


def quasi_newton_run(update, pair=None, learns=None, steps=14, problem=PROBLEM):
    """A literal run with a step of moderate length along −Hg, and the defect's own pair, test or update."""
    H, x, points = np.eye(3), START, [START]
    for k in range(steps):
        g = problem.grad(x)
        p = -H @ g
        x = x + (0.05 + 0.02 * (k % 3)) * p / np.linalg.norm(p)
        points.append(x)
        path = Path(problem, records(points), None)
        s, y = pair(path, k, p) if pair else (path.s(k), path.g(k + 1) - g)
        good = learns(s, y, 1e-10) if learns else y @ s > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y)
        if good:
            H = update(H, s, y)
    return points


def bfgs_update(H, s, y):
    rho, V = 1 / (y @ s), np.eye(3) - np.outer(y, s) / (y @ s)
    return V.T @ H @ V + rho * np.outer(s, s)


def two_loops(S, Y, gamma, g):
    """Nocedal & Wright, Algorithm 7.4, literally."""
    q, a = g.copy(), []
    for s, y in zip(reversed(S), reversed(Y), strict=True):
        a.append((s @ q) / (y @ s))
        q = q - a[-1] * y
    r = gamma * q
    for s, y, ai in zip(S, Y, reversed(a), strict=True):
        r = r + (ai - (y @ r) / (y @ s)) * s
    return r
