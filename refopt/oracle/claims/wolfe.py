"""The Wolfe conditions: what they give, when a step has them, and what a search must do to find one."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import excess, size
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
    return problem, draw.vector(n), lambda x: size(A) * size(x) ** 2 + (size(a) * size(x)) ** 4 + size(b) * size(x)


def flat_far_away(draw):
    """Σ log cosh(aᵢᵀx) + ½μ‖x‖²."""
    A, mu = draw.matrix(7, n := draw.size()), draw.magnitude(2)
    problem = Problem(
        fun=lambda x: np.logaddexp(A @ x, -(A @ x)).sum() - 7 * np.log(2) + mu * (x @ x) / 2,
        grad=lambda x: A.T @ np.tanh(A @ x) + mu * x,
    )
    return problem, draw.vector(n) * draw.magnitude(1), lambda x: 7 + size(A) * size(x) + mu * size(x) ** 2


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
    return problem, 2 * draw.vector(2), lambda x: 100 * (size(x) + size(x) ** 2) ** 2 + 1


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
    given="φ′(0) < 0, φ bounded below; first trials too long or too short by 10⁴, and behind walls where f is not finite",
    uses=SEARCH,
    scale=lambda terms, slope: (terms, abs(slope), 1),
    because=ROUNDED + ", and within 10 eps|f| the search compares slopes instead of values",
    exact=False,
)
def accepted(f, f_new, slope, slope_new, alpha, c1, c2):
    return decrease(f, f_new, slope, alpha, c1), curvature(slope, slope_new, c2), float(alpha <= 0)


def rescaled(draw, search):
    """The same search on c·f(x/t) from tx."""
    problem, x, _ = (polynomial, flat_far_away)[int(draw.rng.integers(2))](draw)
    c, t = 2.0 ** draw.rng.integers(-60, 60, 2)
    other = Problem(fun=lambda z: c * problem.fun(z / t), grad=lambda z: c / t * problem.grad(z / t))
    g = problem.grad(x)
    p, z = -g * draw.magnitude(2), t * x
    first = search(problem, x, problem.fun(x), g, p, *constants(draw), 60)
    return {"first": first.alpha, "other": search(other, z, other.fun(z), other.grad(z), t * p, *constants(draw), 60).alpha}
