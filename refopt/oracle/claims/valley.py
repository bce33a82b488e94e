"""The narrow valley f = w₁² + 100w₂² from (1, 1): the steps of gradient descent and natural gradient, counted.

The metric of the natural gradient is the Hessian diag(2, 200), as it is for a Gaussian with f as its −log likelihood.
"""

from math import ceil, log

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import excess

LIMIT = 2000  #: of steps that are counted
COUNTED = "steps are whole numbers; no count is a tie that rounding could decide"


def natural(direction, draw, w, eta):
    """w − ηF⁻¹∇f(w)."""
    H = draw.array([[2, 0], [0, 200]])
    return w + eta * direction(H, H @ w)


def steepest(draw, w, eta):
    """w − η∇f(w)."""
    return w - eta * draw.array([2, 200]) * w


def steps_until(w, step):
    """How many steps it takes until ‖w‖ < 1/100."""
    for k in range(LIMIT):
        if 10_000 * (w @ w) < 1:
            return k
        w = step(w)
    return LIMIT


def first_step(draw, direction):
    w, eta = draw.array([1, 1]), draw.array("1/100")[()]
    return {"descent": steepest(draw, w, eta), "natural": natural(direction, draw, w, eta)}


@claim(
    "valley.first-step",
    "With η = 0.01, one step from (1, 1): gradient descent to (0.98, −1), natural gradient to (0.99, 0.99)",
    "direct",
    first_step,
    uses=("newton.direction",),
    scale=lambda: 100,
    because="a few products of numbers of order 1",
    fixed=True,
)
def is_first_step(descent, natural):
    return 100 * descent - (98, -100), 100 * natural - (99, 99)


def counted(draw, direction):
    w, fractions = draw.array([1, 1]), draw.array(["1/200", "1/101", "1/100", 1])
    slow, best, little, whole = fractions
    return {
        "descent": [steps_until(w, lambda w, eta=eta: steepest(draw, w, eta)) for eta in (slow, best)],
        "natural": [steps_until(w, lambda w, eta=eta: natural(direction, draw, w, eta)) for eta in (little, whole)],
    }


@claim(
    "valley.counts",
    "To ‖w‖ < 0.01 it takes 460 steps, of gradient descent with η = 0.005 as of natural gradient with η = 0.01",
    "direct",
    counted,
    "false",
    corrected="459 and 493; gradient descent with its best step, η = 2/202, takes 248, natural gradient with η = 1 one",
    uses=("newton.direction",),
    scale=lambda: 1,
    because=COUNTED,
    fixed=True,
    fails=(Fails("as stated", counted, lambda descent, natural: (descent[0] - 460, natural[0] - 460)),),
)
def counts(descent, natural):
    return descent[0] - 459, descent[1] - 248, natural[0] - 493, natural[1] - 1


def conditioned(draw, direction, kappa=None):
    """The slow direction of diag(1, κ) by steps of 1/κ, to a millionth; and Newton's step."""
    kappa = int(draw.rng.integers(2, 200)) if kappa is None else kappa
    error, steps = 1.0, 0
    while error * 1e6 >= 1:
        error, steps = error * (kappa - 1) / kappa, steps + 1
    H, e = draw.array([[1, 0], [0, kappa]]), draw.vector(2)
    return {"kappa": kappa, "steps": steps, "e": e, "e_new": e + direction(H, H @ e)}


@claim(
    "valley.condition",
    "Where Newton needs 20 steps gradient descent needs 1000",
    NW + "§3.3",
    conditioned,
    "imprecise",
    corrected="On a quadratic with η = 1/λ_max, to a part ε of the error: (κ − 1) ln 1/ε to κ ln 1/ε steps; Newton 1",
    uses=("newton.direction",),
    scale=lambda kappa, e: (1, float(kappa) * 20, float(kappa) * float(abs(e).max())),
    because="the bounds are products of κ and a logarithm; the solve loses eps κ",
    exact=False,  # powers of (κ − 1)/κ have thousands of digits
    fails=(Fails("as stated, κ = 2", lambda draw, f: conditioned(draw, f, 2), lambda steps: steps / 1000 - 1),),
)
def condition_number(kappa, steps, e, e_new):
    bound = log(1e6)
    return excess(ceil((kappa - 1) * bound) - steps), excess(steps - 1 - kappa * bound), e_new
