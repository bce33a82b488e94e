"""
A small vision transformer
==========================

The digits again, to a transformer of two blocks on 16 patches of 2×2 pixels, 4,714 weights in all: embeddings,
attention, normalisation. Linear layers at many positions have K-FAC's factors over all of them; what is not linear has
the diagonal of the Fisher matrix. 200 steps on the same batches of 128 digits, 20 of Gauss-Newton, and for each method
the best step or damping of a grid that is fixed before anything is run.
"""

import os
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import refopt
from refopt.networks import vit

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.data))
X, y = digits.images[order][:, None] / 16.0, digits.target[order]
network = vit(size=8, patch=2, channels=1, features=16, blocks=2, heads=2, hidden=32, dropout=0.0)
problem = refopt.Supervised(network, "cross-entropy", X[:1500], y[:1500])
x0 = network.init(0)

grid = {
    "sgd": ("step", (0.1, 0.3, 1.0)), "adam": ("step", (0.003, 0.01, 0.03)),
    "adam-no-sqrt": ("step", (3e-5, 1e-4, 3e-4)), "adam-true-fisher": ("step", (0.01, 0.03, 0.1)),
    "diagonal-newton": ("step", (0.03, 0.1, 0.3)), "adahessian": ("step", (0.01, 0.03, 0.1)),
    "gauss-newton": ("damping", (0.3, 0.1)), "kfac": ("damping", (0.01, 0.001)),
    "kfac-tridiagonal": ("damping", (0.01, 0.001)), "ekfac": ("damping", (0.01, 0.001)),
    "shampoo": ("step", (0.1, 0.3, 1.0)), "soap": ("step", (0.003, 0.01, 0.03)),
}  # fmt: skip
for name, (option, values) in grid.items():
    print(f"{name:16s} {option} from {values}")

# %%
# The damping that K-FAC begins with is small here. The rule takes 23 % from λ every five steps, if the model keeps its
# promises: from 1 it would need 90 steps to 0.01. Time is that of the processor, and one core's.

found = {}
for name, (option, values) in grid.items():
    steps = 20 if name == "gauss-newton" else 200
    for value in values:
        start = time.process_time()
        run = refopt.train(problem, x0, name, steps, batch_size=128, rng=0, options={option: value})
        seconds = time.process_time() - start
        if name not in found or run.fun < found[name][0].fun:
            right = (network(run.x, X[1500:]).argmax(axis=1) == y[1500:]).mean()
            found[name] = run, right, seconds / steps, value
for name, (run, right, seconds, value) in sorted(found.items(), key=lambda each: each[1][0].fun):
    took = f"{run.nit} steps in {run.nit * seconds:.1f} s"
    print(f"{name:16s} {value:<6g} loss {run.fun:.4f}, {right:.1%} of the other 297 right, {took}")

# %%
# The loss shown is that of the batch where a step began, a mean of the last hundred; the curves bend where the first
# batches leave it. SGD and the diagonals of second derivatives are slow to leave log 10 = 2.3, where nothing is told
# apart. What is a Kronecker product is ahead, step by step; a step of K-FAC costs four or five of Adam's, one of SOAP
# hardly more than one.


def smoothed(losses, width=100):
    """The mean of the last hundred losses, or of as many as there are."""
    sums, ends = np.cumsum([0.0, *losses]), np.arange(1, len(losses) + 1)
    begins = np.maximum(ends - width, 0)
    return (sums[ends] - sums[begins]) / (ends - begins)


figure, (by_step, by_time) = plt.subplots(1, 2, figsize=(12, 4.6), sharey=True, layout="constrained")
colours = dict(zip(grid, (
    "0.65", "tab:blue", "tab:cyan", "navy", "tab:pink", "tab:purple", "tab:brown", "tab:red", "tab:orange", "black",
    "tab:green", "tab:olive",
), strict=True))  # fmt: skip
for name, (run, _, seconds, value) in found.items():
    losses = smoothed(run.history["loss"])
    at = np.arange(1, len(losses) + 1)
    by_step.semilogy(at, losses, color=colours[name], linewidth=1.2, label=f"{name}, {grid[name][0]} {value:g}")
    by_time.loglog(at * seconds, losses, color=colours[name], linewidth=1.2)
by_step.set(xlabel="step", ylabel="loss, mean of 100 batches")
by_time.set(xlabel="seconds of one core")
figure.legend(loc="outside right", frameon=False, fontsize=9)
for panel in (by_step, by_time):
    panel.grid(color="0.92")
plt.show()

# %%
# The same in full size: ``vit()`` has 556,042 weights and takes the images of CIFAR-10, which are no part of refopt.
# Where they are, in the archive or unpacked, this page trains it; a gradient of 128 images takes some tenths of a
# second::
#
#    REFOPT_CIFAR10=cifar-10-binary.tar.gz REFOPT_STEPS=20000 python examples/plot_vit.py
#
# Gauss-Newton is not among the methods: the Jacobian of 128 images holds 700 million numbers.

methods = {
    "sgd": {"step": 0.01}, "diagonal-newton": {"step": 0.01}, "adahessian": {"step": 0.015}, "adam": {},
    "adam-no-sqrt": {"step": 1e-4}, "adam-true-fisher": {"step": 1e-4, "eps": 1e-2},
    "shampoo": {"step": 0.002, "every": 20}, "kfac": {"damping": 0.01},
    "kfac-tridiagonal": {"damping": 0.01}, "ekfac": {"damping": 0.01},
}  # fmt: skip


def in_full_size(images, steps):
    """The loss of each batch of 128, for every method the same."""
    X = images.X.astype(np.float32)
    X -= 127.5
    X /= 64.0
    problem = refopt.Supervised(vit(), "cross-entropy", X, images.y)
    x0 = problem.network.init(0).astype(np.float32)
    for name, options in methods.items():
        result = refopt.train(problem, x0, name, steps, batch_size=128, rng=0, options=options)
        yield name, result.history["loss"], result.history["time"][-1] / steps


if "REFOPT_CIFAR10" in os.environ:
    figure, panel = plt.subplots(layout="constrained")
    steps = int(os.environ.get("REFOPT_STEPS", "100"))
    for name, losses, seconds in in_full_size(refopt.zoo.cifar10(os.environ["REFOPT_CIFAR10"]), steps):
        width = max(1, min(100, steps // 4))
        panel.plot(np.convolve(losses, np.ones(width) / width, "valid"), label=f"{name}, {seconds:.2f} s a step")
        print(f"{name:17s} {losses[-width:].mean():.3f} over the last {width} batches, {seconds:.2f} s a step")
    panel.set(xlabel="step", ylabel=f"loss, mean of {width} batches")
    panel.legend()
    plt.show()
else:
    print(f"no CIFAR-10 here: a network of {vit().size:,} weights waits for it")
