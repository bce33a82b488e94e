"""
Adam first, L-BFGS for the last digits
======================================

Adam is quick to get near a minimum and slow to get there: its steps hop around it. L-BFGS with a line search, on all
samples at once, converges superlinearly once it is near. Here both, one after the other, on a small network whose loss
is smooth and has a minimum worth finding: 200 noisy values of a function of two variables, a weight decay, and 81
weights.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt
from refopt.networks import Linear, Sequential, Tanh

rng = np.random.default_rng(1)
X = rng.uniform(-2, 2, (200, 2))
y = np.sin(X[:, :1]) * X[:, 1:] + 0.1 * rng.standard_normal((200, 1))
data = refopt.Supervised(Sequential(Linear(2, 20), Tanh(), Linear(20, 1)), "squared", X, y)
decay = 1e-3


class Decayed(refopt.Supervised):
    """The loss and ½·10⁻³‖x‖²."""

    def at(self, x):
        point = super().at(x)
        point.__dict__["grad"] = point.grad + decay * x
        return point

    def fun(self, x):
        return super().at(x).fun + 0.5 * decay * float(x @ x)


problem = Decayed(data.network, "squared", X, y)
x0 = data.network.init(0)

runs = {
    "Adam": ("adam", 3000, {"step": 0.01}),
    "Adam, its step falling": ("adam", 3000, {"step": refopt.schedules.cosine(0.01, steps=3000)}),
    "L-BFGS from the start": ("l-bfgs", 3000, {}),
    "Adam, then L-BFGS": (("adam", "l-bfgs"), (1000, 2000), ({"step": 0.01}, {"memory": 20})),
}
gradients, points = {}, {}
for name, (method, steps, options) in runs.items():
    kept = []
    result = refopt.train(problem, x0, method, steps, batch_size=None if "L-BFGS from" in name else 50, rng=0,
                          options=options, callback=kept.append)  # fmt: skip
    gradients[name] = np.array([np.linalg.norm(problem.grad(x)) for x in kept])
    points[name] = kept
    print(f"{name:24s} f = {problem.fun(kept[-1]):.10f}, |g| = {gradients[name][-1]:.1e} after {len(kept)} steps")
