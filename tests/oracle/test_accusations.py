"""A thousand right runs and matrices, each changed by rounding: none is called wrong.   pytest -m deep"""

from itertools import islice

import numpy as np
import pytest

import refopt
from refopt import curvature
from refopt.catalogue import available
from refopt.networks import Linear, Sequential, Tanh
from refopt.oracle import diagnose, replay

pytestmark = pytest.mark.deep
RUNS = ["bfgs", "dfp", "broyden", "l-bfgs", "newton", "saddle-free-newton", "modified-newton", "trust-exact",
        "trust-dogleg", "trust-ncg", "trust-krylov", "newton-cg"]  # fmt: skip
PROBLEMS = ["rosenbrock", "mgh:wood", "mgh:powell singular", "quartic"]
KINDS = {"hessian": curvature.hessian, "ggn": curvature.ggn}


def rounded(values, rng):
    return values * (1 + 2.0**-52 * rng.integers(-2, 3, values.shape))


@pytest.mark.parametrize("method", RUNS)
def test_six_hundred_runs(method):
    wrong = []
    for k in range(50):
        rng = np.random.default_rng([k, len(method)])
        case = refopt.zoo.get([name for name in PROBLEMS if name in refopt.zoo.names()][k % 3])
        module = available()[method].module
        x0 = np.asarray(case.x0) + 0.1 * rng.standard_normal(len(case.x0))
        states = islice(refopt.iterate(module, case.problem, x0, module.Params()), 15)
        found = replay(method, case.problem, [rounded(s.x, rng) for s in states])
        if found.verdict == "disagrees":
            wrong.append((k, found.sentence))
    assert not wrong


@pytest.mark.parametrize("loss", ["cross-entropy", "squared"])
def test_four_hundred_matrices(loss):
    wrong = []
    for k in range(100):
        rng = np.random.default_rng(k)
        net = Sequential(Linear(3, 4), Tanh(), Linear(4, 2))
        X = rng.standard_normal((15, 3)) * 10.0 ** rng.uniform(-1, 1)
        y = rng.integers(0, 2, 15) if loss == "cross-entropy" else rng.standard_normal((15, 2))
        x = net.init(rng) * 10.0 ** rng.uniform(-1, 1)
        there = refopt.Supervised(net, loss, rounded(X, rng), y)
        for kind, make in KINDS.items():
            found = diagnose(make(there, rounded(x, rng)), refopt.Supervised(net, loss, X, y), x)
            if found.kind not in (kind, "ggn"):
                wrong.append((k, kind, found.sentence))
    assert not wrong
