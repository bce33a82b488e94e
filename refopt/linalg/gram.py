"""The inverse of JᵀJ, without forming JᵀJ.

    JD⁻¹ = USVᵀ,   D = diag ‖Jⱼ‖,      (JᵀJ)⁺ = D⁻¹ V S⁻² Vᵀ D⁻¹

Scaling the columns first makes the rank independent of the units of the variables (A. van der Sluis, *Numer. Math.* 14
(1969) 14: no other scaling of them is much better conditioned).
"""

from typing import Any

import numpy as np

from refopt.linalg.arrays import right_singular
from refopt.ops import column_norms, eps, finite, namespace, norm, positive


def inverse_gram(J: Any, noise: float = 0.0) -> tuple[Any, int]:
    """(JᵀJ)⁻¹ (n, n) and the rank of J (m, n); the pseudoinverse D⁻¹ ((JD⁻¹)ᵀJD⁻¹)⁺ D⁻¹ where the rank is below n.

    Singular values of JD⁻¹ count that stand out of rounding, or of the relative noise of J. Where J is not finite: NaN
    and rank 0.   Cost: 4mn² flops.
    """
    xp, norms = namespace(J), positive(column_norms(J))
    if not finite(norm(norms)):
        return np.nan * (norms[:, None] * norms[None, :]), 0
    A = J / norms
    s, Vt = right_singular(xp.linalg.qr(A)[1] if A.shape[0] > 4 * A.shape[1] else A)
    rank = int(xp.count_nonzero(s > max(max(J.shape) * eps(J), noise) * s[0]))
    half = (Vt[:rank, :].T / s[:rank]) / norms[:, None]
    return half @ half.T, rank
