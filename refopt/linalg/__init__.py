"""Linear algebra that the methods and the curvature matrices share."""

from refopt.linalg.kronecker import commutation, kron, row, vec
from refopt.linalg.lanczos import lanczos, quadrature
from refopt.linalg.operators import operator
from refopt.linalg.power import power_iteration
from refopt.linalg.roots import inverse_root, newton_start, newton_step

__all__ = [
    "commutation", "inverse_root", "kron", "lanczos", "newton_start", "newton_step", "operator", "power_iteration",
    "quadrature", "row", "vec",
]  # fmt: skip
