"""What is compiled is kept on disk: shared by processes, mended where it is broken, renewed with the source."""

import logging
import shutil
from pathlib import Path

import pytest

import refopt
from processes import SCRIPT, SOLVE, finish, solve, start
from refopt import diskcache, stopping
from refopt.dialect import Bound
from refopt.methods import bfgs
from refopt.problem import Problem

pytest.importorskip("numba")
compiled = pytest.importorskip("refopt.compiled")
from refopt.compiled.kept import loaded  # noqa: E402  # numba may be missing

pytestmark = [pytest.mark.jit, pytest.mark.xdist_group("jit")]


@pytest.mark.slow
def test_the_cache_is_shared_mended_and_renewed(tmp_path):
    package, cache = tmp_path / "source", tmp_path / "cache"
    shutil.copytree(Path(refopt.__file__).parent, package / "refopt", ignore=shutil.ignore_patterns("__pycache__"))
    # two processes fill it at once
    for answer, _, was_compiled in map(finish, [start(SCRIPT + SOLVE, cache, package) for _ in range(2)]):
        assert answer[1:] == (stopping.DONE, "[1.0, 1.0]")
        assert was_compiled
    # the next one finds method and objective
    assert solve(cache, package) == (answer, True, False)
    # files that end early, or hold something else, are made again
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert len(files) == 3
    for cut, path in enumerate(files):
        path.write_bytes(path.read_bytes()[: 1000 * cut])
    assert solve(cache, package) == (answer, False, True)
    assert solve(cache, package) == (answer, True, False)
    # a change in any source file is noticed: here a run stops to think after the first step
    source = package / "refopt" / "stopping.py"
    text = source.read_text()
    source.write_text(text.replace("stall >= old.patience", "stall >= -9"))
    assert source.read_text() != text
    changed, _, was_compiled = solve(cache, package)
    assert was_compiled
    assert changed[:2] == (1, stopping.STUCK)


@pytest.mark.parametrize("content", ["no pickle", "cmissing_module\nname\n."])
def test_what_cannot_be_rebuilt_is_compiled_again(tmp_path, content):
    diskcache.write(tmp_path / "name", content.encode())
    assert loaded(tmp_path / "name") is None


def test_the_same_function_in_two_modules_has_code_for_each(tmp_path):
    (tmp_path / "mine.py").write_text("def fun(x):\n    return x @ x\n")
    call = "import numpy as np, refopt\n{}\nprint(refopt.compile(fun)(np.ones(3)))"
    for definition in ("from mine import fun", "def fun(x):\n    return x @ x"):
        script = f"import sys\nsys.path.append({str(tmp_path)!r})\n" + call.format(definition)
        out, err = start(script, tmp_path / "cache").communicate(timeout=300)
        assert (out, err) == ("3.0\n", "")
        (tmp_path / "mine.py").unlink(missing_ok=True)


def test_an_entry_that_is_kept_is_loaded(caplog):
    bound = Bound(Problem, frozenset({"hess", "hvp"}))
    compiled.entry_of(bfgs, stopping, bound)
    compiled.entry_of.cache_clear()
    caplog.clear()
    with caplog.at_level(logging.WARNING, "refopt"):
        compiled.entry_of(bfgs, stopping, bound)
    assert caplog.records == []
