"""Curvature matrices: their structure, products and solves, and what products alone tell of them."""

from refopt.curvature import operators
from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.chained import kfac_tridiagonal
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
from refopt.curvature.eigenbasis import Corrected, ekfac
from refopt.curvature.factored import kfac
from refopt.curvature.information import fisher_from_log_prob
from refopt.curvature.kron import Dense, Kron
from refopt.curvature.moments import GradientMoments, gradient_moments
from refopt.curvature.nearest import Nearest, kfoc
from refopt.curvature.pieces import Diagonal, Reordered, column_stacked
from refopt.curvature.report import Report, kfac_report
from refopt.curvature.spectra import spectrum
from refopt.curvature.traces import hutchinson, trace, xdiag
from refopt.curvature.tridiagonal import BlockTridiagonal

__all__ = [
    "BlockDiagonal",
    "BlockTridiagonal",
    "Corrected",
    "Dense",
    "Diagonal",
    "GradientMoments",
    "Kron",
    "Nearest",
    "Reordered",
    "Report",
    "block_diagonal",
    "column_stacked",
    "diagonal",
    "ekfac",
    "fisher",
    "fisher_from_log_prob",
    "functional_hessian",
    "ggn",
    "gradient_moments",
    "hessian",
    "hutchinson",
    "jacobian",
    "kfac",
    "kfac_report",
    "kfac_tridiagonal",
    "kfoc",
    "ntk",
    "operators",
    "solve",
    "spectrum",
    "trace",
    "xdiag",
]
