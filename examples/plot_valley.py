"""
Four ways down a narrow valley
==============================

f(w) = w₁² + 100 w₂² has condition number 100. How many steps does it take from (1, 1) until ‖w‖ < 0.01? With a fixed
step the answer is a sum in one line, and the runs must agree with it to the step.

* **Gradient descent** with step α multiplies w₁ by 1 − 2α and w₂ by 1 − 200α. With α = 0.005 the second is zero at once
  and the first needs 0.99ᵏ < 0.01: 459 steps. With α = 0.01 the second stays at ±1 for ever.
* The **best fixed step**, 2/(2 + 200), multiplies both by ±99/101: 248 steps.
* The **natural gradient**, here with the Hessian for the Fisher matrix, multiplies both by 1 − α: 493 steps with
  α = 0.01, and one with α = 1.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt

valley = refopt.zoo.get("valley").problem
start = np.array([1.0, 1.0])


def steps(method, most=600, **options):
    """‖w‖ after every step until it is below 0.01."""
    fisher = {"hess": valley.hess} if "hess" in refopt.available()[method].needs else {}

    def near(intermediate_result):
        if np.linalg.norm(intermediate_result.x) < 0.01:
            raise StopIteration

    options = {"gtol": 0.0, "maxiter": most, "trace": True, **options}
    run = refopt.minimize(valley.fun, start, method=method, jac=valley.grad, callback=near, options=options, **fisher)
    return [np.linalg.norm(state.x) for state in run.trace]


runs = {
    "gradient descent, 0.005": steps("gradient-descent", search="fixed", step=0.005),
    "gradient descent, 2/202": steps("gradient-descent", search="fixed", step=2 / 202),
    "gradient descent, 0.01": steps("gradient-descent", search="fixed", step=0.01),
    "natural gradient, 0.01": steps("natural-gradient", step=0.01),
    "natural gradient, 1": steps("natural-gradient", step=1.0),
}
for name, norms in runs.items():
    print(f"{name:25s} {len(norms) - 1 if norms[-1] < 0.01 else 'never'}")

# %%

figure, panel = plt.subplots(figsize=(7, 4), layout="constrained")
for name, norms in runs.items():
    panel.semilogy(norms, label=name, marker="o" if len(norms) < 5 else None)
panel.axhline(0.01, color="0.6", linewidth=0.8)
panel.set(xlabel="step $k$", ylabel=r"$\|w_k\|$", ylim=(5e-3, 2))
panel.grid(color="0.92")
panel.legend()
plt.show()
