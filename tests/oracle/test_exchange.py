"""Dumps: what other programs write is read and judged, from a file and from arrays, on the command line and off it."""

from itertools import islice

import numpy as np
import pytest

import refopt
from refopt import curvature
from refopt.__main__ import main
from refopt.networks import parse
from refopt.oracle import judge
from refopt.oracle.layouts import layouts
from refopt.sampled import Draw

NETWORK = "Sequential(Linear(4, 3), Tanh(), Linear(3, 3))"
NET = parse(NETWORK)
rng = np.random.default_rng(1)
X, y, x = rng.standard_normal((20, 4)), rng.integers(0, 3, 20), NET.init(rng)
PROBLEM = refopt.Supervised(NET, "cross-entropy", X, y)
GIVEN = {"network": NETWORK, "x": x, "X": X, "y": y, "loss": "cross-entropy"}
H = curvature.hessian(PROBLEM, x)
F = curvature.fisher(PROBLEM, x)


def written(tmp_path, **entries):
    np.savez(tmp_path / "dump.npz", **entries)
    return tmp_path / "dump.npz"


@pytest.mark.parametrize(
    ("entries", "right", "said"),
    [
        ({"what": "matrix", "claim": "hessian", "theirs": H}, True, "Yours is the Hessian"),
        ({"what": "matrix", "claim": "fisher", "theirs": F}, True, "Fisher"),
        ({"what": "matrix", "claim": "fisher", "theirs": H}, False, "differs by"),
        ({"what": "matrix", "claim": "hessian", "theirs": 20 * H}, False, "summed over the samples"),
        ({"what": "matrix", "claim": "hessian", "theirs": 20 * H, "reduction": "sum"}, True, "summed over the samples"),
        ({"what": "diagonal", "claim": "hessian", "theirs": np.diag(H)}, True, "the diagonal of the Hessian"),
        ({"what": "diagonal", "claim": "hessian", "theirs": H.sum(axis=1)}, False, "sums of the rows"),
        ({"what": "product", "claim": "hessian", "theirs": H @ x, "v": x}, True, "the Hessian"),
        ({"what": "product", "claim": "hessian", "theirs": F @ x, "v": x}, False, "The Hessian, which you say it is"),
    ],
)
def test_curvature(tmp_path, entries, right, said):
    for dump in (GIVEN | entries, written(tmp_path, **GIVEN | entries)):
        verdict = judge(dump)
        assert verdict.right is right, verdict.sentence
        assert said in verdict.sentence


def test_parameters_array_by_array(tmp_path):
    parts = {f"x.{k}": array for k, array in enumerate(NET.unravel(x).values())}
    assert len(parts) == 4
    given = {name: value for name, value in GIVEN.items() if name != "x"} | parts
    assert judge(written(tmp_path, **given, what="matrix", claim="hessian", theirs=H)).right


def test_factors(tmp_path):
    blocks = curvature.kfac(PROBLEM, x).blocks
    pairs = {f"A.{k}": b.A for k, b in enumerate(blocks)} | {f"G.{k}": b.G for k, b in enumerate(blocks)}
    verdict = judge(written(tmp_path, **GIVEN, **pairs, what="factors"))
    assert verdict.right
    assert "factors of exact K-FAC" in verdict.sentence


def test_runs(tmp_path):
    case = refopt.zoo.get("rosenbrock")
    states = list(islice(refopt.iterate(refopt.methods.bfgs, case.problem, case.x0, refopt.methods.bfgs.Params()), 9))
    run = {"what": "trajectory", "claim": "bfgs", "points": np.array([s.x for s in states])}
    more = {"gradients": np.array([s.g for s in states]), "H": np.array([s.H for s in states])}
    assert judge(written(tmp_path, **run, problem="rosenbrock")).right
    assert judge(written(tmp_path, **run, **more)).right
    wrong = judge(written(tmp_path, **run | {"claim": "newton"}, problem="rosenbrock"))
    assert not wrong.right
    assert "The first equation that disagrees with newton is p = −H⁻¹g at step 0" in wrong.sentence


def test_options_of_runs(tmp_path):
    points, v = [np.ones(2)], 0.0
    for _ in range(5):
        v = v + points[-1] ** 2
        points.append(points[-1] - 0.5 * points[-1] / (np.sqrt(v) + 1e-10))
    run = {"what": "trajectory", "claim": "adagrad", "points": np.array(points), "gradients": np.array(points)}
    assert judge(written(tmp_path, **run, **{"option.step": 0.5})).right
    assert "0.5 times" not in judge(written(tmp_path, **run)).sentence
    assert not judge(written(tmp_path, **run)).right


@pytest.mark.parametrize(("p", "power", "right"), [(4, 4, True), (3, 3, True), (4, 2, False), (3, 4, False)])
def test_roots(tmp_path, p, power, right):
    V = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    values = np.array([1.0, 2.0, 5.0, 30.0])
    A, X = (V * values) @ V.T, (V * values ** (-1.0 / power)) @ V.T
    verdict = judge(written(tmp_path, what="root", A=A, p=p, theirs=X))
    assert verdict.right is right
    assert right or ("It is A^(−1/2)" in verdict.sentence) == (power == 2)


def test_the_command_line(tmp_path, capsys):
    good = written(tmp_path, **GIVEN, what="matrix", claim="hessian", theirs=H)
    assert main(["judge", str(good)]) == 0
    assert capsys.readouterr().out.startswith("right: Yours is the Hessian")
    bad = written(tmp_path, **GIVEN, what="matrix", claim="hessian", theirs=2 * H)
    assert main(["judge", str(bad)]) == 1
    assert capsys.readouterr().out.startswith("not right: Yours is the Hessian, averaged over the samples, doubled")


@pytest.mark.parametrize(
    ("dump", "complaint"),
    [
        ("nowhere.npz", "there is no file"),
        ({"what": "tensor"}, "what is 'tensor'; it must be one of matrix"),
        ({"what": "matrix", "X": X}, "the dump lacks network, y, loss; it has what, X"),
        (GIVEN | {"what": "matrix"}, "the dump lacks theirs"),
        (GIVEN | {"what": "product", "theirs": x}, "the dump lacks v"),
        ({"what": "trajectory", "claim": "bfgs"}, "the dump lacks points"),
    ],
)
def test_what_is_no_dump_is_refused(dump, complaint):
    with pytest.raises(ValueError, match=complaint):
        judge(dump)


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "one.npy", x)
    (tmp_path / "text.npz").write_text("what = matrix")
    for name in ("one.npy", "text.npz"):
        with pytest.raises(ValueError, match=r"is no npz file, which numpy\.savez writes"):
            judge(tmp_path / name)


def test_pickles_are_refused(tmp_path):
    path = written(tmp_path, what="matrix", theirs=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        judge(path)


@pytest.mark.parametrize("spoil", ["cut", "scrambled"])
def test_damaged_files_are_refused_with_status_2(tmp_path, capsys, spoil):
    path = written(tmp_path, **GIVEN, what="matrix", claim="hessian", theirs=H)
    data = bytearray(path.read_bytes())
    if spoil == "cut":
        data = data[: len(data) // 2]
    else:
        data[300:400] = bytes(100)
    path.write_bytes(data)
    assert main(["judge", str(path)]) == 2
    said = capsys.readouterr().err
    assert "cut short" in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"X": "zz"}, "X must be an array of real numbers; it is 'zz'"),
        ({"theirs": 3.0}, "theirs must be an array of real numbers; it is 3.0"),
        ({"theirs": 1j * H}, "it is an array of complex128"),
        ({"theirs": np.full_like(H, np.nan)}, "theirs has entries that are not finite"),
        ({"network": np.zeros(3)}, "network must be a text"),
        ({"network": "Dense(3)"}, "no layer is called 'Dense'"),
        ({"claim": "hesian"}, "claim is 'hesian'; it can be hessian"),
        ({"accuracy": "high"}, "accuracy must be a number"),
        ({"precision": "bf16"}, "precision is 'bf16'; it can be bfloat16"),
        ({"what": "trajectory", "claim": "adam", "points": np.ones((3, 2)), "option.rate": 0.1}, "has no option rate"),
        ({"what": "factors", "A.first": np.eye(3)}, "'A.first' must be A.0, A.1"),
        ({"gradient": x}, "the dump's 'gradient' is no entry that is known; did you mean gradients? The entries are"),
        ({"seed": np.arange(3)}, "'seed' is no entry that is known. The entries are what, claim, network"),
    ],
)
def test_entries_of_another_kind_are_named(tmp_path, capsys, wrong, said):
    path = written(tmp_path, **GIVEN | {"what": "matrix", "claim": "hessian", "theirs": H} | wrong)
    assert main(["judge", str(path)]) == 2
    assert said in capsys.readouterr().err


def test_the_accuracy_that_is_claimed():
    rough = H * (1.0 + 1e-7 * np.sin(np.arange(H.size)).reshape(H.shape))
    given = GIVEN | {"what": "matrix", "claim": "hessian", "theirs": rough}
    assert not judge(given).right
    assert judge(given | {"accuracy": 1e-6}).right
    assert not judge(given | {"accuracy": 1e-6, "theirs": 1.01 * rough}).right


def test_a_root_in_fifty_digits_is_right_to_what_float64_leaves():
    """And a root that is off by 1e-9 to nine digits, although its condition would let it pass."""
    A = np.diag([1e-6, 1.0, 2.0, 5.0])
    theirs = np.diag(np.diag(A) ** (-1 / 3))
    digits = lambda X: float(judge({"what": "root", "A": A, "p": 3, "theirs": X}).sentence.split("holds to ")[1][:4])
    assert digits(theirs) > 14.0
    assert 8.5 < digits(theirs * (1 + 1e-9)) < 9.5


# --- orders and parts, sides and steps ------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", layouts(PROBLEM, x.size)[1:], ids=lambda layout: layout.words)
def test_another_order_is_not_right(layout):
    """Their parameters are said to be in our order: x, and so the rows."""
    verdict = judge(GIVEN | {"what": "matrix", "claim": "hessian", "theirs": H[np.ix_(layout.order, layout.order)]})
    assert not verdict.right, verdict.sentence
    assert layout.words in verdict.sentence


def test_a_part_is_not_the_whole():
    blocks = np.zeros_like(H)
    blocks[:15, :15], blocks[15:, 15:] = H[:15, :15], H[15:, 15:]
    for part in (np.diag(np.diag(H)), blocks):
        assert not judge(GIVEN | {"what": "matrix", "claim": "hessian", "theirs": part}).right
        assert judge(GIVEN | {"what": "matrix", "theirs": part}).right  # no more is claimed


def test_dense_kfac_can_be_claimed():
    for fisher in ("exact", "empirical"):
        theirs = curvature.kfac(PROBLEM, x, fisher=fisher).dense()
        verdict = judge(GIVEN | {"what": "matrix", "claim": "kfac-exact", "theirs": theirs})
        assert verdict.right is (fisher == "exact"), verdict.sentence


A_0, A_1 = (block.A for block in curvature.kfac(PROBLEM, x).blocks)
G_0, G_1 = (block.G for block in curvature.kfac(PROBLEM, x).blocks)


@pytest.mark.parametrize(
    ("entries", "right", "said"),
    [
        ({"A.0": A_0, "A.1": A_1}, True, "Yours is A of K-FAC, of layer 0, 2, to "),
        ({"A.1": A_1}, True, "of layer 2"),
        ({"G.0": G_0, "claim": "kfac-exact"}, True, "Yours is G of exact K-FAC, of layer 0"),
        ({"G.0": G_0, "claim": "kfac-empirical"}, False, "exact"),
        ({"G.0": 20.0 * G_0}, False, "times 20"),
        ({"A.1": A_1 + 0.1 * np.eye(4)}, False, "with 0.1 added to the diagonal"),
        ({"A.0": np.roll(A_0, 1, (0, 1))}, False, "the coordinate of the bias first"),
        ({"A.0": A_0[:-1, :-1]}, False, "without the bias"),
        ({"A.0": A_0 @ A_0, "A.1": A_1}, False, "it is off by"),
    ],
)
def test_factors_of_one_side(entries, right, said):
    verdict = judge(GIVEN | {"what": "factors"} | entries)
    assert verdict.right is right, verdict.sentence
    assert said in verdict.sentence


def adam():
    """Iterates, gradients, averages and t before each step."""
    z, m, v, run = np.linspace(-1.0, 2.0, 5), np.zeros(5), np.zeros(5), []
    for t in range(12):
        g = np.cos(z) + z
        run.append((z, g, m, v, t))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        z = z - 0.01 * (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8)
    return run


def test_one_update_in_the_midst_of_a_run(tmp_path):
    (z, g, m, v, t), (after, *_) = adam()[6:8]
    step = {"what": "update", "claim": "adam", "x": z, "gradients.0": g, "m.0": m, "v.0": v, "option.step": 0.01}
    assert judge(written(tmp_path, **step, **{"t.0": t}, theirs=after - z)).right
    wrong = judge(written(tmp_path, **step, **{"t.0": t}, theirs=(after - z) * np.arange(5)))
    assert not wrong.right
    assert "x₊ = x + p at step 0" in wrong.sentence
    assert not judge(written(tmp_path, **step, **{"t.0": t + 5}, theirs=after - z)).right


def test_a_run_from_its_midst():
    names = ("points", "gradients", "m", "v", "t")
    run = {name: np.array(column[4:]) for name, column in zip(names, zip(*adam(), strict=True), strict=True)}
    assert judge({"what": "trajectory", "claim": "adam", "option.step": 0.01} | run).right


def test_the_randomness_of_a_run(tmp_path):
    module, params, draw = refopt.stochastic.kfac, refopt.stochastic.kfac.Params(), np.random.default_rng(5)
    state, points, batches, labels = module.init(PROBLEM, x, params), [], [], []
    for size in (12, 12, 9, 12):
        batches.append(np.sort(draw.choice(20, size, replace=False)))
        there = PROBLEM.batch(X[batches[-1]], y[batches[-1]]).at(state.x)
        labels.append(np.stack([there.sample(draw) for _ in range(module.needs(params).labels)]))
        points.append(state.x)
        state = module.step(PROBLEM, state, params, Draw(batches[-1], labels[-1]))
    run = {name: value for name, value in GIVEN.items() if name != "x"} | {"what": "trajectory", "claim": "kfac"}
    run |= {"points": np.array([*points, state.x])} | {f"labels.{k}": drawn for k, drawn in enumerate(labels)}
    assert judge(written(tmp_path, **run, **{f"batch.{k}": batch for k, batch in enumerate(batches)})).right
    batches[2] = np.arange(9)
    assert not judge(written(tmp_path, **run, **{f"batch.{k}": batch for k, batch in enumerate(batches)})).right


def test_a_mask_alone(tmp_path):
    draw = np.random.default_rng(3)
    W, inputs = draw.standard_normal((4, 32)), draw.standard_normal((32, 32)) @ draw.standard_normal((32, 100))
    swept = refopt.pruning.sparsegpt(W, inputs, sparsity=0.5, block_size=16).weights != 0.0
    dump = {"what": "pruning", "W": W, "X": inputs, "claim": "sparsegpt"}
    assert judge(written(tmp_path, **dump, mask=swept)).right
    wrong = judge(written(tmp_path, **dump, mask=np.abs(W) > np.median(np.abs(W))))
    assert not wrong.right
    assert "It is not sparsegpt's, which you say it is" in wrong.sentence
    assert not judge(written(tmp_path, **dump, mask=draw.random(W.shape) > 0.5)).right


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ({"what": "matrix", "theirs": np.diag(H)}, r"a matrix has 2 axes; theirs has shape \(27,\)"),
        ({"what": "diagonal", "theirs": H}, "a diagonal has 1 axes"),
        ({"what": "product", "theirs": x, "v": x[:3]}, r"v must have shape \(27,\); it has \(3,\)"),
        ({"what": "matrix", "theirs": H, "x": x[:4]}, "the network has 27 parameters, so x must have shape"),
        ({"what": "factors"}, "the dump lacks A.0, G.0"),
        ({"what": "factors", "A.0": A_0, "A.1": A_1, "G.0": G_0}, "the dump has one of A.1 and G.1"),
        ({"what": "factors", "A.7": A_1}, "there is no A.7: the network has 2 layers"),
        ({"what": "factors", "A.0": np.eye(9)}, "have not the shapes"),
        ({"what": "factors", "A.0": A_0, "G.0": G_0, "A.1": A_1, "G.1": G_1, "claim": "kfac"}, "it can be kfac-exact"),
        ({"what": "update", "claim": "adam", "theirs": x[:3]}, "an update is x₊ − x, of the shape of x"),
        ({"what": "pruning", "W": H, "mask": x}, "a mask has the shape of W"),
    ],
)
def test_what_does_not_fit_is_said(entries, complaint):
    with pytest.raises(ValueError, match=complaint):
        judge(GIVEN | entries)


# --- runs of methods that carry matrices, from their midst ------------------------------------------------------------


def tree(name, nested):
    """The entries L.0.0, L.0.1, … of tuples of tuples."""
    if isinstance(nested, tuple):
        return {key: value for k, part in enumerate(nested) for key, value in tree(f"{name}.{k}", part).items()}
    return {} if nested is None else {name: nested}


SHAPED = {"shapes": ((3, 4), (4,)), "eps": 1e-3}
MIDST = {
    "shampoo": (refopt.stochastic.shampoo.Params(**SHAPED, beta1=0.5), ("m", "L")),
    "soap": (refopt.stochastic.soap.Params(**SHAPED, every=3), ("m", "v", "L", "Q")),
}


@pytest.mark.parametrize("method", MIDST)
def test_a_run_of_a_method_with_matrices_from_its_midst(tmp_path, method):
    module, (params, needs) = getattr(refopt.stochastic, method), MIDST[method]
    draw, states, gradients = np.random.default_rng(8), [], []
    state = module.init(None, draw.standard_normal(16), params)
    for _ in range(12):
        states.append(state)
        gradients.append(state.x + 0.3 * draw.standard_normal(16))
        state = module.update(state, gradients[-1], params)
    states.append(state)
    run = {"what": "trajectory", "claim": method, "points": np.array([s.x for s in states[5:]])}
    run |= {"gradients": np.array(gradients[5:])}
    held = {"t.0": states[5].t} | {key: v for name in needs for key, v in tree(name, getattr(states[5], name)).items()}
    held = {f"{name}.0" if name in ("m", "v") else name: value for name, value in held.items()}
    options = {f"option.{name}": value for name, value in params._asdict().items() if name != "shapes"}
    found = refopt.oracle.replay(method, None, records_of(run, states[5], needs), params)
    assert found, found.sentence
    wrong = states[5]._replace(L=tuple(tuple(None if M is None else 2.0 * M for M in own) for own in states[5].L))
    assert not refopt.oracle.replay(method, None, records_of(run, wrong, needs), params)
    dump = run | held | options | {"option.shapes": "3x4, 4"}
    assert judge(written(tmp_path, **dump)).right
    del dump["L.0.1"]
    with pytest.raises(ValueError, match="L of the first record has the shapes"):
        judge(dump)
    for key in [key for key in dump if key.startswith("L.")]:
        del dump[key]
    said = f"these records of {method} begin {states[5].t} steps after its start, and lack L of then: put that into"
    with pytest.raises(ValueError, match=said):
        judge(dump)


def records_of(run, state, needs):
    first = {"t": state.t} | {name: getattr(state, name) for name in needs}
    pairs = zip(run["points"], [*run["gradients"], None], strict=True)
    run = [{"x": x} | ({} if g is None else {"g": g}) for x, g in pairs]
    return [run[0] | first, *run[1:]]


def test_a_run_of_kfac_from_its_midst():
    module, params = refopt.stochastic.kfac, refopt.stochastic.kfac.Params(fisher="exact")
    state, states = module.init(PROBLEM, x, params), []
    for _ in range(9):
        states.append(state)
        state = module.step(PROBLEM, state, params)
    names = ("factors", "inverse", "damping", "gamma", "delta")
    entries = {key: v for name in names[:2] for key, v in tree(name, getattr(states[5], name)).items()}
    entries |= {f"{name}.0": getattr(states[5], name) for name in names[2:]} | {"t.0": 5, "option.fisher": "exact"}
    given = {name: value for name, value in GIVEN.items() if name != "x"}
    run = given | {"what": "trajectory", "claim": "kfac", "points": np.array([s.x for s in [*states[5:], state]])}
    assert judge(run | entries).right
    assert not judge(run | {"option.fisher": "exact"}).right
    with pytest.raises(ValueError, match="begin 5 steps after its start, and lack inverse of then"):
        judge(run | {key: value for key, value in entries.items() if not key.startswith("inverse")})
