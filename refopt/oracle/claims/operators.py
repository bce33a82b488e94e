"""What multiplies vectors, whatever it is made of; and random signs as probes."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator

from refopt.oracle.claim import claim
from refopt.oracle.draw import bulk

KINDS = (
    lambda A: A, csr_array, aslinearoperator, lambda A: aslinearoperator(csr_array(A)),
)  # fmt: skip


def multiplied(draw, operator):
    """A matrix, sparse or not, an operator; or a function, which is taken to be symmetric."""
    n, k = draw.size(), int(draw.rng.integers(1, 4))
    A, V, W = draw.matrix(n, n), draw.matrix(n, k), draw.matrix(n, k)
    kind = int(draw.rng.integers(1 if draw.exact else len(KINDS) + 1))
    if kind == len(KINDS):
        A = A + A.T
        made = operator(lambda v: A @ v, V[:, 0])
    else:
        made = operator(KINDS[kind](A))
    return {"A": A, "V": V, "W": W, "AV": made.matmat(V), "AtW": made.rmatmat(W), "Av": made.matvec(V[:, 0])}


@claim(
    "operators.adjoint",
    "(AV)ᵀW = Vᵀ(AᵀW), whatever the products are made of",
    "G. H. Golub & C. F. Van Loan, Matrix Computations, 4th ed., §1.1 and §1.2",
    multiplied,
    given="a function v ↦ Av has only A = Aᵀ",
    uses=("linalg.operator",),
    scale=lambda A, V, W: bulk(A) * (bulk(V) + bulk(W)),
    because="sums of n products",
)
def adjoint(A, V, W, AV, AtW, Av):
    return AV - A @ V, AtW - A.T @ W, Av - (A @ V)[:, 0]


def signs(draw, probe_matrix, operator):
    n, k = draw.size(2), 4000
    return {"Z": probe_matrix(operator(np.eye(n)), k, int(draw.rng.integers(2**32)), 1), "n": n, "k": k}


@claim(
    "operators.probes",
    "Random signs: z² = 1 in every entry, E z = 0 and E zzᵀ = I",
    "M. F. Hutchinson, Commun. Stat. Simul. Comput. 18 (1989) 1059; W. Hoeffding, J. Am. Stat. Assoc. 58 (1963) 13",
    signs,
    given="means of k = 4000, within ½ of what they should be: a sum of k signs exceeds k/2 with probability e^{−k/8}",
    uses=("linalg.operators.probe_matrix", "linalg.operator"),
    scale=lambda: 1.0,
    because="signs and sums of them are integers",
    exact=False,
)
def probes(Z, n, k):
    apart = Z @ Z.T / k - np.eye(n)
    off = max(abs(Z.sum(1) / k).max(), abs(apart).max())
    return abs(Z) - 1, np.array(Z.shape) - np.array([n, k]), max(off - 0.5, 0.0)
