"""
Hessian, Gauss-Newton, Fisher
=============================

A network with two hidden layers tells three spirals apart. It is small enough to look at its curvature matrices whole:
the Hessian H, the Gauss-Newton matrix G, which is the Fisher matrix F here, and the empirical Fisher matrix EF, made of
the gradients at the labels of the data.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import SymLogNorm

import refopt
from refopt import curvature
from refopt.networks import Linear, Sequential, Tanh

rng = np.random.default_rng(3)
angle, arm = np.tile(np.linspace(0.3, 3.5, 20), 3), np.repeat(np.arange(3), 20)
turned = angle + arm * 2 * np.pi / 3
X = (angle * np.array([np.cos(turned), np.sin(turned)])).T / 2 + 0.05 * rng.standard_normal((60, 2))
net = Sequential(Linear(2, 10), Tanh(), Linear(10, 10), Tanh(), Linear(10, 3))
problem = refopt.Supervised(net, "cross-entropy", X, arm)

start = net.init(rng)
run = refopt.minimize(problem.fun_and_grad, start, jac=True, method="l-bfgs", options={"maxiter": 25})
stages = {"at the start": start, "after 25 steps of L-BFGS": run.x}
print(f"f from {problem.fun(start):.3f} to {run.fun:.4f} in {run.nit} steps")

# %%
# Spectra
# -------
#
# At the start most of H is what Gauss-Newton drops, the functional Hessian H − G, with eigenvalues of either sign. It
# is multiplied by the slopes of the loss: as these vanish, so does it, and the largest eigenvalues become those of G.
# (The axis is linear within ±10⁻⁷. Ranks are counted to rounding.)

figure, panels = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for panel, (when, x) in zip(panels, stages.items(), strict=True):
    H, G = curvature.hessian(problem, x), curvature.ggn(problem, x)
    for M, label, style in ((H, "Hessian", "o"), (G, "Gauss-Newton", "x")):
        values = np.linalg.eigvalsh(M)[::-1]
        panel.plot(np.arange(1, values.size + 1), values, style, markersize=4, label=label)
    rank = np.linalg.matrix_rank(G, tol=1e-12 * np.linalg.norm(G, 2))
    share = np.linalg.norm(H - G) / np.linalg.norm(H)
    print(f"{when}: the rank of G is {rank}, at most N(C − 1) = 120; H − G is {100 * share:.1f} % of H")
    panel.set_yscale("symlog", linthresh=1e-7)
    panel.axhline(0, color="0.7", linewidth=0.8)
    panel.set(xlabel="index", title=when)
panels[0].set_ylabel("eigenvalue")
panels[0].legend()

# %%
# Blocks
# ------
#
# Rows and columns are the parameters, layer by layer, each layer's weight and then its bias. The matrices are far from
# block-diagonal: parameters of different layers act on the same outputs.

x = stages["at the start"]
matrices = {
    "Hessian": curvature.hessian(problem, x),
    "Gauss-Newton = Fisher": curvature.fisher(problem, x),
    "empirical Fisher": curvature.fisher(problem, x, kind="empirical"),
}
edges = np.cumsum([block.shape[0] for block in curvature.block_diagonal(problem, x).blocks])[:-1]
figure, panels = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
norm = SymLogNorm(1e-3, vmin=-1, vmax=1)
for panel, (name, M) in zip(panels, matrices.items(), strict=True):
    image = panel.imshow(M / abs(M).max(), cmap="RdBu_r", norm=norm, interpolation="nearest")
    for edge in edges:
        panel.axhline(edge - 0.5, color="black", linewidth=0.6)
        panel.axvline(edge - 0.5, color="black", linewidth=0.6)
    panel.set(title=name, xticks=[], yticks=[])
figure.colorbar(image, ax=panels, shrink=0.8, label="relative to the largest entry")

# %%
# What the empirical Fisher matrix is not
# ---------------------------------------
#
# A line fitted by least squares, f = a + bt with half the square as the loss. The Fisher matrix is the Hessian, and
# each arrow of the natural gradient points to the minimum. The empirical one weighs each datum by the square of its
# residual: its steps have other directions, and are long near the minimum and short far away.

t = np.linspace(-1, 2, 40)
y = 0.5 * t + 0.2 + 0.3 * rng.standard_normal(40)
line = refopt.Supervised(lambda p, t: p[0] + p[1] * t, "squared", t, y)
best = np.array([np.polyfit(t, y, 1)[1], np.polyfit(t, y, 1)[0]])
grid = np.stack(np.meshgrid(np.linspace(-1.2, 1.6, 13), np.linspace(-0.9, 1.9, 13)), axis=-1).reshape(-1, 2)

figure, panels = plt.subplots(1, 3, figsize=(12, 4.2), sharey=True, layout="constrained")
kinds = {"gradient": None, "natural gradient, Fisher": "exact", "with the empirical Fisher matrix": "empirical"}
a, b = np.meshgrid(np.linspace(-1.4, 1.8, 80), np.linspace(-1.1, 2.1, 80))
level = 0.5 * ((a[..., None] + b[..., None] * t - y) ** 2).mean(-1)
for panel, (name, kind) in zip(panels, kinds.items(), strict=True):
    steps = []
    for p in grid:
        F = np.eye(2) if kind is None else curvature.fisher(line, p, kind=kind)
        steps.append(-np.linalg.solve(F, line.grad(p)))
    panel.contour(a, b, level, levels=15, colors="0.8", linewidths=0.7)
    panel.quiver(*grid.T, *np.array(steps).T, angles="xy", width=0.004)
    panel.plot(*best, "*", color="gold", markeredgecolor="black", markersize=13)
    panel.set(title=name, xlabel="a")
panels[0].set_ylabel("b")

# %%
# Duality
# -------
#
# With K = JJᵀ, the neural tangent kernel, there are as many eigenvalues as outputs; G has as many as parameters. Where
# they are not zero they are the same, once the loss is between: those of ``operators.ggn(…).gram()``. With few samples
# it is the smaller matrix of the two, and ``curvature.solve`` uses it.

few = problem.batch(X[::5], arm[::5])
G = curvature.operators.ggn(few, x)
ours, dual = np.linalg.eigvalsh(G.dense())[::-1], np.linalg.eigvalsh(G.gram())[::-1]
figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
panels[0].semilogy(ours[:24], "o", label=f"G, {ours.size} × {ours.size}", markersize=7, fillstyle="none")
panels[0].semilogy(dual[:24], ".", label=f"its Gram matrix, {dual.size} × {dual.size}")
panels[0].set(xlabel="index", ylabel="eigenvalue, the largest N(C − 1) = 24")
panels[0].legend()
image = panels[1].imshow(curvature.ntk(problem, x)[::3, ::3], cmap="magma", interpolation="nearest")
panels[1].set(title="neural tangent kernel of the first output", xlabel="sample", ylabel="sample")
figure.colorbar(image, ax=panels[1], shrink=0.8)
plt.show()
