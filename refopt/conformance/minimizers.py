"""What anybody expects of ``target(fun, x0, jac=grad)``: an object with x, fun and success."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from refopt.conformance import Property
from refopt.conformance.strategies import nonzero_vectors, scales, sizes, spd, vectors


class Quadratic(NamedTuple):
    """½(x − c)ᵀA(x − c), from x0."""

    A: np.ndarray
    c: np.ndarray
    x0: np.ndarray

    def fun(self, x: Any) -> float:
        return float(0.5 * (x - self.c) @ self.A @ (x - self.c))

    def grad(self, x: Any) -> np.ndarray:
        return self.A @ (x - self.c)


@st.composite
def quadratics(draw: Any, condition: float = 1e3) -> Quadratic:
    n = draw(sizes)
    return Quadratic(draw(spd(n, condition)), draw(vectors(n)), draw(vectors(n)))


@st.composite
def scaled(draw: Any) -> tuple[Quadratic, float]:
    return draw(quadratics(10.0)), draw(scales)


def solves(target: Any, q: Quadratic) -> str:
    result = target(q.fun, q.x0, jac=q.grad)
    gap, start = q.fun(np.asarray(result.x)), q.fun(q.x0)
    if gap > 1e-6 * start:
        return f"f is {gap:.2g} at the end and {start:.2g} at the start; the minimum is 0"
    return "" if result.success else f"it has found the minimum, f = {gap:.2g}, and says it failed"


def reports_its_point(target: Any, q: Quadratic) -> str:
    result = target(q.fun, q.x0, jac=q.grad)
    ours, theirs = q.fun(np.asarray(result.x)), float(result.fun)
    same = abs(ours - theirs) <= 1e-10 * max(abs(ours), q.fun(q.x0) * 1e-6)
    return "" if same else f"result.fun is {theirs!r}, and fun(result.x) is {ours!r}"


def leaves_x0_alone(target: Any, q: Quadratic) -> str:
    x0 = q.x0.copy()
    target(q.fun, x0, jac=q.grad)
    return "" if np.array_equal(x0, q.x0) else f"x0 was {q.x0} and has become {x0}"


def descends(target: Any, q: Quadratic) -> str:
    result = target(q.fun, q.x0, jac=q.grad)
    end = q.fun(np.asarray(result.x))
    return "" if end <= q.fun(q.x0) * (1 + 1e-12) else f"f rose from {q.fun(q.x0):.6g} to {end:.6g}"


def stays_at_the_minimum(target: Any, q: Quadratic) -> str:
    result = target(q.fun, q.c, jac=q.grad)
    if not np.allclose(result.x, q.c, rtol=1e-12, atol=1e-12):
        return f"it left the minimum {q.c} for {result.x}"
    return "" if result.success else "it started at the minimum, and says it failed"


def claims_nothing_it_has_not(target: Any, instance: tuple[Quadratic, float]) -> str:
    """With f in other units: success needs a gradient that has become small beside where it began."""
    q, unit = instance
    result = target(lambda x: unit * q.fun(x), q.x0, jac=lambda x: unit * q.grad(x))
    end, start = np.abs(q.grad(np.asarray(result.x))).max(), np.abs(q.grad(q.x0)).max()
    if result.success and end > 1e-3 * start:
        return f"f in units of {1 / unit:g}: it claims success where ‖g‖∞ is still {end / start:.2g} of its start"
    return ""


def refuses_nan(target: Any, x0: np.ndarray) -> str:
    try:
        result = target(lambda x: float("nan"), x0, jac=lambda x: np.full_like(x, np.nan))
    except (ValueError, ArithmeticError, RuntimeError):
        return ""
    return "it claims success where f is NaN everywhere" if result.success else ""


def survives_walls(target: Any, q: Quadratic) -> str:
    """f is NaN beyond a wall that lies between the start and nowhere: the minimum is on this side."""
    d = q.x0 - q.c
    beyond = 1.5 * float(d @ d) + 1e-12

    def fun(x: Any) -> float:
        return q.fun(x) if (x - q.c) @ (x - q.c) <= beyond else float("nan")

    result = target(fun, q.x0, jac=q.grad)
    value = fun(np.asarray(result.x))
    if result.success and not np.isfinite(value):
        return f"it claims success at {result.x}, where f is {value}"
    return "" if np.isfinite(value) else f"it ends at {result.x}, where f is {value}"


class Mine(Exception):
    """An exception of the user's."""


def lets_exceptions_through(target: Any, x0: np.ndarray) -> str:
    def fun(x: Any) -> float:
        raise Mine("from fun")

    try:
        target(fun, x0, jac=lambda x: np.zeros_like(x))
    except Mine:
        return ""
    except Exception as error:  # what arrives in place of Mine is the complaint
        return f"fun raised Mine, and what arrived is {type(error).__name__}"
    return "fun raised Mine, and nothing arrived"


PROPERTIES = [
    Property("quadratics", "a convex quadratic, κ ≤ 1000, is minimized, and success says so", quadratics(), solves),
    Property("reported point", "result.fun is fun(result.x)", quadratics(10.0), reports_its_point),
    Property("x0 untouched", "x0 is not written into", quadratics(10.0), leaves_x0_alone),
    Property("descent", "the end is no worse than the start", quadratics(), descends),
    Property("at the minimum", "a start at the minimum is the answer", quadratics(10.0), stays_at_the_minimum),
    Property("units of f", "success is not claimed far from the minimum in any units", scaled(),
             claims_nothing_it_has_not),
    Property("NaN everywhere", "success is not claimed where f is NaN", nonzero_vectors(), refuses_nan),
    Property("walls of NaN", "a trial that is NaN is not the end", quadratics(10.0), survives_walls),
    Property("exceptions", "an exception of fun arrives unchanged", nonzero_vectors(), lets_exceptions_through),
]  # fmt: skip
