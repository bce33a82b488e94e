"""What the methods take from linear algebra: where eigenvalues are, how they move, and what a solution loses."""

import numpy as np

from refopt import ops
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import CGT, DS, NW
from refopt.oracle.claims.equations import rowsum
from refopt.oracle.draw import condition, excess, eye, inverse, least, size, solve, with_spectrum

EIGENVALUES = "eigenvalues are known to n eps ‖A‖"


# --- eigenvalues -------------------------------------------------------------------------------------------------


def gershgorin(B):
    """min (bᵢᵢ − Σ|bᵢⱼ|) and max (bᵢᵢ + Σ|bᵢⱼ|)."""
    return ops.gershgorin(B)


def circled(draw, gershgorin):
    n = draw.size()
    A = (M := draw.matrix(n, n)) + M.T
    return {"A": A, "bounds": np.array(gershgorin(A))}


@claim(
    "matrices.gershgorin",
    "All eigenvalues of a symmetric matrix lie between min (aᵢᵢ − Σⱼ|aᵢⱼ|) and max (aᵢᵢ + Σⱼ|aᵢⱼ|), j ≠ i",
    "S. Gershgorin, Izv. Akad. Nauk SSSR (1931) 749; " + DS + "§3.5; " + CGT + "§7.3",
    circled,
    uses=("matrices.gershgorin",),
    scale=lambda A: size(A),
    because=EIGENVALUES,
)
def in_circles(A, bounds):
    """The bounds are those, and what is left of A below and above is semidefinite."""
    n, low, high = len(A), bounds[0], bounds[1]
    rows = [sum(abs(A[i, j]) for j in range(n) if j != i) for i in range(n)]
    return (
        low - min(A[i, i] - rows[i] for i in range(n)), high - max(A[i, i] + rows[i] for i in range(n)),
        excess(-least(A - low * eye(A))), excess(-least(high * eye(A) - A)),
    )  # fmt: skip


def moved(draw):
    """A and A + E in floats, with all eigenvalues."""
    n = draw.size()
    A, E = ((M := draw.matrix(n, n)) + M.T for _ in range(2))
    E = E * float(draw.magnitude(2))
    return {"A": A, "E": E, "shifts": np.linalg.eigvalsh(A + E) - np.linalg.eigvalsh(A)}


def unsymmetric(draw):
    """[[0, 1], [t, 0]] for 0 and t: the eigenvalues 0, 0 become ±√t, which is far more than ‖E‖ = t."""
    t = float(draw.number("1/1000", "1/100"))
    return {"gap": np.sqrt(t) / t - 1}


@claim(
    "matrices.weyl",
    "The eigenvalues of A + E are no further from those of A, in their order, than ‖E‖; nor is the sum of squares than "
    "‖E‖²_F",
    "H. Weyl, Math. Ann. 71 (1912) 441; A. J. Hoffman & H. W. Wielandt, Duke Math. J. 20 (1953) 37",
    moved,
    "conditional",
    given="A and E symmetric",
    scale=lambda A, E: (size(A) + size(E), (size(A) + size(E)) ** 2),
    because=EIGENVALUES,
    exact=False,
    fails=(Fails("A and E are not symmetric", unsymmetric, lambda gap: gap, exact=False),),
)
def weyl(E, shifts):
    return excess(abs(shifts) - np.linalg.norm(E, 2)), excess(shifts @ shifts - (E * E).sum())


def rank_one(draw):
    n = draw.size()
    A, v = (M := draw.matrix(n, n)) + M.T, draw.vector(n) * float(draw.magnitude(1))
    return {"A": A, "v": v, "old": np.linalg.eigvalsh(A), "new": np.linalg.eigvalsh(A + np.outer(v, v))}


@claim(
    "matrices.rank-one",
    "A rank-one term vvᵀ interlaces: λ₁ ≤ λ₁₊ ≤ λ₂ ≤ λ₂₊ ≤ … ≤ λₙ ≤ λₙ₊ ≤ λₙ + ‖v‖², and all together rise by ‖v‖²",
    "J. H. Wilkinson, The Algebraic Eigenvalue Problem, Oxford 1965, ch. 2; " + NW + "§6.2 and §6.3 use it",
    rank_one,
    given="A symmetric",
    scale=lambda A, v: size(A) + v @ v,
    because=EIGENVALUES,
    exact=False,
)
def interlaced(v, old, new):
    return (
        excess(old - new), excess(new[:-1] - old[1:]), excess(new[-1] - old[-1] - v @ v), (new - old).sum() - v @ v
    )  # fmt: skip


# --- the least correction ----------------------------------------------------------------------------------------


def corrected(draw):
    """A = QΛQᵀ with a negative eigenvalue, δ > 0, both corrections, and another one, δI − A + CCᵀ."""
    n = draw.size(2)
    Q, values, delta = draw.orthogonal(n), draw.mixed(n), draw.magnitude(1)
    A, C = with_spectrum(Q, values), draw.matrix(n, n) * draw.magnitude(1)
    lacking = excess(delta - values)
    return {
        "A": A, "delta": delta, "v": Q[:, values.argmin()], "E": with_spectrum(Q, lacking), "tau": lacking.max(),
        "other": delta * eye(A) - A + C @ C.T,
    }  # fmt: skip


@claim(
    "matrices.least-correction",
    "The least E with A + E ⪰ δI is Σ (δ − λᵢ)₊ vᵢvᵢᵀ in the Frobenius norm, and (δ − λ₁)₊ I in the spectral norm",
    NW + "§3.4; N. J. Higham, Linear Algebra Appl. 103 (1988) 103",
    corrected,
    given="A symmetric; in the spectral norm others are as short",
    scale=lambda A, E, delta, other: (
        (terms := size(A) + size(E) + float(delta)), terms, terms * size(E), (terms + size(other)) * size(E),
        (terms + size(other)) ** 2, terms + size(other),
    ),
    because=EIGENVALUES,
)  # fmt: skip
def least_correction(A, E, delta, tau, v, other):
    """A + E ⪰ δI, E ⪰ 0, tr E(A + E − δI) = 0 and tr E(A + M − δI) ≥ 0 for all M are what makes E the nearest."""
    dot = lambda M, N: (M * N).sum()
    left = A + E - delta * eye(A)
    return (
        excess(-least(left)), excess(-least(E)), dot(E, left), excess(-dot(E, A + other - delta * eye(A))),
        excess(dot(E, E) - dot(other, other)), excess(tau - v @ other @ v),
    )  # fmt: skip


# --- systems -----------------------------------------------------------------------------------------------------


def disturbed(draw):
    """Ax = b; A(x + δ) = b + e; and (A + E)(x + δ′) = b."""
    n = draw.size()
    A, x, e = draw.full_rank(n, n, 1e2), draw.vector(n), draw.vector(n) * draw.magnitude(2)
    E = draw.matrix(n, n)
    E = E / (2 * rowsum(inverse(A)) * (rowsum(E) + 1))
    return {"A": A, "x": x, "b": A @ x, "e": e, "E": E, "delta": solve(A, e), "other": solve(A + E, A @ x)}


@claim(
    "matrices.condition",
    "Ax = b magnifies relative errors by κ at most: ‖δ‖/‖x‖ ≤ κ ‖e‖/‖b‖ for e in b, ‖δ‖/‖x + δ‖ ≤ κ ‖E‖/‖A‖ for E in A",
    DS + "§3.3",
    disturbed,
    given="κ = ‖A‖‖A⁻¹‖, here in the largest row sum, and A + E invertible",
    scale=lambda A, x, b, e, E, delta, other: (
        condition(A) ** 2 * (size(delta) * size(b) + size(x) * size(e)),
        condition(A) ** 2 * (size(x) + size(other)) * (size(A) + size(E)),
    ),
    because="solves lose eps κ",
)
def conditioned(A, x, b, e, E, delta, other):
    kappa, longest = rowsum(A) * rowsum(inverse(A)), lambda v: abs(v).max()
    return (
        excess(longest(delta) * longest(b) - kappa * longest(x) * longest(e)),
        excess(longest(other - x) * rowsum(A) - kappa * longest(other) * rowsum(E)),
    )
