"""Lanczos' iteration as Gauss quadrature."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import with_spectrum

GM = "G. H. Golub & G. Meurant, Matrices, Moments and Quadrature with Applications, ch. 3 and 6"
USES = ("linalg.lanczos", "linalg.quadrature")
FULL = "the basis is orthogonal to rounding; ‖A‖ ≤ 1"


def iterated(draw, lanczos, quadrature):
    """Spread eigenvalues in [−1, 1], a vector with all of them, k < n steps, and moments qᵀAʲq, j ≤ 2k."""
    n = draw.size(3, 6)
    k = int(draw.rng.integers(1, min(n, 4)))
    V = draw.orthogonal(n)
    values = np.linspace(-1, 1, n) + draw.rng.uniform(-0.2, 0.2, n) / n
    A, q = with_spectrum(V, values), V @ draw.rng.choice([-1.0, 1.0], n) / n**0.5
    T = lanczos(lambda v: A @ v, q, k)
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
