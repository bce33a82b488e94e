"""The command line: what it prints, what it ends with, and what it writes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import refopt
from refopt.__main__ import main
from refopt.catalogue import DOORS
from refopt.methods import bfgs


def test_verify_prints_a_table_by_topic(capsys):
    assert main(["verify", "bfgs.secant", "newton.sign-preserving", "--examples", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "bfgs"
    assert lines[1].split()[:4] == ["verified", "bfgs.secant", "4", "cases"]
    assert lines[1].endswith("of 2.2e-14   exact")
    assert lines[2].strip() == "Hₖ₊₁ yₖ = sₖ"
    assert "newton" in lines
    assert any(line.split()[:2] == ["refuted", "newton.sign-preserving"] for line in lines)
    assert any("false: −gᵀH⁻¹g < 0: a descent direction" in line for line in lines)
    assert "2 claims: 1 verified, 1 refuted; 2 decided without rounding too" in lines


def test_verify_tells_how_far_it_is_on_stderr(capsys):
    main(["verify", "bfgs.secant", "--examples", "1"])
    assert capsys.readouterr().err == "[1/1] claims checked\n"


def test_verify_ends_with_1_and_names_what_failed(capsys, monkeypatch):
    own = bfgs.update
    monkeypatch.setattr(bfgs, "update", lambda H, s, y: -own(H, s, y))
    assert main(["verify", "bfgs.secant", "bfgs.symmetric", "--examples", "2"]) == 1
    out = capsys.readouterr().out
    assert "\nfailed: bfgs.secant\n" in out
    assert "2 claims: 1 verified, 1 failed; 1 decided without rounding too" in out
    code = out[out.index("# bfgs.secant") :]
    exec(code, {})
    error, tolerance = map(float, capsys.readouterr().out.split())
    assert error > tolerance


def test_the_same_seed_prints_the_same(capsys):
    tables = []
    for seed in ("3", "3", "4"):
        main(["verify", "bfgs.update", "--examples", "2", "--seed", seed])
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] != tables[2]


def test_verify_writes_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bfgs, "update", lambda H, s, y: 0 / 0)
    path = tmp_path / "reports.json"
    path.write_text("what was there before")
    assert main(["verify", "bfgs.secant", "newton.exercise-2x2", "--json", str(path)]) == 1
    failed, verified = json.loads(path.read_text(encoding="utf-8"))
    assert (failed["id"], failed["status"]) == ("bfgs.secant", "failed")
    assert failed["worst"] is None
    assert failed["detail"] == "ZeroDivisionError: division by zero"
    assert verified["says"].startswith("A = [[4, 1], [1, 2]]")
    assert verified["exact"] is True
    assert [entry.name for entry in tmp_path.iterdir()] == ["reports.json"]


def test_verify_says_why_there_are_no_certain_digits(capsys, monkeypatch):
    monkeypatch.setattr("refopt.oracle.digits.find_spec", lambda name: None)
    main(["verify", "trust-region.optimality", "--examples", "1"])
    printed = capsys.readouterr().out
    assert "digits certain" not in printed
    assert "they need python-flint or mpmath" in printed


def test_json_is_as_documented(tmp_path, capsys):
    path = tmp_path / "reports.json"
    main(["verify", "newton.exercise-2x2", "--json", str(path)])
    page = (Path(__file__).parents[1] / "docs" / "ledger.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   \* - ``(\w+)``$", page, re.MULTILINE)
    assert listed == list(json.loads(path.read_text(encoding="utf-8"))[0])


def test_verify_writes_a_page(tmp_path, capsys):
    path = tmp_path / "page.html"
    assert main(["verify", "newton.exercise-2x2", "--examples", "3", "--html", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "3 examples, seed 0" in text
    assert 'id="newton.exercise-2x2"' in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]


def test_an_interrupted_write_leaves_what_was_there(tmp_path, capsys, monkeypatch):
    def fail(*arguments):
        raise OSError("disk full")

    path = tmp_path / "reports.json"
    path.write_text("what was there before")
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        main(["verify", "newton.exercise-2x2", "--json", str(path)])
    assert path.read_text() == "what was there before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["reports.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "bfgs.secand"], "did you mean bfgs.secant"),
        (["verify", "--examples", "0"], "at least one instance"),
        (["verify", "--seed", "-1"], "seed is -1: it must not be negative"),
        (["verify", "--json", "no/such/folder/x.json"], "there is no folder"),
        (["verify", "--html", "no/such/folder/x.html"], "there is no folder"),
        (["verify", "--json", "."], "it is a folder"),
        (["recommend", "-5"], "n must be positive; it is -5"),
    ],
)
def test_a_usage_error_is_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_methods_lists_every_method(capsys):
    assert main(["methods"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "name"
    assert [row.split()[0] for row in rows] == [name for door in DOORS for name in refopt.available(door)]


def test_solve_and_compile_pass_their_arguments_on(monkeypatch):
    given = []
    monkeypatch.setattr("refopt.certified.main", lambda *a: given.append(a) or 3)
    monkeypatch.setattr("refopt.warming.main", lambda *a: given.append(a) or 0)
    assert main(["solve", "nist:MGH09"]) == 3
    assert main(["solve", "nist", "--method", "lm"]) == 3
    assert main(["compile", "bfgs", "lm"]) == 0
    assert main(["compile", "--many"]) == 0
    assert given == [("nist:MGH09", "lm"), ("nist", "lm"), (["bfgs", "lm"], False), ([], True)]


def test_what_does_not_compile_is_refused(capsys):
    assert main(["compile", "bfgs", "sgd"]) == 2
    assert "no method that compiles is called sgd; there are bfgs, dfp" in capsys.readouterr().err


def test_recommend_names_a_method_and_says_why(capsys):
    assert main(["recommend", "500", "--derivatives", "jac", "hess", "--no-convex"]) == 0
    name, reason, others = capsys.readouterr().out.splitlines()
    assert name == "trust-exact, a method of minimize, with 4.04 MB"
    assert "saddles" in reason
    assert others == "or: saddle-free-newton, trust-dogleg, bfgs"
    assert main(["recommend", "0"]) == 2
    assert "n must be positive; it is 0" in capsys.readouterr().err


def test_n_is_not_taken_for_no_convex(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["recommend", "--n", "10"])
    assert "unrecognized arguments: --n" in capsys.readouterr().err


def test_help_shows_every_command_and_examples(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for word in ("verify", "solve", "methods", "recommend", "compile", 'refopt verify "bfgs.*"'):
        assert word in text


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"refopt {refopt.__version__}\n"


def test_a_command_is_required():
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 2


def test_it_runs_as_a_module_whatever_the_terminal_can_show():
    ascii_only = {"PYTHONIOENCODING": "ascii:strict", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "refopt", "verify", "bfgs.secant", "--examples", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ascii_only)
    assert "bfgs.secant" in done.stdout
