"""How long a diagnosis takes at a thousand parameters, where nothing explains the matrix and all is tried."""

import numpy as np
import pytest

import refopt
from refopt import curvature
from refopt.networks import Linear, Sequential, Tanh
from refopt.oracle import diagnose


@pytest.mark.slow
def test_a_diagnosis_at_a_thousand_parameters(benchmark):
    """Ten seconds are asked."""
    draw = np.random.default_rng(0)
    net = Sequential(Linear(20, 32), Tanh(), Linear(32, 10))
    problem = refopt.Supervised(net, "cross-entropy", draw.standard_normal((200, 20)), draw.integers(0, 10, 200))
    x, noise = net.init(draw), draw.standard_normal((net.size, net.size))
    H = curvature.hessian(problem, x)
    theirs = H + 0.3 * np.abs(H).mean() * (noise + noise.T)
    found = benchmark(diagnose, theirs, problem, x)
    assert "Nothing explains yours. The closest is the Hessian" in found.sentence
