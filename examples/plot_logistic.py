"""
Logistic regression by every method
===================================

A convex problem with one answer, which every deterministic method must find: 569 tumours, benign or not, of the
Wisconsin data that scikit-learn ships, by thirty features of their cells, which are strongly correlated. There are 31
weights, one of them for a feature that is always 1, and a ridge.

.. math::

   f(w) = \\frac{1}{N} \\sum_n \\log\\bigl(1 + e^{-y_n w^T x_n}\\bigr) + \\tfrac{1}{2} \\rho \\|w\\|^2,
   \\qquad y_n = \\pm 1
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import refopt
from refopt.networks import Linear

data = load_breast_cancer()
X = np.column_stack([(data.data - data.data.mean(axis=0)) / data.data.std(axis=0), np.ones(len(data.data))])
y = 2.0 * data.target - 1.0
ridge = 1e-2


def fun(w):
    return np.logaddexp(0, -y * (X @ w)).mean() + 0.5 * ridge * w @ w


def grad(w):
    p = 1 / (1 + np.exp(y * (X @ w)))
    return ridge * w - X.T @ (y * p) / len(y)


def hess(w):
    p = 1 / (1 + np.exp(y * (X @ w)))
    return (X.T * (p * (1 - p))) @ X / len(y) + ridge * np.eye(31)


def product(w, v):
    p = 1 / (1 + np.exp(y * (X @ w)))
    return X.T @ (p * (1 - p) * (X @ v)) / len(y) + ridge * v


w0 = np.zeros(31)
entries = refopt.available("minimize")
# without a search: a step that suits. A diagonal does not know of correlations, and half its step is too long
steps = {"adagrad": 1.0, "adam": 0.05, "adahessian": 0.15, "diagonal-newton": 0.1}
answers, traces = {}, {}
for name, entry in entries.items():
    second = {"hess": {"hess": hess}, "hessp": {"hessp": product}}.get(entry.needs[-1], {})
    options = {"maxiter": 5000, "trace": True, "gtol": 1e-12}
    if entry.fisher:
        second, options = {}, options | {"fisher": hess, "damping": 0.0, "step": 1.0}
    if name == "gradient-descent":
        options |= {"search": "strong-wolfe"}
    if name in steps:
        options |= {"step": steps[name]}
    run = refopt.minimize(fun, w0, jac=grad, method=name, options=options, **second)
    answers[name], traces[name] = run, run.trace

# %%
# The answer is scikit-learn's, from its solver "newton-cholesky". Its default, "lbfgs", stops at 4e-7 in the
# coefficients whatever the tolerance; "newton-cholesky" goes on to the last digit. Every method here has every
# coefficient to 1e-9.


def by_scikit_learn(solver):
    model = LogisticRegression(C=1 / (ridge * len(y)), fit_intercept=False, solver=solver, tol=1e-15, max_iter=10_000)
    return model.fit(X, y).coef_[0]


best = by_scikit_learn("newton-cholesky")
apart = abs(by_scikit_learn("lbfgs") - best).max()
print(f"gradient at the answer {abs(grad(best)).max():.0e}; scikit-learn's lbfgs is {apart:.0e} from it")
print("method                  from it    steps  status       within 1e-9")
for name, run in sorted(answers.items(), key=lambda each: abs(each[1].x - best).max()):
    apart = abs(run.x - best).max()
    print(f"{name:20s} {apart:10.1e} {run.nit:8d}  {refopt.Status(run.status).name:12s} {apart < 1e-9}")

# %%
# Where a plane separates the labels and nothing holds the weights back, there is no minimum: f falls to 0 as w grows
# along that plane's normal, and what a method returns is where f has no digits left. f itself is then "converged", and
# no gradient tells. The labels do: any w with all yₙwᵀxₙ > 0 is a proof that there is nothing to find, and
# ``Supervised.separated`` asks for it. ``train`` asks by itself, and says it in the message of its result. As it
# happens, these tumours are of that kind.

ridge = 0.0
problem = refopt.Supervised(Linear(31, 1, bias=False), "binary-cross-entropy", X, data.target[:, None])
lengths = {}
for name in ("newton", "l-bfgs", "trust-exact"):
    second = {"hess": hess} if name != "l-bfgs" else {}
    run = refopt.minimize(fun, w0, jac=grad, method=name, options={"trace": True}, **second)
    flag = "separable: no minimum" if problem.separated(run.x) else "not separated"
    lengths[name] = [np.linalg.norm(state.x) for state in run.trace]
    margin = problem.margins(run.x).min()
    print(f"{name:12s} f = {run.fun:.1e}, |w| = {lengths[name][-1]:.0f}, least margin {margin:.2g}, {flag}")
print(refopt.train(problem, w0, "l-bfgs", 500).message)
ridge = 1e-2

# %%
# Left, the distance from the answer; right, without a ridge, the length of w. Trust regions, Newton's method and the
# natural gradient lie on each other: Newton's step is in every region, and the Fisher matrix is the Hessian here.

families = list(dict.fromkeys(entries[name].family for name in answers))
colours = {family: f"C{k}" for k, family in enumerate(families)}
widths = {"trust region": 3.0, "Newton": 1.6}
figure, (near, far) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", width_ratios=(2, 1))
for family in families:
    label = family
    for name in (name for name in answers if entries[name].family == family):
        gaps = [max(abs(state.x - best).max(), 1e-16) for state in traces[name]]
        style = {"color": colours[family], "linewidth": widths.get(family, 1.0)}
        near.loglog(np.arange(1, len(gaps) + 1), gaps, label=label, **style)
        label = None
near.axhline(1e-9, color="0.5", linestyle=":", linewidth=0.8)
near.set(xlabel="step, from 1", ylabel="distance from the answer", ylim=(1e-16, 20))
for name, sizes in lengths.items():
    far.semilogy(sizes, marker="o", markersize=2.5, linewidth=1.0, label=name)
far.set(xlabel="step", ylabel="$\\|w\\|$", title="without a ridge")
for panel in (near, far):
    panel.grid(color="0.92")
    panel.legend(fontsize=8)
plt.show()
