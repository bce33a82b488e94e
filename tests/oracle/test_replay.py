"""Replays: what agrees, what does not and where, and the mistakes that are named."""

import importlib
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import rosen, rosen_der, rosen_hess

import refopt
from refopt import methods
from refopt.oracle import Recorder, records, replay
from refopt.oracle.rulebook import BATCHES, RULES, STEPS
from refopt.oracle.rules import Path
from refopt.sampled import Draw
from replays import PROBLEM, START, states_of

WELLS = refopt.Problem(lambda x: float(((x * x - 1) ** 2).sum()), lambda x: 4 * x * (x * x - 1))
SCIPYS = {
    "bfgs": "BFGS", "l-bfgs": "L-BFGS-B", "newton-cg": "Newton-CG", "trust-exact": "trust-exact",
    "trust-dogleg": "dogleg", "trust-ncg": "trust-ncg", "trust-krylov": "trust-krylov",
}  # fmt: skip


def scipys(method, **arguments):
    note = Recorder(START)
    hess = None if method in ("BFGS", "L-BFGS-B") else rosen_hess
    scipy.optimize.minimize(rosen, START, jac=rosen_der, hess=hess, method=method, callback=note, **arguments)
    return note


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


# --- defects, made literally --------------------------------------------------------------------------------------


SMALL = refopt.Problem(lambda x: 1e-12 * rosen(x), lambda x: 1e-12 * rosen_der(x))


def quasi_newton_run(update, pair=None, learns=None, steps=14, problem=PROBLEM):
    """A literal run with a step of moderate length along −Hg, and the defect's own pair, test or update."""
    H, x, points = np.eye(3), START, [START]
    for k in range(steps):
        g = problem.grad(x)
        p = -H @ g
        x = x + (0.05 + 0.02 * (k % 3)) * p / np.linalg.norm(p)
        points.append(x)
        path = Path(problem, records(points), None)
        s, y = pair(path, k, p) if pair else (path.s(k), path.g(k + 1) - g)
        good = learns(s, y, 1e-10) if learns else y @ s > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y)
        if good:
            H = update(H, s, y)
    return points


def bfgs_update(H, s, y):
    rho, V = 1 / (y @ s), np.eye(3) - np.outer(y, s) / (y @ s)
    return V.T @ H @ V + rho * np.outer(s, s)


@pytest.mark.parametrize("name", RULES["bfgs"].defects)
def test_defects_of_bfgs_are_named(name):
    how = RULES["bfgs"].defects[name].how
    problem = SMALL if name == "absolute curvature test" else PROBLEM
    points = quasi_newton_run(how.get("update", bfgs_update), how.get("pair"), how.get("learns"), problem=problem)
    found = replay("bfgs", problem, points)
    assert name in found.defects, found.sentence
    assert RULES["bfgs"].defects[name].says in found.sentence


def two_loops(S, Y, gamma, g):
    """Nocedal & Wright, Algorithm 7.4, literally."""
    q, a = g.copy(), []
    for s, y in zip(reversed(S), reversed(Y), strict=True):
        a.append((s @ q) / (y @ s))
        q = q - a[-1] * y
    r = gamma * q
    for s, y, ai in zip(S, Y, reversed(a), strict=True):
        r = r + (ai - (y @ r) / (y @ s)) * s
    return r


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


# --- runs as users make them ---------------------------------------------------------------------------------------


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


# --- searches ------------------------------------------------------------------------------------------------------


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
