"""Descent along a line: how much a search gains, and how fast steepest descent, Newton and what is near it converge."""

import numpy as np

from refopt.exact import quadratic
from refopt.linesearch.wolfe import between
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import DS, NW
from refopt.oracle.draw import bulk, condition, excess, size, solve, with_spectrum
from refopt.problem import Problem

__all__ = ["between"]
SEARCH = ("exact.search",)
SUMMED = "sums of terms of this size"


# --- steepest descent on quadratics ------------------------------------------------------------------------------


def steepest(draw, search, values=None, Q=None, e=None):
    """One step with exact search on ½xᵀAx − bᵀx; e = x − x*."""
    values = draw.positive(draw.size(2), 1e3) if values is None else values
    Q = draw.orthogonal(len(values)) if Q is None else Q
    A, e, b = with_spectrum(Q, values), draw.vector(len(values)) if e is None else e, draw.vector(len(values))
    x, problem = e + solve(A, b), quadratic(A, b)
    g = A @ e
    point = search(problem, x, g, -g)
    return {"A": A, "e": e, "g": g, "values": values, "x": x, "e_new": e + point.x - x, "g_new": A @ (e + point.x - x)}


@claim(
    "descent.exact-step",
    "With exact search g₊ᵀg = 0 and ‖e₊‖_A² = (1 − (gᵀg)²/(gᵀAg · gᵀA⁻¹g)) ‖e‖_A²,   e = x − x*",
    NW + "§3.3",
    steepest,
    given="f = ½xᵀAx − bᵀx, A ≻ 0",
    uses=SEARCH,
    scale=lambda A, x, e, g: (size(A) * (size(x) + size(e)) * size(g), (size(A) * (size(x) + size(e))) ** 2 / size(A)),
    because="x + αp − x* is known to eps ‖x‖",
)
def exact_step(A, e, g, e_new, g_new):
    share = (g @ g) ** 2 / ((g @ A @ g) * (g @ e))
    return g_new @ g, e_new @ A @ e_new - (1 - share) * (e @ A @ e)


@claim(
    "descent.steepest-rate",
    "Steepest descent with exact search:   ‖e₊‖_A ≤ (λₙ − λ₁)/(λₙ + λ₁) ‖e‖_A",
    NW + "§3.3; D. G. Luenberger, Linear and Nonlinear Programming",
    steepest,
    given="f = ½xᵀAx − bᵀx, A ≻ 0 with the eigenvalues λ₁ ≤ … ≤ λₙ",
    uses=SEARCH,
    scale=lambda A, x, e: (size(A) * (size(x) + size(e))) ** 2 / size(A),
    because="x + αp − x* is known to eps ‖x‖",
)
def steepest_rate(A, e, e_new, values):
    low, high = values.min(), values.max()
    return excess(e_new @ A @ e_new - ((high - low) / (high + low)) ** 2 * (e @ A @ e))


def worst_start(draw, search):
    """e = q₁/λ₁ ± qₙ/λₙ, along the lowest and the highest eigenvector: then two steps."""
    values = np.sort(draw.positive(n := draw.size(2), 1e2))
    Q = draw.orthogonal(n)
    if values[0] == values[-1]:
        return worst_start(draw, search)
    first = steepest(draw, search, values, Q, (Q[:, 0] / values[0] + Q[:, -1] / values[-1]) * draw.magnitude(1))
    second = steepest(draw, search, values, Q, first["e_new"])
    return first | {"e_last": second["e_new"], "x": abs(first["x"]) + abs(second["x"])}


@claim(
    "descent.steepest-worst",
    "From e = q₁/λ₁ ± qₙ/λₙ the bound is met in every step: e₊₊ = ((λₙ − λ₁)/(λₙ + λ₁))² e, a zigzag in a plane",
    NW + "§3.3; H. Akaike, Ann. Inst. Statist. Math. 11 (1959) 1",
    worst_start,
    given="f = ½xᵀAx − bᵀx, A ≻ 0",
    uses=SEARCH,
    scale=lambda A, x, e: condition(A) * (size(x) + size(e)),
    because="x + αp − x* is known to eps ‖x‖, and a step magnifies errors of e by κ(A)",
)
def steepest_worst(e, e_last, values):
    low, high = values.min(), values.max()
    return e_last - ((high - low) / (high + low)) ** 2 * e


def kantorovich_drawn(draw):
    values, x = draw.positive(n := draw.size(), 1e4), draw.vector(n)
    Q = draw.orthogonal(n)
    return {"A": with_spectrum(Q, values), "inverse": with_spectrum(Q, 1 / values), "values": values, "x": x}


@claim(
    "descent.kantorovich",
    "(xᵀx)² / (xᵀAx · xᵀA⁻¹x) ≥ 4λ₁λₙ/(λ₁ + λₙ)²",
    NW + "§3.3 (Kantorovich's inequality)",
    kantorovich_drawn,
    given="A ≻ 0 with the eigenvalues λ₁ ≤ … ≤ λₙ",
    scale=lambda x: size(x) ** 4,
    because=SUMMED + "; the quotient is 1 at most",
)
def kantorovich(A, inverse, values, x):
    low, high = values.min(), values.max()
    return excess(4 * low * high / (low + high) ** 2 * (x @ A @ x) * (x @ inverse @ x) - (x @ x) ** 2)


def preconditioned(draw):
    made = kantorovich_drawn(draw)
    return made | {"g": made["x"], "p": -(made["inverse"] @ made["x"])}


@claim(
    "descent.angle",
    "p = −B⁻¹g has an angle with −g that stays away from 90°:   cos θ ≥ 1/κ(B), and even ≥ 2√κ(B)/(1 + κ(B))",
    NW + "§3.2",
    preconditioned,
    given="B ≻ 0",
    scale=lambda g, p: (size(g) * size(p)) ** 2,
    because=SUMMED,
)
def angle(values, g, p):
    kappa = values.max() / values.min()
    square, lengths = (g @ p) ** 2, (g @ g) * (p @ p)
    return excess(lengths / kappa**2 - square), excess(4 * kappa / (1 + kappa) ** 2 * lengths - square)


# --- what a step gains -------------------------------------------------------------------------------------------


def against_gradient(draw):
    n = draw.size()
    A = draw.matrix(n, n)
    return {"A": A + A.T, "x": draw.vector(n), "b": draw.vector(n), "alpha": draw.magnitude(2)}


@claim(
    "descent.lemma",
    "f(x − α∇f) ≤ f(x) − α(1 − ½αL)‖∇f‖²: where ∇f ≠ 0 there is a lower point, so a minimiser is stationary",
    NW + "§2.1 (first-order necessary conditions) and §3.2",
    against_gradient,
    given="∇f has the Lipschitz constant L; f is quadratic here",
    scale=lambda A, x, b, alpha: (1 + float(alpha) * bulk(A)) ** 2 * bulk(A) * (bulk(x) + bulk(b) / bulk(A)) ** 2,
    because=SUMMED,
)
def descent_lemma(A, x, b, alpha):
    g, L = A @ x - b, bulk(A)
    y = x - alpha * g
    gain = x @ A @ x / 2 - b @ x - (y @ A @ y / 2 - b @ y)
    return excess(alpha * (1 - alpha * L / 2) * (g @ g) - gain)


def smooth(draw):
    """½xᵀAx − bᵀx + Σ log cosh xᵢ, L = ‖A‖ + 1, and a point and a descent direction."""
    A, b, x = draw.spd(n := draw.size(), 1e3), draw.vector(n), draw.vector(n) * draw.magnitude(1)
    problem = Problem(
        fun=lambda x: x @ A @ x / 2 - b @ x + (np.logaddexp(x, -x) - np.log(2)).sum(),
        grad=lambda x: A @ x - b + np.tanh(x),
    )
    p = -draw.unit(n, 1e2) @ problem.grad(x) * draw.magnitude(2)
    return problem, x, p, size(A) + 1, lambda x: bulk(A) * bulk(x) ** 2 + bulk(b) * bulk(x) + bulk(x) + 1


def wolfe_step(draw, search):
    problem, x, p, L, terms = smooth(draw)
    f, g, c1, c2 = problem.fun(x), problem.grad(x), 1e-4, (0.1, 0.5, 0.9)[int(draw.rng.integers(3))]
    point = search(problem, x, f, g, p, c1, c2, 60)
    return {
        "f": f, "f_new": problem.fun(point.x), "slope": g @ p, "length": size(p), "L": L, "c1": c1, "c2": c2,
        "alpha": point.alpha, "terms": terms(x) + terms(point.x),
    }  # fmt: skip


@claim(
    "descent.zoutendijk",
    "A Wolfe step lowers f by c₁(1 − c₂)/L · cos²θ‖g‖² at least, so that Σ cos²θₖ‖gₖ‖² is finite where f is bounded",
    NW + "§3.2 (Zoutendijk's condition)",
    wolfe_step,
    given="∇f has the Lipschitz constant L, p is a descent direction, θ its angle with −g",
    uses=("linesearch.strong_wolfe",),
    scale=lambda terms: terms,
    because="values are " + SUMMED,
    exact=False,
)
def zoutendijk(f, f_new, slope, length, L, c1, c2):
    return excess(f_new - f + c1 * (1 - c2) / L * (slope / length) ** 2)


@claim(
    "descent.wolfe-length",
    "A step with the curvature condition is not too short:   α ≥ (1 − c₂)|gᵀp| / (L‖p‖²)",
    NW + "§3.2",
    wolfe_step,
    given="∇f has the Lipschitz constant L",
    uses=("linesearch.strong_wolfe",),
    scale=lambda terms, slope, L, length: (abs(slope) + terms) / (L * length**2),
    because="slopes are " + SUMMED,
    exact=False,
)
def wolfe_length(slope, length, L, c2, alpha):
    return excess((1 - c2) * abs(slope) / (L * length**2) - alpha)


def backtracked(draw, search):
    problem, x, p, L, terms = smooth(draw)
    f, g, c1 = problem.fun(x), problem.grad(x), (1e-4, 0.1, 0.4)[int(draw.rng.integers(3))]
    point = search(problem, x, f, g, p, c1, 100, 1.0)
    return {
        "f": f, "f_new": problem.fun(point.x), "slope": g @ p, "length": size(p), "L": L, "c1": c1,
        "alpha": point.alpha, "terms": terms(x) + terms(point.x),
    }  # fmt: skip


@claim(
    "descent.backtracking",
    "Halving from 1 ends with sufficient decrease at some α ≥ min(1, (1 − c₁)|gᵀp| / (L‖p‖²))",
    NW + "§3.1 and §3.2; " + DS + "§6.3",
    backtracked,
    given="∇f has the Lipschitz constant L, p is a descent direction",
    uses=("linesearch.armijo",),
    scale=lambda terms, slope, L, length: (terms, (abs(slope) + terms) / (L * length**2)),
    because="values and slopes are " + SUMMED + ", and within 10 eps|f| slopes are judged instead of values",
    exact=False,
)
def backtracking(f, f_new, slope, length, L, c1, alpha):
    shortest = min(1.0, (1 - c1) * abs(slope) / (L * length**2))
    return excess(f_new - f - c1 * alpha * slope), excess(shortest - alpha)


def goldstein_on_quadratic(draw):
    a, d = draw.number(1, 9), -draw.number(1, 9)
    return {"change": -(d**2) / (2 * a), "predicted": -(d**2) / a, "c": draw.number(0, 0.5)}


@claim(
    "descent.goldstein",
    "The Goldstein conditions φ(0) + (1 − c)αφ′(0) ≤ φ(α) ≤ φ(0) + cαφ′(0) admit the minimiser of φ",
    NW + "§3.1",
    goldstein_on_quadratic,
    "false",
    corrected="For quadratic φ they do, because φ(α) = φ(0) + ½αφ′(0) there; in general they may exclude it",
    scale=lambda predicted: abs(predicted),
    because=SUMMED,
    fails=(
        Fails(
            "as stated, φ = −α − ½α² + ⅔α³ with c = ¼: φ(1) = −⁵⁄₆ is below −¾",
            lambda draw: dict(zip(("change", "predicted", "c"), draw.array(["-5/6", "-1", "1/4"]), strict=True)),
            lambda change, predicted, c: excess((1 - c) * predicted - change),
        ),
    ),
)
def goldstein(change, predicted, c):
    return excess((1 - c) * predicted - change), excess(change - c * predicted)


# --- interpolation -----------------------------------------------------------------------------------------------


def cubic_between(draw, between):
    """φ = (α − m)²(α + r)k: a minimum at m in the middle of (lo, hi), given by values and slopes at its ends."""
    m, k, r, lo = draw.number(2, 3), draw.magnitude(2), draw.number(1, 2), draw.number(0, 1)
    hi = m + draw.number("1/2", 2)
    phi, slope = lambda t: k * (t - m) ** 2 * (t + r), lambda t: k * (t - m) * (3 * t + 2 * r - m)
    found = between(lo, phi(lo), slope(lo), hi, phi(hi), slope(hi), True, 0.0)
    inside = lo + 0.1 * (hi - lo) < m < hi - 0.1 * (hi - lo) and abs(phi(hi) - phi(lo)) > 0.01 * k
    return {"m": m, "found": found} if inside else cubic_between(draw, between)


@claim(
    "descent.cubic-interpolation",
    "α = hi − (hi − lo)(φ′(hi) + d₂ − d₁)/(φ′(hi) − φ′(lo) + 2d₂) is the minimiser of the cubic through both ends",
    NW + "§3.5; " + DS + "§6.3",
    cubic_between,
    given="d₁ = φ′(lo) + φ′(hi) − 3(φ(lo) − φ(hi))/(lo − hi),  d₂ = √(d₁² − φ′(lo)φ′(hi))",
    uses=("descent.between",),
    scale=lambda m: 10 * abs(m),
    because="numbers of one order of magnitude, and a root of a difference of squares of them",
    exact=False,
)
def cubic_interpolation(m, found):
    return found - m


def parabola_between(draw, between):
    """φ = c + ½k(α − m)², of which φ(lo), φ′(lo) and φ(hi) are known."""
    m, k, c, lo = draw.number(2, 3), draw.magnitude(2), draw.number(-1, 1), draw.number(0, 1)
    hi = m + draw.number("1/2", 2)
    f_lo, f_hi = c + k * (lo - m) ** 2 / 2, c + k * (hi - m) ** 2 / 2
    found = between(lo, f_lo, k * (lo - m), hi, f_hi, 0.0, False, 0.0)
    apart = lo + 0.1 * (hi - lo) < m < hi - 0.1 * (hi - lo) and abs(f_hi - f_lo) > 0.01 * (k + abs(c))
    return {"m": m, "k": k, "c": c, "found": found} if apart else parabola_between(draw, between)


@claim(
    "descent.quadratic-interpolation",
    "α = −φ′(0)α₀² / 2(φ(α₀) − φ(0) − φ′(0)α₀) is the minimiser of the parabola through φ(0), φ′(0), φ(α₀)",
    NW + "§3.5; " + DS + "§6.3",
    parabola_between,
    uses=("descent.between",),
    scale=lambda m, k, c: 100 * abs(m) * (1 + abs(c) / k),
    because="values lose the digits of the constant c",
    exact=False,
)
def quadratic_interpolation(m, found):
    return found - m


def refused_trial(draw):
    """A trial α₀ without sufficient decrease: φ(α₀) > φ(0) + cα₀φ′(0)."""
    slope, alpha, c = -draw.number(1, 9), draw.magnitude(1), draw.number(0, 0.5)
    rise = c * alpha * slope + draw.magnitude(2)
    return {"alpha": alpha, "c": c, "found": -slope * alpha**2 / (2 * (rise - slope * alpha))}


@claim(
    "descent.backtracks",
    "Where α₀ lacks sufficient decrease, the parabola's minimiser lies in (0, α₀/2(1 − c)): interpolation shortens",
    DS + "§6.3",
    refused_trial,
    given="0 < c < ½",
    scale=lambda alpha: alpha,
    because="a quotient of numbers of this size",
)
def backtracks(alpha, c, found):
    return excess(found - alpha / (2 * (1 - c))), excess(-found)


# --- Newton and what is near it ----------------------------------------------------------------------------------


def newton_full_step(draw, direction):
    """f = ½zᵀDz + ⅙Σtᵢzᵢ³, z = Qᵀx, and Newton's step in both bases."""
    D, t, z = draw.positive(n := draw.size(), 1e3), draw.vector(n), draw.vector(n)
    z = z * draw.number(0, 1) * D.min() / (4 * abs(t).max() * bulk(z))
    Q = draw.orthogonal(n)
    H, g = with_spectrum(Q, D + t * z), Q @ (D * z + t * z**2 / 2)
    p = direction(H, g)
    values = [D @ y**2 / 2 + t @ y**3 / 6 for y in (z, z + Q.T @ p)]
    return {"H": H, "g": g, "t": t, "p": p, "q": Q.T @ p, "f": values[0], "f_new": values[1], "L": abs(t).max()}


@claim(
    "descent.newton-unit-step",
    "Newton's step has f(x + p) = f(x) + ½gᵀp + O(L‖p‖³): near a minimiser α = 1 has sufficient decrease",
    NW + "§3.3; " + DS + "§6.3",
    newton_full_step,
    given="c₁ < ½, ∇²f(x*) ≻ 0; what is O(L‖p‖³) is ⅙Σtᵢpᵢ³ for f with third derivatives tᵢ",
    uses=("newton.direction",),
    scale=lambda H, g, p: (part := condition(H) * (size(g) * size(p) + size(H) * size(p) ** 2), part**2),
    because="the solve loses eps κ of its step",
)
def newton_unit_step(g, t, p, q, f, f_new, L):
    cubic = f_new - f - g @ p / 2
    return cubic - (t @ q**3) / 6, excess(cubic**2 - (L / 6) ** 2 * (p @ p) ** 3)


def nearly_newton(draw, direction):
    """The step by B ≻ 0 on a quadratic of Hessian A."""
    A, B, e = draw.spd(n := draw.size(), 1e3), draw.spd(n, 1e3), draw.vector(n)
    return {"A": A, "B": B, "e": e, "p": (p := direction(B, A @ e)), "e_new": e + p}


@claim(
    "descent.dennis-more",
    "e₊ = ∇²f⁻¹(∇²f − B)p for p = −B⁻¹g: convergence is superlinear iff ‖(B − ∇²f)p‖/‖p‖ → 0, whatever B itself does",
    NW + "§3.3; " + DS + "§8.2 (Dennis and Moré)",
    nearly_newton,
    given="f is quadratic; otherwise to O(‖p‖²)",
    uses=("newton.direction",),
    scale=lambda A, B, e, p: size(A) * (size(e) + condition(B) * size(p)) + size(B) * size(p),
    because="the solve loses eps κ(B) of its step",
)
def dennis_more(A, B, p, e_new):
    return A @ e_new - (A - B) @ p
