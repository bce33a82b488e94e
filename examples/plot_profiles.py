"""
Performance profiles: how many evaluations an answer takes
==========================================================

Every method that has a counterpart in SciPy has run on the 62 problems of the zoo that have a Hessian: those of Moré,
Garbow and Hillstrom, and the standard ones. Counted are the evaluations of f, trial points included, until f is right
for the first time, to a part of 1e-8 of the minimum or to 1e-10.

A performance profile shows on how many problems a program needs no more than τ times the evaluations of the better one.
At the left, τ = 1, it says how often a program wins; at the right how much it solves at all.

E. D. Dolan & J. J. Moré, Benchmarking optimization software with performance profiles, *Math. Program.* 91 (2002)
201-213.
"""

import csv
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

here = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "docs" / "honesty").exists())
with (here / "docs" / "honesty" / "work.csv").open(encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))

counterparts = {
    "bfgs": "BFGS", "l-bfgs": "L-BFGS-B", "trust-exact": "trust-exact", "trust-dogleg": "dogleg",
    "trust-ncg": "trust-ncg", "trust-krylov": "trust-krylov", "newton-cg": "Newton-CG",
}  # fmt: skip


def evaluations(method):
    """Until f is right, (problems, 2): refopt and SciPy."""
    return np.array([[float(row["refopt"]), float(row["scipy"])] for row in rows if row["method"] == method])


def profile(t, taus):
    """ρ(τ) of both programs: the part of all problems with t ≤ τ min t."""
    best = t.min(axis=1, keepdims=True)
    ratio = np.where(np.isfinite(best), t / np.where(np.isfinite(best), best, 1), np.inf)
    return (ratio[:, :, None] <= taus).mean(axis=0)


taus = np.geomspace(1, 16, 400)
print(f"{'':14s}{'solved':>16s}{'evaluations, median':>24s}{'after':>14s}")
for method in counterparts:
    t = evaluations(method)
    both = np.isfinite(t).all(axis=1)
    after = np.array([[float(r["refopt after"]), float(r["scipy after"])] for r in rows if r["method"] == method])
    solved, first, then = np.isfinite(t).sum(axis=0), np.median(t[both], axis=0), np.median(after[both], axis=0)
    print(f"{method:14s}{solved[0]:9d}{solved[1]:7d}{first[0]:15g}{first[1]:9g}{then[0]:9g}{then[1]:5g}")

# %%
# Each pair of columns: refopt, SciPy. The medians are over the problems that both solve; *after* are the evaluations
# from there to the end of the run.

figure, panels = plt.subplots(2, 4, figsize=(10, 5), sharex=True, sharey=True, layout="constrained")
for panel, (method, name) in zip(panels.flat, counterparts.items(), strict=False):
    ours, theirs = profile(evaluations(method), taus)
    panel.step(taus, ours, where="post", label="refopt", linewidth=1.8)
    panel.step(taus, theirs, where="post", label="SciPy", linewidth=1.8, linestyle="--")
    title = method if method == name.lower() else f"{method} and {name}"
    panel.set(title=title, xscale="log", xlim=(1, 16), ylim=(0, 1.02))
    panel.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    panel.minorticks_off()
    panel.grid(color="0.92")
for panel in panels[:, 0]:
    panel.set_ylabel(r"part of the problems, $\rho(\tau)$")
for panel in (*panels[1, :3], panels[0, 3]):
    panel.set_xlabel(r"$\tau$")
    panel.tick_params(labelbottom=True)
panels[1, 3].axis("off")
panels[1, 3].legend(*panels[0, 0].get_legend_handles_labels(), loc="center", frameon=False)
plt.show()
