"""Orders of convergence and their constants, where float64 shows three doublings: in hundreds of digits.

The errors eₖ themselves are far below what a float can hold; what is compared are quotients of them and of their
logarithms. With dₖ = ln(eₖ₊₁/eₖ), order p means dₖ₊₁ = p dₖ, and constants drop out of it.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import DS, NW

MANY = "mpmath"
TINY = "the errors are so small that what an order leaves out is below eps"


DIGITS, ENOUGH = 400, 150  #: computed with, and gone through


def small(mp, error):
    return error < mp.mpf(10) ** -ENOUGH


def exponential(mp, draw):
    """F = eˣ + ax − b with its root, F′ and F″ there."""
    a, root = mp.mpf(float(draw.number(0, 2))), mp.mpf(float(draw.number(-1, 1)))
    b = mp.exp(root) + a * root
    return (lambda x: mp.exp(x) + a * x - b), (lambda x: mp.exp(x) + a), root, mp.exp(root) / (mp.exp(root) + a)


def newton_path(draw):
    """Newton's method on F = 0, n = 1."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        F, slope, root, bend = exponential(mp, draw)
        x, errors = root + mp.mpf(float(draw.number("1/4", "1/2"))), list[Any]()
        while not errors or not small(mp, errors[-1]):
            errors.append(abs(x - root))
            x = x - F(x) / slope(x)
        return {"order": order(mp, errors), "constant": float(errors[-1] / errors[-2] ** 2), "half": float(bend / 2)}


def order(mp, errors):
    """dₖ₊₁/dₖ at the end."""
    d = [mp.log(new / old) for old, new in zip(errors[-3:], errors[-2:], strict=False)]
    return float(d[-1] / d[-2])


@claim(
    "rates.newton",
    "Newton's method has order 2 and the constant F″/2F′:   eₖ₊₁/eₖ² → F″(x*)/2F′(x*)",
    DS + "§2.4; " + NW + "§11.1 and §3.3",
    newton_path,
    given="F′(x*) ≠ 0, F = eˣ + ax − b",
    scale=lambda: (1.0, 1.0),
    because=TINY,
    slack=10,
    exact=False,
    needs=MANY,
)
def newton(order, constant, half):
    return order - 2, constant - half


def double_root(draw):
    """Sixty steps on F = (eˣ − e^root)²: Newton's, or with the step doubled."""
    import mpmath as mp

    with mp.workdps(200):
        root = mp.mpf(float(draw.number(-1, 1)))
        x, errors = root + mp.mpf(float(draw.number("1/4", "1/2"))), list[Any]()
        for _ in range(60):
            errors.append(x - root)
            x = x - (mp.exp(x) - mp.exp(root)) / (2 * mp.exp(x))
        return {"quotient": float(errors[-1] / errors[-2]), "left": float(errors[-2])}


@claim(
    "rates.double-root",
    "At a double root Newton's method is linear:   eₖ₊₁/eₖ → ½",
    DS + "§2.4; " + NW + "§11.1",
    double_root,
    given="F = (eˣ − c)²",
    scale=lambda left: 1 + 1e16 * abs(left),
    because="the quotient differs from ½ by a multiple of eₖ",
    slack=10,
    exact=False,
    needs=MANY,
)
def is_linear(quotient):
    return quotient - 0.5


def secant_path(draw):
    """The secant method on F = 0, n = 1."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        F, _, root, bend = exponential(mp, draw)
        old, x = root + mp.mpf(float(draw.number("1/4", "1/2"))), root - mp.mpf(float(draw.number("1/8", "1/4")))
        errors = [abs(old - root), abs(x - root)]
        while not small(mp, errors[-1]):
            old, x = x, x - F(x) * (x - old) / (F(x) - F(old))
            errors.append(abs(x - root))
        d = [mp.log(new / old) for old, new in zip(errors[-4:], errors[-3:], strict=False)]
        return {
            "fibonacci": float(d[2] / (d[1] + d[0])), "order": float(d[2] / d[1]),
            "constant": float(errors[-1] / (errors[-2] * errors[-3])), "half": float(bend / 2),
        }  # fmt: skip


@claim(
    "rates.secant",
    "The secant method has order (1 + √5)/2:   dₖ₊₁ = dₖ + dₖ₋₁ for dₖ = ln(eₖ₊₁/eₖ), and eₖ₊₁/(eₖeₖ₋₁) → F″/2F′",
    DS + "§2.6",
    secant_path,
    given="F′(x*) ≠ 0, F = eˣ + ax − b; dₖ₊₁/dₖ itself approaches the golden ratio like its powers, to 10⁻³ here",
    scale=lambda: (1.0, 1.0, 1.0),
    because=TINY,
    slack=10,
    exact=False,
    needs=MANY,
)
def secant(fibonacci, order, constant, half):
    golden = (1 + 5**0.5) / 2
    return fibonacci - 1, constant - half, max(0.0, abs(order - golden) - 1e-3)


def inexact_path(draw):
    """Newton's method on F = 0 with |F|^½ of the right-hand side left as a residual."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        F, slope, root, _ = exponential(mp, draw)
        x, values = root + mp.mpf(float(draw.number("1/16", "1/8"))), list[Any]()
        while not values or not small(mp, values[-1]):
            values.append(abs(F(x)))
            x = x - F(x) * (1 - mp.sqrt(abs(F(x)))) / slope(x)
        return {"order": order(mp, values)}


@claim(
    "rates.inexact-newton",
    "Inexact Newton with ‖Hp + g‖ = ‖g‖^½ · ‖g‖ has order 3/2",
    NW + "§7.1",
    inexact_path,
    given="∇²f(x*) nonsingular and ∇²f Lipschitz",
    scale=lambda: 1.0,
    because=TINY,
    slack=10,
    exact=False,
    needs=MANY,
)
def inexact_newton(order):
    return order - 1.5


# --- superlinear -------------------------------------------------------------------------------------------------


def strongly_convex(mp, draw):
    """f = ½xᵀBx + Σ(cosh xᵢ − 1), minimal at 0: its gradient, B, a start, and the identity."""
    B = np.array([[mp.mpf(float(value)) for value in row] for row in draw.unit(2, 3)])
    x = np.array([mp.mpf(float(value)) for value in draw.vector(2)])
    one = np.array([[mp.mpf(int(i == j)) for j in range(2)] for i in range(2)])
    return lambda x: B @ x + np.array([mp.sinh(value) for value in x]), B, x / 50, one


def quotients(mp, lengths):
    """The largest of the first and of the last five ‖F₊‖/‖F‖."""
    found = [float(new / old) for old, new in pairwise(lengths)]
    return {"early": max(found[:5]), "late": max(found[-5:])}


def bfgs_path(draw, update):
    """Full steps of BFGS from near the minimiser."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        gradient, _, x, one = strongly_convex(mp, draw)
        H, g, lengths = one / 2, gradient(x), list[Any]()
        for _ in range(100):
            s = -(H @ g)
            x, before, g = x + s, g, gradient(x + s)
            H = update(H, s, g - before)
            lengths.append(mp.sqrt(g @ g))
            if small(mp, lengths[-1]) or lengths[-1] > 100:
                break
        return quotients(mp, lengths)


FAR = "the quotient is far below the bound"


@claim(
    "rates.bfgs-superlinear",
    "BFGS with full steps near a minimiser is superlinear: ‖gₖ₊₁‖/‖gₖ‖ → 0, below 10⁻⁴ before ‖g‖ is below 10⁻¹⁵⁰",
    NW + "§6.4; " + DS + "§9.3",
    bfgs_path,
    "conditional",
    given="∇²f(x*) ≻ 0, a start near enough, n = 2; with a constant H it is linear",
    uses=("bfgs.update",),
    scale=lambda: 1.0,
    because=FAR,
    exact=False,
    needs=MANY,
    fails=(Fails("H stays what it was", lambda draw, update: bfgs_path(draw, lambda H, s, y: H)),),
)
def bfgs_superlinear(late):
    return max(0.0, late - 1e-4)


def broyden_path(draw, update):
    """Full steps of Broyden's method on ∇f = 0, from J = 2I."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        F, _, x, one = strongly_convex(mp, draw)
        J, r, lengths = 2 * one, F(x), list[Any]()
        for _ in range(100):
            s = np.array(list(mp.lu_solve(mp.matrix(J.tolist()), mp.matrix(list(-r)))))
            x, before, r = x + s, r, F(x + s)
            J = update(J, s, r - before)
            lengths.append(mp.sqrt(r @ r))
            if small(mp, lengths[-1]) or lengths[-1] > 100:
                break
        return quotients(mp, lengths)


@claim(
    "rates.broyden-superlinear",
    "Broyden's method near a root is superlinear: ‖Fₖ₊₁‖/‖Fₖ‖ → 0, below 10⁻⁴ before ‖F‖ is below 10⁻¹⁵⁰",
    DS + "§8.2; " + NW + "§11.1",
    broyden_path,
    "conditional",
    given="J(x*) nonsingular, x₀ and J₀ near enough, n = 2; with a constant J it is linear",
    uses=("equations_secant.broyden",),
    scale=lambda: 1.0,
    because=FAR,
    exact=False,
    needs=MANY,
    fails=(Fails("J stays what it was", lambda draw, update: broyden_path(draw, lambda J, s, y: J)),),
)
def broyden_superlinear(late):
    return max(0.0, late - 1e-4)
