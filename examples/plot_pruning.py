"""
What corrections are worth
==========================

A small network is trained on smooth random images, whose neighbouring pixels are alike, and then pruned. All methods
remove the same share of weights. They differ in what they look at, and in whether the weights that stay may answer:

* **magnitude** takes the smallest weights, **Wanda** those that are small beside their inputs; nothing else changes;
* **SparseGPT** sweeps over the columns once, and each weight that goes is made up for by those to its right;
* **OBS, row by row** takes, again and again, the weight that is cheapest *after* the others have made up for it;
* a **refit** of a mask by least squares is the best that any correction can do for that mask.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt
from refopt.networks import Linear, Sequential, Tanh
from refopt.pruning import magnitude, obs_rows, prune, refit, sparsegpt, wanda

rng = np.random.default_rng(0)
side, classes = 8, 5
grid = np.linspace(0, 1, side)
distance = (grid[:, None, None, None] - grid[None, None, :, None]) ** 2
distance = distance + (grid[None, :, None, None] - grid[None, None, None, :]) ** 2
smooth = np.linalg.cholesky(np.exp(-distance.reshape(side**2, -1) / 0.08) + 1e-3 * np.eye(side**2))
patterns = rng.standard_normal((classes, side**2)) @ smooth.T


def images(count):
    labels = rng.integers(classes, size=count)
    return patterns[labels] + 1.2 * rng.standard_normal((count, side**2)) @ smooth.T, labels


X, y = images(600)
X_new, y_new = images(2000)
net = Sequential(Linear(side**2, 48), Tanh(), Linear(48, 24), Tanh(), Linear(24, classes))
problem = refopt.Supervised(net, "cross-entropy", X, y)
trained = refopt.minimize(problem.fun_and_grad, net.init(rng), jac=True, method="l-bfgs", options={"maxiter": 25})
print(f"{net.size} weights, cross-entropy {trained.fun:.3f} after {trained.nit} steps of L-BFGS")

# %%
# One layer
# ---------
# The second layer, 48 → 24, and its inputs. The loss is what it does to its own outputs, ‖ΔW X‖²/N.

arrays = net.unravel(trained.x)
W, inputs = arrays["2.W"], np.tanh(X @ arrays["0.W"].T + arrays["0.b"]).T
outputs = np.sum((W @ inputs) ** 2) / inputs.shape[1]

shares = np.linspace(0.1, 0.9, 17)
methods = {"magnitude": magnitude, "Wanda": wanda, "SparseGPT": sparsegpt, "OBS, row by row": obs_rows}
curves = {name: [method(W, inputs, s).actual_increase / outputs for s in shares] for name, method in methods.items()}
masks = {"SparseGPT": [sparsegpt(W, inputs, s).mask for s in shares]}
curves["refit of SparseGPT's mask"] = [
    refit(W, inputs, m, damping=1e-6).actual_increase / outputs for m in masks["SparseGPT"]
]

for name, curve in curves.items():
    print(f"{name:26s} half of the weights gone: the outputs change by {curve[8]:.2%} of ‖WX‖²")

# %%
# The whole network
# -----------------
# Layer by layer: each is pruned on what the pruned layers before it hand on. What counts now is the task, on images
# that the network has not seen.


def wrong(x):
    """The share of new images that are taken for another class."""
    return np.mean(net(x, X_new).argmax(axis=1) != y_new)


shares_net = np.linspace(0.1, 0.9, 9)
names = {"magnitude": "magnitude", "Wanda": "wanda", "SparseGPT": "sparsegpt", "OBS, row by row": "obs"}
errors = {
    name: [wrong(prune(net, trained.x, X, s, method=method).x) for s in shares_net] for name, method in names.items()
}
print(prune(net, trained.x, X, 0.5))

# %%
# Left: what pruning does to one layer. Right: what it does to the network.

figure, (one, whole) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
colors = {"magnitude": "C7", "Wanda": "C1", "SparseGPT": "C0", "OBS, row by row": "C2"}
for name, curve in curves.items():
    style = {"color": colors[name]} if name in colors else {"color": "C0", "linestyle": "--"}
    one.semilogy(100 * shares, curve, label=name, **style)
one.set(xlabel="weights removed, %", ylabel="‖ΔW X‖² / ‖WX‖²", title="one layer, 48 → 24")
one.legend()
for name, curve in errors.items():
    whole.plot(100 * shares_net, 100 * np.array(curve), color=colors[name], marker="o", markersize=3.5, label=name)
whole.axhline(100 * wrong(trained.x), color="0.6", linewidth=0.8, linestyle=":")
whole.text(10, 100 * wrong(trained.x) + 1, "before pruning", color="0.4", va="bottom", fontsize=9)
whole.set(xlabel="weights removed, %", ylabel="new images misclassified, %", title="the network, layer by layer")
whole.set_ylim(bottom=0)
plt.show()
