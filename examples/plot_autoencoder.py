"""
A deep autoencoder: K-FAC and Hessian-free beside Adam and SGD
==============================================================

Autoencoders with a narrow middle are what both methods were first shown on. This one squeezes the 1,797 handwritten
digits of scikit-learn (8×8 pixels) through eight numbers: 64-60-30-15-8-15-30-60-64, tanh between layers, and the
cross-entropy of every pixel, summed over pixels. Every method sees the same batches of 300 digits, and begins with the
same weights. What no method may choose is the number of steps: 500 for Adam and SGD, 150 for K-FAC with either of its
inverses, 30 for Hessian-free. What each may choose is one number out of a grid that is fixed here, before anything is
run.
"""

import time
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import refopt
from refopt.networks import Linear, Sequential, Tanh

X = load_digits().data / 16.0
widths = (64, 60, 30, 15, 8, 15, 30, 60, 64)
pairs = list(pairwise(widths))
layers = [layer for n, m in pairs for layer in (Linear(n, m), Tanh())][:-1]
del layers[7]  # the middle is linear
problem = refopt.Supervised(Sequential(*layers), "binary-cross-entropy", X, X)
rng = np.random.default_rng(0)
x0 = np.concatenate([part for n, m in pairs for part in (rng.standard_normal(m * n) / n**0.5, np.zeros(m))])

grid = {
    "sgd": ("step", (0.01, 0.03, 0.1, 0.3), 500),
    "adam": ("step", (0.001, 0.003, 0.01, 0.03), 500),
    "kfac": ("damping", (15.0, 1.5, 0.15), 150),
    "kfac-tridiagonal": ("damping", (15.0, 1.5, 0.15), 150),
    "hessian-free": ("damping", (45.0, 1.0), 30),
}
for name, (option, values, steps) in grid.items():
    print(f"{name:16s} {steps} steps, {option} from {values}")

# %%
# The loss cannot reach 0, because pixels are grey: what is shown is the excess over the entropy of the pixels, on all
# digits. Time is that of the processor, and one core's.

inside = X[(X > 0) & (X < 1)]
entropy = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).sum() / len(X)


def curve(name, steps, options, every=5):
    """Steps, seconds and excess loss along a run."""
    kept, start = [(0, 0.0, x0)], time.process_time()

    def keep(intermediate_result):
        if intermediate_result.nit % every == 0:
            kept.append((intermediate_result.nit, time.process_time() - start, intermediate_result.x))

    refopt.train(problem, x0, name, steps, batch_size=300, rng=0, options=options, callback=keep)
    at, seconds, points = zip(*kept, strict=True)
    return np.array(at), np.array(seconds), np.array([problem.fun(x) - entropy for x in points])


curves = {
    (name, value): curve(name, steps, {option: value})
    for name, (option, values, steps) in grid.items()
    for value in values
}
best = {}
for name, (option, values, _) in grid.items():
    last = {value: curves[name, value][2][-1] for value in values}
    best[name] = min(last, key=lambda value, last=last: last[value])
    print(f"{name:16s} {option}: ", ", ".join(f"{value:g} ends at {loss:.2f}" for value, loss in last.items()))

# %%
# In how many steps does each reach what the best of Adam's runs has after 500? A fifth of that is 100.

goal = curves["adam", best["adam"]][2][-1]
print(f"Adam after 500 steps: {goal:.3f}")
for name, value in best.items():
    at, seconds, loss = curves[name, value]
    there = np.flatnonzero(loss <= goal)
    said = f"in {at[there[0]]} steps, {seconds[there[0]]:.2f} s" if len(there) else "not reached"
    print(f"{name:16s} {said}")

# %%
# Adam and SGD have their best step inside the grid, K-FAC its best damping at the lower end: a wider grid might do
# better. The block-tridiagonal inverse, which lets neighbouring layers see each other, needs fewer steps still, as its
# authors found. From λ₀ = 150, as for sums over pixels, the rule needs 90 steps to come down to 1.5, at 5 % a step. A
# single run proves little: the same with other batches.

for seed in (1, 2):
    ends = {}
    for name, steps in (("adam", 500), ("kfac", 100)):
        options = {grid[name][0]: best[name]}
        ends[name] = refopt.train(problem, x0, name, steps, batch_size=300, rng=seed, options=options).fun - entropy
    print(f"seed {seed}: Adam after 500 steps {ends['adam']:.3f}, K-FAC after 100 {ends['kfac']:.3f}")

# %%
# The weights to begin with are of size 1/√n, and that matters more than the method. PyTorch's, as ``init`` draws, are
# √3 times smaller. Through eight layers nothing of the input is left: the outputs are the mean of each pixel, whatever
# the digit, and there is a plateau, which SGD, Adam and K-FAC do not leave in as many steps, or hardly; with its
# block-tridiagonal inverse K-FAC does.

mean = X.mean(axis=0)
mean = mean[(mean > 0) & (mean < 1)]
plateau = -(mean * np.log(mean) + (1 - mean) * np.log(1 - mean)).sum() - entropy
print(f"the mean of each pixel: {plateau:.2f}")
others = {"shampoo": ("step", 0.1, 300), "soap": ("step", 0.01, 300), "ekfac": ("damping", best["kfac"], 150)}
small = {name: (grid[name][0], best[name], grid[name][2]) for name in grid} | others
for name, (option, value, steps) in small.items():
    run = refopt.train(problem, problem.network.init(0), name, steps, batch_size=300, rng=0, options={option: value})
    print(f"{name:16s} {steps:4d} steps, {option} {value:g}: {run.fun - entropy:.2f}")

# %%
# A step of K-FAC costs four of Adam's, one of Hessian-free some fifty: it spends dozens of products with the
# Gauss-Newton matrix. On the clock K-FAC is still ahead, and Hessian-free is not. Thick is the best run of each method,
# thin are the others of the grid; dotted, what Adam has after 500 steps, and a fifth of these.

colours = dict(zip(grid, ("0.55", "C0", "C2", "C3", "C1"), strict=True))
figure, (by_step, by_time) = plt.subplots(1, 2, figsize=(10, 4.4), sharey=True, layout="constrained")
for (name, value), (at, seconds, loss) in curves.items():
    chosen = value == best[name]
    style = {"color": colours[name], "linewidth": 1.8 if chosen else 0.6, "alpha": 1.0 if chosen else 0.6}
    label = f"{name}, {grid[name][0]} {value:g}" if chosen else None
    by_step.loglog(at[1:], loss[1:], label=label, **style)
    by_time.loglog(seconds[1:], loss[1:], **style)
by_step.axhline(goal, color="0.3", linewidth=0.8, linestyle=":")
by_time.axhline(goal, color="0.3", linewidth=0.8, linestyle=":")
by_step.axvline(100, color="0.3", linewidth=0.8, linestyle=":")
by_step.set(xlabel="step", ylabel="loss, less the entropy of the pixels", ylim=(0.75, 40), yticks=(1, 2, 3, 5, 10, 20))
by_step.yaxis.set_major_formatter("{x:g}")
by_step.yaxis.set_minor_formatter("")
by_time.set(xlabel="seconds of one core")
by_step.legend(loc="lower left")
for panel in (by_step, by_time):
    panel.grid(color="0.92", which="both")
plt.show()
