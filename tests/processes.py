"""A compiled run in a process of its own: with a cache, and a copy of the package, that nobody else uses."""

import os
import re
import subprocess
import sys
from pathlib import Path

import refopt

SCRIPT = """
import numpy as np, refopt
from refopt import compiled, loop, stopping
from refopt.methods import bfgs
from refopt.problem import Problem

def fun(x):
    return 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2

def grad(x):
    t = x[1] - x[0] ** 2
    return np.array([-400.0 * x[0] * t - 2.0 * (1.0 - x[0]), 200.0 * t])

objective = refopt.compile(fun, grad)
problem = Problem(objective.fun, objective.jac)
run = compiled.runner(bfgs, stopping, problem).run
state = bfgs.init(problem, np.array([-1.2, 1.0]), bfgs.Params())
watch = stopping.watch(state.x, state.f, state.g, abs(state.x))
"""
SOLVE = """
state, watch, k = run(0.0, state, watch, bfgs.Params(), stopping.Tests(), 1000)
print(k, watch.verdict, state.x.round(6).tolist(), sum(objective.fun.stats.cache_hits.values()))
"""


def start(script, cache, package=Path(refopt.__file__).parents[1]):
    """A process that imports refopt from `package`, its working directory."""
    environment = {**os.environ, "REFOPT_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", script]
    return subprocess.Popen(
        command, cwd=package, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process):
    """Steps, verdict, x, hits of the objective's cache; and whether the method was compiled."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    steps, verdict, x, hits = re.fullmatch(r"(\d+) (\d) (\[.*\]) (\d)\n", out).groups()
    assert set(err.splitlines()) <= {"compiling refopt.methods.bfgs: some seconds, once"}
    return (int(steps), int(verdict), x), int(hits) > 0, bool(err)


def solve(cache, package=Path(refopt.__file__).parents[1]):
    return finish(start(SCRIPT + SOLVE, cache, package))
