"""Measuring the noise of f and of its gradient at a point, with a few evaluations, when a run is stuck.

Differences of f along known slopes separate three things by how they grow with the step h: rounding does not grow,
curvature grows like h² or h³, and a wrong derivative grows like h. Used only at the end of a run that cannot go on;
it never concludes from eps·|f| alone, because a sum of cancelling terms is noisier than its own rounding.
"""

from itertools import pairwise
from typing import Any, NamedTuple

from refopt.derivatives import gradient
from refopt.ops import absolute, device, dot, larger, namespace, norm, norm_inf
from refopt.problem import Problem


class FunctionNoise(NamedTuple):
    noise: float
    wrong: bool  #: the slopes of f contradict its gradient


def measure_f(problem: Problem, x: Any, f: float, g: Any, p: Any, size: Any, f0: float, suspect: bool) -> FunctionNoise:
    """The absolute noise of f at x, and, if the gradient is suspect, whether it is the derivative of f.

    Close by, f(y) must equal f + gᵀ(y − x). Along u = p/‖p‖ the central slopes must equal gᵀu up to curvature; two
    neighbouring steps whose slopes agree with each other to a tenth, but not with gᵀu to a half, convict g, unless the
    second difference explains it (a kink). The longest step changes no variable by more than 1e-4 of its size,
    max(|xᵢ|, sizeᵢ).   Cost: 6 to 18 evaluations.
    """
    noise, signs = 0.0, alternating(x)
    for t in (1e-15, -3e-15, 1e-14, -3e-14):
        y = x + x * (t * signs)
        noise = larger_finite(noise, abs(problem.fun(y) - f - dot(g, y - x)))
    length = norm(p)
    if length == 0.0:
        return FunctionNoise(min(noise, 1e-4 * max(abs(f), abs(f0))), False)
    u = p / length
    slope, reach = dot(g, u), 1.0 / norm_inf(u / sizes(x, size))
    verdicts, before = [], 0.0
    for exponent in (-13.0, -11.5, -10.0, -8.5, -7.0, -5.5, -4.0):
        h = reach * 10.0**exponent
        up, down = problem.fun(x + h * u), problem.fun(x - h * u)
        central = (up - down) / (2.0 * h)
        error = abs(0.5 * (up - down) - h * slope)
        noise = larger_finite(noise, error)
        if error <= 0.2 * h * abs(slope):
            break
        steady = central != 0.0 and abs(central - before) <= 0.1 * abs(central)
        off = abs(central - slope) > 0.5 * abs(slope) and error > 2.0 * abs(0.5 * (up + down) - f)
        verdicts.append(steady and off)
        before = central
    wrong = suspect and any(a and b for a, b in pairwise(verdicts))
    return FunctionNoise(min(noise, 1e-4 * max(abs(f), abs(f0))), wrong)


def measure_g(problem: Problem, x: Any, size: Any) -> float:
    """The noise of ‖g‖∞ at x: the part of its differences that does not shrink with the step.   Cost: 8 gradients."""
    u = alternating(x) * larger(absolute(x), size)
    steps = (1e-10, 1e-8, 1e-7, 1e-6)
    changes = [0.5 * (problem.grad(x + h * u) - problem.grad(x - h * u)) for h in steps]
    return max(norm_inf(d - (h / steps[-1]) * changes[-1]) for h, d in zip(steps, changes, strict=True))


def measure_differences(problem: Problem, x: Any, g: Any, size: Any, step: float) -> float:
    """The error of ‖g‖∞ by differences of relative width ``step``: what halving it changes.   Cost: 2n evaluations."""
    return norm_inf(g - gradient(problem.fun, x, "3-point", size, (0.5 * step) ** 3))


def sizes(x: Any, size: Any) -> Any:
    """max(|xᵢ|, sizeᵢ), and ‖x‖ (1 at the origin) for a variable that is and began at 0."""
    w = larger(absolute(x), size)
    return namespace(x).where(w > 0, w, norm(x) or 1.0)


def alternating(x: Any) -> Any:
    """(1, −1, 1, …) of the type and on the device of x."""
    xp = namespace(x)
    odd = xp.arange(x.shape[0], dtype=x.dtype, device=device(x)) % 2
    return 1.0 - 2.0 * odd


def larger_finite(noise: float, error: float) -> float:
    return max(noise, error) if error - error == 0.0 else noise
