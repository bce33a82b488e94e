"""
Handwritten digits by every stochastic method
=============================================

A network of 64-32-10 units learns to tell digits apart, by every method of ``refopt.train``: the same weights to begin
with, the same batches of 128 out of 1,500 digits, 300 steps, and the step or the damping that is best of five, from a
grid that is fixed before anything is run. The other 297 digits say what it has learnt. A transformer does the same on
:ref:`a page of its own <sphx_glr_gallery_plot_vit.py>`.
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
    "sgd": ("step", 0.3), "momentum": ("step", 0.3), "adagrad": ("step", 0.1), "rmsprop": ("step", 0.01),
    "adam": ("step", 0.03), "adamw": ("step", 0.03), "adam-no-sqrt": ("step", 3e-4), "adam-true-fisher": ("step", 0.03),
    "adam-true-fisher-batch": ("step", 0.003), "diagonal-newton": ("step", 0.1), "adahessian": ("step", 0.1),
    "gauss-newton": ("damping", 0.1), "natural-gradient": ("damping", 0.1), "hessian-free": ("damping", 1.0),
    "kfac": ("damping", 1.0), "kfac-tridiagonal": ("damping", 1.0), "ekfac": ("damping", 1.0), "shampoo": ("step", 0.3),
    "soap": ("step", 0.03),
}  # fmt: skip
extra = {
    "natural-gradient": {"solver": "cg", "limit": 10, "step": 1.0}, "gauss-newton": {"step": 1.0},
    "hessian-free": {"limit": 20},
}  # fmt: skip
fewer = {"gauss-newton": 30, "natural-gradient": 150, "hessian-free": 60}
times = (1 / 9, 1 / 3, 1, 3, 9)
for name, (option, value) in middle.items():
    print(f"{name:23s} {fewer.get(name, 300)} steps, {option} from", ", ".join(f"{each * value:.3g}" for each in times))
print("not here:", *(set(refopt.available("train")) - set(middle)))

# %%
# Methods whose steps cost many gradients take fewer. Two of them suffer from batches as small as these: Hessian-free
# follows each batch's model to its end, and Gauss-Newton's matrix has the rank of one batch. Time is that of the
# processor, and one core's.

found = {}
for name, (option, value) in middle.items():
    steps = fewer.get(name, 300)
    for each in times:
        start, options = time.process_time(), {option: each * value} | extra.get(name, {})
        result = refopt.train(problem, x0, name, steps, batch_size=128, rng=0, options=options)
        seconds = time.process_time() - start
        if name not in found or not result.fun > found[name][0]:
            right = (problem.network(result.x, X[1500:]).argmax(axis=1) == y[1500:]).mean()
            found[name] = result.fun, right, seconds, steps, option, each * value, result.history["loss"]
for name, (loss, right, seconds, steps, option, value, _) in sorted(found.items(), key=lambda each: each[1][0]):
    print(f"{name:23s} loss {loss:7.2g}, {right:.1%} right, {steps:4d} steps in {seconds:5.2f} s, {option} {value:.2g}")
ends = [name for name, (_, value) in middle.items() if found[name][5] in (value * times[0], value * times[-1])]
print("best at an end of their grid:", ", ".join(ends))

# %%
# Those that are best at an end of their grid might be served better by a wider one. The loss shown is that of the batch
# where a step began, a mean of the last hundred; the curves bend where the first batches leave it. The methods of a
# column's kind are coloured, all others grey. Gauss-Newton's steps are natural gradient's, as long as they last: with
# cross-entropy both matrices are one. They differ in cost: here the one solves, the other takes ten products.


def smoothed(losses, width=100):
    sums, ends = np.cumsum([0.0, *losses]), np.arange(1, len(losses) + 1)
    begins = np.maximum(ends - width, 0)
    return (sums[ends] - sums[begins]) / (ends - begins)


kinds = {
    "gradients and their squares": ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw"),
    "a diagonal": ("adam-no-sqrt", "adam-true-fisher", "adam-true-fisher-batch", "diagonal-newton", "adahessian"),
    "the whole matrix": ("gauss-newton", "natural-gradient", "hessian-free"),
    "Kronecker products": ("kfac", "kfac-tridiagonal", "ekfac", "shampoo", "soap"),
}
curves = {name: smoothed(losses) for name, (*_, losses) in found.items()}
figure, panels = plt.subplots(2, 4, figsize=(13, 7.5), sharey=True, sharex="row", layout="constrained")
for (kind, names), by_step, by_time in zip(kinds.items(), *panels, strict=True):
    for name in sorted(found, key=lambda name, names=names: (name in names, -found[name][3])):
        shown = name in names
        style = {"linewidth": 1.4 if shown else 0.7} | ({} if shown else {"color": "0.85"})
        losses, seconds, steps = curves[name], found[name][2], found[name][3]
        at = np.arange(1, steps + 1)
        by_step.semilogy(at, losses, label=name if shown else None, **style)
        by_time.loglog(at * seconds / steps, losses, **style)
    by_step.set(title=kind, xlabel="step", ylim=(1e-5, 60))
    by_time.set(xlabel="seconds of one core", ylim=(1e-5, 60))
    by_step.legend(fontsize=8, loc="upper right")
for panel in panels[:, 0]:
    panel.set_ylabel("loss, mean of 100 batches")
for panel in panels.flat:
    panel.grid(color="0.92")
plt.show()
