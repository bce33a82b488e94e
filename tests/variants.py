"""Problems as users meet them: scaled, shifted, noisy, badly started; and what a run on one may not claim.

    false success   success, although ‖g‖∞ > max(1e-6 · max(1, ‖g(x₀)‖∞), 10 G),  G the noise of g, measured here
    false alarm     f within 1e-6 of a known minimum (1e-10 f(x₀) where it is 0), but no success; limits excepted

On f·c both are held to c times the bounds.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

import refopt
from problems import PROBLEMS, barrier
from refopt import zoo
from refopt.derivatives import gradient
from refopt.derivatives.differences import sizes
from refopt.stopping import Status

EPS, EPS32 = 2.0**-52, 2.0**-23
LIMITS = (Status.MAXITER, Status.MAXFUN, Status.MAXTIME)


class Case(NamedTuple):
    """A function with derivatives, a start, and what is known of it."""

    name: str
    fun: Any
    grad: Any
    hess: Any  #: None where no Hessian is at hand
    x0: np.ndarray
    minima: tuple[float, ...]
    truth: Any  #: f without shift, scale and noise
    f0: float  #: f at the standard start
    scale: float = 1.0  #: the factor of f
    shift: float = 0.0
    rounding: float = EPS  #: of x


def plain(case):
    return case


def times(c):
    def scaled(case):
        hess = case.hess and (lambda x: c * case.hess(x))
        return case._replace(fun=lambda x: c * case.fun(x), grad=lambda x: c * case.grad(x), hess=hess, scale=c)

    return scaled


def plus(c):
    return lambda case: case._replace(fun=lambda x: case.fun(x) + c, shift=c)


def float32_value(case):
    """f rounded to float32, its gradient exact."""
    return case._replace(fun=lambda x: float(np.float32(case.fun(x))))


def float32_point(case):
    """Everything evaluated at x rounded to float32."""

    def at(function):
        return function and (lambda x: function(x.astype("float32").astype(float)))

    return case._replace(fun=at(case.fun), grad=at(case.grad), hess=at(case.hess), rounding=EPS32)


def farther(case):
    return case._replace(x0=10 * case.x0)


def rescaled(case):
    """Each variable in a unit of its own, from 1e-4 to 1e4."""
    d = np.logspace(4, -4, len(case.x0))
    return case._replace(
        fun=lambda z: case.fun(d * z),
        grad=lambda z: d * case.grad(d * z),
        hess=case.hess and (lambda z: np.outer(d, d) * case.hess(d * z)),
        x0=case.x0 / d,
        truth=lambda z: case.truth(d * z),
    )


def restarted(away):
    """From the answer, or from beside it."""

    def begun(case):
        signs = 1.0 - 2.0 * (np.arange(len(case.x0)) % 2)
        return case._replace(x0=answer(case.name) * (1 + away * signs))

    return begun


VARIANTS = {
    "plain": plain, "times 1e12": times(1e12), "times 1e-12": times(1e-12), "plus 1e8": plus(1e8),
    "f in float32": float32_value, "x in float32": float32_point, "ten times the start": farther,
    "rescaled variables": rescaled, "from the answer": restarted(0.0), "1e-9 from the answer": restarted(1e-9),
    "1e-6 from the answer": restarted(1e-6),
}  # fmt: skip


@cache
def classics() -> tuple[Case, ...]:
    """The problems of Moré, Garbow and Hillstrom, some of the zoo, and x − log x."""
    found = [Case(p.name, p.fun, p.grad, p.hess, p.x0, p.minima, p.fun, p.fun(p.x0)) for p in PROBLEMS.values()]
    for name in ("quartic", "valley", "rosenbrock:10"):
        known = zoo.get(name)
        p, minima = known.problem, tuple(minimum.fun for minimum in known.minima)
        found.append(Case(name, p.fun, p.grad, p.hess, known.x0, minima, p.fun, p.fun(known.x0)))
    return *found, Case("barrier", *barrier, np.array([50.0]), (1.0,), barrier[0], 46.0)


@cache
def nist() -> tuple[Case, ...]:
    """The certified problems from both starts, as f = ‖r‖²."""
    found = []
    for name in zoo.names():
        for start in (1, 2) if name.startswith("nist:") else ():
            known = zoo.get(name, start)
            residual, jacobian = known.problem.residual, known.problem.jacobian

            def fun(x, residual=residual):
                r = residual(x)
                return float(r @ r)

            def grad(x, residual=residual, jacobian=jacobian):
                return 2 * residual(x) @ jacobian(x)

            found.append(Case(f"{name}/{start}", fun, grad, None, known.x0, (fun(known.solution),), fun, fun(known.x0)))
    return tuple(found)


@cache
def answer(name: str) -> np.ndarray:
    if name.startswith("nist:"):
        return zoo.get(name.split("/")[0]).solution
    case = next(case for case in classics() if case.name == name)
    return refopt.minimize(case.fun, case.x0, jac=case.grad, hess=case.hess, method="trust-exact").x


def solve(case: Case, method: str, differences: bool = False, **options: Any) -> Any:
    hess = {} if method == "bfgs" or differences else {"hess": case.hess}
    jac = None if differences else case.grad
    return refopt.minimize(case.fun, case.x0, jac=jac, method=method, options=options, **hess)


def gradient_noise(case: Case, x: np.ndarray) -> float:
    """How much g changes when x changes in its last bits."""
    rng = np.random.default_rng(1)
    g, noise = case.grad(x), 0.0
    for _ in range(8):
        y = x * (1 + case.rounding * rng.integers(-4, 5, len(x)))
        noise = max(noise, abs(case.grad(y) - g).max())
    return noise


def difference_error(case: Case, x: np.ndarray) -> float:
    """How far the default differences are from the gradient, at x and beside it."""
    rng, error = np.random.default_rng(1), 0.0
    for k in range(9):
        y = x * (1 + (k > 0) * 1e-8 * rng.uniform(-1, 1, len(x)))
        found = gradient(case.fun, y, "3-point", scale=sizes(case.x0))
        error = max(error, abs(found - case.grad(y)).max())
    return error


def near_a_minimum(case: Case, x: np.ndarray) -> bool:
    f, visible = case.truth(x), 10 * EPS * abs(case.shift)
    return any(abs(f - m) <= (1e-6 * abs(m) if m else 1e-10 * abs(case.f0)) + visible for m in case.minima)


def verdict(case: Case, result: Any, noise: Any = gradient_noise) -> str:
    """ "false success", "false alarm", "solved", "elsewhere" (a success at another point), or "given up"."""
    g0, g = (abs(case.grad(x)).max() for x in (case.x0, result.x))
    near = near_a_minimum(case, result.x)
    if result.success and g > 1e-6 * max(case.scale, g0) and g > 10 * noise(case, result.x):
        return "false success"
    if near and not result.success and result.status not in LIMITS:
        return "false alarm"
    if result.success:
        return "solved" if near else "elsewhere"
    return "given up"


def survey(cases: Any, variant: str, method: str, differences: bool = False, **options: Any) -> dict[str, list[str]]:
    """The names of the cases under their verdicts."""
    found: dict[str, list[str]] = {}
    noise = difference_error if differences else gradient_noise
    for case in cases:
        changed = VARIANTS[variant](case)
        result = solve(changed, method, differences, **options)
        found.setdefault(verdict(changed, result, noise), []).append(case.name)
    return found
