"""
Training a small network, by first and second order
===================================================

Two spirals, a network of 2-16-16-2 units, batches of 64: the same batches for every method, because the seed is the
same. Who sees curvature needs fewer steps, and pays for it in each of them: losses over steps and over seconds.
The last run hands Adam's weights to L-BFGS, which sees all samples.

Step lengths were chosen by trying factors of two or three: the figure shows what these methods do here, not which is
best.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt
from refopt.networks import Linear, Sequential, Tanh

rng = np.random.default_rng(0)
angle = 3.0 * np.pi * np.sqrt(rng.random(500))
label = rng.integers(2, size=500)
spiral = angle[:, None] / 9.0 * np.stack([np.cos(angle + np.pi * label), np.sin(angle + np.pi * label)], axis=1)
X = spiral + 0.02 * rng.standard_normal((500, 2))

net = Sequential(Linear(2, 16), Tanh(), Linear(16, 16), Tanh(), Linear(16, 2))
problem = refopt.Supervised(net, "cross-entropy", X, label)
start = net.init(1)

# %%
# Six hundred steps each.

options = {
    "sgd": {"step": 0.5},
    "momentum": {"step": 0.1},
    "adam": {"step": 0.02},
    "adahessian": {"step": 0.1},
    "shampoo": {"step": 0.02, "beta2": 0.99, "grafting": "adam", "beta1": 0.9, "every": 5},
    "soap": {"step": 0.02},
    "gauss-newton": {"step": 0.3, "damping": 0.01},
    "natural-gradient": {"step": 0.1, "damping": 0.003},
}
runs = {
    name: refopt.train(problem, start, name, steps=600, batch_size=64, rng=0, options=given)
    for name, given in options.items()
}
runs["adam, then l-bfgs"] = refopt.train(
    problem, start, ("adam", "l-bfgs"), steps=(300, 300), batch_size=64, rng=0, options=(options["adam"], None)
)
for name, run in runs.items():
    print(f"{name:18s} {run.nit} steps, loss on all samples {run.fun:.2e}")

# %%


def smoothed(losses, width=15):
    """The mean of the last `width` losses, fewer at the start."""
    sums = np.cumsum([0.0, *losses])
    ends = np.arange(1, len(losses) + 1)
    begins = np.maximum(ends - width, 0)
    return (sums[ends] - sums[begins]) / (ends - begins)


figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
for name, run in runs.items():
    losses = smoothed(run.history["loss"])
    panels[0].semilogy(losses, label=name, linewidth=1.2)
    panels[1].loglog(run.history["time"], losses, linewidth=1.2)
panels[0].set(xlabel="steps", ylabel="loss of the batch, mean of 15", ylim=(1e-5, 1))
panels[1].set(xlabel="seconds", xlim=(0.01, None))
for panel in panels:
    panel.grid(color="0.92")
figure.legend(loc="outside right", frameon=False)
plt.show()
