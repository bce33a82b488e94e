"""Newton's method on quadratics, near a minimum, and where it fails."""

import numpy as np

from refopt.ops import cholesky
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import BV, NW
from refopt.oracle.draw import condition, excess, eye, least, size, solve, with_spectrum
from refopt.subproblem import solve as solve_with


def direction(H, g):
    """−H⁻¹g, the Newton step: by the library's Cholesky factors where H ≻ 0."""
    L, ok = cholesky(H, 0.0) if H.dtype != object else (None, False)
    return -solve_with(L, g) if ok else -solve(H, g)


# --- quadratics --------------------------------------------------------------------------------------------------


def one_step(draw, direction, A=None, damping=0):
    """From a w with ∇f(w) ≠ 0."""
    A = draw.spd(draw.size()) if A is None else A
    w, g = draw.vector(len(A)), draw.vector(len(A))
    return {"A": A, "b": A @ w - g, "w": w, "w_new": w + direction(A + damping * eye(A), g)}


def one_step_indefinite(draw, direction):
    return one_step(draw, direction, draw.indefinite(draw.size(2)))


def one_step_damped(draw, direction):
    A = draw.spd(draw.size(), 1e2)
    return one_step(draw, direction, A, draw.number(0, 1) * A[0, 0])


@claim(
    "newton.quadratic-one-step",
    "On f(w) = ½wᵀAw − bᵀw, the point w − A⁻¹∇f(w) is the minimiser, from every w",
    NW + "§2.2 and §3.3",
    one_step,
    "conditional",
    given="A ≻ 0, full step, no damping; with A only invertible the point is stationary",
    uses=("newton.direction",),
    scale=lambda A, b, w, w_new: (size(A) * (size(w) + size(w_new)) + size(b), size(A)),
    because="a stable solve leaves a residual of n eps ‖A‖‖p‖, whatever the condition of A",
    fails=(Fails("A is indefinite", one_step_indefinite), Fails("the Hessian is damped", one_step_damped)),
)
def quadratic_one_step(A, b, w_new):
    return A @ w_new - b, excess(-least(A))


@claim(
    "newton.part-of-a-step",
    "On a quadratic, η of the step leaves e₊ = (1 − η)e: linear convergence, at the same rate in every direction",
    NW + "§3.3",
    lambda draw, direction: {
        "A": (A := draw.spd(draw.size(), 1e4)),
        "e": (e := draw.vector(len(A))),
        "eta": (eta := draw.number(0, 2)),
        "e_new": e + eta * direction(A, A @ e),
    },
    uses=("newton.direction",),
    scale=lambda A, e: condition(A) * size(e),
    because="the solve loses eps κ of a step as long as e",
)
def part_of_a_step(e, eta, e_new):
    return e_new - (1 - eta) * e


@claim(
    "newton.exercise-2x2",
    "A = [[4, 1], [1, 2]], b = (3, 2), w = 0: the step is (4/7, 5/7), ∇f is then 0 and f = −11/7",
    "direct",
    lambda draw, direction: {
        "A": (A := draw.array([[4, 1], [1, 2]])),
        "b": (b := draw.array([3, 2])),
        "step": direction(A, -b),
    },
    uses=("newton.direction",),
    scale=lambda: 7.0,
    because="numbers of order 1, κ(A) = 2.8",
    fixed=True,
)
def exercise_2x2(A, b, step):
    f = step @ (A @ step) / 2 - b @ step
    return 7 * step - np.array([4, 5]), A @ step - b, 7 * f + 11


def affine(draw, direction):
    H, g = draw.spd(n := draw.size(), 1e3), draw.vector(n)
    T = draw.full_rank(n, n, 1e2)
    return {"H": H, "T": T, "p": direction(H, g), "p_tilde": direction(T.T @ H @ T, T.T @ g)}


@claim(
    "newton.affine-invariance",
    "With x = Tx̃ + c, g̃ = Tᵀg and H̃ = TᵀHT, the steps belong together: p = Tp̃",
    BV + "§9.5.1",
    affine,
    given="T invertible",
    uses=("newton.direction",),
    scale=lambda H, T, p, p_tilde: condition(T.T @ H @ T) * size(T) * size(p_tilde) + condition(H) * size(p),
    because="each solve loses eps κ of its step",
)
def affine_invariance(T, p, p_tilde):
    return T @ p_tilde - p


def modelled(draw, direction):
    H, g = draw.spd(n := draw.size()), draw.vector(n)
    return {"H": H, "g": g, "p": direction(H, g), "d": draw.vector(n)}


def modelled_indefinite(draw, direction):
    Q, values, g = draw.orthogonal(n := draw.size(2)), draw.mixed(n), draw.vector(n)
    H = with_spectrum(Q, values)
    p = direction(H, g)
    return {"H": H, "g": g, "p": p, "d": Q[:, 0] * draw.array(1 + round(size(p)))[()]}


@claim(
    "newton.quadratic-model",
    "p = −H⁻¹g minimises the model m(p) = gᵀp + ½pᵀHp:   Hp = −g, and m(p) ≤ m(p + d) for every d",
    NW + "§2.2",
    modelled,
    "conditional",
    given="H ≻ 0; otherwise p is only stationary and the model has no minimum",
    uses=("newton.direction",),
    scale=lambda H, g, p, d: (size(H) * size(p) + size(g), (size(H) * size(p) + size(g)) * (size(p) + size(d))),
    because="a stable solve leaves a residual of n eps ‖H‖‖p‖, and m is a sum of such products",
    fails=(Fails("H is indefinite, d along negative curvature", modelled_indefinite),),
)
def quadratic_model(H, g, p, d):
    return H @ p + g, excess(-d @ (H @ p + g) - d @ (H @ d) / 2)


# --- damping -----------------------------------------------------------------------------------------------------


def damped(draw, direction):
    Q, values, g = draw.orthogonal(n := draw.size()), draw.positive(n), draw.vector(n)
    lam = draw.magnitude(8)
    H = with_spectrum(Q, values) + lam * draw.array(np.eye(n, dtype=int))
    return {"Q": Q, "values": values, "lam": lam, "g": g, "H": H, "p": direction(H, g)}


@claim(
    "newton.damping-interpolates",
    "Along each eigenvector vᵢ of H, −(H + λI)⁻¹g has the part −vᵢᵀg/(λᵢ + λ): Newton's as λ → 0, −vᵢᵀg/λ as λ → ∞",
    NW + "§3.4 and §4.3",
    damped,
    given="λ > −λ₁; only then is H + λI positive definite",
    uses=("newton.direction",),
    scale=lambda H, p, g: size(H) * condition(H) * size(p) + size(g),
    because="the solve loses eps κ(H + λI) of its step",
)
def damping_interpolates(Q, values, lam, g, p):
    return (values + lam) * (Q.T @ p) + Q.T @ g


def damped_quadratic(draw, direction):
    A, e, lam = draw.spd(n := draw.size(), 1e4), draw.vector(n), draw.magnitude(4)
    return {"A": A, "lam": lam, "e": e, "e_new": e + direction(A + lam * eye(A), A @ e)}


@claim(
    "newton.damped-rate",
    "On a quadratic, a constant damping λ leaves e₊ = λ(A + λI)⁻¹e: linear convergence, at the rate λ/(λ₁ + λ)",
    NW + "§3.3 and §3.4",
    damped_quadratic,
    uses=("newton.direction",),
    scale=lambda A, lam, e: (size(A) + float(lam)) * condition(A + lam * eye(A)) * size(e),
    because="the solve loses eps κ(A + λI) of a step as long as e",
)
def damped_rate(A, lam, e, e_new):
    return (A + lam * eye(A)) @ e_new - lam * e


# --- what Newton does not promise --------------------------------------------------------------------------------


def saddle(draw, direction):
    """f = ½x² − ½y² + ¼y⁴ has a saddle at the origin; four steps from close by."""
    w = draw.array([0, 0]) + draw.number(-0.3, 0.3) * draw.array([1, 0]) + draw.number(0.1, 0.3) * draw.array([0, 1])
    path = [w]
    for _ in range(4):
        x, y = path[-1]
        H = draw.array([[1, 0], [0, 0]]) + (3 * y**2 - 1) * draw.array([[0, 0], [0, 1]])
        path.append(path[-1] + direction(H, x * draw.array([1, 0]) + (y**3 - y) * draw.array([0, 1])))
    return {"path": np.array(path), "uphill": path[1][1] ** 2 - path[0][1] ** 2}


@claim(
    "newton.attracted-to-saddle",
    "Undamped Newton converges to a nearby saddle: for f = ½x² − ½y² + ¼y⁴ near 0, x₊ = 0, |y₊| ≤ y², uphill along y",
    NW + "§3.4",
    saddle,
    uses=("newton.direction",),
    scale=lambda path: abs(path[:-1]).max(),
    because="numbers of order 1, κ(H) < 2",
)
def attracted_to_saddle(path, uphill):
    x, y = path[:, 0], path[:, 1]
    return x[1:], excess(abs(y[1:]) - y[:-1] ** 2), excess(uphill)


def flipped(draw, direction):
    H = draw.array([["4", "1.9"], ["1.9", "1"]])
    g = draw.array([1, 1]) * draw.number(1, 9)
    return {"g": g, "p": direction(H, g)}


def by_eigenvectors(draw, direction):
    Q, values, g = draw.orthogonal(n := draw.size()), draw.positive(n), draw.vector(n)
    H = with_spectrum(Q, values)
    return {"H": H, "Q": Q, "g": g, "p": direction(H, g)}


@claim(
    "newton.sign-preserving",
    "With H ≻ 0, every component of −H⁻¹g has the sign of that of −g",
    NW + "§2.2",
    by_eigenvectors,
    "false",
    corrected="−gᵀH⁻¹g < 0: a descent direction; signs are kept along eigenvectors, per component where H is diagonal",
    uses=("newton.direction",),
    scale=lambda H, g, p: condition(H) * size(g) * size(p),
    because="the solve loses eps κ of its step",
    fails=(Fails("as stated, H = [[4, 1.9], [1.9, 1]], g = (1, 1)", flipped, lambda g, p: excess(g * p)),),
)
def sign_preserving(H, Q, g, p):
    return excess(g @ p), excess((Q.T @ g) * (Q.T @ p)), g @ p + p @ H @ p


def quartic(draw):
    """f = ¼Σ(aᵢᵀx)⁴, convex: the Hessian at x, halfway to x + s, and at x + s, and y = ∇f(x + s) − ∇f(x)."""
    A, x, s = draw.full_rank(n := draw.size(), n), draw.vector(n), draw.vector(n)
    return quartic_at(A, x, s)


def quartic_at(A, x, s):
    u, v, w = A @ x, A @ (x + s / 2), A @ (x + s)
    hessians = [(A.T * (3 * t**2)) @ A for t in (u, v, w)]
    return {"hessians": np.array(hessians), "x": x, "s": s, "y": A.T @ (w**3 - u**3)}


def quartic_at_zero(draw):
    A, x = draw.full_rank(n := draw.size(), n), draw.vector(n)
    return quartic_at(A, 0 * x, draw.vector(n))


@claim(
    "newton.convex-hessian",
    "The Hessian of a convex function is positive definite",
    BV + "§3.1.4",
    quartic,
    "false",
    corrected="It is positive semidefinite; definite where f is strongly convex: x⁴ has f″(0) = 0",
    scale=lambda hessians: size(hessians),
    because="the lowest eigenvalue is known to n eps ‖H‖",
    fails=(Fails("as stated, Σ(aᵢᵀx)⁴ at x = 0", quartic_at_zero, lambda hessians: int(least(hessians[0]) <= 0)),),
)
def convex_hessian(hessians):
    return max(excess(-least(H)) for H in hessians)


def quartic_one(draw):
    """f = ¼x⁴ from x = 1 with s = ½: y = 2.375, ∇²f(x) s = 1.5."""
    return quartic_at(draw.array([[1]]), draw.array([1]), draw.array(["1/2"]) * draw.number(0.5, 2))


@claim(
    "newton.secant-true-hessian",
    "The true Hessian satisfies the secant equation ∇²f(x) s = y",
    NW + "§2.1 (Taylor's theorem) and §6.1",
    quartic,
    "false",
    corrected="The averaged Hessian does: ∫₀¹ ∇²f(x + ts) dt s = y; the Hessian itself on quadratics only",
    scale=lambda hessians, x, s: size(hessians) * (size(x) + size(s)),
    because="y is what two gradients of this size leave",
    fails=(
        Fails("as stated, f = ¼x⁴, x = 1", quartic_one, lambda hessians, s, y: (hessians[0] @ s - y) / abs(y).max()),
    ),
)
def secant_true_hessian(hessians, s, y):
    """Simpson's rule is exact here, because the Hessian is quadratic along s."""
    return (hessians[0] + 4 * hessians[1] + hessians[2]) @ s - 6 * y
