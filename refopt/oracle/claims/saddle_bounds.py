"""|H| as the metric of a region, which H itself cannot be, and what |H| is not."""

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.saddle_free import DAUPHIN, absolute
from refopt.oracle.draw import bulk, excess, eye, least, size, solve, with_spectrum


def region(draw):
    """|H| and p with |H|p = −g; and any other direction q."""
    Q, values, g = draw.orthogonal(n := draw.size(2)), draw.mixed(n), draw.vector(n)
    p = -Q @ ((Q.T @ g) / abs(values))
    return {"H": with_spectrum(Q, values), "A": absolute(Q, values), "g": g, "p": p, "q": draw.vector(n)}


def without_limit(draw):
    """H itself as the metric: q along its negative eigenvector, which no bound on qᵀHq limits."""
    made = region(draw)
    Q, values, g = draw.orthogonal(n := draw.size(2)), draw.mixed(n), draw.vector(n)
    H, q = with_spectrum(Q, values), Q[:, 0]
    if abs(float(g @ q)) < 1e-2 * size(g):
        return without_limit(draw)
    return made | {"H": H, "g": g, "p": -solve(H, g), "q": q}


def unlimited(H, g, p, q):
    """1 where p climbs, or else how far q surpasses the bound."""
    return excess((g @ q) ** 2 + (g @ p) * (q @ H @ q)) / (bulk(g) * bulk(q)) ** 2 if g @ p < 0 else 1


@claim(
    "saddle-free.metric",
    "Of all d with dᵀ|H|d ≤ Δ², −|H|⁻¹g times a positive number descends most:   (gᵀq)² ≤ gᵀ|H|⁻¹g · qᵀ|H|q",
    DAUPHIN,
    region,
    "conditional",
    given="H nonsingular; the step is −|H|⁻¹g itself only where Δ² = gᵀ|H|⁻¹g",
    scale=lambda A, g, p, q: (
        size(g) * size(p) * size(A) * size(q) ** 2 + size(g) ** 2 * size(q) ** 2,
        size(A) * size(p) + size(g),
    ),
    because="sums of products of this size; eigenvectors here are orthogonal to rounding",
    fails=(Fails("H in place of |H|", without_limit, unlimited),),
)
def steepest(A, g, p, q):
    return excess((g @ q) ** 2 + (g @ p) * (q @ A @ q)), A @ p + g


def singular(draw):
    Q, values = draw.orthogonal(n := draw.size(2)), draw.mixed(n)
    values[-1] = 0 * values[-1]
    return {"A": absolute(Q, values)}


def nonsingular(draw):
    Q, values = draw.orthogonal(n := draw.size(2)), draw.mixed(n)
    return {"A": absolute(Q, values), "low": abs(values).min()}


@claim(
    "saddle-free.definite",
    "|H| is always positive definite",
    DAUPHIN,
    nonsingular,
    "false",
    corrected="It is positive semidefinite, and singular where H is: |H| ⪰ min|λᵢ| I",
    scale=lambda A: size(A),
    because="eigenvalues are known to n eps ‖H‖",
    fails=(Fails("as stated, H singular", singular, lambda A: int(least(A) <= 1e-12 * size(A))),),
)
def is_definite(A, low):
    return least(A - low * eye(A))  # which is singular


def two_variables(draw):
    """x² − y²: its gradient at 0 and the eigenvalues of its Hessian."""
    c = draw.magnitude(1)
    return {"H": c * draw.array([[2, 0], [0, -2]]), "c": c}


@claim(
    "saddle-free.two-variables",
    "Functions of two variables have no saddles",
    "direct",
    two_variables,
    "false",
    corrected="c(x² − y²) has one at 0, whatever c > 0: eigenvalues 2c and −2c",
    scale=lambda H: size(H) ** 2,
    because="single products",
    fails=(Fails("as stated", two_variables, lambda H: int(least(H) < 0 < H[0, 0])),),
)
def has_saddle(H, c):
    return H[0, 0] * H[1, 1] + 4 * c * c
