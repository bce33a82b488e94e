"""Runs of every method of `minimize`, and functions that count their calls."""

import numpy as np
import pytest

import refopt
from refopt import zoo

STEPPERS = {"newton", "damped-newton", "diagonal-newton", "natural-gradient", "gradient-descent"}
STEPPERS |= {"adagrad", "adam", "adahessian"}  #: their steps ask nothing of f: they need not arrive
METHODS = [name for name, e in refopt.available().items() if e.door == "minimize" and name not in STEPPERS]
ROSENBROCK = zoo.get("rosenbrock").problem
START = (-1.2, 1.0)

methods = pytest.mark.parametrize("method", METHODS)


def hessian(method, hess):
    """The keyword for the methods that see the Hessian."""
    return {"hess": hess} if {"hess", "hessp"} & set(refopt.available()[method].needs) else {}


def solve(method, fun, x0, jac=None, hess=None, **options):
    return refopt.minimize(fun, x0, method=method, jac=jac, options=options, **hessian(method, hess))


def rosenbrock(method, x0=START, **options):
    return solve(method, ROSENBROCK.fun, x0, ROSENBROCK.grad, ROSENBROCK.hess, **options)


class Counter:
    """The functions of a problem, counting their calls."""

    def __init__(self, problem=ROSENBROCK):
        self.problem, self.calls = problem, {"fun": 0, "grad": 0, "hess": 0}

    def part(self, name):
        def call(x):
            self.calls[name] += 1
            return getattr(self.problem, name)(x)

        return call

    def solve(self, method, x0=START, **options):
        return solve(method, self.part("fun"), x0, self.part("grad"), self.part("hess"), **options)

    def agrees(self, result):
        return self.calls == {"fun": result.nfev, "grad": result.njev, "hess": result.nhev}


def float32(function):
    """The function with its value rounded to float32."""
    return lambda x: float(np.float32(function(x)))
