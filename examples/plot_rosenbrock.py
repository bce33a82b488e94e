"""
Two paths through Rosenbrock's valley
=====================================

Rosenbrock's function f(x) = (1 − x₁)² + 100 (x₂ − x₁²)² has a long, bent valley with its minimum at (1, 1).
The way down the walls is easy; the way along the floor shows what a method knows about curvature.

A run is a sequence of states, and :func:`refopt.iterate` hands out every one of them whole: the point, the
gradient, and the matrix or the radius with which the next step is made.
"""

from itertools import islice

import matplotlib.pyplot as plt
import numpy as np

import refopt
from refopt.methods import bfgs, trust_exact

valley = refopt.zoo.get("rosenbrock")


def path(method):
    """The states of a method until its gradient is small, and no more than 200 of them."""
    states = []
    for state in islice(refopt.iterate(method, valley.problem, valley.x0, method.Params()), 200):
        states.append(state)
        if np.linalg.norm(state.g) <= 1e-8:
            break
    return states


paths = {"BFGS": path(bfgs), "trust-region Newton": path(trust_exact)}

# %%
# BFGS starts with a multiple of the identity and learns the curvature on the way. Trust-region Newton sees
# the Hessian; where the quadratic model reaches too far, as it does in the bend, the radius shrinks.

x1, x2 = np.meshgrid(np.linspace(-1.6, 1.4, 300), np.linspace(-0.7, 1.6, 300))
height = (1 - x1) ** 2 + 100 * (x2 - x1**2) ** 2

figure, (plane, fall) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", width_ratios=(3, 2))
plane.contour(x1, x2, height, levels=np.geomspace(0.05, 1000, 14), colors="0.75", linewidths=0.8)
for (name, states), color, marker in zip(paths.items(), ("tab:blue", "tab:red"), "os", strict=True):
    points = np.array([state.x for state in states])
    plane.plot(*points.T, color=color, marker=marker, markersize=3.5, linewidth=1.2, label=name)
    gaps = [np.linalg.norm(state.x - 1) for state in states]
    fall.semilogy(gaps, color=color, marker=marker, markersize=3.5, linewidth=1.2, label=name)
plane.plot(1, 1, marker="*", markersize=13, color="gold", markeredgecolor="black", linestyle="none", label="minimum")
plane.set(xlabel="$x_1$", ylabel="$x_2$", title="Iterates")
plane.legend(loc="lower left")
fall.set(xlabel="step $k$", ylabel=r"$\|x_k - x^*\|$", title="Distance to the minimum")
fall.grid(color="0.9")
plt.show()

# %%
# Each state holds what its equation needs, so equations can be checked along the path. The secant equation
# Hₖ₊₁ yₖ = sₖ, relative to ‖sₖ‖:

for old, new in islice(zip(paths["BFGS"], paths["BFGS"][1:], strict=False), 5):
    s, y = new.x - old.x, new.g - old.g
    print(f"{np.linalg.norm(new.H @ y - s) / np.linalg.norm(s):.1e}")
