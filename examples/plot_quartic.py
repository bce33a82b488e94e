"""
Fifteen steps on a quartic
==========================

A quartic in two variables, whose curvature changes tenfold between the start, (−0.9, 0.4), and the minimum. Every
method takes fifteen steps with one α from first to last, and no search: what is seen is where its directions lead.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt

quartic = refopt.zoo.get("quartic")
f, x0, minimum = quartic.problem, quartic.x0, quartic.solution

runs = {
    "gradient descent": ("gradient-descent", {"search": "fixed", "step": 0.1}),
    "Newton": ("newton", {"step": 0.8}),
    "damped Newton": ("damped-newton", {"step": 0.8, "damping": 1.0}),
    "saddle-free Newton": ("saddle-free-newton", {"search": "fixed", "step": 0.8}),
    "diagonal Newton": ("diagonal-newton", {"step": 0.5}),
    "BFGS": ("bfgs", {"search": "fixed", "step": 0.15, "hess_inv0": np.eye(2)}),
    "L-BFGS": ("l-bfgs", {"search": "fixed", "step": 0.15, "memory": 15, "scaling": False, "gamma": 1.0}),
}


def path(method, options):
    """The sixteen points of fifteen steps."""
    options = {"maxiter": 15, "gtol": 0.0, "trace": True, **options}
    needs = {"hess": f.hess} if "hess" in refopt.available()[method].needs else {}
    result = refopt.minimize(f.fun, x0, method=method, jac=f.grad, options=options, **needs)
    return np.array([state.x for state in result.trace])


paths = {name: path(*run) for name, run in runs.items()}

# %%
# Who is how far from the minimum after fifteen steps? A Newton step of 0.8 that sees the whole Hessian leaves, near the
# minimum, a fifth of the error; saddle-free Newton takes ``|H|`` for H, the same where H is positive definite.
# A diagonal knows nothing of how the variables go together, and the quasi-Newton matrices have had fifteen steps of a
# seventh to learn from. L-BFGS that remembers all of them is BFGS.

for name, points in paths.items():
    print(f"{name:20s} {np.linalg.norm(points[-1] - minimum):.2e}")

# %%

u, v = np.meshgrid(np.linspace(-1, 1, 240), np.linspace(-0.5, 0.5, 160))
height = np.array([[f.fun(np.array(point)) for point in zip(*row, strict=True)] for row in zip(u, v, strict=True)])

figure, panels = plt.subplots(2, 4, figsize=(12, 5.4), sharex=True, sharey=True, layout="constrained")
for panel, (name, points) in zip(panels.flat, paths.items(), strict=False):
    panel.contour(u, v, height, levels=30, colors="0.8", linewidths=0.7)
    panel.plot(*points.T, color="tab:red", marker="o", markersize=2.5, linewidth=1.1)
    panel.plot(*minimum, marker="*", markersize=11, color="gold", markeredgecolor="black")
    panel.set(title=name, xlim=(-1, 1), ylim=(-0.5, 0.5))
fall = panels.flat[-1]
fall.remove()
fall = figure.add_subplot(2, 4, 8)
for width, (name, points) in zip(np.linspace(3.5, 0.8, len(paths)), paths.items(), strict=True):  # some coincide
    fall.semilogy(np.linalg.norm(points - minimum, axis=1), linewidth=width, label=name)
fall.set(title="distance to the minimum", xlabel="step")
fall.grid(color="0.92")
fall.legend(fontsize=7)
plt.show()
