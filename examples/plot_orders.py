"""
How fast is fast?
=================

Near a minimum the error of a method shrinks as eₖ₊₁ ≈ C eₖᵖ. Gradient descent has p = 1: every step gains the same
number of digits. Newton's method has p = 2: every step doubles them. Quasi-Newton methods lie between: eₖ₊₁/eₖ → 0, but
no fixed power, because they have to learn the Hessian on the way.

Drawn as eₖ₊₁ over eₖ, both on logarithmic scales, p is the slope.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt

problem = refopt.zoo.get("mgh:beale")
f, minimum = problem.problem, problem.solution

runs = {
    "gradient descent": ("gradient-descent", {"search": "strong-wolfe", "maxiter": 3000}),
    "SR1": ("sr1", {}),
    "BFGS": ("bfgs", {}),
    "trust-region Newton": ("trust-exact", {}),
}
errors = {}
for name, (method, options) in runs.items():
    needs = {"hess": f.hess} if "hess" in refopt.available()[method].needs else {}
    options = {"trace": True, **options}
    run = refopt.minimize(f.fun, problem.x0, method=method, jac=f.grad, options=options, **needs)
    found = np.array([np.linalg.norm(state.x - minimum) for state in run.trace])
    errors[name] = found[found > 1e-15]
    print(f"{name:20s} {len(run.trace) - 1:5d} steps, last error {found[-1]:.1e}")

# %%

figure, (fall, order) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for name, found in errors.items():
    fall.semilogy(found[:60], label=name, linewidth=1.2)
    late = found[found < 0.3]
    order.loglog(late[:-1], late[1:], marker="o", markersize=3, linewidth=0.9, label=name)
line = np.array([1e-9, 1.0])
order.loglog(line, line, color="0.7", linewidth=0.8)
order.loglog(line, line**2, color="0.7", linewidth=0.8, linestyle="--")
order.annotate("$p = 1$", (2e-9, 1.5e-6), color="0.5")
order.annotate("$p = 2$", (5e-7, 1e-14), color="0.5")
fall.set(xlabel="step $k$", ylabel="$e_k$", title="Error")
order.set(xlabel="$e_k$", ylabel="$e_{k+1}$", title="One step", xlim=(1e-9, 1), ylim=(1e-16, 1))
fall.legend()
fall.grid(color="0.92")
order.grid(color="0.92")
plt.show()
