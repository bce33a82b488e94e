"""
Two orders, three dampings
==========================

The curvature of a layer *y* = *Wa* is approximated by a Kronecker product of two small matrices, A for what comes in
and G for what goes out. Which product depends on how the entries of *W* are numbered: row by row, as ``W.ravel()``
does, it is G ⊗ A; column by column, as in the papers, A ⊗ G. The commutation matrix K, a permutation, turns one into
the other.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt
from refopt.curvature import Kron

A = np.array([[1.0, 0.6, 0.2], [0.6, 0.8, 0.3], [0.2, 0.3, 0.5]])
G = np.array([[1.0, -0.4], [-0.4, 0.7]])
block = Kron(A, G)
K = refopt.linalg.commutation(2, 3)
print("K (A ⊗ G) Kᵀ = G ⊗ A:", np.array_equal(K @ block.dense("column") @ K.T, block.dense("row")))

names = [f"$w_{{{i}{j}}}$" for i in (1, 2) for j in (1, 2, 3)]
columns = [f"$w_{{{i}{j}}}$" for j in (1, 2, 3) for i in (1, 2)]
pictures = {
    "row by row, $G \\otimes A$": (block.dense("row"), names, names),
    "the commutation matrix $K$": (K, names, columns),
    "column by column, $A \\otimes G$": (block.dense("column"), columns, columns),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="compressed")
for axis, (title, (M, rows, across)) in zip(axes, pictures.items(), strict=True):
    axis.imshow(M, cmap="RdBu", vmin=-1, vmax=1)
    axis.set(title=title, xticks=range(6), yticks=range(6), xticklabels=across, yticklabels=rows)
plt.show()

# %%
# With a bias, A has a last row and column for the constant 1, and the block is that of the matrix [W b]. In flat order
# W comes first and then b, and the rows and columns of b, which stand at the end of every row of [W b], go to the end.

with_bias = Kron(A, G, bias=True)
names = ["$w_{11}$", "$w_{12}$", "$b_1$", "$w_{21}$", "$w_{22}$", "$b_2$"]
flat = ["$w_{11}$", "$w_{12}$", "$w_{21}$", "$w_{22}$", "$b_1$", "$b_2$"]
figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="compressed")
for axis, M, labels, title in (
    (axes[0], block.dense(), names, "rows of $[W\\ b]$"),
    (axes[1], with_bias.dense(), flat, "flat order: $W$, then $b$"),
):
    axis.imshow(M, cmap="RdBu", vmin=-1, vmax=1)
    axis.set(title=title, xticks=range(6), yticks=range(6), xticklabels=labels, yticklabels=labels)
plt.show()

# %%
# Damping by λ has a price in this form: (G + √λ/π I) ⊗ (A + π√λ I) is a Kronecker product again, but has
# π√λ G ⊗ I + √λ/π I ⊗ A more than G ⊗ A + λI. The step is shorter than it should be, in every direction; π makes the
# trace of what is too much the smallest. With the eigenvectors of both factors the exact inverse costs no more.

rng = np.random.default_rng(0)
Q, R = (np.linalg.qr(rng.standard_normal((n, n)))[0] for n in (30, 20))
big = Kron((Q * np.logspace(1, -5, 30)) @ Q.T, (R * np.logspace(-2, -5, 20)) @ R.T)
gradient = big.matvec(rng.standard_normal(600))
dampings = np.logspace(-9, 1, 60)

figure, axis = plt.subplots(figsize=(6, 3.6), layout="compressed")
exact = [big.solve(gradient, lam) for lam in dampings]
axis.axhline(1.0, color="0.3", linewidth=1, label="exact")
for rule, label in (("pi", "factored, with π"), ("factored", "factored, π = 1")):
    steps = [big.solve(gradient, lam, rule) for lam in dampings]
    ratio = [(gradient @ step) / (gradient @ best) for step, best in zip(steps, exact, strict=True)]
    axis.semilogx(dampings, ratio, label=label)
    print(f"{label:24s} decrease to first order, least part of the exact one: {min(ratio):.2f}")
axis.set(xlabel="$\\lambda$", ylabel="$g^T p$, relative to exact damping", ylim=(0, 1.05))
axis.legend()
axis.grid(color="0.92")
plt.show()
