"""Products with Hessians and Gauss-Newton matrices, and derivatives that go wrong."""

import numpy as np

from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.gauss_newton import composed, ggn, outputs
from refopt.oracle.draw import bulk, size

PEARLMUTTER = "B. A. Pearlmutter, Neural Computation 6 (1994) 147; " + NW + "§8.2"
SCHRAUDOLPH = "N. N. Schraudolph, Neural Computation 14 (2002) 1723"
COMPLEX = "complex steps are exact to the rounding of such terms"


def multiplied(draw, hvp):
    """f = ¼Σ(aᵢᵀx)⁴."""
    A, x, v = draw.matrix(4, n := draw.size()), draw.vector(n), draw.vector(n)
    return {"A": A, "x": x, "v": v, "Hv": hvp(lambda x: A.T @ (A @ x) ** 3, x, v, "cs")}


@claim(
    "derivatives.hvp",
    "∇²f(x)v is the derivative of ∇f along v: no Hessian is formed",
    PEARLMUTTER,
    multiplied,
    uses=("derivatives.hvp",),
    scale=lambda A, x, v: bulk(A) ** 4 * bulk(x) ** 2 * bulk(v),
    because=COMPLEX,
    exact=False,
)
def hvp(A, x, v, Hv):
    return A.T @ (3 * (A @ x) ** 2 * (A @ v)) - Hv


def gauss_newton_product(draw, jacobian, gradient):
    """z(x) and ℓ(z) quadratic: Jv along x + tv, then ∇²ℓ, then the gradient of (∇²ℓJv)ᵀz(x)."""
    made = composed(draw, convex=True)
    a, c, Q, M, x, v = (made[name] for name in ("a", "c", "Q", "M", "x", "u"))
    along = jacobian(lambda t: outputs(a, c, Q, x + t[0] * v), np.zeros(1), "cs")[:, 0]
    return made | {"Gv": gradient(lambda x: (M @ along) @ outputs(a, c, Q, x), x, "cs"), "twice": Q.sum(axis=0) @ v}


def twice_wrong(draw, jacobian, gradient):
    made = gauss_newton_product(draw, jacobian, gradient)
    dense = ggn(made["a"], made["Q"], made["M"], made["x"]) @ made["u"]
    gap = (made["twice"] - dense) / max(bulk(dense), bulk(made["twice"]))
    return {"gap": gap} if size(gap) > 1e-3 else twice_wrong(draw, jacobian, gradient)


@claim(
    "derivatives.gauss-newton-product",
    "Differentiating the sum of the outputs twice along v gives Gv, G = Jᵀ(∇²ℓ)J",
    SCHRAUDOLPH,
    gauss_newton_product,
    "false",
    corrected="That is Σₖ∇²zₖ v, what Gauss-Newton drops; Gv = Jᵀ(∇²ℓ(Jv)): forward along v, times ∇²ℓ, then back",
    uses=("derivatives.jacobian", "derivatives.gradient"),
    scale=lambda a, c, Q, M, x, u: (bulk(a) + bulk(Q) * bulk(x)) ** 2 * bulk(M) * bulk(u) * (1 + bulk(c)),
    because=COMPLEX,
    exact=False,
    fails=(Fails("as stated", twice_wrong, lambda gap: gap),),
)
def product(a, Q, M, x, u, Gv):
    return ggn(a, Q, M, x) @ u - Gv


def separate(draw, hessian):
    """f = a² + b."""
    return {"H": hessian(lambda x: x[0] ** 2 + x[1], draw.vector(2), "autograd")}


@claim(
    "derivatives.linear-variable",
    "A variable that enters f linearly and by itself has a row of zeros in ∇²f:   f = a² + b",
    "direct",
    separate,
    uses=("derivatives.hessian",),
    scale=lambda: 1,
    because="numbers of order 1",
    exact=False,
)
def linear_variable(H):
    return H - np.array([[2, 0], [0, 0]])


def at_integers(draw, gradient):
    """f = ‖x‖² at integers, by differences; and with a step that is added to an array of integers in place."""
    x = draw.rng.integers(1, 9, draw.size())
    literal = np.zeros(len(x))
    for i in range(len(x)):
        moved, h = x.copy(), 1e-5
        moved[i] += h
        above = moved @ moved
        moved[i] -= 2 * h
        literal[i] = (above - moved @ moved) / (2 * h)
    return {"x": x, "g": gradient(lambda x: x @ x, x, "cs"), "literal": literal}


@claim(
    "derivatives.integers",
    "Parameters may be integers: x += h gives the points of a difference",
    "direct",
    at_integers,
    "false",
    corrected="h is lost in an array of integers; x is made real first, and ∇f is then what it is",
    uses=("derivatives.gradient",),
    scale=lambda x: size(x),
    because="a sum of squares, differentiated exactly",
    exact=False,
    fails=(Fails("as stated, f = ‖x‖²", at_integers, lambda x, literal: (literal - 2 * x) / size(x)),),
)
def integers(x, g):
    return g - 2 * x
