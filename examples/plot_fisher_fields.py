"""
The Fisher matrix and the empirical one, as fields of directions
================================================================

What is often called a Fisher matrix in training is the *empirical* one: squares of the gradients at the labels of the
data, in place of labels drawn from the model. They agree where the model is right and the data are many. Here is a line
fitted to 1,000 points, y = θ₁x + θ₀ with unit noise: F is the Hessian, wherever θ is.

F. Kunstner, L. Balles & P. Hennig, *NeurIPS* 2019, arXiv:1905.12558, whose picture this is after.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt
from refopt import curvature
from refopt.networks import Linear

rng = np.random.default_rng(0)
X = 1.0 + rng.standard_normal((1000, 1))
problem = refopt.Supervised(Linear(1, 1), "squared", X, 2.0 * X + 2.0 + rng.standard_normal((1000, 1)))
best = np.linalg.lstsq(np.column_stack([X, np.ones(1000)]), problem.y, rcond=None)[0][:, 0]

metrics = {
    "gradient": lambda x: np.eye(2),
    "Fisher": lambda x: curvature.fisher(problem, x),
    "empirical Fisher": lambda x: curvature.fisher(problem, x, kind="empirical"),
}
slopes, offsets = np.linspace(0.5, 3.5, 13), np.linspace(0.5, 3.5, 13)
fields = {}
for name, metric in metrics.items():
    steps = [[-np.linalg.solve(metric(x), problem.grad(x)) for x in np.column_stack([slopes, 0 * slopes + b])]
             for b in offsets]  # fmt: skip
    fields[name] = np.array(steps)

# %%
# Natural gradient points at the minimum from everywhere, and has the length to reach it. The empirical matrix holds
# squared residuals: far away it is large where the line is far from the data, whatever the curvature is, so that steps
# are short and turn aside. Only near the minimum, where the residuals are the noise of the model, do both agree.

towards = best - np.stack(np.meshgrid(slopes, offsets), axis=-1)
for name, field in fields.items():
    norms = np.linalg.norm(field, axis=-1) * np.linalg.norm(towards, axis=-1)
    angles = np.degrees(np.arccos(np.clip((field * towards).sum(axis=-1) / norms, -1, 1)))
    lengths = np.linalg.norm(field, axis=-1) / np.linalg.norm(towards, axis=-1)
    print(f"{name:17s} up to {angles.max():5.1f}° off; {lengths.min():.3f} to {lengths.max():.3f} of the way")

figure, panels = plt.subplots(1, 3, figsize=(11, 4), sharey=True, layout="compressed")
wide = np.linspace(0.3, 3.7, 60)
values = np.array([[problem.fun(np.array([a, b])) for a in wide] for b in wide])
for panel, (name, field) in zip(panels, fields.items(), strict=True):
    panel.contour(wide, wide, values, levels=14, colors="0.85", linewidths=0.8)
    unit = field / np.linalg.norm(field, axis=-1, keepdims=True)
    panel.quiver(slopes, offsets, unit[..., 0], unit[..., 1], np.linalg.norm(field, axis=-1), cmap="viridis", scale=22,
                 width=0.006)  # fmt: skip
    panel.plot(*best, marker="o", color="tab:red", markersize=5)
    panel.set(title=name, xlabel="slope", xlim=(0.3, 3.7), ylim=(0.3, 3.7), aspect="equal")
panels[0].set_ylabel("offset")

# %%
# Steps of length 0.1 with each matrix, from four corners.

for start in ((0.6, 0.6), (3.4, 0.6), (0.6, 3.4), (3.4, 3.4)):
    for panel, metric in zip(panels, metrics.values(), strict=True):
        x, path = np.array(start), [np.array(start)]
        for _ in range(300):
            x = x - 0.1 * np.linalg.solve(metric(x), problem.grad(x))
            path.append(x)
        panel.plot(*np.array(path).T, color="tab:red", linewidth=1.2)
plt.show()
