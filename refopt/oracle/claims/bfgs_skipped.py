"""Steps after which there is nothing for BFGS to learn."""

from refopt import exact as rationals
from refopt.linesearch import Point
from refopt.methods import bfgs
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.bfgs import pair
from refopt.oracle.draw import excess, least, size


def arrived(draw, advance):
    """A step after which yᵀs < 0, or s = 0: the matrix that `advance` makes of H ≻ 0."""
    H, x, g = draw.spd(n := draw.size(), 1e2), draw.vector(n), draw.vector(n)
    s, y = pair(draw, n, -1)
    if draw.rng.integers(2):
        s, y = 0 * s, 0 * y
    zero = draw.array(0)[()]
    start = bfgs.State(**dict.fromkeys(bfgs.State._fields, 0) | {"x": x, "f": zero, "g": g, "H": H, "p": -(H @ g)})
    point = Point(x=x + s, f=zero, g=g + y, alpha=zero, nfev=1, njev=1, lower=True, wolfe=True)
    skip = rationals.rational("1e-10") if draw.exact else 1e-10
    return {"H": H, "H_new": advance(start, point, bfgs.Params(skip=skip)).H}


def at_the_solution(draw, advance):
    """The formula for s = y = 0: whether it gives no numbers at all."""
    H = draw.spd(n := draw.size(), 1e2)
    nothing = 0 * draw.vector(n)
    return {"divisor": nothing @ nothing, "H": H}


def concave(draw, advance):
    H = draw.spd(n := draw.size(), 1e2)
    s, y = pair(draw, n, -1)
    return {"H_new": bfgs.update(H.copy(), s, y)}


@claim(
    "bfgs.every-step",
    "Every step can be followed by an update",
    NW + "§6.1",
    arrived,
    "false",
    corrected="Where yᵀs ≤ ε‖s‖‖y‖ there is none, and H ≻ 0 stays as it is",
    uses=("bfgs.advance",),
    scale=lambda H: size(H),
    because="H is not computed with",
    fails=(
        Fails("as stated, s = y = 0: divides by 0", at_the_solution, lambda divisor: int(divisor == 0)),
        Fails("as stated, yᵀs < 0: H is indefinite", concave, lambda H_new: int(least(H_new) < 0)),
    ),
)
def every_step(H, H_new):
    return H_new - H, excess(-least(H_new))
