"""The way out of a saddle that is seen through products only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refopt.inexact import way
from refopt.krylov import truncated
from refopt.problem import Problem
from strategies import nonzero_vectors, spd, symmetric_indefinite


def found(B, g, x, f=0.0, first=0.0):
    problem = Problem(None, hvp=lambda x, p: B @ p)
    return way(problem, x, f, g, first, truncated(problem, x, g, 0.1)), truncated(problem, x, g, 0.1)


@given(symmetric_indefinite(condition=1e3), st.floats(0.01, 100.0))
def test_at_a_saddle_it_goes_along_negative_curvature_as_far_as_f_has_fallen(B, fallen):
    x = np.zeros(len(B))
    out, _ = found(B, 0 * x, x, -fallen, 0.0)
    assert out.gain == np.inf
    assert out.bend < 0
    assert out.bend == pytest.approx(out.p @ B @ out.p, rel=1e-9)
    curvature = out.bend / (out.p @ out.p)
    assert np.linalg.norm(out.p) == pytest.approx(max((2 * fallen / -curvature) ** 0.5, 0.0), rel=1e-6)


@given(st.data(), st.integers(2, 5))
def test_elsewhere_it_is_the_direction_that_was_found(data, n):
    B, g = data.draw(spd(n, 1e2)), data.draw(nonzero_vectors(n))
    out, newton = found(B, g, np.ones(n))
    assert (out.p == newton.p).all()
    assert (out.bend, out.gain, out.products) == (0.0, newton.gain, newton.products)
