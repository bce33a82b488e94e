"""Curvature matrices: their structure, products and solves, and what products alone tell of them."""

from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.kron import Dense, Kron
from refopt.curvature.spectra import spectrum
from refopt.curvature.traces import hutchinson, trace, xdiag

__all__ = ["BlockDiagonal", "Dense", "Kron", "hutchinson", "spectrum", "trace", "xdiag"]
