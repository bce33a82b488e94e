"""Runs of other people's optimizers, written down by ``record_optimizers.py`` with their versions, made again by ours.

The same gradients and the same randomness lead to the same points. Three of those people's optimizers go
elsewhere: there a model of the defect leads to their points, and the right method does not.
"""

import importlib.util
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest

import refopt
from refopt.linalg import inverse_root
from refopt.linesearch import FIXED
from refopt.networks import Linear, Sequential, Tanh
from refopt.sampled import Draw
from refopt.stochastic import adagrad, adahessian, adam, adamw, l_bfgs, momentum, rmsprop, sgd, shampoo, soap
from refopt.tensors import along, gram

spec = importlib.util.spec_from_file_location("record", Path(__file__).with_name("record_optimizers.py"))
record = importlib.util.module_from_spec(spec)
spec.loader.exec_module(record)

CLOSE = 1e-9  #: of the size of the points
SINGLE = 1e-5  #: the same, where bases are those of a QR in float32, which differs from processor to processor
KEEPS_SINGLE = ("pytorch_optimizer_soap", "heavyball_soap")
SHAPES = record.SHAPES

FED = {
    "torch_sgd": (sgd, sgd.Params(step=0.05)),
    "torch_momentum": (momentum, momentum.Params(step=0.02, momentum=0.9, dampening=0.1)),
    "torch_nesterov": (momentum, momentum.Params(step=0.02, momentum=0.9, nesterov=True)),
    "torch_adagrad": (adagrad, adagrad.Params(step=0.3, initial=0.1)),
    "torch_rmsprop": (rmsprop, rmsprop.Params(step=0.02, decay=0.95)),
    "torch_adam": (adam, adam.Params(step=0.05, beta1=0.8, beta2=0.95, eps=1e-3)),
    "torch_adamw": (adamw, adamw.Params(step=0.05, weight_decay=0.1)),
    "optax_momentum": (momentum, momentum.Params(step=0.02, momentum=0.9)),
    "optax_adagrad": (adagrad, adagrad.Params(step=0.3, initial=0.1, eps=0.0)),
    "optax_rmsprop": (rmsprop, rmsprop.Params(step=0.02, decay=0.95)),
    "optax_adam": (adam, adam.Params(step=0.05, beta1=0.8, beta2=0.95, eps=1e-3)),
    "optax_adamw": (adamw, adamw.Params(step=0.05, weight_decay=0.1)),
    "pytorch_optimizer_soap_double": (
        soap, soap.Params(step=0.05, every=3, weight_decay=0.1, eps=1e-6, shapes=SHAPES)
    ),
    "pytorch_optimizer_soap_vectors": (
        soap, soap.Params(step=0.05, every=100, weight_decay=0.0, vectors=True, longest=4, shapes=SHAPES)
    ),
    "pytorch_optimizer_shampoo": (shampoo, shampoo.Params(step=0.1, eps=1e-2, shapes=SHAPES)),
}  # fmt: skip


def recorded(name):
    with np.load(record.RUNS / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def fed(method, params, run):
    """Our points under the gradients of a run."""
    problem = refopt.Problem(None, None)
    state = method.init(problem, run["points"][0], params)
    points = [state.x]
    for g in run["gradients"]:
        state = method.update(state, g, params)
        points.append(state.x)
    return np.array(points)


def far(points, run):
    return abs(points - run["points"]).max() / abs(run["points"]).max()


@pytest.mark.parametrize("name", FED)
def test_the_same_gradients_lead_to_the_same_points(name):
    method, params = FED[name]
    run = recorded(name)
    assert len(run["gradients"]) >= 12
    assert far(fed(method, params, run), run) < CLOSE, run["versions"]


@pytest.mark.parametrize(
    ("name", "method", "params"),
    [
        ("torch_momentum_coupled", momentum, momentum.Params(step=0.02, momentum=0.9)),
        ("torch_adam_coupled", adam, adam.Params(step=0.05)),
    ],
)
def test_weight_decay_of_torch_is_in_the_gradient(name, method, params):
    """Of all its optimizers but AdamW: g + ωx, which momentum and squares see. Ours is apart from the gradient."""
    run = recorded(name)
    coupled = run | {"gradients": run["gradients"] + 0.1 * run["points"][:-1]}
    assert far(fed(method, params, coupled), run) < CLOSE, run["versions"]
    assert far(fed(method, params._replace(weight_decay=0.1), run), run) > 1e-2


def test_soap_with_bases_in_single_precision():
    """pytorch_optimizer's own QR is one of float32: bases turn by 1e-7 or so, and steps with them."""
    method, params = FED["pytorch_optimizer_soap_double"]
    run = recorded("pytorch_optimizer_soap")
    assert CLOSE < far(fed(method, params, run), run) < SINGLE, run["versions"]


def network():
    X, y, batches, probes, x0 = record.net_data()
    return refopt.Supervised(Sequential(Linear(4, 5), Tanh(), Linear(5, 3)), "cross-entropy", X, y), batches, probes, x0


@pytest.mark.parametrize(
    ("name", "method", "params"),
    [
        ("torch_net_adam", adam, adam.Params(step=0.05)),
        (
            "pytorch_optimizer_adahessian",
            adahessian,
            adahessian.Params(step=0.05, eps=1e-4, probes=2, exponent=0.4),
        ),
    ],
)
def test_the_same_batches_and_probes_lead_to_the_same_points(name, method, params):
    """Our network's gradients and products on the one side, torch's on the other."""
    (problem, batches, probes, x0), run = network(), recorded(name)
    state, points = method.init(problem, x0, params), [x0]
    for batch, z in zip(batches, probes, strict=True):
        state = method.step(problem, state, params, Draw(batch=batch, probes=z))
        points.append(state.x)
    assert far(np.array(points), run) < CLOSE, run["versions"]


def test_adahessian_with_a_filter_averaged():
    """torch_optimizer takes the mean of |Hz| over a filter's kernel: our "absolute". The paper's has their signs."""
    run = recorded("torch_optimizer_adahessian")
    M, shapes = run["M"], ((3, 2, 2, 2),)
    problem = refopt.Problem(
        lambda x: 0.5 * x @ M @ x + 0.25 * (x**4).sum(), lambda x: M @ x + x**3, hvp=lambda x, v: M @ v + 3 * x**2 * v
    )
    found = {}
    for averaging in ("absolute", "signed"):
        params = adahessian.Params(step=0.05, eps=1e-4, averaging=averaging, shapes=shapes)
        state, points = adahessian.init(problem, run["points"][0], params), [run["points"][0]]
        for z in run["probes"]:
            state = adahessian.step(problem, state, params, Draw(probes=z[None, :]))
            points.append(state.x)
        found[averaging] = far(np.array(points), run)
    assert found["absolute"] < CLOSE, run["versions"]
    assert found["signed"] > 1e-2


def test_l_bfgs_without_a_search():
    H, x0, _ = record.quadratic()
    run, g0 = recorded("torch_lbfgs"), H @ x0
    problem = refopt.Problem(lambda x: 0.5 * x @ H @ x, lambda x: H @ x)
    params = l_bfgs.Params(memory=4, search=FIXED, gamma=min(1.0, 1.0 / abs(g0).sum()), skip=0.0)
    state, points = l_bfgs.init(problem, x0, params), [x0]
    for _ in range(record.STEPS):
        state = l_bfgs.step(problem, state, params)
        points.append(state.x)
    assert far(np.array(points), run) < CLOSE, run["versions"]


# --- what is wrong elsewhere -----------------------------------------------------------------------------------------


def overwritten(run, step, eps, exponent):
    """Shampoo whose statistics of an axis come from the gradient that the axes before have preconditioned already."""
    points, factors = [run["points"][0]], [[eps * np.eye(n) for n in shape] for shape in SHAPES]
    for g in run["gradients"]:
        parts = []
        for G, own in zip(record.split(g), factors, strict=True):
            for axis in range(G.ndim):
                own[axis] = own[axis] + gram(G, axis)
                G = along(inverse_root(own[axis], exponent(G.ndim))[0], G, axis)
            parts.append(G.ravel())
        points.append(points[-1] - step * np.concatenate(parts))
    return np.array(points)


def test_torch_optimizer_s_shampoo_has_the_wrong_exponent_and_overwrites_its_gradient():
    """−1/k in place of −1/2k, and R from L^{−1/k}G in place of G: both defects together are its points to 1e-9."""
    run = recorded("torch_optimizer_shampoo")
    assert far(overwritten(run, 0.1, 1e-2, lambda k: k), run) < CLOSE, run["versions"]
    assert far(overwritten(run, 0.1, 1e-2, lambda k: 2 * k), run) > 1e-2
    method, params = FED["pytorch_optimizer_shampoo"]
    assert far(fed(method, params, run), run) > 1e-2


def heavyball_refreshes(f):
    """The gradients after which bases are renewed: where a sum of 1/f in floating point passes a whole number."""
    sums = list(accumulate([1 / f] * record.STEPS, initial=0.0))
    return [k for k, (a, b) in enumerate(pairwise(sums), 1) if int(b) > int(a)]


def test_heavyball_s_soap_renews_its_bases_at_other_steps():
    """Every third time is after 3, 7, 9, 12 gradients: six thirds add up to 1.9999999999999998.

    So SOAP's own step leads to its points, where bases are renewed then, as far as the float32 goes in which it keeps
    what it remembers. Its factors are means corrected for their start, which multiplies them and turns no basis.
    """
    run, late = recorded("heavyball_soap"), heavyball_refreshes(3)
    assert late == [3, 7, 9, 12]
    params = soap.Params(step=0.0625, beta1=0.9, beta2=0.95, eps=1e-12, shapes=SHAPES)

    def points(renewed):
        state, found = soap.init(None, run["points"][0], params), [run["points"][0]]
        for t, g in enumerate(run["gradients"], 1):
            state = soap.update(state, g, params._replace(every=1 if t in renewed else record.STEPS))
            found.append(state.x)
        return np.array(found)

    assert far(points(late), run) < SINGLE, run["versions"]
    assert far(points([3, 6, 9, 12]), run) > 1e-3
    assert far(points([4, 7, 10, 13]), run) > 1e-2  # the authors' code's, and ours


def mixed(run, step, eps, mu):
    """Shampoo with a momentum of preconditioned directions, mixed into the next gradient before that is."""
    points, held = [run["points"][0]], None
    factors = [[eps * np.eye(n) for n in shape] for shape in SHAPES]
    for g in run["gradients"]:
        held = g if held is None else held
        parts = []
        for G, own in zip(record.split((1 - mu) * g + mu * held), factors, strict=True):
            own[:] = [L + gram(G, axis) for axis, L in enumerate(own)]
            for axis, L in enumerate(own):
                G = along(inverse_root(L, 2 * G.ndim)[0], G, axis)
            parts.append(G.ravel())
        held = np.concatenate(parts)
        points.append(points[-1] - step * held)
    return np.array(points)


def test_pytorch_optimizer_s_shampoo_mixes_raw_and_preconditioned_gradients():
    run = recorded("pytorch_optimizer_shampoo_momentum")
    assert far(mixed(run, 0.1, 1e-2, 0.9), run) < CLOSE, run["versions"]
    ours = fed(shampoo, shampoo.Params(step=0.1, eps=1e-2, beta1=0.9, shapes=SHAPES), run)
    assert far(ours, run) > 1e-2


def test_a_mean_of_gradients_changes_nothing_where_all_are_the_same():
    """What the mixture gets wrong: with a constant gradient and running means every step is that without momentum."""
    g, problem = np.linspace(-1.0, 2.0, 29), refopt.Problem(None, None)
    states = []
    for beta1 in (0.0, 0.9):
        params = shampoo.Params(step=0.1, eps=1e-2, beta1=beta1, shapes=SHAPES)
        state = shampoo.init(problem, 0.0 * g, params)
        for _ in range(5):
            state = shampoo.update(state, g, params)
        states.append(state.x)
    assert abs(states[0] - states[1]).max() < 1e-12


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_records_are_what_the_packages_do_today():
    for package in ("torch", "optax", "pytorch_optimizer", "torch_optimizer", "heavyball"):
        pytest.importorskip(package)
    for name, run in record.runs().items():
        made, kept = run(), recorded(name)
        for key, value in made.items():
            allowed = SINGLE if name in KEEPS_SINGLE else CLOSE
            assert abs(value - kept[key]).max() < allowed * abs(kept[key]).max(), (name, key, kept["versions"])
