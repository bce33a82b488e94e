"""Hessian-free optimization on batches: preconditioned conjugate gradients, their end, and the iterate that counts."""

import numpy as np

from refopt.oracle.claim import claim
from refopt.oracle.claims.hessian_free import MARTENS
from refopt.oracle.draw import condition, excess, size, solve


def preconditioned(draw, iterates):
    """The library's iterates, from any start, with any diagonal preconditioner."""
    n = draw.size()
    B, g, start, M = draw.spd(n, 1e2), draw.vector(n), draw.vector(n), draw.positive(n, 10.0)
    points, _ = iterates(lambda v: B @ v, g, start, M, 0.0, 2 * n)
    return {
        "B": B,
        "g": g,
        "start": start,
        "points": np.array([p for p, _ in points]),
        "q": np.array([q for _, q in points]),
    }


def scale(B, g, start, points):
    """The terms of q and of the residual at the start, from which all others are updated, times the longest point."""
    longest = size(start) + size(points)
    return (size(g) + size(B) * longest) * longest


@claim(
    "hessian-free.preconditioned",
    "Preconditioned by any diagonal, conjugate gradients lower q from iterate to iterate, and end at −(B + λI)⁻¹g",
    MARTENS + "§4.7",
    preconditioned,
    given="B + λI ≻ 0; as many iterations as variables, a few more over floats",
    uses=("hessian-free.iterates",),
    scale=lambda B, g, start, points: (
        scale(B, g, start, points), scale(B, g, start, points), condition(B) * (size(start) + size(points))
    ),
    because="sums of products of this size; the solution is known to eps κ, and loses what the start is longer than it",
    slack=100,
    exact=False,
)  # fmt: skip
def falls(B, g, points, q):
    values = np.array([g @ p + p @ B @ p / 2 for p in points])
    return excess(q[1:] - q[:-1]), values - q, points[-1] + solve(B, g)


def progress(draw, stalled):
    """Values qᵢ = −(1 − rⁱ): their last k gained less than kε of all from some i on."""
    r, eps = draw.array("9/10")[()], draw.array("1/2000")[()]
    values, found = [0 * r], []
    for i in range(1, 91):
        values.append(r**i - 1)
        found.append(int(stalled(values, eps)))
    return {"r": r, "eps": eps, "found": np.array(found)}


@claim(
    "hessian-free.progress",
    "They stop in the first iteration i whose last k = max(10, i/10) gained less than kε of q; never before the 11th",
    MARTENS + "§4.4",
    progress,
    uses=("hessian-free.stalled",),
    scale=lambda: 1,
    because="no value here is within rounding of the rule",
    fixed=True,
)
def stops(r, eps, found):
    """With k = 10: rⁱ⁻¹⁰ − rⁱ < 10ε(1 − rⁱ)."""
    rule = np.array([int(i > 10 and r ** (i - 10) - r**i < 10 * eps * (1 - r**i)) for i in range(1, 91)])
    return found - rule, int(found.sum() in (0, 90))


def retraced(draw, gone_back):
    """Iterates with values of f along them: down, and up from some point on."""
    n = int(draw.rng.integers(2, 9))
    turn = int(draw.rng.integers(0, n))
    heights = {draw.array(j)[()]: abs(j - turn) for j in range(n)}
    points = [(draw.array(j)[()], -j) for j in range(n)]
    p, value, q = gone_back(lambda x: heights[x], draw.array(0)[()], points)
    return {"p": p, "value": value, "q": q, "turn": turn}


@claim(
    "hessian-free.backtracking",
    "Of the iterates kept, the step is the one where f, followed back from the last, stops falling",
    MARTENS + "§4.6",
    retraced,
    uses=("hessian-free.gone_back",),
    scale=lambda: 1,
    because="whole numbers",
)
def back(p, value, q, turn):
    return p - turn, value, q + turn
