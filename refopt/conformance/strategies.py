"""Hypothesis strategies for linear algebra that keep conditioning under control.

A matrix is drawn as a *spectrum* and a *seed* for its basis. The spectrum is bounded, so a tolerance
c·eps·kappa holds for every example; the seed 0 means the standard basis, so failures shrink to diagonal
matrices that a reader can follow by hand.
"""

from typing import Any

import numpy as np
from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]
"""Where a size is asked for, an int fixes it and a strategy draws it."""

sizes: Strategy = st.integers(1, 6)
several: Strategy = st.integers(2, 6)
seeds: Strategy = st.integers(0, 2**16)


def _drawn(draw: Any, size: int | Strategy) -> int:
    return size if isinstance(size, int) else draw(size)


def basis(n: int, seed: int) -> np.ndarray:
    """An orthogonal (n, n) matrix; the identity for seed 0."""
    if seed == 0:
        return np.eye(n)
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    return q * np.sign(np.diag(r))


@st.composite
def orthogonal(draw: Any, n: int | Strategy = sizes) -> np.ndarray:
    """An orthogonal (n, n) matrix."""
    return basis(_drawn(draw, n), draw(seeds))


@st.composite
def vectors(draw: Any, n: int | Strategy = sizes, bound: float = 10.0) -> np.ndarray:
    """An (n,) vector with entries in [−bound, bound], none so tiny that its square underflows."""
    entry = st.floats(-bound, bound).filter(lambda value: value == 0 or abs(value) > 1e-6)
    size = _drawn(draw, n)
    return np.array(draw(st.lists(entry, min_size=size, max_size=size)))


@st.composite
def nonzero_vectors(draw: Any, n: int | Strategy = sizes, bound: float = 10.0) -> np.ndarray:
    """An (n,) vector of norm at least 1e-3."""
    return draw(vectors(n, bound).filter(lambda v: np.linalg.norm(v) >= 1e-3))


@st.composite
def spectra(draw: Any, n: int | Strategy = sizes, condition: float = 1e4) -> np.ndarray:
    """(n,) numbers in [1, condition], spread evenly over the orders of magnitude."""
    size = _drawn(draw, n)
    exponent = st.floats(0, float(np.log10(condition)))
    return 10.0 ** np.array(draw(st.lists(exponent, min_size=size, max_size=size)))


def _symmetric(q: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
    product = (q * eigenvalues) @ q.T
    return (product + product.T) / 2  # symmetric to the last bit


@st.composite
def spd(draw: Any, n: int | Strategy = sizes, condition: float = 1e4) -> np.ndarray:
    """A symmetric positive definite (n, n) matrix with eigenvalues in [1, condition]."""
    eigenvalues = draw(spectra(n, condition))
    return _symmetric(basis(eigenvalues.size, draw(seeds)), eigenvalues)


@st.composite
def symmetric_indefinite(draw: Any, n: int | Strategy = several, condition: float = 1e4) -> np.ndarray:
    """A symmetric (n, n) matrix, n ≥ 2, with eigenvalues of both signs and moduli in [1, condition]."""
    moduli = draw(spectra(n, condition))
    free = moduli.size - 2  # one of either sign is given
    signs = [-1.0, 1.0, *draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=free, max_size=free))]
    return _symmetric(basis(moduli.size, draw(seeds)), signs * moduli)


@st.composite
def full_rank(
    draw: Any, m: int | Strategy | None = None, n: int | Strategy = sizes, condition: float = 1e3
) -> np.ndarray:
    """An (m, n) matrix with min(m, n) singular values in [1, condition]; by default n ≤ m ≤ n + 4."""
    columns = _drawn(draw, n)
    rows = _drawn(draw, st.integers(columns, columns + 4) if m is None else m)
    rank = min(rows, columns)
    singular_values = draw(spectra(rank, condition))
    return (basis(rows, draw(seeds))[:, :rank] * singular_values) @ basis(columns, draw(seeds))[:, :rank].T


scales: Strategy = st.integers(-40, 40).map(lambda k: 2.0**k)
"""Powers of two: multiplying by one rounds nothing."""
