"""Gradient descent with a fixed step on quadratics: when it converges, how fast, and a valley worked out."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import BV, NW
from refopt.oracle.draw import excess, least, size, with_spectrum
from refopt.problem import Problem

USES = ("linesearch.fixed",)
FEW = "sums of products of this size"


def stepped(fixed, A, e, eta):
    """e₊ after a step of η from the error e on ½eᵀAe."""
    problem = Problem(lambda x: x @ (A @ x) / 2, lambda x: A @ x)
    return fixed(problem, e, problem.fun(e), A @ e, -(A @ e), 5, eta).x


def drawn(draw, fixed, low="1/100", high="199/100"):
    """η between these parts of 1/λ_max."""
    Q, values, e = draw.orthogonal(n := draw.size()), draw.positive(n, 1e3), draw.vector(n)
    A, eta = with_spectrum(Q, values), draw.number(low, high) / values.max()
    return {"Q": Q, "values": values, "eta": eta, "e": e, "e_new": stepped(fixed, A, e, eta)}


@claim(
    "gradient-descent.stability",
    "With a fixed step η the error shrinks along every eigenvector,   e₊ = (I − ηA)e",
    NW + "§3.3; " + BV + "§9.3",
    drawn,
    "conditional",
    given="A ≻ 0 and 0 < η < 2/λ_max",
    uses=USES,
    scale=lambda e: size(e),
    because=FEW + ": η‖A‖ < 2",
    fails=(
        Fails(
            "η > 2/λ_max, e along that eigenvector",
            lambda draw, fixed: outside(draw, fixed),
            lambda e, e_new: excess(abs(e_new) - abs(e)) / abs(e).max(),
        ),
    ),
)
def stability(Q, values, eta, e, e_new):
    old, new = Q.T @ e, Q.T @ e_new
    return new - (1 - eta * values) * old, excess(abs(new) - abs(old))


def outside(draw, fixed):
    A, e, eta = draw.array([[1, 0], [0, 9]]), draw.array([0, 1]) * draw.number(1, 9), draw.number(2.1, 3) / 9
    return {"e": e, "e_new": stepped(fixed, A, e, eta)}


def best(draw, fixed, factor=1):
    """The step 2/(λ₁ + λₙ), from the sum of the two extreme eigenvectors."""
    Q, values = draw.orthogonal(n := draw.size(2)), draw.positive(n, 1e3)
    values = np.sort(values)
    low, high = values[0], values[-1]
    if low == high:
        return best(draw, fixed, factor)
    e, eta = Q[:, 0] + Q[:, -1], factor * draw.array(2)[()] / (low + high)
    return {"low": low, "high": high, "e": e, "e_new": stepped(fixed, with_spectrum(Q, values), e, eta)}


@claim(
    "gradient-descent.best-step",
    "The best fixed step is 2/(λ_min + λ_max): of the worst error it leaves (κ − 1)/(κ + 1), others more",
    NW + "§3.3",
    best,
    "conditional",
    given="A ≻ 0",
    uses=USES,
    scale=lambda e: size(e) ** 2,
    because=FEW,
    fails=(Fails("nine tenths of that step", lambda draw, fixed: best(draw, fixed, draw.array("9/10")[()])),),
)
def best_step(low, high, e, e_new):
    rate = (high - low) / (high + low)
    return e_new @ e_new - rate * rate * (e @ e)


def short(draw, fixed):
    return drawn(draw, fixed, "1/100", "1")


@claim(
    "gradient-descent.descends",
    "f falls by η‖g‖²/2 at least",
    BV + "§9.3; " + NW + "§3.3",
    short,
    "conditional",
    given="η ≤ 1/λ_max; between 1/λ_max and 2/λ_max it falls by less",
    uses=USES,
    scale=lambda values, e: float(values.max()) * size(e) ** 2,
    because=FEW,
    fails=(Fails("η = 3/2λ_max along that eigenvector", lambda draw, fixed: long(draw, fixed)),),
)
def descends(Q, values, eta, e, e_new):
    A = with_spectrum(Q, values)
    g = A @ e
    return excess(e_new @ (A @ e_new) / 2 - e @ g / 2 + eta * (g @ g) / 2)


def long(draw, fixed):
    Q, values, e = draw.array([[1, 0], [0, 1]]), draw.array([1, 9]), draw.array([0, 1]) * draw.number(1, 9)
    eta = draw.array("1/6")[()]
    return {"Q": Q, "values": values, "eta": eta, "e": e, "e_new": stepped(fixed, with_spectrum(Q, values), e, eta)}


def preconditioned(draw):
    P = draw.spd(n := draw.size(2))
    return {"P": P, "g": draw.vector(n)}


def turned(draw):
    """P = diag(1, −1), g = (1, 2)."""
    return {"P": draw.array([[1, 0], [0, -1]]), "g": draw.array([1, 2]) * draw.number(1, 9)}


@claim(
    "gradient-descent.preconditioned",
    "−Pg is a direction of descent",
    NW + "§2.2 and §3.1",
    preconditioned,
    "conditional",
    given="P ≻ 0",
    scale=lambda P, g: size(P) * size(g) ** 2,
    because=FEW,
    fails=(Fails("P is indefinite", turned, lambda P, g: excess(-g @ P @ g) / (g @ g)),),
)
def descent(P, g):
    return excess(-(g @ P @ g)), excess(-least(P)) * (g @ g)


def valley(draw, fixed, eta="1/100"):
    """f = x² + 100y² from (1, 1): a hundred steps."""
    A, path = draw.array([[2, 0], [0, 200]]), [draw.array([1, 1])]
    for _ in range(20 if draw.exact else 100):
        path.append(stepped(fixed, A, path[-1], draw.array(eta)[()]))
    return {"path": np.array(path)}


@claim(
    "gradient-descent.valley-edge",
    "On x² + 100y² from (1, 1) gradient descent with η = 0.01 diverges",
    NW + "§3.3",
    valley,
    "false",
    corrected="η = 2/λ_max is the edge: y = (−1)ᵏ for ever; beyond it, it does",
    uses=USES,
    scale=lambda: 1.0,
    because="|1 − 0.01 · 200| is 1 to a rounding, a hundred times",
    fixed=True,
    fails=(Fails("as stated: |y| has grown", valley, lambda path: int(abs(path[-1, 1]) < 2)),),
)
def valley_edge(path):
    return abs(path[:, 1]) - 1, path[1:, 1] + path[:-1, 1]


@claim(
    "gradient-descent.valley-one-step",
    "With η = 0.005 the steep variable y is 0 after one step, and then x = 0.99ᵏ",
    NW + "§3.3",
    lambda draw, fixed: valley(draw, fixed, "1/200"),
    uses=USES,
    scale=lambda: 1.0,
    because="0.005 · 200 is 1 to a rounding, and a hundred factors",
    fixed=True,
)
def valley_one_step(path):
    k = np.arange(len(path))
    wanted = np.array([path[1, 0] ** int(i) for i in k])
    return path[1:, 1], path[:, 0] - wanted, 100 * path[1, 0] - 99
