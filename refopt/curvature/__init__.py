"""Curvature matrices: their structure, products and solves, and what products alone tell of them."""

from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.chained import kfac_tridiagonal
from refopt.curvature.eigenbasis import Corrected, ekfac
from refopt.curvature.factored import kfac
from refopt.curvature.kron import Dense, Kron
from refopt.curvature.nearest import Nearest, kfoc
from refopt.curvature.pieces import Diagonal, Reordered
from refopt.curvature.report import Report, kfac_report
from refopt.curvature.spectra import spectrum
from refopt.curvature.traces import hutchinson, trace, xdiag
from refopt.curvature.tridiagonal import BlockTridiagonal

__all__ = [
    "BlockDiagonal", "BlockTridiagonal", "Corrected", "Dense", "Diagonal", "Kron", "Nearest", "Reordered", "Report",
    "ekfac", "hutchinson", "kfac", "kfac_report", "kfac_tridiagonal", "kfoc", "spectrum", "trace", "xdiag",
]  # fmt: skip
