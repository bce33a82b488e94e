"""
What the Gauss-Newton matrix leaves out
=======================================

The Hessian of a network's loss is H = Σ Jₙᵀ∇²ℓₙJₙ + Σₙₖ (∂ℓₙ/∂fₖ)∇²fₖ. The first part is the Gauss-Newton matrix G,
which for softmax and cross-entropy is the Fisher matrix too. Popular pages say that a ReLU network has no second part,
since the second derivative of ReLU is zero, or even no curvature at all. Here are both parts, entry by entry.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt
from refopt.networks import Linear, ReLU, Sequential, Tanh

rng = np.random.default_rng(4)
X, y = rng.standard_normal((30, 4)), rng.integers(0, 3, 30)

fig, axes = plt.subplots(2, 3, figsize=(9.5, 6.6), layout="constrained")
for row, phi in zip(axes, (ReLU(), Tanh()), strict=True):
    net = Sequential(Linear(4, 6), phi, Linear(6, 5), phi, Linear(5, 3))
    problem, x = refopt.Supervised(net, "cross-entropy", X, y), net.init(0)
    point = problem.at(x)
    H = problem.hess(x)
    G = np.stack([point.ggnvp(e) for e in np.eye(net.size)])
    top = np.abs(H).max()
    layers = [net.plan.slots[k].part.stop for k in (1, 3)]
    for ax, matrix, title in zip(row, (H, G, H - G), ("H", "G", "H − G"), strict=True):
        shown = np.log10(np.maximum(np.abs(matrix) / top, 1e-5))
        image = ax.imshow(shown, cmap="magma", vmin=-5, vmax=0)
        for end in layers:
            ax.axhline(end - 0.5, color="white", lw=0.6)
            ax.axvline(end - 0.5, color="white", lw=0.6)
        ax.set(title=f"{type(phi).__name__}: {title}", xticks=[], yticks=[])
    starts, stops = [0, *layers], [*layers, net.size]
    blocks = [np.abs((H - G)[a:b, a:b]).max() / top for a, b in zip(starts, stops, strict=True)]
    print(f"{type(phi).__name__}: largest entry of H − G relative to H, layer by layer:", *(f"{e:.0e}" for e in blocks))
    print(f"    in all of it: {np.abs(H - G).max() / top:.2f};   lowest eigenvalue of H {np.linalg.eigvalsh(H)[0]:.1e}")
fig.colorbar(image, ax=axes, label="log₁₀ of the entry's modulus, relative to the largest of H")
plt.show()

# %%
# Lines separate the three layers. In the ReLU network (above) the blocks of H − G within a layer vanish, so that there
# H and G are the same and semidefinite: f is linear in the weights of any one layer, as long as no unit changes sign.
# Between layers f is a product of weights, and H − G is half as large as H. With tanh only the last layer's block
# vanishes, and within the second what is left belongs to one unit at a time.
# The claim is *networks.relu-curvature* in the ledger, where it is checked over the rational numbers.
