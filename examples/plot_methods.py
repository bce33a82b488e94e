"""
Every method at work
====================

One picture for each method. On the left its path: on the quartic of :doc:`plot_quartic` from (−0.9, 0.4), or, where the
method needs a sum of squares, on Rosenbrock's function. On the right what is left of f after so many evaluations,
beside all other methods in grey: on Rosenbrock's function, or fitting the data Misra1a. All options are the defaults.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt

quartic, rosenbrock = refopt.zoo.get("quartic"), refopt.zoo.get("rosenbrock")
sum_of_squares, misra = refopt.zoo.get("rosenbrock:ls:2"), refopt.zoo.get("nist:Misra1a")
LEAST = 1e-18


def fisher(x):
    """Of observations r(x) + noise of variance ½, whose negative log-likelihood is f = ‖r‖²: 2JᵀJ."""
    J = sum_of_squares.problem.jacobian(x)
    return 2 * J.T @ J


def minimized(name, entry, case):
    f, options = case.problem, {"trace": True, "maxiter": 300}
    options |= {"fisher": fisher} if entry.fisher else {}
    given = {"hess": f.hess} if {"hess", "hessp"} & set(entry.needs) and not entry.fisher else {}
    return refopt.minimize(f.fun, case.x0, method=name, jac=f.grad, options=options, **given)


def fitted(name, entry, case):
    r, options = case.problem, {"trace": True, "maxiter": 300}
    return refopt.least_squares(r.residual, case.x0, method=name, jac=r.jacobian, options=options)


doors = {"minimize": (minimized, quartic, rosenbrock), "least_squares": (fitted, sum_of_squares, misra)}
methods = {name: entry for name, entry in refopt.available().items() if entry.door in doors}
paths, falls = {}, {}
for name, entry in methods.items():
    run, plane, race = doors[entry.door]
    plane = rosenbrock if entry.fisher else plane
    paths[name] = plane, np.array([state.x for state in run(name, entry, plane).trace])
    falls[name] = np.array([(state.nfev, state.f) for state in run(name, entry, race).trace])
lowest = {"minimize": 0.0, "least_squares": min(falls["lm"][:, 1])}

# %%
# The grey lines are the same in all pictures of a front door; each picture shows one of them in red.


def contours(panel, case):
    """Of f around start and minimum, closer together near the minimum."""
    x0, solution = case.x0, np.asarray(case.solution)
    middle, reach = (x0 + solution) / 2, 0.8 * np.abs(x0 - solution).max()
    u, v = (np.linspace(m - reach, m + reach, 160) for m in middle)
    f = getattr(case.problem, "fun", None) or (lambda x: 0.5 * sum(case.problem.residual(x) ** 2))
    height = np.array([[f(np.array([a, b])) for a in u] for b in v])
    panel.contour(u, v, np.log10(1e-3 + height - height.min()), levels=24, colors="0.8", linewidths=0.7)
    panel.plot(*solution, marker="*", markersize=13, color="gold", markeredgecolor="black", zorder=4)
    panel.set(xlim=u[[0, -1]], ylim=v[[0, -1]], title="path", xlabel="$x_1$", ylabel="$x_2$")


def draw(name):
    door, (plane, points) = methods[name].door, paths[name]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    contours(left, plane)
    left.plot(*points.T, color="tab:red", marker="o", markersize=3, linewidth=1.2)
    for other, fall in falls.items():
        if methods[other].door == door:
            color, front = ("tab:red", 3) if other == name else ("0.85", 1)
            rest = np.maximum((fall[:, 1] - lowest[door]) / (fall[0, 1] - lowest[door]), LEAST)
            right.semilogy(fall[:, 0], rest, color=color, zorder=front, marker="o" if front == 3 else "", markersize=3)
    right.set(xlim=(0, 120), ylim=(LEAST, 10), title="what is left of f", xlabel="evaluations of f")
    right.grid(color="0.93")
    right.set_axisbelow(True)
    figure.suptitle(name)
    plt.show()


for name in methods:
    draw(name)
