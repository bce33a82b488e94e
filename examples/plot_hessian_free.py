"""
Which curvature, and how much damping?
======================================

A fit of 200 numbers by f(x) = ½‖tanh(Ax) − y‖², with 60 variables. Its Hessian is indefinite on the way; the
Gauss-Newton matrix JᵀJ never is. Neither is ever formed: conjugate gradients ask for products with them.

Hessian-free optimization adds λI, and lets λ follow the reduction ratio ρ: two thirds of it after a step that kept what
the model promised, ρ > ¾, and half as much again after one that did not, ρ < ¼.
"""

import matplotlib.pyplot as plt
import numpy as np

import refopt

rng = np.random.default_rng(3)
A = rng.standard_normal((200, 60)) * np.logspace(-0.5, -1.0, 60)
answer = rng.standard_normal(60)
y = np.tanh(A @ answer) + 0.01 * rng.standard_normal(200)


def fun(x):
    r = np.tanh(A @ x) - y
    return 0.5 * r @ r


def grad(x):
    t = np.tanh(A @ x)
    return A.T @ ((1 - t**2) * (t - y))


def gauss_newton(x, p):
    t = np.tanh(A @ x)
    return A.T @ ((1 - t**2) ** 2 * (A @ p))


def hessian(x, p):
    t = np.tanh(A @ x)
    return A.T @ ((1 - t**2) * (1 - t**2 - 2 * t * (t - y)) * (A @ p))


x0 = answer + 2.0 * rng.standard_normal(60)
runs = {
    "hessian-free, Gauss-Newton": ("hessian-free", gauss_newton),
    "hessian-free, Hessian": ("hessian-free", hessian),
    "Newton-CG, Hessian": ("newton-cg", hessian),
}
traces = {}
for name, (method, products) in runs.items():
    run = refopt.minimize(fun, x0, jac=grad, hessp=products, method=method, options={"trace": True})
    traces[name] = run.trace
    print(f"{name:28s} f = {run.fun:.12f} after {run.nit:3d} steps, {run.nhvp:4d} products: {run.message}")

# %%
# Left, what the products buy: to 1e-9 it takes some 140 with the Gauss-Newton matrix and 230 or more with the Hessian,
# most of these where it is indefinite. Right, the damping: with the Hessian it grows as long as conjugate gradients
# meet negative curvature; with the Gauss-Newton matrix it falls from the start, and the last steps are hardly damped.

best = min(state.f for trace in traces.values() for state in trace)
figure, (fall, damping) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for name, trace in traces.items():
    gaps = [max(state.f - best, 1e-16) for state in trace]
    fall.semilogy([state.nhvp for state in trace], gaps, marker="o", markersize=2.5, linewidth=1.0, label=name)
for name, trace in list(traces.items())[:2]:
    damping.semilogy([state.lam for state in trace], marker="o", markersize=2.5, linewidth=1.0, label=name)
fall.set(xlabel="products", ylabel="$f - f^*$", title="Objective", ylim=(1e-13, 1e6))
damping.set(xlabel="step $k$", ylabel="$\\lambda_k$", title="Damping")
for panel in (fall, damping):
    panel.grid(color="0.92")
fall.legend(loc="upper right")
damping.legend(loc="lower right")
plt.show()
