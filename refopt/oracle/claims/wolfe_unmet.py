"""Searches along which no step satisfies the conditions."""

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.wolfe import SEARCH, polynomial
from refopt.oracle.draw import size


def uphill(draw, search):
    """p = ∇f."""
    problem, x, _ = polynomial(draw)
    f, g = problem.fun(x), problem.grad(x)
    if not size(g) > 1e-3 * size(x):
        return uphill(draw, search)
    found = search(problem, x, f, g, g, 1e-4, 0.9, 40)
    return {"x": x, "x_new": found.x, "claimed": int(found.lower or found.wolfe), "slope": g @ g}


def backtracked(draw, search):
    """α = 1, ½, ¼, … until α < 1e-10, and whatever that is: by how much it misses the decrease, over αφ′(0)."""
    problem, x, _ = polynomial(draw)
    f, g = problem.fun(x), problem.grad(x)
    if not size(g) > 1e-3 * size(x):
        return backtracked(draw, search)
    alpha = 1.0
    while alpha >= 1e-10 and problem.fun(x + alpha * g) > f + 1e-4 * alpha * (g @ g):
        alpha /= 2
    return {"alpha": alpha}


@claim(
    "wolfe.unmet",
    "A search that halves α until the conditions hold, or α < 1e-10, ends with a step that satisfies them",
    NW + "§3.1 and §3.5",
    uphill,
    "false",
    corrected="Where none does, as uphill, the search must say so: it stays at x, with neither a decrease nor the "
    "conditions claimed",
    uses=SEARCH,
    scale=lambda x: (size(x), 1),
    because="x is returned as it came",
    exact=False,
    fails=(Fails("as stated, p = ∇f: α < 1e-10", backtracked, lambda alpha: int(alpha < 1e-10)),),
)
def unmet(x, x_new, claimed):
    return x_new - x, claimed
