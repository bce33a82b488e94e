"""
How far from the Fisher matrix?
===============================

K-FAC takes the Fisher matrix of a network layer by layer, and each block for a Kronecker product G ⊗ A of two small
matrices. Both steps leave something out. KFOC takes the nearest Kronecker product instead, EKFAC corrects the diagonal
in K-FAC's eigenvectors, and block-tridiagonal K-FAC brings neighbouring layers together again, through the inverse.
Here a network is so small that the Fisher matrix itself can be seen.
"""

import numpy as np

import refopt
from refopt import curvature
from refopt.networks import Linear, Sequential, Tanh

rng = np.random.default_rng(0)
network = Sequential(Linear(8, 7), Tanh(), Linear(7, 6), Tanh(), Linear(6, 6), Tanh(), Linear(6, 4))
X, y = rng.standard_normal((200, 8)), rng.integers(0, 4, 200)
problem = refopt.Supervised(network, "cross-entropy", X, y)
x = 1.5 * network.init(1)

report = curvature.kfac_report(problem, x)
print(report)

# %%
# The four matrices, entry by entry, on one scale: the logarithm of the modulus. Lines are between layers.

import matplotlib.pyplot as plt

D = problem.at(x).per_sample_vjp(problem.at(x).fisher_factor()).reshape(-1, x.size)
F = problem.c * D.T @ D
matrices = {
    "Fisher matrix": F,
    "K-FAC": curvature.kfac(problem, x).dense(),
    "EKFAC": curvature.ekfac(problem, x).dense(),
    "block-tridiagonal K-FAC": curvature.kfac_tridiagonal(problem, x).dense(),
}
ends = [row.place[-1] + 0.5 for row in report.rows][:-1]


def show(axis, M, title, top):
    axis.imshow(np.log10(np.abs(M) + 1e-300), cmap="magma", vmin=np.log10(top) - 3.5, vmax=np.log10(top))
    for end in ends:
        axis.axhline(end, color="white", lw=0.6)
        axis.axvline(end, color="white", lw=0.6)
    axis.set(title=title, xticks=[], yticks=[])


figure, axes = plt.subplots(1, 4, figsize=(12, 3.3), layout="compressed")
for axis, (title, M) in zip(axes, matrices.items(), strict=True):
    show(axis, M, title, np.abs(F).max())
plt.show()

# %%
# K-FAC has nothing between layers, where the Fisher matrix has a great deal. Block-tridiagonal K-FAC is dense: what is
# block-tridiagonal is its inverse. The inverse of the Fisher matrix is not, but it falls off from layer to layer faster
# than the Fisher matrix itself. Each number is the size of a block (root mean square, without the diagonal) beside
# those of the two layers' own blocks. With damped factors the band is weaker than if F̂ is damped: that damps too much.

lam = 1e-2 * np.trace(F) / x.size
tridiagonal = curvature.kfac_tridiagonal(problem, x)
pictures = {
    "Fisher matrix": F,
    "its damped inverse": np.linalg.inv(F + lam * np.eye(x.size)),
    "block-tridiagonal K-FAC's": tridiagonal.solve(np.eye(x.size), lam, "exact"),
    "with damped factors": tridiagonal.solve(np.eye(x.size), lam, "pi"),
}
places, names = np.arange(len(report.rows)), [row.layer for row in report.rows]
figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="compressed")
for axis, (title, M) in zip(axes, pictures.items(), strict=True):
    off = M - np.diag(np.diag(M))
    size = np.array([[np.sqrt(np.mean(off[np.ix_(p.place, q.place)] ** 2)) for q in report.rows] for p in report.rows])
    size /= np.sqrt(np.outer(np.diag(size), np.diag(size)))
    axis.imshow(size, cmap="Blues", vmin=0, vmax=1.3)
    for (i, j), value in np.ndenumerate(size):
        axis.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.7 else "black")
    axis.set(title=title, xticks=places, yticks=places, xticklabels=names, yticklabels=names)
    axis.set(xlabel="layer")
plt.show()

# %%
# Layer by layer. In a layer's own block KFOC is the nearest Kronecker product. EKFAC is never further away than K-FAC,
# but may be further than KFOC, for it keeps K-FAC's eigenvectors. In the rows of a layer, with all that it has in
# common with the others, only the block-tridiagonal matrix comes near.

figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="compressed", sharey=True)
for axis, what in zip(axes, ("block", "row"), strict=True):
    for k, kind in enumerate(("K-FAC", "KFOC", "EKFAC", "block-tridiagonal")):
        errors = [getattr(row, what)[k] for row in report.rows]
        axis.bar(places + 0.2 * (k - 1.5), errors, 0.2, label=kind)
    axis.set(xticks=places, xticklabels=[f"layer {name}" for name in names])
    axis.set_title({"block": "a layer's own block", "row": "a layer's rows, with the whole network"}[what])
axes[0].set_ylabel("‖F − K‖ / ‖F‖")
axes[0].legend()
plt.show()

# %%
# KFOC comes with a certificate: a bound below which no Kronecker product gets.

for row, block in zip(report.rows, curvature.kfoc(problem, x).blocks, strict=True):
    proof, far = block.certificate, row.block[0] * row.norm
    print(f"layer {row.layer}: KFOC {proof.error:.8f}, K-FAC {far:.8f}, no product below {proof.least:.8f}")
