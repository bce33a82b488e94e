"""Block-tridiagonal K-FAC, whose inverse is what is block-tridiagonal."""

from itertools import pairwise

import numpy as np

from refopt.curvature import BlockDiagonal, BlockTridiagonal, Kron
from refopt.curvature.tridiagonal import Link
from refopt.linalg import kron
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.kronecker import KFAC
from refopt.oracle.draw import condition, eye, inverse, least, size


def tridiagonal(sizes, A, G):
    """F̂ (P, P) and its inverse, of A = (Aᵢⱼ) and G = (Gᵢⱼ) in blocks of sizes (k, 2): inputs and outputs."""
    F = matrix(sizes, A, G)
    one = np.eye(F.shape[0])
    return F.dense(), F.solve(one)


def matrix(sizes, A, G):
    p, q = places(sizes[:, 0]), places(sizes[:, 1])
    blocks = tuple(Kron(A[i, i], G[j, j]) for i, j in zip(p, q, strict=True))
    links = tuple(
        Link(k, k + 1, A[p[k], p[k + 1]], G[q[k], q[k + 1]]) for k in range(len(blocks) - 1)
    )  # fmt: skip
    return BlockTridiagonal(BlockDiagonal(blocks), links)


def places(sizes):
    ends = np.cumsum([0, *sizes])
    return [slice(int(i), int(j)) for i, j in pairwise(ends)]


def chain(draw, tridiagonal):
    """Three layers, with A and G of all of them together positive definite; F̃ has the blocks Gᵢⱼ ⊗ Aᵢⱼ."""
    sizes = np.array([[draw.size(1, 2), draw.size(1, 2)] for _ in range(3)])
    A, G = (draw.spd(int(n), 10.0) for n in sizes.sum(axis=0))
    A, G = A / size(A), G / size(G)
    p, q = places(sizes[:, 0]), places(sizes[:, 1])
    F = np.block([[kron(G[q[i], q[j]], A[p[i], p[j]]) for j in range(3)] for i in range(3)])
    close, inside = tridiagonal(sizes, A, G)
    k = np.prod(sizes, axis=1)
    return {"k": k, "F": F, "close": close, "inside": inside, "worst": (condition(A) * condition(G)) ** 2}


def cut(k, F, close):
    """F̃ beyond the band, where F̃ cut to its band has nothing and F̂ has."""
    far = close[: k[0], k[0] + k[1] :]
    return far / size(close)


def coupled(draw, tridiagonal):
    made = chain(draw, tridiagonal)
    return made if size(cut(made["k"], made["F"], made["close"])) > 1e-4 else coupled(draw, tridiagonal)


@claim(
    "kfac.tridiagonal",
    "Block-tridiagonal K-FAC is the band of the matrix with the blocks Gᵢⱼ ⊗ Aᵢⱼ",
    KFAC + "§4.3",
    chain,
    "imprecise",
    corrected="It agrees with it on the band, is positive definite and dense; its inverse is block-tridiagonal",
    uses=("kfac_tridiagonal.tridiagonal",),
    scale=lambda worst: worst,
    because="each inverse of a block loses eps κ",
    exact=False,
    fails=(Fails("as stated: nothing beyond the band", coupled, cut, exact=False),),
)  # fmt: skip
def bands(k, F, close, inside):
    gap, first, last = close - F, slice(0, k[0] + k[1]), slice(k[0], None)
    far = inside[: k[0], k[0] + k[1] :]
    definite = min(0.0, least((close + close.T) / 2))
    return gap[first, first], gap[last, last], far, close @ inside - eye(close), definite


def pencils(draw):
    """A = K⁻ᵀK⁻¹, C = K⁻ᵀ diag(s) K⁻¹ and B, D likewise, with st < 1."""
    made: dict[str, np.ndarray] = {}
    for matrix, other, vectors, weights in (("A", "C", "K", "s"), ("B", "D", "L", "t")):
        n = draw.size(1, 3)
        K = draw.spd(n, 10) @ draw.orthogonal(n)
        inside, s = inverse(K), draw.array([f"{int(i)}/10" for i in draw.rng.integers(0, 10, n)])
        made |= {matrix: inside.T @ inside, other: (inside.T * s) @ inside, vectors: K, weights: s}
    return made


@claim(
    "kfac.difference-of-products",
    "(A ⊗ B − C ⊗ D)⁻¹ = (K ⊗ L)(I − diag(s) ⊗ diag(t))⁻¹(K ⊗ L)ᵀ",
    KFAC + "appendix B",
    pencils,
    given="KᵀAK = I, KᵀCK = diag(s), LᵀBL = I, LᵀDL = diag(t), and all sᵢtⱼ < 1",
    scale=lambda A, B: 10 * (condition(A) * condition(B)) ** 2,
    because="both vectors and matrices are known to eps κ",
)
def difference(A, B, C, D, K, L, s, t):
    vectors = kron(K, L)
    rest = 1 - s[:, None] * t[None, :]
    return (kron(A, B) - kron(C, D)) @ (vectors / rest.reshape(-1)) @ vectors.T - eye(kron(A, B))
