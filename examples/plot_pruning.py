"""
What corrections are worth
==========================

A small network learns to tell handwritten digits apart, and is pruned. All methods
remove the same share of weights. They differ in what they look at, and in whether the weights that stay may answer:

* **magnitude** takes the smallest weights, **Wanda** those that are small beside their inputs; nothing else changes;
* **SparseGPT** sweeps over the columns once, and each weight that goes is made up for by those to its right;
* **OBS, row by row** takes, again and again, the weight that is cheapest *after* the others have made up for it;
* a **refit** of a mask by least squares is the best that any correction can do for that mask;
* **OBD** ranks all weights of the network at once by ½ hᵢᵢ wᵢ², with a diagonal that somebody has to choose;
* **WoodFisher** is OBS on the whole network, with the empirical Fisher matrix in blocks, inverted gradient by gradient.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import refopt
from refopt import curvature
from refopt.networks import Linear, Sequential, Tanh
from refopt.pruning import fisher_inverse, magnitude, obd, obs, obs_rows, prune, refit, sparsegpt, wanda

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.data))
images, labels = digits.data[order] / 16.0, digits.target[order]
X, y, X_new, y_new = images[:1200], labels[:1200], images[1200:], labels[1200:]

net = Sequential(Linear(64, 32), Tanh(), Linear(32, 24), Tanh(), Linear(24, 10))
problem = refopt.Supervised(net, "cross-entropy", X, y)
trained = refopt.train(problem, net.init(0), "kfac", steps=150, batch_size=200, rng=0, progress=False)
print(f"{net.size} weights, cross-entropy {trained.fun:.4f} after {trained.nit} steps of K-FAC")

# %%
# One layer
# ---------
# The second layer, 32 → 24, and its inputs. The loss is what it does to its own outputs, ‖ΔW X‖²/N.

arrays = net.unravel(trained.x)
W, inputs = arrays["2.W"], np.tanh(X @ arrays["0.W"].T + arrays["0.b"]).T
outputs = np.sum((W @ inputs) ** 2) / inputs.shape[1]

shares = np.linspace(0.0, 0.95, 20)
methods = {"magnitude": magnitude, "Wanda": wanda, "SparseGPT": sparsegpt, "OBS, row by row": obs_rows}
curves = {name: [method(W, inputs, s).actual_increase / outputs for s in shares] for name, method in methods.items()}
masks = {"SparseGPT": [sparsegpt(W, inputs, s).mask for s in shares]}
curves["refit of SparseGPT's mask"] = [
    refit(W, inputs, m, damping=1e-6).actual_increase / outputs for m in masks["SparseGPT"]
]

for name, curve in curves.items():
    print(f"{name:26s} half of the weights gone: the outputs change by {curve[10]:.2%} of ‖WX‖²")

# %%
# What the layers see
# -------------------
# The Hessian of a layer's own loss is 2XXᵀ/N, the same for each row. Pixels at the edge are dark in every image:
# their rows and columns are zero, and their weights go for nothing. Beside them neighbours are alike, so that one can
# answer for another; and the deeper the layer, the less.

hidden = np.tanh(inputs.T @ W.T + arrays["2.b"]).T
figure, panels = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for panel, seen, name in zip(panels, (X.T, inputs, hidden), ("64 → 32", "32 → 24", "24 → 10"), strict=True):
    H = 2 * seen @ seen.T / seen.shape[1]
    image = panel.imshow(H / abs(H).max(), cmap="RdBu", vmin=-1, vmax=1)
    panel.set(title=f"layer {name}", xticks=[], yticks=[])
figure.colorbar(image, ax=panels, label="relative to the largest entry")
plt.show()

# %%
# The whole network
# -----------------
# Layer by layer: each is pruned on what the pruned layers before it hand on. OBD and WoodFisher see all weights at
# once. What counts now is the task: the loss that was trained for, and images that the network has not seen.


def refitted(W, inputs, share):
    return refit(W, inputs, sparsegpt(W, inputs, share).mask, damping=0.01)


shares_net = np.array([0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95])
layerwise = {"magnitude": "magnitude", "Wanda": "wanda", "SparseGPT": "sparsegpt", "OBS, row by row": "obs"}
layerwise["refit of SparseGPT's mask"] = refitted
weights = {
    name: [prune(net, trained.x, X, s, method=method).x for s in shares_net] for name, method in layerwise.items()
}
for of in ("ggn", "empirical"):
    h, P = curvature.diagonal(problem, trained.x, of=of), net.size
    weights[f"OBD, {of}"] = [obd(trained.x, h, count=int(s * P)).weights for s in shares_net]
blocks = fisher_inverse(problem.per_sample_grad(trained.x), damping=1e-4, block_size=100)
weights["WoodFisher"] = [obs(trained.x, inverse_hessian=blocks, sparsity=s).weights for s in shares_net]


def missed(x):
    """The share of new images that are taken for another class."""
    return np.mean(net(x, X_new).argmax(axis=1) != y_new)


print(prune(net, trained.x, X, 0.5))
for name, found in weights.items():
    print(f"{name:26s} 80 % gone: loss {problem.fun(found[6]):.3f}, {missed(found[6]):.1%} of new images missed")

# %%
# Left: what pruning does to one layer. Middle and right: what it does to the network.

figure, (one, loss, whole) = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
colors = {"magnitude": "C7", "Wanda": "C1", "SparseGPT": "C0", "OBS, row by row": "C2", "OBD, ggn": "C3"}
colors |= {"OBD, empirical": "C4", "WoodFisher": "C5", "refit of SparseGPT's mask": "C0"}
for name, curve in curves.items():
    style = {"color": colors[name], "linestyle": "--" if "refit" in name else "-"}
    one.semilogy(100 * shares[1:], curve[1:], label=name, **style)
one.set(xlabel="weights removed, %", ylabel="‖ΔW X‖² / ‖WX‖²", title="one layer, 32 → 24")
one.legend(fontsize=8)
for name, found in weights.items():
    style = {"color": colors[name], "marker": "o", "markersize": 3.5, "label": name}
    style["linestyle"] = "--" if "refit" in name else "-"
    loss.semilogy(100 * shares_net, [problem.fun(x) for x in found], **style)
    whole.plot(100 * shares_net, [100 * missed(x) for x in found], **style)
loss.set(xlabel="weights removed, %", ylabel="cross-entropy of the training images", title="the network's loss")
whole.set(xlabel="weights removed, %", ylabel="new images missed, %", title="what it gets wrong", ylim=(0, 100))
whole.legend(fontsize=8)
plt.show()
