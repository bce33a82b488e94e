"""Newton's methods, state by state: their steps, and how they leave saddles."""

from math import inf

import numpy as np

from refopt import inexact
from refopt.departure import depart
from refopt.krylov import Inner
from refopt.linesearch import FIXED
from refopt.methods import (
    damped_newton,
    diagonal_newton,
    modified_newton,
    natural_gradient,
    newton,
    saddle_free_newton,
)
from refopt.newton_type import State as NewtonState
from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.states import SAME, quartic, together
from refopt.oracle.draw import apart, excess, size
from refopt.problem import Problem

# --- with the Hessian --------------------------------------------------------------------------------------------


def steps(draw):
    """Each direction from any symmetric matrix, and the state where half of it leads."""
    rows = []
    n = draw.size(2)
    problem, x = quartic(draw, n=n)
    B = draw.indefinite(n)
    B, g = B / size(B), problem.grad.function(x)
    values, V = np.linalg.eigh(B)
    lam, d = float(draw.number("1/10", 1)), np.diag(B)
    least, clip, most = float(draw.number("1/100", "1/2")), float(draw.number("1/10", 1)), float(draw.number(1, 9))
    curvature = np.minimum(np.maximum(abs(d), least * abs(d).max()), clip * abs(d).max())
    tau = 0.0
    while (values + tau).min() <= 0:
        tau = max(2 * tau, 1e-3)
    lost = (1 + lam + tau) / min(abs(values + shift).min() for shift in (0.0, lam, tau))  # ‖B‖_F = 1
    expected = {
        newton: (newton.Params(step=0.5), -np.linalg.solve(B, g)),
        damped_newton: (damped_newton.Params(step=0.5, damping=lam), -np.linalg.solve(B + lam * np.eye(n), g)),
        natural_gradient: (natural_gradient.Params(step=0.5, damping=lam), -np.linalg.solve(B + lam * np.eye(n), g)),
        saddle_free_newton: (saddle_free_newton.Params(step=0.5, search=FIXED), -V @ ((V.T @ g) / abs(values))),
        modified_newton: (modified_newton.Params(search=FIXED), -np.linalg.solve(B + tau * np.eye(n), g) * 2),
        diagonal_newton: (
            diagonal_newton.Params(step=0.5, floor=least, clip=clip * abs(d).max(), clip_update=most),
            np.clip(-g / curvature, -most, most),
        ),
    }
    floored = -V @ ((V.T @ g) / np.maximum(abs(values), 0.5 * abs(values).max()))
    rows.append(apart(saddle_free_newton.direction(B, g, 0.5), floored))
    for method, (params, p) in expected.items():
        state = method.init(problem, x, params)
        rows += [state.B - problem.hess.function(x), state.first - state.f, state.g - g]
        new = method.step(problem, state._replace(B=B, first=state.f - 1.0, weak=1), params)
        y = new.x
        rows += [
            apart(y, x + p / 2, x, lost * size(g)) / lost, new.f - problem.fun.function(y),
            new.g - problem.grad.function(y), new.B - problem.hess.function(y), apart(new.first, state.f - 1.0),
            float(new.weak), new.nfev - 2.0, new.njev - 2.0, new.nhev - 2.0, float(not new.ok),
        ]  # fmt: skip
        for broken, hessians in ({"fun": lambda x: np.nan}, 1.0), ({"hess": lambda x: np.nan * B}, 2.0):
            blind = method.step(problem._replace(**broken), state._replace(B=B), params)
            rows += [blind.x - x, float(blind.ok or blind.taken), blind.nhev - hessians]
    unit = saddle_free_newton.direction(0 * B, g, 0.1) * size(g)
    rows += [modified_newton.direction(B * np.nan, g, 1e-3)[0] + g, apart(unit, -g)]
    rows.append(apart(diagonal_newton.direction(0 * B, g, 0.1, 1e30, 1e30), -g))
    singular = np.diag(np.arange(n) > 0) * 1.0
    for method, params in (
        (newton, newton.Params()), (natural_gradient, natural_gradient.Params()),
        (damped_newton, damped_newton.Params(damping=0.0)),
    ):  # fmt: skip
        stuck = method.step(problem, method.init(problem, x, params)._replace(B=singular), params)
        rows += [stuck.x - x, float(stuck.ok or stuck.taken)]
    return {"rows": rows}


@claim(
    "states.newton",
    "x₊ = x + ηp with p = −B⁻¹g, −(B + λI)⁻¹g, −|B|⁻¹g, −(B + τI)⁻¹g for the first τ = 0, β‖B‖, 2β‖B‖ … that will do",
    NW + "§3.3 and §3.4; Y. LeCun et al., Efficient BackProp, §9.2 (the diagonal)",
    steps,
    given="by its diagonal, −gᵢ/|Bᵢᵢ| with both clipped; a singular system has no step",
    scale=lambda: 10.0,
    because=SAME + "; a solve loses eps κ(B)",
    exact=False,
)
def newton_steps(rows):
    return together(rows)


def beside_a_saddle(draw):
    """f = ½xᵀAx + ¼‖x‖⁴ and next to nothing of a gradient; the way out, along the eigenvector of A's λ₁ < 0."""
    A = draw.indefinite(n := draw.size(2))
    A = A / size(A)
    values, V = np.linalg.eigh(A)
    problem = Problem(
        lambda x: x @ A @ x / 2 + (x @ x) ** 2 / 4, lambda x: A @ x + (x @ x) * x, lambda x: A + (x @ x) * np.eye(n)
        + 2 * np.outer(x, x), lambda x, v: A @ v + (x @ x) * v + 2 * (x @ v) * x,
    )  # fmt: skip
    x, first = 0 * V[:, 0], float(draw.number(0, 9)) * int(draw.rng.integers(2))
    g = 1e-9 * abs(values).min() * draw.vector(n) * (first > 0)
    length = max(np.sqrt(2 * first / abs(values[0])), np.sqrt(2e-12 * first / abs(values[0]))) or 1.0
    length = max(length, 1.0) if not first else length
    v = V[:, 0] * (-1 if g @ V[:, 0] > 0 else 1)
    return problem, A, values, v, x, g, first, length


def left(draw):
    """Where each method with a Hessian goes from there."""
    problem, A, values, v, x, g, first, length = beside_a_saddle(draw)
    rows = []
    for method in (saddle_free_newton, modified_newton):
        params = method.Params()
        state = NewtonState(x, 0.0, g, A, first, 0, True, True, 1, 1, 1)
        new = method.step(problem, state, params)
        out = depart(problem, x, 0.0, g, length * v, length**2 * values[0], params.trials)
        sign = 1.0 if first else np.sign(new.x @ out.x)
        rows += [apart(new.x, sign * out.x), new.nfev - 1.0 - out.nfev, float(method.predicted(state) != inf)]
    found = Inner(0 * x, 0.0, False, 0.0, 7)
    g = g if draw.rng.integers(2) else draw.vector(len(x))
    way = inexact.way(problem, x, 0.0, g, first, found)
    unit = way.p / size(way.p)
    bent = abs(unit @ A @ unit)
    reach = np.sqrt(2 * first / bent) if first else 1.0
    rows += [
        bent * (size(way.p) / reach - 1), bent * (way.bend / (way.p @ A @ way.p) - 1), excess(way.bend),
        excess(way.p @ g), float(way.gain != inf), excess(8.0 - way.products),
    ]  # fmt: skip
    point = inexact.ahead(problem, x, 0.0, g, way.p, way.bend, 0, 1e-4, 0.9, 40)
    rows.append(apart(point.x, depart(problem, x, 0.0, g, way.p, way.bend, 40).x))
    kept = inexact.way(problem, x, 0.0, g, first, found._replace(p=v, gain=1.0))
    rows += [kept.p - v, kept.bend, kept.gain - 1.0, kept.products - 7.0]
    return {"rows": rows, "known": min(values[1] - values[0], -values[0])}


@claim(
    "states.saddle",
    "Beside a saddle the step goes along negative curvature, not uphill, so far that f falls again as much as it has",
    "J. J. Moré & D. C. Sorensen, Math. Program. 16 (1979) 1",
    left,
    given="next to nothing is to be gained otherwise; ½|λ₁|s² = f₀ − f, or s = 1 where f has not fallen",
    scale=lambda known: 10 / known,
    because=SAME + "; of a matrix of norm 1 eigenvectors lose the reciprocal of their gap, and √λ₁ that of λ₁",
    exact=False,
)
def saddle(rows):
    return together(rows)
