"""Measuring the noise of f and of its gradient at a point, with a few evaluations, when a run is stuck.

Differences of f along known slopes separate three things by how they grow with the step h: rounding does not grow,
curvature grows like h² or h³, and a wrong derivative grows like h. Used only at the end of a run that cannot go on;
it never concludes from eps·|f| alone, because a sum of cancelling terms is noisier than its own rounding.
"""

from collections.abc import Callable
from math import inf, isfinite
from typing import Any, NamedTuple

import numpy as np

from refopt.derivatives import gradient, jacobian, relative_step
from refopt.derivatives.differences import sizes as difference_sizes
from refopt.ops import absolute, column_norms, device, dot, eps, larger, namespace, norm, norm_inf, rmatvec
from refopt.problem import Problem

SPOTS = (-1.0, -0.6875, -0.4375, -0.125, 0.1875, 0.4375, 0.75, 1.0)  #: where f is looked at on a line, in sixteenths


class FunctionNoise(NamedTuple):
    noise: float
    wrong: bool  #: the slopes of f contradict its gradient


def measure_f(problem: Problem, x: Any, f: float, g: Any, p: Any, size: Any, f0: float, suspect: bool) -> FunctionNoise:
    """The absolute noise of f at x, and, if the gradient is suspect, whether it is the derivative of f.

    Close by, f(y) must equal f + gᵀ(y − x). Along u = p/‖p‖ the central slopes must equal gᵀu up to curvature; two
    neighbouring steps whose slopes agree with each other to a tenth, but not with gᵀu to a half, convict g, unless the
    second difference explains it (a kink), or the gradients at both ends do (a cusp). The longest step changes no
    variable by more than 1e-4 of its size, max(|xᵢ|, sizeᵢ).   Cost: 6 to 18 evaluations, and 2 gradients to convict.
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
    verdicts, before, wrong = [], 0.0, False
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
        if suspect and verdicts[-2:] == [True, True]:
            ends = 0.5 * dot(problem.grad(x + h * u) + problem.grad(x - h * u), u)
            wrong = wrong or abs(central - ends) > 0.5 * abs(ends)
    return FunctionNoise(min(noise, 1e-4 * max(abs(f), abs(f0))), wrong)


def scatter(problem: Problem, x: Any, size: Any, known: float) -> float:
    """The absolute noise of f at x, without its slopes: what no cubic explains of eight values along a line.

    The line is short enough for smooth functions to be cubics, and long beside the rounding of x, even to half its
    digits; a shorter one decides where f bends nevertheless, and a longer one where most values are equal. Points
    are exact, as those of differences are: a sixteenth of a step is a multiple of the last digit of x.
    Cost: 8 evaluations where the noise is no more than known, 16 or more where it is.
    """
    w, noise = sizes(x, size), inf
    for power in (0.4, 0.45, 0.3, 0.2, 0.15, 0.1):
        u = alternating(x) * ((16.0 * w + eps(x) ** power * w) - 16.0 * w)
        values = [(t, problem.fun(x + t * u)) for t in SPOTS]
        distinct = len({value for _, value in values}) > 4
        noise = min(noise, unexplained(values)) if distinct or noise < inf else noise
        if noise <= known or (noise < inf and power != 0.4):
            break
    return noise if noise < inf else 0.0


class Tremor(NamedTuple):
    """The noise of residuals."""

    relative: float = 0.0  #: beside what the variable that changes them most changes over its size
    passed: float = 0.0  #: what J passes on of it to ‖g‖∞, where it is spread evenly


def tremor(problem: Any, x: Any, J: Any, size: Any) -> Tremor:
    """The noise of residuals at x, as it shows in their sum with signs like random ones.   Cost: 8 to 40 residuals."""
    columns, xp, (m, _) = column_norms(J), namespace(x), J.shape
    reach, k = norm_inf(columns * sizes(x, size)), xp.arange(m, dtype=x.dtype, device=device(x))
    signs = 2.0**0.5 * xp.cos(k * k)

    def total(y: Any) -> float:
        return dot(signs, problem.residual(y))

    noise = scatter(Problem(total), x, size, 20.0 * eps(x) * reach)
    relative = noise / reach if reach > 0.0 else float(noise > 0.0)
    return Tremor(relative, noise / m**0.5 * norm_inf(columns))


def bend(problem: Problem, x: Any, f: float, size: Any) -> float:
    """|∂²f(x + tu)/∂t²| at t = 0, u = ±sizes of the variables: how much f bends over them.   Cost: 2 evaluations."""
    u, h = alternating(x) * sizes(x, size), eps(x) ** 0.2
    second = abs((problem.fun(x + h * u) - f) + (problem.fun(x - h * u) - f)) / (h * h)
    return second if isfinite(second) else 0.0


def unexplained(values: list[tuple[float, float]]) -> float:
    """Twice the standard deviation of values, those that are finite, from a cubic; 0 for less than six."""
    t, f = np.array([pair for pair in values if isfinite(pair[1])]).reshape(-1, 2).T
    if len(f) < 6:
        return 0.0
    cubics, _ = np.linalg.qr(np.vander(t, 4))
    f = f - f[0]
    return 2.0 * float(np.linalg.norm(f - cubics @ (cubics.T @ f))) / (len(f) - 4) ** 0.5


def measure_g(grad: Callable[[Any], Any], x: Any, size: Any) -> float:
    """The noise of ‖g‖∞ at x.   Cost: 10 gradients."""
    return norm_inf(noise_of_g(grad, x, size))


def noise_of_g(grad: Callable[[Any], Any], x: Any, size: Any) -> Any:
    """The noise of each component of g at x, at least what x itself is rounded by: four units in the last place.

    Steps are relative to xᵢ, for that reason; to its size where it is 0.   Cost: 10 gradients.
    """
    noise, change = trembling(grad, x, namespace(x).where(x == 0, size, absolute(x)))
    return larger(noise, absolute(4.0 * eps(x) * change))


def trembling(grad: Callable[[Any], Any], x: Any, w: Any) -> tuple[Any, Any]:
    """The part of differences of g that does not shrink with the step, and the change of g per step ±w.

    That is r = |d(h) − (h/H) d(H)| for neighbouring steps h < H; where r grows twentyfold from each pair to the next,
    it is curvature. Nothing is known beside a wall, 0.   Cost: 10 gradients.
    """
    xp, steps, u = namespace(x), (1e-10, 1e-8, 1e-7, 3e-7, 1e-6), alternating(x) * w
    d = [0.5 * (grad(x + h * u) - grad(x - h * u)) for h in steps]
    if not all(isfinite(norm_inf(change)) for change in d):
        return 0.0 * x, 0.0 * x
    r = [absolute(d[k] - (steps[k] / steps[k + 1]) * d[k + 1]) for k in range(4)]
    longer = xp.where((r[3] > 20.0 * r[2]) & (r[2] > 20.0 * r[1]), r[1], larger(r[2], r[3]))
    return larger(larger(r[0], r[1]), longer), d[-1] / steps[-1]


class Differences(NamedTuple):
    noise: float  #: twice the absolute noise of f; 0 where it is no more than rounding
    rough: float  #: the relative noise that differences are best made for, 0 for rounding
    error: float  #: of ‖g‖∞
    sound: bool  #: the differences used are good enough
    errors: Any = 0.0  #: of the components of g


def measure_differences(
    problem: Problem, slope: Callable[[float], Any], scheme: str, x: Any, f: float, g: Any, watch: Any, search: bool,
    content: bool, residual: Tremor,
) -> Differences:  # fmt: skip
    """What a gradient by differences is worth at x; and, if there is a doubt and ``search``, how to make better ones.

    ``slope(ε)`` is the gradient by differences made for relative noise ε. A run that is content, and not in doubt, is
    told so. There is doubt where f is noisy beside its range, f₀ − f or what it bends over the sizes of the variables,
    or the residuals are beside theirs, and where nothing seems to change.
    Cost: 10 evaluations without doubt, else 18 or more and up to 12 gradients.
    """
    rounding, current = 10.0 * eps(x) * abs(f), watch.rough or eps(x)
    noise = 2.0 * scatter(problem, x, watch.size, 0.5 * rounding)
    if not nearby(x, watch.size):  # else curvature passes for noise
        noise = min(noise, 1e-4 * max(abs(f), abs(watch.f0)))
    flat, shaky = norm_inf(g) == 0.0, residual.relative > 100.0 * eps(x)
    doubt = watch.rough > 0.0 or flat or shaky
    doubt = doubt or noise > 100.0 * eps(x) * max(abs(watch.f0 - f), bend(problem, x, f, watch.size))
    if content and not doubt:
        return Differences(0.0, 0.0, 0.0, True)
    errors = absolute(slope((4.0 if scheme == "2-point" else 8.0) * current) - g)  # with steps twice as long
    blind, span = flat and norm_inf(errors) == 0.0, max(abs(f), abs(watch.f0 - f))
    rough = watch.rough
    if search and doubt:
        relative = max(noise / span if span > 0.0 else float(noise > 0.0), residual.relative)
        of_f = noise if residual == Tremor() else 0.0  # in a fit residuals are differenced

        def left(relative: float) -> float:
            return norm_inf(left_by(of_f, scheme, x, watch.size, relative))

        rough = wider(slope, left, g, rough, relative, blind)
    errors = errors + residual.passed
    error = norm_inf(errors)
    return Differences(noise if noise > rounding else 0.0, rough, error, content and flat and error == 0.0, errors)


def wider(
    slope: Callable[[float], Any], left: Callable[[float], float], g: Any, rough: float, relative: float, blind: bool
) -> float:
    """The noise that differences are best made for, 0 for rounding; the old ``rough`` if g is not clearly worse.

    ``relative`` is the noise that was measured, ``left`` what it leaves of differences made for another; ``blind``: f
    seems not to change. Steps much shorter than that noise asks for see noise, or nothing.
    """
    rounding = least = eps(g)
    while least < 1e-5 and 64.0 * least < relative:
        least = 64.0 * least
    better, error = best_differences(slope, left, least)
    short = norm_inf(g) == 0.0 and least > (rough or rounding) and (error < left(rough or rounding) or left(0.0) == 0.0)
    if blind or short or error < 0.2 * norm_inf(slope(better) - g):
        return better if better > rounding else 0.0
    return rough


def differences_of(
    function: Problem, problem: Any, x: Any, f: float, g: Any, watch: Any, tests: Any, search: bool, content: bool,
    J: Any = None,
) -> Differences:  # fmt: skip
    """What the differences of a run are worth at x; ``function`` is its f, J the Jacobian of its residuals."""

    scheme = scheme_of(tests.differences, x)

    def slope(noise: float) -> Any:
        return by_differences(problem, x, watch.size, scheme, noise)

    residual = Tremor() if J is None else tremor(problem, x, J, watch.size)
    return measure_differences(function, slope, scheme, x, f, g, watch, search, content, residual)


def scheme_of(step: float, x: Any) -> str:
    """The kind of differences that has this relative step."""
    return "2-point" if one_sided(step, x) else "3-point"


def one_sided(step: float, x: Any) -> bool:
    """Whether differences with this relative step are 2-point ones."""
    return 0.0 < step < eps(x) ** 0.4


def differences_for(problem: Any, watch: Any, tests: Any) -> Callable[[Any], Any]:
    """The gradient by the differences of a run, as they are made at the moment."""
    return lambda x: by_differences(problem, x, watch.size, scheme_of(tests.differences, x), watch.rough)


def central(problem: Any, watch: Any) -> Callable[[Any], Any]:
    """The gradient by central differences, for the noise that those of a run are made for."""
    return lambda x: by_differences(problem, x, watch.size, "3-point", watch.rough)


class Accuracy(NamedTuple):
    """Of the components of a gradient."""

    noise: Any
    bias: Any  #: hardly changes from point to point
    errors: Any  #: what both may be at most
    usual: Any  #: what noise leaves of differences of the usual width, if that is more


def accuracy(problem: Problem, x: Any, size: Any) -> Accuracy:
    """Of an exact gradient: ten times its noise is safe.   Cost: 10 gradients."""
    noise = noise_of_g(problem.grad, x, size)
    return Accuracy(noise, 0.0 * noise, 10.0 * noise, 10.0 * noise)


class Fine(NamedTuple):
    """A gradient by central differences that are made for some relative noise of f."""

    noise: float
    g: Any
    known: Accuracy
    error: float  #: in ‖g‖∞


def finest(problem: Problem, x: Any, size: Any) -> Fine:
    """The central differences that are right most nearly.

    How far their gradient trembles tells of those that agree by chance, on which no more is built than on the next.
    Cost: 10 or more evaluations and 14 to 51 gradients.
    """
    value = abs(problem.fun(x))
    known = max(scatter(problem, x, size, 0.0), 0.5 * eps(x) * value)
    first, *others = sorted(widths(problem, x, size, known), key=lambda fine: fine.error)
    best = steadied(problem, x, size, first, known / (value or 1.0), known)
    for fine in others[:2]:
        if fine.error < best.error:
            best = min(best, steadied(problem, x, size, fine, known / (value or 1.0), known), key=lambda one: one.error)
    return best


def widths(problem: Problem, x: Any, size: Any, known: float) -> list[Fine]:
    """Differences for more and more noise, while they become better; ``known`` is the absolute noise of f.

    What noise leaves falls with longer steps, and curvature adds a third of what steps twice as long change: the larger
    falls before it rises. Two that agree by chance are known by the one before. The first steps are an eighth of the
    usual ones, which are too long where a size is.
    """
    noise, least, worse, jump, found = eps(x) / 512.0, inf, 0, 0.0 * x, []
    before = by_differences(problem, x, size, "3-point", noise)
    while noise < 1e-3 and worse < 3:
        g = by_differences(problem, x, size, "3-point", 8.0 * noise)
        rounding, bias = left_by(known, "3-point", x, size, noise), absolute(g - before)
        errors, jump = larger(larger(rounding, bias), 0.5 * jump), bias
        error = norm_inf(errors) if norm_inf(errors) < inf else inf
        worse, least = (0, error) if error < least else (worse + 1, least)
        found.append(Fine(noise, before, Accuracy(rounding, bias, errors, errors), error))
        noise, before = 8.0 * noise, g
    return found


def steadied(problem: Problem, x: Any, size: Any, fine: Fine, relative: float, known: float) -> Fine:
    """The same, its accuracy three times what it was, or what its gradient trembles.   Cost: 10 gradients."""
    shaking, _ = trembling(lambda y: by_differences(problem, y, size, "3-point", fine.noise), x, sizes(x, size))
    errors = 3.0 * larger(fine.known.errors, shaking)
    usual = larger(errors, left_by(known, "3-point", x, size, max(relative, eps(x))))
    return Fine(
        fine.noise, fine.g, Accuracy(larger(fine.known.noise, shaking), fine.known.bias, errors, usual),
        max(fine.error, norm_inf(shaking)),
    )  # fmt: skip


def left_by(noise: float, scheme: str, x: Any, size: Any, relative: float) -> Any:
    """What noise N of f leaves of its differences made for some relative noise, N/h, or N/2h of central ones."""
    h = relative_step(scheme, x, relative) * difference_sizes(x, size)
    return noise / (2.0 * h if scheme == "3-point" else h)


def central_accuracy(problem: Any, x: Any, g: Any, watch: Any) -> Accuracy:
    """Of g by central differences: the bias is what steps twice as long change, and three times that is safe.

    Cost: 11 gradients.
    """
    bias = absolute(by_differences(problem, x, watch.size, "3-point", 8.0 * (watch.rough or eps(x))) - g)
    noise, _ = trembling(central(problem, watch), x, sizes(x, watch.size))
    errors = 3.0 * larger(bias, noise)
    return Accuracy(noise, bias, errors, errors)


def best_central(problem: Any, x: Any, watch: Any, enough: float) -> tuple[float, Accuracy]:
    """The relative noise that central differences are right most nearly for, and how nearly.

    That of the run, if they are wrong by no more than is ``enough``; else less, or more.   Cost: 12 gradients for each.
    """

    def made_for(noise: float) -> tuple[float, Accuracy]:
        other = watch._replace(rough=noise)
        return noise, central_accuracy(problem, x, central(problem, other)(x), other)

    best = first = made_for(watch.rough)
    for factor in (1.0 / 64.0, 64.0):
        if best is not first:
            break
        while norm_inf(best[1].errors) > enough and eps(x) <= (noise := factor * (best[0] or eps(x))) < 1e-3:
            another = made_for(noise)
            if not norm_inf(another[1].errors) < norm_inf(best[1].errors):
                break
            best = another
    return best


def by_differences(problem: Any, x: Any, size: Any, scheme: str, noise: float) -> Any:
    """The gradient by this kind of differences, made for some noise."""
    if isinstance(problem, Problem):
        return gradient(problem.fun, x, scheme, size, noise)
    return rmatvec(jacobian(problem.residual, x, scheme, size, noise), problem.residual(x))


def best_differences(
    slope: Callable[[float], Any], left: Callable[[float], float], noise: float
) -> tuple[float, float]:  # fmt: skip
    """The relative noise ε for which differences are right most nearly, and how far wrong they are in ‖g‖∞.

    From ε to 64 ε they change by the larger error of the two: what rounding leaves falls, what curvature adds rises.
    Steps so short that nothing changes say nothing, and those that agree by chance are wrong by a tenth, at least, of
    what noise may leave, ``left``.   Cost: 4 to 9 gradients.
    """
    best, least, worse, before = noise, inf, 0, slope(noise)
    while noise < 1e-3 and worse < 2:
        g = slope(64.0 * noise)
        error = max(norm_inf(g - before), 0.1 * left(noise))
        if norm_inf(before) > 0.0 and error < least:
            best, least, worse = noise, error, 0
        elif least < inf:
            worse += 1
        noise, before = 64.0 * noise, g
    return best, least


def sizes(x: Any, size: Any) -> Any:
    """max(|xᵢ|, sizeᵢ), and ‖x‖ (1 at the origin) for what began at 0 and is nothing beside the others."""
    w = larger(absolute(x), size)
    return namespace(x).where((size > 0.0) | (w > 1e-15 * norm_inf(w)), w, norm(x) or 1.0)


def nearby(x: Any, size: Any) -> bool:
    """Whether x is where the run began, |x| = size: no variable has changed by a millionth of its size."""
    return bool(namespace(x).all(absolute(absolute(x) - size) <= 1e-6 * larger(absolute(x), size)))


def alternating(x: Any) -> Any:
    """(1, −1, 1, …) of the type and on the device of x."""
    xp = namespace(x)
    odd = xp.arange(x.shape[0], dtype=x.dtype, device=device(x)) % 2
    return 1.0 - 2.0 * odd


def larger_finite(noise: float, error: float) -> float:
    return max(noise, error) if error - error == 0.0 else noise
