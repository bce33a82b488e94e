"""Replays: what agrees, what does not and where, and the mistakes that are named."""

import importlib
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

import refopt
from refopt import methods
from refopt.oracle import Recorder, records, replay
from refopt.oracle.rulebook import BATCHES, RULES, STEPS
from refopt.oracle.rules import Path
from refopt.sampled import Draw
from replays import PROBLEM, SCIPYS, START, bfgs_update, quasi_newton_run, scipys, states_of, two_loops

WELLS = refopt.Problem(lambda x: float(((x * x - 1) ** 2).sum()), lambda x: 4 * x * (x * x - 1))
# --- what is right is found right --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [name for name in RULES if name not in (*STEPS, *BATCHES) or name in ("adam", "adagrad")]
)
def test_the_librarys_own_states_agree(name):
    problem, states = states_of(name)
    found = replay(name, problem, states)
    assert found, found.sentence
    assert found.steps == len(states) - 1
    moved = sum(bool(np.any(a.x != b.x)) for a, b in pairwise(states))
    assert len([f for f in found.findings if f.equation not in ("f = f(x)", "g = ∇f(x)")]) >= moved > 3


@pytest.mark.parametrize("name", [name for name in RULES if name not in (*STEPS, *BATCHES)])
def test_points_alone_are_enough(name):
    problem, states = states_of(name)
    found = replay(name, problem, [state.x for state in states])
    assert found, found.sentence


@pytest.mark.parametrize("name", SCIPYS)
def test_scipys_runs_are_what_they_are_called(name):
    found = replay(name, PROBLEM, scipys(SCIPYS[name]))
    assert found, found.sentence
    assert found.conventions in ({}, {"start": "I"})  # SciPy's BFGS begins with the identity


def test_a_module_is_as_good_as_a_name():
    problem, states = states_of("newton")
    assert replay(methods.newton, problem, states).sentence == replay("newton", problem, states).sentence


def test_numbers_in_float32_are_judged_as_such():
    points = [state.x.astype(np.float32) for state in states_of("newton")[1]]
    found = replay("newton", PROBLEM, points)
    assert found, found.sentence
    assert max(f.tolerance for f in found.findings) > 1e-6


@pytest.mark.parametrize("seed", range(20))
def test_rounding_is_never_called_a_mistake(seed):
    """Points changed in the last digit but one are the same run."""
    rng = np.random.default_rng(seed)
    for name in ("bfgs", "l-bfgs", "newton", "trust-exact", "trust-krylov"):
        problem, states = states_of(name)
        points = [s.x * (1 + 2e-16 * rng.integers(-2, 3, s.x.shape)) for s in states]
        found = replay(name, problem, points)
        assert found.verdict != "disagrees", (name, found.sentence)


def test_a_search_is_reported_and_no_error():
    """Half of every step of BFGS, and its H learnt from what was done: another search."""
    H, x, points = np.eye(3), START, [START]
    for _ in range(15):
        p = -H @ rosen_der(x)
        s = (0.01 if len(points) < 3 else 0.5) * p
        y = rosen_der(x + s) - rosen_der(x)
        x = x + s
        if y @ s > 0:
            rho, V = 1 / (y @ s), np.eye(3) - np.outer(y, s) / (y @ s)
            H = V.T @ H @ V + rho * np.outer(s, s)
        points.append(x)
    found = replay("bfgs", PROBLEM, points)
    assert found, found.sentence
    assert 0 < found.search["downhill"] == found.search["steps"] == 15
    assert "how far a search goes is not judged" in found.sentence


@pytest.mark.parametrize("name", ["bfgs", "dfp", "broyden"])
def test_a_run_may_begin_anew(name):
    """H is γI again; but one that has never been anything else has not learnt, and one that is nearly so is wrong."""
    method = importlib.import_module(f"refopt.methods.{name}")
    params, states = method.Params(), [method.init(PROBLEM, np.array(START, float), method.Params())]
    for k in range(12):
        new = method.step(PROBLEM, states[-1], params)
        states.append(method.restart(new) if k == 6 else new)
    found = replay(name, PROBLEM, states)
    assert found, found.sentence
    frozen = [state._replace(H=states[0].H) for state in states]
    assert replay(name, PROBLEM, frozen).first.equation == "H₊ = update(H, s, y)"
    nearly = [s._replace(H=s.H + 1e-3 * abs(s.H).max() * np.eye(len(s.x))[::-1]) if s.fresh else s for s in states]
    assert not replay(name, PROBLEM, [states[0], *nearly[1:]])


# --- what is wrong is found, and where ---------------------------------------------------------------------------


def test_another_method_disagrees_at_its_first_step():
    found = replay("gradient-descent", PROBLEM, states_of("newton")[1])
    assert not found
    assert (found.first.step, found.first.equation) == (0, "p = −g")
    assert found.first.error > 1e3 * found.first.tolerance
    np.testing.assert_allclose(found.first.ours, -rosen_der(START) / np.linalg.norm(rosen_der(START)))


@pytest.mark.parametrize("k", [2, 7])
def test_a_single_wrong_step_is_named(k):
    _, states = states_of("newton")
    points = [s.x for s in states]
    points[k + 1 :] = [x + np.array([1e-3, 0, 0]) for x in points[k + 1 :]]
    found = replay("newton", PROBLEM, points)
    assert found.first.step == k


def test_a_wrong_gradient_is_found_out_beside_the_problems():
    _, states = states_of("bfgs")
    wrong = [{"x": s.x, "g": s.g if k != 4 else s.g * [1, 1, 1.001]} for k, s in enumerate(states)]
    found = replay("bfgs", PROBLEM, wrong)
    assert (found.first.step, found.first.equation) == (4, "g = ∇f(x)")


def test_a_matrix_that_learns_wrongly_is_named_even_if_the_steps_are_right():
    _, states = states_of("bfgs")
    wrong = [s._replace(H=s.H + (0.01 * np.eye(3) if k == 5 else 0)) for k, s in enumerate(states)]
    found = replay("bfgs", PROBLEM, wrong)
    assert (found.first.step, found.first.equation) == (5, "H₊ = update(H, s, y)")


def test_another_step_length_of_adam_is_a_factor():
    _, states = states_of("adam")
    found = replay("adam", PROBLEM, [s.x for s in states], {"step": 0.002})
    assert "Every step is 0.5 times ours" in found.sentence


# --- defects, made literally ---------------------------------------------------------------------------------------

SMALL = refopt.Problem(lambda x: 1e-12 * rosen(x), lambda x: 1e-12 * rosen_der(x))


@pytest.mark.parametrize("name", RULES["bfgs"].defects)
def test_defects_of_bfgs_are_named(name):
    how = RULES["bfgs"].defects[name].how
    problem = SMALL if name == "absolute curvature test" else PROBLEM
    points = quasi_newton_run(how.get("update", bfgs_update), how.get("pair"), how.get("learns"), problem=problem)
    found = replay("bfgs", problem, points)
    assert name in found.defects, found.sentence
    assert RULES["bfgs"].defects[name].says in found.sentence


@pytest.mark.parametrize("name", RULES["l-bfgs"].defects)
def test_defects_of_l_bfgs_are_named(name):
    how = RULES["l-bfgs"].defects[name].how
    problem, x, S, Y, m = PROBLEM, START, [], [], how.get("memory", 3)
    if name == "no curvature test":  # between two wells some yᵀs are negative
        problem, x = WELLS, np.array([0.1, 0.2, -0.15])
    problem = SMALL if name == "absolute curvature test" else problem
    points = [x]
    for k in range(12):
        g = problem.grad(x)
        p = -g
        if S:
            gamma = how["gamma"](S, Y) if "gamma" in how else (S[-1] @ Y[-1]) / (Y[-1] @ Y[-1])
            order = how.get("order", 1)
            p = -how.get("product", two_loops)(S[::order], Y[::order], gamma, g)
        x = x + 0.05 * (1 + 0.4 * (k % 3)) * p / np.linalg.norm(p)
        points.append(x)
        path = Path(problem, records(points), None)
        s, y = how["pair"](path, k, p) if "pair" in how else (path.s(k), path.g(k + 1) - g)
        good = how["learns"](s, y, 1e-10) if "learns" in how else y @ s > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y)
        if good:
            S, Y = (how["keeps"](pairs, m) if "keeps" in how else pairs[-m:] for pairs in ([*S, s], [*Y, y]))
    found = replay("l-bfgs", problem, points, {"memory": 3})
    assert name in found.defects, found.sentence


# --- steps from gradients alone ------------------------------------------------------------------------------------

SHAPES = ((2, 3), (3,))
OPTIONS = {
    "momentum": {"step": 0.01}, "adam": {"step": 0.01, "eps": 1e-3}, "adamw": {"step": 0.01, "eps": 1e-3},
    "adahessian": {"step": 0.01, "eps": 1e-3, "averaging": "none", "probes": 2}, "sgd": {}, "adagrad": {},
    "rmsprop": {},
    "adam-no-sqrt": {}, "shampoo": {"shapes": ((2, 2, 2), (1,)), "beta1": 0.5, "eps": 1e-2},
    "soap": {"shapes": SHAPES, "every": 2},
}  # fmt: skip
OPTIONS["adamw"]["weight_decay"] = 0.1
WRONG = [(name, wrong) for name in OPTIONS for wrong, known in RULES[name].defects.items() if "update" in known.how]


def gradients_run(name, update=None, steps=9):
    """A run on drawn gradients by the method's own update, or by another; and its records, as they would be kept."""
    module = importlib.import_module(f"refopt.stochastic.{name.replace('-', '_')}")
    params, draw = module.Params(**OPTIONS[name]), np.random.default_rng(7)
    x = np.linspace(-1.0, 1.5, 9)
    state, kept = module.init(None, x, params), []
    for _ in range(steps):
        g = draw.standard_normal(9)
        more, entry = {}, {"x": state.x, "g": g}
        if name == "adahessian":
            z = draw.choice([-1.0, 1.0], (2, 9))
            H = np.diag(np.arange(1.0, 10.0)) + 0.3
            more, entry = {"products": z @ H}, entry | {"probes": z, "products": z @ H}
        kept.append(entry)
        state = (update or module.update)(state, g, params, Draw(probes=entry.get("probes")), **more)
    return [*kept, {"x": state.x}], params


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_from_gradients_alone_agree(name):
    run, params = gradients_run(name)
    found = replay(name, None, run, params)
    assert found, found.sentence
    assert len([f for f in found.findings if f.equation == "x₊ = x + p"]) == 9


@pytest.mark.parametrize(("name", "defect"), WRONG)
def test_defects_of_steps_are_named(name, defect):
    run, params = gradients_run(name, RULES[name].defects[defect].how["update"])
    found = replay(name, None, run, params)
    assert defect in found.defects, found.sentence
    assert RULES[name].defects[defect].says in found.sentence


def test_there_are_more_than_25_defects():
    assert sum(len(set(rule.defects)) for name, rule in RULES.items() if name not in ("dfp", "broyden", "adamw")) >= 30


# --- what they have -----------------------------------------------------------------------------------------------


def test_records_of_torch_optimizers():
    """A run of Adam as PyTorch keeps it, parameters in two tensors; and the last iterate without a gradient."""
    params = importlib.import_module("refopt.methods.adam").Params(step=0.01)
    a, b = Tensor(START[:1]), Tensor(START[1:])
    optimizer = SimpleNamespace(param_groups=[{"params": [a, b]}], state={})
    m = v = np.zeros(3)
    note, x = Recorder(), START
    for t in range(1, 10):
        g = rosen_der(x)
        a.put(x[:1], g[:1]), b.put(x[1:], g[1:])
        note.torch(optimizer)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x = x - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        optimizer.state = {
            a: {"step": t, "exp_avg": m[:1], "exp_avg_sq": v[:1]}, b: {"step": t, "exp_avg": m[1:], "exp_avg_sq": v[1:]}
        }  # fmt: skip
    a.put(x[:1], None), b.put(x[1:], None)
    note.torch(optimizer)
    found = replay("adam", None, note, params)
    assert found, found.sentence
    assert {f.equation for f in found.findings} == {"m₊ of m and g", "v₊ of v and g", "x₊ = x + p"}


class Tensor:
    """As much of a tensor as the recorder asks for."""

    def __init__(self, values):
        self.put(values, None)

    def put(self, values, grad):
        self.values, self.grad, self.dtype = values, grad, values.dtype

    def detach(self):
        return self.values


def test_records_of_trees():
    note = Recorder()
    trees = {"w": np.ones((2, 2)), "b": [np.zeros(1)]}
    state = (SimpleNamespace(), refopt.methods.adam.State(*[None] * 11)._replace(m=None))
    note.optax(trees, state, grads=trees)
    assert note.records[0]["x"].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0] == note.records[0]["g"].tolist()


@pytest.mark.parametrize(
    ("iterates", "complaint"),
    [
        ([], "needs two iterates"),
        ([[1.0, 2.0]], "needs two iterates"),
        ([[1.0], [1.0, 2.0]], "shape"),
        ([{"y": [1.0]}, {"y": [2.0]}], "has no x"),
    ],
)
def test_what_is_no_run_is_refused(iterates, complaint):
    with pytest.raises(ValueError, match=complaint):
        replay("newton", PROBLEM, iterates)


def test_unknown_methods_and_options_are_refused():
    with pytest.raises(ValueError, match="no replay of 'simplex'"):
        replay("simplex", PROBLEM, [START, START])
    with pytest.raises(TypeError, match="has no option momentum"):
        replay("adam", PROBLEM, [START, START], {"momentum": 1})


def test_what_the_problem_lacks_is_named():
    with pytest.raises(ValueError, match=r"needs problem\.hess"):
        replay("newton", refopt.Problem(rosen, rosen_der), [START, START + 1])
    with pytest.raises(ValueError, match=r"needs problem\.grad"):
        replay("bfgs", None, [START, START + 1])


def test_where_rounding_drowns_everything_nothing_is_said():
    at = np.ones(3)
    found = replay("newton", PROBLEM, [at * (1 + 1e-15 * k) for k in range(4)])
    assert found.verdict == "undecided"
    assert not found
