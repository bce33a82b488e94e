"""
Certified digits: the NIST nonlinear regression problems
========================================================

27 problems with certified parameters, each from a far and from a near start. For each of the 54 runs the
picture shows in how many digits the *worst* parameter agrees with its certified value: once for the
Levenberg-Marquardt method of refopt, once for SciPy's (MINPACK), both at their default tolerances and with
the same exact Jacobians.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize

import refopt
from refopt.zoo.nist import matching_digits

names = [name for name in refopt.zoo.names() if name.startswith("nist:")]
solvers = {"SciPy": scipy.optimize.least_squares, "refopt": refopt.least_squares}
starts = {1: "far start", 2: "near start"}


def worst_digits(solve, name, start):
    """Digits of the worst parameter; none where the solver raises because the residual is not finite."""
    case = refopt.zoo.get(name, start=start)
    try:
        fit = solve(case.problem.residual, case.x0, jac=case.problem.jacobian, method="lm")
    except ValueError:
        return 0.0
    return matching_digits(fit.x, case.certified).min()


digits = {
    (solver, start): np.array([worst_digits(solve, name, start) for name in names])
    for solver, solve in solvers.items()
    for start in starts
}

# %%
# Problems stand in NIST's order of difficulty. The certified values have eleven digits, so more cannot be
# seen; four (the dotted line) is the usual bar for a problem to count as solved.

figure, panels = plt.subplots(1, 2, figsize=(10, 6.2), sharey=True, layout="constrained")
rows = np.arange(len(names))[::-1]
for panel, (start, title) in zip(panels, starts.items(), strict=True):
    theirs, ours = digits["SciPy", start], digits["refopt", start]
    panel.hlines(rows, theirs, ours, color="0.8", linewidth=2, zorder=1)
    panel.scatter(theirs, rows, s=34, facecolor="white", edgecolor="tab:orange", linewidth=1.6, label="SciPy lm")
    panel.scatter(ours, rows, s=38, color="tab:blue", label="refopt lm")
    panel.axvline(4, color="0.6", linestyle=":", linewidth=1)
    panel.set(xlim=(-0.4, 11.4), xticks=range(12), xlabel="matching digits of the worst parameter", title=title)
    panel.grid(axis="x", color="0.93")
    panel.set_axisbelow(True)
panels[0].set_yticks(rows, [name.removeprefix("nist:") for name in names])
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
plt.show()

# %%
# How many of the 54 runs reach how many digits:

for solver in solvers:
    reached = np.concatenate([digits[solver, start] for start in starts])
    print(f"{solver:7}", *(f"{np.sum(reached >= bar):3} with {bar} or more" for bar in (4, 6, 8, 10)), sep="  ")
