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
