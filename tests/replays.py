"""Problems whose runs are replayed, and the library's own runs on them."""

from itertools import islice

import numpy as np
from scipy.optimize import rosen, rosen_der, rosen_hess

import refopt
from refopt.catalogue import available

PROBLEM = refopt.Problem(rosen, rosen_der, rosen_hess)
START = np.array([-1.2, 1.0, 0.5])
FIT = refopt.zoo.get("nist:Misra1a", start=1)


def states_of(name, steps=12):
    """The states of the library's own run, and its problem."""
    entry = available()[name]
    problem, x0 = (PROBLEM, START) if entry.door == "minimize" else (FIT.problem, FIT.x0)
    return problem, list(islice(refopt.iterate(entry.module, problem, x0, entry.module.Params()), steps))
