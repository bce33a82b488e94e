"""Whether the best point of a run that is stuck is stationary to working precision.

It is by its gradient, if that is next to nothing beside the first one; or by the noise of its gradient, which is
measured and must explain all of it, while Newton's method has nothing to gain. Where f bends down there is a lower
point to go on from. ``watch`` and ``tests`` are those of ``refopt.stopping``.
"""

from math import inf
from typing import Any

from refopt.derivatives import relative_step
from refopt.linesearch import noise_floor
from refopt.noise import Accuracy, accuracy, by_differences, central, finest, nearby, one_sided
from refopt.ops import Vector, absolute, eps, larger, norm_inf, weighted_max
from refopt.problem import Problem
from refopt.refinement import refine

#: verdicts on a state; DISTANT: done, far from here; PRECISE: as good as f and its gradient allow; BESIDE: begin
#: again there; SLOW: f has hardly fallen for long; of fits, NEAR: a polish may lead to the end; FLAT: done, unless f
#: bends down along what J does not see
RUNNING, STUCK, DONE, DISTANT, BUDGET, FALLING, PRECISE, BESIDE, NEAR, FLAT, SLOW = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
SAFE = 1e-7  #: a gradient this much smaller than at the start is small without any further proof
FAINT = 5e-7  #: of ‖B‖, how much B may bend down where a method has seen that its Hessian does
FINE = 60  #: gradients by differences, with f each, that finding the finest ones may take
MANY = 200  #: variables, too many to ask for a Newton step
LITTLE = 2.0**-52  #: of all that was gained, a part that is not worth a step: its last digit


def share(f: float, tests: Any, exact: float, rough: float) -> float:
    """A part of F = max(1, |f|): what f₀ − f is held against, as on a high wall all is small beside it.

    ``rough`` with differences, which at f* = 0 cannot say how small f is.
    """
    return max(1.0, abs(f)) * (rough if tests.differences > 0.0 else exact)


def trifle(f0: float, f: float, tests: Any) -> float:
    """What a step may promise that is not worth taking, beside all that was gained and F."""
    return min(LITTLE * (f0 - f), share(f, tests, 1e-10, 1e-2))


def safe(problem: Problem, watch: Any, promised: float, tests: Any, sees_hessian: bool, left: float) -> bool:
    """‖g‖ ≤ 1e-7 ‖g₀‖, and by its model or its effect on every variable it is small as well.

    Where differences were made wide for noise the finest ones must say so too.
    """
    ef = noise_floor(problem, watch.x, watch.f)
    change = weighted_max(watch.g, larger(absolute(watch.x), watch.size))
    little = min(1e-3 * (watch.f0 - watch.f), share(watch.f, tests, 1e-3, 1.0))
    small = change <= little + 10.0 * ef or (sees_hessian and promised <= ef)
    if not (promised < inf and watch.gnorm <= SAFE * watch.g0 and small):
        return False
    if tests.differences == 0.0 or watch.rough == 0.0:
        return True
    if too_few(watch, tests, left):
        return False
    _, seen, known = finely(problem, watch)  # as wide differences may vanish beside a minimum
    return noise_only(seen.g, known.usual, seen.x, seen.size)


def centred(problem: Problem, watch: Any, tests: Any) -> tuple[Any, Any]:
    """Watch and tests as those of a run by central differences, where it takes one-sided ones.

    Those are the gradient of another function, whose minimum is elsewhere: nothing is claimed by them alone.
    Cost: one gradient.
    """
    if watch.x.shape[0] > MANY or not one_sided(tests.differences, watch.x):
        return watch, tests
    g = central(problem, watch)(watch.x)
    return watch._replace(g=g, gnorm=norm_inf(g)), tests._replace(differences=relative_step("3-point", watch.x))


def stationary(problem: Problem, watch: Any, promised: float, tests: Any, sees_hessian: bool, left: float) -> Any:
    """The watch with a verdict: PRECISE where the best point, or one beside it, is stationary to working precision,
    BESIDE where f bends down, at a lower point, BUDGET where it takes more than ``left`` evaluations to tell; or None.

    Whatever differences a run takes, it is judged by the best there are.
    """
    measured = tests.per_hessian + tests.gradients_per_hessian + tests.gradients_per_product
    n, most = watch.x.shape[0], most_gradients(watch, tests, left)
    if too_few(watch, tests, left):
        return watch._replace(verdict=BUDGET)
    if not promised < inf and measured == 0 and n > MANY:
        return None
    if tests.differences > 0.0:
        problem, watch, known = finely(problem, watch)
        most = most - FINE
    else:
        known = accuracy(problem, watch.x, watch.size)
    unmoved = watch.f0 - watch.f <= nothing(problem, watch, tests)
    near = unmoved or nearby(watch.x, watch.size) or watch.gnorm <= (1e-3 if sees_hessian else 1e-4) * watch.g0
    if n <= MANY and most >= 2 * n + 1:
        if unmoved or tests.differences > 0.0 or watch.gnorm <= max(1e-2 * watch.g0, norm_inf(known.errors)):
            faint = inf if promised < inf or measured else FAINT
            best = perfected(problem, watch, tests, near, known, most, faint)
            if best is None or best.verdict != PRECISE or best.x is watch.x or tests.differences == 0.0:
                return best
            _, there, again = finely(problem, best)  # where the errors may be others
            once, twice = norm_inf(known.usual), norm_inf(again.usual)
            small = there.gnorm <= max(twice, min(once, 3.0 * twice), 5.0 * SAFE * watch.g0)
            return there if small else None
    elif promised < inf and near and noise_only(watch.g, known.errors, watch.x, watch.size):
        return watch._replace(verdict=PRECISE)
    return None


def most_gradients(watch: Any, tests: Any, left: float) -> float:
    """How many, with f each, ``left`` evaluations are enough for."""
    return left / (1 + (2 * watch.x.shape[0] if tests.differences > 0.0 else tests.per_gradient))


def too_few(watch: Any, tests: Any, left: float) -> bool:
    """Whether ``left`` evaluations are too few to judge a point by differences."""
    (n,) = watch.x.shape
    return tests.differences > 0.0 and most_gradients(watch, tests, left) < FINE + (2 * n + 1 if n <= MANY else 0)


def finely(problem: Problem, watch: Any) -> tuple[Problem, Any, Accuracy]:
    """The problem by the differences that are the finest at the best point, the watch, and their accuracy there."""
    noise, g, known, _ = finest(problem, watch.x, watch.size)
    finer = problem._replace(grad=lambda x: by_differences(problem, x, watch.size, "3-point", noise))
    return finer, watch._replace(g=g, gnorm=norm_inf(g)), known


def perfected(problem: Problem, watch: Any, tests: Any, near: bool, known: Accuracy, most: float, faint: float) -> Any:
    """Newton's method goes on as far as it can. Then g must be small, or noise, and a step have nothing to gain.

    What a step has to gain counts for nothing if it is less than the rounding of f; where f is noisier than that, g
    must be noise in units of the variables as well; and where no step succeeds, or none lowers f, it be ``near``, or
    have begun at nearly the same f. B may bend down by so ``faint`` a part of it.
    """
    ef, enough = noise_floor(problem, watch.x, watch.f), nothing(problem, watch, tests)
    best = refine(problem, watch.x, watch.f, watch.g, watch.size, known.noise, ef, enough, most, known.bias)
    x, f, g, gain, errors, little = best.x, best.f, best.g, best.gain, known.errors, trifle(watch.f0, best.f, tests)
    gnorm, stuck = norm_inf(g), best.stuck and best.lowest >= f - enough  # a gain that is real shows in f
    over = gain <= max(enough, little) or (stuck and gain <= 1e-10 * abs(f))  # or f shows that no gain is there
    good = over and gnorm <= 5.0 * SAFE * watch.g0
    if near or gnorm <= 0.1 * watch.gmax:  # as it may begin on a plateau
        good = good or (gnorm <= norm_inf(errors) and gain <= max(100.0 * eps(x) * abs(f), min(enough, little)))
        good = good or (best.seen and gain <= enough and noise_only(g, known.usual, x, watch.size))
        close = near or (best.seen and watch.f0 - f <= 1e-3 * abs(f))
        good = good or (stuck and close and noise_only(g, errors, x, watch.size))
    if good and best.bent <= faint:
        return watch._replace(x=x, f=f, g=g, gnorm=gnorm, verdict=PRECISE)
    if best.short:
        return watch._replace(verdict=BUDGET)
    return None if best.lower is None else watch._replace(x=best.lower, verdict=BESIDE)


def nothing(problem: Problem, watch: Any, tests: Any) -> float:
    """A change of f that is none: ten times its noise, and of what differences see its eighth digit."""
    return max(10.0 * noise_floor(problem, watch.x, watch.f), 1e-8 * abs(watch.f) if tests.differences > 0.0 else 0.0)


def noise_only(g: Vector, errors: Vector, x: Vector, size: Vector) -> bool:
    """Whether g is no larger than its errors, as it is and in units of the variables."""
    w = larger(absolute(x), size)
    return norm_inf(g) <= norm_inf(errors) and weighted_max(g, w) <= weighted_max(errors, w)
