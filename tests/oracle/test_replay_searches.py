"""Searches that are not what they are called, and those that are."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

import refopt
from refopt.oracle import replay
from replays import PROBLEM, START, scipys, states_of, two_loops


def halving_run(fun, grad, x, curvature=True, shrink=0.5, steps=14):
    """L-BFGS with a search that only shortens, and takes its last trial untested, as a page has it."""
    S, Y, points = [], [], [x]
    for _ in range(steps):
        g, alpha = grad(x), 1.0
        p = -two_loops(S, Y, (S[-1] @ Y[-1]) / (Y[-1] @ Y[-1]), g) if S else -g
        for _ in range(20):
            decreases = fun(x + alpha * p) <= fun(x) + 1e-4 * alpha * (g @ p)
            if decreases and (not curvature or abs(grad(x + alpha * p) @ p) <= 0.9 * abs(g @ p)):
                break
            alpha *= shrink
        s = alpha * p
        y, x = grad(x + s) - g, x + s
        points.append(x)
        if y @ s > 1e-10:
            S, Y = [*S, s][-10:], [*Y, y][-10:]
    return points


WIDE = np.array([0.05, 0.03, 0.08])
BOWL = refopt.Problem(lambda x: 0.5 * x @ (WIDE * x), lambda x: WIDE * x)
CALLED = "halving called strong Wolfe"


@pytest.mark.parametrize("shrink", [0.5, 0.8])
def test_halving_called_strong_wolfe(shrink):
    points = halving_run(rosen, rosen_der, START, curvature=False, shrink=shrink)
    said = {"search": "strong Wolfe", "memory": 10}
    found = replay("l-bfgs", PROBLEM, points, said)
    assert found.defects == [CALLED], found.sentence
    assert found.first.equation in ("|g₊ᵀs| ≤ c₂|gᵀs|", "f₊ ≤ f + c₁gᵀs")  # of 20 trials of 0.8 the last may go up
    assert f"every α is a power of {shrink:g}, and a step that is too short" in found.sentence
    assert replay("l-bfgs", PROBLEM, points, {"memory": 10})  # which says nothing of its search


def test_a_search_that_cannot_lengthen_stalls():
    """On a flat bowl α = 1 is too short, and 2⁻²⁰ is what becomes of it; no pair passes an absolute test either."""
    points = halving_run(BOWL.fun, BOWL.grad, np.array([1.0, 2.0, -1.0]))
    found = replay("l-bfgs", BOWL, points, {"search": "strong-wolfe"})
    assert CALLED in found.defects
    assert "absolute curvature test" in found.defects
    assert found.search["strong curvature"] == 0


@pytest.mark.parametrize("name", ["bfgs", "l-bfgs", "dfp", "broyden", "modified-newton", "newton-cg"])
def test_a_search_that_is_what_it_is_called(name):
    problem, states = states_of(name, 25)
    found = replay(name, problem, [state.x for state in states], {"search": "strong-wolfe"})
    assert found, found.sentence
    assert {f.equation for f in found.findings} >= {"|g₊ᵀs| ≤ c₂|gᵀs|", "f₊ ≤ f + c₁gᵀs"}


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B"])
def test_scipys_search_keeps_the_strong_wolfe_conditions(method):
    assert replay({"BFGS": "bfgs"}.get(method, "l-bfgs"), PROBLEM, scipys(method), {"search": "strong-wolfe"})


def test_a_step_that_a_search_would_not_take_is_named():
    """Newton's whole steps go up now and then; no search has shortened them, so none is said to halve."""
    points = [state.x for state in states_of("newton")[1]]
    found = replay("newton", PROBLEM, points, {"search": "strong-wolfe"})
    assert found.verdict == "disagrees"
    assert found.defects == []
    with pytest.raises(ValueError, match="search is 'golden'; it can be strong-wolfe"):
        replay("newton", PROBLEM, points, {"search": "golden"})
