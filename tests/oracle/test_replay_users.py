"""Runs as users make them: other options than were said, schedules, and records that begin in the midst."""

import numpy as np
import pytest
from scipy.optimize import rosen_der, rosen_hess

import refopt
from refopt.oracle import replay
from replays import PROBLEM, START, bfgs_update, quasi_newton_run, two_loops


def adams_run(change=None, steps=12, **options):
    """A literal Adam on drawn gradients; `change(t, g, m, v)` gives p, or None for the right one."""
    o = {"step": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8} | options
    draw, x, m, v, run = np.random.default_rng(3), np.linspace(-1.0, 1.0, 6), 0.0, 0.0, []
    for t in range(1, steps + 1):
        g = draw.standard_normal(6)
        run.append({"x": x, "g": g})
        m, v = o["beta1"] * m + (1 - o["beta1"]) * g, o["beta2"] * v + (1 - o["beta2"]) * g * g
        p = -o["step"] * (m / (1 - o["beta1"] ** t)) / (np.sqrt(v / (1 - o["beta2"] ** t)) + o["eps"])
        x = x + (p if change is None else change(t, p))
    return [*run, {"x": x}]


@pytest.mark.parametrize("other", [{"beta2": 0.99}, {"eps": 1e-3}, {"beta1": 0.5, "beta2": 0.95}])
def test_other_options_are_found(other):
    found = replay("adam", None, adams_run(**other), {"step": 0.01})
    assert not found
    assert found.guess == pytest.approx(other)
    assert "is that what it was run with?" in found.sentence
    assert replay("adam", None, adams_run(**other), {"step": 0.01} | other)


def test_another_eps_and_another_step_length_at_once():
    found = replay("adam", None, adams_run(eps=1e-3, step=0.05), {"step": 0.01})
    assert found.guess == pytest.approx({"eps": 1e-3, "step": 0.05})


def test_a_schedule_is_named_and_no_error():
    found = replay("adam", None, adams_run(lambda t, p: min(1.0, t / 5) * p), {"step": 0.01})
    assert "Each step is a multiple of ours, 0.2, 0.4, 0.6, 0.8, 1, …: the step has a schedule" in found.sentence
    assert found.verdict == "agrees"
    assert found.first is None
    uphill = replay("adam", None, adams_run(lambda t, p: (1.0 if t < 5 else -1.0) * p), {"step": 0.01})
    assert uphill.verdict == "disagrees"
    aside = replay("adam", None, adams_run(lambda t, p: t / 5 * p * (1 + 0.1 * (t > 5) * (p == p[2]))), {"step": 0.01})
    assert aside.verdict == "disagrees"


def test_another_method_is_named():
    """Damped Newton, which was said to be Newton's method."""
    points = [np.array([1.1, 1.2, 1.3])]
    for _ in range(8):
        x = points[-1]
        points.append(x - np.linalg.solve(rosen_hess(x) + 5.0 * np.eye(3), rosen_der(x)))
    found = replay("newton", PROBLEM, points)
    assert found.guess == {"method": "damped-newton", "damping": pytest.approx(5.0, rel=1e-9)}
    assert "These are the steps of damped-newton, with damping = 5" in found.sentence


@pytest.mark.parametrize(("memory", "said"), [(4, None), (4, {"memory": 10})])
def test_the_memory_of_l_bfgs_is_found_unless_it_is_said(memory, said):
    x, S, Y, points = START, [], [], [START]
    for k in range(14):
        g = rosen_der(x)
        p = -two_loops(S, Y, (S[-1] @ Y[-1]) / (Y[-1] @ Y[-1]), g) if S else -1e-3 * g
        x = x + 0.05 * (1 + 0.4 * (k % 3)) * p / np.linalg.norm(p)
        points.append(x)
        s, y = points[-1] - points[-2], rosen_der(points[-1]) - g
        if y @ s > 1e-10:
            S, Y = [*S, s][-memory:], [*Y, y][-memory:]
    found = replay("l-bfgs", PROBLEM, points, said)
    assert bool(found) == (said is None)
    assert (found.conventions if found else found.guess) == {"memory": memory}


def test_a_run_that_is_no_longer_finite():
    run = adams_run()
    run[6]["x"] = np.full(6, np.nan)
    found = replay("adam", None, run, {"step": 0.01})
    assert not found
    assert found.sentence.startswith("Their x is not finite from step 5 on. Before that: These 5 steps are adam's")
    with pytest.raises(ValueError, match="x of iterate 1 is not finite"):
        replay("adam", None, [run[0], run[6]])


@pytest.mark.parametrize("start", [1.0, 3.0])
def test_no_defect_is_named_on_a_run_that_drowns(start):
    """VHV with V twice the same, begun so that other mistakes make H singular: these explain nothing."""
    points = quasi_newton_run(lambda H, s, y: start * bfgs_update(H, s, y) + 0.3 * np.outer(s, y))
    assert not replay("bfgs", PROBLEM, points).defects


def test_words_of_choices():
    assert "ahead" not in replay("adam", None, adams_run(), {"step": 0.01}).sentence
    assert "(H₀ = I)" in replay("bfgs", PROBLEM, quasi_newton_run(bfgs_update)).sentence


def adam_run(begin, wrong=False):
    """Records of Adam from a step on, as a recorder has them; where wrong, with v that never falls."""
    x, m, v, most, run = START, np.zeros(3), np.zeros(3), np.zeros(3), []
    for t in range(20):
        g = rosen_der(x)
        run.append({"x": x, "g": g, "m": m, "v": v, "t": np.float32(t)})
        m, v = 0.9 * m + 0.1 * g, 0.9 * v + 0.1 * g * g
        most = np.maximum(most, v) if wrong else v
        x = x - 0.01 * (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(most / (1 - 0.9 ** (t + 1))) + 1e-8)
    return run[begin:]


@pytest.mark.parametrize("begin", [0, 1, 9])
def test_records_that_begin_in_the_midst_of_a_run(begin):
    """Without its means a run is another; without t, that of the corrections for the start, it may have a schedule."""
    options = {"step": 0.01, "beta2": 0.9}
    found = replay("adam", None, adam_run(begin), options)
    assert found, found.sentence
    for lacking in ("m", "v", "t") if begin else ():
        run = [{name: value for name, value in entry.items() if name != lacking} for entry in adam_run(begin)]
        found = replay("adam", None, run, options)
        assert found.verdict == "disagrees" or (lacking == "t" and "the step has a schedule" in found.sentence)


def test_a_defect_is_named_from_the_beginning():
    assert replay("adam", None, adam_run(0, wrong=True), {"step": 0.01, "beta2": 0.9}).defects == ["largest v"]


def test_a_damping_that_accumulates_is_named():
    """λI is added to one matrix in place, step by step, while the Hessian is that of the quartic's own point."""
    A, x, points, heap = np.diag([1.0, 3.0, 9.0]), np.array([1.0, -2.0, 0.5]), [], 0.0
    problem = refopt.Problem(
        lambda x: 0.5 * x @ A @ x + 0.25 * (x**4).sum(), lambda x: A @ x + x**3, lambda x: A + 3.0 * np.diag(x**2)
    )
    for _ in range(8):
        points.append(x)
        heap += 0.5
        x = x - np.linalg.solve(problem.hess(x) + heap * np.eye(3), problem.grad(x))
    assert replay("damped-newton", problem, points, {"damping": 0.5}).defects == ["damping heaped"]


@pytest.mark.parametrize("gaussian", [True, False])
def test_probes_that_are_no_signs_are_named(gaussian):
    draw, A = np.random.default_rng(2), np.diag([1.0, 3.0, 9.0]) + 0.5
    x, m, v, run = np.array([1.0, -2.0, 0.5]), 0.0, 0.0, []
    for t in range(1, 9):
        z = draw.standard_normal((1, 3)) if gaussian else draw.choice([-1.0, 1.0], (1, 3))
        run.append({"x": x, "g": A @ x, "probes": z, "products": z @ A})
        D = (z * (z @ A))[0]
        m, v = 0.9 * m + 0.1 * (A @ x), 0.999 * v + 0.001 * D * D
        x = x - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    found = replay("adahessian", None, [*run, {"x": x}], {"step": 0.1, "eps": 1e-8})
    assert found.defects == ["no signs"] * gaussian, found.sentence
    assert bool(found) != gaussian
