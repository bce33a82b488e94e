"""
Curvature from products alone
=============================

A Hessian of a million variables cannot be written down, but its product with a vector costs about two gradients. From
such products follow estimates of its trace, of its diagonal and of its whole spectrum.

Hutchinson's estimate averages zᵀAz over random signs z: its error falls as one over the root of the number of products.
Hutch++ and XTrace spend some of them on finding the range of the largest eigenvalues, where they are exact. That pays
where eigenvalues fall off, and costs where they do not. Dotted is the error that the estimates give themselves: XTrace,
whose parts are not independent, gives too little where it is of no use.
"""

import matplotlib.pyplot as plt
import numpy as np

from refopt.curvature import hutchinson, spectrum, trace, xdiag

rng = np.random.default_rng(1)
n = 400
Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
spectra = {
    "eigenvalues $1/j^2$": 1.0 / np.arange(1, n + 1) ** 2,
    "eigenvalues between 1 and 2": np.linspace(1, 2, n),
}
products = np.array([12, 24, 48, 96, 192])
cost = {"hutchinson": 1.0, "hutch++": 1.5, "xtrace": 2.0}

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for axis, (name, values) in zip(axes, spectra.items(), strict=True):
    A = (Q * values) @ Q.T
    for method, price in cost.items():
        runs = [[trace(A, method, int(m / price), rng) for _ in range(20)] for m in products]
        error = [np.sqrt(np.mean([(run.value / values.sum() - 1) ** 2 for run in group])) for group in runs]
        told = [np.sqrt(np.mean([run.stderr**2 for run in group])) / values.sum() for group in runs]
        (line,) = axis.loglog(products, error, marker="o", markersize=4, label=method)
        axis.loglog(products, told, color=line.get_color(), linestyle=":")
    axis.set(title=name, xlabel="products with $A$", ylabel="relative error of the trace")
    axis.set_xticks(products, [str(m) for m in products])
    axis.set_xticks([], minor=True)
    axis.grid(color="0.92")
axes[0].legend()
plt.show()

# %%
# The diagonal. Row sums, the product with (1, …, 1), are one sample of the mean that is the diagonal, and no estimate.

M = rng.standard_normal((n, 12))
A = M @ M.T / 12 + np.diag(rng.uniform(0, 0.5, n))
d = np.diag(A)
estimates = {
    "row sums": A @ np.ones(n),
    "Hutchinson, 48 products": hutchinson(A, 48, rng),
    "XDiag, 48 products": xdiag(A, 24, rng),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained", sharex=True)
for axis, (name, found) in zip(axes, estimates.items(), strict=True):
    axis.plot(d, found, ".", markersize=3)
    axis.plot([0, d.max()], [0, d.max()], color="0.6", linewidth=0.8)
    error = np.linalg.norm(found - d) / np.linalg.norm(d)
    axis.set(
        title=f"{name}: error {error:.0%}", xlabel="diagonal", ylabel="estimate", ylim=(-1.2 * d.max(), 2.2 * d.max())
    )
plt.show()

# %%
# The spectrum: a bulk and a few outliers, as a network's Hessian has. Twenty steps of Lanczos from each of ten probes
# find the outliers to all digits and the bulk as a density, each node with its weight.

values = np.concatenate([rng.standard_normal(n - 4) * 0.3, [3.0, 4.5, 5.0, 8.0]])
A = (Q * values) @ Q.T
nodes, weights = spectrum((A + A.T) / 2, 20, probes=10, rng=rng)
print("largest nodes:", np.unique(nodes[nodes > 2].round(8)))
print(f"log det (I + A²): {weights @ np.log(1 + nodes**2):.1f}, and exactly {np.log(1 + values**2).sum():.1f}")

grid, width = np.linspace(-1.5, 9, 1000), 0.08


def density(points, masses):
    bumps = np.exp(-((grid[:, None] - points) ** 2) / (2 * width**2)) / (width * np.sqrt(2 * np.pi))
    return bumps @ masses / n


figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
axis.semilogy(grid, density(values, np.ones(n)), color="0.7", linewidth=4, label="all eigenvalues")
axis.semilogy(grid, density(nodes, weights), linewidth=1.2, label="20 steps, 10 probes")
axis.set(xlabel="eigenvalue", ylabel="density", ylim=(1e-5, 3))
axis.legend()
axis.grid(color="0.92")
plt.show()
