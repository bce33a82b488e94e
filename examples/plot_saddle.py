"""
Leaving a saddle
================

f(x, y) = x²/2 + y⁴/4 − y²/2 has a saddle at the origin and minima at (0, ±1). From a point beside the saddle

* **Newton's method** goes *to* the saddle: it looks for a zero of the gradient, and any will do;
* **gradient descent** leaves it, slowly at first, because the slope there is small;
* **saddle-free Newton** follows ``−|H|⁻¹g``: along every eigenvector as long as Newton's step, but always downhill;
* **trust-region Newton** sees the negative eigenvalue, and walks along it to the edge of its region.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt


def fun(z):
    return z[0] ** 2 / 2 + z[1] ** 4 / 4 - z[1] ** 2 / 2


def grad(z):
    return np.array([z[0], z[1] ** 3 - z[1]])


def hess(z):
    return np.diag([1.0, 3 * z[1] ** 2 - 1])


start = np.array([0.8, 0.05])
runs = {
    "Newton": ("newton", {}),
    "gradient descent": ("gradient-descent", {"search": "fixed", "step": 0.3}),
    "saddle-free Newton": ("saddle-free-newton", {}),
    "trust-region Newton": ("trust-exact", {"radius": 0.5}),
}
paths = {}
for name, (method, options) in runs.items():
    needs = {"hess": hess} if "hess" in refopt.available()[method].needs else {}
    run = refopt.minimize(fun, start, method=method, jac=grad, options={**options, "trace": True}, **needs)
    paths[name] = np.array([state.x for state in run.trace])
    eigenvalue = np.linalg.eigvalsh(hess(run.x))[0]
    print(f"{name:20s} {run.nit:3d} steps to f = {run.fun:6.3f}, lowest eigenvalue {eigenvalue:5.2f}: {run.success}")

# %%
# The last word of each line is ``success``. What a run may claim is decided by what it can see: a method that is given
# the Hessian and ends where that has a negative eigenvalue does not claim it.

x, y = np.meshgrid(np.linspace(-0.4, 1, 200), np.linspace(-0.4, 1.4, 200))
figure, panel = plt.subplots(figsize=(6.5, 5), layout="constrained")
panel.contour(x, y, x**2 / 2 + y**4 / 4 - y**2 / 2, levels=30, colors="0.8", linewidths=0.7)
for name, points in paths.items():
    panel.plot(*points.T, marker="o", markersize=3.5, linewidth=1.2, label=name)
panel.plot(0, 0, marker="x", color="black", markersize=9, linestyle="none", label="saddle")
panel.plot(0, 1, marker="*", color="gold", markeredgecolor="black", markersize=13, linestyle="none", label="minimum")
panel.set(xlabel="x", ylabel="y")
panel.legend(loc="upper right")
plt.show()
