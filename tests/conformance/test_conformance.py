"""The conformance kit: what is right passes, what is wrong fails with the smallest instance, on every door."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize

import refopt
from refopt import conformance
from refopt.__main__ import main
from refopt.conformance import check, properties


def status(reports):
    return {report.name: report.status for report in reports}


def scipys(fun, x0, jac):
    return scipy.optimize.minimize(fun, x0, jac=jac, method="BFGS")


def root(A, p):
    values, V = np.linalg.eigh(A)
    return (V * values ** (-1 / p)) @ V.T


def roots_of_roots(A, p):
    """The power-of-two mistake: square roots of square roots, whatever p is."""
    for _ in range(max(0, int(np.log2(p)))):
        values, V = np.linalg.eigh(A)
        A = (V * np.sqrt(values)) @ V.T
    return np.linalg.inv(A)


def update(H, s, y):
    rho, V = 1 / (y @ s), np.eye(len(s)) - np.outer(y, s) / (y @ s)
    return V.T @ H @ V + rho * np.outer(s, s)


def wrong_update(H, s, y):
    return update(H, s, y) - 2 * np.outer(s, s) / (y @ s)


class Adam:
    """A literal Adam, one number of steps too late in its correction if `late`."""

    conforms = "optimizer:adam"

    def __init__(self, late=0):
        self.late, self.params = late, {"step": 0.01}

    def __call__(self, x, g, state):
        m, v, t = state or (0 * x, 0 * x, 0)
        m, v, t = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g, t + 1
        u = max(1, t - self.late)
        return x - 0.01 * (m / (1 - 0.9**u)) / (np.sqrt(v / (1 - 0.999**u)) + 1e-8), (m, v, t)


late = Adam(late=1)
ADAM = f"{inspect.getsource(Adam)}\n\nlate = Adam(late=1)"


@pytest.mark.parametrize(
    ("target", "kind"),
    [(refopt.minimize, "minimizer"), (root, "inverse-root"), (update, "bfgs.update"), (Adam(), "")],
    ids=["minimizer", "inverse-root", "bfgs.update", "optimizer:adam"],
)
def test_what_is_right_passes(target, kind):
    reports = check(target, kind, examples=25)
    assert {report.detail for report in reports} == {""}
    assert reports


def test_scipys_bfgs_has_all_but_units():
    assert {name for name, found in status(check(scipys, "minimizer", 25)).items() if found == "fails"} == {
        "units of f"
    }


class Spoilt:
    """A minimizer with one fault."""

    def __init__(self, fault):
        self.fault = fault

    def __call__(self, fun, x0, jac):
        x = x0.copy()
        if self.fault == "exceptions":
            try:
                fun(x)
            except Exception:
                return scipy.optimize.OptimizeResult(x=x, fun=0.0, success=False)
        if self.fault == "NaN everywhere" and np.isnan(fun(x)):
            return scipy.optimize.OptimizeResult(x=x, fun=np.nan, success=True)
        found = refopt.minimize(fun, x0, jac=jac)
        if self.fault == "x0 untouched":
            x0[:] = found.x
        if self.fault == "reported point":
            found.fun = found.fun + 1.0
        if self.fault == "at the minimum":
            found.x = found.x + 1e-3
        if self.fault == "quadratics":
            found.success = False
        if self.fault == "descent":
            found.x = x0 + 1.1 * (x0 - found.x)
        return found


@pytest.mark.parametrize(
    "fault",
    ["exceptions", "NaN everywhere", "x0 untouched", "reported point", "at the minimum", "quadratics", "descent"],
)
def test_each_fault_of_a_minimizer_is_found(fault):
    reports = check(Spoilt(fault), "minimizer", 10)
    assert status(reports)[fault] == "fails"
    found = next(report for report in reports if report.name == fault)
    assert found.detail
    assert found.instance is not None


def test_a_minimizer_that_ends_in_nan_is_found():
    def leaping(fun, x0, jac):
        x = x0 - 3.0 * jac(x0)
        return scipy.optimize.OptimizeResult(x=x, fun=fun(x), success=True)

    assert status(check(leaping, "minimizer", 10))["walls of NaN"] == "fails"


def test_the_power_of_two_root_fails_at_three():
    reports = check(roots_of_roots, "inverse-root")
    assert status(reports)["inverse"] == "fails"
    (A, p) = next(report.instance for report in reports if report.name == "inverse")
    assert (A.shape, p) == ((1, 1), 3)  # the smallest instance there is


def test_a_root_of_the_wrong_power_is_told_which_it_is():
    reports = check(lambda A, p: root(A, 2 * p), "inverse-root")
    assert any("it is the power −1/2" in report.detail for report in reports)


def test_a_wrong_equation_fails_by_the_names_of_its_claims():
    found = status(check(wrong_update, "bfgs.update", 10))
    assert found["bfgs.secant"] == found["bfgs.update"] == "fails"
    assert found["bfgs.symmetric"] == "holds"


def test_a_wrong_optimizer_fails_in_two_steps_and_its_mistake_is_named():
    (report,) = check(late, "optimizer:adam")
    assert "counted after the correction" in report.detail
    assert len(report.instance[1]) == 2
    assert report.instance[0].shape == (1,)


def test_what_the_target_raises_is_what_the_report_says():
    def broken(A, p):
        raise RuntimeError("no such root")

    assert {report.detail for report in check(broken, "inverse-root", 3)} == {"it raised RuntimeError: no such root"}


def test_kinds_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match="no kind is called 'solver'; there are minimizer"):
        properties("solver")
    with pytest.raises(ValueError, match="the kind is missing"):
        check(root)
    with pytest.raises(TypeError, match="target must be a function of the kind to be checked; it is 3"):
        check(3, "minimizer")
    with pytest.raises(ValueError, match="no optimizer is called 'nadam'; there are"):
        properties("optimizer:nadam")


@pytest.mark.parametrize("path", ["nothing", "no.such:thing", "math:pi", "math:sines"])
def test_paths_that_lead_nowhere(path):
    with pytest.raises(ValueError, match=r"path to an object|cannot be had|must be a function"):
        conformance.named(path)


def test_the_command_line(capsys):
    assert main(["conform", "refopt:minimize", "minimizer", "--examples", "5"]) == 0
    assert capsys.readouterr().out.count("holds") == 9
    assert main(["conform", "scipy.linalg:inv", "inverse-root", "--examples", "5"]) == 1
    assert "principal root: it is off by" in capsys.readouterr().out


@pytest.mark.parametrize(("target", "passed"), [("Adam()", True), ("late", False)])
def test_the_plugin(tmp_path, target, passed):
    source = (tmp_path / "mine.py").absolute()
    source.write_text("import numpy as np\n\n" + ADAM + f"\n\ntarget = {target}\n")
    command = [sys.executable, "-m", "pytest", "-p", "refopt.conformance.plugin", "--conform", "mine:target", "-q"]
    here = os.environ | {"PYTHONPATH": str(Path(refopt.__file__).parents[1])}
    ran = subprocess.run(
        [*command, "-p", "no:cacheprovider"], cwd=tmp_path, env=here, capture_output=True, text=True, check=False
    )
    assert ("1 passed" in ran.stdout) == passed, ran.stdout + ran.stderr
    assert passed or "counted after the correction" in ran.stdout


# --- curvature -----------------------------------------------------------------------------------------------------


def forward(arrays, X, y, loss):
    """Activations, outputs, the loss's gradient and Hessian in the outputs, and the Jacobian (N, C, P), by hand."""
    inputs, a = [X], X
    for W, b in zip(arrays[:-2:2], arrays[1:-2:2], strict=True):
        a = np.tanh(a @ W.T + b)
        inputs.append(a)
    f = a @ arrays[-2].T + arrays[-1]
    N, C = f.shape
    p = np.exp(f - f.max(1, keepdims=True))
    p = p / p.sum(1, keepdims=True)
    if loss == "cross-entropy":
        u, B = p - np.eye(C)[y], p[:, :, None] * np.eye(C) - p[:, :, None] * p[:, None, :]
    else:
        u, B = f - y, np.broadcast_to(np.eye(C), (N, C, C))
    g, columns = np.broadcast_to(np.eye(C), (N, C, C)), []  # ∂f/∂y of each layer, (N, C, out)
    for k in range(len(inputs) - 1, -1, -1):
        columns = [(g[:, :, :, None] * inputs[k][:, None, None, :]).reshape(N, C, -1), g, *columns]
        g = (g @ arrays[2 * k]) * (1 - inputs[k] ** 2)[:, None, :]
    return inputs, u, B, np.concatenate(columns, axis=2)


def written_ggn(arrays, X, y, loss):
    _, _, B, J = forward(arrays, X, y, loss)
    return np.einsum("nap,nab,nbq->pq", J, B, J) / len(X)


def written_empirical(arrays, X, y, loss):
    _, u, _, J = forward(arrays, X, y, loss)
    s = np.einsum("nap,na->np", J, u)
    return s.T @ s / len(X)


def outer_of_the_mean(arrays, X, y, loss):
    _, u, _, J = forward(arrays, X, y, loss)
    g = np.einsum("nap,na->p", J, u) / len(X)
    return np.outer(g, g)


def written_kfac(arrays, X, y, loss, ones=1.0):
    inputs, _, B, J = forward(arrays, X, y, loss)
    pairs, start = [], 0
    for k, a in enumerate(inputs):
        out, width = arrays[2 * k].shape
        g = J[:, :, start + out * width : start + out * (width + 1)]
        start += out * (width + 1)
        joint = np.concatenate([a, np.full((len(a), 1), ones)], 1)
        pairs.append((joint.T @ joint / len(a), np.einsum("nai,nab,nbj->ij", g, B, g) / len(a)))
    return pairs


CURVATURES = {"ggn": written_ggn, "fisher": written_ggn, "empirical": written_empirical, "kfac-exact": written_kfac}


@pytest.mark.parametrize("kind", CURVATURES)
def test_curvatures_written_by_hand_pass(kind):
    reports = check(CURVATURES[kind], f"curvature:{kind}", 25)
    assert {report.detail for report in reports} == {""}


@pytest.mark.parametrize(
    ("kind", "wrong", "fails", "said"),
    [
        ("ggn", lambda *case: len(case[1]) * written_ggn(*case), "definition", "summed over the samples"),
        ("empirical", outer_of_the_mean, "definition", "averaged over the batch before it is squared"),
        ("fisher", written_empirical, "definition", "empirical Fisher matrix"),
        ("ggn", lambda *case: np.triu(written_ggn(*case)), "symmetry", "differs from its transpose"),
        ("ggn", lambda *case: -written_ggn(*case), "semidefinite", "lowest eigenvalue"),
        ("kfac-exact", lambda *case: written_kfac(*case, ones=0.0), "definition", "coordinate of the bias is 0"),
    ],
)
def test_wrong_curvatures_are_told_what_they_are(kind, wrong, fails, said):
    report = next(r for r in check(wrong, f"curvature:{kind}", 25) if r.name == fails)
    assert said in report.detail
    assert report.instance.X.shape[1] == 1  # as small as it can be


def test_curvatures_that_write_or_depend_on_the_order():
    def writes(arrays, X, y, loss):
        found = written_ggn(arrays, X, y, loss)
        X *= 2.0
        return found

    assert status(check(writes, "curvature:ggn", 5))["arguments untouched"] == "fails"
    first = lambda arrays, X, y, loss: written_ggn(arrays, X[:1], y[:1], loss)
    assert status(check(first, "curvature:ggn", 25))["order of samples"] == "fails"


# --- pruners -------------------------------------------------------------------------------------------------------


def written_obs(w, H, count, corrects=1.0, by="obs"):
    """Greedy OBS, with the inverse of what is left found anew each time."""
    w, left = w.copy(), list(range(len(w)))
    for _ in range(count):
        inverse = np.linalg.inv(H[np.ix_(left, left)])
        costs = w[left] ** 2 / (np.diag(inverse) if by == "obs" else 1.0)
        q = int(np.argmin(costs))
        w[left] = w[left] - corrects * w[left[q]] / inverse[q, q] * inverse[:, q]
        w[left[q]] = 0.0
        del left[q]
    return w


def written_sparsegpt(W, X, sparsity, damping=0.01):
    """One column after the other, by the Cholesky factor of H⁻¹, in a single block."""
    W, H = W.copy(), 2.0 * X @ X.T / X.shape[1]
    H += damping * np.mean(np.diag(H)) * np.eye(len(H))
    U = np.linalg.cholesky(np.linalg.inv(H)).T
    scores = (W / np.diag(U)) ** 2
    gone = scores < np.sort(scores.ravel())[int(sparsity * W.size)] if sparsity < 1 else np.full(W.shape, True)
    for j in range(W.shape[1]):
        e = np.where(gone[:, j], W[:, j], 0.0) / U[j, j]
        W[:, j:] -= np.outer(e, U[j, j:])
        W[gone[:, j], j] = 0.0
    return W


def written_magnitude(W, X, sparsity):
    return np.where(np.abs(W) < np.sort(np.abs(W).ravel())[int(sparsity * W.size)], 0.0, W)


def written_wanda(W, X, sparsity):
    scores = np.abs(W) * np.linalg.norm(X, axis=1)
    order = np.argsort(np.argsort(scores, axis=1), axis=1)
    return np.where(order < int(sparsity * W.shape[1]), 0.0, W)


PRUNERS = {
    "obs": written_obs, "sparsegpt": written_sparsegpt, "magnitude": written_magnitude, "wanda": written_wanda,
}  # fmt: skip


@pytest.mark.parametrize("kind", PRUNERS)
def test_pruners_written_by_hand_pass(kind):
    assert {report.detail for report in check(PRUNERS[kind], f"pruner:{kind}", 30)} == {""}


@pytest.mark.parametrize(
    ("kind", "wrong", "fails"),
    [
        ("obs", lambda w, H, count: written_obs(w, H, count, corrects=0.0), {"optimal", "as here"}),
        ("obs", lambda w, H, count: written_obs(w, H, count, corrects=-1.0), {"optimal", "as here"}),
        ("obs", lambda w, H, count: written_obs(w, H, count, by="size"), {"cheapest first", "as here"}),
        ("obs", lambda w, H, count: written_obs(w, H, count - 1), {"count", "as here"}),
        ("sparsegpt", written_magnitude, {"as here"}),
        ("sparsegpt", lambda W, X, s: written_sparsegpt(W, X, s, damping=1.0), {"as here"}),
        ("magnitude", written_sparsegpt, {"as here", "kept weights"}),
        ("wanda", written_magnitude, {"as here"}),
    ],
)
def test_wrong_pruners_are_found(kind, wrong, fails):
    found = {name for name, what in status(check(wrong, f"pruner:{kind}", 40)).items() if what == "fails"}
    assert fails <= found
    assert "arguments untouched" not in found


def test_kinds_of_curvatures_and_pruners_are_named():
    with pytest.raises(ValueError, match="no curvature is called 'fischer'; there are hessian"):
        properties("curvature:fischer")
    with pytest.raises(ValueError, match="no pruner is called 'obd'; there are magnitude"):
        properties("pruner:obd")


@pytest.mark.parametrize(("of", "passed"), [("", True), ("2 * ", False)])
def test_the_plugin_on_a_curvature(tmp_path, of, passed):
    source = f"{inspect.getsource(forward)}\n\n{inspect.getsource(written_ggn)}"
    target = f"def target(*case):\n    return {of}written_ggn(*case)\n"
    (tmp_path / "mine.py").write_text(f"import numpy as np\n\n\n{source}\n\n{target}")
    command = [sys.executable, "-m", "pytest", "-p", "refopt.conformance.plugin", "--conform", "mine:target", "-q"]
    here = os.environ | {"PYTHONPATH": str(Path(refopt.__file__).parents[1])}
    ran = subprocess.run(
        [*command, "--kind", "curvature:ggn", "--examples", "10", "-p", "no:cacheprovider"],
        cwd=tmp_path, env=here, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ("5 passed" in ran.stdout) == passed, ran.stdout + ran.stderr
    assert passed or ", doubled" in ran.stdout
