"""Taylor's theorem, conditions of optimality, convexity.

The test function is f = ½xᵀBx + bᵀx + ¼Σ(aᵢᵀx)⁴, whose slope along a line is a cubic polynomial.
"""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import BV, NW
from refopt.oracle.draw import bulk, excess, with_spectrum

SUMMED = "values and slopes are sums of terms of this size"


def value(B, b, a, x):
    return x @ B @ x / 2 + b @ x + ((a @ x) ** 4).sum() / 4


def gradient(B, b, a, x):
    return B @ x + b + a.T @ (a @ x) ** 3


def terms(B, b, a, x, p):
    """What is summed in a value at x + p."""
    far = float(bulk(x) + bulk(p))
    return float(bulk(B)) * far**2 + float(bulk(b)) * far + (float(bulk(a)) * far) ** 4


def along(draw, B=None):
    n = draw.size() if B is None else len(B)
    B = draw.matrix(n, n) if B is None else B
    return {"B": (B + B.T) / 2, "b": draw.vector(n), "a": draw.matrix(2, n), "x": draw.vector(n), "p": draw.vector(n)}


def convex(draw):
    return along(draw, draw.spd(draw.size(), 1e3))


def concave_somewhere(draw):
    """No quartic, and p along negative curvature."""
    Q, values = draw.orthogonal(n := draw.size(2)), draw.mixed(n)
    return along(draw, with_spectrum(Q, values)) | {"a": draw.array(np.zeros((1, n), int)), "p": Q[:, 0]}


def stationary(made):
    """The same function with another slope, so that ∇f(x) = 0."""
    return made | {"b": -gradient(made["B"], 0 * made["b"], made["a"], made["x"])}


# --- Taylor ------------------------------------------------------------------------------------------------------


@claim(
    "optimality.taylor-integral",
    "f(x + p) = f(x) + ∫₀¹ ∇f(x + tp)ᵀp dt",
    NW + "§2.1 (Taylor's theorem)",
    along,
    given="f is a quartic here: Simpson's rule is exact for its slope",
    scale=terms,
    because=SUMMED,
)
def taylor_integral(B, b, a, x, p):
    slopes = [gradient(B, b, a, y) @ p for y in (x, x + p / 2, x + p)]
    return 6 * (value(B, b, a, x + p) - value(B, b, a, x)) - (slopes[0] + 4 * slopes[1] + slopes[2])


@claim(
    "optimality.taylor-remainder",
    "f(x + p) = f(x) + ∇f(x)ᵀp + ½pᵀ∇²f(x + tp)p for some t in (0, 1)",
    NW + "§2.1 (Taylor's theorem)",
    along,
    given="pᵀ∇²f(x + tp)p is continuous in t: it takes the value iff that lies between its least and its largest",
    scale=terms,
    because=SUMMED,
)
def taylor_remainder(B, b, a, x, p):
    u, v = a @ x, a @ p
    fourth = (v**4).sum()
    lowest = -(u @ v**3) / fourth if fourth != 0 else 0 * fourth  # the bend is a parabola in t, open above
    bends = [p @ B @ p + 3 * ((u + t * v) ** 2) @ v**2 for t in (0, 1, min(max(lowest, 0 * fourth), 1 + 0 * fourth))]
    asked = 2 * (value(B, b, a, x + p) - value(B, b, a, x) - gradient(B, b, a, x) @ p)
    return excess(min(bends) - asked), excess(asked - max(bends))


# --- conditions --------------------------------------------------------------------------------------------------


def with_concave_direction(draw):
    """∇f(0) = 0 and dᵀBd < 0; α < 1 is short enough for the quartic to take back no more than half."""
    Q, values = draw.orthogonal(n := draw.size(2)), draw.mixed(n)
    B, a, d = with_spectrum(Q, values), draw.matrix(2, n), Q[:, 0] * draw.magnitude(1)
    short = -(d @ B @ d) / (1 + ((a @ d) ** 4).sum())
    return {"B": B, "a": a, "d": d, "alpha": short / (1 + short) * draw.number(0, 1)}


@claim(
    "optimality.second-order-necessary",
    "At a local minimiser ∇²f ⪰ 0: where dᵀ∇²f(x*)d < 0, f(x* + αd) ≤ f(x*) + ¼α²dᵀ∇²f(x*)d for all small α",
    NW + "§2.1 (second-order necessary conditions)",
    with_concave_direction,
    given="∇f(x*) = 0; here α² ≤ −dᵀ∇²f(x*)d / Σ(aᵢᵀd)⁴",
    scale=lambda B, d, alpha: float(alpha**2 * bulk(B) * bulk(d) ** 2),
    because=SUMMED,
)
def second_order_necessary(B, a, d, alpha):
    return excess(value(B, 0 * d, a, alpha * d) - alpha**2 * (d @ B @ d) / 4)


def cubic_bowl(draw, flat=False):
    """f = ½zᵀDz + ⅙Σtᵢzᵢ³ with ‖z‖ ≤ μ/L, μ = min dᵢ, L = max |tᵢ|; or D = 0, z along −t."""
    D, t, z = draw.positive(n := draw.size(), 1e3), draw.vector(n), draw.vector(n)
    if flat:
        return {"D": 0 * D, "t": t, "z": -t / bulk(t), "mu": 0 * D[0], "L": abs(t).max()}
    mu, L = D.min(), abs(t).max()
    return {"D": D, "t": t, "z": z * draw.number(0, 1) * mu / (L * bulk(z)), "mu": mu, "L": L}


@claim(
    "optimality.second-order-sufficient",
    "Where ∇f(x*) = 0 and the Hessian is semidefinite, x* is a strict local minimiser: f(x* + p) ≥ f(x*) + ⅓μ‖p‖²",
    NW + "§2.1 (second-order sufficient conditions)",
    cubic_bowl,
    "conditional",
    given="∇²f(x*) ⪰ μI with μ > 0, ∇²f has the Lipschitz constant L, and ‖p‖ ≤ μ/L",
    scale=lambda D, t, z: float(D @ z**2 + abs(t) @ abs(z) ** 3),
    because=SUMMED,
    fails=(Fails("μ = 0, f = ⅙Σtᵢzᵢ³", lambda draw: cubic_bowl(draw, flat=True)),),
)
def second_order_sufficient(D, t, z, mu):
    return excess(mu * (z @ z) / 3 - (D @ z**2 / 2 + t @ z**3 / 6))


# --- convexity ---------------------------------------------------------------------------------------------------


@claim(
    "optimality.tangent-below",
    "f lies above its tangents:   f(x + p) ≥ f(x) + ∇f(x)ᵀp",
    BV + "§3.1.3; " + NW + "§2.1",
    convex,
    "conditional",
    given="f is convex",
    scale=terms,
    because=SUMMED,
    fails=(Fails("negative curvature along p", concave_somewhere),),
)
def below(B, b, a, x, p):
    return excess(value(B, b, a, x) + gradient(B, b, a, x) @ p - value(B, b, a, x + p))


@claim(
    "optimality.convex-chord",
    "f lies below its chords:   f(x + tp) ≤ (1 − t)f(x) + tf(x + p), 0 ≤ t ≤ 1",
    NW + "chapter 1 (convexity) and §2.1",
    lambda draw: convex(draw) | {"t": draw.number(0, 1)},
    "conditional",
    given="f is convex",
    scale=terms,
    because=SUMMED,
    fails=(
        Fails("negative curvature along p", lambda draw: concave_somewhere(draw) | {"t": draw.number("1/4", "3/4")}),
    ),
)
def chord(B, b, a, x, p, t):
    ends = (1 - t) * value(B, b, a, x) + t * value(B, b, a, x + p)
    return excess(value(B, b, a, x + t * p) - ends)


@claim(
    "optimality.global",
    "A stationary point is a global minimiser:   f(x* + p) ≥ f(x*) for every p",
    NW + "§2.1 (convex functions)",
    lambda draw: stationary(convex(draw)),
    "conditional",
    given="f is convex and ∇f(x*) = 0",
    scale=terms,
    because=SUMMED,
    fails=(Fails("f is not convex", lambda draw: stationary(concave_somewhere(draw))),),
)
def globally(B, b, a, x, p):
    return excess(value(B, b, a, x) - value(B, b, a, x + p)), gradient(B, b, a, x) @ p


@claim(
    "optimality.monotone-gradient",
    "The gradient is monotone:   (∇f(x + p) − ∇f(x))ᵀp ≥ 0",
    NW + "§2.1; " + BV + "§3.1.3",
    convex,
    "conditional",
    given="f is convex",
    scale=terms,
    because=SUMMED,
    fails=(Fails("negative curvature along p", concave_somewhere),),
)
def monotone(B, b, a, x, p):
    return excess((gradient(B, b, a, x) - gradient(B, b, a, x + p)) @ p)
