"""Minimisation, state by state: what each method carries to its next step, from its equations written out."""

from typing import Any

import numpy as np

from refopt.linesearch import ARMIJO, FIXED, Point
from refopt.linesearch import search as by_search
from refopt.methods import adagrad, adahessian, adam, bfgs, broyden, dfp, gradient_descent, l_bfgs
from refopt.ops import signs
from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import Counted, apart, size
from refopt.problem import Problem

SAME = "the same sums of a few terms, relative to the largest of them"
FAMILY = {"bfgs": bfgs, "dfp": dfp, "broyden": broyden}


def quartic(draw, n=None, dead=False):
    """½xᵀAx − bᵀx + ¼(aᵀx)⁴ with counted functions, and a point; a `dead` variable is the first that f ignores."""
    n = n or draw.size(2)
    A, a, b, x = draw.unit(n, 1e2), draw.vector(n), draw.vector(n), draw.vector(n)
    if dead:
        A[0], A[:, 0], a[0], b[0], a[1] = 0.0, 0.0, 0.0, 0.0, 1.0
    A, a = A / size(A), a / size(a)
    problem = Problem(
        fun=Counted(lambda x: x @ A @ x / 2 - b @ x + (a @ x) ** 4 / 4),
        grad=Counted(lambda x: A @ x - b + (a @ x) ** 3 * a),
        hess=Counted(lambda x: A + 3 * (a @ x) ** 2 * np.outer(a, a)),
        hvp=lambda x, v: A @ v + 3 * (a @ x) ** 2 * (a @ v) * a,
    )
    return problem, x


def found(x, problem, p, alpha, lower=True, wolfe=True):
    """What a search would return at x + αp."""
    y = x + alpha * p
    return Point(y, problem.fun.function(y), problem.grad.function(y), alpha, 3, 2, lower, wolfe)


# --- quasi-Newton ------------------------------------------------------------------------------------------------


def updated(name, H, s, y):
    """The book's formulas of Hₖ₊₁."""
    if name == "bfgs":
        V = np.eye(len(s)) - np.outer(s, y) / (y @ s)
        return V @ H @ V.T + np.outer(s, s) / (y @ s)
    if name == "dfp":
        return H - np.outer(H @ y, H @ y) / (y @ H @ y) + np.outer(s, s) / (y @ s)
    r = s - H @ y
    return H + np.outer(r, r) / (r @ y)


def advanced(draw):
    """Each method from a state with any H, by a point that a search has found."""
    rows = []
    for name, method in FAMILY.items():
        problem, x = quartic(draw)
        H, g = draw.unit(len(x), 10), problem.grad.function(x)
        state = method.init(problem, x, method.Params())
        gamma = size(x) / size(g)
        rows += [
            apart(state.H, gamma * np.eye(len(x))),
            apart(state.p, -gamma * g),
            state.alpha,
            method.predicted(state),
        ]
        state = method.primed(state, H)
        rows += [state.H - H, apart(state.p, -H @ g), apart(method.predicted(state), g @ H @ g / 2), float(state.fresh)]
        p, alpha = state.p, float(draw.number("1/10", 2))
        wolfe = bool(draw.rng.integers(2))
        point = found(x, problem, p, alpha, wolfe=wolfe)
        s, y = point.x - x, point.g - g
        new = method.advance(state._replace(H=H.copy(), weak=2), point, method.Params())
        learnt = name != "broyden" or (s - H @ y) @ y > 0 or -alpha * (g @ s) < s @ y
        expected = updated(name, H, s, y) if learnt else H
        grown = 1 + (size(s) + size(H) * size(y)) ** 2 / min(abs(y @ s), abs(y @ H @ y), abs((s - H @ y) @ y))
        rows += [
            (new.H - expected) / grown**2, apart(new.p, -expected @ point.g) / grown**2,
            new.x - point.x, new.f - point.f, new.g - point.g, new.alpha - alpha, new.nfev - 4.0, new.njev - 3.0,
            new.weak - (0.0 if wolfe else 3.0), new.ok - float(wolfe), float(not new.taken),
        ]  # fmt: skip
        back = found(x, problem, -p, alpha)  # uphill: yᵀs may have any sign
        turned = Point(x + p, back.f, g - (point.g - g), 1.0, 1, 1, True, True)
        same = method.advance(state._replace(H=H.copy()), turned, method.Params())
        unlearnt = name == "broyden" or p @ (turned.g - g) > 0
        rows += [0.0 if unlearnt else same.H - H, 0.0 if unlearnt else apart(same.p, -H @ turned.g)]
        again = method.restart(new)
        length = size(new.p) / size(new.g)
        rows += [apart(again.H, length * np.eye(len(x))), apart(again.p, -length * new.g), float(not again.fresh),
                 float(again.weak)]  # fmt: skip
        rows += [method.resume(new._replace(ok=False)).ok - 1.0]
        origin = method.init(problem, 0 * x, method.Params())
        rows += [origin.H * size(origin.g) - np.eye(len(x))]
        flat = method.init(problem._replace(grad=lambda x: 0 * x), x, method.Params())
        rows += [flat.H - np.eye(len(x)), flat.p, method.restart(flat).H - np.eye(len(x))]
    return {"rows": rows}


def together(rows):
    return np.concatenate([np.ravel(row) for row in rows])


@claim(
    "states.quasi-newton",
    "H₀ = (‖x₀‖/‖g₀‖)I, p = −Hg; Hₖ₊₁ from s = x₊ − x, y = g₊ − g by BFGS, DFP or rank one where it stays positive",
    NW + "§6.1 and §6.2",
    advanced,
    given="broyden's H₊ ≻ 0 iff rᵀy > 0 or sᵀBs < sᵀy, where Bs = −αg; ½gᵀHg is promised; three weak searches end it",
    scale=lambda: 10.0,
    because=SAME,
    exact=False,
)
def quasi_newton(rows):
    return together(rows)


def first_trials(draw):
    """Where each method asks for f first, and how far its first step is."""
    rows = []
    for method in (*FAMILY.values(), l_bfgs):
        for search, first in ((0, 0.1), (FIXED, 1.0)):
            problem, x = quartic(draw)
            step, asked = float(draw.number("1/2", 2)), problem.fun
            params = method.Params(search=search, step=step)
            state = method.init(problem, x, params)
            new = method.step(problem, state, params)
            rows.append(apart(asked.seen[1], x + first * step * state.p, x))
            rows.append(new.nfev - asked.calls)
            later = method.step(problem, new._replace(p=-new.g), params)
            rows.append(apart(asked.seen[new.nfev], new.x - step * (1.0 if not new.fresh else first) * new.g, new.x))
            rows.append(later.nfev - asked.calls)
    return {"rows": rows}


@claim(
    "states.first-trial",
    "While nothing is learnt a search first goes a tenth of the way that −γg has, which is ‖x₀‖ long; later all of it",
    "a rule of this library",
    first_trials,
    scale=lambda: 10.0,
    because=SAME,
    exact=False,
)
def first_trial(rows):
    return together(rows)


def limited(draw):
    """Three pairs into a memory of two; the matrix that they stand for, by the book's product."""
    problem, x = quartic(draw, n=draw.size(2))
    scaled = bool(draw.rng.integers(2))
    params = l_bfgs.Params(memory=2, scaling=scaled)
    state = l_bfgs.init(problem, x, params)
    gamma = size(x) / size(state.g)
    rows, pairs = [apart(state.p, -gamma * state.g), state.gamma / gamma - 1, l_bfgs.predicted(state)], list[Any]()
    for k in range(3):
        p = -draw.unit(len(x), 10) @ state.g
        point = found(state.x, problem, p, float(draw.number("1/10", 1)), wolfe=k % 2 == 0)
        s, y = point.x - state.x, point.g - state.g
        new = l_bfgs.advance(state, point, params)
        pairs = [*pairs, (s, y)][-2:]
        gamma = (s @ y) / (y @ y) if scaled else gamma
        H = gamma * np.eye(len(x))
        for u, v in pairs:
            H = updated("bfgs", H, u, v)
        grown = 1 + sum(size(u) * size(v) / (u @ v) for u, v in pairs) ** 2
        rows += [
            apart(new.p, -H @ new.g, size(H) * size(new.g)) / grown, new.gamma / gamma - 1, new.x - point.x,
            new.f - point.f, new.g - point.g, new.alpha - point.alpha, new.pairs - k - 1.0, new.weak - float(k % 2),
            apart(l_bfgs.predicted(new), new.g @ H @ new.g / 2, size(H) * size(new.g) ** 2) / grown,
            float(not new.ok),
        ]  # fmt: skip
        state = new
    again = l_bfgs.restart(state)
    length = size(state.p) / size(state.g)
    rows += [apart(again.p, -length * state.g), again.gamma / length - 1, float(again.pairs)]
    S, Y = (np.array(part) for part in zip(*pairs, strict=True))
    primed = l_bfgs.primed(l_bfgs.init(problem, state.x, params), (S, Y))
    s, y = pairs[-1]
    H = (s @ y) / (y @ y) * np.eye(len(x))
    for u, v in pairs:
        H = updated("bfgs", H, u, v)
    rows += [apart(primed.p, -H @ primed.g, size(H) * size(primed.g)) / grown, primed.pairs - 2.0,
             primed.gamma * (y @ y) / (s @ y) - 1]  # fmt: skip
    bent = state._replace(g=state.g * 0)
    turned = l_bfgs.advance(bent, Point(state.x + p, 0.0, -p, 1.0, 1, 1, True, True), params)
    rows += [turned.pairs - 3.0, l_bfgs.restart(bent).gamma - 1.0]
    asked = l_bfgs.init(problem, x, l_bfgs.Params(gamma=7.0, memory=0))
    rows += [asked.p + 7 * asked.g, asked.S.shape[0] - 1.0 if isinstance(asked.S, np.ndarray) else 0.0]
    return {"rows": rows}


@claim(
    "states.l-bfgs",
    "p = −Hg, where H is γI after the BFGS updates of the last m pairs, γ = sᵀy/yᵀy of the newest; γ₀ = ‖x₀‖/‖g₀‖",
    NW + "§7.2",
    limited,
    given="without scaling γ stays γ₀; pairs with yᵀs ≤ 0 are left out",
    scale=lambda: 10.0,
    because=SAME,
    exact=False,
)
def limited_memory(rows):
    return together(rows)


# --- gradient descent --------------------------------------------------------------------------------------------


def descended(draw):
    """A step with each search."""
    rows = []
    for search in range(4):
        problem, x = quartic(draw)
        whole = float(draw.number("1/10", 1)) * int(draw.rng.integers(2))
        params = gradient_descent.Params(search=search, step=whole, c1=0.01, c2=0.5)
        state = gradient_descent.init(problem, x, params)
        first = params.step or 0.1 * size(x) / size(state.g)
        new = gradient_descent.step(problem, state, params)
        plain = problem._replace(fun=problem.fun.function, grad=problem.grad.function)
        found = by_search(plain, x, state.f, state.g, -state.g, search, 0.01, 0.5, 40, first)
        rows += [apart(new.x, found.x, x), apart(new.alpha, found.alpha)]
        after = first if search == FIXED else new.alpha * (2 if search == ARMIJO else 1)
        rows += [
            apart(state.first, first), apart(new.x, x - new.alpha * state.g, x), apart(new.first, after),
            float(new.weak), apart(gradient_descent.predicted(new), new.first * new.g @ new.g / 2),
            new.nfev - problem.fun.calls, new.njev - problem.grad.calls,
        ]  # fmt: skip
        none = state._replace(first=first, weak=1)
        blind = gradient_descent.step(problem._replace(fun=lambda x: np.nan), none, params)
        rows += [blind.x - x, apart(blind.first, first), blind.weak - 2.0, float(blind.taken or blind.ok)]
    return {"rows": rows}


@claim(
    "states.gradient-descent",
    "x₊ = x − αg; the next search begins with this α, or 2α after backtracking; ½α‖g‖² is what another step promises",
    NW + "§3.1",
    descended,
    given="the first α is asked for, or a tenth of ‖x₀‖/‖g₀‖",
    scale=lambda: 10.0,
    because=SAME,
    exact=False,
)
def descent(rows):
    return together(rows)


# --- adaptive steps ----------------------------------------------------------------------------------------------


def adapted(draw):
    """Three steps of AdaGrad, Adam and AdaHessian, whose means are summed with their weights."""
    rows = []
    for method in (adagrad, adam, adahessian):
        problem, x = quartic(draw, dead=True)
        b1, b2, a = float(draw.number("1/10", "9/10")), float(draw.number("1/10", "9/10")), float(draw.number("1/4", 1))
        params = method.Params(beta1=b1, beta2=b2, exponent=a, eps=0.5, step=float(draw.number("1/100", "1/10")))
        state, seen, squares = method.init(problem, x, params), [], []
        rows.append(float(not (state.taken and state.ok)))
        for k in range(3):
            g = problem.grad.function(state.x)
            seen.append(g)
            z = signs(state.x, k + 1)
            squares.append(g * g if method is not adahessian else (z * problem.hvp(state.x, z)) ** 2)
            t = k + 1
            fade1, fade2 = b1 ** np.arange(t)[::-1], b2 ** np.arange(t)[::-1]
            m, v = (1 - b1) * fade1 @ np.array(seen), fade2 @ np.array(squares)
            v = v if method is adagrad else (1 - b2) * v
            v_hat = v if method is adagrad else v / (1 - b2**t)
            p = -params.step * m / (1 - b1**t) / (v_hat**a + params.eps)
            most = params.step * np.max(np.abs(seen)) / (1 - b1**t) / params.eps
            rows += [
                apart(state.m, m, *seen), apart(state.v, v), apart(state.p, p, most), state.g - g, float(state.t - t),
                state.f - problem.fun.function(state.x), apart(method.predicted(state), abs(g @ p), most * size(g)),
                float(getattr(state, "nhvp", t) - t), float(state.nfev - t), float(state.njev - t),
            ]  # fmt: skip
            new = method.step(problem, state, params)
            rows.append(apart(new.x, state.x + p, state.x, most))
            state = new
        blind = method.step(problem._replace(fun=lambda x: np.nan), state, params)
        rows += [blind.x - state.x, float(blind.taken or blind.ok), float(not method.resume(blind).ok)]
    return {"rows": rows}


@claim(
    "states.adaptive",
    "mₖ = (1 − β₁) Σ β₁ᵏ⁻ⁱgᵢ, vₖ = (1 − β₂) Σ β₂ᵏ⁻ⁱgᵢ², p = −η m̂/(v̂ᵃ + ε), m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)",
    "D. P. Kingma & J. Ba, arXiv:1412.6980, §2 and §3; Z. Yao et al., arXiv:2006.00719, §3",
    adapted,
    given="AdaHessian has z ∘ Hz for g in v; AdaGrad's v = Σ β₂ᵏ⁻ⁱgᵢ² is a sum, with no v̂",
    scale=lambda: 10.0,
    because=SAME,
    exact=False,
)
def adaptive(rows):
    return together(rows)
