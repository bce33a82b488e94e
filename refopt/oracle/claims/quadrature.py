"""Lanczos' iteration as Gauss quadrature."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import with_spectrum

GM = "G. H. Golub & G. Meurant, Matrices, Moments and Quadrature with Applications, ch. 3 and 6"
USES = ("linalg.lanczos", "linalg.quadrature")
FULL = "the basis is orthogonal to rounding; ‖A‖ ≤ 1"


def iterated(draw, lanczos, quadrature):
    """Spread eigenvalues in [−1, 1], a unit vector q with all of them, k < n steps, and moments qᵀAʲq, j ≤ 2k.

    The iteration begins with a multiple of q.
    """
    n = draw.size(3, 6)
    k = int(draw.rng.integers(1, min(n, 4)))
    V = draw.orthogonal(n)
    values = np.linspace(-1, 1, n) + draw.rng.uniform(-0.2, 0.2, n) / n
    A, q = with_spectrum(V, values), V @ draw.rng.choice([-1.0, 1.0], n) / n**0.5
    T = lanczos(lambda v: A @ v, draw.magnitude() * q, k)
    nodes, weights = quadrature(T.alpha, T.beta)
    powers = [q]
    for _ in range(2 * k):
        powers.append(A @ powers[-1])
    return {
        "A": A, "q": q, "k": k, "T": tuple(T), "nodes": nodes, "weights": weights, "moments": np.array(powers) @ q,
    }  # fmt: skip


def sums(nodes, weights, k):
    """Σ w θʲ for j = 0 … 2k."""
    return np.array([weights @ nodes**j for j in range(2 * k + 1)])


@claim(
    "quadrature.degree",
    "k steps of Lanczos from q give qᵀf(A)q = Σ τ²f(θ) exactly for polynomials f",
    GM,
    iterated,
    "conditional",
    given="of degree 2k − 1 at most; for f = θ²ᵏ the error is β₁² ⋯ βₖ²",
    uses=USES,
    scale=lambda A: 10.0,
    because=FULL,
    exact=False,
    fails=(
        Fails(
            "degree 2k, and more than k eigenvalues",
            iterated,
            lambda nodes, weights, moments, k: sums(nodes, weights, k)[-1] - moments[-1],
        ),
    ),
)
def degree(nodes, weights, moments, k):
    return (sums(nodes, weights, k) - moments)[:-1]


def last_components(draw, lanczos, quadrature):
    """The squares of the last entries of the eigenvectors of T in place of the first."""
    made = iterated(draw, lanczos, quadrature)
    while made["k"] < 2:
        made = iterated(draw, lanczos, quadrature)
    alpha, beta, _ = made["T"]
    S = np.linalg.eigh(np.diag(alpha) + np.diag(beta, 1) + np.diag(beta, -1))[1]
    return made | {"wrong": S[-1] ** 2}


@claim(
    "quadrature.weights",
    "The weights are the squares of the last entries of the eigenvectors of T",
    GM,
    last_components,
    "false",
    corrected="Of the first entries, for q is the first vector of the basis; they are positive with the sum 1",
    uses=USES,
    scale=lambda A: 10.0,
    because=FULL,
    exact=False,
    fails=(
        Fails(
            "as stated",
            last_components,
            lambda nodes, wrong, moments, k: (sums(nodes, wrong, k) - moments)[:-1],
        ),
    ),
)
def weights_are(nodes, weights, moments):
    return weights.sum() - 1, weights @ nodes - moments[1], np.minimum(weights, 0)


@claim(
    "quadrature.basis",
    "The basis stays orthonormal, QQᵀ = I, and QAQᵀ is the tridiagonal T",
    GM + "; with full reorthogonalisation",
    iterated,
    uses=("linalg.lanczos", "linalg.quadrature"),
    scale=lambda A: 10.0,
    because=FULL,
    exact=False,
)
def basis(A, q, T):
    alpha, beta, Q = T
    return Q @ Q.T - np.eye(len(Q)), Q @ A @ Q.T - np.diag(alpha) - np.diag(beta, 1) - np.diag(beta, -1), Q[0] - q


def dominated(draw, lanczos):
    """One eigenvalue 1, the others of 1e-7 and less: what is new in a product is drowned in what is not."""
    n = draw.size(6, 12)
    values = draw.positive(n, 10)
    values *= 1e-7 / values.max()
    values[0] = 1.0
    A, q = with_spectrum(draw.orthogonal(n), values), draw.vector(n)
    T = lanczos(lambda v: A @ v, q, n)
    return {"A": A, "q": q / np.linalg.norm(q), "T": tuple(T)}


@claim(
    "quadrature.reorthogonalised",
    "Orthogonalised twice against all of it, the basis is orthonormal, though one eigenvalue dwarf the others",
    GM + "; B. N. Parlett, The Symmetric Eigenvalue Problem, §6.9 (twice is enough)",
    dominated,
    given="QAQᵀ is the tridiagonal T, to rounding of ‖A‖",
    uses=("linalg.lanczos",),
    scale=lambda A: 10.0,
    because=FULL,
    exact=False,
)
def reorthogonalised(A, q, T):
    return basis.residual(A, q, T)


def ended(draw, lanczos, quadrature):
    """q with parts along j of n eigenvectors, of eigenvalues far apart; A in any unit."""
    n = draw.size(3, 8)
    j, unit = int(draw.rng.integers(1, n)), 2.0 ** int(draw.rng.integers(-60, 60))
    values = np.where(np.arange(n) == 0, 1.0, 0.1 * np.arange(n) / n)
    V = draw.orthogonal(n)
    A, q = with_spectrum(V, unit * values), V[:, :j] @ draw.rng.choice([-1.0, 1.0], j)
    T = lanczos(lambda v: A @ v, q, n)
    nodes, weights = quadrature(T.alpha, T.beta)
    return {"steps": len(T.alpha) - j, "nodes": nodes / unit, "values": np.sort(values[:j]), "weights": weights}


@claim(
    "quadrature.ends",
    "The iteration ends where the Krylov space of q cannot grow: after as many steps as q has parts along eigenvectors",
    GM,
    ended,
    given="βⱼ ≤ 10 n eps‖A‖ is rounding; then the nodes are those eigenvalues, here with equal weights",
    uses=USES,
    scale=lambda: 10.0,
    because=FULL,
    exact=False,
)
def ends(steps, nodes, values, weights):
    if steps:
        return float(steps)
    return np.array([nodes - values, weights - 1 / len(values)])
