"""Inverse p-th roots of matrices, by eigenvectors and by the coupled Newton iteration; the power iteration."""

from fractions import Fraction
from math import log2

import numpy as np

from refopt import linalg
from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import condition, excess, size, with_spectrum

IANNAZZO = (
    "B. Iannazzo, SIAM J. Matrix Anal. Appl. 28 (2006) 503; N. J. Higham, Functions of Matrices, SIAM 2008, ch. 7"
)
RIDGE = 1e-6  #: ε over the largest eigenvalue
STABLE = "the iteration loses eps κ(A), p times in the p-th power"


MANY = "mpmath"


def inverse_root(A, p, ridge=0.0):
    """(A + ridge · I)^{−1/p} by eigenvectors."""
    return linalg.inverse_root(A, p, ridge=ridge)[0]


def coupled_newton_root(A, p):
    """A^{−1/p} by the coupled Newton iteration."""
    return linalg.inverse_root(A, p, "coupled-newton")[0]


def rooted(draw, root):
    A, p = draw.spd(draw.size(), 1e4), (1, 2, 3, 4, 5, 6, 8, 16)[int(draw.rng.integers(8))]
    return {"A": A, "p": p, "X": root(A, p)}


def wrong_power(draw, root):
    """T to the power of two nearest to p, no more than 8: M still arrives at I, but X is not a root of A⁻¹."""
    A, p = draw.spd(draw.size(), 1e2), (3, 5, 6, 16)[int(draw.rng.integers(4))]
    one, z, power = np.eye(len(A)), (p + 1) / (2 * np.linalg.norm(A)), 2 ** min(3, round(log2(p)))
    X, M = z ** (1 / p) * one, z * A
    for _ in range(60):
        T = ((p + 1) * one - M) / p
        X, M = X @ T, np.linalg.matrix_power(T, power) @ M
    return {"A": A, "p": p, "X": X, "far": abs(M - one).max()}


def defect(A, p, X):
    return np.linalg.matrix_power(X, p) @ A - np.eye(len(A))


@claim(
    "roots.coupled-newton",
    "M → I in the coupled iteration shows that X = A^{−1/p}",
    IANNAZZO,
    rooted,
    "conditional",
    given="A ≻ 0 and M ← TᵖM with that very p; other powers converge too, to something else",
    uses=("roots.coupled_newton_root",),
    scale=lambda A, p: p * condition(A),
    because=STABLE,
    exact=False,
    fails=(
        Fails(
            "the nearest power of two in place of p = 3, 5, 6, 16",
            wrong_power,
            lambda A, p, X, far: defect(A, p, X) if far < 1e-10 else 0.0,
        ),
    ),
)
def coupled_newton(A, p, X):
    return defect(A, p, X)


def stepped(draw, step):
    """Two steps from X = cI and M = cᵖA."""
    A, p, c = draw.unit(draw.size(), 1e2), (1, 2, 3)[int(draw.rng.integers(3))], draw.number("1/2", 1)
    one = np.eye(len(A), dtype=int) + 0 * A
    first = step(c * one, c**p * A, p)
    X, M = step(*first, p)
    return {"A": A, "p": p, "X": X, "M": M}


@claim(
    "roots.invariant",
    "In every step of the coupled iteration XᵖA = M, and so M = I shows that X is the root",
    IANNAZZO,
    stepped,
    given="X and M begin as polynomials of A with XᵖA = M",
    uses=("linalg.newton_step",),
    scale=lambda X, p: size(X) ** p * (p + 1) ** 4,
    because="powers of T, ‖T‖ ≤ (p + 1)/p or so",
)
def invariant(A, p, X, M):
    return np.linalg.matrix_power(X, p) @ A - M


@claim(
    "roots.commuting",
    "X and M are symmetric and commute with A in every step of the coupled iteration, as polynomials of A do",
    IANNAZZO,
    stepped,
    given="they begin as multiples of I and A",
    uses=("linalg.newton_step",),
    scale=lambda A, p, X, M: size(A) * (size(X) + size(M)) * (p + 1) ** 4,
    because="powers of T, ‖T‖ ≤ (p + 1)/p or so",
)
def commuting(A, X, M):
    return A @ X - X @ A, A @ M - M @ A, X - X.T, M - M.T


def fifty(A, p):
    """A^{−1/p} from eigenvectors of fifty digits."""
    import mpmath as mp

    with mp.workdps(50):
        values, V = mp.eigsy(mp.matrix(A.tolist()))
        powers = mp.diag([value ** (-mp.mpf(p.denominator) / p.numerator) for value in values])
        return np.array((V * powers * V.T).tolist(), dtype=float).reshape(A.shape)


def compared(draw, eigh, newton):
    A = draw.spd(draw.size(1, 4), 1e6)
    p = Fraction(int(draw.rng.integers(1, 10)), int(draw.rng.integers(1, 4)))
    return {"A": A, "p": p, "many": fifty(A, p), "eigh": eigh(A, p), "newton": newton(A, p)}


@claim(
    "roots.fifty-digits",
    "Eigenvectors and the coupled iteration give A^{−1/p}, p rational, to what eps leaves of A itself",
    IANNAZZO + "; mpmath, with 50 digits",
    compared,
    given="A ≻ 0",
    uses=("roots.inverse_root", "roots.coupled_newton_root"),
    scale=lambda A, p, many: (1 + 1 / p) * condition(A) * size(many),
    because="a change of A by eps ‖A‖ changes the root by eps κ/p of it",
    exact=False,
    needs=MANY,
)
def fifty_digits(many, eigh, newton):
    return eigh - many, newton - many


def square_rooted(draw, root):
    """The root of the power of two next to p = 3, 5, 6, 7 by repeated square roots, and ours."""
    A, p = draw.spd(draw.size(2), 1e2), (3, 5, 6, 7)[int(draw.rng.integers(4))]
    X, twos = A, 2 ** round(log2(p))
    for _ in range(round(log2(twos))):
        values, V = np.linalg.eigh(X)
        X = (V * values**0.5) @ V.T
    return {"A": A, "p": p, "X": root(A, p), "repeated": np.linalg.inv(X), "twos": twos}


@claim(
    "roots.square-roots",
    "Repeated square roots give the inverse p-th root of a matrix",
    IANNAZZO,
    square_rooted,
    "conditional",
    given="p is a power of two; for p = 3, 5, 6, 7 they end beside the root",
    uses=("roots.inverse_root",),
    scale=lambda A, p, twos: (p * condition(A), 4 * twos * condition(A)),
    because=STABLE,
    exact=False,
    fails=(Fails("p = 3, 5, 6, 7", square_rooted, lambda A, p, repeated: defect(A, p, repeated)),),
)
def square_roots(A, p, X, repeated, twos):
    return defect(A, p, X), defect(A, twos, repeated)


def ridged(draw, root):
    """The root of A + εI, ε = 1e-6 λ_max, where A is singular or nearly so."""
    n, p = draw.size(2), (2, 4)[int(draw.rng.integers(2))]
    Q, values = draw.orthogonal(n), draw.positive(n, 10)
    values[0] = values.max() * (0.0, 1e-5, 1e-7)[int(draw.rng.integers(3))]
    eps = RIDGE * values.max()
    A = with_spectrum(Q, values)
    return {"Q": Q, "values": values, "eps": eps, "p": p, "X": root(A, p, eps), "A": A}


@claim(
    "roots.ridge",
    "A ridge of 1e-6 λ_max leaves the root of A⁻¹ as it is",
    "V. Gupta, T. Koren & Y. Singer, ICML 2018, arXiv:1802.09568; " + IANNAZZO,
    ridged,
    "false",
    corrected="It is (A + εI)^{−1/p}, (λ + ε)^{−1/p} ≤ ε^{−1/p} on eigenvectors: at most 31.6 λ_max^{−¼} if p = 4",
    uses=("roots.inverse_root",),
    scale=lambda values, eps, p: float(eps) ** (-1 / p) / RIDGE,
    because=STABLE + ", here κ ≤ 1e6",
    exact=False,
    fails=(Fails("as stated, λ₁/λ_max ≤ 1e-5", ridged, lambda A, p, X: size(defect(A, p, X))),),
)
def ridge(Q, values, eps, p, X):
    return Q.T @ X @ Q - np.diag((values + eps) ** (-1 / p))


def dominant(draw, power_iteration):
    """A symmetric A whose largest eigenvalue in modulus has 1.5 times the modulus of the next, if there is one."""
    n = draw.size()
    Q, values = draw.orthogonal(n), draw.mixed(n) * draw.rng.permutation(n).astype(bool)
    second = abs(values[:-1]).max(initial=0.0)
    values[-1] = 1.5 * (second or 1.0) * draw.rng.choice([-1, 1])
    A, noise = with_spectrum(Q, values), draw.rng.integers(2**32)
    theta, v, spent = power_iteration(lambda u: A @ u, n, noise, 1e-8)
    late = spent - 1.0 if n == 1 else 0.0
    return {"A": A, "first": values[-1], "next": second, "theta": theta, "v": v, "late": late}


@claim(
    "roots.power-iteration",
    "The power iteration ends within ‖Av − θv‖ of an eigenvalue; within ‖Av − θv‖²/gap of the largest in modulus",
    "G. H. Golub & C. F. Van Loan, Matrix Computations, 4th ed., §8.1 and §8.2",
    dominant,
    given="A = Aᵀ, and one eigenvalue has the largest modulus; the first v is a unit vector: if n = 1 it ends there",
    uses=("linalg.power_iteration",),
    scale=lambda A: (1, size(A), size(A) ** 2, 10 * size(A), 1),
    because="sums of a few products of this size",
    exact=False,
)
def power_iteration_ends(A, first, next, theta, v, late):
    rest = size(A @ v - theta * v)
    bound = rest**2 / (abs(first) - next)
    return (
        v @ v - 1, excess(rest - 2e-8 * abs(theta)), theta * (theta - v @ A @ v), excess(abs(theta - first) - bound),
        late,
    )  # fmt: skip
