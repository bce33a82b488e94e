"""The Wolfe conditions: what they give, when a step has them, and what a search must do to find one."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import bulk, excess, size
from refopt.problem import Problem

SEARCH = ("linesearch.strong_wolfe",)
ROUNDED = "f and its slope are sums of terms of this size"


# --- functions, each with a point and the size of its terms there ------------------------------------------------


def polynomial(draw):
    """½xᵀAx + ¼(aᵀx)⁴ − bᵀx, A ≻ 0: rational, and bounded below."""
    A, a, b = draw.spd(n := draw.size(), 1e2), draw.vector(n), draw.vector(n)
    problem = Problem(
        fun=lambda x: x @ A @ x / 2 + (a @ x) ** 4 / 4 - b @ x,
        grad=lambda x: A @ x + (a @ x) ** 3 * a - b,
    )
    return problem, draw.vector(n), lambda x: bulk(A) * bulk(x) ** 2 + (bulk(a) * bulk(x)) ** 4 + bulk(b) * bulk(x)


def flat_far_away(draw):
    """Σ log cosh(aᵢᵀx) + ½μ‖x‖²."""
    A, mu = draw.matrix(7, n := draw.size()), draw.magnitude(2)
    problem = Problem(
        fun=lambda x: np.logaddexp(A @ x, -(A @ x)).sum() - 7 * np.log(2) + mu * (x @ x) / 2,
        grad=lambda x: A.T @ np.tanh(A @ x) + mu * x,
    )
    return problem, draw.vector(n) * draw.magnitude(1), lambda x: 7 + bulk(A) * bulk(x) + mu * bulk(x) ** 2


def with_wall(draw):
    """Σ xᵢ − log xᵢ: not finite where a component is not positive."""
    problem = Problem(
        fun=lambda x: np.sum(x - np.log(x)) if np.all(x > 0) else np.inf,
        grad=lambda x: 1 - 1 / x,
    )
    x = abs(draw.vector(draw.size())) * draw.magnitude(1)
    return problem, x, lambda x: np.sum(x + abs(np.log(x))) + len(x)


def valley(draw):
    """Rosenbrock's function."""
    problem = Problem(
        fun=lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2,
        grad=lambda x: np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)]),
    )
    return problem, 2 * draw.vector(2), lambda x: 100 * (bulk(x) + bulk(x) ** 2) ** 2 + 1


def measured(problem, x, p, alpha, c1, c2, terms):
    """What the conditions compare, computed afresh at x and x + αp."""
    g, x_new = problem.grad(x), x + alpha * p
    g_new = problem.grad(x_new)
    return {
        "alpha": alpha, "c1": c1, "c2": c2, "f": problem.fun(x), "slope": g @ p,
        "f_new": problem.fun(x_new), "slope_new": g_new @ p, "ys": (g_new - g) @ (x_new - x),
        "terms": terms(x) + terms(x_new),
    }  # fmt: skip


def constants(draw):
    return draw.array(["1e-4", ("0.1", "0.5", "0.9")[int(draw.rng.integers(3))]])


def decrease(f, f_new, slope, alpha, c1):
    return excess(f_new - f - c1 * alpha * slope)


def curvature(slope, slope_new, c2):
    return excess(abs(slope_new) - c2 * abs(slope))


# --- steps that a search takes -----------------------------------------------------------------------------------


def searched(draw, search, family=None):
    family = family or (polynomial, flat_far_away, with_wall, valley)[int(draw.rng.integers(4))]
    problem, x, terms = family(draw)
    c1, c2 = constants(draw)
    f, g = problem.fun(x), problem.grad(x)
    p = -draw.unit(len(x), 1e2) @ g * draw.magnitude(4)
    found = search(problem, x, f, g, p, c1, c2, 60)
    return measured(problem, x, p, getattr(found, "alpha", found), c1, c2, terms)


@claim(
    "wolfe.accepted",
    "The step of the search has φ(α) ≤ φ(0) + c₁αφ′(0), |φ′(α)| ≤ c₂|φ′(0)|, α > 0",
    NW + "§3.1 and §3.5",
    searched,
    given="φ′(0) < 0, φ bounded below; the first trial may be wrong by 10⁴, or behind a wall where f is not finite",
    uses=SEARCH,
    scale=lambda terms, slope: (terms, abs(slope), 1),
    because=ROUNDED + ", and within 10 eps|f| the search compares slopes instead of values",
    exact=False,
)
def accepted(f, f_new, slope, slope_new, alpha, c1, c2):
    return decrease(f, f_new, slope, alpha, c1), curvature(slope, slope_new, c2), float(alpha <= 0)


def rescaled(draw, search):
    """The same search on f, and on cf(x/t) from tx."""
    problem, x, _ = (polynomial, flat_far_away)[int(draw.rng.integers(2))](draw)
    c, t = 2.0 ** draw.rng.integers(-60, 60, 2)
    other = Problem(fun=lambda z: c * problem.fun(z / t), grad=lambda z: c / t * problem.grad(z / t))
    p = -problem.grad(x) * draw.magnitude(2)
    c1, c2 = constants(draw)
    alphas = [
        search(given, z, given.fun(z), given.grad(z), q, c1, c2, 60).alpha
        for given, z, q in ((problem, x, p), (other, t * x, t * p))
    ]
    return {"alphas": np.array(alphas)}


@claim(
    "wolfe.scale-free",
    "Neither the conditions nor the search depend on the units: cf(x/t), from tx along tp, gives the same α",
    NW + "§3.1",
    rescaled,
    given="c, t > 0",
    uses=SEARCH,
    scale=lambda alphas: abs(alphas).max(),
    because="multiplying by powers of two rounds nothing",
    slack=1,
    exact=False,
)
def scale_free(alphas):
    return alphas[1] - alphas[0]


def too_short(draw, search):
    """f = ½c‖x‖² with c < 1 − c₂, along −∇f: every α that satisfies the conditions is above 1."""
    c, x = draw.number(0.0001, 0.05), draw.vector(draw.size())
    problem = Problem(fun=lambda x: c * (x @ x) / 2, grad=lambda x: c * x)
    g, (c1, c2) = c * x, draw.array(["1e-4", "0.9"])
    found = search(problem, x, problem.fun(x), g, -g, c1, c2, 60)
    return measured(problem, x, -g, found.alpha, c1, c2, lambda x: c * (x @ x)) | {"bend": c}


def halved(slope, bend, c2):
    """How much the best of α = 1, ½, ¼, … misses the curvature condition on f = ½c‖x‖², φ′(α) = (1 − cα)φ′(0)."""
    return min(curvature(slope, (1 - bend * 0.5**k) * slope, c2) / abs(slope) for k in range(60))


@claim(
    "wolfe.halving",
    "Halving α from 1 on finds a step that satisfies the strong Wolfe conditions",
    NW + "§3.1 and §3.5",
    too_short,
    "false",
    corrected="It never lengthens, and misses them where 1 is too short; a search that lengthens and brackets does not",
    uses=SEARCH,
    scale=lambda terms, slope: (terms, abs(slope), 1),
    because=ROUNDED,
    exact=False,
    fails=(Fails("as stated, f = ½c‖x‖² with c ≤ 0.05", too_short, halved),),
)
def halving(f, f_new, slope, slope_new, alpha, c1, c2):
    return decrease(f, f_new, slope, alpha, c1), curvature(slope, slope_new, c2), excess(1 - alpha)


# --- what the conditions give ------------------------------------------------------------------------------------


def bisected(problem, x, p, c1, c2, trials=100):
    """A strong Wolfe step by doubling and halving: the interval always holds one."""
    f, slope = problem.fun(x), problem.grad(x) @ p
    low, high, alpha = 0 * slope, None, 1 + 0 * slope
    for _ in range(trials):
        x_new = x + alpha * p
        slope_new = problem.grad(x_new) @ p
        if problem.fun(x_new) > f + c1 * alpha * slope or slope_new > -c2 * slope:
            high = alpha
        elif slope_new < c2 * slope:
            low = alpha
        else:
            break
        alpha = 2 * alpha if high is None else (low + high) / 2
    return alpha


def bounded_below(draw):
    problem, x, terms = polynomial(draw)
    p, (c1, c2) = -problem.grad(x), constants(draw)
    if not p.any():
        return bounded_below(draw)
    return measured(problem, x, p, bisected(problem, x, p, c1, c2), c1, c2, terms)


def unbounded(draw):
    """f = bᵀx − ½μ‖x‖², μ ≥ 0."""
    b, mu = draw.vector(draw.size()), draw.number(0, 1) * draw.number(0, 1)
    problem = Problem(fun=lambda x: b @ x - mu * (x @ x) / 2, grad=lambda x: b - mu * x)
    c1, c2 = constants(draw)
    alpha = bisected(problem, 0 * b, -b, c1, c2, 20)
    return measured(problem, 0 * b, -b, alpha, c1, c2, lambda x: bulk(b) * bulk(x) + mu * bulk(x) ** 2)


@claim(
    "wolfe.exists",
    "Along a descent direction there are steps that satisfy the strong Wolfe conditions, and bisection finds one",
    NW + "§3.1",
    bounded_below,
    "conditional",
    given="f continuously differentiable and bounded below along p, 0 < c₁ < c₂ < 1",
    scale=lambda terms, slope: (terms, abs(slope)),
    because=ROUNDED,
    fails=(Fails("f falls without bound along p", unbounded),),
)
def exists(f, f_new, slope, slope_new, alpha, c1, c2):
    return decrease(f, f_new, slope, alpha, c1), curvature(slope, slope_new, c2)


def decreased_only(draw):
    """f = ¼x⁴ − ½x² from 0 < x ≤ 0.2, where f is concave: α = 1 lowers f enough, and φ falls ever more steeply."""
    x = draw.array([1]) * draw.number(0.01, 0.2)
    problem = Problem(fun=lambda x: x[0] ** 4 / 4 - x[0] ** 2 / 2, grad=lambda x: x**3 - x)
    c1, c2 = constants(draw)
    return measured(problem, x, -problem.grad(x), draw.array(1)[()], c1, c2, lambda x: bulk(x) ** 2)


@claim(
    "wolfe.positive-curvature",
    "After the step yᵀs > 0:   yᵀs ≥ (c₂ − 1) αφ′(0)",
    NW + "§6.1",
    bounded_below,
    "conditional",
    given="the curvature condition holds, φ′(α) ≥ c₂φ′(0); sufficient decrease alone does not give it",
    scale=lambda alpha, slope, slope_new, terms: terms + alpha * (abs(slope) + abs(slope_new)),
    because=ROUNDED,
    fails=(Fails("sufficient decrease only, where f is concave", decreased_only),),
)
def positive_curvature(ys, alpha, slope, c2):
    return excess((c2 - 1) * alpha * slope - ys)


def along_quadratic(draw, c1):
    """The exact minimiser of ½xᵀAx − bᵀx along a descent direction."""
    A, b, x = draw.spd(n := draw.size(), 1e2), draw.vector(n), draw.vector(n)
    problem = Problem(fun=lambda x: x @ A @ x / 2 - b @ x, grad=lambda x: A @ x - b)
    p = -problem.grad(x)
    if not p.any():
        return along_quadratic(draw, c1)
    alpha = (p @ p) / (p @ A @ p)
    terms = lambda x: bulk(A) * bulk(x) ** 2 + bulk(b) * bulk(x)
    return measured(problem, x, p, alpha, c1, draw.number(0, 1), terms) | {"A": A, "p": p}


@claim(
    "wolfe.exact-search",
    "On a quadratic the exact minimiser along p satisfies the strong Wolfe conditions, for every c₂",
    NW + "§3.1",
    lambda draw: along_quadratic(draw, draw.number(0, 0.5)),
    "conditional",
    given="c₁ ≤ ½: the decrease is half of what the slope promises, φ(α) = φ(0) + ½αφ′(0)",
    scale=lambda terms, A, p, alpha: (terms, terms / alpha + alpha * size(A) * size(p) ** 2),
    because=ROUNDED,
    fails=(
        Fails(
            "c₁ > ½",
            lambda draw: along_quadratic(draw, draw.number(0.6, 1)),
            lambda f, f_new, slope, alpha, c1: decrease(f, f_new, slope, alpha, c1) / abs(alpha * slope),
        ),
    ),
)
def exact_search(f, f_new, slope, slope_new, alpha, c1, c2):
    return decrease(f, f_new, slope, alpha, c1), curvature(slope, slope_new, c2)


def cubic(draw, bend=0):
    """φ(α) = φ(0) + dα + ½aα² + bend·α³."""
    d, a, alpha = -draw.number(1, 9), draw.number(1, 9), draw.number(0, 3)
    return {
        "change": d * alpha + a * alpha**2 / 2 + bend * alpha**3,
        "slope": d,
        "slope_new": d + a * alpha + 3 * bend * alpha**2,
        "alpha": alpha,
        "delta": draw.number(0, 0.5),
    }


@claim(
    "wolfe.approximate",
    "Sufficient decrease can be read off slopes:   φ(α) − φ(0) − δαφ′(0) = ½α (φ′(α) − (2δ − 1)φ′(0))",
    "W. W. Hager & H. Zhang, SIAM J. Optim. 16 (2005) 170",
    cubic,
    "conditional",
    given="φ is quadratic",
    scale=lambda change, slope, slope_new, alpha: abs(change) + alpha * (abs(slope) + abs(slope_new)),
    because="sums of terms of this size",
    fails=(Fails("φ is cubic", lambda draw: cubic(draw, draw.number(1, 2))),),
)
def approximate(change, slope, slope_new, alpha, delta):
    return change - delta * alpha * slope - alpha * (slope_new - (2 * delta - 1) * slope) / 2
