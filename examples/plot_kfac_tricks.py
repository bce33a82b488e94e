"""
What each of K-FAC's tricks is worth
====================================

K-FAC is a factored Fisher matrix and eight tricks. Here they are switched off one by one, on the autoencoder of
:ref:`the page before <sphx_glr_gallery_plot_autoencoder.py>`: the same digits, weights and batches.
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
del layers[7]
problem = refopt.Supervised(Sequential(*layers), "binary-cross-entropy", X, X)
rng = np.random.default_rng(0)
x0 = np.concatenate([part for n, m in pairs for part in (rng.standard_normal(m * n) / n**0.5, np.zeros(m))])
inside = X[(X > 0) & (X < 1)]
entropy = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).sum() / len(X)

tricks = {
    "all of them": {},
    "no running averages": {"averaging": 0.0},
    "labels of the data": {"fisher": "empirical"},
    "π = 1": {"rule": "factored"},
    "no candidates for γ": {"candidates_every": 0},
    "λ stays": {"adapt_every": 0},
    "no momentum": {"momentum": False},
    "no rescaling, α = 1": {"rescale": False},
    "neither, α = 1": {"rescale": False, "momentum": False},
    "inverses every step": {"inverse_every": 1},
    "no weight decay": {"l2": 0.0},
}
curves = {}
for name, options in tricks.items():
    kept = [x0]
    result = refopt.train(problem, x0, "kfac", 100, batch_size=300, rng=0, callback=kept.append,
                          options={"damping": 0.5} | options)  # fmt: skip
    curves[name] = np.array([problem.fun(x) - entropy for x in kept[::5]])
    print(f"{name:28s} {curves[name][-1]:8.2f}" + ("" if result.success else f"   {result.message}"))

# %%
# The length of the step is what counts: with α = 1 the method leaves the region where the model means anything, and it
# is momentum without rescaling that blows up. Next come labels drawn from the model in place of the data's, momentum,
# and a damping that follows ρ. The rest matters little *here*; running averages, of factors that were taken at other
# weights, even cost a little. They are for smaller batches, which say less about factors of 65 rows:

for batch_size in (300, 100, 30):
    ends = [
        refopt.train(problem, x0, "kfac", 100, batch_size, 0, {"damping": 0.5, "averaging": averaging}).fun - entropy
        for averaging in (0.95, 0.0)
    ]
    print(f"batches of {batch_size:3d}: {ends[0]:.2f} with running averages, {ends[1]:.2f} without")

# %%
# What a step costs, in processor time, beside one of SGD. The rows below K-FAC's are K-FAC with a
# trick less or done otherwise, and its relatives.


def cost(name, options, steps=40):
    """Milliseconds a step; the median of five runs."""
    taken = []
    for _ in range(5):
        start = time.process_time()
        refopt.train(problem, x0, name, steps, batch_size=300, rng=0, options=options)
        taken.append((time.process_time() - start) / steps)
    return 1e3 * float(np.median(taken))


runs = {
    "sgd": ("sgd", {}),
    "adam": ("adam", {}),
    "kfac": ("kfac", {}),
    "kfac, labels of the data": ("kfac", {"fisher": "empirical"}),
    "kfac, no rescaling, no momentum": ("kfac", {"rescale": False, "momentum": False}),
    "kfac, inverses every 100 steps": ("kfac", {"inverse_every": 100, "candidates_every": 0}),
    "kfac, inverses every step": ("kfac", {"inverse_every": 1}),
    "kfac-tridiagonal": ("kfac-tridiagonal", {}),
    "ekfac": ("ekfac", {}),
}
costs = {label: cost(*run) for label, run in runs.items()}
for label, milliseconds in costs.items():
    print(f"{label:32s} {milliseconds:6.2f} ms, {milliseconds / costs['sgd']:4.1f} of SGD")

figure, (fall, price) = plt.subplots(1, 2, figsize=(11, 5.4), layout="constrained")
for name, curve in curves.items():
    style = {"color": "black", "linewidth": 2.4} if name == "all of them" else {"linewidth": 1.2}
    fall.semilogy(5 * np.arange(len(curve)), np.minimum(curve, 1e3), label=name, **style)
fall.set(xlabel="step", ylabel="loss, less the entropy of the pixels", ylim=(2.5, 40), yticks=(3, 5, 10, 20, 40))
fall.yaxis.set_major_formatter("{x:g}")
fall.yaxis.set_minor_formatter("")
fall.grid(color="0.92")
figure.legend(loc="outside lower center", ncols=4, fontsize=9, frameon=False)
price.barh(list(costs)[::-1], [costs[label] / costs["sgd"] for label in list(costs)[::-1]], color="0.6", height=0.6)
price.set_axisbelow(True)
price.set(xlabel="cost of a step, in steps of SGD")
price.grid(color="0.92", axis="x")
plt.show()
