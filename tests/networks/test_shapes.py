"""Convolutions and attention of drawn shapes: outputs beside loops, and tangents and cotangents beside each other."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from networks import independent as plain
from refopt.networks import Conv2d, SelfAttention

EPS = 2.0**-52
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def adjoint(layer, x, X, rng):
    """uᵀ(Jv) = (Jᵀu)ᵀv in parameters and inputs alike, to the rounding of its terms."""
    p, found = layer.nested(x), []
    y, tape = layer.forward(p, X)
    dx, dX, u = rng.standard_normal(x.size), rng.standard_normal(X.shape), rng.standard_normal(y.shape)
    dy, _ = layer.jvp(p, tape, layer.nested(dx), dX)
    v = layer.vjp(p, tape, u, lambda leaf, *tapes: found.append(leaf.sums(*tapes)))
    gradient = layer.flat(found)
    scale = (
        np.abs(u).ravel() @ np.abs(dy).ravel() + np.abs(gradient) @ np.abs(dx) + np.abs(v).ravel() @ np.abs(dX).ravel()
    )
    assert abs(np.vdot(u, dy) - gradient @ dx - np.vdot(v, dX)) <= 1e3 * EPS * scale


@given(
    groups=st.integers(1, 3), per_group=pairs, kernel=pairs, stride=pairs, dilation=pairs,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)), size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    seed=st.integers(0, 2**16),
)  # fmt: skip
def test_a_convolution(groups, per_group, kernel, stride, dilation, padding, size, seed):
    room = [n + 2 * p - d * (k - 1) for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)]
    assume(min(room) >= 1)
    inputs, outputs = groups * per_group[0], groups * per_group[1]
    layer, rng = Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups), np.random.default_rng(seed)
    x, X = rng.standard_normal(layer.size), rng.standard_normal((2, inputs, *size))
    W, b = layer.unravel(x).values()
    theirs = plain.conv2d(W, b, X, stride, padding, dilation, groups)
    np.testing.assert_allclose(layer(x, X), theirs, rtol=0, atol=100 * EPS * max(1.0, np.abs(theirs).max()))
    adjoint(layer, x, X, rng)


@given(
    N=st.integers(1, 3), T=st.integers(1, 4), heads=st.integers(1, 3), e=st.integers(1, 3), causal=st.booleans(),
    seed=st.integers(0, 2**16),
)  # fmt: skip
def test_attention(N, T, heads, e, causal, seed):
    layer, rng = SelfAttention(heads * e, heads, causal), np.random.default_rng(seed)
    x, X = rng.standard_normal(layer.size), rng.standard_normal((N, T, heads * e))
    theirs = plain.attention(*layer.unravel(x).values(), X, heads, causal)
    np.testing.assert_allclose(layer(x, X), theirs, rtol=0, atol=1e4 * EPS * max(1.0, np.abs(theirs).max()))
    adjoint(layer, x, X, rng)
