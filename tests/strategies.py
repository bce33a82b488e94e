"""The strategies of the conformance kit, by a short name."""

from refopt.conformance.strategies import (
    Strategy,
    basis,
    full_rank,
    nonzero_vectors,
    orthogonal,
    scales,
    seeds,
    several,
    sizes,
    spd,
    spectra,
    symmetric_indefinite,
    vectors,
)

__all__ = [
    "Strategy",
    "basis",
    "full_rank",
    "nonzero_vectors",
    "orthogonal",
    "scales",
    "seeds",
    "several",
    "sizes",
    "spd",
    "spectra",
    "symmetric_indefinite",
    "vectors",
]
