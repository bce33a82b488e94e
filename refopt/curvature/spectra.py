"""The spectrum of a symmetric A that is known through products: stochastic Lanczos quadrature.

    zᵀf(A)z / zᵀz  ≈  Σⱼ τⱼ² f(θⱼ)                      θⱼ, τⱼ from k steps of Lanczos from the probe z
    tr f(A)  ≈  (n/m) Σ over m probes of Σⱼ τⱼ² f(θⱼ)    for probes with E[zzᵀ] = I, such as random signs

S. Ubaru, J. Chen & Y. Saad, *SIAM J. Matrix Anal. Appl.* 38 (2017) 1075; Lanczos as in ``refopt.linalg.lanczos``.
Cost: mk products and 4mk²n flops.

For one probe the sum is exact for polynomials f of degree 2k − 1; where k reaches the number of distinct eigenvalues,
for every f. What remains is the variance over probes.
"""

from typing import Any, NamedTuple

import numpy as np

from refopt.linalg.arrays import created, symmetric
from refopt.linalg.lanczos import lanczos, quadrature
from refopt.linalg.operators import operator, probe_matrix
from refopt.ops import Vector

COUNT = 8  #: probes where nothing is said


class Spectrum(NamedTuple):
    """Nodes θ and weights w with  tr f(A) ≈ Σ w f(θ):  Σ w = n.   Probe after probe, the nodes of each ascending."""

    nodes: Vector
    weights: Vector


def spectrum(A: Any, k: int, probes: Any = None, rng: Any = None, n: Any = None) -> Spectrum:
    """At most mk nodes and weights, from k steps of Lanczos for each of m probes; fewer where a Krylov space ends.

    A: symmetric, of the kinds that ``refopt.linalg.operator`` takes.   probes: how many random signs (8), with `rng`, a
    Generator or a seed; or the probes themselves, (n, m): their lengths do not matter.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1: it is the number of products for each probe; it is {k}")
    op = operator(symmetric(A) if not (hasattr(A, "matvec") or hasattr(A, "toarray") or callable(A)) else A, n)
    Z = probe_matrix(op, probes, rng, COUNT)
    m, nodes, weights = Z.shape[1], list[np.ndarray](), list[np.ndarray]()
    for i in range(m):
        T = lanczos(op.matvec, Z[:, i], int(k))
        theta, w = quadrature(T.alpha, T.beta)
        nodes.append(theta)
        weights.append(op.n / m * w)
    return Spectrum(created(np.concatenate(nodes), Z), created(np.concatenate(weights), Z))
