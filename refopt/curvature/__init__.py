"""Curvature matrices: their structure, products and solves, and what products alone tell of them."""

from refopt.curvature import operators
from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.dense import (
    block_diagonal,
    diagonal,
    fisher,
    functional_hessian,
    ggn,
    hessian,
    jacobian,
    ntk,
    solve,
)
from refopt.curvature.information import fisher_from_log_prob
from refopt.curvature.kron import Dense, Kron
from refopt.curvature.moments import GradientMoments, gradient_moments
from refopt.curvature.spectra import spectrum
from refopt.curvature.traces import hutchinson, trace, xdiag

__all__ = [
    "BlockDiagonal",
    "Dense",
    "GradientMoments",
    "Kron",
    "block_diagonal",
    "diagonal",
    "fisher",
    "fisher_from_log_prob",
    "functional_hessian",
    "ggn",
    "gradient_moments",
    "hessian",
    "hutchinson",
    "jacobian",
    "ntk",
    "operators",
    "solve",
    "spectrum",
    "trace",
    "xdiag",
]
