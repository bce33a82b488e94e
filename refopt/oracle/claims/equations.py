"""Nonlinear equations F(x) = 0: Newton's method and the bounds behind it.

The test function is F(x) = c + Ax + ½xᵀQx, one symmetric Qₖ for each component: J(x) = A + Qx, and what an affine model
leaves out is ½pᵀQp, a constant of the function.
"""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import DS, NW
from refopt.oracle.draw import bulk, condition, excess, inverse, size, solve

NEWTON = ("gauss-newton.full-step",)
SUMMED = "sums of terms of this size"
SOLVED = "the solve loses eps κ of its step"


def quadratic_map(draw, n=None, curved=1):
    """A, well conditioned, and Q with ‖J(u) − J(v)‖ ≤ γ‖u − v‖, γ² = Σ‖Qₖ‖_F²."""
    n = n or draw.size(1, 4)
    A = draw.full_rank(n, n, 10)
    Q = np.array([(K := draw.matrix(n, n)) + K.T for _ in range(n)]) * curved
    return A, Q, (Q**2).sum()


def left_out(Q, p):
    """½pᵀQp, component by component."""
    return Q @ p @ p / 2


# --- affine models -----------------------------------------------------------------------------------------------


def three_points(draw):
    A, Q, gamma = quadratic_map(draw)
    n = len(A)
    x, u, v = draw.vector(n), draw.vector(n), draw.vector(n)
    F = lambda z: A @ z + left_out(Q, z)
    return {"A": A, "Q": Q, "gamma": gamma, "x": x, "p": u, "v": v, "F": np.array([F(x), F(x + u), F(x + v)])}


def far(A, Q, x, p, v):
    whole = size(x) + size(p) + size(v)
    return size(A) * whole + size(Q) * whole**2


@claim(
    "equations.affine-model",
    "‖F(x + p) − F(x) − J(x)p‖ ≤ ½γ‖p‖²",
    DS + "§4.1 (multivariable mean-value bounds); " + NW + "§11.1",
    three_points,
    given="J has the Lipschitz constant γ",
    scale=lambda A, Q, x, p, v: far(A, Q, x, p, v) ** 2,
    because=SUMMED,
)
def affine_model(A, Q, gamma, x, p, F):
    rest = F[1] - F[0] - (A + Q @ x) @ p
    return excess(rest @ rest - gamma * (p @ p) ** 2 / 4)


@claim(
    "equations.affine-model-elsewhere",
    "‖F(v) − F(u) − J(x)(v − u)‖ ≤ ½γ(‖v − x‖ + ‖u − x‖)‖v − u‖",
    DS + "§4.1 (multivariable mean-value bounds)",
    three_points,
    given="J has the Lipschitz constant γ; u = x + p",
    scale=lambda A, Q, x, p, v: far(A, Q, x, p, v),
    because=SUMMED,
    exact=False,
)
def affine_model_elsewhere(A, Q, gamma, x, p, v, F):
    rest = F[2] - F[1] - (A + Q @ x) @ (v - p)
    return excess(size(rest) - np.sqrt(gamma) / 2 * (size(v) + size(p)) * size(v - p))


@claim(
    "equations.integral-mean",
    "F(x + p) − F(x) = ∫₀¹ J(x + tp)p dt; no single J(x + tp) need do for all components",
    DS + "§4.1; " + NW + "§11.1",
    three_points,
    given="the Jacobian is affine here: its mean is that halfway",
    scale=far,
    because=SUMMED,
)
def integral_mean(A, Q, x, p, F):
    return F[1] - F[0] - (A + Q @ (x + p / 2)) @ p


def rowsum(A):
    """‖A‖_∞, which is rational."""
    return abs(A).sum(1).max()


def perturbed(draw):
    A, E = draw.full_rank(n := draw.size(), n, 1e2), draw.matrix(n, n)
    K = inverse(A)
    E = E * draw.number(0, 1) / (rowsum(K) * rowsum(E) + 1)
    return {"A": A, "E": E, "inside": K, "moved": inverse(A + E)}


def perturbed_too_far(draw):
    """E = −tA with t > 1: A + E is invertible, and its inverse is longer than the bound, which is negative."""
    A, t = draw.full_rank(n := draw.size(), n, 10), draw.number(1.1, 2)
    return {"A": A, "E": -t * A, "inside": inverse(A), "moved": inverse((1 - t) * A)}


@claim(
    "equations.perturbation",
    "‖(A + E)⁻¹‖ ≤ ‖A⁻¹‖ / (1 − ‖A⁻¹E‖): what is near an invertible matrix is invertible",
    DS + "§3.1 (perturbation of inverses)",
    perturbed,
    "conditional",
    given="‖A⁻¹E‖ < 1, here in the largest row sum",
    scale=lambda A, inside, moved: condition(A) * (rowsum(inside) + rowsum(moved)),
    because="inverses lose eps κ",
    fails=(Fails("‖A⁻¹E‖ > 1", perturbed_too_far),),
)
def perturbation(E, inside, moved):
    return excess(rowsum(moved) * (1 - rowsum(inside @ E)) - rowsum(inside)) + excess(rowsum(inside @ E) - 1) * rowsum(
        moved
    )


def two_near_points(draw):
    """u, v within 1/(4βγ) of x, with β ≥ ‖J(x)⁻¹‖."""
    A, Q, _ = quadratic_map(draw)
    beta, bound = bulk(inverse(A)), bulk(Q) + 1
    u, v = (w * draw.number(0, 1) / (4 * beta * bound * bulk(w)) for w in (draw.vector(len(A)), draw.vector(len(A))))
    return {"A": A, "d": v - u, "gap": A @ (v - u) + left_out(Q, v) - left_out(Q, u), "beta": beta}


@claim(
    "equations.distance",
    "Near a nonsingular J(x) residuals measure distances:   ‖v − u‖/2β ≤ ‖F(v) − F(u)‖ ≤ 2‖J(x)‖‖v − u‖",
    DS + "§4.1 (multivariable mean-value bounds)",
    two_near_points,
    given="u and v within 1/(4βγ) of x, β ≥ ‖J(x)⁻¹‖; then both singular values stay within a factor of 2",
    scale=lambda A, d: (size(A) * size(d)) ** 2,
    because=SUMMED,
)
def distance(A, d, gap, beta):
    return excess((d @ d) / (4 * beta**2) - gap @ gap), excess(gap @ gap - 4 * (A**2).sum() * (d @ d))


# --- Newton ------------------------------------------------------------------------------------------------------


def newton_step(draw, step):
    """From the error e beside a root x* = 0: F = Ax + ½xᵀQx."""
    A, Q, gamma = quadratic_map(draw)
    e = draw.vector(len(A))
    e = e * draw.number(0, 1) / (2 * bulk(inverse(A)) * (bulk(Q) + 1) * bulk(e))
    J = A + Q @ e
    return {"A": A, "Q": Q, "J": J, "e": e, "e_new": e + step(J, A @ e + left_out(Q, e)), "gamma": gamma}


@claim(
    "equations.newton-error",
    "J(x)e₊ = ½eᵀQe, so ‖e₊‖ ≤ βγ‖e‖²: Newton's method for equations converges quadratically",
    DS + "§5.2; " + NW + "§11.1",
    newton_step,
    given="β ≥ ‖J(x*)⁻¹‖, J has the Lipschitz constant γ, ‖e‖ ≤ 1/2βγ",
    uses=NEWTON,
    scale=lambda A, J, e: (condition(J) * size(J) * size(e), (condition(J) * size(e)) ** 2),
    because=SOLVED,
)
def newton_error(A, Q, J, e, e_new, gamma):
    beta = bulk(inverse(A))
    return J @ e_new - left_out(Q, e), excess(e_new @ e_new - beta**2 * gamma * (e @ e) ** 2)


def singular_root(draw, step):
    """F = (x − x*)ᵐ componentwise, turned: J(x*) = 0."""
    m, z, Q = int(draw.rng.integers(2, 5)), draw.vector(draw.size()), None
    z = abs(z) + draw.number("1/10", 1)
    Q = draw.orthogonal(len(z))
    return {"m": m, "e": Q @ z, "e_new": Q @ z + step(m * (Q * z ** (m - 1)) @ Q.T, Q @ z**m), "z": z}


@claim(
    "equations.multiple-root",
    "At a root of multiplicity m Newton is linear:   e₊ = (1 − 1/m)e, one half for a double root",
    DS + "§2.4 and §5.2; " + NW + "§11.1",
    singular_root,
    given="F = (x − x*)ᵐ along each of n orthogonal axes",
    uses=NEWTON,
    scale=lambda e, m, z: (max(z) / min(z)) ** (m - 1) * size(e),
    because="the solve loses eps κ of its step; κ is the ratio of the zᵐ⁻¹",
)
def multiple_root(m, e, e_new):
    return m * e_new - (m - 1) * e


def majorised(draw, step):
    """Two steps from x₀ = 0 and those of the scalar majorant ½βγt² − t + η, h = βγη ≤ ½; all norms are bounds."""
    A, Q, _ = quadratic_map(draw, draw.size(1, 2))
    beta, bound, c = bulk(inverse(A)), bulk(Q) + 1, draw.vector(len(A))
    eta = draw.number("1/10", "1/2") / (beta * bound)
    c = c * eta / (beta * bulk(c))  # so that ‖A⁻¹c‖ ≤ η
    x, t, lengths, bounds = 0 * c, 0 * eta, [], []
    for _ in range(2):
        s = step(A + Q @ x, c + A @ x + left_out(Q, x))
        dt = -(beta * bound * t**2 / 2 - t + eta) / (beta * bound * t - 1)
        x, t = x + s, t + dt
        lengths.append(s @ s)
        bounds.append(dt**2)
    return {"A": A, "Q": Q, "c": c, "x": x, "t": t, "squares": np.array(lengths), "bounds": np.array(bounds)}


def no_root(draw, step):
    """F = x² + 1 in the same frame, from x₀ = 1: h = βγη = ½·2·1 > ½."""
    x, one = draw.array([1]), draw.array([[1]])
    lengths, bounds, t = [], [], draw.array(0)[()]
    for _ in range(3):
        s = step(2 * x[0] * one, x**2 + 1)
        x = x + s if x[0] + s[0] != 0 else x + s + draw.array("1/10")[()]
        lengths.append(s @ s)
        bounds.append(draw.array("1/4")[()])
    return {"A": 2 * one, "Q": 2 * one[None], "c": x * 0 + 2, "x": x, "t": t, "squares": np.array(lengths),
            "bounds": np.array(bounds)}  # fmt: skip


@claim(
    "equations.kantorovich",
    "Without knowing a root: the steps are no longer than those of Newton's method for ½βγt² − t + η from t = 0",
    DS + "§5.3 (Kantorovich)",
    majorised,
    "conditional",
    given="βγη ≤ ½ with β ≥ ‖J(x₀)⁻¹‖, η ≥ ‖J(x₀)⁻¹F(x₀)‖; then the t converge, and so do the x, to a root",
    uses=NEWTON,
    scale=lambda A, Q, x, bounds: (condition(A) ** 2 * (size(x) + float(bounds[0]) ** 0.5)) ** 2,
    because=SOLVED,
    fails=(Fails("βγη > ½: x² + 1 has no root", no_root),),
)
def kantorovich(squares, bounds):
    return excess(squares - bounds)


def transformed(draw, step):
    """The equations BF(T x̃) = 0."""
    A, B, T = (draw.full_rank(n, n, 10) for n in 3 * [draw.size(1, 4)])
    c = draw.vector(len(A))
    p, q = step(A, c), step(B @ A @ T, B @ c)
    return {"A": A, "B": B, "T": T, "p": p, "q": q}


@claim(
    "equations.affine-invariance",
    "Newton's step depends neither on the units of the variables nor on how the equations are combined: p = Tp̃",
    DS + "§7.1",
    transformed,
    given="x = Tx̃, F̃(x̃) = BF(Tx̃), B and T invertible",
    uses=NEWTON,
    scale=lambda A, B, T, p, q: condition(B @ A @ T) * condition(B) * size(T) * size(q) + condition(A) * size(p),
    because=SOLVED + "; B passes on κ(B) roundings of the residual",
)
def affine_invariance(T, p, q):
    return T @ q - p


def merit(draw, step):
    A, F = draw.full_rank(n := draw.size(), n, 1e2), draw.vector(n)
    return {"J": A, "F": F, "p": step(A, F)}


@claim(
    "equations.merit-descent",
    "Newton's step is downhill for ½‖F‖²:   (JᵀF)ᵀp = −‖F‖²",
    NW + "§11.2; " + DS + "§6.5",
    merit,
    given="J nonsingular, F ≠ 0",
    uses=NEWTON,
    scale=lambda J, F, p: condition(J) * (size(J) * size(p) + size(F)) * size(F),
    because=SOLVED,
)
def merit_descent(J, F, p):
    return (J.T @ F) @ p + F @ F


@claim(
    "equations.merit-stationary",
    "Where ½‖F‖² is stationary F is zero",
    NW + "§11.2; " + DS + "§6.5",
    merit,
    "conditional",
    given="J is nonsingular: ‖F‖ ≤ ‖J⁻¹‖‖JᵀF‖",
    uses=NEWTON,
    scale=lambda J, F: (condition(J) * size(F)) ** 2,
    because="inverses lose eps κ",
    fails=(
        Fails(
            "F = x² + 1 at 0",
            lambda draw, step: {"J": draw.array([[0]]), "F": draw.array([1]), "p": draw.array([0])},
            lambda J, F: F @ F - (J.T @ F) @ (J.T @ F),
        ),
    ),
)
def merit_stationary(J, F, p):
    """With p = −J⁻¹F:  ‖F‖² = −Fᵀ(Jp) = −(JᵀF)ᵀp ≤ ‖JᵀF‖‖p‖."""
    return excess((F @ F) ** 2 - ((J.T @ F) @ (J.T @ F)) * (p @ p)) / (F @ F)


def solved_in_part(draw):
    """A step with ‖F + Jp‖ ≤ η‖F‖."""
    J, F, r = draw.full_rank(n := draw.size(), n, 10), draw.vector(n), draw.vector(n)
    Q, eta = np.array([(K := draw.matrix(n, n)) + K.T for _ in range(n)]), draw.number(0, 1)
    r = r * eta * abs(F).max() / bulk(r)
    p = solve(J, r - F)
    return {"J": J, "F": F, "r": r, "eta": eta, "p": p, "F_new": F + J @ p + left_out(Q, p), "gamma": (Q**2).sum()}


@claim(
    "equations.inexact",
    "‖F + Jp‖ ≤ η‖F‖ gives (JᵀF)ᵀp ≤ −(1 − η)‖F‖² and ‖F(x + p)‖ ≤ η‖F‖ + ½γ‖p‖²",
    NW + "§11.1 and §11.2 (inexact Newton)",
    solved_in_part,
    given="0 ≤ η < 1, J has the Lipschitz constant γ",
    scale=lambda J, F, p, F_new: (
        (condition(J) * (size(J) * size(p) + size(F))) * size(F),
        (condition(J) * (size(J) * size(p) + size(F)) + size(F_new)) ** 2,
    ),
    because="the residual is known to eps κ",
)
def inexact(J, F, r, eta, p, F_new, gamma):
    rest = F_new - r
    return excess((J.T @ F) @ p + (1 - eta) * (F @ F)), excess(rest @ rest - gamma * (p @ p) ** 2 / 4)


def convex_increasing(draw, step):
    """F = (x − a)(x + b)(x + c) right of its root a > 0, where F, F′ and F″ are positive."""
    a, b, c = draw.number(1, 3), draw.number(1, 3), draw.number(1, 3)
    x = a + draw.magnitude(1)
    F = lambda t: (t - a) * (t + b) * (t + c)
    slope = (x + b) * (x + c) + (x - a) * (2 * x + b + c)
    x_new = x + step(draw.array([[1]]) * slope, draw.array([1]) * F(x))[0]
    return {"a": a, "x": x, "x_new": x_new, "F": F(x), "F_new": F(x_new)}


def cycle(draw, step):
    """F = x³ − 2x + 2: Newton's method goes from 0 to 1, and from 1 to 0."""
    x, one = draw.array([0]), draw.array([[1]])
    x_new = x + step((3 * x**2 - 2) * one, x**3 - 2 * x + 2)
    x_last = x_new + step((3 * x_new**2 - 2) * one, x_new**3 - 2 * x_new + 2)
    return {"a": draw.array("-177/100")[()], "x": x[0], "x_new": x_last[0]}


@claim(
    "equations.anywhere",
    "Newton's method converges from any start",
    DS + "§2.4 and §2.5; " + NW + "§11.1",
    convex_increasing,
    "false",
    corrected="Near a nonsingular root it does; in one dimension also from where F, F′, F″ > 0: x falls to a",
    uses=NEWTON,
    scale=lambda x, F: (abs(x), abs(F)),
    because=SUMMED,
    fails=(
        Fails(
            "as stated, x³ − 2x + 2 from 0 comes back to 0 in two steps",
            cycle,
            lambda a, x, x_new: (x_new - a) / a,
        ),
    ),
)
def anywhere(a, x, x_new, F_new):
    return (excess(a - x_new) + excess(x_new - x)), excess(-F_new)


def three_roots(draw):
    """The secant step on F = x(k + lx + mx²) from the errors e₀ and e₁."""
    k, l, m = draw.number(1, 9), draw.number(-1, 1), draw.number(-1, 1)
    e0, e1 = draw.number("1/10", "1/5"), draw.number("-1/5", "-1/10")
    F = lambda x: x * (k + l * x + m * x**2)
    e2 = e1 - F(e1) * (e1 - e0) / (F(e1) - F(e0))
    return {"k": k, "l": l, "m": m, "e0": e0, "e1": e1, "e2": e2}


@claim(
    "equations.secant-error",
    "The secant method has e₂ = e₁e₀ F[x₀, x₁, x*]/F[x₀, x₁], so e₂/(e₁e₀) → F″/2F′: order (1 + √5)/2",
    DS + "§2.6",
    three_roots,
    given="divided differences; F is a cubic polynomial here",
    scale=lambda k: k,
    because=SUMMED,
)
def secant_error(k, l, m, e0, e1, e2):
    second = l + m * (e0 + e1)
    first = k + l * (e0 + e1) + m * (e0**2 + e0 * e1 + e1**2)
    return e2 * first - e1 * e0 * second
