"""
Adam first, L-BFGS for the last digits
======================================

Adam is quick to get near a minimum and slow to get there: its steps hop around it. L-BFGS with a line search, on all
samples at once, goes on to the last digit, and superlinearly if it forgets nothing. Here both, one after the other, on
a convex problem: which of 442 patients' diabetes advanced more than the median, by ten correlated measurements.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

import refopt
from refopt.networks import Linear

data = load_diabetes()
X = data.data * len(data.data) ** 0.5
y = (data.target > np.median(data.target)).astype(float)[:, None]
problem = refopt.Supervised(Linear(10, 1), "binary-cross-entropy", X, y)
x0 = problem.network.init(0)

first = {"step": 0.1}
runs = {
    "Adam": ("adam", 400, first),
    "Adam, its step falling": ("adam", 400, {"step": refopt.schedules.cosine(0.1, steps=400)}),
    "L-BFGS alone, all pairs": ("l-bfgs", 60, {"memory": 100, "scaling": False}),
    "Adam, L-BFGS, 5 pairs": (("adam", "l-bfgs"), (100, 120), (first, {"memory": 5, "scaling": False})),
    "Adam, L-BFGS, 10 pairs": (("adam", "l-bfgs"), (100, 50), (first, {"memory": 10, "scaling": False})),
    "Adam, L-BFGS, all pairs": (("adam", "l-bfgs"), (100, 50), (first, {"memory": 100, "scaling": False})),
}
gradients = {}
for name, (method, steps, options) in runs.items():
    kept = []
    batch_size = None if method == "l-bfgs" else 50
    result = refopt.train(problem, x0, method, steps, batch_size, 0, options, kept.append)
    gradients[name] = np.array([np.linalg.norm(problem.grad(x)) for x in kept])
    print(f"{name:24s} f = {result.fun:.12f}, |g| = {gradients[name][-1]:.1e} after {result.nit} steps")

# %%
# Adam with a fixed step stays where its noise holds it; with a falling one it gets nearer, but not by a digit.
# Superlinear means that a step gains more digits than the one before: on a logarithmic scale the curve bends down, as
# it does where all pairs are kept, for that is BFGS. With fewer L-BFGS forgets, and is linear. Right, what happens
# after the hand-over.

figure, (whole, tail) = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
colours = dict(zip(runs, ("C0", "C5", "0.4", "C1", "C3", "C2"), strict=True))
for name, norms in gradients.items():
    if "pairs" not in name or "all" in name:
        whole.semilogy(norms, linewidth=1.1, label=name, color=colours[name])
    if "L-BFGS" in name:
        after = norms if "alone" in name else norms[99:]
        tail.semilogy(after, linewidth=1.1, marker="o", markersize=2, label=name, color=colours[name])
whole.axvline(100, color="0.6", linewidth=0.8, linestyle=":")
whole.set(xlabel="step", ylabel="norm of the gradient on all samples")
tail.set(xlabel="step of L-BFGS", xlim=(0, 80))
for panel in (whole, tail):
    panel.grid(color="0.92")
    panel.legend(fontsize=8)
plt.show()
