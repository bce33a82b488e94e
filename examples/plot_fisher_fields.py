"""
The Fisher matrix and the empirical one, as fields of directions
================================================================

What is often called a Fisher matrix in training is the *empirical* one: squares of the gradients at the labels of the
data, in place of labels drawn from the model. They agree where the model is right and the data are many. Here is a line
fitted to 1,000 points, y = θ₁x + θ₀ with unit noise: F is the Hessian, wherever θ is. Above, the points are what the
model says. Below they are not: there is a parabola in them.

F. Kunstner, L. Balles & P. Hennig, *NeurIPS* 2019, arXiv:1905.12558, whose picture this is after.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt
from refopt import curvature
from refopt.networks import Linear

rng = np.random.default_rng(0)
X = 1.0 + rng.standard_normal((1000, 1))
line, noise = 2.0 * X + 2.0, rng.standard_normal((1000, 1))
parabola = (X - 1.0) ** 2
data = {"well specified": line + noise, "misspecified": line + 2.0 * (parabola - parabola.mean()) + noise}

metrics = {
    "gradient": lambda problem, x: np.eye(2),
    "Fisher": curvature.fisher,
    "empirical Fisher": lambda problem, x: curvature.fisher(problem, x, kind="empirical"),
}
slopes, offsets = np.linspace(0.5, 3.5, 13), np.linspace(0.5, 3.5, 13)
wide = np.linspace(0.3, 3.7, 60)


def direction(metric, problem, x):
    return -np.linalg.solve(metric(problem, x), problem.grad(x))


# %%
# Natural gradient points at the minimum from everywhere, and has the length to reach it. The empirical matrix holds
# squared residuals: far away it is large where the line is far from the data, whatever the curvature is, so that steps
# are short and turn aside. Near the minimum both agree, if what is left there is the noise of the model. If not, they
# agree nowhere, and the empirical one's steps are too short to arrive. Arrows are of one length: colour is that of the
# step, light the longest of the panel. Red are 300 steps of a tenth, from four corners.

figure, panels = plt.subplots(2, 3, figsize=(11, 7.6), sharex=True, sharey=True, layout="constrained")
for row, (what, y) in zip(panels, data.items(), strict=True):
    problem = refopt.Supervised(Linear(1, 1), "squared", X, y)
    best = np.linalg.lstsq(np.column_stack([X, np.ones(1000)]), y, rcond=None)[0][:, 0]
    F, EF = curvature.fisher(problem, best), curvature.fisher(problem, best, kind="empirical")
    print(f"{what}: at the minimum |EF - F| is {np.linalg.norm(EF - F) / np.linalg.norm(F):.2f} of |F|")
    values = np.array([[problem.fun(np.array([a, b])) for a in wide] for b in wide])
    towards = best - np.stack(np.meshgrid(slopes, offsets), axis=-1)
    for panel, (name, metric) in zip(row, metrics.items(), strict=True):
        field = np.array([[direction(metric, problem, np.array([a, b])) for a in slopes] for b in offsets])
        size = np.linalg.norm(field, axis=-1)
        whole = np.linalg.norm(towards, axis=-1)
        angles = np.degrees(np.arccos(np.clip((field * towards).sum(axis=-1) / (size * whole), -1, 1)))
        lengths = size / whole
        print(f"  {name:17s} up to {angles.max():5.1f}° off; {lengths.min():.3f} to {lengths.max():.3f} of the way")
        panel.contour(wide, wide, values, levels=14, colors="0.85", linewidths=0.8)
        unit = field / size[..., None]
        panel.quiver(slopes, offsets, unit[..., 0], unit[..., 1], size, cmap="viridis", scale=22, width=0.006)
        panel.plot(*best, marker="o", color="tab:red", markersize=5)
        for start in ((0.6, 0.6), (3.4, 0.6), (0.6, 3.4), (3.4, 3.4)):
            path = [np.array(start)]
            for _ in range(300):
                path.append(path[-1] + 0.1 * direction(metric, problem, path[-1]))
            panel.plot(*np.array(path).T, color="tab:red", linewidth=1.2)
        panel.set(title=name if y is data["well specified"] else "", xlim=(0.3, 3.7), ylim=(0.3, 3.7))
    row[0].set_ylabel(f"{what}\noffset")
for panel in panels[1]:
    panel.set_xlabel("slope")
plt.show()
