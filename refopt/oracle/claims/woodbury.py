"""Inverses of low-rank changes: a system in as many unknowns as there are outputs, in place of parameters."""

from refopt.oracle.claim import claim
from refopt.oracle.draw import condition, eye, inverse, size, solve

GOLUB = "G. H. Golub & C. F. Van Loan, Matrix Computations, 4th ed., §2.1"
EGN = "M. Korbit et al., Exact Gauss-Newton optimization for training deep neural networks, arXiv:2405.14402"
SOLVED = "each solve loses eps κ, and each product the size of its terms"


def changed(draw):
    """A + UCV, both A and C positive definite."""
    n, k = draw.size(2), draw.size(1, 2)
    A, C, U = draw.spd(n, 1e2), draw.spd(k, 1e2), draw.matrix(n, k)
    return {"A": A, "U": U, "C": C}


def summed(A, U, C):
    """The size of the factors whose product is the second term, with the conditions of what is inverted."""
    core = inverse(C) + U.T @ inverse(A) @ U
    product = (size(inverse(A)) * size(U)) ** 2 * size(inverse(core))
    return (
        (size(inverse(A)) + product)
        * (condition(A) + condition(core) + condition(C))
        * (size(A) + size(U) ** 2 * size(C))
    )


@claim(
    "woodbury.identity",
    "(A + UCUᵀ)⁻¹ = A⁻¹ − A⁻¹U (C⁻¹ + UᵀA⁻¹U)⁻¹ UᵀA⁻¹",
    GOLUB,
    changed,
    given="A, C ≻ 0 here; in general all the inverses must exist",
    scale=summed,
    because=SOLVED,
)
def identity(A, U, C):
    inside = inverse(A)
    found = inside - inside @ U @ inverse(inverse(C) + U.T @ inside @ U) @ U.T @ inside
    return (A + U @ C @ U.T) @ found - eye(A)


def one_vector(draw):
    A, u = draw.spd(n := draw.size(), 1e2), draw.vector(n)
    return {"A": A, "u": u}


@claim(
    "woodbury.sherman-morrison",
    "(A + uuᵀ)⁻¹ = A⁻¹ − A⁻¹uuᵀA⁻¹/(1 + uᵀA⁻¹u): an inverse grows by one gradient in O(n²)",
    GOLUB,
    one_vector,
    given="A ≻ 0",
    scale=lambda A, u: (
        condition(A) * (size(A) + size(u) ** 2) * size(inverse(A)) * (1 + size(u) ** 2 * size(inverse(A)))
    ),
    because=SOLVED,
)
def sherman_morrison(A, u):
    v = solve(A, u)
    found = inverse(A) - v[:, None] * v / (1 + u @ v)
    return (A + u[:, None] * u) @ found - eye(A)


def outputs(draw):
    """J of m outputs in n parameters, H of the loss, semidefinite with a null vector as for a softmax, and λ > 0."""
    m, n = draw.size(2, 4), draw.size(1, 4)
    J, r, lam = draw.matrix(m, n), draw.vector(m), draw.number(0.5, 9)
    p = (odds := abs(draw.vector(m)) + draw.number(0, 1)) / odds.sum()
    H = draw.array(0 * p)[:, None] * p + eye(J @ J.T) * p[:, None] - p[:, None] * p
    return {"J": J, "H": H, "r": r, "lam": lam}


def push_through_scale(J, H, r, lam):
    A, B = J.T @ H @ J + lam * eye(J.T @ J), H @ J @ J.T + lam * eye(J @ J.T)
    return (condition(A) + condition(B)) * size(J) * size(r) * size(inverse(B))


@claim(
    "woodbury.push-through",
    "(JᵀHJ + λI)⁻¹Jᵀr = Jᵀ(HJJᵀ + λI)⁻¹r: a damped Gauss-Newton step from a system of the size of the outputs",
    EGN,
    outputs,
    given="H ⪰ 0, λ > 0; the second matrix is not symmetric",
    scale=push_through_scale,
    because=SOLVED,
)
def push_through(J, H, r, lam):
    wide, narrow = J.T @ H @ J + lam * eye(J.T @ J), H @ J @ J.T + lam * eye(J @ J.T)
    return solve(wide, J.T @ r) - J.T @ solve(narrow, r)
