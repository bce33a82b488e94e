"""
Handwritten digits by every stochastic method
=============================================

A network of 64-32-10 units learns to tell digits apart, by every method of ``refopt.train``: the same weights to begin
with, the same batches of 128 out of 1,500 digits, 200 steps, and the step or the damping that is best of five, from a
ninth to nine times what is usual. The other 297 digits say what it has learnt. A transformer in full size, on CIFAR-10
where its files are at hand, is on :ref:`a page of its own <sphx_glr_gallery_plot_vit.py>`.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import refopt
from refopt.networks import Linear, Sequential, Tanh

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.data))
X, y = digits.data[order] / 16.0, digits.target[order]
problem = refopt.Supervised(Sequential(Linear(64, 32), Tanh(), Linear(32, 10)), "cross-entropy", X[:1500], y[:1500])
x0 = problem.network.init(0)

middle = {
    "sgd": ("step", 0.3), "momentum": ("step", 0.1), "adagrad": ("step", 0.03), "rmsprop": ("step", 0.003),
    "adam": ("step", 0.01), "adamw": ("step", 0.01), "adam-no-sqrt": ("step", 1e-4), "adam-true-fisher": ("step", 0.01),
    "adam-true-fisher-batch": ("step", 0.003), "diagonal-newton": ("step", 0.03), "adahessian": ("step", 0.1),
    "gauss-newton": ("damping", 0.1), "natural-gradient": ("damping", 0.1), "hessian-free": ("damping", 1.0),
    "kfac": ("damping", 1.0), "kfac-tridiagonal": ("damping", 1.0), "ekfac": ("damping", 1.0), "shampoo": ("step", 0.1),
    "soap": ("step", 0.01),
}  # fmt: skip
extra = {
    "natural-gradient": {"solver": "cg", "limit": 10, "step": 1.0}, "gauss-newton": {"step": 1.0},
    "hessian-free": {"limit": 20},
}  # fmt: skip
fewer = {"gauss-newton": 15, "natural-gradient": 100, "hessian-free": 60}
print("not here:", *(set(refopt.available("train")) - set(middle)))

# %%
# The methods whose steps cost many gradients take fewer: the number stands beside them. Two of them suffer from batches
# as small as these. Hessian-free follows each batch's model to its end, and Gauss-Newton's matrix has the rank of one
# batch: both are meant for large ones.

found = {}
for name, (option, value) in middle.items():
    for times in (1 / 9, 1 / 3, 1, 3, 9):
        start, kept = time.process_time(), [x0]
        steps = fewer.get(name, 200)
        options = {option: times * value} | extra.get(name, {})
        result = refopt.train(problem, x0, name, steps, batch_size=128, rng=0, options=options, callback=kept.append)
        seconds = time.process_time() - start
        if name not in found or not result.fun > found[name][0]:
            right = (problem.network(result.x, X[1500:]).argmax(axis=1) == y[1500:]).mean()
            found[name] = result.fun, right, seconds, steps, option, times * value, kept
for name, (loss, right, seconds, steps, option, value, _) in sorted(found.items(), key=lambda each: each[1][0]):
    print(f"{name:23s} loss {loss:.5f}, {right:6.1%} right, {steps:4d} steps in {seconds:5.2f} s, {option} {value:.2g}")

families = list(dict.fromkeys(refopt.available("train")[name].family for name in found))
colours = {family: f"C{k}" for k, family in enumerate(families)}
figure, (by_step, by_time) = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
for family in families:
    label = family
    for name in (name for name in found if refopt.available("train")[name].family == family):
        _, _, seconds, steps, _, _, kept = found[name]
        every = max(1, steps // 24)
        losses = [problem.fun(x) for x in kept[::every]]
        at = every * np.arange(len(losses))
        by_step.semilogy(at, losses, color=colours[family], linewidth=1.1, label=label)
        by_time.loglog(seconds * at[1:] / steps, losses[1:], color=colours[family], linewidth=1.1)
        label = None
by_step.set(xlabel="step", ylabel="loss on the 1,500 digits", ylim=(1e-4, 4))
by_time.set(xlabel="seconds of one core")
by_step.legend(fontsize=8)
for panel in (by_step, by_time):
    panel.grid(color="0.92")
plt.show()
