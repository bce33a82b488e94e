"""Rosenbrock's function f = 100(y − x²)² + (1 − x)² from (−1, 1), where gradient descent is lucky."""

import numpy as np

from refopt.minimize import minimize
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.draw import condition, excess, size


def value(x, y):
    return 100 * (y - x * x) ** 2 + (1 - x) ** 2


def gradient(x, y):
    return np.array([-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)])


def hessian(x, y):
    return np.array([[1200 * x * x - 400 * y + 2, -400 * x], [-400 * x, 200 + 0 * x]])


def halfway(draw, start):
    """One step with α = ½ along −∇f."""
    z = draw.array(start)
    return {"f": value(*z), "g": gradient(*z), "z": z - gradient(*z) / 2}


@claim(
    "rosenbrock.start",
    "A run of L-BFGS from (−1, 1) shows that L-BFGS works",
    NW + "exercise 2.1",
    lambda draw: halfway(draw, [-1, 1]),
    "imprecise",
    corrected="f = 4 and ∇f = (−4, 0): the first step, along −∇f with α = ½, ends at (1, 1), and no pair is ever used",
    scale=lambda: 1,
    because="integers, and halves of them",
    fixed=True,
    fails=(
        Fails("from (−1.2, 1) that step does not end there", lambda draw: halfway(draw, ["-1.2", 1]), lambda z: z - 1),
    ),
)
def start(f, g, z):
    return f - 4, g - (-4, 0), z - 1


def curved(draw):
    z, u = draw.vector(2), draw.vector(2)
    return {"z": z, "u": u, "values": np.array([value(*(z + t * u)) for t in (-2, -1, 0, 1, 2)])}


@claim(
    "rosenbrock.derivatives",
    "∇f = (−400x(y − x²) − 2(1 − x), 200(y − x²)),  ∇²f = [[1200x² − 400y + 2, −400x], [−400x, 200]]",
    NW + "exercise 2.1",
    curved,
    scale=lambda z, u: 1e4 * (1 + size(z) + 2 * size(u)) ** 4,
    because="five values of a quartic, as large as this, give its derivatives along u exactly",
)
def derivatives(z, u, values):
    slope, bend = np.array([1, -8, 0, 8, -1]) @ values, np.array([-1, 16, -30, 16, -1]) @ values
    return slope - 12 * u @ gradient(*z), bend - 12 * u @ hessian(*z) @ u


def run(draw):
    found = minimize(
        lambda z: value(*z), np.array([-1.0, 1.0]), method="modified-newton", jac=lambda z: gradient(*z),
        hess=lambda z: hessian(*z),
    )  # fmt: skip
    return {"z": found.x, "g": gradient(*found.x)}


@claim(
    "rosenbrock.newton",
    "Newton's method with a search converges from (−1, 1) to (1, 1)",
    NW + "exercise 3.1",
    run,
    scale=lambda: condition(hessian(1.0, 1.0)),
    because="∇f is small to the accuracy asked for, and z to κ times that",
    fixed=True,
    exact=False,
)
def newton(z, g):
    reach = size(g) / np.linalg.eigvalsh(hessian(1.0, 1.0))[0]
    return excess(size(z - 1) - 2 * reach), excess(size(z - 1) - 1e-4)


def counted(draw):
    """The points of that run; and those of a loop written out, as long as ‖∇f‖ > 1e-6."""
    path, z, literal = [], np.array([-1.0, 1.0]), []
    minimize(
        lambda z: value(*z), z, method="modified-newton", jac=lambda z: gradient(*z), hess=lambda z: hessian(*z),
        callback=lambda z: path.append(z), options={"search": "armijo"},
    )  # fmt: skip
    while size(g := gradient(*z)) > 1e-6:
        p, alpha = -np.linalg.solve(hessian(*z), g), 1.0
        while value(*(z + alpha * p)) > value(*z) + 1e-4 * alpha * (g @ p):
            alpha /= 2
        z = z + alpha * p
        literal.append(z)
    return {"path": np.array(path), "literal": np.array(literal)}


@claim(
    "rosenbrock.newton-steps",
    "From (−1, 1) Newton's method that halves its steps, c₁ = 1e-4, has ‖∇f‖ ≤ 1e-6 after 20 of them, and not before",
    NW + "Algorithm 3.1 and exercise 3.1",
    counted,
    scale=lambda: (1, condition(hessian(1.0, 1.0))),
    because="a number of steps is whole, and the last ones square the error; each solve loses eps κ",
    fixed=True,
    exact=False,
)
def newton_steps(path, literal):
    return len(literal) - 20, path[:20] - literal[:20]
