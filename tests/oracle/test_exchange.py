"""Dumps: what other programs write is read and judged, from a file and from arrays, on the command line and off it."""

from itertools import islice

import numpy as np
import pytest

import refopt
from refopt import curvature
from refopt.__main__ import main
from refopt.networks import parse
from refopt.oracle import judge

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
